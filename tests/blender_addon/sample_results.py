"""Results with known numbers, written by dsr itself, for the add-on to read."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from dsr.body import load_asset
from dsr.body.numpy_lbs import pose_vertices, skeleton
from dsr.pipeline.body_file import copy_body
from dsr.results import FitResult, PersonResult, save_result

HERE = Path(__file__).resolve().parent
CASES = {
    "landscape": ((1920, 1080), 1500.0, (960.0, 540.0)),
    "portrait": ((1080, 1920), 1500.0, (540.0, 960.0)),
    "off-centre": ((800, 600), 700.0, (380.0, 330.0)),
}


def intrinsics(case: str) -> tuple[tuple[int, int], np.ndarray]:
    size, f, (cx, cy) = CASES[case]
    return size, np.array([[f, 0, cx], [0, f, cy], [0, 0, 1.0]])


def random_person(asset, seed: int, x: float = 0.0, scale: float = 0.4) -> PersonResult:
    rng = np.random.default_rng(seed)
    betas = rng.normal(size=asset.num_betas)
    pose = rng.normal(size=(asset.num_joints - 1, 3)) * scale
    orient = np.array([np.pi, 0, 0]) + rng.normal(size=3) * 0.3  # upright in a camera whose y points down
    transl = np.array([x, 0.1, 4.0 + 0.2 * seed])
    vertices = pose_vertices(asset, betas, pose, orient, transl)
    _, transforms = skeleton(asset, betas, pose, orient, transl)
    return PersonResult(
        id=f"p{seed}",
        box_px=np.array([10.0, 20, 200, 400]),
        score=0.9,
        keypoint_set="coco17",
        keypoints_px=np.ones((17, 3)),
        betas=betas,
        global_orient=orient,
        body_pose=pose,
        transl=transl,
        vertices_cam_m=vertices.astype(np.float32),
        joints_cam_m=transforms[:, :3, 3],
        height_m=1.7,
        joint_uncertainty_mm=np.linspace(5, 50, asset.num_joints),
    )


def write_picture(
    folder, people: int = 2, case: str = "landscape", body: str = "open-light", photo: bool = True, asset=None
):
    """A result of that many people; returns the JSON path, the FitResult and the asset."""
    asset = asset or load_asset(body)
    size, K = intrinsics(case)
    picture = folder / f"{case}.png"
    if photo:
        from PIL import Image

        Image.new("RGB", size, (60, 70, 90)).save(picture)
    result = FitResult(
        status="ok" if people else "no_person",
        input_path=str(picture),
        image_size=size,
        K=K,
        focal_source="flag",
        body={"name": asset.name, "licence": asset.licence, "sha256": asset.sha256, "file": copy_body(asset, folder)},
        people=[random_person(asset, i, x=0.9 * i - 0.45 * (people - 1)) for i in range(people)],
        warnings=["a warning"],
    )
    path = folder / f"{case}.json"
    save_result(result, path)
    return path, result, asset


def write_worker(folder, mode: str, result, name: str = ""):
    """An executable that the add-on takes for a Python; it runs the fake worker."""
    path = folder / (name or f"worker_{mode}")
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -u "{HERE / "fake_worker.py"}" {mode} "{result}" "$@"\n')
    path.chmod(0o755)
    return path


def write_clip(folder, frames: int = 30, people: int = 2, asset=None):
    """A clip of people who turn and walk; the second has gaps. Returns the JSON path."""
    from dsr.results import SequenceResult, TrackResult

    asset = asset or load_asset("open-light")
    size, K = intrinsics("landscape")
    clip = folder / "frames"
    clip.mkdir(parents=True, exist_ok=True)
    tracks = []
    for i in range(people):
        person = random_person(asset, i, x=0.9 * i - 0.4, scale=0.25)
        first = 4 if i == 1 else 0
        t = np.arange(first, frames)
        observed = np.ones(len(t), bool)
        if i == 1:
            observed &= ~((t >= 10) & (t <= 12)) & ~((t >= 16) & (t <= 25))
        pose = np.repeat(person.body_pose[None], len(t), 0)
        pose[:, 0, 0] += 0.4 * np.sin(0.3 * t)
        orient = np.repeat(person.global_orient[None], len(t), 0)
        transl = person.transl + 0.02 * t[:, None] * np.array([1.0, 0, 0.5])
        joints = np.zeros((len(t), asset.num_joints, 3))
        tracks.append(
            TrackResult(
                id=f"p{i}",
                frames=t,
                observed=observed,
                score=0.8,
                keypoint_set="coco17",
                keypoints_px=np.zeros((len(t), 17, 3)),
                boxes_px=np.zeros((len(t), 4)),
                betas=person.betas,
                global_orient=orient,
                body_pose=pose,
                transl=transl,
                joints_cam_m=joints,
                contacts=np.zeros((len(t), 4), bool),
                height_m=1.7,
                joint_uncertainty_mm=np.full((len(t), asset.num_joints), 12.0),
            )
        )
    result = SequenceResult(
        status="ok",
        input_path=str(clip),
        image_size=size,
        fps=29.97,
        frame_indices=np.arange(frames),
        frame_times_s=np.arange(frames) / 29.97,
        frames_read=np.ones(frames, bool),
        K=np.repeat(K[None], frames, 0),
        body={"name": asset.name, "licence": "", "sha256": asset.sha256, "file": copy_body(asset, folder)},
        people=tracks,
    )
    path = folder / "clip.json"
    save_result(result, path)
    return path


def corrective_asset(folder):
    """The light open body with made-up pose correctives, as a file."""
    from dataclasses import replace

    from dsr.body.asset_file import save_asset

    light = load_asset("open-light")
    rng = np.random.default_rng(5)
    posedirs = np.zeros((light.num_vertices, 3, 9 * (light.num_joints - 1)), np.float32)
    posedirs[::7] = rng.normal(size=posedirs[::7].shape) * 0.002
    path = folder / "CORRECTIVE.npz"
    save_asset(replace(light, posedirs=posedirs, name="corrective", path=None), path)
    return load_asset(path)


def earlier_asset(folder):
    """The open body as earlier versions wrote it: triangles, no parts but those of the joints, 11 nameless betas."""
    from dataclasses import replace

    from dsr.body.asset_file import save_asset

    body = load_asset("open")
    parts = body.weights[body.faces].sum(1).argmax(1).astype(np.int32)
    path = folder / "EARLIER.npz"
    plain = {"quads": None, "quads_uv": None, "part_ids": parts, "part_names": body.joint_names, "path": None}
    plain |= {"shapedirs": body.shapedirs[..., :11], "tape": None, "tape_names": (), "directions": None}
    plain |= {"sex_mean": None, "sex_cov": None, "direction_spreads": None}
    plain |= {"direction_names": (), "direction_units": ()}
    save_asset(replace(body, name="earlier", **plain), path)
    return load_asset(path)


def write_walk(folder, frames: int = 60, asset=None):
    """A clip of one person who walks in a bow before an upright camera; the standing ankle does not move."""
    from scipy.spatial.transform import Rotation

    from dsr.body.numpy_lbs import rest_shape
    from dsr.mocap.gait import walking_motion
    from dsr.results import Floor

    asset = asset or load_asset("open-light")
    path = write_clip(folder, frames, 1, asset)
    from dsr.results import load_result

    result = load_result(path)
    person = result.people[0]
    rest = rest_shape(asset, person.betas)[1]
    motion = walking_motion(frames / 30, 30.0, turn_rad_s=0.3, rest=rest)
    to_camera = np.diag([1.0, -1.0, -1.0])
    turns = np.concatenate([(to_camera @ motion.global_orient)[:, None], motion.body_pose_rotmat], 1)
    vectors = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec().reshape(frames, -1, 3)
    person.frames, person.observed = np.arange(frames), np.ones(frames, bool)
    person.global_orient, person.body_pose = vectors[:, 0], vectors[:, 1:]
    person.transl = motion.root_position_m @ to_camera.T + [0.0, 0.0, 6.0] - rest[0]
    result.fps = 30.0
    result.floor = Floor(np.array([0.0, -1.0, 0.0]), people=["p0"])
    save_result(result, path)
    return path
