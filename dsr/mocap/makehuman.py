"""Poses of the MakeHuman set (CC0, one BVH frame each on its default skeleton) as SMPL poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dsr.body.joints import SMPL24_PARENTS
from dsr.camera.directions import swing
from dsr.errors import DatasetError
from dsr.mocap.bvh import Motion, read_bvh
from dsr.mocap.retarget import default_rest_joints

# SMPL joint: the source's bone whose rotation it takes, and where it ends there and here (bones along the trunk lie as
# SMPL's do).
_TRUNK = {0: "root", 3: "spine04", 6: "spine03", 9: "spine01", 12: "neck01", 15: "head"}
_LIMBS = {
    1: ("upperleg01", "lowerleg01", 4),
    4: ("lowerleg01", "foot", 7),
    13: ("clavicle", "upperarm01", 16),
    16: ("upperarm01", "lowerarm01", 18),
    18: ("lowerarm01", "wrist", 20),
    20: ("wrist", "finger3-1", 22),
}
_SAME = {7: "foot"}
_FOLLOWERS = ((10, 7), (11, 8), (22, 20), (23, 21))
_RIGHT = {1: 2, 4: 5, 7: 8, 10: 11, 13: 14, 16: 17, 18: 19, 20: 21, 22: 23}


@dataclass(frozen=True)
class StillPose:
    """A pose.

    Attributes:
        name: of its file.
        body: (23, 3, 3) local rotations of joints 1 to 23.
        orient: (3, 3) rotation of the pelvis in the world (y up).
    """

    name: str
    body: np.ndarray
    orient: np.ndarray


def load_makehuman_poses(folder: str | Path) -> list[StillPose]:
    """The poses below a folder, in the order of their names.

    Raises:
        DatasetError: if a pose is on another skeleton.
    """
    return [makehuman_pose(read_bvh(path, unit_m=0.1)) for path in sorted(Path(folder).rglob("poses/*.bvh"))]


def makehuman_pose(motion: Motion) -> StillPose:
    """The first frame of a motion on MakeHuman's default skeleton.

    Limbs point where the source's do; its rest pose has the arms at 45 degrees, SMPL's is a T.

    Raises:
        DatasetError: if a bone is missing.
    """
    identity = np.tile(np.eye(3), (1, len(motion.parents), 1, 1))
    at_rest = replace(motion, rotations=identity, root_position_m=np.zeros((1, 3))).world()[1][0]
    axes = _axes(motion, at_rest)
    turned, there = (part[0] for part in motion.world())
    rest = default_rest_joints()

    def rotation(bone: str) -> np.ndarray:
        return axes @ turned[motion.index(bone)] @ axes.T

    world = np.tile(np.eye(3), (24, 1, 1))
    for joint, bone in _TRUNK.items():
        world[joint] = rotation(bone)
    for left, (bone, end, child) in _LIMBS.items():
        for side, joint, tip in ((".L", left, child), (".R", _RIGHT[left], _RIGHT[child])):
            first, last = motion.index(bone + side), motion.index(end + side)
            along, now = axes @ (at_rest[last] - at_rest[first]), axes @ (there[last] - there[first])
            world[joint] = rotation(bone + side) @ _swing(rest[tip] - rest[joint], along)
            world[joint] = _swing(world[joint] @ (rest[tip] - rest[joint]), now) @ world[joint]  # limbs of two bones
    for left, bone in _SAME.items():
        world[left], world[_RIGHT[left]] = rotation(bone + ".L"), rotation(bone + ".R")
    for joint, parent in _FOLLOWERS:
        world[joint] = world[parent]
    parents = np.array(SMPL24_PARENTS[1:])
    return StillPose(Path(motion.name).stem, np.swapaxes(world[parents], -1, -2) @ world[1:], world[0])


def _swing(start: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) least rotation of one direction (3,) onto another."""
    return np.asarray(swing(torch.from_numpy(start), torch.from_numpy(target)).numpy())


def _axes(motion: Motion, at_rest: np.ndarray) -> np.ndarray:
    """(3, 3) whole quarter turns from the file's axes to y up, z to the front, x to the left of the body."""

    def at(name: str) -> np.ndarray:
        return at_rest[motion.index(name)]

    left, up = at("upperarm01.L") - at("upperarm01.R"), at("neck01") - at("root")
    rows = [np.eye(3)[np.abs(v).argmax()] * np.sign(v[np.abs(v).argmax()]) for v in (left, up)]
    if abs(rows[0] @ rows[1]) > 0.5:
        raise DatasetError(f"{motion.name}: no upright body; is it on MakeHuman's default skeleton?")
    return np.stack([*rows, np.cross(*rows)])
