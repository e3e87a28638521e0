"""Windows of tracks for skeleton lifters: which frames they hold, and batches of them cut at once.

Rules of the published generators (specifications of KTPFormer, sections 9 and 11, HoT, section 7, and GLA-GCN,
section 9). Where a window reaches beyond its track the edge frame is repeated, in 2D and 3D alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsr.datasets.lifting_tracks import PoseTrack
from dsr.errors import UsageError


@dataclass(frozen=True, eq=False)
class Windows:
    """Frames of many tracks one after another, and windows of F frames on them.

    Attributes:
        inputs: (N, J, C) keypoints, x first; what follows y (confidence) stays under mirroring.
        targets: (N, J, 3) joints.
        offsets: (tracks + 1,) where each track begins in the arrays, and where the last ends.
        track: (W,) the window's track.
        start: (W,) its first frame, counted from the track's first; negative before it.
        flip: (W,) whether the window is mirrored.
        frames: F.
        mirror: (J,) joint that stands at each place after left and right are exchanged.
        valid: (N,) frames that count, or None for all.
    """

    inputs: np.ndarray
    targets: np.ndarray
    offsets: np.ndarray
    track: np.ndarray
    start: np.ndarray
    flip: np.ndarray
    frames: int
    mirror: np.ndarray
    valid: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.start)

    def rows(self, which: np.ndarray | slice) -> np.ndarray:
        """(B, F) places of the windows' frames in the arrays, edges repeated."""
        track = self.track[which]
        at = self.start[which][:, None] + np.arange(self.frames)
        length = np.diff(self.offsets)[track][:, None]
        return self.offsets[track][:, None] + np.clip(at, 0, length - 1)

    def take(self, which: np.ndarray | slice, centre: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Batch of windows.

        Args:
            which: indices of windows, or a slice.
            centre: targets of the middle frame only.

        Returns:
            (B, F, J, C) keypoints and (B, F or 1, J, 3) joints.
        """
        rows, flip = self.rows(which), self.flip[which]
        middle = (self.frames - 1) // 2
        aimed = rows[:, middle : middle + 1] if centre else rows
        return self._mirrored(self.inputs[rows], flip), self._mirrored(self.targets[aimed], flip)

    def where(self, mask: np.ndarray) -> Windows:
        """The windows of a mask (W,) or of indices."""
        return Windows(self.inputs, self.targets, self.offsets, self.track[mask], self.start[mask], self.flip[mask],
                       self.frames, self.mirror, self.valid)  # fmt: skip

    def _mirrored(self, values: np.ndarray, flip: np.ndarray) -> np.ndarray:
        """Batch with x negated and sides exchanged where ``flip``."""
        if flip.any():
            turned = values[flip][:, :, self.mirror]
            turned[..., 0] *= -1
            values[flip] = turned
        return values


def window_starts(length: int, frames: int, hop: int) -> np.ndarray:
    """First frames of the windows that cover a track, the overhang split between both ends.

    ``n = ceil((T - F) / h + 1)`` windows, the first ``((n - 1) h + F - T) // 2`` frames before the track. With hop 1
    there is one window around every frame. A hop of several frames leaves out tracks that are more than a hop shorter
    than a window; with hop F every track has one.

    Args:
        length: T.
        frames: F.
        hop: frames from one window to the next.

    Returns:
        (n,) first frames, negative before the track.

    Raises:
        UsageError: if one of them is below 1.

    Example:
        >>> window_starts(23, 9, 9)
        array([-2,  7, 16])
    """
    if min(length, frames, hop) < 1:
        raise UsageError(f"No windows of {frames} frames every {hop} on a track of {length}: all must be 1 or more.")
    if hop == 1:
        return np.arange(length) - (frames - 1) // 2
    count = max(0, -((frames - length) // hop) + 1)
    return np.arange(count) * hop - ((count - 1) * hop + frames - length) // 2


def training_windows(tracks: Sequence[PoseTrack], frames: int, hop: int = 0, flip: bool = True) -> Windows:
    """Windows for training: of every track its windows, then the same mirrored.

    Keypoints are screen-normalised with their confidence (1 where the data has none), joints relative to the root.

    Args:
        tracks: of one set of joints.
        frames: F.
        hop: frames from one window to the next; 0: F, no overlap. 1: one window around every frame.
        flip: add mirrored windows.

    Raises:
        UsageError: without tracks, with mixed joint sets, or if a count is below 1.
    """
    starts = [window_starts(len(track), frames, hop or frames) for track in tracks]
    return cut(tracks, starts, frames, flip)


def evaluation_windows(tracks: Sequence[PoseTrack], frames: int) -> Windows:
    """Windows for evaluation without overlap; the rest of a track is covered by a window of its last F frames.

    Tracks shorter than F have one window, its end filled with the last frame (KTPFormer specification, section 11).
    """
    return cut(tracks, [evaluation_starts(len(track), frames) for track in tracks], frames, False)


def evaluation_starts(length: int, frames: int) -> np.ndarray:
    """First frames of the windows of :func:`evaluation_windows` on a track of ``length`` frames."""
    starts = np.arange(max(1, length // frames)) * frames
    return np.append(starts, length - frames) if length > frames and length % frames else starts


def half_padded(tracks: Sequence[PoseTrack], frames: int) -> Windows:
    """One window around every frame, edges repeated, for lifters that give the centre frame only."""
    return cut(tracks, [window_starts(len(track), frames, 1) for track in tracks], frames, False)


def cut(tracks: Sequence[PoseTrack], starts: Sequence[np.ndarray], frames: int, flip: bool) -> Windows:
    """Windows at given first frames of each track; arguments and errors as in :func:`training_windows`."""
    if not tracks:
        raise UsageError("There are no tracks to cut windows from.")
    first = tracks[0]
    if any((t.left, t.right, t.root, t.joints_m.shape[1]) != (first.left, first.right, first.root,
                                                             first.joints_m.shape[1]) for t in tracks):  # fmt: skip
        raise UsageError("Tracks of different joint sets cannot share windows; cut them one set at a time.")
    mirror = np.arange(first.joints_m.shape[1])
    mirror[list(first.left + first.right)] = first.right + first.left
    sides = 2 if flip else 1
    counts = np.array([len(s) for s in starts])
    valid = None
    if any(track.valid is not None for track in tracks):
        valid = np.concatenate([np.ones(len(t), bool) if t.valid is None else t.valid.astype(bool) for t in tracks])
    return Windows(
        inputs=np.concatenate([_with_confidence(track) for track in tracks]),
        targets=np.concatenate([track.relative() for track in tracks]),
        offsets=np.cumsum([0, *(len(track) for track in tracks)]),
        track=np.repeat(np.arange(len(tracks)), counts * sides),
        start=np.concatenate([np.tile(s, sides) for s in starts]),
        flip=np.concatenate([np.arange(sides).repeat(n) for n in counts]).astype(bool),
        frames=frames, mirror=mirror, valid=valid,
    )  # fmt: skip


def _with_confidence(track: PoseTrack) -> np.ndarray:
    """(T, J, 3) screen-normalised keypoints and confidences, float32."""
    shape = track.keypoints_px.shape[:2]
    confidence = np.ones(shape) if track.confidence is None else track.confidence
    return np.concatenate([track.screen(), confidence[..., None]], -1).astype(np.float32)
