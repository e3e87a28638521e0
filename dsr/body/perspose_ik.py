"""Closed-form inverse kinematics of PersPose: joints and bone twists to SMPL's parameters (specification, section 6).

Joints are SMPL's 24 in SMPL order, metres, in the crop's camera (x right, y down, z forward). Every joint takes one
batched step per level of the tree, and the 40 shapes of the search are one batch. The root's triangle is aligned
through frames, which equals the published swing and mean of three signed angles but has no pole (the published form has
one at a person who faces the camera); cross products name their axis, so that a batch of three is like any other.

Degenerate input stays finite: a bone between coincident joints points as the rest bone turned with the root, an
undefined twist or triangle gets some direction across the bone. Only NaN in gives NaN out, for that sample alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dsr.body.joints import SMPL24_PARENTS
from dsr.body.rotations import nearest_rotmat
from dsr.camera.directions import frame, unit, unit_across
from dsr.errors import UsageError

LEAVES = (22, 23, 10, 11, 15)
"""Joints without a child, in the order of the leaf rotations: hands, feet, head."""
USEFUL_TWISTS = (*range(4, 12), *range(15, 24))
"""Bones, by the joint they end in, whose twist decides a rotation; the others' are decided by triangles."""
ROOT_TRIANGLE = slice(1, 4)
CHEST, CHEST_CHILDREN = 9, slice(12, 15)
BETA0_SEARCH = tuple((k - 20) / 10 for k in range(40))
"""Values tried for the first shape coefficient, -2.0 to 1.9."""
FALLBACK_M = 0.015
"""A solved bone that ends further than this from the predicted bone's direction is replaced by it."""

_LEVELS = ((4, 7, 1), (7, 10, 4), (10, 12, 7), (15, 18, 12), (18, 20, 16), (20, 22, 18), (22, 24, 20))
"""Joints from, to (exclusive), and the parent of the first; those of the others follow. 12 to 14 are the chest's."""
_PARENTS = (0, *SMPL24_PARENTS[1:])
_DRIVEN = (1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 16, 17, 18, 19, 20, 21)  # joints turned by their only child's bone
_DRIVERS = (4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 17, 18, 19, 20, 21, 22, 23)


@dataclass
class SkeletonFit:
    """A skeleton of given bone lengths laid on target joints.

    Attributes:
        joints_m: (N, 24, 3) in the targets' frame.
        root_rotmat: (N, 3, 3) global rotation of joint 0.
        chest_rotmat: (N, 3, 3) global rotation of joint 9.
    """

    joints_m: Tensor
    root_rotmat: Tensor
    chest_rotmat: Tensor


@dataclass
class IkResult:
    """SMPL's parameters in the crop's camera.

    Attributes:
        pose_rotmat: (B, 24, 3, 3) rotations relative to the parent, 0 is the global orientation.
        betas: (B, nb), a copy with the first one searched.
        transl: (B, 3) metres, SMPL's translation (the root turns about its rest joint).
        joints_m: (B, 24, 3) of the solved skeleton; the body's own joints at these parameters.
    """

    pose_rotmat: Tensor
    betas: Tensor
    transl: Tensor
    joints_m: Tensor


@torch.no_grad()
def solve_ik(
    joints_m: Tensor,
    twist: Tensor,
    betas: Tensor,
    leaf_rotmat: Tensor,
    rest_joints_of: Callable[[Tensor], Tensor],
    search: bool = True,
) -> IkResult:
    """SMPL's parameters of a batch of skeletons; without gradients.

    Args:
        joints_m: (B, 24, 3) metres, float32 or float64 (half precision is computed on in float32).
        twist: (B, 24 or more, 3) twist vectors of the bones that end in each joint, any length; see
            :func:`twist_labels`.
        betas: (B, nb) shape coefficients; not changed.
        leaf_rotmat: (B, 5, 3, 3) rotations of the joints :data:`LEAVES` relative to their parents.
        rest_joints_of: shape coefficients (N, nb) to joints of the rest pose (N, 24, 3) metres, such as
            :meth:`dsr.body.Body.rest_joints`.
        search: replace the first coefficient by that of :data:`BETA0_SEARCH` whose skeleton lies closest to the joints
            in x and y, as published; False keeps the given one.

    Raises:
        UsageError: if a shape does not fit.

    Example:
        >>> from dsr.body import load_body
        >>> body = load_body("open-light")
        >>> joints = body.pose_joints(torch.zeros(1, 10))
        >>> leaves = torch.eye(3).expand(1, 5, 3, 3)
        >>> solved = solve_ik(joints, twist_labels(leaves[:, :1].expand(1, 24, 3, 3), joints), torch.zeros(1, 10),
        ...                   leaves, body.rest_joints)
        >>> bool((solved.joints_m - joints).norm(dim=-1).max() < 1e-4)
        True
    """
    batch = len(joints_m)
    if joints_m.shape[1:] != (24, 3) or leaf_rotmat.shape != (batch, 5, 3, 3) or betas.shape[:1] != (batch,):
        raise UsageError(
            f"The inverse kinematics takes joints (B, 24, 3), leaf rotations (B, 5, 3, 3) and betas (B, nb), got "
            f"{tuple(joints_m.shape)}, {tuple(leaf_rotmat.shape)} and {tuple(betas.shape)}."
        )
    if twist.dim() != 3 or len(twist) != batch or twist.shape[1] < 24 or twist.shape[2] != 3:
        raise UsageError(f"Twists must be (B, 24 or more, 3) with B = {batch}, got {tuple(twist.shape)}.")
    joints_m = joints_m if joints_m.dtype == torch.float64 else joints_m.float()
    betas = betas.to(joints_m, copy=True)
    if search:
        betas[:, 0] = search_beta0(joints_m, betas, rest_joints_of)
    rest = rest_joints_of(betas).to(joints_m)
    fit = fit_skeleton(joints_m, rest, planar=False, fallback=True)
    pose = pose_from_skeleton(fit, rest, twist[:, :24].to(joints_m), leaf_rotmat.to(joints_m))
    return IkResult(pose, betas, fit.joints_m[:, 0] - rest[:, 0], fit.joints_m)


@torch.no_grad()
def search_beta0(joints_m: Tensor, betas: Tensor, rest_joints_of: Callable[[Tensor], Tensor]) -> Tensor:
    """First shape coefficient (B,) whose skeleton, laid on the joints, lies closest in x and y (specification 6.1).

    Arguments as :func:`solve_ik`; all 40 shapes of all samples are one batch.
    """
    batch, count = len(joints_m), len(BETA0_SEARCH)
    values = joints_m.new_tensor(BETA0_SEARCH)
    tried = betas.to(joints_m).repeat_interleave(count, 0)
    tried[:, 0] = values.repeat(batch)
    rest = rest_joints_of(tried).to(joints_m)
    fit = fit_skeleton(joints_m.repeat_interleave(count, 0), rest, planar=True, fallback=False)
    apart = (fit.joints_m.unflatten(0, (batch, count)) - joints_m[:, None])[..., :2]
    return values[torch.linalg.vector_norm(apart, dim=-1).mean(-1).argmin(1)]


def fit_skeleton(joints_m: Tensor, rest_m: Tensor, *, planar: bool, fallback: bool) -> SkeletonFit:
    """Lay a rest skeleton on joints, keeping its bone lengths (specification 6.2).

    Args:
        joints_m: (N, 24, 3) targets, metres.
        rest_m: (N, 24, 3) joints of the rest pose, metres.
        planar: put each joint at the target's x and y where the bone reaches it, and let the length decide z.
        fallback: give up a bone whose end is :data:`FALLBACK_M` or more from where the predicted bone points.
    """
    origin = joints_m[:, :1]
    target, rest = joints_m - origin, rest_m - rest_m[:, :1]
    bones_rest = rest - rest[:, _PARENTS]
    lengths = torch.linalg.vector_norm(bones_rest, dim=-1, keepdim=True)
    solved = torch.empty_like(target)
    root, shift = align_triangles(rest[:, ROOT_TRIANGLE], target[:, ROOT_TRIANGLE])
    solved[:, :4] = rest[:, :4] @ root.mT + shift[:, None]
    straight = unit(bones_rest @ root.mT)  # where a bone points whose joints coincide
    reachable = unit(target - target[:, _PARENTS], straight) * lengths if fallback else straight
    chest = root
    for first, last, parent in _LEVELS:
        if first == 15:  # the chest's children go before theirs
            at = solved[:, CHEST, None]
            chest = orient(bones_rest[:, CHEST_CHILDREN], target[:, CHEST_CHILDREN] - at)
            solved[:, CHEST_CHILDREN] = at + bones_rest[:, CHEST_CHILDREN] @ chest.mT
        level = slice(first, last)
        start = solved[:, parent : parent + last - first]
        bone = _bone(target[:, level] - start, lengths[:, level], straight[:, level], planar)
        if fallback:
            other = reachable[:, level]
            far = torch.linalg.vector_norm(other - bone, dim=-1, keepdim=True) >= FALLBACK_M
            bone = torch.where(far, other, bone)
        solved[:, level] = start + bone
    return SkeletonFit(solved + origin, root, chest)


def pose_from_skeleton(fit: SkeletonFit, rest_m: Tensor, twist: Tensor, leaf_rotmat: Tensor) -> Tensor:
    """Rotations relative to the parent, (N, 24, 3, 3), from bones and twists (specification 6.5).

    Args:
        fit: the solved skeleton.
        rest_m: (N, 24, 3) joints of the rest pose, metres.
        twist: (N, 24, 3) twist vectors, any length.
        leaf_rotmat: (N, 5, 3, 3) rotations of :data:`LEAVES` relative to their parents.
    """
    parents = [_PARENTS[j] for j in _DRIVERS]
    bone = fit.joints_m[:, _DRIVERS] - fit.joints_m[:, parents]
    bone_rest = rest_m[:, _DRIVERS] - rest_m[:, parents]
    turned = frame(bone, twist[:, _DRIVERS]) @ frame(bone_rest, _rest_twist(bone_rest)).mT
    world = turned.new_zeros(len(turned), 24, 3, 3)
    world[:, _DRIVEN] = turned
    world[:, 0], world[:, CHEST] = fit.root_rotmat, fit.chest_rotmat
    local = world[:, _PARENTS].mT @ world
    local[:, 0] = fit.root_rotmat
    local[:, LEAVES] = leaf_rotmat
    return local


def align_triangles(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation and translation that lay triangles on triangles: normals, then the mean angle about them (6.3).

    The mean is the published one: of the corners' angles about the centroid, m(m(a1, a2), a3) along the shorter arc.

    Args:
        source: (N, 3, 3), three corners each.
        target: (N, 3, 3).

    Returns:
        R (N, 3, 3) and t (N, 3) with ``R p + t`` on the target.
    """
    corners, frames, angles = (source, target), [], []
    for points in corners:
        axes = frame(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
        flat = (points - points.mean(1, keepdim=True)) @ axes
        frames.append(axes)
        angles.append(torch.atan2(flat[..., 1], flat[..., 0]))
    a1, a2, a3 = (angles[1] - angles[0]).unbind(-1)
    angle = _mean_angle(_mean_angle(a1, a2), a3)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    about = torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, torch.ones_like(zero)), -1).unflatten(-1, (3, 3))
    R = frames[1] @ about @ frames[0].mT
    return R, target.mean(1) - (R @ source.mean(1).unsqueeze(-1)).squeeze(-1)


def orient(source: Tensor, target: Tensor) -> Tensor:
    """Rotation (N, 3, 3) that turns vectors (N, K, 3) onto targets in the least-squares sense (specification 6.4).

    Never a reflection; the identity for vectors that are all zero (or NaN, which an SVD refuses).
    """
    moments = target.mT @ source
    usable = moments.isfinite().all(-1).all(-1)[:, None, None]
    return nearest_rotmat(torch.where(usable, moments, torch.zeros_like(moments)))


def rest_twists(rest_m: Tensor) -> Tensor:
    """Unit twist vectors (N, 24, 3) of the rest bones: across the bone, as close to -z as can be (specification 6.5).

    Args:
        rest_m: (N, 24, 3) joints of the rest pose; joint 0 counts as a bone from the origin.
    """
    bones = torch.cat((rest_m[:, :1], rest_m[:, 1:] - rest_m[:, _PARENTS[1:]]), 1)
    return frame(bones, _rest_twist(bones))[..., 1]


def twist_labels(pose_rotmat: Tensor, rest_m: Tensor) -> Tensor:
    """Twist vectors of a posed body: the rest twists turned with the parent of each bone (specification 6.5).

    Args:
        pose_rotmat: (N, 24, 3, 3) rotations relative to the parent; 0 is the orientation in the wanted frame.
        rest_m: (N, 24, 3) joints of the rest pose of the body's shape.

    Returns:
        (N, 24, 3) unit vectors; the first has no bone and is turned with the root.
    """
    twists = rest_twists(rest_m).to(pose_rotmat)
    return (global_rotations(pose_rotmat)[:, _PARENTS] @ twists.unsqueeze(-1)).squeeze(-1)


def global_rotations(pose_rotmat: Tensor) -> Tensor:
    """Rotations of the 24 joints in the frame of the root's, (N, 24, 3, 3), from those relative to the parent."""
    world = [pose_rotmat[:, 0]]
    for joint in range(1, 24):
        world.append(world[_PARENTS[joint]] @ pose_rotmat[:, joint])
    return torch.stack(world, 1)


def _bone(reach: Tensor, length: Tensor, straight: Tensor, planar: bool) -> Tensor:
    """Bones (N, k, 3) of given lengths from solved parents towards the targets."""
    bone = unit(reach, straight) * length
    if not planar:
        return bone
    depth2 = length.square() - reach[..., :2].square().sum(-1, keepdim=True)
    depth = torch.where(reach[..., 2:] < 0, -1.0, 1.0) * depth2.clamp_min(0).sqrt()
    return torch.where(depth2 > 0, torch.cat((reach[..., :2], depth), -1), bone)


def _rest_twist(bone: Tensor) -> Tensor:
    """The direction whose part across the bone is the rest twist."""
    axis = bone.new_tensor([0.0, 0.0, -1.0])
    return unit_across(axis.expand_as(bone), unit(bone))


def _mean_angle(a: Tensor, b: Tensor) -> Tensor:
    """Middle of the shorter arc between two angles."""
    return a + torch.remainder(b - a + torch.pi, 2 * torch.pi) / 2 - torch.pi / 2
