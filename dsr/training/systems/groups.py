"""Learns the detector of groups that ships: ``python -m dsr.training.systems.groups --out FILE --bank FOLDER``.

People are drawn once into a bank of cut-outs, groups are pasted from them while the network learns. A run into the
same folder goes on where it was stopped.
"""

from __future__ import annotations

import sys
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr._command import run_once
from dsr.files import write_atomic
from dsr.people.candidates import body_length
from dsr.people.group_network import ANCHORS, SIZE_PX, STRIDE, VALUES, GroupNetwork
from dsr.people.groups import proposed
from dsr.synthetic.cutouts import Cutout, CutoutSource, read_cutouts, write_cutouts
from dsr.synthetic.groups import GroupPicture, GroupSource, read_places

PART = 100
"""Cut-outs per file of the bank."""
TEST_FROM = 9_000
"""Parts from this one on are people to measure on."""
SIDE = 192
_BATCH, _NEW, _KEPT = 16, 4, 3000
_LEARNING_RATE, _DECAY, _WARM, _AVERAGE = 2.5e-3, 0.02, 150, 0.998
_SPREAD, _LEAST_SPREAD = 0.028, 0.7  # of the heat around a middle: body sizes, and cells at least
_BESIDE = 0.15  # weight of the values
_STATE = "training.pt"
TEST_PICTURES = 200
_NEAR, _ALIKE_LOG = 0.2, 0.5  # of the size, and of sizes: a candidate that is somebody


@dataclass(frozen=True)
class Learn:
    """Learn the detector of groups and write it with its card."""

    out: Path
    """The .safetensors file; the card goes beside it as .md."""
    bank: Path
    """Folder of the cut-outs and of the state; a run into the same one goes on."""
    mocap: Path | None = None
    """Folder of BVH clips (CMU); without it poses come from the pose prior and written postures."""
    garments: Path | None = None
    """Folder of the unpacked MakeHuman assets; without it all clothes are painted."""
    places: Path | None = None
    """Folder of pictures or panoramas of places without people for half of the backdrops; without it all are drawn."""
    cutouts: int = 3200
    """People of the bank."""
    test: int = 200
    """Further people to measure on."""
    steps: int = 3000
    """Of the optimiser."""
    seed: int = 0
    """Of the network and the pictures."""

    def main(self) -> str:
        """Learn; the figures."""
        self.bank.mkdir(parents=True, exist_ok=True)
        train, test = self._bank(0, self.cutouts), self._bank(TEST_FROM, self.test)
        places = [] if self.places is None else read_places(self.places)
        network = learn(GroupSource(train, SIDE, self.seed, places), self.steps, self.seed, self.bank / _STATE)
        return write(self.out, network, GroupSource(test, SIDE, self.seed + 1, places), len(train), self.steps)

    def _bank(self, first: int, count: int) -> list[Cutout]:
        """Cut-outs of so many people; those that are missing are drawn."""
        source: CutoutSource | None = None
        found: list[Cutout] = []
        for part in range(first, first + -(-count // PART)):
            path = self.bank / f"cutouts_{part:04d}.npz"
            if not path.exists():
                source = source or CutoutSource(self.mocap, self.garments)
                drawing = source
                write_cutouts(path, (drawing.draw(part * PART + k) for k in range(PART)))
            found += read_cutouts(path)
        return found[:count]


def learn(source: GroupSource, steps: int, seed: int, state: Path) -> GroupNetwork:
    """The network, averaged over the last few hundred steps.

    Args:
        source: of the pictures.
        steps: of the optimiser.
        seed: of the network and the pictures.
        state: file from which the run goes on.
    """
    torch.manual_seed(seed)
    network: GroupNetwork = GroupNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_DECAY)
    first = 0
    if state.exists():
        kept = torch.load(state, weights_only=True)
        first = int(kept["step"])
        for part, name in ((network, "network"), (averaged, "averaged"), (optimiser, "optimiser")):
            part.load_state_dict(kept[name])
    rng = np.random.default_rng([31, seed, first])
    replay: list[tuple[np.ndarray, np.ndarray]] = []
    mean, began = 0.0, time.monotonic()
    for step in range(first, steps):
        for group in optimiser.param_groups:
            group["lr"] = _LEARNING_RATE * _share(step, steps)
        pictures, targets = _batch(rng, source, replay)
        with torch.autocast("cpu", torch.bfloat16):
            answers = network(pictures)
        loss = errors(answers.float(), targets)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        _follow(averaged, network, min(_AVERAGE, (step + 1) / (step + 10)))
        mean = loss.item() if step == first else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 49 or step + 1 == steps:
            passed = (time.monotonic() - began) / (step + 1 - first)
            sys.stderr.write(f"step {step + 1} of {steps}: loss {mean:.3f}, {passed:.2f} s a step\n")
            sys.stderr.flush()
            parts: dict[str, Any] = {"network": network, "averaged": averaged, "optimiser": optimiser}
            now = {"step": step + 1, **{name: part.state_dict() for name, part in parts.items()}}
            write_atomic(state, lambda to, now=now: torch.save(now, to))  # type: ignore[misc]
    return averaged.eval()


def _share(step: int, steps: int) -> float:
    """Of the learning rate: up quickly, then down along a cosine."""
    return min(1.0, (step + 1) / _WARM) * (0.5 + 0.5 * float(np.cos(np.pi * step / steps))) + 1e-3


def _follow(averaged: nn.Module, network: nn.Module, kept: float) -> None:
    """Move averages of weights and of what the norms count towards a network."""
    with torch.no_grad():
        for mine, theirs in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - kept)
            else:
                mine.copy_(theirs)


def _batch(
    rng: np.random.Generator, source: GroupSource, replay: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, H, W) in -1 to 1 and targets, some new, the others once more in other light."""
    samples = []
    for _ in range(_NEW if replay else _BATCH):
        picture = source.draw(rng)
        sample = (picture.rgb, target(picture))
        if len(replay) < _KEPT:
            replay.append(sample)
        else:
            replay[int(rng.integers(_KEPT))] = sample
        samples.append(sample)
    samples += [replay[int(k)] for k in rng.integers(len(replay), size=_BATCH - len(samples))]
    pictures = torch.from_numpy(np.stack([rgb for rgb, _ in samples])).permute(0, 3, 1, 2).float()
    gain = torch.from_numpy(np.exp(rng.normal(0, 0.12, (_BATCH, 3, 1, 1))).astype(np.float32))
    pictures = ((pictures * gain).clamp(0, 255) / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    return pictures, torch.from_numpy(np.stack([maps for _, maps in samples]))


def target(picture: GroupPicture) -> np.ndarray:
    """(2 * (2 + 1 + VALUES), h, w) float32: heat of heads and trunks, where it counts, where values count, values."""
    height, width = (side // STRIDE for side in picture.rgb.shape[:2])
    maps = np.zeros((ANCHORS * (3 + VALUES), height, width), np.float32)
    heat, counts = maps[:ANCHORS], maps[ANCHORS : 2 * ANCHORS]
    where, values = maps[2 * ANCHORS : 3 * ANCHORS], maps[3 * ANCHORS :].reshape(ANCHORS, VALUES, height, width)
    counts[:] = 1
    rows, columns = np.mgrid[:height, :width].astype(np.float32) + 0.5
    for points, state in zip(picture.points / STRIDE, picture.state, strict=True):
        up = points[3] - points[2]
        size = 2 * float(np.hypot(*up))
        spread = max(_LEAST_SPREAD, _SPREAD * size)
        for k in range(ANCHORS):
            u, v = points[k].tolist()
            column, row = int(np.floor(u)), int(np.floor(v))
            if not state[k] or not (0 <= column < width and 0 <= row < height):
                continue
            reach = int(3 * spread) + 1
            near = slice(max(row - reach, 0), row + reach + 1), slice(max(column - reach, 0), column + reach + 1)
            away = (columns[near] - column - 0.5) ** 2 + (rows[near] - row - 0.5) ** 2
            warm = np.exp(-away / (2 * spread**2))
            if state[k] == 1:
                counts[k][near] *= warm < 0.3
                continue
            heat[k][near] = np.maximum(heat[k][near], warm)
            close = warm > 0.35
            where[k][near][close] = 1
            beside = np.stack(
                [
                    (points[2, 0] - columns[near]) / size,
                    (points[2, 1] - rows[near]) / size,
                    np.full(warm.shape, np.log(size * STRIDE / SIZE_PX)),
                    np.full(warm.shape, 2 * up[0] / size),
                    np.full(warm.shape, -2 * up[1] / size),
                ]
            )
            values[k][:, near[0], near[1]][:, close] = beside[:, close]
    counts[heat >= 1] = 1
    return maps


def errors(answers: Tensor, targets: Tensor) -> Tensor:
    """The loss: CenterNet's focal loss of the heat, and absolute errors of the values near middles.

    Args:
        answers: (B, 12, h, w) of the network.
        targets: (B, 16, h, w) of :func:`target`.
    """
    logits, values = answers[:, :ANCHORS], answers[:, ANCHORS:].unflatten(1, (ANCHORS, VALUES))
    heat, counts = targets[:, :ANCHORS], targets[:, ANCHORS : 2 * ANCHORS]
    where, true = targets[:, 2 * ANCHORS : 3 * ANCHORS], targets[:, 3 * ANCHORS :].unflatten(1, (ANCHORS, VALUES))
    there = (heat >= 1).float()
    score = torch.sigmoid(logits)
    missed = -((1 - score) ** 2) * functional.logsigmoid(logits) * there
    false = -((1 - heat) ** 4) * score**2 * functional.logsigmoid(-logits) * (1 - there) * counts
    apart = functional.smooth_l1_loss(values, true, reduction="none", beta=0.05).sum(2) * where
    return (missed.sum() + false.sum()) / there.sum().clamp_min(1) + 5 * _BESIDE * apart.sum() / where.sum().clamp_min(
        1
    )


def write(out: Path, network: GroupNetwork, test: GroupSource, trained: int, steps: int) -> str:
    """Write weights and card; the figures on other people."""
    from safetensors.torch import save_file

    halves = {
        name: value.half().contiguous() for name, value in network.state_dict().items() if value.is_floating_point()
    }
    save_file(halves, out)
    rows = "\n".join(
        f"| {kind} | {found} of {people} | {100 * found / max(people, 1):.0f} % |"
        for kind, (people, found) in found_of(network, test, TEST_PICTURES).items()
    )
    size = sum(value.numel() for value in halves.values())
    card = CARD.format(file=out.name, rows=rows, trained=trained, steps=steps, numbers=f"{size:,}", count=TEST_PICTURES)
    out.with_suffix(".md").write_text(card, encoding="utf-8")
    return rows


def found_of(network: GroupNetwork, source: GroupSource, count: int) -> dict[str, tuple[int, int]]:
    """How many people show their head or trunk and how many of them are proposed; and of all candidates, how many lie
    on somebody.

    Args:
        network: answers for pictures.
        source: of the pictures.
        count: pictures.
    """
    rng = np.random.default_rng(37)
    people = found = rows = right = 0
    for _ in range(count):
        picture = source.draw(rng)
        candidates = proposed(network, picture.rgb)
        length = body_length(candidates)
        seen = (picture.state == 2).any(1)
        size = 2 * np.hypot(*(picture.points[:, 3] - picture.points[:, 2]).T)
        apart = np.linalg.norm(candidates[None, :, 5:7] - picture.points[:, None, 2], axis=-1)
        same = (apart < _NEAR * size[:, None]) & (np.abs(np.log(length[None] / size[:, None])) < _ALIKE_LOG)
        people, found = people + int(seen.sum()), found + int(same[seen].any(1).sum())
        rows, right = rows + len(candidates), right + int(same.any(0).sum())
    return {"people found": (people, found), "candidates on somebody": (rows, right)}


CARD = """# Detector of groups

Proposes where people are in groups (`dsr.people.groups`): from a picture to maps of heads and trunks, and beside each
the hips, the size and the direction of the body. Whether somebody is there is for the landmark model to say.

File: `{file}` (float16): a fully convolutional network after CenterNet, {numbers} numbers.

## Data

{trained} made-up, dressed people (`dsr.synthetic.cutouts`), pasted into groups while it learned
(`dsr.synthetic.groups`): overlapping, cut off, behind things, in the dark, over drawn backdrops and, for a half of the
pictures, parts of eight panoramas of places without people (Poly Haven by Greg Zaal, CC0, as Blender carries them).
Clothes and hair are MakeHuman's (CC0). No photograph of anybody was used.

The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF
EIA-0196217.

## Training

    python -m dsr.training.systems.groups --out dsr/weights/{file} --bank BANK \\
        --mocap CMU --garments MAKEHUMAN --places BLENDER/datafiles/studiolights/world

{steps} steps on one core, a quarter of an hour to an hour. Runs that were stopped go on with other pictures, so weights
do not come out byte for byte. This card is written by it.

## Validation

{count} pictures of other people, at the size it was trained on:

| | | |
| --- | --- | --- |
{rows}

## Limits

* Drawn people only: on photographs it sees fewer than on drawings, those in the open more than those behind tables.
* People of less than about 36 pixels in what it is shown are not seen; it is shown pictures at 320 to 768 pixels.
* It also proposes things; alone it must not be believed.

Licence: Apache-2.0, as the program.
"""


def entry() -> int:
    """Run the command line."""
    return run_once(Learn)


if __name__ == "__main__":
    raise SystemExit(entry())
