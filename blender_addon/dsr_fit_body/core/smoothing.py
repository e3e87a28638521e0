# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoothing of rotations and positions in time, and filling of short gaps."""

from __future__ import annotations

import numpy as np

from .geometry import continuous_quaternions


def smoothed(values: np.ndarray, amount: float, frames: np.ndarray | None = None) -> np.ndarray:
    """Exponential smoothing forwards and backwards, so that nothing lags.

    Args:
        values: (T, ...) rows in time; quaternions need signs that do not flip and are to be normalised after.
        amount: 0 keeps the rows, towards 1 the past counts more.
        frames: (T,) frame numbers; over a gap the past counts less. None is one after the other.

    Returns:
        (T, ...) float64.
    """
    values = np.array(values, np.float64)
    if amount <= 0 or len(values) < 3:
        return values
    steps = np.ones(len(values) - 1) if frames is None else np.maximum(np.diff(frames), 1)
    keep = np.minimum(amount, 0.98) ** steps

    def forwards(rows: np.ndarray, keep: np.ndarray) -> np.ndarray:
        out = np.array(rows)
        for i in range(1, len(rows)):
            out[i] = keep[i - 1] * out[i - 1] + (1 - keep[i - 1]) * rows[i]
        return out

    return 0.5 * (forwards(values, keep) + forwards(values[::-1], keep[::-1])[::-1])


def smoothed_quaternions(quaternions: np.ndarray, amount: float, frames: np.ndarray | None = None) -> np.ndarray:
    """Rotations (T, ..., 4) smoothed in time, unit length, signs that do not flip."""
    q = smoothed(continuous_quaternions(quaternions), amount, frames)
    return q / np.maximum(np.linalg.norm(q, axis=-1, keepdims=True), 1e-12)


def slerp(a: np.ndarray, b: np.ndarray, fraction: float) -> np.ndarray:
    """Rotations (..., 4) a fraction of the shortest way from ``a`` to ``b``."""
    dot = np.sum(a * b, axis=-1, keepdims=True)
    b = np.where(dot < 0, -b, b)
    angle = np.arccos(np.clip(np.abs(dot), 0, 1))
    sine = np.sin(angle)
    near = sine < 1e-6
    safe = np.where(near, 1, sine)
    wa = np.where(near, 1 - fraction, np.sin((1 - fraction) * angle) / safe)
    wb = np.where(near, fraction, np.sin(fraction * angle) / safe)
    q = wa * a + wb * b
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def fill_gaps(
    frames: np.ndarray, quaternions: np.ndarray, locations: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Put in-between rows where at most ``longest`` frames are missing.

    Args:
        frames: (T,) whole numbers, rising.
        quaternions: (T, J, 4).
        locations: (T, 3).
        longest: longest gap to fill, in frames.

    Returns:
        frames, quaternions, locations with the short gaps filled, and the gaps left open as (first, last) frame.
    """
    out_f, out_q, out_l, gaps = [frames[:1]], [quaternions[:1]], [locations[:1]], []
    for i in range(1, len(frames)):
        missing = int(frames[i] - frames[i - 1]) - 1
        if 0 < missing <= longest:
            for k in range(1, missing + 1):
                fraction = k / (missing + 1)
                out_f.append(frames[i - 1 : i] + k)
                out_q.append(slerp(quaternions[i - 1], quaternions[i], fraction)[None])
                out_l.append(((1 - fraction) * locations[i - 1] + fraction * locations[i])[None])
        elif missing > 0:
            gaps.append((int(frames[i - 1]) + 1, int(frames[i]) - 1))
        out_f.append(frames[i : i + 1])
        out_q.append(quaternions[i : i + 1])
        out_l.append(locations[i : i + 1])
    return np.concatenate(out_f), np.concatenate(out_q), np.concatenate(out_l), gaps
