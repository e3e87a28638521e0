"""Clothes of MakeHuman as meshes that follow the open body: near the exact rule, whole, and worn where they belong."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest
from scipy.spatial import cKDTree
from shared_data import makehuman

from dsr.body import load_asset
from dsr.synthetic import wardrobe
from dsr.synthetic.body_poses import PosePool
from dsr.synthetic.dressed import Dresser, paint
from dsr.synthetic.people_drawn import DrawnPeople
from dsr.synthetic.wardrobe import Wardrobe, components


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    archive = makehuman() / "makehuman_assets_cc0.tar.xz"
    target = tmp_path_factory.mktemp("garments")
    with tarfile.open(archive) as file:
        file.extractall(target, filter="data")
    return target


@pytest.fixture(scope="module")
def clothes(folder):
    return Wardrobe(folder)


@pytest.mark.parametrize("name", ["male_casualsuit04", "shoes02", "short04", "male_worksuit01"])
def test_pieces_follow_the_body(clothes, name):
    piece, body = clothes.piece(name), load_asset("open")
    rng = np.random.default_rng(0)
    betas = np.zeros(body.num_betas)
    betas[:4] = rng.normal(0, 1.2, 4)
    skin = body.v_template + body.shapedirs @ betas
    worn = piece.places + (piece.directions @ betas.astype(np.float32)).reshape(-1, 3)
    at_rest = cKDTree(body.v_template).query(piece.places)[0]
    now = cKDTree(skin).query(worn)[0]
    assert np.median(now) < 0.035
    assert abs(np.median(now) - np.median(at_rest)) < 0.006
    np.testing.assert_allclose(piece.weights.sum(1), 1, atol=1e-5)


def test_suits_have_a_top_and_a_bottom(clothes):
    for name in wardrobe.SUITS:
        piece = clothes.piece(name)
        middles = piece.places[piece.faces].mean(1)
        top, bottom = (middles[piece.materials == m, 1] for m in (wardrobe.TOP, wardrobe.BOTTOM))
        assert len(top) and len(bottom), name
        assert np.median(top) > np.median(bottom) + 0.1, name


def test_dressed_people_show_cloth_where_it_is_and_skin_where_not(clothes):
    dresser = Dresser(clothes)
    rng = np.random.default_rng(1)
    turns, shape = np.tile(np.eye(3), (24, 1, 1)), np.zeros(dresser.asset.num_shapes)
    for _ in range(12):
        dress = dresser.draw(rng, female=True)
        worn = dresser.pose(shape, turns, dress)
        assert worn.faces.max() < len(worn.vertices) == len(worn.fields)
        assert len(worn.faces) == len(worn.materials)
        middles = worn.fields[worn.faces, :3].mean(1)
        labels, colours = paint(dress, worn.materials, middles)
        assert np.isfinite(colours).all() and labels.max() < 20
        face = (middles[:, 2] > 0.09) & (np.abs(middles[:, 0]) < 0.03) & (np.abs(middles[:, 1] - 0.62) < 0.03)
        assert (labels[face] == 13).mean() > 0.8
    assert 0 <= dress.looseness < 0.15


def test_people_in_clothes_of_the_wardrobe_are_drawn(folder):
    people = [DrawnPeople(garments=folder).draw(seed) for seed in range(1, 13)]
    seen = np.concatenate([person.labels.ravel() for person in people if person is not None])
    assert {2, 5, 9, 13} <= set(np.unique(seen).tolist())


def test_poses_of_the_set_are_among_the_poses(folder):
    rng = np.random.default_rng(5)
    names = {}
    for split in ("train", "val"):
        pool = PosePool(None, split, folder)
        names[split] = {n for n in (pool.draw(rng).source for _ in range(400)) if n.startswith("still:")}
    assert len(names["train"]) > 6 and names["val"]
    assert not names["train"] & names["val"]


def test_pieces_of_a_mesh_are_told_apart():
    faces = np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6]])
    found = components(faces, 7)
    assert len(set(found[:4])) == 1 and len(set(found[4:])) == 1 and found[0] != found[4]
