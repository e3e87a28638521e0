"""Small pictures in rows of eight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def save_tiles(tiles: list[np.ndarray], path: Path) -> None:
    """Write pictures of one size (h, w, 3) uint8 as one; the last row is filled with black."""
    tiles = tiles + [np.zeros_like(tiles[0])] * (-len(tiles) % 8)
    sheet = np.concatenate([np.concatenate(tiles[i : i + 8], 1) for i in range(0, len(tiles), 8)])
    Image.fromarray(sheet).save(path)
