"""Facial expressions as files have them: named offsets of the rest mesh, and how strong each one is in a fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset


@dataclass(frozen=True)
class Morphs:
    """The named expressions of a body.

    Attributes:
        names: E names, none for a body without named expressions.
        offsets: (E, V, 3) float32 metres at full strength.
        strengths: (E,) of the fit.
    """

    names: tuple[str, ...]
    offsets: np.ndarray = field(repr=False)
    strengths: np.ndarray = field(repr=False)

    def without(self, rest_vertices: np.ndarray) -> np.ndarray:
        """The rest mesh (V, 3) of a fit with its expression taken away."""
        if not self.strengths.any():
            return rest_vertices
        return rest_vertices - np.einsum("e,evc->vc", self.strengths, self.offsets.astype(np.float64))


def morphs(asset: BodyAsset, betas: np.ndarray) -> Morphs:
    """The expressions of a body and their strengths in the betas (n,) of a fit; missing betas are zero."""
    names = asset.expression_names
    strengths = np.zeros(len(names))
    given = np.asarray(betas, np.float64)[asset.num_shapes :] if names else np.zeros(0)
    strengths[: len(given)] = given
    offsets = asset.shapedirs[..., asset.num_shapes :] if names else asset.shapedirs[..., :0]
    return Morphs(names, np.ascontiguousarray(offsets.transpose(2, 0, 1), np.float32), strengths)
