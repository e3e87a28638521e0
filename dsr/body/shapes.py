"""Measures of shapes by name: stature, mass, lengths and girths at the body's marked points, differentiable."""

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

RESULT_MEASURES = (
    "stature",
    "weight",
    "head_girth",
    "neck_girth",
    "chest_girth",
    "waist_girth",
    "buttock_girth",
    "thigh_girth",
    "calf_girth",
    "biceps_girth",
    "wrist_girth",
    "biacromial_breadth",
    "hip_breadth",
    "crotch_height",
    "sleeve_outseam",
    "span",
    "hand_length",
    "foot_length",
)
"""What results say about a person's size."""
_SHOULDER = "left_shoulder"


@dataclass(frozen=True, eq=False)
class _Linear:
    """Marked points and vertices as linear functions of the betas."""

    tape: Tape
    tpose: Tensor  # (B + 1, K * 3); the last row is the mean
    standing: Tensor


@lru_cache(maxsize=4)
def _linear(asset: BodyAsset) -> _Linear:
    if asset.tape is None:
        raise BodyError(
            f"Body {asset.name} holds no marked points (array tape), so lengths and girths cannot be taken by name; "
            "dsr.body.measure_body gives height, chest, waist, hip and mass of any body."
        )
    if _SHOULDER not in asset.joint_names:
        raise BodyError(f"Body {asset.name} cannot be measured by name: it names no {_SHOULDER} joint.")
    lacking = sorted({p for m in MEASURES.values() for p in m.points} - set(asset.tape_names))
    if lacking or "sole" not in asset.tape_names:
        raise BodyError(f"Body {asset.name} cannot be measured by name: its tape marks no {(*lacking, 'sole')[0]}.")
    arm = asset.weights[:, _with_all_below(asset, asset.joint_names.index(_SHOULDER))].sum(1)
    tape = Tape(asset.tape, asset.tape_names, arm.astype(np.float64))
    basis = _basis(asset, asset.num_shapes)
    joint = asset.J_regressor.astype(np.float64)[asset.joint_names.index(_SHOULDER)]
    shoulder = (joint @ basis.reshape(len(basis), -1)).reshape(3, -1)
    vertices = torch.from_numpy(np.ascontiguousarray(basis.transpose(2, 0, 1)))
    tpose, standing = tape.points(vertices, torch.from_numpy(np.ascontiguousarray(shoulder.T)))
    return _Linear(tape, tpose.flatten(1), standing.flatten(1))


def _basis(asset: BodyAsset, count: int) -> np.ndarray:
    """So many shape directions and, behind them, the mean: (V, 3, n + 1); no measure depends on an expression."""
    return np.concatenate([asset.shapedirs[..., :count], asset.v_template[..., None]], 2).astype(np.float64)


@lru_cache(maxsize=8)
def _volume(asset: BodyAsset, count: int) -> Tensor:
    """(n + 1, n + 1, n + 1) of the first n betas with a 1 behind them; a second of work for 41, a tenth for 11."""
    closed = close_holes(skin_faces(asset).astype(np.int64), asset.num_vertices)
    return _cubic(torch.from_numpy(np.ascontiguousarray(_basis(asset, count).transpose(2, 0, 1))), closed)


def _with_all_below(asset: BodyAsset, joint: int) -> list[int]:
    """A joint and all that hang on it: the arm down to the hand or the finger tips."""
    children = np.flatnonzero(asset.parents == joint)
    return [joint, *(j for child in children for j in _with_all_below(asset, int(child)))]


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
    betas = betas[:, : asset.num_shapes]
    count, missing = len(betas), asset.num_shapes - betas.shape[1]
    one = torch.cat([betas, betas.new_zeros(count, missing), betas.new_ones(count, 1)], 1)
    wanted = {"sole", "crown", *(point for name in names for point in MEASURES[name].points)}
    tpose, standing = (parts.tape.split((one @ t).unflatten(1, (-1, 3)), wanted) for t in (parts.tpose, parts.standing))
    out = []
    for name in names:
        if MEASURES[name].kind == "mass":
            some = torch.cat([betas, betas.new_ones(count, 1)], 1)
            twice = (torch.einsum("abc,nc->nab", _volume(asset, betas.shape[1]), some) @ some[..., None])[..., 0]
            volume = (twice * some).sum(1)
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


def result_measures(asset: BodyAsset, betas: np.ndarray) -> list[dict[str, float]]:
    """Sizes of people under the names that :func:`dsr.body.likely_shapes.betas_for` takes, in milliseconds.

    Args:
        asset: any body; one without marked points gives nothing.
        betas: (N, n).

    Returns:
        :data:`RESULT_MEASURES` with their unit: ``stature_m``, ``weight_kg``, ``chest_girth_m`` and so on.
    """
    if asset.tape is None or not len(betas):
        return [{} for _ in betas]
    with torch.no_grad():
        sizes = torch.stack(measure_tensor(asset, torch.as_tensor(np.asarray(betas, np.float64)), RESULT_MEASURES), 1)
    names = [f"{name}_kg" if MEASURES[name].kind == "mass" else f"{name}_m" for name in RESULT_MEASURES]
    return [dict(zip(names, np.round(row, 4).tolist(), strict=True)) for row in sizes.numpy()]
