"""Pictures to files (overlays, side views), complete or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from dsr.errors import UsageError
from dsr.files import write_atomic

_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


def save_picture(rgb: np.ndarray, path: str | os.PathLike[str], quality: int = 90) -> Path:
    """Save a picture as JPEG or PNG, by the suffix of the path.

    Args:
        rgb: (h, w, 3) uint8; (h, w) for grey.
        path: ``.jpg``, ``.jpeg`` or ``.png``; the folder must exist.
        quality: of a JPEG, 1 to 95.

    Returns:
        The path written.

    Raises:
        UsageError: if the suffix is another one.
        ExportError: if the file cannot be written; nothing is left behind.
    """
    from PIL import Image

    kind = _FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: pictures are saved as .jpg or .png; choose one of these suffixes.")
    picture = Image.fromarray(np.ascontiguousarray(rgb, dtype=np.uint8))

    def write(temporary: Path) -> None:
        picture.save(temporary, kind, **({"quality": quality, "subsampling": 0} if kind == "JPEG" else {}))

    return write_atomic(path, write)
