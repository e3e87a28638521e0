"""Where somebody's clothes are in a picture: label ids in a box of it, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClothingMap:
    """Clothing labels of one person inside a box of the full, upright picture.

    Attributes:
        box_px: (4,) x0, y0, x1, y1 of the area the map covers, full-picture pixels.
        labels: (h, w) int64 ids of :data:`dsr.clothing.LABELS`, -1 where unknown; row 0 is the top of the box.
        confidence: (h, w) float32, 0 to 1.
        source: ``built-in``, or the name of what was brought.
    """

    box_px: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray
    source: str = "built-in"

    def at(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels and confidence, each (len(v), len(u)), at full-picture pixels, nearest; unknown outside of the box."""
        x0, y0, x1, y1 = (float(value) for value in self.box_px)
        rows, cols = self.labels.shape
        row = np.floor((np.asarray(v) - y0) / max(y1 - y0, 1e-6) * rows).astype(int)
        col = np.floor((np.asarray(u) - x0) / max(x1 - x0, 1e-6) * cols).astype(int)
        inside = ((row >= 0) & (row < rows))[:, None] & ((col >= 0) & (col < cols))[None]
        at = np.ix_(row.clip(0, rows - 1), col.clip(0, cols - 1))
        return np.where(inside, self.labels[at], -1), np.where(inside, self.confidence[at], 0.0)
