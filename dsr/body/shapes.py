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

_SHOULDER = "left_shoulder"


@dataclass(frozen=True, eq=False)
class _Linear:
    """Marked points and vertices as linear functions of the betas."""

    tape: Tape
    tpose: Tensor  # (B + 1, K * 3); the last row is the mean
    standing: Tensor
    volume: Tensor  # (B + 1, B + 1, B + 1), of betas with a 1 behind them


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
    closed = close_holes(skin_faces(asset).astype(np.int64), asset.num_vertices)
    arm = asset.weights[:, _with_all_below(asset, asset.joint_names.index(_SHOULDER))].sum(1)
    tape = Tape(asset.tape, asset.tape_names, arm.astype(np.float64))
    shapes = asset.shapedirs[..., : asset.num_shapes]  # no measure depends on a facial expression
    basis = np.concatenate([shapes, asset.v_template[..., None]], 2).astype(np.float64)
    joint = asset.J_regressor.astype(np.float64)[asset.joint_names.index(_SHOULDER)]
    shoulder = (joint @ basis.reshape(len(basis), -1)).reshape(3, -1)
    vertices = torch.from_numpy(np.ascontiguousarray(basis.transpose(2, 0, 1)))
    tpose, standing = tape.points(vertices, torch.from_numpy(np.ascontiguousarray(shoulder.T)))
    return _Linear(tape, tpose.flatten(1), standing.flatten(1), _cubic(vertices, closed))


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
