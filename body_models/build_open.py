"""Bake the open body: Anny's shapes (Apache-2.0 code, CC0 data), learned from the people that match_people.py matched.

    python body_models/match_people.py --table ansur2.csv.xz --out PEOPLE     # once; resumable
    python body_models/build_open.py --people PEOPLE --table ansur2.csv.xz    # needs the extra `build`

Writes DSR_OPEN.npz (14 104 vertices), DSR_OPEN_LIGHT.npz (about 7 000), DSR_OPEN_HELPERS.npz (the MakeHuman helper
vertices that garments hang on) and REPORT.json. The layout is described in body_models/README.md. Two runs give the
same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from bake import FINGERS, FIT_SAMPLES, HELPERS, SEED, Shapes, bake
from build_open_x import bake_x
from directions import add_directions
from measurements import read_table
from people import LOCAL, People, world_rotations
from sections import Rings, amounts_of
from shape_space import CHILD_YEARS, load_people, shape_space, tposed

SECTION_PEOPLE = 100
"""People of a sex whose mean cross-sections are compared with the table."""


def children(people: People) -> np.ndarray:
    """Parameters of 200 six-year-olds from Anny's calibrated distribution."""
    from anny.shape_distribution import SimpleShapeDistribution

    ages = torch.distributions.Uniform(
        *(torch.tensor(y, dtype=torch.float64) for y in (CHILD_YEARS, CHILD_YEARS + 0.01))
    )
    drawn = SimpleShapeDistribution(people.model, morphological_age_distribution=ages).sample(200)[1]
    phenotypes = torch.stack([drawn[k] for k in people.phenotypes], 1)
    return np.concatenate([phenotypes.numpy(), np.zeros((200, len(LOCAL)))], 1)


def square_sections(
    source: People, people: np.ndarray, child: np.ndarray, values: np.ndarray, rows: np.ndarray, women: np.ndarray
) -> tuple[np.ndarray, list[list[list[float]]]]:
    """Change the trunks of people (N, W, 3) in place; the child's (W, 3) and the amounts by sex, level and way.

    Args:
        source: Anny.
        people: T-posed baked vertices.
        child: the same of the child.
        values: (T, M) the table.
        rows: (N,) of the people in it, -1 for none.
        women: (N,) True for women.
    """
    rings = Rings.of(source.marks_base, source.mark_names, baked_vertices(source), source.weights)
    amounts = []
    for sex in (False, True):
        some = np.flatnonzero((women == sex) & (rows >= 0))
        amounts.append(amounts_of(rings, people[some[:SECTION_PEOPLE]], values[rows[some[:SECTION_PEOPLE]]]))
    for shape, sex in zip(people, women, strict=True):
        shape[:] = rings.square(shape, amounts[int(sex)])
    return rings.square(child, np.mean(amounts, 0)), np.round(amounts, 4).tolist()


def baked_vertices(source: People) -> np.ndarray:
    """(W,) base-mesh vertices of the body and its helpers, ascending."""
    return np.union1d(source.body_index, HELPERS)


def finger_heads(people: People, parameters: np.ndarray) -> dict[str, np.ndarray]:
    """T-posed heads (N, 3) of the left finger bones that keypoints need; they move with the wrist."""
    limbs = people.only(np.zeros(0, np.int64))
    with torch.no_grad():
        p = torch.from_numpy(parameters)
        heads = people.rest(p)[:, len(people.weights) :]
        joints = limbs.rest(p)[1]
        turn = world_rotations(joints)[:, 20]
        placed = limbs.tposed(p)[1][:, 20]
        return {
            name: ((turn @ (heads[:, people.labels.index(b)] - joints[:, 20])[..., None])[..., 0] + placed).numpy()
            for name, b in FINGERS.items()
        }


def main() -> None:
    """Bake all three files and the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, required=True, help="folder of match_people.py")
    parser.add_argument("--table", type=Path, required=True, help="the survey's table")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "open")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    source = People()
    body = source.body_index
    baked = baked_vertices(source)
    place, helpers = np.searchsorted(baked, body), np.searchsorted(baked, HELPERS)

    values, gender, age = read_table(str(args.table))
    parameters, rows, women = load_people(args.people, gender)
    people, joints = tposed(source, parameters, baked)
    child = tposed(source, children(source), baked)[0].mean(0, dtype=np.float64)
    child, amounts = square_sections(source, people, child, values, rows, women)
    space = shape_space(people, women, rows >= 0, child, place)
    some = np.random.default_rng(SEED).permutation(len(people))[:FIT_SAMPLES]  # men, women, heavy and thin
    middle = torch.full((1, len(source.names)), 0.5).double() * (torch.arange(len(source.names)) < 6)
    shapes = Shapes(
        mean=space.mean[place],
        directions=space.directions[place],
        helper_mean=space.mean[helpers],
        helper_directions=space.directions[helpers],
        helper_rest=source.rest(middle)[0][: len(source.weights)].numpy(),
        reference=tposed(source, middle.numpy(), body)[0][0].astype(np.float64),
        share=space.share,
        people=people[some][:, place],
        joints=joints[some],
        fingers=finger_heads(source, parameters[some]),
        heights_m=np.ptp(people[:, place, 1], axis=1),
        child_height_m=float(np.ptp(child[place][:, 1])),
        arrays={
            "sex_mean": space.sex_mean.astype(np.float32),
            "sex_cov": space.sex_cov.astype(np.float32),
            "tape_names": np.array(source.mark_names),
        },
        rows={"tape": [dict(zip(r.indices.tolist(), r.data.tolist(), strict=True)) for r in source.marks]},
        report={
            "sections_men_women": amounts,
            "people": {
                "men": int((~women & (rows >= 0)).sum()),
                "women": int((women & (rows >= 0)).sum()),
                "beyond": int((rows < 0).sum()),
            },
        },
    )
    report = bake(source, shapes, args.out)
    muscle = parameters[:, source.names.index("muscle")]
    known = {"women": women, "surveyed": rows >= 0, "age": age[rows], "muscle": muscle}
    add_directions(args.out, people[:, place], known)
    print(json.dumps({**report, "open_x": bake_x(args.out)}, indent=1))


if __name__ == "__main__":
    main()
