"""What the semantic refinement compares with the picture: an outline, a dressed outline, or DSR's labels.

Each term takes the drawn vertices and its own unknowns (standard normal in advance) and gives a cost per person that is
0 where nothing is left to explain and about 1 where a body lies wholly beside its mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dsr.clothing.targets import clothed_target, minimally_clothed_target, semantic_attributes
from dsr.fitting.clothed_surface import NUM_FACTORS, ClothedSurface
from dsr.losses.semantic import semantic_losses
from dsr.losses.silhouette import containment_loss, coverage_loss
from dsr.rendering import SemanticRenderer

_LEAST_PIXELS = 20
"""Of a label that counts, in crops of 128 pixels: 60 in the published 224."""


class SemanticTerm(Protocol):
    """A comparison of drawn bodies with their picture."""

    @property
    def num_unknowns(self) -> int:
        """Unknowns of its own, per person."""
        ...

    def __call__(self, vertices: Tensor, unknowns: Tensor) -> Tensor:
        """Cost (B,) of bodies (B, V, 3) in the picture's camera and the term's own unknowns (B, num_unknowns)."""
        ...


@dataclass(frozen=True)
class Canvas:
    """What all terms draw on.

    Attributes:
        render: the renderer.
        faces: (F, 3) outer faces.
        K: (B, 3, 3) crop cameras.
        side: pixels of the square crop.
        masks: (B, S, S) probability of the person.
        visible: (B, S, S) where the picture can tell.
    """

    render: SemanticRenderer
    faces: Tensor
    K: Tensor
    side: int
    masks: Tensor
    visible: Tensor

    def alpha(self, vertices: Tensor) -> Tensor:
        """(B, S, S) soft silhouette, 0 to 1."""
        nothing = torch.zeros(len(self.faces), 1, device=vertices.device)
        drawn = self.render(vertices, self.faces, nothing, self.K, (self.side, self.side), "faces")
        return drawn.alpha.clamp(0, 1)


@dataclass(frozen=True)
class OutlineTerm:
    """The body fills the mask and stays inside of it; with a coverage below 1 it fills it softly there.

    Attributes:
        canvas: what is drawn on.
        coverage: (B, S, S) how much it counts that a pixel of the mask is covered.
        clothes: what lies over the skin; None draws the bare body.
    """

    canvas: Canvas
    coverage: Tensor
    clothes: ClothedSurface | None = None

    @property
    def num_unknowns(self) -> int:
        """Two factors of looseness where there are clothes."""
        return 0 if self.clothes is None else NUM_FACTORS

    def __call__(self, vertices: Tensor, unknowns: Tensor) -> Tensor:
        """Containment plus coverage, both shares of the mask's area."""
        canvas = self.canvas
        if self.clothes is not None:
            vertices = self.clothes.worn(vertices, canvas.faces, unknowns)
        alpha, weight = canvas.alpha(vertices), canvas.visible * self.coverage
        demand = (weight * canvas.masks).sum((1, 2)) / (canvas.visible * canvas.masks).sum((1, 2)).clamp(min=1)
        inside = containment_loss(alpha, canvas.masks, weight=canvas.visible, reduction="none")
        return inside + demand * coverage_loss(alpha, canvas.masks, weight=weight, reduction="none")


@dataclass(frozen=True)
class PublishedTerm:
    """DSR-MC and DSR-C as the paper combines them: labels of the picture against the rendered prior of labels.

    Attributes:
        canvas: what is drawn on.
        labels: (B, S, S) label ids, -1 where unknown.
        prior: (F, 20) of the drawn faces.
    """

    canvas: Canvas
    labels: Tensor
    prior: Tensor

    @property
    def num_unknowns(self) -> int:
        """None of its own."""
        return 0

    def __call__(self, vertices: Tensor, unknowns: Tensor) -> Tensor:
        """The mean of both losses."""
        canvas = self.canvas
        known = torch.where(canvas.visible > 0, self.labels, -1)
        tight = minimally_clothed_target(known, min_pixels=_LEAST_PIXELS)
        clothed = clothed_target(known, min_pixels=_LEAST_PIXELS)
        colours = semantic_attributes(self.prior, tight.valid)
        drawn = canvas.render(vertices, canvas.faces, colours, canvas.K, (canvas.side, canvas.side), "faces")
        losses = semantic_losses(
            drawn.attributes.clamp(0, 1),
            tight,
            clothed,
            alpha=drawn.alpha.clamp(0, 1),
            weight=tight.known,
            reduction="none",
        )
        return 0.5 * (losses.mc + losses.c)
