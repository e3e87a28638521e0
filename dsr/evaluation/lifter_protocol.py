"""The authors' own protocols of the skeleton lifters: their windows, their root, their sums.

KTPFormer specification section 11, HoT 5 and 8, GLA-GCN 9, UAO 8 and 11. What differs from
:func:`~dsr.evaluation.lifting.evaluate_lifter`: frames that a window repeats count again, and KTPFormer and GLA-GCN let
the predicted root err.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from dsr.devices import evaluating
from dsr.errors import FittingError, UsageError
from dsr.evaluation.lifting import LifterReport, ReportSums, report_of
from dsr.fitting.uncertainty import optimise_poses
from dsr.lifting.base import WindowLifter
from dsr.lifting.uao import UAO
from dsr.tracks.skeleton import mirror
from dsr.tracks.track import PoseTrack

_FRAMES_AT_ONCE: Final = 2048


@dataclass(frozen=True)
class PublishedProtocol:
    """How a system was measured by its authors.

    Attributes:
        windows: ``anchored``: side by side from the first frame, the last one moved back to end with the track (a track
            shorter than a window repeats its last frame); ``split``: side by side, the overhang split between both ends
            and filled by repeating them; ``centre``: one per frame, in the middle.
        keep_root: the predicted root stays as it is and counts; otherwise it is set to zero.
    """

    windows: Literal["anchored", "split", "centre"]
    keep_root: bool


_BY_HOST: Final = {
    "ktpformer": PublishedProtocol("anchored", keep_root=True),
    "mixste": PublishedProtocol("split", keep_root=False),
    "mhformer": PublishedProtocol("centre", keep_root=False),
    "motionbert": PublishedProtocol("split", keep_root=False),
    "motionagformer": PublishedProtocol("split", keep_root=False),
    "glagcn": PublishedProtocol("centre", keep_root=True),
    # Its authors say that they follow VideoPose3D, and published no code.
    "convformer": PublishedProtocol("centre", keep_root=True),
    "uao": PublishedProtocol("centre", keep_root=False),
    # The variant was not released: as the network it is one of.
    "diffusion": PublishedProtocol("anchored", keep_root=True),
    "simplebaseline": PublishedProtocol("centre", keep_root=False),
}


def published_protocol(lifter: str) -> PublishedProtocol:
    """The protocol of a lifter by its name in :data:`~dsr.lifting.LIFTERS`.

    Raises:
        UsageError: for an unknown one.
    """
    prefix, _, host = lifter.rpartition("-")
    if host not in _BY_HOST:
        raise UsageError(f"There is no published protocol of {lifter!r}; there are those of {', '.join(_BY_HOST)}.")
    if prefix == "tpc":
        return PublishedProtocol("centre", keep_root=False)
    if prefix == "hot":
        return PublishedProtocol("split", keep_root=False)
    return _BY_HOST[host]


def evaluate_published(
    model: WindowLifter,
    tracks: Sequence[PoseTrack],
    protocol: PublishedProtocol,
    *,
    flip: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> LifterReport:
    """Measure a lifter as its authors did.

    Keypoints are taken as the files have them; nothing is filled. Velocities are over a track's windows laid end to
    end, seams included, as released.

    Args:
        model: the lifter, used in evaluation mode.
        tracks: with truth.
        protocol: windows and root.
        flip: average with the mirror image.
        on_progress: called with the number of tracks done and that of all.

    Raises:
        UsageError: if there is nothing to measure, keypoints are not finite, or the lifter cannot be measured so.
    """
    if protocol.windows != "centre" and model.by_centre:
        raise UsageError("This lifter gives one frame of a window; its protocol is a window per frame.")
    sums = ReportSums()
    for done, track in enumerate(tracks, 1):
        if not np.isfinite(track.keypoints_px).all():
            raise UsageError(f"Track {track.name}: a keypoint is not a number; published protocols fill nothing.")
        at = window_frames(len(track), model.frames, protocol.windows, model.target_frame)
        poses = torch.cat(list(_lifted(model, track, at, flip)))
        aimed = at[:, model.target_frame, None] if poses.shape[1] == 1 else at
        truth = torch.from_numpy(np.asarray(track.relative(), np.float32))[torch.from_numpy(aimed)]
        if not protocol.keep_root:
            poses = torch.cat((torch.zeros_like(poses[:, :, :1]), poses[:, :, 1:]), 2)
        p, g = (part.flatten(0, 1).double().numpy() for part in (poses, truth))
        valid = np.isfinite(g).all((1, 2))
        if track.valid is not None:
            valid &= np.asarray(track.valid, bool)[aimed].ravel()
        sums.add(track, p, g, valid)
        if on_progress is not None:
            on_progress(done, len(tracks))
    return report_of(sums)


def optimised_predictor(model: UAO) -> Callable[[PoseTrack], np.ndarray]:
    """UAO with its optimisation at test time, as its authors measured it: the true root, the camera's lens.

    Args:
        model: the network.

    Returns:
        A predictor for :func:`~dsr.evaluation.lifting.evaluate_lifter`; it raises UsageError for a track without its
        camera, FittingError naming a track whose numbers make no sense.
    """

    def predict(track: PoseTrack) -> np.ndarray:
        if track.intrinsic is None:
            raise UsageError(f"Track {track.name}: UAO's optimisation needs the intrinsics of the camera.")
        parameter = next(model.parameters())
        x, camera, root = (
            torch.from_numpy(np.asarray(part, np.float32)).to(parameter.device)
            for part in (track.screen(), track.intrinsic, track.joints_m[:, track.root])
        )
        try:
            parts = [
                optimise_poses(model, x[at], camera, root[at]).joints_m
                for at in torch.arange(len(x)).split(_FRAMES_AT_ONCE // 4)
            ]
        except FittingError as error:
            raise FittingError(f"Track {track.name}: {error}") from error
        return torch.cat(parts).cpu().numpy()

    return predict


def window_frames(
    length: int, frames: int, windows: Literal["anchored", "split", "centre"], target: int | None = None
) -> np.ndarray:
    """(N, F) frame of the track at every place of its windows.

    Args:
        length: T frames of the track.
        frames: F.
        windows: as in :class:`PublishedProtocol`.
        target: where in a window of ``centre`` its frame stands; by default in the middle.

    Example:
        >>> window_frames(5, 3, "anchored").tolist()
        [[0, 1, 2], [2, 3, 4]]
        >>> window_frames(5, 3, "split").tolist()
        [[0, 1, 2], [3, 4, 4]]
    """
    if windows == "centre":
        starts = np.arange(length) - ((frames - 1) // 2 if target is None else target)
    elif windows == "split":
        count = -(-length // frames)
        starts = np.arange(count) * frames - (count * frames - length) // 2
    else:
        starts = np.arange(max(1, length // frames)) * frames
        if length > frames and length % frames:
            starts = np.append(starts, length - frames)
    return np.clip(starts[:, None] + np.arange(frames), 0, length - 1)


def _lifted(model: WindowLifter, track: PoseTrack, at: np.ndarray, flip: bool) -> Iterator[Tensor]:
    """Poses (n, F or 1, J, 3) of a track's windows, batch after batch, with the root as predicted."""
    inputs = torch.from_numpy(np.asarray(track.screen(), np.float32))
    if model.inputs == 3:
        ones = np.ones(inputs.shape[:2], np.float32)
        confidence = ones if track.confidence is None else np.asarray(track.confidence, np.float32)
        inputs = torch.cat((inputs, torch.from_numpy(confidence)[..., None]), -1)
    parameter = next(model.parameters())
    with torch.inference_mode(), evaluating(model):
        for part in torch.from_numpy(at).split(max(1, _FRAMES_AT_ONCE // (model.frames * (1 + flip)))):
            x = inputs[part]
            both = (torch.cat((x, mirror(x))) if flip else x).to(parameter.device, parameter.dtype)
            poses = model.poses(both, copies=1 + flip).float().cpu()
            passes = poses.unflatten(0, (1 + flip, -1))
            yield (passes[0] + mirror(passes[1])) / 2 if flip else passes[0]
