"""Hands of fitted people: what the picture shows goes into the body, what it does not is relaxed."""

import numpy as np
import pytest
import torch

from dsr.body import load_body
from dsr.camera import PictureCamera
from dsr.errors import UsageError
from dsr.fitting.fingers import RestHand
from dsr.fitting.hands import check_fingers, posed_again, with_hands
from dsr.people.hands import Hand, region_of_landmarks
from dsr.results.picture import PersonResult

K = np.array([[1500.0, 0, 500], [0, 1500.0, 400], [0, 0, 1]])
CAMERA = PictureCamera(K, (1000, 800))


@pytest.fixture(scope="module")
def body():
    return load_body("open-x")


def somebody(body, wrist=None, fingers=None):
    """A person before the camera, arms out, the left hand as given."""
    pose = np.zeros((54, 3), np.float32)
    if wrist is not None:
        pose[19] = wrist
    if fingers is not None:
        pose[24:39] = fingers
    betas, orient, transl = np.zeros(10, np.float32), np.array([np.pi, 0, 0], np.float32), np.array([-0.6, 0.3, 2.5])
    output = body(*(torch.from_numpy(np.asarray(row, np.float32)[None]) for row in (betas, pose, orient, transl)))
    return PersonResult(
        id="p0",
        box_px=np.zeros(4),
        score=1.0,
        keypoint_set="blazepose33",
        keypoints_px=np.zeros((33, 3)),
        betas=betas,
        global_orient=orient,
        body_pose=pose,
        transl=transl.astype(np.float32),
        vertices_cam_m=output.vertices[0].numpy(),
        joints_cam_m=output.joints[0].numpy(),
        height_m=1.7,
    )


def seen_hand(body, person, side="left"):
    """The hand of a person as a landmark model would see it without error."""
    rest = RestHand(body.asset, person.betas, side)
    angles = rest.within_limits(rest.relaxed + np.array(4 * [0.5, 0.05, 0.6, 0.3] + [0.1, 0, 0, 0.3, 0.3]))
    fingers = rest.as_pose(np.eye(3), angles).fingers
    twisted = somebody(body, rest.forearm * 0.6, fingers)
    from dsr.body import skeleton

    _, transforms = skeleton(body.asset, twisted.betas, twisted.body_pose, twisted.global_orient, twisted.transl)
    turn = transforms[20, :3, :3]
    seen = rest.landmarks(angles, as_seen=True)
    world = (seen - rest.landmarks(angles)[9]) @ turn.T
    points = world + transforms[28, :3, 3]
    pixels = points @ K.T
    pixels = np.c_[pixels[:, :2] / pixels[:, 2:], np.zeros(21)]
    hand = Hand(side, region_of_landmarks(pixels[:, :2]), 0.99, 0.95, pixels, world, 0.0)
    return hand, twisted


def test_fingers_and_twist_are_taken_from_the_picture(body):
    person = somebody(body)
    hand, truth = seen_hand(body, person)
    found = posed_again(with_hands(person, {"left": hand}, CAMERA, body), body)
    first = body.asset.joint_names.index("left_index1")
    rows = slice(first, first + 15)

    def off(one):
        from_wrist = one.joints_cam_m[rows] - one.joints_cam_m[20]
        return np.linalg.norm(from_wrist - (truth.joints_cam_m[rows] - truth.joints_cam_m[20]), axis=1).mean()

    assert off(found) < 0.4 * off(person) and off(found) < 0.012
    np.testing.assert_allclose(found.joints_cam_m[:22], person.joints_cam_m[:22], atol=2e-3)  # all else stays
    assert found.hands == {"left": 0.99, "right": None} and found.warnings == []
    assert np.linalg.norm(found.body_pose[17]) > 0.1  # the forearm takes its share of the twist


def test_hands_that_are_not_seen_are_relaxed_and_unsure(body):
    person = somebody(body)
    found = with_hands(person, {}, CAMERA, body)
    rest = RestHand(body.asset, person.betas, "right")
    np.testing.assert_allclose(found.body_pose[39:54], rest.as_pose(np.eye(3), rest.relaxed).fingers, atol=1e-6)
    assert (found.joint_uncertainty_mm[25:55] > 10).all() and np.isnan(found.joint_uncertainty_mm[:25]).all()
    assert found.hands == {"left": None, "right": None}
    np.testing.assert_array_equal(found.body_pose[:24], person.body_pose[:24])


def test_a_hand_of_a_doubtful_side_is_called_a_guess(body):
    from dataclasses import replace

    person = somebody(body)
    hand, _ = seen_hand(body, person)
    found = with_hands(person, {"left": replace(hand, side_probability=0.2)}, CAMERA, body)
    assert any("left hand" in sentence and "guess" in sentence for sentence in found.warnings)


def test_a_body_without_fingers_is_refused():
    with pytest.raises(UsageError, match="--hands needs a body with fingers"):
        check_fingers(load_body("open-light"))
