"""The card beside a prior: what it holds, what it was made of, what it cannot say."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np

from dsr.clothing.labels import LABELS
from dsr.clothing.prior import ClothingPrior

_CARD = """# Clothing prior of the open body

Where clothes are on a body: for every vertex and face the probability of Graphonomy's 20 labels, and how far off the
skin the outermost cloth lies where there is some. Read by `dsr.clothing.load_clothing_prior`; other bodies take it over
by the surface.

File: `{name}`, float16: `vertex_labels ({vertices}, 20)`, `face_labels ({faces}, 20)`, `vertex_looseness_m
({vertices}, 2)` and `face_looseness_m ({faces}, 2)` (metres, mean and standard deviation over people), rows in the
order of the body's vertices and faces. Column 0 (background) is zero. Label 10 is bare neck and trunk, as CIHP has it.

Data: {data}. Licence of the data: {licence}. Written on {today}.

{making}
## What it says

| label | share of the surface's vertices, % | most likely on |
| --- | --- | --- |
{table}

Cloth, hair and shoes lie {loose:.0f} mm off the skin where they are (mean over vertices, weighted by how often they are
covered), half of the vertices between {low:.0f} and {high:.0f} mm.

## Limits

{limits}
"""

GARMENT_LIMITS = """* Shares are stated, not counted: no statistic of what people wear, and not the prior published with
  DSR, which was learned from scans that nobody may redistribute.
* Twelve suits, six pairs of shoes with one pair of socks, ten hair styles and a hat, all by the same makers. No long
  skirts or dresses, sleeveless tops, scarves, gloves, sunglasses, swimwear; nothing as wide as real winter coats.
* Clothes follow the body: they do not fall, fold or swing, so that real looseness is larger and varies more."""

OWN_LIMITS = """* What was not seen is the prior that ships, or the nearest vertices' where that counts nothing.
* It is as good as the fits, the labels and the choice of people behind it."""


def write_card(
    path: Path, prior: ClothingPrior, *, data: str, licence: str, making: str, limits: str, interior: np.ndarray
) -> None:
    """Write the card of the prior file ``path`` beside it, as ``.md``."""
    outer = np.ones(len(prior.vertex_labels), bool)
    outer[np.unique(prior.faces[interior])] = False
    likeliest = np.bincount(prior.vertex_labels[outer].argmax(1), minlength=len(LABELS))
    rows = [
        f"| {label} | {100 * prior.vertex_labels[outer, k].mean():.1f} | {likeliest[k]} vertices |"
        for k, label in enumerate(LABELS)
        if prior.vertex_labels[outer, k].any()
    ]
    mean, weight = 1000 * prior.vertex_looseness_m[outer, 0], prior.covered_vertices()[outer]
    low, high = np.percentile(mean[weight > 0.3], [25, 75]) if (weight > 0.3).any() else (0.0, 0.0)
    text = _CARD.format(
        name=path.name,
        vertices=len(prior.vertex_labels),
        faces=len(prior.faces),
        data=data,
        licence=licence,
        today=date.today().isoformat(),
        making=making,
        table="\n".join(rows),
        loose=float((mean * weight).sum() / max(weight.sum(), 1e-9)),
        low=low,
        high=high,
        limits=limits,
    )
    path.with_suffix(".md").write_text(text, encoding="utf-8")
