"""Make the default network's training people: ``python -m dsr.synthetic.make_pairs FOLDER --count 200000``.

Shards of 1000 seeds each, written whole; what is there already is kept, so the command goes on where it was stopped,
and several processes share the work with ``--part``. ``--undrawn`` then adds people of whom no picture is drawn, with
what the detector would say by the noise that the folder's pairs show.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from dsr._command import run_once
from dsr.body import BodyAsset, load_asset
from dsr.errors import DatasetError
from dsr.files import write_atomic
from dsr.npz import read_npz
from dsr.synthetic.detector_noise import DetectorNoise
from dsr.synthetic.pairs import SMALL, Pair, PairSource
from dsr.synthetic.people_drawn import STRATA
from dsr.synthetic.people_undrawn import UndrawnPeople

SHARD = 1000
UNDRAWN_FROM = 100_000
"""Shards from this one on hold people without pictures: neither silhouette nor labels."""
RECIPE = 3
"""Kept in every shard: seeds make the same people again as long as it is the same."""
_NOISE_KEYS = (
    "seed", "keypoints", "K", "size", "state", "region", "points", "world", "depth", "visibility", "inside", "presence",
    "split",
)  # fmt: skip
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
    undrawn: int = 0
    """How many more people without pictures, by the noise that the drawn ones show."""
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

        def missing(first: int, count: int) -> list[int]:
            wanted = range(first, first + -(-count // SHARD))
            return [k for k in wanted if k % parts == index and not shard_path(self.out, k).exists()]

        made, room = 0, True
        if drawn := missing(self.first, self.count):
            source = PairSource(self.mocap, self.garments)
            made, room = self._make(drawn, lambda k: make_shard(source, self.out, k))
        if room and (undrawn := missing(UNDRAWN_FROM + self.first, self.undrawn)):
            people = UndrawnPeople(folder_noise(self.out), self.mocap)
            more, room = self._make(undrawn, lambda k: make_undrawn(people, self.out, k))
            made += more
        said = f"{made} people made; {self.out} holds {len(shards(self.out))} shards."
        return said if room else f"{said} That is the limit of {self.limit_gb:g} GB; --limit-gb raises it."

    def _make(self, missing: list[int], make: Callable[[int], int]) -> tuple[int, bool]:
        """Make shards; returns how many people there are, and whether the folder had room for all."""
        made, began = 0, time.monotonic()
        for k in missing:
            if sum(path.stat().st_size for path in shards(self.out)) > self.limit_gb * 1e9:
                return made, False
            made += make(k)
            speed = made / (time.monotonic() - began)
            sys.stderr.write(f"{shard_path(self.out, k).name}: {made} people, {speed:.1f} per second\n")
            sys.stderr.flush()
        return made, True


def make_shard(source: PairSource, folder: Path, index: int) -> int:
    """Make one shard and return how many people it holds."""
    found = [pair for seed in range(index * SHARD, (index + 1) * SHARD) if (pair := source.sample(seed)) is not None]
    if not found:
        raise DatasetError("the landmark model saw nobody in a thousand pictures; is it the right model?")
    _write(folder, index, {name: np.stack([pair[name] for pair in found]) for name in found[0]})
    return len(found)


def folder_noise(folder: Path) -> DetectorNoise:
    """The detector's noise as the drawn people of a folder show it, those to train on.

    Raises:
        DatasetError: if there are too few of them.
    """
    parts: list[Pair] = []
    for path in shards(folder):
        if int(path.stem.split("_")[1]) < UNDRAWN_FROM:
            shard = read_npz(path, set(_NOISE_KEYS))
            parts.append({name: shard[name][shard["split"] == 0] for name in _NOISE_KEYS})
    if not parts:
        raise DatasetError(f"{folder} holds no drawn people to learn the detector's noise from; give --count first.")
    return DetectorNoise.fit({name: np.concatenate([part[name] for part in parts]) for name in _NOISE_KEYS})


def make_undrawn(people: UndrawnPeople, folder: Path, index: int) -> int:
    """Make one shard of people without pictures and return how many it holds."""
    pairs = people.draw(index, SHARD)
    nothing = np.zeros((SHARD, SMALL, SMALL), np.uint8)
    halves = {name: pairs[name].astype(np.float16) for name in ("depth", "visibility", "inside")}
    given = {"mask": nothing, "labels": nothing, "joint_state": np.zeros((SHARD, 24), np.uint8)}
    seeds = np.int64(index) * SHARD + np.arange(SHARD)
    _write(folder, index, {**pairs, **halves, **given, "strata": np.zeros(SHARD, np.uint32), "seed": seeds})
    return SHARD


def _write(folder: Path, index: int, pairs: Pair) -> None:
    arrays = {**measured(pairs), "strata_names": np.array(STRATA), "recipe": np.array(RECIPE)}

    def write(path: Path) -> None:
        with path.open("wb") as stream:
            np.savez_compressed(stream, **arrays)

    write_atomic(shard_path(folder, index), write)


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
