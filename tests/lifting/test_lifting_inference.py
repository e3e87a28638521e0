"""Whole sequences through lifters: windows, gaps, mirrored copies, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shared_data import tensors, vectors
from torch import nn

from dsr.errors import UsageError
from dsr.lifting import build_lifter, lift_sequence
from dsr.lifting.base import SequenceLifter, WindowLifter
from dsr.lifting.inference import fill_gaps
from dsr.tracks import detector_to_h36m17, mirror, normalise_screen
from dsr.tracks.skeleton import unnormalise_screen

SIZE = (640, 480)
TINY = {
    "mixste": {"frames": 9, "width": 16, "depth": 2},
    "hot-mixste": {"frames": 9, "width": 16, "depth": 2, "keep": 3, "before": 1},
    "tpc-mixste": {"frames": 9, "width": 16, "depth": 2, "keep": 3, "before": 1},
    "ktpformer": {"frames": 9, "width": 16, "depth": 1},
    "hot-ktpformer": {"frames": 9, "width": 16, "depth": 2, "keep": 3, "before": 1},
    "mhformer": {"frames": 9, "width": 16, "hidden": 32},
    "tpc-mhformer": {"frames": 9, "width": 16, "hidden": 32, "keep": 3},
    "motionbert": {"frames": 9, "width": 16, "depth": 2, "representation": 16},
    "hot-motionbert": {"frames": 9, "width": 16, "depth": 2, "representation": 16, "keep": 3},
    "motionagformer": {"frames": 9, "width": 16, "depth": 2, "representation": 16},
    "hot-motionagformer": {"frames": 9, "width": 16, "depth": 2, "representation": 16, "keep": 3, "before": 1},
    "convformer": {"frames": 9, "width": 8},
    "glagcn": {"width": 8, "widths": (3, 3)},
}


def lifter(name, **config):
    torch.manual_seed(0)
    model = build_lifter(name, **{**TINY[name], **config}).eval()
    with torch.no_grad():  # zero tables and identical queries would hide faults
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return model


def track(frames=20, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    places = rng.uniform(100, 400, (1, 17, 2)) + np.cumsum(rng.normal(0, 4, (frames, 17, 2)), 0)
    if channels == 2:
        return places
    return np.concatenate((places, rng.uniform(0.5, 1, (frames, 17, 1))), -1)


def screen(keypoints):
    return normalise_screen(torch.from_numpy(keypoints[..., :2]), *SIZE).float()


@pytest.mark.parametrize("name", TINY)
def test_any_length_of_any_lifter(name):
    model = lifter(name)
    for frames in (1, 2, 9, 10, 20):
        found = lift_sequence(model, track(frames), SIZE)
        assert found.joints_m.shape == (frames, 17, 3)
        assert found.joints_m.dtype == found.uncertainty_mm.dtype == np.float32
        assert np.isfinite(found.joints_m).all()
        assert not found.joints_m[:, 0].any()
        assert not found.uncertainty_mm[:, 0].any()
        assert not found.filled.any()
    again = lift_sequence(model, track(20), SIZE, batch=1)
    np.testing.assert_allclose(again.joints_m, lift_sequence(model, track(20), SIZE).joints_m, atol=2e-6)
    assert np.ptp(again.joints_m[:, 1:], axis=0).max() > 1e-5


@pytest.mark.parametrize("name", ["convformer", "glagcn", "mhformer", "tpc-mixste"])
def test_every_frame_sits_in_the_middle_of_its_own_window(name):
    model, keypoints = lifter(name), track(14)
    ours = lift_sequence(model, keypoints, SIZE, flip=False).joints_m
    padded = np.concatenate((keypoints[:1].repeat(4, 0), keypoints, keypoints[-1:].repeat(4, 0)))
    with torch.no_grad():
        for t in range(14):
            x = screen(padded[t : t + 9])[None]
            if isinstance(model, SequenceLifter):
                poses, index = model.lift(x)
                (pose,) = poses[index == 4]
            else:
                pose = model(x)[0, 0]
            np.testing.assert_allclose(ours[t], (pose - pose[:1]).numpy(), atol=2e-6)


class Recorder(WindowLifter):
    """Gives every frame of a window the number of that window; knows how often it was called."""

    def __init__(self, frames=8, by=1.0):
        super().__init__(frames, 2, 17)
        self.scale = nn.Parameter(torch.ones(1))
        self.calls, self.by = [], by

    def forward(self, x):
        self.check(x)
        self.calls.append(x.clone())
        number = x[:, :1, 1:2, :1] * self.by  # where the first frame's joint 1 is
        pose = torch.zeros(*x.shape[:3], 3)
        pose[:, :, 1:, 2:] = number
        return pose


def numbered(frames):
    """Keypoints whose joint 1 counts the frames in screen units."""
    places = torch.zeros(frames, 17, 2)
    places[..., 0] = torch.arange(frames)[:, None]
    return unnormalise_screen(places, *SIZE).numpy()


def test_overlapping_windows_fade_into_each_other():
    model = Recorder()
    found = lift_sequence(model, numbered(12), SIZE, flip=False).joints_m[:, 5, 2]
    # Windows begin at 0 and at 4 (the last one ends with the track); weights 1 2 3 4 4 3 2 1.
    expected = [0, 0, 0, 0, *(4 * np.array([1, 2, 3, 4]) / 5), 4, 4, 4, 4]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    starts = lift_sequence(model, numbered(21), SIZE, flip=False, hop=8).joints_m[:, 5, 2]
    assert starts[0] == pytest.approx(0, abs=1e-5)
    assert starts[12] == pytest.approx(8, abs=1e-5)  # covered by the second window alone
    assert starts[-1] == pytest.approx(13, abs=1e-5)  # the last window is moved back instead of padded
    disagreement = lift_sequence(model, numbered(12), SIZE, flip=False).uncertainty_mm[:, 5]
    assert disagreement[0] == pytest.approx(0, abs=1e-2)
    assert disagreement[4] == pytest.approx(1e3 * 4 * np.sqrt(0.2 * 0.8), rel=1e-4)


def test_a_short_track_is_held_at_both_ends():
    model = Recorder()
    lift_sequence(model, numbered(3), SIZE, flip=False)
    (seen,) = model.calls
    np.testing.assert_allclose(seen[0, :, 1, 0], [0, 0, 0, 1, 2, 2, 2, 2], atol=1e-5)


def test_mirrored_copies_go_through_the_same_forward_passes():
    model = Recorder()
    lift_sequence(model, numbered(12), SIZE, flip=True)
    (seen,) = model.calls  # one call with both windows, twice
    assert seen.shape == (4, 8, 17, 2)
    torch.testing.assert_close(seen[2:], mirror(seen[:2]))


@pytest.mark.parametrize("name", [name for name in TINY if "tpc" not in name])  # there the plain copy chooses for both
def test_the_mirrored_track_gives_the_mirrored_poses(name):
    model, keypoints = lifter(name), track(15)
    ours = lift_sequence(model, keypoints, SIZE)
    flipped = unnormalise_screen(mirror(screen(keypoints).double()), *SIZE).numpy()
    other = lift_sequence(model, flipped, SIZE)
    np.testing.assert_allclose(mirror(torch.from_numpy(other.joints_m)).numpy(), ours.joints_m, atol=1e-4)
    plain = lift_sequence(model, keypoints, SIZE, flip=False).joints_m
    assert np.abs(plain - ours.joints_m).max() > 1e-3


def test_flip_averaging_of_pruned_lifters_keeps_the_frames_of_the_plain_copy():
    model = lifter("tpc-mixste")
    x = torch.stack((screen(track(9)), screen(track(9, seed=1))))
    both, index = model.lift(torch.cat((x, mirror(x))), copies=2)
    own, chosen = model.lift(x)
    assert torch.equal(index, torch.cat((chosen, chosen)))
    torch.testing.assert_close(both, torch.cat((own, model.lift(mirror(x), index=chosen)[0])))


def test_flip_averaging_agrees_with_the_published_code():
    golden = tensors("glagcn", "h36m_tiny_27f_c8")
    state = {key.removeprefix("sd/"): value for key, value in golden.items() if key.startswith("sd/")}
    model = build_lifter("glagcn", width=8, widths=(3, 3, 3)).eval()
    model.load_state_dict(state)
    g = vectors("glagcn", "h36m_tta")
    np.testing.assert_array_equal(mirror(torch.from_numpy(g["input"])).numpy(), g["input_flipped"])
    for one, expected in zip(g["input"], g["out_tta"], strict=True):
        pixels = unnormalise_screen(torch.from_numpy(one).double(), *SIZE).numpy()
        found = lift_sequence(model, pixels, SIZE).joints_m[13]
        np.testing.assert_allclose(found, expected[0] - expected[0, :1], atol=1e-5)


def test_gaps_are_filled_in_time_and_told():
    keypoints = np.zeros((6, 17, 3))
    keypoints[..., 2] = 1
    keypoints[..., 0] = 10 * np.arange(6)[:, None]
    keypoints[2:4, 3] = np.nan  # inside: interpolated
    keypoints[0, 4, :2] = 500, 0  # doubted at the start: held
    keypoints[0, 4, 2] = 0.01
    keypoints[5, 5, 0] = np.inf
    keypoints[:, 6, 2] = 0.0  # never sure: used as it is
    given = keypoints.copy()
    places, confidence, filled = fill_gaps(keypoints)
    np.testing.assert_array_equal(keypoints, given)
    np.testing.assert_allclose(places[2:4, 3, 0], [20, 30])
    assert places[0, 4, 0] == 10
    assert places[5, 5, 0] == 40
    np.testing.assert_allclose(places[:, 6, 0], 10 * np.arange(6))
    assert set(zip(*np.nonzero(filled), strict=True)) == {(2, 3), (3, 3), (0, 4), (5, 5)}
    assert not confidence[filled].any()
    found = lift_sequence(lifter("mixste"), keypoints, SIZE)
    assert np.flatnonzero(found.filled.any(1)).tolist() == [0, 2, 3, 5]
    repaired = np.where(filled[..., None], places, keypoints[..., :2])
    np.testing.assert_allclose(found.joints_m, lift_sequence(lifter("mixste"), repaired, SIZE).joints_m, atol=1e-6)


def test_confidences_reach_the_lifters_that_take_them():
    model = lifter("motionbert")
    sure, unsure = track(9, 3), track(9, 3)
    unsure[..., 2] = 0.4
    assert np.abs(lift_sequence(model, sure, SIZE).joints_m - lift_sequence(model, unsure, SIZE).joints_m).max() > 1e-4
    sure[..., 2] = 1.0
    without = lift_sequence(model, sure[..., :2], SIZE).joints_m
    np.testing.assert_array_equal(lift_sequence(model, sure, SIZE).joints_m, without)
    plain = lifter("mixste")  # takes none: nothing changes
    np.testing.assert_array_equal(
        lift_sequence(plain, sure, SIZE).joints_m, lift_sequence(plain, unsure, SIZE).joints_m
    )


@pytest.mark.parametrize(
    ("keypoints", "says"),
    [
        (np.zeros((3, 16, 2)), "takes 17 joints per frame, got 16"),
        (np.zeros((17, 2)), "got float64 of \\(17, 2\\)"),
        (np.zeros((3, 17, 4)), "got float64 of \\(3, 17, 4\\)"),
        (np.zeros((0, 17, 2)), "no frames"),
        (np.full((3, 17, 2), np.nan), "not one keypoint in the whole sequence"),
        (np.where(np.arange(17)[:, None] == 6, np.nan, np.ones((3, 17, 2))), "left ankle was not seen in any frame"),
        (np.full((3, 17, 2), "a"), "array of"),
        ([[1, 2], [3]], "array of"),
    ],
)
def test_what_cannot_be_lifted_is_refused(keypoints, says):
    with pytest.raises(UsageError, match=says):
        lift_sequence(lifter("mixste"), keypoints, SIZE)


@pytest.mark.parametrize("name", ["mixste", "glagcn"])
def test_tracks_of_other_rates_are_seen_at_the_lifters_own(name):
    model, keypoints = lifter(name), track(14)
    as_it_is = lift_sequence(model, keypoints, SIZE).joints_m
    np.testing.assert_array_equal(lift_sequence(model, keypoints, SIZE, fps=60.0).joints_m, as_it_is)  # says no rate
    model.fps = 30.0
    np.testing.assert_array_equal(lift_sequence(model, keypoints, SIZE, fps=25.0).joints_m, as_it_is)
    # twice as fast: every second frame, in both phases; what lies between two frames of a phase is halfway
    fast = lift_sequence(model, keypoints, SIZE, fps=60.0).joints_m
    even, odd = (lift_sequence(model, keypoints[phase::2], SIZE).joints_m for phase in (0, 1))
    np.testing.assert_allclose(fast[4], (even[2] + (odd[1] + odd[2]) / 2) / 2, atol=1e-6)
    np.testing.assert_allclose(fast[5], ((even[2] + even[3]) / 2 + odd[2]) / 2, atol=1e-6)
    np.testing.assert_allclose(fast[[0, -1]], [(even[0] + odd[0]) / 2, (even[-1] + odd[-1]) / 2], atol=1e-6)
    # three times slower: frames are made in between
    slow = lift_sequence(model, keypoints, SIZE, fps=10.0).joints_m
    between = np.stack([np.interp(np.arange(40) / 3, np.arange(14), column) for column in keypoints.reshape(14, -1).T])
    dense = lift_sequence(model, between.T.reshape(40, *keypoints.shape[1:]), SIZE).joints_m
    np.testing.assert_allclose(slow, dense[::3], atol=1e-5)
    for length in (1, 2):
        for fps in (10.0, 240.0):
            found = lift_sequence(model, keypoints[:length], SIZE, fps=fps)
            assert found.joints_m.shape == (length, 17, 3) and np.isfinite(found.uncertainty_mm).all()
    with pytest.raises(UsageError, match="fps=0"):
        lift_sequence(model, keypoints, SIZE, fps=0)


def test_keypoint_sets_that_cannot_be_lifted_are_refused():
    with pytest.raises(UsageError, match="blazepose33 has 33 keypoints"):
        detector_to_h36m17(np.zeros((2, 17, 3)), "blazepose33")
    with pytest.raises(UsageError, match="no known set"):
        detector_to_h36m17(np.zeros((2, 18, 3)), "openpose18")
    with pytest.raises(UsageError, match="own joints already"):
        detector_to_h36m17(np.zeros((2, 17, 3)), "h36m17")


def test_a_face_turned_away_is_made_of_what_is_seen():
    whole = np.random.default_rng(0).normal(0, 100, (4, 17, 3)) + 300
    seen = whole.copy()
    seen[1, [0, 1, 2, 3], :] = np.nan  # nose, eyes and one ear
    seen[2, 1] = np.nan  # one eye
    seen[3, :5] = np.nan
    plain, found = detector_to_h36m17(whole), detector_to_h36m17(seen)
    np.testing.assert_array_equal(found[0], plain[0])
    np.testing.assert_allclose(found[1, 10, :2], whole[1, 4, :2])  # the head is where the ear is
    shoulders = whole[:, [5, 6], :2].mean(1)
    np.testing.assert_allclose(found[1, 9, :2], 0.75 * whole[1, 4, :2] + 0.25 * shoulders[1])
    assert np.isfinite(found[2]).all() and np.abs(found[2, 10, 1] - (2 * whole[2, 2, 1] - whole[2, 0, 1])) < 1e-9
    assert np.isnan(found[3, [8, 9, 10], :2]).all() and np.isfinite(found[3, [0, 1, 6, 11, 16]]).all()


def test_impossible_settings_are_refused():
    model = lifter("mixste")
    with pytest.raises(UsageError, match="1 to 9 frames"):
        lift_sequence(model, track(20), SIZE, hop=10)
    with pytest.raises(UsageError, match="batch=0"):
        lift_sequence(model, track(20), SIZE, batch=0)
    with pytest.raises(UsageError, match="0x480"):
        lift_sequence(model, track(20), (0, 480))
    with pytest.raises(UsageError, match="width, height"):
        lift_sequence(model, track(20), 640)
    with pytest.raises(UsageError, match="16 joints instead of 17"):
        model(torch.zeros(1, 9, 16, 2))
    with pytest.raises(UsageError, match="frames is a whole number"):
        build_lifter("mixste", frames=0)
    dropping = lifter("mixste", keep=3, before=1, recover=False)
    with pytest.raises(UsageError, match="does not bring them back"):
        lift_sequence(dropping, track(20), SIZE)


def test_lifting_leaves_the_network_and_the_input_as_they_were():
    model = lifter("glagcn").train()
    keypoints = track(9, 3)
    before, given = {k: v.clone() for k, v in model.state_dict().items()}, keypoints.copy()
    first = lift_sequence(model, keypoints, SIZE).joints_m
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    np.testing.assert_array_equal(keypoints, given)
    np.testing.assert_array_equal(first, lift_sequence(model.eval(), torch.from_numpy(keypoints), SIZE).joints_m)
    double = lift_sequence(model.double(), keypoints, SIZE).joints_m
    np.testing.assert_allclose(first, double, atol=1e-5)


def test_known_errors_add_to_the_disagreement():
    model = lifter("mixste")
    alone = lift_sequence(model, track(9), SIZE).uncertainty_mm
    model.joint_error_mm = np.full(17, 30.0)
    both = lift_sequence(model, track(9), SIZE).uncertainty_mm
    np.testing.assert_allclose(both[:, 1:], np.hypot(alone[:, 1:], 30), rtol=1e-5)
    assert not both[:, 0].any()


def test_a_causal_lifter_looks_at_the_past_alone():
    torch.manual_seed(0)
    model = build_lifter("glagcn", width=8, widths=(3, 3), causal=True).eval()
    assert model.target_frame == 8 and build_lifter("glagcn", width=8, widths=(3, 3)).target_frame == 4
    rng = np.random.default_rng(0)
    track = rng.uniform(100, 400, (20, 17, 2))
    later = track.copy()
    later[12:] += 50
    before, after = (lift_sequence(model, one, (640, 480)).joints_m for one in (track, later))
    np.testing.assert_array_equal(before[:12], after[:12])
    assert np.abs(before[12:] - after[12:]).max((1, 2)).min() > 0
    window = torch.rand(1, 9, 17, 2)
    for frame in range(9):  # every frame of the window counts
        other = window.clone()
        other[:, frame] += 0.5
        assert (model(other) - model(window)).abs().max() > 0
    published = build_lifter("glagcn", width=8, widths=(3, 3))
    assert {k: v.shape for k, v in published.state_dict().items()} == {
        k: v.shape for k, v in model.state_dict().items()
    }
