"""PersPose's inverse kinematics: parity with the released code, recovery of known bodies, degenerate input."""

from __future__ import annotations

import pytest
import torch
from shared_data import tensors
from torch import Tensor

from dsr.body import perspose_ik as ik
from dsr.body import rotations
from dsr.body.joints import SMPL24_PARENTS
from dsr.camera import directions
from dsr.errors import UsageError

both_types = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


@pytest.fixture(autouse=True)
def _same_noise():
    torch.manual_seed(0)


def close(ours: Tensor, target: Tensor, absolute: float) -> None:
    torch.testing.assert_close(ours.double(), target.double(), rtol=0, atol=absolute)


class Skeleton:
    """Rest joints of a made-up shape space."""

    def __init__(self, joints: Tensor, directions: Tensor) -> None:
        self.joints, self.directions, self.calls = joints.double(), directions.double(), 0

    def __call__(self, betas: Tensor) -> Tensor:
        self.calls += 1
        return (self.joints + torch.einsum("jcb,nb->njc", self.directions, betas.double())).to(betas)

    def posed(self, betas: Tensor, pose: Tensor, transl: Tensor) -> Tensor:
        """Joints by forward kinematics, one joint after the other."""
        rest, world = self(betas), ik.global_rotations(pose)
        joints = [rest[:, 0] + transl]
        for j in range(1, 24):
            p = SMPL24_PARENTS[j]
            joints.append(joints[p] + (world[:, p] @ (rest[:, j] - rest[:, p])[..., None])[..., 0])
        return torch.stack(joints, 1)


def golden_skeleton(g: dict[str, Tensor]) -> Skeleton:
    regressor = g["body_J_regressor"].double()
    return Skeleton(
        regressor @ g["body_v_template"].double(),
        torch.einsum("jv,vcb->jcb", regressor, g["body_shapedirs"].double()),
    )


def published_alignment(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """The released swing and mean of signed angles, with the 1e-8 in its cosine that makes small angles wrong."""

    def angle(a, b):
        return ((a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1) + 1e-8)).clamp(-1 + 1e-7, 1 - 1e-7).arccos()

    def middle(a, b):
        mean = (a + b) / 2
        return torch.where((a - b).abs() > torch.pi, mean - mean.sign() * torch.pi, mean)

    def turn(axis, by):
        return rotations.axis_angle_to_rotmat(axis / axis.norm(dim=-1, keepdim=True) * by[..., None])

    n1, n2 = (torch.linalg.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0], dim=-1) for x in (p, q))
    first = turn(torch.linalg.cross(n1, n2, dim=-1), angle(n1, n2))
    a, b = (p - p.mean(1, keepdim=True)) @ first.mT, q - q.mean(1, keepdim=True)
    sign = (torch.linalg.cross(a, b, dim=-1) * n2[:, None]).sum(-1).sign()
    a1, a2, a3 = (angle(a, b) * sign).unbind(-1)
    R = turn(n2, middle(middle(a1, a2), a3)) @ first
    return R, q.mean(1) - (R @ p.mean(1)[..., None])[..., 0]


def test_twists_and_global_rotations():
    g = tensors("perspose", "ik_body")
    pose = rotations.axis_angle_to_rotmat(g["pose_aa"])
    close(ik.rest_twists(g["rest_joints"])[:, 1:], g["rest_ortho_twist"][:, 1:], 1e-9)
    close(ik.twist_labels(pose, g["rest_joints"])[:, 1:], g["ortho_twist"][:, 1:], 2e-8)
    close(ik.global_rotations(pose), g["global_rot"], 2e-8)
    posed = golden_skeleton(g).posed(g["beta"], pose, g["transl"])
    close(posed, g["joints24"], 2e-8)


@pytest.mark.parametrize("exact", [False, True])
def test_solver_and_its_pieces(exact, monkeypatch):
    """With the released angle all of it is equal; the exact angle moves the root by less than 1e-4 rad."""
    if not exact:
        monkeypatch.setattr(ik, "align_triangles", published_alignment)
    g = tensors("perspose", "ik_body")
    rest_of = golden_skeleton(g)
    rest = rest_of(g["ik_beta_in"])
    for name, planar, fallback in (("xy", True, False), ("plain", False, True), ("plain_nobd", False, False)):
        fit = ik.fit_skeleton(g["ik_joints_in"], rest, planar=planar, fallback=fallback)
        close(fit.joints_m, g[f"hyb_{name}_pose"], 1e-5)
        close(fit.root_rotmat, g[f"hyb_{name}_root"], 1e-4 if exact else 1e-7)
        close(fit.chest_rotmat, g[f"hyb_{name}_chest"], 3e-5 if exact else 1e-7)
    for dtype in (torch.float64, torch.float32):
        joints, twist, betas, leaf = (g[f"ik_{k}_in"].to(dtype) for k in ("joints", "twist", "beta", "leaf"))
        before = betas.clone()
        out = ik.solve_ik(joints, twist, betas, leaf, rest_of)
        assert torch.equal(betas, before)  # the released code changes it in place
        assert out.pose_rotmat.dtype == dtype
        loose = 1e-3 if dtype == torch.float32 else 2e-4 if exact else 1e-7
        close(out.betas, g["ik_beta_out"], 1e-6)
        close(out.pose_rotmat, g["ik_theta_out"], loose)
        close(out.transl, g["ik_transl_out"], 1e-5)
        close(out.joints_m, g["ik_joints_fit"], 1e-5)
        pose = rotations.axis_angle_to_rotmat(g["pose_aa"])[:, ik.LEAVES].to(dtype)
        out = ik.solve_ik(g["joints24"].to(dtype), g["ortho_twist"].to(dtype), g["beta"].to(dtype), pose, rest_of)
        close(out.betas[:, 0], g["clean_beta0_out"], 1e-6)
        close(out.pose_rotmat, g["clean_theta_out"], 1e-3 if dtype == torch.float32 else 3e-4 if exact else 1e-7)
        close(out.transl, g["clean_transl_out"], 1e-5)


def test_exact_angle_recovers_the_truth_where_the_released_one_does_not(monkeypatch):
    g = tensors("perspose", "ik_body")
    pose = rotations.axis_angle_to_rotmat(g["pose_aa"])

    def error():
        out = ik.solve_ik(
            g["joints24"], g["ortho_twist"], g["beta"], pose[:, ik.LEAVES], golden_skeleton(g), search=False
        )
        return float((out.pose_rotmat - pose).abs().max())

    assert error() < 2e-7
    monkeypatch.setattr(ik, "align_triangles", published_alignment)
    assert error() > 1e-4


def test_bones_and_twists_compose_to_the_pose():
    g = tensors("perspose", "ik_body")
    pose, leaves = rotations.axis_angle_to_rotmat(g["pose_aa"]), list(ik.LEAVES)
    world = g["global_rot"]
    fit = ik.SkeletonFit(g["joints24"], world[:, 0], world[:, 9])
    close(ik.pose_from_skeleton(fit, g["rest_joints"], g["ortho_twist"], pose[:, leaves]), g["compose_theta"], 1e-7)


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5])
def test_a_batch_of_three_is_like_any_other(batch):
    g = tensors("perspose", "pelvis_batch3_quirk")
    source, target = (g["pts"][rows].permute(1, 0, 2) for rows in (slice(0, 3), slice(3, 6)))
    R, t = ik.align_triangles(source[:batch], target[:batch])
    right = g["R_bs5"][:batch], g["t_bs5"][:batch, :, 0]
    close(R, right[0], 1e-7)
    close(t, right[1], 1e-7)
    released = (g[f"R_bs{batch}"] - right[0]).abs().max()
    assert released > 0.5 if batch == 3 else released < 1e-7


def test_rotation_utilities():
    g = tensors("perspose", "rotations")
    close(directions.angle_between(g["sw_a"], g["sw_b"]), g["radian"], 1e-7)
    close(directions.swing(g["sw_a"], g["sw_b"]), g["swing"], 1e-7)
    angle, swing = rotations.swing_twist(g["rodrigues"], g["st_axis"])
    exact = torch.arange(16) != 1  # the released code is off by 5e-4 rad at an angle of 2e-5
    close(angle[exact], g["st_twist"][exact], 1e-8)
    close(swing[exact], g["st_swing"][exact], 1e-8)
    close(rotations.quaternion_rotate(g["q"], g["v"]), g["qrot"], 1e-12)
    close(rotations.quaternion_multiply(g["q"], g["q"].flip(0)), g["qmul"], 1e-12)
    close(rotations.axis_angle_to_rotmat(g["aa"]), g["rodrigues"], 2e-8)
    close(rotations.rotmat_to_quaternion(g["rodrigues"]), g["quat"], 1e-8)
    ours, theirs = rotations.rotmat_to_quaternion(g["rodrigues"]), g["mat2quat"]
    close(ours * (ours * theirs).sum(-1, keepdim=True).sign(), theirs, 1e-8)
    close(rotations.quaternion_to_axis_angle(g["mat2quat"]), g["quat2aa"], 1e-8)
    close(rotations.rot6d_to_rotmat(g["rot6d_in"]), g["rot6d_out"], 1e-12)


def made_up(batch: int = 6, seed: int = 0) -> tuple[Skeleton, Tensor, Tensor, Tensor]:
    """A random skeleton, betas with the first on the search's grid, a pose and a translation."""
    rng = torch.Generator().manual_seed(seed)
    joints = torch.zeros(24, 3, dtype=torch.float64)
    for j in range(1, 24):
        step = torch.randn(3, generator=rng, dtype=torch.float64)
        joints[j] = joints[SMPL24_PARENTS[j]] + 0.2 * step / step.norm()
    directions = 0.01 * torch.randn(24, 3, 11, generator=rng, dtype=torch.float64)
    directions[..., 0] += 0.1 * joints
    betas = torch.randn(batch, 11, generator=rng, dtype=torch.float64)
    betas[:, 0] = torch.tensor(ik.BETA0_SEARCH, dtype=torch.float64)[torch.randperm(40, generator=rng)[:batch]]
    pose = rotations.axis_angle_to_rotmat(1.2 * torch.randn(batch, 24, 3, generator=rng, dtype=torch.float64))
    transl = torch.randn(batch, 3, generator=rng, dtype=torch.float64) + torch.tensor([0.0, 0, 4])
    return Skeleton(joints, directions), betas, pose, transl


@both_types
def test_known_bodies_come_back_with_their_shape(dtype):
    skeleton, betas, pose, transl = made_up()
    joints = skeleton.posed(betas, pose, transl)
    twist = 2.5 * ik.twist_labels(pose, skeleton(betas))  # any length
    twist = torch.cat((twist, torch.full((len(twist), 1, 3), torch.nan)), 1)  # the network's 25th
    start = betas.clone()
    start[:, 0] = 50
    skeleton.calls = 0
    out = ik.solve_ik(joints.to(dtype), twist.to(dtype), start.to(dtype), pose[:, ik.LEAVES].to(dtype), skeleton)
    assert skeleton.calls == 2  # all forty shapes at once, then the chosen one
    close(out.betas, betas, 1e-6)
    tolerance = 1e-5 if dtype == torch.float64 else 1e-4
    close(out.joints_m, joints, tolerance)
    close(out.transl, transl, tolerance)
    close(out.pose_rotmat, pose, tolerance if dtype == torch.float64 else 1e-3)


def test_search_is_the_loop_over_shapes():
    skeleton, betas, pose, transl = made_up(5, seed=4)
    joints = skeleton.posed(betas, pose, transl) + 0.03 * torch.randn(5, 24, 3, dtype=torch.float64)
    errors = []
    for value in ik.BETA0_SEARCH:
        tried = betas.clone()
        tried[:, 0] = value
        fit = ik.fit_skeleton(joints, skeleton(tried), planar=True, fallback=False)
        errors.append((fit.joints_m - joints)[..., :2].norm(dim=-1).mean(1))
    best = torch.tensor(ik.BETA0_SEARCH, dtype=torch.float64)[torch.stack(errors).argmin(0)]
    assert torch.equal(ik.search_beta0(joints, betas, skeleton), best)


def test_network_shape_is_kept_without_the_search():
    skeleton, betas, pose, transl = made_up(3)
    betas[:, 0] = torch.tensor([0.123, -3, 2.7])
    joints = skeleton.posed(betas, pose, transl)
    twist = ik.twist_labels(pose, skeleton(betas))
    out = ik.solve_ik(joints, twist, betas, pose[:, ik.LEAVES], skeleton, search=False)
    assert torch.equal(out.betas, betas)
    close(out.pose_rotmat, pose, 1e-6)


@both_types
def test_solution_is_a_body_whatever_the_joints(dtype):
    """Noise: rotations stay rotations, and the parameters pose the skeleton to the solved joints."""
    skeleton, betas, pose, transl = made_up(8, seed=2)
    noisy = skeleton.posed(betas, pose, transl) + 0.08 * torch.randn(8, 24, 3, dtype=torch.float64)
    twist = torch.randn(8, 24, 3, dtype=torch.float64)
    out = ik.solve_ik(noisy.to(dtype), twist.to(dtype), betas.to(dtype), pose[:, ik.LEAVES].to(dtype), skeleton)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    rotation = out.pose_rotmat.double()
    close(rotation @ rotation.mT, torch.eye(3).expand(8, 24, 3, 3), tolerance)
    assert (torch.linalg.det(rotation) > 0.9).all()
    posed = skeleton.posed(out.betas.double(), rotation, out.transl.double())
    close(posed, out.joints_m, tolerance)


@both_types
@pytest.mark.parametrize("turn", [[0.0, 0, 0], [torch.pi, 0, 0], [0, torch.pi, 0], [0, 0, torch.pi], [3.1415, 1e-4, 0]])
def test_root_has_no_poles(dtype, turn):
    """A person who faces the camera has hips and spine turned by 180 degrees about x."""
    skeleton, betas, pose, transl = made_up(2)
    pose[:, 0] = rotations.axis_angle_to_rotmat(torch.tensor(turn, dtype=torch.float64))
    joints = skeleton.posed(betas, pose, transl)
    fit = ik.fit_skeleton(joints.to(dtype), skeleton(betas).to(dtype), planar=False, fallback=True)
    close(fit.root_rotmat, pose[:, 0], 1e-9 if dtype == torch.float64 else 1e-5)


@both_types
@pytest.mark.parametrize("search", [True, False])
def test_degenerate_joints_stay_finite(dtype, search):
    skeleton, betas, pose, transl = made_up(7)
    joints = skeleton.posed(betas, pose, transl)
    twist = ik.twist_labels(pose, skeleton(betas))
    joints[0] = joints[0, :1]  # all in one point
    joints[1, 4] = joints[1, 1]  # a bone of length 0
    joints[2, 1:4] = joints[2, 1]  # no hips
    joints[3, 3] = (joints[3, 1] + joints[3, 2]) / 2  # hips and spine on a line
    joints[4, 12:15] = joints[4, 9]  # no chest
    twist[5] = 0
    bones = joints[6] - joints[6][[0, *SMPL24_PARENTS[1:]]]
    twist[6] = bones  # along the bone
    out = ik.solve_ik(
        joints.to(dtype), twist.to(dtype), betas.to(dtype), pose[:, ik.LEAVES].to(dtype), skeleton, search
    )
    for value in (out.pose_rotmat, out.betas, out.transl, out.joints_m):
        assert value.isfinite().all()
    rotation = out.pose_rotmat.double()
    close(rotation @ rotation.mT, torch.eye(3).expand(7, 24, 3, 3), 1e-4)
    lengths = [x[:, 1:] - x[:, SMPL24_PARENTS[1:]] for x in (out.joints_m, skeleton(out.betas))]
    close(lengths[0].norm(dim=-1), lengths[1].norm(dim=-1), 1e-5)


def test_not_a_number_stays_in_its_sample():
    skeleton, betas, pose, transl = made_up(3)
    joints = skeleton.posed(betas, pose, transl)
    twist = ik.twist_labels(pose, skeleton(betas))
    right = ik.solve_ik(joints, twist, betas, pose[:, ik.LEAVES], skeleton)
    joints[1] = torch.nan
    out = ik.solve_ik(joints, twist, betas, pose[:, ik.LEAVES], skeleton)
    close(out.pose_rotmat[[0, 2]], right.pose_rotmat[[0, 2]], 1e-12)
    assert out.transl[1].isnan().all()


def test_rest_skeleton_with_coincident_joints_stays_finite():
    skeleton, betas, pose, transl = made_up(2)
    joints = skeleton.posed(betas, pose, transl)
    skeleton.joints[7], skeleton.directions[7] = skeleton.joints[4], skeleton.directions[4]
    out = ik.solve_ik(joints.float(), joints.float(), betas.float(), pose[:, ik.LEAVES].float(), skeleton)
    assert out.pose_rotmat.isfinite().all()


def test_empty_batch_and_half_precision():
    skeleton, betas, pose, transl = made_up(2)
    joints = skeleton.posed(betas, pose, transl)
    arguments = joints, ik.twist_labels(pose, skeleton(betas)), betas, pose[:, ik.LEAVES]
    assert ik.solve_ik(*(x.half() for x in arguments), skeleton).pose_rotmat.dtype == torch.float32
    assert ik.solve_ik(*(x[:0] for x in arguments), skeleton).pose_rotmat.shape == (0, 24, 3, 3)


@pytest.mark.parametrize(("which", "shape"), [(0, (2, 23, 3)), (1, (2, 23, 3)), (1, (1, 24, 3)), (3, (2, 4, 3, 3))])
def test_shapes_that_do_not_fit_are_named(which, shape):
    arguments = [torch.zeros(2, 24, 3), torch.zeros(2, 24, 3), torch.zeros(2, 10), torch.zeros(2, 5, 3, 3)]
    arguments[which] = torch.zeros(shape)
    with pytest.raises(UsageError, match=str(shape[1])):
        ik.solve_ik(*arguments, lambda betas: torch.zeros(len(betas), 24, 3))


@both_types
def test_swing_and_frames_at_their_limits(dtype):
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    pairs = ([0, 0, 1], [0, 0, 1]), ([0, 0, 1], [0, 0, -2]), ([1, 2, 3], [-1, -2, -3.0001]), ([0, 0, 0], [0, 1, 0])
    for a, b in pairs:
        start, target = torch.tensor([a, b], dtype=dtype)
        R = directions.swing(start, target)
        close(R @ R.mT, torch.eye(3), tolerance)
        close(R @ directions.unit(start), directions.unit(target), tolerance)
    axes = torch.nn.functional.normalize(torch.randn(200, 3, dtype=dtype), dim=-1)
    for second in (axes, 1e-30 * axes, axes + 1e-7 * torch.randn_like(axes), torch.zeros_like(axes)):
        F = directions.frame(axes, second)
        close(F.mT @ F, torch.eye(3).expand(200, 3, 3), tolerance)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu():
    skeleton, betas, pose, transl = made_up(6)
    joints = skeleton.posed(betas, pose, transl)
    arguments = joints, ik.twist_labels(pose, skeleton(betas)), betas, pose[:, ik.LEAVES]
    cpu = ik.solve_ik(*arguments, skeleton)
    skeleton.joints, skeleton.directions = skeleton.joints.cuda(), skeleton.directions.cuda()
    gpu = ik.solve_ik(*(x.cuda() for x in arguments), skeleton)
    for name in ("pose_rotmat", "betas", "transl", "joints_m"):
        close(getattr(gpu, name).cpu(), getattr(cpu, name), 1e-9)
