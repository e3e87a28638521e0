"""The most likely shape that has given measures, of an adult or a child: stature alone, or any measures besides.

Men, women and children are three clouds of betas. In each, the betas that meet the measures and are nearest to the
cloud's middle are found by Gauss-Newton; the cloud in which the measures are likelier has the answer.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dsr.body.asset import BodyAsset
from dsr.body.shapes import measure_tensor
from dsr.body.tape import MEASURES
from dsr.errors import BodyError

SEXES = ("male", "female")
CHILD_MEAN, CHILD_SPREAD, CHILD_SHARE = 0.7, 0.45, 0.15
"""How far children have come along the child's beta (1 is six years old), and how many people are children."""
_CHILD_VARIETY = 0.7
"""Children differ by so much of what adults differ by."""
_GROWTH = np.array(
    [
        (0.6, 6.0),
        (0.75, 9.4),
        (0.87, 12.2),
        (1.0, 15.5),
        (1.1, 18.5),
        (1.2, 22.4),
        (1.3, 27.3),
        (1.4, 33.5),
        (1.5, 41.0),
    ]
)
"""Median weight (kg) of children of a stature (m); growth standards of the WHO (2006, 2007) and the CDC (2000), mean of
boys and girls, rounded, from memory."""
_EXACT = {"weight": 0.2}
"""How closely a given measure is met, kilograms or metres; 2 mm where nothing is said."""
_STEPS = 20
_LIGHTEST_KG, _HEAVIEST_KG, _TALLEST_M = 2.0, 650.0, 2.75
_LEAST_SHARE, _MOST_SHARE = 0.25, 3.0
"""Of the middle adult's measure: toddlers and the heaviest people lie between."""
_FARTHEST = 16.0
"""A shape farther from everybody than this (Mahalanobis) is nobody's: measures contradict each other."""


def betas_for(asset: BodyAsset, sex: str | None = None, **targets: float) -> np.ndarray:
    """The most likely shape that has the given measures.

    Args:
        asset: a body with marked points.
        sex: ``male`` or ``female``; None takes the more likely one.
        targets: measures by the names of :data:`dsr.body.tape.MEASURES`, with the unit added: ``stature_m``,
            ``weight_kg``, ``chest_girth_cm``, ``crotch_height_mm``. Also ``height_m``, ``mass_kg`` and, for girths,
            ``chest_cm``, ``waist_cm``, ``hip_cm``, ``thigh_cm`` and so on.

    Returns:
        (B,) betas.

    Raises:
        BodyError: for a name or unit that is not known, a value that is not a positive number, another sex, nothing
            at all, or if the asset has no marked points or no distribution of its betas.

    Example:
        >>> from dsr.body import load_asset
        >>> betas_for(load_asset("open"), height_m=1.80, mass_kg=75).shape
        (41,)
    """
    if not targets and sex is None:
        raise BodyError("A shape needs at least one measure, such as height_m=1.8, or a sex.")
    names = list(MEASURES)
    given: dict[str, float] = {}
    for key, value in targets.items():
        name, size = _parse(key, value)
        if name in given:
            raise BodyError(f"{key}: the {name.replace('_', ' ')} is given twice.")
        given[name] = size
    usual = _typical(asset)
    for name, size in given.items():
        _check_size(name, size, usual[names.index(name)])
    row = np.full((1, len(names)), np.nan)
    for name, value in given.items():
        row[0, names.index(name)] = value
    betas = most_likely(asset, row, sex)[0]
    if _distance(asset, betas) > _FARTHEST:
        raise BodyError(f"Nobody has these measures together: {', '.join(f'{k}={v:g}' for k, v in targets.items())}.")
    return betas


@lru_cache(maxsize=4)
def _typical(asset: BodyAsset) -> np.ndarray:
    """(M,) measures of the middle adult, metres and kilograms."""
    mean = torch.stack([_adults(asset, sex)[0] for sex in range(len(SEXES))]).mean(0, keepdim=True)
    with torch.no_grad():
        return torch.stack(measure_tensor(asset, mean, tuple(MEASURES)), 1)[0].numpy()


def _check_size(name: str, size: float, usual: float) -> None:
    """Refuse what nobody has: a number in another unit, above all.

    Raises:
        BodyError: naming the measure and what is usual.
    """
    least, most = usual * _LEAST_SHARE, usual * _MOST_SHARE
    if name == "weight":
        least, most = _LIGHTEST_KG, _HEAVIEST_KG
    elif name == "stature":
        most = _TALLEST_M
    unit = "kg" if name == "weight" else "m"
    if not least <= size <= most:
        raise BodyError(
            f"A {name.replace('_', ' ')} of {size:g} {unit} is nobody's, people's are {least:.2g} to {most:.3g} "
            f"{unit}: is it in another unit?"
        )


def _distance(asset: BodyAsset, betas: np.ndarray) -> float:
    """Mahalanobis distance of a shape (B,) from the nearest of men, women and children."""
    clouds = [_adults(asset, sex) for sex in range(len(SEXES))]
    if asset.child_beta is not None:
        clouds.append(_children(asset, asset.child_beta))
    distances = []
    for mean, cov in clouds:
        away = betas[: len(mean)] - mean.numpy()
        variances, vectors = np.linalg.eigh(cov.numpy())
        known = variances > 1e-9
        if np.abs(away @ vectors[:, ~known]).max(initial=0.0) < 1e-6:  # adults are no children at all
            distances.append(float(np.linalg.norm(away @ vectors[:, known] / np.sqrt(variances[known]))))
    return min(distances, default=0.0)


@torch.enable_grad()
def most_likely(asset: BodyAsset, targets: np.ndarray, sex: str | None = None) -> np.ndarray:
    """As :func:`betas_for` for many people.

    Args:
        asset: a body with marked points and the distribution of its betas.
        targets: (N, M) measures in the order of :data:`dsr.body.tape.MEASURES`, metres and kilograms, NaN where not
            given.
        sex: of all of them; None takes the more likely one of each.

    Returns:
        (N, B) betas. Who is likelier to be a child has a beta of the child; where no weight is given, the usual one of
        children of that stature is taken.

    Raises:
        BodyError: if the asset lacks either, or for another sex.
    """
    clouds = [_adults(asset, s) for s in range(len(SEXES))]
    if sex is not None and sex not in SEXES:
        raise BodyError(f"sex is {sex!r} where 'male' or 'female' is needed.")
    clouds = clouds if sex is None else [clouds[SEXES.index(sex)]]
    adults = len(clouds)
    if asset.child_beta is not None:
        clouds.append(_children(asset, asset.child_beta))
    solutions = [_solve(asset, targets, *cloud) for cloud in clouds]
    odds = 2 * np.log((1 - CHILD_SHARE) / CHILD_SHARE)
    costs = np.stack([cost for _, cost in solutions])
    for i in range(adults, len(clouds)):  # giants are no children the other way round
        costs[i] = np.where(solutions[i][0][:, asset.child_beta] > 0, costs[i] + odds, np.inf)
    best = costs.argmin(0)
    betas = np.zeros((len(targets), asset.num_betas))
    usual = _usual_weight(targets)
    for i, (cloud, (found, _)) in enumerate(zip(clouds, solutions, strict=True)):
        rows = np.flatnonzero(best == i)
        if i >= adults and len(rows):
            found[rows] = _solve(asset, usual[rows], *cloud)[0]
        betas[rows, : found.shape[1]] = found[rows]
    return betas


def _adults(asset: BodyAsset, sex: int) -> tuple[Tensor, Tensor]:
    """Mean (n,) and covariance (n, n) of the betas of one sex."""
    if asset.sex_mean is None or asset.sex_cov is None:
        raise BodyError(
            f"Body {asset.name} does not say how people are distributed over its betas (arrays sex_mean and sex_cov), "
            "so no shape can be found by its measures."
        )
    return torch.from_numpy(asset.sex_mean[sex]).double(), torch.from_numpy(asset.sex_cov[sex]).double()


def _children(asset: BodyAsset, child: int) -> tuple[Tensor, Tensor]:
    """The cloud of children, over at least ``child + 1`` betas; girls and boys are alike, in the middle of adults."""
    (men, men_cov), (women, women_cov) = (_adults(asset, sex) for sex in range(len(SEXES)))
    mean, cov = (men + women) / 2, (men_cov + women_cov) / 2
    missing = max(child + 1 - len(mean), 0)
    mean = torch.nn.functional.pad(mean, (0, missing))
    cov = torch.nn.functional.pad(cov, (0, missing, 0, missing)) * _CHILD_VARIETY**2
    mean[child], cov[child, child] = CHILD_MEAN, CHILD_SPREAD**2
    return mean, cov


def _usual_weight(targets: np.ndarray) -> np.ndarray:
    """Targets (N, M) with children's usual weight where a stature is given and no weight."""
    names = list(MEASURES)
    stature, weight = names.index("stature"), names.index("weight")
    out = targets.copy()
    free = np.isfinite(targets[:, stature]) & ~np.isfinite(targets[:, weight])
    free &= (np.isfinite(targets).sum(1) == 1) & (targets[:, stature] <= _GROWTH[-1, 0])
    out[free, weight] = np.interp(targets[free, stature], *_GROWTH.T)
    return out


def _solve(asset: BodyAsset, targets: np.ndarray, mean: Tensor, cov: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Newton in whitened betas; the betas (N, n) and minus twice their log likelihood (N,)."""
    variances, vectors = torch.linalg.eigh(cov)
    root = vectors * variances.clamp(min=0).sqrt()  # adults have no variance at all along the child's beta
    aims = torch.from_numpy(targets)
    asked = torch.isfinite(aims)
    columns = torch.nonzero(asked.any(0)).flatten()
    names = list(MEASURES)
    error = torch.tensor([_EXACT.get(names[int(c)], 0.002) for c in columns], dtype=torch.float64)
    asked_names = tuple(names[int(c)] for c in columns)
    weight = asked[:, columns] / error
    goal = torch.where(asked, aims, torch.zeros_like(aims))[:, columns]
    z = torch.zeros(len(targets), len(mean), dtype=torch.float64)
    if not len(columns):
        return (mean + z).numpy(), np.zeros(len(targets))

    def values(z: Tensor) -> list[Tensor]:
        return measure_tensor(asset, mean + z @ root.T, asked_names)

    for _ in range(_STEPS):
        z = z.detach().requires_grad_()
        now = values(z)
        rows = [torch.autograd.grad(value.sum(), z, retain_graph=True)[0] for value in now]
        jacobian = torch.stack(rows, 1) * weight[..., None]
        residual = (goal - torch.stack(now, 1).detach()) * weight + (jacobian @ z.detach()[..., None])[..., 0]
        # the least z that meets the linearised measures: J^T (J J^T + I)^-1 r
        gram = jacobian @ jacobian.transpose(1, 2) + torch.eye(len(now), dtype=z.dtype)
        step = (jacobian.transpose(1, 2) @ torch.linalg.solve(gram, residual)[..., None])[..., 0]
        moved = step - z.detach()
        z = z.detach() + moved
        if float(moved.abs().max()) < 1e-4:
            break
    z = z.detach()
    with torch.no_grad():
        miss = ((torch.stack(values(z), 1) - goal) * weight).square().sum(1)
    # minus twice the log density of the measures in this sex, linearised at the shape
    return (mean + z @ root.T).numpy(), (miss + z.square().sum(1) + torch.logdet(gram)).numpy()


def _parse(key: str, value: float) -> tuple[str, float]:
    """Name of the measure and its value in metres or kilograms."""
    stem, _, unit = key.rpartition("_")
    if unit not in _UNITS or not stem:
        raise BodyError(f"{key}: a measure needs its unit, as in height_m, mass_kg or chest_cm.")
    name = _NAMES.get(stem, stem)
    if name not in MEASURES:
        name = f"{stem}_girth"
    if name not in MEASURES or (name == "weight") != (unit == "kg"):
        raise BodyError(f"{key}: no measure of that name and unit; known are {', '.join(MEASURES)}.")
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not (number and np.isfinite(value) and value > 0):
        raise BodyError(f"{key} is {value!r} where a positive number is needed.")
    return name, float(value) * _UNITS[unit]


_UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "kg": 1.0}
_NAMES = {"height": "stature", "mass": "weight", "hip": "buttock_girth", "inseam": "crotch_height"}
