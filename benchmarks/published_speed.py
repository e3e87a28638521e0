"""Times the published networks against a plain writing of their forward: python benchmarks/published_speed.py.

Every network at its published size and in a process of its own, one window or crop at a time, float32, two threads:
ours as anybody calls it, and the same weights through :mod:`_plain_forwards`, the published steps one by one. The two
take turns; printed is the least processor time of all threads of each, their ratio, and the greatest difference of the
outputs (metres; rotation matrices, betas and camera of the crop networks). HoT, MHFormer and ConvFormer give what they
are meant to: the frames recovered, or the centre one. Beside it the same in bfloat16 where that is possible, with its
difference. Random weights, batch norms and layer scales that do something, keypoints that move smoothly. MotionAGFormer
and HoT are compared in double precision: which frames are most alike is a decision that the last digit of float32 can
turn.
``--check`` prints the differences of small networks and no times.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not look busy

import argparse
import copy
import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import _plain_forwards  # noqa: E402
from _clock import say  # noqa: E402

LIFTERS = {
    "mixste": _plain_forwards.mixste,
    "hot-mixste": _plain_forwards.mixste,
    "ktpformer": _plain_forwards.ktpformer,
    "motionagformer": _plain_forwards.motionagformer,
    "mhformer": _plain_forwards.mhformer,
    "glagcn": _plain_forwards.glagcn,
    "convformer": _plain_forwards.convformer,
}
SMALL = {
    "mixste": {"frames": 9, "width": 32, "depth": 2},
    "hot-mixste": {"frames": 27, "width": 32, "depth": 4, "keep": 9, "before": 2},
    "ktpformer": {"frames": 27, "width": 32, "depth": 2},
    "motionagformer": {"frames": 27, "width": 32, "depth": 2},
    "mhformer": {"frames": 36, "width": 32, "hidden": 64},
    "glagcn": {"width": 16, "widths": (3, 3)},
    "convformer": {"frames": 27, "width": 16},
}
NAMES = (*LIFTERS, "hmr-resnet50", "hrnet-w48")

Case = tuple[nn.Module, Tensor, Callable[[nn.Module, Tensor], Tensor], Callable[[nn.Module, Tensor], Tensor]]


def prepare(model: nn.Module) -> nn.Module:
    """Evaluation mode, and numbers instead of the ones and zeros that training starts from."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            part.running_var.uniform_(0.8, 1.2)  # type: ignore[union-attr]
            nn.init.uniform_(part.weight, 0.6, 0.9)
            nn.init.normal_(part.bias, 0, 0.1)
        for name, value in part.named_parameters(recurse=False):
            if name.startswith("layer_scale"):
                nn.init.uniform_(value, 0.1, 0.3)
            elif "pos_embed" in name or name in ("x_token", "adj2", "PA", "eta", "ps", "pt"):
                nn.init.normal_(value, 0, 0.05)
    return model.eval().requires_grad_(False)


def lifter(name: str, size: dict[str, Any], batch: int) -> Case:
    """A lifter, its input, ours and the plain forward."""
    from dsr.lifting import build_lifter

    model: Any = prepare(build_lifter(name, **size))
    walk = torch.randn(batch, model.frames, model.joints, model.inputs).cumsum(1) * 0.01
    x = torch.rand(batch, 1, model.joints, model.inputs) - 0.5 + walk
    middle = (model.frames - 1) // 2

    def plain(network: nn.Module, x: Tensor) -> Tensor:
        poses = LIFTERS[name](network, x)
        return poses[:, middle : middle + 1] if model.by_centre and poses.shape[1] > 1 else poses

    return model, x, lambda network, x: network.poses(x), plain  # type: ignore[operator]


def crops(name: str, small: bool, batch: int) -> Case:
    """A network of crops."""
    from dsr.regressors.dsr.hmr import HMR
    from dsr.regressors.perspose.hrnet import HRNet

    if name == "hmr-resnet50":
        model: Any = prepare(HMR(image_size=64 if small else 224))
        side = model.image_size
        return (
            model,
            torch.randn(batch, 3, side, side),
            lambda network, x: torch.cat([part.flatten(1) for part in network(x)], 1),
            _plain_forwards.hmr,
        )
    side = 64 if small else 256
    sizes: dict[str, Any] = {"width": 8, "modules": (1, 1, 1), "blocks": 1, "head_planes": 4} if small else {}
    model = prepare(HRNet(**sizes, initialisation="kaiming"))
    for part in model.final_feat_layer.modules():  # a vector of the size that trained ones have
        if isinstance(part, nn.BatchNorm2d) and not small:
            part.weight.mul_(2e-4)
            part.bias.mul_(0.1)
    return model, torch.randn(batch, 3, side, side), lambda network, x: network(x)[1], _plain_forwards.hrnet


def case(name: str, small: bool, batch: int) -> Case:
    """A network by its name in :data:`NAMES`."""
    torch.manual_seed(0)
    return lifter(name, SMALL[name] if small else {}, batch) if name in LIFTERS else crops(name, small, batch)


def reduced(model: nn.Module, ours: Callable[[nn.Module, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same in bfloat16: attention and MLPs where there are any, convolutions and products otherwise."""
    from dsr.errors import UsageError
    from dsr.lifting.bfloat16 import use_bfloat16

    rounded = copy.deepcopy(model)
    try:
        use_bfloat16(rounded)
    except UsageError:

        def cast(x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return ours(rounded, x)

        return cast
    return lambda x: ours(rounded, x)


def measure(name: str, rounds: int, batch: int, small: bool) -> dict[str, Any]:
    """Times and differences of a network."""
    model, x, ours, plain = case(name, small, batch)
    coarse = reduced(model, ours)
    ways: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: plain(model, x),
        "ours": lambda: ours(model, x),
        "bfloat16": lambda: coarse(x),
    }
    with torch.no_grad():
        outputs = {way: call().float() for way, call in ways.items()}
        row: dict[str, Any] = {"network": name, "greatest": outputs["plain"].abs().max().item()}
        if name in ("motionagformer", "hot-mixste"):
            exact, wide = copy.deepcopy(model).double(), x.double()
            outputs["plain"], outputs["ours"] = plain(exact, wide), ours(exact, wide)
        for way in ("ours", "bfloat16"):
            difference = (outputs[way] - outputs["plain"]).abs()
            row[f"{way}_differs"], row[f"{way}_differs_mean"] = difference.max().item(), difference.mean().item()
        if small:
            return row
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, call in ways.items():
                start = time.process_time()
                call()
                times[way].append(time.process_time() - start)
    least = {way: min(spent) for way, spent in times.items()}
    row |= {f"{way}_cpu_ms": 1e3 * spent / batch for way, spent in least.items()}
    return row | {f"{way}_ratio": least["plain"] / least[way] for way in ("ours", "bfloat16")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--batch", type=int, default=1, help="windows or crops at a time")
    parser.add_argument("--only", default=",".join(NAMES), help="names with commas between")
    parser.add_argument("--check", action="store_true", help="differences of small networks, no times")
    arguments = parser.parse_args()
    unknown = sorted({*arguments.only.split(",")} - {*NAMES})
    if unknown:
        parser.error(f"--only {unknown[0]}: there are {', '.join(NAMES)}")
    say(f"{platform.processor() or 'cpu'}, {arguments.threads} threads of {os.cpu_count()}, torch {torch.__version__}")
    say(
        f"{'network':16}{'plain':>9}{'ours':>9}{'ratio':>7}{'differs':>10}{'bfloat16':>10}{'ratio':>7}{'differs':>10}"
        f"{'mean':>10}   (ms of processor time; differences beside outputs up to)"
    )
    rows = []
    for name in arguments.only.split(","):
        # Each network in a process of its own: memory that one has left makes the next one's cheaper.
        with ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), torch.set_num_threads, (arguments.threads,)
        ) as one:
            row = one.submit(measure, name, arguments.rounds, arguments.batch, arguments.check).result()
        rows.append(row)
        numbers = [
            f"{row['plain_cpu_ms']:9.1f}{row['ours_cpu_ms']:9.1f}{row['ours_ratio']:7.2f}"
            if "ours_ratio" in row
            else "",
            f"{row['bfloat16_cpu_ms']:10.1f}{row['bfloat16_ratio']:7.2f}" if "ours_ratio" in row else "",
        ]
        say(
            f"{name:16}{numbers[0]:>25}{row['ours_differs']:10.1e}{numbers[1]:>17}{row['bfloat16_differs']:10.1e}"
            f"{row['bfloat16_differs_mean']:10.1e}   {row['greatest']:.2f}"
        )
    machine = {"threads": arguments.threads, "batch": arguments.batch, "torch": torch.__version__}
    say(json.dumps({"benchmark": "published_speed", "rows": rows, **machine}))


if __name__ == "__main__":
    main()
