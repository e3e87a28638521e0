"""Detections made by other programs: OpenPose JSON, COCO keypoint JSON, and person boxes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dsr.errors import DetectionError
from dsr.people.detector import PeopleDetector, left_to_right
from dsr.people.naming import InputNames, entries_of, keypoint_file
from dsr.people.types import Detection
from dsr.people.units import stated_size, to_pixels

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
    inputs: InputNames | None = None,
) -> list[Detection]:
    """People of one picture from files instead of the detector.

    Coordinates are pixels of the full, upright picture, or of the size that the file states, or fractions of the
    picture (:mod:`dsr.people.units`). Names may have folders (:mod:`dsr.people.naming`).

    Args:
        source: one of

            * a folder with one OpenPose JSON per picture, BODY_25 or COCO-18: ``<stem>_keypoints.json``,
              ``<stem>_openpose.json`` or ``<stem>.json``, also in the picture's own folders inside of it; or one
              such file,
            * a COCO keypoint JSON: a data set with ``images`` and ``annotations``, or a list of results whose
              ``image_id`` is the picture's name, its stem, or the number its stem ends with,
            * a JSON file of boxes: ``{"photo.jpg": [[x, y, width, height], ...]}`` or COCO-style with ``bbox`` and
              without ``keypoints``. The landmark model is run on each box.
        photo: the picture the files speak of; found by its file name.
        detector: runs on the boxes; a standard one is made where it is needed and not given.
        kind: ``keypoints`` or ``boxes`` where a COCO file holds both; ``auto`` prefers keypoints.
        inputs: all pictures of the run, so that names that could mean several of them are refused.

    Returns:
        Detections left to right; empty where the source knows the picture and nobody in it. Imported 2D keypoints have
        no ``world_m`` and no mask.

    Raises:
        DetectionError: if a file is missing, is not what it should be, does not know the picture or is for another.
    """
    inputs = inputs or InputNames()
    rivals = inputs.rivals(photo.path)
    path = _source_file(Path(source), photo.path, rivals)
    data = _read_json(path)
    if isinstance(data, list) and len(data) == 1 and isinstance(data[0], dict) and "people" in data[0]:
        data = data[0]  # as ControlNet's nodes write it
    if kind == "boxes" or (kind == "auto" and _holds_boxes(data)):
        boxes, size = _box_rows(path, photo.path, rivals)
        (scale, shift), note = to_pixels(boxes.reshape(-1, 2), _size(photo), size, path.name)
        boxes = boxes * np.tile(scale, 2) + np.tile(shift, 2)
        if detector is None:
            detector = PeopleDetector()
        people = detector.detect_in_boxes(photo, boxes, path.name)
        return [replace(person, warnings=(note,)) for person in people] if note else people
    size = None
    if isinstance(data, dict) and "people" in data:
        single = Path(source).is_file() and inputs.count > 1
        if single and not entries_of(photo.path, [_stem(path)], rivals, path):
            raise DetectionError(f"{path} is of one picture: give a folder of such files for {inputs.count} pictures")
        point_sets = _openpose_people(data, path)
        size = stated_size(data, "canvas_width", "canvas_height")
    else:
        point_sets, size = _coco_people(data, path, photo.path, rivals)
    seen = [points[points[:, 2] > _SEEN, :2] for points, _ in point_sets]
    (scale, shift), note = to_pixels(np.concatenate([np.zeros((0, 2)), *seen]), _size(photo), size, path.name)
    found = []
    for points, name in point_sets:
        points[:, :2] = points[:, :2] * scale + shift
        person = _detection(points, name, photo, path, note)
        found += [] if person is None else [person]
    return left_to_right(found)


def load_boxes(path: Path, picture: Path) -> np.ndarray:
    """Person boxes (N, 4) x0, y0, x1, y1 of one picture from a JSON file, in the file's units.

    Raises:
        DetectionError: if the file cannot be read, has another layout, or does not know the picture.
    """
    return _box_rows(path, picture, ())[0]


def _box_rows(path: Path, picture: Path, rivals: Sequence[Path]) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Boxes as :func:`load_boxes` gives them, and the picture's size that the file states."""
    size = None
    expected = 'expected {"photo.jpg": [[x, y, width, height], ...]} or COCO images and annotations with bbox'
    data = _read_json(path)
    rows: Any
    if isinstance(data, list) or (isinstance(data, dict) and "annotations" in data):
        coco_rows, size = _coco_rows(data, path, picture, rivals)
        rows = [row.get("bbox") for row in coco_rows]
    elif isinstance(data, dict):
        keys = list(data)
        chosen = entries_of(picture, keys, rivals, path)
        if not chosen:
            raise DetectionError(f"{path} has no boxes for {picture.name}; its keys are file names such as photo.jpg")
        rows = data[keys[chosen[0]]]
    else:
        raise DetectionError(f"{path}: {expected}")
    try:
        boxes = np.array(rows, np.float64).reshape(-1, 4) if len(rows) else np.zeros((0, 4))
    except (TypeError, ValueError) as error:
        raise DetectionError(f"{path}: the boxes of {picture.name} are not four numbers each; {expected}") from error
    if not np.all(np.isfinite(boxes)) or np.any(boxes[:, 2:] <= 0):
        raise DetectionError(f"{path}: a box of {picture.name} has no positive width and height; {expected}")
    boxes[:, 2:] += boxes[:, :2]
    return boxes, size


def _source_file(path: Path, picture: Path, rivals: Sequence[Path]) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise DetectionError(f"{path} does not exist; expected a folder of keypoint files or a JSON file")
    file = keypoint_file(path, picture, _OPENPOSE_NAMES)
    if file is not None:
        same = [rival for rival in rivals if keypoint_file(path, rival, _OPENPOSE_NAMES) == file]
        if same:
            raise DetectionError(
                f"{file} could be of {picture} or {same[0]}: put keypoint files into folders named as the pictures' own"
            )
        return file
    names = [name.format(stem=picture.stem) for name in _OPENPOSE_NAMES]
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


def _coco_people(
    data: Any, path: Path, picture: Path, rivals: Sequence[Path]
) -> tuple[list[tuple[np.ndarray, str]], tuple[float, float] | None]:
    """Points (17, 3) of each person of one picture in a COCO keypoint file, and the picture's size that it states."""
    people = []
    rows, size = _coco_rows(data, path, picture, rivals)
    for row in rows:
        points = _points(row.get("keypoints"), path)
        if len(points) != 17:
            raise DetectionError(f"{path}: a person has {len(points)} keypoints; expected COCO's 17")
        if np.all(np.isin(points[:, 2], (0, 1, 2))):  # annotations: 0 not labelled, 1 hidden, 2 visible
            points[:, 2] = np.array([0.0, 0.5, 1.0])[points[:, 2].astype(int)]
        people.append((points, "coco17"))
    return people, size


def _coco_rows(
    data: Any, path: Path, picture: Path, rivals: Sequence[Path]
) -> tuple[list[dict[str, Any]], tuple[float, float] | None]:
    """The annotations or results of one picture, and its size that the file states."""
    images = []
    if isinstance(data, dict) and isinstance(data.get("annotations"), list) and isinstance(data.get("images"), list):
        rows = data["annotations"]
        listed = [image for image in data["images"] if isinstance(image, dict)]
        chosen = entries_of(picture, [str(image.get("file_name", "")) for image in listed], rivals, path)
        images = [listed[i] for i in chosen]
        if not images:
            raise DetectionError(f"{path} does not list {picture.name} among its images")
    elif isinstance(data, list):
        rows = data
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
    if images:
        numbers = [image.get("id") for image in images]
        return [row for row in rows if row["image_id"] in numbers], stated_size(images[0], "width", "height")
    ids = [row["image_id"] if isinstance(row["image_id"], int) else str(row["image_id"]) for row in rows]
    chosen = entries_of(picture, ids, rivals, path)
    if not chosen:
        raise DetectionError(f"{path} does not name {picture.name}: no image_id is its name, its stem or its number")
    return [rows[i] for i in chosen], None


def _size(photo: Photo) -> tuple[int, int]:
    return photo.width, photo.height


def _stem(path: Path) -> str:
    """The picture's stem in the name of an OpenPose file."""
    return path.stem.removesuffix("_keypoints").removesuffix("_openpose")


def _points(values: Any, path: Path) -> np.ndarray:
    """A flat list of u, v, confidence as (K, 3)."""
    try:
        points = np.array(values, np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise DetectionError(f"{path}: keypoints are not a flat list of x, y, confidence") from error
    if not np.all(np.isfinite(points)):
        raise DetectionError(f"{path}: keypoints are not finite numbers")
    return points


def _detection(points: np.ndarray, name: str, photo: Photo, path: Path, note: str) -> Detection | None:
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
        warnings=(note,) if note else (),
    )
