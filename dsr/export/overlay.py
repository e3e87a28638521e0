"""Pictures to check a fit by: the bodies over the photograph, and the same bodies from the side on a metre grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsr.errors import ExportError
from dsr.export.rig import vertex_normals
from dsr.rendering.zbuffer import ZBuffer, rasterise

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.result import FitResult

COLOURS = np.array(
    [[90, 170, 255], [255, 160, 60], [100, 210, 120], [240, 110, 170], [235, 215, 80], [160, 130, 250], [90, 215, 215]],
    float,
)
"""RGB of the first person, the second and so on, then again from the start."""

_LIGHT = np.array([-0.35, -0.6, -0.8]) / np.linalg.norm([-0.35, -0.6, -0.8])  # from above, the left and the camera
_AMBIENT = 0.35
_OPACITY = 0.72


def render_overlay(result: FitResult, asset: BodyAsset) -> np.ndarray:
    """Draw everybody over the photograph, the nearer in front.

    Args:
        result: a fit whose ``overlay_rgb`` holds the upright picture at working size.
        asset: the body it was fitted with; faces inside the body are not drawn.

    Returns:
        (h, w, 3) uint8, the size of ``overlay_rgb``.

    Raises:
        ExportError: if the result carries no picture.
    """
    if result.overlay_rgb is None:
        raise ExportError(f"{result.input_path}: no picture to draw on; overlays are drawn right after the fit.")
    picture = result.overlay_rgb
    if not result.people or result.K is None:
        return picture.copy()
    height, width = picture.shape[:2]
    K = np.diag([width / result.image_size[0], height / result.image_size[1], 1.0]) @ result.K
    drawing, opacity = _draw_people(_vertices(result), asset, K, (width, height))
    opacity *= _OPACITY
    return _blend(picture, drawing, opacity)


def render_side_view(result: FitResult, asset: BodyAsset, size: tuple[int, int] = (960, 640)) -> np.ndarray:
    """Draw everybody from the side: turned by 90 degrees about the vertical axis through the people's centre.

    The photograph's camera is on the left, depth grows to the right; the ground lies under the lowest foot, its lines are
    one metre apart (five where people are far apart) and whole metres from the camera, the numbers say how many.

    Args:
        result: a fit.
        asset: the body it was fitted with.
        size: (width, height) of the picture to draw.

    Returns:
        (height, width, 3) uint8.
    """
    width, height = size
    people = _vertices(result)
    everybody = np.concatenate(people) if people else np.array([[0.0, -1.7, 4.0], [0.0, 0.0, 5.0]])
    view = _SideView(everybody, size)
    ground = view.ground()
    drawing, opacity = _draw_people([view.see(v) for v in people], asset, view.K, size)
    return view.label(_blend(ground, drawing, opacity))


def _vertices(result: FitResult) -> list[np.ndarray]:
    return [np.asarray(person.vertices_cam_m, np.float64) for person in result.people]


def _draw_people(
    people: list[np.ndarray], asset: BodyAsset, K: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (h, w, 3) float32 and coverage (h, w, 1) float32 of shaded bodies in front of this camera."""
    drawing = np.zeros((size[1], size[0], 3), np.float32)
    opacity = np.zeros((size[1], size[0], 1), np.float32)
    if not people:
        return drawing, opacity
    faces = asset.faces[~asset.interior] if len(asset.interior) == len(asset.faces) else asset.faces
    stacked = np.concatenate([faces + k * asset.num_vertices for k in range(len(people))])
    zb = rasterise(np.concatenate(people), stacked, K, size, cull_back=True)
    lambert = np.concatenate([vertex_normals(v, asset) @ _LIGHT for v in people])
    shade = np.maximum(zb.interpolate(lambert[:, None].astype(np.float32)), 0.0) * (1.0 - _AMBIENT) + _AMBIENT
    covered = zb.covered
    who = zb.face_index[covered] // len(faces)
    shade *= np.where(_outline(zb, len(faces))[covered], 0.45, 1.0)[:, None]
    drawing[covered] = COLOURS[who % len(COLOURS)] * shade
    opacity[covered] = 1.0
    return drawing, opacity


def _outline(zb: ZBuffer, faces_each: int) -> np.ndarray:
    """(h, w) True along the border of a person against the ground or somebody else."""
    who = np.where(zb.covered, zb.face_index // faces_each, -1)
    border = np.zeros(who.shape, bool)
    across, down = who[:, 1:] != who[:, :-1], who[1:] != who[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    return border & zb.covered


def _blend(picture: np.ndarray, drawing: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    mixed = picture + (drawing - picture) * opacity
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


class _SideView:
    """A camera to the right of everybody, a little above, looking across the photograph's line of sight."""

    def __init__(self, points: np.ndarray, size: tuple[int, int]) -> None:
        self.size = size
        low, high = np.quantile(points, [0.001, 0.999], axis=0)
        self.centre = (low + high) / 2
        self.floor = float(points[:, 1].max())
        span = np.maximum(high - low, [0.5, 1.8, 2.5])
        pitch = np.radians(12.0)
        # depth to the right, down stays down, away from us is towards the photograph's left; then look down a little
        across = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
        look = np.array([[1.0, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        self.R = look @ across
        width, height = size
        focal = 1.6 * max(width, height)
        self.K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
        self.distance = focal * max(span[2] * 1.25 / width, span[1] * 1.35 / height) + span[0] / 2
        self.step = 1.0 if max(span[0], span[2]) < 15.0 else 5.0

    def see(self, points: np.ndarray) -> np.ndarray:
        """Points of the photograph's camera in this one."""
        return (points - self.centre) @ self.R.T + [0.0, 0.0, self.distance]

    def ground(self) -> np.ndarray:
        """The plain floor with its grid, (h, w, 3) float32."""
        width, height = self.size
        u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        rays = np.stack([(u - self.K[0, 2]) / self.K[0, 0], (v - self.K[1, 2]) / self.K[1, 1], np.ones_like(u)], -1) @ self.R
        eye = self.centre - self.R.T @ np.array([0.0, 0.0, self.distance])
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (self.floor - eye[1]) / rays[..., 1]
        seen = (t > 0) & np.isfinite(t)
        spot = eye + rays * np.where(seen, t, 0.0)[..., None]
        pixel = np.where(seen, t, 1.0) / self.K[0, 0]  # metres per pixel across the line of sight
        dark = np.zeros(u.shape)
        for axis in (0, 2):
            near = np.abs(spot[..., axis] / self.step - np.round(spot[..., axis] / self.step)) * self.step
            tilt = np.abs(rays[..., 1]) if axis == 0 else 1.0  # lines that run across are seen foreshortened
            dark = np.maximum(dark, np.clip(1.2 - near / pixel * tilt, 0.0, 1.0))
        fade = np.clip(1.0 - (np.abs(spot - self.centre).max(axis=-1) / (6.0 * self.distance)), 0.0, 1.0)
        sky = np.linspace(252, 238, height)[:, None] * np.ones(width)
        floor = 226.0 - 70.0 * dark * fade
        grey = np.where(seen, floor, sky)
        return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)

    def label(self, picture: np.ndarray) -> np.ndarray:
        """Write the metres from the photograph's camera along the front of the floor."""
        from PIL import Image, ImageDraw, ImageFont

        image = Image.fromarray(picture)
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(size=max(11, self.size[1] // 40))
        baseline = self.size[1] - max(11, self.size[1] // 40) * 1.6
        eye_x = self.centre[0] + self.distance
        for number in range(0, 1000, int(self.step)):
            # where the line of this depth meets the bottom of the picture
            xs = np.linspace(self.centre[0] - self.distance, eye_x - 0.1, 400)
            line = self.see(np.stack([xs, np.full(400, self.floor), np.full(400, float(number))], 1))
            line = line[line[:, 2] > 0.05]
            if not len(line):
                continue
            pixels = (line @ self.K.T)[:, :2] / line[:, 2:]
            nearest = int(np.argmin(np.abs(pixels[:, 1] - baseline)))
            u = float(pixels[nearest, 0])
            if 10 < u < self.size[0] - 40 and abs(pixels[nearest, 1] - baseline) < 20:
                draw.text((u + 3, baseline), f"{number} m", fill=(90, 90, 90), font=font)
        draw.text((10, 8), "from the side, camera on the left", fill=(90, 90, 90), font=font)
        return np.asarray(image)
