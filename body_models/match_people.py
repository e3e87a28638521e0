"""Find the Anny body of every person of the ANSUR II table: the one whose own measurements match the person's.

    python body_models/match_people.py --table ../shared/anthropometry/ansur2.csv.xz --out PEOPLE_FOLDER

Damped Gauss-Newton on phenotypes and symmetric local modifications, drawn towards plausible bodies (a Gaussian prior).
The Jacobian of the marked points is taken at the middle of every block of similar people, that of the measures at each
person. Resumable: one npz a block; run again after a stop. 500 people, drawn by a seed, are flagged as held out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from general_people import draw
from measurements import TABLE, read_table
from people import LOCAL, People, Sub
from torch import Tensor

from dsr.body.measure import close_holes, volume_m3
from dsr.body.tape import GIRTHS, LENGTHS, MEASURES

BLOCK, STEPS, HELD_OUT, SEED = 100, 12, 500, 20261129
SIGMA = {"gender": 0.05, "age": 0.03, "muscle": 0.2, "weight": 0.25, "height": 0.3, "proportions": 0.3}
"""Spread of the phenotypes around their middle, and of every local modification (``LOCAL_SIGMA``)."""
LOCAL_SIGMA, LOCAL_LIMIT = 0.5, 1.2

LOST_VOLUME = 0.975
"""What sections.py, which comes later, leaves of a body's volume."""


class Matcher:
    """Gauss-Newton over the people of a block.

    Args:
        people: Anny's bodies.
    """

    def __init__(self, people: People) -> None:
        self.people = people
        faces, factor = light_volume(people)
        self.sub: Sub = people.only(np.unique(people.body_index[faces]))
        where = {int(b): i for i, b in enumerate(self.sub.vertices)}
        tape = self.sub.tape
        tape.faces = torch.tensor([[where[int(people.body_index[i])] for i in f] for f in faces])
        tape.volume_factor = LOST_VOLUME * factor
        self.volume_rows = torch.unique(tape.faces)
        self.error = torch.tensor([e for _, e in TABLE.values()], dtype=torch.float64) / 1000
        self.error[list(TABLE).index("weight")] *= 1000

    def prior(self, gender: Tensor, age_years: Tensor) -> tuple[Tensor, Tensor]:
        """Middle (N, P) and spread (P,) of the parameters."""
        middle = torch.zeros(len(gender), len(self.people.names), dtype=torch.float64)
        middle[:, 0] = 0.1 + 0.8 * gender
        middle[:, 1] = anny_age(self.people, age_years)
        middle[:, 2:6] = torch.tensor([0.55, 0.5, 0.5, 0.5], dtype=torch.float64)
        sigma = torch.tensor([*SIGMA.values(), *[LOCAL_SIGMA] * len(LOCAL)], dtype=torch.float64)
        return middle, sigma

    def measure(self, parameters: Tensor) -> Tensor:
        """Measures (N, M) of bodies, metres and kilograms."""
        with torch.no_grad():
            tpose, standing, vertices = self.sub.points(parameters)
            return self.sub.tape.measure(self.sub.tape.split(tpose), self.sub.tape.split(standing), vertices)

    def match(self, target: Tensor, gender: Tensor, age: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Parameters (N, P) and measures (N, M) of the people nearest to ``target`` (N, M); NaN is not asked for."""
        middle, sigma = self.prior(gender, age)
        p = middle.clone() if start is None else start.clone()
        asked = torch.isfinite(target)
        target = torch.where(asked, target, torch.zeros_like(target))
        weight = torch.where(asked, 1 / self.error, torch.zeros_like(target))
        low = torch.cat([torch.full((6,), 0.01), torch.full((len(LOCAL),), -LOCAL_LIMIT)]).double()
        high = torch.cat([torch.full((6,), 0.99), torch.full((len(LOCAL),), LOCAL_LIMIT)]).double()
        best = torch.full((len(p),), torch.inf, dtype=torch.float64)
        kept, damping = p.clone(), torch.full((len(p),), 0.1, dtype=torch.float64)
        slopes = None
        for step in range(STEPS):
            if step % 4 == 0:
                slopes = self._point_slopes(kept.mean(0) if step else p.mean(0))
            values, jacobian = self._linearise(p, slopes)
            residual = (values - target) * weight
            away = (p - middle) / sigma
            cost = (residual**2).sum(1) + (away**2).sum(1)
            better = cost < best
            best = torch.where(better, cost, best)
            kept = torch.where(better[:, None], p, kept)
            damping = torch.where(better, damping / 3, damping * 5).clamp(1e-3, 1e3)
            if step == 0:
                stored = residual, jacobian, away
            stored = tuple(
                torch.where(better.view(-1, *[1] * (s.dim() - 1)), n, s)
                for n, s in zip((residual, jacobian, away), stored, strict=True)
            )
            r, j, a = stored
            scaled = j * weight[..., None] * sigma  # unit-free parameters
            normal = scaled.transpose(1, 2) @ scaled
            eye = torch.eye(p.shape[1], dtype=p.dtype)
            gradient = (scaled.transpose(1, 2) @ r[..., None])[..., 0] + a
            delta = torch.linalg.solve(normal + (1 + damping)[:, None, None] * eye, gradient)
            p = torch.maximum(torch.minimum(kept - delta * sigma, high), low)
        return kept, self.measure(kept)

    def _point_slopes(self, anchor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Central differences of marked points and volume vertices by every parameter, (K, 3, P) each."""
        step, count = 0.05, len(anchor)
        move = step * torch.eye(count, dtype=anchor.dtype)
        with torch.no_grad():
            ahead, behind = self.sub.points(anchor + move), self.sub.points(anchor - move)
        out = [(a - b).permute(1, 2, 0) / (2 * step) for a, b in zip(ahead, behind, strict=True)]
        out[2] = out[2][self.volume_rows]
        return tuple(out)

    def _linearise(self, parameters: Tensor, slopes: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        tape = self.sub.tape
        with torch.no_grad():
            tpose, standing, vertices = self.sub.points(parameters)
        leaves = [{n: p.requires_grad_() for n, p in tape.split(points).items()} for points in (tpose, standing)]
        vertices.requires_grad_()
        values = [tape.take(m, *leaves, vertices) for m in MEASURES.values()]
        rows = []
        for value in values:
            named = [(kind, n) for kind in (0, 1) for n in leaves[kind]]
            asked = [*(leaves[kind][n] for kind, n in named), vertices]
            grads = torch.autograd.grad(value.sum(), asked, retain_graph=True, allow_unused=True)
            total: Tensor | float = 0.0
            for g, (kind, name) in zip(grads, named, strict=False):
                if g is not None:
                    total = total + torch.einsum("nkc,kcp->np", g, slopes[kind][tape.groups[name]])
            if grads[-1] is not None:
                total = total + torch.einsum("nkc,kcp->np", grads[-1][:, self.volume_rows], slopes[2])
            rows.append(total)
        return torch.stack(values, 1).detach(), torch.stack(rows, 1)


def light_volume(people: People, count: int = 3000) -> tuple[np.ndarray, float]:
    """Few triangles on body vertices that enclose the body's volume, and the full volume over theirs."""
    import fast_simplification
    from scipy.spatial import cKDTree

    closed = close_holes(people.skin_faces, len(people.body_index))
    template = people.reference[people.body_index]
    points, faces = fast_simplification.simplify(template, closed, target_count=count)
    skin = np.unique(closed)
    snapped = skin[cKDTree(template[skin]).query(points)[1]][faces]
    snapped = snapped[
        (snapped[:, 0] != snapped[:, 1]) & (snapped[:, 1] != snapped[:, 2]) & (snapped[:, 0] != snapped[:, 2])
    ]
    return snapped, volume_m3(template, closed) / volume_m3(template, snapped)


def anny_age(people: People, years: Tensor) -> Tensor:
    """Anny's age phenotype from years."""
    from anny.shape_distribution import SimpleShapeDistribution

    mapping = SimpleShapeDistribution(people.model).morphological_age_mapping
    return mapping.morphological_to_anny_age(years)


def held_out(count: int) -> np.ndarray:
    """(N,) True for the 500 people that no component is made from."""
    flag = np.zeros(count, bool)
    flag[np.random.default_rng(SEED).choice(count, HELD_OUT, replace=False)] = True
    return flag


def blocks(values: np.ndarray, gender: np.ndarray) -> list[np.ndarray]:
    """People in blocks of one sex and similar weight for their height."""
    names = list(TABLE)
    bmi = values[:, names.index("weight")] / values[:, names.index("stature")] ** 2
    order = np.lexsort((bmi, gender))
    cut = int((gender == 0).sum())
    return [part[i : i + BLOCK] for part in (order[:cut], order[cut:]) for i in range(0, len(part), BLOCK)]


def match_extra(matcher: Matcher, values: np.ndarray, gender: np.ndarray, file: Path) -> None:
    """People beyond the survey, in blocks of one sex and similar weight, from the heaviest survey people on."""
    target, sex, age = draw(values, gender)
    parameters = np.zeros((len(target), len(matcher.people.names)))
    measured = np.zeros_like(target)
    matcher.error *= 2  # only stature, weight and waist are theirs
    for rows in blocks(target, sex):
        for part in np.array_split(rows, 3):
            given = (torch.from_numpy(x[part]) for x in (target, sex, age))
            p, m = matcher.match(*given)
            parameters[part], measured[part] = p.numpy(), m.numpy()
    matcher.error /= 2
    np.savez(file.with_name("part.npz"), parameters=parameters, measures=measured, target=target, gender=sex, age=age)
    file.with_name("part.npz").rename(file)


def report(values: np.ndarray, table: np.ndarray) -> list[str]:
    """Median absolute errors and biases of every measure, millimetres (weight in 0.1 kg)."""
    lines = []
    for i, name in enumerate(TABLE):
        scale = 10 if name == "weight" else 1000
        e = scale * (values[:, i] - table[:, i])
        lines.append(f"{name:36s} median |error| {np.median(abs(e)):6.1f}  mean {e.mean():6.1f}  spread {e.std():6.1f}")
    names = list(TABLE)
    for label, part in (("lengths", LENGTHS), ("girths", GIRTHS)):
        e = 1000 * abs(values - table)[:, [names.index(n) for n in part]]
        lines.append(f"{label}: median {np.median(e):.2f} mm, 90th percentile {np.percentile(e, 90):.1f} mm")
    return lines


def main() -> None:
    """Match every block that has no file yet, then print the errors of the people held out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="blocks to do, spread over all")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    values, gender, age = read_table(str(args.table))
    people = People()
    matcher = Matcher(people)
    parts = list(enumerate(blocks(values, gender)))
    if args.limit:
        parts = [parts[i] for i in np.linspace(0, len(parts) - 1, args.limit).astype(int)]
    done, measured, start = [], [], None
    for number, rows in parts:
        if start is not None and gender[rows[0]] != gender[done[-1][0]]:
            start = None
        file = args.out / f"block{number:03d}.npz"
        if not file.is_file():
            g, a = torch.from_numpy(gender[rows]), torch.from_numpy(age[rows])
            first = None if start is None else start.expand(len(rows), -1)
            p, m = matcher.match(torch.from_numpy(values[rows]), g, a, first)
            np.savez(args.out / "part.npz", rows=rows, parameters=p.numpy(), measures=m.numpy())
            (args.out / "part.npz").rename(file)
        with np.load(file) as data:
            done.append(data["rows"])
            measured.append(data["measures"])
            start = torch.from_numpy(data["parameters"]).mean(0, keepdim=True)  # the next block is a little heavier
    if not args.limit and not (args.out / "extra.npz").is_file():
        match_extra(matcher, values, gender, args.out / "extra.npz")
    rows, measured = np.concatenate(done), np.concatenate(measured)
    kept = held_out(len(values))[rows]
    print("\n".join(report(measured[kept], values[rows[kept]])))


if __name__ == "__main__":
    main()
