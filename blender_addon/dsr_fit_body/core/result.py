# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what ``dsr-fit`` writes: ``NAME.json`` and ``NAME.npz`` of a picture or a clip."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .messages import FitBodyError, Sentence, merged_warnings, person_number, sentence, warning_sentence

PICTURE, CLIP = "dsr.fit_result", "dsr.sequence_result"
KNOWN = {PICTURE: 1, CLIP: 1}
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
        observed: (T,) False where the person was not seen and the pose was filled in.
        score: 0 to 1.
        box_px: (4,) or None.
        height_m: standing height, or None.
        uncertainty_mm: (J,) or None.
        vertices_cam_m: (V, 3) of a picture, or None.
        residual_px: how far the body's joints are from the keypoints, or None.
        texture: the person's look as a picture on the body's UV map, or None.
    """

    id: str
    betas: np.ndarray
    frames: np.ndarray = field(repr=False)
    rotations: np.ndarray = field(repr=False)
    transl: np.ndarray = field(repr=False)
    observed: np.ndarray = field(repr=False)
    score: float = 1.0
    box_px: np.ndarray | None = None
    height_m: float | None = None
    uncertainty_mm: np.ndarray | None = None
    vertices_cam_m: np.ndarray | None = field(default=None, repr=False)
    residual_px: float | None = None
    texture: Path | None = None

    @property
    def number(self) -> int:
        """From 1, as people are counted in the panel and in the scene: ``p0`` is person 1."""
        return person_number(self.id)


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
        focal_source: where the focal length comes from.
        up: (3,) against gravity in the camera frame of the files, or None where it is not known.
        standing: ids of those who stand on the floor.
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
    warnings: list[Sentence | str]
    status: str = "ok"
    focal_source: str = ""
    up: np.ndarray | None = None
    standing: tuple[str, ...] = ()

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
        if document["schema"] == CLIP:
            return _clip(path, document, arrays)
        people = [_person(entry, i, arrays, path) for i, entry in enumerate(document["people"])]
        return _result(path, document, arrays["K"], people)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _bad_result("{path} is not a complete result ({error})", path=path, error=repr(error)) from error


def find_results(folder: str | Path, limit: int = 500) -> list[Path]:
    """JSON files of results in a folder, by name; other JSON files are left out.

    Raises:
        FitBodyError: if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise _bad_result("There is no folder {path}", path=folder)
    paths = []
    for path in sorted(folder.glob("*.json"))[: 4 * limit]:
        try:
            head = path.open("rb").read(200)
        except OSError:
            continue
        if any(f'"{schema}"'.encode() in head for schema in KNOWN) and len(paths) < limit:
            paths.append(path)
    return paths


def _bad_result(template: str, **values: object) -> FitBodyError:
    return FitBodyError("bad_result", detail=Sentence(template, values))


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise _bad_result("{path} is missing", path=path) from None
    except (OSError, ValueError) as error:
        raise _bad_result("{path} cannot be read as JSON ({error})", path=path, error=error) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema not in KNOWN:
        raise _bad_result("{path} is not a result of dsr-fit", path=path.name)
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
        raise _bad_result("{path} is missing: keep it beside {other}", path=npz, other=path.name) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _bad_result("{path} cannot be read ({error})", path=npz, error=error) from error


def _person(entry: dict[str, Any], i: int, arrays: dict[str, np.ndarray], path: Path) -> Person:
    from .geometry import axis_angle_to_matrix

    pose = np.concatenate([arrays["global_orient"][i][None], arrays["body_pose"][i]])
    transl = arrays["transl"][i]
    _check_finite(str(entry["id"]), pose=pose, transl=transl, betas=arrays["betas"][i])
    uncertainty = arrays["joint_uncertainty_mm"][i] if "joint_uncertainty_mm" in arrays else None
    texture = path.with_name(f"{path.stem}.{entry['id']}.texture.png")
    return Person(
        id=str(entry["id"]),
        betas=np.asarray(arrays["betas"][i], np.float64),
        frames=np.zeros(1, np.int64),
        rotations=axis_angle_to_matrix(pose)[None],
        transl=np.asarray(transl, np.float64)[None],
        observed=np.ones(1, bool),
        score=float(arrays["scores"][i]),
        box_px=arrays["boxes_px"][i],
        height_m=entry.get("height_m"),
        uncertainty_mm=None if uncertainty is None or not np.isfinite(uncertainty).any() else uncertainty,
        vertices_cam_m=arrays["vertices_cam_m"][i],
        residual_px=_residual(entry),
        texture=texture if texture.is_file() else None,
    )


def _residual(entry: dict[str, Any]) -> float | None:
    """Pixels of the last stage that has them."""
    stages = entry.get("residuals") or {}
    values = [stage.get("reprojection_px") for stage in stages.values() if isinstance(stage, dict)]
    known = [float(value) for value in values if isinstance(value, (int, float))]
    return known[-1] if known else None


def _check_finite(who: str, **arrays: np.ndarray) -> None:
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} of {who} is not finite")


def _clip(path: Path, document: dict[str, Any], arrays: dict[str, np.ndarray]) -> Result:
    people = [_track(entry, arrays) for entry in document["people"]]
    common = _common(path, document, arrays["K"])
    background, kind = _clip_background(common["source"])
    count, read = len(arrays["frame_indices"]), int(np.count_nonzero(arrays["frames_read"]))
    if read < count:
        common["warnings"].append(
            sentence("{read} of {count} frames could be read; gaps filled", read=read, count=count)
        )
    clip = {"fps": float(arrays["fps"]), "num_frames": count}
    return Result(background=background, background_kind=kind, people=people, **clip, **common)


def _track(entry: dict[str, Any], arrays: dict[str, np.ndarray]) -> Person:
    from .geometry import axis_angle_to_matrix

    who = str(entry["id"])
    track = {key[len(who) + 1 :]: value for key, value in arrays.items() if key.startswith(f"{who}.")}
    pose = np.concatenate([track["global_orient"][:, None], track["body_pose"]], axis=1)
    _check_finite(who, pose=pose, transl=track["transl"], betas=track["betas"])
    frames = track["frames"].astype(np.int64)
    if len(frames) != len(pose) or len(frames) == 0 or (np.diff(frames) <= 0).any():
        raise ValueError(f"frames of {who} do not rise or do not fit its poses")
    uncertainty = track.get("joint_uncertainty_mm")
    known = uncertainty is not None and np.isfinite(uncertainty).any()
    return Person(
        id=who,
        betas=np.asarray(track["betas"], np.float64),
        frames=frames,
        rotations=axis_angle_to_matrix(pose),
        transl=np.asarray(track["transl"], np.float64),
        observed=track["observed"].astype(bool),
        score=float(entry["score"] or 0.0),
        height_m=entry.get("height_m"),
        uncertainty_mm=np.nanmean(uncertainty, axis=0) if known else None,
        residual_px=_residual(entry),
    )


def _clip_background(source: Path) -> tuple[Path | None, str]:
    """A video, or the first of the numbered frames in a folder."""
    if source.is_file():
        return source, "MOVIE"
    return first_frame(source), "SEQUENCE"


def first_frame(folder: Path) -> Path | None:
    """The first picture in a folder of frames by name, or None."""
    endings = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".exr"}
    frames = (path for path in folder.iterdir() if path.suffix.lower() in endings) if folder.is_dir() else ()
    return min(frames, default=None)


def _result(path: Path, document: dict[str, Any], K: np.ndarray, people: list[Person]) -> Result:
    common = _common(path, document, K)
    image, source = document["image"], common["source"]
    upright = image.get("upright_file") or ""
    background: Path | None = source if source.is_file() else None
    if upright:
        background = path.with_name(Path(upright).name)
        background = background if background.is_file() else None
    elif image.get("upright_differs"):
        background = None
    status = common["status"]
    if status not in ("ok", "no_person"):
        reason = document.get("message") or sentence("{path} says {status}", path=path.name, status=status)
        raise FitBodyError("bad_result", detail=reason)
    return Result(background=background, background_kind="FILE", fps=0.0, num_frames=1, people=people, **common)


def _common(path: Path, document: dict[str, Any], K: np.ndarray) -> dict[str, Any]:
    """The fields that a picture and a clip share."""
    body = document.get("body", {})
    return {
        "path": path,
        "source": _source(path, document["input"]),
        "size": (int(document["image"]["width"]), int(document["image"]["height"])),
        "K": np.asarray(K, np.float64),
        "body_file": path.parent / str(body.get("file", "")),
        "body": {key: str(value) for key, value in body.items()},
        "warnings": merged_warnings(
            [
                *(warning_sentence(str(text)) for text in document.get("warnings", [])),
                *(
                    warning_sentence(f"{entry.get('id')}: {text}")
                    for entry in document.get("people", [])
                    for text in entry.get("warnings") or []
                ),
            ]
        ),
        "status": str(document.get("status", "ok")),
        "focal_source": str(document.get("camera", {}).get("focal_source", "")),
        **_floor(document.get("floor")),
    }


def _floor(entry: dict[str, Any] | None) -> dict[str, Any]:
    """Which way is up and who stands on the floor; nothing of results of earlier releases."""
    if entry is None:
        return {}
    up = np.asarray(entry["normal"], np.float64)
    if up.shape != (3,) or not np.isfinite(up).all() or not 0.9 < np.linalg.norm(up) < 1.1:
        raise ValueError("the floor's normal is no unit vector")
    return {"up": up, "standing": tuple(str(name) for name in entry["people"])}


def _source(path: Path, entry: dict[str, Any]) -> Path:
    """The input where it was, or where it may have moved to together with the result."""
    original = Path(str(entry.get("absolute_path") or entry.get("path") or ""))
    for place in (original, path.parent / original.name, path.parent.parent / original.name):
        if place.exists() and original.name:
            return place
    return original
