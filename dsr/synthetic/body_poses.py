"""Poses of people for training: motion capture by clip, postures, the pose prior, and mixtures of them; left is right.

Every pose says where it came from, so that training and testing people never share a clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.errors import DatasetError
from dsr.mocap.makehuman import StillPose, load_makehuman_poses
from dsr.mocap.retarget import SMPL_FLIP, load_mocap, mirror_rotmat
from dsr.synthetic.poses import cache_folder
from dsr.synthetic.postures import draw_posture

_FPS = 10.0
_PRIOR_POSES = 4000
_SHARES = {"clip": 0.57, "posture": 0.17, "prior": 0.12, "recombined": 0.1, "limits": 0.04}
_STILLS, _TEST_STILLS = 0.3, ("fight03", "standing04", "run01")
_LEGS = np.array([1, 2, 4, 5, 7, 8, 10, 11]) - 1
_LIMBS = (
    np.array([1, 4, 7]) - 1,
    np.array([2, 5, 8]) - 1,
    np.array([13, 16, 18, 20]) - 1,
    np.array([14, 17, 19, 21]) - 1,
)
_LOOSE = {
    6: 0.12,
    7: 0.12,
    9: 0.1,
    10: 0.1,
    11: 0.12,
    12: 0.08,
    13: 0.08,
    14: 0.15,
    19: 0.28,
    20: 0.28,
    21: 0.2,
    22: 0.2,
}
"""Rotation noise (radians) of joints that captures hardly move: ankles, toes, neck, collars, head, wrists, hands."""


@dataclass(frozen=True)
class DrawnPose:
    """A pose: (23, 3, 3) local rotations, (3, 3) tilt of the pelvis without heading, and its source."""

    body: np.ndarray
    tilt: np.ndarray
    source: str


class PosePool:
    """Where poses are drawn from.

    Args:
        mocap: folder of BVH clips, or None: their share comes from the prior.
        split: ``train`` or ``val``.
        stills: folder of MakeHuman's poses, or None: there are the written postures alone.
    """

    def __init__(self, mocap: Path | None, split: str, stills: Path | None = None) -> None:
        self.split = split
        self._stills = _still_poses(stills, split)
        self._prior, self._lower, self._upper = _prior_poses(split)
        self._clips = None if mocap is None else _clips(Path(mocap), split)

    def draw(self, rng: np.random.Generator) -> DrawnPose:
        """A plausible pose; half of them mirrored."""
        kind = str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
        pose = self._draw(rng, kind)
        body, tilt = pose.body.copy(), pose.tilt
        if rng.random() < 0.5:
            body, tilt = mirror_rotmat(body[np.array(SMPL_FLIP[1:]) - 1]), mirror_rotmat(tilt)
        noise = rng.normal(0, 0.04, (23, 3))
        for joint, spread in _LOOSE.items():
            noise[joint] = rng.normal(0, spread, 3)
        noise[14, 1] += rng.normal(0, 0.3)
        for side, wrist in ((1.0, 19), (-1.0, 20)):
            noise[wrist, 0] += side * rng.normal(0, 0.5)
        return DrawnPose(body @ Rotation.from_rotvec(noise).as_matrix(), tilt, pose.source)

    def _draw(self, rng: np.random.Generator, kind: str) -> DrawnPose:
        if kind == "posture" and self._stills and rng.random() < _STILLS:
            still = self._stills[int(rng.integers(len(self._stills)))]
            noise = Rotation.from_rotvec(rng.normal(0, rng.uniform(0.03, 0.2), (23, 3))).as_matrix()
            return DrawnPose(still.body @ noise, still.orient, f"still:{still.name}")
        if kind == "posture":
            name, turns = draw_posture(rng, self.split)
            return DrawnPose(turns[1:], turns[0], f"posture:{name}")
        if kind == "recombined":
            upper, lower = (self._draw(rng, str(rng.choice(["clip", "posture", "clip"]))) for _ in range(2))
            body = upper.body.copy()
            body[_LEGS] = lower.body[_LEGS]
            return DrawnPose(body, lower.tilt, f"{upper.source}+{lower.source}"[:48])
        if kind == "limits":
            base = self._draw(rng, "clip")
            body = base.body.copy()
            for limb in rng.permutation(4)[: int(rng.integers(1, 3))]:
                rows = _LIMBS[int(limb)]
                free = rng.uniform(self._lower[rows], self._upper[rows]) * 0.8
                body[rows] = Rotation.from_rotvec(free).as_matrix()
            return DrawnPose(body, base.tilt, f"limits+{base.source}"[:48])
        if kind == "clip" and self._clips is not None:
            poses, tilts, rows, names = self._clips
            # half by clip, so that short clips count, half by frame
            clip = int(rng.integers(len(names))) if rng.random() < 0.5 else -1
            first, last = (rows[clip], rows[clip + 1]) if clip >= 0 else (0, len(poses))
            index = int(rng.integers(first, last))
            name = names[int(np.searchsorted(rows, index, side="right")) - 1]
            return DrawnPose(poses[index].astype(np.float64), tilts[index].astype(np.float64), name)
        body = np.tile(np.eye(3), (23, 1, 1))
        body[:21] = self._prior[int(rng.integers(len(self._prior)))]
        tilt = Rotation.from_rotvec(rng.normal(0, 0.08, 3)).as_matrix()
        return DrawnPose(body, tilt, "prior")


def _prior_poses(split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples (N, 21, 3, 3) of the shipped pose prior, and its joint limits (23, 3)."""
    import torch

    from dsr.mocap.pose_prior import PosePrior

    prior = PosePrior.load()
    generator = torch.Generator().manual_seed(11 if split == "train" else 12)
    theta = torch.cat([prior.sample(_PRIOR_POSES // 2, generator, heat) for heat in (0.7, 1.0)]).numpy()
    limits = [np.zeros((23, 3)) for _ in range(2)]
    for limit, bound in zip(limits, (prior.lower, prior.upper), strict=True):
        limit[:21] = bound.numpy().reshape(21, 3)
    turns = Rotation.from_rotvec(theta.reshape(-1, 3)).as_matrix().reshape(-1, 21, 3, 3)
    return turns.astype(np.float32), limits[0], limits[1]


def _still_poses(folder: Path | None, split: str) -> list[StillPose]:
    poses = [] if folder is None else load_makehuman_poses(folder)
    return [pose for pose in poses if (pose.name in _TEST_STILLS) == (split == "val")]


def _clips(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Poses (N, 23, 3, 3), tilts (N, 3, 3), first row of every clip and one past the last, and the clips' names."""
    from dsr.mocap.learn_prior import plausible

    files = sorted(folder.rglob("*.bvh"))
    if not files:
        raise DatasetError(f"no .bvh files below {folder}; unpack the mocap archives there, or give no folder.")
    state = "\n".join([split, str(_FPS), *(f"{f.relative_to(folder)} {f.stat().st_size}" for f in files)])
    cache = cache_folder() / f"clips_{sha256(state.encode()).hexdigest()[:16]}.npz"
    try:
        with np.load(cache, allow_pickle=False) as stored:
            return stored["poses"], stored["tilts"], stored["rows"], [str(name) for name in stored["names"]]
    except (OSError, ValueError, KeyError, EOFError):
        pass  # not there yet, or cut short
    poses, tilts, rows, names = [], [], [0], []
    for motion in load_mocap(folder, split, _FPS):
        aa = motion.body_pose_aa()
        kept = plausible(aa[:, :21])
        if not kept.any():
            continue
        forward = motion.global_orient @ np.array([0.0, 0.0, 1.0])
        heading = Rotation.from_rotvec(np.arctan2(forward[:, 0], forward[:, 2])[:, None] * (0, -1, 0)).as_matrix()
        poses.append(motion.body_pose_rotmat[kept].astype(np.float32))
        tilts.append((heading @ motion.global_orient)[kept].astype(np.float32))
        rows.append(rows[-1] + int(kept.sum()))
        names.append(Path(motion.name).stem)
    out = (np.concatenate(poses), np.concatenate(tilts), np.array(rows), names)
    partial = cache.with_suffix(".part.npz")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, poses=out[0], tilts=out[1], rows=out[2], names=np.array(names))
        partial.replace(cache)
    except OSError:
        partial.unlink(missing_ok=True)
    return out
