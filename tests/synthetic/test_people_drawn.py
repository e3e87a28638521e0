"""People drawn for the landmark model: the same for a seed, the picture and the truth say the same, left is left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from dsr.body import load_asset, load_body
from dsr.body.joints import joint_names
from dsr.body.shapes import measure_shape
from dsr.synthetic.body_poses import PosePool
from dsr.synthetic.body_shapes import CHILD_FROM, ShapePool
from dsr.synthetic.people_drawn import COVERED, OUTSIDE, STRATA, DrawnPeople, project, true_region
from dsr.synthetic.postures import HELD_OUT, POSTURES, draw_posture
from dsr.synthetic.views import draw_camera, place

COUNT = 60
NAMES = joint_names("blazepose33")


@pytest.fixture(scope="module")
def source():
    return DrawnPeople()


@pytest.fixture(scope="module")
def people(source):
    return [person for seed in range(COUNT) if (person := source.draw(seed)) is not None]


def in_window(person, points):
    return (project(points, person.camera.K) - person.origin) * person.scale


def test_a_person_depends_on_the_seed_alone(source, people):
    again = DrawnPeople().draw(7)
    first = source.draw(7)
    np.testing.assert_array_equal(again.window, first.window)
    np.testing.assert_array_equal(again.keypoints, first.keypoints)
    np.testing.assert_array_equal(again.labels, first.labels)
    other = source.draw(8)
    assert other.window.shape != first.window.shape or (other.window != first.window).mean() > 0.3
    assert len(people) > 0.9 * COUNT


def test_joints_and_keypoints_are_those_of_the_body(people):
    body = load_body("open")
    for person in people[:8]:
        tensors = (torch.as_tensor(np.asarray(x, np.float32))[None] for x in (person.betas, person.pose, person.transl))
        betas, pose, transl = tensors
        out = body(betas, pose[:, 1:], pose[:, 0], transl)
        np.testing.assert_allclose(out.joints[0].numpy(), person.joints, atol=2e-4)
        np.testing.assert_allclose(body.keypoints(out.vertices, "blazepose33")[0], person.keypoints, atol=2e-4)


def test_seen_joints_lie_on_the_person(people):
    inside = []
    for person in people:
        height, width = person.labels.shape
        on = binary_dilation(person.labels > 0, iterations=3)
        rows = [
            NAMES.index(n) for n in ("left_knee", "right_knee", "left_elbow", "right_elbow", "left_hip", "right_hip")
        ]
        for row, (u, v) in zip(rows, in_window(person, person.keypoints[rows]), strict=True):
            if person.state[row] == 0 and 0 <= u < width and 0 <= v < height:
                inside.append(on[int(v), int(u)])
    assert len(inside) > 100
    assert np.mean(inside) > 0.97


def test_left_arms_carry_the_label_of_the_left(people):
    """Bare forearms and hands: Graphonomy's 14 is the person's left arm."""
    right = []
    for person in people:
        for row, own, other in ((19, 14, 15), (20, 15, 14)):  # index fingers
            if person.state[row]:
                continue
            u, v = in_window(person, person.keypoints[row : row + 1])[0].astype(int)
            near = person.labels[max(v - 2, 0) : v + 3, max(u - 2, 0) : u + 3]
            if (near == own).any() != (near == other).any():
                right.append(bool((near == own).any()))
    assert len(right) > 20
    assert np.mean(right) > 0.95


def test_who_faces_the_camera_has_the_left_side_at_the_right_of_the_picture(people):
    upright = [p for p in people if "upright" in p.strata and not p.strata & {"back", "side"}]
    assert len(upright) > 15
    for person in upright:
        assert person.keypoints[11, 0] > person.keypoints[12, 0]
        up = person.camera.turn @ [0, 1, 0]
        assert up @ (person.keypoints[0] - person.keypoints[[23, 24]].mean(0)) > 0  # the head is up


def test_what_hides_a_keypoint_is_told(people):
    outside = covered = 0
    for person in people:
        pixels = project(person.keypoints, person.camera.K)
        beyond = (pixels < 0).any(1) | (pixels >= person.camera.size).any(1)
        np.testing.assert_array_equal((person.state & OUTSIDE) > 0, beyond)
        assert ("border" in person.strata) == bool(beyond.any())
        outside, covered = outside + beyond.sum(), covered + ((person.state & COVERED) > 0).sum()
    assert outside > 20 and covered > 20


def test_the_window_shows_the_picture_around_the_region(people):
    for person in people:
        height, width = person.window.shape[:2]
        assert person.labels.shape == (height, width) and max(height, width) <= 301
        low, high = person.origin, person.origin + np.array([width, height]) / person.scale
        assert (low >= 0).all() and (high <= np.array(person.camera.size) + 1 / person.scale).all()
        region = true_region(project(person.keypoints, person.camera.K))
        assert region == person.region
        inner = region.side / 2.5 * 1.02
        pixels = project(person.keypoints, person.camera.K)
        assert np.hypot(*(pixels - [region.u, region.v]).T).max() < inner


def test_testing_people_have_postures_of_their_own(people, source):
    assert {p.split for p in people} == {"train", "val"}
    assert sum(p.split == "val" for p in people) <= COUNT // 20
    rng = np.random.default_rng(0)
    assert {draw_posture(rng, "val")[0] for _ in range(60)} == set(HELD_OUT)
    assert {draw_posture(rng, "train")[0] for _ in range(900)} == set(POSTURES) - set(HELD_OUT)


def test_postures_bend_joints_the_way_they_bend(people):
    rng = np.random.default_rng(1)
    for _ in range(200):
        _, turns = draw_posture(rng, "train")
        down = np.array([0.0, -1.0, 0.0])
        for knee in (4, 5):
            assert (turns[knee] @ down)[2] < 0.35  # shins fold backwards


def test_shapes_are_those_of_people():
    rng, shapes = np.random.default_rng(2), ShapePool(load_asset("open"))
    betas = np.stack([shapes.draw(rng)[0] for _ in range(150)])
    sizes = measure_shape(load_asset("open"), betas)
    child = betas[:, 10] > CHILD_FROM
    assert 0.04 < child.mean() < 0.25
    assert 1.62 < np.median(sizes["stature"][~child]) < 1.78
    assert sizes["stature"][child].mean() < 1.5
    assert sizes["weight"][~child].std() > 8


def test_cameras_go_from_selfie_to_telephoto():
    rng = np.random.default_rng(3)
    cameras = [draw_camera(rng) for _ in range(400)]
    assert {c.kind for c in cameras} == {"selfie", "phone", "wide", "normal", "tele"}
    f35 = np.array([c.K[0, 0] / max(c.size) * 36 for c in cameras])
    assert f35.min() < 22 and f35.max() > 120 and 26 < np.median(f35) < 45
    elevation = np.array([c.elevation for c in cameras])
    assert elevation.min() < -0.25 and elevation.max() > 0.5
    points = rng.normal(0, [0.3, 0.6, 0.2], (50, 3))
    for camera in cameras[:50]:
        placed = points + place(rng, camera, points, points[0])
        assert placed[:, 2].min() > 0.3


def test_poses_need_no_files_and_are_mirrored():
    pool = PosePool(None, "train")
    rng = np.random.default_rng(4)
    poses = [pool.draw(rng) for _ in range(120)]
    kinds = {p.source.split(":")[0].split("+")[0] for p in poses}
    assert {"prior", "posture", "limits"} <= kinds
    for pose in poses:
        np.testing.assert_allclose(np.linalg.det(pose.body), 1, atol=1e-5)
    raised = np.array([[p.body[15][1, 0], -p.body[16][1, 0]] for p in poses])
    assert abs(raised[:, 0].mean() - raised[:, 1].mean()) < 0.25  # neither arm is the one that works


def test_strata_have_names_that_are_used(people):
    assert len(set(STRATA)) == len(STRATA) <= 32
    used = frozenset().union(*(p.strata for p in people))
    assert used <= set(STRATA) and len(used) > 10
