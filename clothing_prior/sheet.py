"""A prior for people to look at: the body from the front and the back, once per label, and how loose clothes are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr.body import BodyAsset
from dsr.clothing.labels import LABELS
from dsr.clothing.prior import ClothingPrior
from dsr.errors import DatasetError
from dsr.rendering.zbuffer import ZBuffer, rasterise

_TILE = (206, 206)  # width and height of one view, pixels
_COLUMNS = 3
_LOOSEST_M = 0.06
_LOW, _HIGH = np.array([236.0, 232.0, 226.0]), np.array([196.0, 30.0, 58.0])


def write_sheet(path: Path, prior: ClothingPrior, asset: BodyAsset) -> None:
    """Write a picture with a tile per label that occurs, and one of the mean looseness (white: none, red: 6 cm).

    Args:
        path: ``.jpg`` or ``.png``.
        prior: of ``asset``.
        asset: the body.

    Raises:
        DatasetError: if the picture cannot be written.
    """
    from PIL import Image, ImageDraw

    views = [_view(asset, facing) for facing in (1.0, -1.0)]
    tiles = [
        (label, prior.vertex_labels[:, k]) for k, label in enumerate(LABELS) if prior.vertex_labels[:, k].max() > 0.02
    ]
    tiles.append(("looseness, to 6 cm", prior.vertex_looseness_m[:, 0] / _LOOSEST_M))
    rows = -(-len(tiles) // _COLUMNS)
    width, height = 2 * _TILE[0], _TILE[1] + 14
    sheet = Image.new("RGB", (_COLUMNS * width, rows * height), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for i, (title, values) in enumerate(tiles):
        x, y = (i % _COLUMNS) * width, (i // _COLUMNS) * height
        picture = np.concatenate([_paint(view, shade, values) for view, shade in views], 1)
        sheet.paste(Image.fromarray(picture), (x, y + 14))
        draw.text((x + 6, y + 1), title if title != "jumpsuits" else "bare neck and trunk (10)", fill=(0, 0, 0))
    try:
        sheet.save(path, quality=88)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be written ({error}); end its name in .jpg or .png.") from error


def _view(asset: BodyAsset, facing: float) -> tuple[ZBuffer, np.ndarray]:
    """The body at rest from the front (1) or the back (-1), arms cut off by nothing, and the light on its pixels."""
    vertices = asset.v_template * (facing, 1.0, facing)
    vertices = vertices * (1.0, -1.0, -1.0)
    middle = (vertices.min(0) + vertices.max(0)) / 2
    width, height = _TILE
    focal = 0.96 * height / float(np.ptp(vertices[:, 1])) * 8.0
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    placed = vertices - middle + (0.0, 0.0, 8.0)
    view = rasterise(placed, asset.faces, K, _TILE, cull_back=True)
    corners = placed[asset.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return view, 0.45 + 0.55 * np.abs(normals[view.face_index[view.covered], 2])


def _paint(view: ZBuffer, shade: np.ndarray, values: np.ndarray) -> np.ndarray:
    share = np.clip(view.interpolate(values[:, None]), 0, 1)
    picture = np.full((*view.covered.shape, 3), 255, np.uint8)
    picture[view.covered] = ((_LOW + share * (_HIGH - _LOW)) * shade[:, None]).astype(np.uint8)
    return picture
