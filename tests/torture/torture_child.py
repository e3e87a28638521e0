"""Runs jobs in one process, one JSON line in and one out each: the exit code, what was said, seconds, peak memory.

Whoever started it sees which job was at work when it died.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any


def parse(kind: str, path: Path) -> None:
    """Let one of the project's parsers read a file.

    Raises:
        DsrError: if it refuses it; anything else is a defect.
    """
    if kind == "bvh":
        from dsr.mocap import read_bvh

        read_bvh(path)
    elif kind == "mhclo":
        from dsr.synthetic.mhclo import load_garment

        load_garment(path)
    elif kind == "yaml":
        from dsr.training.config_file import read_yaml

        read_yaml(path)
    elif kind in ("table", "joblib"):
        from dsr.datasets.joblib_file import open_table

        table = open_table(path)
        list(map(table.column, table.keys()))
    elif kind == "result":
        import dsr

        dsr.load_result(path)
    else:
        raise ValueError(kind)


def run(job: dict[str, Any]) -> int:
    """Do a job.

    Returns:
        The exit code; of a parser 0 where it read the file or refused it.
    """
    from dsr.errors import DsrError

    if job["command"] == "parse":
        try:
            parse(job["parser"], Path(job["file"]))
        except DsrError as error:
            sys.stdout.write(f"{error}\n")
        return 0
    if job["command"] == "serve":
        from dsr.cli.serve import Worker

        answers = io.StringIO()
        Worker(io.StringIO("\n".join(job["lines"]) + "\n"), answers).run()
        sys.stdout.write(answers.getvalue())
        return 0
    import dsr.cli.fit

    return dsr.cli.fit.main(job["arguments"])


def _peak_mib() -> float:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")) / 1024


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def main() -> None:
    """Answer jobs until standard input ends."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        job = json.loads(line)
        _forget_peak()
        with tempfile.TemporaryFile() as said:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            started, used = time.perf_counter(), time.process_time()
            try:
                code = run(job)
            except BaseException:
                traceback.print_exc()
                code = -1
            seconds, cpu = time.perf_counter() - started, time.process_time() - used
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            said.seek(0)
            text = said.read().decode("utf-8", "replace")
        answer = {"code": code, "seconds": seconds, "cpu_s": cpu, "peak_mib": _peak_mib(), "said": text[-200_000:]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
