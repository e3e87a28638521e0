"""What the subcommands of ``dsr-eval`` share: JSON files and numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def check_output(flag: str, path: Path | None) -> None:
    """Before any work: the file can be written to its place.

    Raises:
        UsageError: if the folder is missing or the path is one.
    """
    from dsr.errors import UsageError

    if path is None:
        return
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{flag} {path}: the folder {path.absolute().parent} does not exist.")
    if path.is_dir():
        raise UsageError(f"{flag} {path}: that is a folder; name a file.")


def write_json(flag: str, path: Path | None, values: dict[str, Any]) -> None:
    """Write plain values to a file, if one is named.

    Raises:
        UsageError: if it cannot be written.
    """
    from dsr.errors import UsageError

    if path is None:
        return
    try:
        path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{flag} {path}: cannot be written ({error.strerror or error}).") from error


def number(value: Any, factor: float = 1.0, digits: int = 1) -> str:
    """A value of a table, or a dash where there is none."""
    return "-" if value is None else f"{factor * float(value):.{digits}f}"
