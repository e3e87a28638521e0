"""Pairs of made-up people and what the detector says about them, as the default network is trained on them.

A folder of ``pairs_*.npz`` (from ``dsr.synthetic.make_pairs``); every person is brought into the camera turned to
look straight at them, with K and pixels as a fit would have them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera import perspective_rotation
from dsr.errors import ExportError, TrainingError
from dsr.files import write_atomic
from dsr.fitting.lifted_people import lift_people
from dsr.lifting.base import WindowLifter
from dsr.npz import read_npz
from dsr.people.landmarks import AGREEMENT
from dsr.regressors.default.inputs import SHOWN_RAD, averaged, mask_grid, rays_in, shown_cameras
from dsr.regressors.default.network import BETAS, TURNED

PATTERN = "pairs_*.npz"
LABEL_SIZE = 48
"""Side of the clothing labels that the semantic terms compare with, pixels."""
_MOST_BYTES = 4 << 30
_VERSION = 2  # of what a prepared copy holds
_NO_LABELS = torch.zeros(1, 0, 0, dtype=torch.uint8)
_GROUPS = ([*range(13), 23, 24], list(range(13, 23)), list(range(25, 33)))
_BOX_CONFIDENCE = 0.5
_KEYS = (
    "size", "K", "region", "points", "visibility", "inside", "world", "presence", "mask", "betas", "pose", "joints",
    "keypoints", "state", "joint_state", "child", "stature", "mass", "strata", "split",
)  # fmt: skip


@dataclass(frozen=True)
class Pairs:
    """N people in their turned cameras; passes are the mean of both, the plain one and the mirrored one.

    Attributes:
        rays: (N, 3, 33, 2) of every pass.
        shown: (N, 3, 33, 2) the same in the camera in which the network is shown the person, with the mask and the
            lifted joints.
        confidence: (N, 3, 33).
        world: (N, 3, 33, 3) landmarks, metres.
        lifted: (N, 17, 3) metres.
        mask: (N, 24, 24) uint8.
        labels: (N, 48, 48) uint8 true clothing labels of the same square; (N, 0, 0) where not read.
        scale: (N,).
        turns: (N, 22, 3, 3) true rotations.
        betas: (N, 11).
        points: (N, 33, 3) true keypoints, metres.
        joints: (N, 24, 3) true joints, metres.
        state: (N, 33) uint8, as in the file.
        strata: (N,) int64 bits, as in the file.
        about: (N, 3) stature, mass, whether a child.
        split: (N,) uint8, 0 to train on, 1 held out.
    """

    rays: Tensor
    shown: Tensor
    confidence: Tensor
    world: Tensor
    lifted: Tensor
    mask: Tensor
    labels: Tensor
    scale: Tensor
    turns: Tensor
    betas: Tensor
    points: Tensor
    joints: Tensor
    state: Tensor
    strata: Tensor
    about: Tensor
    split: Tensor

    def __len__(self) -> int:
        return len(self.rays)

    def select(self, rows: Tensor | slice) -> Pairs:
        """Some of the people."""
        return Pairs(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def load_pairs(
    folder: Path, split: int, lifter: WindowLifter | None, *, labels: bool = False, most: int | None = None
) -> Pairs:
    """People of a folder.

    Args:
        folder: holds ``pairs_*.npz``.
        split: 0 those to train on, 1 those held out.
        lifter: the shipped single-frame lifter, or None: no lifted joints.
        labels: also the clothing labels.
        most: take no more people than this.

    Raises:
        TrainingError: if there are no such files or people, or a file is damaged.
    """
    files = sorted(folder.glob(PATTERN))
    if not files:
        raise TrainingError(f"{folder} holds no {PATTERN}; python -m dsr.synthetic.make_pairs writes them.")
    parts: list[Pairs] = []
    for file in files:
        try:
            part = _ready(file, lifter)
            rows = torch.from_numpy(np.flatnonzero(part.split.numpy() == split))
            if len(rows):
                parts.append(part.select(rows) if labels else replace(part.select(rows), labels=_NO_LABELS[rows * 0]))
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise TrainingError(f"{file} cannot be read as pairs ({error}): make it again or delete it.") from error
        if most is not None and sum(map(len, parts)) >= most:
            break
    if not parts:
        raise TrainingError(f"{folder}: nobody in {len(files)} files is of split {split}.")
    joined = Pairs(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Pairs)})
    return joined if most is None else joined.select(slice(most))


def _ready(file: Path, lifter: WindowLifter | None) -> Pairs:
    """The people of a file, from the copy in the folder ``ready`` beside it where that is as new."""
    state = f"{_VERSION} {file.stat().st_size} {file.stat().st_mtime_ns} {lifter is not None}"
    copy = file.parent / "ready" / file.name
    names = [f.name for f in fields(Pairs)]
    try:
        kept = read_npz(copy, {*names, "state_of_file"}, most=_MOST_BYTES)
        if str(kept["state_of_file"]) == state:
            return Pairs(**{name: torch.from_numpy(kept[name]) for name in names})
    except (OSError, ValueError, KeyError):
        pass  # not there yet, or of something else
    shard = read_npz(file, {*_KEYS, "labels"}, most=_MOST_BYTES)
    rows = np.flatnonzero(np.isfinite(shard["points"]).all((1, 2, 3)))
    part = _prepared({key: value[rows] for key, value in shard.items()}, lifter)
    try:
        copy.parent.mkdir(exist_ok=True)
        arrays = {name: getattr(part, name).numpy() for name in names}
        write_atomic(copy, lambda to: np.savez(to, state_of_file=np.array(state), **arrays))
    except (OSError, ExportError):
        pass  # a folder that cannot be written to is read anew every time
    return part


def _prepared(shard: dict[str, np.ndarray], lifter: WindowLifter | None) -> Pairs:
    count = len(shard["split"])
    pixels, confidence, world = _passes(shard)
    boxes = _boxes(pixels[:, 0], confidence[:, 0], shard["size"])
    K = torch.as_tensor(np.asarray(shard["K"], np.float64))
    rotation = perspective_rotation(K, torch.as_tensor((boxes[:, :2] + boxes[:, 2:]) / 2))
    R, focal = rotation.numpy(), shard["K"][:, 0, 0].astype(np.float64)
    homogeneous = np.concatenate([pixels, np.ones_like(pixels[..., :1])], -1)
    rays = np.einsum("nij,njk,npxk->npxi", R, np.linalg.inv(K.numpy()), homogeneous)
    confidence = np.where(rays[..., 2] > 0.05, confidence, 0.0)
    rays = rays[..., :2] / np.maximum(rays[..., 2:], 0.05)
    scale = (boxes[:, 2:] - boxes[:, :2]).max(1).clip(1.0) / focal
    cameras = shown_cameras(boxes)
    shown = rays_in(pixels, cameras)
    grid = mask_grid(np.full(count, SHOWN_RAD), np.broadcast_to(np.eye(3), R.shape), cameras)
    mask = _crops(shard["mask"], shard["region"][:, 1], grid, smooth=True)
    labels = np.zeros((count, 0, 0), np.uint8)
    if "labels" in shard:
        fine = _crops(shard["labels"], shard["region"][:, 1], mask_grid(scale, R, K.numpy()), smooth=False)
        labels = fine.astype(np.uint8)
    pose = torch.as_tensor(np.asarray(shard["pose"][:, :TURNED], np.float64))
    turns = axis_angle_to_rotmat(pose)
    turns[:, 0] = rotation @ turns[:, 0]

    def single(array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array, np.float32))

    return Pairs(
        single(rays),
        single(shown),
        single(confidence),
        single(np.einsum("nij,npkj->npki", R, world)),
        single(np.zeros((count, 17, 3)) if lifter is None else lift_people(shown[:, 0], confidence[:, 0], lifter)),
        torch.as_tensor((255 * averaged(mask / 255)).round().astype(np.uint8)),
        torch.as_tensor(labels),
        single(scale),
        turns.float(),
        single(shard["betas"][:, :BETAS]),
        single(np.einsum("nij,nkj->nki", R, shard["keypoints"])),
        single(np.einsum("nij,nkj->nki", R, shard["joints"])),
        torch.as_tensor(shard["state"]),
        torch.as_tensor(shard["strata"].astype(np.int64)),
        single(np.stack([shard["stature"], shard["mass"], shard["child"]], 1)),
        torch.as_tensor(shard["split"]),
    )


def _passes(shard: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (N, 3, 33, 2), confidence (N, 3, 33) and landmarks (N, 3, 33, 3): of the mean, and of both passes.

    Where the passes disagree about a group of points the last one is taken, as :mod:`dsr.people.landmarks` does.
    """
    points, world = shard["points"].astype(np.float64), shard["world"].astype(np.float64)
    confidence = (shard["visibility"] * shard["inside"]).astype(np.float64)
    apart = np.linalg.norm(points[:, 0] - points[:, 1], axis=-1)
    reach = AGREEMENT * shard["region"][:, 1, 2]
    share = np.full(apart.shape, 0.5)
    for group in _GROUPS:
        share[:, group] = np.where(np.median(apart[:, group], 1) < reach, 0.5, 0.0)[:, None]

    def joined(values: np.ndarray) -> np.ndarray:
        part = share.reshape(*share.shape, *[1] * (values.ndim - 3))
        return np.stack([part * values[:, 0] + (1 - part) * values[:, 1], values[:, 0], values[:, 1]], 1)

    return joined(points), joined(confidence), joined(world)


def _boxes(pixels: np.ndarray, confidence: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(N, 4) boxes around the keypoints seen, cut to the pictures, as the detector's."""
    least = np.minimum(_BOX_CONFIDENCE, confidence.max(1))
    seen = (confidence >= least[:, None])[..., None]
    limit = size[:, :2].astype(np.float64)
    low = np.where(seen, pixels, np.inf).min(1).clip(0, limit)
    high = np.where(seen, pixels, -np.inf).max(1).clip(0, limit)
    return np.concatenate([low, high], 1)


def _crops(crops: np.ndarray, region: np.ndarray, grid: np.ndarray, smooth: bool) -> np.ndarray:
    """Crops (N, S, S) of regions (N, 4) at pixels (N, H, W, 2) of their pictures, (N, H, W) float32."""
    import cv2

    from dsr.people.regions import Region

    way = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    seen = np.empty(grid.shape[:3], np.float32)
    for i, (crop, where, pixels) in enumerate(zip(crops, region.astype(np.float64), grid, strict=True)):
        at = (Region(*where).to_crop(pixels, crop.shape[0]) - 0.5).astype(np.float32)
        seen[i] = cv2.remap(crop.astype(np.float32), at[..., 0], at[..., 1], way, borderValue=(0.0,))
    return seen
