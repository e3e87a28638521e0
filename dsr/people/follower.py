"""Finding people frame by frame at a fraction of the cost: look everywhere now and then, follow them in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr.image.types import Photo
from dsr.people.detector import PeopleDetector
from dsr.people.types import Detection, PersonMask

LOOKS_PER_S = 3.0
"""How often the whole picture is searched, per second of the clip."""
_LOST = 0.7  # score below which somebody who is followed may be gone
_NEAR = 0.15  # share of a box that others may cover before following them one by one is no longer safe
_MASK_SIDE = 48  # pixels; the default network sees 24 cells
_FASTEST = 0.1  # sides of the box a frame


class PeopleFollower:
    """A detector for the frames of one clip, in order.

    The whole picture is searched a few times a second, and whenever somebody seems lost or people come close to each
    other; in between the landmarks of the people known are found where they should be by now.

    Args:
        detector: finds people.
        fps: frames per second.
        always: search every frame.
    """

    def __init__(self, detector: PeopleDetector, fps: float, always: bool = False) -> None:
        self._detector = detector
        self._every = 1 if always else max(1, round(fps / LOOKS_PER_S))
        self._since = self._every
        self._known: list[Detection] = []
        self._before: list[Detection] = []

    def detect(self, photo: Photo | None) -> list[Detection]:
        """Everybody in the next frame, left to right; nobody where the frame is damaged."""
        if photo is None:
            self._since = self._every
            return []
        self._since += 1
        detections: list[Detection] | None = None
        if self._since < self._every and self._known:
            detections = self._follow(photo)
        if detections is None:
            detections = self._detector.detect(photo)
            self._since = 0
        detections = [replace(d, mask=None if d.mask is None else _small(d.mask)) for d in detections]
        self._before, self._known = self._known, detections
        return detections

    def _follow(self, photo: Photo) -> list[Detection] | None:
        """The people known, where they should be now; None where that is not safe."""
        expected = self._known
        if len(self._before) == len(self._known):  # both are in order from left to right
            expected = [_moved(now, before) for now, before in zip(self._known, self._before, strict=True)]
        if _crowded(np.stack([d.box_px for d in expected])):
            return None
        detections = self._detector.follow(photo, expected)
        if any(d.score < _LOST for d in detections) or _crowded(np.stack([d.box_px for d in detections])):
            return None
        return detections


def _moved(now: Detection, before: Detection) -> Detection:
    """Somebody a frame later, if they go on as they did."""
    side = float((now.box_px[2:] - now.box_px[:2]).max())
    shift = np.clip(_middle(now) - _middle(before), -_FASTEST * side, _FASTEST * side)
    return replace(now, box_px=now.box_px + np.tile(shift, 2), keypoints_px=now.keypoints_px + shift)


def _small(mask: PersonMask) -> PersonMask:
    """A silhouette of 9 kilobytes at most: whole ones of a clip would not fit into memory."""
    from PIL import Image

    height, width = mask.probability.shape
    scale = min(1.0, _MASK_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(np.ascontiguousarray(mask.probability, np.float32), "F")
    return PersonMask(mask.box_px, np.asarray(picture.resize(size, Image.Resampling.BOX)))


def _middle(detection: Detection) -> np.ndarray:
    return (detection.box_px[:2] + detection.box_px[2:]) / 2


def _crowded(boxes: np.ndarray) -> bool:
    """Whether any two boxes (N, 4) overlap by more than a little."""
    for i in range(len(boxes)):
        low = np.maximum(boxes[i, :2], boxes[i + 1 :, :2])
        high = np.minimum(boxes[i, 2:], boxes[i + 1 :, 2:])
        common = np.clip(high - low, 0, None).prod(1)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        if np.any(common > _NEAR * np.minimum(area[i], area[i + 1 :])):
            return True
    return False
