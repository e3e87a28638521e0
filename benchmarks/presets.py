"""What the presets cost: ``fast``, ``standard`` and ``best``, the default network's share, first result, memory.

    python benchmarks/presets.py [FOLDER] [--pictures 20] [--rounds 3] [--beside CLONE ...]

FOLDER holds photographs of one person each; without it the example pictures are taken, at 1920x1080 in any case. With
``--beside`` other clones of the project are measured in turns with this one, so that ratios hold on a busy machine.
Prints, for each preset, medians over the rounds: pictures per second once warm with all cores, processor seconds a
picture and a person, the first result (import and models included), peak memory; and milliseconds of the default
network for one person. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from _clock import say  # noqa: E402
from pipeline import environment, fit, make_pictures  # noqa: E402

PRESETS = ("fast", "standard", "best")
_NETWORK = """
import sys, time, torch
from pathlib import Path
from dsr.body import load_body
from dsr.camera import PictureCamera, intrinsics_matrix
from dsr.fitting import network_start
from dsr.fitting.problem import fit_problem
from dsr.image import read_photo
from dsr.options import FitOptions
from dsr.people import PeopleDetector
torch.set_num_threads(1)
photo = read_photo(Path(sys.argv[1]))
people = PeopleDetector("fast", 1).detect(photo)[:1]
K = intrinsics_matrix(1.2 * photo.width, photo.width, photo.height).numpy()
with torch.no_grad():
    problem = fit_problem(people, PictureCamera(K, (photo.width, photo.height)), load_body("open"), FitOptions())
    network = network_start.default_network()
    spent = []
    for _ in range(40):
        begun = time.process_time()
        network_start.predicted(problem, network)
        spent.append(time.process_time() - begun)
print(1000 * sorted(spent[5:])[len(spent[5:]) // 2])
"""


def network_ms(picture: Path, tree: Path) -> float:
    """Processor milliseconds of the default network for one person, both ways and with the lifter it reads."""
    done = subprocess.run(
        [sys.executable, "-c", _NETWORK, str(picture)],
        capture_output=True, text=True, env=environment(tree), cwd=picture.parent, check=False,
    )  # fmt: skip
    try:
        return float(done.stdout.split()[-1])
    except (ValueError, IndexError):  # a clone without the network
        return float("nan")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "examples" / "images")
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="other clones of the project")
    parser.add_argument("--presets", default=",".join(PRESETS))
    arguments = parser.parse_args()
    trees = [ROOT, *(tree.resolve() for tree in arguments.beside)]
    runs: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        pictures = Path(name) / "in"
        pictures.mkdir()
        make_pictures(arguments.folder.resolve(), pictures, arguments.pictures)
        first = min(pictures.iterdir())
        for round_ in range(arguments.rounds):
            for preset in arguments.presets.split(","):
                for tree in trees:
                    out = Path(name) / f"{preset}_{trees.index(tree)}_{round_}"
                    figures = fit(pictures, out, "--quality", preset, tree=tree)
                    runs.setdefault(f"{preset} {tree}", []).append(figures)
        networks = {str(tree): network_ms(first, tree) for tree in trees}
    say(f"{'':9}{'pictures/s':>11}{'CPU s each':>11}{'a person':>10}{'first s':>9}{'MiB':>7}  clone")
    rows = []
    for preset in arguments.presets.split(","):
        for tree in trees:
            every = runs[f"{preset} {tree}"]
            middle = {key: statistics.median(run[key] for run in every) for key in every[0]}
            person = middle["cpu_s_per_picture_warm"] * middle["pictures"] / max(middle["people"], 1)
            say(
                f"{preset:9}{middle['per_second_warm']:11.2f}{middle['cpu_s_per_picture_warm']:11.3f}{person:10.3f}"
                f"{middle['first_result_s']:9.2f}{middle['peak_rss_mib']:7.0f}  {tree.name}"
            )
            rows.append({"preset": preset, "tree": str(tree), "cpu_s_per_person": person, **middle})
    for preset in arguments.presets.split(","):
        mine = next(row for row in rows if row["preset"] == preset and row["tree"] == str(ROOT))
        for row in rows:
            if row["preset"] == preset and row is not mine:
                ratio = float(mine["cpu_s_per_picture_warm"]) / float(row["cpu_s_per_picture_warm"])
                say(f"{preset}: {ratio:.2f} times the processor time of {row['tree']}")
    for tree, spent in networks.items():
        say(f"default network, one person: {spent:.1f} ms  {tree}")
    say(json.dumps({"benchmark": "presets", "rows": rows, "network_ms": networks}))


if __name__ == "__main__":
    main()
