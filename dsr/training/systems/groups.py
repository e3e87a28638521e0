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
from dsr.people.group_network import ANCHORS, JOINTS, PLACE, SCALE_LOG, SIZE_PX, STRIDE, VALUES, GroupNetwork
from dsr.people.groups import joint_distance, joints_of, proposed
from dsr.synthetic.cutouts import Cutout, CutoutSource, read_cutouts, write_cutouts
from dsr.synthetic.groups import GroupPicture, GroupSource, read_places

PART = 100
"""Cut-outs per file of the bank."""
TEST_FROM = 9_000
"""Parts from this one on are people to measure on."""
SIDE = 192
_BATCH, _NEW, _KEPT = 16, 3, 4000
_LEARNING_RATE, _DECAY, _WARM, _AVERAGE = 2.5e-3, 0.02, 150, 0.998
_SPREAD, _LEAST_SPREAD = 0.028, 0.7  # of the heat around a middle: body sizes, and cells at least
_BESIDE, _JOINTS = 0.75, 0.3  # weights of place and size, and of the joints
_CLOSE = 0.35  # heat from which values count
_MOST_PEOPLE, _FARTHEST = 64, 2.0  # in a picture; and of joints, body sizes
_STATE = "training.pt"
TEST_PICTURES = 200
_NEAR = 0.08  # mean distance of the joints, in sizes: a candidate that is somebody


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
    cutouts: int = 8000
    """People of the bank."""
    test: int = 200
    """Further people to measure on."""
    steps: int = 19500
    """Of the optimiser."""
    seed: int = 0
    """Of the network and the pictures."""
    start: Path | None = None
    """Weights of an earlier run; a new one begins with those of its parts that fit."""

    def main(self) -> str:
        """Learn; the figures."""
        self.bank.mkdir(parents=True, exist_ok=True)
        train, test = self._bank(0, self.cutouts), self._bank(TEST_FROM, self.test)
        places = [] if self.places is None else read_places(self.places)
        network = learn(
            GroupSource(train, SIDE, self.seed, places), self.steps, self.seed, self.bank / _STATE, self.start
        )
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


def learn(source: GroupSource, steps: int, seed: int, state: Path, start: Path | None = None) -> GroupNetwork:
    """The network, averaged over the last few hundred steps.

    Args:
        source: of the pictures.
        steps: of the optimiser.
        seed: of the network and the pictures.
        state: file from which the run goes on.
        start: weights of an earlier network, of which a new run takes what fits.
    """
    torch.manual_seed(seed)
    network: GroupNetwork = GroupNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if start is not None:
        _begin_with(network, start)
    averaged = deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_DECAY)
    first = 0
    if state.exists():
        kept = torch.load(state, weights_only=True)
        first = int(kept["step"])
        for part, name in ((network, "network"), (averaged, "averaged"), (optimiser, "optimiser")):
            part.load_state_dict(kept[name])
    rng = np.random.default_rng([31, seed, first])
    replay = _Replay(source.side)
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


def _begin_with(network: GroupNetwork, start: Path) -> None:
    """Take those weights of a file that a network has in the same place and shape."""
    from safetensors.torch import load_file

    mine = network.state_dict()
    theirs = load_file(start).items()
    fitting = {name: value.float() for name, value in theirs if name in mine and value.shape == mine[name].shape}
    network.load_state_dict({**mine, **fitting})


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


class _Replay:
    """Pictures and their targets that are shown again, in arrays that are made once: thousands of small ones between
    those of a training step would leave the memory full of holes.

    Args:
        side: of the pictures.
    """

    def __init__(self, side: int) -> None:
        maps = (_KEPT, ANCHORS, side // STRIDE, side // STRIDE)
        self._rgb = np.zeros((_KEPT, side, side, 3), np.uint8)
        self._heat, self._counts = np.zeros(maps, np.float16), np.zeros(maps, bool)
        self._whose, self._points = np.zeros(maps, np.int8), np.zeros((_KEPT, _MOST_PEOPLE, 4 + JOINTS, 2), np.float32)
        self.count = 0

    def put(self, rng: np.random.Generator, picture: GroupPicture) -> int:
        """Keep a picture, where there is no room in the place of another; its place."""
        place = self.count if self.count < _KEPT else int(rng.integers(_KEPT))
        self.count = max(self.count, place + 1)
        made = target(picture)
        self._rgb[place], self._heat[place] = picture.rgb, made.heat
        self._counts[place], self._whose[place] = made.counts, made.whose
        self._points[place, : len(picture.points)] = picture.points
        return place

    def get(self, places: list[int]) -> tuple[Tensor, Target]:
        """Pictures (B, 3, H, W), 0 to 255, and their targets."""
        rgb, heat, counts, whose, points = (
            torch.from_numpy(kept[places]) for kept in (self._rgb, self._heat, self._counts, self._whose, self._points)
        )
        return rgb.permute(0, 3, 1, 2).float(), Target(heat.float(), counts.float(), whose.long(), points)


def _batch(rng: np.random.Generator, source: GroupSource, replay: _Replay) -> tuple[Tensor, Target]:
    """Pictures (B, 3, H, W) in -1 to 1 and targets, some new, the others once more in other light."""
    places = [replay.put(rng, source.draw(rng)) for _ in range(_NEW if replay.count else _BATCH)]
    places += rng.integers(replay.count, size=_BATCH - len(places)).tolist()
    pictures, targets = replay.get(places)
    gain = torch.from_numpy(np.exp(rng.normal(0, 0.12, (_BATCH, 3, 1, 1))).astype(np.float32))
    pictures = ((pictures * gain).clamp(0, 255) / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    return pictures, targets


@dataclass(frozen=True)
class Target:
    """What the network is to answer for a picture, or for B pictures, as tensors with a leading axis.

    Attributes:
        heat: (2, h, w) float16 of heads and trunks.
        counts: (2, h, w) bool, where heat counts.
        whose: (2, h, w) int8, whose values count there; -1 nobody's.
        points: (P, 4 + 15, 2) float32 of :class:`~dsr.synthetic.groups.GroupPicture`.
    """

    heat: Any
    counts: Any
    whose: Any
    points: Any


def target(picture: GroupPicture) -> Target:
    """The target of a picture."""
    height, width = (side // STRIDE for side in picture.rgb.shape[:2])
    heat, counts = np.zeros((ANCHORS, height, width), np.float32), np.ones((ANCHORS, height, width), bool)
    whose, nearest = np.full((ANCHORS, height, width), -1, np.int8), np.zeros((ANCHORS, height, width), np.float32)
    rows, columns = np.mgrid[:height, :width].astype(np.float32) + 0.5
    for person, (points, state) in enumerate(zip(picture.points / STRIDE, picture.state, strict=True)):
        spread = max(_LEAST_SPREAD, _SPREAD * 2 * float(np.hypot(*(points[3] - points[2]))))
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
                counts[k][near] &= warm < 0.3
                continue
            heat[k][near] = np.maximum(heat[k][near], warm)
            close = (warm > _CLOSE) & (warm > nearest[k][near])
            nearest[k][near][close] = warm[close]
            whose[k][near][close] = person
    counts |= heat >= 1
    return Target(heat.astype(np.float16), counts, whose, picture.points)


def errors(answers: Tensor, targets: Target) -> Tensor:
    """The loss: CenterNet's focal loss of the heat; near middles absolute errors of place and size, and of the joints
    their negative log likelihood.

    Args:
        answers: (B, 102, h, w) of the network.
        targets: of B pictures.
    """
    logits, heat = answers[:, :ANCHORS], targets.heat
    there = (heat >= 1).float()
    score = torch.sigmoid(logits)
    missed = -((1 - score) ** 2) * functional.logsigmoid(logits) * there
    false = -((1 - heat) ** 4) * score**2 * functional.logsigmoid(-logits) * (1 - there) * targets.counts
    loss: Tensor = (missed.sum() + false.sum()) / there.sum().clamp_min(1)
    picture, anchor, row, column = torch.nonzero(targets.whose >= 0, as_tuple=True)
    if not len(picture):
        return loss
    values = answers[:, ANCHORS:].unflatten(1, (ANCHORS, VALUES))[picture, anchor, :, row, column]
    points = targets.points[picture, targets.whose[picture, anchor, row, column]] / STRIDE
    size = 2 * torch.linalg.vector_norm(points[:, 3] - points[:, 2], dim=-1)[:, None]
    beside = (points - torch.stack([column, row], -1)[:, None] - 0.5) / size[..., None]
    up = 2 * (points[:, 3] - points[:, 2]) / size
    place = torch.cat([beside[:, 2], torch.log(size * STRIDE / SIZE_PX), up[:, :1], -up[:, 1:]], 1)
    loss = (
        loss + _BESIDE * functional.smooth_l1_loss(values[:, :PLACE], place, reduction="none", beta=0.05).sum(1).mean()
    )
    joints, logs = values[:, PLACE:].split([2 * JOINTS, JOINTS], 1)
    logs = logs.clamp(*SCALE_LOG)
    apart = (joints.unflatten(1, (JOINTS, 2)) - beside[:, 4:]).abs().sum(2).clamp_max(_FARTHEST)
    return loss + _JOINTS * (apart * torch.exp(-logs) + 2 * logs).mean()


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
    on somebody, head and trunk.

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
        joints, scales = joints_of(candidates)
        size = 2 * np.hypot(*(picture.points[:, 3] - picture.points[:, 2]).T)
        same = np.zeros((len(picture.points), len(candidates)), bool)
        for k in range(len(candidates)):
            apart = joint_distance(joints[k], scales[k], picture.points[:, 4:])
            same[:, k] = apart < _NEAR * size
        seen = (picture.state == 2).any(1)
        people, found = people + int(seen.sum()), found + int(same[seen].any(1).sum())
        rows, right = rows + len(candidates), right + int(same.any(0).sum())
    return {"people found": (people, found), "candidates on somebody": (rows, right)}


CARD = """# Detector of groups

Proposes where people are in groups (`dsr.people.groups`): from a picture to maps of heads and trunks, and beside each
the hips, the size and the direction of the body, and 15 joints (nose, ears, limbs without hands and feet) with how far
off each may be. The landmark model looks at who is proposed; head and trunk tell whether it shows them or a neighbour.

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

{steps} steps on one core, three to eight a second. Runs that were stopped go on with other pictures, so
weights do not come out byte for byte. This card is written by it.

## Validation

{count} pictures of other people, at the size it was trained on:

| | | |
| --- | --- | --- |
{rows}

Somebody is found where head and trunk of a candidate are theirs, by 8 percent of the size.

## Limits

* Drawn people only: on photographs it sees fewer than on drawings, those in the open more than those behind tables.
* People of less than about 36 pixels in what it is shown are not seen; it is shown pictures at 320 to 768 pixels.
* It also proposes things; alone it must not be believed.
* Its limbs are near the mean pose: they tell people apart, and are no keypoints for a fit.

Licence: Apache-2.0, as the program.
"""


def entry() -> int:
    """Run the command line."""
    return run_once(Learn)


if __name__ == "__main__":
    raise SystemExit(entry())
