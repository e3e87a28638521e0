"""Finding and reading assets in our own layout, without torch; writing them back."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from body_toys import toy_asset

from dsr.body import JOINT_SETS, KEYPOINT_SETS, PARENTS, flip_pairs, flip_permutation, joint_names, load_asset
from dsr.body.asset import split_quads, tree_levels
from dsr.body.asset_file import find_open, save_asset
from dsr.errors import BodyError


@pytest.mark.parametrize("name", ["open", "open-light"])
def test_the_open_bodies_hold_what_the_design_says(name):
    asset = load_asset(name).check()
    assert asset.num_joints == 24 and asset.num_betas == 41 and asset.joint_names == joint_names("smpl24")
    assert tuple(asset.parents) == PARENTS["smpl24"]
    assert set(asset.keypoint_regressors) == set(KEYPOINT_SETS)
    for keypoint_set, regressor in asset.keypoint_regressors.items():
        assert regressor.shape == (len(joint_names(keypoint_set)), asset.num_vertices)
    assert (asset.weights > 0).sum(1).max() <= 4
    assert 0 < asset.interior.sum() < len(asset.faces) / 4
    assert "CC0" in asset.licence and isinstance(asset.name, str) and len(asset.sha256) == 64


def test_left_is_plus_x_and_the_body_faces_plus_z():
    asset = load_asset("open")
    for keypoint_set, regressor in asset.keypoint_regressors.items():
        points = regressor @ asset.v_template
        for left, right in flip_pairs(keypoint_set):
            assert points[left, 0] > 0.005 and points[right, 0] < -0.005
    nose, ear = (asset.keypoint_regressors["coco17"] @ asset.v_template)[[0, 3]]
    assert nose[2] > ear[2] + 0.05


def test_reading_needs_neither_torch_nor_smplx():
    code = (
        "import sys; from dsr.body import load_asset, measure_body; measure_body(load_asset('open-light'));"
        "print(sorted({'torch', 'smplx', 'chumpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_environment_names_another_folder(tmp_path, monkeypatch):
    mine = tmp_path / "open" / "DSR_OPEN.npz"
    mine.parent.mkdir()
    mine.write_bytes(find_open("open-light").read_bytes())
    monkeypatch.setenv("DSR_BODY_MODELS", str(tmp_path))
    assert load_asset("open").num_vertices == load_asset("open-light").num_vertices


def test_a_missing_open_body_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("dsr.body.asset_file.BUNDLED_FOLDERS", (tmp_path / "bundled",))
    monkeypatch.setenv("DSR_BODY_MODELS", str(tmp_path / "mine"))
    with pytest.raises(BodyError, match=r"DSR_OPEN_LIGHT\.npz was not found .*mine.*DSR_BODY_MODELS"):
        load_asset("open-light")


def test_an_asset_survives_writing_and_reading(tmp_path):
    asset = replace(toy_asset(60), licence="mine", num_expressions=3)
    save_asset(asset, tmp_path / "toy.npz")
    again = load_asset(tmp_path / "toy.npz")
    for key in ("v_template", "shapedirs", "posedirs", "weights", "parents", "faces", "part_ids", "interior"):
        assert np.array_equal(getattr(again, key), getattr(asset, key)), key
    assert np.allclose(again.J_regressor.toarray(), asset.J_regressor.toarray(), atol=1e-7)
    assert (again.name, again.licence, again.num_expressions) == ("toy", "mine", 3)
    fewer = load_asset(tmp_path / "toy.npz", num_betas=2)
    kept = asset.shapedirs[..., [0, 1, 8, 9, 10]]
    assert np.array_equal(fewer.shapedirs, kept)


def test_quads_survive_writing_and_reading(tmp_path):
    toy = toy_asset(60)
    quads = np.random.default_rng(1).permuted(np.tile(np.arange(60, dtype=np.int32), (60, 1)), axis=1)[:, :4]
    asset = replace(toy, quads=quads, faces=split_quads(quads))
    save_asset(asset, tmp_path / "toy.npz")
    again = load_asset(tmp_path / "toy.npz")
    assert np.array_equal(again.quads, quads) and again.quads.dtype == np.int32 and again.quads_uv is None
    assert np.array_equal(again.faces[6:8], quads[3][[[0, 1, 2], [0, 2, 3]]])
    save_asset(toy, tmp_path / "plain.npz")
    assert load_asset(tmp_path / "plain.npz").quads is None


def broken(tmp_path: Path, **changes) -> Path:
    path = tmp_path / "broken.npz"
    save_asset(toy_asset(60), path)
    with np.load(path) as data:
        arrays = {**data, **changes}
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": np.full((60, 24), 0.1)}, "weights do not sum to 1"),
        ({"weights": np.full((59, 24), 1 / 24)}, r"weights has shape \(59, 24\) where \(60, 24\)"),
        ({"v_template": np.full((60, 3), np.nan)}, "v_template holds numbers that are not finite"),
        ({"f": np.array([[0, 1, 60]]), "part_ids": np.zeros(1), "interior": np.zeros(1)}, "vertices that do not exist"),
        ({"kintree_table": np.stack([np.full(24, -1), np.arange(24)])}, "24 roots"),
        ({"kintree_table": np.stack([[-1, 2, 1, *range(21)], range(24)])}, "do not hang on the root"),
        ({"posedirs": np.zeros((60, 3, 10))}, "posedirs has shape"),
        ({"shapedirs": None}, "shapedirs missing"),
        ({"quads": np.zeros((60, 4), int)}, "the triangles are not those of quads"),
        ({"quads": np.zeros((59, 4), int)}, r"quads has shape \(59, 4\) where \(60, 4\)"),
        ({"weights": np.array([{}], object)}, "cannot be read as a body asset"),
        ({"kp_coco17_col": np.full(68, 99)}, "not a body asset"),
    ],
)
def test_assets_that_do_not_fit_together_are_refused(tmp_path, changes, reason):
    path = broken(tmp_path, **changes)
    with pytest.raises(BodyError, match=reason) as caught:
        load_asset(path)
    assert "broken.npz" in str(caught.value)


def test_levels_of_a_tree_in_any_order():
    levels = tree_levels(np.array([2, 0, -1, 0]))
    assert [list(level) for level in levels] == [[2], [0], [1, 3]]


@pytest.mark.parametrize("name", JOINT_SETS)
def test_flips_are_involutions_that_swap_sides(name):
    names, flip = joint_names(name), flip_permutation(name)
    assert len(set(names)) == len(names)
    assert [flip[i] for i in flip] == list(range(len(names)))
    assert all(("left" in a) == ("right" in names[b]) for a, b in zip(names, flip, strict=True))
    assert len(flip_pairs(name)) == sum("left" in n for n in names) == sum("right" in n for n in names)


@pytest.mark.parametrize("name", JOINT_SETS)
def test_sets_have_the_size_in_their_name_and_trees_stay_on_one_side(name):
    names = joint_names(name)
    assert len(names) == int(name[-2:])
    if name in PARENTS:
        parents = PARENTS[name]
        tree_levels(np.array(parents))
        flip = flip_permutation(name)
        sides = [{"left", "right"} & set(n.split("_")) for n in names]
        assert all(p < 0 or not (sides[i] and sides[p]) or sides[i] == sides[p] for i, p in enumerate(parents))
        assert len(flip) == len(parents)


def test_unknown_sets_are_named():
    with pytest.raises(BodyError, match=r"'coco18'.*coco17"):
        joint_names("coco18")
