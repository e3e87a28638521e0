"""Results with known numbers, written by dsr itself, for the add-on to read."""

from __future__ import annotations

import numpy as np

from dsr.body import load_asset
from dsr.body.numpy_lbs import pose_vertices, skeleton
from dsr.outputs import copy_body
from dsr.result import FitResult, PersonResult, save_result

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


def write_picture(folder, people: int = 2, case: str = "landscape", body: str = "open-light", photo: bool = True, asset=None):
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
