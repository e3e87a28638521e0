"""MakeHuman's base mesh as far as the open body and its helper surfaces have it: what garments hang on.

Axes as the body's: y up, facing +z, metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dsr.body import BodyAsset
from dsr.body.joints import SMPL24_NAMES
from dsr.errors import DatasetError
from dsr.synthetic.mhclo import Garment, assemble_base


@dataclass(frozen=True, eq=False)
class BoundGarment:
    """A garment and how it hangs on the open body.

    Attributes:
        garment: its binding to the base mesh; ``garment.fit(mesh.shaped(betas))`` places it.
        weights: (N, J) skinning weights.
        places: (N, 3) on the mean body, metres.
    """

    garment: Garment
    weights: np.ndarray
    places: np.ndarray


class BaseMesh:
    """The base mesh of the open body's shapes in T-pose, helper vertices included.

    Args:
        body: the open body, or the one with fingers and a face.

    Attributes:
        template: (19158, 3) of the mean body, NaN where it has no vertex.
        weights: (19158, J) skinning weights, NaN there too.

    Raises:
        DatasetError: if the body does not know MakeHuman's mesh.
    """

    def __init__(self, body: BodyAsset) -> None:
        self.body = body
        self._helpers = _helpers(body)
        self.template = self._assemble(body.v_template, self._helpers.template)
        self.weights = self._assemble(body.weights, _weights_by_name(body, self._helpers.weights))

    def shaped(self, betas: np.ndarray) -> np.ndarray:
        """(19158, 3) base mesh of a shape (n,), metres; NaN where the body has no vertex."""
        count, helpers = len(betas), self._helpers
        return self._assemble(
            self.body.v_template + self.body.shapedirs[..., :count] @ betas,
            helpers.template + helpers.directions[..., :count] @ betas[: helpers.directions.shape[2]],
        )

    def bind(self, garment: Garment) -> BoundGarment:
        """A garment on this body, by the exact rule.

        Raises:
            DatasetError: if it cannot hang on it.
        """
        present = np.isfinite(self.template).all(axis=1)
        rest = self._helpers.rest
        garment = garment.rebound(rest, present).turned(rest, self.template)
        return BoundGarment(garment, garment.skinning(self.weights), garment.fit(self.template))

    def directions(self, bound: BoundGarment, count: int) -> np.ndarray:
        """(N, 3, count) metres that one unit of each of the first coefficients moves a garment by."""
        body, helpers = self.body, self._helpers
        none = np.zeros_like(helpers.template)
        steps = (
            self._assemble(
                body.shapedirs[..., k], helpers.directions[..., k] if k < helpers.directions.shape[2] else none
            )
            for k in range(count)
        )
        return np.stack([bound.garment.fit(self.template + step) - bound.places for step in steps], 2)

    def _assemble(self, body: np.ndarray, helpers: np.ndarray) -> np.ndarray:
        assert self.body.base_index is not None
        return assemble_base(body, self.body.base_index, helpers, self._helpers.index)


@dataclass(frozen=True)
class _Helpers:
    """The helper vertices of MakeHuman's base mesh: which they are, where, per beta, weights; and the rest pose."""

    index: np.ndarray
    template: np.ndarray
    directions: np.ndarray
    weights: np.ndarray
    rest: np.ndarray


@lru_cache(maxsize=1)
def _helpers(body: BodyAsset) -> _Helpers:
    if body.base_index is None or body.path is None:
        raise DatasetError(f"body {body.name} does not say which vertices of MakeHuman's mesh it has.")
    with np.load(body.path.with_name("DSR_OPEN_HELPERS.npz"), allow_pickle=False) as data:
        return _Helpers(*(data[n] for n in ("base_index", "v_template", "shapedirs", "weights", "rest_vertices")))


def _weights_by_name(body: BodyAsset, weights: np.ndarray) -> np.ndarray:
    """(H, J) weights of the helper vertices, given for SMPL's 24 joints, for a body's; what has no hands has wrists."""
    placed = np.zeros((len(weights), body.num_joints))
    for joint, name in enumerate(SMPL24_NAMES):
        own = name if name in body.joint_names else name.replace("hand", "wrist")
        placed[:, body.joint_names.index(own)] += weights[:, joint]
    return placed
