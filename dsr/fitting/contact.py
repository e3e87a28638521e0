"""Which feet stand on the ground, and where the ground is: from the feet's path in space alone.

A foot point is on the ground where it hardly moves and nothing of the person is lower around that time. Motion along
the viewing direction counts less: there a single camera sees least. If the camera moves, no foot rests and nothing is
found.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dsr.camera.tilt import Gravity

SLOW_M_S, FAST_M_S = 0.35, 0.8
"""Speeds up to which a foot point surely rests, and from which on it surely does not."""
_DEPTH = 0.2  # share of the speed along the viewing direction
_LOW_M, _HIGH_M = 0.06, 0.14  # above the lowest foot point around that time
_AROUND_S = 0.4
_SHORTEST_S = 0.08
_TILT = math.radians(6)
"""How well the body's own upright tells the ground's tilt."""


def find_contacts(feet: Tensor, up: Tensor, fps: float) -> Tensor:
    """How surely each foot point rests between a frame and the next.

    Args:
        feet: (T, C, 3) metres, camera frame.
        up: (3,) unit vector.
        fps: frames per second.

    Returns:
        (T - 1, C) 0 to 1.
    """
    frames = len(feet)
    if frames < 2:
        return feet.new_zeros(0, feet.shape[1])
    away = torch.nn.functional.normalize(feet.mean((0, 1)), dim=0)
    step = feet[1:] - feet[:-1]
    along = (step @ away)[..., None] * away
    speed = (step - (1 - _DEPTH) * along).norm(dim=-1) * fps
    speed = _median3(speed)
    resting = ((FAST_M_S - speed) / (FAST_M_S - SLOW_M_S)).clamp(0, 1)
    height = feet @ up
    reach = max(1, round(_AROUND_S * fps))
    lowest = -torch.nn.functional.max_pool1d(-height.min(1).values[None, None], 2 * reach + 1, stride=1, padding=reach)[
        0, 0
    ]
    above = torch.maximum(height[1:] - lowest[1:, None], height[:-1] - lowest[:-1, None])
    low = ((_HIGH_M - above) / (_HIGH_M - _LOW_M)).clamp(0, 1)
    contact = resting * low
    return contact * _lasting(contact > 0.3, max(1, round(_SHORTEST_S * fps)))


def upright(head: Tensor, feet: Tensor) -> Tensor:
    """The mean direction (3,) from the feet's middle (T, 3) to the head (T, 3)."""
    return torch.nn.functional.normalize(torch.nn.functional.normalize(head - feet, dim=-1).mean(0), dim=0)


def upward(body: Tensor, gravity: Gravity | None) -> tuple[Tensor, float]:
    """Which way is up in a clip: what its pictures say and what the body's own upright says, each as far as it is sure.

    Args:
        body: (3,) from :func:`upright`.
        gravity: of the camera, if known.

    Returns:
        (3,) unit vector and its standard deviation, radians.
    """
    if gravity is None:
        return body, _TILT
    sigma = math.radians(math.hypot(gravity.pitch_sigma_deg, gravity.roll_sigma_deg))
    known = torch.as_tensor(gravity.up).to(body)
    both = torch.nn.functional.normalize(known / sigma**2 + body / _TILT**2, dim=0)
    return both, 1 / math.sqrt(1 / sigma**2 + 1 / _TILT**2)


def fit_ground(feet: Tensor, contact: Tensor, up: Tensor, tilt: float = _TILT) -> Tensor | None:
    """Plane through the foot points that rest.

    Args:
        feet: (T, C, 3) metres.
        contact: (T - 1, C) from :func:`find_contacts`.
        up: (3,) unit vector, a guess of the plane's normal.
        tilt: how good it is, radians.

    Returns:
        (4,) unit normal n and offset d with n . x = d, or None where too little rests or it is no plane.
    """
    middle, weight = (feet[1:] + feet[:-1]) / 2, contact
    if float(weight.sum()) < 4:
        return None
    away = torch.nn.functional.normalize(
        torch.linalg.cross(torch.linalg.cross(up, feet.new_tensor([0, 0, 1.0])), up), dim=0
    )
    side = torch.linalg.cross(up, away)
    points, w = middle.reshape(-1, 3), weight.flatten()
    centre = (w[:, None] * points).sum(0) / w.sum()
    level = torch.stack([(points - centre) @ side, (points - centre) @ away, torch.ones_like(w)], 1)
    height = (points - centre) @ up
    ridge = torch.diag(feet.new_tensor([1 / tilt**2, 1 / tilt**2, 1e-9]))
    scatter = 0.05**2  # metres squared: contacts lie off a plane by about this
    for _ in range(3):
        normal = level.T @ (w[:, None] * level) / scatter / 8 + ridge  # about 8 frames of a step say the same
        slope = torch.linalg.solve(normal, level.T @ (w * height) / scatter / 8)
        off = height - level @ slope
        w = weight.flatten() / (1 + (off / 0.1).square())
    if float((w * off.square()).sum() / w.sum()) > 0.1**2:
        return None
    n = torch.nn.functional.normalize(up - slope[0] * side - slope[1] * away, dim=0)
    return torch.cat([n, (n @ (centre + slope[2] * up))[None]])


def _median3(values: Tensor) -> Tensor:
    """Median over three frames (T, C)."""
    padded = torch.cat([values[:1], values, values[-1:]])
    return torch.stack([padded[:-2], padded[1:-1], padded[2:]]).median(0).values


def _lasting(mask: Tensor, shortest: int) -> Tensor:
    """(T, C) True where ``mask`` holds for at least so many frames in a row."""
    result = torch.zeros_like(mask)
    for point in range(mask.shape[1]):
        edges = torch.diff(torch.nn.functional.pad(mask[:, point].int(), (1, 1)))
        for first, stop in zip(
            (edges == 1).nonzero()[:, 0].tolist(), (edges == -1).nonzero()[:, 0].tolist(), strict=True
        ):
            if stop - first >= min(shortest, len(mask)):
                result[first:stop, point] = True
    return result
