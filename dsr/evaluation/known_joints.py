"""Detections with true limb joints in place of the detector's: tells its share of an error from the fit's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dsr.body import joint_names
from dsr.evaluation.matching import assign, box_iou
from dsr.evaluation.metrics import procrustes_align
from dsr.evaluation.posture import LIMB12_NAMES

if TYPE_CHECKING:
    from dsr.evaluation.view_truth import TrueView
    from dsr.image import Photo
    from dsr.people import Detection
    from dsr.results.picture import PersonResult

ASTRAY = 0.3
"""Mean distance of the limb joints, in sides of the true box, from which on keypoints lie somewhere else."""
_TRUE_SIGMA_M, _HANGING_SIGMA_M = 0.01, 0.05
"""How certain true landmarks are, and those that are laid onto them."""
_SAME_BOX_IOU = 0.3
"""Somebody whose box overlaps the true one this much is the same person, wherever the keypoints lie."""
_HANGING = {
    "wrist": ("pinky", "index", "thumb"),
    "ankle": ("heel", "foot_index"),
}
"""Points of ``blazepose33`` that go where a limb joint goes."""


def limb_index(keypoint_set: str) -> list[int]:
    """Places of :data:`~dsr.evaluation.posture.LIMB12_NAMES` in a keypoint set."""
    names = joint_names(keypoint_set)
    return [names.index(name) for name in LIMB12_NAMES]


def match_views(views: Sequence[TrueView], people: Sequence[PersonResult | Detection]) -> dict[int, int]:
    """Which found person is which true one of the same picture.

    The nearest by the mean distance of the known limb joints, among those whose joints are not astray (:data:`ASTRAY`)
    or whose box overlaps the true one with an IoU of at least 0.3: somebody found upside down is found.

    Args:
        views: true people of one picture.
        people: everybody found there.

    Returns:
        Index of the found person per index of a matched view.
    """
    cost = np.full((len(views), len(people)), np.inf)
    for i, view in enumerate(views):
        overlaps = box_iou(view.box_px, np.array([person.box_px for person in people]).reshape(-1, 4))
        for j, person in enumerate(people):
            distance = limb_distance(view, person.keypoint_set, person.keypoints_px)
            if distance < ASTRAY or overlaps[j] >= _SAME_BOX_IOU:
                cost[i, j] = distance
    return assign(cost, np.inf)


def limb_distance(view: TrueView, keypoint_set: str, keypoints_px: np.ndarray) -> float:
    """Mean distance of keypoints (K, 2 or more) to the known limb joints, in sides of the true box."""
    apart = np.linalg.norm(np.asarray(keypoints_px)[limb_index(keypoint_set), :2] - view.joints_px, axis=1)
    return float(apart[view.known].mean() / (view.box_px[2:] - view.box_px[:2]).max())


def with_true_pixels(detection: Detection, view: TrueView) -> Detection:
    """A detection whose limb keypoints are the true ones, certain; hands and feet move with wrists and ankles."""
    index = limb_index(detection.keypoint_set)
    pixels, confidence = np.array(detection.keypoints_px, np.float64), np.array(detection.confidence, np.float64)
    before = pixels.copy()
    for place, joint, known in zip(index, view.joints_px, view.known, strict=True):
        if known:
            pixels[place], confidence[place] = joint, 1.0
    _drag(detection.keypoint_set, pixels, pixels - before)
    return replace(detection, keypoints_px=pixels, confidence=confidence)


def with_true_landmarks(detection: Detection, view: TrueView) -> Detection:
    """A detection whose 3D landmarks of the limbs are the true ones, said to be certain; the others are laid onto them.

    The detector's landmarks are first aligned with the truth (rotation, place, scale), so that face, hands and feet
    agree with the limbs; hands and feet then move with wrists and ankles. Without 3D landmarks it comes back as it is.
    """
    if detection.world_m is None:
        return detection
    index = limb_index(detection.keypoint_set)
    landmarks = np.asarray(detection.world_m, np.float64)
    truth, known = np.full_like(landmarks, np.nan), np.zeros(len(landmarks), bool)
    truth[index], known[index] = view.joints_m, view.known
    world = procrustes_align(landmarks, np.where(known[:, None], truth, 0.0), known)
    before = world.copy()
    world[known] = truth[known]
    _drag(detection.keypoint_set, world, world - before)
    names = joint_names(detection.keypoint_set)
    hips = [names.index("left_hip"), names.index("right_hip")]
    sigma = np.where(known, _TRUE_SIGMA_M, _HANGING_SIGMA_M)
    return replace(detection, world_m=world - world[hips].mean(0), world_sigma_m=sigma)


def _drag(keypoint_set: str, points: np.ndarray, moved: np.ndarray) -> None:
    """Move what hangs on a wrist or ankle as far as that, in place."""
    names = joint_names(keypoint_set)
    for side in ("left", "right"):
        for limb, parts in _HANGING.items():
            shift = moved[names.index(f"{side}_{limb}")]
            for part in parts:
                if f"{side}_{part}" in names:
                    points[names.index(f"{side}_{part}")] += shift


class KnownJointsFinder:
    """Finds people by another finder, once per picture, and puts the true joints of those it knows into them.

    Args:
        find_people: the people of a photograph.
        views: true people by picture.
    """

    def __init__(
        self, find_people: Callable[[Photo], list[Detection]], views: Mapping[Path, Sequence[TrueView]]
    ) -> None:
        self._find_people, self._views = find_people, views
        self._detections: dict[Path, list[Detection]] = {}
        self.true_2d = self.true_3d = False

    def __call__(self, photo: Photo) -> list[Detection]:
        """The people of a photograph, left to right."""
        path = Path(photo.path)
        if path not in self._detections:
            self._detections[path] = self._find_people(photo)
        people = list(self._detections[path])
        views = self._views[path]
        matches = match_views(views, people)
        for i, j in matches.items():
            if self.true_3d:
                people[j] = with_true_landmarks(people[j], views[i])
            if self.true_2d:
                people[j] = with_true_pixels(people[j], views[i])
        return people
