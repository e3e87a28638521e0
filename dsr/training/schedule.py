"""Optimisers and learning-rate schedules of the published recipes (DSR specification section 7, PersPose section 8)."""

from __future__ import annotations

import math

import torch
from torch import nn

from dsr.training.config import OptimConfig


def learning_rate(optim: OptimConfig, epoch: float, epochs: float) -> float:
    """The learning rate at a moment of the run.

    With warm-up w: linear, factor (epoch + 0.01) / w, then ``decay ** floor((epoch - w) / decay_epochs)``; DSR's is
    constant (no warm-up, decay 1).

    Args:
        optim: the schedule.
        epoch: epochs done, with the fraction of the present one.
        epochs: epochs of the run.

    Example:
        >>> perspose = OptimConfig(lr=3e-4, warmup_epochs=1, decay=0.75, decay_epochs=3)
        >>> round(learning_rate(perspose, 4.0, 100), 8)
        0.000225
    """
    warmup = optim.warmup_epochs
    if epoch < warmup:
        return optim.lr * min(1.0, (epoch + 0.01) / warmup)
    rate = optim.lr * optim.decay ** math.floor((epoch - warmup) / optim.decay_epochs)
    if optim.cosine == "on" and epochs > warmup:
        share = min(1.0, (epoch - warmup) / (epochs - warmup))
        rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))
    return rate


def make_optimizer(model: nn.Module, optim: OptimConfig) -> torch.optim.Optimizer:
    """Adam over all parameters, or AdamW that leaves biases and 1-D parameters undecayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if optim.name == "adam":
        return torch.optim.Adam(parameters, lr=optim.lr, weight_decay=optim.weight_decay)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": optim.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=optim.lr)
