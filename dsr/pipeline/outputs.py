"""Which files a result becomes, written in an order that makes the JSON file the sign that all of them are there."""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.errors import ExportError, MissingExtraError, ResultError, UsageError
from dsr.extras import install_hint
from dsr.options import FitOptions, options_record
from dsr.results.files import read_document
from dsr.results.picture import FitResult
from dsr.results.saved import save_result

if TYPE_CHECKING:
    from dsr.body import BodyAsset
    from dsr.export.rig import Frame


@dataclass(frozen=True)
class OutputOptions:
    """What is written for every picture beside ``<name>.json`` and ``<name>.npz``.

    Attributes:
        formats: mesh formats, one file per person and format: ``<name>.p0.glb``.
        overlay: also ``<name>.overlay.jpg``.
        side_view: also ``<name>.side.jpg``.
        frame: frame of the mesh files, ``camera`` or ``body``.
    """

    formats: tuple[str, ...] = ("glb",)
    overlay: bool = False
    side_view: bool = False
    frame: Frame = "camera"

    def record(self) -> dict[str, Any]:
        """Plain JSON values, compared when a run is resumed."""
        return {
            "formats": sorted(self.formats),
            "overlay": self.overlay,
            "side_view": self.side_view,
            "frame": self.frame,
        }


def parse_formats(text: str) -> tuple[str, ...]:
    """Mesh formats from a comma list; ``npz`` and ``json`` are always written and may be named.

    Raises:
        UsageError: for a format that is not known.
        MissingExtraError: for a format whose extra is not installed.
    """
    from importlib.util import find_spec

    from dsr.export import BLENDER_FORMATS, FORMATS

    names = [name.strip().lower().lstrip(".") for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in (*FORMATS, "npz", "json")]
    if unknown or not names:
        known = ", ".join([*FORMATS, "npz"])
        raise UsageError(
            f"--format {text!r}: unknown {', '.join(unknown) or 'empty list'}; use a comma list of {known}."
        )
    need_blender = [name for name in names if name in BLENDER_FORMATS]
    if need_blender and find_spec("bpy") is None:
        raise MissingExtraError(
            f"--format {','.join(need_blender)} needs Blender's Python module; install it (Python 3.11) with: "
            + install_hint("blender")
        )
    return tuple(dict.fromkeys(name for name in names if name in FORMATS))


def write_outputs(
    result: FitResult, asset: BodyAsset, out: Path, name: str, fit: FitOptions, wanted: OutputOptions, body_file: str
) -> list[Path]:
    """Write everything wanted for one picture.

    Args:
        result: an ``ok`` or ``no_person`` result; ``upright_file`` and ``body["file"]`` are filled in.
        asset: the body the people were fitted with.
        out: the output folder.
        name: relative output name, forward slashes; subfolders are made.
        fit: the options of the fit, kept in the JSON file for resuming.
        wanted: which files.
        body_file: file name of the body asset's copy in ``out``.

    Returns:
        The paths written, the JSON file last.

    Raises:
        ExportError: if something cannot be written; what the picture had before is then no longer called finished.
    """
    from dsr.export import write_person

    base = out / name
    json_path = with_ending(base, ".json")
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        json_path.unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(f"{json_path} cannot be written: {error.strerror or error}.") from error
    written: list[Path] = []
    if result.people and result.K is not None:
        for person in result.people:
            for kind in wanted.formats:
                path = with_ending(base, f".{person.id}.{kind}")
                written.append(write_person(person, asset, result.K, result.image_size, path, kind, wanted.frame))
    written += _pictures(result, asset, base, wanted)
    result.body["file"] = os.path.relpath(out / body_file, base.parent).replace(os.sep, "/")
    outputs = [path.name for path in written]
    picture = Path(result.input_path)
    run = {"options": options_record(fit), **wanted.record(), "outputs": outputs, "sidecar": _sidecar(picture)}
    run |= _stamp(picture)
    return written + save_result(result, json_path, run)


def _pictures(result: FitResult, asset: BodyAsset, base: Path, wanted: OutputOptions) -> list[Path]:
    """Upright copy, overlay and side view, as far as they are wanted and make sense."""
    from dsr.export import render_overlay, render_side_view, save_picture

    written = []
    if result.upright_differs and result.overlay_rgb is not None and result.people:
        path = save_picture(result.overlay_rgb, with_ending(base, ".upright.jpg"), quality=92)
        result.upright_file = path.name
        written.append(path)
    if wanted.overlay and result.people:
        written.append(save_picture(render_overlay(result, asset), with_ending(base, ".overlay.jpg")))
    if wanted.side_view and result.people:
        written.append(save_picture(render_side_view(result, asset), with_ending(base, ".side.jpg")))
    return written


def is_finished(
    document: dict[str, Any], json_path: Path, picture: Path, fit: FitOptions, wanted: OutputOptions
) -> bool:
    """Whether an earlier run already made everything this one would make of a picture.

    Args:
        document: the JSON file of the earlier result.
        json_path: where it lies.
        picture: the picture; the same by size and time, or else by its hash.
        fit: options of this run.
        wanted: files of this run.
    """
    run = document.get("run")
    if not isinstance(run, dict) or run.get("options") != options_record(fit):
        return False
    if any(run.get(key) != value for key, value in wanted.record().items()) or run.get("sidecar") != _sidecar(picture):
        return False
    if not _same_weights(document, fit):
        return False
    files = [*run.get("outputs", ()), document.get("arrays", "")]
    if not all((json_path.parent / file).is_file() for file in files):
        return False
    stamp = _stamp(picture)
    if stamp and all(run.get(key) == value for key, value in stamp.items()):
        return True
    from dsr.files import file_sha256

    try:
        return file_sha256(picture) == document["input"]["sha256"]
    except (OSError, KeyError):
        return False


def _same_weights(document: dict[str, Any], fit: FitOptions) -> bool:
    """Whether the network's file is still the one the result was made with."""
    _, colon, path = fit.regressor.partition(":")
    if not colon:
        return True
    file = Path(path).expanduser()
    try:
        stat = file.stat()
    except OSError:
        return False
    return bool(document.get("regressor", {}).get("sha256") == _sha256(file, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=4)
def _sha256(path: Path, size: int, changed: int) -> str:
    from dsr.files import file_sha256

    return file_sha256(path)


def read_earlier(json_path: Path) -> dict[str, Any] | None:
    """The JSON file of an earlier result, or None where there is no usable one."""
    try:
        return read_document(json_path) if json_path.is_file() else None
    except ResultError:
        return None


def remove_stale(
    document: dict[str, Any] | None, json_path: Path, picture: Path, keep: set[str], all_of_it: bool
) -> int:
    """Delete what an earlier fit of the same picture wrote and this one did not.

    Args:
        document: the JSON file of the earlier result, read before this one was written; None where there was none.
        json_path: where it lay; only files beside it that carry its name are ever touched.
        picture: the picture; results of another one stay.
        keep: file names written this time.
        all_of_it: also the JSON file and the arrays (the picture cannot be used any more).

    Returns:
        How many files were deleted; what cannot be deleted stays.
    """
    if document is None or document.get("input", {}).get("absolute_path") != os.path.abspath(picture):  # noqa: PTH100
        return 0
    run = document.get("run")
    listed = run.get("outputs", []) if isinstance(run, dict) else []
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    if all_of_it:
        names += [json_path.name, f"{json_path.stem}.npz"]
    removed = 0
    for name in dict.fromkeys(names):
        path = json_path.with_name(name) if name and Path(name).name == name else None
        if path is None or name in keep or not name.startswith(f"{json_path.stem}."):
            continue
        try:
            path.unlink()
            removed += 1
        except OSError:
            continue
    return removed


def copy_body(asset: BodyAsset, out: Path) -> str:
    """Put one copy of the body asset into the output folder, so that the results can be read without this package.

    Returns:
        Its file name; another body of the same name that is there already stays, and this one gets part of its hash.

    Raises:
        ExportError: if it cannot be written.
    """
    from dsr.body.asset_file import is_asset_file, save_asset
    from dsr.files import write_atomic

    name = body_file_name(asset)
    if (out / name).exists() and not _holds_body(out / name, asset):
        name = f"{name[:-4]}-{asset.sha256[:8]}.npz"
    if _holds_body(out / name, asset):
        return name

    def write(temporary: Path) -> None:
        if asset.path is not None and is_asset_file(asset.path):
            shutil.copyfile(asset.path, temporary)
        else:
            save_asset(asset, temporary)

    write_atomic(out / name, write)
    return name


def body_file_name(asset: BodyAsset) -> str:
    """File name of the body asset's copy in an output folder."""
    from dsr.pipeline.inputs import safe_name

    return safe_name(asset.path.stem if asset.path is not None else asset.name) + ".npz"


def _holds_body(path: Path, asset: BodyAsset) -> bool:
    """Whether a file is a whole copy of this body, byte for byte or converted."""
    from dsr.files import file_sha256

    try:
        if file_sha256(path) == asset.sha256:
            return True
        with np.load(path, allow_pickle=False) as data:
            return "source_sha256" in data.files and str(data["source_sha256"]) == asset.sha256
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def with_ending(base: Path, ending: str) -> Path:
    """``base`` with an ending appended; unlike ``with_suffix`` it keeps dots in the name."""
    return base.with_name(base.name + ending)


def _sidecar(picture: Path) -> str:
    """Hash of the camera sidecar beside a picture, "" where there is none."""
    from dsr.files import file_sha256
    from dsr.image.sidecar import find_sidecar

    try:
        found = find_sidecar(picture)
        return "" if found is None else file_sha256(found)
    except OSError:
        return ""


def _stamp(path: Path) -> dict[str, int]:
    try:
        status = path.stat()
    except OSError:
        return {}
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
