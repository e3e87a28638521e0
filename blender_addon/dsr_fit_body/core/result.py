# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what ``dsr-fit`` writes: ``NAME.json`` and ``NAME.npz`` of a picture."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .messages import FitBodyError

PICTURE = "dsr.fit_result"
KNOWN = {PICTURE: 1}
"""Schemas read here and their newest version."""


@dataclass(frozen=True, eq=False)
class Person:
    """One person in T frames (T = 1 in a picture); camera frame of the files, metres, radians.

    Attributes:
        id: ``p0`` and so on.
        betas: (B,).
        frames: (T,) frame numbers from 0, rising.
        rotations: (T, J, 3, 3) local rotations, the root's from body to camera frame.
        transl: (T, 3).
        score: 0 to 1.
        box_px: (4,) or None.
        height_m: standing height, or None.
        uncertainty_mm: (J,) or None.
        vertices_cam_m: (V, 3) of a picture, or None.
    """

    id: str
    betas: np.ndarray
    frames: np.ndarray = field(repr=False)
    rotations: np.ndarray = field(repr=False)
    transl: np.ndarray = field(repr=False)
    score: float = 1.0
    box_px: np.ndarray | None = None
    height_m: float | None = None
    uncertainty_mm: np.ndarray | None = None
    vertices_cam_m: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Result:
    """A picture or a clip with the people in it.

    Attributes:
        path: the JSON file.
        source: the photo, clip or folder of frames; may not exist any more.
        background: what to show behind the bodies, or None where it cannot be found.
        background_kind: ``FILE``, ``MOVIE`` or ``SEQUENCE``.
        size: (width, height) of the full, upright picture, pixels.
        K: (3, 3), or (T, 3, 3) where it changes.
        fps: frames per second, 0 for a picture.
        num_frames: 1 for a picture.
        body_file: path of the body model's copy.
        body: ``name``, ``licence``, ``sha256``.
        people: left to right.
        warnings: sentences.
        status: ``ok`` or ``no_person``.
    """

    path: Path
    source: Path
    background: Path | None
    background_kind: str
    size: tuple[int, int]
    K: np.ndarray
    fps: float
    num_frames: int
    body_file: Path
    body: dict[str, str]
    people: list[Person]
    warnings: list[str]
    status: str = "ok"
    focal_source: str = ""

    @property
    def is_clip(self) -> bool:
        """Whether it moves."""
        return self.num_frames > 1

    @property
    def stem(self) -> str:
        """Short name for things in the scene."""
        return self.source.stem or self.path.stem


def read_result(path: str | Path) -> Result:
    """Read a result.

    Args:
        path: the JSON or the NPZ file.

    Raises:
        FitBodyError: with the sentence for the user, if something is missing, broken or too new.
    """
    path = Path(path)
    path = path.with_suffix(".json") if path.suffix == ".npz" else path
    document = _document(path)
    try:
        arrays = _arrays(path, document)
        people = [_person(entry, i, arrays) for i, entry in enumerate(document["people"])]
        return _result(path, document, arrays["K"], people)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FitBodyError("bad_result", detail=f"{path} is not a complete result ({error!r})") from error


def find_results(folder: str | Path, limit: int = 500) -> list[Path]:
    """JSON files of results in a folder, by name; other JSON files are left out.

    Raises:
        FitBodyError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FitBodyError("bad_result", detail=f"There is no folder {folder}")
    found = []
    for path in sorted(folder.glob("*.json"))[: 4 * limit]:
        try:
            head = path.open("rb").read(200)
        except OSError:
            continue
        if b'"dsr.fit_' in head and len(found) < limit:
            found.append(path)
    return found


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FitBodyError("bad_result", detail=f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise FitBodyError("bad_result", detail=f"{path} cannot be read as JSON ({error})") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema not in KNOWN:
        raise FitBodyError("bad_result", detail=f"{path.name} is not a result of dsr-fit")
    version = document.get("schema_version")
    if not isinstance(version, int) or version > KNOWN[schema]:
        raise FitBodyError("newer_schema", detail=version)
    return document


def _arrays(path: Path, document: dict[str, Any]) -> dict[str, np.ndarray]:
    npz = path.with_name(Path(document.get("arrays") or path.with_suffix(".npz").name).name)
    try:
        with np.load(npz, allow_pickle=False) as data:
            return {key: data[key] for key in data.files}
    except FileNotFoundError:
        raise FitBodyError("bad_result", detail=f"{npz} is missing: keep it beside {path.name}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FitBodyError("bad_result", detail=f"{npz} cannot be read ({error})") from error


def _person(entry: dict[str, Any], i: int, arrays: dict[str, np.ndarray]) -> Person:
    from .geometry import rotations_from_vectors

    pose = np.concatenate([arrays["global_orient"][i][None], arrays["body_pose"][i]])
    transl = arrays["transl"][i]
    for name, values in (("pose", pose), ("transl", transl), ("betas", arrays["betas"][i])):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} of {entry.get('id')} is not finite")
    uncertainty = arrays["joint_uncertainty_mm"][i] if "joint_uncertainty_mm" in arrays else None
    return Person(
        id=str(entry["id"]),
        betas=np.asarray(arrays["betas"][i], np.float64),
        frames=np.zeros(1, np.int64),
        rotations=rotations_from_vectors(pose)[None],
        transl=np.asarray(transl, np.float64)[None],
        score=float(arrays["scores"][i]),
        box_px=arrays["boxes_px"][i],
        height_m=entry.get("height_m"),
        uncertainty_mm=None if uncertainty is None or not np.isfinite(uncertainty).any() else uncertainty,
        vertices_cam_m=arrays["vertices_cam_m"][i],
    )


def _result(path: Path, document: dict[str, Any], K: np.ndarray, people: list[Person]) -> Result:
    image, source = document["image"], _source(path, document["input"])
    upright = image.get("upright_file") or ""
    background: Path | None = source if source.is_file() else None
    if upright:
        background = path.with_name(Path(upright).name)
        background = background if background.is_file() else None
    elif image.get("upright_differs"):
        background = None
    body = document.get("body", {})
    status = str(document.get("status", "ok"))
    if status not in ("ok", "no_person"):
        raise FitBodyError("bad_result", detail=document.get("message") or f"{path.name} says {status}")
    return Result(
        path=path,
        source=source,
        background=background,
        background_kind="FILE",
        size=(int(image["width"]), int(image["height"])),
        K=np.asarray(K, np.float64),
        fps=0.0,
        num_frames=1,
        body_file=path.parent / str(body.get("file", "")),
        body={key: str(value) for key, value in body.items()},
        people=people,
        warnings=[str(text) for text in document.get("warnings", [])],
        status=status,
        focal_source=str(document.get("camera", {}).get("focal_source", "")),
    )


def _source(path: Path, named: dict[str, Any]) -> Path:
    """The input where it was, or where it may have moved to together with the result."""
    original = Path(str(named.get("absolute_path") or named.get("path") or ""))
    for place in (original, path.parent / original.name, path.parent.parent / original.name):
        if place.exists() and original.name:
            return place
    return original
