"""Square, rotated regions of a picture and the crops taken from them.

Pixel convention: continuous coordinates, the centre of pixel (column i, row j) is at (i + 0.5, j + 0.5), the same in
the picture and in the crop. A region's crop is upright for the person: its "up" is the picture direction hips -> head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

DARK = 50.0  # mean brightness of 255 below which a picture is brightened for finding people
_LIFTED = 90.0  # mean brightness it gets
_STEP = 8
REGION_SCALE = 2.0 * 1.25  # side = 2 x 1.25 x |p1 - p0| (specs/blazepose.md)


@dataclass(frozen=True)
class Region:
    """A rotated square.

    Attributes:
        u: centre, pixels.
        v: centre, pixels.
        side: side length, pixels.
        angle: radians; turning crop axes by it (x right towards y down) gives picture axes.
    """

    u: float
    v: float
    side: float
    angle: float

    @classmethod
    def from_points(cls, p0: np.ndarray, p1: np.ndarray) -> Region:
        """Region of a body whose middle of the hips is ``p0`` (2,) and whose size and direction ``p1`` (2,) fixes."""
        du, dv = float(p1[0] - p0[0]), float(p1[1] - p0[1])
        angle = math.pi / 2 - math.atan2(-dv, du)
        angle -= 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))
        return cls(float(p0[0]), float(p0[1]), REGION_SCALE * math.hypot(du, dv), angle)

    @classmethod
    def from_box(cls, box: np.ndarray) -> Region:
        """Upright region around a person box (4,) x0, y0, x1, y1, with the room BlazePose expects around a body."""
        x0, y0, x1, y1 = (float(value) for value in box)
        return cls((x0 + x1) / 2, (y0 + y1) / 2, 1.25 * max(x1 - x0, y1 - y0), 0.0)

    def upright(self) -> Region:
        """The same square without its turn."""
        return Region(self.u, self.v, self.side, 0.0)

    @property
    def rotation(self) -> np.ndarray:
        """(2, 2) matrix from crop directions to picture directions."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    def to_picture(self, points: np.ndarray, size: float) -> np.ndarray:
        """Map crop pixels (..., 2) of a crop of ``size`` pixels to picture pixels."""
        local = (np.asarray(points, np.float64) / size - 0.5) * self.side
        return local @ self.rotation.T + np.array([self.u, self.v])

    def to_crop(self, points: np.ndarray, size: float) -> np.ndarray:
        """Map picture pixels (..., 2) to crop pixels of a crop of ``size`` pixels."""
        local = (np.asarray(points, np.float64) - np.array([self.u, self.v])) @ self.rotation
        return (local / self.side + 0.5) * size


def brightened(rgb: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) uint8 in which the models see something: as it is, or lifted where it is dark."""
    some = rgb[::_STEP, ::_STEP].reshape(-1, 3).astype(np.float64)
    light = (some[:, 0] + some[:, 1] + some[:, 2]) / 3  # a mean over an axis of three is many times slower
    mean = float(light.mean())
    if mean >= DARK:
        return rgb
    white = max(float(np.percentile(light, 99.5)), 8.0)
    gamma = math.log(_LIFTED / 255) / math.log(min(max(mean / white, 1e-3), 0.9))
    levels = 255.0 * np.clip(np.arange(256) / white, 0, 1) ** min(gamma, 1.0)
    return levels.round().astype(np.uint8)[rgb]


class Pyramid:
    """A picture and its halved copies, made when first needed, so that crops are never taken from far finer pixels.

    Args:
        rgb: (h, w, 3) uint8.
    """

    def __init__(self, rgb: np.ndarray) -> None:
        self.height, self.width = rgb.shape[:2]
        self._levels = [np.ascontiguousarray(rgb)]

    def level(self, reduction: float) -> tuple[np.ndarray, float]:
        """The coarsest copy still at least as fine as ``reduction`` picture pixels per pixel, and its own reduction."""
        level = max(0, math.floor(math.log2(max(reduction, 1.0))))
        while len(self._levels) <= level and min(self._levels[-1].shape[:2]) >= 2:
            self._levels.append(_halved(self._levels[-1]))
        index = min(level, len(self._levels) - 1)
        return self._levels[index], float(2**index)

    def crop(self, region: Region, size: int) -> np.ndarray:
        """Bilinear crop (size, size, 3) uint8 of a region; outside the picture its edge pixels go on.

        The landmark model was made with repeated edges: with black there its 3D landmarks of people at the border are
        off by centimetres. OpenCV rounds to one part in 32 of a pixel, as in mediapipe, and is six times as fast as
        Pillow.
        """
        import cv2

        image, reduction = self.level(region.side / size)
        turn = region.rotation * (region.side / size / reduction)
        limit = np.array(image.shape[1::-1])
        reach = np.abs(turn).sum(1) * size / 2 + 2
        centre = np.array([region.u, region.v]) / reduction
        centre = centre.clip(-reach, limit + reach)  # further outside there is nothing else
        low = np.floor(centre - reach).clip(0, limit - 1).astype(int)  # OpenCV takes at most 32767 pixels a side
        high = np.ceil(centre + reach).clip(low + 1, limit).astype(int)
        # OpenCV's pixel centres are whole numbers.
        shift = centre - low - turn @ np.full(2, (size - 1) / 2) - 0.5
        out: np.ndarray = cv2.warpAffine(
            image[low[1] : high[1], low[0] : high[0]],
            np.c_[turn, shift],
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return out

    def resized(self, scale: float) -> np.ndarray:
        """The whole picture at ``scale`` (output pixels per picture pixel), antialiased; (h', w', 3) uint8."""
        from PIL import Image

        level, reduction = self.level(1.0 / scale)
        image = Image.fromarray(level)
        size = (max(1, round(self.width * scale)), max(1, round(self.height * scale)))
        box = (0.0, 0.0, min(image.width, self.width / reduction), min(image.height, self.height / reduction))
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box))


def _halved(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; an odd last row or column counts twice."""
    import cv2

    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return cv2.resize(image, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
