"""PersPose's changes to the pixels of a crop: cutout, blur, noise, contrast, colour (specification, section 8).

What the specification leaves open is set here: saturation is scaled by 0.5 to 1.5, sharpening is an unsharp mask.
"""

from __future__ import annotations

import numpy as np

from dsr.datasets.augment import Random

_SHRINK = (1.6, 2.0, 2.67)
_KERNEL = (7, 11, 15)


def augment_pixels(rgb: np.ndarray, rng: Random) -> np.ndarray:
    """Change a crop at random, each change with its published probability, in the published order.

    Args:
        rgb: (S, S, 3) uint8.
        rng: where everything is drawn from.

    Returns:
        (S, S, 3) uint8; ``rgb`` itself is left as it is.
    """
    image = rgb.astype(np.float32)
    if rng.uniform() < 0.4:
        cut_out(image, rng)
    if rng.uniform() < 0.1:
        image = _blur(image, rng)
    if rng.uniform() < 0.3:
        image += rng.standard_normal(image.shape).astype(np.float32) * (image.mean() / 5)
    if rng.uniform() < 0.5:
        mean = image.mean()
        image = (image - mean) * rng.uniform(0.5, 1.7) + mean * (1 + rng.uniform(-0.5, 0.5))
    image = np.clip(image, 0, 255)
    if rng.uniform() < 0.5:
        image = _colour(image, rng)
    if rng.uniform() < 0.1:
        weights = np.eye(3)[int(rng.uniform() * 3)] if rng.uniform() < 0.5 else rng.uniform(0.05, 1.0, 3)
        grey = image @ (weights / weights.sum()).astype(np.float32)
        image = np.repeat(grey[..., None], 3, -1)
    return image.astype(np.uint8)


def cut_out(image: np.ndarray, rng: Random) -> None:
    """Cover a rectangle of 8 to 40 % of a picture (H, W, 3) with noise or one colour, in place."""
    height, width = image.shape[:2]
    area = rng.uniform(0.2, 1.0) * 0.4 * height * width
    aspect = np.exp(rng.uniform(np.log(0.3), np.log(3.3)))
    h, w = (int(min(n, side)) for n, side in ((np.sqrt(area * aspect), height), (np.sqrt(area / aspect), width)))
    y, x = int(rng.uniform() * (height - h + 1)), int(rng.uniform() * (width - w + 1))
    shape = (h, w, 3) if rng.uniform() < 0.5 else (1, 1, 3)
    image[y : y + h, x : x + w] = rng.uniform(0, 255, shape)


def _blur(image: np.ndarray, rng: Random) -> np.ndarray:
    import cv2

    kind, strength = int(rng.uniform() * 3), int(rng.uniform() * 3)
    if kind == 0:
        size = max(2, round(image.shape[0] / _SHRINK[strength]))
        small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    smooth = cv2.GaussianBlur(image, (_KERNEL[strength], _KERNEL[strength]), 0)
    return smooth if kind == 1 else np.clip(2 * image - smooth, 0, 255)


def _colour(image: np.ndarray, rng: Random) -> np.ndarray:
    import cv2

    hsv = cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-40, 40)) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.5, 1.5), 0, 255)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB).astype(np.float32)
