"""The torture corpus: inputs of every format and kind, whole and hostile, through the commands, and a verdict.

    python tests/torture/torture.py [--size full] [--seed 17] [--keep DIR]

Everything comes from one seed. Demanded are: no crash, no traceback, no "defect"; a row in the report per input, with a
sentence where it failed and no file of it left; memory below 1.5 GB; no input over 20 seconds; nothing run that a file
holds. Exit code 1 where something is not so. The small size is a test. Seconds are those of an idle machine: an input's
time by the clock times the share of the processor that the run got.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bad_clips import write_frames, write_videos
from bad_documents import list_files, person_files, write_keypoint_folder, write_sidecars
from bad_models import TRACE, body_files, network_files, parsed_files
from bad_pictures import person, write_pictures
from bad_values import mutated, mutated_value

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MOST_MIB, MOST_SECONDS = 1500.0, 20.0
SIZES = {
    "small": {"pictures": 24, "sidecars": 12, "keypoints": 8, "people": 6, "lists": 2, "bodies": 20, "networks": 4,
              "parsed": 60, "videos": 8, "frames": 1, "results": 6, "requests": 12},
    "full": {"pictures": 430, "sidecars": 140, "keypoints": 90, "people": 90, "lists": 20, "bodies": 70, "networks": 40,
             "parsed": 240, "videos": 80, "frames": 4, "results": 60, "requests": 60},
}  # fmt: skip
_STATUSES = {"ok", "no_person", "unreadable", "unsupported", "too_small", "too_large", "too_slow", "failed"}


@dataclass(frozen=True)
class Job:
    """One call of a command.

    Attributes:
        kind: for the table.
        request: what the child is sent.
        inputs: how many inputs it has.
        out: the output folder, of ``dsr-fit``.
        rows: whether a row per input is due; without, the command may refuse as a whole.
        codes: exit codes allowed.
        restored: result files that have to be again what they were.
    """

    kind: str
    request: dict[str, Any]
    inputs: int
    out: Path | None = None
    rows: bool = True
    codes: tuple[int, ...] = (0, 3, 4)
    restored: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Verdict:
    """What came of everything."""

    inputs: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    peak_mib: float = 0.0
    slowest: tuple[float, str] = (0.0, "")


def jobs(folder: Path, size: dict[str, int], seed: int, large: bool) -> Iterator[Job]:
    """Build the corpus and say what to do with it, kind by kind."""
    rng = np.random.default_rng(seed)

    def fit(kind: str, inputs: int, arguments: list[str | Path], **more: Any) -> Job:
        out = folder / "out" / f"{kind}{next(counter)}"
        words = [*map(str, arguments), "--out", str(out), "--quiet", "--quality", "fast", "--jobs", "2"]
        return Job(kind, {"command": "fit", "arguments": words}, inputs, out, **more)

    counter = iter(range(10**6))
    count = write_pictures(folder / "pictures", size["pictures"], rng, large)
    yield fit("pictures", count, [folder / "pictures", "--recursive", "--overlay", "--max-seconds", "60"])
    count = write_sidecars(folder / "sidecars", size["sidecars"], rng)
    yield fit("sidecars", count, [folder / "sidecars"])
    count = write_keypoint_folder(folder / "posed", folder / "keypoints", size["keypoints"], rng)
    yield fit("keypoints", count, [folder / "posed", "--keypoints", folder / "keypoints"])
    for option, file in person_files(folder / "people", size["people"], rng):
        # what is no JSON at all is told before the first picture
        yield fit("people files", 1, [file.parent / "p.jpg", f"--{option}", file], codes=(0, 2, 3, 4))
    for file in list_files(folder / "lists", size["lists"], rng):
        yield fit("lists", 1, [file], rows=False, codes=(0, 2, 3, 4))
    picture = folder / "p.png"
    person(96).save(picture)
    for file in body_files(folder / "bodies", size["bodies"], rng):
        yield fit("bodies", 1, [picture, "--body", file], rows=False, codes=(0, 2))
    for file in network_files(folder / "networks", size["networks"], rng):
        yield fit("networks", 1, [picture, "--regressor", f"dsr:{file}"], rows=False, codes=(0, 2))
    for parser, file in parsed_files(folder / "parsed", size["parsed"], rng):
        request = {"command": "parse", "parser": parser, "file": str(file)}
        yield Job(f"parser {parser}", request, 1, rows=False, codes=(0,))
    videos = write_videos(folder / "videos", size["videos"], rng)
    for start in range(0, len(videos), 20):
        part: list[str | Path] = [*videos[start : start + 20]]
        yield fit("videos", len(part), [*part, "--max-frames", "3000"])
    for k in range(size["frames"]):
        write_frames(folder / f"frames{k}", rng)
        yield fit("frames", 1, [folder / f"frames{k}", "--sequence"])
    yield from _damaged_results(folder, size["results"], rng, fit)
    yield _requests(folder, size["requests"], picture, rng)


def _damaged_results(folder: Path, count: int, rng: np.random.Generator, fit: Any) -> Iterator[Job]:
    """A finished run whose files are damaged; run again, all is as it was."""
    inputs = folder / "again"
    inputs.mkdir()
    for k in range(count):
        person(90 + k % 8).save(inputs / f"r{k:03}.png")
    job = fit("results", count, [inputs])
    yield job
    assert job.out is not None
    before = {p.name: p.read_bytes() for p in job.out.iterdir() if p.suffix in (".npz", ".glb")}
    for path in sorted(job.out.iterdir()):
        if rng.random() < 0.4 and path.suffix in (".json", ".npz", ".glb", ".csv") and path.name != "DSR_OPEN.npz":
            data = path.read_bytes()
            path.write_bytes(b"" if rng.random() < 0.2 else mutated(data, rng, [b"{}", b"\0" * 99]))
    yield Job("damaged results", job.request, count, job.out, restored=before)


def _requests(folder: Path, count: int, picture: Path, rng: np.random.Generator) -> Job:
    good = [
        {
            "request": "fit",
            "id": 1,
            "inputs": [str(picture)],
            "out": str(folder / "served"),
            "options": {"quality": "fast"},
        },
        {"request": "cancel", "id": 1},
        {"request": "nothing", "id": "a"},
    ]
    lines = ["[" * 100_000, "null", "{", '{"id": ' + "9" * 5000 + "}", "\x00\xff"]
    while len(lines) < count:
        lines.append(json.dumps(mutated_value(good[len(lines) % len(good)], rng)).replace("\n", " "))
    return Job("requests", {"command": "serve", "lines": lines}, len(lines), rows=False, codes=(0,))


class Child:
    """The process that works; begun again when it dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, request: dict[str, Any], limit_s: float) -> dict[str, Any] | str:
        """The answer, or what the process died of."""
        if self._process is None or self._process.poll() is not None:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]), "OMP_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "torture_child.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=self._folder,
                env=environment,
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        watchdog = threading.Timer(limit_s, process.kill)
        watchdog.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        process.wait()
        return f"the process ended with {process.returncode}" + (" (killed after the limit)" if not watchdog else "")

    def close(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(120)
            except subprocess.TimeoutExpired:
                self._process.kill()


def judge(job: Job, answer: dict[str, Any] | str, verdict: Verdict) -> None:
    """Add what came of a job."""
    verdict.inputs[job.kind] += job.inputs
    title = f"{job.kind}: {' '.join(map(str, job.request.get('arguments', [job.request.get('file', '')])))[:200]}"
    faults = verdict.faults
    if isinstance(answer, str):
        faults.append(f"{title}: {answer}")
        return
    said = answer["said"]
    for word in ("Traceback", "is a defect", "Segmentation", "Internal error"):
        if word in said:
            at = said.index(word)
            faults.append(f"{title}: {said[max(0, at - 600) : at + 900]}")
            break
    if answer["code"] not in job.codes:
        faults.append(f"{title}: exit code {answer['code']}: {said[-400:]}")
    verdict.peak_mib = max(verdict.peak_mib, answer["peak_mib"])
    share = min(1.0, answer["cpu_s"] / max(answer["seconds"], 1e-9))
    if answer["peak_mib"] > MOST_MIB:
        faults.append(f"{title}: {answer['peak_mib']:.0f} MiB")
    seconds = 0.0 if job.inputs > 1 else answer["cpu_s"]
    if job.rows and answer["code"] in (0, 3, 4):
        slowest, name = _judge_rows(job, title, verdict)
        seconds, title = share * slowest, f"{title}: {name}"
    verdict.slowest = max(verdict.slowest, (seconds, title))
    if seconds > MOST_SECONDS:
        faults.append(f"{title}: {seconds:.1f} s")


def _judge_rows(job: Job, title: str, verdict: Verdict) -> tuple[float, str]:
    """The report of a run; the seconds and the name of its slowest input."""
    assert job.out is not None
    faults = verdict.faults
    rows = json.loads((job.out / "report.json").read_text())["rows"]
    if len(rows) != job.inputs or len({row["input"] for row in rows}) != job.inputs:
        faults.append(f"{title}: {len(rows)} rows for {job.inputs} inputs")
    files = {p.relative_to(job.out).as_posix() for p in job.out.rglob("*") if p.is_file()}
    pieces = [name for name in files if Path(name).name.startswith(".")]
    if pieces:
        faults.append(f"{title}: left behind {pieces[:3]}")
    slowest = max(rows, key=lambda row: row["seconds"], default=None)
    for row in rows:
        verdict.statuses[row["status"]] += 1
        failed = row["status"] not in ("ok", "no_person")
        left = {f for f in files if f.startswith((f"{row['name']}.json", f"{row['name']}.npz", f"{row['name']}.p"))}
        if row["status"] not in _STATUSES or (failed and len(row["message"]) < 15) or "defect" in row["message"]:
            faults.append(f"{row['input']}: {row['status']}: {row['message'][:300]}")
        if failed and (row["outputs"] or left):
            faults.append(f"{row['input']} failed and left {sorted(left)[:3]}")
        if not failed and not set(row["outputs"]) <= files:
            faults.append(f"{row['input']}: not all of {row['outputs']} are there")
    for name, data in job.restored.items():
        if not (job.out / name).is_file() or (job.out / name).read_bytes() != data:
            faults.append(f"{title}: {name} is not what it was")
    return (0.0, "") if slowest is None else (float(slowest["seconds"]), Path(slowest["input"]).name)


def torture(folder: Path, size: str, seed: int, only: str = "", tell: bool = False) -> Verdict:
    """Do it all.

    Args:
        folder: an empty one.
        size: a key of :data:`SIZES`.
        seed: of the corpus.
        only: kinds that begin so.
        tell: say how far it is.
    """
    verdict, child = Verdict(), Child(folder)
    try:
        for job in jobs(folder, SIZES[size], seed, size == "full"):
            if job.kind.startswith(only):
                before = len(verdict.faults)
                judge(job, child(job.request, 120 + MOST_SECONDS * job.inputs), verdict)
                for fault in verdict.faults[before:] if tell else ():
                    sys.stdout.write(f"FAULT {fault}\n")
                    sys.stdout.flush()
    finally:
        child.close()
    if list(folder.rglob(TRACE)):
        verdict.faults.append("something that a file holds was run")
    return verdict


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="full")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--only", default="", help="kinds whose name begins so")
    parser.add_argument("--keep", type=Path, help="an empty folder to leave the corpus in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        verdict = torture(folder, arguments.size, arguments.seed, arguments.only, tell=True)
    seconds, title = verdict.slowest
    lines = [f"{kind:18}{count:6}" for kind, count in sorted(verdict.inputs.items())]
    lines += [
        f"{sum(verdict.inputs.values())} inputs, {dict(verdict.statuses)}",
        f"peak memory {verdict.peak_mib:.0f} MiB, slowest input {seconds:.1f} s ({title[-160:]})",
        f"{len(verdict.faults)} faults",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main())
