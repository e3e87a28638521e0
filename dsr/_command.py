"""Commands that make one file which is shipped: ``python -m dsr.mocap.learn_prior`` and its like."""

from __future__ import annotations

import sys
from typing import Any

import tyro

from dsr.errors import DsrError


def run_once(command: type[Any], prog: str | None = None) -> int:
    """Run a command whose ``main`` gives a line of figures.

    Args:
        command: dataclass of its options.
        prog: its name in the help text.

    Returns:
        0, or 2 with one line on standard error if the data do not allow it.
    """
    try:
        figures = tyro.cli(command, prog=prog, description=command.__doc__).main()
    except DsrError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{figures}\n")
    return 0
