"""Learn to read hands: their rotation and the angles of their fingers.

    python -m dsr.training.systems.hands --out FILE.safetensors --data FOLDER

Hands are drawn (:mod:`dsr.evaluation.hands_drawn`) and seen by the landmark models in regions of noisy keypoints
(:mod:`dsr.training.systems.hand_samples`); perceptrons, of which the mean is taken, learn the way from what those make
of them, and from a forearm and a size as wrong as a fitted body's, to the truth (:mod:`dsr.fitting.hand_network`). On
one thread, and the same bytes every time on one kind of processor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dsr._command import run_once
from dsr.body import load_asset
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.devices import one_thread
from dsr.fitting.fingers import ANGLES, BEND_COLUMNS, RestHand
from dsr.fitting.hand_network import MAP_SCALE
from dsr.people.hands import MAP
from dsr.training.systems.hand_samples import PEOPLE_FROM, kept_samples, together

FIRST_SEED, TEST_SEED = 10_000_000, 30_000_000
_BATCH, _IN_HAND, _CALM = 128, 0.3, 0.002
_RATE, _DECAY, _WARM = 1.5e-3, 0.05, 0.1
_CHANNELS, _MEASURED = 24, 8192  # of the map after a first layer; samples that inputs are scaled by
_MAPPED = 1.5
"""How often hands with a map come, against those without."""
_BENT, _TWISTED, _SIZE, _UNKNOWN = (0.08, 0.30), 0.7, 0.1, 0.05
"""How wrong a forearm's direction may be and half of the time its twist (radians), the size (its logarithm), and how
often nothing is known of the forearm."""
_USUAL_M = 0.3


@dataclass(frozen=True)
class Learn:
    """Learn to read hands and write the network with its card."""

    out: Path
    """The .safetensors file; the card goes beside it as .md."""
    data: Path
    """Folder that keeps what is drawn and read, 2 to 13 MB for 250 seeds; what is there already is not made again."""
    seeds: int = 14_000
    """Arms that are drawn; three in five hands are found."""
    people: int = 13_000
    """People that are drawn; two in three hands are found."""
    test: int = 750
    """Further arms to measure on."""
    test_people: int = 500
    """Further people to measure on."""
    steps: int = 10_000
    """Of the optimiser."""
    networks: int = 2
    """Perceptrons that are learned, each from other beginnings."""
    seed: int = 0
    """Of the first perceptron."""

    def main(self) -> str:
        """Learn; the figures."""
        with one_thread():
            train, test = (
                as_tensors(
                    together(kept_samples(self.data, first + PEOPLE_FROM // 2 * k, n) for k, n in enumerate(counts))
                )
                for first, counts in (
                    (FIRST_SEED, (self.seeds, self.people)),
                    (TEST_SEED, (self.test, self.test_people)),
                )
            )
            network = Mean(learn(train, self.steps, seed) for seed in range(self.seed, self.seed + self.networks))
            first = test["first_look"]
            return write(self.out, network, train, {key: value[first] for key, value in test.items()}, self)


def as_tensors(samples: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Samples as tensors: float32, but for choices and maps."""
    tensors = {key: torch.from_numpy(value) for key, value in samples.items()}
    return {k: value if value.dtype == torch.bool or k == "map" else value.float() for k, value in tensors.items()}


class HandPlaces:
    """Finger joints and tips of the mean left hand, to be differentiated."""

    def __init__(self) -> None:
        rest = RestHand(load_asset("open-x"), np.zeros(1), "left")
        chains = rest.chains
        self.relaxed, self.along = _float(rest.relaxed), _float(rest.forearm)
        self._hinge = _float(np.repeat([chain.hinge for chain in chains], 3, axis=0))
        self._palmar = _float(np.stack([chain.palmar for chain in chains[:4]]))
        self._back = _float(np.stack([chain.straightening for chain in chains[:4]]))
        self._start = _float(np.stack([chain.start - rest.wrist for chain in chains]))
        self._steps = _float(np.stack([chain.bones * chain.lengths[:, None] for chain in chains]))
        bends = np.array([[chain.angle(bone) for bone in chain.bones] for chain in chains])
        self._offset = _float(np.concatenate([np.zeros((5, 1)), bends[:, :-1] - bends[:, 1:]], 1).ravel())

    def turns(self, angles: Tensor) -> Tensor:
        """Local rotations (N, 15, 3, 3) of angles (N, 21), see :meth:`dsr.fitting.fingers.RestHand.turns`."""
        vectors = self._hinge * (angles[:, BEND_COLUMNS] + self._offset)[..., None]
        vectors = torch.cat([vectors[:, :12], angles[:, None, 16:19], vectors[:, 13:]], 1)
        turns = axis_angle_to_rotmat(vectors).reshape(-1, 5, 3, 3, 3)
        spread = axis_angle_to_rotmat(-self._palmar * angles[:, 1:16:4, None])
        first = torch.cat([turns[:, :4, 0] @ spread @ self._back, turns[:, 4:, 0]], 1)
        return torch.cat([first[:, :, None], turns[:, :, 1:]], 2).reshape(-1, 15, 3, 3)

    def places(self, turns: Tensor) -> Tensor:
        """(N, 20, 3) joints, then tips, from the wrist in the hand's frame, metres, of rotations (N, 15, 3, 3)."""
        local = turns.reshape(-1, 5, 3, 3, 3)
        turn, place = local[:, :, 0], self._start.expand(len(turns), 5, 3)
        out = [place]
        for k in range(3):
            turn = turn if k == 0 else turn @ local[:, :, k]
            place = place + (turn @ self._steps[:, k, :, None])[..., 0]
            out.append(place)
        return torch.cat([torch.stack(out[:3], 2).reshape(-1, 15, 3), out[3]], 1)


class Perceptron(nn.Module):
    """One of :func:`dsr.fitting.hand_network.perceptron`, for learning.

    Args:
        inputs: their number, without the map.
        width: of the layers.
        blocks: residual blocks.
        dropout: share of what is left out.
        outputs: their number.
        mapped: whether the landmark model's map of a hand follows the inputs.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        inputs: int,
        width: int = 384,
        blocks: int = 2,
        dropout: float = 0.3,
        outputs: int = 6 + ANGLES,
        mapped: bool = True,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        self.add_module("in", nn.Linear(inputs, width))
        self.mapped = mapped
        if mapped:
            self.places = nn.Linear(MAP[-1], _CHANNELS)
            self.map = nn.Linear(math.prod(MAP[:2]) * _CHANNELS, width, bias=False)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {"norm": nn.LayerNorm(width), "first": nn.Linear(width, width), "second": nn.Linear(width, width)}
            )
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, outputs)
        self.dropout, self.some = nn.Dropout(dropout), nn.Dropout(dropout / 2)
        nn.init.normal_(self.out.weight, std=0.01)
        with torch.no_grad():
            self.out.bias.zero_()[[0, 4]] = 1.0

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, 27) for :func:`turned`, or as many as asked for, of inputs (N, C)."""
        x = self.get_submodule("in")(self.some(((inputs[:, : len(self.mean)] - self.mean) / self.spread).clamp(-5, 5)))
        if self.mapped:
            x = x + self._mapped(inputs[:, len(self.mean) :].unflatten(1, (-1, MAP[-1])))
        for block in self.blocks:
            assert isinstance(block, nn.ModuleDict)
            y = nn.functional.silu(block["first"](block["norm"](x)))
            x = x + block["second"](self.dropout(y))
        out: Tensor = self.out(nn.functional.silu(self.norm(x)))
        return out

    def _mapped(self, places: Tensor) -> Tensor:
        seen = self.dropout(nn.functional.silu(self.places(places / MAP_SCALE)).flatten(1))
        out: Tensor = self.map(seen) * (places.flatten(1) != 0).any(1, keepdim=True)
        return out


def turned(out: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations (N, 3, 3) and changes (N, 21) of relaxed angles, of what perceptrons say (N, 27)."""
    first = nn.functional.normalize(out[:, :3], dim=1)
    second = nn.functional.normalize(out[:, 3:6] - first * (first * out[:, 3:6]).sum(1, keepdim=True), dim=1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], 2), out[:, 6:]


class Mean(nn.Module):
    """Perceptrons together: the mean of what they say.

    Args:
        networks: the perceptrons.
    """

    def __init__(self, networks: Iterable[Perceptron]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations (N, 3, 3) and changes (N, 21) of relaxed angles, of inputs (N, C)."""
        return turned(torch.stack([network(inputs) for network in self.networks]).mean(0))

    def weights(self) -> dict[str, Tensor]:
        """Of all by name, perceptrons along the first axis."""
        return stacked(self.networks)


def stacked(networks: Iterable[nn.Module]) -> dict[str, Tensor]:
    """The weights of networks that are alike, by name, networks along the first axis."""
    states = [network.state_dict() for network in networks]
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def inputs_of(model: HandPlaces, data: dict[str, Tensor], generator: torch.Generator, learning: bool) -> Tensor:
    """(N, C) what the network sees, with a forearm and a size that are off: as when learning, or as a fit has them."""
    count = len(data["palm"])

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    off, size = normal(3) * 0.15, 0.08
    if learning:
        low, high = _BENT
        off, size = normal(3) * (low + (high - low) * uniform(1)), _SIZE
    forearm = data["forearm"] @ axis_angle_to_rotmat(off)
    if learning:
        forearm = forearm @ axis_angle_to_rotmat(model.along * normal(1) * _TWISTED * (uniform(1) < 0.5))
        forearm = forearm * (uniform(1, 1) > _UNKNOWN)
    seen = data["palm"].transpose(1, 2) @ forearm
    scale = 3 * (torch.log(data["side_m"] / _USUAL_M) + size * normal())
    arm = [forearm.flatten(1), forearm @ model.along, seen.flatten(1), seen @ model.along, scale[:, None]]
    return torch.cat([data["seen"], data["shown"], *arm, data["map"].float()], 1)


def errors(model: HandPlaces, data: dict[str, Tensor], hand: Tensor, changes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Metres (N,) that fingers are off from the wrist, the same in the hand, and its rotation's error (N, 3, 3).

    Args:
        model: the hand that both are laid on.
        data: N samples.
        hand: (N, 3, 3).
        changes: (N, 21) of relaxed angles.
    """
    places = model.places(model.turns(model.relaxed + changes))
    true, true_hand = model.places(data["true_fingers"]), data["true_hand"]
    off = places @ hand.transpose(1, 2) - true @ true_hand.transpose(1, 2)
    return off.norm(dim=-1).mean(1), (places - true).norm(dim=-1).mean(1), hand.transpose(1, 2) @ true_hand


def learn(data: dict[str, Tensor], steps: int, seed: int) -> Perceptron:
    """The perceptron for samples."""
    torch.manual_seed(seed)
    generator, model = torch.Generator().manual_seed(seed), HandPlaces()
    some = torch.randperm(len(data["palm"]), generator=generator)[:_MEASURED]
    shown = inputs_of(model, {key: value[some] for key, value in data.items()}, generator, True)
    shown = shown[:, : -data["map"].shape[1]]
    network = Perceptron(shown.shape[1])
    network.mean[:], network.spread[:] = shown.mean(0), shown.std(0).clamp_min(0.02)
    chance = torch.where((data["map"] != 0).any(1), _MAPPED, 1.0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, steps, pct_start=_WARM)
    for _ in range(steps):
        some = torch.multinomial(chance, _BATCH, replacement=True, generator=generator)
        part = {key: value[some] for key, value in data.items()}
        hand, changes = turned(network(inputs_of(model, part, generator, True)))
        camera, inner, _ = errors(model, part, hand, changes)
        loss = (camera + _IN_HAND * inner).mean() + _CALM * (changes**2).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return network.eval()


def write(
    out: Path, network: Mean, train: dict[str, Tensor], test: dict[str, Tensor], asked: Learn | None = None
) -> str:
    """Write weights and card; the figures on the test hands."""
    from safetensors.torch import save_file

    model, generator = HandPlaces(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        camera, inner, off = errors(model, test, *network(inputs_of(model, test, generator, False)))
    angle = ((off.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).arccos().rad2deg()
    figures = (1000 * camera.mean(), 1000 * camera.median(), 1000 * inner.mean(), angle.mean(), angle.median())
    line = "| " + " | ".join(f"{float(figure):.1f}" for figure in figures) + " |"
    save_file(network.weights(), out)
    counts = {"hands": int(train["first_look"].sum()), "looks": len(train["palm"]), "test": len(test["palm"])}
    names = () if asked is None else ("seeds", "people", "test", "test_people", "steps", "networks")
    options = "".join(f" --{name.replace('_', '-')} {getattr(asked, name)}" for name in names)
    counts["networks"] = len(network.networks)
    card = CARD.format(rows=line, file=out.name, options=options, **counts)
    out.with_suffix(".md").write_text(card, encoding="utf-8")
    return line


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


CARD = """# Reading of hands

From the features and the points that MediaPipe's landmark model has of a hand, and from where the body has the forearm,
to the rotation of the hand and 21 angles of its fingers (`dsr.fitting.hand_network`).

File: `{file}` (float32): residual perceptrons of width 384, {networks} of them, whose mean is taken.

## Data

{hands} drawn hands of the open body (`dsr.evaluation.hands_drawn`), seen by MediaPipe's hand models in {looks} looks.
No photograph and nobody's data was used.

## Training

    python -m dsr.training.systems.hands --out dsr/weights/{file} --data FOLDER{options}

About an hour on a quiet core, most of it drawing, which goes on where it stopped. It runs on one thread and
gives the same bytes every time on one kind of processor with the same versions of PyTorch, LiteRT and NumPy. This card
is written by it.

## Validation

{test} other drawn hands: millimetres from the wrist in the camera's axes (mean, median), millimetres with the true
rotation of the hand, degrees of the hand's rotation (mean, median).

| mean | median | in the hand | rotation | median |
| --- | --- | --- | --- | --- |
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
