"""Pairs as dsr.synthetic.make_pairs writes them, without pictures: bodies in front of cameras, landmarks with noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from dsr.body import load_asset
from dsr.regressors.default.points import BodyPoints
from dsr.synthetic.poses import PriorPoses

SIZE = 640


def made_pairs(count: int, seed: int = 0, noise: float = 1.0) -> dict[str, np.ndarray]:
    """Arrays of a file; ``noise`` 0 gives landmarks and keypoints that are true."""
    rng = np.random.default_rng(seed)
    body = BodyPoints(load_asset("open-light"), "blazepose33", (), 11)
    pose = np.zeros((count, 24, 3))
    for i in range(count):
        turns, _ = PriorPoses.draw(rng)
        pose[i, 1:22] = Rotation.from_matrix(turns[:21]).as_rotvec()
        facing = Rotation.from_euler("x", 180, degrees=True) * Rotation.from_euler("y", rng.uniform(-180, 180), True)
        pose[i, 0] = (Rotation.from_euler("x", rng.normal(0, 8), degrees=True) * facing).as_rotvec()
    betas = np.zeros((count, 41))
    betas[:, :10] = rng.normal(0, 1, (count, 10))
    turns = torch.as_tensor(Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(count, 24, 3, 3)).float()
    with torch.no_grad():
        joints, points, _ = (x.numpy().astype(np.float64) for x in body(turns, torch.as_tensor(betas[:, :11]).float()))
    focal = SIZE * np.exp(rng.normal(0.1, 0.2, count))
    K = np.zeros((count, 3, 3))
    K[:, 0, 0] = K[:, 1, 1] = focal
    K[:, :2, 2], K[:, 2, 2] = SIZE / 2, 1.0
    tall = np.ptp(points[..., :2], axis=1).max(1)
    far = tall * focal / (SIZE * rng.uniform(0.4, 0.7, count))
    aside = 0.1 * rng.normal(0, 1, (count, 2)) * (SIZE * far / focal)[:, None]
    transl = np.concatenate([aside, far[:, None]], 1) - points.mean(1)
    points, joints = points + transl[:, None], joints + transl[:, None]
    pixels = np.einsum("nij,nkj->nki", K, points)
    pixels = pixels[..., :2] / pixels[..., 2:]
    side = 1.25 * np.ptp(pixels, axis=1).max(1)
    seen = pixels[:, None] + noise * 0.006 * side[:, None, None, None] * rng.normal(0, 1, (count, 2, 33, 2))
    world = points - points[:, [23, 24]].mean(1, keepdims=True)
    tilt = Rotation.from_rotvec(noise * rng.normal(0, [0.15, 0.08, 0.02], (count, 3))).as_matrix()
    world = np.einsum("nij,nkj->nki", tilt, world)[:, None] + noise * 0.02 * rng.normal(0, 1, (count, 2, 33, 3))
    region = np.concatenate([pixels.mean(1), side[:, None], np.zeros((count, 1))], 1)
    mask = np.zeros((count, 64, 64), np.uint8)
    mask[:, 8:56, 24:40] = 255
    labels = np.where(mask > 0, 5, 0).astype(np.uint8)
    labels[:, 8:16, 24:40] = 13
    single = {"K": K, "betas": betas, "pose": pose, "transl": transl, "joints": joints, "keypoints": points}
    return {
        **{name: value.astype(np.float32) for name, value in single.items()},
        "size": np.full((count, 2), SIZE, np.int32),
        "region": np.repeat(region[:, None], 2, 1).astype(np.float32),
        "points": seen.astype(np.float32),
        "visibility": np.full((count, 2, 33), 0.9, np.float16),
        "inside": np.ones((count, 2, 33), np.float16),
        "world": world.astype(np.float32),
        "presence": np.ones((count, 2), np.float32),
        "mask": mask,
        "labels": labels,
        "state": np.zeros((count, 33), np.uint8),
        "joint_state": np.zeros((count, 24), np.uint8),
        "child": np.zeros(count, bool),
        "stature": np.full(count, 1.7, np.float32),
        "mass": np.full(count, 70.0, np.float32),
        "strata": np.zeros(count, np.uint32),
        "split": (np.arange(count) % 4 == 3).astype(np.uint8),
    }


def write_pairs(folder: Path, count: int = 160, seed: int = 0) -> Path:
    """A folder of two files of pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(2):
        np.savez(folder / f"pairs_{number:05d}.npz", **made_pairs(count // 2, seed + number))
    return folder
