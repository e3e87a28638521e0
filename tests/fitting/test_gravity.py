"""Which way is down, from people; and who stands, sits or lies."""

import dataclasses
import math

import numpy as np
import pytest
from standing_people import CAMERA, SIZE, level_to_camera, person, seen

from dsr.body import joint_names, load_body
from dsr.camera import PictureCamera
from dsr.camera.scene_lines import SceneLines
from dsr.fitting import find_gravity, find_stances
from dsr.fitting.stance import NamedPoints
from dsr.people.types import PersonMask


@pytest.fixture(scope="module")
def body():
    return load_body("open")


def sitting_pose():
    pose = np.zeros((23, 3))
    pose[[0, 1], 0], pose[[3, 4], 0] = -1.45, 1.45
    pose[15, 2], pose[16, 2] = -1.2, 1.2
    return pose


def stance(body, vertices, **options):
    found = seen(body, vertices, **options)
    return find_stances([found], CAMERA, find_gravity([found], CAMERA))[0]


@pytest.mark.parametrize("yaw", [0, 60, 180])
def test_somebody_who_stands(body, yaw):
    found = stance(body, person(body, yaw=yaw))
    assert found.standing > 0.8 and found.calm > 0.8
    assert found.carries.min() > 0.9 and found.feet.min() == 1 and found.sitting == 0


@pytest.mark.parametrize("yaw", [0, 80])
def test_somebody_who_sits(body, yaw):
    found = stance(body, person(body, sitting_pose(), yaw=yaw))
    assert found.standing < 0.1 and found.sitting > 0.7


def test_somebody_who_lies_does_not_stand(body):
    lying = person(body) @ np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    lying += [0.5, 0.3, 0.0]
    assert stance(body, lying).standing == 0


def test_on_one_leg_the_other_foot_does_not_carry(body):
    pose = np.zeros((23, 3))
    pose[0, 0], pose[3, 0] = -1.3, 1.4
    pose[15, 2], pose[16, 2] = -1.2, 1.2
    found = stance(body, person(body, pose, yaw=70))
    assert found.standing > 0.6 and found.carries[0] == 0 and found.carries[1] > 0.9
    assert found.calm == 0


def test_without_feet_nobody_is_said_to_stand(body):
    found = stance(body, person(body), hidden=("ankle", "heel", "foot"))
    assert found.standing == 0 and not found.feet.any()


def test_upright_people_tell_the_roll(body):
    """Few cameras are held that askew: five people halve what is known without them."""
    level = level_to_camera(0, 7)
    found = [seen(body, person(body, place=(x, 1.5, 6.0), level=level)) for x in np.linspace(-1.6, 1.6, 5)]
    assert abs(find_gravity(found, CAMERA).roll_deg - 7) < 3.5
    assert abs(find_gravity([], CAMERA).roll_deg) < 1


@pytest.mark.parametrize("pitch", [12, 18])
def test_people_on_one_floor_tell_the_pitch(body, pitch):
    """Were the camera level, the far ones would stand higher than the near. The landmarks know nothing of it."""
    level = level_to_camera(pitch, 0)
    places = [(-1.0, 1.6, 4.5), (-0.2, 1.6, 5.0), (0.5, 1.6, 6.5), (1.5, 1.6, 8.0)]
    found = [seen(body, person(body, place=p, level=level), lean_deg=-pitch) for p in places]
    gravity = find_gravity(found, CAMERA)
    assert abs(gravity.pitch_deg - pitch) < 4
    assert gravity.pitch_sigma_deg < 6
    assert abs(find_gravity([], CAMERA).pitch_deg - pitch) > 8


def test_lines_outweigh_people(body):
    """Poles of a room that leans, and one dancer who leans the other way."""
    rng = np.random.default_rng(0)
    u = rng.uniform(20, SIZE[0] - 20, 30)
    v = rng.uniform(20, SIZE[1] - 300, 30)
    lean = math.tan(math.radians(6))
    lines = np.c_[u, v, u - 200 * lean, v + 200]
    level = level_to_camera(0, -10)
    someone = seen(body, person(body, level=level))
    gravity = find_gravity([someone], CAMERA, SceneLines.of(lines, CAMERA.K, SIZE, someone.box_px[None]))
    assert abs(gravity.roll_deg - 6) < 2


def test_hopeless_input_gives_a_finite_answer():
    from dsr.people.types import Detection

    nothing = Detection(np.zeros(4), 0.5, "coco17", np.zeros((17, 2)), np.zeros(17))
    everything = Detection(np.zeros(4), 0.5, "coco17", np.zeros((17, 2)), np.ones(17))
    for focal in (1.0, 1e6):
        camera = PictureCamera(np.diag([focal, focal, 1.0]), SIZE)
        gravity = find_gravity([nothing, everything], camera)
        assert np.isfinite(gravity.up).all() and np.isfinite(gravity.pitch_sigma_deg)
        assert all(np.isfinite(s.standing) for s in find_stances([nothing, everything], camera, gravity))


def test_poles_under_a_wrong_focal_length_tell_the_pitch_less_surely():
    """Where lines meet tells the pitch only as surely as the focal length is known."""
    pitch = math.radians(20)
    columns = np.linspace(-400, 400, 12)
    focal = CAMERA.K[0, 0]
    meet = np.array([CAMERA.K[0, 2], CAMERA.K[1, 2] + focal / math.tan(pitch)])
    low = np.stack([CAMERA.K[0, 2] + columns, np.full(12, SIZE[1] * 0.7)], 1)
    lines = np.concatenate([low + 0.4 * (low - meet) * 0.5, low], 1)
    found = {}
    for factor in (0.5, 1.0, 2.0):
        K = CAMERA.K * np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]])
        found[factor] = find_gravity([], PictureCamera(K, SIZE), SceneLines.of(lines, K, SIZE, np.zeros((0, 4))))
    assert 10 < found[1.0].pitch_deg < 22 and found[1.0].pitch_sigma_deg > 4
    # the lines alone would say 10 and 36 degrees
    assert found[2.0].pitch_deg - found[0.5].pitch_deg < 0.6 * (36 - 10)
    known = find_gravity([], CAMERA, SceneLines.of(lines, CAMERA.K, SIZE, np.zeros((0, 4)), 0.05))
    assert abs(known.pitch_deg - 20) < 1.5 and known.pitch_sigma_deg < 4


def test_a_knee_that_is_seen_bent_is_not_stretched(body):
    """From the side a bent knee shows; legs that look straight are, however far apart they stand."""
    astride, bent = np.zeros((23, 3)), np.zeros((23, 3))
    astride[0, 2], astride[1, 2] = 0.4, -0.4
    bent[0, 0], bent[3, 0], bent[6, 0] = -0.35, 0.7, -0.35
    assert stance(body, person(body, astride)).stretched.min() > 0.8
    seen_bent = stance(body, person(body, bent, yaw=80))
    assert seen_bent.standing > 0.8 and seen_bent.stretched[0] < 0.2 and seen_bent.stretched[1] > 0.8


def test_legs_off_the_silhouette_are_not_seen(body):
    """A detector draws the legs of who stands behind a table over the table; the silhouette ends at it."""
    found = seen(body, person(body))
    names = joint_names("blazepose33")
    legs = [names.index(f"{side}_{part}") for side in ("left", "right") for part in ("knee", "ankle")]
    middling = found.confidence.copy()
    middling[legs] = 0.7
    found = dataclasses.replace(found, confidence=middling)
    low, high = found.keypoints_px.min(0) - 20, found.keypoints_px.max(0) + 20
    table = (found.keypoints_px[names.index("left_hip"), 1] + found.keypoints_px[legs[0], 1]) / 2
    rows = low[1] + (np.arange(200) + 0.5) * (high[1] - low[1]) / 200
    behind = np.repeat((rows < table)[:, None], 100, 1).astype(np.float32)
    box = np.concatenate([low, high])
    for mask, counted in ((behind, 0.0), (np.ones_like(behind), 1.0)):
        points = NamedPoints(dataclasses.replace(found, mask=PersonMask(box, mask)), SIZE)
        assert points.seen("left_knee") == points.seen("right_ankle") == counted
        assert points.seen("left_shoulder") == 1.0
    sure = dataclasses.replace(found, confidence=np.ones(33), mask=PersonMask(box, behind))
    assert NamedPoints(sure, SIZE).seen("left_knee") == 1.0
