"""One picture or clip from file to files, as every command does it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from dsr.errors import DsrError, UsageError
from dsr.options import FitOptions
from dsr.pipeline.clip_fitter import SequenceFitter
from dsr.pipeline.clip_outputs import write_clip_outputs
from dsr.pipeline.clips import Clip, Listener
from dsr.pipeline.inputs import InputPicture
from dsr.pipeline.outputs import OutputOptions, read_earlier, remove_stale, with_ending, write_outputs
from dsr.pipeline.pictures import Fitter
from dsr.results.clip import SequenceResult
from dsr.results.picture import FitResult
from dsr.results.report import FINE, Row, row_of


def fit_and_write(
    fitter: Fitter,
    picture: InputPicture,
    name: str,
    out: Path,
    options: FitOptions,
    wanted: OutputOptions,
    body_file: str,
) -> Row:
    """Fit one picture and write its results; problems become the row's status.

    Args:
        fitter: does the fitting.
        picture: the input.
        name: output name relative to ``out``.
        out: output folder.
        options: of the fit, kept in the result.
        wanted: which files.
        body_file: file name of the body's copy in ``out``.

    Returns:
        The row of the report.
    """
    started = time.perf_counter()
    result = fitter.problem(picture.path, picture.problem) if picture.problem else fitter.fit(picture.path)

    def write() -> list[Path]:
        assert isinstance(result, FitResult)
        return write_outputs(result, fitter.body.asset, out, name, options, wanted, body_file)

    return _written(result, picture.path, name, out, write, started)


def fit_and_write_clip(
    fitter: SequenceFitter,
    clip: Clip,
    name: str,
    out: Path,
    wanted: OutputOptions,
    body_file: str,
    listener: Listener | None = None,
) -> Row:
    """Fit one clip and write its results; problems become the row's status.

    Args:
        fitter: does the fitting.
        clip: the input.
        name: output name relative to ``out``.
        out: output folder.
        wanted: which files.
        body_file: file name of the body's copy in ``out``.
        listener: told how many frames are done.

    Returns:
        The row of the report.
    """
    started = time.perf_counter()
    result = fitter.fit(clip, listener)

    def write() -> list[Path]:
        return write_clip_outputs(
            result, clip, fitter.body, out, name, fitter.options, fitter.sequence, wanted, body_file
        )

    return _written(result, clip.path, name, out, write, started)


def _written(
    result: FitResult | SequenceResult,
    path: Path,
    name: str,
    out: Path,
    write: Callable[[], list[Path]],
    started: float,
) -> Row:
    """Write what there is to write, remove what an earlier run left, and make the row."""
    outputs: list[str] = []
    json_path = with_ending(out / name, ".json")
    earlier = read_earlier(json_path)
    if result.status in ("ok", "no_person"):
        try:
            outputs = [written.relative_to(out).as_posix() for written in write()]
        except DsrError as error:
            result.status, result.message = "failed", str(error)
        except Exception as error:
            logging.getLogger(__name__).exception("unexpected error while writing the results of %s", path)
            result.status = "failed"
            result.message = f"{path}: unexpected {type(error).__name__} while writing: {error}."
    failed = result.status not in FINE
    keep = set() if failed else {Path(file).name for file in outputs}
    if remove_stale(earlier, json_path, path, keep, failed) and failed:
        result.message += " The results of an earlier run were removed."
    return row_of(result, name, outputs, time.perf_counter() - started)


def make_folder(out: Path) -> None:
    """Make sure results can be written before any work is done.

    Raises:
        UsageError: if the folder cannot be made.
    """
    from dsr.files import write_bytes

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file of that name is in the way" if out.exists() or _blocked(out) else error.strerror or str(error)
        raise UsageError(f"The output folder {out} cannot be made: {reason}; choose another --out.") from error
    probe = out / ".dsr-fit-probe"
    write_bytes(probe, b"")
    probe.unlink(missing_ok=True)


def _blocked(out: Path) -> bool:
    return any(parent.is_file() for parent in out.parents)
