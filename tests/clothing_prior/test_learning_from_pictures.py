"""Photographs: labels of what is seen, nobody's where somebody else is in front, and folders that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from clothing_prior.pictures import learn_from_pictures, seen_labels
from dsr.body import load_asset
from dsr.camera import PictureCamera
from dsr.cli.prior import main
from dsr.clothing.labels import LABELS
from dsr.clothing.prior import load_clothing_prior
from dsr.errors import DatasetError
from dsr.people import ClothingMap
from dsr.results import FitResult, save_result
from dsr.results.picture import PersonResult

SIZE = (400, 300)
K = np.array([[400.0, 0, 200], [0, 400.0, 150], [0, 0, 1]])
CAMERA = PictureCamera(K, SIZE)


@pytest.fixture(scope="module")
def asset():
    return load_asset("open")


def standing(asset, x=0.0, z=3.0):
    return asset.v_template * [1.0, -1.0, -1.0] + [x, 0.0, z]


def result_of(asset, bodies, path):
    people = [
        PersonResult(
            id=f"p{k}",
            box_px=np.array([0, 0, 400, 300.0]),
            score=1.0,
            keypoint_set="blazepose33",
            keypoints_px=np.zeros((33, 3)),
            betas=np.zeros(asset.num_betas),
            global_orient=np.zeros(3),
            body_pose=np.zeros((23, 3)),
            transl=np.zeros(3),
            vertices_cam_m=body.astype(np.float32),
            joints_cam_m=np.zeros((24, 3)),
            height_m=1.7,
        )
        for k, body in enumerate(bodies)
    ]
    return FitResult(status="ok", input_path=str(path), image_size=SIZE, K=K, people=people)


def test_only_what_is_seen_is_labelled(asset):
    pants = ClothingMap(np.array([0.0, 0, *SIZE]), np.full((3, 4), LABELS.index("pants")), np.ones((3, 4), np.float32))
    ((vertices, labels),) = seen_labels([standing(asset)], asset, CAMERA, pants.at)
    assert (labels == LABELS.index("pants")).all()
    back = (asset.v_template[:, 2] < -0.03) & (np.abs(asset.v_template[:, 0]) < 0.08)
    assert not back[vertices].any() and len(vertices) > 1000
    front, behind = standing(asset, z=2.5), standing(asset, x=0.02, z=4.0)
    both = seen_labels([behind, front], asset, CAMERA, pants.at)
    alone = seen_labels([behind], asset, CAMERA, pants.at)
    assert len(both) < 2 or len(both[0][0]) < 0.7 * len(alone[0][0])
    nothing = ClothingMap(pants.box_px, np.zeros((3, 4), int), pants.confidence)
    assert seen_labels([front], asset, CAMERA, nothing.at) == []


def test_the_command_takes_results_and_label_pictures(tmp_path, asset, capsys):
    results, labels = tmp_path / "out", tmp_path / "labels"
    results.mkdir(), labels.mkdir()
    save_result(result_of(asset, [standing(asset)], tmp_path / "photo.jpg"), results / "photo.json")
    bare = np.full((SIZE[1], SIZE[0]), LABELS.index("rightLeg"), np.uint8)
    Image.fromarray(bare).save(labels / "photo.png")
    out = tmp_path / "mine.safetensors"
    arguments = ["pictures", str(results), "--labels", str(labels), "--out", str(out), "--base-people", "0.5"]
    assert main(arguments) == 0
    assert "1 people in pictures, 0 left out" in capsys.readouterr().out
    before, after = load_clothing_prior(asset), load_clothing_prior(asset, out)
    shin = (asset.v_template[:, 1] < -0.5) & (asset.v_template[:, 1] > -0.7) & (asset.v_template[:, 2] > 0)
    legs = [LABELS.index("leftLeg"), LABELS.index("rightLeg")]
    gain = after.vertex_labels[shin][:, legs].sum(1).mean() - before.vertex_labels[shin][:, legs].sum(1).mean()
    assert gain > 0.2
    assert "people in pictures" in out.with_suffix(".md").read_text(encoding="utf-8")


def test_folders_that_cannot_be_used_are_named(tmp_path, asset):
    with pytest.raises(DatasetError, match="no results of dsr-fit"):
        learn_from_pictures(tmp_path, tmp_path, "lip", asset)
    save_result(result_of(asset, [standing(asset)], tmp_path / "photo.jpg"), tmp_path / "photo.json")
    with pytest.raises(DatasetError, match=r"none of 1 pictures.*no label picture photo\.png"):
        learn_from_pictures(tmp_path, tmp_path, "lip", asset)
    Image.fromarray(np.full((50, 50), 3, np.uint8)).save(tmp_path / "photo.png")
    with pytest.raises(DatasetError, match="another shape"):
        learn_from_pictures(tmp_path, tmp_path, "lip", asset)
