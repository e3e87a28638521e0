"""Pictures to check a fit by: the bodies over the photograph, and the same bodies from the side on a metre grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsr.errors import ExportError
from dsr.export.rig import vertex_normals
from dsr.rendering.zbuffer import ZBuffer, rasterise

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.results.picture import FitResult

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
    out = picture.copy()
    _draw_people(out, _vertices(result), asset, K, _OPACITY)
    return out


def render_side_view(result: FitResult, asset: BodyAsset, size: tuple[int, int] = (960, 640)) -> np.ndarray:
    """Draw everybody from the side: turned by 90 degrees about the vertical axis through the people's centre.

    The photograph's camera is on the left, depth grows to the right. The ground lies under the lowest foot; its lines
    are one metre apart (five where people are far apart) and whole metres from the camera, the numbers say how many.
    Shadows fall straight down, so they tell where somebody stands whose feet are off the ground.

    Args:
        result: a fit.
        asset: the body it was fitted with.
        size: (width, height) of the picture to draw.

    Returns:
        (height, width, 3) uint8.
    """
    people = _vertices(result)
    everybody = np.concatenate(people) if people else np.array([[0.0, -1.7, 4.0], [0.0, 0.0, 5.0]])
    view = _SideView(everybody, size)
    picture = view.ground()
    _draw_shadows(picture, [view.see(np.where([False, True, False], view.floor, v)) for v in people], asset, view.K)
    _draw_people(picture, [view.see(v) for v in people], asset, view.K, 1.0)
    return view.label(picture)


def _vertices(result: FitResult) -> list[np.ndarray]:
    return [np.asarray(person.vertices_cam_m, np.float64) for person in result.people]


def _draw_shadows(picture: np.ndarray, flattened: list[np.ndarray], asset: BodyAsset, K: np.ndarray) -> None:
    """Darken the floor under everybody, in place."""
    size = (picture.shape[1], picture.shape[0])
    for points in flattened:
        under = rasterise(points, asset.faces, K, size).covered
        picture[under] = (picture[under] * 0.78).astype(np.uint8)


def draw_bodies(
    picture: np.ndarray, people: list[np.ndarray], asset: BodyAsset, K: np.ndarray, colours: list[int]
) -> None:
    """Draw bodies over a picture, in place.

    Args:
        picture: (h, w, 3) uint8.
        people: (V, 3) vertices of everybody, metres, camera frame.
        asset: the body.
        K: (3, 3) intrinsics of this picture, pixels.
        colours: place in :data:`COLOURS` of everybody.
    """
    _draw_people(picture, people, asset, K, _OPACITY, np.asarray(colours, int))


def _draw_people(
    picture: np.ndarray,
    people: list[np.ndarray],
    asset: BodyAsset,
    K: np.ndarray,
    opacity: float,
    colours: np.ndarray | None = None,
) -> None:
    """Draw shaded bodies in front of this camera into a picture (h, w, 3) uint8, in place."""
    faces = asset.faces[~asset.interior] if len(asset.interior) == len(asset.faces) else asset.faces
    if not people or not len(faces):
        return
    everybody = np.concatenate(people)
    u0, v0, u1, v1 = _window(everybody, K, (picture.shape[1], picture.shape[0]))
    if u0 >= u1 or v0 >= v1:
        return
    stacked = np.concatenate([faces + k * asset.num_vertices for k in range(len(people))])
    zb = rasterise(everybody, stacked, K - [[0, 0, u0], [0, 0, v0], [0, 0, 0]], (u1 - u0, v1 - v0), cull_back=True)
    lambert = np.concatenate([vertex_normals(v, asset) @ _LIGHT for v in people])
    shade = np.maximum(zb.interpolate(lambert[:, None]), 0.0) * (1.0 - _AMBIENT) + _AMBIENT
    covered = zb.covered
    who = zb.face_index[covered] // len(faces)
    shade *= np.where(_outline(zb, len(faces))[covered], 0.45, 1.0)[:, None]
    window = picture[v0:v1, u0:u1]
    own = who if colours is None else colours[who]
    mixed = opacity * COLOURS[own % len(COLOURS)] * shade + (1.0 - opacity) * window[covered]
    window[covered] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _window(points: np.ndarray, K: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Columns and rows [u0, u1) x [v0, v1) of the picture that the points in front of the camera span."""
    seen = points[(points[:, 2] > 0.05) & np.isfinite(points).all(axis=1)]
    if not len(seen):
        return 0, 0, 0, 0
    pixels = (seen @ K.T)[:, :2] / seen[:, 2:]
    low = np.clip(np.floor(pixels.min(axis=0)), 0, size).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)), 0, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


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
        focal = 2.5 * max(width, height)
        self.K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
        self.distance = focal * max(span[2] * 1.25 / width, span[1] * 1.35 / height) + span[0] / 2
        self.step = 1.0 if max(span[0], span[2]) < 15.0 else 5.0

    def see(self, points: np.ndarray) -> np.ndarray:
        """Points of the photograph's camera in this one."""
        return (points - self.centre) @ self.R.T + [0.0, 0.0, self.distance]

    def ground(self) -> np.ndarray:
        """The plain floor with its grid under a light sky, (h, w, 3) uint8."""
        width, height = self.size
        u = ((np.arange(width) + 0.5 - self.K[0, 2]) / self.K[0, 0])[None, :]
        v = ((np.arange(height) + 0.5 - self.K[1, 2]) / self.K[1, 1])[:, None]
        eye = self.centre - self.R.T @ np.array([0.0, 0.0, self.distance])
        grey = np.broadcast_to(np.linspace(252, 238, height)[:, None], (height, width)).copy()
        down = v * self.R[1, 1] + self.R[2, 1]  # how fast the rays of a row fall; all alike, the camera does not roll
        rows = down[:, 0] > 1e-3
        v, down = v[rows], down[rows]
        along = (self.floor - eye[1]) / down  # steps of the ray to the floor
        metre = along / self.K[0, 0]  # per pixel, across the line of sight
        z = eye[2] + along * (u * self.R[0, 2])
        x = eye[0] + along * (v * self.R[1, 0] + self.R[2, 0])
        to_z, to_x = (np.abs(w / self.step - np.round(w / self.step)) * self.step for w in (z, x))
        dark = np.maximum(np.clip(1.2 - to_z / metre, 0, 1), np.clip(1.2 - to_x / metre * np.abs(down), 0, 1))
        fade = np.clip(1.0 - along / (5.0 * self.distance), 0.0, 1.0)
        grey[rows] = 226.0 - 70.0 * dark * fade
        return np.repeat(grey[..., None].astype(np.uint8), 3, axis=2)

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
