"""Learning the pose prior: EM, mirror pairs, glitches, wraps, limits, and the same bytes twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_normal

from dsr.errors import DatasetError
from dsr.mocap import SmplMotion
from dsr.mocap import learn_prior as pose_prior
from dsr.mocap.learn_prior import Mixture, Train, collect_poses, fit_mixture, joint_limits, mirror_poses, recombine
from dsr.mocap.pose_prior import PosePrior


def two_clusters(count: int = 600) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = np.zeros((2, 63))
    centres[0, 45:48] = 1.5, 0, -1.0  # left shoulder
    centres[1, 0:3] = -1.5, 0.2, 0  # left hip
    poses = centres[rng.integers(2, size=count)] + 0.05 * rng.normal(size=(count, 63))
    return np.concatenate([poses, mirror_poses(poses)])


def as_motion(poses: np.ndarray, name: str = "clip") -> SmplMotion:
    full = np.concatenate([poses, np.zeros((len(poses), 6))], -1).reshape(-1, 3)
    rotations = Rotation.from_rotvec(full).as_matrix().reshape(-1, 23, 3, 3)
    return SmplMotion(rotations, np.tile(np.eye(3), (len(poses), 1, 1)), np.zeros((len(poses), 3)), 10.0, name)


def test_mirror_agrees_with_the_motion_s():
    poses = two_clusters(5)
    assert as_motion(poses).mirrored().body_pose_aa()[:, :21].reshape(-1, 63) == pytest.approx(mirror_poses(poses))
    assert np.array_equal(mirror_poses(mirror_poses(poses)), poses)


def test_em_finds_the_clusters_and_their_mirror_images():
    poses = two_clusters()
    mixture = fit_mixture(poses, pairs=2, iterations=10, seed=0)
    assert mixture.means.shape == (5, 63)
    assert mixture.weights.sum() == pytest.approx(1)
    for left, right in ((0, 1), (2, 3)):
        assert np.array_equal(mixture.means[right], mirror_poses(mixture.means[left]))
        assert mixture.weights[left] == mixture.weights[right]
    shoulders = sorted(mixture.means[:4, 45])
    assert shoulders == pytest.approx([0, 0, 0, 1.5], abs=0.02)
    one = fit_mixture(poses, pairs=1, iterations=10, seed=0)
    assert mixture.log_likelihood(poses) > one.log_likelihood(poses) + 2


def test_density_against_scipy():
    poses = two_clusters()
    mixture = fit_mixture(poses, 1, 2, 0)
    components = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    expected = np.stack([np.log(w) + multivariate_normal.logpdf(poses[:9], m, c) for w, m, c in components], -1)
    assert mixture.log_joint(poses[:9]) == pytest.approx(expected)


def test_em_never_lowers_the_likelihood(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pose_prior, "_floor", lambda: np.full(63, 1e-3))  # the floor is no part of the likelihood
    rng = np.random.default_rng(3)
    poses = rng.normal(size=(400, 63)) * 0.3 + np.abs(rng.normal(size=(400, 1)))
    poses = np.concatenate([poses, mirror_poses(poses)])
    values = [fit_mixture(poses, 2, n, 0, broad_weight=1e-9).log_likelihood(poses) for n in (0, 1, 2, 4, 8)]
    assert all(b >= a - 1e-3 for a, b in pairwise(values))
    assert values[-1] > values[0]


def test_recombined_poses_take_legs_from_elsewhere():
    poses = np.arange(50)[:, None] + np.zeros((50, 63))
    mixed = recombine(poses, 200, 0)
    legs, trunk = mixed[:, 0], mixed[:, 6]
    assert (mixed[:, [3, 9, 12, 18, 21]] == legs[:, None]).all()  # hips, knees, ankles stay together
    assert (mixed[:, [33, 45, 48, 51]] == trunk[:, None]).all()
    assert (legs != trunk).mean() > 0.9


def test_limits_cover_the_data_and_keep_hinges():
    poses = two_clusters()
    poses[:, 9] = np.linspace(-1, 2, len(poses))  # a knee that also bends forwards
    lower, upper = joint_limits(poses)
    inside = (poses >= lower) & (poses <= upper)
    assert inside[:, [0, 1, 2, 45, 46, 47]].mean() > 0.99
    assert lower[9] == pytest.approx(-0.1)
    assert (upper > lower).all()


def clips(poses: np.ndarray):
    def load(folder: Path, split: str, fps: float) -> Iterator[SmplMotion]:
        half = len(poses) // 4
        yield from [as_motion(poses[:half])] if split == "val" else [as_motion(poses[half : len(poses) // 2])]

    return load


def test_glitches_are_dropped_and_wraps_undone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    poses = np.zeros((40, 63))
    poses[:, 45] = np.linspace(2.0, 2.9, 40)  # left shoulder
    poses[39, 45] = -2.95  # the same turn, written as its complement: 2.95 - 2 pi is nearer to the others
    poses[3, 42:45] = 0, 2.0, 0  # a head turned round
    poses[4, 52] = 0.9  # a left elbow bent backwards
    monkeypatch.setattr(pose_prior, "load_mocap", lambda *_: iter([as_motion(poses)]))
    found, kept, count = collect_poses(tmp_path, "train", 10)
    assert (len(found), kept, count) == (38, pytest.approx(0.95), 1)
    assert found[-1, 45] == pytest.approx(2 * np.pi - 2.95)
    monkeypatch.setattr(pose_prior, "load_mocap", lambda *_: iter([]))
    with pytest.raises(DatasetError, match="no clips"):
        collect_poses(tmp_path, "val", 10)


def test_training_twice_writes_the_same_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    poses = two_clusters(400)
    poses[:, 52] = -np.abs(poses[:, 52])
    poses[:, 55] = np.abs(poses[:, 55])
    monkeypatch.setattr(pose_prior, "load_mocap", clips(poses))
    for name in ("a", "b"):
        line = Train(tmp_path, tmp_path / f"{name}.safetensors", pairs=2, iterations=4).main()
    assert "held out" in line
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    card = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert card == (tmp_path / "b.md").read_text(encoding="utf-8")
    assert "NSF" in card and "nats per pose" in card
    prior = PosePrior.load(tmp_path / "a.safetensors", dtype=torch.float64)
    assert len(prior.means) == 5
    held_out = torch.tensor(poses[:20])
    expected = Mixture(
        *(
            np.asarray(x)
            for x in (
                prior.log_weights.exp(),
                prior.means,
                torch.linalg.inv(prior.whiten) @ torch.linalg.inv(prior.whiten).mT,
            )
        )
    ).log_likelihood(poses[:20])
    assert prior.log_density(held_out).mean().item() == pytest.approx(expected, abs=1e-3)
