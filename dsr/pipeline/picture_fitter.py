"""The chain for one picture or many: read, find people, camera, predict, fit. One bad picture never stops the rest."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dsr.devices import choose_device
from dsr.limits import Limits, check_limits, working_on
from dsr.options import BROUGHT, FitOptions, body_to_load, check_options, is_expressive, split_regressor
from dsr.pipeline.body_fitter import BodyFitter, fit_bodies
from dsr.pipeline.chain import (
    StageTimer,
    body_record,
    find_camera,
    floor_of,
    nobody_reason,
    scene_camera,
    set_nobody,
    whole_chain,
)
from dsr.pipeline.expression_reader import ExpressionReader
from dsr.pipeline.fetching import fetched, name_by_url
from dsr.pipeline.inputs import InputPicture, find_inputs
from dsr.pipeline.jobs import check_jobs, cores, ordered_map
from dsr.pipeline.people_finder import PeopleFinder
from dsr.pipeline.rehearsal import rehearse
from dsr.results.picture import FitResult

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.body.transfer import PosedBody
    from dsr.image import Photo
    from dsr.people import Detection
    from dsr.people.brought_labels import LabelsOf
    from dsr.pipeline.earlier_looks import EarlierLooks
    from dsr.regressors.brought.loading import BroughtKeypoints
    from dsr.regressors.photo import PhotoRegressor


def fit_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    options: FitOptions | None = None,
    *,
    jobs: int = 0,
    keep_pictures: bool = False,
    keep_stages: bool = False,
    limits: Limits | None = None,
    people_finder: Callable[[Photo], list[Detection]] | None = None,
    body_fitter: BodyFitter | None = None,
) -> Iterator[FitResult]:
    """Fit every person in every picture.

    Args:
        paths: pictures, or folders whose pictures are taken by name; one path or many.
        options: what to do, :class:`FitOptions` () by default.
        jobs: pictures worked on at a time; 0 chooses by the processor. The results do not depend on it.
        keep_pictures: keep the upright picture in ``FitResult.overlay_rgb``.
        keep_stages: keep what led to the bodies in ``FitResult.detections`` and ``FitResult.unrefined``.
        limits: what one picture may cost, :class:`~dsr.limits.Limits` () by default.
        people_finder: as of :class:`Fitter`.
        body_fitter: as of :class:`Fitter`.

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
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    pictures = find_inputs(paths)
    jobs = check_jobs(jobs)
    fitter = Fitter(
        options or FitOptions(),
        keep_pictures=keep_pictures,
        jobs=jobs,
        keep_stages=keep_stages,
        limits=limits,
        people_finder=people_finder,
        body_fitter=body_fitter,
    )
    fitter.prepare()
    fitter.expect(picture.path for picture in pictures)
    return ordered_map(fitter.fit_input, pictures, jobs)


class Fitter:
    """Models loaded once, pictures fitted one at a time; safe to call from several threads.

    Args:
        options: what to do.
        keep_pictures: keep the upright picture in ``FitResult.overlay_rgb``.
        jobs: threads that will call :meth:`fit`; they share the cores. The results do not depend on it.
        keep_stages: keep what led to the bodies in ``FitResult.detections`` and ``FitResult.unrefined``.
        keep_labels: keep everybody's clothing labels in ``FitResult.labels``.
        limits: what one picture may cost, :class:`~dsr.limits.Limits` () by default.
        people_finder: the people of a photograph, left to right; by default a
            :class:`~dsr.pipeline.people_finder.PeopleFinder` of the options.
        body_fitter: the bodies of these people; :func:`~dsr.pipeline.body_fitter.fit_bodies` by default.
        looks: what is remembered of pictures that were looked at before; of one thread alone.

    Attributes:
        on_stage: called in the fitting thread with the name of every finished stage of a picture; what it raises ends
            the fit of that picture.

    Raises:
        UsageError: for options that cannot work.
    """

    def __init__(
        self,
        options: FitOptions,
        keep_pictures: bool = False,
        jobs: int = 1,
        keep_stages: bool = False,
        *,
        keep_labels: bool = False,
        limits: Limits | None = None,
        people_finder: Callable[[Photo], list[Detection]] | None = None,
        body_fitter: BodyFitter | None = None,
        looks: EarlierLooks | None = None,
    ) -> None:
        check_options(options)
        self._limits = limits or Limits()
        check_limits(self._limits)
        self.options = options
        self.keep_pictures = keep_pictures
        self.keep_stages = keep_stages
        self.keep_labels = keep_labels
        self.on_stage: Callable[[str], None] | None = None
        self._find_people = people_finder or PeopleFinder(options, max(1, min(4, cores() // jobs)))
        self._fit_bodies = body_fitter or fit_bodies
        self._looks = looks
        self._add_expression = ExpressionReader(options, max(1, min(4, cores() // jobs)))
        self._body: Body | None = None
        self._network: PhotoRegressor | None = None
        self._brought: LabelsOf | None = None
        self._brought_keypoints: BroughtKeypoints | None = None
        self._lock = threading.Lock()

    @property
    def body(self) -> Body:
        """The body layer, loaded at first use, on the device of the options."""
        with self._lock:
            if self._body is None:
                from dsr.body import load_body
                from dsr.body.licensed import DEFAULT_BETAS

                betas, network = None, split_regressor(self.options.regressor)
                if network is not None and network[0] not in BROUGHT:
                    from dsr.regressors.registry import regressor_class

                    count = regressor_class(network[0]).num_betas
                    betas = count if count > DEFAULT_BETAS else None  # PersPose has 11
                self._body = load_body(body_to_load(self.options), num_betas=betas).to(
                    choose_device(self.options.device)
                )
            return self._body

    @property
    def _labels_of(self) -> LabelsOf | None:
        """Where clothing labels come from, loaded at first use; None for the built-in parser."""
        if self.options.parser == "built-in":
            return None
        with self._lock:
            if self._brought is None:
                from dsr.people.brought_labels import bring_labels

                self._brought = bring_labels(self.options.parser)
            return self._brought

    @property
    def regressor(self) -> PhotoRegressor | None:
        """The network that predicts bodies, loaded at first use; None where the default network does."""
        if self.options.regressor.partition(":")[0] in ("default", *BROUGHT):
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

    @property
    def keypoints_in_space(self) -> BroughtKeypoints | None:
        """What gives 3D keypoints in place of the detector's, loaded at first use; None where nothing does."""
        if self.options.regressor.partition(":")[0] not in BROUGHT:
            return None
        with self._lock:
            if self._brought_keypoints is None:
                from dsr.regressors.brought.loading import load_brought

                self._brought_keypoints = load_brought(self.options.regressor)
            return self._brought_keypoints

    def prepare(self) -> None:
        """Load everything now, so that a missing model is an error before the first picture.

        Raises:
            BodyError: if the body model cannot be read.
            CheckpointError: if the network's weights cannot be used.
            UsageError: if there is no such device.
        """
        _ = self.body, self.regressor, self.keypoints_in_space, self._labels_of
        if is_expressive(self.options):
            self._add_expression.prepare(self.body)
        if isinstance(self._find_people, PeopleFinder):
            self._find_people.prepare()

    def rehearse(self) -> None:
        """Fit somebody who is not there: what a first fit loads is then in memory before a picture comes."""
        finder = self._find_people
        if self._fit_bodies is fit_bodies:
            rehearse(self.body, self.options, finder.detector if isinstance(finder, PeopleFinder) else None)

    def expect(self, pictures: Iterable[Path]) -> None:
        """Say which pictures will come, so that keypoints and boxes that could be of several of them are refused."""
        if isinstance(self._find_people, PeopleFinder):
            self._find_people.expect(pictures)

    def fit(self, path: str | os.PathLike[str]) -> FitResult:
        """Fit one picture.

        Args:
            path: the picture.

        Returns:
            A result; problems with the picture are in its ``status`` and ``message``, never raised.
        """
        result = FitResult(status="ok", input_path=os.fspath(path), seed=self.options.seed)
        with working_on(path, self._limits), whole_chain(result):
            self._fit(Path(path), result)
        if result.status != "ok":
            result.detections = result.unrefined = None
        return result

    def fit_input(self, picture: InputPicture) -> FitResult:
        """Fit a picture that :func:`~dsr.pipeline.inputs.find_inputs` gave, or say what its problem is."""
        with fetched(picture) as here:
            if here.problem:
                path = os.fspath(here.path)
                result = FitResult(status="unreadable", input_path=path, message=here.problem, seed=self.options.seed)
            else:
                result = self.fit(here.path)
        name_by_url(result, picture)
        return result

    def _fit(self, path: Path, result: FitResult) -> None:
        from dsr.image import read_photo
        from dsr.people import select_people

        options = self.options
        timer = StageTimer(result.timing_s, self.on_stage)
        photo = read_photo(path) if self._looks is None else self._looks.photo(path, read_photo)
        result.input_sha256 = photo.sha256
        result.image_size = (photo.width, photo.height)
        result.upright_differs = photo.upright_differs
        result.warnings = list(photo.warnings)
        if self.keep_pictures:
            result.overlay_rgb = photo.rgb
        camera = find_camera(result, photo, options)
        result.K = camera.K
        timer.lap("read")

        everybody = self._everybody(photo, result.warnings)
        detections = select_people(everybody, options.person, options.min_score)
        timer.lap("people")
        result.body = body_record(self.body.asset)
        if not detections:
            set_nobody(result, nobody_reason(result, [d.score for d in everybody], options))
            return
        weak = sum(d.score < options.min_score for d in everybody)
        if weak:
            result.warnings.append(f"{weak} of {len(everybody)} people skipped: score below {options.min_score:g}.")
        camera = scene_camera(result, camera, photo, everybody)
        result.K = camera.K
        detections = self._in_space(photo, detections, result, timer)
        start = self._predict(photo, detections, result, timer)
        result.people = self._fit_bodies(detections, camera, self.body, options, start)
        if self.keep_stages:
            result.detections = detections
        timer.lap("fit")
        if options.refine in ("semantic", "all"):
            from dsr.fitting import refine_semantic

            if self.keep_stages:
                result.unrefined = result.people
            labels = None if self._labels_of is None or options.clothing != "auto" else self._labels_of(path, photo.rgb)
            result.people = refine_semantic(
                result.people, detections, camera, self.body, options, photo.rgb, labels=labels
            )
            timer.lap("semantic")
        if is_expressive(options):
            result.people = self._add_expression(result.people, detections, photo, camera, self.body)
            timer.lap("expression")
        if self.keep_labels:
            from dsr.fitting.semantic import parsed

            whole = None if self._labels_of is None else self._labels_of(path, photo.rgb)
            pairs = zip(result.people, detections, strict=True)
            result.labels = [parsed(*pair, camera, self.body, photo.rgb, whole) for pair in pairs]
            timer.lap("labels")
        result.floor = floor_of(result.people, detections, camera, self.body.asset)

    def _everybody(self, photo: Photo, warnings: list[str]) -> list[Detection]:
        """The people of a picture, left to right."""

        def find() -> list[Detection]:
            look = self._find_people
            return look(photo, warnings) if isinstance(look, PeopleFinder) else look(photo)

        return find() if self._looks is None else self._looks.people(photo, self.options, find)

    def _in_space(
        self, photo: Photo, detections: list[Detection], result: FitResult, timer: StageTimer
    ) -> list[Detection]:
        """The people with the 3D keypoints that the user's file knows of them, and what the result says about it."""
        if self.keypoints_in_space is None or result.K is None:
            return detections
        told = self.keypoints_in_space(photo, result.K, detections, result.warnings)
        result.regressor = self.keypoints_in_space.record()
        timer.lap("regressor")
        result.timing_s["regressor_per_person"] = result.timing_s["regressor"] / len(detections)
        return told

    def _predict(
        self, photo: Photo, detections: list[Detection], result: FitResult, timer: StageTimer
    ) -> PosedBody | None:
        """The network's bodies, and what the result says about them; None without a network."""
        if self.regressor is None or result.K is None:
            return None
        options = self.options
        predicted = self.regressor(photo.rgb, photo.scale, result.K, detections, options.height, options.mass)
        result.regressor = self.regressor.loaded.record()
        result.warnings += predicted.warnings
        timer.lap("regressor")
        result.timing_s["regressor_per_person"] = result.timing_s["regressor"] / len(detections)
        return predicted.bodies
