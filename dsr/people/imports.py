"""Detections made by other programs: keypoints of OpenPose, COCO, AlphaPose and MMPose, and person boxes.

How one person is written in them is in :mod:`dsr.people.person_rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dsr.errors import DetectionError
from dsr.files import read_json
from dsr.people.detector import PeopleDetector, left_to_right
from dsr.people.naming import InputNames, entries_of, keypoint_file
from dsr.people.people_files import read_part
from dsr.people.person_rows import (
    PersonRow,
    coco_row,
    merge_same_people,
    mmpose_row,
    openpose_row,
    people_rows,
    read_box,
    read_score,
)
from dsr.people.types import Detection
from dsr.people.units import stated_size, to_pixels

if TYPE_CHECKING:
    from dsr.image.types import Photo

_FILE_NAMES = ("{stem}_keypoints.json", "{stem}_openpose.json", "results_{stem}.json", "{stem}.json")
_SEEN = 1e-6
_FEWEST, _NEAREST_PX = 3, 8.0


def load_detections(
    source: Path,
    photo: Photo,
    detector: PeopleDetector | None = None,
    kind: Literal["auto", "keypoints", "boxes"] = "auto",
    inputs: InputNames | None = None,
    warnings: list[str] | None = None,
) -> list[Detection]:
    """People of one picture from files instead of the detector.

    Coordinates are pixels of the full, upright picture, or of the size that the file states, or fractions of the
    picture (:mod:`dsr.people.units`). Names may have folders (:mod:`dsr.people.naming`).

    Args:
        source: one of

            * a folder with one OpenPose or MMPose JSON per picture: ``<stem>_keypoints.json``,
              ``<stem>_openpose.json``, ``results_<stem>.json`` or ``<stem>.json``, also in the picture's own folders
              inside of it; or one such file,
            * a COCO keypoint JSON: a data set with ``images`` and ``annotations``, or a list of results (AlphaPose's,
              too) whose ``image_id`` is the picture's name, its stem, or the number its stem ends with. Whoever has a
              box and no keypoints there is looked at by the ``detector``,
            * a JSON file of boxes: ``{"photo.jpg": [[x, y, width, height], ...]}`` or COCO-style with ``bbox`` and
              without ``keypoints``. The landmark model is run on each box.
        photo: the picture the files speak of; found by its file name.
        detector: runs on the boxes; a standard one is made where it is needed and not given.
        kind: ``keypoints`` or ``boxes`` where a COCO file holds both; ``auto`` prefers keypoints.
        inputs: all pictures of the run, so that names that could mean several of them are refused.
        warnings: a sentence is added for whatever was left out.

    Returns:
        Detections left to right; empty where the source knows the picture and nobody in it. Imported 2D keypoints have
        no ``world_m`` and no mask. Scores are the file's, where it has any.

    Raises:
        DetectionError: if a file is missing, is not what it should be, does not know the picture or is for another.
    """
    inputs = inputs or InputNames()
    rivals = inputs.rivals(photo.path)
    path = _source_file(Path(source), photo.path, rivals)
    data = _read_json(path) if kind == "auto" else _read_json(path, photo.path)
    if isinstance(data, list) and len(data) == 1 and isinstance(data[0], dict) and "people" in data[0]:
        data = data[0]  # as ControlNet's nodes write it
    notes: list[str] = [] if warnings is None else warnings
    if kind == "boxes" or (kind == "auto" and _holds_boxes(data)):
        rows, size = _box_rows(data, path, photo.path, rivals, notes)
    elif (one := _of_one_picture(data)) is not None:
        single = Path(source).is_file() and inputs.count > 1
        if single and not entries_of(photo.path, [_stem(path)], rivals, path):
            raise DetectionError(f"{path} is of one picture: give a folder of such files for {inputs.count} pictures")
        rows = _read_rows(*one, path, notes)
        size = stated_size(data, "canvas_width", "canvas_height") if isinstance(data, dict) else None
    else:
        rows, size = _coco_people(data, path, photo.path, rivals, notes)
    return _detections(_everybody_once(rows, path, notes), size, photo, path, detector, kind, notes)


def load_boxes(path: Path, picture: Path) -> np.ndarray:
    """Person boxes (N, 4) x0, y0, x1, y1 of one picture from a JSON file, in the file's units.

    Raises:
        DetectionError: if the file cannot be read, has another layout, or does not know the picture.
    """
    rows = _box_rows(_read_json(path), path, picture, (), [])[0]
    return np.array([row.box for row in rows]).reshape(-1, 4)


def _box_rows(
    data: Any, path: Path, picture: Path, rivals: Sequence[Path], notes: list[str]
) -> tuple[list[PersonRow], tuple[float, float] | None]:
    """People of one picture in a file of boxes, and the picture's size that it states."""
    size = None
    expected = 'expected {"photo.jpg": [[x, y, width, height], ...]} or COCO images and annotations with bbox'
    if isinstance(data, list) or (isinstance(data, dict) and "annotations" in data):
        entries, size = _coco_rows(data, path, picture, rivals)
    elif isinstance(data, dict):
        keys = list(data)
        chosen = entries_of(picture, keys, rivals, path)
        if not chosen:
            raise DetectionError(f"{path} has no boxes for {picture.name}; its keys are file names such as photo.jpg")
        boxes = data[keys[chosen[0]]]
        if not isinstance(boxes, list):
            raise DetectionError(f"{path}: the boxes of {picture.name} are not a list; {expected}")
        entries = [{"bbox": box} for box in ([boxes] if len(boxes) == 4 and not isinstance(boxes[0], list) else boxes)]
    else:
        raise DetectionError(f"{path}: {expected}")

    def read(entry: dict[str, Any]) -> PersonRow:
        return PersonRow(None, "", read_score(entry), read_box(entry.get("bbox")))

    return _read_rows(entries, read, path, notes), size


def people_file(source: Path, picture: Path) -> Path | None:
    """The file that has the people of a picture: the source, or one in it; None where there is none."""
    return source if source.is_file() else keypoint_file(source, picture, _FILE_NAMES)


def _source_file(path: Path, picture: Path, rivals: Sequence[Path]) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise DetectionError(f"{path} does not exist; expected a folder of keypoint files or a JSON file")
    file = people_file(path, picture)
    if file is not None:
        same = [rival for rival in rivals if keypoint_file(path, rival, _FILE_NAMES) == file]
        if same:
            raise DetectionError(
                f"{file} could be of {picture} or {same[0]}: put keypoint files into folders named as the pictures' own"
            )
        return file
    names = [name.format(stem=picture.stem) for name in _FILE_NAMES]
    raise DetectionError(f"{path} has no keypoints for {picture.name}; expected one of {', '.join(names)}")


def _holds_boxes(data: Any) -> bool:
    """True for a file of boxes: entries with bbox and no keypoints, or lists under file names."""
    if isinstance(data, dict) and not {"people", "bodies", "instance_info", "annotations", "images"} & data.keys():
        return bool(data) and all(isinstance(value, list) for value in data.values())
    rows = data.get("annotations") if isinstance(data, dict) else data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return False
    return any("bbox" in row for row in rows) and not any("keypoints" in row for row in rows)


def check_people_file(source: Path) -> None:
    """Read a file of people once before the first picture; one of a folder is a picture's own affair.

    Raises:
        DetectionError: if it is no JSON or cannot be read.
    """
    if not source.is_dir():
        _read_json(source, source)


def _read_json(path: Path, picture: Path | None = None) -> Any:
    try:
        return read_json(path) if picture is None else read_part(path, picture)
    except OSError as error:
        raise DetectionError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DetectionError(f"{path} is not valid JSON ({error}); write it again") from error


def _of_one_picture(data: Any) -> tuple[Any, Callable[[Any], PersonRow]] | None:
    """The people of a file about one picture (OpenPose, MMPose) and what reads one of them; None for another file."""
    if isinstance(data, dict):
        for key, read in (("people", openpose_row), ("bodies", openpose_row), ("instance_info", mmpose_row)):
            if key in data:
                return data[key], read
    elif isinstance(data, list) and any(isinstance(row, dict) and "keypoint_scores" in row for row in data):
        return data, mmpose_row
    return None


def _coco_people(
    data: Any, path: Path, picture: Path, rivals: Sequence[Path], notes: list[str]
) -> tuple[list[PersonRow], tuple[float, float] | None]:
    """People of one picture in a COCO keypoint file, and the picture's size that it states."""
    entries, size = _coco_rows(data, path, picture, rivals)
    flags = isinstance(data, dict) or any(2 in row["keypoints"][2::3] for row in entries if _is_list(row, "keypoints"))
    return _read_rows(entries, lambda row: coco_row(row, flags and "score" not in row), path, notes), size


def _is_list(row: dict[str, Any], key: str) -> bool:
    return isinstance(row.get(key), list)


def _read_rows(entries: Any, read: Callable[[Any], PersonRow], path: Path, notes: list[str]) -> list[PersonRow]:
    """The people of a file; who cannot be read is left out with a sentence, unless that is everybody."""
    if not isinstance(entries, list):
        raise DetectionError(f"{path}: 'people' is not a list; expected keypoints as OpenPose or MMPose writes them")
    rows, reasons = [], []
    for entry in entries:
        try:
            rows.append(read(entry))
        except ValueError as error:
            reasons.append(str(error))
    if reasons and not rows:
        raise DetectionError(f"{path}: {reasons[0]}")
    if reasons:
        notes.append(f"{path.name}: {len(reasons)} of {len(entries)} people left out: {reasons[0]}.")
    return rows


def _everybody_once(rows: list[PersonRow], path: Path, notes: list[str]) -> list[PersonRow]:
    """Rows with something to fit to, every person once."""
    known = [row for row in rows if row.points is not None or row.box is not None]
    if len(known) < len(rows):
        notes.append(f"{path.name}: {len(rows) - len(known)} of {len(rows)} people have no keypoints and no box.")
    people = merge_same_people(known)
    if len(people) < len(known):
        notes.append(f"{path.name}: {len(known) - len(people)} of {len(known)} rows are of a person who has another.")
    return people


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
            " results), nor MMPose's or AlphaPose's"
        )
    if not all(isinstance(row, dict) and "image_id" in row for row in rows):
        raise DetectionError(
            f"{path}: an entry has no image_id; expected COCO annotations or results, or for --boxes "
            '{"photo.jpg": [[x, y, width, height], ...]}'
        )
    if images:
        numbers = [image.get("id") for image in images]
        own = people_rows([row for row in rows if row["image_id"] in numbers], data.get("categories"))
        return own, stated_size(images[0], "width", "height")
    ids = [row["image_id"] if isinstance(row["image_id"], int) else str(row["image_id"]) for row in rows]
    chosen = entries_of(picture, ids, rivals, path)
    if not chosen:
        raise DetectionError(f"{path} does not name {picture.name}: no image_id is its name, its stem or its number")
    return people_rows([rows[i] for i in chosen], used=rows), None


def _size(photo: Photo) -> tuple[int, int]:
    return photo.width, photo.height


def _stem(path: Path) -> str:
    """The picture's stem in the name of a file about one picture."""
    return path.stem.removesuffix("_keypoints").removesuffix("_openpose").removeprefix("results_")


def _detections(
    rows: list[PersonRow],
    size: tuple[float, float] | None,
    photo: Photo,
    path: Path,
    detector: PeopleDetector | None,
    kind: str,
    notes: list[str],
) -> list[Detection]:
    """People of a file in pixels of the picture, left to right; the detector looks into boxes without keypoints."""
    with_points = [row for row in rows if row.points is not None]
    boxed = [row for row in rows if row.points is None]
    places = [row.points[row.points[:, 2] > _SEEN, :2] for row in with_points if row.points is not None]
    places = places or [row.box.reshape(2, 2) for row in boxed if row.box is not None]
    (scale, shift), note = to_pixels(np.concatenate([np.zeros((0, 2)), *places]), _size(photo), size, path.name)
    said = (note,) if note else ()
    found, bare = [], 0
    for row in with_points:
        person = _detection(row, scale, shift, photo, path)
        if person is not None and _says_too_little(person):
            bare += 1
        elif person is not None:
            found.append(replace(person, warnings=said))
    if bare:
        notes.append(
            f"{path.name}: {bare} people left out: at least {_FEWEST} keypoints, {_NEAREST_PX:g} pixels apart, are "
            "needed to place a body."
        )
    if boxed and detector is None and kind == "keypoints":
        notes.append(f"{path.name}: {len(boxed)} people with a box and no keypoints left out.")
    elif boxed or kind == "boxes":
        boxes = np.array([row.box for row in boxed]).reshape(-1, 4) * np.tile(scale, 2) + np.tile(shift, 2)
        arguments: list[Any] = [photo, boxes, path.name]
        if any(row.score is not None for row in boxed):
            arguments.append([row.score for row in boxed])
        looked = (PeopleDetector() if detector is None else detector).detect_in_boxes(*arguments)
        if not found:
            return [replace(person, warnings=said) for person in looked] if said else looked
        found += [replace(person, warnings=said) for person in looked]
    return left_to_right(found)


def _says_too_little(person: Detection) -> bool:
    """Whether a person's keypoints are too few, or all in one place, to tell where and how large a body is."""
    points = person.keypoints_px[person.confidence > _SEEN]
    return len(points) < _FEWEST or float(np.ptp(points, axis=0).max()) < _NEAREST_PX


def _detection(row: PersonRow, scale: np.ndarray, shift: np.ndarray, photo: Photo, path: Path) -> Detection | None:
    """A person with keypoints, None where no point was seen."""
    assert row.points is not None
    points = row.points[:, :2] * scale + shift
    confidence = np.clip(row.points[:, 2], 0.0, 1.0)
    seen = confidence > _SEEN
    if not np.any(seen):
        return None
    low, high = points[seen].min(axis=0), points[seen].max(axis=0)
    limit = [photo.width, photo.height]
    return Detection(
        box_px=np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)]),
        score=float(confidence[seen].mean()) if row.score is None else row.score,
        keypoint_set=row.keypoint_set,
        keypoints_px=points,
        confidence=confidence,
        source=path.name,
    )
