"""``dsr-fit``: pictures in, bodies out. A folder of photographs becomes meshes, overlays, results and a report."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dsr.cli.progress import Progress, say
from dsr.cli.work import fit_and_write, fit_and_write_clip, make_folder
from dsr.errors import BodyError, CheckpointError, ExportError, MissingExtraError, UsageError
from dsr.options import FitOptions, check_options
from dsr.pipeline.clip_fitter import SequenceFitter, SequenceOptions, check_sequence_options
from dsr.pipeline.clip_outputs import check_clip_outputs, is_clip_finished
from dsr.pipeline.clips import Clip, Listener, find_clips
from dsr.pipeline.inputs import InputPicture, find_inputs, name_outputs
from dsr.pipeline.outputs import (
    OutputOptions,
    body_file_name,
    copy_body,
    is_finished,
    parse_formats,
    read_earlier,
    with_ending,
)
from dsr.pipeline.pictures import Fitter, check_jobs, ordered_map
from dsr.results.report import Row, read_rows, row_of, write_report

EXIT_FINE, EXIT_USAGE, EXIT_SOME_FAILED, EXIT_ALL_FAILED, EXIT_INTERRUPTED = 0, 2, 3, 4, 130


@dataclass(frozen=True, kw_only=True)
class FitCommand(FitOptions):
    """Fit posed, shaped, rigged bodies to the people in photographs and clips.

    Results go into the output folder: a mesh per person (NAME.p0.glb), everything found (NAME.json, NAME.npz), and one
    report.csv and report.json. Finished pictures are skipped when the command is run again. Video files, and folders of
    frames with --sequence, become one animated NAME.p0.glb per person.
    Exit codes: 0 all fine (nobody in a picture is fine), 2 usage, 3 some pictures failed, 4 all failed,
    130 interrupted.
    """

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT")]
    """Pictures, video files, folders, globs, or text lists with one path per line."""
    sequence: bool = False
    """Each folder holds the frames of one clip (in natural order of their names): people are followed through it, with
    one shape, smooth in time, feet on the ground."""
    fps: float | None = None
    """Frames per second of clips: 30 for a folder of frames; a video file says it itself."""
    lifter: str = "shipped"
    """What turns a clip's keypoints into 3D joints: shipped, none (the detector's own 3D landmarks), or a file of
    weights."""
    max_gap: float = 1.0
    """Seconds for which somebody in a clip may be hidden and stay the same person; the gap is filled in and marked."""
    out: Path
    """Folder for the results; made if it is not there."""
    format: str = "glb"
    """Comma list of mesh formats: obj, ply, glb, and fbx, bvh, usd, blend with the blender extra. NPZ + JSON are always
    written."""
    overlay: bool = False
    """Also write NAME.overlay.jpg: the bodies drawn over the picture; NAME.overlay.mp4 for a clip."""
    side_view: bool = False
    """Also write NAME.side.jpg: the bodies seen from the side."""
    frame: Literal["camera", "body"] = "camera"
    """Frame of the mesh files: where the camera saw the person, or standing at the origin facing forward."""
    recursive: bool = False
    """Also look into subfolders; the results mirror the tree."""
    jobs: int = 0
    """Pictures worked on at a time; 0 chooses by the processor. The results do not depend on it."""
    overwrite: bool = False
    """Do finished pictures again instead of skipping them."""
    limit: int | None = None
    """Take only this many pictures, the first ones."""
    fail_fast: bool = False
    """Stop at the first picture that cannot be used."""
    dry_run: bool = False
    """Only list what would be done; writes nothing."""
    quiet: bool = False
    """Say nothing but errors."""
    json_log: bool = False
    """One JSON object per line on standard output; everything meant for people goes to standard error."""
    list_licences: bool = False
    """List the licences of everything that has a part in a result, and stop."""
    serve: bool = False
    """Stay and answer requests on standard input, as the Blender add-on sends them; see docs/worker_protocol.md."""

    def fit_options(self) -> FitOptions:
        """The part of the command that :func:`dsr.fit_images` takes."""
        return FitOptions(**{f.name: getattr(self, f.name) for f in fields(FitOptions)})

    def sequence_options(self) -> SequenceOptions:
        """The part of the command that is about clips."""
        return SequenceOptions(self.fps, self.lifter, self.max_gap)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"--list-licences", "--list_licences"} & set(arguments):
        from dsr.cli.licences import licence_table

        sys.stdout.write(licence_table())
        return EXIT_FINE
    if arguments[:1] == ["--serve"]:
        from dsr.cli.serve import main as serve

        return serve(arguments[1:])
    try:
        arguments = _inputs_first(arguments)
        command = tyro.cli(FitCommand, prog="dsr-fit", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except BrokenPipeError:  # dsr-fit --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_FINE
    try:
        with _termination_is_interruption():
            return _Run(command).main()
    except (UsageError, BodyError, CheckpointError, MissingExtraError, ExportError) as error:
        say(sys.stderr, f"dsr-fit: {error}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        sys.stderr.write("dsr-fit: interrupted.\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_INTERRUPTED


@contextmanager
def _termination_is_interruption() -> Iterator[None]:
    """SIGTERM (``kill``, a batch system's time limit) ends a run as Ctrl-C does: finished work and the report stay."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _inputs_first(arguments: list[str]) -> list[str]:
    """Move inputs that stand behind options to the front, where the parser wants them."""
    if "--" in arguments:
        return arguments
    switches = {f.name for f in fields(FitCommand) if f.type == "bool"}
    known = {f.name for f in fields(FitCommand)}
    inputs: list[str] = []
    rest: list[str] = []
    takes_value = False
    for token in arguments:
        if takes_value or token.startswith("-"):
            name = token[2:].replace("-", "_") if token.startswith("--") else ""
            takes_value = not takes_value and name in known - switches
            rest.append(token)
        else:
            inputs.append(token)
    return inputs + rest


def entry() -> None:
    """Console script."""
    sys.exit(main())


@dataclass
class _Job:
    """One picture or clip of this run."""

    picture: InputPicture
    name: str
    finished: bool = False
    clip: Clip | None = None


class _StoppedError(BaseException):
    """Ends the work on a clip when the run is interrupted; no error of the clip, so nothing but the thread sees it."""


@dataclass
class _Run:
    """One run of the command: plan, work, report."""

    command: FitCommand
    jobs: list[_Job] = field(default_factory=list)
    rows: dict[int, Row] = field(default_factory=dict)
    report_failed: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    def main(self) -> int:
        """Plan, then work; returns the exit code."""
        command = self.command
        if command.serve:
            raise UsageError("--serve takes its inputs from requests: give it alone, as dsr-fit --serve.")
        if not command.inputs:
            raise UsageError("Name at least one picture or folder: dsr-fit INPUT... --out DIR.")
        if command.limit is not None and command.limit < 1:
            raise UsageError(f"--limit {command.limit}: use a whole number from 1.")
        if command.jobs < 0:
            raise UsageError(
                f"--jobs {command.jobs}: use 0 (automatic) or the number of pictures to work on at a time."
            )
        options = command.fit_options()
        check_options(options)
        wanted = OutputOptions(parse_formats(command.format), command.overlay, command.side_view, command.frame)
        self._plan(options, wanted)
        if command.dry_run:
            return self._list()
        make_folder(command.out)
        return self._work(options, wanted)

    def _plan(self, options: FitOptions, wanted: OutputOptions) -> None:
        """Which pictures, under which names, and which of them are finished."""
        from dsr.body import load_asset

        out = self.command.out
        sequence = self.command.sequence_options()
        pictures, clips = self._inputs(options, sequence, wanted)
        asset_stem = Path(body_file_name(load_asset(options.body))).stem
        earlier: dict[str, dict[str, Any] | None] = {}

        def document(name: str) -> dict[str, Any] | None:
            if name not in earlier:
                earlier[name] = read_earlier(with_ending(out / name, ".json"))
            return earlier[name]

        def owner(name: str) -> str | None:
            found = document(name)
            return None if found is None else str(found.get("input", {}).get("absolute_path", ""))

        names = name_outputs(pictures, owner, reserved=[asset_stem])
        for picture, name in list(zip(pictures, names, strict=True))[: self.command.limit]:
            found = None if self.command.overwrite or picture.problem else document(name)
            json_path, clip = with_ending(out / name, ".json"), clips.get(picture.path)
            if found is None:
                finished = False
            elif clip is None:
                finished = is_finished(found, json_path, picture.path, options, wanted)
            else:
                finished = is_clip_finished(found, json_path, clip, options, sequence, wanted)
            self.jobs.append(_Job(picture, name, finished, clip))

    def _inputs(
        self, options: FitOptions, sequence: SequenceOptions, wanted: OutputOptions
    ) -> tuple[list[InputPicture], dict[Path, Clip]]:
        """What to work on, and which of it are clips, by path."""
        command = self.command
        if command.sequence:
            found = {clip.path: clip for clip in find_clips(command.inputs, skip=command.out)}
            pictures = [InputPicture(clip.path, problem=clip.problem) for clip in found.values()]
        else:
            pictures = find_inputs(command.inputs, command.recursive, skip=command.out)
            from dsr.image.video import is_video

            found = {p.path: Clip(p.path) for p in pictures if is_video(p.path) and not p.problem}
        if found:
            check_sequence_options(options, sequence)
            check_clip_outputs(wanted, any(clip.is_video and not clip.problem for clip in found.values()))
        return pictures, found

    def _list(self) -> int:
        for job in self.jobs:
            what = "skip" if job.finished else ("problem" if job.picture.problem else "fit")
            if self.command.json_log:
                _emit("plan", input=str(job.picture.path), action=what, name=job.name)
            else:
                say(sys.stdout, f"{what:8}{job.picture.path} -> {with_ending(self.command.out / job.name, '.*')}")
        return EXIT_FINE

    def _work(self, options: FitOptions, wanted: OutputOptions) -> int:

        logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        command = self.command
        started = time.perf_counter()
        before = {row.name: row for row in read_rows(command.out)}
        todo = [i for i, job in enumerate(self.jobs) if not job.finished]
        if command.json_log:
            _emit("start", total=len(self.jobs), skipped=len(self.jobs) - len(todo))
        for i, job in enumerate(self.jobs):
            if job.finished:
                self.rows[i] = before.get(job.name) or _row_from_files(command.out, job)
                self.rows[i].earlier = True
                if command.json_log:
                    _emit("result", index=i, **{**asdict(self.rows[i]), "status": "skipped"})
        jobs = check_jobs(command.jobs)
        fitter = Fitter(options, keep_pictures=True, jobs=jobs)
        clip_fitter = SequenceFitter(options, command.sequence_options()) if any(j.clip for j in self.jobs) else None
        body_file = ""
        if any(self.jobs[i].clip is None for i in todo):
            fitter.prepare()
            body_file = copy_body(fitter.body.asset, command.out)
        if clip_fitter is not None and todo:
            clip_fitter.prepare()
            body_file = body_file or copy_body(clip_fitter.body.asset, command.out)

        def work(i: int) -> int:
            job = self.jobs[i]
            if job.clip is None or clip_fitter is None:
                self.rows[i] = fit_and_write(fitter, job.picture, job.name, command.out, options, wanted, body_file)
            else:
                told = self._listener(job.picture)
                self.rows[i] = fit_and_write_clip(clip_fitter, job.clip, job.name, command.out, wanted, body_file, told)
            return i

        interrupted = False
        saved = time.perf_counter()
        progress = Progress(len(self.jobs), len(self.jobs) - len(todo), quiet=command.quiet, json_log=command.json_log)
        finished = ordered_map(work, todo, jobs)
        try:
            with progress:
                for i in finished:
                    row = self.rows[i]
                    progress.done(row)
                    if command.json_log:
                        _emit("result", index=i, **asdict(row))
                    if row.failed and command.fail_fast:
                        break
                    if time.perf_counter() - saved > 30:
                        self._report(before)
                        saved = time.perf_counter()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self.stop.set()
            finished.close()  # type: ignore[attr-defined]
            self._report(before, interrupted)
        code = EXIT_INTERRUPTED if interrupted else self._exit_code()
        self._summary(code, time.perf_counter() - started)
        return code

    def _listener(self, picture: InputPicture) -> Listener:
        """Says now and then how far a clip is, and ends it when the run is interrupted."""
        last = time.perf_counter()

        def told(done: int, expected: int) -> None:
            nonlocal last
            if self.stop.is_set():
                raise _StoppedError
            now = time.perf_counter()
            if now - last < 10 or self.command.quiet:
                return
            last = now
            if self.command.json_log:
                _emit("frames", input=str(picture.path), done=done, expected=expected)
            else:
                say(sys.stdout, f"{picture.path}: {done}{f' of {expected}' if expected else ''} frames looked at")

        return told

    def _report(self, before: dict[str, Row], interrupted: bool = False) -> None:
        """This run's rows in input order, then rows of earlier runs into the same folder."""
        rows = [row for _, row in sorted(self.rows.items())]
        mine = {row.name for row in rows}
        others = [row for name, row in before.items() if name not in mine]
        for row in others:
            row.earlier = True
        try:
            write_report(self.command.out, rows + others, interrupted)
        except ExportError as error:
            self.report_failed = True
            say(sys.stderr, f"dsr-fit: {error}")

    def _exit_code(self) -> int:
        failed = sum(row.failed for row in self.rows.values())
        if not failed:
            return EXIT_SOME_FAILED if self.report_failed else EXIT_FINE
        return EXIT_ALL_FAILED if failed == len(self.rows) else EXIT_SOME_FAILED

    def _summary(self, code: int, seconds: float) -> None:
        rows = list(self.rows.values())
        new = [row for row in rows if not row.earlier]
        failed = [row for row in rows if row.failed]
        counts = {
            "pictures": len(new),
            "skipped": len(rows) - len(new),
            "people": sum(row.people for row in new),
            "without_people": sum(row.status == "no_person" for row in new),
            "failed": len(failed),
        }
        if self.command.json_log:
            _emit("end", exit_code=code, seconds=round(seconds, 3), **counts)
        if self.command.quiet:
            return
        word = "Interrupted after" if code == EXIT_INTERRUPTED else "Done:"
        clips = sum(not row.earlier and self.jobs[i].clip is not None for i, row in self.rows.items())
        things = ((len(new) - clips, "picture"), (clips, "clip"))
        parts = [f"{n} {kind}{'s' * (n != 1)}" for n, kind in things if n] or ["0 pictures"]
        parts.append("1 person" if counts["people"] == 1 else f"{counts['people']} people")
        parts += [f"{counts[k]} {k.replace('_', ' ')}" for k in ("without_people", "skipped", "failed") if counts[k]]
        stream = sys.stderr if self.command.json_log else sys.stdout
        say(stream, f"{word} {', '.join(parts)} in {seconds:.1f} s; see {self.command.out / 'report.csv'}")


def _row_from_files(out: Path, job: _Job) -> Row:
    """The row of a finished picture whose report is gone."""
    from dsr.results.saved import load_result

    json_path = with_ending(out / job.name, ".json")
    result = load_result(json_path)
    run = (read_earlier(json_path) or {}).get("run", {})
    folder = Path(job.name).parent
    files = [*run.get("outputs", ()), with_ending(out / job.name, ".npz").name, json_path.name]
    return row_of(result, job.name, [(folder / f).as_posix() for f in files], result.timing_s.get("total", 0.0))


def _emit(event: str, **values: Any) -> None:
    """One line of the JSON log."""
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    entry()
