"""Figures and sentences about a fit: what counts as visible, which number is which, which border cuts."""

from __future__ import annotations

import numpy as np
import pytest

from dsr.body.joints import joint_names
from dsr.fitting.residuals import reprojection_residuals, visibility_warnings
from dsr.people.types import Detection

NAMES = joint_names("coco17")
CUT, LEGS = "cut by the border", "legs are hidden"


def person(box=(100, 50, 300, 450), hidden=()):
    confidence = np.array([0.4 if any(part in name for part in hidden) else 0.9 for name in NAMES])
    return Detection(np.array(box, float), 0.9, "coco17", np.tile([200.0, 200.0], (17, 1)), confidence)


def test_residuals_are_medians_over_visible_keypoints():
    detection = person(hidden=("ankle",))
    projected = detection.keypoints_px + np.array([3.0, 4.0])
    projected[[NAMES.index("left_ankle"), NAMES.index("right_ankle")]] += 1e3
    projected[0] += 500  # one outlier moves no median
    assert reprojection_residuals(detection, projected) == {"reprojection_px": 5.0, "reprojection_rel": 5.0 / 400}
    detection.confidence[:] = 0.1
    assert reprojection_residuals(detection, projected) == {"reprojection_px": None, "reprojection_rel": None}


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((100, 50, 300, 450), False),
        ((0.5, 50, 300, 450), True),
        ((100, 0.5, 300, 450), True),
        ((100, 50, 639.5, 450), True),
        ((100, 50, 300, 479.5), True),
        ((100, 50, 479.5, 450), False),  # the height does not bound the width
    ],
)
def test_a_box_at_any_border_is_said(box, cut):
    assert any(CUT in sentence for sentence in visibility_warnings(person(box), (640, 480))) == cut


@pytest.mark.parametrize(
    ("hidden", "said"), [((), False), (("knee", "ankle"), True), (("ankle",), False), (("left_knee", "ankle"), False)]
)
def test_legs_are_hidden_where_no_knee_and_no_ankle_is_seen(hidden, said):
    assert any(LEGS in sentence for sentence in visibility_warnings(person(hidden=hidden), (640, 480))) == said


@pytest.mark.parametrize(
    ("hidden", "said"),
    [(("elbow", "wrist"), "The arms are"), (("knee", "ankle", "elbow", "wrist"), "The arms and legs are")],
)
def test_arms_are_told_too(hidden, said):
    assert any(sentence.startswith(said) for sentence in visibility_warnings(person(hidden=hidden), (640, 480)))


@pytest.mark.parametrize(
    ("heights", "said"),
    [
        ({"shoulder": 400, "hip": 250, "knee": 150, "nose": 450}, True),  # on the head
        ({"shoulder": 100, "hip": 250, "knee": 350, "nose": 50}, False),
        ({"shoulder": 300, "hip": 250, "knee": 400, "nose": 350}, False),  # bends down
    ],
)
def test_whoever_is_upside_down_may_be_in_a_picture_that_is(heights, said):
    someone = person()
    for k, name in enumerate(NAMES):
        someone.keypoints_px[k, 1] = next((v for part, v in heights.items() if part in name), 200)
    assert any("upside down" in sentence for sentence in visibility_warnings(someone, (640, 480))) == said
