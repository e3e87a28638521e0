"""How the detector errs, learned from pairs: draws what it would say of people of whom no picture is made.

A person is looked at in the axes of its region (hips in the middle, trunk upright, the ray to the hips along z), at
unit size. There the detector's answer is a regression on pose, place and size, which holds its bias, plus the residual
of a person of much the same pose, view, size and hiddenness, which holds spread and correlation of all landmarks, of
both passes and of the confidences as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsr.errors import DatasetError
from dsr.npz import read_npz
from dsr.synthetic.pairs import Pair
from dsr.synthetic.people_drawn import COVERED, OUTSIDE

_LIMBS = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
_BONES = np.array([(11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28), (11, 23), (12, 24)])
_NEIGHBOURS = 6
_COMPONENTS = 22
_RIDGE = 30.0
_UNIT_M = 0.31  # world landmarks are about those of a person of this mean bone length
_WEIGHTS = {"pose": 4.0, "outside": 0.35, "covered": 1.0, "size": 0.25, "near": 4.0}
"""What a unit of difference counts when people alike are looked for."""
_LEAST = 1e-4  # of a confidence, so that its logit is finite
_ARRAYS = ("mean", "components", "coefficients", "features", "residuals", "covered")


@dataclass(frozen=True)
class Placed:
    """People as their regions see them.

    Attributes:
        local: (N, 33, 3) keypoints about the hips in the region's axes, in units of ``length``.
        flat: (N, 33, 2) keypoints in sides of the region, from its middle.
        hips_px: (N, 2) middle of the region, picture pixels.
        side_px: (N,).
        angle: (N,) radians.
        length: (N,) mean length of ten bones, metres.
        outside: (N, 33) bool, beyond the picture's border.
        near: (N,) bone length over distance: strength of the perspective.
    """

    local: np.ndarray
    flat: np.ndarray
    hips_px: np.ndarray
    side_px: np.ndarray
    angle: np.ndarray
    length: np.ndarray
    outside: np.ndarray
    near: np.ndarray


def placed(keypoints: np.ndarray, K: np.ndarray, size: np.ndarray) -> Placed:
    """People in the axes of their regions.

    Args:
        keypoints: (N, 33, 3) metres, camera.
        K: (N, 3, 3).
        size: (N, 2) of the pictures.
    """
    points = np.asarray(keypoints, np.float64)
    K = np.asarray(K, np.float64)
    pixels = points[..., :2] / np.maximum(points[..., 2:], 0.05) * K[:, None, [0, 1], [0, 1]] + K[:, None, :2, 2]
    hips, up = pixels[:, [23, 24]].mean(1), pixels[:, [11, 12]].mean(1) - pixels[:, [23, 24]].mean(1)
    side = 2.5 * np.sqrt(((pixels - hips[:, None]) ** 2).sum(2)).max(1)
    angle = np.arctan2(up[:, 0], -up[:, 1])
    root = points[:, [23, 24]].mean(1)
    ray = np.concatenate([(hips - K[:, :2, 2]) / K[:, [0, 1], [0, 1]], np.ones((len(hips), 1))], 1)
    turn = _about_z(-angle) @ _onto_z(ray)
    length = np.linalg.norm(points[:, _BONES[:, 0]] - points[:, _BONES[:, 1]], axis=2).mean(1)
    return Placed(
        local=np.einsum("nab,nkb->nka", turn, points - root[:, None]) / length[:, None, None],
        flat=np.einsum("nab,nkb->nka", _about_z(-angle)[:, :2, :2], pixels - hips[:, None]) / side[:, None, None],
        hips_px=hips,
        side_px=side,
        angle=angle,
        length=length,
        outside=((pixels < 0) | (pixels >= np.asarray(size)[:, None])).any(2),
        near=length / np.maximum(root[:, 2], 0.1),
    )


class DetectorNoise:
    """What the detector says, drawn for people of whom the truth is known.

    Args:
        arrays: of :meth:`fit` or of a file.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        missing = [name for name in _ARRAYS if name not in arrays]
        if missing:
            raise DatasetError(f"no noise of the detector: the array {missing[0]} is missing; learn it again.")
        self.arrays = arrays
        whole = np.ascontiguousarray(arrays["features"], np.float32)
        pose = np.ascontiguousarray(whole[:, :-33])
        self._known = {True: (whole, (whole**2).sum(1)), False: (pose, (pose**2).sum(1))}

    @classmethod
    def fit(cls, pairs: Pair) -> DetectorNoise:
        """Learn from stacked pairs.

        Raises:
            DatasetError: if there are too few of them.
        """
        count = len(pairs["seed"])
        if count < 500:
            raise DatasetError(f"the detector's noise needs at least 500 pairs, here are {count}; make more.")
        people = placed(pairs["keypoints"], pairs["K"], pairs["size"])
        pose = people.local.reshape(count, -1)
        mean = pose.mean(0)
        _, vectors = np.linalg.eigh(np.cov((pose - mean).T))
        arrays = {"mean": mean, "components": vectors[:, ::-1][:, :_COMPONENTS].T.copy()}
        inputs, answers = _inputs(people, arrays), _answers(pairs, people)
        gram = inputs.T @ inputs + _RIDGE * np.eye(inputs.shape[1])
        arrays["coefficients"] = np.linalg.solve(gram, inputs.T @ answers).astype(np.float32)
        covered = (pairs["state"] & COVERED) > 0
        arrays["residuals"] = (answers - inputs @ arrays["coefficients"]).astype(np.float16)
        arrays["features"] = _features(people, covered).astype(np.float32)
        arrays["covered"] = pairs["state"] & ~np.uint8(OUTSIDE)
        return cls(arrays)

    def draw(
        self,
        rng: np.random.Generator,
        keypoints: np.ndarray,
        K: np.ndarray,
        size: np.ndarray,
        state: np.ndarray | None = None,
    ) -> Pair:
        """What the detector might say of people.

        Args:
            rng: randomness.
            keypoints: (N, 33, 3) true BlazePose keypoints, metres, camera.
            K: (N, 3, 3).
            size: (N, 2) width and height of the pictures.
            state: (N, 33) bits of what hides them (:mod:`dsr.synthetic.people_drawn`); without it things before people
                come as often as they did where the noise was learned.

        Returns:
            region, points, depth, visibility, inside, world, presence and state, as pairs have them.
        """
        people = placed(keypoints, K, size)
        covered = None if state is None else (np.asarray(state) & COVERED) > 0
        donors = self._alike(rng, _features(people, covered), covered is not None)
        answers = _inputs(people, self.arrays) @ self.arrays["coefficients"]
        answers = answers + self.arrays["residuals"][donors]
        hidden = self.arrays["covered"][donors] if state is None else np.asarray(state, np.uint8) & ~np.uint8(OUTSIDE)
        return _spoken(answers, people) | {"state": hidden | (OUTSIDE * people.outside).astype(np.uint8)}

    def _alike(self, rng: np.random.Generator, wanted: np.ndarray, hiddenness: bool) -> np.ndarray:
        """(N,) rows of people alike, one of the nearest few each."""
        known, squares = self._known[hiddenness]
        wanted = wanted[:, : known.shape[1]].astype(np.float32)
        rows = np.empty(len(wanted), np.int64)
        for start in range(0, len(wanted), 512):
            part = wanted[start : start + 512]
            distance = squares - 2 * part @ known.T
            near = np.argpartition(distance, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
            pick = rng.integers(_NEIGHBOURS, size=len(part))
            rows[start : start + 512] = near[np.arange(len(part)), pick]
        return rows

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file."""
        np.savez_compressed(path, **self.arrays)

    @classmethod
    def load(cls, path: Path) -> DetectorNoise:
        """Read what :meth:`save` wrote.

        Raises:
            DatasetError: if it is no such file.
        """
        try:
            return cls(read_npz(path))
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path}: {error}; learn the detector's noise again.") from error


def _inputs(people: Placed, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(N, D) what the regression sees: pose, its main components' products, places in the region, border, size."""
    count = len(people.length)
    pose = people.local.reshape(count, -1)
    main = (pose - arrays["mean"]) @ arrays["components"].T
    upper = np.triu_indices(main.shape[1])
    products = main[:, upper[0]] * main[:, upper[1]]
    rest = np.stack([np.ones(count), np.log(people.side_px), people.near, np.log(people.length)], 1)
    return np.concatenate([rest, pose, products, people.flat.reshape(count, -1), people.outside], 1)


def _features(people: Placed, covered: np.ndarray | None) -> np.ndarray:
    """(N, D) by which people alike are found; the last 33 are what is covered."""
    count = len(people.length)
    hidden = np.zeros((count, 33)) if covered is None else covered
    return np.concatenate(
        [
            _WEIGHTS["pose"] * people.local[:, _LIMBS].reshape(count, -1) / len(_LIMBS) ** 0.5,
            _WEIGHTS["size"] * np.log(people.side_px)[:, None],
            _WEIGHTS["near"] * people.near[:, None],
            _WEIGHTS["outside"] * people.outside,
            _WEIGHTS["covered"] * hidden,
        ],
        1,
    )


def _answers(pairs: Pair, people: Placed) -> np.ndarray:
    """(N, D) all that the detector said, in the region's axes."""
    count = len(people.length)
    back = _about_z(-people.angle)
    region = pairs["region"].astype(np.float64)
    points = np.concatenate([pairs["points"], region[:, :, None, :2]], 2) - people.hips_px[:, None, None]
    points = np.einsum("nab,npkb->npka", back[:, :2, :2], points) / people.side_px[:, None, None, None]
    points[:, :, :33] -= people.flat[:, None]
    turned = (region[..., 3] - people.angle[:, None] + np.pi) % (2 * np.pi) - np.pi
    shape = np.stack([np.log(region[..., 2] / people.side_px[:, None]), turned], 2)
    world = np.einsum("nab,npkb->npka", back, pairs["world"].astype(np.float64)) - _UNIT_M * people.local[:, None]
    sure = [_logit(pairs[name].astype(np.float64)) for name in ("visibility", "inside", "presence")]
    parts = [points, shape, world, pairs["depth"].astype(np.float64), *sure]
    return np.concatenate([part.reshape(count, -1) for part in parts], 1)


def _spoken(answers: np.ndarray, people: Placed) -> Pair:
    """The opposite of :func:`_answers`."""
    count = len(people.length)
    widths = np.cumsum([2 * 34 * 2, 2 * 2, 2 * 33 * 3, 2 * 33, 2 * 33, 2 * 33])
    points, shape, world, depth, visibility, inside, presence = np.split(answers, widths, axis=1)
    forth = _about_z(people.angle)
    points = points.reshape(count, 2, 34, 2)
    points[:, :, :33] += people.flat[:, None]
    flat = np.einsum("nab,npkb->npka", forth[:, :2, :2], points)
    flat = flat * people.side_px[:, None, None, None] + people.hips_px[:, None, None]
    shape = shape.reshape(count, 2, 2)
    world = world.reshape(count, 2, 33, 3) + _UNIT_M * people.local[:, None]
    side, angle = people.side_px[:, None] * np.exp(shape[..., 0]), people.angle[:, None] + shape[..., 1]
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return {
        "region": np.concatenate([flat[:, :, 33], side[..., None], angle[..., None]], 2).astype(np.float32),
        "points": flat[:, :, :33].astype(np.float32),
        "depth": depth.reshape(count, 2, 33).astype(np.float16),
        "visibility": _logistic(visibility).reshape(count, 2, 33).astype(np.float16),
        "inside": _logistic(inside).reshape(count, 2, 33).astype(np.float16),
        "world": np.einsum("nab,npkb->npka", forth, world).astype(np.float32),
        "presence": _logistic(presence).reshape(count, 2).astype(np.float32),
    }


def _about_z(angle: np.ndarray) -> np.ndarray:
    """(N, 3, 3) rotations about z."""
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    return np.stack([np.stack([c, -s, zero], 1), np.stack([s, c, zero], 1), np.stack([zero, zero, one], 1)], 1)


def _onto_z(rays: np.ndarray) -> np.ndarray:
    """(N, 3, 3) least rotations of rays (N, 3) onto the optical axis."""
    x, y, z = (rays / np.linalg.norm(rays, axis=1, keepdims=True)).T
    k = 1 / (1 + z)
    rows = [[1 - x * x * k, -x * y * k, -x], [-x * y * k, 1 - y * y * k, -y], [x, y, z]]
    return np.stack([np.stack(row, 1) for row in rows], 1)


def _logit(share: np.ndarray) -> np.ndarray:
    share = np.clip(share, _LEAST, 1 - _LEAST)
    return np.log(share / (1 - share))


def _logistic(value: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * value))
