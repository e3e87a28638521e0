"""HumanEva in VideoPose3D's files: tracks, official checkpoints to the table by action and subject, training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dsr.cli.eval import main
from dsr.errors import DatasetError, UsageError
from dsr.lifting import build_lifter
from dsr.lifting.glagcn import coco17_to_humaneva15
from dsr.tracks.camera_table import convert
from dsr.tracks.files import load_humaneva
from dsr.tracks.skeleton import HUMANEVA15, mirror
from dsr.training.systems.lifter.config import LifterDataConfig, network_arguments
from dsr.training.systems.lifter.data import read_tracks
from dsr.training.systems.lifter.presets import lifter_preset
from dsr.training.systems.lifter.task import LifterTask

PLACE = {"orientation": [0.5, 0.5, -0.5, 0.5], "translation": [100, 200, 5000]}
LENS = {
    "id": "C1",
    "res_w": 640,
    "res_h": 480,
    "center": [320, 240],
    "focal_length": [765, 765],
    "radial_distortion": [0, 0, 0],
    "tangential_distortion": [0, 0],
}


@pytest.fixture
def data(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    subjects = [f"{part}/S{i}" for part in ("Train", "Validate") for i in (1, 2, 3)]
    actions = ("Walking 1 chunk0", "Walking 1 chunk1", "Jog 1 chunk0")
    world = {s: {a: rng.normal(size=(12, 15, 3)) for a in actions} for s in subjects}
    for name, joints in (("gt", 15), ("detectron_pt_coco", 17)):
        seen = {s: {a: [rng.uniform(0, 480, (13, joints, 2)) for _ in "CC"] for a in actions} for s in subjects}
        metadata = {"num_joints": joints, "keypoints_symmetry": [[1], [2]]}
        np.savez_compressed(tmp_path / f"data_2d_humaneva15_{name}.npz", positions_2d=seen, metadata=metadata)
    np.savez_compressed(tmp_path / "data_3d_humaneva15.npz", positions_3d=world)
    source = f"humaneva_cameras_intrinsic_params = {[LENS, LENS]}\n"
    source += f"humaneva_cameras_extrinsic_params = { {f'S{i}': [PLACE, PLACE] for i in (1, 2, 3)} }\n"
    (tmp_path / "cameras_humaneva15.json").write_text(json.dumps(convert(source)))
    return tmp_path


def test_tracks_have_the_fifteen_joints_of_both_kinds_of_keypoints(data):
    truth = load_humaneva(data / "data_3d_humaneva15.npz", data / "data_2d_humaneva15_gt.npz", ["Validate/S2"])
    seen = load_humaneva(
        data / "data_3d_humaneva15.npz", data / "data_2d_humaneva15_detectron_pt_coco.npz", ["Validate/S2"]
    )
    assert len(truth) == len(seen) == 6 and {len(t) for t in truth} == {12}
    assert truth[0].action == "Walking/S2 1 chunk0" and truth[0].fps == 60 and truth[0].size == (640, 480)
    assert truth[0].left == HUMANEVA15.left and truth[0].joints_m.shape == (12, 15, 3)
    from dsr.tracks.files import read_object_npz

    raw = read_object_npz(data / "data_2d_humaneva15_detectron_pt_coco.npz")["positions_2d"]
    coco = torch.from_numpy(np.asarray(raw["Validate/S2"]["Walking 1 chunk0"][0]))[:12]
    np.testing.assert_allclose(seen[0].keypoints_px, coco17_to_humaneva15(coco), rtol=1e-5)
    with pytest.raises(DatasetError, match="no subject Train/S9"):
        load_humaneva(data / "data_3d_humaneva15.npz", data / "data_2d_humaneva15_gt.npz", ["Train/S9"])


def test_fifteen_joints_are_mirrored_by_their_own_sides():
    x = torch.randn(2, 15, 3)
    np.testing.assert_array_equal(mirror(x)[:, 2, 1], x[:, 5, 1])
    np.testing.assert_array_equal(mirror(mirror(x)), x)


@pytest.mark.parametrize(
    ("name", "keypoints", "settings"),
    [
        ("glagcn", "gt", "dataset=humaneva15 width=8 widths=3,3"),
        ("glagcn", "coco", "dataset=humaneva15_coco width=8 widths=3,3"),
        ("ktpformer", "gt", "joints=15 frames=9 width=16 depth=1"),
    ],
)
def test_from_an_official_file_to_the_authors_table(name, keypoints, settings, data, tmp_path, capsys):
    torch.manual_seed(0)
    config = {k: v if k == "dataset" else eval(f"({v})") for k, v in (s.split("=") for s in settings.split())}
    file, table = tmp_path / "official.bin", tmp_path / "table.json"
    state = {f"module.{key}": value for key, value in build_lifter(name, **config).state_dict().items()}
    torch.save({"epoch": 1, "model_pos": state}, file)
    run = ["lifter", "--checkpoint", str(file), "--model", name, "--set", *settings.split(), "--protocol", "published"]
    run += ["--data", f"humaneva:{data}", "--keypoints", keypoints, "--json", str(table), "--actions"]
    assert main(run) == 0
    shown = capsys.readouterr().out
    assert "Walking/S1" in shown and f"data_2d_humaneva15_{'gt' if keypoints == 'gt' else 'detectron_pt_coco'}" in shown
    report = json.loads(table.read_text())["lifters"][str(file)]
    assert set(report["actions"]) == {f"{a}/S{i}" for a in ("Walking", "Jog") for i in (1, 2, 3)}
    aligned = np.mean([part["pa_mpjpe_mm"] for part in report["actions"].values()])
    assert report["average"]["pa_mpjpe_mm"] == pytest.approx(aligned)
    assert main([*run, "--subjects", "S2", "--only", "Jog/S2"]) == 0
    assert "Walking" not in capsys.readouterr().out


@pytest.mark.parametrize("model", ["glagcn", "ktpformer"])
def test_training_takes_the_skeleton_of_the_data(model, data):
    config = replace(lifter_preset("mocap", model), data=(f"humaneva:{data}",), batch=2)
    network = replace(config.network, frames=9, width=16, depth=0 if model == "glagcn" else 1)
    config = replace(config, network=network, windows=LifterDataConfig(keypoints="coco", hop=3))
    arguments = network_arguments(config)
    assert arguments.get("dataset", arguments.get("joints")) in ("humaneva15_coco", 15)
    tracks = read_tracks(config.data[0], "train", config.windows)
    assert {track.subject for track in tracks} == {"Train/S1", "Train/S2", "Train/S3"}
    task = LifterTask(config, tracks, [])
    network = task.build_model()
    task.prepare(torch.device("cpu"))
    from contextlib import nullcontext

    total, _ = task.terms(network, task.collate([(0, 0), (1, 1)]), 0, nullcontext)
    total.backward()
    assert bool(total.isfinite()) and network.joints == 15


def test_lifters_of_seventeen_joints_say_so(data):
    config = replace(lifter_preset("published", "mhformer"), data=(f"humaneva:{data}",))
    with pytest.raises(UsageError, match="17 joints"):
        network_arguments(config)
