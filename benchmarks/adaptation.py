"""PoseDA across cameras: a lifter trained in a room, used where the camera is far, high and of another focal length.

    python benchmarks/adaptation.py CLIPS [--seeds 3] [--first 1] [--steps 1500] [--out FOLDER]

CLIPS is a folder of BVH clips. Labelled source: training clips before near, level cameras. Target: validation clips
before far, high ones; 2D people of half of them are what adaptation sees, the other half is measured. All rows start
from the same lifter (SimpleBaseline) and train for the same number of steps: on the source alone, with global position
alignment (GPA), with local pose augmentation (LPA), with both. MPJPE on the target in millimetres,
mean and spread over the seeds; the discount against "source only" is per seed. FOLDER keeps the figures of seeds that
are done: a run that was stopped goes on after them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dsr.evaluation import mpjpe, pa_mpjpe
from dsr.tracks import DetectorNoise, PoseTrack, mirror, mocap_tracks
from dsr.tracks.mocap import CameraRange
from dsr.training.loop import Trainer
from dsr.training.systems.adapt.augment_task import AugmentorTask, load_augmentor
from dsr.training.systems.adapt.config import AdaptTrainConfig, AugmentorConfig, AugmentTrainConfig, Method
from dsr.training.systems.adapt.data import join_people, people_of_track, source_windows
from dsr.training.systems.adapt.task import AdaptTask
from dsr.training.systems.lifter.config import LifterDataConfig, LifterOptimConfig
from dsr.training.systems.lifter.presets import lifter_preset
from dsr.training.systems.lifter.task import LifterTask

ROOM = CameraRange(
    focal=(0.75, 0.85), distance_m=(2.5, 4.0), height_m=(1.0, 1.6), aim=0.1, roll_deg=0.5, sizes=((1000, 1000),)
)
FAR = CameraRange(
    focal=(1.3, 1.6), distance_m=(6.0, 12.0), height_m=(3.0, 5.0), aim=0.4, roll_deg=2.0, sizes=((1920, 1080),)
)
METHODS: dict[str, Method] = {"source only": "none", "+ GPA": "gpa", "+ LPA": "lpa", "+ GPA + LPA": "gpa+lpa"}
BATCH = 256


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=1, help="the first seed; the others follow")
    parser.add_argument(
        "--steps", type=int, default=1500, help="of the source's training and the augmentation's; half as many to adapt"
    )
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--noise", choices=("on", "off"), default="on", help="a detector's errors on all keypoints")
    parser.add_argument("--out", type=Path, help="folder that keeps the figures of every seed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    errors: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for name, figures in kept_or_run(arguments, seed).items():
            errors[name].append(figures)
            print(f"seed {seed}  {name:<12} MPJPE {figures[0]:6.1f}  PA-MPJPE {figures[1]:5.1f} mm", flush=True)
    print(f"\n{'target, mm':<14}{'MPJPE':>16}{'PA-MPJPE':>16}{'less by':>18}")
    base = np.array(errors["source only"])[:, 0]
    for name, rows in errors.items():
        values = np.array(rows)
        less = 100 * (1 - values[:, 0] / base)
        (m, pa), (sm, spa) = values.mean(0), values.std(0)
        print(f"{name:<14}{m:9.1f} +-{sm:4.1f}{pa:9.1f} +-{spa:4.1f}{less.mean():11.1f} +-{less.std():4.1f} %")


def kept_or_run(arguments: argparse.Namespace, seed: int) -> dict[str, tuple[float, float]]:
    """One seed's figures: those that a run with the same options kept, or new ones, which are kept."""
    options = {"steps": arguments.steps, "width": arguments.width, "noise": arguments.noise}
    file = arguments.out and arguments.out / f"seed{seed}.json"
    if file and file.exists():
        kept = json.loads(file.read_text())
        if kept["options"] != options:
            raise SystemExit(f"{file} is of a run with {kept['options']}: take another folder for {options}")
        return {name: tuple(figures) for name, figures in kept["figures"].items()}
    figures = run(arguments, seed)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"options": options, "figures": figures}))
    return figures


def run(arguments: argparse.Namespace, seed: int) -> dict[str, tuple[float, float]]:
    """One seed: every method's MPJPE and PA-MPJPE on the target."""
    noise = DetectorNoise() if arguments.noise == "on" else None
    source = mocap_tracks(arguments.clips, "train", 3, seed, noise, fps=10.0, cameras=ROOM)
    target = mocap_tracks(arguments.clips, "validation", 3, seed + 100, noise, fps=10.0, cameras=FAR)
    clips = sorted({track.name.split("#")[0] for track in target})
    seen = [track for track in target if clips.index(track.name.split("#")[0]) % 2 == 0]
    measured = [track for track in target if track not in seen]
    people = join_people([people_of_track(track) for track in seen], 0.3, "target")
    windows = LifterDataConfig(fps=0.0, hop=1)
    share = 0.013 if arguments.noise == "on" else 0.0
    with tempfile.TemporaryDirectory() as folder:
        trained = Path(folder) / "source" / "last.safetensors"
        base = lifter_preset("mocap", "simplebaseline")
        config = replace(
            base,
            data=("mocap:given",),
            steps=arguments.steps,
            batch=BATCH,
            seed=seed,
            windows=windows,
            network=replace(base.network, width=arguments.width),
        )
        fit(config, LifterTask(config, source), trained.parent)
        augment = AugmentTrainConfig(
            source=("given",),
            epochs=10_000,
            steps=arguments.steps,
            batch=BATCH,
            seed=seed,
            windows=windows,
            augmentor=AugmentorConfig(width=128, judge_every=1),
            optim=falling(1e-3),
        )
        fit(augment, AugmentorTask(augment, source, people), Path(folder) / "augmentor")
        augmentor = load_augmentor(Path(folder) / "augmentor" / "last.safetensors")
        figures = {}
        for name, method in METHODS.items():
            adapt = AdaptTrainConfig(
                lifter=trained,
                source=("given",),
                target=("given",),
                method=method,
                noise=share,
                epochs=10_000,
                steps=arguments.steps // 2,
                batch=BATCH,
                seed=seed,
                windows=windows,
                optim=falling(3e-4),
            )
            task = AdaptTask(adapt, source, people, augmentor)
            model = fit(adapt, task, Path(folder) / method)
            figures[name] = measure(model, measured)
    return figures


def falling(rate: float) -> LifterOptimConfig:
    """Adam whose rate falls to nothing over the run."""
    return LifterOptimConfig(
        name="adam", lr=rate, weight_decay=0.0, decay=1.0, cosine="on", per_step="on", clip=1.0, lr_end=rate / 100
    )


def fit(config: Any, task: Any, folder: Path) -> torch.nn.Module:
    """A run from beginning to end."""
    folder.mkdir(parents=True)
    trainer = Trainer(config, task, folder)
    trainer.run()
    return trainer.model.eval()


@torch.no_grad()
def measure(model: torch.nn.Module, tracks: list[PoseTrack]) -> tuple[float, float]:
    """MPJPE and PA-MPJPE over the frames of tracks, averaged with the mirror image."""
    windows = source_windows(tracks, LifterDataConfig(fps=0.0, hop=1))
    batch = windows.take(np.arange(len(windows)), 1)
    x, y = batch["inputs"][..., :2], batch["joints"] - batch["joints"][:, :, :1]
    poses = (model(x) + mirror(model(mirror(x)))) / 2
    return 1e3 * float(mpjpe(poses, y).mean()), 1e3 * float(pa_mpjpe(poses, y).mean())


if __name__ == "__main__":
    main()
