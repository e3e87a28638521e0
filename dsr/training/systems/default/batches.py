"""Batches of pairs, varied: mirrored, seen in another pass, noisy, with pieces hidden."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dsr.body.joints import flip_permutation
from dsr.regressors.default.inputs import SHOWN_RAD, PersonInputs, without_pieces
from dsr.training.systems.default.pairs import Pairs
from dsr.training.systems.regressor.config import DefaultNetworkConfig

_JOINT_FLIP = list(flip_permutation("smpl24"))
_POINT_FLIP = list(flip_permutation("blazepose33"))
_LIMB_OF = torch.tensor([0] * 11 + [1, 2] * 6 + [3, 4] * 5)  # head, left and right arm, left and right leg
_LEFT_LABELS, _RIGHT_LABELS = [14, 16, 18], [15, 17, 19]
_HIDDEN_SHARE = 0.25
_ASTRAY = 0.12  # of the box side: half of the keypoints are farther than this from where they should be


def plain_inputs(pairs: Pairs) -> PersonInputs:
    """What a fit gives the network of these people."""
    return PersonInputs(
        pairs.shown[:, 0],
        pairs.confidence[:, 0],
        pairs.world[:, 0],
        pairs.lifted,
        pairs.mask.float() / 255,
        _shown_scale(pairs),
        _has(pairs),
    )


def varied_batch(pairs: Pairs, config: DefaultNetworkConfig, rng: np.random.Generator) -> dict[str, Tensor]:
    """People of a batch as tensors by name: the fields of the inputs, and the truth.

    Args:
        pairs: B people.
        config: how much they are varied.
        rng: draws the variations.
    """
    count = len(pairs)

    def chance(share: float) -> Tensor:
        return torch.from_numpy(rng.random(count) < share)

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal((count, *shape)).astype(np.float32))

    which = torch.from_numpy(rng.choice(3, count, p=[0.6, 0.2, 0.2]))
    rows = torch.arange(count)
    common = normal(5, 3)[:, _LIMB_OF]
    noise = config.world_noise * (0.5**0.5) * (common + normal(33, 3))
    rays = pairs.shown[rows, which] + config.ray_noise * SHOWN_RAD * normal(33, 2)
    hidden = chance(config.drop)[:, None] & torch.from_numpy(rng.random((count, 33)) < _HIDDEN_SHARE)
    confidence = torch.where(hidden, torch.zeros(()), pairs.confidence[rows, which])
    inputs = PersonInputs(
        rays,
        confidence,
        pairs.world[rows, which] + noise,
        pairs.lifted + config.world_noise * normal(17, 3),
        pairs.mask.float() / 255,
        _shown_scale(pairs),
        _has(pairs),
    )
    inputs = without_pieces(inputs, ~chance(config.drop), ~chance(config.drop))
    batch = {name: getattr(inputs, name) for name in PersonInputs.__dataclass_fields__}
    batch.update(
        turns=pairs.turns,
        betas=pairs.betas,
        points=pairs.points,
        joints=pairs.joints,
        seen=(pairs.state & 1) == 0,
        labels=pairs.labels,
        true_rays=pairs.rays[:, 0],
        true_scale=pairs.scale,
        weight=usefulness(pairs),
    )
    mirrored = chance(0.5)
    other = mirrored_batch(batch)
    return {name: torch.where(mirrored.reshape(-1, *[1] * (v.ndim - 1)), other[name], v) for name, v in batch.items()}


def _shown_scale(pairs: Pairs) -> Tensor:
    return torch.full((len(pairs),), SHOWN_RAD)


def _has(pairs: Pairs) -> Tensor:
    """(B, 2) everybody has lifted joints; people of whom no picture was made have no silhouette."""
    drawn = pairs.mask.flatten(1).any(1)
    return torch.stack([torch.ones_like(drawn), drawn], 1).float()


def mirrored_batch(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same people in a mirror."""
    inputs = PersonInputs(**{name: batch[name] for name in PersonInputs.__dataclass_fields__}).mirrored()
    across = torch.tensor([-1.0, 1.0, 1.0])
    turns = batch["turns"][:, _JOINT_FLIP[: batch["turns"].shape[1]]] * across[:, None] * across
    labels = batch["labels"].flip(-1)
    swapped = torch.arange(256, dtype=torch.uint8)
    swapped[_LEFT_LABELS], swapped[_RIGHT_LABELS] = swapped[_RIGHT_LABELS].clone(), swapped[_LEFT_LABELS].clone()
    return {
        **{name: getattr(inputs, name) for name in PersonInputs.__dataclass_fields__},
        "turns": turns,
        "betas": batch["betas"],
        "points": batch["points"][:, _POINT_FLIP] * across,
        "joints": batch["joints"][:, _JOINT_FLIP] * across,
        "seen": batch["seen"][:, _POINT_FLIP],
        "labels": swapped[labels.long()],
        "true_rays": batch["true_rays"][:, _POINT_FLIP] * torch.tensor([-1.0, 1.0]),
        "true_scale": batch["true_scale"],
        "weight": batch["weight"],
    }


def usefulness(pairs: Pairs) -> Tensor:
    """(B,) how much people count, 1 to 0: whose keypoints the detector put somewhere else teach little."""
    rays = pairs.points[..., :2] / pairs.points[..., 2:].clamp(min=0.1)
    off = (pairs.rays[:, 0] - rays).norm(dim=-1).median(1).values / pairs.scale.clamp(min=1e-3)
    return 1 / (1 + (off / _ASTRAY) ** 4)
