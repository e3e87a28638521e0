"""One row per input: what became of it, as ``report.csv`` and ``report.json`` in the output folder."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from dsr.results.base import InputResult

REPORT_SCHEMA = "dsr.report"
FINE = ("ok", "no_person")
"""Statuses that are no failure: nobody in a picture is fine."""


@dataclass
class Row:
    """One line of the report.

    Attributes:
        input: the picture as it was named.
        status: as ``FitResult.status``.
        message: one sentence where the status is not ``ok``.
        people: number of people fitted.
        name: output name relative to the output folder; results are ``<name>.json`` and so on.
        outputs: files written, relative to the output folder.
        focal_source: where the focal length came from.
        reprojection_px: median over the people of the fit's reprojection error, pixels.
        reprojection_percent: the same in per cent of the height of a person's box.
        seconds: time spent on this picture.
        warnings: sentences for the user.
        earlier: True for a row taken over from an earlier run.
    """

    input: str
    status: str
    message: str = ""
    people: int = 0
    name: str = ""
    outputs: list[str] = field(default_factory=list)
    focal_source: str = ""
    reprojection_px: float | None = None
    reprojection_percent: float | None = None
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    earlier: bool = False

    @property
    def failed(self) -> bool:
        """True where the picture could not be used."""
        return self.status not in FINE


def row_of(result: InputResult, name: str, outputs: Iterable[str], seconds: float) -> Row:
    """The report's row of a result."""
    relative = _median(result, "reprojection_rel")
    return Row(
        input=result.input_path,
        status=result.status,
        message=result.message,
        people=len(result.people),
        name=name,
        outputs=list(outputs),
        focal_source=result.focal_source,
        reprojection_px=_round(_median(result, "reprojection_px")),
        reprojection_percent=None if relative is None else _round(100 * relative),
        seconds=round(seconds, 3),
        warnings=[*result.warnings, *(f"{p.id}: {sentence}" for p in result.people for sentence in p.warnings)],
    )


def write_report(folder: Path, rows: list[Row], interrupted: bool = False) -> list[Path]:
    """Write ``report.csv`` and ``report.json``, each complete or not at all.

    Args:
        folder: the output folder.
        rows: in the order of the inputs.
        interrupted: True where the run was stopped before its end.

    Raises:
        ExportError: if a file cannot be written.
    """
    from dsr import __version__
    from dsr.files import write_bytes

    document = {
        "schema": REPORT_SCHEMA,
        "schema_version": 1,
        "tool": {"name": "dsr", "version": __version__},
        "interrupted": interrupted,
        "counts": dict(sorted(Counter(row.status for row in rows).items())),
        "rows": [asdict(row) for row in rows],
    }
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow([f.name for f in fields(Row)])
    writer.writerows([_cell(value) for value in asdict(row).values()] for row in rows)
    return [
        write_bytes(folder / "report.csv", table.getvalue().encode("utf-8", "backslashreplace")),
        write_bytes(folder / "report.json", json.dumps(document, indent=1, allow_nan=False).encode()),
    ]


def read_rows(folder: Path) -> list[Row]:
    """The rows of an earlier report in the folder that are as they were written; none where it cannot be read."""
    try:
        entries = list(json.loads((folder / "report.json").read_bytes())["rows"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    rows = [_row(entry) for entry in entries if isinstance(entry, dict)]
    return [row for row in rows if row is not None]


def _row(entry: dict[str, Any]) -> Row | None:
    try:
        row = Row(**{f.name: entry[f.name] for f in fields(Row) if f.name in entry})
        texts = [row.input, row.status, row.message, row.name, row.focal_source, *row.outputs, *row.warnings]
        numbers = [
            row.people,
            row.seconds,
            *(n for n in (row.reprojection_px, row.reprojection_percent) if n is not None),
        ]
        fine = all(isinstance(text, str) for text in texts) and all(math.isfinite(number) for number in numbers)
    except (TypeError, OverflowError):
        return None
    return row if fine else None


def _median(result: InputResult, name: str) -> float | None:
    values = [p.residuals.get("fit", {}).get(name) for p in result.people]
    numbers = [v for v in values if v is not None and np.isfinite(v)]
    return float(np.median(numbers)) if numbers else None


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return "; ".join(value)
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else value
