"""Shapes of made-up people: men, women and children as the open body's own distribution has them."""

from __future__ import annotations

import numpy as np

from dsr.body import BodyAsset
from dsr.body.likely_shapes import CHILD_MEAN, CHILD_SPREAD
from dsr.errors import DatasetError

CHILD_FROM = 0.25
"""Of the child's beta; who has more is a child."""
_CHILDREN, _CHILD_VARIETY = 0.13, 0.7
_UNUSUAL, _WIDER = 0.2, 1.4  # the very thin and the very heavy are seen too


class ShapePool:
    """Where shapes are drawn from.

    Args:
        body: an open body with the distribution of its betas.

    Raises:
        DatasetError: if it has none.
    """

    def __init__(self, body: BodyAsset) -> None:
        if body.sex_mean is None or body.sex_cov is None or body.child_beta is None:
            raise DatasetError(f"body {body.name} does not say how people are distributed over its betas.")
        self.child = body.child_beta
        self._mean = body.sex_mean.astype(np.float64)
        self._roots = [_root(cov.astype(np.float64)) for cov in body.sex_cov]

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
        """Betas (B,) of a man, woman or child, and whether it is female."""
        female = bool(rng.random() < 0.5)
        wide = 1.0 if rng.random() < 1 - _UNUSUAL else _WIDER
        noise = self._roots[int(female)] @ rng.standard_normal(len(self._mean[0])) * wide
        if rng.random() < _CHILDREN:
            betas = self._mean.mean(0) + noise * _CHILD_VARIETY
            betas[self.child] = np.clip(rng.normal(CHILD_MEAN, CHILD_SPREAD), 0.1, 1.4)
            return betas, female
        return self._mean[int(female)] + noise, female


def _root(cov: np.ndarray) -> np.ndarray:
    variances, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(np.clip(variances, 0, None))
