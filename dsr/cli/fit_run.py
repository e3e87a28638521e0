"""One run of ``dsr-fit``: plan, fit and write, report."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsr.cli.common import EXIT_ALL_FAILED, EXIT_FINE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, write_line
from dsr.cli.fit_command import FitCommand
from dsr.cli.progress import Progress, row_text
from dsr.errors import ExportError, ResultError, UsageError
from dsr.files import remove_pieces
from dsr.limits import check_limits
from dsr.options import body_to_load, check_lifter, check_options
from dsr.pipeline.body_file import body_file_name
from dsr.pipeline.clip_fitter import OnFrame, check_sequence_options
from dsr.pipeline.folder_lock import only_run_in
from dsr.pipeline.input_worker import InputWorker, WorkOrder
from dsr.pipeline.inputs import Clip, InputPicture, find_sources
from dsr.pipeline.jobs import check_jobs, ordered_map
from dsr.pipeline.output_folder import PlannedOutput
from dsr.pipeline.output_options import check_clip_outputs
from dsr.pipeline.people_finder import PeopleFinder
from dsr.pipeline.picture_fitter import Fitter
from dsr.pipeline.remote_output import output_folder
from dsr.pipeline.urls import local_path
from dsr.results.report import Row

if TYPE_CHECKING:
    from dsr.pipeline.cluster import Cluster

_REPORT_EVERY_S = 30.0


class FitRun:
    """One run of the command.

    Args:
        command: what the user asked for.
        make_fitter: what to use instead of :class:`~dsr.pipeline.picture_fitter.Fitter`, called like it.

    Raises:
        UsageError: for options that cannot work.
        MissingExtraError: for a format whose extra is not installed.
    """

    def __init__(self, command: FitCommand, make_fitter: Callable[..., Fitter] | None = None) -> None:
        if command.serve:
            raise UsageError("--serve takes its inputs from requests: give it alone, as dsr-fit --serve.")
        if not command.inputs:
            raise UsageError("Name at least one picture or folder: dsr-fit INPUT... --out DIR.")
        if command.limit is not None and command.limit < 1:
            raise UsageError(f"--limit {command.limit}: use a whole number from 1.")
        self._jobs = check_jobs(command.jobs)
        self._command, self._make_fitter = command, make_fitter or Fitter
        self._options, self._sequence = command.fit_options(), command.sequence_options()
        self._limits = command.limits()
        check_options(self._options)
        check_limits(self._limits)
        check_lifter(self._sequence.lifter)
        self._output_options = command.output_options()
        self._out = Path(local_path(command.out))
        self._folder = output_folder(self._out, self._options, self._output_options, self._sequence)
        self._planned: list[PlannedOutput] = []
        self._rows: dict[int, Row] = {}
        self._earlier_rows: dict[str, Row] = {}
        self._report_failed = False
        self._stop = threading.Event()
        self._stdout = sys.stdout  # Ray writes its own lines there, which would spoil the JSON log

    def main(self) -> int:
        """Plan, then work.

        Returns:
            The exit code.
        """
        self._plan()
        if self._command.dry_run:
            if self._options.landmarks is not None:
                PeopleFinder(self._options).prepare()
            return self._list()
        self._folder.make()
        with only_run_in(self._folder.path):
            self._remove_pieces()
            with nullcontext() if self._command.cluster is None else redirect_stdout(sys.stderr):
                return self._work()

    def _remove_pieces(self) -> None:
        """What a process that was killed left behind; nobody may be writing."""
        for folder in {self._folder.path, *((self._folder.path / p.name).parent for p in self._planned)}:
            remove_pieces(folder)

    def _plan(self) -> None:
        """Which pictures and clips, under which names, and which of them are finished."""
        from dsr.body import load_asset

        command = self._command
        left_out: list[Path] = []
        sources = find_sources(
            command.inputs, sequence=command.sequence, recursive=command.recursive, skip=self._out, left_out=left_out
        )
        self._tell_of_left_out(left_out, sources)
        clips = [source for source in sources if isinstance(source, Clip)]
        if clips:
            check_sequence_options(self._options, self._sequence)
            check_clip_outputs(self._output_options, any(clip.is_video and not clip.problem for clip in clips))
        body = load_asset(body_to_load(self._options))
        if self._output_options.texture:
            from dsr.export.texture import check_texture_map  # scipy is read where it is needed only

            check_texture_map(body)
        body_stem = Path(body_file_name(body)).stem
        self._planned = self._folder.plan(sources, [body_stem], command.limit, command.overwrite, body.sha256)
        self._tell_of_another_body()

    def _tell_of_another_body(self) -> None:
        count = sum(planned.other_body for planned in self._planned)
        if count and not self._command.quiet:
            stands = "1 result in" if count == 1 else f"{count} results in"
            write_line(
                sys.stderr,
                f"dsr-fit: {stands} {self._folder.title} made with another body (an earlier release's?): fitted again, "
                "for shapes of two bodies cannot be compared; to keep what is there, choose another --out.",
            )

    def _tell_of_left_out(self, left_out: list[Path], sources: list[InputPicture | Clip]) -> None:
        """Videos that are not named themselves, and raw files that no picture of the same name stands beside."""
        from dsr.image.video import is_video

        if self._command.quiet:
            return
        named = {source.path.absolute() for source in sources}
        developed = {path.with_suffix("") for path in named}
        videos = [path for path in left_out if is_video(path) and path.absolute() not in named]
        raw = [p for p in left_out if not is_video(p) and p.absolute().with_suffix("") not in developed]
        if videos:
            lie = "1 video lies" if len(videos) == 1 else f"{len(videos)} videos lie"
            write_line(
                sys.stderr,
                f"dsr-fit: {lie} among the pictures and {'is' if len(videos) == 1 else 'are'} left out: name videos "
                f"themselves to fit them, {videos[0]} for example.",
            )
        if raw:
            lie = "1 camera raw file lies" if len(raw) == 1 else f"{len(raw)} camera raw files lie"
            write_line(
                sys.stderr,
                f"dsr-fit: {lie} among the pictures and {'is' if len(raw) == 1 else 'are'} left out, {raw[0]} for "
                "example: save them as JPEG or TIFF.",
            )

    def _list(self) -> int:
        for planned in self._planned:
            source = planned.source
            action = "skip" if planned.finished else ("problem" if source.problem else "fit")
            if self._command.json_log:
                self._log_event("plan", input=source.url or str(source.path), action=action, name=planned.name)
            else:
                write_line(
                    sys.stdout, f"{action:8}{source.url or source.path} -> {self._folder.title}{os.sep}{planned.name}.*"
                )
        return EXIT_FINE

    def _work(self) -> int:
        logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        command = self._command
        started = time.perf_counter()
        finished = self._take_over_rows()
        todo = [i for i in range(len(self._planned)) if i not in finished]
        if command.json_log:
            self._log_event("start", total=len(self._planned), skipped=len(finished))
            for i in finished:
                self._log_event("result", index=i, **{**asdict(self._rows[i]), "status": "skipped"})
        results = self._begin(todo)
        interrupted = False
        due = time.perf_counter() + _REPORT_EVERY_S
        progress = Progress(
            "fitting",
            len(self._planned),
            len(self._planned) - len(todo),
            quiet=command.quiet,
            stream=sys.stderr if command.json_log else self._stdout,
        )
        try:
            with progress:
                for i in results:
                    row = self._rows[i]
                    failure = f"dsr-fit: {row.message or row.input}" if row.failed else ""
                    progress.advance(row_text(row), row.seconds, failure)
                    if command.json_log:
                        self._log_event("result", index=i, **asdict(row))
                    if row.failed and command.fail_fast:
                        break
                    if (now := time.perf_counter()) > due:
                        self._report()
                        taken = time.perf_counter() - now  # of a million rows most of a minute
                        due = now + max(_REPORT_EVERY_S, 50 * taken)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            results.close()
            self._report(interrupted)
        code = EXIT_INTERRUPTED if interrupted else self._exit_code()
        self._summary(code, time.perf_counter() - started)
        return code

    def _take_over_rows(self) -> list[int]:
        """The rows of what is finished: from the report of the run that did it, or from the results.

        Returns:
            Places of the planned outputs that are; a result that cannot be read after all is none of them.
        """
        self._earlier_rows = {row.name: row for row in self._folder.earlier_rows()}
        finished = []
        for i, planned in enumerate(self._planned):
            if not planned.finished:
                continue
            try:
                row = self._earlier_rows.get(planned.name) or self._folder.earlier_row(planned.name)
            except ResultError:
                continue
            row.earlier = True
            self._rows[i] = row
            finished.append(i)
        return finished

    def _begin(self, todo: list[int]) -> Generator[int, None, None]:
        """Loads everything; what comes back fits inputs and writes their results, and says which one is done."""
        sources = [planned.source for planned in self._planned]
        order = WorkOrder(
            self._options,
            self._sequence,
            self._output_options,
            self._limits,
            self._out,
            [s.path for s in sources if isinstance(s, InputPicture)] if self._any(todo, InputPicture) else (),
            self._any(todo, Clip),
            self._make_fitter,
        )
        work = {i: self._planned[i] for i in todo}
        if self._command.cluster is not None and todo:
            from dsr.pipeline.cluster import Cluster

            return self._on_cluster(Cluster(order, self._command.cluster, self._command.jobs), work)
        worker = InputWorker(order, self._folder, self._jobs, self._stop, self._on_frame)

        def fit(i: int) -> int:
            self._rows[i] = worker(work[i])
            return i

        return ordered_map(fit, todo, self._jobs, self._stop)

    def _on_cluster(self, cluster: Cluster, work: dict[int, PlannedOutput]) -> Generator[int, None, None]:
        """As :meth:`_begin`, by the workers of a cluster; what those that were lost left half is removed."""
        with cluster:
            for i, row, removed in cluster.fit(work):
                self._rows[i] = row
                self._folder.removed += removed
                yield i
        self._remove_pieces()

    def _any(self, places: list[int], kind: type[InputPicture] | type[Clip]) -> bool:
        return any(isinstance(self._planned[i].source, kind) for i in places)

    def _on_frame(self, clip: Clip) -> OnFrame:
        """Says now and then how far a clip is."""
        last = time.perf_counter()

        def on_frame(done: int, expected: int) -> None:
            nonlocal last
            now = time.perf_counter()
            if now - last < 10 or self._command.quiet:
                return
            last = now
            if self._command.json_log:
                self._log_event("frames", input=str(clip.path), done=done, expected=expected)
            else:
                write_line(sys.stdout, f"{clip.path}: {done}{f' of {expected}' if expected else ''} frames looked at")

        return on_frame

    def _report(self, interrupted: bool = False) -> None:
        """This run's rows in input order, then rows of earlier runs into the same folder."""
        rows = [row for _, row in sorted(self._rows.items())]
        names = {row.name for row in rows}
        others = [row for name, row in self._earlier_rows.items() if name not in names]
        for row in others:
            row.earlier = True
        try:
            self._folder.write_report(rows + others, interrupted)
        except ExportError as error:
            self._report_failed = True
            write_line(sys.stderr, f"dsr-fit: {error}")

    def _exit_code(self) -> int:
        failed = sum(row.failed for row in self._rows.values())
        if not failed:
            return EXIT_SOME_FAILED if self._report_failed else EXIT_FINE
        return EXIT_ALL_FAILED if failed == len(self._rows) else EXIT_SOME_FAILED

    def _summary(self, code: int, seconds: float) -> None:
        rows = list(self._rows.values())
        new = [row for row in rows if not row.earlier]
        counts = {
            "pictures": len(new),
            "skipped": len(rows) - len(new),
            "people": sum(row.people for row in new),
            "without_people": sum(row.status == "no_person" for row in new),
            "failed": sum(row.failed for row in rows),
        }
        if self._command.json_log:
            self._log_event("end", exit_code=code, seconds=round(seconds, 3), **counts)
        if self._command.quiet:
            return
        word = "Interrupted after" if code == EXIT_INTERRUPTED else "Done:"
        clips = sum(not row.earlier and isinstance(self._planned[i].source, Clip) for i, row in self._rows.items())
        kinds = ((len(new) - clips, "picture"), (clips, "clip"))
        parts = [f"{n} {kind}{'s' * (n != 1)}" for n, kind in kinds if n] or ["0 pictures"]
        parts.append("1 person" if counts["people"] == 1 else f"{counts['people']} people")
        parts += [f"{counts[k]} {k.replace('_', ' ')}" for k in ("without_people", "skipped", "failed") if counts[k]]
        if removed := len(self._folder.removed):
            parts.append(f"{removed} file{'s' * (removed != 1)} of an earlier run removed")
        stream = sys.stderr if self._command.json_log else self._stdout
        write_line(stream, f"{word} {', '.join(parts)} in {seconds:.1f} s; see {self._folder.title}{os.sep}report.csv")

    def _log_event(self, event: str, **values: Any) -> None:
        """One line of the JSON log."""
        self._stdout.write(json.dumps({"event": event, **values}) + "\n")
        self._stdout.flush()
