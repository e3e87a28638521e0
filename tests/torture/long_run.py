"""A run over thousands of small pictures: memory must not grow, and the last ones must be as quick as the first.

    python tests/torture/long_run.py [--pictures 10000] [--cheap]

Prints memory and speed of the first and of the last tenth. ``--cheap`` makes the fits up: reading, writing, reports and
everything that is kept per picture stay. Exit code 1 where memory grew by more than 5 %, or the last tenth needed over
10 % more of the processor's time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bad_pictures import person
from kill_resume import CHEAP, ROOT, WHOLE

_MOST_MEMORY, _MOST_TIME = 1.05, 1.10


def main() -> int:
    """Run and print."""
    import psutil

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--cheap", action="store_true", help="made-up fits")
    arguments = parser.parse_args()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "OMP_NUM_THREADS": "1",
    }
    tenth = max(1, arguments.pictures // 10)
    marks: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name) / "in"
        inputs.mkdir()
        for k in range(arguments.pictures):
            path = inputs / f"{k:06}.jpg"
            if k < 20:
                person(90 + k).save(path, quality=85)
            else:
                os.link(inputs / f"{k % 20:06}.jpg", path)
        words = [str(inputs), "--out", str(Path(name) / "out"), "--json-log", "--jobs", "2", "--quality", "fast"]
        process = subprocess.Popen(
            [sys.executable, "-c", f"import sys; {CHEAP if arguments.cheap else WHOLE}", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        watched = psutil.Process(process.pid)
        done = 0
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "result":
                done += 1
                if done in (tenth // 2, 3 * tenth // 2, arguments.pictures - tenth, arguments.pictures):
                    used = watched.cpu_times()
                    marks.append((watched.memory_info().rss / 2**20, used.user + used.system, done))
        process.wait()
    first, last, code = marks[1], marks[-1], process.returncode
    early = (marks[1][1] - marks[0][1]) / (marks[1][2] - marks[0][2])
    late = (marks[3][1] - marks[2][1]) / (marks[3][2] - marks[2][2])
    memory, time = last[0] / first[0], late / early
    sys.stdout.write(
        f"{done} pictures, exit code {code}: {first[0]:.0f} MiB after {first[2]}, {last[0]:.0f} MiB at the "
        f"end (x {memory:.3f}); {1000 * early:.1f} and {1000 * late:.1f} ms of the processor a picture (x {time:.3f})\n"
    )
    return 1 if memory > _MOST_MEMORY or time > _MOST_TIME or code else 0


if __name__ == "__main__":
    sys.exit(main())
