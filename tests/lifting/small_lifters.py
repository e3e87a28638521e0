"""Every lifter at a size that tests can afford."""

from __future__ import annotations

import torch

from dsr.lifting import build_lifter

SMALL = {"frames": 9, "width": 16, "depth": 2}
AGGREGATED = {"representation": 16}
# Every lifter, and priors and pruning on hosts that their papers did not use.
ALL = {
    "mixste": SMALL,
    "hot-mixste": {**SMALL, "keep": 3, "before": 1},
    "tpc-mixste": {**SMALL, "keep": 3, "before": 1},
    "ktpformer": SMALL,
    "hot-ktpformer": {**SMALL, "keep": 3, "before": 1},
    "mhformer": {"frames": 9, "width": 16, "hidden": 32},
    "tpc-mhformer": {"frames": 9, "width": 16, "hidden": 32, "keep": 3},
    "motionbert": {**SMALL, **AGGREGATED},
    "hot-motionbert": {**SMALL, **AGGREGATED, "keep": 3},
    "motionagformer": {**SMALL, **AGGREGATED},
    "hot-motionagformer": {**SMALL, **AGGREGATED, "keep": 3, "before": 1},
    "convformer": {"frames": 9, "width": 8},
    "glagcn": {"width": 8, "widths": (3, 3)},
    "uao": {"layers": 1},
    "diffusion": {"frames": 9, "width": 16, "depth": 1, "hypotheses": 2, "iterations": 2},
    "simplebaseline": {"width": 32},
}


def made(name, config, spread=0.05):
    """A lifter in which nothing is zero."""
    torch.manual_seed(0)
    model = build_lifter(name, **config)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(spread * torch.randn_like(value))
    return model


def keypoints(model, batch=2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    still = torch.rand(batch, 1, model.joints, model.inputs, generator=rng) - 0.5
    steps = 0.05 * torch.randn(batch, model.frames, model.joints, model.inputs, generator=rng)
    return still + steps.cumsum(1)
