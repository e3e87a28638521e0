"""A detector's errors on exact keypoints: wander and jitter, exchanged sides, lost and hidden joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from dsr.body.joints import flip_permutation, joint_names

# Standard deviation of a keypoint's error as a share of the person's height in the picture: median errors of BlazePose
# on 80 made-up people (dsr.synthetic.people, 512 pixels) / 1.18.
_SIGMA = {
    "nose": 0.012,
    "eye": 0.012,
    "ear": 0.012,
    "mouth": 0.012,
    "head": 0.012,
    "neck": 0.013,
    "thorax": 0.013,
    "shoulder": 0.017,
    "elbow": 0.015,
    "wrist": 0.013,
    "pinky": 0.013,
    "index": 0.013,
    "thumb": 0.014,
    "spine": 0.012,
    "pelvis": 0.012,
    "hip": 0.014,
    "knee": 0.016,
    "ankle": 0.012,
    "heel": 0.014,
    "foot": 0.013,
}
_LEGS = ("hip", "knee", "ankle", "heel", "foot")
_FACE = ("nose", "eye", "ear", "mouth", "head", "neck")


@dataclass(frozen=True)
class DetectorNoise:
    """How a video pose detector errs. Durations in seconds; lengths in shares of the person's height in the picture.

    Attributes:
        scale: factor on every joint's error; drawn per track between a half and one and a half times this.
        wander_s: time over which an error stays alike.
        jitter: share of an error's variance that is new in every frame.
        bias: share of an error's variance that stays over the whole track.
        tails: how unevenly errors come: standard deviation of the logarithm of a joint's error over time.
        face: share of the face's variance that its points have in common.
        far_side: factor on the errors of a limb that is a trunk's width behind its partner.
        swaps_per_min: how often the legs (and independently the arms) change sides while seen from the side.
        swap_s: mean duration of an exchange.
        drops_per_min: how often a joint is lost.
        drop_s: mean duration of a loss.
        lost: standard deviation of a lost joint's displacement.
    """

    scale: float = 1.0
    wander_s: float = 0.35
    jitter: float = 0.12
    bias: float = 0.35
    tails: float = 0.5
    face: float = 0.8
    far_side: float = 2.0
    swaps_per_min: float = 6.0
    swap_s: float = 0.2
    drops_per_min: float = 1.5
    drop_s: float = 0.25
    lost: float = 0.06

    def apply(
        self,
        pixels: np.ndarray,
        depth: np.ndarray,
        size: tuple[int, int],
        fps: float,
        kind: str,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints as a detector might give them.

        Args:
            pixels: (T, K, 2) true places; they may lie outside the picture.
            depth: (T, K) metres along the optical axis.
            size: width and height of the picture, pixels.
            fps: frames per second.
            kind: keypoint set, ``h36m17`` or ``blazepose33``.
            rng: source of chance.

        Returns:
            (T, K, 2) pixels and (T, K) confidences in [0, 1].
        """
        frames, count = depth.shape
        names, mirror = joint_names(kind), np.array(flip_permutation(kind))
        height = np.ptp(pixels[..., 1], axis=1)[:, None]
        # People lying or crouching are no smaller: at least the size that their distance gives.
        height = np.maximum(height, 0.6 * np.ptp(pixels, axis=1).max(-1)[:, None])
        sigma = np.array([next(value for part, value in _SIGMA.items() if part in name) for name in names])
        behind = depth - depth[:, mirror]
        spread = sigma * (1 + (self.far_side - 1) * np.clip(behind / 0.25, 0, 1))
        outside = _outside(pixels, size)
        lost = _events(rng, (frames, count), self.drops_per_min / (60 * fps), self.drop_s * fps)
        spread = spread * np.where(outside, 3.0, 1.0) * self.scale * rng.uniform(0.5, 1.5)
        # A factor of mean square 1 that varies ten times slower than the errors.
        uneven = _wander(rng, frames, count, 10 * self.wander_s * fps)[..., 0]
        spread = spread * np.exp(self.tails * uneven - self.tails**2)
        error = self._error(rng, frames, count, fps)
        face = [index for index, name in enumerate(names) if any(part in name for part in _FACE)]
        common = self._error(rng, frames, 1, fps)
        error[:, face] = common * self.face**0.5 + error[:, face] * (1 - self.face) ** 0.5
        error *= spread[..., None]
        error += lost[..., None] * self.lost * _wander(rng, frames, count, self.wander_s * fps)
        moved = self._exchange(rng, pixels, behind, names, mirror, fps) + error * height[..., None]
        sharp = np.exp(-((np.linalg.norm(error, axis=-1) / 0.09) ** 2))
        confidence = np.clip(sharp * rng.uniform(0.9, 1, (frames, count)), 0, 1)
        confidence *= np.where(outside | lost, rng.uniform(0.05, 0.4, (frames, count)), 1)
        return moved.astype(np.float32), confidence.astype(np.float32)

    def _error(self, rng: np.random.Generator, frames: int, count: int, fps: float) -> np.ndarray:
        """(T, K, 2) errors of unit variance: a constant, a wandering and a fresh part."""
        constant = rng.standard_normal((1, count, 2)) * self.bias**0.5
        slow = _wander(rng, frames, count, self.wander_s * fps) * max(0.0, 1 - self.bias - self.jitter) ** 0.5
        return constant + slow + rng.standard_normal((frames, count, 2)) * self.jitter**0.5

    def _exchange(
        self,
        rng: np.random.Generator,
        pixels: np.ndarray,
        behind: np.ndarray,
        names: tuple[str, ...],
        mirror: np.ndarray,
        fps: float,
    ) -> np.ndarray:
        """Keypoints with the sides of legs or arms exchanged for moments of side view."""
        frames = len(pixels)
        hip = names.index("left_hip")
        apart = np.abs(pixels[:, hip, 0] - pixels[:, mirror[hip], 0])
        tall = np.ptp(pixels[..., 1], axis=1)
        sideways = apart < 0.06 * tall
        events = _events(rng, (frames, 2), self.swaps_per_min / (60 * fps), self.swap_s * fps) & sideways[:, None]
        legs = np.array([any(part in name for part in _LEGS) for name in names])
        face = np.array([any(part in name for part in _FACE) for name in names])
        swap = np.where(legs, events[:, :1], events[:, 1:]) & ~face
        return np.where(swap[..., None], pixels[:, mirror], pixels)


def _outside(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(T, K) keypoints beyond the picture's border."""
    return ((pixels < 0) | (pixels > np.array(size))).any(-1)


def _wander(rng: np.random.Generator, frames: int, count: int, length: float) -> np.ndarray:
    """(T, K, 2) first-order autoregressive noise of unit variance."""
    keep = float(np.exp(-1 / max(length, 1e-3)))
    drive = rng.standard_normal((frames, count, 2)) * (1 - keep**2) ** 0.5
    drive[0] /= (1 - keep**2) ** 0.5
    return lfilter([1.0], [1.0, -keep], drive, axis=0)


def _events(rng: np.random.Generator, shape: tuple[int, int], rate: float, length: float) -> np.ndarray:
    """(T, K) True while an event lasts; ``rate`` starts per frame, exponential durations of mean ``length`` frames."""
    time = np.arange(shape[0])[:, None]
    ends = np.where(rng.random(shape) < rate, time + 1 + rng.exponential(length, shape), 0)
    return np.maximum.accumulate(ends, axis=0) > time
