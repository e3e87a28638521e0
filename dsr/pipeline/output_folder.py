"""The folder that results are written into, for pictures and clips alike.

The JSON file of a result is written last and removed first: where it is there, everything else is complete.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsr.errors import ExportError, UsageError
from dsr.files import all_or_nothing, expand_user, file_sha256, weights_sha256, with_ending, write_bytes
from dsr.options import FitOptions, SequenceOptions
from dsr.pipeline.body_file import copy_body
from dsr.pipeline.chain import errors_as_status
from dsr.pipeline.clip_lifter import lifter_record
from dsr.pipeline.earlier import is_whole, other_body, people_sha256, place_of, read_earlier, sidecar_sha256
from dsr.pipeline.fetching import sidecar_here
from dsr.pipeline.inputs import Clip, InputPicture
from dsr.pipeline.output_names import name_outputs
from dsr.pipeline.output_options import UNSAID, OutputOptions
from dsr.results.clip import SequenceResult
from dsr.results.files import file_record, read_document
from dsr.results.picture import FitResult
from dsr.results.report import FINE, Row, read_rows, row_of, write_report
from dsr.results.saved import load_result, save_result

if TYPE_CHECKING:
    from dsr.body import Body, BodyAsset


@dataclass(frozen=True)
class PlannedOutput:
    """An input and where its results go.

    Attributes:
        source: the picture or clip.
        name: output name relative to the folder, forward slashes: the results are ``<name>.json`` and so on.
        finished: whether an earlier run already made everything that is asked for.
        other_body: whether an earlier run did so, but with another body.
    """

    source: InputPicture | Clip
    name: str
    finished: bool = False
    other_body: bool = False


class OutputFolder:
    """Results of fits in one folder, and which of them are finished.

    Args:
        path: the folder; made by :meth:`make`.
        options: of the fits, kept beside every result for resuming.
        output_options: which files are written.
        sequence: options of clips.

    Attributes:
        body_file: file name of the body's copy, once :meth:`add_body` has put it there.
        removed: files of earlier runs that :meth:`write` has deleted.
    """

    def __init__(
        self,
        path: Path,
        options: FitOptions,
        output_options: OutputOptions,
        sequence: SequenceOptions | None = None,
    ) -> None:
        self.path, self.body_file = path, ""
        self.removed: list[Path] = []
        self._options, self._output_options = options, output_options
        self._sequence = sequence or SequenceOptions()

    @property
    def title(self) -> str:
        """What a user calls the folder."""
        return str(self.path)

    def make(self) -> None:
        """Make sure results can be written before any work is done.

        Raises:
            UsageError: if the folder cannot be made.
            ExportError: if nothing can be written into it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            blocked = self.path.exists() or any(parent.is_file() for parent in self.path.parents)
            reason = "a file of that name is in the way" if blocked else error.strerror or str(error)
            if self.path.is_symlink() and not self.path.exists():
                reason = "it is a link to a folder that does not exist"
            raise UsageError(
                f"The output folder {self.path} cannot be made: {reason}; choose another --out."
            ) from error
        probe = self.path / ".dsr-fit-probe"
        write_bytes(probe, b"")
        probe.unlink(missing_ok=True)

    def add_body(self, asset: BodyAsset) -> None:
        """Put a copy of the body beside the results.

        Raises:
            ExportError: if it cannot be written.
        """
        self.body_file = copy_body(asset, self.path)

    def json_path(self, name: str) -> Path:
        """The JSON file of the result with this output name."""
        return with_ending(self.path / name, ".json")

    def plan(
        self,
        sources: list[InputPicture | Clip],
        reserved: Iterable[str],
        limit: int | None = None,
        overwrite: bool = False,
        body_sha256: str = "",
    ) -> list[PlannedOutput]:
        """Names for the results of inputs, and which of them are finished.

        Args:
            sources: pictures and clips; one that has results in the folder keeps its name.
            reserved: names not to be used (the stem of the body asset).
            limit: plan only this many, the first ones.
            overwrite: take none for finished.
            body_sha256: hash of the body that is fitted; results of another one are not finished. "" takes any.
        """
        documents: dict[str, dict[str, Any] | None] = {}

        def document(name: str) -> dict[str, Any] | None:
            if name not in documents:
                documents[name] = self._earlier(name)
            return documents[name]

        def owner(name: str) -> str | None:
            earlier = document(name)
            return None if earlier is None else place_of(earlier)

        names = name_outputs(sources, owner, reserved)
        planned = []
        for source, name in list(zip(sources, names, strict=True))[:limit]:
            earlier = None if overwrite or source.problem else document(name)
            finished = earlier is not None and self.is_finished(source, name, earlier)
            other = finished and earlier is not None and other_body(earlier, body_sha256)
            planned.append(PlannedOutput(source, name, finished and not other, other))
        return planned

    def is_finished(self, source: InputPicture | Clip, name: str, document: dict[str, Any] | None = None) -> bool:
        """Whether an earlier run already made everything this one would make of an input.

        Args:
            source: the same by size and time (of all files of a clip); a picture also by its hash.
            name: output name.
            document: the JSON file of the earlier result, where it has been read already.
        """
        document = self._earlier(name) if document is None else document
        run = None if document is None else document.get("run")
        if document is None or not isinstance(run, dict):
            return False
        if isinstance(run.get("options"), dict):  # options that its release did not have yet
            run = {**run, "options": {**FitOptions().record(), **run["options"]}}
        made = {**self._made_with(source), "sidecar": sidecar_sha256(sidecar_here(source))}
        if "people_file" in run:  # earlier releases did not write it down
            made |= self._people_file(source)
        other = any(run.get(key, value) != made.get(key, value) for key, value in UNSAID.items())
        if (
            other
            or any(run.get(key) != value for key, value in made.items())
            or not self._same_weights(source, document)
        ):
            return False
        if not self._is_whole(name, document, run):
            return False
        stamp = source.stamp()
        if stamp and all(run.get(key) == value for key, value in stamp.items()):
            return True
        try:
            return isinstance(source, InputPicture) and file_sha256(source.path) == document["input"]["sha256"]
        except (OSError, KeyError, TypeError):
            return False

    def write(self, result: FitResult | SequenceResult, source: InputPicture | Clip, name: str, body: Body) -> Row:
        """Write everything that is asked for of one input, and remove what an earlier fit left.

        Args:
            result: of the input; problems with writing become its ``status`` and ``message``.
            source: the input.
            name: output name.
            body: the body that the people were fitted with.

        Returns:
            The row of the report; a warning where files of an earlier run were removed.
        """
        started = time.perf_counter()
        earlier = self._earlier(name)
        written: list[Path] = []
        if result.status in FINE:
            with errors_as_status(result, " while writing"), all_or_nothing():
                written = self._write_files(result, source, name, body)
                self._deliver(written)
        failed = result.status not in FINE
        keep = set() if failed else {path.name for path in written}
        removed = self.remove_stale(earlier, source, name, keep, everything=failed)
        self.removed += removed
        if removed and failed:
            result.message += " The results of an earlier run were removed."
        outputs = [path.relative_to(self.path).as_posix() for path in written]
        row = row_of(result, name, outputs, result.timing_s.get("total", 0.0) + time.perf_counter() - started)
        if removed and not failed:
            row.warnings.append(f"Files of an earlier run were removed: {', '.join(path.name for path in removed)}.")
        return row

    def remove_stale(
        self,
        document: dict[str, Any] | None,
        source: InputPicture | Clip,
        name: str,
        keep: set[str],
        everything: bool = False,
    ) -> list[Path]:
        """Delete what an earlier fit of the same input wrote and this one did not.

        Args:
            document: the JSON file of the earlier result, read before this one was written; None where there was none.
            source: the input; results of another one stay.
            name: output name; only files beside its JSON file that carry this name are ever touched.
            keep: file names written this time.
            everything: also the JSON file and the arrays (the input cannot be used any more).

        Returns:
            The files that were deleted; what cannot be deleted stays.
        """
        if document is None or place_of(document) != source.place:
            return []
        json_path = self.json_path(name)
        run = document.get("run")
        outputs = run.get("outputs", []) if isinstance(run, dict) else []
        files = [file for file in outputs if isinstance(file, str)] if isinstance(outputs, list) else []
        if everything:
            files += [json_path.name, f"{json_path.stem}.npz"]
        removed = []
        for file in dict.fromkeys(files):
            path = json_path.with_name(file) if file and Path(file).name == file else None
            if path is None or file in keep or not file.startswith(f"{json_path.stem}."):
                continue
            if self._remove(path):
                removed.append(path)
        return removed

    def earlier_rows(self) -> list[Row]:
        """The rows of the report of earlier runs; none where there is no readable one."""
        return read_rows(self.path)

    def write_report(self, rows: list[Row], interrupted: bool = False) -> None:
        """Write the report; arguments as of :func:`~dsr.results.report.write_report`.

        Raises:
            ExportError: if it cannot be written.
        """
        write_report(self.path, rows, interrupted)

    def earlier_row(self, name: str) -> Row:
        """The row of a finished result whose report is gone.

        Raises:
            ResultError: if the result cannot be read.
        """
        json_path = self.json_path(name)
        result = load_result(json_path)
        run = read_document(json_path).get("run", {})
        files = [*run.get("outputs", ()), f"{json_path.stem}.npz", json_path.name]
        folder = Path(name).parent
        return row_of(result, name, [(folder / f).as_posix() for f in files], result.timing_s.get("total", 0.0))

    def _write_files(
        self, result: FitResult | SequenceResult, source: InputPicture | Clip, name: str, body: Body
    ) -> list[Path]:
        """All files of a result; the JSON file comes last."""
        from dsr.pipeline.clip_outputs import write_clip_files
        from dsr.pipeline.picture_outputs import write_picture_files

        base, json_path = self.path / name, self.json_path(name)
        if not (self.path / self.body_file).exists():
            raise ExportError(
                f"The output folder {self.path} was removed or emptied while results were written into it; run dsr-fit "
                "again."
            )
        try:
            base.parent.mkdir(parents=True, exist_ok=True)
            self._withdraw(json_path)
        except OSError as error:
            raise ExportError(f"{json_path} cannot be written: {error.strerror or error}.") from error
        if isinstance(result, SequenceResult):
            assert isinstance(source, Clip)
            written = write_clip_files(result, source, body, base, self._sequence.fps, self._output_options)
        else:
            written = write_picture_files(result, body.asset, base, self._output_options)
        result.body["file"] = os.path.relpath(self.path / self.body_file, base.parent).replace(os.sep, "/")
        details: list[dict[str, Any]] = [
            {"outputs": [path.name for path in written]},
            {"files": [file_record(path) for path in written]},
            {"sidecar": sidecar_sha256(source.first_file), **self._people_file(source)},
            source.stamp(),
        ]
        if isinstance(source, Clip):
            details.reverse()  # the order that the files always had
        run = {key: value for part in (self._made_with(source), *details) for key, value in part.items()}
        return written + save_result(result, json_path, run)

    def _earlier(self, name: str) -> dict[str, Any] | None:
        """The JSON file of an earlier result of this output name, or None."""
        return read_earlier(self.json_path(name))

    def _is_whole(self, name: str, document: dict[str, Any], run: dict[str, Any]) -> bool:
        """Whether all files of an earlier result are there as they were written."""
        return is_whole(self.json_path(name), document, run)

    def _withdraw(self, json_path: Path) -> None:
        """Remove the JSON file of an earlier result: what lies beside it is about to change."""
        json_path.unlink(missing_ok=True)

    def _deliver(self, written: list[Path]) -> None:
        """Everything of a result is written, the JSON file last."""

    def _remove(self, path: Path) -> bool:
        """Delete a file of an earlier result; False where it stays or was not there."""
        try:
            path.unlink()
        except OSError:
            return False
        return True

    def _made_with(self, source: InputPicture | Clip) -> dict[str, Any]:
        """The options that a result depends on: written beside it, and compared when a run is resumed."""
        sequence = {"sequence": self._sequence.record()} if isinstance(source, Clip) else {}
        return {"options": self._options.record(), **sequence, **self._output_options.record()}

    def _people_file(self, source: InputPicture | Clip) -> dict[str, str]:
        """The hash of the file that says who is in the input, where one does."""
        pictures = source.pictures if isinstance(source, Clip) else (source.path,)
        sha256 = people_sha256(self._options, pictures)
        return {"people_file": sha256} if sha256 else {}

    def _same_weights(self, source: InputPicture | Clip, document: dict[str, Any]) -> bool:
        """Whether the file of the network, or of a clip's lifter, is still the one the result was made with."""
        if isinstance(source, Clip):
            used = document.get("lifter", {})
            if document.get("status") == "no_person" and used.get("name") == "none":
                return True  # nobody was there to lift
            return bool(used.get("sha256", "") == lifter_record(self._sequence.lifter).get("sha256", ""))
        _, colon, file = self._options.regressor.partition(":")
        used = document.get("regressor", {})
        return not colon or bool(used.get("sha256") == weights_sha256(expand_user(file)) != "")
