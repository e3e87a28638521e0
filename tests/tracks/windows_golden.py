"""Windows of tracks: the published generators' golden vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsr.datasets.chunks import (
    Windows,
    evaluation_starts,
    evaluation_windows,
    half_padded,
    training_windows,
    window_starts,
)
from dsr.errors import UsageError
from dsr.tracks.track import PoseTrack

SPECS = Path("../shared/specs")
LEFT, RIGHT = (4, 5, 6, 11, 12, 13), (1, 2, 3, 14, 15, 16)
MIRROR = np.arange(17)
MIRROR[list(LEFT + RIGHT)] = RIGHT + LEFT


def golden(name: str) -> dict[str, np.ndarray]:
    path = SPECS / name
    if not path.is_file():
        pytest.skip(f"no golden vectors at {path}")
    with np.load(path) as data:
        return dict(data)


def windows(
    p2: list[np.ndarray], p3: list[np.ndarray], starts: list[np.ndarray], frames: int, flip: bool = False
) -> Windows:
    """Windows on plain arrays, in the order of the published generators."""
    sides = 2 if flip else 1
    return Windows(
        np.concatenate(p2),
        np.concatenate(p3),
        np.cumsum([0, *map(len, p2)]),
        np.repeat(np.arange(len(p2)), [len(s) * sides for s in starts]),
        np.concatenate([np.tile(s, sides) for s in starts]),
        np.concatenate([np.repeat(np.arange(sides), len(s)) for s in starts]).astype(bool),
        frames,
        MIRROR,
    )


def track(length: int, seed: int = 0, **other: object) -> PoseTrack:
    rng = np.random.default_rng(seed)
    values = {
        "name": f"track{seed}",
        "subject": "S1",
        "action": "Walking",
        "camera": "0",
        "fps": 50.0,
        "keypoints_px": rng.uniform(0, 1000, (length, 17, 2)).astype(np.float32),
        "joints_m": rng.normal(size=(length, 17, 3)).astype(np.float32),
        "size": (1000, 1002),
    }
    return PoseTrack(**{**values, **other})  # type: ignore[arg-type]


def test_ktpformer_training_batches() -> None:
    data = golden("ktpformer/golden/chunk_generator.npz")
    p2, p3 = ([data[f"{key}_{i}"] for i in range(3)] for key in ("p2", "p3"))
    cut = windows(p2, p3, [window_starts(len(p), 9, 9) for p in p2], 9, flip=True)
    table = np.stack([cut.track, cut.start, cut.start + 9, cut.flip], 1)
    np.testing.assert_array_equal(table, data["pairs_unshuffled"])
    order = np.random.RandomState(1234).permutation(len(cut))
    np.testing.assert_array_equal(table[order], data["epoch1_pairs_permuted"])
    for batch in range(2):
        got2, got3 = cut.take(order[4 * batch : 4 * batch + 4])
        np.testing.assert_array_equal(got2, data[f"epoch1_batch{batch}_2d"])
        np.testing.assert_array_equal(got3, data[f"epoch1_batch{batch}_3d"])


@pytest.mark.parametrize("length", [5, 9, 18, 23])
def test_ktpformer_evaluation_windows(length: int) -> None:
    data = golden("ktpformer/golden/eval_windows_f9.npz")
    p2, p3 = data[f"len{length}/in2d"][0], data[f"len{length}/in3d"][0]
    got2, got3 = windows([p2], [p3], [evaluation_starts(length, 9)], 9).take(slice(None))
    np.testing.assert_array_equal(got2, data[f"len{length}/win2d"])
    np.testing.assert_array_equal(got3, data[f"len{length}/win3d"])


@pytest.mark.parametrize(
    ("tag", "hop", "flip"), [("stride9_F9_test", 9, False), ("stride3_F9_train", 3, True), ("stride1_F9", 1, True)]
)
def test_hot_windows(tag: str, hop: int, flip: bool) -> None:
    data = golden("hot/golden/chunk_generators.npz")
    p2, p3 = ([data[f"seq{i}/{key}"] for i in range(4)] for key in ("p2", "p3"))
    cut = windows(p2, p3, [window_starts(len(p), 9, hop) for p in p2], 9, flip)
    # With hop 1 the tables name the centre frame alone.
    pad = 4 if hop == 1 else 0
    np.testing.assert_array_equal(cut.start + pad, data[f"{tag}/start"])
    np.testing.assert_array_equal(cut.start + 9 - pad, data[f"{tag}/end"])
    np.testing.assert_array_equal(cut.flip, data[f"{tag}/flip"])
    keys = np.array([data[f"seq{i}/key"] for i in range(4)])
    np.testing.assert_array_equal(keys[cut.track], data[f"{tag}/seq_keys"])
    for item in (0, len(cut) - 1):
        got2, got3 = cut.take(np.array([item]))
        np.testing.assert_array_equal(got2[0], data[f"{tag}/item{item}_2d"])
        np.testing.assert_array_equal(got3[0], data[f"{tag}/item{item}_3d"])


def test_glagcn_every_frame() -> None:
    data = golden("glagcn/golden/eval_generator.npz")
    p2, p3 = ([data[f"seq{i}_{key}"] for i in range(2)] for key in ("2d", "3d"))
    frames = 2 * int(data["pad"]) + 1
    cut = windows(p2, p3, [window_starts(len(p), frames, 1) for p in p2], frames)
    got2, got3 = cut.take(slice(None), centre=True)
    np.testing.assert_array_equal(got2, data["batch_2d"])
    np.testing.assert_array_equal(got3, data["batch_3d"])
    mirrored = Windows(cut.inputs, cut.targets, cut.offsets, cut.track, cut.start, ~cut.flip, frames, MIRROR)
    np.testing.assert_array_equal(mirrored.take(slice(None))[0], data["batch_2d_flip"])


def test_windows_of_tracks_are_normalised_and_relative() -> None:
    first, second = track(23, 0), track(4, 1, confidence=np.full((4, 17), 0.5, np.float32))
    cut = training_windows([first, second], 9)
    assert cut.start.tolist() == [-2, 7, 16, -2, 7, 16, -2, -2]
    keypoints, joints = cut.take(np.arange(len(cut)))
    assert keypoints.shape == (8, 9, 17, 3) and keypoints.dtype == np.float32
    expected = first.keypoints_px[7:16] / 500 - [1, 1.002]
    np.testing.assert_allclose(keypoints[1, ..., :2], expected, atol=1e-6)
    np.testing.assert_allclose(keypoints[4, ..., 0], -expected[:, MIRROR, 0], atol=1e-6)
    assert (keypoints[:6, ..., 2] == 1).all() and (keypoints[6:, ..., 2] == 0.5).all()
    assert (joints[:, :, 0] == 0).all()
    np.testing.assert_array_equal(joints[1], first.joints_m[7:16] - first.joints_m[7:16, :1])
    # The short track's last frame is repeated, not the other track's.
    np.testing.assert_array_equal(joints[6, 6:], np.repeat(joints[6, 5:6], 3, 0))


def test_a_batch_does_not_change_the_tracks() -> None:
    cut = training_windows([track(9)], 9)
    before = cut.inputs.copy()
    cut.take(slice(None))
    np.testing.assert_array_equal(cut.inputs, before)


def test_other_cuts_of_tracks() -> None:
    assert evaluation_windows([track(23), track(5)], 9).start.tolist() == [0, 9, 14, 0]
    every = half_padded([track(3)], 27)
    assert every.start.tolist() == [-13, -12, -11]
    assert every.take(slice(None), centre=True)[1].shape == (3, 1, 17, 3)
    marked = training_windows([track(3), track(2, 1, valid=np.array([True, False]))], 3)
    assert marked.valid is not None and marked.valid.tolist() == [True] * 4 + [False]


def test_refusals() -> None:
    with pytest.raises(UsageError, match="no tracks"):
        training_windows([], 9)
    with pytest.raises(UsageError, match="joint sets"):
        training_windows([track(3), track(3, 1, root=14)], 9)
    with pytest.raises(UsageError, match="1 or more"):
        training_windows([track(3)], 0, 1)
