"""Where people are in groups: candidates of a network that was made for overlaps, cut-off people and crowds.

The person detector wants a whole trunk and room around it. This network (:mod:`dsr.people.group_network`) only
proposes; whether somebody is there is for the landmark model to say.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dsr.errors import CheckpointError
from dsr.limits import check_time
from dsr.people.candidates import CANDIDATE_COLUMNS, body_length
from dsr.people.regions import Pyramid

if TYPE_CHECKING:
    from dsr.people.group_network import GroupNetwork

WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "group_network.safetensors"
MIN_GROUP_SCORE = 0.4
_SAME_HIPS, _SAME_LOG = 0.22, 0.5  # of the smaller size, and how much sizes may differ: one person's head and trunk
_HEAD_UP, _HEAD_HALF = 0.75, 0.17  # middle of the head along the direction of the body and half its side, in radii
_LEAST_SIDE = 64


def in_picture(pyramid: Pyramid, longer: float) -> np.ndarray:
    """Candidates (N, 13) as of :mod:`dsr.people.candidates`, best first, in picture pixels.

    Args:
        pyramid: the picture.
        longer: longer side that the network is shown it with, pixels.
    """
    scale = min(1.0, longer / max(pyramid.width, pyramid.height))
    small = pyramid.resized(scale)
    rows = proposed(learned(), small)
    rows[:, 1::2] *= pyramid.width / small.shape[1]
    rows[:, 2::2] *= pyramid.height / small.shape[0]
    return rows


def proposed(network: GroupNetwork, rgb: np.ndarray) -> np.ndarray:
    """Candidates (N, 13) of a picture (h, w, 3) uint8 as it is, best first, in its pixels."""
    import torch

    from dsr.people.group_network import STEP

    check_time()
    height, width = rgb.shape[:2]
    sides = [max(_LEAST_SIDE, -(-side // STEP) * STEP) for side in (height, width)]
    whole = np.pad(rgb, ((0, sides[0] - height), (0, sides[1] - width), (0, 0)), mode="edge")
    pixels = torch.from_numpy(whole)[None].permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        answers = network(pixels.contiguous(memory_format=torch.channels_last))[0]
    return decoded(answers.float().numpy())


def decoded(answers: np.ndarray) -> np.ndarray:
    """Candidates (N, 13) of the network's answers (12, h, w), best first, in pixels of its input.

    Head and trunk of one person are one candidate; points beside the hips and the one that gives the size are the hips.
    """
    from dsr.people.group_network import ANCHORS, SIZE_PX, STRIDE, VALUES

    height, width = answers.shape[1:]
    score = 1 / (1 + np.exp(-answers[:ANCHORS].astype(np.float64)))
    around = np.pad(score, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    highest = np.max([around[:, v : v + height, u : u + width] for v in range(3) for u in range(3)], axis=0)
    anchor, row, column = np.nonzero((score >= MIN_GROUP_SCORE) & (score >= highest))
    values = answers[ANCHORS:].reshape(ANCHORS, VALUES, height, width)[anchor, :, row, column].astype(np.float64)
    size = SIZE_PX * np.exp(np.clip(values[:, 2], -3, 3))
    hips = STRIDE * (np.stack([column, row], 1) + 0.5) + values[:, :2] * size[:, None]
    up = values[:, 3:5] * (1, -1)
    up /= np.maximum(np.hypot(up[:, 0], up[:, 1]), 1e-6)[:, None]
    radius = size[:, None] / 2
    head = hips + _HEAD_UP * radius * up
    half = _HEAD_HALF * radius
    rows = np.concatenate(
        [score[anchor, row, column][:, None], head - half, head + half, hips, hips + radius * up, hips, hips], axis=1
    )
    return _merged(rows[np.argsort(-rows[:, 0], kind="stable")])


def _merged(rows: np.ndarray) -> np.ndarray:
    """Candidates (N, 13), best first, without those that repeat a better one."""
    size = body_length(rows)
    kept: list[int] = []
    for i in range(len(rows)):
        apart = np.hypot(*(rows[kept, 5:7] - rows[i, 5:7]).T) / np.minimum(size[kept], size[i])
        if not ((apart < _SAME_HIPS) & (np.abs(np.log(size[kept] / size[i])) < _SAME_LOG)).any():
            kept.append(i)
    return rows[kept].reshape(-1, CANDIDATE_COLUMNS)


@lru_cache(maxsize=1)
def learned() -> GroupNetwork:
    """The shipped network, read once.

    Raises:
        CheckpointError: if its file is missing or damaged.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from dsr.people.group_network import GroupNetwork

    try:
        network = GroupNetwork()
        network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{WEIGHTS} cannot be read ({error}); install this package again.") from error
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
