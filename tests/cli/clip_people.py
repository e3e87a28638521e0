"""Clips for tests: frames whose colour says who is in them, and the made-up detections of people who walk past."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dsr.body import load_body
from dsr.mocap.gait import walking_motion
from dsr.people.types import Detection

SIZE = (320, 240)
FOCAL = 300.0


def walker(frames: int, shift: float = 0.0) -> list[Detection]:
    """Detections of somebody who walks past."""
    body = load_body("open-light")
    motion = walking_motion(frames / 10, 10.0)
    turn = np.diag([1.0, -1, -1]) @ np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    place = (motion.root_position_m - motion.root_position_m.mean(0)) @ turn.T + [shift, 0.1, 4.0]
    parts = (motion.body_pose_rotmat, turn @ motion.global_orient, place)
    with torch.no_grad():
        out = body(torch.zeros(frames, body.num_betas), *(torch.tensor(p, dtype=torch.float32) for p in parts))
    points = body.keypoints(out.vertices, "blazepose33").numpy()
    pixels = points[..., :2] / points[..., 2:] * FOCAL + [SIZE[0] / 2, SIZE[1] / 2]
    world = points - points[:, [23, 24]].mean(1, keepdims=True)
    return [
        Detection(np.r_[p.min(0), p.max(0)], 0.9, "blazepose33", p, np.ones(33), w)
        for p, w in zip(pixels, world, strict=True)
    ]


def frame(number: int, who: int = 1, size: tuple[int, int] = SIZE) -> Image.Image:
    """A frame: its red says which frame of the walk it is, its green who is there (bits)."""
    return Image.new("RGB", size, (25 * number, 60 * who, 0))


def folder(path: Path, who: tuple[int, ...] = (1,) * 6) -> Path:
    """A folder of frames named f7.png, f8.png ... f10.png: in natural order."""
    path.mkdir(parents=True)
    for number, someone in enumerate(who):
        frame(number, someone).save(path / f"f{number + 7}.png")
    return path
