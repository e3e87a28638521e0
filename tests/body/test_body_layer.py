"""The layer against smplx, against the obvious numpy formulation, and against finite differences."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from body_toys import smplx_parents, toy_asset
from harness import gradcheck

from dsr.body import Body, axis_angle_to_rotmat, load_asset, load_body, pose_vertices, skeleton
from dsr.errors import BodyError


def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "body_layer.py"
    spec = importlib.util.spec_from_file_location("body_layer_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parameters(asset, batch=3, dtype=torch.float64, pose_scale=0.4):
    generator = torch.Generator().manual_seed(1)
    sizes = ((asset.num_betas,), (asset.num_joints - 1, 3), (3,), (3,))
    betas, pose, orient, transl = (torch.randn(batch, *s, generator=generator, dtype=dtype) for s in sizes)
    return betas, pose_scale * pose, orient, transl


ASSETS = {
    "open": lambda: load_asset("open"),
    "posedirs": lambda: toy_asset(400),
    "ten betas": lambda: toy_asset(400, betas=10),
}


@pytest.mark.parametrize("kind", ASSETS)
def test_agrees_with_smplx_forward_and_gradient(kind):
    pytest.importorskip("smplx", reason="the smplx extra is not installed")
    asset = ASSETS[kind]()
    ours, reference = Body(asset, torch.float64), benchmark().smplx_model(asset, torch.float64)
    inputs = [p.requires_grad_() for p in parameters(asset)]
    betas, pose, orient, transl = inputs
    got = ours(betas, pose, orient, transl)
    want = reference(betas=betas, body_pose=pose.flatten(1), global_orient=orient, transl=transl)
    assert torch.allclose(got.vertices, want.vertices, atol=1e-5)
    assert torch.allclose(got.joints, want.joints[:, : asset.num_joints], atol=1e-5)
    probe_v = torch.randn(got.vertices.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    probe_j = torch.randn(got.joints.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    gradients = torch.autograd.grad((got.vertices * probe_v).mean() + (got.joints * probe_j).sum(), inputs)
    expected = torch.autograd.grad(
        (want.vertices * probe_v).mean() + (want.joints[:, : asset.num_joints] * probe_j).sum(), inputs
    )
    for gradient, exact in zip(gradients, expected, strict=True):
        assert gradient.abs().max() > 0
        assert torch.allclose(gradient, exact, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("fused", [True, False])
def test_single_precision_stays_within_a_hundredth_of_a_millimetre(batch, fused):
    asset = load_asset("open-light")
    body = Body(asset)
    body.fused = fused
    inputs = parameters(asset, batch)
    output = body(*inputs)
    assert output.vertices.dtype == torch.float32
    for i in range(batch):
        exact = pose_vertices(asset, *(p[i].numpy() for p in inputs))
        assert np.abs(output.vertices[i].numpy() - exact).max() < 1e-5
        _, transforms = skeleton(asset, *(p[i].numpy() for p in inputs))
        assert np.abs(output.transforms[i].numpy() - transforms).max() < 1e-5


def test_a_tree_of_55_joints_in_any_order():
    parents = smplx_parents()
    assert len(parents) == 55 and parents[25] == 20 and parents[40] == 21 and parents[54] == 53
    asset = toy_asset(200, parents=parents)
    inputs = parameters(asset, 2)
    plain = Body(asset, torch.float64)(*inputs).vertices
    assert np.allclose(plain[1].numpy(), pose_vertices(asset, *(p[1].numpy() for p in inputs)), atol=1e-10)
    # the same body with its joints listed backwards except for the root: parents now follow their children
    order = np.array([0, *range(54, 0, -1)])
    place = np.argsort(order)
    turned = replace(
        asset,
        parents=np.array([-1 if asset.parents[j] < 0 else place[asset.parents[j]] for j in order]),
        weights=asset.weights[:, order],
        J_regressor=asset.J_regressor[order],
        posedirs=asset.posedirs.reshape(200, 3, 54, 9)[:, :, order[1:] - 1].reshape(200, 3, -1),
    )
    betas, pose, orient, transl = inputs
    shuffled = Body(turned, torch.float64)(betas, pose[:, order[1:] - 1], orient, transl).vertices
    assert torch.allclose(shuffled, plain, atol=1e-10)


def test_gradcheck_of_first_and_second_derivatives():
    asset = toy_asset(12, betas=2, parents=(-1, 0, 1, 0))
    body = Body(asset, torch.float64)
    inputs = parameters(asset, 2)

    def outputs(*args):
        output = body(*args)
        return output.vertices, output.joints

    gradcheck(outputs, *inputs)
    gradcheck(lambda *args: body(*args).vertices, *inputs, second=True)


def test_accepted_forms_of_a_pose_agree():
    asset = toy_asset(50)
    body = Body(asset, torch.float64)
    betas, pose, orient, transl = parameters(asset)
    want = body(betas, pose, orient, transl).vertices
    assert torch.equal(body(betas, pose.flatten(1), orient, transl).vertices, want)
    matrices = axis_angle_to_rotmat(pose), axis_angle_to_rotmat(orient)
    assert torch.allclose(body(betas, *matrices, transl).vertices, want)
    assert torch.allclose(body(betas, matrices[0], matrices[1][:, None], transl).vertices, want)


def test_batch_of_one_is_shared_and_missing_betas_are_zero():
    asset = toy_asset(50)
    body = Body(asset, torch.float64)
    betas, pose, orient, transl = parameters(asset)
    betas[:, 4:] = 0
    want = body(betas[:1].expand(3, -1), pose, orient, transl)
    got = body(betas[:1, :4], pose, orient, transl)
    assert torch.allclose(got.vertices, want.vertices) and torch.allclose(got.joints, want.joints)
    assert torch.allclose(body.pose_joints(betas[:1], pose, orient, transl), want.joints)
    rest = body()
    assert torch.allclose(rest.vertices[0], torch.from_numpy(asset.v_template).double())
    assert torch.allclose(rest.joints, body.rest_joints())


def test_orientation_turns_about_the_pelvis_and_transl_comes_last():
    body = load_body("open-light", dtype=torch.float64)
    orient = torch.tensor([[0.0, torch.pi / 2, 0.0]])
    transl = torch.tensor([[1.0, 2.0, 3.0]])
    rest, turned = body(), body(global_orient=orient, transl=transl)
    assert torch.allclose(turned.joints[0, 0], rest.joints[0, 0] + transl[0])
    facing = turned.joints[0, 10] - turned.joints[0, 7]  # ankle to foot points forward: +z turned about y is +x
    assert facing[0] > 0.05 and abs(facing[2]) < 0.6 * facing[0]


def test_bending_the_left_elbow_moves_the_left_hand_only():
    body = load_body("open-light")
    pose = torch.zeros(1, 23, 3)
    pose[0, 18 - 1, 1] = -1.2  # left elbow about y: the hand at +x comes to the front
    rest, bent = body(), body(body_pose=pose)
    moved = (bent.joints - rest.joints)[0]
    assert moved[22, 2] > 0.15 and rest.joints[0, 22, 0] > 0.4
    assert moved[[0, 9, 15, 21, 23, 10, 11, 16]].abs().max() < 1e-6
    right_side = rest.vertices[0, :, 0] < -0.05
    assert (bent.vertices - rest.vertices)[0, right_side].abs().max() < 1e-6


def test_keypoints_follow_the_dense_product_and_carry_gradients():
    body = load_body("open-light", dtype=torch.float64)
    vertices = body(*parameters(body.asset, 2)).vertices.detach().requires_grad_()
    for name, regressor in body.asset.keypoint_regressors.items():
        keypoints = body.keypoints(vertices, name)
        dense = torch.from_numpy(regressor.toarray()).double()
        assert torch.allclose(keypoints, dense @ vertices, atol=1e-9)
    (gradient,) = torch.autograd.grad(body.keypoints(vertices, "coco17")[0, 0].sum(), vertices)
    nose = body.asset.keypoint_regressors["coco17"].toarray()[0]
    assert torch.allclose(gradient[0, :, 0], torch.from_numpy(nose).double()) and gradient[1].abs().max() == 0


def test_shapes_that_do_not_fit_are_named():
    body = Body(toy_asset(50))
    with pytest.raises(BodyError, match=r"betas .*\(1, 12\).*up to 11"):
        body(betas=torch.zeros(1, 12))
    with pytest.raises(BodyError, match=r"body_pose .*\(1, 24, 3\)"):
        body(body_pose=torch.zeros(1, 24, 3))
    with pytest.raises(BodyError, match="batch sizes"):
        body(betas=torch.zeros(2, 3), body_pose=torch.zeros(3, 23, 3))
    with pytest.raises(BodyError, match=r"h36m17.*coco17"):
        body.keypoints(torch.zeros(1, 50, 3), "h36m17")


def test_moves_between_dtypes_and_keeps_no_weights_in_the_state_dict():
    body = Body(toy_asset(50)).double()
    output = body(torch.zeros(1, 11, dtype=torch.float32))
    assert output.vertices.dtype == torch.float64 and body.keypoints(output.vertices, "coco17").dtype == torch.float64
    assert not body.state_dict()
    assert list(body.parameters()) == []
