"""Windows that training and dsr-eval cut from tracks: the published generators' tables and batches, ends, gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from lifter_tracks import published_track, small_config, smooth_track
from shared_data import vectors

from dsr.errors import UsageError
from dsr.evaluation.lifting import lifter_predictor
from dsr.lifting.base import WindowLifter
from dsr.training.systems.lifter.config import LifterDataConfig
from dsr.training.systems.lifter.task import LifterTask, cut_windows, track_arrays

FRAMES = 9


def relative(joints):
    """Published windows keep the joints' place; ours are relative to the root."""
    return joints - joints[..., :1, :]


def table(tracks, windows):
    """(W, 2) track and first frame of every window."""
    offsets = np.cumsum([0, *map(len, tracks)])
    return np.stack([np.searchsorted(offsets, windows.start, "right") - 1, windows.first], 1)


def prepared(tracks, hop, flip, centre=False):
    """A task whose data are these tracks."""
    windows = LifterDataConfig(hop=hop, flip="on" if flip else "off")
    config = small_config("convformer" if centre else "mixste", windows=windows)
    task = LifterTask(replace(config, network=replace(config.network, inputs=2)), tracks)
    task.build_model()
    task.prepare(torch.device("cpu"))
    return task


def batch_of(task, tracks, places):
    """The task's batch of (track, first frame, mirrored)."""
    rows = {tuple(row): number for number, row in enumerate(table(tracks, task.windows).tolist())}
    return task.collate([(rows[int(track), int(first)], int(flip)) for track, first, flip in places])


def test_training_batches_of_ktpformer():
    golden = vectors("ktpformer", "chunk_generator")
    tracks = [published_track(golden[f"p2_{i}"], golden[f"p3_{i}"]) for i in range(3)]
    task = prepared(tracks, FRAMES, flip=True)
    pairs = golden["pairs_unshuffled"]
    assert (pairs[:, 2] - pairs[:, 1] == FRAMES).all()
    assert table(tracks, task.windows).tolist() == pairs[pairs[:, 3] == 0, :2].tolist()
    # Every window once and once mirrored, in an order of our own.
    drawn = sorted(task.sample(0, i) for i in range(task.epoch_length()))
    assert drawn == sorted((w, f) for w in range(len(task.windows)) for f in (0, 1)) and len(drawn) == len(pairs)
    for number in range(2):
        chosen = golden["epoch1_pairs_permuted"][4 * number : 4 * number + 4][:, [0, 1, 3]]
        batch = batch_of(task, tracks, chosen)
        np.testing.assert_allclose(batch["x"], golden[f"epoch1_batch{number}_2d"], atol=1e-5)
        np.testing.assert_allclose(batch["y"], relative(golden[f"epoch1_batch{number}_3d"]), atol=1e-5)


@pytest.mark.parametrize(("tag", "hop", "flip"), [("stride9_F9_test", 9, False), ("stride3_F9_train", 3, True)])
def test_windows_of_hot(tag, hop, flip):
    """The published generator leaves out the track of five frames where windows overlap; ours holds its ends."""
    golden = vectors("hot", "chunk_generators")
    used = range(4 if hop == FRAMES else 3)
    tracks = [published_track(golden[f"seq{i}/p2"], golden[f"seq{i}/p3"]) for i in used]
    keys = [golden[f"seq{i}/key"].tolist() for i in used]
    sequence = np.array([keys.index(key) for key in golden[f"{tag}/seq_keys"].tolist()])
    expected = np.stack([sequence, golden[f"{tag}/start"], golden[f"{tag}/flip"]], 1)
    task = prepared(tracks, hop, flip)
    assert table(tracks, task.windows).tolist() == expected[expected[:, 2] == 0, :2].tolist()
    assert task.epoch_length() == len(expected)
    for item in (0, len(expected) - 1):
        batch = batch_of(task, tracks, expected[[item]])
        np.testing.assert_allclose(batch["x"][0], golden[f"{tag}/item{item}_2d"], atol=1e-5)
        np.testing.assert_allclose(batch["y"][0], relative(golden[f"{tag}/item{item}_3d"]), atol=1e-5)


def test_windows_of_hot_around_every_frame():
    """The tables name the frame in the middle; the windows hold the four on either side."""
    golden, tag = vectors("hot", "chunk_generators"), "stride1_F9"
    tracks = [published_track(golden[f"seq{i}/p2"], golden[f"seq{i}/p3"]) for i in range(4)]
    keys = [golden[f"seq{i}/key"].tolist() for i in range(4)]
    sequence = np.array([keys.index(key) for key in golden[f"{tag}/seq_keys"].tolist()])
    expected = np.stack([sequence, golden[f"{tag}/start"] - FRAMES // 2, golden[f"{tag}/flip"]], 1)
    task = prepared(tracks, 1, flip=True, centre=True)
    assert table(tracks, task.windows).tolist() == expected[expected[:, 2] == 0, :2].tolist()
    assert task.epoch_length() == len(expected)
    for item in (0, len(expected) - 1):
        batch = batch_of(task, tracks, expected[[item]])
        np.testing.assert_allclose(batch["x"][0], golden[f"{tag}/item{item}_2d"], atol=1e-5)
        middle = relative(golden[f"{tag}/item{item}_3d"])[FRAMES // 2]
        np.testing.assert_allclose(batch["y"][0, 0], middle, atol=1e-5)


class Recorder(WindowLifter):
    """Keeps the windows it is given."""

    def __init__(self, centre=False):
        super().__init__(FRAMES, 2, 17)
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.centre_only, self.windows = centre, []

    def forward(self, x):
        self.windows.append(x.numpy())
        return torch.zeros(len(x), 1 if self.centre_only else FRAMES, 17, 3)


def windows_seen(model, track, hop=None):
    """What dsr-eval's predictor shows to a lifter; with ``hop``, lift_sequence's windows that far apart."""
    if hop is None:
        lifter_predictor(model, flip=True)(track)
    else:
        from dsr.lifting import lift_sequence

        lift_sequence(model, track.keypoints_px, track.size, flip=True, hop=hop)
    return np.split(np.concatenate(model.windows), 2)


@pytest.mark.parametrize("length", [9, 18, 23])
def test_evaluation_windows_of_ktpformer(length):
    """The published protocol: windows side by side, the last one moved back to end with the track."""
    golden = vectors("ktpformer", "eval_windows_f9")
    track = published_track(golden[f"len{length}/in2d"][0], golden[f"len{length}/in3d"][0])
    plain, _ = windows_seen(Recorder(), track, hop=FRAMES)
    np.testing.assert_allclose(plain, golden[f"len{length}/win2d"], atol=1e-5)


def test_evaluation_windows_of_glagcn():
    golden = vectors("glagcn", "eval_generator")
    tracks = [published_track(golden[f"seq{i}_2d"], golden[f"seq{i}_3d"]) for i in range(2)]
    seen = [windows_seen(Recorder(centre=True), track) for track in tracks]
    np.testing.assert_allclose(np.concatenate([plain for plain, _ in seen]), golden["batch_2d"], atol=1e-5)
    np.testing.assert_allclose(np.concatenate([mirrored for _, mirrored in seen]), golden["batch_2d_flip"], atol=1e-5)
    cut = cut_windows(tracks, FRAMES, 1, centre=True)
    x, y = cut.take(np.arange(len(cut)), 2, centre=True)
    np.testing.assert_allclose(x, golden["batch_2d"], atol=1e-5)
    np.testing.assert_allclose(y, relative(golden["batch_3d"]), atol=1e-5)


def test_windows_cover_a_track_and_repeat_its_ends():
    track = smooth_track(23)
    windows = cut_windows([track], 9, 9)
    assert windows.first.tolist() == [-2, 7, 16]  # 27 - 23 = 4 frames too many, two at either end
    x, y = windows.take(np.array([0, 2]), 3, centre=False)
    screen = track.screen()
    np.testing.assert_allclose(x[0, :3, :, :2], np.repeat(screen[:1], 3, 0), atol=1e-6)
    np.testing.assert_allclose(x[1, -3:, :, :2], np.repeat(screen[-1:], 3, 0), atol=1e-6)
    np.testing.assert_allclose(y[0, 2:], track.relative()[:7], atol=1e-6)
    assert (x[..., 2] == 1).all()


def test_a_short_track_repeats_its_own_ends():
    """Its neighbours in the arrays are other people."""
    tracks = [smooth_track(23, 0), replace(smooth_track(4, 1), confidence=np.full((4, 17), 0.5, np.float32))]
    windows = cut_windows([*tracks, smooth_track(9, 2)], 9, 9)
    assert windows.first.tolist() == [-2, 7, 16, -2, 0]
    x, y = windows.take(np.array([3]), 3, centre=False)
    np.testing.assert_allclose(y[0], tracks[1].relative()[[0, 0, 0, 1, 2, 3, 3, 3, 3]], atol=1e-6)
    assert (x[..., 2] == 0.5).all()


def test_centred_windows_aim_at_their_middle_and_skip_invalid_frames():
    valid = np.ones(23, bool)
    valid[4] = False
    track = smooth_track(23, valid=valid)
    windows = cut_windows([smooth_track(12, 1), track], 9, 2, centre=True)
    assert len(windows) == 6 + 11
    x, y = windows.take(np.array([6, 16]), 2, centre=True)
    assert y.shape == (2, 1, 17, 3) and x.shape == (2, 9, 17, 2)
    np.testing.assert_allclose(y[:, 0], track.relative()[[0, 22]], atol=1e-6)
    np.testing.assert_allclose(x[0, 4:], track.screen()[:5], atol=1e-6)


def test_whole_windows_with_an_invalid_frame_are_left_out():
    valid = np.ones(27, bool)
    valid[13] = False
    assert cut_windows([smooth_track(27, valid=valid)], 9, 9).first.tolist() == [0, 18]


def test_tracks_are_thinned():
    assert cut_windows([smooth_track(40)], 9, 9, fps=25.0).end.tolist() == [20, 20, 20]


def test_no_window_is_refused():
    empty = smooth_track(12, valid=np.zeros(12, bool))
    with pytest.raises(UsageError, match="in 1 track with 12 frames: none has 9 valid frames in a row"):
        cut_windows([empty], 9, 9)
    with pytest.raises(UsageError, match="no window to train on in 0 tracks with 0 frames"):
        cut_windows([], 9, 9)
    with pytest.raises(UsageError, match=r"^--data [^,]*, training part: no window .* smaller --network\.frames"):
        prepared([empty], 9, flip=False)


def test_a_batch_does_not_change_the_tracks():
    task = prepared([smooth_track(9)], 9, flip=True)
    before = task.windows.inputs.copy(), task.windows.targets.copy()
    task.collate([(0, 1)])
    np.testing.assert_array_equal(task.windows.inputs, before[0])
    np.testing.assert_array_equal(task.windows.targets, before[1])


def test_keypoints_that_are_missing_are_filled():
    track = smooth_track(9)
    track.keypoints_px[3, 5] = np.nan
    x, _, valid = track_arrays(track)
    assert np.isfinite(x).all() and x[3, 5, 2] == 0 and valid.all()
