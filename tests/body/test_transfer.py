"""Pose, shape and place of one body on another, with an SMPL-format body made from the open one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dsr.body import Body, axis_angle_to_rotmat, load_asset, load_body, measure_body, standing_height_m
from dsr.body.licensed import convert
from dsr.body.transfer import LIMBS, PLACED, BodyTransfer, carry_pose
from dsr.errors import BodyError

MIX = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0]


@pytest.fixture(scope="module")
def opened():
    return load_body("open-light")


@pytest.fixture(scope="module")
def smpl(tmp_path_factory):
    """In SMPL's format: 10 betas that mean something else, pose correctives, other arms at rest, no part names."""
    asset = load_asset("open-light")
    template = asset.v_template.astype(np.float64).copy()
    joints = asset.J_regressor @ template
    for shoulder, side in ((16, 1), (17, -1)):  # arms droop by 6 degrees
        out = np.clip((template[:, 0] * side - joints[shoulder, 0] * side) / 0.1, 0, 1)
        template[:, 1] -= out * (template[:, 0] * side - joints[shoulder, 0] * side).clip(0) * np.tan(np.radians(6))
    data = {
        "v_template": template,
        "shapedirs": asset.shapedirs[..., :10].astype(np.float64) @ MIX,
        "posedirs": np.zeros((asset.num_vertices, 3, 207)),
        "J_regressor": asset.J_regressor,
        "weights": asset.weights.astype(np.float64),
        "kintree_table": np.array([asset.parents, np.arange(24)]).astype(np.uint32),
        "f": asset.faces.astype(np.uint32),
    }
    return Body(convert(data, tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.pkl"))


def somebody(count=2, betas=10):
    generator = torch.Generator().manual_seed(5)
    turns = 0.4 * torch.randn(count, 24, 3, generator=generator)
    turns[:, 0] = torch.tensor([np.pi, 0.1, 0.2])
    transl = torch.tensor([0.2, -0.1, 3.0]).expand(count, 3)
    return axis_angle_to_rotmat(turns), torch.randn(count, betas, generator=generator), transl


def test_the_same_body_gets_the_same_parameters(opened):
    pose, betas, transl = somebody(betas=11)
    same = BodyTransfer(opened, opened)(pose, betas, transl)
    torch.testing.assert_close(same.pose_rotmat, pose, atol=1e-5, rtol=0)
    torch.testing.assert_close(same.betas, betas)
    torch.testing.assert_close(same.transl, transl, atol=1e-5, rtol=0)


def test_a_shape_is_carried_over_without_a_facial_expression(opened, smpl):
    """Of SMPL-X's betas the last ones are the face's; they stay 0, and the body is as tall as without them."""
    with_face = Body(replace(smpl.asset, num_expressions=3))
    betas = torch.tensor([[2.0, -1.0, 0.5, 0, 0, 0, 0, 0, 0, 0]])
    carried = BodyTransfer(opened, with_face).shape(betas)
    assert carried.shape == (1, 10) and not carried[:, 7:].any() and carried[:, :7].any()
    height, before = (
        float(standing_height_m(body.asset, b.numpy())[0]) for body, b in ((with_face, carried), (opened, betas))
    )
    assert height == pytest.approx(before, abs=0.03)


@pytest.mark.parametrize("direction", ["to the open body", "back"])
def test_limbs_lie_where_they_lay_and_sizes_are_kept(opened, smpl, direction):
    source, target = (smpl, opened) if direction == "to the open body" else (opened, smpl)
    pose, betas, transl = somebody(betas=source.num_betas)
    if source is opened:
        betas[:, 10], betas[:, 11:] = 0.1, 0.0  # the other body has the first ten
    moved = BodyTransfer(source, target)(pose, betas, transl)
    before = source(betas, pose[:, 1:], pose[:, 0], transl)
    after = target(moved.betas, moved.pose_rotmat[:, 1:], moved.pose_rotmat[:, 0], moved.transl)
    assert (before.joints - after.joints)[:, PLACED].norm(dim=-1).max() < 0.015
    for start, end in LIMBS.items():
        ours, theirs = (x.joints[:, end] - x.joints[:, start] for x in (after, before))
        turn = torch.nn.functional.cosine_similarity(ours, theirs).clamp(max=1).arccos()
        assert torch.rad2deg(turn).max() < 0.2
        assert (ours.norm(dim=-1) - theirs.norm(dim=-1)).abs().max() < 0.004
    for i in range(len(betas)):
        first, second = (measure_body(b.asset, x[i].numpy()) for b, x in ((source, betas), (target, moved.betas)))
        assert abs(first.height_m - second.height_m) < 0.004
        assert abs(first.mass_kg - second.mass_kg) < 0.03 * first.mass_kg
        assert abs(first.waist_m - second.waist_m) < 0.015 and abs(first.hip_m - second.hip_m) < 0.015


def test_there_and_back_is_where_it_began(opened, smpl):
    pose, betas, transl = somebody()
    there = BodyTransfer(smpl, opened)(pose, betas, transl)
    back = BodyTransfer(opened, smpl)(there.pose_rotmat, there.betas, there.transl)
    torch.testing.assert_close(back.pose_rotmat, pose, atol=0.03, rtol=0)
    before = smpl(betas, pose[:, 1:], pose[:, 0], transl).vertices
    after = smpl(back.betas, back.pose_rotmat[:, 1:], back.pose_rotmat[:, 0], back.transl).vertices
    assert (before - after).norm(dim=-1).mean() < 0.01


def test_torso_head_hands_and_feet_keep_their_attitude(opened, smpl):
    """Their joints lie elsewhere in other bodies: turning bones onto each other would tilt the flesh."""
    pose, _, _ = somebody(1)
    carried = carry_pose(pose, smpl.rest_joints(), opened.rest_joints())
    chains = {}
    for name, rotations in (("before", pose), ("after", carried)):
        world = [rotations[:, 0]]
        for joint in range(1, 24):
            world.append(world[int(opened.parents[joint])] @ rotations[:, joint])
        chains[name] = torch.stack(world, 1)
    still = [j for j in range(24) if j not in LIMBS]
    torch.testing.assert_close(chains["after"][:, still], chains["before"][:, still], atol=1e-5, rtol=0)
    turned = (chains["after"] - chains["before"])[:, [16, 17]].flatten(1).norm(dim=-1)
    assert turned > 0.1  # the arms droop by 6 degrees in one of them


def test_bodies_with_fingers_keep_them_at_rest(opened):
    pose, _, _ = somebody(2)
    rest = torch.cat([opened.rest_joints().expand(2, -1, -1), torch.zeros(2, 28, 3)], 1)
    wide = carry_pose(pose, opened.rest_joints(), rest, 52)
    torch.testing.assert_close(wide[:, :22], pose[:, :22], atol=1e-5, rtol=0)
    torch.testing.assert_close(wide[:, 22:], torch.eye(3).expand(2, 30, 3, 3))
    with pytest.raises(BodyError, match="21 joints"):
        carry_pose(pose[:, :21], opened.rest_joints(), opened.rest_joints())


def test_another_skeleton_is_refused(opened):
    parents = opened.asset.parents.copy()
    parents[4] = 2
    with pytest.raises(BodyError, match="has not SMPL's joints"):
        BodyTransfer(opened, Body(replace(opened.asset, parents=parents)))
