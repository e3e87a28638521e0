"""The fitted bodies of a picture from the side, on a metre grid: shows the depth errors that an overlay hides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsr.camera import PictureCamera
from dsr.export.overlay import draw_bodies
from dsr.rendering.zbuffer import rasterise

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.results.floor import Floor
    from dsr.results.picture import FitResult


def render_side_view(result: FitResult, asset: BodyAsset, size: tuple[int, int] = (960, 640)) -> np.ndarray:
    """Draw everybody from the side: turned by 90 degrees about the vertical axis through the people's centre.

    The photograph's camera is on the left, depth grows to the right. Where the result knows which way is up, so is it
    here, whatever the photograph's camera was held like. The ground is the result's floor, or lies under the lowest
    foot where nobody stands; its lines are one metre apart (five where people are far apart) and whole metres from the
    camera, the numbers say how many. Shadows fall straight down, so they tell where somebody stands whose feet are off
    the ground.

    Args:
        result: a fit.
        asset: the body it was fitted with.
        size: (width, height) of the picture to draw.

    Returns:
        (height, width, 3) uint8.
    """
    level, floor = level_view(result.floor)
    people = [np.asarray(person.vertices_cam_m, np.float64) @ level.T for person in result.people]
    everybody = np.concatenate(people) if people else np.array([[0.0, -1.7, 4.0], [0.0, 0.0, 5.0]])
    view = _SideView(everybody, size, floor)
    picture = view.ground()
    _draw_shadows(
        picture, [view.see(np.where([False, True, False], view.floor, v)) for v in people], asset, view.camera
    )
    draw_bodies(picture, [view.see(v) for v in people], asset, view.camera.K, opacity=1.0)
    return view.label(picture, result.floor)


def level_view(floor: Floor | None) -> tuple[np.ndarray, float | None]:
    """Rotation from the photograph's camera to one that is held level, and how far the floor is below it, metres."""
    if floor is None:
        return np.eye(3), None
    down = -np.asarray(floor.normal, np.float64)
    right = np.cross(down, [0.0, 0.0, 1.0])
    length = float(np.linalg.norm(right))
    if length < 0.05:  # a camera that looks straight down: no direction is the horizon's
        return np.eye(3), None
    right = right / length
    level = np.stack([right, down, np.cross(right, down)])
    return level, None if floor.offset_m is None else -floor.offset_m


def _draw_shadows(picture: np.ndarray, flattened: list[np.ndarray], asset: BodyAsset, camera: PictureCamera) -> None:
    """Darken the floor under everybody, in place."""
    for points in flattened:
        under = rasterise(points, asset.faces, camera.K, camera.size).covered
        picture[under] = (picture[under] * 0.78).astype(np.uint8)


class _SideView:
    """A camera to the right of everybody, a little above, looking across the photograph's line of sight."""

    def __init__(self, points: np.ndarray, size: tuple[int, int], floor: float | None = None) -> None:
        low, high = np.quantile(points, [0.001, 0.999], axis=0)
        self.centre = (low + high) / 2
        self.floor = float(points[:, 1].max()) if floor is None else floor
        span = np.maximum(high - low, [0.5, 1.8, 2.5])
        pitch = np.radians(12.0)
        # depth to the right, down stays down, away from us is towards the photograph's left; then look down a little
        across = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
        look = np.array([[1.0, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        self.R = look @ across
        width, height = size
        focal = 2.5 * max(width, height)
        K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
        self.camera = PictureCamera(K, size)
        self.distance = focal * max(span[2] * 1.25 / width, span[1] * 1.35 / height) + span[0] / 2
        self.step = 1.0 if max(span[0], span[2]) < 15.0 else 5.0

    def see(self, points: np.ndarray) -> np.ndarray:
        """Points of the photograph's camera in this one."""
        return (points - self.centre) @ self.R.T + [0.0, 0.0, self.distance]

    def ground(self) -> np.ndarray:
        """The plain floor with its grid under a light sky, (h, w, 3) uint8."""
        (width, height), K = self.camera.size, self.camera.K
        u = ((np.arange(width) + 0.5 - K[0, 2]) / K[0, 0])[None, :]
        v = ((np.arange(height) + 0.5 - K[1, 2]) / K[1, 1])[:, None]
        eye = self.centre - self.R.T @ np.array([0.0, 0.0, self.distance])
        grey = np.broadcast_to(np.linspace(252, 238, height)[:, None], (height, width)).copy()
        down = v * self.R[1, 1] + self.R[2, 1]  # how fast the rays of a row fall; all alike, the camera does not roll
        rows = down[:, 0] > 1e-3
        v, down = v[rows], down[rows]
        along = (self.floor - eye[1]) / down  # steps of the ray to the floor
        metre = along / K[0, 0]  # per pixel, across the line of sight
        z = eye[2] + along * (u * self.R[0, 2])
        x = eye[0] + along * (v * self.R[1, 0] + self.R[2, 0])
        to_z, to_x = (np.abs(w / self.step - np.round(w / self.step)) * self.step for w in (z, x))
        dark = np.maximum(np.clip(1.2 - to_z / metre, 0, 1), np.clip(1.2 - to_x / metre * np.abs(down), 0, 1))
        fade = np.clip(1.0 - along / (5.0 * self.distance), 0.0, 1.0)
        grey[rows] = 226.0 - 70.0 * dark * fade
        return np.repeat(grey[..., None].astype(np.uint8), 3, axis=2)

    def label(self, picture: np.ndarray, floor: Floor | None) -> np.ndarray:
        """Write the metres from the photograph's camera along the front of the floor, and how it was held."""
        from PIL import Image, ImageDraw, ImageFont

        image = Image.fromarray(picture)
        width, height = self.camera.size
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(size=max(11, height // 40))
        baseline = height - max(11, height // 40) * 1.6
        eye_x = self.centre[0] + self.distance
        for number in range(0, 1000, int(self.step)):
            # where the line of this depth meets the bottom of the picture
            xs = np.linspace(self.centre[0] - self.distance, eye_x - 0.1, 400)
            line = self.see(np.stack([xs, np.full(400, self.floor), np.full(400, float(number))], 1))
            line = line[line[:, 2] > 0.05]
            if not len(line):
                continue
            pixels = self.camera.project(line)
            nearest = int(np.argmin(np.abs(pixels[:, 1] - baseline)))
            u = float(pixels[nearest, 0])
            if 10 < u < width - 40 and abs(pixels[nearest, 1] - baseline) < 20:
                draw.text((u + 3, baseline), f"{number} m", fill=(90, 90, 90), font=font)
        title = "from the side, camera on the left"
        if floor is not None:
            pitch = float(np.degrees(np.arcsin(np.clip(-floor.normal[2], -1.0, 1.0))))
            title += f", looking {'up' if pitch < 0 else 'down'} by {abs(pitch):.0f} degrees"
        draw.text((10, 8), title, fill=(90, 90, 90), font=font)
        return np.asarray(image)
