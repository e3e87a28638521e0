"""People annotated in pictures: COCO keypoint files, with whatever joints their category names.

Needed are ``images`` (``id``, ``file_name``), ``annotations`` (``image_id``, ``bbox``, ``keypoints`` as x, y, v) and
the keypoint names of ``categories``. v is COCO's: 0 not labelled, 1 hidden, 2 visible; AI Challenger's 3 (not in the
picture) is taken as 0. Made-up pictures may also say what is seen of everybody: ``face_px``, ``trunk_px`` and
``hidden_by``. Crowds (``iscrowd``) are areas in which nobody is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsr.errors import DatasetError
from dsr.files import read_json

PEOPLE_TRUTH_FILE = "truth.json"


@dataclass(frozen=True, eq=False)
class AnnotatedPerson:
    """One annotated person.

    Attributes:
        box_px: (4,) x0, y0, x1, y1.
        names: names of the J keypoints, as in our keypoint sets: ``left_knee``.
        keypoints_px: (J, 2) pixels.
        visibility: (J,) 0 not labelled, 1 hidden, 2 visible.
        plain_px: longer side of what is seen of face or trunk, the larger one, pixels; None where the truth does not
            say.
        hidden_by: what hides a part, of :data:`HIDERS`; the same.
    """

    box_px: np.ndarray
    names: tuple[str, ...]
    keypoints_px: np.ndarray
    visibility: np.ndarray
    plain_px: float | None = None
    hidden_by: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class AnnotatedPicture:
    """A picture, its people, and boxes (N, 4) of crowds."""

    path: Path
    people: tuple[AnnotatedPerson, ...]
    crowds_px: np.ndarray


def load_annotations(folder: str | Path, file: str | Path | None = None) -> list[AnnotatedPicture]:
    """Annotated pictures, in the order of the file.

    Args:
        folder: where the pictures are.
        file: the COCO file; ``truth.json`` in the folder by default.

    Raises:
        DatasetError: if the file is missing or broken, or a picture is missing.
    """
    folder = Path(folder)
    path = folder / PEOPLE_TRUTH_FILE if file is None else Path(file)
    try:
        data = read_json(path)
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror or error}); name a folder of pictures with a COCO keypoint file "
            f"{PEOPLE_TRUTH_FILE}, or the file by --annotations."
        ) from error
    except ValueError as error:
        raise DatasetError(f"{path}: not valid JSON ({error}).") from error
    try:
        names = {row["id"]: tuple(_name(n) for n in row["keypoints"]) for row in data["categories"]}
        images = {row["id"]: str(row["file_name"]) for row in data["images"]}
        rows = list(data["annotations"])
        people: dict[Any, list[AnnotatedPerson]] = {key: [] for key in images}
        crowds: dict[Any, list[np.ndarray]] = {key: [] for key in images}
        for row in rows:
            if row.get("iscrowd"):
                crowds[row["image_id"]].append(_box(row))
            elif np.any(np.asarray(row["keypoints"], np.float64)):  # a box alone cannot be compared
                people[row["image_id"]].append(_person(row, names[row.get("category_id", min(names))]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(
            f"{path}: not a COCO keypoint file ({type(error).__name__}: {error}); expected images, annotations with "
            "bbox and keypoints, and categories that name the keypoints."
        ) from error
    if not images:
        raise DatasetError(f"{path}: lists no images.")
    missing = [name for name in images.values() if not (folder / name).is_file()]
    if missing:
        raise DatasetError(f"{path}: {len(missing)} of its pictures are not in {folder}, {missing[0]} for one.")
    return [
        AnnotatedPicture(folder / name, tuple(people[key]), np.array(crowds[key], np.float64).reshape(-1, 4))
        for key, name in images.items()
    ]


def extent(person: AnnotatedPerson) -> str:
    """What hides a part of a person where that is known, else how much the joints say is seen, of :data:`EXTENTS`."""
    for hider, words in HIDERS.items():
        if hider in person.hidden_by:
            return words
    labelled = {name.split("_")[-1] for name, v in zip(person.names, person.visibility, strict=True) if v > 0}
    for joint, word in zip(("ankle", "knee", "hip"), EXTENTS, strict=False):
        if joint in labelled:
            return word
    return EXTENTS[-1]


EXTENTS = ("whole", "to the knees", "to the waist", "head and shoulders")
HIDERS = {"table": "behind a table", "somebody": "behind somebody"}


def _name(name: str) -> str:
    return "_".join(name.lower().replace("_", " ").split())


def _box(row: dict[str, Any]) -> np.ndarray:
    box = np.array(row["bbox"], np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= 0).any():
        raise ValueError(f"bbox {row['bbox']} of annotation {row.get('id')} has no positive width and height")
    return np.concatenate([box[:2], box[:2] + box[2:]])


def _person(row: dict[str, Any], names: tuple[str, ...]) -> AnnotatedPerson:
    points = np.array(row["keypoints"], np.float64).reshape(-1, 3)
    if len(points) != len(names) or not np.isfinite(points).all():
        raise ValueError(f"annotation {row.get('id')} has {len(points)} finite keypoints for {len(names)} names")
    visibility = points[:, 2].astype(int)
    visibility[visibility > 2] = 0
    plain = max(float(row["face_px"]), float(row["trunk_px"])) if "face_px" in row else None
    return AnnotatedPerson(
        _box(row), names, points[:, :2], visibility, plain, tuple(map(str, row.get("hidden_by", ())))
    )
