"""What stands is balanced: the centre of mass over the feet, the trunk upright, soles flat, unseen limbs relaxed.

A single view sees depth badly, so everything here acts along the line of sight alone, where the picture is blind; what
the picture shows of a lean to the side stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from dsr.body.asset import BodyAsset

ANCHORS = ("mass", "left_heel", "left_ball", "right_heel", "right_ball", "hips", "shoulders")
"""Points of a body that balance is told by; the soles' are on the skin."""
ROBUST = 5.0
"""Where balance stops pulling harder, in standard deviations: who jumps or falls may."""
MASS_M = 0.9
"""The centre of mass of somebody who stands above the feet, metres."""
_OVER_FOOT = 0.45  # where between heel and ball the mass of somebody who stands is

# de Leva, Journal of Biomechanics 29 (1996), table 4, mean of women and men: share of the mass, and where between the
# two ends its centre lies; joints of SMPL's tree. The head's centre lies as far above the head's joint as the neck
# is long, hands and feet at their middle.
_SEGMENTS: tuple[tuple[float, tuple[tuple[int, float], ...]], ...] = (
    (0.0681, ((15, 2.0), (12, -1.0))),
    (0.4302, ((16, 0.30), (17, 0.30), (1, 0.20), (2, 0.20))),
    *((0.0263, ((16 + s, 0.424), (18 + s, 0.576))) for s in (0, 1)),
    *((0.0150, ((18 + s, 0.543), (20 + s, 0.457))) for s in (0, 1)),
    *((0.0059, ((20 + s, 1.0),)) for s in (0, 1)),
    *((0.1447, ((1 + s, 0.615), (4 + s, 0.385))) for s in (0, 1)),
    *((0.0457, ((4 + s, 0.556), (7 + s, 0.444))) for s in (0, 1)),
    *((0.0133, ((7 + s, 0.5), (10 + s, 0.5))) for s in (0, 1)),
)


def anchor_blends(asset: BodyAsset) -> tuple[np.ndarray, np.ndarray]:
    """The :data:`ANCHORS` of a body.

    Returns:
        (7, J) blends of joints, for the points inside the body, and (7, V) blends of vertices, for those on the skin;
        of every row one is zero.
    """
    joints = np.zeros((len(ANCHORS), asset.num_joints))
    skin = np.zeros((len(ANCHORS), asset.num_vertices))
    total = sum(mass for mass, _ in _SEGMENTS)
    for mass, ends in _SEGMENTS:
        for joint, share in ends:
            joints[0, joint] += mass * share / total
    joints[5, [1, 2]] = joints[6, [16, 17]] = 0.5
    template = asset.v_template
    for row, (ankle, foot) in ((1, (7, 10)), (3, (8, 11))):
        own = np.flatnonzero(asset.weights[:, [ankle, foot]].sum(1) > 0.5)
        if not len(own):  # no body of skin: a toy
            joints[row, ankle] = joints[row + 1, foot] = 1.0
            continue
        sole = own[template[own, 1] < template[own, 1].min() + 0.02]
        depth = template[sole, 2]
        low, high = depth.min(), depth.max()
        for place, chosen in ((row, depth < low + 0.2 * (high - low)), (row + 1, depth > low + 0.7 * (high - low))):
            skin[place, sole[chosen]] = 1.0 / chosen.sum()
    return joints, skin


@dataclass(frozen=True)
class Upright:
    """What is expected of B people by gravity; a factor is one over a standard deviation, 0 where nothing is.

    Attributes:
        up: (B, 3) against gravity, in the camera of the fit.
        away: (B, 3) horizontal, away from the camera.
        mass: (B,) factor on the mass's distance from over the feet, per metre.
        carry: (B, 2) where between the left (0) and the right foot (1) the mass may be.
        trunk: (B,) factor on the trunk's lean, per radian.
        along: (B,) share of the mass's lean that is taken off the trunk's: both share the error of what is upright.
        soles: (B, 2) factor on the slope of a sole, per metre between heel and ball.
        level: (B,) factor on one foot above the other, per metre.
        pose: (B, 63) expected pose, axis-angle of joints 1 to 21, radians.
        pose_factor: (B, 63) per radian.
        floor: (B,) how far along ``up`` the floor lies from the camera, metres.
        contact: (B, 2) factor on the left and right sole's distance from the floor, per metre.
    """

    up: Tensor
    away: Tensor
    mass: Tensor
    carry: Tensor
    trunk: Tensor
    along: Tensor
    soles: Tensor
    level: Tensor
    pose: Tensor
    pose_factor: Tensor
    floor: Tensor
    contact: Tensor

    def select(self, index: Tensor) -> Upright:
        """Rows ``index`` of the batch."""
        return Upright(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True)
class UprightTerms:
    """Their share of the cost: squares' sum (B,), residuals (B, R) and their Jacobian (B, R, P), already weighed."""

    cost: Tensor
    residual: Tensor
    jacobian: Tensor


def upright_terms(anchors: Tensor, slopes: Tensor, upright: Upright) -> UprightTerms:
    """Balance, trunk, soles and floor at a state; the expected pose is the solver's own diagonal.

    Args:
        anchors: (B, 7, 3) metres, see :data:`ANCHORS`.
        slopes: (B, 7, 3, P) their Jacobian.
        upright: what is expected.
    """
    along = torch.einsum("bax,bx->ba", anchors, upright.away)
    above = torch.einsum("bax,bx->ba", anchors, upright.up)
    # in one multiplication: (B, 14, P), the first seven along the line of sight, the others upwards
    both = torch.stack([upright.away, upright.up], 1)
    slope = torch.einsum("bdx,baxp->bdap", both, slopes)
    d_along, d_above = slope[:, 0], slope[:, 1]

    foot = [(1 - _OVER_FOOT) * along[:, i] + _OVER_FOOT * along[:, i + 1] for i in (1, 3)]
    d_foot = [(1 - _OVER_FOOT) * d_along[:, i] + _OVER_FOOT * d_along[:, i + 1] for i in (1, 3)]
    apart = foot[1] - foot[0]
    nearest = (along[:, 0] - foot[0]) / torch.where(apart.abs() < 1e-3, torch.full_like(apart, 1e-3), apart)
    share = torch.minimum(torch.maximum(nearest, upright.carry[:, 0]), upright.carry[:, 1])
    mass = along[:, 0] - foot[0] - share * apart
    d_mass = d_along[:, 0] - (1 - share)[:, None] * d_foot[0] - share[:, None] * d_foot[1]
    d_mass = torch.where((share == nearest)[:, None], torch.zeros_like(d_mass), d_mass)  # between the feet all is well

    spine, d_spine = anchors[:, 6] - anchors[:, 5], slopes[:, 6] - slopes[:, 5]
    length = spine.norm(dim=-1).clamp(min=0.1)
    trunk = (along[:, 6] - along[:, 5]) / length
    d_length = torch.einsum("bx,bxp->bp", spine, d_spine) / length[:, None]
    d_trunk = (d_along[:, 6] - d_along[:, 5] - trunk[:, None] * d_length) / length[:, None]
    trunk = trunk - upright.along / MASS_M * mass
    d_trunk = d_trunk - (upright.along / MASS_M)[:, None] * d_mass

    soles = above[:, [2, 4]] - above[:, [1, 3]]
    d_soles = d_above[:, [2, 4]] - d_above[:, [1, 3]]
    feet = (above[:, [1, 3]] + above[:, [2, 4]]) / 2
    d_feet = (d_above[:, [1, 3]] + d_above[:, [2, 4]]) / 2
    level, d_level = feet[:, 0] - feet[:, 1], d_feet[:, 0] - d_feet[:, 1]

    depth = feet - upright.floor[:, None]
    # a foot in the air may be anywhere but below the floor
    contact = torch.where(depth < 0, upright.contact.amax(1, keepdim=True), upright.contact)

    residual = torch.cat([mass[:, None], trunk[:, None], soles, level[:, None], depth], 1)
    jacobian = torch.cat([d_mass[:, None], d_trunk[:, None], d_soles, d_level[:, None], d_feet], 1)
    factor = torch.cat(
        [upright.mass[:, None], upright.trunk[:, None], upright.soles, upright.level[:, None], contact], 1
    )
    residual, jacobian = factor * residual, factor[..., None] * jacobian
    square, c2 = residual.square(), ROBUST**2
    bend = c2 / (c2 + square)  # Geman-McClure
    return UprightTerms((bend * square).sum(1), bend * residual, bend[..., None] * jacobian)
