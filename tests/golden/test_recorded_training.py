"""Recorded recipes: learning rates, momenta, the optimiser of GLA-GCN, published presets, windows of tracks."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch
from recorded import Recording, normal, numbers, uniform

from dsr.tracks.track import PoseTrack
from dsr.training.config import OptimConfig
from dsr.training.ranger import Ranger
from dsr.training.schedule import learning_rate, make_optimizer
from dsr.training.systems.lifter.presets import RECIPES, lifter_preset
from dsr.training.systems.lifter.task import batch_norm_momentum, cut_windows, lifter_learning_rate

recording = Recording("training")


@recording.case
def learning_rates():
    perspose = OptimConfig(name="adamw", lr=3e-4, warmup_epochs=1, decay=0.75, decay_epochs=3)
    cosine = OptimConfig(lr=1e-3, warmup_epochs=2, cosine="on")
    epochs = np.arange(0, 40, 0.25)
    outputs = {
        "dsr": [learning_rate(OptimConfig(lr=3e-5), e, 40) for e in epochs],
        "perspose": [learning_rate(perspose, e, 40) for e in epochs],
        "cosine": [learning_rate(cosine, e, 40) for e in epochs],
    }
    for recipe in sorted(RECIPES):
        config = lifter_preset("published", recipe)
        total = 10 * config.epochs
        outputs[f"lifter {recipe}"] = [lifter_learning_rate(config, step, 10, total) for step in range(0, total, 7)]
    # logarithms: late, small rates count as much as the first
    outputs = {name: np.log10(np.maximum(np.array(values), 1e-30)) for name, values in outputs.items()}
    return outputs | {"momentum": np.log10([batch_norm_momentum(epoch, 80) for epoch in range(80)])}


@recording.case
def recipes():
    """Numbers and switches of every published recipe; logarithms, so that small ones count."""
    outputs = {}
    for recipe in sorted(RECIPES):
        config = lifter_preset("published", recipe)
        settings = {"batch": config.batch, "epochs": config.epochs, **asdict(config.losses), **asdict(config.optim)}
        values = [{"on": 1, "off": 0}.get(str(value), value) for _, value in sorted(settings.items())]
        outputs[recipe] = np.log10([abs(value) + 1e-12 for value in values if isinstance(value, float | int)])
    return outputs


@recording.case
def optimisers():
    """Fifteen steps of each on a bent bowl."""
    outputs = {}
    for name in ("ranger", "ranger decay", "adam", "adamw"):
        model = torch.nn.Linear(6, 5).double()
        with torch.no_grad():
            model.weight.copy_(numbers("weight", 5, 6)), model.bias.copy_(numbers("bias", 5))
        if name.startswith("ranger"):
            optimiser = Ranger(model.parameters(), lr=0.05, weight_decay=0.1 if "decay" in name else 0.0)
        else:
            optimiser = make_optimizer(model, OptimConfig(name=name, lr=0.05, weight_decay=0.1))
        x, y = normal("x", 30, 6), normal("y", 30, 5)
        for _ in range(15):
            optimiser.zero_grad()
            (model(x) - y).abs().pow(1.5).mean().backward()
            optimiser.step()
        outputs |= {f"{name} weight": model.weight, f"{name} bias": model.bias}
    return outputs


@recording.case
def windows():
    tracks = []
    for index, frames in enumerate((23, 9, 31, 4)):
        valid = uniform(f"valid {index}", frames) > -0.9
        tracks.append(
            PoseTrack(
                name=f"t{index}",
                subject="S1",
                action="Walking",
                camera="0",
                fps=50.0,
                keypoints_px=uniform(f"keypoints {index}", frames, 17, 2, low=0, high=1000).astype(np.float32),
                joints_m=uniform(f"joints {index}", frames, 17, 3).astype(np.float32),
                confidence=uniform(f"confidence {index}", frames, 17, low=0.2, high=1).astype(np.float32),
                size=(1000, 1002),
                valid=valid,
            )
        )
    outputs = {}
    options = {"whole": (9, 9, 0.0, False), "half": (9, 4, 25.0, False), "centre": (9, 3, 0.0, True)}
    for name, (frames, hop, fps, centre) in options.items():
        cut = cut_windows(tracks, frames, hop, fps, centre)
        x, y = cut.take(np.arange(len(cut)), 3, centre)
        outputs |= {f"{name} first": cut.first, f"{name} end": cut.end, f"{name} inputs": x, f"{name} targets": y}
    return outputs


@pytest.mark.parametrize("name", recording.cases)
def test_recorded(name):
    recording.check(name)
