"""``dsr-eval``: how good the bodies are, measured; ``dsr-eval synthetic`` on rendered people with known bodies."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import tyro

from dsr.cli.eval_common import EXIT_INTERRUPTED, EXIT_USAGE
from dsr.cli.eval_synthetic import SyntheticCommand, run_synthetic
from dsr.errors import DsrError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        command = tyro.extras.subcommand_cli_from_dict(
            {"synthetic": SyntheticCommand}, prog="dsr-eval", args=arguments,
            description="Measure how good the bodies are.",
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
        )  # fmt: skip
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    try:
        return run_synthetic(command)
    except DsrError as error:
        sys.stderr.write(f"dsr-eval: {error}\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        sys.stderr.write("dsr-eval: interrupted.\n")
        return EXIT_INTERRUPTED


def entry() -> None:
    """Console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
