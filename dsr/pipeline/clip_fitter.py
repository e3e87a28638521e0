"""The chain for a clip: frames, people through time, the lifter's 3D joints, one body per person fitted to it all."""

from __future__ import annotations

import logging
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.errors import DetectionError, DsrError, ImageError, UsageError
from dsr.options import FitOptions, check_options, split_person
from dsr.pipeline.clips import Clip, ClipReader, Listener, check_fps, find_clips, open_clip
from dsr.results.clip import SequenceResult, TrackResult

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.fitting.lifted import Lifted
    from dsr.people import Detection
    from dsr.people.tracking import PersonTrack

_log = logging.getLogger(__name__)
_UNTOLD_ERROR_MM = 70.0
"""Error of a lifter whose file does not tell it."""


@dataclass(frozen=True)
class SequenceOptions:
    """What is asked of clips beyond :class:`~dsr.options.FitOptions`.

    Attributes:
        fps: frames per second instead of what the file says; 30 for a folder of frames where not given.
        lifter: ``shipped``, ``none``, or the path of a lifter's weights.
        max_gap_s: seconds for which somebody may be hidden and still be the same person.
    """

    fps: float | None = None
    lifter: str = "shipped"
    max_gap_s: float = 1.0

    def record(self) -> dict[str, Any]:
        """Plain JSON values, compared when a run is resumed."""
        lifter = self.lifter
        if lifter not in ("shipped", "none"):
            lifter = str(Path(lifter).expanduser().absolute())
        return {**asdict(self), "lifter": lifter}


def check_sequence_options(options: FitOptions, sequence: SequenceOptions) -> None:
    """Refuse options that cannot work for clips, before any is opened.

    Raises:
        UsageError: naming the option, the value and what is allowed.
    """
    check_options(options)
    check_fps(sequence.fps)
    if options.regressor != "default":
        raise UsageError("--regressor is for single pictures; a clip is fitted from keypoints and --lifter.")
    if options.refine in ("semantic", "all"):
        raise UsageError(f"--refine {options.refine} is for single pictures; use none or joints for a clip.")
    if options.boxes is not None:
        raise UsageError("--boxes is for single pictures; give --keypoints for a clip, or let the detector look.")
    if not math.isfinite(sequence.max_gap_s) or not 0 <= sequence.max_gap_s <= 60:
        raise UsageError(f"--max-gap {sequence.max_gap_s:g}: use a number from 0 to 60 seconds.")
    if sequence.lifter not in ("shipped", "none") and not Path(sequence.lifter).expanduser().is_file():
        raise UsageError(f"--lifter {sequence.lifter}: use shipped, none, or the file of a lifter's weights.")


def fit_sequence(
    path: str | os.PathLike[str],
    options: FitOptions | None = None,
    sequence: SequenceOptions | None = None,
) -> SequenceResult:
    """Fit everybody in a clip: one shape per person, poses smooth in time, feet that do not slide.

    Args:
        path: a video file (needs the ``video`` extra) or a folder of frames.
        options: what to do, :class:`~dsr.options.FitOptions` () by default.
        sequence: what to do with clips, :class:`SequenceOptions` () by default.

    Returns:
        The result; where the clip cannot be used its ``status`` and ``message`` say why.

    Raises:
        UsageError: for options that cannot work or a path that does not exist.
        BodyError: if the body model cannot be read.

    Example:
        >>> result = dsr.fit_sequence("walk.mp4")  # doctest: +SKIP
        >>> result.people[0].global_orient.shape  # doctest: +SKIP
        (150, 3)
    """
    clips = find_clips([path])
    if len(clips) != 1:
        raise UsageError(f"{path} is not one clip: give a video file or a folder of frames.")
    fitter = SequenceFitter(options or FitOptions(), sequence or SequenceOptions())
    fitter.prepare()
    return fitter.fit(clips[0])


class SequenceFitter:
    """Models loaded once, clips fitted one at a time.

    Args:
        options: what to do.
        sequence: what to do with clips.
        threads: threads of the detector.

    Raises:
        UsageError: for options that cannot work.
    """

    def __init__(self, options: FitOptions, sequence: SequenceOptions, threads: int | None = None) -> None:
        check_sequence_options(options, sequence)
        self.options, self.sequence = options, sequence
        self._threads = threads
        self._body: Body | None = None
        self._lifter: Any = None
        self._lifter_record: dict[str, str] = {"name": "none"}
        self._lifter_warning = ""

    @property
    def body(self) -> Body:
        """The body layer, loaded at first use; tracks are fitted on the processor."""
        if self._body is None:
            from dsr.body import load_body

            self._body = load_body(self.options.body)
        return self._body

    def prepare(self) -> None:
        """Load everything now, so that a missing model is an error before the first clip.

        Raises:
            BodyError: if the body model cannot be read.
            CheckpointError: if the lifter's file cannot be used.
            MissingExtraError: if the detector's packages are missing.
        """
        _ = self.body
        self._load_lifter()
        if self.options.keypoints is None:
            self._detector()

    def fit(self, clip: Clip, listener: Listener | None = None) -> SequenceResult:
        """Fit one clip.

        Args:
            clip: the clip.
            listener: told after every frame that was looked at.

        Returns:
            A result; problems with the clip are in its ``status`` and ``message``, never raised.
        """
        result = SequenceResult(status="ok", input_path=os.fspath(clip.path), seed=self.options.seed)
        started = time.perf_counter()
        try:
            self._fit(clip, result, listener)
        except ImageError as error:
            result.status, result.message, result.people = error.status, str(error), []
        except DsrError as error:
            result.status, result.message, result.people = "failed", str(error), []
        except Exception as error:
            _log.exception("unexpected error with %s", clip.path)
            result.status, result.people = "failed", []
            result.message = (
                f"{clip.path}: unexpected {type(error).__name__}: {error}. This is a defect; please report it."
            )
        result.timing_s["total"] = time.perf_counter() - started
        return result

    def _fit(self, clip: Clip, result: SequenceResult, listener: Listener | None) -> None:
        from dsr.camera import intrinsics_matrix
        from dsr.image import resolve_focal
        from dsr.people.keypoint_sets import in_one_set
        from dsr.people.tracking import select_tracks, track_people

        options = self.options
        clock = time.perf_counter()
        reader = open_clip(clip, self.sequence.fps)
        result.image_size, result.fps = reader.size, reader.fps
        focal = resolve_focal(reader.first, focal=options.focal, focal35=options.focal35, fov=options.fov)
        result.focal_source, result.focal_detail = focal.source, focal.detail
        K = np.asarray(intrinsics_matrix(focal.focal_px, *reader.size, focal.principal_px), np.float64).reshape(3, 3)
        found = self._people(reader, result, listener)
        result.K = np.tile(K, (len(found), 1, 1))
        result.input_sha256 = reader.sha256
        result.warnings = [*_brief(reader.problems)]
        asset = self.body.asset
        result.body = {"name": asset.name, "licence": asset.licence, "sha256": asset.sha256}
        if len(found) and not result.frames_read.any():
            raise ImageError(f"{clip.path}: not one frame can be read.")
        clock = _lap(result, "people", clock)
        sure = in_one_set([[d for d in people if d.score >= options.min_score] for people in found])
        tracks = select_tracks(track_people(sure, reader.fps, self.sequence.max_gap_s), options.person)
        if not tracks:
            result.status = "no_person"
            result.message = f"{clip.path}: {_nobody(found, options)}"
            return
        lifter = self._load_lifter()
        result.lifter = dict(self._lifter_record)
        if self._lifter_warning:
            result.warnings.append(self._lifter_warning)
        for track in tracks:
            lifted = None if lifter is None else self._lift(lifter, track, reader.size, result)
            clock = _lap(result, "lift", clock)
            person = self._track(track, K, reader, lifted, result)
            if person is not None:
                result.people.append(person)
            clock = _lap(result, "fit", clock)
        if not result.people:
            result.status = "no_person"
            result.message = f"{clip.path}: people were found, but never enough of them to fit a body to."

    def _people(self, reader: ClipReader, result: SequenceResult, listener: Listener | None) -> list[list[Detection]]:
        """The detections of every frame, from the first to the last; fills in the frames of the result."""
        from dsr.people import load_detections
        from dsr.people.follower import PeopleFollower

        source = self.options.keypoints
        follower = None
        if source is None:
            follower = PeopleFollower(self._detector(), reader.fps, self.options.quality == "best")
        found: list[list[Detection]] = []
        times: list[float] = []
        read: list[bool] = []
        missing = 0
        for done, (number, seconds, photo) in enumerate(reader.frames(), 1):
            while len(found) < number:  # no frame came for this moment
                found.append([])
                times.append(len(times) / reader.fps)
                read.append(False)
            people: list[Detection] = []
            if follower is not None:
                people = follower.detect(photo)
            elif photo is not None and source is not None:
                try:
                    people = load_detections(source, photo, kind="keypoints")
                except DetectionError as error:
                    missing += 1
                    if missing == 1:
                        reader.problems.append(f"Keypoints of some frames cannot be read; the first: {error}")
            found.append(people)
            times.append(seconds)
            read.append(photo is not None)
            if listener is not None:
                listener(done, reader.expected)
        if missing and missing == sum(read):
            raise DetectionError(reader.problems[-1])
        result.frame_indices = np.arange(len(found))
        result.frame_times_s = np.array(times)
        result.frames_read = np.array(read, bool)
        return found

    def _detector(self) -> Any:
        if not hasattr(self, "_own_detector"):
            from dsr.people import PeopleDetector

            self._own_detector = PeopleDetector(self.options.quality, self._threads)
        return self._own_detector

    def _load_lifter(self) -> Any:
        """The lifter, or None."""
        if self.sequence.lifter == "none" or self._lifter is not None or self._lifter_warning:
            return self._lifter
        from dsr.errors import CheckpointError
        from dsr.lifting.shipped import load_lifter, load_shipped

        if self.sequence.lifter != "shipped":
            path = Path(self.sequence.lifter).expanduser()
            self._lifter = load_lifter(path)
            self._lifter_record = {"name": str(path)}
            return self._lifter
        try:
            self._lifter = load_shipped("temporal")
            self._lifter_record = {"name": "shipped"}
        except CheckpointError as error:
            self._lifter_warning = f"Fitted without a lifter, from the detector's own 3D landmarks: {error}"
        return self._lifter

    def _lift(self, lifter: Any, track: PersonTrack, size: tuple[int, int], result: SequenceResult) -> Lifted | None:
        """The lifter's joints for every frame of a track; None (and a warning) where it cannot lift it."""
        from dsr.fitting.lifted import Lifted
        from dsr.fitting.track_fit import cleaned
        from dsr.lifting import lift_sequence
        from dsr.tracks import detector_to_h36m17

        first, count = int(track.frames[0]), int(track.frames[-1] - track.frames[0]) + 1
        points = np.full((count, 17, 3), np.nan)
        for frame, detection in zip(track.frames, track.detections, strict=True):
            usable = cleaned(detection)
            if usable is not None:
                whole = np.c_[usable.keypoints_px, usable.confidence]
                whole[usable.confidence <= 0] = np.nan  # other programs write what they do not see as (0, 0)
                points[int(frame) - first] = detector_to_h36m17(whole, usable.keypoint_set)
        try:
            lifted = lift_sequence(lifter, points, size, fps=result.fps)
        except DsrError as error:
            result.warnings.append(f"{track.id} was fitted without the lifter: {error}")
            return None
        unsure = lifted.uncertainty_mm
        if getattr(lifter, "joint_error_mm", None) is None:  # a mirrored copy agreeing does not make it right
            unsure = np.hypot(unsure, _UNTOLD_ERROR_MM)
        return Lifted(lifted.joints_m, unsure)

    def _track(
        self, track: PersonTrack, K: np.ndarray, reader: ClipReader, lifted: Lifted | None, result: SequenceResult
    ) -> TrackResult | None:
        from dsr.errors import FittingError
        from dsr.fitting.track_fit import fit_track
        from dsr.fitting.track_result import describe_track

        first, count = int(track.frames[0]), int(track.frames[-1] - track.frames[0]) + 1
        detections: list[Detection | None] = [None] * count
        for frame, detection in zip(track.frames, track.detections, strict=True):
            detections[int(frame) - first] = detection
        try:
            fit = fit_track(detections, K, self.body, self.options, reader.size, reader.fps, lifted)
        except FittingError as error:
            result.warnings.append(f"{track.id} was left out: {error}")
            return None
        return describe_track(track, detections, fit, K, self.body)


def _nobody(found: list[list[Detection]], options: FitOptions) -> str:
    scores = [d.score for people in found for d in people]
    if not scores:
        return "nobody was found in any frame."
    if max(scores) < options.min_score:
        return f"people were found, but with scores below --min-score {options.min_score:g}."
    if split_person(options.person)[0] is not None:
        return f"people were found, but nobody is number {options.person}: --person counts from the first to appear."
    return "people were found only for moments too short to follow them."


def _brief(problems: list[str]) -> list[str]:
    """Sentences, the first few of many."""
    return problems[:5] + ([f"... and {len(problems) - 5} more like these."] if len(problems) > 5 else [])


def _lap(result: SequenceResult, stage: str, since: float) -> float:
    now = time.perf_counter()
    result.timing_s[stage] = result.timing_s.get(stage, 0.0) + now - since
    return now
