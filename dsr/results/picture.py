"""FitResult: what a fit found in one picture, and what of it stands in its two files (JSON + NPZ).

Everything is in the original camera (OpenCV axes: x right, y down, z forward; metres) and in pixels of the full,
upright picture. The files hold plain arrays: numpy and json alone can read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.results.base import InputResult, common_fields, document_head, document_tail
from dsr.results.files import PICTURE_SCHEMA, json_number, json_numbers, residuals_document

if TYPE_CHECKING:
    from dsr.people.clothing_map import ClothingMap
    from dsr.people.types import Detection

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
        joint_uncertainty_mm: (J,) millimetres of joints that the picture does not show, NaN for the others; None where
            all are seen.
        height_m: standing height of the fitted shape, metres.
        measures: sizes of the fitted shape by name and unit (``weight_kg``, ``chest_girth_m``), as ``betas_for`` takes
            them; empty for a body without marked points.
        hands: where they were asked for, how sure ``left`` and ``right`` are seen (0 to 1), None for one that is not.
        actions: where the face was asked for, the strength of every facial action of the body by name, 0 to 1; empty
            for somebody whose face is not seen.
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
    measures: dict[str, float] = field(default_factory=dict)
    hands: dict[str, float | None] | None = None
    actions: dict[str, float] | None = None
    residuals: dict[str, dict[str, float | None]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass
class FitResult(InputResult):
    """Everything found in one picture: beside the fields of :class:`~dsr.results.base.InputResult` the following.

    Attributes:
        K: (3, 3) intrinsics of the full, upright picture.
        people: fitted people, left to right.
        upright_differs: True where Blender would not show the file as we saw it (orientation, format), so that an
            upright copy is written beside the result.
        upright_file: name of the upright copy beside the saved result, "" where there is none.
        regressor: what predicted the bodies first: ``name`` (``default``, ``dsr`` or ``perspose``); for a network also
            ``checkpoint``, ``sha256`` of that file and ``body``, the kind of body it was trained for.
        overlay_rgb: the upright picture at working size, (h, w, 3) uint8; in memory only, for overlays.
        detections: of each of ``people``, in the same order; in memory only, where asked for.
        unrefined: ``people`` before the semantic refinement, if there was one; in memory only, where asked for.
        labels: clothing labels of each of ``people``, None where there are none; in memory only, where asked for.
    """

    people: list[PersonResult] = field(default_factory=list)
    upright_differs: bool = False
    upright_file: str = ""
    regressor: dict[str, str] = field(default_factory=lambda: {"name": "default"})
    overlay_rgb: np.ndarray | None = field(default=None, repr=False, compare=False)
    detections: list[Detection] | None = field(default=None, repr=False, compare=False)
    unrefined: list[PersonResult] | None = field(default=None, repr=False, compare=False)
    labels: list[ClothingMap | None] | None = field(default=None, repr=False, compare=False)


def picture_arrays(result: FitResult) -> dict[str, np.ndarray]:
    """The NPZ file: all people in one array per quantity; without people the leading dimension is 0."""
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
    if any(person.hands is not None for person in people):
        seen = [[(person.hands or {}).get(side) for side in ("left", "right")] for person in people]
        arrays["hand_presence"] = np.array([[np.nan if each is None else each for each in row] for row in seen])
    return arrays


def picture_document(result: FitResult) -> dict[str, Any]:
    """The JSON file."""
    K = None if result.K is None else np.asarray(result.K, np.float64)
    return {
        **document_head(result, PICTURE_SCHEMA, _CONVENTION),
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
        "arrays": "",
        "people": [_person_document(person) for person in result.people],
        **document_tail(result),
    }


def _person_document(person: PersonResult) -> dict[str, Any]:
    uncertainty = person.joint_uncertainty_mm
    return {
        "id": person.id,
        "box_px": json_numbers(person.box_px),
        "score": json_number(person.score),
        "height_m": json_number(person.height_m),
        "measures": {name: json_number(size) for name, size in person.measures.items()},
        "betas": json_numbers(person.betas),
        "global_orient": json_numbers(person.global_orient),
        "body_pose": json_numbers(person.body_pose),
        "transl": json_numbers(person.transl),
        "joints_cam_m": json_numbers(person.joints_cam_m),
        "joint_uncertainty_mm": None if uncertainty is None else json_numbers(uncertainty),
        **({} if person.hands is None else {"hands": _rounded(person.hands)}),
        **({} if person.actions is None else {"actions": _rounded(person.actions)}),
        "keypoint_set": person.keypoint_set,
        "keypoints_px": json_numbers(person.keypoints_px),
        "residuals": residuals_document(person.residuals),
        "warnings": list(person.warnings),
    }


def _rounded(values: dict[str, Any]) -> dict[str, float | None]:
    return {name: None if value is None else json_numbers(value) for name, value in values.items()}


def picture_from_files(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> FitResult:
    """The result that :func:`picture_document` and :func:`picture_arrays` were made of."""
    return FitResult(
        **common_fields(document, arrays),
        people=[_person(entry, i, arrays) for i, entry in enumerate(document["people"])],
        upright_differs=document["image"]["upright_differs"],
        upright_file=document["image"]["upright_file"],
        regressor=document.get("regressor", {"name": "default"}),
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
        measures=entry.get("measures", {}),
        joint_uncertainty_mm=None if uncertainty is None else arrays["joint_uncertainty_mm"][i],
        hands=entry.get("hands"),
        actions=entry.get("actions"),
        residuals=entry["residuals"],
        warnings=entry["warnings"],
        **parts,
    )
