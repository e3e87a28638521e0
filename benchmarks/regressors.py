"""Times the image-to-body networks: python benchmarks/regressors.py [--device cuda] [--quick].

Forward: crops to bodies at the published sizes (DSR: ResNet-50, 224 pixels; PersPose: HRNet-W48, 256 pixels, inverse
kinematics included), batches of 1, 8 and 32. Training: one step of DSR (network, body, keypoint, parameter and semantic
losses, backward, Adam) with the share that the semantic terms take, and the renderer alone, forward and backward.
Random weights: speed does not depend on them. Prints tables and, as the last line, one JSON object. On a busy machine
look at ``cpu``, the processor time of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from _clock import measure, say  # noqa: E402

BATCHES = (1, 8, 32)
Row = dict[str, Any]


def forward_rows(device: str, batches: tuple[int, ...], rounds: int) -> list[Row]:
    """Crops to bodies, for both networks."""
    from dsr.body import load_body
    from dsr.regressors import build_regressor
    from dsr.regressors.crops import PeopleCrops, crop_people
    from dsr.regressors.inference import predict

    body = load_body("open-light", device=device)
    rgb = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    K = np.array([[1100.0, 0, 640], [0, 1100, 360], [0, 0, 1]])
    rows: list[Row] = []
    say(f"{'network':10}{'batch':>6}{'mirror':>8}{'ms/crop':>10}{'cpu ms/crop':>13}{'crops/s':>10}{'vs batch 1':>12}")
    for name in ("dsr", "perspose"):
        torch.manual_seed(0)
        # weights as tiny as those published to start from would make denormal numbers, which are slow
        config = {"initialisation": "kaiming"} if name == "perspose" else {}
        model = build_regressor(name, **config).eval().requires_grad_(False).to(device)
        one = crop_people(
            rgb,
            K,
            model.crop,
            model.image_size,  # type: ignore[arg-type]
            centres_px=np.array([[500.0, 360]]),
            sides_px=np.array([600.0]),
            boxes_px=np.array([[400.0, 80, 600, 640]]),
        )
        alone = None
        for batch in batches:
            crops = PeopleCrops.join([one] * batch)
            for mirror in (False, True) if batch == batches[0] else (False,):
                work = partial(predict, model, crops, body, len(crops), mirror=mirror)
                wall, cpu = (1e3 * t / batch for t in measure(work, device, rounds if batch < 32 else 1))
                alone = wall if alone is None else alone
                row = {"network": name, "batch": batch, "mirror": mirror, "ms_per_crop": wall, "cpu_ms_per_crop": cpu}
                rows.append(row)
                say(
                    f"{name:10}{batch:6}{'yes' if mirror else 'no':>8}{wall:10.1f}{cpu:13.1f}{1e3 / wall:10.2f}"
                    f"{alone / wall:11.2f}x"
                )
    return rows


def training_rows(device: str, rounds: int, quick: bool) -> list[Row]:
    """A training step of DSR without and with its semantic terms, and the renderer alone."""
    from dsr.training.config import OptimConfig
    from dsr.training.systems.regressor.config import (
        DataConfig,
        LossConfig,
        ModelConfig,
        RegressorTrainConfig,
        RegressorValidationConfig,
    )

    plans = [("resnet18, 128 px", ModelConfig(backbone="resnet18", image_size=128), 16)]
    if not quick:
        published = ModelConfig(backbone="resnet50", image_size=224)
        plans.append(("resnet50, 224 px", published, 128 if device == "cuda" else 8))
    rows: list[Row] = []
    say(
        f"\n{'training step of dsr':34}{'batch':>6}{'s/step':>9}{'cpu s':>9}{'steps/s':>9}{'crops/s':>9}"
        f"{'semantic share':>16}{'renderer share':>16}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for title, model, batch in plans:
            config = RegressorTrainConfig(
                system="dsr",
                batch=batch,
                device=device,
                workers=0,
                model=model,
                optim=OptimConfig(lr=1e-5),
                data=DataConfig(synthetic_size=model.image_size, synthetic_count=max(batch, 64)),
                losses=LossConfig(start_dsr=-1),
                validation=RegressorValidationConfig(count=0),
            )
            seconds = {}
            for switch in ("off", "on"):
                config = replace(config, losses=replace(config.losses, dsr=switch))
                step, drawing, made = prepared_step(config, device, Path(folder))
                wall, cpu = measure(step, device, rounds)
                seconds[switch] = wall if device == "cuda" else cpu  # shares on a busy processor: by its own time
                shares = f"{'-':>16}{'-':>16}"
                if switch == "on":
                    semantic = 1 - seconds["off"] / seconds["on"]
                    renderer = measure(drawing, device, rounds)[device != "cuda"] / seconds["on"]
                    shares = f"{semantic:16.0%}{renderer:16.0%}"
                    rows.append(
                        {
                            "network": f"dsr {title}",
                            "batch": batch,
                            "s_per_step": wall,
                            "cpu_s_per_step": cpu,
                            "semantic_share": semantic,
                            "renderer_share": renderer,
                            "sample_ms": 1e3 * made,
                        }
                    )
                what = f"{title}, semantics {switch}"
                say(f"{what:34}{batch:6}{wall:9.2f}{cpu:9.2f}{1 / wall:9.2f}{batch / wall:9.1f}{shares}")
            say(f"{'making a sample, one core':34}{1:6}{made:9.3f}")
    return rows


def prepared_step(config: Any, device: str, folder: Path) -> tuple[Callable[[], None], Callable[[], None], float]:
    """A step of training, the drawing in it alone, and the seconds a sample takes to make."""
    from dsr.errors import DsrError
    from dsr.training.batches import to_device
    from dsr.training.systems import make_task

    torch.manual_seed(0)
    task: Any = make_task(config)
    try:
        task.prepare(torch.device(device))
    except DsrError:  # no prior of this body: made-up numbers take as long
        path = folder / "prior.npy"
        count = len(task.body.asset.faces)
        np.save(path, np.random.default_rng(0).dirichlet(np.ones(20), count).astype(np.float32))
        task = make_task(replace(config, losses=replace(config.losses, prior=path)))
        task.prepare(torch.device(device))
    model = task.build_model().to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.optim.lr)
    started = time.perf_counter()
    samples = [task.sample(0, i) for i in range(config.batch)]
    made = (time.perf_counter() - started) / config.batch
    batch = to_device(task.collate(samples), torch.device(device))

    def amp() -> Any:
        return torch.autocast("cuda", torch.bfloat16) if device == "cuda" else nullcontext()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        total, _ = task.terms(model, batch, 10, amp)
        total.backward()
        optimizer.step()

    if not task.semantic:
        return step, step, made
    calls: list[tuple[Any, ...]] = []
    draw = task.renderer

    def recording(*arguments: Any) -> Any:
        calls.append(arguments)
        return draw(*arguments)

    task.renderer = recording
    step()
    task.renderer = draw
    vertices, *others = calls[0]
    leaf = vertices.detach().clone().requires_grad_(True)

    def drawing() -> None:
        leaf.grad = None
        drawn = draw(leaf, *others)
        (drawn.attributes.sum() + drawn.alpha.sum()).backward()

    return step, drawing, made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's choice")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="batches of 1 and 8, and the small training step only")
    parser.add_argument("--only", choices=("forward", "training"))
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    machine = {
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else platform.processor() or "cpu",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    say(f"{machine['device']}, {machine['cores']} cores, {machine['threads']} threads, torch {torch.__version__}")
    figures: dict[str, Any] = {}
    if arguments.only != "training":
        batches = BATCHES[:2] if arguments.quick else BATCHES
        figures["forward"] = forward_rows(arguments.device, batches, arguments.rounds)
    if arguments.only != "forward":
        figures["training"] = training_rows(arguments.device, arguments.rounds, arguments.quick)
    say(json.dumps({"benchmark": "regressors", **figures, **machine}))


if __name__ == "__main__":
    main()
