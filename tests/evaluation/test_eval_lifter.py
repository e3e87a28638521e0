"""Protocols of the lifters, their baselines, and dsr-eval lifter."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from shared_data import vectors

from dsr.cli.eval import main
from dsr.errors import UsageError
from dsr.evaluation import auc, mpjpe, pa_mpjpe, pck
from dsr.evaluation.lifting import (
    PCK_JOINTS,
    ActionTable,
    LinearLifter,
    MeanPose,
    ReportSums,
    evaluate_lifter,
    lifter_predictor,
    mpjve,
    n_mpjpe,
)
from dsr.lifting import build_lifter
from dsr.lifting.shipped import save_lifter
from dsr.tracks.track import PoseTrack


def track(seed=0, frames=30, action="Walking 1", turn=0.0, valid=None):
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(7).normal(0, 0.4, (17, 3))
    joints = base + 0.2 * rng.normal(0, 1, (frames, 17, 3))
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    joints = joints @ rotation.T + [0.3, 0.1, 5.0]
    pixels = joints[..., :2] / joints[..., 2:] * 500 + 320
    return PoseTrack(
        f"t{seed}",
        "S9",
        action,
        "0",
        50.0,
        pixels.astype(np.float32),
        joints.astype(np.float32),
        (640, 480),
        valid=valid,
    )


def test_measures_of_ktpformer():
    g = vectors("ktpformer", "losses")
    pred, target = (g[key].reshape(-1, 17, 3) for key in ("pred", "target"))
    assert float(mpjpe(pred, target, root=None)) == pytest.approx(float(g["mpjpe"]), abs=1e-6)
    assert float(n_mpjpe(pred, target)) == pytest.approx(float(g["n_mpjpe"]), abs=1e-6)
    assert float(pa_mpjpe(pred, target)) == pytest.approx(float(g["p_mpjpe"]), abs=1e-6)
    assert float(mpjve(pred, target)) == pytest.approx(float(g["mpjve_flattened"]), abs=1e-6)
    mirrored = target * [-1, 1, 1]
    assert float(pa_mpjpe(mirrored, target)) == pytest.approx(float(g["p_mpjpe_pred_mirrored_target"]), abs=1e-5)
    assert float(n_mpjpe(torch.from_numpy(pred), target)) == pytest.approx(float(g["n_mpjpe"]), abs=1e-6)


def test_action_tables_of_hot():
    g = vectors("hot", "losses_eval")
    np.testing.assert_allclose(
        pa_mpjpe(g["pred"], g["target"], reduction="sample").ravel(), g["p2_per_frame"].ravel(), atol=2e-6
    )
    for tag, names in (("same", ["Walking"] * 3), ("mixed", ["Walking", "Eating 2", "Eating"])):
        table = ActionTable(compat=True)
        table.add(g["pred"], g["target"], names)
        for action in ("Walking", "Eating"):
            for key in ("p1", "p2"):
                total, count = table.sums.get((action, key), (0.0, 0))
                assert total == pytest.approx(float(g[f"{tag}/{action}/{key}_sum"]), abs=1e-6)
                assert count == int(g[f"{tag}/{action}/{key}_count"])
    exact = ActionTable()
    exact.add(g["pred"], g["target"], ["Walking", "Eating 2", "Eating"])
    window = pa_mpjpe(g["pred"], g["target"], reduction="sample").mean(1)
    assert exact.sums["Walking", "p2"][0] == pytest.approx(float(window[0]))
    assert exact.mean("p2") == pytest.approx((window[0] + window[1:].mean()) / 2)


def test_a_perfect_lifter_has_no_error():
    tracks = [track(0), track(1, action="Eating")]
    report = evaluate_lifter(lambda t: t.relative() + 3.0, tracks)  # its root is not at zero: that is taken off
    assert report.overall.mpjpe_mm == pytest.approx(0, abs=1e-3)
    assert report.overall.pck == 1 and report.overall.auc == pytest.approx(30 / 31)
    assert set(report.actions) == {"Walking", "Eating"} and report.overall.frames == 60


def test_measures_against_their_definitions():
    one = track(3)
    rng = np.random.default_rng(0)
    poses = one.relative() + rng.normal(0, 0.05, (30, 17, 3))
    poses[:, 0] = 0
    report = evaluate_lifter(lambda t: poses, [one])
    errors = 1e3 * np.linalg.norm(poses - one.relative(), axis=-1)
    scores = report.overall
    assert scores.mpjpe_mm == pytest.approx(errors.mean(), rel=1e-5)
    assert scores.pa_mpjpe_mm == pytest.approx(1e3 * float(pa_mpjpe(poses, one.relative())), rel=1e-5)
    assert scores.n_mpjpe_mm == pytest.approx(1e3 * float(n_mpjpe(poses, one.relative())), rel=1e-5)
    assert scores.velocity_mm == pytest.approx(1e3 * float(mpjve(poses, one.relative())), rel=1e-5)
    assert scores.pck == pytest.approx(float(pck(errors[:, PCK_JOINTS])))
    assert scores.auc == pytest.approx(float(auc(errors[:, PCK_JOINTS])))
    assert report.joints_mm["pelvis"] == 0 and report.joints_mm["left_knee"] == pytest.approx(errors[:, 5].mean())


def test_the_average_is_over_actions_and_invalid_frames_do_not_count():
    valid = np.ones(30, bool)
    valid[10:20] = False
    tracks = [track(0), track(1), track(2, action="Eating 1", valid=valid)]

    def predict(one):
        off = np.zeros((len(one), 17, 3), np.float32)
        off[:, 1:, 0] = 0.017 if one.action.startswith("Eating") else 0.034
        if one.valid is not None:
            off[~one.valid] = np.nan
        return one.relative() + off

    report = evaluate_lifter(predict, tracks)
    assert report.overall.frames == 80
    assert report.actions["Eating"].mpjpe_mm == pytest.approx(16, rel=1e-3)
    assert report.average.mpjpe_mm == pytest.approx((16 + 32) / 2, rel=1e-3)
    assert report.overall.mpjpe_mm == pytest.approx((32 * 60 + 16 * 20) / 80, rel=1e-3)
    assert report.overall.velocity_mm == pytest.approx(0, abs=1e-3)


def test_baselines():
    training = [track(s, 60, turn=s / 2) for s in range(8)]
    test = [track(20, turn=0.7)]
    mean, linear = MeanPose.fit(training), LinearLifter.fit(training)
    everything = np.concatenate([t.relative() for t in training])
    np.testing.assert_allclose(mean(test[0])[3], everything.mean(0), atol=1e-5)
    scores = [evaluate_lifter(p, test).overall.mpjpe_mm for p in (mean, linear)]
    assert scores[1] < 0.8 * scores[0]
    # The linear lifter looks at the shape of a person in the picture: their size on the screen says little.
    larger = replace(test[0], keypoints_px=test[0].keypoints_px * 2, size=(1280, 960))
    np.testing.assert_allclose(linear(larger), linear(test[0]), atol=1e-4)


def test_missing_keypoints_do_not_break_the_baselines():
    holes = track(0)
    holes.keypoints_px[4, 3] = np.nan
    assert np.isfinite(LinearLifter.fit([track(1), holes])(holes)).all()


def test_networks_as_predictors():
    model = build_lifter("convformer", frames=9, width=8, inputs=3)
    one = track(0)
    assert lifter_predictor(model)(one).shape == (30, 17, 3)
    assert evaluate_lifter(lifter_predictor(model), [one]).overall.mpjpe_mm > 0


def test_nothing_to_measure():
    with pytest.raises(UsageError, match="no valid frames"):
        evaluate_lifter(lambda t: t.relative(), [])
    with pytest.raises(UsageError, match="shape"):
        evaluate_lifter(lambda t: t.relative()[:5], [track(0)])


def test_the_command(tmp_path, monkeypatch, capsys):
    tracks = {"train": [track(s) for s in range(3)], "validation": [track(9, action="Eating 2")]}
    monkeypatch.setattr(
        "dsr.training.systems.lifter.data.read_tracks", lambda source, split, windows, **_: tracks[split]
    )
    config = {"frames": 9, "width": 8, "depth": 1, "inputs": 3, "heads": 2}
    run = tmp_path / "run"
    run.mkdir()
    save_lifter(run / "last.safetensors", build_lifter("mixste", **config), "mixste", config)
    file = tmp_path / "figures.json"
    arguments = [
        "lifter",
        "--checkpoint",
        str(run),
        "--data",
        f"mocap:{tmp_path}",
        "--json",
        str(file),
        "--actions",
        "--joints",
    ]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "mean pose" in shown and "linear lifter" in shown and "Eating" in shown and "left_wrist" in shown
    figures = json.loads(file.read_text())
    assert set(figures["lifters"]) == {"mean pose", "linear lifter", str(run)}
    assert figures["lifters"][str(run)]["actions"]["Eating"]["frames"] == 30
    assert main(["lifter", "--checkpoint", str(tmp_path / "nothing"), "--data", f"mocap:{tmp_path}"]) == 2
    assert "missing" in capsys.readouterr().err
    assert main(["lifter", "--data", f"bvh:{tmp_path}"]) == 2
    assert "mocap:DIR" in capsys.readouterr().err


def test_tracks_of_one_frame_have_no_velocity_and_other_joints_are_refused():
    report = evaluate_lifter(lambda t: t.relative(), [track(0, frames=1)])
    assert report.overall.velocity_mm is None and report.average.velocity_mm is None
    assert report.average.mpjpe_mm == 0
    with pytest.raises(UsageError, match=r"gives 15 joints, track S9 Walking 1 has 17"):
        ReportSums().add(track(0), np.zeros((30, 15, 3)), track(0).relative(), np.ones(30, bool))
