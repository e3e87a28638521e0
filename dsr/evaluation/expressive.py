"""Fingers, wrists, jaws, gazes and lids of made-up people, fitted from their pictures, against the truth."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body import BodyAsset, load_asset
from dsr.body.numpy_lbs import skeleton
from dsr.evaluation.expressive_drawn import ExpressivePerson, draw_person, finger_places
from dsr.fitting.faces import EYES
from dsr.fitting.fingers import FINGERS, RestHand
from dsr.fitting.hands import global_rotation
from dsr.options import FitOptions
from dsr.people.hands import SIDES, Side

if TYPE_CHECKING:
    from dsr.results.picture import PersonResult

TIPS = slice(15, 20)
"""Fingertips among the 20 places of a hand."""


@dataclass
class HandScore:
    """One hand that counts.

    Attributes:
        person: seed of the person.
        side: of the person.
        seen: whether the fit found it; the other figures are those of its relaxed hand else.
        joints_mm: mean distance of finger joints and tips, wrists laid on each other, camera's axes.
        relaxed_mm: the same with relaxed fingers on the wrist as fitted.
        in_hand_mm: the same as ``joints_mm`` with the hand's rotation taken out.
        tips_px: mean distance of fingertips in the picture.
        twist_deg: how far the hand's rotation is off about the forearm.
        rotation_deg: how far it is off in all.
        own_side: whether it lies on the hand of its side in the picture, not nearer to the other one.
    """

    person: int
    side: Side
    seen: bool
    joints_mm: float
    relaxed_mm: float
    in_hand_mm: float
    tips_px: float
    twist_deg: float
    rotation_deg: float
    own_side: bool


@dataclass
class FaceScore:
    """One face that counts.

    Attributes:
        person: seed of the person.
        seen: whether the fit found it; the other figures are those of a face at rest else.
        jaw_deg: how far the jaw's opening is off.
        shut_deg: the same with the mouth shut.
        gaze_deg: how far the eyes' turn is off; NaN where they are closed.
        ahead_deg: the same looking ahead.
        lids_right: whether closed and open eyes are told apart.
    """

    person: int
    seen: bool
    jaw_deg: float
    shut_deg: float
    gaze_deg: float
    ahead_deg: float
    lids_right: bool


@dataclass
class ExpressiveReport:
    """All scores, and how many made-up people the detector did not find."""

    hands: list[HandScore] = field(default_factory=list)
    faces: list[FaceScore] = field(default_factory=list)
    missed: int = 0

    def mean(self, name: str, seen_only: bool = True) -> float:
        """Mean of a figure of the hands or else the faces; NaN where there is none."""
        rows: Sequence[Any] = self.hands if name in _HAND_FIGURES else self.faces
        values = [float(getattr(row, name)) for row in rows if row.seen or not seen_only]
        values = [value for value in values if np.isfinite(value)]
        return float(np.mean(values)) if values else float("nan")

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        means = {name: self.mean(name) for name in (*_HAND_FIGURES, *_FACE_FIGURES)}
        return {**asdict(self), "means": means}


_HAND_FIGURES = ("joints_mm", "relaxed_mm", "in_hand_mm", "tips_px", "twist_deg", "rotation_deg", "own_side")
_FACE_FIGURES = ("jaw_deg", "shut_deg", "gaze_deg", "ahead_deg", "lids_right")


def evaluate_expressive(
    people: int, options: FitOptions | None = None, on_progress: Callable[[int, int, str], None] | None = None
) -> ExpressiveReport:
    """Make people from ``options.seed`` on, fit them with hands and faces, and score.

    Args:
        people: how many.
        options: how to fit; ``expressive`` and the focal length are set here.
        on_progress: called with people done, people in all and what is done.
    """
    from PIL import Image

    from dsr.pipeline.picture_fitter import fit_images

    options = options or FitOptions()
    asset, report = load_asset("open-x"), ExpressiveReport()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "person.png"
        for done in range(people):
            seed = options.seed + done
            person = draw_person(asset, seed)
            Image.fromarray(person.picture).save(path)
            asked = replace(options, expressive=True, focal=float(person.K[0, 0]), person="largest")
            result = next(iter(fit_images([path], asked, jobs=1)))
            if result.people:
                score(report, seed, person, result.people[0], asset)
            else:
                report.missed += 1
            if on_progress is not None:
                on_progress(done + 1, people, "hands and faces")
    return report


def score(report: ExpressiveReport, seed: int, person: ExpressivePerson, found: PersonResult, asset: BodyAsset) -> None:
    """Add the scores of one person's hands and face."""
    names = list(asset.joint_names)
    betas, pose, orient = (np.asarray(row, np.float64) for row in (found.betas, found.body_pose, found.global_orient))
    true = {side: finger_places(asset, person.betas, person.pose, person.orient, side) for side in SIDES}
    fitted = {side: finger_places(asset, betas, pose, orient, side) for side in SIDES}
    wrists = {side: names.index(f"{side}_wrist") for side in SIDES}
    true_wrists = skeleton(asset, person.betas, person.pose, person.orient, person.transl)[1][:, :3, 3]
    true_px = {side: _pixels(true[side] + true_wrists[wrists[side]], person.K) for side in SIDES}
    for side in person.hands:
        rest = RestHand(asset, betas, side)
        first = names.index(f"{side}_{FINGERS[0]}1") - 1
        idle = pose.copy()
        idle[first : first + 15] = rest.as_pose(np.eye(3), rest.relaxed).fingers
        relaxed = finger_places(asset, betas, idle, orient, side)
        wrist = wrists[side]
        seen, right = (
            global_rotation(asset.parents, p[None], np.asarray(o)[None], wrist)[0]
            for p, o in ((pose, orient), (person.pose, person.orient))
        )
        off = Rotation.from_matrix(seen.T @ right).as_rotvec()
        pixels = _pixels(fitted[side] + found.joints_cam_m[wrist], person.K)
        distance = {other: float(np.linalg.norm(pixels - true_px[other], axis=1).mean()) for other in SIDES}
        report.hands.append(
            HandScore(
                seed,
                side,
                bool(found.hands and found.hands.get(side) is not None),
                _mm(fitted[side] - true[side]),
                _mm(relaxed - true[side]),
                _mm(fitted[side] @ seen - true[side] @ right),
                float(np.linalg.norm((pixels - true_px[side])[TIPS], axis=1).mean()),
                float(np.degrees(abs(off @ rest.forearm))),
                float(np.degrees(np.linalg.norm(off))),
                distance[side] == min(distance.values()),
            )
        )
    if person.faces:
        _score_face(report, seed, person, found, names)


def _score_face(
    report: ExpressiveReport, seed: int, person: ExpressivePerson, found: PersonResult, names: list[str]
) -> None:
    jaw, eye = names.index("jaw") - 1, names.index(EYES[0]) - 1
    actions = found.actions or {}
    shut = np.mean([actions.get(f"eyeBlink{side}", 0.0) for side in ("Left", "Right")]) > 0.5
    gaze = np.degrees(np.linalg.norm(found.body_pose[eye] - person.pose[eye]))
    report.faces.append(
        FaceScore(
            seed,
            bool(actions),
            float(np.degrees(abs(found.body_pose[jaw, 0] - person.pose[jaw, 0]))),
            float(np.degrees(abs(person.pose[jaw, 0]))),
            float("nan") if person.closed else float(gaze),
            float("nan") if person.closed else float(np.degrees(np.linalg.norm(person.pose[eye]))),
            bool(shut) == person.closed,
        )
    )


def _pixels(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    projected = points @ K.T
    pixels: np.ndarray = projected[:, :2] / projected[:, 2:]
    return pixels


def _mm(off: np.ndarray) -> float:
    return float(1000 * np.linalg.norm(off, axis=1).mean())
