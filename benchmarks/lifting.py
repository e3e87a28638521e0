"""Times the 2D-to-3D lifters: python benchmarks/lifting.py [--device cuda] [--only mixste,hot-mixste] [--quick].

Every lifter at its published size, one window at a time, in float32 and, where it has attention, in mixed bfloat16
(dsr.lifting.bfloat16.use_bfloat16). Random weights: speed does not depend on them. Per lifter: wall and processor
seconds of a window, frames per second, 10^9 operations (two per multiply-add), and the ratio to the floor: the linear
layers of MixSTE as bare matrix products in the same process and precision, scaled to the lifter's operations. On a busy
machine look at ``cpu``, the processor time of all threads, and at the ratio, which is one of processor times. HoT is
set against its host, and MixSTE and HoT-MixSTE against what the published code takes (2.2 s and 1.25 s, batch 1,
2 cores). Last line: one JSON object.

    python benchmarks/lifting.py --precision RUN CLIPS

measures instead what bfloat16 does to the poses of a trained lifter, on the held-out windows of a folder of BVH clips:
random weights would tell nothing about that.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from _clock import measure, say  # noqa: E402

PUBLISHED_SECONDS = {"mixste": 2.2, "hot-mixste": 1.25}  # the authors' code on 2 cores
HOSTS = {
    "hot-mixste": "mixste",
    "tpc-mixste": "mixste",
    "tpc-mhformer": "mhformer",
    "hot-motionbert": "motionbert",
    "hot-motionagformer": "motionagformer",
    "hot-ktpformer": "ktpformer",
}
# (inputs, outputs) of the linear layers of a block of MixSTE
LAYERS = ((512, 1536), (512, 512), (512, 1024), (1024, 512))


def floor(device: str, dtype: torch.dtype, rounds: int) -> tuple[float, float]:
    """Wall and processor seconds of 10^9 operations as bare products of MixSTE's sizes."""
    tokens, operations = 243 * 17, 0
    pairs = []
    for inputs, outputs in LAYERS:
        pairs.append([torch.randn(n, m, device=device, dtype=dtype) for n, m in ((tokens, inputs), (inputs, outputs))])
        operations += 2 * tokens * inputs * outputs

    def work() -> None:
        for a, b in pairs:
            torch.mm(a, b)

    wall, cpu = measure(work, device, rounds + 1)
    return wall / operations * 1e9, cpu / operations * 1e9


def operations(model: Any) -> float:
    """Operations of one window, two per multiply-add, 10^9: what the specifications count."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    x = torch.zeros(1, model.frames, model.joints, model.inputs, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        copy.deepcopy(model).to("meta")(x)
    return counter.get_total_flops() / 1e9


def rows(names: list[str], device: str, rounds: int) -> list[dict[str, Any]]:
    """All lifters in all precisions they have."""
    from dsr.errors import UsageError
    from dsr.lifting import build_lifter
    from dsr.lifting.bfloat16 import use_bfloat16

    say(
        f"{'lifter':20}{'precision':>10}{'window':>8}{'Gop':>8}{'s':>9}{'cpu s':>9}{'frames/s':>10}{'of floor':>10}"
        f"{'of host':>9}{'of published':>14}"
    )
    found: list[dict[str, Any]] = []
    for name in names:
        torch.manual_seed(0)
        model: Any = build_lifter(name).eval().to(device)
        gop = operations(model)
        x = torch.rand(1, model.frames, model.joints, model.inputs, device=device) - 0.5
        for precision in ("float32", "bfloat16"):
            if precision == "bfloat16":
                try:
                    use_bfloat16(model)
                except UsageError:
                    continue
            with torch.inference_mode():
                least = floor(device, getattr(torch, precision), rounds)
                wall, cpu = measure(lambda model=model, x=x: model(x), device, rounds)
            row = {
                "lifter": name,
                "precision": precision,
                "frames": model.frames,
                "gop": gop,
                "s": wall,
                "cpu_s": cpu,
                "frames_per_s": (1 if model.by_centre else model.frames) / wall,
                "of_floor": wall / (gop * least[0]) if device == "cuda" else cpu / (gop * least[1]),
            }
            host = next((r for r in found if (r["lifter"], r["precision"]) == (HOSTS.get(name), precision)), None)
            row["of_host"] = cpu / host["cpu_s"] if host and device == "cpu" else wall / host["s"] if host else None
            row["of_published"] = wall / PUBLISHED_SECONDS[name] if name in PUBLISHED_SECONDS else None
            found.append(row)
            shown = [f"{row[key]:.2f}x" if row[key] else "-" for key in ("of_floor", "of_host", "of_published")]
            say(
                f"{name:20}{precision:>10}{model.frames:8}{gop:8.2f}{wall:9.3f}{cpu:9.3f}{row['frames_per_s']:10.1f}"
                f"{shown[0]:>10}{shown[1]:>9}{shown[2]:>14}"
            )
    return found


def rounding(run: Path, clips: Path, most: int = 40) -> dict[str, Any]:
    """How far mixed bfloat16 moves the poses of a trained lifter, and what it does to its error (millimetres)."""
    import numpy as np

    from dsr.lifting import load_lifter
    from dsr.lifting.bfloat16 import use_bfloat16
    from dsr.training.systems.lifter.config import LifterDataConfig
    from dsr.training.systems.lifter.data import read_tracks
    from dsr.training.systems.lifter.task import cut_windows

    model: Any = load_lifter(run / "last.safetensors" if run.is_dir() else run)
    tracks = read_tracks(f"mocap:{clips}", "validation", LifterDataConfig(fps=model.fps or 0.0))
    windows = cut_windows(tracks, model.frames, model.frames, 0.0, bool(model.centre_only))
    which = np.unique(np.linspace(0, len(windows) - 1, most).astype(np.int64))
    x, truth = windows.take(which, model.inputs, bool(model.centre_only))
    with torch.inference_mode():
        exact = torch.cat([model(part) for part in x.split(1)])
        use_bfloat16(model)
        rounded = torch.cat([model(part).float() for part in x.split(1)])
    moved = 1e3 * (rounded - exact).norm(dim=-1)
    row = {
        "run": str(run),
        "windows": len(which),
        "frames": model.frames,
        "parameters": sum(p.numel() for p in model.parameters()),
        "differs_mm": moved.mean().item(),
        "differs_p99_mm": moved.flatten().quantile(0.99).item(),
        "mpjpe_float32_mm": 1e3 * (exact - truth).norm(dim=-1).mean().item(),
        "mpjpe_bfloat16_mm": 1e3 * (rounded - truth).norm(dim=-1).mean().item(),
    }
    say(
        f"{len(which)} windows of {model.frames} frames: bfloat16 moves joints by {row['differs_mm']:.2f} mm "
        f"(99 of 100 by less than {row['differs_p99_mm']:.2f}); MPJPE {row['mpjpe_float32_mm']:.2f} -> "
        f"{row['mpjpe_bfloat16_mm']:.2f} mm"
    )
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="names of lifters, with commas between")
    parser.add_argument("--quick", action="store_true", help="MixSTE and HoT on it alone")
    parser.add_argument("--precision", nargs=2, type=Path, metavar=("RUN", "CLIPS"), help="what bfloat16 costs")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.precision:
        say(json.dumps({"benchmark": "lifting", "precision": rounding(*arguments.precision)}))
        return
    from dsr.lifting import LIFTERS

    wanted = "mixste,hot-mixste" if arguments.quick else arguments.only or ",".join(LIFTERS)
    names = wanted.split(",")
    names.sort(key=lambda name: name in HOSTS)  # hosts first
    machine = {
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else platform.processor() or "cpu",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
    say(
        f"{machine['device']}, {machine['cores']} cores, {machine['threads']} threads, torch {torch.__version__}, "
        f"load {machine['load']}"
    )
    found = rows(names, arguments.device, arguments.rounds)
    say(json.dumps({"benchmark": "lifting", "rows": found, **machine}))


if __name__ == "__main__":
    main()
