"""What the chains of a picture and of a clip share: timed stages, errors as status, the camera, nobody to fit."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dsr.devices import one_numpy_thread
from dsr.errors import DsrError, error_sentence
from dsr.limits import check_time
from dsr.options import FitOptions, split_person
from dsr.results.base import InputResult
from dsr.results.clip import SequenceResult

if TYPE_CHECKING:
    from dsr.body import BodyAsset
    from dsr.camera import PictureCamera
    from dsr.image import Photo
    from dsr.people import Detection
    from dsr.results.floor import Floor
    from dsr.results.picture import PersonResult

_log = logging.getLogger(__name__)

_FOCAL_KNOWN = {"sidecar": 0.2, "exif": 0.2, "name": 0.2}
"""Logarithm by which a focal length may be wrong that is written down; what is typed may be a slip."""


class StageTimer:
    """Seconds per stage, added up in a result's ``timing_s``.

    Args:
        timing_s: where they go.
        on_stage: called with the name of every stage that is finished.
    """

    def __init__(self, timing_s: dict[str, float], on_stage: Callable[[str], None] | None = None) -> None:
        self._timing_s, self._on_stage = timing_s, on_stage
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """The time since the last stage was this one's.

        Raises:
            TimeLimitError: if the input took too long.
        """
        now = time.perf_counter()
        self._timing_s[stage] = self._timing_s.get(stage, 0.0) + now - self._last
        self._last = now
        if self._on_stage is not None:
            self._on_stage(stage)
        check_time()


@contextmanager
def errors_as_status(result: InputResult, doing: str = "") -> Iterator[None]:
    """Whatever goes wrong inside becomes the result's status and message; one bad input never stops the rest.

    Args:
        result: of the input at work.
        doing: what is done with it, for the message about an error that nobody expected: `` while writing``.
    """
    try:
        yield
    except DsrError as error:
        result.status = getattr(error, "status", "failed")
        result.message = str(error)
    except (OSError, MemoryError) as error:
        result.status = "failed"
        result.message = f"{result.input_path}{doing}: {error_sentence(error)}"
    except Exception as error:
        _log.exception("unexpected error%s with %s", doing, result.input_path)
        result.status = "failed"
        result.message = (
            f"{result.input_path}: unexpected {type(error).__name__}{doing}: {error}. "
            "This is a defect; please report it."
        )


@contextmanager
def whole_chain(result: InputResult) -> Iterator[None]:
    """The chain of one input: its errors become the status, and whoever was fitted before is left out; timed."""
    started = time.perf_counter()
    with errors_as_status(result), one_numpy_thread():
        yield
    if result.status != "ok":
        result.people = []
    result.timing_s["total"] = time.perf_counter() - started


def find_camera(result: InputResult, photo: Photo, options: FitOptions) -> PictureCamera:
    """The camera of a photograph, or of all frames of a clip by its first; the result says where it comes from.

    Raises:
        CameraError: if a sidecar gives a value that no photograph can have.
    """
    from dsr.camera import PictureCamera, intrinsics_matrix
    from dsr.image import resolve_focal

    focal = resolve_focal(photo, focal=options.focal, focal35=options.focal35, fov=options.fov)
    result.focal_source, result.focal_detail = focal.source, focal.detail
    K = intrinsics_matrix(focal.focal_px, photo.width, photo.height, focal.principal_px)
    return PictureCamera(K.numpy(), (photo.width, photo.height))


def scene_camera(
    result: InputResult, camera: PictureCamera, photo: Photo, people: Sequence[Detection]
) -> PictureCamera:
    """The camera with which way was down, from the photograph's straight lines and everybody in it.

    Where nothing is known of the lens, the lines may tell its focal length, too; the result says so.
    """
    from dsr.camera.scene_lines import FOCAL_LOG, SceneLines
    from dsr.fitting import find_gravity
    from dsr.image.lines import straight_lines

    boxes = np.array([d.box_px for d in people]).reshape(-1, 4)
    lines_px = straight_lines(photo.rgb, photo.width)
    known = _FOCAL_KNOWN.get(result.focal_source, FOCAL_LOG)
    lines = SceneLines.of(lines_px, camera.K, camera.size, boxes, known)
    told = lines.focal() if result.focal_source == "default" else None
    if told is not None:
        ratio, sigma = told
        K = camera.K * [[ratio, 1.0, 1.0], [1.0, ratio, 1.0], [1.0, 1.0, 1.0]]
        across = 2 * math.degrees(math.atan(math.hypot(*camera.size) / 2 / K[0, 0]))
        result.focal_source = "lines"
        result.focal_detail = f"straight lines at right angles: {across:.0f} degrees across, give or take {sigma:.0%}"
        camera = replace(camera, K=K)
        lines = SceneLines.of(lines_px, K, camera.size, boxes, sigma)
    return replace(camera, gravity=find_gravity(people, camera, lines))


def floor_of(
    people: Sequence[PersonResult], detections: Sequence[Detection], camera: PictureCamera, asset: BodyAsset
) -> Floor | None:
    """The floor of fitted people and which way is up; None where the camera does not know."""
    from dsr.fitting import find_floor, find_stances

    if camera.gravity is None:
        return None
    return find_floor(people, find_stances(detections, camera, camera.gravity), camera.gravity, asset)


def body_record(asset: BodyAsset) -> dict[str, str]:
    """What a result says of the body it was fitted with."""
    return {"name": asset.name, "licence": asset.licence, "sha256": asset.sha256}


def set_nobody(result: InputResult, reason: str) -> None:
    """Make a result one in which there is nobody to fit; that is no failure."""
    result.status, result.message = "no_person", f"{result.input_path}: {reason}"


def nobody_reason(result: InputResult, scores: Sequence[float], options: FitOptions) -> str:
    """Why there is nobody to fit: nobody was found, or nobody of those found was asked for.

    Args:
        result: of the picture or clip.
        scores: of everybody who was found.
        options: who was asked for.
    """
    clip = isinstance(result, SequenceResult)
    if not scores:
        return f"nobody was found in {'any frame' if clip else 'the picture'}."
    people = "people were" if clip else "1 person was" if len(scores) == 1 else f"{len(scores)} people were"
    if max(scores) < options.min_score:
        return f"{people} found, {'but ' if clip else ''}with scores below --min-score {options.min_score:g}."
    if split_person(options.person)[0] is not None:
        first = "the first to appear" if clip else "the left, starting at 0"
        return f"{people} found, but nobody is number {options.person}: --person counts from {first}."
    return "people were found only for moments too short to follow them."
