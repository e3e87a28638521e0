"""Make the default network's training people: ``python -m dsr.synthetic.make_pairs FOLDER --count 200000``.

Shards of 1000 seeds each, written whole; what is there already is kept, so the command goes on where it was stopped,
and several processes share the work with ``--part``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from dsr._command import run_once
from dsr.body import BodyAsset, load_asset
from dsr.errors import DatasetError
from dsr.files import write_atomic
from dsr.npz import read_npz
from dsr.synthetic.pairs import Pair, PairSource
from dsr.synthetic.people_drawn import STRATA

SHARD = 1000
RECIPE = 3
"""Kept in every shard: seeds make the same people again as long as it is the same."""
_HEAVY_BMI, _THIN_BMI = 30.0, 18.5


@dataclass
class MakePairs:
    """Make people, run the landmark model over them, keep what it says beside the truth."""

    out: tyro.conf.Positional[Path]
    """Folder of the shards; a run into the same one goes on."""
    count: int = 200_000
    """How many people, training and testing together."""
    mocap: Path | None = None
    """Folder of BVH clips (CMU); without it poses come from the pose prior and written postures."""
    garments: Path | None = None
    """Folder of the unpacked MakeHuman assets; without it all clothes are painted."""
    first: int = 0
    """First shard: other ones are other people."""
    part: str = "0/1"
    """Which part of the work is this process's, and of how many: 0/2 and 1/2 for two processes."""
    limit_gb: float = 8.0
    """Stop when the folder holds so much."""

    def main(self) -> str:
        """Make what is missing and return a line of figures."""
        index, parts = _part(self.part)
        self.out.mkdir(parents=True, exist_ok=True)
        wanted = range(self.first, self.first + -(-self.count // SHARD))
        missing = [k for k in wanted if k % parts == index and not shard_path(self.out, k).exists()]
        source = PairSource(self.mocap, self.garments) if missing else None
        made, began = 0, time.monotonic()
        for k in missing:
            if sum(path.stat().st_size for path in shards(self.out)) > self.limit_gb * 1e9:
                return f"{self.out} holds {self.limit_gb:g} GB, which is the limit; --limit-gb raises it."
            assert source is not None
            made += make_shard(source, self.out, k)
            speed = made / (time.monotonic() - began)
            sys.stderr.write(f"{shard_path(self.out, k).name}: {made} people, {speed:.1f} per second\n")
            sys.stderr.flush()
        return f"{made} people made; {self.out} holds {len(shards(self.out))} shards."


def make_shard(source: PairSource, folder: Path, index: int) -> int:
    """Make one shard and return how many people it holds."""
    found = [pair for seed in range(index * SHARD, (index + 1) * SHARD) if (pair := source.sample(seed)) is not None]
    if not found:
        raise DatasetError("the landmark model saw nobody in a thousand pictures; is it the right model?")
    arrays = measured({name: np.stack([pair[name] for pair in found]) for name in found[0]})
    arrays["strata_names"], arrays["recipe"] = np.array(STRATA), np.array(RECIPE)

    def write(path: Path) -> None:
        with path.open("wb") as stream:
            np.savez_compressed(stream, **arrays)

    write_atomic(shard_path(folder, index), write)
    return len(found)


def measured(pairs: Pair) -> Pair:
    """Stacked pairs with stature (N,) in metres and mass (N,) in kilograms, and the heavy and the thin marked."""
    stature, mass = sizes(load_asset("open"), pairs["betas"])
    bmi = np.where(pairs["child"], 22.0, mass / stature**2)
    strata = pairs["strata"] | ((bmi > _HEAVY_BMI) * np.uint32(1 << STRATA.index("heavy"))).astype(np.uint32)
    strata = strata | ((bmi < _THIN_BMI) * np.uint32(1 << STRATA.index("thin"))).astype(np.uint32)
    return {**pairs, "stature": stature, "mass": mass, "strata": strata.astype(np.uint32)}


def sizes(body: BodyAsset, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stature (N,) in metres and mass (N,) in kilograms, float32, of betas (N, B)."""
    import torch

    from dsr.body.shapes import measure_tensor

    with torch.no_grad():
        parts = torch.from_numpy(betas.astype(np.float64)).split(100)
        rows = [torch.stack(measure_tensor(body, part, ("stature", "weight")), 1) for part in parts]
    both = torch.cat(rows).numpy().astype(np.float32)
    return both[:, 0], both[:, 1]


def shard_path(folder: Path, index: int) -> Path:
    """File of a shard."""
    return folder / f"pairs_{index:05d}.npz"


def shards(folder: Path) -> list[Path]:
    """The shards of a folder, in order."""
    return sorted(Path(folder).glob("pairs_[0-9]*.npz"))


def read_pairs(folder: Path) -> Iterator[Pair]:
    """The shards of a folder one after the other.

    Raises:
        DatasetError: if there are none or a file is none of ours.
    """
    files = shards(folder)
    if not files:
        raise DatasetError(f"{folder}: no pairs_*.npz; make them with python -m dsr.synthetic.make_pairs {folder}.")
    for file in files:
        try:
            yield read_npz(file)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{file}: {error}; delete it and make it again.") from error


def _part(text: str) -> tuple[int, int]:
    try:
        index, parts = (int(word) for word in text.split("/"))
    except ValueError as error:
        raise DatasetError(f"--part {text}: give two numbers, as in 0/2.") from error
    if not 0 <= index < parts:
        raise DatasetError(f"--part {text}: the first number goes from 0 to {parts - 1}.")
    return index, parts


def entry() -> int:
    """Run the command line."""
    return run_once(MakePairs)


if __name__ == "__main__":
    raise SystemExit(entry())
