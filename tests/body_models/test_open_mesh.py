"""The open body's surface: quads that are closed and turned alike, parts of the face, left like right."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from dsr.body import load_asset
from dsr.body.asset import split_quads

FOLDER = Path(__file__).parents[2] / "body_models" / "open"
OPEN_PARTS = ("left_lashes", "right_lashes", "upper_teeth", "lower_teeth")
FACE = ("left_eye", "right_eye", "left_iris", "right_iris", "left_pupil", "right_pupil", "tongue", "mouth", *OPEN_PARTS)


@pytest.fixture(scope="module", params=["open", "open-x"])
def asset(request):
    return load_asset(request.param)


def quads_of(asset, *parts):
    """Quads of parts; the skin and all that is part of it where none is named."""
    if not parts:
        return asset.quads[~np.isin(asset.part_ids[::2], [asset.part_names.index(p) for p in FACE if p != "mouth"])]
    return asset.quads[np.isin(asset.part_ids[::2], [asset.part_names.index(part) for part in parts])]


def directed_edges(quads):
    return np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)


def volume(asset, quads):
    a, b, c = asset.v_template[split_quads(quads)].astype(float).transpose(1, 0, 2)
    return (a * np.cross(b, c)).sum() / 6


def test_every_face_is_half_a_quad(asset):
    assert (
        len(asset.quads) == len(asset.faces) // 2
        and (np.sort(asset.quads, 1)[:, 1:] > np.sort(asset.quads, 1)[:, :-1]).all()
    )
    assert np.array_equal(split_quads(asset.quads), asset.faces)
    assert np.array_equal(split_quads(asset.quads_uv), asset.faces_uv)
    assert asset.quads_uv.max() < len(asset.uv) and asset.uv.min() >= 0 and asset.uv.max() <= 1
    assert np.array_equal(np.unique(asset.quads), np.arange(asset.num_vertices))
    assert load_asset("open-light").quads is None


@pytest.mark.parametrize(
    "parts", [(), ("left_eye", "left_iris", "left_pupil"), ("tongue",)], ids=["skin", "eye", "tongue"]
)
def test_surfaces_are_closed_and_turned_outwards(asset, parts):
    quads = quads_of(asset, *parts)
    edges = {(int(a), int(b)) for a, b in directed_edges(quads)}
    assert len(edges) == 4 * len(quads)  # no edge twice in one direction
    assert all((b, a) in edges for a, b in edges)
    assert volume(asset, quads) > {(): 0.05}.get(parts, 5e-6)


@pytest.mark.parametrize("part", OPEN_PARTS)
def test_sheets_are_turned_alike(asset, part):
    edges = {(int(a), int(b)) for a, b in directed_edges(quads_of(asset, part))}
    assert len(edges) == 4 * len(quads_of(asset, part))
    assert 0 < sum((b, a) not in edges for a, b in edges) < len(edges) / 2


def test_parts_divide_the_faces_left_like_right(asset):
    assert asset.part_names[:24] == load_asset("open").joint_names and set(asset.part_names[24:]) == set(FACE)
    assert np.array_equal(np.unique(asset.part_ids), np.arange(len(asset.part_names)))
    assert np.array_equal(asset.part_ids[::2], asset.part_ids[1::2])
    assert np.array_equal(asset.interior[::2], asset.interior[1::2])
    of_face = np.isin(asset.part_ids, [asset.part_names.index(part) for part in FACE])
    assert asset.interior[of_face].all()  # never in outlines
    tree = cKDTree(asset.v_template * [-1, 1, 1])
    for name in asset.part_names:
        other = name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        here, there = (np.unique(quads_of(asset, part)) for part in (name, other))
        distance, twin = tree.query(asset.v_template[here])
        assert distance.max() < 1e-3 and np.array_equal(np.unique(twin), there), name


def test_the_face_is_where_a_face_is(asset):
    v = asset.v_template
    middle = {part: v[np.unique(quads_of(asset, part))].mean(0) for part in FACE}
    for side, sign in (("left", 1), ("right", -1)):
        eye, iris, pupil = (v[np.unique(quads_of(asset, f"{side}_{part}"))] for part in ("eye", "iris", "pupil"))
        centre = (eye.max(0) + eye.min(0)) / 2
        assert 0.025 < sign * centre[0] < 0.04
        widths = [np.ptp(ring[:, 0]) for ring in (eye, iris, pupil)]
        assert 0.024 < widths[0] < 0.036 and 0.3 < widths[1] / widths[0] < 0.45 and 0.15 < widths[2] / widths[0] < 0.25
        gaze = pupil.mean(0) - centre
        assert gaze[2] > 0.99 * np.linalg.norm(gaze)  # ahead
        lashes = v[np.unique(quads_of(asset, f"{side}_lashes"))]
        assert (lashes[:, 2] > pupil[:, 2].max()).mean() > 0.2  # out of the lids
        skin = cKDTree(v[np.unique(quads_of(asset))])
        assert 0.0008 < skin.query(lashes)[0].max() < 0.004
    assert middle["upper_teeth"][1] > middle["lower_teeth"][1] > middle["tongue"][1] - 0.02
    lips = v[np.unique(quads_of(asset, "mouth"))]
    for part in ("upper_teeth", "lower_teeth", "tongue"):
        inside = v[np.unique(quads_of(asset, part))]
        assert (inside > lips.min(0) - 0.002).all() and (inside < lips.max(0) + 0.002).all(), part


def test_files_are_small():
    assert sum(file.stat().st_size for file in FOLDER.glob("*.npz")) < 6e6
