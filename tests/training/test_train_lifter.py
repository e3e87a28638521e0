"""Training of the lifters: windows, recipes, exact resume, starting from other lengths, dsr-train lifter."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lifter_tracks import small_config, smooth_track
from shared_data import vectors

from dsr.cli.train import main
from dsr.errors import CheckpointError, TrainingError, UsageError
from dsr.lifting import build_lifter
from dsr.lifting.shipped import load_lifter, load_shipped
from dsr.training.config import LogConfig, check_config
from dsr.training.config_file import to_yaml
from dsr.training.loop import Trainer
from dsr.training.systems.lifter.card import Ship, clip_listing
from dsr.training.systems.lifter.config import (
    LifterDataConfig,
    LifterValidationConfig,
    NetworkConfig,
    network_arguments,
)
from dsr.training.systems.lifter.presets import RECIPES, lifter_preset
from dsr.training.systems.lifter.start import start_from
from dsr.training.systems.lifter.task import LifterTask, batch_norm_momentum, lifter_learning_rate

TRACKS = [smooth_track(seed=s) for s in range(3)]


def train(config, out, resume=False, held_out=None):
    out.mkdir(exist_ok=True)
    trainer = Trainer(config, LifterTask(config, TRACKS, held_out), out, resume=resume)
    return trainer, trainer.run()


def test_schedules_of_glagcn():
    config = lifter_preset("published", "glagcn")
    golden = vectors("glagcn", "schedules_80ep")
    rates = [lifter_learning_rate(config, epoch * 10, 10, 800) for epoch in range(81)]
    np.testing.assert_allclose(rates, golden["lr_for_epoch_index"], atol=1e-9)
    momenta = [batch_norm_momentum(epoch, 80) for epoch in range(81)]
    np.testing.assert_allclose(momenta, golden["bn_momentum_for_epoch_index"], atol=1e-9)


def test_schedules_of_the_others():
    mhformer, ktpformer = lifter_preset("published", "mhformer"), lifter_preset("published", "ktpformer")
    assert lifter_learning_rate(ktpformer, 25, 10, 100) == pytest.approx(8e-5 * 0.99**2)
    # 0.95 after epochs 1 to 4, then 0.5 instead
    assert lifter_learning_rate(mhformer, 40, 10, 200) == pytest.approx(1e-3 * 0.95**4)
    assert lifter_learning_rate(mhformer, 50, 10, 200) == pytest.approx(1e-3 * 0.95**4 * 0.5)
    assert lifter_learning_rate(mhformer, 60, 10, 200) == pytest.approx(1e-3 * 0.95**5 * 0.5)


def test_recipes_are_the_published_ones():
    names = ("hot-mixste", "ktpformer", "convformer", "glagcn")
    mixste, ktp, conv, gla = (lifter_preset("published", name) for name in names)
    assert (mixste.optim.lr, mixste.optim.weight_decay, mixste.batch, mixste.epochs) == (4e-5, 0.1, 4, 160)
    assert (ktp.optim.lr, ktp.batch, ktp.epochs, ktp.losses.compat) == (8e-5, 8, 200, "on")
    assert (conv.optim.name, conv.batch, conv.windows.hop, conv.losses.kind) == ("adam-amsgrad", 1024, 1, "position")
    assert (gla.optim.name, gla.optim.lr, gla.epochs, gla.windows.label_noise) == ("ranger", 0.01, 80, "on")
    for name in RECIPES:
        assert network_arguments(lifter_preset("published", name)) == {}
        build_lifter(name, **network_arguments(small_config(name)))


@pytest.mark.parametrize("model", sorted(RECIPES))
def test_every_lifter_learns(model, tmp_path):
    config = small_config(
        model, steps=8, batch=4, log=LogConfig(every=8, overlays=0, checkpoint=0, keep=0, tensorboard="off")
    )
    out = tmp_path / "run"
    out.mkdir()
    task = LifterTask(config, TRACKS)
    trainer = Trainer(config, task, out)
    batch = task.collate([(i, 0) for i in range(len(task.windows))])

    def loss():
        with torch.no_grad():
            return float(task.terms(trainer.model.eval(), batch, 0, nullcontext)[0])

    before = loss()
    assert trainer.run()["steps"] == config.steps
    assert loss() < before
    again = load_lifter(tmp_path / "run" / "last.safetensors")
    assert again.fps == 50  # that of the tracks
    x = torch.rand(1, again.frames, 17, again.inputs)
    torch.testing.assert_close(again(x), trainer.model.eval()(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", ["hot-mixste", "glagcn"])
def test_a_stopped_run_goes_on_exactly(model, tmp_path):
    optim = {"glagcn": lifter_preset("published", "glagcn").optim}.get(model, small_config(model).optim)
    network = replace(small_config(model).network, drop=0.1, drop_path=0.1)
    config = replace(small_config(model), optim=optim, network=network)
    straight, _ = train(config, tmp_path / "straight")
    config_half = replace(config, log=replace(config.log, checkpoint=3))

    class Stop(Exception):
        pass

    class Progress:
        def update(self, done, total, text):
            if done == 4:
                raise Stop

        def line(self, text):
            pass

    out = tmp_path / "stopped"
    out.mkdir()
    with pytest.raises(Stop):
        Trainer(config_half, LifterTask(config_half, TRACKS), out, Progress()).run()
    resumed, summary = train(config_half, out, resume=True)
    assert summary["steps_now"] == 3
    for key, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key


def test_validation_is_on_held_out_tracks(tmp_path):
    config = small_config("tpc-mixste", validation=LifterValidationConfig(count=4))
    _, summary = train(config, tmp_path / "run", held_out=[smooth_track(seed=9)])
    assert 0 < summary["metrics"]["pa_mpjpe_mm"] <= summary["metrics"]["mpjpe_mm"] < 3000
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_the_released_gradient_is_the_loss_times_the_loss():
    task = LifterTask(small_config("mixste"), TRACKS)
    model = task.build_model()
    task.prepare(torch.device("cpu"))
    batch = task.collate([task.sample(0, 0), task.sample(0, 1)])
    total, _ = task.terms(model, batch, 0, nullcontext)
    compat = LifterTask(replace(task.config, losses=replace(task.config.losses, compat="on")))
    compat.dropped = False
    scaled, _ = compat.terms(model, batch, 0, nullcontext)
    for plain, other in zip(
        torch.autograd.grad(total, model.head[1].weight), torch.autograd.grad(scaled, model.head[1].weight), strict=True
    ):
        torch.testing.assert_close(other, plain * total.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("fps", "other", "rate"), [(0, 50, 50), (20, 50, 25), (25, 75, 25), (0, 30, None)])
def test_the_header_says_how_many_frames_a_second_were_seen(fps, other, rate):
    config = small_config("mixste", windows=LifterDataConfig(fps=fps))
    task = LifterTask(config, [TRACKS[0], replace(TRACKS[1], fps=float(other))])
    task.build_model()
    task.prepare(torch.device("cpu"))
    assert json.loads(task.header()["lifter"])["fps"] == rate


def test_mirrored_windows_are_mirrored_in_both(monkeypatch):
    task = LifterTask(small_config("mixste"), TRACKS)
    task.build_model()
    task.prepare(torch.device("cpu"))
    plain, mirrored = task.collate([(1, 0)]), task.collate([(1, 1)])
    np.testing.assert_allclose(mirrored["x"][..., 4, 0], -plain["x"][..., 1, 0])
    np.testing.assert_allclose(mirrored["y"][..., 14, 0], -plain["y"][..., 11, 0])
    np.testing.assert_allclose(mirrored["y"][..., 14, 1:], plain["y"][..., 11, 1:])
    assert task.epoch_length() == 2 * len(task.windows)
    assert sorted(task.sample(3, i) for i in range(task.epoch_length())) == sorted(
        (w, f) for w in range(len(task.windows)) for f in (0, 1)
    )


def test_a_longer_lifter_starts_from_a_shorter_one(tmp_path):
    config = small_config("mixste", network=replace(small_config().network, frames=1))
    train(config, tmp_path / "short")
    longer = build_lifter("mixste", **network_arguments(small_config()))
    file = tmp_path / "short" / "last.safetensors"
    start_from(longer, file)
    short = load_lifter(file)
    torch.testing.assert_close(longer.STEblocks[0].attn.qkv.weight, short.STEblocks[0].attn.qkv.weight)
    assert longer.Temporal_pos_embed.shape == (1, 9, 16)
    with pytest.raises(CheckpointError):
        start_from(build_lifter("mixste", frames=9, width=32, depth=2, inputs=3), file)


@pytest.mark.parametrize("model", ["ktpformer", "hot-mixste", "motionagformer"])
def test_an_official_file_of_another_window_length_is_a_start(model, tmp_path):
    settings = {"width": 16, "depth": 2}
    pruned = ({"keep": 3, "before": 1}, {"keep": 9, "before": 1}) if model.startswith("hot") else ({}, {})
    donor = build_lifter(model, frames=9, **settings, **pruned[0])
    file = tmp_path / "official.bin"
    state = {f"module.{key}": value for key, value in donor.state_dict().items()}
    torch.save({"epoch": 1, "model_pos": state, "random_state": None}, file)
    longer = build_lifter(model, frames=27, **settings, **pruned[1])
    start_from(longer, file)
    same = [k for k, v in donor.state_dict().items() if v.shape == longer.state_dict()[k].shape]
    assert len(same) < len(donor.state_dict())
    for key in same:
        torch.testing.assert_close(longer.state_dict()[key], donor.state_dict()[key])
    assert longer.eval()(torch.rand(1, 27, 17, longer.inputs)).isfinite().all()
    with pytest.raises(CheckpointError, match="shape"):
        start_from(build_lifter(model, frames=27, width=32, depth=2, **pruned[1]), file)


@pytest.mark.parametrize("model", ["hot-mixste", "convformer", "glagcn"])
def test_rescaled_people_have_one_size(model):
    arguments = network_arguments(small_config(model))
    x = torch.rand(2, 9, 17, 3)
    larger = x.clone()
    middle = x[..., :2].mean((1, 2), keepdim=True)
    larger[..., :2] = (x[..., :2] - middle) * 2 + middle
    for rescale in (True, False):
        lifter = build_lifter(model, **{**arguments, "rescale": rescale}).eval()
        alike = torch.allclose(lifter(x), lifter(larger), atol=1e-5)
        assert alike == rescale


@pytest.mark.parametrize("kind", ["temporal", "single"])
def test_shipped_lifters(kind):
    model = load_shipped(kind)
    assert model.rescale and model.frames == {"temporal": 27, "single": 1}[kind]
    assert model.joint_error_mm[0] == 0 and (model.joint_error_mm[1:] > 5).all() and model.joint_error_mm.mean() < 80


def test_dropping_lifters_need_one_gpu():
    task = LifterTask(small_config("tpc-mixste"), TRACKS)
    model = task.build_model()
    task.prepare(torch.device("cpu"))
    with pytest.raises(TrainingError, match="one GPU"):
        task.terms(torch.nn.Sequential(model), task.collate([task.sample(0, 0)]), 0, nullcontext)


def test_the_command(tmp_path, monkeypatch, capsys):
    clips = tmp_path / "clips"
    clips.mkdir()
    monkeypatch.setattr("dsr.training.systems.lifter.data.training_tracks", lambda sources, windows: TRACKS)
    monkeypatch.setattr("dsr.training.systems.lifter.data.validation_tracks", lambda sources, windows: TRACKS[:1])
    run = [
        "lifter",
        "--model",
        "hot-mixste",
        "--data",
        f"mocap:{clips}",
        "--out",
        str(tmp_path / "run"),
        "--preset",
        "mocap",
        "--network.frames",
        "9",
        "--network.width",
        "16",
        "--network.keep",
        "3",
        "--steps",
        "4",
        "--batch",
        "2",
        "--device",
        "cpu",
    ]
    assert main(run) == 0
    assert "4 steps" in capsys.readouterr().out
    assert load_lifter(tmp_path / "run" / "last.safetensors").frames == 9
    assert main(run) == 2 and "--resume" in capsys.readouterr().err
    assert main([*run[:-6], "--steps", "4", "--batch", "3", "--device", "cpu", "--resume"]) == 2
    assert "--batch is 3" in capsys.readouterr().err
    assert main(["lifter", "--out", str(tmp_path / "run"), "--resume"]) == 0  # everything from RUN/config.yaml
    assert "Nothing left to do" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    out = ["--out", str(tmp_path / "run")]
    assert main(["lifter", "--model", "mixte", "--data", "mocap:x", *out]) == 2
    assert "did you mean mixste?" in capsys.readouterr().err
    assert main(["lifter", "--model", "glagcn", *out]) == 2
    assert "--data is missing" in capsys.readouterr().err
    assert main(["lifter", "--model", "glagcn", "--data", "bvh:x", *out]) == 2
    assert "mocap:DIR" in capsys.readouterr().err
    assert main(["lifter", "--model", "glagcn", "--data", f"h36m:{tmp_path}", *out, "--network.frames", "27"]) == 2
    assert "data_3d_h36m.npz" in capsys.readouterr().err
    assert main(["lifter", "--list-presets"]) == 0
    assert "hot-motionbert" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch": 0}, "--batch 0"),
        ({"optim": replace(small_config().optim, lr=float("nan"))}, "--optim.lr nan"),
        ({"network": NetworkConfig(positions=-1.0)}, "--network.positions"),
        ({"data": ()}, "--data is missing"),
        ({"network": NetworkConfig(init=Path("nowhere"))}, "there is no such file"),
    ],
)
def test_configurations_are_checked(change, words):
    with pytest.raises(UsageError, match=words):
        check_config(small_config(**change))


def test_networks_that_cannot_be():
    with pytest.raises(UsageError, match="3, 9, 27"):
        network_arguments(small_config("glagcn", network=NetworkConfig(frames=10)))
    with pytest.raises(UsageError, match="does not take them"):
        network_arguments(small_config("mixste", network=NetworkConfig(priors="on")))
    with pytest.raises(UsageError, match=r"--network\.layer-scale: only MotionAGFormer has it, not mixste"):
        network_arguments(small_config("mixste", network=NetworkConfig(layer_scale="off")))
    with pytest.raises(UsageError, match="only GLA-GCN has it, not mixste"):
        network_arguments(small_config("mixste", network=NetworkConfig(causal="on")))
    assert network_arguments(small_config("glagcn", network=NetworkConfig(causal="on")))["causal"] is True
    variant = NetworkConfig(similar=0, adaptive="off", streams="graph")
    made = network_arguments(small_config("motionagformer", network=variant))
    assert (made["similar"], made["adaptive"], made["streams"]) == (0, False, "graph") and "layer_scale" not in made


def test_a_run_becomes_shipped_weights(tmp_path, monkeypatch):
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "01_01.bvh").write_text("HIERARCHY")
    monkeypatch.setattr("dsr.training.systems.lifter.data.read_tracks", lambda source, split, windows, **_: TRACKS)
    config = small_config("mixste", data=(f"mocap:{clips}",))
    _, _ = train(config, tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text(to_yaml(config))
    line = Ship(run=tmp_path / "run", out=tmp_path / "lifter.safetensors").main()
    assert "held-out frames" in line
    model = load_lifter(tmp_path / "lifter.safetensors")
    assert model.frames == 9 and model.joint_error_mm.shape == (17,) and model.joint_error_mm[0] == 0
    card = (tmp_path / "lifter.md").read_text()
    assert "NSF" in card and "linear lifter" in card and "--network.frames 9" in card and clip_listing(clips) in card
