"""Where the training of a lifter begins: its positional tables, HoT's recovery, or the weights of another lifter."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dsr.lifting.hourglass import CrossAttention


def draw_positions(model: nn.Module, spread: float) -> None:
    """Positional tables from a normal distribution of that standard deviation; those over frames of 0.02.

    A network has to know from the first step on which joint it sees; which frame matters later.
    """
    for name, table in model.named_parameters():
        last = name.rpartition(".")[2]
        if last in ("ps", "pos_embed", "Spatial_pos_embed"):
            nn.init.normal_(table, std=spread)
        elif _over_frames(last):
            nn.init.normal_(table, std=min(spread, 0.02))
    if isinstance(getattr(model, "cross_attention", None), CrossAttention):
        start_recovery(model)


def _over_frames(table: str) -> bool:
    """Whether a table of that name tells frames apart (MHFormer's have a number at the end)."""
    return table in ("pt", "temp_embed", "Temporal_pos_embed") or table.startswith("pos_embed_")


def start_recovery(model: Any) -> None:
    """Let HoT's recovery compare times from the first step on, as sines do in each of its heads.

    Published, all frames ask the same (queries of zeros), and every one is answered with the mean pose of the window:
    a short training never leaves that.
    """
    attention = model.cross_attention

    def waves(frames: int, width: int) -> Tensor:
        head = width // attention.heads
        pairs = -(-head // 2)
        cycles = 0.5 * (model.frames / 1.5) ** torch.linspace(0, 1, pairs)  # half a wave up to a third per frame
        phase = 2 * math.pi * cycles * (torch.arange(frames)[:, None] + 0.5) / frames
        return math.sqrt(2) * torch.cat((phase.sin(), phase.cos()), 1)[:, :head].repeat(1, attention.heads)

    with torch.no_grad():
        for name, table in model.named_parameters():
            last = name.rpartition(".")[2]
            size = {"pos_embed_token": 0.5, "x_token": 0.2}.get(last, 0.3 if _over_frames(last) else 0.0)
            if size:
                table.copy_(size * waves(max(table.shape[:-1]), table.shape[-1]).reshape(table.shape))
        for layer, gain in (("linear_q", 4.0), ("linear_k", 4.0), ("linear_v", 1.0), ("proj", 1.0)):
            linear = getattr(attention, layer)
            linear.reset_parameters()
            linear.weight.mul_(0.5).add_(gain * torch.eye(len(linear.weight)))
            if linear.bias is not None:
                linear.bias.zero_()


def start_from(model: nn.Module, path: Path) -> None:
    """Fill a lifter from a file, ours or an official one; another window length gives all but its tables over frames.

    Every frame gets the mean over the frames of the file, and a tenth of its own table's draw to tell frames apart;
    graphs between frames (KTPFormer's ``adj2``) stay as drawn. Nothing but entries over frames may differ in size.

    Raises:
        CheckpointError: if the file is damaged or of another network.
    """
    from dsr.checkpoints.load import load_checkpoint, read_state_dict

    weights = {key.removeprefix("module."): value for key, value in read_state_dict(path).items()}
    drawn, frames = model.state_dict(), getattr(model, "frames", None)
    lengths = {frames, getattr(getattr(model, "pruning", None), "keep", None)} - {None}
    changed = False
    for name, table in weights.items():
        shape = drawn[name].shape if name in drawn else table.shape
        axes = [i for i, (a, b) in enumerate(zip(table.shape, shape, strict=False)) if a != b]
        if table.ndim != len(shape) or not axes or not all(shape[axis] in lengths for axis in axes):
            continue
        one = table.is_floating_point() and len(axes) == 1
        apart = 0.0 if "norm" in name else 0.1
        weights[name] = table.mean(axes[0], keepdim=True) + apart * drawn[name] if one else drawn[name]
        changed = True
    load_checkpoint(model, weights if changed else path)
