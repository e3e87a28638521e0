"""FitResult: what a fit found in one picture, and the two files (JSON + NPZ) it lives in.

Everything is in the original camera (OpenCV axes: x right, y down, z forward; metres) and in pixels of the full,
upright picture. The files hold plain arrays: numpy and json alone can read them.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.errors import ResultError

if TYPE_CHECKING:
    from dsr.people.types import Detection
    from dsr.results.clip import SequenceResult

SCHEMA = "dsr.fit_result"
SCHEMA_VERSION = 1
_SCHEMAS = (SCHEMA, "dsr.sequence_result")
_CONVENTION = (
    "camera OpenCV (x right, y down, z forward), metres; pixels u right, v down of the full upright picture, "
    "centres at +0.5; rotations axis-angle in radians"
)
_ARRAYS = ("betas", "global_orient", "body_pose", "transl", "vertices_cam_m", "joints_cam_m", "keypoints_px")


@dataclass
class PersonResult:
    """One fitted person.

    Attributes:
        id: stable name, ``p0`` is the leftmost person of the picture, whoever was selected.
        box_px: (4,) x0, y0, x1, y1 in full-picture pixels.
        score: detection score, 0 to 1.
        keypoint_set: name of the keypoint convention, ``blazepose33`` for the built-in detector.
        keypoints_px: (K, 3) u, v in full-picture pixels and confidence 0 to 1.
        betas: (B,) shape coefficients of the body asset.
        global_orient: (3,) axis-angle, body frame to original camera, radians.
        body_pose: (J-1, 3) axis-angle, radians.
        transl: (3,) metres; ``vertices = skinned + transl`` as in SMPL.
        vertices_cam_m: (V, 3) metres, camera frame.
        joints_cam_m: (J, 3) metres, camera frame.
        joint_uncertainty_mm: (J,) millimetres, or None until a model predicts it.
        height_m: standing height of the fitted shape, metres.
        residuals: per stage, e.g.
            ``{"fit": {"reprojection_px": 3.1, "reprojection_rel": 0.008, "silhouette_iou": 0.8}}``.
        warnings: sentences for the user about this person.
    """

    id: str
    box_px: np.ndarray
    score: float
    keypoint_set: str
    keypoints_px: np.ndarray
    betas: np.ndarray
    global_orient: np.ndarray
    body_pose: np.ndarray
    transl: np.ndarray
    vertices_cam_m: np.ndarray
    joints_cam_m: np.ndarray
    height_m: float
    joint_uncertainty_mm: np.ndarray | None = None
    residuals: dict[str, dict[str, float | None]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass
class FitResult:
    """Everything found in one picture.

    Attributes:
        status: ``ok``, ``no_person``, ``unreadable``, ``unsupported``, ``too_small``, ``too_large`` or ``failed``.
        message: one sentence where the status is not ``ok``.
        input_path: the picture as it was named.
        input_sha256: hex digest of the file ("" where it could not be read).
        image_size: (width, height) of the full, upright picture in pixels.
        upright_differs: True where Blender would not show the file as we saw it (orientation, format), so that an
            upright copy is written beside the result.
        K: (3, 3) intrinsics of the full, upright picture.
        focal_source: ``flag``, ``sidecar``, ``exif``, ``name`` or ``default``.
        focal_detail: how the focal length was worked out, a short sentence.
        body: ``name``, ``licence`` and ``sha256`` of the body asset; once saved also ``file``, relative to the result.
        regressor: what predicted the bodies first: ``name`` (``default``, ``dsr`` or ``perspose``); for a network also
            ``checkpoint``, ``sha256`` of that file and ``body``, the kind of body it was trained for.
        people: fitted people, left to right.
        warnings: sentences for the user about the picture.
        timing_s: seconds per stage.
        seed: the seed used.
        upright_file: name of the upright copy beside the saved result, "" where there is none.
        overlay_rgb: the upright picture at working size, (h, w, 3) uint8; in memory only, for overlays.
        detections: what was found of each of ``people``, in the same order; in memory only, where asked for.
        unrefined: ``people`` before the semantic refinement, if there was one; in memory only, where asked for.
    """

    status: str
    input_path: str
    message: str = ""
    input_sha256: str = ""
    image_size: tuple[int, int] = (0, 0)
    upright_differs: bool = False
    K: np.ndarray | None = None
    focal_source: str = ""
    focal_detail: str = ""
    body: dict[str, str] = field(default_factory=dict)
    regressor: dict[str, str] = field(default_factory=lambda: {"name": "default"})
    people: list[PersonResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    timing_s: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    upright_file: str = ""
    overlay_rgb: np.ndarray | None = field(default=None, repr=False, compare=False)
    detections: list[Detection] | None = field(default=None, repr=False, compare=False)
    unrefined: list[PersonResult] | None = field(default=None, repr=False, compare=False)


def save_result(
    result: FitResult, json_path: str | os.PathLike[str], run: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write a result as ``<stem>.json`` and ``<stem>.npz``, complete or not at all; the JSON file comes last.

    Args:
        result: what to write.
        json_path: path of the JSON file, ending in ``.json``; the folder must exist.
        run: how the result was made (options, other files), kept under ``run`` for resuming.

    Returns:
        The two paths, NPZ first.

    Raises:
        ResultError: if the path does not end in ``.json``.
        ExportError: if a file cannot be written.
    """
    return write_pair(json_path, _stack(result), lambda npz_name: _document(result, npz_name), run)


def write_pair(
    json_path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    document_of: Callable[[str], dict[str, Any]],
    run: Mapping[str, Any] | None,
) -> list[Path]:
    """Write arrays as ``<stem>.npz``, then the document about them as ``<stem>.json``, each complete or not at all.

    Args:
        json_path: path of the JSON file, ending in ``.json``; the folder must exist.
        arrays: of the NPZ file.
        document_of: the JSON document, given the NPZ file's name.
        run: how the result was made, kept under ``run``.

    Returns:
        The two paths, NPZ first.

    Raises:
        ResultError: if the path does not end in ``.json``.
        ExportError: if a file cannot be written.
    """
    from dsr.files import write_atomic, write_bytes

    json_path = Path(json_path)
    if json_path.suffix != ".json":
        raise ResultError(f"{json_path}: a result is saved under a name that ends in .json.")
    npz_path = json_path.with_name(json_path.name[: -len(".json")] + ".npz")

    def write(temporary: Path) -> None:
        np.savez(temporary, **dict(arrays))

    write_atomic(npz_path, write)
    document = document_of(npz_path.name)
    if run is not None:
        document["run"] = dict(run)
    write_bytes(json_path, json.dumps(document, indent=1, allow_nan=False).encode())
    return [npz_path, json_path]


def load_result(path: str | os.PathLike[str]) -> FitResult | SequenceResult:
    """Read a result back from its JSON or NPZ file; numpy and json alone, no torch.

    Args:
        path: ``<stem>.json`` or ``<stem>.npz``; the other one is looked for beside it.

    Returns:
        What was found in a picture, or in a clip.

    Raises:
        ResultError: if a file is missing, is not a result, or has a schema version this release does not know.
    """
    path = Path(path)
    if path.suffix not in (".json", ".npz"):
        raise ResultError(f"{path} is not a result: give the .json or the .npz file.")
    json_path = path.with_suffix(".json")
    document = read_document(json_path)
    if document["schema"] != SCHEMA:
        from dsr.results.clip import sequence_from_document

        return sequence_from_document(document, json_path)
    npz_path = json_path.with_name(document.get("arrays") or json_path.with_suffix(".npz").name)
    try:
        with np.load(npz_path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in data.files}
    except FileNotFoundError as error:
        raise ResultError(
            f"{npz_path} is missing: it holds the arrays of {json_path}; keep the two side by side."
        ) from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ResultError(f"{npz_path} cannot be read as a result ({error}); run dsr-fit again for it.") from error
    try:
        return _result(document, arrays)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ResultError(f"{json_path} is not a complete result ({error!r}); run dsr-fit again for it.") from error


def read_document(json_path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON file of a result (of a picture or of a clip) as it stands, after checking what it is.

    Raises:
        ResultError: if it is missing, no result, or of another schema version.
    """
    try:
        document = json.loads(Path(json_path).read_bytes())
    except FileNotFoundError as error:
        raise ResultError(f"{json_path} is missing: a result is a .json and a .npz file side by side.") from error
    except (OSError, ValueError) as error:
        raise ResultError(f"{json_path} cannot be read as JSON ({error}).") from error
    if not isinstance(document, dict) or document.get("schema") not in _SCHEMAS:
        raise ResultError(f"{json_path} is not a result of dsr-fit (no schema {SCHEMA!r}).")
    if document.get("schema_version") != SCHEMA_VERSION:  # both are at the same version
        raise ResultError(
            f"{json_path} has schema version {document.get('schema_version')}, this release reads {SCHEMA_VERSION}; "
            "use the release that wrote it, or run dsr-fit again."
        )
    return document


def _stack(result: FitResult) -> dict[str, np.ndarray]:
    """All people in one array per quantity; without people the leading dimension is 0."""
    people = result.people
    empty = {"betas": (0, 0), "global_orient": (0, 3), "transl": (0, 3)}
    arrays = {"K": np.zeros((0, 0)) if result.K is None else np.asarray(result.K, np.float64)}
    for name in _ARRAYS:
        dtype = np.float32 if name in ("vertices_cam_m", "keypoints_px") else np.float64
        rows = [np.asarray(getattr(person, name), dtype) for person in people]
        if name == "keypoints_px" and rows:
            longest = max(len(row) for row in rows)
            rows = [np.pad(row, ((0, longest - len(row)), (0, 0))) for row in rows]
        arrays[name] = np.stack(rows) if rows else np.zeros(empty.get(name, (0, 0, 3)), dtype)
    arrays["boxes_px"] = np.asarray([person.box_px for person in people], np.float64).reshape(-1, 4)
    arrays["scores"] = np.asarray([person.score for person in people], np.float64)
    if any(person.joint_uncertainty_mm is not None for person in people):
        unknown = np.full(arrays["joints_cam_m"].shape[1], np.nan)
        known = [person.joint_uncertainty_mm for person in people]
        arrays["joint_uncertainty_mm"] = np.stack([unknown if row is None else np.asarray(row) for row in known])
    return arrays


def _document(result: FitResult, npz_name: str) -> dict[str, Any]:
    from dsr import __version__

    K = None if result.K is None else np.asarray(result.K, np.float64)
    absolute = os.path.abspath(result.input_path)  # noqa: PTH100 (a link keeps its own name)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "dsr", "version": __version__},
        "convention": _CONVENTION,
        "status": result.status,
        "message": result.message,
        "input": {"path": result.input_path, "absolute_path": absolute, "sha256": result.input_sha256},
        "image": {
            "width": int(result.image_size[0]),
            "height": int(result.image_size[1]),
            "upright_differs": bool(result.upright_differs),
            "upright_file": result.upright_file,
        },
        "camera": {
            "K": None if K is None else K.tolist(),
            "focal_source": result.focal_source,
            "focal_detail": result.focal_detail,
        },
        "body": dict(result.body),
        "regressor": dict(result.regressor),
        "arrays": npz_name,
        "people": [_person_document(person) for person in result.people],
        "warnings": list(result.warnings),
        "timing_s": {stage: round(float(seconds), 4) for stage, seconds in result.timing_s.items()},
        "seed": int(result.seed),
    }


def _person_document(person: PersonResult) -> dict[str, Any]:
    uncertainty = person.joint_uncertainty_mm
    return {
        "id": person.id,
        "box_px": _numbers(person.box_px),
        "score": _number(person.score),
        "height_m": _number(person.height_m),
        "betas": _numbers(person.betas),
        "global_orient": _numbers(person.global_orient),
        "body_pose": _numbers(person.body_pose),
        "transl": _numbers(person.transl),
        "joints_cam_m": _numbers(person.joints_cam_m),
        "joint_uncertainty_mm": None if uncertainty is None else _numbers(uncertainty),
        "keypoint_set": person.keypoint_set,
        "keypoints_px": _numbers(person.keypoints_px),
        "residuals": {
            stage: {name: None if value is None else _number(value) for name, value in values.items()}
            for stage, values in person.residuals.items()
        },
        "warnings": list(person.warnings),
    }


def _result(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> FitResult:
    people = [_person(entry, i, arrays) for i, entry in enumerate(document["people"])]
    image = document["image"]
    camera = document["camera"]
    return FitResult(
        status=document["status"],
        message=document["message"],
        input_path=document["input"]["path"],
        input_sha256=document["input"]["sha256"],
        image_size=(image["width"], image["height"]),
        upright_differs=image["upright_differs"],
        upright_file=image["upright_file"],
        K=None if camera["K"] is None else arrays["K"],
        focal_source=camera["focal_source"],
        focal_detail=camera["focal_detail"],
        body=document["body"],
        regressor=document.get("regressor", {"name": "default"}),
        people=people,
        warnings=document["warnings"],
        timing_s=document["timing_s"],
        seed=document["seed"],
    )


def _person(entry: dict[str, Any], i: int, arrays: dict[str, np.ndarray]) -> PersonResult:
    uncertainty = entry["joint_uncertainty_mm"]
    parts = {name: arrays[name][i] for name in _ARRAYS}
    parts["keypoints_px"] = parts["keypoints_px"][: len(entry["keypoints_px"])]
    return PersonResult(
        id=entry["id"],
        box_px=arrays["boxes_px"][i],
        score=float(arrays["scores"][i]),
        keypoint_set=entry["keypoint_set"],
        height_m=entry["height_m"],
        joint_uncertainty_mm=None if uncertainty is None else arrays["joint_uncertainty_mm"][i],
        residuals=entry["residuals"],
        warnings=entry["warnings"],
        **parts,
    )


def _number(value: Any) -> float | None:
    """A float, or None for what JSON cannot say."""
    return float(value) if math.isfinite(value) else None


def _numbers(array: Any) -> Any:
    """Nested lists of seven digits, what single precision holds; the NPZ file has the exact values."""
    values = np.asarray(array, np.float64)
    if values.ndim == 0:
        return _number(float(f"{values:.7g}"))
    return [_numbers(row) for row in values]
