"""``dsr-fit``: pictures in, bodies out. A folder of photographs becomes meshes, overlays, results and a report."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import tyro

from dsr.cli.common import EXIT_FINE, EXIT_INTERRUPTED, refuse_empty_out, run_command
from dsr.cli.fit_command import FitCommand, inputs_first

if TYPE_CHECKING:
    from dsr.pipeline.picture_fitter import Fitter


def main(argv: Sequence[str] | None = None, make_fitter: Callable[..., Fitter] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; those of the process by default.
        make_fitter: what to use instead of :class:`~dsr.pipeline.picture_fitter.Fitter`, called like it.

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
    if arguments[:1] == ["report"]:
        from dsr.cli.report import main as report

        return run_command("dsr-fit report", lambda: report(arguments[1:]))

    def parse_and_run() -> int:
        refuse_empty_out(arguments)
        config = (tyro.conf.FlagCreatePairsOff,)
        command = tyro.cli(FitCommand, prog="dsr-fit", args=inputs_first(arguments), config=config)
        # a reader that goes away ends the help as usual, but a run before its end
        return run_command("dsr-fit", lambda: run(command), broken_pipe=EXIT_INTERRUPTED)

    def run(command: FitCommand) -> int:
        from dsr.cli.fit_run import FitRun

        with _termination_is_interruption():
            return FitRun(command, make_fitter).main()

    return run_command("dsr-fit", parse_and_run)


def entry() -> None:
    """Console script. After an interruption nobody waits for threads that are still inside native code."""
    code = main()
    if code == EXIT_INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


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


if __name__ == "__main__":
    entry()
