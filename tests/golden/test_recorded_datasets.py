"""Recorded samples of both views, augmentations, mixtures, lab cameras, detector noise and retargeted motion."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from recorded import Recording, normal, numbers, rotations, uniform

from dsr.datasets import DsrView, PersPoseView
from dsr.datasets.augment import FLIP49, SPIN24_FLIP, DsrAugment, crop_matrix, draw_dsr, turn_joints, turn_pose
from dsr.datasets.mix import MixedSource
from dsr.datasets.perspose_view import PersPoseAugment, draw_perspose
from dsr.datasets.pixels import augment_pixels
from dsr.mocap.bvh import Motion
from dsr.mocap.gait import walking_motion
from dsr.mocap.retarget import retarget_to_smpl
from dsr.synthetic import PersonRecord
from dsr.tracks.cameras import LabCamera, flip_intrinsic
from dsr.tracks.noise import DetectorNoise

recording = Recording("datasets")


def record(**changes: Any) -> PersonRecord:
    """A person of 40 x 60 pixels in a smooth picture, with every kind of label."""
    v, u = np.mgrid[:90, :120]
    labels = np.zeros((90, 120), np.uint8)
    labels[20:50, 30:44], labels[20:50, 60:80], labels[50:70, 45:60], labels[10:22, 45:60] = 14, 15, 5, 13
    points = np.concatenate((uniform("points", 49, 2) * [30, 40] + [55, 45], uniform("seen", 49, 1, low=0)), -1)
    values: dict[str, Any] = {
        "source": "toy",
        "key": "7",
        "image": np.stack((2 * u, 2 * v, u + v), -1).astype(np.uint8),
        "box_px": np.array([30.0, 12, 80, 72]),
        "K": np.array([[150.0, 0, 61], [0, 160, 44], [0, 0, 1]]),
        "pose_aa": 0.6 * uniform("pose", 24, 3),
        "betas": uniform("betas", 10),
        "joints_m": {"spin24": np.concatenate((uniform("joints", 24, 3), np.ones((24, 1))), -1)},
        "keypoints_px": {"openpose25": points[:25], "spin24": points[25:]},
        "labels": labels,
    }
    return PersonRecord(**{**values, **changes})


def numeric(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample without names; pictures as means of quarters (OpenCV rounds source places to 1/32 pixel)."""
    values = {key: value for key, value in sample.items() if isinstance(value, torch.Tensor)}
    side = values["image"].shape[-1] // 4
    values["image"] = values["image"].unflatten(2, (4, side)).unflatten(1, (4, side)).mean((2, 4))
    return values


def dsr_view(drawn: DsrAugment, compat: bool):
    return numeric(DsrView(image_size=64, compat=compat).sample(record(), drawn))


for _compat in (False, True):
    recording.add(f"dsr view {_compat}", partial(dsr_view, DsrAugment(), _compat))
    _drawn = DsrAugment(True, (0.9, 1.1, 1.2), 25.0, 1.15)
    recording.add(f"dsr view mirrored and turned {_compat}", partial(dsr_view, _drawn, _compat))


def perspose_view(drawn: PersPoseAugment, kind: str):
    from dsr.body import load_body

    body = load_body("open-light")
    changes: dict[str, Any] = {"transl": np.array([-0.1, 0.2, 3.2])}
    if kind == "joints":
        joints = numbers("h36m", 17, 3).numpy() * 0.6 + [0, 0, 3]
        changes |= {"pose_aa": None, "joints_m": {"h36m17": joints}}
    elif kind == "keypoints":
        changes |= {"pose_aa": None, "K": None, "joints_m": {}}
    elif kind == "bedlam":
        changes |= {"source": "bedlam-train", "height_m": 1.67, "shape_of": "open"}
    return numeric(PersPoseView(image_size=64, bodies=body).sample(record(**changes), drawn))


for _kind in ("body", "joints", "keypoints", "bedlam"):
    recording.add(f"perspose view {_kind}", partial(perspose_view, PersPoseAugment(), _kind))
    recording.add(
        f"perspose view {_kind} turned", partial(perspose_view, PersPoseAugment(20.0, 0.8, (0.08, -0.05)), _kind)
    )


@recording.case
def draws():
    random = np.random.RandomState(4)
    dsr = [draw_dsr(random) for _ in range(30)]
    perspose = [draw_perspose(random, aim_jitter=0.1) for _ in range(30)]
    return {
        "dsr": np.array([[d.flip, *d.gains, d.rotation_deg, d.scale] for d in dsr], np.float64),
        "perspose": np.array([[d.rotation_deg, d.scale, *d.aim, d.pixels] for d in perspose], np.float64),
    }


def changed_pixels():
    """Means of the changed crops."""
    v, u = np.mgrid[:48, :48]
    image = np.stack((5 * u, 5 * v, 2 * (u + v)), -1).astype(np.uint8)
    changed = [augment_pixels(image, np.random.RandomState(seed)) for seed in range(40)]
    return {"means": np.array([picture.mean((0, 1)) for picture in changed], np.float32)}


# OpenCV's colours are whole numbers that processors round in their own way: 0.3 of 255 grey levels in the mean
recording.add("changed_pixels", changed_pixels, tolerance=5e-3)


@recording.case
def turns():
    pose, points = 0.8 * uniform("pose", 24, 3), uniform("points", 49, 3)
    return {
        "matrix": crop_matrix(np.array([40.0, 55.0]), 120.0, 224, 33.0),
        "pose": turn_pose(pose, 25.0, False),
        "mirrored pose": turn_pose(pose, -40.0, True),
        "points": turn_joints(points, 30.0, True, FLIP49),
        "joints": turn_joints(points[:24], -20.0, False, SPIN24_FLIP),
    }


class Source:
    """A data set of so many records."""

    def __init__(self, name: str, length: int) -> None:
        self.name, self.length = name, length

    def __len__(self) -> int:
        return self.length


@recording.case
def mixtures():
    outputs = {}
    for rule in ("random", "passes", "published-passes"):
        mixed: Any = MixedSource([Source("a", 7), Source("b", 30), Source("c", 4)], [0.2, 0.5, 0.3], rule=rule, seed=3)
        outputs[rule] = np.array([mixed.pick(i, epoch) for epoch in (0, 1, 5) for i in range(len(mixed))])
    return outputs


@recording.case
def lab_cameras():
    quaternion = np.array([0.5, -0.4, 0.6, 0.3]) / np.linalg.norm([0.5, -0.4, 0.6, 0.3])
    intrinsic = np.array([2.29, 2.28, 0.025, 0.03, -0.2, 0.24, -0.002, -0.0009, -0.001])
    camera = LabCamera(quaternion, np.array([1.8, 4.9, 1.6]), (1000, 1002), intrinsic)
    points = uniform("world", 5, 17, 3)
    seen = camera.to_camera(points)
    front = np.abs(seen) + np.array([0.0, 0.0, 1.0])
    return {
        "camera": seen,
        "world": camera.to_world(points),
        "bent": camera.project(front),
        "straight": camera.project(front, False),
        "matrix": camera.matrix(),
        "mirrored": flip_intrinsic(intrinsic),
    }


@recording.case
def detector_noise():
    """A walker of 200 frames who turns; numpy's generator is part of the recording."""
    time = np.arange(200)[:, None] / 30
    base = uniform("skeleton", 17, 3) * [0.3, 0.9, 0.3]
    angle = time * 0.8
    x = base[:, 0] * np.cos(angle) + base[:, 2] * np.sin(angle)
    z = base[:, 2] * np.cos(angle) - base[:, 0] * np.sin(angle) + 4
    y = np.broadcast_to(base[:, 1], x.shape)
    pixels = np.stack((x / z, y / z), -1) * 600 + [320, 240]
    outputs = {}
    for name, noise in {
        "plain": DetectorNoise(),
        "rough": DetectorNoise(scale=2, swaps_per_min=60, drops_per_min=30),
    }.items():
        moved, confidence = noise.apply(pixels, z, (640, 480), 30.0, "h36m17", np.random.default_rng(5))
        outputs |= {f"{name} places": moved - pixels, f"{name} confidence": confidence}
    return outputs


def cmu_motion(frames: int = 6) -> Motion:
    """Random rotations of a skeleton of the CMU kind."""
    side = {
        "Collar": ("chest", (2.7, 19.3, -4.9)),
        "Shldr": ("Collar", (8.8, -2.0, 1.5)),
        "ForeArm": ("Shldr", (28.2, -1.7, 0.5)),
        "Hand": ("ForeArm", (22.6, 0.8, 7.1)),
        "Index1": ("Hand", (7.8, 0.9, 5.6)),
        "Mid1": ("Hand", (8.2, 1.2, 3.4)),
        "Pinky1": ("Hand", (8.3, -0.05, -0.5)),
        "Buttock": ("hip", (8.8, 4.4, 1.2)),
        "Thigh": ("Buttock", (0, -1.7, -2.2)),
        "Shin": ("Thigh", (0, -36.8, 0.7)),
        "Foot": ("Shin", (-0.7, -45.1, -5.1)),
    }
    bones = [("hip", None, (0, 0, 0)), ("abdomen", "hip", (0, 20.7, -0.7)), ("chest", "abdomen", (0, 11.7, -0.5))]
    bones += [("neck", "chest", (0, 22.2, -2.2)), ("head", "neck", (-0.2, 7.1, 1.2))]
    for prefix, sign in (("r", -1), ("l", 1)):
        for name, (parent, (x, y, z)) in side.items():
            bones.append((prefix + name, parent if parent in ("chest", "hip") else prefix + parent, (sign * x, y, z)))
    names = [name for name, _, _ in bones]
    parents = np.array([-1 if parent is None else names.index(parent) for _, parent, _ in bones])
    turns = rotations("local", frames, len(names), angle=1.0).numpy()
    ends = {names.index(p + "Foot"): np.array([s * 0.011, -0.037, 0.121]) for p, s in (("r", -1), ("l", 1))}
    root = uniform("root", frames, 3) * 0.2 + [0, 0.9, 0]
    channels = (("Zrotation", "Xrotation", "Yrotation"),) * len(names)
    offsets = np.array([offset for _, _, offset in bones]) / 100
    return Motion(tuple(names), parents, offsets, ends, turns, root, 60.0, channels, "made up")


def smpl_motion(motion: Any) -> dict[str, Any]:
    return {
        "pose": motion.body_pose_rotmat,
        "orient": motion.global_orient,
        "root": motion.root_position_m,
        "joints": motion.joints(),
    }


@recording.case
def retargeting():
    motion = cmu_motion()
    turned, places = motion.world()
    smpl = retarget_to_smpl(motion)
    mirrored = {f"mirrored {key}": value for key, value in smpl_motion(smpl.mirrored()).items()}
    return {"source rotations": turned, "source places": places, **smpl_motion(smpl), **mirrored}


@recording.case
def walk():
    return smpl_motion(walking_motion(seconds=1.0, turn_rad_s=0.4, heading_rad=0.3))


@recording.case
def pose_prior():
    from dsr.mocap.pose_prior import PosePrior

    prior = PosePrior.load(dtype=torch.float64)
    theta = 0.4 * normal("poses", 5, 63)
    residual, index, _ = prior.residual(theta)
    return {"nll": prior.nll(theta), "density": prior.log_density(theta), "residual": residual, "component": index}


@pytest.mark.parametrize("name", recording.cases)
def test_recorded(name):
    recording.check(name)
