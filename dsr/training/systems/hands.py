"""Learn what is usually wrong with solved hands: ``python -m dsr.training.systems.hands --out FILE.safetensors``.

Hands are drawn (:mod:`dsr.evaluation.hands_drawn`), read by the landmark models in regions of noisy keypoints, and
solved with a forearm and a size as wrong as a fitted body's; a perceptron learns the way from the solutions to the
truth (:mod:`dsr.fitting.hand_correction`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dsr._command import run_once
from dsr.body import BodyAsset, load_asset, skeleton
from dsr.body.joints import joint_names
from dsr.body.numpy_lbs import rodrigues
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera import PictureCamera
from dsr.evaluation.expressive_drawn import finger_places
from dsr.evaluation.hands_drawn import SIZE, DrawnHand, draw_hand
from dsr.fitting.fingers import ANGLES, FINGERS, LANDMARKS_OF, RestHand
from dsr.fitting.hand_correction import MIRRORED_ANGLES, features
from dsr.fitting.hand_solver import hand_readings
from dsr.fitting.hands import hand_view
from dsr.people.hands import Hand, HandFinder
from dsr.people.regions import Pyramid

FIRST_SEED, TEST_SEED = 10_000_000, 30_000_000
_MIRROR = np.array([-1.0, 1.0, 1.0])
_PLACES = [LANDMARKS_OF[f][k] for f in FINGERS for k in range(3)] + [LANDMARKS_OF[f][3] for f in FINGERS]
_STEP, _BATCH, _IN_HAND, _OTHER, _JITTER = 1e-3, 128, 0.3, 0.02, 0.05
_CAUTION = 0.75
"""How much of what was learned is done: of hands it has not seen the perceptron says too much."""
_KEYS = ("features", "chosen", "hand", "places", "moves", "true", "true_hand")


@dataclass(frozen=True)
class Learn:
    """Learn the correction of hands and write it with its card."""

    out: Path
    """The .safetensors file; the card goes beside it as .md."""
    hands: int = 1176
    """Hands that are read."""
    test: int = 100
    """Further hands to measure on."""
    draws: int = 2
    """Forearms that every hand is solved with."""
    steps: int = 2000
    """Of the optimiser."""
    seed: int = 0
    """Of the perceptron."""

    def main(self) -> str:
        """Learn; the figures."""
        asset = load_asset("open-x")
        train = stacked(
            sample for read in read_hands(asset, FIRST_SEED, self.hands) for sample in samples(asset, *read, self.draws)
        )
        test = stacked(
            sample for read in read_hands(asset, TEST_SEED, self.test) for sample in samples(asset, *read, 1)
        )
        network = learn(train, self.steps, self.seed)
        return write(self.out, network, train, test, self.draws)


def read_hands(asset: BodyAsset, first: int, count: int) -> Iterator[tuple[int, DrawnHand, Hand]]:
    """Seeds, drawn hands and what the models read, of so many hands that are found."""
    finder, wrist = HandFinder(1), joint_names("blazepose33")
    seed = first
    while count:
        drawn = draw_hand(asset, seed)
        if drawn is not None:
            confidence = np.zeros(33)
            confidence[wrist.index(f"{drawn.side}_wrist")] = 1.0
            found = finder(Pyramid(drawn.picture), [drawn.keypoints], [confidence], "blazepose33")[0]
            if drawn.side in found:
                yield seed, drawn, found[drawn.side]
                count -= 1
        seed += 1


def samples(asset: BodyAsset, seed: int, drawn: DrawnHand, hand: Hand, draws: int) -> Iterator[dict[str, np.ndarray]]:
    """A hand solved with several forearms: what the perceptron sees, may change and shall reach, as a left hand."""
    rest, names, rng = RestHand(asset, drawn.betas, drawn.side), list(asset.joint_names), np.random.default_rng(seed)
    _, transforms = skeleton(asset, drawn.betas, drawn.pose, drawn.orient, drawn.transl)
    elbow, wrist = (transforms[names.index(f"{drawn.side}_{part}")] for part in ("elbow", "wrist"))
    true = finger_places(asset, drawn.betas, drawn.pose, drawn.orient, drawn.side)
    mirror = _MIRROR if drawn.side == "right" else np.ones(3)
    signs = MIRRORED_ANGLES if drawn.side == "right" else np.ones(ANGLES)
    camera = PictureCamera(drawn.K, (SIZE, SIZE))
    for k in range(draws):
        forearm = elbow[:3, :3]
        if k:  # the same picture, another forearm
            bent = rodrigues(rng.normal(0, rng.uniform(0.2, 0.4), 3))
            forearm = wrist[:3, :3] @ (bent @ rodrigues(rest.forearm * rng.uniform(-0.9, 0.9))).T
        off = rng.normal(0, rng.uniform(0.12, 0.22), 3) + rest.forearm * rng.normal(0, rng.choice([0, 0.4]))
        place = wrist[:3, 3] / np.exp(rng.normal(0, 0.08))
        turn, view = hand_view(hand, camera, forearm @ rodrigues(off), place)
        poses, costs = hand_readings(rest, view)
        hands, places, moves = [], [], []
        for pose in poses:
            changed = pose.angles + np.concatenate([np.zeros((1, ANGLES)), _STEP * np.eye(ANGLES) * signs])
            points = (rest.landmarks(changed)[:, _PLACES] - rest.wrist) * mirror
            hands.append(mirror[:, None] * pose.hand * mirror)
            places.append(points[0])
            moves.append((points[1:] - points[0]) / _STEP)
        yield {
            "features": features(rest, view, poses, costs),
            "chosen": np.array(int(np.argmin(costs))),
            "hand": np.array(hands),
            "places": np.array(places),
            "moves": np.array(moves),
            "true": true @ turn * mirror,
            "true_hand": mirror[:, None] * (turn.T @ wrist[:3, :3]) * mirror,
        }


def stacked(rows: Iterator[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """Samples as tensors, float32 and int64."""
    listed = list(rows)
    out = {key: torch.from_numpy(np.stack([row[key] for row in listed])) for key in _KEYS}
    return {key: value if key == "chosen" else value.float() for key, value in out.items()}


class Perceptron(nn.Module):
    """As :func:`dsr.fitting.hand_correction.perceptron`, for learning.

    Args:
        inputs: their number.
        width: of the layers.
        blocks: residual blocks.
        dropout: share of what is left out.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, inputs: int, width: int = 128, blocks: int = 2, dropout: float = 0.25) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        self.add_module("in", nn.Linear(inputs, width))
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {"norm": nn.LayerNorm(width), "first": nn.Linear(width, width), "second": nn.Linear(width, width)}
            )
            for _ in range(blocks)
        )
        self.out = nn.Linear(width, 3 + ANGLES)
        self.dropout = nn.Dropout(dropout)
        self.some = nn.Dropout(dropout / 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Changes (N, 24) of inputs (N, C)."""
        x = self.get_submodule("in")(self.some(((inputs - self.mean) / self.spread).clamp(-4, 4)))
        for block in self.blocks:
            assert isinstance(block, nn.ModuleDict)
            x = x + block["second"](self.dropout(nn.functional.silu(block["first"](block["norm"](x)))))
        out: Tensor = self.out(nn.functional.silu(x))
        return out


def errors(data: dict[str, Tensor], reading: Tensor, changes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Metres (N,) that fingers are off from the wrist, the same in the hand, and its rotation's error (N, 3, 3).

    Args:
        data: N samples.
        reading: (N,) which of the two is changed.
        changes: (N, 24).
    """
    rows = torch.arange(len(reading))
    hand = data["hand"][rows, reading] @ axis_angle_to_rotmat(changes[:, :3])
    places = data["places"][rows, reading] + torch.einsum("na,napx->npx", changes[:, 3:], data["moves"][rows, reading])
    seen = (places @ hand.transpose(1, 2) - data["true"]).norm(dim=-1).mean(1)
    inner = (places @ data["true_hand"].transpose(1, 2) - data["true"]).norm(dim=-1).mean(1)
    return seen, inner, hand.transpose(1, 2) @ data["true_hand"]


def learn(data: dict[str, Tensor], steps: int, seed: int) -> Perceptron:
    """The perceptron for samples; the reading that was not chosen is left as it is."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(len(data["chosen"]))
    seen = data["features"][rows, data["chosen"]]
    network = Perceptron(seen.shape[1])
    network.mean[:], network.spread[:] = seen.mean(0), seen.std(0).clamp_min(0.02)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1.5e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.5e-3, steps, pct_start=0.15)
    for _ in range(steps):
        some = torch.randint(len(rows), (_BATCH,), generator=generator)
        part = {key: value[some] for key, value in data.items()}
        noise = _JITTER * network.spread * torch.randn(2 * _BATCH, seen.shape[1], generator=generator)
        other = 1 - part["chosen"]
        inputs = torch.cat([part["features"][torch.arange(_BATCH), which] for which in (part["chosen"], other)])
        changes = network(inputs + noise)
        camera, inner, _ = errors(part, part["chosen"], changes[:_BATCH])
        loss = (camera + _IN_HAND * inner).mean() + _OTHER * (changes[_BATCH:] ** 2).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        network.out.weight.mul_(_CAUTION)
        network.out.bias.mul_(_CAUTION)
    return network.eval()


def write(out: Path, network: Perceptron, train: dict[str, Tensor], test: dict[str, Tensor], draws: int) -> str:
    """Write weights and card; the figures on the test hands."""
    from safetensors.torch import save_file

    lines = []
    with torch.no_grad():
        rows = torch.arange(len(test["chosen"]))
        changes = network(test["features"][rows, test["chosen"]])
        for name, change in (("as solved", torch.zeros_like(changes)), ("corrected", changes)):
            camera, inner, off = errors(test, test["chosen"], change)
            angle = ((off.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).arccos().rad2deg()
            figures = (1000 * camera.mean(), 1000 * camera.median(), 1000 * inner.mean(), angle.mean(), angle.median())
            lines.append(f"| {name} | " + " | ".join(f"{float(figure):.1f}" for figure in figures) + " |")
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, out)
    counts = {"hands": len(train["chosen"]) // draws, "draws": draws, "test": len(test["chosen"]), "file": out.name}
    out.with_suffix(".md").write_text(CARD.format(rows="\n".join(lines), **counts), encoding="utf-8")
    return "\n".join(lines)


CARD = """# Correction of hands

What is usually wrong with a hand that was solved from the landmark model's answer (`dsr.fitting.hand_correction`): from
the solution as seen from the hand itself to a small turn of the wrist and changes of 21 angles of the fingers.

File: `{file}` (float32): a residual perceptron of width 128.

## Data

{hands} drawn hands of the open body (`dsr.evaluation.hands_drawn`), read by MediaPipe's hand models and solved with
{draws} forearms each. No photograph and nobody's data was used.

## Training

    python -m dsr.training.systems.hands --out dsr/weights/{file}

A quarter of an hour on a quiet core. This card is written by it.

## Validation

{test} other drawn hands: millimetres from the wrist in the camera's axes (mean, median), millimetres with the true
rotation of the hand, degrees of the hand's rotation (mean, median).

| | mean | median | in the hand | rotation | median |
| --- | --- | --- | --- | --- | --- |
{rows}

## Limits

* Drawn hands are bare, whole and plainly lit. What the landmark model does with hands that hold things, wear gloves
  or are cut off is not learned.
* A hand that the landmark model took for something else stays wrong.
"""


def entry() -> int:
    """Run the command line."""
    return run_once(Learn)


if __name__ == "__main__":
    raise SystemExit(entry())
