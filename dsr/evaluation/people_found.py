"""Who of the annotated people of pictures is found, and how well: the fit's people against COCO annotations.

Somebody is found if a person of the fit has its keypoints on them: the mean distance of the visible annotated joints
(of all labelled ones where fewer than three are visible) is below 20 % of the longer side of the annotated box. Pairs
are one to one, of the smallest total distance. A person of the fit without a pair is, in this order: in a crowd (left
out); on somebody annotated (a box that overlaps theirs by half, half of its joints on theirs, or its trunk on theirs),
misplaced where that somebody has no pair and no other such body, else a second one; or unannotated: only where
everybody is annotated does that mean that nobody is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.body import joint_names
from dsr.evaluation.coco_people import EXTENTS, HIDERS, AnnotatedPerson, AnnotatedPicture, extent
from dsr.evaluation.matching import assign, box_iou
from dsr.options import FitOptions, body_to_load

if TYPE_CHECKING:
    from dsr.body import BodyAsset
    from dsr.results.picture import FitResult, PersonResult

FOUND_DISTANCE = 0.2
"""Mean distance of the joints, in longer sides of the annotated box, below which somebody is found."""
JOINT_DISTANCE = 0.05
"""A joint this near, in longer sides of the annotated box, is right."""
STRATA = (*EXTENTS, *HIDERS.values(), "overlapped", "small", "dark")
PLAIN_PX = 40.0
"""Who shows this much of face or trunk is plain to see."""
_SECOND_IOU = 0.5
_TRUNK, _ON_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip"), 0.15
_SMALL_SHARE = 0.15
_DARK_LEVEL = 50.0


@dataclass
class PersonFound:
    """What was measured on one annotated person.

    Attributes:
        picture: file name.
        person: place among the annotated people of the picture.
        strata: what of :data:`STRATA` applies: how much is seen; overlapped by or overlapping somebody annotated by a
            third of the smaller box; small: box below 15 % of the picture's longer side; dark: mean grey below 50.
        found: whether a person of the fit is this one.
        joints: labelled joints that both keypoint sets have.
        detector_right: how many of them the detector has within 5 % of the box.
        body_right: how many of them the fitted body has.
        distance_percent: mean distance of the detector's joints, in percent of the longer side of the box.
        plain: whether face or trunk is seen on 40 pixels; None where the truth does not say.
    """

    picture: str
    person: int
    strata: list[str]
    found: bool = False
    joints: int = 0
    detector_right: int = 0
    body_right: int = 0
    distance_percent: float | None = None
    plain: bool | None = None


@dataclass
class PictureFound:
    """What was found in one picture: annotated people, found ones of them, the others as the module says."""

    picture: str
    annotated: int
    found: int
    misplaced: int
    second: int
    unannotated: int
    message: str = ""


@dataclass
class PeopleReport:
    """Scores of a set of pictures; ``failed`` holds those that could not be fitted."""

    people: list[PersonFound] = field(default_factory=list)
    pictures: list[PictureFound] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Figures over all and by stratum."""
        strata = {name: [p for p in self.people if name in p.strata] for name in STRATA}
        return {
            "all": _figures(self.people),
            "misplaced": sum(p.misplaced for p in self.pictures),
            "second": sum(p.second for p in self.pictures),
            "unannotated": sum(p.unannotated for p in self.pictures),
            "strata": {name: _figures(people) for name, people in strata.items() if people},
        }

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {"summary": self.summary(), **asdict(self)}


def evaluate_people(
    pictures: Sequence[AnnotatedPicture],
    options: FitOptions | None = None,
    *,
    jobs: int = 1,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> PeopleReport:
    """Fit everybody in annotated pictures and say who was found.

    Args:
        pictures: of :func:`~dsr.evaluation.coco_people.load_annotations`.
        options: how to fit.
        jobs: pictures fitted at a time; 0 chooses by the processor.
        on_progress: called with the number of finished pictures, that of all, and the name of the last one.

    Raises:
        UsageError: for options that cannot work.
    """
    from dsr.body import load_asset
    from dsr.pipeline.picture_fitter import fit_images

    options = options or FitOptions()
    asset = load_asset(body_to_load(options))
    report = PeopleReport()
    results = fit_images([p.path for p in pictures], options, jobs=jobs, keep_pictures=True)
    for done, (picture, result) in enumerate(zip(pictures, results, strict=True), 1):
        score_picture(picture, result, asset, report)
        if on_progress is not None:
            on_progress(done, len(pictures), picture.path.name)
    return report


def score_picture(picture: AnnotatedPicture, result: FitResult, asset: BodyAsset, report: PeopleReport) -> None:
    """Add what was found in one picture to the report.

    Args:
        picture: the annotations.
        result: the fit; its picture is looked at for darkness where it is kept.
        asset: the fitted body.
        report: grows by one picture and its people.
    """
    name = picture.path.name
    if result.status not in ("ok", "no_person"):
        report.failed.append(f"{name}: {result.message}")
    people = result.people
    costs = [
        [distance(truth, person.keypoint_set, person.keypoints_px) for person in people] for truth in picture.people
    ]
    pairs = assign(np.array(costs, np.float64).reshape(len(picture.people), len(people)), FOUND_DISTANCE)
    for i, truth in enumerate(picture.people):
        score = PersonFound(name, i, [extent(truth), *_circumstances(i, picture, result)])
        score.plain = None if truth.plain_px is None else truth.plain_px >= PLAIN_PX
        if i in pairs:
            _score_person(score, truth, people[pairs[i]], result, asset)
        report.people.append(score)
    misplaced = second = unannotated = 0
    taken = set(pairs)
    for j, person in enumerate(people):
        if j in pairs.values() or _in_crowd(person, picture):
            continue
        under = [i for i, truth in enumerate(picture.people) if _lies_on(truth, person)]
        free = [i for i in under if i not in taken]
        taken.update(free[:1])
        misplaced += bool(free)
        second += bool(under) and not free
        unannotated += not under
    counts = (len(picture.people), len(pairs), misplaced, second, unannotated)
    report.pictures.append(PictureFound(name, *counts, result.message))


def distance(truth: AnnotatedPerson, keypoint_set: str, keypoints_px: np.ndarray) -> float:
    """Mean distance of keypoints (K, 2 or more) to the annotated joints, in longer sides of the annotated box.

    Over the visible joints, or over all labelled ones where fewer than three are visible; infinite without any.
    """
    mine, theirs = _shared(truth, keypoint_set, 2)
    if len(mine) < 3:
        mine, theirs = _shared(truth, keypoint_set, 1)
    if not len(mine):
        return float("inf")
    apart = np.linalg.norm(np.asarray(keypoints_px)[theirs, :2] - truth.keypoints_px[mine], axis=1)
    return float(apart.mean() / _side(truth))


def _shared(truth: AnnotatedPerson, keypoint_set: str, least: int) -> tuple[list[int], list[int]]:
    """Joints of at least this visibility that a keypoint set has too: places there and here."""
    names = joint_names(keypoint_set)
    mine = [i for i, name in enumerate(truth.names) if name in names and truth.visibility[i] >= least]
    return mine, [names.index(truth.names[i]) for i in mine]


def _side(truth: AnnotatedPerson) -> float:
    return float((truth.box_px[2:] - truth.box_px[:2]).max())


def _score_person(
    score: PersonFound, truth: AnnotatedPerson, person: PersonResult, result: FitResult, asset: BodyAsset
) -> None:
    score.found = True
    mine, theirs = _shared(truth, person.keypoint_set, 1)
    apart = np.linalg.norm(person.keypoints_px[theirs, :2] - truth.keypoints_px[mine], axis=1) / _side(truth)
    score.joints, score.detector_right = len(mine), int((apart < JOINT_DISTANCE).sum())
    score.distance_percent = 100 * float(apart.mean())
    if result.K is not None:
        from dsr.camera import PictureCamera

        points = asset.keypoint_regressor(person.keypoint_set) @ np.asarray(person.vertices_cam_m, np.float64)
        pixels = PictureCamera(result.K, result.image_size).project(np.asarray(points)[theirs])
        body = np.linalg.norm(pixels - truth.keypoints_px[mine], axis=1) / _side(truth)
        score.body_right = int((body < JOINT_DISTANCE).sum())


def _in_crowd(person: PersonResult, picture: AnnotatedPicture) -> bool:
    centre = (person.box_px[:2] + person.box_px[2:]) / 2
    crowds = picture.crowds_px
    return bool(((crowds[:, :2] <= centre) & (centre <= crowds[:, 2:])).all(1).any())


def _lies_on(truth: AnnotatedPerson, person: PersonResult) -> bool:
    """Whether a body without a pair lies on an annotated person."""
    if box_iou(truth.box_px, np.asarray(person.box_px, np.float64)[None])[0] >= _SECOND_IOU:
        return True
    mine, theirs = _shared(truth, person.keypoint_set, 1)
    away = (person.keypoints_px[theirs, :2] - truth.keypoints_px[mine]) / _side(truth)
    trunk = [k for k, i in enumerate(mine) if truth.names[i] in _TRUNK]
    on_trunk = len(trunk) >= 2 and float(np.hypot(*away[trunk].mean(0))) < _ON_TRUNK
    return on_trunk or (bool(len(mine)) and float((np.hypot(*away.T) < 2 * JOINT_DISTANCE).mean()) >= 0.5)


def _circumstances(i: int, picture: AnnotatedPicture, result: FitResult) -> list[str]:
    """What else makes a person hard to find, of :data:`STRATA`."""
    box, found = picture.people[i].box_px, []
    others = np.array([p.box_px for k, p in enumerate(picture.people) if k != i]).reshape(-1, 4)
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    areas = (others[:, 2:] - others[:, :2]).prod(1)
    if (np.clip(high - low, 0, None).prod(1) > np.minimum(areas, (box[2:] - box[:2]).prod()) / 3).any():
        found.append("overlapped")
    if (box[2:] - box[:2]).max() < _SMALL_SHARE * max(result.image_size):
        found.append("small")
    if result.overlay_rgb is not None:
        scale = result.overlay_rgb.shape[1] / max(result.image_size[0], 1)
        x0, y0, x1, y1 = np.clip(box * scale, 0, None).astype(int)
        window = result.overlay_rgb[y0 : y1 + 1, x0 : x1 + 1]
        if window.size and float(window.mean()) < _DARK_LEVEL:
            found.append("dark")
    return found


def _figures(people: Sequence[PersonFound]) -> dict[str, Any]:
    found, plain = [p for p in people if p.found], [p for p in people if p.plain]
    joints = sum(p.joints for p in found)
    return {
        "annotated": len(people),
        "found": len(found),
        "found_percent": 100 * len(found) / len(people) if people else None,
        "plain": len(plain),
        "plain_found": sum(p.found for p in plain),
        "plain_percent": 100 * sum(p.found for p in plain) / len(plain) if plain else None,
        "detector_joints_percent": 100 * sum(p.detector_right for p in found) / joints if joints else None,
        "body_joints_percent": 100 * sum(p.body_right for p in found) / joints if joints else None,
        "distance_percent": _mean(p.distance_percent for p in found),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


__all__ = ["PeopleReport", "PersonFound", "PictureFound", "distance", "evaluate_people", "score_picture"]
