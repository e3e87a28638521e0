"""Print how a body's random people compare with the table: means, spreads, correlations, proportions.

    python body_models/compare_people.py --table ansur2.csv.xz --asset DSR_OPEN.npz [--bodies 2000]

The body needs marked points and the distribution of its betas (build_open.py). Random bodies of a sex are drawn from
its own distribution of that sex (``sex_mean``, ``sex_cov``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from match_people import held_out
from measurements import TABLE, read_table

from dsr.body import load_asset
from dsr.body.likely_shapes import most_likely
from dsr.body.shapes import measure_shape
from dsr.body.tape import GIRTHS, LENGTHS

PROPORTIONS = {
    "thigh / shank": lambda m: (
        (m["trochanterion_height"] - m["tibial_height"]) / (m["tibial_height"] - m["lateral_malleolus_height"])
    ),
    "upper arm / forearm": lambda m: m["acromion_radiale_length"] / m["radiale_stylion_length"],
    "upper arm / stature": lambda m: m["acromion_radiale_length"] / m["stature"],
    "thigh / stature": lambda m: (m["trochanterion_height"] - m["tibial_height"]) / m["stature"],
    "shank / stature": lambda m: (m["tibial_height"] - m["lateral_malleolus_height"]) / m["stature"],
}


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--asset", required=True)
    parser.add_argument("--bodies", type=int, default=2000)
    args = parser.parse_args()
    asset = load_asset(args.asset)
    values, gender, _ = read_table(str(args.table))
    rng = np.random.default_rng(0)
    names = list(TABLE)
    for sex, label in enumerate(("men", "women")):
        betas = rng.multivariate_normal(asset.sex_mean[sex], asset.sex_cov[sex], args.bodies)
        mine = measure_shape(asset, betas)
        theirs = dict(zip(names, values[gender == sex].T, strict=True))
        print(
            f"\n{label}: {args.bodies} random bodies, {int((gender == sex).sum())} people; "
            "mean mm (kg), difference, spread, ratio"
        )
        good_mean, good_spread = [], []
        for name in names:
            a, b = mine[name], theirs[name]
            unit = 1 if name == "weight" else 1000
            off = a.mean() - b.mean()
            good_mean.append(abs(off) < max(0.01 * b.mean(), 0.005 if name != "weight" else 0))
            good_spread.append(abs(a.std() / b.std() - 1) < 0.1)
            flag = f"{'.' if good_mean[-1] else 'M'}{'.' if good_spread[-1] else 'S'}"
            print(
                f"{flag} {name:36s} {unit * b.mean():8.1f} {unit * off:7.1f} {100 * off / b.mean():6.1f} %  "
                f"{unit * b.std():7.1f} {a.std() / b.std():6.2f}"
            )
        both = [np.corrcoef(np.stack([m[n] for n in names])) for m in (mine, theirs)]
        upper = np.triu_indices(len(names), 1)
        print(
            f"means within 1 % or 5 mm: {sum(good_mean)} of {len(names)}; "
            f"spreads within 10 %: {sum(good_spread)}; both: "
            f"{sum(a and b for a, b in zip(good_mean, good_spread, strict=True))}"
        )
        print(f"correlations: median absolute difference {np.median(abs(both[0] - both[1])[upper]):.3f}")
        for name, ratio in PROPORTIONS.items():
            a, b = ratio(mine), ratio(theirs)
            print(
                f"{name:22s} people {b.mean():.3f}, {100 * b.std() / b.mean():.1f} %   "
                f"bodies {a.mean():.3f}, {100 * a.std() / a.mean():.1f} %"
            )

    rows = np.flatnonzero(held_out(len(values)))
    known = values[rows]
    three = [names.index(n) for n in ("chest_girth", "waist_girth", "buttock_girth")]
    two = [names.index(n) for n in ("stature", "weight")]

    def ask(columns: list[int], sex_known: bool) -> np.ndarray:
        target = np.full_like(known, np.nan)
        target[:, columns] = known[:, columns]
        out = np.empty_like(known)
        for sex, label in enumerate(("male", "female")):
            part = gender[rows] == sex
            got = measure_shape(asset, most_likely(asset, target[part], label if sex_known else None))
            out[part] = np.stack([got[n] for n in names], 1)
        return out

    for sex_known in (True, False):
        out = ask(two, sex_known)
        e = 100 * abs(out - known)[:, three].mean(0)
        print(
            f"\n500 held out, stature and weight given{' and sex' if sex_known else ''}: "
            f"mean error of chest, waist, hip girth {e.round(1)} cm"
        )
        out = ask(two + three, sex_known)
        rest = [i for i in range(len(names)) if i not in two + three]
        relative = 100 * (abs(out - known) / known)[:, rest]
        worst = [f"{names[rest[i]]} {relative.mean(0)[i]:.1f}" for i in np.argsort(-relative.mean(0))[:8]]
        print(f"five given: all other measures, mean error {relative.mean():.2f} %, worst {worst}")
    out = ask(list(range(len(names))), True)
    for label, part in (("lengths", LENGTHS), ("girths", GIRTHS)):
        e = 1000 * abs(out - known)[:, [names.index(n) for n in part]]
        print(f"all given, best betas: {label} median error {np.median(e):.1f} mm")


if __name__ == "__main__":
    main()
