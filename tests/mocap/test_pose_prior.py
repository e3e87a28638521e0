"""The pose prior that ships: densities, residuals for least squares, symmetry, limits and samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dsr.checkpoints import shipped_file
from dsr.errors import FittingError
from dsr.mocap.pose_prior import PosePrior

NAMES = [
    "l_hip",
    "r_hip",
    "spine1",
    "l_knee",
    "r_knee",
    "spine2",
    "l_ankle",
    "r_ankle",
    "spine3",
    "l_foot",
    "r_foot",
    "neck",
    "l_collar",
    "r_collar",
    "head",
    "l_shoulder",
    "r_shoulder",
    "l_elbow",
    "r_elbow",
    "l_wrist",
    "r_wrist",
]
FLIP = [NAMES.index({"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:]) for name in NAMES]


@pytest.fixture(scope="module")
def prior() -> PosePrior:
    return PosePrior.load(dtype=torch.float64)


def pose(**joints: tuple[float, float, float]) -> torch.Tensor:
    theta = torch.zeros(21, 3, dtype=torch.float64)
    theta[NAMES.index("l_shoulder"), 2], theta[NAMES.index("r_shoulder"), 2] = -1.2, 1.2  # arms hang
    theta[NAMES.index("l_elbow"), 1], theta[NAMES.index("r_elbow"), 1] = -0.3, 0.3
    for name, value in joints.items():
        theta[NAMES.index(name)] = torch.tensor(value, dtype=torch.float64)
    return theta.reshape(1, 63)


def mirror(theta: torch.Tensor) -> torch.Tensor:
    signs = torch.tensor([1.0, -1.0, -1.0], dtype=theta.dtype)
    return (theta.reshape(-1, 21, 3)[:, FLIP] * signs).reshape(-1, 63)


def test_matches_torch_distributions(prior: PosePrior):
    factors = torch.linalg.inv(prior.whiten).tril()
    gaussians = torch.distributions.MultivariateNormal(prior.means, scale_tril=factors)
    weights = torch.distributions.Categorical(logits=prior.log_weights)
    mixture = torch.distributions.MixtureSameFamily(weights, gaussians)
    theta = prior.sample(20, torch.Generator().manual_seed(0))
    assert prior.log_density(theta) == pytest.approx(mixture.log_prob(theta), abs=1e-4)
    own = gaussians.log_prob(theta[:, None]) + prior.log_weights
    shift = -own.max(-1).values - prior.nll(theta)
    assert shift == pytest.approx(shift[0].expand(20), abs=1e-4)  # one shared constant


def test_residual_is_the_best_component_and_its_jacobian(prior: PosePrior):
    theta = prior.sample(8, torch.Generator().manual_seed(1)).requires_grad_()
    residual, index, jacobian = prior.residual(theta)
    assert residual.shape == (8, 63) and index.shape == (8,) and jacobian.shape == (8, 63, 63)
    nll = 0.5 * residual.square().sum(-1) + prior.offset[index]
    assert torch.allclose(nll, prior.component_nll(theta).min(-1).values)
    assert torch.allclose(nll, prior.nll(theta))
    (gradient,) = torch.autograd.grad(prior.nll(theta).sum(), theta)
    assert torch.allclose(gradient, torch.einsum("bij,bi->bj", jacobian, residual))  # J^T r
    for m, mean in enumerate(prior.means):  # a mean may lie nearer to a heavier component, never farther than its own
        assert prior.nll(mean[None]) <= prior.offset[m] + 1e-9
    assert prior.offset.min() == 0


def test_left_and_right_are_treated_alike(prior: PosePrior):
    theta = prior.sample(50, torch.Generator().manual_seed(2))
    assert torch.allclose(prior.nll(theta), prior.nll(mirror(theta)), atol=1e-3)
    lower, upper = mirror(prior.lower[None])[0], mirror(prior.upper[None])[0]
    assert torch.allclose(torch.minimum(lower, upper), prior.lower)
    assert torch.allclose(torch.maximum(lower, upper), prior.upper)


def test_hinges_bend_one_way(prior: PosePrior):
    lower, upper = prior.lower.reshape(21, 3), prior.upper.reshape(21, 3)
    for knee in ("l_knee", "r_knee"):
        joint = NAMES.index(knee)
        assert lower[joint, 0] > -0.2 and upper[joint, 0] > 2.3  # backwards: +x
        assert upper[joint, 1:].max() < 0.6 and lower[joint, 1:].min() > -0.6
    left, right = NAMES.index("l_elbow"), NAMES.index("r_elbow")
    assert upper[left, 1] < 0.2 and lower[left, 1] < -2.3
    assert lower[right, 1] > -0.2 and upper[right, 1] > 2.3
    means = prior.means.reshape(-1, 21, 3)
    assert (means[:, NAMES.index("l_knee"), 0] > 0).all() and (means[:, left, 1] < 0).all()


def test_common_poses_are_likelier_than_broken_ones(prior: PosePrior):
    stand = prior.nll(pose())
    sit = prior.nll(pose(l_hip=(-1.5, 0, 0), r_hip=(-1.5, 0, 0), l_knee=(1.5, 0, 0), r_knee=(1.5, 0, 0)))
    assert stand < sit < stand + 40  # sitting is rare in the clips, but must stay possible
    for broken in ({"head": (0, 2.5, 0)}, {"l_knee": (-1.5, 0, 0)}, {"spine1": (-1.5, 0, 0)}):
        assert prior.nll(pose(**broken)) > stand + 25
    assert ((prior.lower <= pose()) & (pose() <= prior.upper)).all()


def test_samples_are_reproducible_plausible_and_varied(prior: PosePrior):
    theta = prior.sample(400, torch.Generator().manual_seed(3))
    assert torch.equal(theta, prior.sample(400, torch.Generator().manual_seed(3)))
    assert ((theta >= prior.lower) & (theta <= prior.upper)).all()
    typical = prior.nll(theta).median()
    assert typical < 63  # about half the dimensions plus the offset of the component
    anywhere = torch.rand(400, 63, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    assert prior.nll(prior.lower + anywhere * (prior.upper - prior.lower)).median() > typical + 30
    assert theta.reshape(-1, 21, 3)[:, [15, 16]].std(0).min() > 0.2
    calm = prior.sample(400, torch.Generator().manual_seed(3), temperature=0.0)
    assert torch.cdist(calm, prior.means).min(-1).values.max() < 1e-6
    assert prior.nll(calm).mean() < prior.nll(theta).mean()


def test_dtype_and_default():
    prior = PosePrior.load()
    assert prior.means.dtype == torch.float32
    assert prior.to(dtype=torch.float64).whiten.dtype == torch.float64
    assert prior.means.shape[1:] == (63,)
    assert (
        shipped_file("pose_prior.safetensors").with_suffix(".md").read_text(encoding="utf-8").count("mocap.cs.cmu.edu")
        == 1
    )
    assert shipped_file("pose_prior.safetensors").stat().st_size < 1_000_000


def test_wrong_files_are_named(tmp_path: Path):
    with pytest.raises(FittingError, match=r"none\.safetensors"):
        PosePrior.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(FittingError, match=r"text\.safetensors"):
        PosePrior.load(tmp_path / "text.safetensors")
    save_file({"means": torch.zeros(2, 69)}, tmp_path / "other.safetensors")
    with pytest.raises(FittingError, match="63 dimensions"):
        PosePrior.load(tmp_path / "other.safetensors")
