"""People cut out of nothing: colours, cover and parts of one made-up person each, to be pasted into pictures of groups.

Drawing a person takes some 50 milliseconds, pasting one half of one: a bank of cut-outs makes drawn groups cheap.
Everything depends on the seed alone; poses come from the clips and postures that are kept for training.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.files import write_atomic
from dsr.npz import read_npz
from dsr.people.keypoint_sets import GROUP_JOINTS
from dsr.rendering.drawing import draw
from dsr.synthetic.body_poses import DrawnPose, PosePool
from dsr.synthetic.body_shapes import ShapePool
from dsr.synthetic.dressed import Dresser, folded, paint
from dsr.synthetic.people_drawn import project, true_region
from dsr.synthetic.scene import shade
from dsr.synthetic.views import FLIP_TO_CAMERA, draw_heading
from dsr.synthetic.wardrobe import Wardrobe

HEAD, TRUNK = 1, 2
"""Values of the part channel; 0 is a limb or nobody."""
_HEAD_M, _TRUNK_M = (0.13, 0.53), (0.2, -0.05, 0.48)
"""The T-pose's head: half the width, lower end; trunk: half the width, lower and upper end, metres."""
_HIGH, _FINER = 224, 2
_UPRIGHT = 0.6
_MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class Cutout:
    """Somebody alone.

    Attributes:
        pixels: (h, w, 5) uint8 red, green, blue, cover (0 to 255) and part (0, :data:`HEAD`, :data:`TRUNK`).
        points: (4 + 15, 2) pixels of the middles of head, trunk and hips, of the point that gives the region its size
            and direction, and of :data:`GROUP_JOINTS`.
    """

    pixels: np.ndarray
    points: np.ndarray


class CutoutSource:
    """Draws cut-outs.

    Args:
        mocap: folder of BVH clips; without it poses come from the prior and the postures.
        garments: folder of unpacked MakeHuman assets; without it all clothes are painted and heads are bald.

    Raises:
        DatasetError: if a folder lacks what it should hold.
    """

    def __init__(self, mocap: Path | None = None, garments: Path | None = None) -> None:
        self._dresser = Dresser(None if garments is None else Wardrobe(garments))
        self._poses = PosePool(mocap, "train", garments)
        self._shapes = ShapePool(self._dresser.asset)

    def draw(self, seed: int) -> Cutout:
        """The person of a seed."""
        rng = np.random.default_rng([23, seed])
        pose = self._upright(rng)
        betas, female = self._shapes.draw(rng)
        dress = self._dresser.draw(rng, female)
        elevation = np.radians(rng.normal(7, 11))
        view = (
            Rotation.from_rotvec([0, 0, np.radians(rng.normal(0, 4))]) * Rotation.from_rotvec([elevation, 0, 0])
        ).as_matrix() @ FLIP_TO_CAMERA
        turns = np.concatenate([(view @ draw_heading(rng) @ pose.tilt)[None], pose.body])
        worn = self._dresser.pose(betas, turns, dress)
        low, high = worn.vertices.min(0), worn.vertices.max(0)
        away = np.array([0, 0, float(np.exp(rng.uniform(np.log(2.0), np.log(9.0))))]) - (low + high) / 2
        vertices, keypoints = worn.vertices + away, self._dresser.keypoints(worn.skin) + away
        rays = vertices[:, :2] / np.maximum(vertices[:, 2:], 0.05)
        corner, extent = rays.min(0), np.ptp(rays, axis=0)
        focal = (_HIGH * _FINER - 4) / float(extent.max())
        size = tuple(_FINER * (int(np.ceil(side * focal / _FINER)) + 2) for side in extent)
        K = np.array([[focal, 0, 2 - corner[0] * focal], [0, focal, 2 - corner[1] * focal], [0, 0, 1]])
        drawing = draw(vertices, worn.faces, K, (size[0], size[1]), worn.fields, near=0.1)
        covered = drawing.face_index >= 0
        places, normals = drawing.values[:, :3], drawing.values[:, 3:].copy()
        normals[normals[:, 2] > 0] *= -1
        labels, colours = paint(worn.dress, worn.materials[drawing.face_index[covered]], places)
        fine = np.zeros((size[1], size[0], 4), np.float32)
        fine[covered, :3] = np.clip(shade(rng, colours, folded(worn.dress, labels, places, normals)), 0, 255)
        fine[covered, 3] = 255
        parts = np.zeros((size[1], size[0]), np.uint8)
        parts[covered] = _parts(places)
        return Cutout(_reduced(fine, parts), _points(project(keypoints, K)) / _FINER)

    def _upright(self, rng: np.random.Generator) -> DrawnPose:
        pose = self._poses.draw(rng)
        for _ in range(20):
            if pose.tilt[1, 1] > _UPRIGHT:
                break
            pose = self._poses.draw(rng)
        return pose


def _parts(places: np.ndarray) -> np.ndarray:
    """(N,) uint8 parts of template places (N, 3)."""
    x, y = np.abs(places[:, 0]), places[:, 1]
    half, low = _HEAD_M
    wide, bottom, top = _TRUNK_M
    trunk = TRUNK * ((x < wide) & (y > bottom) & (y < top))
    return np.where((x < half) & (y > low), HEAD, trunk).astype(np.uint8)


def _reduced(fine: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """(h, w, 5) uint8 of a finer drawing (s h, s w, 4) with cover and its parts."""
    step = _FINER
    cells = fine.reshape(fine.shape[0] // step, step, fine.shape[1] // step, step, 4).mean((1, 3))
    cells[..., :3] *= 255 / np.maximum(cells[..., 3:], 1)
    return np.concatenate([np.clip(cells, 0, 255).round(), parts[::step, ::step, None]], 2).astype(np.uint8)


def _points(pixels: np.ndarray) -> np.ndarray:
    """(4 + 15, 2) middles of head, trunk and hips, the region's point and the joints, of keypoints (33, 2)."""
    region = true_region(pixels)
    radius = region.side / 2.5
    up = np.array([np.sin(region.angle), -np.cos(region.angle)]) * radius
    hips = pixels[[23, 24]].mean(0)
    middles = [pixels[[0, 7, 8]].mean(0), pixels[[11, 12, 23, 24]].mean(0), hips, hips + up]
    return np.concatenate([np.stack(middles), pixels[list(GROUP_JOINTS)]])


def write_cutouts(path: Path, cutouts: Iterable[Cutout]) -> None:
    """Write a part of a bank."""
    some = list(cutouts)
    arrays = {
        "pixels": np.concatenate([c.pixels.reshape(-1) for c in some]),
        "shapes": np.array([c.pixels.shape[:2] for c in some], np.int32),
        "points": np.array([c.points for c in some], np.float32),
    }

    def write(to: Path) -> None:
        with to.open("wb") as stream:
            np.savez_compressed(stream, **arrays)

    write_atomic(path, write)


def read_cutouts(path: Path) -> list[Cutout]:
    """The cut-outs of a part of a bank."""
    stored = read_npz(path, {"pixels", "shapes", "points"}, most=_MOST_BYTES)
    ends = np.cumsum(stored["shapes"].prod(1) * 5)
    parts = np.split(stored["pixels"], ends[:-1])
    return [
        Cutout(part.reshape(*shape, 5), points)
        for part, shape, points in zip(parts, stored["shapes"].tolist(), stored["points"], strict=True)
    ]
