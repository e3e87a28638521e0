"""Two views of the same unknowns as one: the shape of the first, the pose of the second."""

import torch

from dsr.fitting.shape_and_pose import pose_as_fitted
from dsr.fitting.solver import NormalEquations

BETAS, SIZE = 2, 9  # four of pose, two of shape, three of place
SHAPE, POSE = [4, 5], [0, 1, 2, 3, 6, 7, 8]


def system(seed):
    """A random quadratic cost of two people."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2, 30, SIZE, generator=generator, dtype=torch.float64)
    gradient = torch.randn(2, SIZE, generator=generator, dtype=torch.float64)
    return NormalEquations(torch.zeros(2, dtype=torch.float64), gradient, rows.transpose(1, 2) @ rows)


def best(s):
    return -torch.linalg.solve(s.normal, s.gradient[..., None])[..., 0]


def given(s, betas):
    """The best pose at a shape."""
    pull = s.gradient[:, POSE] + (s.normal[:, POSE][:, :, SHAPE] @ betas[..., None])[..., 0]
    return -torch.linalg.solve(s.normal[:, POSE][:, :, POSE], pull[..., None])[..., 0]


def test_the_shape_is_the_first_ones_and_the_pose_given_the_shape_the_second_ones():
    first, second = system(0), system(1)
    joined = pose_as_fitted(first, second, BETAS)
    torch.testing.assert_close(best(joined)[:, SHAPE], best(first)[:, SHAPE], rtol=1e-4, atol=1e-6)
    covariance, alone = torch.linalg.inv(joined.normal), torch.linalg.inv(first.normal)
    torch.testing.assert_close(covariance[:, SHAPE][:, :, SHAPE], alone[:, SHAPE][:, :, SHAPE], rtol=1e-4, atol=1e-6)
    # at any shape the pose that the joined cost likes best is the second system's
    betas = torch.tensor([[0.3, -0.2], [1.0, 0.5]], dtype=torch.float64)
    expected, pose = (given(matrix, betas) for matrix in (second, joined))
    torch.testing.assert_close(pose, expected)


def test_a_system_joined_with_itself_stays():
    same = system(2)
    joined = pose_as_fitted(same, same, BETAS)
    torch.testing.assert_close(joined.normal, same.normal, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(joined.gradient, same.gradient, rtol=1e-5, atol=1e-5)
