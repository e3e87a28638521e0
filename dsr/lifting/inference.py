"""Whole sequences through a lifter: any number of frames, gaps filled, mirrored copies averaged.

Lifters take windows of one length. Those that give one pose per window (``by_centre``) see every frame in the middle of
its own window, with the edge frames repeated (half-sequence padding); those that give whole windows see overlapping
ones, faded into each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from dsr.body.joints import H36M17_NAMES
from dsr.devices import evaluating
from dsr.errors import UsageError
from dsr.lifting.base import SequenceLifter, WindowLifter
from dsr.lifting.resampling import rate_factors, repeat_ends, resample, restore
from dsr.tracks.skeleton import mirror, normalise_screen

# Frames of all windows of a forward pass, mirrored ones included.
_FRAMES_AT_ONCE_CPU, _FRAMES_AT_ONCE_GPU = 1024, 16384


@dataclass(frozen=True)
class LiftedSequence:
    """What :func:`lift_sequence` found.

    Attributes:
        joints_m: (T, J, 3) float32 metres in the camera's axes (x right, y down, z forward), the root at 0.
        uncertainty_mm: (T, J) float32, by how much the passes (plain and mirrored, overlapping windows) disagree, as a
            standard deviation, together with the lifter's validation error where its file tells it. Zero at the root.
        filled: (T, J) bool, keypoints that were missing or doubted and were interpolated in time.
    """

    joints_m: np.ndarray
    uncertainty_mm: np.ndarray
    filled: np.ndarray

    def __len__(self) -> int:
        return len(self.joints_m)


def lift_sequence(
    model: WindowLifter,
    keypoints_px: np.ndarray | Tensor,
    size: tuple[float, float],
    *,
    flip: bool = True,
    batch: int | None = None,
    hop: int | None = None,
    min_confidence: float = 0.1,
    fps: float | None = None,
) -> LiftedSequence:
    """Poses of every frame of a track.

    Keypoints that are NaN, or less sure than ``min_confidence``, are interpolated between the nearest good frames of
    their joint and held at the ends; a joint that is never sure is used as it is.

    Args:
        model: a lifter (:func:`~dsr.lifting.build_lifter`), on any device, in any precision; used in evaluation mode.
        keypoints_px: (T, J, 2) pixels, or (T, J, 3) with confidences; T >= 1; joints as the lifter's (H36M-17, see
            :func:`~dsr.tracks.detector_to_h36m17`).
        size: (width, height) of the pictures, pixels.
        flip: average with the mirrored sequence, in the same forward pass.
        batch: windows at once; by default as many as keep memory small.
        hop: frames from one window to the next for lifters of whole windows; by default half a window. The window's
            length is the published protocol: twice as fast, with seams.
        min_confidence: limit below which keypoints with confidences are filled.
        fps: frames per second of the track. A lifter whose file says which rate it was trained at (its ``fps``) sees
            the track at about that rate: every second, third, ... frame of a faster one, frames made in between of a
            slower one. None: the frames as they are.

    Returns:
        The poses, with the frames that were filled.

    Raises:
        UsageError: if shapes do not fit the lifter, a joint is never seen, or the lifter cannot give every frame.

    Example:
        >>> from dsr.lifting import build_lifter
        >>> model = build_lifter("mixste", frames=9, width=16, depth=1)
        >>> lift_sequence(model, np.ones((1, 17, 2)), (64, 48)).joints_m.shape
        (1, 17, 3)
    """
    if isinstance(keypoints_px, Tensor):
        keypoints_px = keypoints_px.detach().cpu().numpy()
    if hop is not None and not 1 <= hop <= model.frames:
        raise UsageError(f"The hop between windows is 1 to {model.frames} frames for this lifter, got {hop}.")
    if batch is not None and batch < 1:
        raise UsageError(f"At least one window at a time is needed, got batch={batch}.")
    pixels, confidence, filled = fill_gaps(_checked(model, keypoints_px), min_confidence)
    track = normalise_screen(torch.from_numpy(pixels), *_checked_size(size)).float()
    if model.inputs == 3:
        track = torch.cat((track, torch.from_numpy(confidence).float()[..., None]), -1)
    faster, slower = rate_factors(model, fps)
    with torch.inference_mode(), evaluating(model):
        lift = _by_centre if model.by_centre else _by_windows
        parts = [lift(model, part, flip, batch, hop) for part in resample(track, faster, slower)]
    mean = restore([m for m, _ in parts], len(track), faster, slower)
    variance = restore([v[..., None] for _, v in parts], len(track), faster, slower)[..., 0]
    known = getattr(model, "joint_error_mm", None)
    error = 0.0 if known is None else np.asarray(known, np.float32)
    uncertainty = np.hypot(1e3 * variance.clamp_min(0.0).sqrt().numpy(), error).astype(np.float32)
    uncertainty[:, 0] = 0.0
    return LiftedSequence(mean.numpy(), uncertainty, filled)


def fill_gaps(keypoints: np.ndarray, min_confidence: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Missing and doubtful keypoints interpolated linearly in time, held before the first and after the last good one.

    Args:
        keypoints: (T, J, 2) or (T, J, 3) with confidences; NaN or infinite where missing.
        min_confidence: limit of doubt; a joint below it in all frames is kept where it is finite.

    Returns:
        (T, J, 2) float64 finite positions; (T, J) confidences, 1 where none are given, 0 where filled; (T, J) bool,
        what was filled.

    Raises:
        UsageError: if a joint is in no frame at all, naming it.
    """
    places = np.asarray(keypoints[..., :2], np.float64)
    finite = np.isfinite(places).all(-1)
    confidence = np.ones(finite.shape)
    good = finite
    if keypoints.shape[-1] == 3:
        confidence = np.clip(np.nan_to_num(np.asarray(keypoints[..., 2], np.float64), nan=0.0), 0.0, 1.0)
        sure = finite & (confidence >= min_confidence)
        good = np.where(sure.any(0), sure, finite)
    if not good.any(0).all():
        _refuse_unseen(good.any(0))
    frames = np.arange(len(good))[:, None]
    before = np.maximum.accumulate(np.where(good, frames, -1), 0)
    after = np.minimum.accumulate(np.where(good, frames, len(good))[::-1], 0)[::-1]
    first, last = np.where(before < 0, after, before), np.where(after == len(good), before, after)
    along = ((frames - first) / np.maximum(last - first, 1))[..., None]
    start, end = (np.take_along_axis(places, at[..., None], 0) for at in (first, last))
    return np.where(good[..., None], places, start + along * (end - start)), np.where(good, confidence, 0.0), ~good


def _refuse_unseen(seen: np.ndarray) -> None:
    if not seen.any():
        raise UsageError("There is not one keypoint in the whole sequence (all are NaN), so nothing can be lifted.")
    joint = int(np.flatnonzero(~seen)[0])
    name = H36M17_NAMES[joint].replace("_", " ") if len(seen) == len(H36M17_NAMES) else f"joint {joint}"
    raise UsageError(
        f"The {name} was not seen in any frame (it is NaN in all frames): a lifter needs a guess of where it is, "
        "with a confidence of 0."
    )


def _checked_size(size: tuple[float, float]) -> tuple[float, float]:
    if np.shape(size) != (2,):
        raise UsageError(f"The size of the pictures is (width, height) in pixels, got {size!r}.")
    return float(size[0]), float(size[1])


def _checked(model: WindowLifter, keypoints: np.ndarray) -> np.ndarray:
    try:
        keypoints = np.asarray(keypoints)
    except ValueError as error:
        raise UsageError(f"A track is an array of (T, {model.joints}, 2 or 3) pixels: {error}") from error
    shape = keypoints.shape
    if keypoints.dtype.kind not in "fiu" or keypoints.ndim != 3 or shape[-1] not in (2, 3):
        expected = f"(T, {model.joints}, 2 or 3)"
        raise UsageError(f"A track is an array of {expected} pixels, got {keypoints.dtype} of {shape}.")
    if shape[1] != model.joints:
        raise UsageError(
            f"This lifter takes {model.joints} joints per frame, got {shape[1]}; bring keypoints of a detector to "
            "Human3.6M's 17 with dsr.tracks.detector_to_h36m17."
        )
    if shape[0] == 0:
        raise UsageError("The track has no frames; at least one is needed.")
    pruning = model.pruning if isinstance(model, SequenceLifter) else None
    if pruning is not None and not pruning.recover and not pruning.centre:
        raise UsageError("This lifter drops frames and does not bring them back: build it with recover or centre.")
    return keypoints


def _copies(model: WindowLifter, windows: Tensor, flip: bool) -> Tensor:
    """(N, F, J, C) windows to root-relative poses (1 or 2, N, F or 1, J, 3): plain, and mirrored and brought back."""
    dtype = reduce(torch.promote_types, {p.dtype for p in model.parameters()})
    both = torch.cat((windows, mirror(windows))) if flip else windows
    both = both.to(next(model.parameters()).device, dtype)
    passes = model.poses(both, copies=1 + flip).float().cpu().unflatten(0, (1 + flip, -1))
    if flip:
        passes = torch.stack((passes[0], mirror(passes[1])))
    return passes - passes[..., :1, :]


def _batches(model: WindowLifter, windows: Tensor, flip: bool, batch: int | None) -> Iterator[Tensor]:
    on_cpu = next(model.parameters()).device.type == "cpu"
    budget = _FRAMES_AT_ONCE_CPU if on_cpu else _FRAMES_AT_ONCE_GPU
    for part in windows.split(batch or max(1, budget // (model.frames * (1 + flip)))):
        yield _copies(model, part, flip)


def _by_centre(
    model: WindowLifter, track: Tensor, flip: bool, batch: int | None, hop: int | None
) -> tuple[Tensor, Tensor]:
    before = model.target_frame
    padded = repeat_ends(track, before, model.frames - 1 - before)
    windows = padded.unfold(0, model.frames, 1).movedim(-1, 1)  # a view: (T, F, J, C)
    passes = torch.cat([part[:, :, 0] for part in _batches(model, windows, flip, batch)], 1)
    mean = passes.mean(0)
    return mean, (passes - mean).square().sum(-1).mean(0)


def _by_windows(
    model: WindowLifter, track: Tensor, flip: bool, batch: int | None, hop: int | None
) -> tuple[Tensor, Tensor]:
    length, frames = len(track), model.frames
    lead = max(frames - length, 0) // 2
    track = repeat_ends(track, lead, max(frames - length, 0) - lead)
    last = len(track) - frames
    starts = torch.arange(0, last, hop or max(1, frames // 2))
    at = torch.cat((starts, starts.new_tensor([last])))[:, None] + torch.arange(frames)
    poses = torch.cat(list(_batches(model, track[at], flip, batch)), 1)
    # A pose counts more the farther it is from the ends of its window.
    ramp = torch.arange(1.0, frames + 1.0)
    weight = torch.minimum(ramp, ramp.flip(0)).expand_as(at)[None, ..., None, None].expand(len(poses), -1, -1, 1, 1)
    flat = at.expand(len(poses), -1, -1).flatten()

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(len(track), *values.shape[3:]).index_add_(0, flat, values.flatten(0, 2))

    weights = total(weight)
    mean = total(weight * poses) / weights
    variance = total(weight * (poses - mean[at]).square().sum(-1, keepdim=True)) / weights
    return mean[lead : lead + length], variance[lead : lead + length, :, 0]
