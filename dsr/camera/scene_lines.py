"""What straight lines in a picture say of its camera: posts point up; walls, shelves and tiles lie level.

The scene is a Manhattan world (Coughlan and Yuille, ICCV 1999): some lines are upright, some lie along one of two
level directions at a right angle to each other, and the others lie as they like. Where the upright ones are few, the
level ones tell them from a row of skewed shelves or the edges of a mat, which may be as straight. Right angles look
right under one focal length only, so that three directions tell that, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from dsr.camera.tilt import GRID_UP, PITCH_DEG, usual_tilt

_LINE_DEG = 1.4  # how well a line's direction is seen
_UPRIGHT_SHARE = 0.25  # of the lines within 45 degrees of the picture's vertical: upright in truth
_LEVEL_SHARE = 0.1  # of all lines: along either of the two level directions
_SHORTEST, _FULL = 0.03, 0.1  # of the picture's longer side: lines that count, and that count once
_REPEATED = 0.5  # the two edges of a post say the same
_LEVEL_REPEATED, _LEVEL_MOST = 0.25, 80  # tiles, bricks and shelves repeat more; the longest lines that count
_LEVEL_DEG = 3  # between the level directions tried
_NOTHING = -20.0  # log of what no longer counts beside the lines that lie as they like

FOCAL_LOG = 0.5
"""Logarithm by which a focal length may be wrong: a guess, a slip."""
_FOCAL_TRIED = ((0.0, -0.7, -0.35, 0.35, 0.7), tuple(n / 10 for n in range(-8, 9)))
"""Focal lengths tried, as logarithms of their ratio to the guess: a first look, and where that is sure a close one."""
_FOCAL_STEP, _FOCAL_UNLIKELY = 0.17, -2.0  # between those tried; log weight below which one is not heard
_FOCAL_USUAL = 0.35  # deviation of photographs' focal lengths from the guess, as a logarithm
_FOCAL_TRUST = 0.5  # the scene may be no Manhattan world: its lines say half of what they seem to say
_FOCAL_STRUCTURE = 5.0  # log likelihood under the guess, beside lines at random, below which nobody asks further
_FOCAL_SURE = 0.2  # deviation of the answer above which the guess is kept
_FOCAL_BEYOND = 0.1  # probability of the first and last focal length tried above which it may lie beyond them


@dataclass(frozen=True)
class SceneLines:
    """N lines of a scene as a camera sees them.

    Attributes:
        x: (N,) of their middles at depth one, to the right.
        y: (N,) down.
        along: (N, 2) unit directions in the picture.
        weight: (N,) by their length.
        focal_log: standard deviation of the logarithm of the camera's focal length.
    """

    x: np.ndarray
    y: np.ndarray
    along: np.ndarray
    weight: np.ndarray
    focal_log: float = FOCAL_LOG
    _said: dict[float, float] = field(default_factory=dict, repr=False, compare=False)
    _whole: dict[float, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def of(
        lines_px: np.ndarray, K: np.ndarray, size: tuple[int, int], boxes_px: np.ndarray, focal_log: float = FOCAL_LOG
    ) -> SceneLines:
        """The lines of a picture that are long enough and on nobody.

        Args:
            lines_px: (N, 4) u0, v0, u1, v1.
            K: (3, 3) intrinsics.
            size: (width, height), pixels.
            boxes_px: (B, 4) x0, y0, x1, y1 of the people; lines inside are limbs and clothes.
            focal_log: standard deviation of the focal length's logarithm.
        """
        lines = np.asarray(lines_px, np.float64).reshape(-1, 4)
        middle, along = (lines[:, :2] + lines[:, 2:]) / 2, lines[:, 2:] - lines[:, :2]
        length, longest = np.hypot(*along.T), float(max(size))
        used = length > _SHORTEST * longest
        for x0, y0, x1, y1 in np.asarray(boxes_px, np.float64).reshape(-1, 4):
            used &= ~((middle > (x0, y0)) & (middle < (x1, y1))).all(1)
        x, y = ((middle[used] - K[:2, 2]) / K[[0, 1], [0, 1]]).T
        weight = np.minimum(length[used] / (_FULL * longest), 2.0)
        return SceneLines(x, y, along[used] / length[used, None], weight, focal_log)

    def __getitem__(self, which: np.ndarray) -> SceneLines:
        return SceneLines(self.x[which], self.y[which], self.along[which], self.weight[which])

    def tilt(self) -> np.ndarray:
        """What they say of pitch and roll: (P, R) log likelihoods over :data:`dsr.camera.tilt.GRID_UP`.

        The focal length may be wrong (a guess, a cut-out, a slip): other ones speak as far as the lines speak for them.
        """
        if not len(self.x):
            return np.zeros(GRID_UP.shape[:2])
        if self._evidence(0.0) < _FOCAL_STRUCTURE:
            return _under_any_focal(self._whole_tilt(0.0), self.focal_log)
        shifts = np.array(_FOCAL_TRIED[0])
        said = np.array([self._evidence(shift) for shift in shifts])
        weight = said - 0.5 * (shifts / self.focal_log) ** 2
        parts = []
        for shift, log_weight in zip(shifts, weight - weight.max(), strict=True):
            if log_weight > _FOCAL_UNLIKELY:
                told = _under_any_focal(self._whole_tilt(shift), min(self.focal_log, _FOCAL_STEP))
                parts.append(told + log_weight - _log_sum(told + usual_tilt()))
        return np.logaddexp.reduce(parts)

    def focal(self) -> tuple[float, float] | None:
        """The focal length as a ratio to that of the camera, and the deviation of its logarithm; None if unsure."""
        if self._evidence(0.0) < _FOCAL_STRUCTURE:
            return None
        for tried in _FOCAL_TRIED:
            shifts = np.array(sorted(tried))
            weight = np.array([self._evidence(shift) for shift in shifts]) - 0.5 * (shifts / _FOCAL_USUAL) ** 2
            weight = np.exp(weight - weight.max())
            weight /= weight.sum()
            mean = float(weight @ shifts)
            sigma = float(np.sqrt(weight @ (shifts - mean) ** 2))
            if sigma > _FOCAL_SURE:
                return None
        return None if weight[[0, -1]].sum() > _FOCAL_BEYOND else (float(np.exp(mean)), max(sigma, 0.05))

    def _evidence(self, shift: float) -> float:
        """Log likelihood of the lines under any tilt, the focal length being ``e^shift`` times as long."""
        shift = round(float(shift), 2)
        if shift not in self._said:
            # every roll is wanted of the first look's
            tilt = self._whole_tilt(shift)[:, ::2] if shift in _FOCAL_TRIED[0] else self._tilt(shift, 2)
            self._said[shift] = _log_sum(_FOCAL_TRUST * tilt + usual_tilt()[:, ::2])
        return self._said[shift]

    def _whole_tilt(self, shift: float) -> np.ndarray:
        """(P, R) :meth:`_tilt` with every roll, worked out once."""
        if shift not in self._whole:
            self._whole[shift] = self._tilt(shift, 1)
        return self._whole[shift]

    def _tilt(self, shift: float, step: int) -> np.ndarray:
        """(P, R / step) log likelihoods if the focal length is ``e^shift`` times as long; every so manieth roll."""
        up, ratio = GRID_UP[:, ::step], np.exp(-shift)
        seen = SceneLines(self.x * ratio, self.y * ratio, self.along, self.weight)
        steep = seen[np.abs(self.along[:, 1]) > np.abs(self.along[:, 0])]
        upright = _towards(up.reshape(-1, 3), steep, _UPRIGHT_SHARE, np.pi / 4)
        upright += 1 - _UPRIGHT_SHARE
        np.log(upright, out=upright)
        level = seen[np.argsort(-self.weight, kind="stable")[:_LEVEL_MOST]]._level(step)
        return np.asarray((upright @ (_REPEATED * steep.weight) + level).reshape(up.shape[:2]))

    def _level(self, step: int) -> np.ndarray:
        """(P*R,) log likelihoods of the level lines under every tilt, at the likeliest azimuth of the scene."""
        directions, pairs = _level_pairs(step)
        weight = (_LEVEL_REPEATED * self.weight).astype(np.float32)
        towards = _towards(directions, self, _LEVEL_SHARE, np.pi / 2)
        # a line that points at both vanishing points counts twice here, which is too much: to choose the azimuth by
        azimuth = (np.log(1 - _LEVEL_SHARE + towards) @ weight)[pairs].sum(1).argmax(0)
        one, other = pairs[azimuth, :, np.arange(len(azimuth))].T
        both = towards[one]
        both += 1 - _LEVEL_SHARE
        both += towards[other]
        return np.asarray(np.log(both, out=both) @ weight, np.float64)


def _log_sum(log_values: np.ndarray) -> float:
    """Logarithm of the sum of what logarithms are given of."""
    best = log_values.max()
    return float(best + np.log(np.exp(log_values - best).sum()))


def _towards(directions: np.ndarray, lines: SceneLines, share: float, span: float) -> np.ndarray:
    """(D, N) float32 densities of lines, a share of which points along each of D unit vectors.

    Over that of lines at any angle within ``span`` radians to each side. A hundredth of a degree is enough.
    """
    x, y, along, d = lines.x, lines.y, lines.along, directions.astype(np.float32)
    # the image of a direction d at a point x: d_xy - x d_z; linear, and its square quadratic, in d
    across = d @ np.stack([along[:, 1], -along[:, 0], y * along[:, 0] - x * along[:, 1]]).astype(np.float32)
    one = np.ones_like(x)
    quadratic = np.stack([one, one, x**2 + y**2, -2 * x, -2 * y]).astype(np.float32)
    square = (d[:, (0, 1, 2, 0, 1)] * d[:, (0, 1, 2, 2, 2)]) @ quadratic
    sigma = np.radians(_LINE_DEG)
    np.square(across, out=across)
    np.maximum(square, 1e-6, out=square)
    across /= square
    across *= -0.5 / sigma**2
    np.maximum(across, _NOTHING, out=across)  # what underflows takes three times as long
    peak = np.exp(across, out=across)
    peak *= share * span / (sigma * np.sqrt(np.pi / 2))
    return np.asarray(peak)


@lru_cache(maxsize=2)
def _level_pairs(step: int) -> tuple[np.ndarray, np.ndarray]:
    """(D, 3) directions, and (A, 2, P*R) which of them are level and at a right angle, for A azimuths of every tilt."""
    azimuth = np.radians(np.arange(0, 180, _LEVEL_DEG))
    height = np.radians(np.arange(-90, 91, _LEVEL_DEG))
    side, high = np.meshgrid(azimuth, height)
    directions = np.stack([np.cos(high) * np.cos(side), np.sin(high), np.cos(high) * np.sin(side)], -1).reshape(-1, 3)
    up = GRID_UP[:, ::step].reshape(-1, 3)
    forward = np.array([0.0, 0.0, 1.0]) - up * up[:, 2:]
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    right = np.cross(forward, up)
    turn = np.radians(np.arange(0, 90, _LEVEL_DEG))[:, None, None, None]
    first = np.cos(turn) * forward + np.sin(turn) * right
    pairs = np.concatenate([first, np.cross(up, first)], 1)
    pairs = np.where(pairs[..., 2:] < 0, -pairs, pairs)  # a line has no sign
    row = np.rint(np.degrees(np.arcsin(pairs[..., 1].clip(-1, 1))) / _LEVEL_DEG).astype(int) + len(height) // 2
    column = np.rint(np.degrees(np.arctan2(pairs[..., 2], pairs[..., 0])) / _LEVEL_DEG).astype(int)
    turned = column >= len(azimuth)  # 180 degrees: the other way
    row, column = np.where(turned, len(height) - 1 - row, row), np.where(turned, 0, column)
    used, pairs = np.unique(row * len(azimuth) + column, return_inverse=True)
    return directions[used], pairs.reshape(row.shape)


def _under_any_focal(log_likelihood: np.ndarray, focal_log: float) -> np.ndarray:
    """(P, R) log likelihoods of where upright lines meet, of a picture whose focal length may be wrong.

    Lines meet ``f / tan(pitch)`` from the middle: what speaks for a pitch speaks under a focal length ``e^s`` times as
    long for that with ``e^s`` times the tangent.
    """
    share, moved = _focal_shifts(focal_log)
    said = moved @ log_likelihood
    best = said.max(0)
    return np.asarray(best + np.log(np.einsum("s,spr->pr", share, np.exp(said - best))))


@lru_cache(maxsize=16)
def _focal_shifts(focal_log: float) -> tuple[np.ndarray, np.ndarray]:
    """(S,) shares of focal lengths, and (S, P, P) what interpolates each one's pitches."""
    steps = np.linspace(-2, 2, 9)
    share = np.exp(-0.5 * steps**2)
    tangent = np.tan(np.radians(PITCH_DEG)) * np.exp(-focal_log * steps)[:, None]
    place = (np.degrees(np.arctan(tangent)) - PITCH_DEG[0]) / (PITCH_DEG[1] - PITCH_DEG[0])
    moved = np.maximum(1 - np.abs(place.clip(0, len(PITCH_DEG) - 1)[..., None] - np.arange(len(PITCH_DEG))), 0)
    return share / share.sum(), moved
