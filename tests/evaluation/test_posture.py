"""Lean and bend from twelve joints, and pairs of found and true people."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dsr.evaluation.matching import assign, box_iou
from dsr.evaluation.posture import LIMB12_HIPS, LIMB12_NAMES, between_deg, posture, towards_camera_deg

STANDING = np.array(
    [
        [0.2, -0.5, 0], [-0.2, -0.5, 0], [0.2, -0.2, 0], [-0.2, -0.2, 0], [0.2, 0.1, 0], [-0.2, 0.1, 0],
        [0.1, 0, 0], [-0.1, 0, 0], [0.1, 0.4, 0], [-0.1, 0.4, 0], [0.1, 0.8, 0], [-0.1, 0.8, 0],
    ]
)  # fmt: skip
"""(12, 3) upright before the camera, y down, all limbs straight."""


def test_the_joints_are_named_in_pairs():
    assert len(LIMB12_NAMES) == 12 and LIMB12_NAMES[LIMB12_HIPS[0]] == "left_hip"
    assert all(LIMB12_NAMES[i].replace("left", "right") == LIMB12_NAMES[i + 1] for i in range(0, 12, 2))


def test_upright_and_straight():
    body = posture(STANDING)
    np.testing.assert_allclose(body.trunk, [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(body.legs, [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose([*body.knees_deg, *body.elbows_deg], 180, atol=1e-4)
    assert towards_camera_deg(body.trunk) == pytest.approx(0)


@pytest.mark.parametrize("angle", [-30, 10, 25])
def test_lean_has_a_size_and_a_direction(angle):
    """Heads come to the camera (z smaller) when everything turns by a positive angle about x."""
    leaning = STANDING @ Rotation.from_euler("x", angle, degrees=True).as_matrix().T
    body = posture(leaning)
    assert between_deg(body.trunk, np.array([0, -1.0, 0])) == pytest.approx(abs(angle))
    assert towards_camera_deg(body.trunk) == pytest.approx(angle)
    assert (towards_camera_deg(body.trunk) > 0) == (leaning[0, 2] < leaning[6, 2])


def test_a_bent_knee_is_that_of_its_side():
    bent = STANDING.copy()
    bent[LIMB12_NAMES.index("left_ankle")] = bent[LIMB12_NAMES.index("left_knee")] + [0, 0, 0.4]
    np.testing.assert_allclose(posture(bent).knees_deg, [90, 180], atol=1e-4)
    np.testing.assert_allclose(posture(bent).elbows_deg, 180, atol=1e-4)


def test_what_is_not_known_is_nan():
    unknown = STANDING.copy()
    unknown[LIMB12_NAMES.index("right_ankle")] = np.nan
    body = posture(unknown)
    assert np.isnan(body.knees_deg[1]) and body.knees_deg[0] == pytest.approx(180) and np.isnan(body.legs).all()


def test_pairs_are_one_to_one_and_within_the_limit():
    assert assign(np.array([[0.1, 0.2], [0.15, 0.9]]), 0.5) == {0: 1, 1: 0}
    assert assign(np.array([[0.1, np.inf], [np.inf, 0.6]]), 0.5) == {0: 0}
    assert assign(np.array([[np.nan, 3.0]]), np.inf) == {0: 1}
    assert assign(np.zeros((0, 2)), 1.0) == {} and assign(np.zeros((2, 0)), 1.0) == {}


def test_overlap_of_boxes():
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]], float)
    np.testing.assert_allclose(box_iou(np.array([0, 0, 2, 2.0]), others), [1, 1 / 3, 0])
    assert box_iou(np.array([0, 0, 1, 1.0]), np.zeros((0, 4))).shape == (0,)
