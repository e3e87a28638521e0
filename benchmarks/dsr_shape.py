"""What DSR's semantic terms teach about shape: python benchmarks/dsr_shape.py --init RUN/best.safetensors --out DIR.

Clothed made-up people whose shapes nobody tells (``--losses.betas 0``); errors are of the betas alone, in the T-pose.

1. The losses alone: betas and camera of people with known pose are fitted to 2D keypoints and labels, from the mean
   shape on, without a network. What a loss says is right, if a network could follow it.
2. Training: the smoke preset's network is trained on from ``--init`` (a smoke run's weights) under 2D and 3D keypoints,
   pose and the semantic terms of each row; same seed, same people, same steps. The people are few and seen often, so
   that the small network can follow: the first table is of these training people, whose shapes it was not told, the
   second of as many held-out ones, which takes far more people and steps to learn.

Rows: no semantic terms; DSR-MC; DSR-MC and DSR-C in its published form; the same with DSR-C ``inside``; both once more
seen by the published camera (``far``: f = 5000 pixels) instead of the crop's own; and ``inside`` drawn in the predicted
pose instead of the labelled one (part 2; the others teach the shape alone). ``scaled`` is the error of vertices after
scaling to the true size, which pictures do not show; ``waist+`` and ``hip+`` are mean errors, positive where people
come out too fat. Done rows are read from DIR again, begun ones go on. Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from _clock import say  # noqa: E402

from dsr.training.config_file import from_dict  # noqa: E402
from dsr.training.systems.regressor.config import RegressorTrainConfig  # noqa: E402
from dsr.training.systems.regressor.presets import preset  # noqa: E402

NEAR = {"crop_camera": "own", "semantic_pose": "labelled"}
FAR = {"crop_camera": "published", "semantic_pose": "labelled"}
ROWS: dict[str, dict[str, Any]] = {
    "off": {**NEAR, "dsr": "off"},
    "mc": {**NEAR, "dsr_c": 0.0},
    "mc+c-published": {**NEAR, "c_variant": "published"},
    "mc+c-inside": {**NEAR, "c_variant": "inside"},
    "mc+c-published-far": {**FAR, "c_variant": "published"},
    "mc+c-inside-far": {**FAR, "c_variant": "inside"},
    "mc+c-inside-predicted": {"crop_camera": "own", "c_variant": "inside"},
}
COLUMNS = {
    "vertices mm": "shape_pve_mm",
    "scaled mm": "shape_scaled_pve_mm",
    "height cm": "height_cm",
    "waist cm": "waist_cm",
    "hip cm": "hip_cm",
    "waist+": "waist_bias_cm",
    "hip+": "hip_bias_cm",
    "PA-MPJPE": "pa_mpjpe_mm",
}
FIT_SEED, FIT_STEPS = 20_21, 60
Row = dict[str, float]


def run_config(args: argparse.Namespace, name: str) -> RegressorTrainConfig:
    """A training row's configuration."""
    joints = {} if args.joints3d else {"keypoint_3d": 0.0}
    people = {"synthetic_pool": args.people, "synthetic_count": args.people}
    values = {
        "epochs": args.epochs,
        "seed": args.seed,
        "device": args.device,
        "threads": args.threads,
        "workers": args.workers,
        "model": {"init": str(args.init) if args.init else None},
        "data": people,
        "optim": {"ema": 0.98},
        "validation": {"count": args.people, "every": args.epochs},
        "losses": {"betas": 0.0, "start_dsr": -1, "dsr_mc": args.weight, "dsr_c": args.weight, **joints, **ROWS[name]},
        "log": {"overlays": 250, "keep": 0, "tensorboard": "off"},
    }
    return from_dict(values, preset("smoke-dsr"))


def train_rows(args: argparse.Namespace) -> dict[str, Row]:
    """Train every row that is not done; errors of its training people, then of held-out ones."""
    from dsr.datasets import DsrView, collate
    from dsr.training.loop import Trainer
    from dsr.training.systems.dsr import DsrTask

    found: dict[str, dict[str, Row]] = {}
    for name in args.rows:
        out = args.out / name
        file = out / "shape.json"
        if not file.is_file():
            task = DsrTask(run_config(args, name))
            out.mkdir(parents=True, exist_ok=True)
            trainer = Trainer(task.config, task, out, resume=True)
            trainer.run()
            rows = {"held-out": json.loads((out / "metrics.json").read_text())["last"]}
            view = DsrView(image_size=task.config.model.image_size, augment=False, targets=False)
            source = task.data.source
            samples = [view(source.record(i), np.random.default_rng(i)) for i in range(len(source))]
            task.held_out = [collate(samples[i : i + 64]) for i in range(0, len(samples), 64)]
            assert trainer.average is not None
            trainer.model.load_state_dict(trainer.average.weights)
            with torch.no_grad():
                rows["training"] = task.validate(trainer.model.eval(), True)
            file.write_text(json.dumps(rows))
        found[name] = json.loads(file.read_text())
        print_row(name, found[name]["training"])
    print_row("mean shape, mean pose", mean_row(found[args.rows[0]]["training"]))
    say("held-out people")
    for name in args.rows:
        print_row(name, found[name]["held-out"])
    print_row("mean shape, mean pose", mean_row(found[args.rows[0]]["held-out"]))
    return {f"{name} {which}": row for name, both in found.items() for which, row in both.items()}


def mean_row(row: Row) -> Row:
    """The measures of the best constant answer."""
    return {key: row.get(f"mean_pose_{key}", float("nan")) for key in COLUMNS.values()}


def fit_rows(args: argparse.Namespace) -> dict[str, Row]:
    """Fit people to their labels under every row's losses."""
    from dsr.datasets import DsrView, collate
    from dsr.synthetic import SyntheticSource
    from dsr.training.systems.dsr import DsrTask
    from dsr.training.systems.regressor.validation import shape_measures

    source = SyntheticSource(args.fit, FIT_SEED, 144, occluders=False, facing_deg=45.0)
    view = DsrView(image_size=128, augment=False)
    people = collate([view(source.record(i), np.random.default_rng(i)) for i in range(args.fit)])
    found: dict[str, Row] = {}
    for name in [name for name in args.rows if "predicted" not in name]:  # the pose is known here
        file = args.out / f"fit_{name}.json"
        if not file.is_file():
            config = run_config(args, name)
            task = DsrTask(
                replace(
                    config, validation=replace(config.validation, count=0), data=replace(config.data, synthetic_pool=0)
                )
            )
            task.prepare(torch.device("cpu"))
            betas = fit_people(task, people)
            row = shape_measures(task.body, betas, people["betas"], girths=True)
            args.out.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(row))
        found[name] = json.loads(file.read_text())
        print_row(name, found[name])
    for row in list(found.values())[:1]:
        print_row("mean shape", mean_row(row))
    return found


def fit_people(task: Any, people: dict[str, Any]) -> Tensor:
    """Betas (N, 10) of people with known pose: Adam on betas and camera under the row's 2D and semantic terms."""
    from dsr.body import joints49
    from dsr.camera.crop_camera import project_to_crop
    from dsr.losses import keypoint_2d_loss, source_confidence

    size, pose, keypoints = people["image"].shape[-1], people["pose_rotmat"], people["keypoints"]
    confidence = source_confidence(keypoints[..., 2], openpose=0.0, ground_truth=1.0)
    betas = torch.zeros(len(pose), 10, requires_grad=True)
    camera = torch.tensor([[0.9, 0.0, 0.3]]).repeat(len(pose), 1).requires_grad_()

    def seen(shape: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        output = task.body(shape, pose[:, 1:], pose[:, 0])
        K, transl = task._camera(camera, people)
        points = project_to_crop(joints49(task.body, output.vertices, output.joints), transl, K, size)
        return output.vertices + transl[:, None], K, points, keypoint_2d_loss(points, keypoints[..., :2], confidence)

    first = torch.optim.Adam([camera], lr=0.02)
    for _ in range(200):  # the camera first, of the mean shape
        first.zero_grad()
        (len(pose) * seen(betas.detach())[3]).backward()
        first.step()
    adam = torch.optim.Adam([{"params": [betas], "lr": 0.08}, {"params": [camera], "lr": 0.003}])
    for _ in range(FIT_STEPS):
        vertices, K, _, term = seen(betas)
        total = task.losses.keypoint_2d * term + 0.01 * betas.square().mean()
        if task.semantic:
            terms = task._semantic(vertices, K, people, people["has_labels"])
            total = total + task.losses.dsr_mc * terms["loss_dsr_mc"] + task.losses.dsr_c * terms["loss_dsr_c"]
        adam.zero_grad()
        (task.losses.total * len(pose) * total).backward()
        adam.step()
    return betas.detach()


def print_row(name: str, row: Row) -> None:
    """One line of a table."""
    say(f"{name:24}" + "".join(f"{row.get(key, float('nan')):12.1f}" for key in COLUMNS.values()))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", type=Path, help="weights that training goes on from; without, part 2 is left out")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--rows", type=lambda text: text.split(","), default=list(ROWS), help=",".join(ROWS))
    parser.add_argument("--fit", type=int, default=40, help="people of part 1; 0: leave it out")
    parser.add_argument("--people", type=int, default=48, help="of part 2, as many again are held out")
    parser.add_argument("--epochs", type=int, default=80, help="of part 2, in batches of 16")
    parser.add_argument("--weight", type=float, default=0.1, help="of DSR-MC and DSR-C")
    parser.add_argument("--joints3d", type=int, default=1, help="0: no 3D keypoints")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args()
    unknown = [name for name in args.rows if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]}: choose from {', '.join(ROWS)}")
    if args.threads:
        torch.set_num_threads(args.threads)
    results: dict[str, dict[str, Row]] = {}
    for title, wanted, work in (
        (f"the losses alone, {args.fit} people", args.fit, fit_rows),
        (f"training, {args.people} people", args.init, train_rows),
    ):
        if wanted:
            say(f"\n{title:24}" + "".join(f"{column:>12}" for column in COLUMNS))
            results[title] = work(args)
    say(json.dumps(results))


if __name__ == "__main__":
    main()
