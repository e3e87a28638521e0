"""Where people are in groups: candidates of a network that was made for overlaps, cut-off people and crowds.

The person detector wants a whole trunk and room around it. This network (:mod:`dsr.people.group_network`) also says
where the joints are and how far off each may be; how it is believed is told in :mod:`dsr.people.neighbours`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dsr.body.joints import flip_permutation
from dsr.errors import CheckpointError
from dsr.limits import check_time
from dsr.people.candidates import CANDIDATE_COLUMNS, body_length
from dsr.people.keypoint_sets import GROUP_JOINTS
from dsr.people.regions import Pyramid

if TYPE_CHECKING:
    from dsr.people.group_network import GroupNetwork

WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "group_network.safetensors"
MIN_GROUP_SCORE = 0.4
GROUP_COLUMNS = CANDIDATE_COLUMNS + 3 * len(GROUP_JOINTS)
"""Of a candidate's row: score, box of the head, four points, the joints (u, v), how far off each may be; pixels."""
_SAME, _SAME_LOG = 0.07, 0.5  # distance of joints in sizes, and how much sizes may differ: one person's head and trunk
_HEAD_UP, _HEAD_HALF = 0.75, 0.17  # middle of the head along the direction of the body and half its side, in radii
_LEAST_SIDE = 64
_HEAD_AND_TRUNK = [0, 1, 2, 3, 4, 9, 10]
MIRROR = [GROUP_JOINTS.index(flip_permutation("blazepose33")[joint]) for joint in GROUP_JOINTS]
"""Places of the joints of the other side."""


def in_picture(pyramid: Pyramid, longer: float) -> np.ndarray:
    """Candidates (N, 58), :data:`GROUP_COLUMNS`, best first, in picture pixels.

    Args:
        pyramid: the picture.
        longer: longer side that the network is shown it with, pixels.
    """
    scale = min(1.0, longer / max(pyramid.width, pyramid.height))
    small = pyramid.resized(scale)
    rows = proposed(learned(), small)
    points = rows[:, 1 : -len(GROUP_JOINTS)]  # a view
    points[:, ::2] *= pyramid.width / small.shape[1]
    points[:, 1::2] *= pyramid.height / small.shape[0]
    rows[:, -len(GROUP_JOINTS) :] *= pyramid.height / small.shape[0]
    return rows


def joints_of(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 15, 2) of candidates and how far off each may be (N, 15): mean error of a coordinate; pixels."""
    count = len(GROUP_JOINTS)
    return rows[:, CANDIDATE_COLUMNS:-count].reshape(-1, count, 2), rows[:, -count:]


def joint_distance(joints: np.ndarray, scales: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mean distance (N,) of head and trunk to those of others, pixels; sure joints count most.

    Limbs do not tell who somebody is, and neither do sides: the network may take a back for a front.

    Args:
        joints: (15, 2) of somebody.
        scales: (15,) how far off each may be, or (N, 15).
        others: (N, 15, 2) joints to compare with.
    """
    weight = np.broadcast_to(1 / scales, others.shape[:2])[:, _HEAD_AND_TRUNK]
    weight = weight / weight.sum(1, keepdims=True)
    mine = joints[_HEAD_AND_TRUNK]
    direct, exchanged = (
        np.linalg.norm(others[:, order][:, _HEAD_AND_TRUNK] - mine, axis=-1) for order in (slice(None), MIRROR)
    )
    return np.minimum((weight * direct).sum(1), (weight * exchanged).sum(1))


def proposed(network: GroupNetwork, rgb: np.ndarray) -> np.ndarray:
    """Candidates (N, 58) of a picture (h, w, 3) uint8 as it is, best first, in its pixels."""
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
    """Candidates (N, 58) of the network's answers (102, h, w), best first, in pixels of its input.

    Head and trunk of one person are one candidate; points beside the hips and the one that gives the size are the hips.
    """
    from dsr.people.group_network import ANCHORS, JOINTS, PLACE, SCALE_LOG, SIZE_PX, STRIDE, VALUES

    height, width = answers.shape[1:]
    score = 1 / (1 + np.exp(-answers[:ANCHORS].astype(np.float64)))
    around = np.pad(score, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    highest = np.max([around[:, v : v + height, u : u + width] for v in range(3) for u in range(3)], axis=0)
    anchor, row, column = np.nonzero((score >= MIN_GROUP_SCORE) & (score >= highest))
    values = answers[ANCHORS:].reshape(ANCHORS, VALUES, height, width)[anchor, :, row, column].astype(np.float64)
    size = SIZE_PX * np.exp(np.clip(values[:, 2], -3, 3))
    middle = STRIDE * (np.stack([column, row], 1) + 0.5)
    hips = middle + values[:, :2] * size[:, None]
    up = values[:, 3:5] * (1, -1)
    up /= np.maximum(np.hypot(up[:, 0], up[:, 1]), 1e-6)[:, None]
    radius = size[:, None] / 2
    head = hips + _HEAD_UP * radius * up
    half = _HEAD_HALF * radius
    joints = np.tile(middle, JOINTS) + values[:, PLACE:-JOINTS] * size[:, None]
    scales = np.exp(np.clip(values[:, -JOINTS:], *SCALE_LOG)) * size[:, None]
    best = score[anchor, row, column][:, None]
    rows = np.concatenate([best, head - half, head + half, hips, hips + radius * up, hips, hips, joints, scales], 1)
    return merged(rows)


def merged(rows: np.ndarray) -> np.ndarray:
    """Candidates (N, 58), best first, each person once: the joints of those that are one person are averaged."""
    rows = rows[np.argsort(-rows[:, 0], kind="stable")]
    kept: list[np.ndarray] = []
    while len(rows):
        joints, scales = joints_of(rows)
        size = body_length(rows)
        same = joint_distance(joints[0], scales[0] + scales, joints) < _SAME * np.minimum(size, size[0])
        same &= np.abs(np.log(size / size[0])) < _SAME_LOG
        same[0] = True
        alike = same & (np.linalg.norm(joints - joints[0], axis=-1).mean(1) < 2 * _SAME * size[0])
        weight = 1 / scales[alike]
        mean = (joints[alike] * weight[..., None]).sum(0) / weight.sum(0)[:, None]
        kept.append(np.concatenate([rows[0, :CANDIDATE_COLUMNS], mean.ravel(), alike.sum() / weight.sum(0)]))
        rows = rows[~same]
    return np.array(kept).reshape(-1, GROUP_COLUMNS)


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
    return _folded(network.eval()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _folded(network: GroupNetwork) -> GroupNetwork:
    """The network with every norm folded into the convolution before it: a fifth less time, the same answers."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for module in list(network.modules()):
        if isinstance(module, nn.Sequential) and len(module) == 2:
            convolution, norm = module
            if not (isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            module[0] = fuse_conv_bn_eval(convolution, norm)
            module[1] = nn.Identity()
    return network
