"""The chain for a clip: frames, people through time, the lifter's 3D joints, one body per track fitted to it all."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from dsr.errors import DetectionError, DsrError, FittingError, ImageError, UsageError
from dsr.limits import Limits, check_limits, working_on
from dsr.options import FitOptions, SequenceOptions, body_to_load, check_lifter, check_options, is_expressive
from dsr.pipeline.chain import (
    StageTimer,
    body_record,
    find_camera,
    nobody_reason,
    scene_camera,
    set_nobody,
    whole_chain,
)
from dsr.pipeline.clip_expression import ClipExpressions
from dsr.pipeline.clip_lifter import ClipLifter
from dsr.pipeline.clip_reader import ClipReader, open_clip
from dsr.pipeline.expression_reader import ExpressionReader
from dsr.pipeline.inputs import Clip, find_clips
from dsr.pipeline.people_finder import PeopleFinder, others_seen
from dsr.results.clip import SequenceResult, TrackResult

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.camera import PictureCamera
    from dsr.fitting.lifted_joints import LiftedJoints
    from dsr.image import Photo
    from dsr.people import Detection
    from dsr.people.tracking import PersonTrack

OnFrame = Callable[[int, int], None]
"""Called with how many frames are done and how many there may be (0: nobody knows)."""


def check_sequence_options(options: FitOptions, sequence: SequenceOptions) -> None:
    """Refuse options that cannot work for clips, before any is opened.

    Raises:
        UsageError: naming the option, the value and what is allowed.
    """
    from dsr.image.video import PLAUSIBLE_FPS

    check_options(options)
    if sequence.fps is not None and not PLAUSIBLE_FPS[0] <= sequence.fps <= PLAUSIBLE_FPS[1]:
        low, high = PLAUSIBLE_FPS
        raise UsageError(f"--fps {sequence.fps:g}: use a number from {low:g} to {high:g}.")
    if options.regressor != "default":
        raise UsageError("--regressor is for single pictures; a clip is fitted from keypoints and --lifter.")
    if options.refine in ("semantic", "all"):
        raise UsageError(f"--refine {options.refine} is for single pictures; use none or joints for a clip.")
    if options.boxes is not None:
        raise UsageError("--boxes is for single pictures; give --keypoints for a clip, or let the detector look.")
    if not math.isfinite(sequence.max_gap_s) or not 0 <= sequence.max_gap_s <= 60:
        raise UsageError(f"--max-gap {sequence.max_gap_s:g}: use a number from 0 to 60 seconds.")
    check_lifter(sequence.lifter)


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
        limits: what one clip may cost, :class:`~dsr.limits.Limits` () by default.

    Raises:
        UsageError: for options that cannot work.
    """

    def __init__(
        self,
        options: FitOptions,
        sequence: SequenceOptions,
        threads: int | None = None,
        *,
        limits: Limits | None = None,
    ) -> None:
        check_sequence_options(options, sequence)
        self._limits = limits or Limits()
        check_limits(self._limits)
        self.options, self.sequence = options, sequence
        self._people_finder = PeopleFinder(options, threads)
        self._lifter = ClipLifter(sequence.lifter)
        self._expression = ExpressionReader(options, threads) if is_expressive(options) else None
        self._body: Body | None = None

    @property
    def body(self) -> Body:
        """The body layer, loaded at first use; tracks are fitted on the processor."""
        if self._body is None:
            from dsr.body import load_body

            self._body = load_body(body_to_load(self.options))
        return self._body

    def prepare(self) -> None:
        """Load everything now, so that a missing model is an error before the first clip.

        Raises:
            BodyError: if the body model cannot be read.
            CheckpointError: if the lifter's file cannot be used.
            MissingExtraError: if the detector's packages are missing.
        """
        _ = self.body
        self._lifter.load()
        self._people_finder.prepare()
        if self._expression is not None:
            self._expression.prepare(self.body)

    def fit(self, clip: Clip, on_frame: OnFrame | None = None) -> SequenceResult:
        """Fit one clip.

        Args:
            clip: the clip.
            on_frame: called after every frame that was looked at; what it raises ends the fit.

        Returns:
            A result; problems with the clip are in its ``status`` and ``message``, never raised.
        """
        result = SequenceResult(status="ok", input_path=os.fspath(clip.path), seed=self.options.seed)
        with working_on(clip.path, self._limits), whole_chain(result):
            self._fit(clip, result, on_frame)
        return result

    def _fit(self, clip: Clip, result: SequenceResult, on_frame: OnFrame | None) -> None:
        from dsr.fitting import find_clip_floor
        from dsr.people.keypoint_sets import in_one_set
        from dsr.people.steady_sides import steady_sides
        from dsr.people.tracking import select_tracks, track_people

        options = self.options
        timer = StageTimer(result.timing_s)
        reader = open_clip(clip, self.sequence.fps)
        result.image_size, result.fps = reader.size, reader.fps
        camera = find_camera(result, reader.first, options)
        expressions = None if self._expression is None else ClipExpressions(options, self._expression)
        frames = self._people(reader, result, on_frame, expressions)
        result.K = np.tile(camera.K, (len(frames), 1, 1))
        result.input_sha256 = reader.sha256
        result.warnings = _first_of(reader.problems)
        result.body = body_record(self.body.asset)
        if frames and not result.frames_read.any():
            raise ImageError(f"{clip.path}: not one frame can be read.")
        timer.lap("people")
        scored = in_one_set([[d for d in people if d.score >= options.min_score] for people in frames])
        tracks = select_tracks(track_people(scored, reader.fps, self.sequence.max_gap_s), options.person)
        tracks = [steady_sides(track, reader.fps) for track in tracks]
        if not tracks:
            set_nobody(result, nobody_reason(result, [d.score for people in frames for d in people], options))
            return
        camera = scene_camera(result, camera, reader.first, next(people for people in frames if people))
        result.K = np.tile(camera.K, (len(frames), 1, 1))
        self._lifter.load()
        result.lifter = dict(self._lifter.record)
        if self._lifter.warning:
            result.warnings.append(self._lifter.warning)
        for track in tracks:
            lifted = self._lift(track, result)
            timer.lap("lift")
            person = self._track(track, camera, lifted, result, expressions)
            if person is not None:
                result.people.append(person)
            timer.lap("fit")
        if result.people and camera.gravity is not None:
            result.floor = find_clip_floor(result.people, camera.gravity)
        if not result.people:
            set_nobody(result, "people were found, but never enough of them to fit a body to.")

    def _people(
        self,
        reader: ClipReader,
        result: SequenceResult,
        on_frame: OnFrame | None,
        expressions: ClipExpressions | None = None,
    ) -> list[list[Detection]]:
        """The detections of every frame, from the first to the last; fills in the frames of the result."""
        from dsr.people import load_detections
        from dsr.people.follower import PeopleFollower

        keypoints = self.options.keypoints
        follower = None
        if keypoints is None:
            follower = PeopleFollower(self._people_finder.detector, reader.fps, self.options.quality == "best")
        frames: list[list[Detection]] = []
        times: list[float] = []
        read: list[bool] = []
        missing = 0
        left_out: list[str] = []
        for done, (number, seconds, photo) in enumerate(reader.frames(), 1):
            while len(frames) < number:  # no frame came for this moment
                frames.append([])
                times.append(len(times) / reader.fps)
                read.append(False)
            people: list[Detection] = []
            if follower is not None:
                people = follower.detect(photo)
            elif photo is not None and keypoints is not None:
                try:
                    people = load_detections(keypoints, photo, kind="keypoints", warnings=left_out)
                    people = self._with_landmarks(photo, people)
                except DetectionError as error:
                    missing += 1
                    if missing == 1:
                        reader.problems.append(f"Keypoints of some frames cannot be read; the first: {error}")
            if expressions is not None and photo is not None:
                expressions.look(photo, people)
            frames.append(people)
            times.append(seconds)
            read.append(photo is not None)
            if on_frame is not None:
                on_frame(done, reader.expected)
        if keypoints is not None and self._people_finder.has_detector:
            reader.problems += others_seen(
                keypoints, [person for people in frames for person in people], "these frames"
            )
        if left_out:
            more = f" There are {len(left_out) - 1} more like this." if len(left_out) > 1 else ""
            reader.problems.append(left_out[0] + more)
        if missing and missing == sum(read):
            raise DetectionError(reader.problems[-1])
        result.frame_indices = np.arange(len(frames))
        result.frame_times_s = np.array(times)
        result.frames_read = np.array(read, bool)
        return frames

    def _with_landmarks(self, photo: Photo, people: list[Detection]) -> list[Detection]:
        """People from keypoint files with the landmark model's 3D landmarks, where it is installed and sees them."""
        if not self._people_finder.has_detector:
            return people
        detector = self._people_finder.detector
        completed = iter(detector.complete_nearby(photo, [person for person in people if person.world_m is None]))
        return [next(completed) if person.world_m is None else person for person in people]

    def _lift(self, track: PersonTrack, result: SequenceResult) -> LiftedJoints | None:
        """The lifter's joints of a track; None without a lifter, or (with a warning) where it cannot lift it."""
        try:
            return self._lifter.lift(track, result.image_size, result.fps)
        except DsrError as error:
            result.warnings.append(f"{track.id} was fitted without the lifter: {error}")
            return None

    def _track(
        self,
        track: PersonTrack,
        camera: PictureCamera,
        lifted: LiftedJoints | None,
        result: SequenceResult,
        expressions: ClipExpressions | None,
    ) -> TrackResult | None:
        """The body of a track; None (and a warning) where it cannot be fitted."""
        from dsr.fitting.track import fit_track
        from dsr.fitting.track_result import describe_track

        first, count = int(track.frames[0]), int(track.frames[-1] - track.frames[0]) + 1
        detections: list[Detection | None] = [None] * count
        for frame, detection in zip(track.frames, track.detections, strict=True):
            detections[int(frame) - first] = detection
        try:
            fit = fit_track(detections, camera, self.body, self.options, result.fps, lifted)
        except FittingError as error:
            result.warnings.append(f"{track.id} was left out: {error}")
            return None
        person = describe_track(track, detections, fit, camera, self.body)
        return person if expressions is None else expressions.add(person, detections, camera, self.body, result.fps)


def _first_of(problems: list[str]) -> list[str]:
    """Sentences, the first few of many."""
    return problems[:5] + ([f"... and {len(problems) - 5} more like these."] if len(problems) > 5 else [])
