"""A camera and the picture it took: intrinsics and picture size mean nothing apart (numpy, float64)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr.camera.tilt import Gravity
from dsr.errors import CameraError

NEAR_M = 0.05
"""Points nearer than this, or behind the camera, are projected as if they were this far away."""


@dataclass(frozen=True, eq=False)
class PictureCamera:
    """Intrinsics of a picture and its size.

    Camera frame: x right, y down, z forward, metres. Pixels: u right, v down, pixel centres at +0.5.

    Attributes:
        K: (3, 3) float64 intrinsics, pixels.
        size: (width, height) of the same picture, pixels.
        gravity: which way was down when it was taken, or None.

    Raises:
        CameraError: if K is not a finite (3, 3) matrix with positive focal lengths, or the size is not positive.

    Example:
        >>> camera = PictureCamera([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]], (640, 480))
        >>> camera.project([[0.0, 0.0, 2.0]]).tolist()
        [[320.0, 240.0]]
        >>> camera.scaled((320, 240)).K[0].tolist()
        [250.0, 0.0, 160.0]
    """

    K: np.ndarray
    size: tuple[int, int]
    gravity: Gravity | None = None

    def __post_init__(self) -> None:
        K = np.array(self.K, np.float64)
        if K.shape != (3, 3):
            raise CameraError(f"Intrinsics must have shape (3, 3), got {K.shape}.")
        if not (np.isfinite(K).all() and K[0, 0] > 0 and K[1, 1] > 0):
            raise CameraError("Intrinsics must be finite with positive focal lengths.")
        width, height = (int(n) for n in self.size)
        if width < 1 or height < 1:
            raise CameraError(f"A picture must have a positive width and height, got {width} x {height}.")
        object.__setattr__(self, "K", K)
        object.__setattr__(self, "size", (width, height))

    def scaled(self, size: tuple[int, int]) -> PictureCamera:
        """The camera of the same picture at another size (width, height)."""
        return self.warped(np.diag([size[0] / self.size[0], size[1] / self.size[1], 1.0]), size)

    def warped(self, affine: np.ndarray, size: tuple[int, int]) -> PictureCamera:
        """The camera of a crop.

        Args:
            affine: (3, 3) pixels of this picture to pixels of the crop: scaling and shift.
            size: (width, height) of the crop, pixels.
        """
        return PictureCamera(np.asarray(affine, np.float64) @ self.K, size, self.gravity)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3) of the camera frame, metres; see :data:`NEAR_M`."""
        pixels = np.asarray(points) @ self.K.T
        return pixels[..., :2] / np.maximum(pixels[..., 2:], NEAR_M)
