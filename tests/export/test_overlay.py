"""Overlays and side views: where people are drawn, who is in front, and what depth looks like from the side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from export_toys import K, posed, result_of, toy_asset

from dsr.clothing.labels import LABELS, PALETTE_RGB
from dsr.errors import ExportError
from dsr.export import render_labels, render_overlay, render_side_view
from dsr.export.overlay import COLOURS
from dsr.people import ClothingMap
from dsr.results import Floor


def grey(width=400, height=300):
    return np.full((height, width, 3), 128, np.uint8)


def whose(picture, number):
    """Pixels whose colour is nearest to a person's colour."""
    tint = picture.astype(float) - picture.mean(-1, keepdims=True)
    palette = COLOURS - COLOURS.mean(1, keepdims=True)
    score = tint @ (palette / np.linalg.norm(palette, axis=1, keepdims=True)).T
    return (score.argmax(-1) == number) & (score.max(-1) > 8)


def test_drawn_where_the_camera_sees_the_body_at_working_size():
    asset = toy_asset()
    person = posed(asset)
    picture = render_overlay(result_of([person], grey()), asset)
    pixels = person.vertices_cam_m @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:] * 0.5  # working size is half the picture
    rows, cols = np.nonzero((picture != 128).any(-1))
    assert picture.shape == (300, 400, 3) and picture.dtype == np.uint8
    visible = pixels[asset.faces[~asset.interior].ravel()]
    assert abs(cols.min() - visible[:, 0].min()) < 2 and abs(cols.max() + 1 - visible[:, 0].max()) < 2
    assert abs(rows.min() - visible[:, 1].min()) < 2 and abs(rows.max() + 1 - visible[:, 1].max()) < 2


def test_the_nearer_person_is_in_front_whatever_the_order():
    asset = toy_asset()
    near, far = posed(asset, id="p0", at=(0.1, 0, 3.0)), posed(asset, id="p1", seed=2, at=(0.1, 0, 6.0))
    alone = render_overlay(result_of([near], grey()), asset)
    both = render_overlay(result_of([near, far], grey()), asset)
    swapped = render_overlay(result_of([far, near], grey()), asset)
    drawn = (alone != 128).any(-1)
    assert np.array_equal(both[drawn], alone[drawn])
    assert whose(both, 1).any() and not (whose(both, 1) & drawn).any()
    assert (whose(swapped, 1) == whose(both, 0)).mean() > 0.995


def test_interior_faces_are_not_drawn():
    asset = toy_asset()
    person = posed(asset)
    shown = render_overlay(result_of([person], grey()), asset)
    object.__setattr__(asset, "interior", np.ones(len(asset.faces), bool))
    hidden = render_overlay(result_of([person], grey()), asset)
    assert (shown != 128).any() and (hidden == 128).all()


def test_photograph_shows_through_and_is_not_changed():
    asset = toy_asset()
    light, dark = np.full((300, 400, 3), 250, np.uint8), np.zeros((300, 400, 3), np.uint8)
    a = render_overlay(result_of([posed(asset)], light), asset)
    b = render_overlay(result_of([posed(asset)], dark), asset)
    body = (b != 0).any(-1)
    assert 30 < np.median(a[body].astype(int) - b[body]) < 150
    assert (light == 250).all() and (dark == 0).all()
    assert (a[~body] == 250).all()


def test_shading_is_smooth_and_comes_from_above():
    asset = toy_asset()
    one_box = slice(15 * 12, 16 * 12)
    asset = replace(asset, faces=asset.faces[one_box], interior=np.zeros(12, bool), uv=None, faces_uv=None)
    person = posed(asset)
    person.vertices_cam_m[...] = asset.v_template * [1, -1, -1] - [0, -0.6, -1.0]  # upright, facing the camera
    picture = render_overlay(result_of([person], grey(800, 600)), asset)
    rows, cols = np.nonzero(whose(picture, 0))
    middle = slice(cols.min() + 10, cols.max() - 10)
    brightness = picture[rows.min() + 4 : rows.max() - 4, middle].mean(axis=(1, 2))
    assert brightness[0] > brightness[-1] + 10
    assert np.abs(np.diff(brightness)).max() < 6


def test_nobody_and_no_picture():
    asset = toy_asset()
    empty = result_of([], grey())
    assert np.array_equal(render_overlay(empty, asset), grey())
    assert render_side_view(empty, asset).shape == (640, 960, 3)
    empty.overlay_rgb = None
    with pytest.raises(ExportError, match=r"a\.jpg"):
        render_overlay(empty, asset)


def test_behind_the_camera_and_partly_outside():
    asset = toy_asset()
    behind = render_overlay(result_of([posed(asset, at=(0, 0, -4.0))], grey()), asset)
    assert (behind == 128).all()
    cut = render_overlay(result_of([posed(asset, at=(2.2, 0, 4.0))], grey()), asset)
    assert (cut != 128).any(-1)[:, -1].any() and (cut[:, :200] == 128).all()


def test_side_view_shows_depth_to_the_right():
    asset = toy_asset()
    near, far = posed(asset, at=(0.0, 0, 3.0)), posed(asset, id="p1", at=(0.0, 0, 6.0))
    picture = render_side_view(result_of([near, far], grey()), asset, (900, 600))
    first, second = (np.nonzero(whose(picture, k)) for k in (0, 1))
    metres = (second[1].mean() - first[1].mean()) / 3.0  # pixels for a metre of depth
    tall = np.ptp(first[0]) / np.ptp(near.vertices_cam_m[:, 1])  # pixels for a metre of height
    assert metres > 50 and abs(metres / tall - 1) < 0.15
    assert abs(first[0].max() - second[0].max()) < 10  # on the same ground


def test_side_view_stands_upright_whatever_the_camera(monkeypatch):
    """The same two bodies on a floor, seen by a level camera and by one that looks down by 25 degrees and rolls."""
    asset = toy_asset()
    up = np.array([0.12, -0.9, -0.42]) / np.linalg.norm([0.12, -0.9, -0.42])
    forward = np.array([0.0, 0, 1]) - up[2] * up
    forward /= np.linalg.norm(forward)
    turn = np.stack([np.cross(-up, forward), -up, forward], 1)  # level axes to the tilted camera's
    level = [posed(asset, at=(0.0, 0.4, 4.0)), posed(asset, id="p1", at=(0.3, 0.4, 6.0))]
    tilted = [replace(p, vertices_cam_m=(p.vertices_cam_m @ turn.T).astype(np.float32)) for p in level]
    pictures = []
    for people, normal in ((level, np.array([0.0, -1, 0])), (tilted, up)):
        result = result_of(people, grey())
        result.floor = Floor(normal, -1.3, 0.9, 2.0, ["p0"])
        monkeypatch.setattr("dsr.export.side_view._SideView.label", lambda self, picture, floor: picture)
        pictures.append(render_side_view(result, asset, (900, 600)).astype(int))
    assert (np.abs(pictures[0] - pictures[1]).max(-1) > 30).mean() < 0.004
    result.floor = None
    without = render_side_view(result, asset, (900, 600)).astype(int)
    assert (np.abs(pictures[0] - without).max(-1) > 30).mean() > 0.02


def test_side_view_drops_shadows_straight_down(monkeypatch):
    asset = toy_asset()
    standing, floating = posed(asset, at=(0.0, 0.6, 4.0)), posed(asset, id="p1", at=(0.0, -0.6, 6.0))
    result = result_of([standing, floating], grey())
    picture = render_side_view(result, asset, (900, 600))
    monkeypatch.setattr("dsr.export.side_view._draw_shadows", lambda *a: None)
    without = render_side_view(result, asset, (900, 600))
    shadow = (picture != without).any(-1)
    assert (picture[shadow] < without[shadow]).all()
    person = np.nonzero(whose(picture, 1))
    rows, cols = np.nonzero(shadow)
    under = np.abs(cols - person[1].mean()) < np.ptp(person[1])
    assert under.sum() > 200 and rows[under].min() > person[0].max() + 20
    assert abs(cols[under].mean() - person[1].mean()) < 25


def test_side_view_of_a_depth_error_differs_where_the_overlay_hardly_does():
    asset = toy_asset()
    person, other = posed(asset, at=(0.0, 0, 4.0)), posed(asset, id="p1", at=(0.5, 0, 4.0))
    wrong = posed(asset, id="p1", at=(0.5, 0, 5.0))
    right_view = render_side_view(result_of([person, other], grey()), asset)
    wrong_view = render_side_view(result_of([person, wrong], grey()), asset)
    gap = [np.nonzero(whose(p, 1))[1].mean() - np.nonzero(whose(p, 0))[1].mean() for p in (right_view, wrong_view)]
    assert abs(gap[0]) < 40 < gap[1]


def test_labels_lie_where_they_are_and_the_nearer_on_top():
    asset = toy_asset()
    near, far = posed(asset, id="p0", at=(0.1, 0, 3.0)), posed(asset, id="p1", seed=2, at=(0.1, 0, 6.0))
    result = result_of([near, far], grey())
    height, width = grey().shape[:2]
    box = np.array([0.0, 0, *result.image_size])
    left = np.zeros((4, 4), int)
    left[:, :2] = LABELS.index("pants")  # of the nearer person; the right half is the farther one's
    everywhere = np.full((4, 4), LABELS.index("face"))
    sure = np.ones((4, 4), np.float32)
    result.labels = [ClothingMap(box, left, sure), ClothingMap(box, everywhere, sure)]
    picture = render_labels(result).astype(int)
    assert picture.shape == (height, width, 3)
    pants, face = (np.array(PALETTE_RGB[LABELS.index(name)]) for name in ("pants", "face"))
    for columns, colour in ((slice(0, width // 2), pants), (slice(width // 2, width), face)):
        expected = 0.65 * colour + 0.35 * grey()[0, 0]
        np.testing.assert_allclose(picture[:, columns], np.broadcast_to(expected, picture[:, columns].shape), atol=1)
    result.labels = [None, None]
    np.testing.assert_array_equal(render_labels(result), grey())
    result.overlay_rgb = None
    with pytest.raises(ExportError, match="no picture"):
        render_labels(result)
