"""The lifter of a clip: which file it comes from, and a track's 3D joints from it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.errors import CheckpointError
from dsr.files import expand_user, weights_sha256

if TYPE_CHECKING:
    from dsr.fitting.lifted_joints import LiftedJoints
    from dsr.people.tracking import PersonTrack

_DEFAULT_ERROR_MM = 70.0
"""Error of a lifter whose file does not say it."""


def lifter_file(name: str) -> Path | None:
    """The file of ``SequenceOptions.lifter``; None for ``none``."""
    if name == "none":
        return None
    if name != "shipped":
        return expand_user(name)
    from dsr.checkpoints import shipped_file

    return shipped_file("lifter_temporal.safetensors")


def lifter_record(name: str) -> dict[str, str]:
    """What ``SequenceResult.lifter`` says of a lifter: ``name``, and ``sha256`` of its file."""
    file = lifter_file(name)
    if file is None:
        return {"name": "none"}
    return {"name": name if name == "shipped" else str(file), "sha256": weights_sha256(file)}


class ClipLifter:
    """A lifter that is loaded once; without one, tracks are fitted from the detector's own 3D landmarks.

    Args:
        name: ``shipped``, ``none``, or the path of a lifter's weights.

    Attributes:
        record: as :func:`lifter_record` gives it; ``none`` where the shipped file is missing.
        warning: a sentence where the shipped file is missing, else "".
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._model: Any = None
        self._loaded = False
        self._lock = threading.Lock()
        self.record: dict[str, str] = {"name": "none"}
        self.warning = ""

    def load(self) -> None:
        """Load the weights, unless that is done.

        Raises:
            CheckpointError: if the file that was named cannot be used.
        """
        with self._lock:
            if not self._loaded:
                self._load()
                self._loaded = True

    def _load(self) -> None:
        from dsr.lifting.shipped import load_lifter, load_shipped

        if self._name == "none":
            return
        record = lifter_record(self._name)
        if self._name == "shipped":
            try:
                self._model = load_shipped("temporal")
            except CheckpointError as error:
                self.warning = f"Fitted without a lifter, from the detector's own 3D landmarks: {error}"
                return
        else:
            self._model = load_lifter(expand_user(self._name))
        self.record = record

    def lift(self, track: PersonTrack, image_size: tuple[int, int], fps: float) -> LiftedJoints | None:
        """The lifter's joints for every frame of a track, or None without a lifter.

        Args:
            track: the person.
            image_size: width and height of the full, upright picture, pixels.
            fps: frames per second of the clip.

        Raises:
            DsrError: if it cannot lift this track.
        """
        from dsr.fitting.lifted_joints import LiftedJoints
        from dsr.fitting.track import usable_detection
        from dsr.lifting import lift_sequence
        from dsr.tracks import detector_to_h36m17

        self.load()
        if self._model is None:
            return None
        first, count = int(track.frames[0]), int(track.frames[-1] - track.frames[0]) + 1
        points = np.full((count, 17, 3), np.nan)
        for frame, detection in zip(track.frames, track.detections, strict=True):
            usable = usable_detection(detection)
            if usable is not None:
                keypoints = np.c_[usable.keypoints_px, usable.confidence]
                keypoints[usable.confidence <= 0] = np.nan  # other programs write what they do not see as (0, 0)
                points[int(frame) - first] = detector_to_h36m17(keypoints, usable.keypoint_set)
        lifted = lift_sequence(self._model, points, image_size, fps=fps)
        uncertainty = lifted.uncertainty_mm
        if getattr(self._model, "joint_error_mm", None) is None:  # a mirrored copy agreeing does not make it right
            uncertainty = np.hypot(uncertainty, _DEFAULT_ERROR_MM)
        return LiftedJoints(lifted.joints_m, uncertainty)
