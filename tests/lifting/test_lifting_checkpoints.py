"""Checkpoints of lifters: official layouts, strict, nothing run; our own files say how to build the network."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from shared_data import specs

import dsr
from dsr.errors import CheckpointError, UsageError
from dsr.lifting import build_lifter, load_lifter, load_shipped, save_lifter, shipped

TINY = {"frames": 9, "width": 16, "depth": 1}
PRUNED = {**TINY, "keep": 3, "before": 1}
MANIFESTS = {
    **{
        f"hot/manifest_{name.replace('-', '_')}.json": (name, {})
        for name in (
            "mixste",
            "hot-mixste",
            "tpc-mixste",
            "mhformer",
            "tpc-mhformer",
            "motionbert",
            "hot-motionbert",
            "motionagformer",
            "hot-motionagformer",
        )
    },
    "ktpformer/manifest_f81_c512_d7.json": ("ktpformer", {"frames": 81}),
    "ktpformer/manifest_f243_c512_d7.json": ("ktpformer", {}),
    "glagcn/golden/manifest_h36m_243f_c96.json": ("glagcn", {}),
    "glagcn/golden/manifest_h36m_81f_c96.json": ("glagcn", {"widths": (3,) * 4}),
    "glagcn/golden/manifest_h36m_27f_c96.json": ("glagcn", {"widths": (3,) * 3}),
    "glagcn/golden/manifest_humaneva15_gt_27f_c96.json": ("glagcn", {"widths": (3,) * 3, "dataset": "humaneva15"}),
    "glagcn/golden/manifest_humaneva15_coco_27f_c96.json": (
        "glagcn",
        {"widths": (3,) * 3, "dataset": "humaneva15_coco"},
    ),
    "glagcn/golden/manifest_3dhp_like_81f_c256_UNVERIFIED.json": ("glagcn", {"widths": (3,) * 4, "width": 256}),
}


def values_like(shapes, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return {
        key: torch.tensor(7) if key.endswith("num_batches_tracked") else torch.rand(shape, generator=rng)
        for key, shape in shapes.items()
    }


def random_weights(model, seed=0):
    return values_like({key: value.shape for key, value in model.state_dict().items()}, seed)


def filled(model, entries):
    return all(torch.equal(value, entries[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_every_manifest_loads_strictly(manifest):
    name, config = MANIFESTS[manifest]
    about = json.loads((specs() / manifest).read_text())
    entries = values_like(about.get("state_dict") or about["keys"])
    with torch.device("meta"):  # no time for first values
        model = build_lifter(name, **config)
    model = model.to_empty(device="cpu")
    report = dsr.load_checkpoint(model, entries)
    assert (report.missing, report.extra, report.ignored) == ((), (), ())
    assert filled(model, entries)


def trained(entries):
    """What KTPFormer and GLA-GCN save, optimizer and NumPy's random state included."""
    return {
        "epoch": 79,
        "lr": 1e-5,
        "random_state": np.random.RandomState(1234),
        "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-5}]},
        "model_pos": {f"module.{key}": value for key, value in entries.items()},
    }


LAYOUTS = {
    "hot": (lambda w: w, ".pth", "flat"),
    "trained": (trained, ".bin", "model_pos"),
    "trained on the CPU": (lambda w: {"model_pos": w, "epoch": 1}, ".bin", "model_pos"),
    "parallel": (lambda w: {f"module.{key}": value for key, value in w.items()}, ".pth", "flat"),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_official_layouts(tmp_path, layout, legacy):
    wrap, ending, where = LAYOUTS[layout]
    for name, config in (("ktpformer", TINY), ("glagcn", {"width": 4, "widths": (3, 3)}), ("hot-mixste", PRUNED)):
        model = build_lifter(name, **config)
        entries = random_weights(model)
        path = tmp_path / f"{name}{ending}"
        torch.save(wrap(entries), path, _use_new_zipfile_serialization=not legacy)
        report = dsr.load_checkpoint(model, path)
        assert report.layout == where
        assert not report.extra
        assert filled(model, entries)


class Payload:
    """Runs a command when it is unpickled by a trusting loader."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    model = build_lifter("ktpformer", **TINY)
    entries, sign = random_weights(model), tmp_path / "was run"
    torch.save({**trained(entries), "random_state": Payload(f"touch '{sign}'")}, tmp_path / "best.bin")
    dsr.load_checkpoint(model, tmp_path / "best.bin")
    assert not sign.exists()
    assert filled(model, entries)


@pytest.mark.parametrize(
    ("into", "other", "says"),
    [
        (("mixste", TINY), ("hot-mixste", PRUNED), "pos_embed_token.*hot-mixste"),
        (("hot-mixste", PRUNED), ("tpc-mixste", PRUNED), 'missing, pos_embed_token first.*build_lifter\\("mixste"\\)'),
        (("mixste", TINY), ("ktpformer", TINY), "KTPFormer weights"),
        (("mixste", TINY), ("mixste", {**TINY, "frames": 27}), "Temporal_pos_embed has shape \\(1, 27, 16\\)"),
        (("mixste", TINY), ("mixste", {**TINY, "depth": 2}), "STEblocks.1"),
        (
            ("motionbert", {**TINY, "representation": 8}),
            ("motionagformer", {**TINY, "representation": 8}),
            "MotionAGFormer",
        ),
        (("glagcn", {"width": 4, "widths": (3, 3)}), ("glagcn", {"width": 4, "widths": (3, 3, 3)}), "GLA-GCN weights"),
        (("glagcn", {"width": 4, "widths": (3, 3)}), ("convformer", {"frames": 9, "width": 8}), "ConvFormer"),
        (("motionbert", {**TINY, "representation": 8}), ("mhformer", {"frames": 9, "width": 8}), "MHFormer"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(into, other, says):
    model = build_lifter(into[0], **into[1])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=says):
        dsr.load_checkpoint(model, trained(random_weights(build_lifter(other[0], **other[1]))))
    assert filled(model, before)


def test_our_files_say_how_to_build_them(tmp_path):
    config = {**TINY, "keep": 3, "before": 0, "inputs": 3}
    model = build_lifter("hot-ktpformer", **config)
    model.load_state_dict(random_weights(model))
    path = tmp_path / "lifter.safetensors"
    save_lifter(
        path,
        model,
        "hot-ktpformer",
        config,
        joint_error_mm=np.arange(17.0),
        fps=25,
        keypoints="coco17",
        licence="Apache-2.0",
    )
    again = load_lifter(path)
    assert filled(again, model.state_dict())
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())
    assert again.joint_error_mm[3] == 3.0 and again.fps == 25 and again.keypoints == "coco17"
    x = torch.rand(1, 9, 17, 3)
    with torch.no_grad():
        assert torch.equal(again(x), model.eval()(x))


def test_files_that_do_not_say_what_they_hold(tmp_path):
    model = build_lifter("mixste", **TINY)
    with pytest.raises(UsageError, match="MixSTE is not the lifter 'ktpformer'"):
        save_lifter(tmp_path / "x.safetensors", model, "ktpformer", TINY)
    path = tmp_path / "plain.safetensors"
    save_file(model.state_dict(), path)
    with pytest.raises(CheckpointError, match="does not say which lifter"):
        load_lifter(path)
    with pytest.raises(CheckpointError, match="missing"):
        load_lifter(tmp_path / "nowhere.safetensors")
    for text in (
        "{",
        "[]",
        '{"name": "mixste"}',
        '{"name": "nolifter", "config": {}}',
        '{"name": [], "config": {}}',
        '{"name": "mixste", "config": {"frames": "many"}}',
        json.dumps({"name": "mixste", "config": TINY, "joint_error_mm": [1]}),
        json.dumps({"name": "mixste", "config": TINY, "fps": 0}),
        json.dumps({"name": "mixste", "config": TINY, "keypoints": 17}),
    ):
        save_file(model.state_dict(), path, metadata={"lifter": text})
        with pytest.raises(CheckpointError, match="describes its lifter badly"):
            load_lifter(path)
    header = {"lifter": json.dumps({"name": "mixste", "config": {**TINY, "depth": 2}})}
    save_file(load_file(path), path, metadata=header)
    with pytest.raises(CheckpointError, match=r"STEblocks\.1"):
        load_lifter(path)


def test_shipped_lifters_are_looked_for_in_the_package(tmp_path, monkeypatch):
    model = build_lifter("mixste", **TINY)
    (tmp_path / "weights").mkdir()
    save_lifter(tmp_path / "weights" / "lifter_temporal.safetensors", model, "mixste", TINY)
    monkeypatch.setattr(shipped, "shipped_file", lambda name: tmp_path / "weights" / name)
    assert filled(load_shipped("temporal"), model.state_dict())
    with pytest.raises(CheckpointError, match="missing from this installation"):
        load_shipped("single")
    with pytest.raises(UsageError, match="no shipped lifter 'both'"):
        load_shipped("both")


@pytest.mark.parametrize("kind", ["temporal", "single"])
def test_shipped_lifters_lift(kind):
    path = Path(dsr.__file__).parent / "weights" / f"lifter_{kind}.safetensors"
    if not path.is_file():
        pytest.skip(f"{path.name} has not been trained yet")
    from dsr.lifting import lift_sequence

    assert path.stat().st_size < 16e6
    assert path.with_suffix(".md").is_file()
    model = load_shipped(kind)
    u = [0, -13, -13, -13, 13, 13, 13, 0, 0, 0, 0, 17, 22, 24, -17, -22, -24]
    v = [0, 0, 45, 88, 0, 45, 88, -25, -50, -60, -72, -48, -20, 5, -48, -20, 5]
    standing = np.column_stack((u, v))
    track = np.repeat(np.column_stack((standing * 3.0 + [320, 240], np.ones(17)))[None], 5, 0)
    joints = lift_sequence(model, track, (640, 480)).joints_m
    # Upright, the right way round, of human size.
    assert (joints[:, [3, 6], 1] > 0.5).all()
    assert (joints[:, 10, 1] < -0.35).all()
    assert (joints[:, 11, 0] - joints[:, 14, 0] > 0.15).all()
    assert np.abs(joints).max() < 1.3


def test_shipped_lifters_tell_how_they_were_trained():
    for kind in ("temporal", "single"):
        lifter = load_shipped(kind)
        assert (lifter.keypoints, lifter.fps) == ("blazepose33", 30.0)
        assert lifter.joint_error_mm.shape == (17,)
