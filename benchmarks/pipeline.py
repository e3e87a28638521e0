"""How fast the whole chain is: photographs per second, cold start, memory, import and help time, stages.

    python3 benchmarks/pipeline.py [FOLDER] [--pictures 40] [--jobs 0] [--quality standard]

FOLDER holds photographs of one person each, about 1920x1080; without it the example pictures are padded to that size.
Everything runs through ``dsr-fit`` in processes of their own; NPZ, JSON and GLB are written. Beside it, in the same
run: the loops over the Python interface that one writes first (a call per picture; one call for all, one picture at a
time), one picture at a time, two processes over halves of the pictures, and the processor's seconds per stage. Prints a
table and, as the last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[1]
SIZE = (1920, 1080)


def make_pictures(source: Path, target: Path, count: int) -> int:
    """Bring pictures to 1920x1080 and repeat them up to ``count`` files; renders of several people are left out."""
    from dsr.pipeline.inputs import find_inputs

    paths = [p.path for p in find_inputs([source]) if _people(p.path) in (None, 1)]
    for i in range(count):
        path = target / f"{i:05}.jpg"
        if i < len(paths):
            with Image.open(paths[i]) as picture:
                upright = ImageOps.exif_transpose(picture).convert("RGB")
            ImageOps.pad(upright, SIZE, color=(118, 120, 124)).save(path, quality=92)
        else:
            shutil.copyfile(target / f"{i % len(paths):05}.jpg", path)
    return len(paths)


def _people(path: Path) -> int | None:
    """How many people a rendered picture shows; None where no truth lies beside it."""
    truth = path.with_suffix(".truth.json")
    return len(json.loads(truth.read_text())["people"]) if truth.exists() else None


def timed(command: list[str]) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Seconds of a process and its result."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    return time.perf_counter() - started, done


def environment(tree: Path = ROOT) -> dict[str, str]:
    """A clone of the project first, this one by default, whatever is installed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(tree), os.environ.get("PYTHONPATH")]))}


def fit(folder: Path, out: Path, *options: str, tree: Path = ROOT) -> dict[str, float]:
    """Run dsr-fit of a clone over a folder and watch it: rate once warm, time to the first result, memory."""
    command = [sys.executable, "-m", "dsr.cli.fit", str(folder), "--out", str(out), "--json-log", *options]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment(tree), cwd=out.parent
    )
    samples: list[tuple[float, float, float]] = []
    watcher = threading.Thread(target=_watch, args=(process.pid, samples, started), daemon=True)
    watcher.start()
    times, people, failed = [], 0, 0
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "result":
            times.append(time.perf_counter() - started)
            people += event["people"]
            failed += event["status"] not in ("ok", "no_person")
    process.wait()
    watcher.join(timeout=2)
    warm = times[len(times) // 5 :] if len(times) >= 10 else times
    half = times[len(times) // 2]
    late = [mib for at, mib, _ in samples if at >= half]
    early = [mib for at, mib, _ in samples if times[0] <= at < half]
    busy = [(at, cpu) for at, _, cpu in samples if warm[0] <= at <= warm[-1]]
    cpu = busy[-1][1] - busy[0][1] if len(busy) > 1 else float("nan")
    return {
        "pictures": len(times),
        "people": people,
        "failed": failed,
        "per_second_warm": warm_rate(times),
        "cpu_s_per_picture_warm": cpu / max(len(warm) - 1, 1),
        "cores_used_warm": cpu / (warm[-1] - warm[0]) if len(warm) > 1 else float("nan"),
        "first_result_s": times[0],
        "peak_rss_mib": max((mib for _, mib, _ in samples), default=float("nan")),
        "rss_growth_mib": max(late, default=0.0) - max(early, default=0.0),
    }


def _watch(pid: int, samples: list[tuple[float, float, float]], started: float) -> None:
    """Time, memory (MiB) and processor seconds of a process, until it ends."""
    import psutil

    try:
        process = psutil.Process(pid)
        while True:
            used = process.cpu_times()
            samples.append((time.perf_counter() - started, process.memory_info().rss / 2**20, used.user + used.system))
            time.sleep(0.05)
    except psutil.Error:
        return


def compared(kind: str, folder: Path, out: Path, quality: str) -> Any:
    """What ``_naive_loops.py`` prints."""
    script = str(ROOT / "benchmarks" / "_naive_loops.py")
    _, done = timed([sys.executable, script, kind, str(folder), str(out), quality])
    return json.loads(done.stdout.splitlines()[-1])


def two_processes(folder: Path, halves: Path, quality: str) -> dict[str, float]:
    """Two runs of dsr-fit side by side, one picture each at a time: pictures per second and memory of both together."""
    runs: list[dict[str, float]] = []

    def run(k: int) -> None:
        half = halves / f"in{k}"
        half.mkdir(parents=True)
        for path in sorted(folder.iterdir())[k::2]:
            shutil.copyfile(path, half / path.name)
        runs.append(fit(half, halves / f"out{k}", "--jobs", "1", "--quality", quality))

    threads = [threading.Thread(target=run, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "two_processes_per_second": sum(each["per_second_warm"] for each in runs),
        "two_processes_rss_mib": sum(each["peak_rss_mib"] for each in runs),
    }


def warm_rate(times: list[float]) -> float:
    """Pictures per second after the first fifth."""
    warm = times[len(times) // 5 :] if len(times) >= 10 else times
    return (len(warm) - 1) / (warm[-1] - warm[0]) if len(warm) > 1 and warm[-1] > warm[0] else float("nan")


def best_of(command: list[str], repeats: int = 5) -> float:
    """The quickest of several runs, seconds."""
    return min(timed(command)[0] for _ in range(repeats))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "examples" / "images")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--quality", default="standard")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    python = [sys.executable, "-c"]
    bare = best_of([*python, "pass"])
    figures: dict[str, float] = {
        "import_s": best_of([*python, "import dsr"]) - bare,
        "help_s": best_of([sys.executable, "-m", "dsr.cli.fit", "--help"]),
    }
    with tempfile.TemporaryDirectory() as name:
        pictures, out = Path(name) / "in", Path(name) / "out"
        pictures.mkdir()
        distinct = make_pictures(arguments.folder, pictures, arguments.pictures)
        figures |= fit(pictures, out, "--jobs", str(arguments.jobs), "--quality", arguments.quality)
        written = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
        figures["written_mib_per_picture"] = written / 2**20 / max(figures["pictures"], 1)
        quality = arguments.quality
        one = fit(pictures, Path(name) / "one", "--jobs", "1", "--quality", quality)
        figures["one_at_a_time_per_second"] = one["per_second_warm"]
        figures["one_at_a_time_rss_mib"] = one["peak_rss_mib"]
        figures |= two_processes(pictures, Path(name) / "halves", quality)
        for kind in ("calls", "generator"):
            per_second = warm_rate(compared(kind, pictures, Path(name) / kind, quality))
            figures[f"loop_of_{kind}_per_second"] = per_second
            figures[f"times_loop_of_{kind}"] = figures["per_second_warm"] / per_second
        spent = compared("stages", pictures, Path(name) / "stages", quality)
        figures |= {f"cpu_s_{stage}": seconds for stage, seconds in spent.items()}
    targets = {
        "import_s": "< 0.3",
        "help_s": "< 0.5",
        "per_second_warm": ">= 4",
        "times_loop_of_calls": ">= 1.7",
        "first_result_s": "< 5",
        "peak_rss_mib": "< 1229",
    }
    sys.stdout.write(f"{distinct} different pictures at {SIZE[0]}x{SIZE[1]}, {os.cpu_count()} cores\n")
    for key, value in figures.items():
        sys.stdout.write(f"{key:26}{value:10.3f}  {targets.get(key, '')}\n")
    machine = {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
    sys.stdout.write(json.dumps({"benchmark": "pipeline", **figures, **machine}) + "\n")


if __name__ == "__main__":
    main()
