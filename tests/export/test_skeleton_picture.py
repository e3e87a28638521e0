"""Skeletons beside each other: the detected one on the picture, the one in space on the floor, sides as they are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dsr.body import load_asset
from dsr.errors import ExportError
from dsr.export import render_skeletons
from dsr.export.skeleton import MAX_HEIGHT, Viewpoint, draw_skeletons, skeleton_keypoints, viewpoint
from dsr.results import Floor
from dsr.tracks.skeleton import H36M17

RED, BLUE = np.array([214, 60, 50]), np.array([45, 95, 215])


def standing(x=0.0, z=4.0):
    """A T-pose that faces the camera, (17, 3): the person's right is on the picture's left."""
    joints = np.zeros((17, 3))
    joints[[1, 2, 3]] = [[-0.1, 0, 0], [-0.1, 0.4, 0], [-0.1, 0.8, 0]]
    joints[[4, 5, 6]] = [[0.1, 0, 0], [0.1, 0.4, 0], [0.1, 0.8, 0]]
    joints[[7, 8, 9, 10], 1] = [-0.25, -0.5, -0.65, -0.8]
    joints[[14, 15, 16], :2] = [[-0.2, -0.5], [-0.45, -0.5], [-0.7, -0.5]]
    joints[[11, 12, 13], :2] = [[0.2, -0.5], [0.45, -0.5], [0.7, -0.5]]
    return joints + np.array([x, 0.2, z])


def columns_of(picture, colour):
    return np.nonzero((np.abs(picture.astype(int) - colour).max(-1) < 40).any(0))[0]


def test_each_half_shows_the_right_limbs_red_and_on_the_side_they_are() -> None:
    photo = np.full((300, 400, 3), 128, np.uint8)
    pixels = standing()[:, :2] / standing()[:, 2:] * 500 + [200, 150]
    keypoints = np.concatenate([pixels, np.ones((17, 1))], 1)
    drawn = draw_skeletons(photo, [keypoints], [standing()], viewpoint(standing()))
    assert drawn.shape == (300, 700, 3) and drawn.dtype == np.uint8
    for half in (drawn[:, :400], drawn[:, 400:]):
        red, blue = columns_of(half, RED), columns_of(half, BLUE)
        assert len(red) > 10 and len(blue) > 10 and red.mean() < blue.mean() - 10
    red = columns_of(drawn[:, :400], RED)
    assert abs(red.min() - pixels[:, 0].min()) < 5  # the wrist, where it was detected


def test_depth_is_seen_in_the_right_half_alone() -> None:
    """Somebody who reaches a metre towards the camera: the picture hardly says so, the view from the side does."""
    reaching = standing()
    reaching[16, 2] -= 0.7
    photo, view = np.full((300, 400, 3), 128, np.uint8), viewpoint(standing())
    far, near = (draw_skeletons(photo, [None], [joints], view) for joints in (standing(), reaching))
    assert np.array_equal(far[:, :400], near[:, :400]) and np.array_equal(far[:, :400], photo)
    # the eye is on the photographer's left: what comes nearer moves to the right there
    assert columns_of(near[:, 400:], RED).min() > columns_of(far[:, 400:], RED).min() + 5


def test_doubtful_keypoints_are_left_out_and_large_photographs_are_shown_smaller() -> None:
    photo = np.full((1440, 800, 3), 128, np.uint8)
    pixels = standing()[:, :2] / standing()[:, 2:] * 1500 + [400, 700]
    keypoints = np.concatenate([pixels, np.full((17, 1), 0.9)], 1)
    keypoints[15:, 2] = 0.1
    keypoints[13] = np.nan
    drawn = draw_skeletons(photo, [keypoints], [], viewpoint(np.zeros((0, 17, 3))))
    assert drawn.shape == (MAX_HEIGHT, 400 + MAX_HEIGHT, 3)
    red, blue = columns_of(drawn[:, :400], RED), columns_of(drawn[:, :400], BLUE)
    assert red.min() > pixels[14, 0] / 2 - 8 and blue.max() < pixels[12, 0] / 2 + 8


def test_a_tilted_camera_still_shows_people_upright() -> None:
    """The floor says which way is up: somebody who leans in the camera's frame stands in the view."""
    lean = np.radians(30)
    turn = np.array([[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]])
    joints = standing() @ turn.T
    view = viewpoint(joints, Floor(-turn[:, 1], offset_m=-1.0))
    trunk = np.diff(view.see(joints[[0, 8]] @ view.level.T, 400), axis=0)[0]
    assert abs(trunk[0]) < 0.05 * abs(trunk[1]) and trunk[1] < 0
    tilted = viewpoint(joints)
    trunk = np.diff(tilted.see(joints[[0, 8]] @ tilted.level.T, 400), axis=0)[0]
    assert abs(trunk[0]) > 0.2 * abs(trunk[1])
    assert view.floor_m == pytest.approx(1.0)


def test_everybody_is_within_the_view() -> None:
    crowd = np.stack([standing(), standing(3.0, 9.0), standing(-2.0, 6.0)])
    view = viewpoint(crowd)
    pixels = view.see(crowd @ view.level.T, 500)
    assert isinstance(view, Viewpoint) and (pixels > 0).all() and (pixels < 500).all()


def test_a_fit_is_drawn_with_the_joints_of_its_body() -> None:
    asset = load_asset("open-light")
    vertices = asset.v_template * np.array([1, -1, -1]) + np.array([0.0, 0.0, 4.0])
    keypoints = np.zeros((33, 3))
    person = SimpleNamespace(vertices_cam_m=vertices, keypoints_px=keypoints, keypoint_set="blazepose33")
    result = SimpleNamespace(
        overlay_rgb=np.full((120, 160, 3), 128, np.uint8), image_size=(320, 240), people=[person], floor=None,
        input_path="a.jpg",
    )  # fmt: skip
    drawn = render_skeletons(result, asset)
    red, blue = columns_of(drawn[:, 160:], RED), columns_of(drawn[:, 160:], BLUE)
    assert red.mean() < blue.mean() - 5  # it faces the camera
    result.overlay_rgb = None
    with pytest.raises(ExportError, match="no picture"):
        render_skeletons(result, asset)


def test_keypoints_of_any_set_are_the_lifters_joints() -> None:
    ours = np.arange(51.0).reshape(17, 3)
    assert np.array_equal(skeleton_keypoints(ours, "h36m17", 2.0)[:, :2], 2 * ours[:, :2])
    points = np.random.default_rng(0).uniform(10, 90, (33, 3))
    scaled = skeleton_keypoints(points, "blazepose33", 0.5)
    assert scaled.shape == (17, 3) and len(H36M17) == 17
    assert np.allclose(scaled[16, :2], points[16, :2] / 2)  # the right wrist in both
    assert skeleton_keypoints(np.zeros((5, 3)), "unheard of") is None
