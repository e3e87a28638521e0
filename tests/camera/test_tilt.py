"""Pitch and roll of cameras: conventions, straight lines, what is usual, and how sure it is."""

import numpy as np
import pytest

from dsr.camera import PictureCamera
from dsr.camera.scene_lines import SceneLines
from dsr.camera.tilt import GRID_UP, Gravity, gravity_of, up_vector, usual_tilt

SIZE = (1200, 900)
K = np.array([[1000.0, 0, 600], [0, 1000.0, 450], [0, 0, 1]])
NOBODY = np.zeros((0, 4))


def tilt_from_lines(lines, boxes=NOBODY):
    return SceneLines.of(lines, K, SIZE, boxes, 0.05).tilt()


def upright_lines(pitch, roll, count=25, seed=0):
    """Pictures of vertical poles around a camera, with a pixel of noise."""
    rng = np.random.default_rng(seed)
    up = up_vector(pitch, roll)
    lines = []
    while len(lines) < count:
        foot = np.array([rng.uniform(-3, 3), rng.uniform(-1, 2), rng.uniform(4, 9)])
        ends = np.stack([foot, foot + rng.uniform(0.8, 2) * up]) @ K.T
        pixels = ends[:, :2] / ends[:, 2:] + rng.normal(0, 1, (2, 2))
        if (ends[:, 2] > 1).all() and ((pixels > 0) & (pixels < SIZE)).all():
            lines.append(pixels.ravel())
    return np.array(lines)


def clutter(count, seed=1):
    rng = np.random.default_rng(seed)
    start, angle, length = (
        rng.uniform(0, 1, (count, 2)) * SIZE,
        rng.uniform(0, np.pi, count),
        rng.uniform(50, 150, count),
    )
    return np.c_[start, start + length[:, None] * np.c_[np.cos(angle), np.sin(angle)]]


def test_conventions():
    np.testing.assert_allclose(up_vector(0, 0), [0, -1, 0], atol=1e-12)
    assert up_vector(20, 0)[2] < 0  # looking down, what stands comes towards the camera with its head
    assert up_vector(0, 10)[0] > 0  # the scene leans to the right
    np.testing.assert_allclose(np.linalg.norm(GRID_UP, axis=-1), 1)


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (20, -3), (-12, 2), (22, 14), (20, -25)])
def test_poles_tell_pitch_and_roll_among_clutter(pitch, roll):
    lines = np.concatenate([upright_lines(pitch, roll), clutter(60)])
    found = gravity_of(usual_tilt() + tilt_from_lines(lines))
    assert abs(found.pitch_deg - pitch) < 2.5
    assert abs(found.roll_deg - roll) < 1.0
    assert found.pitch_sigma_deg < 5


def test_without_lines_a_camera_is_about_level_and_that_is_unsure():
    assert not tilt_from_lines(np.zeros((0, 4))).any()
    found = gravity_of(usual_tilt())
    assert abs(found.pitch_deg) < 6 and abs(found.roll_deg) < 1
    assert found.pitch_sigma_deg > 7 > found.roll_sigma_deg > 1


def test_lines_on_people_do_not_count():
    lines = upright_lines(25, 10)
    everywhere = np.array([[0, 0, *SIZE]])
    assert not tilt_from_lines(lines, everywhere).any()
    assert tilt_from_lines(lines).any()


def test_two_answers_are_not_averaged():
    """Two sets of lines that contradict each other: one of them is believed, with a wide spread."""
    lines = np.concatenate([upright_lines(0, 0), upright_lines(0, 24, seed=4)])
    found = gravity_of(tilt_from_lines(lines))
    assert min(abs(found.roll_deg), abs(found.roll_deg - 24)) < 2


def test_a_crop_and_another_size_keep_gravity():
    gravity = Gravity(up_vector(5, 1), 5, 1, 3, 1)
    camera = PictureCamera(K, SIZE, gravity)
    assert camera.scaled((600, 450)).gravity is gravity


def room_lines(pitch, roll, turned_deg, count, seed=3):
    """Pictures of edges along the two level directions of a room that is turned against the camera."""
    rng = np.random.default_rng(seed)
    up = up_vector(pitch, roll)
    forward = np.array([0, 0, 1.0]) - up * up[2]
    forward /= np.linalg.norm(forward)
    turn, right = np.radians(turned_deg), np.cross(forward, up)
    sides = np.cos(turn) * forward + np.sin(turn) * right, np.cos(turn) * right - np.sin(turn) * forward
    lines = []
    while len(lines) < count:
        start = np.array([rng.uniform(-3, 3), rng.uniform(-2, 2), rng.uniform(4, 9)])
        ends = np.stack([start, start + rng.uniform(0.8, 2) * sides[len(lines) % 2]]) @ K.T
        pixels = ends[:, :2] / ends[:, 2:] + rng.normal(0, 1, (2, 2))
        if (ends[:, 2] > 1).all() and ((pixels > 0) & (pixels < SIZE)).all():
            lines.append(pixels.ravel())
    return np.array(lines)


@pytest.mark.parametrize(("pitch", "roll", "turned"), [(20, 13, 30), (5, -8, 70), (25, 0, 10)])
def test_level_edges_tell_posts_from_what_is_as_straight(pitch, roll, turned):
    """More edges of a skewed mat than posts: the room's level edges say which of both is upright."""
    posts, mat = upright_lines(pitch, roll, 8), upright_lines(5, roll + (-30 if roll > 0 else 30), 14, seed=6)
    without = gravity_of(usual_tilt() + tilt_from_lines(np.concatenate([posts, mat])))
    lines = np.concatenate([posts, mat, room_lines(pitch, roll, turned, 40)])
    found = gravity_of(usual_tilt() + tilt_from_lines(lines))
    assert abs(without.roll_deg - roll) > 10 > 3 > abs(found.roll_deg - roll)
    assert abs(found.pitch_deg - pitch) < 5


def test_bricks_of_a_wall_straight_ahead_do_not_tell_the_pitch():
    """Edges that lie across the picture are level whatever the pitch is."""
    across = np.array([[100 + 3 * i, 80 + 15 * i, 300 + 3 * i, 80 + 15 * i] for i in range(50)], float)
    said = tilt_from_lines(across)
    flat = gravity_of(usual_tilt() + said)
    assert flat.pitch_sigma_deg > 5 and abs(flat.pitch_deg - gravity_of(usual_tilt()).pitch_deg) < 6
    assert abs(flat.roll_deg) < 1


@pytest.mark.parametrize("wrong", [0.7, 1.0, 1.4])
@pytest.mark.parametrize(("pitch", "roll", "turned"), [(20, 3, 35), (-12, 0, 50)])
def test_right_angles_tell_the_focal_length(pitch, roll, turned, wrong):
    lines = np.concatenate([upright_lines(pitch, roll, 25), room_lines(pitch, roll, turned, 50), clutter(30)])
    guess = K * [[wrong, 1, 1], [1, wrong, 1], [1, 1, 1]]
    ratio, sigma = SceneLines.of(lines, guess, SIZE, NOBODY).focal()
    assert ratio * wrong == pytest.approx(1, rel=0.12)
    assert sigma < 0.2


@pytest.mark.parametrize("lines", [NOBODY, clutter(80), upright_lines(0, 0, 40), room_lines(3, 0, 0, 60)])
def test_what_does_not_tell_the_focal_length_keeps_the_guess(lines):
    """Nothing, clutter, posts of a level camera, and a wall straight ahead say nothing of it."""
    assert SceneLines.of(lines, K, SIZE, NOBODY).focal() is None
