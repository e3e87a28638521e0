"""Learning from garments: what covers a vertex and how far away, sides, labels, going on, the whole command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shared_data import makehuman

from clothing_prior.covering import covering, vertex_normals
from clothing_prior.dressing import dress, labelled_piece
from clothing_prior.garments import GarmentSettings, learn_from_garments, near_joints, read_covers
from clothing_prior.outfits import HATS, MEN, SHOES, WOMEN
from clothing_prior.votes import Votes, mirror_vertices, prior_of
from dsr.body import load_asset
from dsr.cli.prior import main
from dsr.clothing.bare import bare_labels
from dsr.clothing.labels import LABELS
from dsr.clothing.prior import load_clothing_prior
from dsr.errors import DatasetError
from dsr.synthetic.wardrobe import Wardrobe, unpack

ID = {label: k for k, label in enumerate(LABELS)}


@pytest.fixture(scope="session")
def wardrobe(tmp_path_factory) -> Wardrobe:
    return Wardrobe(unpack(makehuman(), tmp_path_factory.mktemp("makehuman")))


def test_a_shell_around_a_ball_covers_it_at_its_distance():
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1], [5, 2, 1], [5, 3, 2], [5, 4, 3], [5, 1, 4]])
    octahedron = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1], [-1, 0, 0], [0, 0, -1], [0, -1, 0]], float)
    normal = np.ones((1, 3)) / np.sqrt(3)
    nothing, near = np.zeros(1, np.int64), np.ones((1, 1), bool)
    vertex = (1 / np.sqrt(3) - 0.04) * normal  # 4 cm below the face of the octahedron

    def above(vertex, cloth=octahedron, faces=faces, near=near):
        return covering(vertex, normal, nothing, cloth, faces, np.zeros(len(faces), np.int64), near)

    row, distance = above(vertex)
    assert row[0] in range(8) and distance[0] == pytest.approx(0.04)
    both = np.concatenate([octahedron, 1.05 * octahedron])  # of two layers the outer one is seen
    row, distance = above(vertex, both, np.concatenate([faces, faces + 6]))
    assert row[0] >= 8 and distance[0] == pytest.approx(1.05 / np.sqrt(3) - 1 / np.sqrt(3) + 0.04)
    assert above(vertex, near=~near)[0][0] == -1  # another limb's garment
    assert above(vertex - 0.02 * normal)[0][0] == -1  # nothing within 5 cm
    row, distance = above(vertex + 0.05 * normal)
    assert row[0] >= 0 and distance[0] == 0  # cloth a little below the skin


def test_shares_of_each_kind_sum_to_one():
    for shares in (SHOES, HATS, *(getattr(sex, kind) for sex in (MEN, WOMEN) for kind in ("top", "bottom", "hair"))):
        assert sum(shares.values()) == pytest.approx(1)


def test_bare_bodies_have_the_labels_of_their_limbs():
    asset = load_asset("open")
    labels = bare_labels(asset)
    x, y = asset.v_template[:, 0], asset.v_template[:, 1]
    assert (labels[x > 0.4] == ID["leftArm"]).all() and (labels[x < -0.4] == ID["rightArm"]).all()
    assert (labels[(y < -0.4) & (x > 0)] == ID["leftLeg"]).all()
    assert (labels[y > 0.63] == ID["face"]).all()
    assert (labels[(y > 0.1) & (y < 0.4) & (np.abs(x) < 0.1)] == ID["jumpsuits"]).all()


def test_clothes_cover_what_they_cover(wardrobe):
    asset = wardrobe.body
    x, y = asset.v_template[:, 0], asset.v_template[:, 1]
    bare, near = bare_labels(asset), near_joints(asset)
    pieces = [labelled_piece(wardrobe, name) for name in ("female_casualsuit02", "shoes01", "bob01")]
    labels, distance = read_covers(dress(wardrobe, pieces, np.zeros(41), np.zeros((24, 3))), asset, bare, near)
    trunk = (np.abs(x) < 0.12) & (y > 0.15) & (y < 0.4)
    assert (labels[trunk] == ID["upperclothes"]).mean() > 0.95
    thigh = (y > -0.4) & (y < -0.25)
    assert np.isin(labels[thigh], [ID["leftLeg"], ID["rightLeg"]]).mean() > 0.95
    assert np.isnan(distance[thigh]).mean() > 0.95 and np.nanmax(distance) < 0.15
    left = (y < -0.87) & (x > 0)
    assert (labels[left] == ID["leftShoe"]).mean() > 0.95
    assert (labels[y > 0.74] == ID["hair"]).mean() > 0.8
    assert np.isin(labels[np.abs(x) > 0.5], [ID["leftArm"], ID["rightArm"]]).all()


@pytest.mark.parametrize("style", ["short01", "long01", "braid01"])
def test_hair_is_hair_however_low_it_hangs(wardrobe, style):
    assert set(labelled_piece(wardrobe, style).labels) == {ID["hair"]}


def test_no_trousers_on_the_head():
    prior, body = load_clothing_prior(load_asset("open")), load_asset("open")
    top = body.v_template[:, 1] > body.v_template[:, 1].max() - 0.05
    assert prior.vertex_labels[top][:, [ID["pants"], ID["skirt"], ID["upperclothes"]]].max() < 0.03


def test_arms_before_the_trunk_do_not_dress_it(wardrobe):
    """A sleeve that touches the side of the trunk covers the arm, not the trunk."""
    asset = wardrobe.body
    turns = np.zeros((24, 3))
    turns[16, 2], turns[17, 2] = -1.3, 1.3  # arms hang
    top = labelled_piece(wardrobe, "male_casualsuit02").part("upperclothes")
    dressed = dress(wardrobe, [top], np.zeros(41), turns)
    labels, _ = read_covers(dressed, asset, bare_labels(asset), near_joints(asset))
    legs = (asset.v_template[:, 1] < -0.3) & (asset.v_template[:, 1] > -0.8)
    # the suit's trousers hide the legs; they are not worn here, and neither do hanging sleeves cover thighs
    assert np.isin(labels[legs], [ID["leftLeg"], ID["rightLeg"]]).all()


def test_a_stopped_run_goes_on_to_the_same_sums(wardrobe, tmp_path):
    whole = learn_from_garments(wardrobe, GarmentSettings(people=4, seed=5))
    file = tmp_path / "sums.npz"
    learn_from_garments(wardrobe, GarmentSettings(people=2, seed=5), file)
    steps = []
    gone_on = learn_from_garments(
        wardrobe, GarmentSettings(people=4, seed=5), file, lambda done, total: steps.append((done, total))
    )
    assert steps == [(3, 4), (4, 4)] and gone_on.people == 4
    np.testing.assert_array_equal(gone_on.labels, whole.labels)
    np.testing.assert_array_equal(gone_on.distance, whole.distance)
    other = learn_from_garments(wardrobe, GarmentSettings(people=1, seed=6), file)
    assert other.people == 1 and not np.array_equal(other.labels, whole.labels)  # another seed begins again


def test_the_command_makes_a_prior_and_its_picture_and_the_same_bytes_twice(wardrobe, tmp_path, capsys):
    for name in ("a", "b"):
        out = tmp_path / f"{name}.safetensors"
        assert main(["garments", str(wardrobe.folder), "--out", str(out), "--people", "3"]) == 0
        assert not out.with_suffix(".sums.npz").exists()
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert "3 random adults" in (tmp_path / "a.md").read_text(encoding="utf-8")
    prior = load_clothing_prior(path=tmp_path / "a.safetensors")
    np.testing.assert_allclose(prior.vertex_labels.sum(1), 1, atol=1e-5)
    picture = tmp_path / "sheet.png"
    assert main(["show", str(tmp_path / "a.safetensors"), "--out", str(picture)]) == 0
    assert picture.stat().st_size > 10_000
    assert "upperclothes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["garments", "{folder}", "--out", "{folder}/p.safetensors"], "no .mhclo garments"),
        (["garments", "{folder}/none", "--out", "{folder}/p.safetensors"], "no MakeHuman assets there"),
        (["garments", "{folder}", "--out", "{folder}/none/p.safetensors"], "there is no folder"),
        (["garments", "{folder}", "--out", "{folder}/p.npz"], "has to end in .safetensors"),
        (["garments", "{folder}", "--people", "0"], "--people must be at least 1"),
        (["show", "{folder}/none.safetensors"], "cannot read the clothing prior"),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, capsys, arguments, sentence):
    assert main([a.format(folder=tmp_path) for a in arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_votes_are_shared_by_both_sides_and_reach_what_nobody_saw():
    asset = load_asset("open")
    left = np.flatnonzero(asset.v_template[:, 0] > 0.3)
    votes = Votes.empty(asset.num_vertices)
    votes.add(left, np.full(len(left), ID["leftArm"]), np.full(len(left), 0.02))
    trunk = np.flatnonzero((np.abs(asset.v_template[:, 0]) < 0.1) & (asset.v_template[:, 1] < 0.3))
    votes.add(trunk, np.full(len(trunk), ID["upperclothes"]), np.full(len(trunk), np.nan))
    prior = prior_of(votes, asset)
    right = asset.v_template[:, 0] < -0.4
    assert (prior.vertex_labels[right, ID["rightArm"]] > 0.99).all()
    np.testing.assert_allclose(prior.vertex_looseness_m[right, 0], 0.02, atol=1e-4)
    np.testing.assert_allclose(prior.vertex_labels.sum(1), 1, atol=1e-5)
    mirror = mirror_vertices(asset)
    np.testing.assert_allclose(asset.v_template[mirror], asset.v_template * [-1, 1, 1], atol=0.02)
    with pytest.raises(DatasetError, match="no votes"):
        prior_of(Votes.empty(asset.num_vertices), asset)


def test_normals_point_out_of_the_body():
    asset = load_asset("open")
    skin = ~np.isin(np.arange(asset.num_vertices), asset.faces[asset.interior])
    normals = vertex_normals(asset.v_template, asset.faces)
    np.testing.assert_allclose(np.linalg.norm(normals[skin], axis=1), 1, atol=1e-9)
    chest = (asset.v_template[:, 1] > 0.1) & (asset.v_template[:, 1] < 0.4) & (np.abs(asset.v_template[:, 0]) < 0.1)
    assert (np.sign(normals[chest, 2]) == np.sign(asset.v_template[chest, 2] - 0.02)).mean() > 0.9
