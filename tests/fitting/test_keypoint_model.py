"""The closed-form keypoints and Jacobians against the full body layer and finite differences."""

import pytest
import torch

from dsr.body import load_body
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.fitting.keypoint_model import KeypointModel, left_jacobian

BATCH = 2


@pytest.fixture(scope="module")
def body():
    return load_body("open", dtype=torch.float64)


@pytest.fixture(scope="module")
def state(body):
    g = torch.Generator().manual_seed(4)
    count = KeypointModel(body.asset, "coco17").num_betas
    random = [torch.randn(BATCH, n, generator=g, dtype=torch.float64) for n in (3, 63, count, 3)]
    return random[0], 0.4 * random[1], random[2], random[3]


@pytest.mark.parametrize("keypoint_set", ["blazepose33", "coco17", "openpose25", "h36m17"])
def test_points_are_those_of_the_full_body(body, state, keypoint_set):
    aa, theta, betas, transl = state
    posed = KeypointModel(body.asset, keypoint_set).pose(axis_angle_to_rotmat(aa), theta, betas, transl)
    hands = torch.zeros(BATCH, 2, 3, dtype=torch.float64)
    output = body(betas, torch.cat([theta.reshape(BATCH, 21, 3), hands], 1), aa, transl)
    torch.testing.assert_close(posed.points, body.keypoints(output.vertices, keypoint_set), atol=1e-9, rtol=0)
    torch.testing.assert_close(posed.joints, output.joints, atol=1e-9, rtol=0)


def test_jacobian_is_the_derivative(body, state):
    aa, theta, betas, transl = state
    root = axis_angle_to_rotmat(aa)
    model = KeypointModel(body.asset, "blazepose33")
    jacobian = model.pose(root, theta, betas, transl).jacobian
    n, eps = model.num_betas, 1e-6

    def points(d):
        turned = axis_angle_to_rotmat(d[:3].expand(BATCH, 3)) @ root
        return model.pose(turned, theta + d[3:66], betas + d[66 : 66 + n], transl + d[66 + n :]).points

    for column in range(model.num_parameters):
        d = torch.zeros(model.num_parameters, dtype=torch.float64)
        d[column] = eps
        numeric = (points(d) - points(-d)) / (2 * eps)
        torch.testing.assert_close(jacobian[..., column], numeric, atol=1e-6, rtol=1e-5)


def test_height_is_the_mesh_height(body, state):
    model = KeypointModel(body.asset, "coco17")
    y = body(state[2]).vertices[..., 1]
    torch.testing.assert_close(model.height(state[2])[0], y.amax(1) - y.amin(1), atol=3e-3, rtol=0)


def test_left_jacobian_at_zero_is_the_identity():
    zero = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(left_jacobian(zero), torch.eye(3, dtype=torch.float64))
