"""Tracks at the frame rate a lifter was trained at, and its values at all frames of the track again."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from dsr.errors import UsageError
from dsr.lifting.base import WindowLifter


def rate_factors(model: WindowLifter, fps: float | None) -> tuple[int, int]:
    """By how much a track is faster and slower than the lifter's rate, as whole factors of which one is 1.

    Raises:
        UsageError: if the track's rate is no number above 0.
    """
    trained = getattr(model, "fps", None)
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise UsageError(f"Frames per second are a number above 0, got fps={fps}.")
    if fps is None or trained is None or model.frames == 1:
        return 1, 1
    return max(1, round(fps / trained)), max(1, min(round(trained / fps), model.frames))


def resample(track: Tensor, faster: int, slower: int) -> list[Tensor]:
    """The track (T, J, C) as tracks of the lifter's rate: one for every phase, or one with frames made in between."""
    if slower > 1:
        return [_interpolated(track, (len(track) - 1) * slower + 1)]
    return [track[phase::faster] for phase in range(min(faster, len(track)))]


def restore(parts: list[Tensor], frames: int, faster: int, slower: int) -> Tensor:
    """Values (t, J, C) of the tracks of :func:`resample` at all frames; the phases' mean, which does not flicker."""
    if slower > 1:
        return parts[0][::slower]
    if faster == 1:
        return parts[0]
    total = parts[0].new_zeros(frames, *parts[0].shape[1:])
    for phase, part in enumerate(parts):
        every = _interpolated(part, (len(part) - 1) * faster + 1)
        total += repeat_ends(every, phase, frames - phase - len(every))
    return total / len(parts)


def _interpolated(track: Tensor, frames: int) -> Tensor:
    """(T, J, C) at so many instants from the first to the last."""
    if frames == len(track):
        return track
    flat = track.flatten(1).T[None]
    return functional.interpolate(flat, size=frames, mode="linear", align_corners=True)[0].T.unflatten(
        1, track.shape[1:]
    )


def repeat_ends(track: Tensor, before: int, after: int) -> Tensor:
    """(T, J, C) with the first and last frames repeated."""
    flat = track.flatten(1).T[None]
    return functional.pad(flat, (before, after), mode="replicate")[0].T.unflatten(1, track.shape[1:])
