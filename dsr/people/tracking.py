"""From detections frame by frame to people through time: who is who, where somebody was not seen, and what was nobody.

Each frame's detections are assigned to the people known so far (Hungarian method) by how well box and keypoints agree
with where each of them should be by now. Nothing is random: the same detections give the same tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dsr.options import split_person
from dsr.people.select import box_area, largest
from dsr.people.types import Detection

MAX_GAP_S = 1.0
"""Seconds for which somebody may be hidden and still be the same person."""
SHORTEST_S = 0.25
"""Seconds below which a track is taken for a mistake of the detector, in clips that are longer."""
_MIN_AFFINITY = 0.12
_COASTING_S = 0.7  # somebody not seen is taken to go on for about this long
_OKS_SIGMA = 0.08  # of a keypoint, as a share of the person's size
_SEEN = 0.3
_SAME_PERSON = 0.5
_REPEATED = 0.8


@dataclass(frozen=True)
class PersonTrack:
    """One person through a clip.

    Attributes:
        id: ``p0`` is the one who appears first; of several at once the leftmost.
        frames: (n,) numbers of the frames in which the person was detected, ascending.
        detections: what was found there, in the same order.
    """

    id: str
    frames: np.ndarray
    detections: tuple[Detection, ...]

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """First and last frame of every stretch in between in which the person was not detected."""
        ends = np.flatnonzero(np.diff(self.frames) > 1)
        return [(int(self.frames[i]) + 1, int(self.frames[i + 1]) - 1) for i in ends]


@dataclass
class _Open:
    """A track that may go on."""

    frames: list[int] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))  # pixels per frame

    def predicted(self, frame: int, fade: float) -> tuple[np.ndarray, np.ndarray]:
        """Box (4,) and keypoints (K, 2) expected in a frame; speed fades by this factor a frame."""
        last = self.detections[-1]
        shift = self.velocity * (1 - fade ** (frame - self.frames[-1])) / (1 - fade)
        return last.box_px + np.tile(shift, 2), last.keypoints_px + shift

    def add(self, frame: int, detection: Detection) -> None:
        if self.frames:
            ahead = frame - self.frames[-1]
            moved = (_middle(detection) - _middle(self.detections[-1])) / ahead
            known = min(len(self.frames), 4)
            self.velocity = (self.velocity * (known - 1) + moved) / known
        self.frames.append(frame)
        self.detections.append(detection)


def track_people(
    frames: Sequence[Sequence[Detection]],
    fps: float,
    max_gap_s: float = MAX_GAP_S,
    shortest_s: float = SHORTEST_S,
) -> list[PersonTrack]:
    """Connect the detections of a clip.

    Args:
        frames: the detections of every frame; empty where nobody was found.
        fps: frames per second.
        max_gap_s: seconds somebody may be away and keep the identity.
        shortest_s: tracks of fewer detections are left out, unless the clip itself is hardly longer.

    Returns:
        Everybody, in the order of appearance, then from the left.
    """
    from scipy.optimize import linear_sum_assignment

    max_gap = max(2, round(max_gap_s * fps))
    fade = max(0.5, 1 - 1 / (_COASTING_S * fps))
    tracks: list[_Open] = []
    active: list[_Open] = []
    for number, detections in enumerate(frames):
        active = [track for track in active if number - track.frames[-1] <= max_gap]
        usable = _once([d for d in detections if np.isfinite(d.box_px).all()])
        taken: set[int] = set()
        if active and usable:
            affinity = np.array([[_affinity(track, number, fade, d) for d in usable] for track in active])
            for row, column in zip(*linear_sum_assignment(-affinity), strict=True):
                if affinity[row, column] >= _MIN_AFFINITY:
                    active[row].add(number, usable[column])
                    taken.add(int(column))
        for column, detection in enumerate(usable):
            if column not in taken:
                started = _Open()
                started.add(number, detection)
                tracks.append(started)
                active.append(started)
    shortest = min(max(2, round(shortest_s * fps)), max(1, len(frames) // 2))
    real = _without_copies([track for track in tracks if len(track.frames) >= shortest])
    real.sort(key=lambda t: (t.frames[0], float(_middle(t.detections[0])[0])))
    return [
        PersonTrack(f"p{i}", np.array(t.frames), tuple(replace(d, number=i) for d in t.detections))
        for i, t in enumerate(real)
    ]


def select_tracks(tracks: list[PersonTrack], person: str) -> list[PersonTrack]:
    """The people asked for: ``all``, ``largest``, ``largest:N`` (by area of the boxes, summed over the clip), or the
    number of an id.
    """
    number, count = split_person(person)
    if number is not None:
        return [track for track in tracks if track.id == f"p{number}"]
    return tracks if count is None else largest(tracks, count, lambda track: sum(map(box_area, track.detections)))


def similarity(
    box_a: np.ndarray, points_a: np.ndarray, box_b: np.ndarray, points_b: np.ndarray, seen: np.ndarray
) -> float:
    """0 to 1: mean of the overlap of two boxes (4,) and of how close two sets of keypoints (K, 2) are."""
    low, high = np.maximum(box_a[:2], box_b[:2]), np.minimum(box_a[2:], box_b[2:])
    common = float(np.prod(np.clip(high - low, 0, None)))
    areas = [float(np.prod(np.clip(box[2:] - box[:2], 1e-6, None))) for box in (box_a, box_b)]
    iou = common / (sum(areas) - common)
    size = max(np.sqrt(max(areas)), 1e-6)
    if not seen.any():
        return iou
    distance = np.linalg.norm(points_a[seen] - points_b[seen], axis=1) / size
    return 0.5 * iou + 0.5 * float(np.exp(-0.5 * (distance / (2 * _OKS_SIGMA)) ** 2).mean())


def _affinity(track: _Open, frame: int, fade: float, detection: Detection) -> float:
    last = track.detections[-1]
    box, points = track.predicted(frame, fade)
    if last.keypoint_set != detection.keypoint_set:
        return similarity(box, points, detection.box_px, points, np.zeros(len(points), bool))
    seen = _seen(last) & _seen(detection)
    return similarity(box, points, detection.box_px, detection.keypoints_px, seen)


def _seen(detection: Detection) -> np.ndarray:
    return (detection.confidence >= _SEEN) & np.isfinite(detection.keypoints_px).all(1)


def _middle(detection: Detection) -> np.ndarray:
    return (detection.box_px[:2] + detection.box_px[2:]) / 2


def _once(detections: list[Detection]) -> list[Detection]:
    """Detections without those that repeat a surer one of the same frame."""
    kept: list[Detection] = []
    for detection in sorted(detections, key=lambda d: -d.score):
        if all(_alike(detection, other) < _REPEATED for other in kept):
            kept.append(detection)
    return [d for d in detections if any(d is other for other in kept)]


def _without_copies(tracks: list[_Open]) -> list[_Open]:
    """Tracks without those that lie on a longer one for most of their time: second detections of one person."""
    kept: list[_Open] = []
    for track in sorted(tracks, key=lambda t: (-len(t.frames), t.frames[0])):
        copy = False
        for other in kept:
            index = {frame: i for i, frame in enumerate(other.frames)}
            shared = [(i, index[f]) for i, f in enumerate(track.frames) if f in index]
            if len(shared) < 0.5 * len(track.frames):
                continue
            alike = [_alike(track.detections[i], other.detections[j]) for i, j in shared]
            copy |= float(np.median(alike)) > _SAME_PERSON
        if not copy:
            kept.append(track)
    return kept


def _alike(a: Detection, b: Detection) -> float:
    if a.keypoint_set != b.keypoint_set:
        return 0.0
    return similarity(a.box_px, a.keypoints_px, b.box_px, b.keypoints_px, _seen(a) & _seen(b))
