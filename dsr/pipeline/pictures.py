"""The chain for one picture or many: read, find people, camera, predict, fit. One bad picture never stops the rest."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dsr.devices import choose_device
from dsr.errors import DsrError, ImageError, UsageError
from dsr.options import FitOptions, check_options
from dsr.results.picture import FitResult, PersonResult

if TYPE_CHECKING:
    import numpy as np

    from dsr.body import Body
    from dsr.body.transfer import PosedBody
    from dsr.image import Photo
    from dsr.people import Detection
    from dsr.regressors.photo import PhotoRegressor

_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


def fit_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    options: FitOptions | None = None,
    *,
    jobs: int = 0,
    keep_pictures: bool = False,
    keep_stages: bool = False,
) -> Iterator[FitResult]:
    """Fit every person in every picture.

    Args:
        paths: pictures, or folders whose pictures are taken by name; one path or many.
        options: what to do, :class:`FitOptions` () by default.
        jobs: pictures worked on at a time; 0 chooses by the processor. The results do not depend on it.
        keep_pictures: keep the upright picture in ``FitResult.overlay_rgb``.
        keep_stages: keep what led to the bodies in ``FitResult.detections`` and ``FitResult.unrefined``.

    Returns:
        One result per picture, in the order given, as they become ready. A picture that cannot be used gives a result
        whose ``status`` and ``message`` say why; nothing is raised for it.

    Raises:
        UsageError: for options that cannot work, or a path that does not exist; before the first result.
        BodyError: if the body model cannot be read.
        CheckpointError: if the network's weights cannot be used.

    Example:
        >>> for result in dsr.fit_images("photos/"):  # doctest: +SKIP
        ...     print(result.input_path, result.status, len(result.people))
    """
    from dsr.pipeline.inputs import find_inputs

    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    pictures = find_inputs(paths)
    jobs = check_jobs(jobs)
    fitter = Fitter(options or FitOptions(), keep_pictures=keep_pictures, keep_stages=keep_stages, jobs=jobs)
    fitter.prepare()

    def fit(picture: Any) -> FitResult:
        return fitter.problem(picture.path, picture.problem) if picture.problem else fitter.fit(picture.path)

    return ordered_map(fit, pictures, jobs)


class Fitter:
    """Models loaded once, pictures fitted one at a time; safe to call from several threads.

    Args:
        options: what to do.
        keep_pictures: keep the upright picture in ``FitResult.overlay_rgb``.
        keep_stages: keep what led to the bodies in ``FitResult.detections`` and ``FitResult.unrefined``.
        jobs: threads that will call :meth:`fit`; they share the cores. The results do not depend on it.

    Attributes:
        on_stage: called in the fitting thread with the name of every finished stage of a picture; what it raises ends
            the fit of that picture.

    Raises:
        UsageError: for options that cannot work.
    """

    def __init__(
        self, options: FitOptions, keep_pictures: bool = False, jobs: int = 1, keep_stages: bool = False
    ) -> None:
        check_options(options)
        self.options = options
        self.keep_pictures = keep_pictures
        self.keep_stages = keep_stages
        self.on_stage: Callable[[str], None] | None = None
        self._threads = max(1, min(4, _cores() // jobs))
        self._body: Body | None = None
        self._network: PhotoRegressor | None = None
        self._local = threading.local()
        self._lock = threading.Lock()

    @property
    def body(self) -> Body:
        """The body layer, loaded at first use, on the device wanted."""
        with self._lock:
            if self._body is None:
                from dsr.body import load_body

                # PersPose has 11 shape coefficients, of licensed bodies 10 are loaded otherwise
                betas = 11 if self.options.regressor.startswith("perspose:") else None
                self._body = load_body(self.options.body, num_betas=betas).to(choose_device(self.options.device))
            return self._body

    @property
    def regressor(self) -> PhotoRegressor | None:
        """The network that predicts bodies, loaded at first use; None where the detector's landmarks do."""
        if self.options.regressor == "default":
            return None
        body = self.body
        with self._lock:
            if self._network is None:
                from dsr.regressors.loading import load_regressor
                from dsr.regressors.photo import PhotoRegressor

                loaded = load_regressor(self.options.regressor, choose_device(self.options.device))
                mirror = {"on": True, "off": False}.get(self.options.mirror)
                self._network = PhotoRegressor(loaded, body, mirror)
            return self._network

    def prepare(self) -> None:
        """Load everything now, so that a missing model is an error before the first picture.

        Raises:
            BodyError: if the body model cannot be read.
            CheckpointError: if the network's weights cannot be used.
            UsageError: if the device wanted is not there.
        """
        _ = self.body, self.regressor
        if self.options.keypoints is None:
            self._detector()

    def fit(self, path: str | os.PathLike[str]) -> FitResult:
        """Fit one picture.

        Args:
            path: the picture.

        Returns:
            A result; problems with the picture are in its ``status`` and ``message``, never raised.
        """
        result = FitResult(status="ok", input_path=os.fspath(path), seed=self.options.seed)
        started = time.perf_counter()
        try:
            self._fit(Path(path), result)
        except ImageError as error:
            _fail(result, error.status, str(error))
        except DsrError as error:
            _fail(result, "failed", str(error))
        except Exception as error:
            _log.exception("unexpected error with %s", path)
            _fail(
                result,
                "failed",
                f"{path}: unexpected {type(error).__name__}: {error}. This is a defect; please report it.",
            )
        result.timing_s["total"] = time.perf_counter() - started
        return result

    def problem(self, path: str | os.PathLike[str], sentence: str) -> FitResult:
        """The result of an input that cannot even be opened."""
        return FitResult(status="unreadable", input_path=os.fspath(path), message=sentence, seed=self.options.seed)

    def _fit(self, path: Path, result: FitResult) -> None:
        from dsr.camera import intrinsics_matrix
        from dsr.image import read_photo, resolve_focal
        from dsr.people import select_people

        options = self.options
        clock = _Clock(result.timing_s, self.on_stage)
        photo = read_photo(path)
        result.input_sha256 = photo.sha256
        result.image_size = (photo.width, photo.height)
        result.upright_differs = photo.upright_differs
        result.warnings = list(photo.warnings)
        if self.keep_pictures:
            result.overlay_rgb = photo.rgb
        focal = resolve_focal(photo, focal=options.focal, focal35=options.focal35, fov=options.fov)
        result.focal_source, result.focal_detail = focal.source, focal.detail
        result.K = _as_numpy(intrinsics_matrix(focal.focal_px, photo.width, photo.height, focal.principal_px))
        clock.lap("read")

        found = self._people(photo)
        detections = select_people(found, options.person, options.min_score)
        clock.lap("people")
        asset = self.body.asset
        result.body = {"name": asset.name, "licence": asset.licence, "sha256": asset.sha256}
        if not detections:
            result.status = "no_person"
            result.message = f"{path}: {_nobody(found, options)}"
            return
        weak = sum(d.score < options.min_score for d in found)
        if weak:
            result.warnings.append(f"{weak} of {len(found)} people skipped: score below {options.min_score:g}.")
        start = self._predict(photo, detections, result, clock)
        result.people = self._bodies(detections, result.K, result.image_size, *([] if start is None else [start]))
        if self.keep_stages:
            result.detections = detections
        clock.lap("fit")
        if options.refine in ("semantic", "all"):
            from dsr.fitting import refine_semantic

            if self.keep_stages:
                result.unrefined = result.people
            result.people = refine_semantic(
                result.people, detections, result.K, self.body, options, result.image_size, photo.rgb
            )
            clock.lap("semantic")

    def _people(self, photo: Photo) -> list[Detection]:
        from dsr.people import load_detections

        options = self.options
        if options.keypoints is not None:
            return load_detections(options.keypoints, photo, kind="keypoints")
        if options.boxes is not None:
            return load_detections(options.boxes, photo, self._detector(), kind="boxes")
        return self._detector().detect(photo)

    def _detector(self) -> Any:
        """This thread's own detector: interpreters cannot be shared between threads."""
        if not hasattr(self._local, "detector"):
            from dsr.people import PeopleDetector

            self._local.detector = PeopleDetector(self.options.quality, self._threads)
        return self._local.detector

    def _predict(self, photo: Photo, detections: list[Detection], result: FitResult, clock: _Clock) -> PosedBody | None:
        """The network's bodies, and what the result says about them; None without a network."""
        if self.regressor is None or result.K is None:
            return None
        found = self.regressor(photo.rgb, photo.scale, result.K, detections, self.options.height)
        result.regressor = self.regressor.loaded.record()
        result.warnings += found.warnings
        clock.lap("regressor")
        result.timing_s["regressor_per_person"] = result.timing_s["regressor"] / len(detections)
        return found.bodies

    def _bodies(
        self, detections: list[Detection], K: np.ndarray, size: tuple[int, int], start: PosedBody | None = None
    ) -> list[PersonResult]:
        """Fit all people at once; where a GPU's memory is too small, half of them at a time."""
        import torch

        from dsr.fitting import describe_people, fit_people

        if start is not None and self.options.refine in ("none", "semantic"):
            return describe_people(detections, K, self.body, size, start)
        more = {} if start is None else {"start": start}
        try:
            return fit_people(detections, K, self.body, self.options, size, **more)
        except torch.OutOfMemoryError:
            if len(detections) == 1:
                raise
            torch.cuda.empty_cache()
            _log.warning("the device's memory is too small for %d people at once; halving", len(detections))
        half = len(detections) // 2
        parts = (slice(None, half), slice(half, None))
        starts = [None if start is None else start.select(part) for part in parts]
        return [
            person
            for part, own in zip(parts, starts, strict=True)
            for person in self._bodies(detections[part], K, size, *([] if own is None else [own]))
        ]


def ordered_map(function: Callable[[_Item], _Done], items: Iterable[_Item], jobs: int) -> Iterator[_Done]:
    """Apply ``function`` in threads; results in the order of ``items``, a bounded number in flight.

    Args:
        function: called once per item; heavy parts (decoding, networks, tensors, files) leave the interpreter lock.
        items: taken only as fast as results are fetched.
        jobs: threads.
    """
    waiting: deque[Future[_Done]] = deque()
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="dsr", initializer=_one_thread_each)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            while waiting and (len(waiting) > jobs + 2 or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def check_jobs(jobs: int) -> int:
    """Pictures to work on at a time: as asked for, or for 0 one per core this process may use, at most eight.

    Raises:
        UsageError: if ``jobs`` is negative.
    """
    if jobs < 0:
        raise UsageError(f"--jobs {jobs}: use 0 (automatic) or the number of pictures to work on at a time.")
    return jobs or min(8, _cores())


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Windows and macOS
        return os.cpu_count() or 1


class _Clock:
    """Seconds per stage into a dict; tells a listener when a stage is done."""

    def __init__(self, seconds: dict[str, float], listener: Callable[[str], None] | None = None) -> None:
        self._seconds = seconds
        self._listener = listener
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._seconds[stage] = now - self._last
        self._last = now
        if self._listener is not None:
            self._listener(stage)


def _one_thread_each() -> None:
    """One tensor thread per picture: small problems gain nothing from more, and sums stay the same for any ``jobs``."""
    import torch

    torch.set_num_threads(1)


def _nobody(found: list[Detection], options: FitOptions) -> str:
    """Why there is nobody to fit: nobody was found, or nobody of those found was asked for."""
    if not found:
        return "nobody was found in the picture."
    many = "1 person was" if len(found) == 1 else f"{len(found)} people were"
    if all(d.score < options.min_score for d in found):
        return f"{many} found, with scores below --min-score {options.min_score:g}."
    return f"{many} found, but nobody is number {options.person}: --person counts from the left, starting at 0."


def _fail(result: FitResult, status: str, message: str) -> None:
    result.status = status
    result.message = message
    result.people = []
    result.detections = result.unrefined = None


def _as_numpy(matrix: Any) -> np.ndarray:
    import numpy as np

    return np.asarray(matrix.detach().cpu() if hasattr(matrix, "detach") else matrix, np.float64).reshape(3, 3)
