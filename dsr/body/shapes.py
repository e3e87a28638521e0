"""Shapes by their measures: stature, mass, lengths and girths of a shape, and the most likely shape that has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dsr.body.asset import BodyAsset
from dsr.body.measure import DENSITY, close_holes, skin_faces
from dsr.body.tape import MEASURES, Tape
from dsr.errors import BodyError

SEXES = ("male", "female")
_EXACT = {"weight": 0.2}
"""How closely a given measure is met, kilograms or metres; 2 mm where nothing is said."""
_STEPS = 12
_LEFT_ARM = ("left_shoulder", "left_elbow", "left_wrist", "left_hand")


@dataclass(frozen=True, eq=False)
class _Linear:
    """Marked points and vertices as linear functions of the betas."""

    tape: Tape
    tpose: Tensor  # (B + 1, K * 3); the last row is the mean
    standing: Tensor
    volume: Tensor  # (B + 1, B + 1, B + 1), of betas with a 1 behind them


@lru_cache(maxsize=4)
def _linear(asset: BodyAsset) -> _Linear:
    missing = [name for name in _LEFT_ARM if name not in asset.joint_names]
    if asset.tape is None:
        raise BodyError(
            f"Body {asset.name} holds no marked points (array tape), so lengths and girths cannot be taken by name; "
            "dsr.body.measure_body gives height, chest, waist, hip and mass of any body."
        )
    if missing:
        raise BodyError(f"Body {asset.name} cannot be measured by name: it names no {missing[0]} joint.")
    lacking = sorted({p for m in MEASURES.values() for p in m.points} - set(asset.tape_names))
    if lacking or "sole" not in asset.tape_names:
        raise BodyError(f"Body {asset.name} cannot be measured by name: its tape marks no {(*lacking, 'sole')[0]}.")
    closed = close_holes(skin_faces(asset).astype(np.int64), asset.num_vertices)
    arm = asset.weights[:, [asset.joint_names.index(n) for n in _LEFT_ARM]].sum(1)
    tape = Tape(asset.tape, asset.tape_names, arm.astype(np.float64))
    basis = np.concatenate([asset.shapedirs, asset.v_template[..., None]], 2).astype(np.float64)
    joint = asset.J_regressor.astype(np.float64)[asset.joint_names.index("left_shoulder")]
    shoulder = (joint @ basis.reshape(len(basis), -1)).reshape(3, -1)
    vertices = torch.from_numpy(np.ascontiguousarray(basis.transpose(2, 0, 1)))
    tpose, standing = tape.points(vertices, torch.from_numpy(np.ascontiguousarray(shoulder.T)))
    return _Linear(tape, tpose.flatten(1), standing.flatten(1), _cubic(vertices, closed))


def _cubic(vertices: Tensor, faces: np.ndarray) -> Tensor:
    """Volume inside closed faces as a cubic form of what the vertices (C, V, 3) are linear in, (C, C, C)."""
    a, b, c = (vertices[:, torch.from_numpy(faces[:, k])].float() for k in range(3))
    last = c.flatten(1).T
    rows = [torch.linalg.cross(one.expand_as(b), b, dim=-1).flatten(1) @ last for one in a]
    return torch.stack(rows).double() / 6


def measure_tensor(asset: BodyAsset, betas: Tensor, names: tuple[str, ...] = tuple(MEASURES)) -> list[Tensor]:
    """Measures of shapes, each (N,), metres and kilograms; differentiable.

    Args:
        asset: a body with marked points.
        betas: (N, n) float64; missing ones are zero.
        names: of the measures.
    """
    parts = _linear(asset)
    count, missing = len(betas), asset.num_betas - betas.shape[1]
    one = torch.cat([betas, betas.new_zeros(count, missing), betas.new_ones(count, 1)], 1)
    tpose, standing = (parts.tape.split((one @ t).unflatten(1, (-1, 3))) for t in (parts.tpose, parts.standing))
    out = []
    for name in names:
        if MEASURES[name].kind == "mass":
            volume = torch.einsum("na,nb,nc,abc->n", one, one, one, parts.volume)
            out.append(DENSITY * volume.abs())
        else:
            out.append(parts.tape.take(MEASURES[name], tpose, standing, None))
    return out


def measure_shape(asset: BodyAsset, betas: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Stature, weight and 48 lengths, breadths and girths of shapes, by name.

    Args:
        asset: a body with marked points.
        betas: (..., n) shape coefficients; None is the average body.

    Returns:
        Arrays (...) in metres, ``weight`` in kilograms; what each one is says :data:`dsr.body.tape.MEASURES`.

    Raises:
        BodyError: if the asset has no marked points.
    """
    betas = np.zeros(1) if betas is None else np.asarray(betas, np.float64)
    flat = torch.from_numpy(betas.reshape(-1, betas.shape[-1]).copy())
    with torch.no_grad():
        values = torch.cat([torch.stack(measure_tensor(asset, part), 1) for part in flat.split(100)]).numpy()
    return {name: values[:, i].reshape(betas.shape[:-1]) for i, name in enumerate(MEASURES)}


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
        >>> betas_for(load_asset("PEOPLE/DSR_OPEN.npz"), height_m=1.80, mass_kg=75)  # doctest: +SKIP
    """
    if not targets and sex is None:
        raise BodyError("A shape needs at least one measure, such as height_m=1.8, or a sex.")
    names = list(MEASURES)
    given = dict(_parse(key, value) for key, value in targets.items())
    row = np.full((1, len(names)), np.nan)
    for name, value in given.items():
        row[0, names.index(name)] = value
    return most_likely(asset, row, sex)[0]


def most_likely(asset: BodyAsset, targets: np.ndarray, sex: str | None = None) -> np.ndarray:
    """As :func:`betas_for` for many people.

    Args:
        asset: a body with marked points and the distribution of its betas.
        targets: (N, M) measures in the order of :data:`dsr.body.tape.MEASURES`, metres and kilograms, NaN where not
            given.
        sex: of all of them; None takes the more likely one of each.

    Returns:
        (N, B) betas.

    Raises:
        BodyError: if the asset lacks either, or for another sex.
    """
    _distribution(asset, 0)
    if sex is not None and sex not in SEXES:
        raise BodyError(f"sex is {sex!r} where 'male' or 'female' is needed.")
    solutions = [_solve(asset, targets, SEXES.index(s)) for s in ((sex,) if sex else SEXES)]
    best = np.argmin(np.stack([cost for _, cost in solutions]), 0)
    betas = np.stack([betas for betas, _ in solutions])[best, np.arange(len(targets))]
    return np.concatenate([betas, np.zeros((len(betas), asset.num_betas - betas.shape[1]))], 1)


def _distribution(asset: BodyAsset, sex: int) -> tuple[Tensor, Tensor]:
    """Mean (n,) and covariance (n, n) of the betas of one sex."""
    if asset.sex_mean is None or asset.sex_cov is None:
        raise BodyError(
            f"Body {asset.name} does not say how people are distributed over its betas (arrays sex_mean and sex_cov), "
            "so no shape can be found by its measures."
        )
    return torch.from_numpy(asset.sex_mean[sex]).double(), torch.from_numpy(asset.sex_cov[sex]).double()


def _solve(asset: BodyAsset, targets: np.ndarray, sex: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Newton in whitened betas; the betas (N, C) and minus twice their log likelihood (N,)."""
    mean, cov = _distribution(asset, sex)
    values, vectors = torch.linalg.eigh(cov)
    root = vectors * values.clamp(min=0).sqrt()  # no variance at all along the child's beta
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
    if not (np.isfinite(value) and value > 0):
        raise BodyError(f"{key} is {value} where a positive number is needed.")
    return name, float(value) * _UNITS[unit]


_UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "kg": 1.0}
_NAMES = {"height": "stature", "mass": "weight", "hip": "buttock_girth", "inseam": "crotch_height"}
