"""A garment as a model for other programs: quads again, where the exact rule puts it, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from shared_data import makehuman

from dsr.body import load_asset
from dsr.errors import DatasetError
from dsr.synthetic.base_mesh import BaseMesh
from dsr.synthetic.garment_model import garment_model, merge_triangles, write_garment
from dsr.synthetic.mhclo import load_garment
from dsr.synthetic.wardrobe import unpack


@pytest.fixture(scope="module")
def suit(tmp_path_factory):
    folder = unpack(makehuman(), tmp_path_factory.mktemp("garments"))
    return next(folder.rglob("male_casualsuit04.mhclo"))


def test_triangles_become_the_quads_they_were_cut_from():
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [0, 3, 7], [0, 7, 8]])
    polygons, none = merge_triangles(faces, np.zeros((0, 3), int))
    assert polygons.tolist() == [[0, 1, 2, 3], [4, 5, 6, -1], [0, 3, 7, 8]] and none.shape == (0, 4)
    polygons, uv = merge_triangles(faces, faces + 10)
    assert uv.tolist() == [[10, 11, 12, 13], [14, 15, 16, -1], [10, 13, 17, 18]]
    assert merge_triangles(np.zeros((0, 3), int), np.zeros((0, 3), int))[0].shape == (0, 4)


@pytest.mark.parametrize("name", ["open", "open-x", "open-light"])
def test_a_model_lies_where_the_garment_hangs(suit, name):
    body = load_asset(name)
    model = garment_model(suit, body)
    betas = np.zeros(41)
    betas[:3] = 1.0, -1.0, 0.5
    full = BaseMesh(load_asset("open"))
    exact = full.bind(load_garment(suit)).garment.fit(full.shaped(betas))
    linear = model["places"] + model["shapedirs"][..., :41] @ betas
    assert np.abs(linear - exact).max() < 0.004
    np.testing.assert_allclose(model["weights"].sum(1), 1, atol=1e-5)
    assert model["weights"].shape[1] == body.num_joints == len(model["joint_names"])
    assert (model["polygons"][:, 3] >= 0).mean() > 0.95
    tall = model["direction_offsets"][list(model["direction_names"]).index("height")]
    assert np.ptp(model["places"] + tall, axis=0)[1] > np.ptp(model["places"], axis=0)[1] + 0.01
    covered = body.v_template[model["hidden"]]
    assert len(covered) > 1000 and covered[:, 1].max() < body.v_template[:, 1].max() - 0.2  # no head


def test_files_are_read_without_pickles_and_refused_with_a_sentence(suit, tmp_path):
    write_garment(suit, load_asset("open"), tmp_path / "suit.npz")
    with np.load(tmp_path / "suit.npz", allow_pickle=False) as data:
        assert str(data["name"]) and data["places"].shape[1] == 3
    with pytest.raises(DatasetError, match="no garment"):
        garment_model(suit.with_suffix(".obj"), load_asset("open"))
    with pytest.raises(DatasetError, match="cannot be read"):
        garment_model(tmp_path / "none.mhclo", load_asset("open"))
