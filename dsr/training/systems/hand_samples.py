"""Drawn hands as the landmark model sees them, for learning to read hands; a folder keeps them, so that a run goes on.

Every hand is looked at in the region that the finder makes and in two that are a little off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsr.body import BodyAsset, load_asset, skeleton
from dsr.body.joints import joint_names
from dsr.body.numpy_lbs import rodrigues
from dsr.camera import PictureCamera
from dsr.evaluation.hands_drawn import SIZE, draw_hand, draw_hand_of_person
from dsr.files import write_atomic
from dsr.fitting.fingers import FINGERS, RestHand
from dsr.fitting.hand_network import landmark_inputs
from dsr.fitting.hands import hand_view
from dsr.npz import read_npz
from dsr.people.hands import FEATURES, MAP, MIN_PRESENCE, MIN_SIDE, Hand, HandFinder, Side, search_region
from dsr.people.regions import Pyramid, Region

SEEDS_A_FILE = 250
PEOPLE_FROM = 10_000_000
"""Seeds in the second half of every so many are hands of whole people, the others arms alone."""
_MAPPED = 5_000
_LOOKS, _SHIFT, _GROWN, _TURN = 3, 0.04, 0.08, 0.15
_FAR = 0.6  # of the region's side between the wrists, from which it is another hand or none
_LEAST = 0.4  # presence of the first look below which a hand is left out
_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class ReadHand:
    """A drawn hand and what the landmark model says of it.

    Attributes:
        seed: of the drawing.
        side: which hand.
        betas: (10,) of the body.
        K: (3, 3).
        elbow: (3, 3) rotation of the elbow joint in the camera.
        wrist: (3, 3) of the wrist joint.
        place: (3,) of the wrist, metres.
        fingers: (15, 3, 3) local rotations, in SMPL-X's order.
        looks: the answers.
    """

    seed: int
    side: Side
    betas: np.ndarray
    K: np.ndarray
    elbow: np.ndarray
    wrist: np.ndarray
    place: np.ndarray
    fingers: np.ndarray
    looks: list[Hand]


def read_hand(asset: BodyAsset, finder: HandFinder, seed: int) -> ReadHand | None:
    """The hand of a seed, looked at; None where it is hidden or not found."""
    drawn = (draw_hand if seed % PEOPLE_FROM < PEOPLE_FROM // 2 else draw_hand_of_person)(asset, seed)
    if drawn is None:
        return None
    points = joint_names("blazepose33")
    wrist, little, index = (drawn.keypoints[points.index(f"{drawn.side}_{p}")] for p in ("wrist", "pinky", "index"))
    pyramid = Pyramid(drawn.picture)
    region = finder.region(pyramid, search_region(wrist, little, index))
    if region is None or region.side < MIN_SIDE:
        return None
    rng, looks = np.random.default_rng([seed, 7]), []
    for k in range(_LOOKS):
        where = region if k == 0 else _beside(rng, region)
        looks.append(finder.look(pyramid, drawn.side, where, wrist))
        if k == 0 and (looks[0].presence < _LEAST or looks[0].wrist_distance > _FAR):
            return None
    names = list(asset.joint_names)
    _, transforms = skeleton(asset, drawn.betas, drawn.pose, drawn.orient, drawn.transl)
    elbow, hand, first = (names.index(f"{drawn.side}_{part}") for part in ("elbow", "wrist", f"{FINGERS[0]}1"))
    return ReadHand(
        seed,
        drawn.side,
        drawn.betas,
        drawn.K,
        transforms[elbow, :3, :3],
        transforms[hand, :3, :3],
        transforms[hand, :3, 3],
        rodrigues(drawn.pose[first - 1 : first + 14]),
        looks,
    )


def samples(asset: BodyAsset, read: ReadHand) -> Iterator[dict[str, np.ndarray]]:
    """What the network sees of every look at a hand, and what it shall say, as of a left hand."""
    rest = RestHand(asset, read.betas, read.side)
    mirror = _MIRROR if read.side == "right" else np.ones(3)
    camera = PictureCamera(read.K, (SIZE, SIZE))
    for k, hand in enumerate(read.looks):
        if hand.presence <= MIN_PRESENCE:
            continue
        turn, view = hand_view(hand, camera, read.elbow, read.place)
        shown, palm = landmark_inputs(rest, view)
        assert hand.features is not None
        yield {
            "seen": hand.features[:FEATURES].astype(np.float16),
            **({"map": hand.features[FEATURES:].astype(np.float16)} if keeps_map(read.seed) else {}),
            "shown": shown.astype(np.float32),
            "palm": palm,
            "forearm": mirror[:, None] * view.forearm * mirror,
            "side_m": np.array(view.side_px / view.pixels_per_metre),
            "true_hand": mirror[:, None] * (turn.T @ read.wrist) * mirror,
            "true_fingers": mirror[:, None] * read.fingers * mirror,
            "first_look": np.array(k == 0),
        }


def keeps_map(seed: int) -> bool:
    """Whether the landmark model's map is kept of a seed's hand: it is eight times as large as all else together."""
    return seed % PEOPLE_FROM < _MAPPED or seed % PEOPLE_FROM >= PEOPLE_FROM // 2


def kept_samples(folder: Path, first: int, seeds: int) -> dict[str, np.ndarray]:
    """The samples of so many seeds; what the folder does not have yet is made. A map that was not kept is zeros.

    Args:
        folder: of the files.
        first: seed.
        seeds: a multiple of :data:`SEEDS_A_FILE`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asset, finder, parts = load_asset("open-x"), HandFinder(1), []
    for start in range(first, first + seeds, SEEDS_A_FILE):
        file = folder / f"hands_{start}.npz"
        if not file.is_file():
            read = (read_hand(asset, finder, seed) for seed in range(start, start + SEEDS_A_FILE))
            write_samples(file, [row for one in read if one is not None for row in samples(asset, one)])
        part = read_npz(file)
        part.setdefault("map", np.zeros((len(part["seen"]), math.prod(MAP)), np.float16))
        parts.append(part)
    return together(parts)


def together(parts: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Samples of several folders or files as one."""
    every = list(parts)
    return {key: np.concatenate([part[key] for part in every]) for key in every[0]}


def write_samples(file: Path, rows: list[dict[str, np.ndarray]]) -> None:
    """Samples as one .npz file."""
    stacked = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    write_atomic(file, lambda path: np.savez(path, **stacked))


def _beside(rng: np.random.Generator, region: Region) -> Region:
    """A region a little off."""
    u, v = (at + rng.normal(0, _SHIFT) * region.side for at in (region.u, region.v))
    return Region(u, v, region.side * math.exp(rng.normal(0, _GROWN)), region.angle + rng.normal(0, _TURN))
