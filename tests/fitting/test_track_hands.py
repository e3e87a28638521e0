"""Hands and faces through a clip: no flips between the two readings in depth, gaps bridged, blinks kept."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_hand_fit import CAMERA, seen_hand, somebody

from dsr.body import load_body
from dsr.fitting.fingers import FingerPose
from dsr.fitting.track_faces import QUICK_S, SMOOTH_S, smooth
from dsr.fitting.track_hands import global_rotation, likeliest, smooth_hand, steady, with_track_hands
from dsr.results.clip import TrackResult

FPS, COUNT = 25.0, 12


@pytest.fixture(scope="module")
def body():
    return load_body("open-x")


def still(person):
    """A track of somebody who does not move."""

    def rows(value):
        return np.repeat(np.asarray(value)[None], COUNT, axis=0)

    return TrackResult(
        id="p0",
        frames=np.arange(COUNT),
        observed=np.ones(COUNT, bool),
        score=1.0,
        keypoint_set="blazepose33",
        keypoints_px=np.zeros((COUNT, 33, 3)),
        boxes_px=np.zeros((COUNT, 4)),
        betas=person.betas,
        global_orient=rows(person.global_orient),
        body_pose=rows(person.body_pose),
        transl=rows(person.transl),
        joints_cam_m=rows(person.joints_cam_m),
        contacts=np.zeros((COUNT, 4), bool),
        height_m=1.7,
    )


def turns(pose):
    """(T-1, R) degrees that joints (T, R, 3) turn from frame to frame."""
    matrices = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(*pose.shape[:2], 3, 3)
    steps = np.swapaxes(matrices[:-1], -1, -2) @ matrices[1:]
    vectors = Rotation.from_matrix(steps.reshape(-1, 3, 3)).as_rotvec()
    return np.degrees(np.linalg.norm(vectors, axis=1)).reshape(steps.shape[:2])


def test_a_hand_read_the_wrong_way_round_in_some_frames_does_not_flip(body):
    person = somebody(body)
    hand, truth = seen_hand(body, person)
    wrong = replace(hand, world_m=hand.world_m * [1, 1, -1], side_probability=0.45)
    hands = [{"left": wrong if t in (3, 4, 8) else hand} for t in range(COUNT)]
    found = with_track_hands(still(person), hands, CAMERA, body, FPS)
    rows = slice(25, 40)
    joints, true = found.joints_cam_m, truth.joints_cam_m
    off = np.linalg.norm((joints[:, rows] - joints[:, 20:21]) - (true[rows] - true[20]), axis=2).mean(1)
    assert off.max() < 0.02
    assert turns(found.body_pose[:, 24:39]).max() < 20 and turns(found.body_pose[:, 18:21]).max() < 20
    assert found.hand_presence[:, 0].tolist() == [pytest.approx(0.99)] * COUNT
    assert np.isnan(found.hand_presence[:, 1]).all()


def test_of_two_readings_the_one_that_goes_on_is_taken():
    def reading(angle, bend):
        return FingerPose(Rotation.from_rotvec([angle, 0, 0]).as_matrix(), np.full(21, bend), np.zeros((15, 3)))

    right, wrong = reading(0.1, 0.2), reading(2.0, 0.2)
    frames = [((right, wrong), np.array([0.0, 2.0])), ((right, wrong), np.array([1.0, 0.0]))] * 3
    chosen = likeliest(frames, np.ones(5))
    assert len(chosen) == 6 and all(each is right for each in chosen)
    assert likeliest([], np.zeros(0)) == []


def test_a_hand_turned_as_far_as_it_goes_does_not_flip_to_the_other_side():
    assert steady([2.9, 3.1, -3.1, -3.0]) == pytest.approx([2.9, 3.1, 2 * np.pi - 3.1, 2 * np.pi - 3.0])
    assert steady([-3.0, -3.1, 3.1]) == pytest.approx([-3.0, -3.1, 3.1 - 2 * np.pi])
    assert steady([0.1, 6.2]) == pytest.approx([0.1, 6.2 - 2 * np.pi])


def test_a_short_gap_is_bridged_and_a_long_one_relaxes():
    count, relaxed = 60, np.full(21, 0.3)
    angles, weights = np.tile(relaxed, (count, 1)), np.ones(count)
    angles[:] = 1.2
    weights[10:13] = weights[25:50] = 0
    angles[weights == 0] = 0.3
    out, rotations = smooth_hand(angles, np.tile(np.eye(3), (count, 1, 1)), weights, relaxed, FPS)
    assert out[10:13].min() > 1.0 and out[37].max() < 0.4 and out[5].min() > 1.15
    assert np.abs(np.diff(out, axis=0)).max() < 0.35
    np.testing.assert_allclose(rotations, np.tile(np.eye(3), (count, 1, 1)), atol=1e-9)


def test_hands_turned_half_around_are_averaged_as_they_are():
    turns = np.pi + np.linspace(-0.2, 0.2, 21)  # their quaternions change sign
    rotations = Rotation.from_rotvec(turns[:, None] * [1.0, 0.0, 0.0]).as_matrix()
    _, found = smooth_hand(np.zeros((21, 21)), rotations, np.ones(21), np.zeros(21), FPS)
    assert (
        max(np.linalg.norm(Rotation.from_matrix(a.T @ b).as_rotvec()) for a, b in zip(found, rotations, strict=True))
        < 0.1
    )


def test_one_frame_out_of_line_is_outvoted():
    angles = np.full((21, 21), 0.5)
    angles[10] = 1.6
    out, _ = smooth_hand(angles, np.tile(np.eye(3), (21, 1, 1)), np.ones(21), np.zeros(21), FPS)
    assert out[10].max() < 0.7


def test_a_blink_stays_a_blink():
    shut = np.zeros((25, 1))
    shut[10:13] = 1.0
    quick, slow = (smooth(shut, np.ones(25), width * FPS) for width in (QUICK_S, SMOOTH_S))
    assert quick[11, 0] > 0.9 > slow[11, 0] and quick[[8, 15]].max() < 0.1


def test_a_face_that_is_lost_for_a_moment_goes_on():
    seen = np.ones(30)
    seen[10:12] = 0
    smile = 0.6 * seen[:, None]
    assert smooth(smile, seen, SMOOTH_S * FPS)[10:12].min() > 0.5
    assert smooth(0 * smile, 0 * seen, SMOOTH_S * FPS).max() == 0


def test_rotations_of_joints_are_those_of_the_skeleton(body):
    from dsr.body import skeleton

    rng = np.random.default_rng(0)
    pose, orient = rng.normal(0, 0.3, (2, 54, 3)), rng.normal(0, 1, (2, 3))
    for joint in (18, 28):
        found = global_rotation(body.asset.parents, pose, orient, joint)
        for t in range(2):
            expected = skeleton(body.asset, np.zeros(1), pose[t], orient[t])[1][joint, :3, :3]
            np.testing.assert_allclose(found[t], expected, atol=1e-9)
