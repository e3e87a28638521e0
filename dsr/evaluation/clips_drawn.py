"""Clips of made-up people whose every frame is known: drawn people who walk, or move as motion capture did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.errors import DatasetError
from dsr.evaluation.clips import FEET, foot_rows
from dsr.evaluation.known_joints import limb_index
from dsr.evaluation.posture import LIMB12_NAMES
from dsr.evaluation.view_truth import VIEW_TRUTH_FILE
from dsr.mocap.gait import walking_motion
from dsr.mocap.retarget import SmplMotion, load_mocap
from dsr.rendering.zbuffer import rasterise
from dsr.synthetic.bodies import Mannequin, mannequin
from dsr.synthetic.garments import Outfit, draw_outfit
from dsr.synthetic.scene import draw_background, shade

FPS = 30.0
_WIDTH = 640
_RESTING_M_S = 0.1
"""A heel or toe slower than this rests."""


def draw_clips(folder: Path, count: int, *, seed: int = 0, frames: int = 60, mocap: Path | None = None) -> None:
    """Draw clips as folders of frames below ``clips``, with their ``truth.json``.

    Args:
        folder: a new or empty folder.
        count: how many clips.
        seed: another one draws other people, cameras and motions.
        frames: of every clip.
        mocap: folder of BVH clips, of which those kept for validation are taken; without it people walk by sines.

    Raises:
        DatasetError: if the folder holds something, or there are no clips long enough.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DatasetError(f"{folder} is not empty; name a new folder for the drawn clips.")
    rows: list[dict[str, Any]] = []
    motions = _walks(frames) if mocap is None else _captured(mocap, frames, seed)
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        rows += _draw(folder, index, rng, next(motions))
    order = [name.replace("_", " ") for name in LIMB12_NAMES]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VIEW_TRUTH_FILE).write_text(json.dumps({"joint_order": order, "views": rows}), encoding="utf-8")


def _walks(frames: int) -> Iterator[SmplMotion]:
    while True:
        yield walking_motion(frames / FPS, FPS, turn_rad_s=0.15)


def _captured(folder: Path, frames: int, seed: int) -> Iterator[SmplMotion]:
    """Windows of clips in an order that the seed gives, over and over."""
    rng = np.random.default_rng([seed, 1 << 20])
    long = [motion for motion in load_mocap(folder, "val", FPS) if len(motion) >= frames]
    if not long:
        raise DatasetError(f"{folder}: no validation clip has {frames} frames at {FPS:g} a second.")
    while True:
        for place in rng.permutation(len(long)):
            motion = long[int(place)]
            cut = slice(first := int(rng.integers(len(motion) - frames + 1)), first + frames)
            yield replace(
                motion,
                body_pose_rotmat=motion.body_pose_rotmat[cut],
                global_orient=motion.global_orient[cut],
                root_position_m=motion.root_position_m[cut],
                fps=FPS,
            )


def _draw(folder: Path, index: int, rng: np.random.Generator, motion: SmplMotion) -> list[dict[str, Any]]:
    """The frames of one clip, and its views' entries of the truth."""
    from PIL import Image

    body = mannequin()
    betas = np.clip(rng.normal(0, 0.8, 10), -1.5, 1.5)
    outfit = draw_outfit(rng, True)
    while outfit.skirt:  # a skirt hides which leg is which
        outfit = draw_outfit(rng, True)
    height = int(rng.choice([480, 640, 960]))
    picture = draw_background(rng, max(_WIDTH, height))[:height, :_WIDTH]
    light = int(rng.integers(2**31))
    heading = rng.uniform(0, 2 * np.pi)
    camera = Rotation.from_euler("x", rng.normal(0.1, 0.08)).as_matrix() @ np.diag([1.0, -1.0, -1.0])
    camera = camera @ Rotation.from_euler("y", heading).as_matrix()
    middle = (motion.root_position_m.max(0) + motion.root_position_m.min(0)) / 2
    path = (motion.root_position_m - middle) @ camera.T
    focal = _WIDTH * rng.uniform(0.8, 1.8)
    reach = np.abs(path[:, :2]).max(0) + np.array([0.8, 1.1])
    far = float(max(2 * focal * reach[0] / _WIDTH, 2 * focal * reach[1] / height, 2.5) - path[:, 2].min())
    places = path + np.array([0.0, 0.05, far])
    K = np.array([[focal, 0, _WIDTH / 2], [0, focal, height / 2], [0, 0, 1]])
    target = folder / "clips" / f"drawn_{index}"
    target.mkdir(parents=True)
    points = []
    for t in range(len(motion)):
        turns = np.concatenate([(camera @ motion.global_orient[t])[None], motion.body_pose_rotmat[t]])
        frame, keypoints = _frame(body, betas, outfit, turns, places[t], K, picture, light)
        frame += np.random.default_rng([light, t]).normal(0, 4, (*frame.shape[:2], 1))
        Image.fromarray(np.clip(frame, 0, 255).astype(np.uint8)).save(target / f"drawn_{index}_{t:04d}.jpg", quality=92)
        points.append(keypoints)
    every = np.stack(points)
    pixels = every @ K.T
    pixels = pixels[..., :2] / pixels[..., 2:]
    rests = np.linalg.norm(np.diff(every[:, foot_rows()], axis=0), axis=-1) * FPS < _RESTING_M_S
    rests = np.concatenate([rests, np.zeros((1, len(FEET)), bool)])
    limbs = limb_index("blazepose33")
    return [
        {
            "file": f"clips/drawn_{index}/drawn_{index}_{t:04d}.jpg",
            "clip": f"clips/drawn_{index}",
            "frame": t,
            "person": f"drawn {index}",
            "K": K.tolist(),
            "joints_cam_mm": (1000 * every[t, limbs]).tolist(),
            "joints_px": pixels[t, limbs].tolist(),
            "feet_resting": rests[t].tolist(),
        }
        for t in range(len(every))
    ]


def _frame(
    body: Mannequin,
    betas: np.ndarray,
    outfit: Outfit,
    turns: np.ndarray,
    place: np.ndarray,
    K: np.ndarray,
    background: np.ndarray,
    light: int,
) -> tuple[np.ndarray, np.ndarray]:
    """A picture (h, w, 3) float32 and BlazePose's true keypoints (33, 3), metres, camera."""
    person = body.pose(betas, turns, outfit)
    transl = place - person.joints[0]
    height, width = background.shape[:2]
    skin = person.cloth[: body.num_body] + transl
    seen = rasterise(skin, person.faces[: len(body.asset.faces)], K, (width, height), near=0.1, cull_back=True)
    fields = seen.interpolate(np.concatenate([person.places, person.normals], 1)[: len(skin)])
    template, normals = fields[:, :3].astype(np.float32), fields[:, 3:].astype(np.float32)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    picture = background.copy()
    colours = outfit.colours(template, outfit.labels(template))
    picture[seen.covered] = shade(np.random.default_rng(light), colours, normals)
    return picture, body.keypoints(person.skin, "blazepose33") + transl
