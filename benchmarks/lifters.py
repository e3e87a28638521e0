"""Every skeleton lifter trained for the same modest budget on the same motion capture, measured on held-out clips.

    python benchmarks/lifters.py CLIPS --out RUNS
    python benchmarks/lifters.py CLIPS --out RUNS --only mixste,hot-mixste    (some of them; runs side by side)
    python benchmarks/lifters.py CLIPS --out RUNS --table                     (only what is there already)
    python benchmarks/lifters.py CLIPS --out RUNS --times                     (the same, forward passes timed again)

All lifters: preset mocap (27 frames at 10 per second, 2000 steps, AdamW, the same clips and seed), one CPU thread. A
step has 6 windows, or 18 for the lifters that do not give all frames of a window. Runs that were interrupted are
resumed; finished ones are read from RUNS. Against them: the training clips' mean pose, and ridge regression per frame.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

# Row of the table -> lifter, whether with kinematics and trajectory priors.
ROWS = {
    "mixste": ("mixste", False),
    "hot-mixste": ("hot-mixste", False),
    "tpc-mixste": ("tpc-mixste", False),
    "ktpformer": ("ktpformer", False),
    "hot-ktpformer": ("hot-ktpformer", False),
    "mhformer": ("mhformer", False),
    "tpc-mhformer": ("tpc-mhformer", False),
    "motionbert": ("motionbert", False),
    "motionbert+priors": ("motionbert", True),
    "hot-motionbert": ("hot-motionbert", False),
    "motionagformer": ("motionagformer", False),
    "hot-motionagformer": ("hot-motionagformer", False),
    "convformer": ("convformer", False),
    "glagcn": ("glagcn", False),
}
BASELINES = ("mean pose", "linear lifter")
PAIRS = (
    ("KPA and TPA (KTPFormer against MixSTE)", "mixste", "ktpformer"),
    ("KPA and TPA in MotionBERT", "motionbert", "motionbert+priors"),
    ("HoT in MixSTE", "mixste", "hot-mixste"),
    ("HoT in MotionBERT", "motionbert", "hot-motionbert"),
    ("HoT in MotionAGFormer", "motionagformer", "hot-motionagformer"),
    ("HoT in KTPFormer", "ktpformer", "hot-ktpformer"),
)


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder of BVH files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--only", default="", help="rows, separated by commas")
    parser.add_argument("--steps", type=int, default=0, help="instead of 2000; for trying out")
    parser.add_argument("--table", action="store_true", help="print what is there, train nothing")
    parser.add_argument("--times", action="store_true", help="time forward passes again, side by side, train nothing")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in arguments.only.split(",") if name] or [*BASELINES, *ROWS]
    unknown = set(wanted) - {*BASELINES, *ROWS}
    if unknown:
        parser.error(f"there is no {unknown.pop()!r}; there are {', '.join((*BASELINES, *ROWS))}")
    if arguments.times:
        time_again(arguments.out)
    elif not arguments.table:
        tracks: list[Any] = []
        for name in wanted:
            if not (arguments.out / f"{name}.json").exists():
                if not tracks:
                    tracks = [_tracks(arguments.clips, split) for split in ("train", "validation")]
                _run(name, arguments, *tracks)
    print(table(arguments.out))


def _tracks(clips: Path, split: str) -> Any:
    from dsr.training.systems.lifter.data import read_tracks
    from dsr.training.systems.lifter.presets import lifter_preset

    return read_tracks(f"mocap:{clips}", split, lifter_preset("mocap", "mixste").windows)


def _run(name: str, arguments: argparse.Namespace, training: Any, validation: Any) -> None:
    """Train one row and write its figures."""
    import torch

    from dsr.evaluation.lifting import LinearLifter, MeanPose, evaluate_lifter, lifter_predictor
    from dsr.training.loop import Trainer
    from dsr.training.systems.lifter.presets import lifter_preset
    from dsr.training.systems.lifter.task import LifterTask

    torch.set_num_threads(1)
    about: dict[str, Any] = {}
    if name in BASELINES:
        predict: Any = (MeanPose if name == "mean pose" else LinearLifter).fit(training)
    else:
        model, priors = ROWS[name]
        config = replace(lifter_preset("mocap", model), data=(f"mocap:{arguments.clips}",))
        config = replace(
            config,
            steps=arguments.steps or config.steps,
            network=replace(config.network, priors="on" if priors else "off"),
        )
        out = arguments.out / name
        out.mkdir(exist_ok=True)
        trainer = Trainer(config, LifterTask(config, training), out, _Lines(name), resume=True)
        cpu, before = time.process_time(), trainer.position.total
        trainer.run()
        done = max(1, trainer.position.total - before)
        network: Any = trainer.model.eval()
        steps = trainer.position.total
        about = {
            "steps": steps,
            "windows": steps * config.batch,
            "ms_per_window": _speed(network),
            "train_cpu_s": (time.process_time() - cpu) / done * steps,
            "parameters": sum(p.numel() for p in network.parameters()),
        }
        predict = lifter_predictor(network)
    report = evaluate_lifter(predict, validation)
    figures = {**about, **asdict(report.overall), "joints_mm": report.joints_mm}
    (arguments.out / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"{name}: {report.overall.mpjpe_mm:.1f} mm", flush=True)


class _Lines:
    def __init__(self, name: str) -> None:
        self.name = name

    def update(self, done: int, total: int, text: str) -> None:
        if done % 100 == 0:
            print(f"{self.name} {done}/{total} {text}", flush=True)

    def line(self, text: str) -> None:
        print(text, flush=True)


def _speed(network: Any) -> float:
    """CPU milliseconds of a forward pass of one window, one thread: the median of 15."""
    import torch

    x = torch.rand(1, network.frames, network.joints, network.inputs)
    times = []
    with torch.inference_mode():
        for _ in range(20):
            start = time.process_time()
            network(x)
            times.append(1e3 * (time.process_time() - start))
    return sorted(times[5:])[7]


def time_again(out: Path) -> None:
    """Forward passes of all finished runs in turns, so that all have the same machine; the least of five medians."""
    import torch

    from dsr.lifting import load_lifter

    torch.set_num_threads(1)
    names = [name for name in ROWS if (out / f"{name}.json").exists()]
    networks = {name: load_lifter(out / name / "last.safetensors") for name in names}
    taken = [{name: _speed(network) for name, network in networks.items()} for _ in range(5)]
    for name in names:
        path = out / f"{name}.json"
        figures = json.loads(path.read_text(encoding="utf-8"))
        figures["ms_per_window"] = min(turn[name] for turn in taken)
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def table(out: Path) -> str:
    """What is in RUNS, as text."""
    found = {
        name: json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
        for name in (*BASELINES, *ROWS)
        if (out / f"{name}.json").exists()
    }
    lines = [
        f"{'lifter':<22}{'MPJPE':>8}{'PA':>7}{'velocity':>9}{'PCK':>7}{'beats both':>11}{'params':>9}"
        f"{'steps':>7}{'windows':>9}{'train CPU s':>12}{'ms/window':>10}"
    ]
    limit = min((found[name]["mpjpe_mm"] for name in BASELINES if name in found), default=float("nan"))
    for name, f in found.items():
        row = f"{name:<22}{f['mpjpe_mm']:>8.1f}{f['pa_mpjpe_mm']:>7.1f}{f['velocity_mm']:>9.2f}{f['pck']:>7.3f}"
        if "steps" in f:
            row += (
                f"{'yes' if f['mpjpe_mm'] < limit else 'no':>11}{f['parameters'] / 1e3:>8.0f}k{f['steps']:>7}"
                f"{f['windows']:>9}{f['train_cpu_s']:>12.0f}{f['ms_per_window']:>10.2f}"
            )
        lines.append(row)
    for title, off, on in PAIRS:
        if off in found and on in found:
            a, b = found[off], found[on]
            lines.append(
                f"{title}: MPJPE {a['mpjpe_mm']:.1f} -> {b['mpjpe_mm']:.1f} mm, forward pass "
                f"{a['ms_per_window']:.1f} -> {b['ms_per_window']:.1f} ms"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
