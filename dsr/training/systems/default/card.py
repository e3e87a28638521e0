"""From a run of the default network to weights that are shipped: calibrated, measured, with a model card and a slice.

    python -m dsr.training.systems.default.card RUN --out dsr/weights/default_network.safetensors

Held-out people are halved: factors on the uncertainties are found on one half, the rest is measured on the other. The
first people of that half become a small file of pairs, on which a test measures the weights again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor

from dsr._command import run_once
from dsr.body import load_asset
from dsr.checkpoints import write_weights
from dsr.fitting.lifted_people import shipped_lifter
from dsr.regressors.default.network import LIMBS, DefaultRegressor, centred
from dsr.regressors.default.shipped import load_default, network_header
from dsr.training.systems.default.losses import nearest_axis_angle
from dsr.training.systems.default.measures import measure, predict_pairs, radii
from dsr.training.systems.default.pairs import PATTERN, Pairs, load_pairs

SLICE_PEOPLE = 48
SHOWN = (
    ("PA-MPJPE", "pa_mpjpe_mm"),
    ("PA-MPJPE, median", "pa_mpjpe_median_mm"),
    ("centred on each other", "centred_mm"),
    ("the detector's landmarks: PA-MPJPE", "landmarks_pa_mpjpe_mm"),
    ("the landmarks, median", "landmarks_pa_mpjpe_median_mm"),
    ("the landmarks, centred", "landmarks_centred_mm"),
    ("errors within their 50 % interval, %", "interval_50"),
    ("errors within their 90 % interval, %", "interval_90"),
)
"""Rows of the card's table, and what they are called in :func:`~dsr.training.systems.default.measures.measure`."""


@dataclass(frozen=True, kw_only=True)
class Ship:
    """Calibrate and measure a trained default network, and write it with its model card and its slice."""

    weights: tyro.conf.Positional[Path]
    """Weights of a run, RUN/last.ema.safetensors."""
    pairs: Path
    """Folder of pairs whose held-out people it is measured on."""
    out: Path
    """The .safetensors file; the card goes beside it as .md."""
    slice: Path | None = None
    """Also write the slice to this .npz file."""
    note: Path | None = None
    """Text that follows the figures in the card: data, training, designs, limits."""

    def main(self) -> str:
        """Run it; returns a line of figures."""
        network = load_default(self.weights)
        people = load_pairs(self.pairs, 1, shipped_lifter())
        order = torch.arange(len(people))
        calibrate(network, people.select(order[::2]))
        about = network_header(network.design, network.width, network.depth)
        state = {name: value.half() if value.ndim > 1 else value for name, value in network.state_dict().items()}
        write_weights(self.out, state, {**about, "system": "default", "licence": "Apache-2.0"})
        shipped = load_default(self.out)
        figures = {"held-out people": measured(shipped, people.select(order[1::2]))}
        if self.slice is not None:
            write_slice(self.pairs, self.slice)
            figures["slice"] = measured(shipped, load_pairs_of(self.slice))
        note = "" if self.note is None else self.note.read_text(encoding="utf-8")
        text = card_text(self.out, shipped, figures, len(order[1::2]), note)
        self.out.with_suffix(".md").write_text(text, encoding="utf-8")
        return json.dumps({name: {k: round(v, 1) for k, v in row.items()} for name, row in figures.items()})


def measured(network: DefaultRegressor, people: Pairs) -> dict[str, float]:
    """What :data:`SHOWN` lists, on people."""
    figures = measure(predict_pairs(network, people, mirror=True), people)
    return {key: figures[key] for _, key in SHOWN}


def calibrate(network: DefaultRegressor, people: Pairs) -> None:
    """Set the factors on the network's standard deviations so that half of the errors lie where half should.

    Children, whom it cannot tell from adults, make it say smaller bodies for all: the adults' median error of every
    beta goes into the last layer.
    """
    network.calibration.fill_(1.0)
    bodies = predict_pairs(network, people, mirror=True)
    adults = people.about[:, 2] == 0
    offset = (people.betas - bodies.betas)[adults].median(0).values
    offset[load_asset("open-light").child_beta] = 0.0
    with torch.no_grad():
        network.shape_bias().add_(offset)
    bodies = predict_pairs(network, people, mirror=True)
    off = (centred(bodies.points) - centred(people.points)).norm(dim=-1)[:, LIMBS]
    half, most = radii(bodies.point_sigma[:, LIMBS])
    factors = [float((off / half).median()), float(torch.quantile((off / most).flatten(), 0.9))]
    pose = nearest_axis_angle(bodies.turns[:, 1:22], people.turns[:, 1:])
    network.calibration.copy_(
        torch.tensor(
            [
                float(np.sqrt(factors[0] * factors[1])),
                _middle_factor(pose, bodies.pose_sigma),
                _middle_factor(bodies.betas - people.betas, bodies.beta_sigma),
            ]
        )
    )


def _middle_factor(errors: Tensor, sigma: Tensor) -> float:
    """By how much standard deviations are too small, by the median of a Laplace distribution."""
    return float((errors.abs() / sigma).median() / (np.log(2) / np.sqrt(2)))


def write_slice(folder: Path, out: Path) -> None:
    """A small file of held-out people, without clothing labels."""
    kept: dict[str, list[np.ndarray]] = {}
    count = 0
    for file in sorted(folder.glob(PATTERN)):
        with np.load(file, allow_pickle=False) as shard:
            rows = np.flatnonzero(shard["split"] == 1)[1::2][: SLICE_PEOPLE - count]
            for name in shard.files:
                if name != "strata_names":
                    value = shard[name][rows]
                    kept.setdefault(name, []).append(np.zeros_like(value) if name == "labels" else value)
        count += len(rows)
        if count >= SLICE_PEOPLE:
            break
    arrays = {name: np.concatenate(parts) for name, parts in kept.items()}
    np.savez_compressed(out, **arrays)


def load_pairs_of(file: Path) -> Pairs:
    """The held-out people of one file of pairs; nothing is written beside it."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PATTERN.replace("*", "slice")
        copy.write_bytes(file.read_bytes())
        return load_pairs(Path(folder), 1, shipped_lifter())


def card_text(
    out: Path, network: DefaultRegressor, figures: dict[str, dict[str, float]], people: int, note: str
) -> str:
    """The model card."""
    columns = list(figures)
    lines = [f"| | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    lines += [f"| {label} | {' | '.join(f'{figures[c][key]:.1f}' for c in columns)} |" for label, key in SHOWN]
    return _CARD.format(
        file=out.name,
        size=out.stat().st_size / 1e6,
        design=network.design,
        parameters=sum(p.numel() for p in network.parameters()),
        people=people,
        slice=SLICE_PEOPLE,
        table="\n".join(lines),
        note=note,
    )


_CARD = """# Default network

From what the people detector, the single-frame lifter and the silhouette say about a person to a posed, shaped open
body with its uncertainty: `dsr.regressors.build_regressor("default")`,
`dsr.regressors.default.shipped.load_default()`. Every fit without `--regressor` starts from it.

File: `{file}` ({size:.1f} MB, safetensors, matrices in float16): the design `{design}` with {parameters:,} parameters.
It works in a camera that looks straight at the person, starts from the closed-form pose of the
detector's 3D landmarks, and says a turn of every joint on top of it, the first 11 betas, and standard deviations of
keypoints, joints, rotations and betas.

## Figures

Twelve limb joints, millimetres. {people} held-out people (other clips, clothes and backgrounds) that no factor was
found on, and the slice of {slice} of them that a test measures again; averaged with the mirror image, as in a fit.

{table}

{note}"""


def entry() -> int:
    """Run the command line."""
    return run_once(Ship, "python -m dsr.training.systems.default.card")


if __name__ == "__main__":
    raise SystemExit(entry())
