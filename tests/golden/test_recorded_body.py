"""Recorded bodies: rotations, the layer, joint regressors, DSR's 49 joints, measures, PersPose's inverse kinematics."""

from __future__ import annotations

from dataclasses import astuple
from functools import partial

import numpy as np
import pytest
import torch
from recorded import Recording, gradients, normal, numbers, rotations, with_gradients
from torch import Tensor

from dsr.body import joints as conventions
from dsr.body import load_asset, load_body, measure_body, perspose_ik, standing_height_m
from dsr.body import rotations as formulas
from dsr.body.numpy_lbs import pose_vertices, skeleton
from dsr.body.spin_joints import JOINT_MAP49, VERTEX_JOINTS, joints49

recording = Recording("body")


@recording.case
def rotation_formulas():
    aa = torch.cat((2 * numbers("aa", 20, 3), 1e-4 * numbers("tiny", 4, 3)))
    R = rotations("R", 12, angle=5.0)
    q, p = (torch.nn.functional.normalize(normal(name, 12, 4), dim=-1) for name in "qp")
    axis = torch.nn.functional.normalize(normal("axis", 12, 3), dim=-1)
    angle, rest = formulas.swing_twist(R, axis)
    outputs = {
        "matrices": with_gradients(formulas.axis_angle_to_rotmat, aa),
        "axis angles": with_gradients(formulas.rotmat_to_axis_angle, R),
        "six": with_gradients(formulas.rot6d_to_rotmat, normal("six", 12, 6)),
        "nearest": with_gradients(formulas.nearest_rotmat, R + 0.3 * normal("off", 12, 3, 3)),
        "other": {
            "to six": formulas.rotmat_to_rot6d(R),
            "quaternions": formulas.rotmat_to_quaternion(R),
            "from quaternions": formulas.quaternion_to_rotmat(q),
            "angles of quaternions": formulas.quaternion_to_axis_angle(q),
            "product": formulas.quaternion_multiply(q, p),
            "turned": formulas.quaternion_rotate(q, axis),
            "twist": angle,
            "swing": rest,
        },
    }
    return {f"{name} {key}": value for name, part in outputs.items() for key, value in part.items()}


@recording.case
def joint_sets():
    """Names, parents and partners of every joint set."""
    outputs = {}
    for name in sorted(conventions.JOINT_SETS):
        names = " ".join(conventions.joint_names(name))
        outputs[f"{name} names"] = np.frombuffer(names.encode(), np.uint8).astype(np.int64)
        outputs[f"{name} partners"] = torch.tensor(conventions.flip_permutation(name))
        if name in conventions.PARENTS:
            outputs[f"{name} parents"] = torch.tensor(conventions.PARENTS[name])
    return {**outputs, "map49": torch.tensor(JOINT_MAP49), "vertex joints": torch.tensor(VERTEX_JOINTS)}


def posed(name: str):
    """A posed, shaped body of the package; float64, so that the recording tells about the arrays too."""
    body = load_body(name, dtype=torch.float64)
    joints = body.num_joints
    inputs = [
        numbers("betas", 2, body.num_betas, low=-2, high=2),
        0.6 * numbers("pose", 2, joints - 1, 3),
        numbers("orient", 2, 3),
        numbers("transl", 2, 3),
    ]
    leaves = [x.requires_grad_() for x in inputs]
    out = body(*leaves)
    outputs = {"vertices": out.vertices, "joints": out.joints, "transforms": out.transforms}
    outputs |= {f"gradient{i}": g for i, g in enumerate(gradients(out.vertices, leaves))}
    outputs |= {"rest joints": body.rest_joints(inputs[0]), "only joints": body.pose_joints(*inputs)}
    for regressor in sorted(body.asset.keypoint_regressors):
        outputs[regressor] = body.keypoints(out.vertices, regressor)
    if joints == 24:
        outputs["joints49"] = joints49(body, out.vertices, out.joints)
    return outputs


for _name in ("open", "open-light"):
    recording.add(f"body {_name}", partial(posed, _name))


@recording.case
def measures():
    asset = load_asset("open-light")
    betas = numbers("betas", 3, asset.num_betas, low=-2, high=2).numpy()
    pose, orient = 0.5 * numbers("pose", 23, 3).numpy(), numbers("orient", 3).numpy()
    transl = np.array([0.1, 0.2, 3.0])
    rest, transforms = skeleton(asset, betas[0], pose, orient, transl)
    return {
        "height": standing_height_m(asset, betas),
        "sizes": np.array([astuple(measure_body(asset, row)) for row in betas]),
        "vertices": pose_vertices(asset, betas[0], pose, orient, transl),
        "rest": rest,
        "transforms": transforms,
    }


# ---- PersPose's inverse kinematics


def rest_skeleton(betas: Tensor) -> Tensor:
    """(N, 24, 3) a made-up person's rest joints, linear in (N, 11) betas."""
    from dsr.mocap.retarget import default_rest_joints

    rest = torch.from_numpy(default_rest_joints())
    return rest + torch.einsum("nb,bjc->njc", betas, 0.02 * numbers("directions", 11, 24, 3))


@recording.case
def twists():
    rest, pose = rest_skeleton(numbers("betas", 3, 11)), rotations("pose", 3, 24)
    return {
        "rest": perspose_ik.rest_twists(rest),
        "labels": perspose_ik.twist_labels(pose, rest),
        "global": perspose_ik.global_rotations(pose),
    }


@recording.case
def inverse_kinematics():
    betas = numbers("betas", 6, 11)
    rest, pose = rest_skeleton(betas), rotations("pose", 6, 24, angle=1.5)
    world, joints = perspose_ik.global_rotations(pose), [torch.zeros(6, 3, dtype=torch.float64)]
    for joint in range(1, 24):
        parent = conventions.SMPL24_PARENTS[joint]
        bone = rest[:, joint] - rest[:, parent]
        joints.append(joints[parent] + (world[:, parent] @ bone[..., None])[..., 0])
    target = torch.stack(joints, 1) + 0.02 * normal("noise", 6, 24, 3) + torch.tensor([0.1, 0.2, 3.0])
    twist = perspose_ik.twist_labels(pose, rest) * numbers("lengths", 6, 24, 1, low=0.5, high=2)
    leaves = pose[:, list(perspose_ik.LEAVES)]
    outputs = {}
    for search in (True, False):
        solved = perspose_ik.solve_ik(target, twist, betas, leaves, rest_skeleton, search=search)
        outputs |= {f"{key} {search}": value for key, value in vars(solved).items()}
    for planar in (True, False):
        for fallback in (True, False):
            fit = perspose_ik.fit_skeleton(target, rest, planar=planar, fallback=fallback)
            outputs |= {f"fit {key} {planar} {fallback}": value for key, value in vars(fit).items()}
    R, t = perspose_ik.align_triangles(normal("source", 9, 3, 3), normal("target", 9, 3, 3))
    turned = perspose_ik.orient(normal("vectors", 9, 5, 3), normal("others", 9, 5, 3))
    return outputs | {"triangles R": R, "triangles t": t, "oriented": turned}


@pytest.mark.parametrize("name", recording.cases)
def test_recorded(name):
    recording.check(name)
