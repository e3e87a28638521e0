"""Bodies drawn over pictures by the z-buffer: overlays to check a fit by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dsr.camera import PictureCamera
from dsr.camera.picture_camera import NEAR_M
from dsr.errors import ExportError
from dsr.export.rig import vertex_normals
from dsr.export.uncertainty_marks import draw_uncertainty
from dsr.rendering.zbuffer import ZBuffer, rasterise

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.results.picture import FitResult

COLOURS = np.array(
    [[90, 170, 255], [255, 160, 60], [100, 210, 120], [240, 110, 170], [235, 215, 80], [160, 130, 250], [90, 215, 215]],
    float,
)
"""RGB of the first person, the second and so on, then again from the start."""
OPACITY = 0.72
"""Of the bodies in overlays."""

_LIGHT = np.array([-0.35, -0.6, -0.8]) / np.linalg.norm([-0.35, -0.6, -0.8])  # from above, the left and the camera
_AMBIENT = 0.35


def render_overlay(result: FitResult, asset: BodyAsset, uncertainty: bool = False) -> np.ndarray:
    """Draw everybody over the photograph, the nearer in front.

    Args:
        result: a fit whose ``overlay_rgb`` holds the upright picture at working size.
        asset: the body it was fitted with; faces inside the body are not drawn.
        uncertainty: also draw how far each joint may be off.

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
    camera = PictureCamera(result.K, result.image_size).scaled((width, height))
    overlay = picture.copy()
    draw_bodies(overlay, [np.asarray(person.vertices_cam_m, np.float64) for person in result.people], asset, camera.K)
    if uncertainty:
        draw_uncertainty(overlay, [(p.joints_cam_m, p.joint_uncertainty_mm) for p in result.people], camera.K)
    return overlay


def draw_bodies(
    picture: np.ndarray,
    people: Sequence[np.ndarray],
    asset: BodyAsset,
    K: np.ndarray,
    colours: Sequence[int] | None = None,
    *,
    opacity: float = OPACITY,
) -> None:
    """Draw shaded bodies over a picture, in place, the nearer in front; what is behind the camera is not drawn.

    Args:
        picture: (h, w, 3) uint8.
        people: (V, 3) vertices of everybody, metres, camera frame.
        asset: the body; faces inside it are not drawn.
        K: (3, 3) intrinsics of this picture, pixels.
        colours: place in :data:`COLOURS` of everybody; one after the other where None.
        opacity: of the bodies, 0 to 1.
    """
    faces = asset.faces[~asset.interior] if len(asset.interior) == len(asset.faces) else asset.faces
    if not people or not len(faces):
        return
    everybody = np.concatenate(people)
    camera = PictureCamera(K, (picture.shape[1], picture.shape[0]))
    u0, v0, u1, v1 = _window(everybody, camera)
    if u0 >= u1 or v0 >= v1:
        return
    stacked = np.concatenate([faces + k * asset.num_vertices for k in range(len(people))])
    window_camera = camera.warped(np.array([[1, 0, -u0], [0, 1, -v0], [0, 0, 1]]), (u1 - u0, v1 - v0))
    zb = rasterise(everybody, stacked, window_camera.K, window_camera.size, cull_back=True)
    lambert = np.concatenate([vertex_normals(v, asset) @ _LIGHT for v in people])
    shade = np.maximum(zb.interpolate(lambert[:, None]), 0.0) * (1.0 - _AMBIENT) + _AMBIENT
    covered = zb.covered
    who = zb.face_index[covered] // len(faces)
    shade *= np.where(_outline(zb, len(faces))[covered], 0.45, 1.0)[:, None]
    window = picture[v0:v1, u0:u1]
    colour = COLOURS[(who if colours is None else np.asarray(colours, int)[who]) % len(COLOURS)]
    mixed = opacity * colour * shade + (1.0 - opacity) * window[covered]
    window[covered] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _window(points: np.ndarray, camera: PictureCamera) -> tuple[int, int, int, int]:
    """Columns and rows [u0, u1) x [v0, v1) of the picture that the points in front of the camera span."""
    ahead = points[(points[:, 2] > NEAR_M) & np.isfinite(points).all(axis=1)]
    if not len(ahead):
        return 0, 0, 0, 0
    pixels = camera.project(ahead)
    low = np.clip(np.floor(pixels.min(axis=0)), 0, camera.size).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)), 0, camera.size).astype(int)
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
