"""People who stand before a camera that is held somehow: bodies with known place, and what a detector would see."""

from __future__ import annotations

import math

import numpy as np
import torch

from dsr.body.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from dsr.camera import PictureCamera
from dsr.camera.tilt import up_vector
from dsr.people.types import Detection

SIZE = (1280, 960)
K = np.array([[1200.0, 0, 640], [0, 1200.0, 480], [0, 0, 1]])
CAMERA = PictureCamera(K, SIZE)


def level_to_camera(pitch_deg=0.0, roll_deg=0.0):
    """Rotation (3, 3) from a level camera to one that looks down and whose scene leans to the right."""
    up = up_vector(pitch_deg, roll_deg)
    forward = np.array([0.0, 0.0, 1.0]) - up[2] * up
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(-up, forward), -up, forward], 1)


def person(body, pose=None, place=(0.0, 1.5, 5.0), yaw=0.0, scale=1.0, level=None, betas=None):
    """A posed body's vertices in the camera, its soles ``place[1]`` metres below it and ``place[2]`` away.

    Args:
        body: the layer.
        pose: (23, 3) axis-angle, at rest with hanging arms where None.
        place: right of, below and before the camera, metres.
        yaw: degrees from facing the camera.
        scale: of the whole body.
        level: rotation from a level camera to the true one.
        betas: (B,).
    """
    theta = torch.zeros(1, body.num_joints - 1, 3)
    theta[0, 15, 2], theta[0, 16, 2] = -1.2, 1.2
    if pose is not None:
        theta = torch.as_tensor(pose, dtype=torch.float32).reshape(1, -1, 3)
    upside = axis_angle_to_rotmat(torch.tensor([math.pi, 0.0, 0.0]))
    turn = upside @ axis_angle_to_rotmat(torch.tensor([0.0, math.radians(yaw), 0.0]))
    shape = torch.zeros(1, body.num_betas) if betas is None else torch.as_tensor(betas, dtype=torch.float32)[None]
    vertices = body(shape, theta, rotmat_to_axis_angle(turn)[None], torch.zeros(1, 3)).vertices[0].numpy() * scale
    vertices = vertices - [0.0, vertices[:, 1].max(), 0.0] + np.asarray(place)
    return vertices if level is None else vertices @ level.T


def seen(body, vertices, lean_deg=0.0, hidden=(), camera=CAMERA):
    """What a detector sees; its landmarks lean towards the camera by ``lean_deg`` in error.

    Args:
        body: the layer.
        vertices: (V, 3) camera frame.
        lean_deg: of the landmarks.
        hidden: parts of keypoint names with confidence 0.
        camera: the camera.
    """
    from dsr.body.joints import joint_names

    points = body.keypoints(torch.as_tensor(vertices, dtype=torch.float32)[None], "blazepose33")[0].numpy()
    pixels = camera.project(points)
    angle = math.radians(lean_deg)
    lean = np.array([[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]])
    world = (points - points[[23, 24]].mean(0)) @ lean.T
    names = joint_names("blazepose33")
    confidence = np.array([0.0 if any(part in name for part in hidden) else 1.0 for name in names])
    shown = pixels[confidence > 0]
    return Detection(np.r_[shown.min(0), shown.max(0)], 0.9, "blazepose33", pixels, confidence, world)


def lean_deg(body, vertices, up, top="shoulder", bottom="hip"):
    """How far a body leans towards the camera, degrees from ``up``."""
    from dsr.body.joints import joint_names

    points = body.keypoints(torch.as_tensor(vertices, dtype=torch.float32)[None], "blazepose33")[0].numpy()
    names = joint_names("blazepose33")
    ends = [points[[names.index(f"left_{part}"), names.index(f"right_{part}")]].mean(0) for part in (top, bottom)]
    away = np.array([0.0, 0.0, 1.0]) - up[2] * up
    along = (ends[0] - ends[1]) @ (away / np.linalg.norm(away))
    return -math.degrees(math.atan2(along, (ends[0] - ends[1]) @ up))
