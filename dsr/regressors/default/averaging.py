"""The default network's answer for a person averaged with that for the person's mirror image."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from dsr.body.joints import flip_permutation
from dsr.body.rotations import nearest_rotmat
from dsr.regressors.default.inputs import PersonInputs
from dsr.regressors.default.network import DefaultRegressor, PredictedBodies, SaidOfBodies

_JOINT_FLIP = list(flip_permutation("smpl24"))
_POINT_FLIP = list(flip_permutation("blazepose33"))
_POSE_FLIP = [joint - 1 for joint in _JOINT_FLIP[1:22]]


def both_ways(network: DefaultRegressor, inputs: PersonInputs) -> PredictedBodies:
    """Bodies of B people, the mean of what is said of them and of their mirror images.

    Args:
        network: in evaluation mode.
        inputs: the people.
    """
    count, other = len(inputs), inputs.mirrored()
    joined = PersonInputs(*(torch.cat([getattr(inputs, f.name), getattr(other, f.name)]) for f in fields(inputs)))
    said = network.said(joined)
    plain, mirror = said.select(slice(count)), said.select(slice(count, None))
    turns = nearest_rotmat(plain.turns + mirrored_turns(mirror.turns))

    def mean(name: str, flip: list[int]) -> Tensor:
        return (getattr(plain, name) + getattr(mirror, name)[:, flip]) / 2

    mean_said = SaidOfBodies(
        turns,
        (plain.betas + mirror.betas) / 2,
        mean("point_sigma", _POINT_FLIP),
        mean("joint_sigma", _JOINT_FLIP),
        mean("pose_sigma", _POSE_FLIP),
        (plain.beta_sigma + mirror.beta_sigma) / 2,
    )
    return network.posed(inputs, mean_said)


def mirrored_turns(turns: Tensor) -> Tensor:
    """Rotations (B, 24, 3, 3) of SMPL's joints as a mirror across x = 0 shows them: left is right."""
    across = turns.new_tensor([-1.0, 1.0, 1.0])
    return turns[:, _JOINT_FLIP] * across[:, None] * across
