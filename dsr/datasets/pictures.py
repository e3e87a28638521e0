"""Pictures and label maps of records: a lean, decoded-once reader and the warp of label ids.

Unlike :func:`dsr.image.read_photo` nothing is hashed and no camera is looked for: a training step reads thousands.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr.clothing.labels import IGNORE, LABELS, palette_to_labels
from dsr.errors import DatasetError
from dsr.image.decode import TRANSPOSE


def read_picture(image: Path | np.ndarray, where: str, *, reduce: float = 1.0) -> tuple[np.ndarray, float]:
    """The upright picture of a record, 8-bit RGB.

    Args:
        image: path, or (H, W, 3) uint8 in memory (returned as it is).
        where: the record (``source/key``), for messages.
        reduce: the picture may come at 1/2, 1/4 or 1/8 of its size if that is at most this reduction. Only JPEGs do:
            decoding is then faster, and what is scaled down a lot is low-pass filtered.

    Returns:
        (h, w, 3) uint8, and full pixels per pixel of it: ``u_full = factor * u`` (pixel centres at +0.5).

    Raises:
        DatasetError: naming the file, if it is missing, damaged or no picture.
    """
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DatasetError(
                f"{where}: a picture in memory must be (H, W, 3) uint8, not {image.shape} {image.dtype}."
            )
        return image, 1.0
    from PIL import Image

    try:
        with Image.open(image) as opened:
            width, height = opened.size
            if reduce >= 2 and opened.format == "JPEG":
                power = 2 ** min(int(np.log2(reduce)), 3)
                # libjpeg rounds odd sizes up, which would shift the scale: only whole divisors
                while power > 1 and (width % power or height % power):
                    power //= 2
                opened.draft(None, (width // power, height // power))
            factor = width / opened.size[0]
            orientation = opened.getexif().get(0x0112, 1) if opened.info.get("exif") else 1
            upright = opened.convert("RGB")
            if orientation in TRANSPOSE:
                upright = upright.transpose(TRANSPOSE[orientation])
            return np.asarray(upright), factor
    except FileNotFoundError:
        raise DatasetError(f"{image}, the picture of {where}, does not exist: check the image folder.") from None
    except Exception as error:  # decoders raise anything on damaged input
        raise DatasetError(f"{image}, the picture of {where}, cannot be read ({error}): copy it again.") from error


def read_labels(labels: Path | np.ndarray, where: str) -> np.ndarray:
    """The label map of a record: Graphonomy colours or ids, as stored.

    Args:
        labels: path of a colour PNG (true colour or palette) or of a grey PNG of ids, or (H, W) ids in memory.
        where: the record, for messages.

    Returns:
        (H, W, 3) uint8 colours, or (H, W) int16 ids with :data:`IGNORE` where unknown.

    Raises:
        DatasetError: naming the file, if it cannot be read or its ids are not -1 to 19.
    """
    if isinstance(labels, np.ndarray):
        return _ids(labels, f"The label map of {where}")
    from PIL import Image

    try:
        with Image.open(labels) as opened:
            if opened.mode == "P":  # a third of the data of true colour
                return _palette_ids(np.array(opened.getpalette("RGB"), dtype=np.uint8))[np.asarray(opened)]
            values = np.asarray(opened if opened.mode in ("L", "RGB") else opened.convert("RGB"))
    except Exception as error:
        raise DatasetError(f"{labels}, the label map of {where}, cannot be read ({error}): make it again.") from error
    return values if values.ndim == 3 else _ids(values, f"{labels}, the label map of {where},")


def warp_labels(
    labels: np.ndarray, homography: np.ndarray, size: int, *, outside: int = IGNORE, pixel_centre: float = 0.5
) -> np.ndarray:
    """Resample ids by nearest neighbour into a crop, the companion of :func:`dsr.camera.warp_crop`.

    Args:
        labels: (H, W) ids, or (H, W, 3) palette colours.
        homography: (3, 3) picture pixels to crop pixels.
        size: side of the crop in pixels.
        outside: id beyond the picture's border. Unknown by default: a person may go on there. Colours become ids first.
        pixel_centre: where the first pixel's centre lies.

    Returns:
        (size, size) int64 ids; colours outside the palette are :data:`IGNORE`.
    """
    import cv2

    shift = np.array([[0.0, 0.0, pixel_centre], [0.0, 0.0, pixel_centre], [0.0, 0.0, 0.0]])
    M = (np.eye(3) - shift) @ np.asarray(homography, dtype=np.float64) @ (np.eye(3) + shift)
    # every border colour here is outside the palette, every border id the one asked for
    border = (1, 1, 1) if labels.ndim == 3 else (outside,)
    warped = cv2.warpPerspective(
        labels, M, (size, size), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=border
    )
    if warped.ndim == 2:
        return warped.astype(np.int64)
    import torch

    ids = palette_to_labels(torch.from_numpy(warped)[None])[0].numpy()
    if outside != IGNORE:
        ids[(warped == 1).all(-1)] = outside
    return ids


def _palette_ids(palette: np.ndarray) -> np.ndarray:
    """Label id of every index of a PNG's palette (3 N), (256,) int16."""
    colours = np.full((256, 3), 1, np.uint8)  # no label's colour
    colours[: len(palette) // 3] = palette.reshape(-1, 3)
    return palette_to_labels(colours[None, None])[0, 0].numpy().astype(np.int16)


def _ids(labels: np.ndarray, what: str) -> np.ndarray:
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise DatasetError(f"{what} must be (H, W) integer ids, not {labels.shape} {labels.dtype}.")
    if labels.size and (int(labels.min()) < IGNORE or int(labels.max()) >= len(LABELS)):
        raise DatasetError(
            f"{what} holds ids from {labels.min()} to {labels.max()}; they go from -1 to {len(LABELS) - 1}."
        )
    return np.ascontiguousarray(labels, dtype=np.int16)
