"""Named directions of the body model's file, as the add-on reads them without Blender."""

import numpy as np
import pytest
from dsr_fit_body.core.body_model import read_body_model
from dsr_fit_body.core.directions import KEY_NAMES
from dsr_fit_body.core.messages import FitBodyError
from dsr_fit_body.core.result import read_result
from sample_results import earlier_asset, write_picture

from dsr.body import load_asset
from dsr.body.asset_file import find_open
from dsr.body.directions import named_directions


def test_directions_are_those_of_dsr():
    theirs = named_directions(load_asset("open-light"))
    mine = read_body_model(find_open("open-light")).directions
    assert [d.name for d in mine] == list(theirs) == list(KEY_NAMES)
    for direction in mine:
        np.testing.assert_array_equal(direction.betas, theirs[direction.name].betas)
        assert direction.spread == theirs[direction.name].spread


def test_bodies_of_earlier_versions_have_none(tmp_path):
    path, _, asset = write_picture(tmp_path, 1, asset=earlier_asset(tmp_path))
    body = read_body_model(read_result(path).body_file)
    assert body.directions == [] and body.shapedirs.shape[2] == asset.num_betas == 11


@pytest.mark.parametrize(
    "changed",
    [{"directions": np.zeros((8, 99))}, {"direction_spreads": np.ones(3)}, {"direction_names": np.array(["mass"])}],
)
def test_directions_that_do_not_fit_are_refused(tmp_path, changed):
    with np.load(find_open("open-light")) as data:
        arrays = {key: data[key] for key in data.files}
    np.savez(tmp_path / "broken.npz", **{**arrays, **changed})
    with pytest.raises(FitBodyError) as caught:
        read_body_model(tmp_path / "broken.npz")
    assert caught.value.message.code == "model_missing" and "do not fit" in str(caught.value.message.sentence)


def test_directions_without_a_slider_are_left_out(tmp_path):
    with np.load(find_open("open-light")) as data:
        arrays = {key: data[key] for key in data.files}
    arrays["direction_names"] = np.array(["nose", *arrays["direction_names"][1:].tolist()])
    np.savez(tmp_path / "newer.npz", **arrays)
    assert [d.name for d in read_body_model(tmp_path / "newer.npz").directions] == list(KEY_NAMES)[1:]
