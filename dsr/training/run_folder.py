"""RUN, the folder of one run: who may write into it, and with which changes a run in it goes on. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from dsr.errors import UsageError
from dsr.files import write_bytes
from dsr.training.config import flag, flat, may_change
from dsr.training.config_file import Config, read_config, to_yaml

CONFIG_FILE, STATE_FILE = "config.yaml", "last.state.pt"


def earlier_config(out: Path, base: Config) -> Config | None:
    """The configuration of the run in a folder, None where there is none.

    Args:
        out: RUN.
        base: configuration of its kind, for what the file does not say.

    Raises:
        UsageError: if the file is damaged or of another kind of system.
    """
    file = out / CONFIG_FILE
    return read_config(file, base) if file.exists() else None


def claim(out: Path, config: Config, base: Config, resume: bool) -> None:
    """Make RUN, and refuse one that holds another run.

    Args:
        out: RUN.
        config: of the run that is to be there.
        base: as in :func:`earlier_config`.
        resume: go on with a run that is there.

    Raises:
        UsageError: if the folder cannot be made, holds a run, or one that was begun differently.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (
            "a file of that name is in the way"
            if isinstance(error, (FileExistsError, NotADirectoryError))
            else (error.strerror or str(error))
        )
        raise UsageError(f"--out {out}: the folder cannot be made: {reason}; choose another one.") from error
    earlier = earlier_config(out, base)
    if earlier is None:
        return
    if not resume and int(os.environ.get("RANK", "0")) == 0:
        raise UsageError(f"--out {out} holds another run: go on with it by --resume, or choose another folder.")
    before, now, changeable = flat(earlier), flat(config), may_change(config)
    for key in before:
        if before[key] != now[key] and key not in changeable:
            raise UsageError(
                f"{flag(key)} is {now[key]}, but the run in {out} was begun with {before[key]}: resume it without "
                "that change, or train into another folder."
            )


def write_config(out: Path, config: Config) -> None:
    """Write the resolved configuration."""
    write_bytes(out / CONFIG_FILE, to_yaml(config).encode())


def can_resume(out: Path) -> bool:
    """Whether the folder holds a state to go on from."""
    return (out / STATE_FILE).exists()
