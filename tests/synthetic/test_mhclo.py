"""Garments: the binding formula, single bindings, ranges of hidden vertices, fallbacks and broken files."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from shared_data import makehuman

from dsr.errors import DatasetError
from dsr.synthetic.mhclo import BASE_VERTICES, assemble_base, load_garment

MHCLO = """# a comment
name shirt
obj_file shirt.obj
material shirt.mhmat
tag Casual
tag Red
x_scale 10 11 2.0
y_scale 10 12 4.0
z_scale 10 13 5.0
z_depth 7
verts 0
material shirt.mhmat
 0 1 2 0.25 0.25 0.5 0.1 -0.2 0.3
 5
 1 2 3 0.5 0.25 0.25

delete_verts
1 - 3 7
9 - 9 20
"""
OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"


@pytest.fixture
def shirt(tmp_path: Path) -> Path:
    (tmp_path / "shirt.mhclo").write_text(MHCLO)
    (tmp_path / "shirt.obj").write_text(OBJ)
    (tmp_path / "shirt.mhmat").write_text("name Shirt\ndiffuseColor 0.8 0.1 0.2\nshininess 0.4\n")
    return tmp_path / "shirt.mhclo"


@pytest.fixture
def base() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0.0, 0.3, (BASE_VERTICES, 3))


def test_fit_is_weighted_sum_plus_scaled_offset(shirt: Path, base: np.ndarray) -> None:
    garment = load_garment(shirt)
    fitted = garment.fit(base)
    scale = np.abs([base[10, 0] - base[11, 0], base[10, 1] - base[12, 1], base[10, 2] - base[13, 2]]) / (2, 4, 5)
    expected = 0.25 * base[0] + 0.25 * base[1] + 0.5 * base[2] + np.array([0.1, -0.2, 0.3]) * scale
    np.testing.assert_allclose(fitted[0], expected, atol=1e-12)
    np.testing.assert_allclose(fitted[1], base[5], atol=0)
    np.testing.assert_allclose(fitted[2], 0.5 * base[1] + 0.25 * base[2] + 0.25 * base[3], atol=1e-12)


def test_header_ranges_mesh_and_colour(shirt: Path) -> None:
    garment = load_garment(shirt)
    assert garment.name == "shirt" and garment.tags == ("Casual", "Red") and garment.z_depth == 7
    assert garment.delete_vertices.tolist() == [1, 2, 3, 7, 9, 20]
    assert garment.faces.tolist() == [[0, 1, 2]] and garment.faces_uv.shape == (1, 3) and garment.uv.shape == (3, 2)
    assert garment.colour == (0.8, 0.1, 0.2)
    assert load_garment(shirt.parent).name == "shirt"


def test_skinning_follows_the_body(shirt: Path) -> None:
    weights = np.zeros((BASE_VERTICES, 4))
    weights[np.arange(BASE_VERTICES), np.arange(BASE_VERTICES) % 4] = 1.0
    skinning = load_garment(shirt).skinning(weights)
    np.testing.assert_allclose(skinning[0], [0.25, 0.25, 0.5, 0.0])
    np.testing.assert_allclose(skinning[1], [0.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(skinning.sum(axis=1), 1.0)


def test_missing_vertices_are_refused_and_rebound_cures(shirt: Path, base: np.ndarray) -> None:
    garment = load_garment(shirt)
    body_index = np.setdiff1d(np.arange(BASE_VERTICES), [2, 5])
    partial = assemble_base(base[body_index], body_index)
    with pytest.raises(DatasetError, match="2 base-mesh vertices"):
        garment.fit(partial)
    cured = garment.rebound(base, np.isfinite(partial).all(axis=1))
    assert not np.isin(cured.indices, [2, 5]).any()
    np.testing.assert_allclose(cured.fit(partial), garment.fit(base), atol=1e-12)
    helpers = assemble_base(base[body_index], body_index, base[[2, 5]], np.array([2, 5]))
    np.testing.assert_allclose(garment.fit(helpers), garment.fit(base))


def test_offsets_turn_with_the_rest_pose(shirt: Path, base: np.ndarray) -> None:
    garment = load_garment(shirt)
    c, s = np.cos(0.7), np.sin(0.7)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    posed = base @ turn.T + np.array([0.1, 0.2, 0.3])
    turned = garment.turned(base, posed)
    np.testing.assert_allclose(turned.turns, np.broadcast_to(turn, (3, 3, 3)), atol=1e-9)
    offset = garment.offsets[0] * garment.scale(posed)
    anchor = garment.weights[0] @ posed[garment.indices[0]]
    np.testing.assert_allclose(turned.fit(posed)[0], anchor + turn @ offset, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(" 5\n", " 99999\n"), "99999"),
        (lambda text: text.replace(" 0 1 2 0.25", " 0 1 2 apple"), "line 13"),
        (lambda text: text.replace("1 - 3 7", "1 - x 7"), "delete_verts"),
        (lambda text: text.replace(" 5\n", ""), "do not match"),
        (lambda text: text.replace("x_scale 10 11 2.0", "x_scale 10 11 0"), "x_scale"),
        (lambda text: text.split("verts 0")[0], "no vertex bindings"),
        (lambda text: text.replace("shirt.obj", "gone.obj"), "gone.obj"),
        (lambda text: text.replace("shirt.obj", "../shirt.obj"), "not in the garment's own folder"),
        (lambda text: text.replace("shirt.obj", "/dev/zero"), "not in the garment's own folder"),
        (lambda text: text.replace("shirt.obj", "shirt\0.obj"), "not in the garment's own folder"),
        (lambda text: text.replace("shirt.mhmat", "..\\..\\secret.mhmat"), "not in the garment's own folder"),
        (lambda text: text.replace("1 - 3 7", "1 - 3000000000 7"), "delete_verts"),
        (lambda text: text.replace(" 5\n", " " + "9" * 30 + "\n"), "line 14"),
        (lambda text: text.replace("0.25 0.25 0.5", "nan 0.25 0.5"), "not a number"),
        (lambda text: text.replace("0.1 -0.2 0.3", "0.1 inf 0.3"), "not a number"),
        (lambda text: text.replace("z_depth 7", "z_depth inf"), "z_depth should be a number"),
    ],
)
def test_broken_files_say_what_is_wrong(shirt: Path, change, message: str) -> None:
    shirt.write_text(change(MHCLO))
    with pytest.raises(DatasetError, match=message):
        load_garment(shirt)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_are_not_read(shirt: Path) -> None:
    (shirt.parent / "shirt.obj").unlink()
    os.mkfifo(shirt.parent / "shirt.obj")
    with pytest.raises(DatasetError, match="is no file"):
        load_garment(shirt)


def test_wrong_base_mesh_and_missing_file(shirt: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="19158"):
        load_garment(shirt).fit(np.zeros((10, 3)))
    with pytest.raises(DatasetError, match=r"nothing\.mhclo"):
        load_garment(tmp_path / "nothing.mhclo")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="found 0"):
        load_garment(tmp_path / "empty")


def test_real_garments_hug_every_shape_of_the_open_body(tmp_path: Path) -> None:
    archive_file = makehuman() / "makehuman_assets_cc0.tar.xz"
    from scipy.spatial import cKDTree

    from dsr.body import load_asset

    body = load_asset("open")
    helper_file = body.path.with_name("DSR_OPEN_HELPERS.npz") if body.path else Path()
    if not helper_file.is_file():
        pytest.skip("the helper vertices of the open body are not installed")
    names = ("clothes/male_casualsuit04", "clothes/shoes02", "hair/short04", "clothes/male_worksuit01")
    with tarfile.open(archive_file) as archive:
        wanted = [m for m in archive.getmembers() if any(name in m.name for name in names)]
        archive.extractall(tmp_path, wanted, filter="data")
    helpers = np.load(helper_file)
    betas = np.zeros(body.num_betas)
    betas[:3] = (1.5, -1.0, 1.0)
    for shape in (np.zeros_like(betas), betas):
        vertices = body.v_template + body.shapedirs @ shape
        around = helpers["v_template"] + helpers["shapedirs"] @ shape
        base = assemble_base(vertices, body.base_index, around, helpers["base_index"])
        template = assemble_base(body.v_template, body.base_index, helpers["v_template"], helpers["base_index"])
        tree = cKDTree(vertices)
        for path in sorted(tmp_path.glob("**/*.mhclo")):
            garment = load_garment(path).rebound(helpers["rest_vertices"], np.isfinite(template).all(axis=1))
            fitted = garment.turned(helpers["rest_vertices"], template).fit(base)
            distance, _ = tree.query(fitted)
            assert np.median(distance) < 0.035, path.name
            assert distance.max() < 0.16, path.name
            assert len(np.intersect1d(garment.delete_vertices, body.base_index)) > 0 or path.stem.startswith("short")
