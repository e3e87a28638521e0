"""One person to one file, in any format known: the registry behind ``dsr-fit --format``."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dsr.errors import UsageError
from dsr.export.rig import Frame, check_frame
from dsr.files import write_bytes

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.camera import PictureCamera
    from dsr.results.picture import PersonResult

Writer = Callable[["PersonResult", "BodyAsset", "PictureCamera", Path, Frame, "Path | None"], None]


def _write_obj(
    person: PersonResult, asset: BodyAsset, camera: PictureCamera, path: Path, frame: Frame, texture: Path | None
) -> None:
    from dsr.export.mesh import mtl_bytes, obj_bytes

    materials = companions(path, "obj")[0]
    write_bytes(path, obj_bytes(person, asset, frame, materials=materials.name))
    write_bytes(materials, mtl_bytes(asset, "" if texture is None else texture.name))


def _write_ply(
    person: PersonResult, asset: BodyAsset, camera: PictureCamera, path: Path, frame: Frame, texture: Path | None
) -> None:
    from dsr.export.mesh import ply_bytes

    write_bytes(path, ply_bytes(person, asset, frame))


def _write_glb(
    person: PersonResult, asset: BodyAsset, camera: PictureCamera, path: Path, frame: Frame, texture: Path | None
) -> None:
    from dsr.export.glb import glb_bytes

    write_bytes(path, glb_bytes(person, asset, camera, frame, texture))


def _write_blender(
    person: PersonResult,
    asset: BodyAsset,
    camera: PictureCamera,
    path: Path,
    frame: Frame,
    texture: Path | None,
    kind: str,
) -> None:
    from dsr.export.blender import write_with_blender

    write_with_blender(person, asset, camera, path, kind, frame, texture)


FORMATS: dict[str, Writer] = {
    "obj": _write_obj,
    "ply": _write_ply,
    "glb": _write_glb,
    "fbx": partial(_write_blender, kind="fbx"),
    "bvh": partial(_write_blender, kind="bvh"),
    "usd": partial(_write_blender, kind="usd"),
    "blend": partial(_write_blender, kind="blend"),
}
"""Format name (also the suffix of its files) to what writes it."""

BLENDER_FORMATS = ("fbx", "bvh", "usd", "blend")
"""Formats that need the ``blender`` extra."""


def companions(path: str | os.PathLike[str], format: str) -> list[Path]:
    """Files that :func:`write_person` writes beside a file: an OBJ file's materials."""
    target = Path(path)
    return [target.with_name(f"{target.stem}.mtl")] if format == "obj" else []


def write_person(
    person: PersonResult,
    asset: BodyAsset,
    camera: PictureCamera,
    path: str | os.PathLike[str],
    format: str,
    frame: Frame = "camera",
    texture: str | os.PathLike[str] | None = None,
) -> Path:
    """Write one fitted person to a file: y up, metres, complete or not at all.

    Args:
        person: the fit.
        asset: the body it was fitted with.
        camera: of the full, upright picture.
        path: the file; its folder must exist, an existing file is replaced.
        format: a name in :data:`FORMATS`.
        frame: ``camera``: where the picture's camera saw the person, the camera at the origin looking down -z;
            ``body``: global orientation removed, facing +z, standing at y = 0 with the pelvis at x = z = 0.
        texture: PNG file of the skin's look (:func:`dsr.export.texture.person_texture`), beside ``path``; inside the
            file in ``glb``, ``fbx`` and ``blend``, named by it in ``obj`` and ``usd``.

    Returns:
        The path written; :func:`companions` tells what lies beside it.

    Raises:
        UsageError: for an unknown format or frame.
        MissingExtraError: if the format needs Blender's Python module and it is not installed.
        ExportError: if the file cannot be written, or the person does not belong to the body.
    """
    if format not in FORMATS:
        raise UsageError(f"Unknown format {format!r}; use one of: {', '.join(FORMATS)}.")
    check_frame(frame)
    target = Path(path)
    FORMATS[format](person, asset, camera, target, frame, None if texture is None else Path(texture))
    return target
