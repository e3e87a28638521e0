"""Learn to read faces: jaw, gaze, closed eyes and the turn of the head.

    python -m dsr.training.systems.faces --out FILE.safetensors --data FOLDER

Faces of whole people are drawn (:mod:`dsr.evaluation.faces_drawn`) and seen by the face models
(:mod:`dsr.training.systems.face_samples`); perceptrons, of which the mean is taken, learn the way from what those make
of them to the truth (:mod:`dsr.fitting.face_network`). On one thread, and the same bytes every time on one kind of
processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from dsr._command import run_once
from dsr.devices import one_thread
from dsr.fitting.face_network import SCALES
from dsr.training.systems.face_samples import kept_faces
from dsr.training.systems.hands import Perceptron, stacked

FIRST_SEED, TEST_SEED = 40_000_000, 45_000_000
_BATCH, _RATE, _DECAY, _WARM = 64, 1e-3, 0.3, 0.1
_WIDTH, _BLOCKS, _DROPOUT = 256, 2, 0.5
_BETA = 0.5  # error, in SCALES, from which it counts less than its square


@dataclass(frozen=True)
class Learn:
    """Learn to read faces and write the network with its card."""

    out: Path
    """The .safetensors file; the card goes beside it as .md."""
    data: Path
    """Folder that keeps what is drawn and read, one MB for 250 seeds; what is there already is not made again."""
    seeds: int = 4000
    """People that are drawn; three in five faces are seen."""
    test: int = 1000
    """Further ones to measure on."""
    steps: int = 1500
    """Of the optimiser."""
    networks: int = 2
    """Perceptrons that are learned, each from other beginnings."""
    seed: int = 0
    """Of the first perceptron."""

    def main(self) -> str:
        """Learn; the figures."""
        with one_thread():
            train, test = (
                kept_faces(self.data, first, count)
                for first, count in ((FIRST_SEED, self.seeds), (TEST_SEED, self.test))
            )
            networks = [learn(train, self.steps, seed) for seed in range(self.seed, self.seed + self.networks)]
            return write(self.out, networks, len(train["truth"]), test, self)


def learn(data: dict[str, np.ndarray], steps: int, seed: int) -> Perceptron:
    """The perceptron for samples; where eyes are closed it need not say where they look."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.from_numpy(data["inputs"].astype(np.float32))
    truth = torch.from_numpy((data["truth"] / SCALES).astype(np.float32))
    counted = torch.ones_like(truth)
    counted[truth[:, 3] > 0, 1:3] = 0
    network = Perceptron(inputs.shape[1], _WIDTH, _BLOCKS, _DROPOUT, outputs=len(SCALES), mapped=False)
    network.mean[:], network.spread[:] = inputs.mean(0), inputs.std(0).clamp_min(0.02)
    with torch.no_grad():
        network.out.bias[:] = truth.mean(0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, steps, pct_start=_WARM)
    for _ in range(steps):
        some = torch.randint(len(inputs), (_BATCH,), generator=generator)
        off = nn.functional.smooth_l1_loss(network(inputs[some]), truth[some], reduction="none", beta=_BETA)
        optimiser.zero_grad()
        (off * counted[some]).mean().backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def answers(networks: list[Perceptron], inputs: np.ndarray) -> np.ndarray:
    """(N, 7) what perceptrons say together of inputs (N, C), in radians but for the lids."""
    with torch.no_grad():
        said: list[Tensor] = [network(torch.from_numpy(inputs.astype(np.float32))) for network in networks]
    return SCALES * torch.stack(said).mean(0).numpy()


def errors(found: np.ndarray, truth: np.ndarray) -> tuple[float, float, float, float]:
    """Degrees that jaws, gazes of open eyes and heads are off, and the share of eyes rightly open or closed.

    Args:
        found: (N, 7).
        truth: (N, 7).
    """
    jaw = np.abs(found[:, 0].clip(0) - truth[:, 0])
    gaze = np.linalg.norm((found - truth)[truth[:, 3] == 0, 1:3], axis=1)
    turns = (Rotation.from_rotvec(rows[:, 4:7]) for rows in (found, truth))
    head = (next(turns).inv() * next(turns)).magnitude()
    lids = (found[:, 3] > 0.5) == (truth[:, 3] > 0.5)
    off = [float(np.degrees(each.mean())) for each in (jaw, gaze, head)]
    return off[0], off[1], off[2], float(lids.mean())


def write(out: Path, networks: list[Perceptron], seen: int, test: dict[str, np.ndarray], asked: Learn | None) -> str:
    """Write weights and card; the figures on the test faces."""
    from safetensors.torch import save_file

    save_file(stacked(networks), out)
    jaw, gaze, head, lids = errors(answers(networks, test["inputs"]), test["truth"])
    line = f"| {jaw:.1f} | {gaze:.1f} | {head:.1f} | {100 * lids:.1f} |"
    names = () if asked is None else ("seeds", "test", "steps", "networks")
    options = "".join(f" --{name} {getattr(asked, name)}" for name in names)
    card = CARD.format(
        file=out.name, networks=len(networks), seen=seen, test=len(test["truth"]), rows=line, options=options
    )
    out.with_suffix(".md").write_text(card, encoding="utf-8")
    return line


CARD = """# Reading of faces

From the last layers and the landmarks that MediaPipe's face mesh and iris model have of a face to the opening of the
jaw, the turn of the eyes, whether they are closed, and the rotation of the head (`dsr.fitting.face_network`).

File: `{file}` (float32): residual perceptrons of width 256, {networks} of them, whose mean is taken.

## Data

{seen} faces of drawn people of the open body (`dsr.evaluation.faces_drawn`), their eyes 12 to 60 pixels apart. No
photograph and nobody's data was used.

## Training

    python -m dsr.training.systems.faces --out dsr/weights/{file} --data FOLDER{options}

Some minutes on a quiet core, most of it drawing, which goes on where it stopped. It runs on one thread and gives the
same bytes every time on one kind of processor with the same versions of PyTorch, LiteRT and NumPy. This card is written
by it.

## Validation

{test} other drawn faces: mean degrees that the jaw's opening, the gaze of open eyes and the head's rotation are off,
and per cent of eyes rightly said to be open or closed.

| jaw | gaze | head | lids |
| --- | --- | --- | --- |
{rows}

## Limits

* Drawn faces have painted eyes and no beards, glasses or make-up.
* Both eyes look the same way and are closed together in what was learned; one closed eye is read from the lids alone.
"""


def entry() -> int:
    """Run the command line."""
    return run_once(Learn)


if __name__ == "__main__":
    raise SystemExit(entry())
