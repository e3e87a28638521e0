"""What fits one input after the other and writes its results: in threads of this process, or on another machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsr.limits import Limits, working_on
from dsr.options import FitOptions, SequenceOptions
from dsr.pipeline.clip_fitter import OnFrame, SequenceFitter
from dsr.pipeline.fetching import fetched, name_by_url
from dsr.pipeline.inputs import Clip, InputPicture
from dsr.pipeline.output_folder import OutputFolder, PlannedOutput
from dsr.pipeline.output_options import OutputOptions
from dsr.pipeline.picture_fitter import Fitter
from dsr.results.report import Row


@dataclass(frozen=True)
class WorkOrder:
    """What a run asks for, in plain values that can be sent to another machine.

    Attributes:
        options: of the fits.
        sequence: of clips.
        outputs: which files are written.
        limits: what one input may cost.
        out: the output folder, or its URL.
        pictures: all pictures of the run, for files of keypoints and boxes whose names could mean several of them.
        clips: whether there are clips to fit.
        make_fitter: called as :class:`~dsr.pipeline.picture_fitter.Fitter`.
    """

    options: FitOptions
    sequence: SequenceOptions
    outputs: OutputOptions
    limits: Limits
    out: Path
    pictures: Sequence[Path] = ()
    clips: bool = False
    make_fitter: Callable[..., Fitter] = Fitter


class InputWorker:
    """Fits inputs and writes their results; everything is loaded, and the body is in the output folder.

    Args:
        order: what is asked for.
        folder: the output folder.
        jobs: threads that will call it.
        stop: ends the work on inputs when it is set.
        on_frame: makes what is told how far a clip is.

    Raises:
        DsrError: if a model cannot be loaded, or the body not be written.
    """

    def __init__(
        self,
        order: WorkOrder,
        folder: OutputFolder,
        jobs: int = 1,
        stop: threading.Event | None = None,
        on_frame: Callable[[Clip], OnFrame] | None = None,
    ) -> None:
        self._folder, self._limits, self._stop, self._on_frame = folder, order.limits, stop, on_frame
        kept: dict[str, Any] = {"keep_labels": True} if order.outputs.labels or order.outputs.texture else {}
        self._fitter = order.make_fitter(order.options, keep_pictures=True, jobs=jobs, **kept)
        self._clip_fitter = SequenceFitter(order.options, order.sequence) if order.clips else None
        if self._clip_fitter is not None:
            self._clip_fitter.prepare()
            folder.add_body(self._clip_fitter.body.asset)
        if order.pictures:
            self._fitter.prepare()
            self._fitter.expect(order.pictures)
            folder.add_body(self._fitter.body.asset)

    def __call__(self, planned: PlannedOutput) -> Row:
        """The row of one input, whose results are written then; problems are in its status and message."""
        with working_on(planned.source.path, self._limits, self._stop), fetched(planned.source) as source:
            if isinstance(source, InputPicture):
                picture = self._fitter.fit_input(source)
                return self._folder.write(picture, source, planned.name, self._fitter.body)
            assert self._clip_fitter is not None
            clip = self._clip_fitter.fit(source, None if self._on_frame is None else self._on_frame(source))
            name_by_url(clip, source)
            return self._folder.write(clip, source, planned.name, self._clip_fitter.body)
