"""The detector's noise: what is drawn is spread, correlated and sure of itself as what the detector said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dsr.body import load_body
from dsr.body.joints import joint_names
from dsr.errors import DatasetError
from dsr.synthetic import make_pairs
from dsr.synthetic.detector_noise import DetectorNoise, placed
from dsr.synthetic.make_pairs import MakePairs, shard_path, shards
from dsr.synthetic.people_drawn import COVERED, OUTSIDE
from dsr.synthetic.people_undrawn import UndrawnPeople
from dsr.training.systems.default.batches import plain_inputs
from dsr.training.systems.default.pairs import load_pairs

COUNT = 3000
WRIST = joint_names("blazepose33").index("left_wrist")


def toy_pairs(count: int, seed: int) -> dict[str, np.ndarray]:
    """A detector with known faults: depths too shallow, the left wrist off by more where it is covered."""
    rng = np.random.default_rng(seed)
    base = np.array([[0, -0.65, 0]] * 11 + [[0.18, -0.5, 0], [-0.18, -0.5, 0], [0.3, -0.25, 0.05], [-0.3, -0.25, 0.05]])
    base = np.r_[
        base, [[0.35, 0, 0], [-0.35, 0, 0]], [[0.36, 0.05, 0], [-0.36, 0.05, 0]] * 3, [[0.1, 0, 0], [-0.1, 0, 0]]
    ]
    base = np.r_[base, [[0.1, 0.4, 0], [-0.1, 0.4, 0], [0.1, 0.8, 0], [-0.1, 0.8, 0]], [[0.1, 0.85, 0.05]] * 4]
    ways = np.random.default_rng(9).normal(0, 0.04, (8, 33, 3))
    local = base + np.tensordot(rng.normal(0, 1, (count, 8)), ways, 1)
    local -= local[:, [23, 24]].mean(1, keepdims=True)
    depth = rng.uniform(2, 6, (count, 1, 1))
    keypoints = local + [0, 0, 1] * depth + [1, 1, 0] * rng.normal(0, 0.3, (count, 1, 3))
    K = np.tile(np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), (count, 1, 1))
    size = np.tile([640, 480], (count, 1))
    people = placed(keypoints, K, size)
    state = (OUTSIDE * people.outside).astype(np.uint8)
    state[:, WRIST] |= (COVERED * (rng.random(count) < 0.4)).astype(np.uint8)
    covered = (state[:, WRIST] & COVERED) > 0
    both = rng.normal(0, 0.01, (count, 1, 33, 3)) + rng.normal(0, 0.004, (count, 2, 33, 3))
    both[:, :, WRIST] += rng.normal(0, 0.06, (count, 1, 3)) * covered[:, None, None]
    both[:, :, 15 + 2] = both[:, :, WRIST]  # the little finger goes with it
    world = local[:, None] * [1, 1, 0.8] + both
    pixels = keypoints[..., :2] / keypoints[..., 2:] * 500 + [320, 240]
    region = np.stack([people.hips_px[:, 0], people.hips_px[:, 1], people.side_px, people.angle], 1)
    visibility = np.full((count, 2, 33), 0.95)
    visibility[:, :, WRIST] = np.where(covered, 0.2, 0.95)[:, None] + rng.normal(0, 0.02, (count, 1))
    return {
        "seed": np.arange(count),
        "keypoints": keypoints.astype(np.float32),
        "K": K.astype(np.float32),
        "size": size,
        "state": state,
        "region": (region[:, None] + rng.normal(0, [2, 2, 5, 0.03], (count, 2, 4))).astype(np.float32),
        "points": (pixels[:, None] + rng.normal(0, 3, (count, 2, 33, 2))).astype(np.float32),
        "world": world.astype(np.float32),
        "depth": np.zeros((count, 2, 33), np.float16),
        "visibility": visibility.astype(np.float16),
        "inside": np.full((count, 2, 33), 0.99, np.float16),
        "presence": np.full((count, 2), 0.98, np.float32),
    }


@pytest.fixture(scope="module")
def noise():
    return DetectorNoise.fit(toy_pairs(COUNT, 0))


@pytest.fixture(scope="module")
def drawn(noise):
    truth = toy_pairs(1500, 1)
    said = noise.draw(np.random.default_rng(2), truth["keypoints"], truth["K"], truth["size"], truth["state"])
    return truth, said


def error(pairs, truth):
    local = truth["keypoints"] - truth["keypoints"][:, [23, 24]].mean(1, keepdims=True)
    return pairs["world"].mean(1) - local


def test_bias_and_spread_are_the_detectors(drawn):
    truth, said = drawn
    real, made = error(truth, truth), error(said, truth)
    joints = [11, 12, 13, 14, 16, 23, 24, 25, 26, 27, 28]
    np.testing.assert_allclose(made[:, joints].mean((0, 1)), real[:, joints].mean((0, 1)), atol=0.003)
    np.testing.assert_allclose(made[:, joints].std((0, 1)), real[:, joints].std((0, 1)), rtol=0.25)
    slope = [
        np.polyfit(truth["keypoints"][:, 27, 2] - truth["keypoints"][:, 23, 2], e[:, 27, 2] - e[:, 23, 2], 1)[0]
        for e in (real, made)
    ]
    assert slope == pytest.approx([-0.2, -0.2], abs=0.08)  # depths come out too shallow


def test_hidden_landmarks_err_more_and_are_less_sure(drawn):
    truth, said = drawn
    covered = (truth["state"][:, WRIST] & COVERED) > 0
    off = np.linalg.norm(error(said, truth)[:, WRIST], axis=1)
    assert off[covered].mean() > 2 * off[~covered].mean()
    sure = said["visibility"].astype(float)[:, :, WRIST].mean(1)
    assert sure[covered].mean() < 0.35 and sure[~covered].mean() > 0.85


def test_landmarks_err_together_as_they_do(drawn):
    truth, said = drawn
    for pairs in (truth, said):
        e = error(pairs, truth)
        assert np.corrcoef(e[:, WRIST, 0], e[:, 17, 0])[0, 1] > 0.6
        assert abs(np.corrcoef(e[:, 14, 0], e[:, 26, 0])[0, 1]) < 0.3
        passes = pairs["world"] - (truth["keypoints"] - truth["keypoints"][:, [23, 24]].mean(1, keepdims=True))[:, None]
        assert np.corrcoef(passes[:, 0, 14, 0], passes[:, 1, 14, 0])[0, 1] > 0.6  # of both passes, most is the same


def test_points_and_regions_come_back_in_the_picture(drawn):
    truth, said = drawn
    pixels = truth["keypoints"][..., :2] / truth["keypoints"][..., 2:] * 500 + [320, 240]
    off = said["points"].mean(1) - pixels
    assert np.median(np.hypot(off[..., 0], off[..., 1])) < 8
    assert said["region"].shape == (1500, 2, 4)
    assert np.median(np.abs(said["region"][:, 0, 2] / truth["region"][:, 0, 2] - 1)) < 0.05
    np.testing.assert_array_equal(said["state"], truth["state"])


def test_draws_vary_and_repeat(noise):
    truth = toy_pairs(40, 3)
    a, b, c = (
        noise.draw(np.random.default_rng(seed), truth["keypoints"], truth["K"], truth["size"]) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(a["world"], b["world"])
    assert (a["world"] != c["world"]).any(axis=(1, 2, 3)).mean() > 0.6


def test_it_is_kept_in_a_file(noise, tmp_path):
    noise.save(tmp_path / "noise.npz")
    truth = toy_pairs(10, 4)
    a, b = (
        each.draw(np.random.default_rng(1), truth["keypoints"], truth["K"], truth["size"])
        for each in (noise, DetectorNoise.load(tmp_path / "noise.npz"))
    )
    np.testing.assert_array_equal(a["points"], b["points"])


def test_bad_input_gets_a_sentence(tmp_path):
    with pytest.raises(DatasetError, match="at least 500"):
        DetectorNoise.fit(toy_pairs(30, 0))
    (tmp_path / "noise.npz").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"noise\.npz"):
        DetectorNoise.load(tmp_path / "noise.npz")
    with pytest.raises(DatasetError, match="mean"):
        DetectorNoise({})


def test_people_without_pictures_are_bodies_all_the_same(noise):
    people = UndrawnPeople(noise).draw(3, 12)
    body = load_body("open")
    betas, pose, transl = (torch.as_tensor(people[name]) for name in ("betas", "pose", "transl"))
    out = body(betas, pose[:, 1:], pose[:, 0], transl)
    np.testing.assert_allclose(out.joints.numpy(), people["joints"], atol=3e-4)
    np.testing.assert_allclose(body.keypoints(out.vertices, "blazepose33"), people["keypoints"], atol=3e-4)
    assert people["points"].shape == (12, 2, 33, 2) and np.isfinite(people["world"]).all()
    np.testing.assert_array_equal(UndrawnPeople(noise).draw(3, 12)["world"], people["world"])
    assert (UndrawnPeople(noise).draw(4, 12)["pose"] != people["pose"]).any()


def test_people_without_pictures_stand_beside_the_drawn_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(make_pairs, "SHARD", 40)
    np.savez(shard_path(tmp_path, 0), **toy_pairs(600, 1), split=np.zeros(600, np.uint8))
    assert "40 people" in MakePairs(tmp_path, count=40, undrawn=40).main()
    assert shards(tmp_path) == [shard_path(tmp_path, 0), shard_path(tmp_path, make_pairs.UNDRAWN_FROM)]
    noise = make_pairs.folder_noise(tmp_path)  # of the drawn ones only
    shard_path(tmp_path, 0).unlink()
    with pytest.raises(DatasetError, match="drawn"):
        make_pairs.folder_noise(tmp_path)
    people = load_pairs(tmp_path, 0, None)
    assert len(people) == 40 and people.about[:, 0].min() > 0.5
    given = plain_inputs(people)
    assert not given.mask.any() and (given.has == torch.tensor([1.0, 0.0])).all()  # nobody drew a silhouette
    again = UndrawnPeople(noise).draw(make_pairs.UNDRAWN_FROM, 40)
    torch.testing.assert_close(people.points.norm(dim=-1), torch.from_numpy(again["keypoints"]).norm(dim=-1))
