"""Bake an open body whose shape space is learned from the people that match_people.py matched.

    python body_models/match_people.py --table ansur2.csv.xz --out PEOPLE     # once; resumable
    python body_models/build_people.py --people PEOPLE --table ansur2.csv.xz --out FOLDER/open

Writes the files of build_open.py, in the same layout and with the arrays `tape`, `sex_mean` and `sex_cov` besides. Two
runs give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from bake import FINGERS, FIT_SAMPLES, HELPERS, SEED, Shapes, bake
from measurements import read_table
from people import LOCAL, People, world_rotations
from shape_space import CHILD_YEARS, load_people, shape_space, tposed


def children(people: People) -> np.ndarray:
    """Parameters of 200 six-year-olds from Anny's calibrated distribution."""
    from anny.shape_distribution import SimpleShapeDistribution

    ages = torch.distributions.Uniform(
        *(torch.tensor(y, dtype=torch.float64) for y in (CHILD_YEARS, CHILD_YEARS + 0.01))
    )
    drawn = SimpleShapeDistribution(people.model, morphological_age_distribution=ages).sample(200)[1]
    phenotypes = torch.stack([drawn[k] for k in people.phenotypes], 1)
    return np.concatenate([phenotypes.numpy(), np.zeros((200, len(LOCAL)))], 1)


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
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    source = People()
    body = source.body_index
    baked = np.union1d(body, HELPERS)
    place, helpers = np.searchsorted(baked, body), np.searchsorted(baked, HELPERS)

    parameters, rows, women = load_people(args.people, read_table(str(args.table))[1])
    people, joints = tposed(source, parameters, baked)
    child = tposed(source, children(source), baked)[0].mean(0, dtype=np.float64)
    space = shape_space(people, women, rows >= 0, child, place)
    some = np.random.default_rng(SEED).permutation(len(people))[:FIT_SAMPLES]  # men, women, heavy and thin
    middle = torch.full((1, len(source.names)), 0.5).double() * (torch.arange(len(source.names)) < 6)
    shapes = Shapes(
        mean=space.mean[place],
        directions=space.directions[place],
        helper_mean=space.mean[helpers],
        helper_directions=space.directions[helpers],
        helper_rest=source.rest(middle)[0][: len(source.weights)].numpy(),
        share=space.share,
        people=people[some][:, place],
        joints=joints[some],
        fingers=finger_heads(source, parameters[some]),
        interior=source.interior,
        heights_m=np.ptp(people[:, place, 1], axis=1),
        child_height_m=float(np.ptp(child[place][:, 1])),
        dtype=np.float16,  # steps of 30 micrometres at most in a direction; half the file
        arrays={
            "sex_mean": space.sex_mean.astype(np.float32),
            "sex_cov": space.sex_cov.astype(np.float32),
            "tape_names": np.array(source.mark_names),
        },
        rows={"tape": [dict(zip(r.indices.tolist(), r.data.tolist(), strict=True)) for r in source.marks]},
        report={
            "people": {
                "men": int((~women & (rows >= 0)).sum()),
                "women": int((women & (rows >= 0)).sum()),
                "beyond": int((rows < 0).sum()),
            },
        },
        wide_h36m=True,
    )
    print(json.dumps(bake(source, shapes, args.out), indent=1))


if __name__ == "__main__":
    main()
