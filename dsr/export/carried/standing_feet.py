"""Feet that stand stay where they are: where they do, how the root gives way, how a leg bends to the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SLOW, _LOW = 0.15, 0.05
"""A foot stands where it moves slower than this (m/s) and is no higher above its lowest place (m)."""
_RAMP = 4
"""Frames over which a leg gives way before and after its foot stands."""
_SMALL, _SMOOTH = 1e-2, 0.1
"""Weights of the size and of the changes of the root's correction, against feet that stand still."""


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def swing(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotations (..., 3, 3) that turn directions (..., 3) onto others; half a turn goes about z."""
    a, b = np.broadcast_arrays(unit(start), unit(end))
    axis = np.cross(a, b)
    cosine = np.sum(a * b, -1)[..., None, None]
    k = np.zeros((*axis.shape[:-1], 3, 3))
    k[..., 0, 1], k[..., 0, 2], k[..., 1, 2] = -axis[..., 2], axis[..., 1], -axis[..., 0]
    k = k - np.swapaxes(k, -1, -2)
    turned = np.eye(3) + k + k @ k / np.maximum(1 + cosine, 1e-9)
    return np.where(cosine > -1 + 1e-9, turned, np.diag([-1.0, -1.0, 1.0]))


def find_contacts(points: Sequence[np.ndarray | None], fps: float) -> np.ndarray:
    """(T, P) where points (T, 3), metres, y up, are slow and low; a point that is None never is."""
    count = max((len(point) for point in points if point is not None), default=0)
    contacts = np.zeros((count, len(points)), bool)
    if count < 3:
        return contacts
    for k, at in enumerate(points):
        if at is not None:
            speed = np.linalg.norm(np.diff(at, axis=0), axis=1) * fps
            slow = np.maximum(np.r_[speed, speed[-1]], np.r_[speed[0], speed]) < _SLOW
            contacts[:, k] = slow & (at[:, 1] < np.percentile(at[:, 1], 5) + _LOW)
    return contacts


def stands(mask: np.ndarray) -> list[tuple[int, int]]:
    """First frame and the one behind the last of every stretch of at least two frames of a mask (T,)."""
    edges = np.flatnonzero(np.diff(np.r_[0, mask.astype(np.int8), 0]))
    return [(a, b) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True) if b - a > 1]


def slips(points: Sequence[np.ndarray | None], contacts: np.ndarray, scale: float) -> list[tuple[int, int, np.ndarray]]:
    """Every stand: its first frame, the one behind its last, and (n, 3) how far from their mean place a point is.

    Args:
        points: (T, 3) each.
        contacts: (T, P).
        scale: units of the points per metre; what is returned is in metres.
    """
    found = []
    for k, point in enumerate(points):
        if point is not None:
            for a, b in stands(contacts[:, k]):
                at = point[a:b] / scale
                found.append((a, b, at - at.mean(0)))
    return found


def root_correction(found: list[tuple[int, int, np.ndarray]], count: int) -> np.ndarray:
    """(T, 3) by which the root gives way, least squares: still feet, small and smooth corrections.

    Solved by conjugate gradients; the matrix is never built.

    Args:
        found: of :func:`slips`.
        count: frames.
    """
    correction, residual = np.zeros((count, 3)), np.zeros((count, 3))

    def product(x: np.ndarray) -> np.ndarray:
        out = _SMALL * x
        steps = _SMOOTH * np.diff(x, axis=0)
        out[1:] += steps
        out[:-1] -= steps
        for a, b, _ in found:
            out[a:b] += x[a:b] - x[a:b].mean(0)
        return out

    for a, b, slip in found:
        residual[a:b] -= slip
    direction, power = residual.copy(), float((residual**2).sum())
    for _ in range(500):
        if power < 1e-14:
            break
        image = product(direction)
        step = power / float((direction * image).sum())
        correction += step * direction
        residual -= step * image
        last, power = power, float((residual**2).sum())
        direction = residual + power / last * direction
    return correction


def ankle_shift(points: Sequence[np.ndarray | None], contacts: np.ndarray) -> np.ndarray:
    """(T, 3) by which an ankle must move for its heel and toes to stay where they stand, fading out around.

    Args:
        points: (T, 3) of the ankle and the toes.
        contacts: (T, 2) where they stand.
    """
    count = len(contacts)
    wanted, weight = np.zeros((count, 3)), np.zeros((count, 1))
    for k, point in enumerate(points):
        if point is not None:
            for a, b in stands(contacts[:, k]):
                wanted[a:b] += point[a:b].mean(0) - point[a:b]
                weight[a:b] += 1
    known = np.flatnonzero(weight[:, 0])
    if not len(known):
        return wanted
    wanted[known] /= weight[known]
    frames = np.arange(count)
    after = known[np.minimum(np.searchsorted(known, frames), len(known) - 1)]
    before = known[np.maximum(np.searchsorted(known, frames, "right") - 1, 0)]
    distance = np.minimum(np.abs(after - frames), np.abs(frames - before))
    between = np.stack([np.interp(frames, known, wanted[known, axis]) for axis in range(3)], 1)
    return between * np.clip(1 - distance / _RAMP, 0, 1)[:, None]


def bent_leg(
    thigh: np.ndarray, shin: np.ndarray, shift: np.ndarray, ahead: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Thighs and shins (T, 3) that bring the ankle to another place; the knee stays on its side.

    Args:
        thigh: (T, 3) from hip to knee.
        shin: (T, 3) from knee to ankle.
        shift: (T, 3) of the ankle.
        ahead: (T, 3) which way straight knees bend.
    """
    first, second = (np.linalg.norm(bone, axis=1, keepdims=True) for bone in (thigh, shin))
    reach = thigh + shin + shift
    along = unit(reach)
    length = np.linalg.norm(reach, axis=1, keepdims=True)
    length = np.clip(length, np.abs(first - second) * (1 + 1e-6), (first + second) * (1 - 1e-6))

    def across(vectors: np.ndarray) -> np.ndarray:
        return vectors - along * np.sum(vectors * along, 1, keepdims=True)

    bend = across(thigh)
    straight = np.linalg.norm(bend, axis=1, keepdims=True) < 1e-3 * first
    bend = unit(np.where(straight, across(ahead), bend))
    near = (first**2 - second**2 + length**2) / (2 * length)
    new_thigh = along * near + bend * np.sqrt(np.maximum(first**2 - near**2, 0.0))
    return new_thigh, along * length - new_thigh
