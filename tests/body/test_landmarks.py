"""Keypoints of the SMPL family's meshes, on bodies with the vertex numbers of SMPL and SMPL-X made of the open body."""

from functools import cache

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from dsr.body import KEYPOINT_SETS, flip_permutation, joint_names, load_asset
from dsr.body.landmarks import VERTEX_IDS, keypoint_regressors

SIDES = (("left", 1), ("right", -1))


@cache
def open_points():
    """Names of the open body's keypoints to places (3,), per set."""
    asset = load_asset("open")
    return {
        name: dict(zip(joint_names(name), asset.keypoint_regressor(name) @ asset.v_template, strict=True))
        for name in KEYPOINT_SETS
    }


@cache
def family_points(count):
    """The same from :func:`keypoint_regressors`, on skin of the open body in the other mesh's vertex order."""
    asset = load_asset("open")
    skin = asset.v_template[np.unique(asset.faces[~asset.interior])].astype(np.float64)
    places = {**open_points()["blazepose33"], **open_points()["openpose25"]}
    taken = {}
    for name, index in VERTEX_IDS[count].items():
        taken[index] = int(cKDTree(skin).query(places[name.removesuffix("_tip")])[1])
    others = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(len(skin)), list(taken.values())))
    order = np.zeros(count, int)
    order[np.setdiff1d(np.arange(count), list(taken))] = others[: count - len(taken)]
    order[list(taken)] = list(taken.values())
    vertices = skin[order]
    regressor = np.zeros((24, count))
    nearest = cKDTree(vertices).query(asset.J_regressor @ asset.v_template, 8)[1]
    np.put_along_axis(regressor, nearest, 1 / 8, 1)
    sets = keypoint_regressors(vertices, csr_matrix(regressor), joint_names("smpl24"))
    return {name: dict(zip(joint_names(name), matrix @ vertices, strict=True)) for name, matrix in sets.items()}


@pytest.fixture(params=["open", *sorted(VERTEX_IDS)])
def points(request):
    return open_points() if request.param == "open" else family_points(request.param)


@pytest.mark.parametrize("name", KEYPOINT_SETS)
def test_left_and_right_lie_on_their_sides_and_mirror_each_other(points, name):
    places = np.stack(list(points[name].values()))
    for keypoint, (x, _, _) in points[name].items():
        for side, sign in SIDES:
            assert side not in keypoint or sign * x > 0.007, keypoint
    mirrored = places[list(flip_permutation(name))] * (-1, 1, 1)
    assert np.linalg.norm(places - mirrored, axis=1).max() < 0.02


def test_the_corners_of_the_eyes_are_in_order(points):
    face = points["blazepose33"]
    for side, sign in SIDES:
        inner, eye, outer = (sign * face[f"{side}_{part}"][0] for part in ("eye_inner", "eye", "eye_outer"))
        assert 0.007 < inner < eye - 0.004 < outer - 0.008 < sign * face[f"{side}_ear"][0], side


def test_the_mouth_lies_below_the_nose_and_narrower_than_the_eyes(points):
    face = points["blazepose33"]
    for side, sign in SIDES:
        corner, eye = face[f"mouth_{side}"], face[f"{side}_eye"]
        assert 0.012 < face["nose"][1] - corner[1] < 0.05 and corner[2] > face[f"{side}_ear"][2] + 0.05
        assert 0.01 < sign * corner[0] < sign * eye[0]


@pytest.mark.parametrize("count", VERTEX_IDS)
@pytest.mark.parametrize("name", KEYPOINT_SETS)
def test_points_of_the_skin_are_those_of_the_open_body(count, name):
    """Face, toes and ears within 35 mm, as the open body's sets differ among themselves."""
    for keypoint, place in family_points(count)[name].items():
        if any(part in keypoint for part in ("nose", "eye", "ear", "mouth", "toe", "heel", "foot", "head")):
            assert np.linalg.norm(place - open_points()[name][keypoint]) < 0.035, keypoint
