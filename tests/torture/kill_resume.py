"""Kills runs of ``dsr-fit`` at random moments, lets the last one end, and compares with a run that nobody disturbed.

    python tests/torture/kill_resume.py [--pictures 300] [--kills 30] [--seed 1] [--cheap]

Demanded are the same bytes, times aside, and nothing temporary left. ``--cheap`` makes the fits up, so that reading,
writing and resuming are what is killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from bad_pictures import person

ROOT = Path(__file__).resolve().parents[2]
CHEAP = (
    "from cheap_bodies import cheap_fitter; from dsr.cli.fit import main; sys.exit(main(sys.argv[1:], cheap_fitter))"
)
WHOLE = "from dsr.cli.fit import entry; entry()"


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        kills: how many runs were killed.
        before_first: how many of them before their first picture was done.
        redone: pictures that were made in more than one run.
        different: files that are not the same, or only in one folder.
        left: temporary files that are still there.
        seconds: of everything.
    """

    kills: int = 0
    before_first: int = 0
    redone: int = 0
    different: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0


def kill_and_resume(folder: Path, pictures: int, kills: int, seed: int, cheap: bool = False) -> Outcome:
    """Do it.

    Args:
        folder: an empty one.
        pictures: small ones.
        kills: runs that are killed.
        seed: of the pictures and moments.
        cheap: made-up fits.
    """
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from same_results import comparable

    rng, outcome, started = np.random.default_rng(seed), Outcome(), time.perf_counter()
    inputs = folder / "in"
    inputs.mkdir()
    for k in range(pictures):
        picture = person(120 if cheap else 200)
        width, height = picture.size
        left, top = rng.integers(0, 12, 2)
        picture.crop((int(left), int(top), width - k % 5, height)).save(inputs / f"{k:04}.png")
    command = [
        sys.executable,
        "-c",
        f"import sys; {CHEAP if cheap else WHOLE}",
        str(inputs),
        "--overlay",
        "--json-log",
    ]
    command += ["--jobs", "2", "--quality", "fast", "--out"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "OMP_NUM_THREADS": "1",
    }

    def start(out: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, str(out)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )

    quiet, disturbed = folder / "quiet", folder / "disturbed"
    process = start(quiet)
    assert process.communicate()[0] and process.returncode == 0, process.returncode
    made: dict[int, int] = {}
    share = max(1, pictures // (kills + 1))
    while outcome.kills < kills:
        process = start(disturbed)
        after = int(rng.integers(0, 2 * share)) if rng.random() < 0.85 else -1
        watchdog = None
        if after < 0:  # while it starts
            watchdog = threading.Timer(float(rng.uniform(0, 3)), process.send_signal, [signal.SIGKILL])
            watchdog.start()
        done = 0
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line) if line.endswith("\n") else {}
            if event.get("event") == "result" and event["status"] != "skipped":
                made[event["index"]] = made.get(event["index"], 0) + 1
                done += 1
                if done == after + 1:
                    time.sleep(float(rng.uniform(0, 0.2)))
                    process.send_signal(signal.SIGKILL)
        code = process.wait()
        if watchdog is not None:
            watchdog.cancel()
        if code == -signal.SIGKILL:
            outcome.kills += 1
            outcome.before_first += done == 0
        elif code == 0:  # it was finished before the moment came: the rest of the kills meets a new folder
            disturbed.rename(folder / f"finished{outcome.kills}")
            outcome.redone += sum(count > 1 for count in made.values())
            made.clear()
        else:
            raise AssertionError(f"exit code {code}")
    process = start(disturbed)
    for line in process.stdout or ():
        event = json.loads(line)
        if event["event"] == "result" and event["status"] != "skipped":
            made[event["index"]] = made.get(event["index"], 0) + 1
    assert process.wait() == 0
    outcome.redone += sum(count > 1 for count in made.values())
    for out in (disturbed, *folder.glob("finished*")):
        names = [{p.relative_to(f).as_posix() for p in f.rglob("*") if p.is_file()} for f in (quiet, out)]
        outcome.left += sorted(name for name in names[1] if Path(name).name.startswith("."))
        outcome.different += sorted(names[0] ^ names[1])
        for name in sorted(names[0] & names[1]):
            if not name.startswith("report.") and comparable(quiet / name) != comparable(out / name):
                outcome.different.append(name)
        outcome.different += _rows_that_differ(quiet, out)
    outcome.seconds = time.perf_counter() - started
    return outcome


def _rows_that_differ(quiet: Path, out: Path) -> list[str]:
    """Rows of the reports, but for times and for which run made them."""
    rows = [
        [{k: v for k, v in row.items() if k not in ("seconds", "earlier")} for row in json.loads(text)["rows"]]
        for text in ((folder / "report.json").read_text() for folder in (quiet, out))
    ]
    return [f"report: {a['name']}" for a, b in zip(*rows, strict=True) if a != b]


def main() -> int:
    """Print what came of it; exit code 1 where something differs or is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cheap", action="store_true", help="made-up fits")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        outcome = kill_and_resume(Path(name), arguments.pictures, arguments.kills, arguments.seed, arguments.cheap)
    sys.stdout.write(
        f"{arguments.pictures} pictures, {outcome.kills} kills ({outcome.before_first} before the first picture), "
        f"{outcome.redone} pictures made twice, {outcome.seconds:.0f} s\n"
    )
    for name in (*outcome.different, *outcome.left):
        sys.stdout.write(f"DIFFERS OR LEFT {name}\n")
    sys.stdout.write("the same bytes, nothing left\n" if not outcome.different + outcome.left else "not the same\n")
    return 1 if outcome.different or outcome.left else 0


if __name__ == "__main__":
    sys.exit(main())
