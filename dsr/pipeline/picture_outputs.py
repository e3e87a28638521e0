"""The files of one picture's result beside JSON and NPZ: meshes, textures, upright copy, overlay, side view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dsr.camera import PictureCamera
from dsr.files import with_ending
from dsr.pipeline.output_options import OutputOptions
from dsr.results.picture import FitResult

if TYPE_CHECKING:
    from dsr.body import BodyAsset


def write_picture_files(result: FitResult, asset: BodyAsset, base: Path, output_options: OutputOptions) -> list[Path]:
    """Write the files asked for, as far as they make sense.

    Args:
        result: an ``ok`` or ``no_person`` result; ``upright_file`` is filled in.
        asset: the body the people were fitted with.
        base: path of the files without their endings; the folder must exist.
        output_options: which files.

    Returns:
        The paths written.

    Raises:
        ExportError: if something cannot be written.
    """
    from dsr.export import (
        companions,
        on_rig,
        render_labels,
        render_overlay,
        render_side_view,
        render_skeletons,
        save_picture,
        write_person,
    )

    written: list[Path] = []
    if not result.people or result.K is None:
        return written
    camera, frame = PictureCamera(result.K, result.image_size), output_options.frame
    for i, person in enumerate(result.people):
        pictures = _write_texture(result, i, asset, base) if output_options.texture else []
        written += pictures
        texture = pictures[0] if pictures else None
        rigged, body = on_rig(person, asset, output_options.rig)
        for kind in output_options.formats:
            path = with_ending(base, f".{person.id}.{kind}")
            written += [write_person(rigged, body, camera, path, kind, frame, texture), *companions(path, kind)]
    if result.upright_differs and result.overlay_rgb is not None:
        path = save_picture(result.overlay_rgb, with_ending(base, ".upright.jpg"), quality=92)
        result.upright_file = path.name
        written.append(path)
    if output_options.overlay:
        drawn = render_overlay(result, asset, output_options.uncertainty)
        written.append(save_picture(drawn, with_ending(base, ".overlay.jpg")))
    if output_options.labels:
        written.append(save_picture(render_labels(result), with_ending(base, ".labels.jpg")))
    if output_options.side_view:
        written.append(save_picture(render_side_view(result, asset), with_ending(base, ".side.jpg")))
    if output_options.skeleton:
        written.append(save_picture(render_skeletons(result, asset), with_ending(base, ".skeleton.jpg")))
    return written


def _write_texture(result: FitResult, index: int, asset: BodyAsset, base: Path) -> list[Path]:
    """The look of one person and what of it was seen; nothing and a warning where the picture does not show it."""
    from dsr.export import save_picture
    from dsr.export.texture import person_texture

    person, texture = result.people[index], person_texture(result, index, asset)
    if texture is None:
        person.warnings.append("No texture: the picture shows too little of this person.")
        return []
    return [
        save_picture(texture.rgb, with_ending(base, f".{person.id}.texture.png")),
        save_picture(texture.seen, with_ending(base, f".{person.id}.texture_seen.png")),
    ]
