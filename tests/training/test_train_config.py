"""Configurations: presets carry the published numbers, YAML round trips, mistakes are named."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dsr.errors import UsageError
from dsr.training.config import OptimConfig, check_config, flat, may_change
from dsr.training.config_file import from_dict, read_config, to_dict, to_yaml
from dsr.training.systems import REGRESSOR_TASKS
from dsr.training.systems.lifter.config import LifterTrainConfig
from dsr.training.systems.lifter.presets import lifter_preset
from dsr.training.systems.regressor.config import RegressorTrainConfig
from dsr.training.systems.regressor.presets import PRESETS, base_config, preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_survive_yaml(name, tmp_path):
    config = preset(name)
    check_config(config)
    assert from_dict(to_dict(config), RegressorTrainConfig()) == config
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert read_config(tmp_path / "config.yaml", RegressorTrainConfig()) == config


def test_dsr_is_the_published_recipe():
    config = preset("dsr")
    assert (config.epochs, config.batch, config.model.backbone, config.model.image_size) == (50, 128, "resnet50", 224)
    assert (config.optim.name, config.optim.lr, config.optim.weight_decay, config.optim.clip) == ("adam", 3e-5, 0, 0)
    assert config.data.mix == {"h36m": 0.3, "coco": 0.4, "mpi-inf-3dhp": 0.1, "3dpw": 0.2}
    assert preset("dsr-no3dpw").data.mix == {"h36m": 0.5, "coco": 0.3, "mpi-inf-3dhp": 0.2}
    losses = config.losses
    assert (losses.keypoint_2d, losses.keypoint_3d, losses.pose, losses.betas, losses.total) == (5, 5, 1, 0.001, 60)
    assert (losses.dsr, losses.dsr_mc, losses.dsr_c, losses.start_dsr, losses.sigma) == ("on", 0.1, 0.1, 2, 1e-5)
    assert (losses.c_variant, losses.crop_camera, losses.semantic_pose) == ("published", "published", "predicted")
    inside = preset("dsr-inside")
    assert (inside.losses.c_variant, inside.losses.crop_camera) == ("inside", "own")
    assert (inside.losses.dsr_mc, inside.losses.dsr_c) == (0.02, 0.015)  # the released balance with the keypoints
    assert inside.data == preset("dsr-no3dpw").data


@pytest.mark.parametrize(
    ("name", "batch", "period", "jitter", "bedlam", "terms"),
    [
        ("perspose-3dpw", 96, 3, "off", 0, (1, 0.5, 1, 0.1)),
        ("perspose-h36m", 128, 6, "off", 0, (1, 0.5, 1, 10)),
        ("perspose-3dhp", 128, 6, "off", 0, (0.5, 0.5, 0.5, 0.1)),
        ("perspose-w-be-3dpw", 96, 3, "off", 0.2, (1, 0.5, 1, 0.1)),
        ("perspose-w-be-3dhp", 96, 3, "on", 0.2, (1, 1, 1, 0.1)),
    ],
)
def test_perspose_presets_are_the_published_recipes(name, batch, period, jitter, bedlam, terms):
    config = preset(name)
    optim, weights = config.optim, config.perspose.weights
    assert (config.system, config.epochs, config.batch, config.data.epoch_samples) == ("perspose", 100, batch, 300000)
    assert (optim.name, optim.lr, optim.weight_decay, optim.warmup_epochs) == ("adamw", 3e-4, 5e-4, 1)
    assert (optim.decay, optim.decay_epochs, optim.clip, optim.sync_batchnorm) == (0.75, period, 100, "on")
    assert config.data.jitter == jitter
    assert sum(s for key, s in config.data.mix.items() if key.startswith("bedlam")) == pytest.approx(bedlam)
    assert (weights[3], weights[4], weights[5], weights[9]) == terms


def test_mixtures_are_those_of_the_data_sets():
    """DSR specification, section 7; PersPose specification, section 8 (they need not sum to 1)."""
    assert preset("dsr").data.mix == {"h36m": 0.3, "coco": 0.4, "mpi-inf-3dhp": 0.1, "3dpw": 0.2}
    assert preset("dsr-no3dpw").data.mix == {"h36m": 0.5, "coco": 0.3, "mpi-inf-3dhp": 0.2}
    bedlam = {"bedlam-train": 0.15, "bedlam-val": 0.05}
    for name, ratios in {
        "perspose-3dpw": {"h36m": 0.3, "coco": 0.4, "3dhp": 0.2, "3dpw": 0.1},
        "perspose-h36m": {"h36m": 0.4, "coco": 0.5, "3dhp": 0.1},
        "perspose-3dhp": {"h36m": 0.3, "coco": 0.4, "3dhp": 0.2, "3dpw": 0.2},
        "perspose-w-be-3dpw": {"h36m": 0.3, "coco": 0.4, "3dhp": 0.2, "3dpw": 0.1, **bedlam},
        "perspose-w-be-3dhp": {"h36m": 0.3, "coco": 0.4, "3dhp": 0.2, "3dpw": 0.2, **bedlam},
    }.items():
        assert preset(name).data.mix == ratios, name


def test_a_file_goes_over_its_preset(tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("preset: dsr\nepochs: 3\noptim:\n  lr: 1e-4\nlosses:\n  dsr: off\ndata:\n  mix: {synthetic: 1}\n")
    config = base_config(None, file)
    assert (config.epochs, config.optim.lr, config.losses.dsr, config.batch) == (3, 1e-4, "off", 128)
    assert config.data.mix == {"synthetic": 1.0} and config.optim.name == "adam"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochz: 3", ["epochz", "did you mean epochs"]),
        ("optim: {lrr: 1}", ["optim.lrr", "lr"]),
        ("optim: 3", ["optim"]),
        ("epochs: many", ["epochs", "whole number"]),
        ("epochs: 2.5", ["epochs", "whole number"]),
        ("optim: {cosine: 1}", ["optim.cosine", "on or off"]),
        ("system: spin", ["system", "dsr or perspose"]),
        ("data: {mix: [1]}", ["data.mix"]),
        ("perspose: {weights: [a]}", ["perspose.weights"]),
        ("- 1", ["names with values"]),
        ("a: [", ["no valid YAML", "line"]),
        pytest.param("[" * 20_000, ["nested too deeply"], id="deep"),
        pytest.param("# " + "x" * (1 << 20), ["no configuration has more"], id="long"),
        ("preset: nothing", ["nothing", "smoke"]),
        ("preset: 3", ["preset"]),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, text, words):
    file = tmp_path / "my.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        base_config(None, file)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00binary"])
def test_unreadable_files_are_named(tmp_path, content):
    file = tmp_path / "my.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"my\.yaml cannot be read"):
        base_config(None, file)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch": -1},
        {"workers": -1},
        {"device": "tpu"},
        {"optim": {"lr": float("nan")}},
        {"optim": {"lr": 0.0}},
        {"optim": {"ema": 1.0}},
        {"data": {"flip": 1.5}},
        {"data": {"mix": {}}},
        {"data": {"mix": {"synthetic": 0.0}}},
        {"data": {"mix": {"h36m": -1.0}}},
        {"model": {"init": "/nowhere.pt"}},
        {"data": {"root": "/nowhere"}},
        {"perspose": {"weights": [1.0]}},
        {"seed": -1},
    ],
)
def test_values_that_cannot_be_meant_are_refused(changes):
    key = next(iter(changes))
    inner = next(iter(changes[key])) if isinstance(changes[key], dict) else None
    with pytest.raises(UsageError, match=f"--{key}.{inner}" if inner else f"--{key}"):
        check_config(from_dict(changes, RegressorTrainConfig()))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 0}, "--epochs 0: use a number above 0."),
        ({"steps": -1}, "--steps -1: use 0 or a positive number."),
        ({"optim": {"weight_decay": -0.5}}, "--optim.weight-decay -0.5: use 0 or a positive number."),
        ({"optim": {"lr": float("inf")}}, "--optim.lr inf: use a finite number."),
        ({"data": {"flip": 1.5}}, "--data.flip 1.5: use a number from 0 to 1."),
        ({"optim": {"ema": 1.0}}, "--optim.ema 1.0: use a number from 0 to below 1."),
        ({"losses": {"sigma": 0.0}}, "--losses.sigma 0.0: use a number above 0."),
        ({"losses": {"prior": "/nowhere.npy"}}, "--losses.prior /nowhere.npy: there is no such file."),
        ({"data": {"mocap": "/nowhere"}}, "--data.mocap /nowhere: there is no such folder."),
    ],
)
def test_refusals_name_the_flag_and_what_to_do(changes, sentence):
    with pytest.raises(UsageError) as caught:
        check_config(from_dict(changes, RegressorTrainConfig()))
    assert str(caught.value) == sentence


def test_systems_are_the_registered_ones():
    with pytest.raises(UsageError, match=f"system is 'dsrr': use {' or '.join(REGRESSOR_TASKS)}"):
        from_dict({"system": "dsrr"}, RegressorTrainConfig())
    for name in ("persposs", "lifter"):
        with pytest.raises(
            UsageError, match=f"--system {name}: there is no such network; (did you mean|choose one of)"
        ):
            check_config(RegressorTrainConfig(system=name))


def test_borders_of_bounds_are_allowed():
    borders = {"data": {"flip": 1.0, "noise": 0.0}, "optim": {"ema": 0.0}, "seed": 0, "log": {"keep": 0}}
    check_config(from_dict(borders, RegressorTrainConfig()))
    lifter = lifter_preset("published", "mixste")
    check_config(replace(lifter, data=("mocap:x",), network=replace(lifter.network, before=-1, drop=-1.0)))


def test_what_a_resumed_run_may_change():
    log = {f"log.{name}" for name in ("every", "overlays", "checkpoint", "keep", "tensorboard")}
    loop = {"epochs", "steps", "workers", "device", "threads", *log}
    assert may_change(RegressorTrainConfig()) == loop | {"losses.backend", "data.root", "data.mocap", "network.pairs"}
    assert may_change(lifter_preset("published", "mixste")) == loop | {"data"}
    cosine = replace(RegressorTrainConfig(), optim=OptimConfig(cosine="on"))
    assert may_change(RegressorTrainConfig()) - may_change(cosine) == {"epochs", "steps"}


def test_files_of_earlier_runs_are_read(tmp_path):
    """Keys as the programs before wrote them, in their order."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "system: dsr\nepochs: 9\nsteps: 6\nbatch: 4\nseed: 7\nworkers: 0\ndevice: auto\nthreads: 1\nbody: open-light\n"
        "model: {backbone: resnet10, image_size: 128, width: 48, dropout: 0.0, init: null}\n"
        "optim: {name: adamw, lr: 0.0004, weight_decay: 0.0001, warmup_epochs: 0.2, decay: 1.0, decay_epochs: 1.0, "
        "cosine: 'on', clip: 60.0, ema: 0.998, bf16: 'on', sync_batchnorm: 'off'}\n"
        "validation: {count: 16, every: 1, shape: 'on'}\n"
        "log: {every: 10, overlays: 500, checkpoint: 100, keep: 2, tensorboard: 'on'}\n"
    )
    config, smoke = read_config(file, RegressorTrainConfig()), preset("smoke")
    assert (config.model, config.optim, config.log) == (smoke.model, smoke.optim, smoke.log)
    assert (config.batch, config.steps, config.validation.count) == (4, 6, 16)
    file.write_text(
        "model: ktpformer\ndata: ['mocap:clips']\nepochs: 10000\nsteps: 12\nbatch: 6\nseed: 1\nworkers: 0\n"
        "optim: {name: adamw, lr: 0.002, weight_decay: 0.01, decay: 0.99, halve_every: 0, cosine: 'on', "
        "lr_end: 1.0e-05, warmup: 30, per_step: 'on', bn_schedule: 'off', clip: 1.0, ema: 0.0, bf16: 'off', "
        "sync_batchnorm: 'off'}\nvalidation: {count: 0, every: 1}\n"
        "log: {every: 50, overlays: 0, checkpoint: 250, keep: 0, tensorboard: 'off'}\n"
    )
    lifter, mocap = read_config(file, LifterTrainConfig()), lifter_preset("mocap", "ktpformer")
    assert (lifter.optim, lifter.log, lifter.seed, lifter.batch) == (mocap.optim, mocap.log, 1, 6)
    assert (lifter.data, lifter.steps) == (("mocap:clips",), 12)


def test_flat_names_every_value():
    names = flat(RegressorTrainConfig())
    assert {"epochs", "optim.lr", "losses.dsr", "data.mix"} <= names.keys()
    other = flat(replace(RegressorTrainConfig(), epochs=9))
    assert {key for key in names if names[key] != other[key]} == {"epochs"}


def test_help_and_presets_need_no_torch():
    code = (
        "import sys; from dsr.cli.train import main; assert main(['--help']) == 0;"
        "assert main(['--list-presets']) == 0;"
        "assert main(['--preset', 'dsr', '--out', 'x', '--dry-run']) == 0; sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--losses.dsr" in done.stdout and "perspose-w-be-3dhp" in done.stdout and "lr: 3.0e-05" in done.stdout
