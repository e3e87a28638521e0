"""Metrics: invariances, a brute-force reference, masks, and gradients where an SVD has none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harness import gradcheck
from scipy.spatial.transform import Rotation

from dsr.errors import UsageError
from dsr.evaluation import mpjpe, pa_mpjpe, procrustes_align, pve


def points(count: int = 17, batch: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, count, 3))


def similarity(x: np.ndarray, seed: int = 1) -> np.ndarray:
    turn = Rotation.random(len(x), random_state=seed).as_matrix()
    return 1.7 * x @ np.swapaxes(turn, -1, -2) + np.array([0.3, -2.0, 5.0])


def test_mpjpe_by_hand_and_root():
    a = np.zeros((1, 2, 3))
    b = np.array([[[1.0, 0, 0], [1, 3, 4]]])
    assert mpjpe(a, b) == pytest.approx(2.5)
    assert mpjpe(a, b, root=None) == pytest.approx((1 + np.sqrt(26)) / 2)
    assert mpjpe(a, b, root=1) == pytest.approx(2.5)
    assert mpjpe(a, b, root=(0, 1)) == pytest.approx(2.5)
    assert mpjpe(a, b, reduction="joint") == pytest.approx([0, 5])


def test_types_follow_the_prediction():
    x = points()
    assert isinstance(mpjpe(x, torch.tensor(x)), np.ndarray)
    assert isinstance(mpjpe(torch.tensor(x), x), torch.Tensor)
    assert mpjpe(x.astype(np.float32), x + 1).dtype == np.float32
    assert pa_mpjpe(torch.tensor(x).float(), similarity(x)).item() < 1e-5


def test_pa_mpjpe_is_zero_after_any_similarity():
    x = points()
    assert pa_mpjpe(similarity(x), x) < 1e-12
    assert mpjpe(similarity(x), x) > 0.5


def test_pa_mpjpe_never_reflects():
    x = points()
    mirrored = x * [-1, 1, 1]
    assert pa_mpjpe(mirrored, x) > 0.2
    flat = x * [1, 1, 0]  # for flat points a mirror image is a rotation
    assert pa_mpjpe(flat * [-1, 1, 1], flat) < 1e-12


def test_procrustes_against_a_direct_search():
    from scipy.optimize import minimize

    x, y = points(9, 1, 3)[0], points(9, 1, 4)[0]

    def cost(v: np.ndarray) -> float:
        return float(np.square(np.exp(v[6]) * x @ Rotation.from_rotvec(v[:3]).as_matrix().T + v[3:6] - y).sum())

    starts = np.random.default_rng(0).normal(size=(12, 7))
    best = min(minimize(cost, start, method="BFGS").fun for start in starts)
    assert np.square(procrustes_align(x, y) - y).sum() == pytest.approx(best, rel=1e-6)
    rigid = procrustes_align(x, y, scale=False)
    assert np.linalg.norm(rigid[0] - rigid[1]) == pytest.approx(np.linalg.norm(x[0] - x[1]))


def test_reductions_agree():
    x, y = points(seed=5), points(seed=6)
    none = pa_mpjpe(x, y, reduction="none")
    assert none.shape == (4, 17)
    assert pa_mpjpe(x, y, reduction="sample") == pytest.approx(none.mean(-1))
    assert pa_mpjpe(x, y, reduction="joint") == pytest.approx(none.mean(0))
    assert pa_mpjpe(x, y) == pytest.approx(none.mean())
    assert pa_mpjpe(x[0], y[0]) == pytest.approx(none[0].mean())


def test_masked_points_do_not_matter():
    x, y = points(), similarity(points())
    mask = np.ones((4, 17), bool)
    mask[0, 3] = mask[2, 7] = False
    spoiled = x.copy()
    spoiled[0, 3], spoiled[2, 7] = 1e6, np.nan
    assert pa_mpjpe(spoiled, y, mask) < 1e-12
    assert mpjpe(spoiled, y, mask) == pytest.approx(mpjpe(x, y, mask))
    assert np.isnan(mpjpe(x, y, np.zeros((4, 17)), reduction="sample")).all()
    assert np.isnan(mpjpe(spoiled, y, mask, reduction="none")[0, 3])


def test_masked_nan_leaves_gradients_finite():
    x = torch.tensor(points())
    x[0, 3] = torch.nan
    x.requires_grad_()
    mask = ~torch.isnan(x.detach()[..., 0])
    for metric in (mpjpe, pa_mpjpe):
        (gradient,) = torch.autograd.grad(metric(x, points(seed=1), mask), x)
        assert gradient.isfinite().all() and gradient.abs().sum() > 0


@pytest.mark.parametrize("scale", [True, False])
def test_gradients_of_the_alignment(scale: bool):
    x, y = torch.tensor(points(6, 2)), torch.tensor(points(6, 2, 9))
    gradcheck(lambda a, b: procrustes_align(a, b, scale=scale), x, y)
    gradcheck(lambda a, b: pa_mpjpe(a, b, scale=scale), x, y)


def test_gradients_of_a_mirrored_prediction():
    y = torch.tensor(points(8, 1, 2))
    x = y * torch.tensor([-1.0, 1, 1]) + 0.05 * torch.tensor(points(8, 1, 3))
    gradcheck(lambda a: procrustes_align(a, y), x)


@pytest.mark.parametrize("shape", ["cube", "flat", "line", "point", "equal"])
def test_gradients_stay_finite_for_symmetric_points(shape: str):
    cube = np.stack(np.meshgrid([-1.0, 1], [-1.0, 1], [-1.0, 1]), -1).reshape(1, 8, 3)
    scale = {"cube": (1, 1, 1), "flat": (1, 1, 0), "line": (1, 0, 0), "point": (0, 0, 0), "equal": (1, 1, 1)}[shape]
    x = torch.tensor(cube * scale, requires_grad=True)
    target = x.detach() if shape == "equal" else torch.tensor(cube * scale + 0.1 * points(8, 1))
    (gradient,) = torch.autograd.grad(pa_mpjpe(x, target), x)
    assert gradient.isfinite().all()


def test_pve_uses_the_roots():
    x = points(50)
    moved = x + np.array([1.0, 0, 0])
    assert pve(moved, x) == pytest.approx(1.0)
    assert pve(moved, x, predicted_root=moved[:, 0], target_root=x[:, 0]) == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(UsageError, match="both"):
        pve(moved, x, predicted_root=moved[:, 0])


def test_wrong_shapes_are_named():
    with pytest.raises(UsageError, match=r"\(4, 17, 3\)"):
        mpjpe(points(), points(16))
    with pytest.raises(UsageError, match="reduction"):
        mpjpe(points(), points(), reduction="sum")
    with pytest.raises(UsageError):
        mpjpe(points()[..., :2], points()[..., :2])
