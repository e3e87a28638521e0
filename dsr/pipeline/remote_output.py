"""The output folder of a run whose results go to a URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsr.errors import ExportError
from dsr.options import FitOptions, SequenceOptions
from dsr.pipeline.body_file import body_file_name
from dsr.pipeline.output_folder import OutputFolder
from dsr.pipeline.output_options import OutputOptions
from dsr.pipeline.remote_folder import RemoteFolder
from dsr.pipeline.urls import staging, url_of
from dsr.results.report import Row

if TYPE_CHECKING:
    from dsr.body import BodyAsset


def output_folder(
    out: Path, options: FitOptions, output_options: OutputOptions, sequence: SequenceOptions | None = None
) -> OutputFolder:
    """The output folder that ``--out`` names: of this machine, or at a URL. Arguments as of :class:`OutputFolder`."""
    if url := url_of(out):
        return RemoteOutputFolder(RemoteFolder(url), options, output_options, sequence)
    return OutputFolder(out, options, output_options, sequence)


class RemoteOutputFolder(OutputFolder):
    """Results are written in a folder of this machine, brought to a URL, and deleted here.

    "Finished" goes by the sizes that the URL's folder tells, once for all results, instead of by hashes.

    Args:
        remote: where the results go.
        options: as of :class:`OutputFolder`.
        output_options: as of :class:`OutputFolder`.
        sequence: as of :class:`OutputFolder`.
    """

    def __init__(
        self,
        remote: RemoteFolder,
        options: FitOptions,
        output_options: OutputOptions,
        sequence: SequenceOptions | None = None,
    ) -> None:
        super().__init__(staging() / "out", options, output_options, sequence)
        self._remote = remote

    @property
    def title(self) -> str:
        """The URL."""
        return self._remote.url

    def make(self) -> None:
        """Make sure that results can be written, here and there."""
        super().make()
        self._remote.check()

    def add_body(self, asset: BodyAsset) -> None:
        """Put a copy of the body there, and keep one here."""
        own = body_file_name(asset)
        for name in (own, f"{own[:-4]}-{asset.sha256[:8]}.npz"):
            if name in self._remote.sizes:
                self._bring(name)
        super().add_body(asset)
        body = self.path / self.body_file
        if self._remote.sizes.get(self.body_file) != body.stat().st_size:
            self._remote.publish([body], self.path)

    def earlier_rows(self) -> list[Row]:
        """The rows of the report that lies there."""
        self._bring("report.json")
        return super().earlier_rows()

    def write_report(self, rows: list[Row], interrupted: bool = False) -> None:
        """Write the report and bring it there."""
        super().write_report(rows, interrupted)
        self._remote.publish([self.path / "report.csv", self.path / "report.json"], self.path)

    def earlier_row(self, name: str) -> Row:
        """The row of a result that lies there."""
        self._bring(f"{name}.json")
        self._bring(f"{name}.npz")
        row = super().earlier_row(name)
        self._forget([self.json_path(name), self.path / f"{name}.npz"])
        return row

    def _earlier(self, name: str) -> dict[str, Any] | None:
        if not self._bring(f"{name}.json"):
            return None
        document = super()._earlier(name)
        self._forget([self.json_path(name)])
        return document

    def _is_whole(self, name: str, document: dict[str, Any], run: dict[str, Any]) -> bool:
        outputs, records = run.get("outputs"), run.get("files")
        if not isinstance(outputs, list) or not isinstance(records, list):
            return False
        sizes = {record.get("name"): record.get("bytes") for record in records if isinstance(record, dict)}
        folder = name.rpartition("/")[0]
        return all(
            file in sizes and self._remote.sizes.get(f"{folder}/{file}" if folder else file) == sizes[file]
            for file in [*outputs, document.get("arrays")]
        )

    def _withdraw(self, json_path: Path) -> None:
        super()._withdraw(json_path)
        self._remote.remove(json_path.relative_to(self.path).as_posix())

    def _deliver(self, written: list[Path]) -> None:
        try:
            self._remote.publish(written, self.path)
        finally:
            self._forget(written)

    def _remove(self, path: Path) -> bool:
        self._forget([path])
        try:
            return self._remote.remove(path.relative_to(self.path).as_posix())
        except ExportError:
            return False

    def _bring(self, name: str) -> bool:
        try:
            return self._remote.bring(name, self.path / name)
        except ExportError:  # what cannot be read is made again
            return False

    def _forget(self, files: list[Path]) -> None:
        for file in files:
            file.unlink(missing_ok=True)
