"""The default network: points that joints move, what it sees, how a mirror changes it, and its file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dsr.body import load_asset, load_body
from dsr.body.landmark_ik import pose_from_landmarks
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.checkpoints import write_weights
from dsr.errors import CheckpointError, UsageError
from dsr.people import PersonMask
from dsr.regressors import build_regressor
from dsr.regressors.default.averaging import both_ways, mirrored_turns
from dsr.regressors.default.inputs import MASK_REACH, MASK_SIZE, PersonInputs, sample_masks, without_pieces
from dsr.regressors.default.network import DESIGNS, DefaultRegressor, placed
from dsr.regressors.default.points import BodyPoints
from dsr.regressors.default.shipped import load_default, network_header


@pytest.fixture(scope="module")
def asset():
    return load_asset("open-light")


def people(count: int = 3, seed: int = 0) -> PersonInputs:
    """Posed bodies four metres away whose landmarks are true."""
    generator = torch.Generator().manual_seed(seed)
    turns = axis_angle_to_rotmat(0.3 * torch.randn(count, 24, 3, generator=generator))
    facing = torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    turns[:, 0] = facing @ turns[:, 0]
    turns[:, 22:] = torch.eye(3)
    _, points, _ = BodyPoints(load_asset("open-light"))(turns, torch.zeros(count, 11))
    points = points + torch.tensor([0.0, 0.0, 4.0])
    rays = points[..., :2] / points[..., 2:]
    scale = (rays.amax(1) - rays.amin(1)).amax(1)
    world = points - points[:, [23, 24]].mean(1, keepdim=True)
    lifted = 0.3 * torch.randn(count, 17, 3, generator=generator)
    mask = torch.rand(count, MASK_SIZE, MASK_SIZE, generator=generator)
    return PersonInputs(rays, torch.ones(count, 33), world, lifted, mask, scale, torch.ones(count, 2))


def silent(network: DefaultRegressor) -> DefaultRegressor:
    """The network, saying nothing."""
    for trunk in network.trunks:
        for name, parameter in trunk.named_parameters():
            if name.split(".")[0] in ("said", "turn", "shape"):
                torch.nn.init.zeros_(parameter)
    return network.eval()


def test_points_are_those_of_the_body(asset):
    body, generator = load_body("open-light"), torch.Generator().manual_seed(3)
    turns = axis_angle_to_rotmat(0.5 * torch.randn(4, 24, 3, generator=generator))
    betas = torch.randn(4, 11, generator=generator)
    joints, points, world = BodyPoints(asset, "blazepose33", (5, 700, 6000))(turns, betas)
    output = body(betas, turns[:, 1:], turns[:, 0])
    assert torch.allclose(joints, output.joints, atol=1e-5)
    assert torch.allclose(points[:, :33], body.keypoints(output.vertices, "blazepose33"), atol=1e-5)
    assert torch.allclose(points[:, 33:], output.vertices[:, [5, 700, 6000]], atol=1e-5)
    assert torch.allclose(world[:, 0], turns[:, 0])


@pytest.mark.parametrize("design", DESIGNS)
def test_what_says_nothing_gives_the_landmarks_pose(design: str):
    network, inputs = silent(build_regressor("default", design=design, width=32, blocks=1)), people()
    with torch.no_grad():
        bodies = network(inputs)
    root, theta = pose_from_landmarks(inputs.world, network.body.rest)
    assert torch.allclose(bodies.turns[:, 0], root, atol=1e-5)
    assert torch.allclose(bodies.turns[:, 1:22], axis_angle_to_rotmat(theta.reshape(3, 21, 3)), atol=1e-4)
    assert (bodies.betas == 0).all() and (bodies.point_sigma > 0).all() and bodies.pose_sigma.shape == (3, 21, 3)
    off = bodies.points[..., :2] / bodies.points[..., 2:] - inputs.rays
    assert off.norm(dim=-1).mean() < 0.05 * inputs.scale.mean()  # and it stands where the keypoints are


def test_pictures_far_to_the_side_are_no_matter_of_the_network():
    """Depth follows the size in the picture: at half the scale somebody stands twice as far away, in the same pose."""
    network, inputs = silent(DefaultRegressor(width=16, blocks=1)), people()
    near = network(inputs)
    far = network(replace(inputs, rays=inputs.rays / 2, scale=inputs.scale / 2))
    assert torch.allclose(far.turns, near.turns, atol=1e-5)
    assert ((far.transl[:, 2] / near.transl[:, 2] - 2).abs() < 0.15).all()


def test_nobody_is_placed_behind_the_camera():
    inputs = people()
    upside = replace(inputs, rays=-inputs.rays)
    assert (placed(inputs.world, upside)[:, 2] > 0.5).all()


def test_mirror_images_get_mirrored_answers():
    network = DefaultRegressor(width=24, blocks=1).eval()
    torch.nn.init.normal_(network.trunks[0].said.weight, std=0.3)  # an opinion, of left and right too
    inputs = people()
    with torch.no_grad():
        plain, other = both_ways(network, inputs), both_ways(network, inputs.mirrored())
    assert torch.allclose(mirrored_turns(other.turns), plain.turns, atol=1e-4)
    assert torch.allclose(other.betas, plain.betas, atol=1e-5)
    assert not torch.allclose(network(inputs).turns, plain.turns, atol=1e-3)


def test_pieces_that_are_missing_are_zero():
    inputs = people(2)
    less = without_pieces(inputs, torch.tensor([True, False]), torch.tensor([False, True]))
    assert (less.lifted[1] == 0).all() and torch.equal(less.lifted[0], inputs.lifted[0])
    assert (less.mask[0] == 0).all() and torch.equal(less.mask[1], inputs.mask[1])
    assert less.has.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_silhouettes_are_seen_from_the_turned_camera():
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    side = 200.0
    probability = np.zeros((100, 100), np.float32)
    probability[:, :50] = 1.0  # the left half of the person's square
    mask = PersonMask(np.array([320 - side / 2, 240 - side / 2, 320 + side / 2, 240 + side / 2]), probability)
    seen, has = sample_masks([mask, None], np.full(2, side / 500), np.tile(np.eye(3), (2, 1, 1)), K)
    assert has.tolist() == [True, False] and (seen[1] == 0).all()
    across = 2 * MASK_REACH * (np.arange(MASK_SIZE) + 0.5) / MASK_SIZE - MASK_REACH  # in sides of the square
    inside = (np.abs(across) < 0.45)[:, None] & (across < -0.05) & (across > -0.45)
    assert seen[0][inside].min() > 0.95
    assert seen[0][:, across > 0.05].max() < 0.05 and seen[0][np.abs(across) > 0.55].max() < 0.05


def test_unknown_designs_are_named():
    with pytest.raises(UsageError, match="choose one of mlp, refine, tokens"):
        build_regressor("default", design="magic")


def test_files_say_how_to_build_the_network_and_others_are_refused(tmp_path):
    network = DefaultRegressor(design="refine", width=24, blocks=2)
    path = tmp_path / "network.safetensors"
    state = {name: value.half() if value.ndim > 1 else value for name, value in network.state_dict().items()}
    write_weights(path, state, network_header("refine", 24, 2))
    again = load_default(path)
    with torch.no_grad():
        assert torch.allclose(again(people()).points, network.eval()(people()).points, atol=1e-3)
    write_weights(path, state, {})
    with pytest.raises(CheckpointError, match=r"network\.safetensors does not say"):
        load_default(path)
    write_weights(path, state, network_header("refine", 32, 2))
    with pytest.raises(CheckpointError):
        load_default(path)
    with pytest.raises(CheckpointError, match="missing"):
        load_default(tmp_path / "nothing.safetensors")
