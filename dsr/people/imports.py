"""Detections made by other programs: OpenPose JSON, COCO keypoint JSON, and person boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dsr.errors import DetectionError
from dsr.people.detector import PeopleDetector, left_to_right
from dsr.people.types import Detection

if TYPE_CHECKING:
    from dsr.image.types import Photo

# COCO-18 of OpenPose: nose, neck, right arm, left arm, right leg, left leg, eyes, ears -> COCO-17 (no neck).
_COCO17_OF_OPENPOSE18 = [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]
_OPENPOSE_NAMES = ("{stem}_keypoints.json", "{stem}_openpose.json", "{stem}.json")
_SEEN = 1e-6


def load_detections(
    source: Path,
    photo: Photo,
    detector: PeopleDetector | None = None,
    kind: Literal["auto", "keypoints", "boxes"] = "auto",
) -> list[Detection]:
    """People of one picture from files instead of the detector. Coordinates are pixels of the full, upright picture.

    Args:
        source: one of

            * a folder with one OpenPose JSON per picture, BODY_25 or COCO-18: ``<stem>_keypoints.json``,
              ``<stem>_openpose.json`` or ``<stem>.json``; or one such file,
            * a COCO keypoint JSON: a data set with ``images`` and ``annotations``, or a list of results whose
              ``image_id`` is the picture's name, its stem, or the number its stem ends with,
            * a JSON file of boxes: ``{"photo.jpg": [[x, y, width, height], ...]}`` or COCO-style with ``bbox`` and
              without ``keypoints``. The landmark model is run on each box.
        photo: the picture the files speak of; found by its file name.
        detector: runs on the boxes; a standard one is made where it is needed and not given.
        kind: ``keypoints`` or ``boxes`` where a COCO file holds both; ``auto`` prefers keypoints.

    Returns:
        Detections left to right; empty where the source knows the picture and nobody in it. Imported 2D keypoints have
        no ``world_m`` and no mask.

    Raises:
        DetectionError: if a file is missing, is not what it should be, or does not know the picture.
    """
    path = _source_file(Path(source), photo.path)
    data = _read_json(path)
    if kind == "boxes" or (kind == "auto" and _holds_boxes(data)):
        rows = load_boxes(path, photo.path)
        if detector is None:
            detector = PeopleDetector()
        return detector.detect_in_boxes(photo, rows, path.name)
    if isinstance(data, dict) and "people" in data:
        point_sets = _openpose_people(data, path)
    else:
        point_sets = _coco_people(data, path, photo.path)
    people = [_detection(points, name, photo, path) for points, name in point_sets]
    return left_to_right([person for person in people if person is not None])


def load_boxes(path: Path, picture: Path) -> np.ndarray:
    """Person boxes (N, 4) x0, y0, x1, y1 of one picture from a JSON file.

    Raises:
        DetectionError: if the file cannot be read, has another layout, or does not know the picture.
    """
    expected = 'expected {"photo.jpg": [[x, y, width, height], ...]} or COCO images and annotations with bbox'
    data = _read_json(path)
    rows: Any
    if isinstance(data, list) or (isinstance(data, dict) and "annotations" in data):
        rows = [row.get("bbox") for row in _coco_rows(data, path, picture)]
    elif isinstance(data, dict):
        key = next((name for name in (str(picture), picture.name, picture.stem) if name in data), None)
        if key is None:
            raise DetectionError(f"{path} has no boxes for {picture.name}; its keys are file names such as photo.jpg")
        rows = data[key]
    else:
        raise DetectionError(f"{path}: {expected}")
    try:
        boxes = np.array(rows, np.float64).reshape(-1, 4) if len(rows) else np.zeros((0, 4))
    except (TypeError, ValueError) as error:
        raise DetectionError(f"{path}: the boxes of {picture.name} are not four numbers each; {expected}") from error
    if not np.all(np.isfinite(boxes)) or np.any(boxes[:, 2:] <= 0):
        raise DetectionError(f"{path}: a box of {picture.name} has no positive width and height; {expected}")
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _source_file(path: Path, picture: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise DetectionError(f"{path} does not exist; expected a folder of keypoint files or a JSON file")
    names = [name.format(stem=picture.stem) for name in _OPENPOSE_NAMES]
    for name in names:
        if (path / name).is_file():
            return path / name
    raise DetectionError(f"{path} has no keypoints for {picture.name}; expected one of {', '.join(names)}")


def _holds_boxes(data: Any) -> bool:
    """True for a file of boxes: entries with bbox and no keypoints, or lists under file names."""
    if isinstance(data, dict) and "people" not in data and "annotations" not in data and "images" not in data:
        return bool(data) and all(isinstance(value, list) for value in data.values())
    rows = data.get("annotations") if isinstance(data, dict) else data
    first = rows[0] if isinstance(rows, list) and rows else None
    return isinstance(first, dict) and "bbox" in first and "keypoints" not in first


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DetectionError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DetectionError(f"{path} is not valid JSON ({error}); write it again") from error


def _openpose_people(data: dict[str, Any], path: Path) -> list[tuple[np.ndarray, str]]:
    """Points (K, 3) and their keypoint set of each person of an OpenPose file."""
    entries = data["people"]
    if not isinstance(entries, list):
        raise DetectionError(f"{path}: 'people' is not a list; expected an OpenPose JSON file")
    people = []
    for person in entries:
        points = _points(person.get("pose_keypoints_2d") if isinstance(person, dict) else None, path)
        if len(points) == 25:
            people.append((points, "openpose25"))
        elif len(points) == 18:
            people.append((points[_COCO17_OF_OPENPOSE18], "coco17"))
        else:
            raise DetectionError(
                f"{path}: a person has {len(points)} keypoints; expected OpenPose's BODY_25 (25) or COCO (18) layout"
            )
    return people


def _coco_people(data: Any, path: Path, picture: Path) -> list[tuple[np.ndarray, str]]:
    """Points (17, 3) of each person of one picture in a COCO keypoint file."""
    people = []
    for row in _coco_rows(data, path, picture):
        points = _points(row.get("keypoints"), path)
        if len(points) != 17:
            raise DetectionError(f"{path}: a person has {len(points)} keypoints; expected COCO's 17")
        if np.all(np.isin(points[:, 2], (0, 1, 2))):  # annotations: 0 not labelled, 1 hidden, 2 visible
            points[:, 2] = np.array([0.0, 0.5, 1.0])[points[:, 2].astype(int)]
        people.append((points, "coco17"))
    return people


def _coco_rows(data: Any, path: Path, picture: Path) -> list[dict[str, Any]]:
    """The annotations or results of one picture."""
    if isinstance(data, dict) and isinstance(data.get("annotations"), list) and isinstance(data.get("images"), list):
        rows = data["annotations"]
        names = {
            image.get("id"): Path(str(image.get("file_name", ""))).name
            for image in data["images"]
            if isinstance(image, dict)
        }
        if picture.name not in names.values():
            raise DetectionError(f"{path} does not list {picture.name} among its images")
    elif isinstance(data, list):
        rows, names = data, {}
    else:
        raise DetectionError(
            f"{path} is neither an OpenPose file ('people') nor a COCO file ('images' and 'annotations', or a list of"
            " results)"
        )
    if not all(isinstance(row, dict) and "image_id" in row for row in rows):
        raise DetectionError(
            f"{path}: an entry has no image_id; expected COCO annotations or results, or for --boxes "
            '{"photo.jpg": [[x, y, width, height], ...]}'
        )
    if names:
        return [row for row in rows if names.get(row["image_id"]) == picture.name]
    return [row for row in rows if _names_picture(row["image_id"], picture)]


def _names_picture(image_id: Any, picture: Path) -> bool:
    """True where a result's image_id is the picture's file name, its stem, or the number its stem ends with."""
    if isinstance(image_id, int):
        digits = picture.stem[len(picture.stem.rstrip("0123456789")) :]
        return bool(digits) and int(digits) == image_id
    return str(image_id) in (str(picture), picture.name, picture.stem)


def _points(values: Any, path: Path) -> np.ndarray:
    """A flat list of u, v, confidence as (K, 3)."""
    try:
        points = np.array(values, np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise DetectionError(f"{path}: keypoints are not a flat list of x, y, confidence") from error
    if not np.all(np.isfinite(points)):
        raise DetectionError(f"{path}: keypoints are not finite numbers")
    return points


def _detection(points: np.ndarray, name: str, photo: Photo, path: Path) -> Detection | None:
    """A detection from points (K, 3), or None where no point was seen."""
    confidence = np.clip(points[:, 2], 0.0, 1.0)
    seen = confidence > _SEEN
    if not np.any(seen):
        return None
    low, high = points[seen, :2].min(axis=0), points[seen, :2].max(axis=0)
    limit = [photo.width, photo.height]
    return Detection(
        box_px=np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)]),
        score=float(confidence[seen].mean()),
        keypoint_set=name,
        keypoints_px=points[:, :2],
        confidence=confidence,
        source=path.name,
    )
