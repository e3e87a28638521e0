"""SPIN's 49 joints: parity on SMPL's mesh, the same places on the open body."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from shared_data import script, tensors

from dsr.body import Body, axis_angle_to_rotmat, joints49, load_body, load_extra_regressor
from dsr.body.licensed import convert
from dsr.body.spin_joints import JOINT_MAP49, JOINTS49_SOURCES
from dsr.camera import camera_to_translation, project_weak
from dsr.errors import BodyError


@pytest.fixture(scope="module")
def made_up():
    """An SMPL-format body of random numbers, and its extra regressor (6890 vertices, no SMPL data)."""
    arrays, extra, _ = script("dsr", "synth_assets").assets(2021)
    return Body(convert(arrays, Path("synthetic.pkl"))), torch.from_numpy(extra).float()


def test_wrapper_on_the_published_mesh(made_up):
    body, extra = made_up
    g = tensors("dsr", "smpl_head")
    assert tuple(g["joint_map49"].tolist()) == JOINT_MAP49
    rotmat = axis_angle_to_rotmat(g["pose_aa"].reshape(-1, 24, 3))
    torch.testing.assert_close(rotmat, g["rotmat"], rtol=0, atol=1e-6)
    posed = body(g["betas"], rotmat[:, 1:], rotmat[:, 0])
    torch.testing.assert_close(posed.vertices[:, ::10], g["vertices_every10"], rtol=0, atol=1e-5)
    joints = joints49(body, posed.vertices, posed.joints, extra)
    torch.testing.assert_close(joints, g["joints3d"], rtol=0, atol=1e-5)
    torch.testing.assert_close(project_weak(joints, g["cam"]), g["joints2d_norm"], rtol=0, atol=1e-5)
    torch.testing.assert_close(camera_to_translation(g["cam"]), g["cam_t"], rtol=1e-5, atol=1e-5)
    own = joints49(body, posed.vertices, posed.joints)
    nine = [i for i, source in enumerate(JOINT_MAP49) if source >= 45]
    rest = [i for i in range(49) if i not in nine]
    torch.testing.assert_close(own[:, rest], joints[:, rest])
    assert len(nine) == 9


def test_extra_regressor_file(tmp_path, made_up):
    _, extra = made_up
    np.save(tmp_path / "J_regressor_extra.npy", extra.double().numpy())
    assert torch.equal(load_extra_regressor(tmp_path / "J_regressor_extra.npy"), extra)


@pytest.mark.parametrize(
    "content", [np.zeros((17, 6890)), np.array([{}]), np.full((9, 6890), np.nan), b"", b"\x93NUMPY", b"PK\3\4"]
)
def test_a_wrong_extra_regressor_is_refused(tmp_path, content):
    path = tmp_path / "extra.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content, allow_pickle=True)
    with pytest.raises(BodyError, match=r"extra\.npy"):
        load_extra_regressor(path)


def test_open_body_left_and_right_and_up_and_down():
    body = load_body("open-light")
    posed = body()
    names = [name for name, _, _ in JOINTS49_SOURCES]
    joints = dict(zip(names, joints49(body, posed.vertices, posed.joints)[0], strict=True))
    assert len(joints) == 49
    for name, place in joints.items():
        if "left" in name:
            assert place[0] > 0.01, name
            other = joints[name.replace("left", "right")]
            torch.testing.assert_close(place * torch.tensor([-1.0, 1.0, 1.0]), other, rtol=0, atol=0.01)
        elif "right" not in name:
            assert abs(place[0]) < 0.01, name
    height = [
        float(joints[n][1])
        for n in (
            "head_top_lsp",
            "jaw_h36m",
            "thorax_mpii",
            "neck_lsp",
            "spine_h36m",
            "pelvis_mpii",
            "left_knee",
            "left_ankle",
            "op_left_big_toe",
        )
    ]
    assert height == sorted(height, reverse=True)
    for name in ("ankle", "knee", "hip", "wrist", "elbow", "shoulder"):  # both halves mean the same place
        assert (joints[f"left_{name}"] - joints[f"op_left_{name}"]).norm() < 0.05


def test_joints_turn_with_the_body_and_carry_gradients():
    body = load_body("open-light")
    pose = torch.zeros(1, 23, 3)
    pose[0, 15] = torch.tensor([0.2, -0.5, -1.0])  # left shoulder
    turn = axis_angle_to_rotmat(torch.tensor([[0.3, 1.2, 0.1]]))
    betas = torch.zeros(1, 10, requires_grad=True)
    still, turned = body(betas, pose), body(betas, pose, turn)
    root = still.joints[:, :1]
    a, b = (joints49(body, x.vertices, x.joints) for x in (still, turned))
    torch.testing.assert_close((a - root) @ turn.transpose(1, 2) + root, b, rtol=0, atol=1e-5)
    a.square().sum().backward()
    assert betas.grad is not None and betas.grad.abs().min() > 0


def test_shapes_are_checked():
    body = load_body("open-light")
    posed = body()
    with pytest.raises(BodyError, match="49 joints"):
        joints49(body, posed.vertices[:, :-1], posed.joints)
    with pytest.raises(BodyError, match="6890"):
        joints49(body, posed.vertices, posed.joints, torch.zeros(9, 6890))
