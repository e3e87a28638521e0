"""``dsr-fit --serve``: fits on request. One JSON object per line in and out, models kept warm in between.

The protocol, with its version, is docs/worker_protocol.md. Standard output carries nothing but its lines: whatever a
library prints there goes to standard error.
"""

from __future__ import annotations

import io
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import tyro

from dsr.cli.common import EXIT_FINE, run_command
from dsr.cli.serve_start import PROTOCOL as PROTOCOL
from dsr.cli.serve_start import hello, warm_up
from dsr.errors import BodyError, CheckpointError, DsrError, MissingExtraError, UsageError, error_sentence
from dsr.options import FitOptions, SequenceOptions, check_options
from dsr.pipeline.clip_fitter import SequenceFitter
from dsr.pipeline.earlier_looks import EarlierLooks
from dsr.pipeline.folder_lock import only_run_in
from dsr.pipeline.inputs import find_clips, find_inputs
from dsr.pipeline.output_folder import OutputFolder
from dsr.pipeline.output_names import name_outputs
from dsr.pipeline.output_options import OutputOptions, check_clip_outputs, parse_formats
from dsr.pipeline.picture_fitter import Fitter
from dsr.results.report import Row

_CODES = {BodyError: "model_missing", CheckpointError: "model_missing", MissingExtraError: "extra_missing"}
_STAGES = {
    "read": "people",
    "people": "bodies",
    "regressor": "bodies",
    "fit": "refining and writing",
    "semantic": "writing",
}


@dataclass(frozen=True, kw_only=True)
class ServeCommand:
    """Answer fit requests on standard input until it ends, one JSON object per line (docs/worker_protocol.md)."""

    idle: float = 300.0
    """Seconds without a request after which the worker ends; 0 waits for ever."""


def main(argv: Sequence[str]) -> int:
    """Run the worker.

    Args:
        argv: arguments behind ``--serve``.

    Returns:
        The exit code: 0 when asked to end, 2 for wrong arguments.
    """
    return run_command("dsr-fit --serve", lambda: _serve(tyro.cli(ServeCommand, prog="dsr-fit --serve", args=argv)))


def _serve(command: ServeCommand) -> int:
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    if isinstance(sys.stdin, io.TextIOWrapper):  # bytes that are no text are a bad request, not the end
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    with os.fdopen(_private_output(), "w", encoding="utf-8") as answers:
        try:
            Worker(sys.stdin, answers, command.idle).run()
        except KeyboardInterrupt:  # whoever asked is gone
            return EXIT_FINE
    return EXIT_FINE


def _private_output() -> int:
    """Keep standard output for ourselves and send everybody else's to standard error, C libraries included."""
    sys.stdout.flush()
    ours = os.dup(1)
    os.dup2(2, 1)
    return ours


class _Cancelled(BaseException):
    """The request at work was cancelled; no picture's own error handling may swallow it."""


class _MakeWay(BaseException):
    """Somebody waits for more than what was looked for ahead."""


class Worker:
    """Takes requests from one stream, answers on another.

    Args:
        requests: one JSON object per line; its end ends the worker.
        answers: where answers go.
        idle_s: seconds without a request after which :meth:`run` returns; 0 for never.
        make_fitter: builds the fitter of pictures from options, as :class:`~dsr.pipeline.picture_fitter.Fitter` does.
    """

    def __init__(
        self,
        requests: TextIO,
        answers: TextIO,
        idle_s: float = 0.0,
        make_fitter: Callable[..., Fitter] = Fitter,
    ) -> None:
        self._requests, self._answers, self._idle_s = requests, answers, idle_s
        self._make_fitter = make_fitter
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()
        self._looks = EarlierLooks()
        self._rehearsed = False
        self._fitter: Fitter | None = None
        self._clip_fitter: SequenceFitter | None = None

    def run(self) -> None:
        """Serve until the requests end, ``quit`` comes, or nobody asks for long."""
        self._send("hello", **hello())
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=warm_up, daemon=True).start()
        while True:
            try:
                request = self._queue.get(timeout=self._idle_s or None)
            except queue.Empty:
                self._send("bye", reason=f"no request for {self._idle_s:g} s")
                return
            if request is None or request.get("request") == "quit":
                self._send("bye", reason="asked to")
                return
            self._answer(request)

    def _read(self) -> None:
        """Requests into the queue; cancelling does not wait for its turn."""
        for line in self._requests:
            if not line.strip():
                continue
            try:
                request = json.loads(line)
                if not isinstance(request, dict):
                    raise ValueError("it is no JSON object")
                if not isinstance(request.get("id"), str | int | float | None):
                    raise ValueError("its id is neither a text nor a number")
            except (ValueError, RecursionError, MemoryError) as error:
                reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
                self._send("error", id=None, code="bad_request", message=f"A request could not be read: {reason}.")
                continue
            if request.get("request") == "cancel":
                self._cancelled.add(_key(request))
            else:
                self._queue.put(request)
        self._queue.put(None)

    def _answer(self, request: dict[str, Any]) -> None:
        kind, request_id = request.get("request"), request.get("id")
        started = time.perf_counter()
        try:
            if kind == "fit":
                self._fit(request)
            elif kind == "prepare":
                self._get_ready(request)
            elif kind == "check":
                self._check(request_id)
            elif kind == "garment":
                self._garment(request)
            else:
                raise UsageError(f"request {kind!r}: use fit, prepare, garment, check, cancel or quit.")
        except _Cancelled:
            self._send("error", id=request_id, code="cancelled", message="Cancelled.")
        except DsrError as error:
            code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "usage")
            self._send("error", id=request_id, code=code, message=str(error))
        except (OSError, MemoryError) as error:
            self._send("error", id=request_id, code="failed", message=error_sentence(error))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            self._send("error", id=request_id, code="bad_request", message=f"The request is not understood: {error}.")
        except Exception as error:
            logging.getLogger(__name__).exception("unexpected error")
            text = f"Unexpected {type(error).__name__}: {error}. This is a defect; please report it."
            self._send("error", id=request_id, code="failed", message=text)
        finally:
            self._cancelled.discard(_key(request))
            self._send("done", id=request_id, seconds=round(time.perf_counter() - started, 3))

    def _check(self, request_id: Any) -> None:
        from dsr.cli.doctor import run_checks

        self._send("check", id=request_id, checks=[asdict(check) for check in run_checks()])

    def _garment(self, request: dict[str, Any]) -> None:
        """A garment of MakeHuman's format as a skinned model that follows the body's shape."""
        from dsr.body import load_asset
        from dsr.synthetic.garment_model import write_garment

        garment, out = request.get("garment"), request.get("out")
        if not isinstance(garment, str) or not isinstance(out, str):
            raise UsageError('A garment request needs "garment", a .mhclo file, and "out", the NPZ file to write.')
        write_garment(Path(garment), load_asset(str(request.get("body", "open"))), Path(out))
        self._send("result", id=request.get("id"), input=garment, status="ok", message="", path=out, outputs=[out])

    def _get_ready(self, request: dict[str, Any]) -> None:
        """Load what a fit needs and look at its first picture, so that little is left to do when it is asked for.

        A request that comes meanwhile waits for the step at work alone.
        """
        inputs = request.get("inputs", [])
        if not isinstance(inputs, list):
            raise UsageError('"inputs" must be a list of pictures.')
        fitter = self._prepare(_options(request.get("options", {})))
        if not self._rehearsed and self._queue.empty():
            self._rehearsed = True
            fitter.rehearse()

        def on_stage(stage: str) -> None:
            self._stop_if_cancelled(request)
            if stage == "people" and not self._queue.empty():
                raise _MakeWay

        self._stop_if_cancelled(request)
        for path in inputs[:1] if self._queue.empty() else ():
            fitter.on_stage = on_stage
            try:
                fitter.fit(str(path))  # whatever is wrong with it is said when a fit is asked for
            except _MakeWay:
                pass
            finally:
                fitter.on_stage = None

    def _fit(self, request: dict[str, Any]) -> None:
        options = _options(request.get("options", {}))
        text = str(request.get("format", ""))
        output_options = OutputOptions(
            parse_formats(text) if text else (), bool(request.get("overlay")), bool(request.get("side_view"))
        )
        inputs, out = request.get("inputs"), request.get("out")
        if not isinstance(inputs, list) or not inputs or not isinstance(out, str):
            raise UsageError('A fit request needs "inputs", a list of pictures, and "out", a folder.')
        paths, recursive = [str(one) for one in inputs], bool(request.get("recursive"))
        if request.get("sequence"):
            self._fit_clips(request, paths, options, output_options, Path(out))
        else:
            self._fit_pictures(request, paths, recursive, options, output_options, Path(out))

    def _fit_pictures(
        self,
        request: dict[str, Any],
        paths: list[str],
        recursive: bool,
        options: FitOptions,
        output_options: OutputOptions,
        out: Path,
    ) -> None:
        """Pictures one after the other; progress counts them and says which stage is done."""
        request_id = request.get("id")
        pictures = find_inputs(paths, recursive, skip=out)
        folder = OutputFolder(out, options, output_options)
        folder.make()
        with only_run_in(out):
            self._send("progress", id=request_id, done=0, total=len(pictures), text="loading models")
            fitter = self._prepare(options)
            folder.add_body(fitter.body.asset)
            names = name_outputs(pictures, reserved=[Path(folder.body_file).stem])
            for done, (picture, name) in enumerate(zip(pictures, names, strict=True)):
                title = picture.path.name

                def on_stage(stage: str, done: int = done, title: str = title) -> None:
                    self._stop_if_cancelled(request)
                    text = f"{title}: {_STAGES.get(stage, stage)}"
                    self._send("progress", id=request_id, done=done, total=len(pictures), text=text, stage=stage)

                self._stop_if_cancelled(request)
                self._send("progress", id=request_id, done=done, total=len(pictures), text=f"{title}: reading")
                fitter.on_stage = on_stage
                try:
                    result = fitter.fit_input(picture)
                finally:
                    fitter.on_stage = None
                row = folder.write(result, picture, name, fitter.body)
                self._stop_if_cancelled(request)
                self._report(request_id, folder, name, row)
            self._send("progress", id=request_id, done=len(pictures), total=len(pictures), text="done")

    def _fit_clips(
        self,
        request: dict[str, Any],
        paths: list[str],
        options: FitOptions,
        output_options: OutputOptions,
        out: Path,
    ) -> None:
        """Folders of frames and video files, each one clip; progress counts frames."""
        request_id, fps = request.get("id"), request.get("fps")
        sequence = SequenceOptions(None if fps is None else float(fps))
        clips = find_clips(paths, skip=out)
        check_clip_outputs(output_options, any(clip.is_video and not clip.problem for clip in clips))
        folder = OutputFolder(out, options, output_options, sequence)
        folder.make()
        with only_run_in(out):
            self._send("progress", id=request_id, done=0, total=0, text="loading models")
            fitter = self._clip_fitter
            if fitter is None or (fitter.options, fitter.sequence) != (options, sequence):
                fitter = self._clip_fitter = SequenceFitter(options, sequence)
            fitter.prepare()
            folder.add_body(fitter.body.asset)
            names = name_outputs(clips, reserved=[Path(folder.body_file).stem])
            for clip, name in zip(clips, names, strict=True):

                def on_frame(done: int, expected: int, title: str = clip.path.name) -> None:
                    self._stop_if_cancelled(request)
                    self._send("progress", id=request_id, done=done, total=expected, text=f"{title}: frame {done}")

                self._stop_if_cancelled(request)
                row = folder.write(fitter.fit(clip, on_frame), clip, name, fitter.body)
                self._stop_if_cancelled(request)
                self._report(request_id, folder, name, row)

    def _report(self, request_id: Any, folder: OutputFolder, name: str, row: Row) -> None:
        """What became of one picture."""
        for sentence in row.warnings:
            self._send("warning", id=request_id, input=row.input, message=sentence)
        if row.failed:
            memory = "memory" in row.message.lower()
            code = "out_of_memory" if memory else "unreadable" if row.status != "failed" else "failed"
            self._send("error", id=request_id, input=row.input, code=code, status=row.status, message=row.message)
            return
        self._send(
            "result",
            id=request_id,
            input=row.input,
            status=row.status,
            message=row.message,
            people=row.people,
            path=str(folder.json_path(name).absolute()),
            outputs=[str((folder.path / file).absolute()) for file in row.outputs],
            seconds=row.seconds,
        )

    def _prepare(self, options: FitOptions) -> Fitter:
        """The fitter of these options; the last one is kept."""
        if self._fitter is None or self._fitter.options != options:
            self._fitter = self._make_fitter(options, keep_pictures=True, looks=self._looks)
        self._fitter.prepare()
        return self._fitter

    def _stop_if_cancelled(self, request: dict[str, Any]) -> None:
        if _key(request) in self._cancelled:
            raise _Cancelled

    def _send(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, **values})
        with self._lock:
            self._answers.write(line + "\n")
            self._answers.flush()


def _key(request: dict[str, Any]) -> str:
    return json.dumps(request.get("id"))


def _options(given: Any) -> FitOptions:
    """Fit options from a request.

    Raises:
        UsageError: for a name that is no option, or a value that cannot work.
    """
    if not isinstance(given, dict):
        raise UsageError('"options" must be an object of option names and values.')
    known = {f.name for f in fields(FitOptions)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UsageError(f"Unknown option {unknown[0]!r}; there are {', '.join(sorted(known))}.")
    values: dict[str, Any] = dict(given)
    try:
        for name in ("keypoints", "boxes", "landmarks"):
            if values.get(name) is not None:
                values[name] = Path(values[name])
        options = FitOptions(**values)
        check_options(options)
    except (TypeError, AttributeError) as error:
        raise UsageError(f"An option has a value of the wrong kind: {error}.") from error
    return options
