"""Poses for made-up people: from motion capture, or drawn from the pose prior that ships with the package."""

from __future__ import annotations

import os
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.errors import DatasetError
from dsr.mocap.retarget import SMPL_FLIP, load_mocap, mirror_rotmat

if TYPE_CHECKING:
    from dsr.mocap.pose_prior import PosePrior

BODY_JOINTS = 23


class PriorPoses:
    """Samples of the shipped pose prior; the trunk stands about upright."""

    @staticmethod
    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Body pose (23, 3, 3) and tilt of the pelvis (3, 3) in the world (y up, facing +z)."""
        import torch

        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        temperature = float(rng.choice([0.6, 0.85, 1.1]))
        theta = _prior().sample(1, generator, temperature)[0].double().numpy()
        # Legs of one pose under the trunk and arms of another: more postures than the clips hold.
        if rng.random() < 0.25:
            legs = np.array([0, 1, 3, 4, 6, 7, 9, 10])
            theta.reshape(21, 3)[legs] = _prior().sample(1, generator, temperature)[0].numpy().reshape(21, 3)[legs]
        pose = np.zeros((BODY_JOINTS, 3))
        pose[:21] = theta.reshape(21, 3)
        pose[21:] = rng.normal(0, 0.15, (2, 3))
        return Rotation.from_rotvec(pose).as_matrix(), np.eye(3)


class MocapPoses:
    """Frames of motion-capture clips, half of them mirrored.

    Args:
        body_pose: (N, 23, 3, 3) float32 local rotations.
        orient: (N, 3, 3) float32 rotation of the pelvis in the world (y up).
    """

    def __init__(self, body_pose: np.ndarray, orient: np.ndarray) -> None:
        self.body_pose, self.orient = body_pose, orient

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`PriorPoses.draw`; the heading is the clip's."""
        index = int(rng.integers(len(self.orient)))
        pose, orient = self.body_pose[index].astype(np.float64), self.orient[index].astype(np.float64)
        if rng.random() < 0.5:
            pose, orient = mirror_rotmat(pose[np.array(SMPL_FLIP[1:]) - 1]), mirror_rotmat(orient)
        jitter = Rotation.from_rotvec(rng.normal(0, 0.05, (BODY_JOINTS, 3))).as_matrix()
        return pose @ jitter, orient


def load_poses(folder: Path | None, split: str = "train", fps: float = 5.0) -> PriorPoses | MocapPoses:
    """Poses of a folder of BVH clips, or of the prior when there is none.

    Retargeting takes a minute or two; the result is kept in the user's cache folder (``$XDG_CACHE_HOME/dsr``) until the
    clips change.

    Raises:
        DatasetError: if the folder holds no clips or a clip cannot be read.
    """
    if folder is None:
        return PriorPoses()
    clips = sorted(Path(folder).rglob("*.bvh"))
    if not clips:
        raise DatasetError(f"no .bvh files below {folder}; unpack the mocap archives there, or give no folder.")
    state = [f"{c.relative_to(folder)} {c.stat().st_size} {c.stat().st_mtime_ns}" for c in clips]
    key = sha256("\n".join([split, str(fps), "2", *state]).encode()).hexdigest()[:16]
    cache = cache_folder() / f"mocap_{key}.npz"
    try:
        with np.load(cache, allow_pickle=False) as stored:
            return MocapPoses(stored["body_pose"], stored["orient"])
    except (OSError, ValueError, KeyError, EOFError):
        pass  # not there yet, or cut short
    motions = list(load_mocap(folder, split, fps))
    pose = np.concatenate([m.body_pose_rotmat for m in motions]).astype(np.float32)
    orient = np.concatenate([m.global_orient for m in motions]).astype(np.float32)
    kept = _plausible(pose)
    poses = MocapPoses(pose[kept], orient[kept])
    _store(cache, poses)
    return poses


def cache_folder() -> Path:
    """Where what takes long to make is kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsr"


def _store(cache: Path, poses: MocapPoses) -> None:
    """Write the cache in one step; without a place to write, do without."""
    partial = cache.with_name(f"{cache.stem}.{os.getpid()}.npz")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, body_pose=poses.body_pose, orient=poses.orient)
        partial.replace(cache)
    except OSError:
        partial.unlink(missing_ok=True)


def _plausible(pose: np.ndarray) -> np.ndarray:
    """Frames without the glitches that the pose prior's training drops too."""
    from dsr.mocap.learn_prior import plausible

    rotvec = Rotation.from_matrix(pose[:, :21].reshape(-1, 3, 3)).as_rotvec().reshape(-1, 21, 3)
    return plausible(rotvec)


@lru_cache(maxsize=1)
def _prior() -> PosePrior:
    """The shipped prior, read once per process."""
    from dsr.mocap.pose_prior import PosePrior

    return PosePrior.load()
