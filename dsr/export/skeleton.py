"""Skeletons beside each other: the detected one over the picture, the fitted one in space, as the lifters' demos show.

Joints are Human3.6M's 17, as the lifters have them: right limbs red, left limbs blue, the trunk dark. On the left is
the photograph with the keypoints that were detected, on the right the same people in space, seen from the
photographer's left, a little above, on a floor whose lines are half a metre apart. Where the fit knows which way is
up, so is it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dsr.errors import ExportError, UsageError
from dsr.export.side_view import level_view
from dsr.tracks.keypoints import detector_to_h36m17
from dsr.tracks.skeleton import H36M17

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.results.floor import Floor
    from dsr.results.picture import FitResult

AZIMUTH_DEG: Final = 40.0
"""How far the eye is turned around the people from the photograph's camera, towards its left."""
ELEVATION_DEG: Final = 15.0
"""How far it is above them, as in the authors' plots."""
LEAST_REACH_M: Final = 1.1
"""Half the height of what is shown, at least."""
MAX_HEIGHT: Final = 720
"""Rows of the picture made; larger photographs are shown smaller."""
_SURE = 0.3
"""Keypoints less sure than this are not drawn."""
_FAR = 20.0  # reaches: nearly without perspective
_RIGHT, _LEFT, _TRUNK = (214, 60, 50), (45, 95, 215), (50, 50, 60)
_LINE_M = 0.5


@dataclass(frozen=True)
class Viewpoint:
    """Where the right half looks from.

    Attributes:
        level: (3, 3) photograph's camera to one that is held level.
        floor_m: how far the floor is below that one, metres.
        centre: (3,) what it looks at, in the level camera.
        reach_m: half the height that it shows.
    """

    level: np.ndarray
    floor_m: float
    centre: np.ndarray
    reach_m: float

    def see(self, points: np.ndarray, side: int) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3) of the level camera, in a square of so many pixels."""
        azimuth, elevation = np.radians(AZIMUTH_DEG), np.radians(ELEVATION_DEG)
        c, s = np.cos(azimuth), np.sin(azimuth)
        turn = np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
        c, s = np.cos(elevation), np.sin(elevation)
        seen = (points - self.centre) @ (np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]]) @ turn).T
        away = _FAR * self.reach_m
        scale = side / 2 * _FAR / np.maximum(seen[..., 2:] + away, 0.1 * away)
        return np.asarray(seen[..., :2] * scale + side / 2)


def viewpoint(joints_m: np.ndarray, floor: Floor | None = None, reach_m: float = 0.0) -> Viewpoint:
    """A view that shows people.

    Args:
        joints_m: (..., 3) metres in the photograph's camera: what is to be seen; rows that are not finite do not count.
        floor: of the result; without one the camera counts as level, and the floor is under the lowest joint.
        reach_m: half the height to show at least, metres.
    """
    level, below = level_view(floor)
    points = joints_m.reshape(-1, 3)
    points = points[np.isfinite(points).all(1)] @ level.T
    if not len(points):
        points = np.array([[0.0, -1.7, 4.0], [0.0, 0.0, 4.0]])
    low, high = points.min(0), points.max(0)
    centre = (low + high) / 2
    reach = max(LEAST_REACH_M, reach_m, 1.15 * float(np.linalg.norm(points - centre, axis=1).max()))
    return Viewpoint(level, float(high[1]) if below is None else below, centre, reach)


def draw_skeletons(
    picture: np.ndarray,
    keypoints_px: Sequence[np.ndarray | None],
    joints_m: Sequence[np.ndarray],
    view: Viewpoint,
) -> np.ndarray:
    """A picture with its 2D skeletons, and the same people's 3D ones to the right of it.

    Args:
        picture: (h, w, 3) uint8.
        keypoints_px: for everybody (17, 3) u, v in pixels of this picture and confidence; None for who is not seen.
        joints_m: for everybody (17, 3) metres in the photograph's camera.
        view: of the right half.

    Returns:
        (H, W, 3) uint8 with H at most :data:`MAX_HEIGHT`; the right half is a square.
    """
    from PIL import Image, ImageDraw

    height, width = picture.shape[:2]
    shrink = min(1.0, MAX_HEIGHT / height)
    side = max(1, round(height * shrink))
    photo = Image.fromarray(np.ascontiguousarray(picture)).resize((max(1, round(width * shrink)), side))
    canvas = Image.new("RGB", (photo.width + side, side), (252, 252, 252))
    canvas.paste(photo)
    draw = ImageDraw.Draw(canvas)
    thick = max(2, side // 120)
    for keypoints in keypoints_px:
        if keypoints is not None:
            sure = np.isfinite(keypoints).all(1) & (np.nan_to_num(keypoints[:, 2]) >= _SURE)
            _draw(draw, keypoints[:, :2] * shrink, sure, thick, range(len(H36M17.bones)))
    space = Image.new("RGB", (side, side), (252, 252, 252))
    draw = ImageDraw.Draw(space)
    _draw_floor(draw, view, side)
    for joints in sorted(joints_m, key=lambda points: -float(points[0] @ view.level[2])):
        points = joints @ view.level.T
        shadow = view.see(np.where([False, True, False], view.floor_m, points), side)
        for child, parent in H36M17.bones:
            draw.line([*map(tuple, shadow[[child, parent]])], fill=(205, 205, 205), width=thick)
        # far bones first, so that the nearer hide them
        depth = [float((points[list(bone)] @ _towards()).sum()) for bone in H36M17.bones]
        _draw(draw, view.see(points, side), np.isfinite(joints).all(1), thick, np.argsort(depth)[::-1])
    canvas.paste(space, (photo.width, 0))
    return np.asarray(canvas)


def render_skeletons(result: FitResult, asset: BodyAsset) -> np.ndarray:
    """The skeletons of a picture's fit.

    Args:
        result: a fit whose ``overlay_rgb`` holds the upright picture at working size.
        asset: the body it was fitted with.

    Returns:
        (H, W, 3) uint8, as :func:`draw_skeletons` makes it.

    Raises:
        ExportError: if the result carries no picture.
        BodyError: if the body has no joints of Human3.6M.
    """
    if result.overlay_rgb is None:
        raise ExportError(f"{result.input_path}: no picture to draw on; skeletons are drawn right after the fit.")
    scale = result.overlay_rgb.shape[1] / result.image_size[0]
    regressor = asset.keypoint_regressor("h36m17")
    joints = [np.asarray(regressor @ np.asarray(p.vertices_cam_m, np.float64)) for p in result.people]
    keypoints = [skeleton_keypoints(p.keypoints_px, p.keypoint_set, scale) for p in result.people]
    view = viewpoint(np.stack(joints) if joints else np.zeros((0, 17, 3)), result.floor)
    return draw_skeletons(result.overlay_rgb, keypoints, joints, view)


def skeleton_keypoints(keypoints_px: np.ndarray, keypoint_set: str, scale: float = 1.0) -> np.ndarray | None:
    """Human3.6M's 17 joints (17, 3) of somebody's keypoints (K, 3); None where the set does not have them.

    Args:
        keypoints_px: u, v in pixels and confidence.
        keypoint_set: theirs.
        scale: on the pixels.
    """
    keypoints = np.asarray(keypoints_px, np.float64) * (scale, scale, 1.0)
    if keypoint_set == "h36m17":
        return keypoints
    try:
        return detector_to_h36m17(keypoints, keypoint_set)
    except UsageError:
        return None


def _towards() -> np.ndarray:
    """(3,) the direction in which things are farther from the eye, in the level camera."""
    azimuth = np.radians(AZIMUTH_DEG)
    return np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])


def _draw(draw: Any, pixels: np.ndarray, shown: np.ndarray, thick: int, order: Any) -> None:
    """Bones in an order, each with its ends."""
    for index in order:
        child, parent = H36M17.bones[index]
        if not (shown[child] and shown[parent]):
            continue
        colour = _RIGHT if child in H36M17.right else _LEFT if child in H36M17.left else _TRUNK
        ends = [tuple(map(float, pixels[joint])) for joint in (child, parent)]
        draw.line(ends, fill=colour, width=thick)
        for u, v in ends:
            draw.ellipse([u - thick, v - thick, u + thick, v + thick], fill=colour)


def _draw_floor(draw: Any, view: Viewpoint, side: int) -> None:
    """Lines half a metre apart under the people, those of whole metres darker."""
    reach = view.reach_m
    steps = np.arange(np.ceil(-reach / _LINE_M), reach / _LINE_M + 1e-9) * _LINE_M
    middle = np.round(view.centre / _LINE_M) * _LINE_M
    for axis, other in ((0, 2), (2, 0)):
        for step in steps:
            ends = np.zeros((2, 3))
            ends[:, 1] = view.floor_m
            ends[:, axis] = middle[axis] + step
            ends[:, other] = middle[other] + np.array([steps[0], steps[-1]])
            whole = abs((middle[axis] + step) % 1.0) < 1e-6
            draw.line([*map(tuple, view.see(ends, side))], fill=(150, 150, 155) if whole else (215, 215, 218))
