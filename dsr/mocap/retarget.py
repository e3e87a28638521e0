"""Mocap skeletons to SMPL poses: the CMU database's BVH clips (B. Hahne's "Daz-friendly" conversion) on the 24 joints.

World rotations are carried over bone by bone, ``R_smpl = R_source @ A``, where the constant ``A`` turns the SMPL rest
direction of a limb onto the source's and lines up its hinge, so that limb directions in the world are reproduced and
elbows and knees bend about one axis. Body frame: y up, facing +z, left at +x, arms along +-x and legs along -y at rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from dsr.body.joints import SMPL24_PARENTS, flip_permutation
from dsr.camera.directions import frame, swing
from dsr.errors import DatasetError
from dsr.mocap.bvh import Motion, read_bvh

SMPL_FLIP = flip_permutation("smpl24")

# Rest joints (metres) of the open body's mean shape, rounded; used where the caller names no other skeleton.
_CENTRE = {
    0: (0, 0),
    3: (0.067, -0.037),
    6: (0.139, -0.03),
    9: (0.349, -0.049),
    12: (0.533, -0.005),
    15: (0.633, 0.027),
}
_LEFT = {
    1: (0.085, -0.029, 0.003),
    4: (0.085, -0.429, 0.003),
    7: (0.085, -0.839, 0.003),
    10: (0.092, -0.885, 0.148),
    13: (0.023, 0.46, 0.009),
    16: (0.155, 0.434, -0.014),
    18: (0.436, 0.434, -0.014),
    20: (0.697, 0.434, -0.014),
    22: (0.803, 0.434, -0.014),
}

# The joint whose world rotation a SMPL joint of the trunk takes; spine2 lies halfway between abdomen and chest. The
# source's collars, buttocks, toes and fingers never move: SMPL's collars, feet and hands follow their parents.
_CENTRE_SOURCE = {0: "hip", 3: "abdomen", 9: "chest", 12: "neck", 15: "head"}
_FOLLOWERS = ((10, 7), (11, 8), (13, 9), (14, 9), (22, 20), (23, 21))
# The left elbow's flexion axis in the source's rest pose, measured: over the whole collection the axis of the forearm's
# rotation stays within 4 degrees (90th percentile) of this direction. The right one is its mirror image.
_LEFT_ELBOW_AXIS = (-0.061, -0.873, 0.484)
_LEAD_IN = 3  # frames: each clip starts with a T-pose of the converter's and jumps from it into the motion


@dataclass(frozen=True)
class SmplMotion:
    """A clip as SMPL poses.

    Attributes:
        body_pose_rotmat: (T, 23, 3, 3) local rotations of joints 1 to 23.
        global_orient: (T, 3, 3) rotation of the pelvis in the world (y up).
        root_position_m: (T, 3) position of the pelvis joint, metres, at the size of the SMPL skeleton.
        fps: frames per second.
        name: file the clip came from.
    """

    body_pose_rotmat: np.ndarray
    global_orient: np.ndarray
    root_position_m: np.ndarray
    fps: float
    name: str = ""

    def __len__(self) -> int:
        return len(self.global_orient)

    def body_pose_aa(self) -> np.ndarray:
        """(T, 23, 3) axis-angle, radians, angles in [0, pi]."""
        return Rotation.from_matrix(self.body_pose_rotmat.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 23, 3)

    def joints(self, rest: np.ndarray | None = None) -> np.ndarray:
        """World positions (T, 24, 3) of the joints, metres; ``rest`` as in :func:`retarget_to_smpl`."""
        rest = default_rest_joints() if rest is None else _check_rest(rest)
        world = np.empty((len(self), 24, 3, 3))
        positions = np.empty((len(self), 24, 3))
        world[:, 0], positions[:, 0] = self.global_orient, self.root_position_m
        for joint, parent in enumerate(SMPL24_PARENTS[1:], 1):
            world[:, joint] = world[:, parent] @ self.body_pose_rotmat[:, joint - 1]
            positions[:, joint] = positions[:, parent] + world[:, parent] @ (rest[joint] - rest[parent])
        return positions

    def mirrored(self) -> SmplMotion:
        """The clip seen in a mirror: left and right swapped, x negated."""
        pose = mirror_rotmat(self.body_pose_rotmat[:, np.array(SMPL_FLIP[1:]) - 1])
        root = self.root_position_m * np.array([-1.0, 1.0, 1.0])
        return SmplMotion(pose, mirror_rotmat(self.global_orient), root, self.fps, self.name)


def default_rest_joints() -> np.ndarray:
    """(24, 3) rest joints in metres of a generic SMPL-like T-pose, pelvis at the origin."""
    rest = np.zeros((24, 3))
    for joint, yz in _CENTRE.items():
        rest[joint, 1:] = yz
    for joint, xyz in _LEFT.items():
        rest[joint] = xyz
        rest[SMPL_FLIP[joint]] = np.array(xyz) * [-1.0, 1.0, 1.0]
    return rest


def mirror_rotmat(rotmat: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) as a mirror across the x = 0 plane shows them: M R M with M = diag(-1, 1, 1)."""
    signs = np.array([-1.0, 1.0, 1.0])
    return rotmat * signs[:, None] * signs[None, :]


def retarget_to_smpl(motion: Motion, rest: np.ndarray | None = None) -> SmplMotion:
    """SMPL poses of a clip on the CMU/Daz skeleton.

    Directions of upper arms, forearms, hands, thighs, shins and of the trunk (middle of the hips to neck) in the world
    are the source's; the pelvis is placed so that the middle of the hips is the source's, scaled by the ratio of leg
    lengths.

    Args:
        motion: the clip.
        rest: (24, 3) rest joints in metres of the SMPL skeleton in its T-pose; the open body's when not given.

    Returns:
        The clip as SMPL poses; hands (22, 23) and joints that the source does not move are at identity.

    Raises:
        DatasetError: if the clip's skeleton lacks a joint, or ``rest`` is not (24, 3).
    """
    rest = default_rest_joints() if rest is None else _check_rest(rest)
    source, positions = motion.world()
    world = np.empty((len(motion), 24, 3, 3))
    for joint, (name, align) in _alignment(motion, rest).items():
        world[:, joint] = source[:, motion.index(name)] @ align
    world[:, 6] = _halfway(world[:, 3], world[:, 9])
    hips = (positions[:, motion.index("lThigh")] + positions[:, motion.index("rThigh")]) / 2
    _aim_trunk(world, rest, positions[:, motion.index("neck")] - hips)
    for joint, parent in _FOLLOWERS:
        world[:, joint] = world[:, parent]
    parents = np.array(SMPL24_PARENTS[1:])
    local = np.swapaxes(world[:, parents], -1, -2) @ world[:, 1:]
    scale = _leg_length(rest) / _source_leg_length(motion)
    root = hips * scale - world[:, 0] @ ((rest[1] + rest[2]) / 2 - rest[0])
    return SmplMotion(local, world[:, 0], root, motion.fps, motion.name)


def load_mocap(
    folder: str | Path, split: str = "all", fps: float = 10.0, rest: np.ndarray | None = None
) -> Iterator[SmplMotion]:
    """Stream the clips below a folder as SMPL poses, in the order of their paths.

    The split is by clip, never by frame: subjects 08 and 13 and every tenth dance or martial-arts clip are validation.
    The first three frames of a clip are dropped: they hold the converter's T-pose.

    Args:
        folder: where the archives were unpacked; searched recursively for ``*.bvh``.
        split: "train", "val" or "all".
        fps: frames per second wanted; clips are thinned by a whole stride, so they may come a little denser.
        rest: as in :func:`retarget_to_smpl`.

    Raises:
        DatasetError: if the folder holds no clips, the split is unknown or a clip cannot be read.
    """
    if split not in ("train", "val", "all"):
        raise DatasetError(f"unknown split {split!r}; choose train, val or all.")
    if not fps > 0:
        raise DatasetError(f"fps must be positive, not {fps}.")
    paths = sorted(Path(folder).rglob("*.bvh"))
    if not paths:
        raise DatasetError(f"no .bvh files below {folder}; unpack the mocap archives there.")
    others = [path for path in paths if cmu_subject(path) is None]
    validation = {path for path in paths if cmu_subject(path) in ("08", "13")} | set(others[9::10])
    for path in paths:
        if split == "all" or (path in validation) == (split == "val"):
            motion = read_bvh(path)
            motion = motion.every(max(1, int(motion.fps / fps + 1e-6)), _LEAD_IN)
            if len(motion):
                yield retarget_to_smpl(motion, rest)


def cmu_subject(path: Path) -> str | None:
    """CMU subject of a file named like ``08_11.bvh``; None for the dance and martial-arts clips."""
    match = re.fullmatch(r"(\d\d+)_\d+", path.stem)
    return match.group(1) if match else None


def _check_rest(rest: np.ndarray) -> np.ndarray:
    rest = np.asarray(rest, dtype=np.float64)
    if rest.shape != (24, 3):
        raise DatasetError(f"rest joints must have shape (24, 3), not {rest.shape}.")
    return rest


def _alignment(motion: Motion, rest: np.ndarray) -> dict[int, tuple[str, np.ndarray]]:
    """For each driven SMPL joint the source joint's name and A (3, 3): SMPL rest frame to source rest frame."""
    identity = np.tile(np.eye(3), (1, len(motion.parents), 1, 1))
    at_rest = replace(motion, rotations=identity, root_position_m=np.zeros((1, 3))).world()[1][0]

    def at(name: str) -> np.ndarray:
        return at_rest[motion.index(name)]

    def turn(build: Callable[[Tensor, Tensor], Tensor], first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return build(torch.from_numpy(first), torch.from_numpy(second)).numpy()

    trunk = turn(swing, rest[12] - (rest[1] + rest[2]) / 2, at("neck") - (at("lThigh") + at("rThigh")) / 2)
    result: dict[int, tuple[str, np.ndarray]] = {
        joint: (name, trunk if joint in (3, 9) else np.eye(3)) for joint, name in _CENTRE_SOURCE.items()
    }
    lateral, forward = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
    for side, prefix in ((1.0, "l"), (-1.0, "r")):
        left = (1, 4, 7, 16, 18, 20, 22)
        hip, knee, ankle, shoulder, elbow, wrist, hand = left if side > 0 else (SMPL_FLIP[joint] for joint in left)
        # Axial vectors keep x and change the sign of y and z in a mirror.
        flexion = np.array(_LEFT_ELBOW_AXIS) * [1.0, side, side]
        down = np.array([0.0, -side, 0.0])

        def bone(start: str, end: str, prefix: str = prefix) -> np.ndarray:
            return at(prefix + end) - at(prefix + start)

        # SMPL joint: source joint, then bone and hinge in the rest pose of SMPL and of the source.
        bones = {
            hip: ("Thigh", rest[knee] - rest[hip], lateral, bone("Thigh", "Shin"), lateral),
            knee: ("Shin", rest[ankle] - rest[knee], lateral, bone("Shin", "Foot"), lateral),
            shoulder: ("Shldr", rest[elbow] - rest[shoulder], down, bone("Shldr", "ForeArm"), flexion),
            elbow: ("ForeArm", rest[wrist] - rest[elbow], down, bone("ForeArm", "Hand"), flexion),
            wrist: ("Hand", rest[hand] - rest[wrist], forward, bone("Hand", "Mid1"), bone("Pinky1", "Index1")),
        }
        for joint, (name, target, target_axis, source, axis) in bones.items():
            result[joint] = (prefix + name, turn(frame, source, axis) @ turn(frame, target, target_axis).T)
        # Both skeletons stand with flat feet at rest, though their toe points differ: carried over as they are.
        result[ankle] = (prefix + "Foot", np.eye(3))
    return result


def _leg_length(rest: np.ndarray) -> float:
    return float(np.linalg.norm(rest[4] - rest[1]) + np.linalg.norm(rest[7] - rest[4]))


def _source_leg_length(motion: Motion) -> float:
    lengths = np.linalg.norm(motion.offsets_m[[motion.index("lShin"), motion.index("lFoot")]], axis=-1)
    if not lengths.sum() > 0:
        raise DatasetError(f"{motion.name or 'the motion'} has legs of no length; is it the right kind of file?")
    return float(lengths.sum())


def _aim_trunk(world: np.ndarray, rest: np.ndarray, direction: np.ndarray) -> None:
    """Turn the three spine joints together, in place, until the middle of the hips to the neck points as in the source.

    The two skeletons bend at different heights, so the same rotations leave a few degrees between them. The pelvis does
    not turn, hence the iteration; the third step changes less than 0.01 degrees.
    """
    middle = (rest[1] + rest[2]) / 2
    target = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    for _ in range(4):
        neck = world[:, 0] @ (rest[3] - middle)
        for joint, end in ((3, 6), (6, 9), (9, 12)):
            neck = neck + world[:, joint] @ (rest[end] - rest[joint])
        neck /= np.linalg.norm(neck, axis=-1, keepdims=True)
        axis = np.cross(neck, target)
        sine = np.linalg.norm(axis, axis=-1, keepdims=True)
        angle = np.arctan2(sine, (neck * target).sum(-1, keepdims=True))
        turn = Rotation.from_rotvec(axis * angle / np.maximum(sine, 1e-12)).as_matrix()
        world[:, [3, 6, 9]] = turn[:, None] @ world[:, [3, 6, 9]]


def _halfway(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rotation midway between two, (T, 3, 3)."""
    relative = Rotation.from_matrix(np.swapaxes(first, -1, -2) @ second)
    return first @ Rotation.from_rotvec(relative.as_rotvec() / 2).as_matrix()
