"""What the example pictures are of, and the pictures of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Plan:
    """What one picture should be; anything left None is drawn from the seed.

    Attributes:
        name: stem of the files.
        seed: everything random follows from it.
        width: pixels.
        height: pixels.
        samples: Cycles samples per pixel.
        place: ``room``, ``street``, ``park`` or ``studio``.
        poses: names of hand-written poses, or ``prior``, one per person.
        focal35: 35 mm equivalent focal length, millimetres.
        yaw_deg: how far each person is turned from facing the camera.
        fill: height of the tallest person as a share of the picture's height.
        cut: let the border cut the outermost person.
        outfits: garment names, one per person.
        hair: hair names, one per person.
        people: how many.
        eye_height: metres of the camera above the floor.
        stratum: what the picture is a case of, one of :data:`STRATA`, or "".
        cut_at: ``knees``, ``hips`` or ``chest``: how far down the picture shows the person.
        occluder: put a table, a low wall or a pillar before the person.
        child: draw a child.
        mass: 1 draws a heavy person, -1 a thin one.
        deep: people of the picture also stand at several distances.
        crowd: they stand in rows behind each other.
    """

    name: str
    seed: int
    width: int
    height: int
    samples: int = 16
    place: str | None = None
    poses: tuple[str, ...] = ()
    focal35: int | None = None
    yaw_deg: tuple[float, ...] = ()
    fill: float | None = None
    cut: bool = False
    outfits: tuple[str, ...] = ()
    hair: tuple[str, ...] = ()
    people: int = 1
    eye_height: float | None = None
    stratum: str = ""
    cut_at: str = ""
    occluder: bool = False
    child: bool = False
    mass: int = 0
    deep: bool = False
    crowd: bool = False


# fmt: off
EXAMPLES = (
    Plan("park_wave", 11, 1280, 960, 12, "park", ("wave",), 35, (12.0,), 0.72, eye_height=1.5,
         outfits=("male_casualsuit02",), hair=("short02",)),
    Plan("street_walk", 25, 960, 1280, 12, "street", ("walk",), 50, (-38.0,), 0.74, eye_height=1.4,
         outfits=("female_casualsuit01",), hair=("ponytail01",)),
    Plan("room_sit", 32, 1280, 960, 16, "room", ("sit_lean",), 28, (30.0,), 0.6, eye_height=1.3,
         outfits=("male_casualsuit06",), hair=("short04",)),
    Plan("studio_lunge", 47, 960, 1280, 12, "studio", ("lunge",), 70, (-62.0,), 0.58, eye_height=1.1,
         outfits=("female_sportsuit01",), hair=("bob02",)),
    Plan("street_pair", 58, 1280, 960, 12, "street", ("contrapposto", "hands_on_hips"), 40, (18.0, -20.0), 0.74,
         eye_height=1.5, outfits=("male_elegantsuit01", "female_elegantsuit01"), hair=("short03", "long01"), people=2),
    Plan("park_three", 63, 1280, 960, 12, "park", ("stand", "arms_up", "carry"), 30, (-15.0, 5.0, 25.0), 0.66,
         eye_height=1.6, outfits=("male_worksuit01", "female_casualsuit02", "male_casualsuit04"),
         hair=("afro01", "braid01", "short01"), people=3),
    Plan("park_kick", 78, 1280, 960, 12, "park", ("kick",), 85, (55.0,), 0.62, eye_height=0.9,
         outfits=("male_casualsuit04",), hair=("short01",)),
    Plan("room_border", 88, 960, 1280, 16, "room", ("stand", "reach"), 24, (30.0, -35.0), 0.66, cut=True,
         eye_height=1.5, outfits=("male_casualsuit03", "female_casualsuit01"), hair=("short02", "bob01"), people=2),
)
# fmt: on


def benchmark_plan(index: int, seed: int, size: int, samples: int, people: int) -> Plan:
    """Picture ``index`` of a benchmark: landscape, portrait or square with the longer side ``size``."""
    rng = np.random.default_rng([seed + index, 3])
    ratio = float(rng.choice([3 / 4, 2 / 3, 1.0, 9 / 16], p=[0.45, 0.3, 0.1, 0.15]))
    short = round(size * ratio / 2) * 2
    width, height = (size, short) if rng.random() < 0.45 else (short, size)
    return Plan(f"s{seed + index:06d}", seed + index, width, height, samples, people=people)


STRATA = {
    "any": 30,
    "frontal": 42,
    "occluded": 30,
    "cut": 36,
    "several": 48,
    "crowd": 36,
    "child": 24,
    "mass": 18,
    "view": 18,
    "focal": 18,
}
"""Kinds of pictures and how many people of 300 are of each."""
_OPEN_PLACES = ("street", "park", "studio")
STRAIGHT = ("stand", "wave", "hands_on_hips", "arms_up", "carry", "star")
"""Hand-written poses on straight legs with an upright trunk."""


def strata_plans(count: int, seed: int, size: int, samples: int) -> list[Plan]:
    """Pictures of at least ``count`` people in :data:`STRATA`; every beginning of the list has about their shares."""
    made = dict.fromkeys(STRATA, 0)
    plans: list[Plan] = []
    while sum(made.values()) < count:
        stratum = min(STRATA, key=lambda name: (made[name] + 0.5) / STRATA[name])
        plans.append(_stratum_plan(stratum, len(plans), seed, size, samples))
        made[stratum] += plans[-1].people
    return plans


def _stratum_plan(stratum: str, index: int, seed: int, size: int, samples: int) -> Plan:
    rng = np.random.default_rng([seed + index, 5])
    plan = replace(benchmark_plan(index, seed, size, samples, 1), stratum=stratum)

    def pick(*names: str) -> str:
        return names[int(rng.integers(len(names)))]

    if stratum == "frontal":
        return replace(plan, poses=(pick(*STRAIGHT),), yaw_deg=(float(rng.normal(0, 12)),))
    if stratum == "occluded":
        return replace(plan, occluder=True)
    if stratum == "cut":
        standing = pick(*STRAIGHT, "contrapposto", "hand_to_head", "point", "walk")
        return replace(plan, cut_at=pick("knees", "hips", "chest"), poses=(standing,), yaw_deg=(_yaw(rng),))
    if stratum == "crowd":
        people = int(rng.integers(5, 9))
        kinds = tuple(pick("stand", "contrapposto", "walk", "carry", "hand_to_head") for _ in range(people))
        wide = replace(plan, width=size, height=round(size * 0.75 / 2) * 2)
        return replace(wide, people=people, poses=kinds, yaw_deg=tuple(_yaw(rng) for _ in kinds), crowd=True)
    if stratum == "several":
        people = int(rng.integers(2, 5))
        kinds = tuple(pick(*STRAIGHT, "contrapposto", "walk", "point", "hand_to_head") for _ in range(people))
        wide = replace(plan, width=size, height=round(size * 0.75 / 2) * 2)
        return replace(wide, people=people, poses=kinds, yaw_deg=tuple(_yaw(rng) for _ in kinds), deep=True)
    if stratum == "child":
        return replace(plan, child=True)
    if stratum == "mass":
        return replace(plan, mass=1 if rng.random() < 0.6 else -1)
    if stratum == "view":
        if rng.random() < 0.6:  # higher than a room
            return replace(plan, eye_height=float(rng.uniform(2.6, 4.0)), place=pick(*_OPEN_PLACES))
        return replace(plan, eye_height=float(rng.uniform(0.1, 0.35)))
    if stratum == "focal":
        if rng.random() < 0.5:
            return replace(plan, focal35=int(rng.integers(20, 27)))
        long = round(float(np.exp(rng.uniform(np.log(90), np.log(200)))))
        return replace(plan, focal35=long, place=pick(*_OPEN_PLACES))  # farther off than a room is deep
    return plan


def _yaw(rng: np.random.Generator) -> float:
    """Degrees: mostly towards the camera, sometimes any way."""
    return float(rng.normal(0, 40) if rng.random() < 0.7 else rng.uniform(-180, 180))
