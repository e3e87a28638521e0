"""The recipes of the lifters as presets. Imports no torch.

KTPFormer specification section 9, HoT 6, ConvFormer 5, GLA-GCN 7. HoT published no recipes of MotionBERT and
MotionAGFormer: theirs here are MixSTE's with the optimisers of their own papers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dsr.errors import UsageError
from dsr.training.config import LogConfig, suggestion
from dsr.training.config_file import read_config, read_yaml
from dsr.training.systems.lifter.config import (
    MISSING_SIZES,
    LifterDataConfig,
    LifterLossConfig,
    LifterOptimConfig,
    LifterTrainConfig,
    NetworkConfig,
    host_of,
)


def _mixste(model: str) -> LifterTrainConfig:
    return LifterTrainConfig(
        model=model,
        epochs=160,
        batch=4,
        seed=1126,
        optim=LifterOptimConfig(name="adamw", lr=4e-5, weight_decay=0.1, decay=0.99),
    )


def _ktpformer(model: str) -> LifterTrainConfig:
    return LifterTrainConfig(
        model=model,
        epochs=200,
        batch=8,
        seed=1234,
        losses=LifterLossConfig(compat="on"),
        optim=LifterOptimConfig(name="adamw", lr=8e-5, weight_decay=0.1, decay=0.99),
    )


def _diffusion(model: str) -> LifterTrainConfig:
    """KTPFormer's, of which it is a variant that was not released; a denoiser is given single poses' errors alone."""
    return replace(_ktpformer(model), losses=LifterLossConfig(kind="position"))


def _mhformer(model: str) -> LifterTrainConfig:
    return LifterTrainConfig(
        model=model,
        epochs=20,
        batch=210 if model.startswith("tpc") else 128,
        seed=1,
        windows=LifterDataConfig(hop=1),
        losses=LifterLossConfig(kind="position"),
        optim=LifterOptimConfig(name="adam-amsgrad", lr=1e-3, weight_decay=0.0, decay=0.95, halve_every=5),
    )


def _motionbert(model: str) -> LifterTrainConfig:
    return replace(_mixste(model), epochs=60, optim=LifterOptimConfig(lr=5e-4, weight_decay=0.01, decay=0.99))


def _motionagformer(model: str) -> LifterTrainConfig:
    return replace(_mixste(model), epochs=60, batch=16, optim=LifterOptimConfig(lr=5e-4, weight_decay=0.01, decay=0.99))


def _convformer(model: str) -> LifterTrainConfig:
    return LifterTrainConfig(
        model=model,
        epochs=60,
        batch=1024,
        seed=1,
        windows=LifterDataConfig(hop=1),
        losses=LifterLossConfig(kind="position"),
        optim=LifterOptimConfig(name="adam-amsgrad", lr=1e-3, weight_decay=0.0, decay=0.95),
    )


def _glagcn(model: str) -> LifterTrainConfig:
    return LifterTrainConfig(
        model=model,
        epochs=80,
        batch=512,
        seed=1,
        windows=LifterDataConfig(hop=1, label_noise="on", flip="off"),  # as the released command: without -da
        losses=LifterLossConfig(kind="position"),
        optim=LifterOptimConfig(name="ranger", lr=0.01, weight_decay=0.0, cosine="on", bn_schedule="on"),
    )


def _uao(model: str) -> LifterTrainConfig:
    """UAO specification, section 7: 39 epochs, of which the test subjects chose one; the last is kept here."""
    return LifterTrainConfig(
        model=model,
        epochs=39,
        batch=128,
        seed=1,
        windows=LifterDataConfig(hop=1),
        losses=LifterLossConfig(kind="laplace"),
        optim=LifterOptimConfig(name="adam-amsgrad", lr=1e-3, weight_decay=0.0, decay=0.95),
    )


def _simple_baseline(model: str) -> LifterTrainConfig:
    """PoseAug's pre-training (PoseDA specification, section 6): mean squared error, 50 epochs."""
    return LifterTrainConfig(
        model=model,
        epochs=50,
        batch=1024,
        seed=1,
        windows=LifterDataConfig(hop=1),
        losses=LifterLossConfig(kind="squared"),
        optim=LifterOptimConfig(name="adam", lr=1e-3, weight_decay=0.0, decay=1.0, clip=1.0, linear="on"),
    )


RECIPES: dict[str, Callable[[str], LifterTrainConfig]] = {
    "mixste": _mixste,
    "hot-mixste": _mixste,
    "tpc-mixste": _mixste,
    "ktpformer": _ktpformer,
    "hot-ktpformer": _ktpformer,
    "mhformer": _mhformer,
    "tpc-mhformer": _mhformer,
    "motionbert": _motionbert,
    "hot-motionbert": _motionbert,
    "motionagformer": _motionagformer,
    "hot-motionagformer": _motionagformer,
    "convformer": _convformer,
    "glagcn": _glagcn,
    "uao": _uao,
    "diffusion": _diffusion,
    "simplebaseline": _simple_baseline,
}
"""Lifter -> its published recipe."""

MOCAP_STEPS, MOCAP_WINDOWS, MOCAP_CENTRES = 2000, 6, 18
"""Steps of the preset mocap; windows per step, and those of lifters that do not give all frames of a window."""


def _mocap(model: str) -> LifterTrainConfig:
    """The same small size, data, steps and optimiser for all: three to eight minutes on one CPU core.

    At 10 frames per second a window shows 2.7 seconds: the few windows of a step differ more than at 30.
    """
    size = {"convformer": 16, "glagcn": 48}.get(model, 64)
    # KTPFormer's priors are a pair of blocks themselves.
    host = host_of(model)
    depth, before = (1, 0) if host in ("ktpformer", "diffusion") else (2, 1)
    centre = host in ("convformer", "glagcn") or model.startswith("tpc-")
    # Published with MPJPE alone.
    position = host in ("convformer", "glagcn", "mhformer", "diffusion")
    if host in ("uao", "simplebaseline"):
        return _mocap_frames(model)
    return LifterTrainConfig(
        model=model,
        epochs=10_000,
        steps=MOCAP_STEPS,
        batch=MOCAP_CENTRES if centre else MOCAP_WINDOWS,
        seed=1,
        threads=1,
        network=NetworkConfig(
            frames=27,
            width=size,
            depth=depth,
            heads=0 if "heads" in MISSING_SIZES.get(host, ()) else 4,
            inputs=3,
            keep=9,
            before=before,
            by_time="on",
            drop=0.0,
            drop_path=0.0,
            rescale="on",
            positions=0.5,
            hypotheses=5,
            iterations=5,
        ),
        windows=LifterDataConfig(fps=10.0, hop=3, cameras=8),
        losses=LifterLossConfig(kind="position" if position else "sequence", joints="even"),
        optim=LifterOptimConfig(
            name="adamw", lr=2e-3, weight_decay=0.01, cosine="on", per_step="on", warmup=30, clip=1.0
        ),
        log=LogConfig(every=50, overlays=0, checkpoint=250, keep=0, tensorboard="off"),
    )


def _mocap_frames(model: str) -> LifterTrainConfig:
    """The preset for lifters of single frames: UAO's with its one width and one block of three."""
    uao = model == "uao"
    return LifterTrainConfig(
        model=model,
        epochs=10_000,
        steps=MOCAP_STEPS,
        batch=32 if uao else 256,
        seed=1,
        threads=1,
        network=NetworkConfig(
            width=0 if uao else 256, depth=1 if uao else 2, drop=0.0, drop_path=0.0 if uao else -1.0, rescale="off"
        ),
        windows=LifterDataConfig(fps=10.0, hop=1, cameras=8),
        losses=LifterLossConfig(kind="laplace" if uao else "position"),
        optim=LifterOptimConfig(
            name="adamw",
            lr=3e-4 if uao else 1e-3,
            weight_decay=0.01,
            cosine="on",
            per_step="on",
            warmup=100,
            clip=1.0,
        ),
        log=LogConfig(every=50, overlays=0, checkpoint=250, keep=0, tensorboard="off"),
    )


PRESETS: dict[str, tuple[str, Callable[[str], LifterTrainConfig]]] = {
    "published": ("the published recipe of the lifter, at its published size", lambda model: RECIPES[model](model)),
    "mocap": ("a small lifter of 27 frames in a few minutes on one core; alike for all lifters", _mocap),
}
"""Name -> (what it is, its configuration of a lifter)."""


def lifter_preset(name: str, model: str) -> LifterTrainConfig:
    """The configuration of that name for that lifter.

    Raises:
        UsageError: if there is no such preset or lifter.
    """
    if name not in PRESETS:
        raise UsageError(f"--preset {name}: there is no such preset; {suggestion(name, PRESETS)}")
    if model not in RECIPES:
        raise UsageError(f"--model {model}: there is no such lifter; {suggestion(model, RECIPES)}")
    return PRESETS[name][1](model)


def base_config(name: str, file: Path | None, model: str | None = None) -> LifterTrainConfig:
    """The configuration of a preset for a lifter and a file over it; without ``model``, the file may name it.

    Raises:
        UsageError: if there is no such preset or lifter, or the file cannot be used.
    """
    if model is None and file is not None:
        values = read_yaml(file)
        named = values.get("model") if isinstance(values, dict) else None
        model = named if isinstance(named, str) else None
    base = lifter_preset(name, model or "mixste")
    return base if file is None else read_config(file, base)
