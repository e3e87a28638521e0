"""What the landmark model says about made-up people, beside the truth: the pairs that the default network learns from.

Two passes as in a fit: the plain crop on a region about where the model's own regions lie, and the mirrored crop on the
region that the first pass points to. Their mean is what the detector gives in a fit of quality ``standard``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr.people.landmarks import HOPELESS_PRESENCE, LandmarkModel, RegionLandmarks, mean_landmarks, sigmoid
from dsr.people.regions import Pyramid, Region, brightened
from dsr.synthetic.people_drawn import SPLITS, STRATA, DrawnPeople, DrawnPerson

SMALL = 64  # side of the masks and label maps that are kept
_OFF_CENTRE, _OFF_SIZE, _OFF_ANGLE = 0.015, 0.05, 0.05
"""Spread of the model's own regions about the true one: share of the side, of the size (log), radians."""
Pair = dict[str, np.ndarray]


class PairSource:
    """Makes people, shows them to the landmark model and keeps what it says.

    Args:
        mocap: as for :class:`dsr.synthetic.people_drawn.DrawnPeople`.
        garments: as there.

    Raises:
        MissingExtraError: if the landmark model is not installed.
    """

    def __init__(self, mocap: Path | None = None, garments: Path | None = None) -> None:
        self.people = DrawnPeople(mocap, garments)
        self._model = LandmarkModel(threads=1)

    def sample(self, seed: int) -> Pair | None:
        """The arrays of one person (:func:`pack` says which); None where the model sees nobody.

        Args:
            seed: which person; those that are multiples of 20 are for testing.
        """
        person = self.people.draw(seed)
        if person is None:
            return None
        passes = self.look(person, np.random.default_rng([14, seed]))
        return None if passes is None else pack(person, passes, seed)

    def look(self, person: DrawnPerson, rng: np.random.Generator) -> list[RegionLandmarks] | None:
        """Both passes, in pixels of the window; None where nobody is seen."""
        pyramid = Pyramid(brightened(person.window))
        first = self._model(pyramid, person.in_window(nearby(person.region, rng)))
        if first.presence < HOPELESS_PRESENCE or first.next_region.side < 4:
            return None
        return [first, self._model(pyramid, first.next_region, mirrored=True)]


def nearby(region: Region, rng: np.random.Generator) -> Region:
    """A region about as far from the true one as the model's own ones are."""
    wide = 1.0 if rng.random() < 0.85 else 2.5
    step = rng.normal(0, wide * _OFF_CENTRE, 2) * region.side
    size = np.exp(rng.normal(0, wide * _OFF_SIZE))
    return Region(
        float(region.u + step[0]),
        float(region.v + step[1]),
        float(region.side * size),
        float(region.angle + rng.normal(0, wide * _OFF_ANGLE)),
    )


def pack(person: DrawnPerson, passes: list[RegionLandmarks], seed: int) -> Pair:
    """Everything that is kept of one person.

    Returns:
        size (2,), K (3, 3); of each pass region (2, 4), points (2, 33, 2), depth, visibility, inside (2, 33), world
        (2, 33, 3), presence (2,); mask and labels (64, 64) in the crop of the second region; betas (B,), pose (24, 3),
        transl (3,), joints (24, 3), keypoints (33, 3), state (33,), joint_state (24,), sex, child, looseness, strata,
        clip, seed, split. Pixels are those of the whole picture, metres those of the camera.
    """
    regions = [each.region for each in passes]
    corner = [person.in_picture(np.array([r.u, r.v])) for r in regions]
    detail = np.stack([each.detail for each in passes if each.detail is not None])
    both = mean_landmarks([passes[0], passes[1]], passes[0])
    bits = sum(1 << i for i, name in enumerate(STRATA) if name in person.strata)
    return {
        "size": np.array(person.camera.size, np.int32),
        "K": person.camera.K.astype(np.float32),
        "region": np.array(
            [[*c, r.side / person.scale, r.angle] for c, r in zip(corner, regions, strict=True)], np.float32
        ),
        "points": np.stack([person.in_picture(each.points) for each in passes]).astype(np.float32),
        "depth": detail[..., 0].astype(np.float16),
        "visibility": detail[..., 1].astype(np.float16),
        "inside": detail[..., 2].astype(np.float16),
        "world": np.stack([each.world_m for each in passes]).astype(np.float32),
        "presence": np.array([each.presence for each in passes], np.float32),
        "mask": small_mask(both),
        "labels": _small_labels(person, regions[1]),
        "betas": person.betas,
        "pose": person.pose.astype(np.float32),
        "transl": person.transl.astype(np.float32),
        "joints": person.joints.astype(np.float32),
        "keypoints": person.keypoints.astype(np.float32),
        "state": person.state,
        "joint_state": person.joint_state,
        "sex": np.uint8(person.female),
        "child": np.bool_("child" in person.strata),
        "looseness": np.float16(person.looseness),
        "strata": np.uint32(bits),
        "clip": np.array(person.source[:48], "U48"),
        "seed": np.int64(seed),
        "split": np.uint8(SPLITS.index(person.split)),
    }


def small_mask(marks: RegionLandmarks) -> np.ndarray:
    """(64, 64) uint8 silhouette in the crop of the landmarks' region: means of 4 x 4 probabilities, 255 is sure."""
    side = marks.mask_logits.shape[0] // SMALL
    probability = sigmoid(marks.mask_logits.astype(np.float32))
    return np.round(255 * probability.reshape(SMALL, side, SMALL, side).mean((1, 3))).astype(np.uint8)


def _small_labels(person: DrawnPerson, region: Region) -> np.ndarray:
    """(64, 64) uint8 labels at the middles of the cells of a crop in the window."""
    grid = np.arange(SMALL) + 0.5
    at = region.to_picture(np.stack(np.meshgrid(grid, grid), -1), SMALL)
    column, row = np.floor(at).astype(int).transpose(2, 0, 1)
    height, width = person.labels.shape
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    labels = person.labels[np.where(inside, row, 0), np.where(inside, column, 0)]
    return np.where(inside, labels, 0).astype(np.uint8)
