"""UAO's optimisation at test time on noisy 2D poses: errors before and after, and its time beside the published loop.

    dsr-train lifter --model uao --preset mocap --data mocap:CLIPS --out RUN
    python benchmarks/uncertainty.py CLIPS RUN/last.safetensors [--frames 2000]

CLIPS is a folder of BVH clips; held-out ones are measured, with a detector's errors on their keypoints. Printed for the
true and for the estimated root: MPJPE and PA-MPJPE of the plain prediction and of the optimised one, and the same over
the tenth of joints that were worst before. Then milliseconds a person of the loop as published (both views one after
the other, gradients of the weights computed, the first prediction computed twice) and of ours, in turns in the same
run, and by how much their answers differ.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import _plain_forwards
import numpy as np
import torch
from torch import Tensor

from dsr.camera.lens import project_screen
from dsr.evaluation import mpjpe, pa_mpjpe
from dsr.fitting import UncertaintySettings, optimise_poses
from dsr.lifting import load_lifter
from dsr.lifting.uao import UAO
from dsr.tracks import DetectorNoise, mirror, mocap_tracks
from dsr.training.systems.adapt.data import source_windows
from dsr.training.systems.lifter.config import LifterDataConfig


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("lifter", type=Path)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--uncertainty", type=float, default=0.005)
    parser.add_argument("--rounds", type=int, default=5, help="of the timing; 0: none")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lifter = load_lifter(arguments.lifter)
    if not isinstance(lifter, UAO):
        parser.error(f"{arguments.lifter} is no lifter with uncertainties; train one by --model uao.")
    settings = UncertaintySettings(
        steps=arguments.steps, learning_rate=arguments.learning_rate, uncertainty=arguments.uncertainty
    )
    tracks = mocap_tracks(arguments.clips, "validation", 1, seed=1, noise=DetectorNoise(), fps=10.0)
    windows = source_windows(tracks, LifterDataConfig(hop=1))
    which = np.linspace(0, len(windows) - 1, min(arguments.frames, len(windows))).astype(np.int64)
    batch = windows.take(which, 1)
    x, joints, camera = batch["inputs"][:, 0, :, :2], batch["joints"][:, 0], batch["camera"]
    truth = joints - joints[:, :1]
    print(f"{len(x)} held-out poses, errors in millimetres{'MPJPE':>25}{'PA-MPJPE':>12}{'worst tenth':>14}")
    for name, root in (("true root", joints[:, 0]), ("estimated root", None)):
        parts = [
            optimise_poses(lifter, x[at], camera[at], None if root is None else root[at], settings=settings)
            for at in torch.arange(len(x)).split(512)
        ]
        first, last = (torch.cat([getattr(part, key) for part in parts]) for key in ("first_m", "joints_m"))
        before, after = (1e3 * mpjpe(pose, truth, reduction="none") for pose in (first, last))
        worst = before >= np.quantile(before, 0.9)
        for label, pose, errors in (("plain prediction", first, before), (f"optimised, {name}", last, after)):
            aligned = 1e3 * float(pa_mpjpe(pose, truth).mean())
            print(f"{label:<52}{errors.mean():12.2f}{aligned:12.2f}{errors[worst].mean():14.2f}")
        if root is None:
            away = torch.cat([part.root_m for part in parts]) - joints[:, 0]
            print(f"{'root off by, mean':<52}{1e3 * float(away.norm(dim=-1).mean()):12.0f}")
    if arguments.rounds:
        compare_times(lifter, x, camera, joints[:, 0], settings, arguments.rounds)


def compare_times(
    lifter: UAO, x: Tensor, camera: Tensor, root: Tensor, settings: UncertaintySettings, rounds: int
) -> None:
    """Published loop and ours, in turns: one person at a time, and many together."""
    print(f"\n{'milliseconds a person':<24}{'published loop':>16}{'ours':>9}{'ratio':>8}{'differs by, mm':>17}")
    for people in (1, 8, 128):
        at = slice(0, people)
        times: dict[str, list[float]] = {"published": [], "ours": []}
        for _ in range(rounds):
            start = time.process_time()
            plain = published_loop(lifter, x[at], camera[at], root[at], settings)
            middle = time.process_time()
            ours = optimise_poses(lifter, x[at], camera[at], root[at], settings=settings).joints_m
            times["published"].append((middle - start) / people)
            times["ours"].append((time.process_time() - middle) / people)
        best = {name: 1e3 * min(values) for name, values in times.items()}
        ratio = best["published"] / best["ours"]
        off = 1e3 * float((plain - ours).abs().max())
        print(f"{f'{people} together':<24}{best['published']:16.2f}{best['ours']:9.2f}{ratio:8.2f}{off:17.4f}")


def published_loop(lifter: UAO, x: Tensor, camera: Tensor, root: Tensor, settings: UncertaintySettings) -> Tensor:
    """The loop and the network as the specification describes the released ones, step by step: (B, 17, 3)."""
    lifter.eval().requires_grad_(True)

    def predict(z: Tensor, flipped: bool) -> tuple[Tensor, Tensor]:
        both = torch.cat(_plain_forwards.uao(lifter, z), -1)
        both = mirror(both) if flipped else both
        return both[..., :3], both[..., 3]

    inputs = (x, mirror(x))
    first = [predict(z, bool(flipped))[0].detach() for flipped, z in enumerate(inputs)]
    latents = [z.clone().requires_grad_() for z in inputs]
    optimiser = torch.optim.Adam(latents, lr=settings.learning_rate)
    for _ in range(settings.steps):
        optimiser.zero_grad()
        loss = x.new_zeros(())
        for flipped, z in enumerate(latents):
            pose, scale = predict(z, bool(flipped))
            scale = scale.detach()
            away = torch.linalg.vector_norm(pose - first[flipped], dim=-1)
            # Two passes differ by rounding, and a length of zero has no direction.
            away = torch.where(away < 1e-7, away.detach(), away)
            loss = loss + settings.uncertainty * (away * (-scale).exp() + scale).mean()
            placed = torch.cat((root[:, None], pose[:, 1:] + root[:, None]), 1)
            reprojected = torch.linalg.vector_norm(project_screen(placed, camera) - x, dim=-1)
            loss = loss + settings.projection * reprojected.mean()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        pose = (predict(latents[0], False)[0] + predict(latents[1], True)[0]) / 2
    pose[:, 0] = 0
    lifter.requires_grad_(False)
    return pose


if __name__ == "__main__":
    main()
