"""The colour of one person's skin in one picture, calibrated on the face and the hands.

Colours are compared by the logarithms of their ratios, which light and shadow leave as they are; brightness counts
little. Dark pixels are noisy, so that eight grey levels are added to every channel first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_FLOOR = 8.0
_LEAST_SPREAD = np.array([0.2, 0.06, 0.06])
LIMB_LIGHT = 0.6
"""Limbs are lit otherwise than the face: standard deviation of ln brightness there."""
_ENOUGH = 20  # pixels that tell a colour
# Human skin of every tone under common light (sRGB): ln R/G about 0.15 to 0.65, ln B/G about -0.6 to 0.05.
_COMMON_MEAN, _COMMON_SPREAD = np.array([4.7, 0.36, -0.24]), np.array([0.8, 0.17, 0.19])


@dataclass(frozen=True)
class SkinModel:
    """A normal distribution of ln brightness, ln R/G and ln B/G.

    Attributes:
        mean: (3,).
        spread: (3,) standard deviations.
        calibrated: whether it was measured on this person; otherwise it is that of skin in general.
    """

    mean: np.ndarray = field(default_factory=_COMMON_MEAN.copy)
    spread: np.ndarray = field(default_factory=_COMMON_SPREAD.copy)
    calibrated: bool = False

    @property
    def has_colour(self) -> bool:
        """Whether the person's own skin is known and is no grey: a picture without colours tells it from nothing."""
        return self.calibrated and bool(np.abs(self.mean[1:]).sum() > 0.12)

    def distance2(self, features: np.ndarray, light: float | np.ndarray = LIMB_LIGHT) -> np.ndarray:
        """Squared distance (...,) of colour features (..., 3) in standard deviations.

        Args:
            features: of :func:`colour_features`.
            light: how much brightness differs from the face's beside what it varies on the face, (...,) or a number.
        """
        apart = np.square((features - self.mean) / self.spread)
        apart[..., 0] = np.square(features[..., 0] - self.mean[0]) / (self.spread[0] ** 2 + np.square(light))
        return np.asarray(apart.sum(-1))

    def chroma2(self, features: np.ndarray) -> np.ndarray:
        """The same of ln R/G and ln B/G alone: whatever the light's strength."""
        return np.asarray(np.square((features - self.mean) / self.spread)[..., 1:].sum(-1))


def colour_features(rgb: np.ndarray) -> np.ndarray:
    """Logarithms: ln brightness, ln R/G and ln B/G of sRGB colours (..., 3), 0 to 255."""
    red, green, blue = np.moveaxis(np.log(np.asarray(rgb, np.float64) + _FLOOR), -1, 0)
    brightness = 0.3 * red + 0.6 * green + 0.1 * blue
    return np.stack([brightness, red - green, blue - green], -1)


def calibrate_skin(features: np.ndarray, weights: np.ndarray) -> SkinModel:
    """The skin of a person from pixels that should show it.

    Args:
        features: (N, 3) of :func:`colour_features`, of face and hands.
        weights: (N,) how likely each shows skin, 0 to 1.

    Returns:
        The model; that of skin in general where too few pixels are given or they are no colours of skin (a mask, a
        glove, somebody seen from behind).
    """
    if weights.sum() < _ENOUGH:
        return SkinModel()
    mean = np.array([_weighted_median(features[:, k], weights) for k in range(3)])
    kept = weights.copy()
    for _ in range(3):  # glasses, beards, eyes and shadows are left out
        spread = np.maximum(
            1.4826 * np.array([_weighted_median(np.abs(features[:, k] - mean[k]), kept) for k in range(3)]),
            _LEAST_SPREAD,
        )
        kept = weights * (np.square((features - mean) / spread).sum(1) < 9.0)
        if kept.sum() < _ENOUGH:
            return SkinModel()
        mean = (features * kept[:, None]).sum(0) / kept.sum()
    if np.square((mean - _COMMON_MEAN) / _COMMON_SPREAD)[1:].sum() > 16.0:
        return SkinModel()
    return SkinModel(mean, spread * 1.25, True)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])
