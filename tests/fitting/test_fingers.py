"""Fingers and wrist from landmarks, on hands whose joints are known."""

import numpy as np
import pytest

from dsr.body import load_asset, skeleton
from dsr.body.numpy_lbs import pose_vertices, rodrigues
from dsr.fitting.fingers import FINGERS, LANDMARKS_OF, RestHand, fingertips, forearm_and_wrist

BETAS = np.array([0.8, -1.0, 0.5])


@pytest.fixture(scope="module")
def asset():
    return load_asset("open-x")


def joint(asset, name):
    return asset.joint_names.index(name)


def relaxed(hand):
    return hand.as_pose(np.eye(3), hand.relaxed).fingers


def first_finger(asset, side):
    return joint(asset, f"{side}_index1")


def landmarks_of(asset, pose, side):
    """(21, 3) true landmarks of a posed body."""
    _, transforms = skeleton(asset, BETAS, pose)
    vertices = pose_vertices(asset, BETAS, pose)
    points = np.zeros((21, 3))
    place = {name: transforms[j, :3, 3] for j, name in enumerate(asset.joint_names)}
    knuckles = np.mean([place[f"{side}_{f}1"] for f in ("index", "middle", "ring", "pinky")], 0)
    points[0] = knuckles + 0.87 * (place[f"{side}_wrist"] - knuckles)
    for finger, tip in zip(FINGERS, fingertips(asset, side), strict=True):
        points[list(LANDMARKS_OF[finger])] = [*(place[f"{side}_{finger}{k}"] for k in (1, 2, 3)), vertices[tip]]
    return points


def random_hand(asset, side, seed, spread=True):
    """(54, 3) a pose with bent fingers, made of the same hinges."""
    rng = np.random.default_rng(seed)
    rest, pose = RestHand(asset, BETAS, side), np.zeros((54, 3))
    for f, chain in enumerate(rest.chains):
        for k in range(3):
            row = first_finger(asset, side) - 1 + 3 * f + k
            if f == 4 and k == 0:
                pose[row] = rng.uniform(-0.25, 0.25, 3)
            else:
                pose[row] = chain.hinge * rng.uniform(0.1, 0.9)
    return pose


@pytest.mark.parametrize("side", ["left", "right"])
def test_fingers_of_known_hands_come_back(asset, side):
    for seed in range(5):
        pose = random_hand(asset, side, seed)
        wrist = np.random.default_rng(seed).normal(0, 1, 3)
        pose[joint(asset, f"{side}_wrist") - 1] = wrist
        seen = landmarks_of(asset, pose, side)
        found = RestHand(asset, BETAS, side).read(3 * seen)
        again = pose.copy()
        first = first_finger(asset, side) - 1
        again[first : first + 15] = found.fingers
        off = np.linalg.norm(landmarks_of(asset, again, side) - seen, axis=1)
        assert off[5:].max() < 0.004  # a thumb's joints turn about axes of their own
        assert off.max() < 0.012
        np.testing.assert_allclose(found.hand, rodrigues(wrist), atol=0.02)


def test_trust_goes_from_a_relaxed_hand_to_what_is_seen(asset):
    hand = RestHand(asset, BETAS, "left")
    seen = landmarks_of(asset, random_hand(asset, "left", 3), "left")
    all_of_it = hand.read(seen).angles
    np.testing.assert_allclose(hand.read(seen, 0.0).angles, hand.relaxed)
    np.testing.assert_allclose(hand.read(seen, 0.4).angles, 0.4 * all_of_it + 0.6 * hand.relaxed, atol=1e-9)


def test_landmarks_of_angles_are_those_of_the_body(asset):
    for side in ("left", "right"):
        hand, pose = RestHand(asset, BETAS, side), np.zeros((54, 3))
        rng = np.random.default_rng(2)
        angles = hand.within_limits(hand.relaxed + rng.normal(0, 0.3, 21))
        first = first_finger(asset, side) - 1
        pose[first : first + 15] = hand.as_pose(np.eye(3), angles).fingers
        np.testing.assert_allclose(hand.landmarks(angles)[1:], landmarks_of(asset, pose, side)[1:], atol=2e-3)


def test_nonsense_stays_within_what_joints_allow(asset):
    rng = np.random.default_rng(0)
    hand = RestHand(asset, BETAS, "right")
    for _ in range(50):
        turns = np.linalg.norm(hand.read(rng.normal(size=(21, 3))).fingers, axis=1)
        assert np.isfinite(turns).all() and turns.max() < np.radians(125)
        assert turns[12] <= np.radians(50) + 1e-6


def test_relaxed_hands_bend_to_the_palm_and_mirror_each_other(asset):
    left, right = (relaxed(RestHand(asset, BETAS, side)) for side in ("left", "right"))
    np.testing.assert_allclose(left, right * [1, -1, -1], atol=0.02)
    pose = np.zeros((54, 3))
    first = first_finger(asset, "left") - 1
    pose[first : first + 15] = left
    flat = landmarks_of(asset, np.zeros((54, 3)), "left")
    assert (landmarks_of(asset, pose, "left")[[8, 12, 16, 20], 1] < flat[[8, 12, 16, 20], 1] - 0.01).all()


def test_twist_is_shared_and_the_hand_stays_where_it_was():
    forearm, rng = np.array([1.0, 0.0, 0.0]), np.random.default_rng(1)
    for _ in range(20):
        elbow, wrist = rodrigues(rng.normal(0, 0.3, 3)), rodrigues(rng.normal(0, 0.3, 3))
        new_elbow, new_wrist, beyond = forearm_and_wrist(elbow, wrist, forearm)
        np.testing.assert_allclose(new_elbow @ new_wrist, elbow @ wrist, atol=1e-9)
        np.testing.assert_allclose(new_elbow @ forearm, elbow @ forearm, atol=1e-9)
        assert beyond == pytest.approx(0, abs=1e-9)


def test_a_wrist_twists_no_further_than_a_quarter_turn():
    forearm = np.array([-1.0, 0.0, 0.0])
    for degrees in (100, 150, -130):
        elbow, wrist, beyond = forearm_and_wrist(np.eye(3), rodrigues(forearm * np.radians(degrees)), forearm)
        np.testing.assert_allclose(elbow @ wrist, rodrigues(forearm * np.radians(90 * np.sign(degrees))), atol=1e-9)
        assert np.degrees(beyond) == pytest.approx(abs(degrees) - 90)
