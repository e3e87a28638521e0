"""A square of S x S pixels around a person: where its pixels lie in the picture, and what masks and pictures show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr.camera import PictureCamera
from dsr.people.types import Detection, PersonMask

_ROOM = 1.15


@dataclass(frozen=True)
class CropGrid:
    """The square.

    Attributes:
        centre_px: (2,) its middle, full-picture pixels.
        scale: its pixels per picture pixel.
        side: S.
    """

    centre_px: np.ndarray
    scale: float
    side: int

    @property
    def box_px(self) -> np.ndarray:
        """(4,) x0, y0, x1, y1, full-picture pixels."""
        half = self.side / 2 / self.scale
        return np.concatenate([self.centre_px - half, self.centre_px + half])

    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Full-picture u (S,) of the columns' middles and v (S,) of the rows'."""
        steps = (np.arange(self.side) + 0.5 - self.side / 2) / self.scale
        return self.centre_px[0] + steps, self.centre_px[1] + steps

    def camera(self, camera: PictureCamera) -> PictureCamera:
        """The picture's camera, cropped."""
        shift = self.side / 2 - self.scale * self.centre_px
        crop = np.array([[self.scale, 0, shift[0]], [0, self.scale, shift[1]], [0, 0, 1]])
        return camera.warped(crop, (self.side, self.side))

    def sample(self, mask: PersonMask) -> np.ndarray:
        """(S, S) probability, bilinear, 0 outside of the mask's box."""
        from scipy.ndimage import map_coordinates

        u, v = self.pixels()
        x0, y0, x1, y1 = (float(value) for value in mask.box_px)
        rows, cols = mask.probability.shape
        row, col = (v - y0) / max(y1 - y0, 1e-6) * rows - 0.5, (u - x0) / max(x1 - x0, 1e-6) * cols - 0.5
        inside = ((row > -0.5) & (row < rows - 0.5))[:, None] & ((col > -0.5) & (col < cols - 0.5))[None]
        grid = np.meshgrid(row, col, indexing="ij")
        values = map_coordinates(mask.probability.astype(np.float32), grid, order=1, mode="nearest")
        return np.where(inside, values.clip(0, 1), 0.0)

    def colours(self, rgb: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
        """(S, S, 3) uint8 of a picture, averaged where it is larger; the picture's edge goes on outside of it.

        Args:
            rgb: (h, w, 3) uint8, the full picture at any size.
            image_size: (width, height) of the full picture.
        """
        from PIL import Image

        zoom = np.array([rgb.shape[1] / image_size[0], rgb.shape[0] / image_size[1]])
        box = self.box_px * np.tile(zoom, 2)
        low, high = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
        rows = np.arange(low[1], high[1]).clip(0, rgb.shape[0] - 1)
        cols = np.arange(low[0], high[0]).clip(0, rgb.shape[1] - 1)
        part = Image.fromarray(np.ascontiguousarray(rgb[np.ix_(rows, cols)]))
        inner = (box[0] - low[0], box[1] - low[1], box[2] - low[0], box[3] - low[1])
        filter_ = Image.Resampling.BOX if box[2] - box[0] > self.side else Image.Resampling.BILINEAR
        return np.asarray(part.resize((self.side, self.side), filter_, box=inner))


def person_grid(detection: Detection, side: int) -> CropGrid:
    """A square around a person's keypoints and mask, with some room."""
    box = np.asarray(detection.box_px, float)
    if detection.mask is not None:
        mask_box = np.asarray(detection.mask.box_px, float)
        rows, cols = detection.mask.probability.shape
        person = detection.mask.probability > 0.5
        if person.any():  # the mask's box may be far larger than the person
            v, u = np.flatnonzero(person.any(1)), np.flatnonzero(person.any(0))
            cell = (mask_box[2:] - mask_box[:2]) / (cols, rows)
            low, high = mask_box[:2] + cell * (u[0], v[0]), mask_box[:2] + cell * (u[-1] + 1, v[-1] + 1)
            box = np.concatenate([np.minimum(box[:2], low), np.maximum(box[2:], high)])
    size = _ROOM * max(float((box[2:] - box[:2]).max()), 1.0)
    return CropGrid((box[:2] + box[2:]) / 2, side / size, side)
