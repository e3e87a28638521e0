"""A small body with everything an exporter can trip over, and people posed with it."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation

from dsr.body.asset import BodyAsset, split_quads
from dsr.body.joints import SMPL24_NAMES, SMPL24_PARENTS
from dsr.body.numpy_lbs import pose_vertices, skeleton
from dsr.camera import PictureCamera
from dsr.export.materials import face_materials
from dsr.results.picture import FitResult, PersonResult

K = np.array([[700.0, 0.0, 410.0], [0.0, 700.0, 290.0], [0.0, 0.0, 1.0]])
SIZE = (800, 600)
CAMERA = PictureCamera(K, SIZE)

TOY_FACE = ("left_eye", "right_iris", "left_pupil", "upper_teeth", "right_lashes")
"""Parts of the toy's face, a side of the head's box each."""

# Joints of a T-pose about 1.7 m tall, left at +x.
_JOINTS = np.array(
    [
        [0, 0, 0],
        [0.1, -0.08, 0],
        [-0.1, -0.08, 0],
        [0, 0.12, 0],
        [0.1, -0.46, 0],
        [-0.1, -0.46, 0],
        [0, 0.25, 0],
        [0.1, -0.86, -0.02],
        [-0.1, -0.86, -0.02],
        [0, 0.32, 0],
        [0.1, -0.9, 0.1],
        [-0.1, -0.9, 0.1],
        [0, 0.5, 0],
        [0.08, 0.42, 0],
        [-0.08, 0.42, 0],
        [0, 0.6, 0],
        [0.18, 0.44, 0],
        [-0.18, 0.44, 0],
        [0.44, 0.44, 0],
        [-0.44, 0.44, 0],
        [0.7, 0.44, 0],
        [-0.7, 0.44, 0],
        [0.78, 0.44, 0],
        [-0.78, 0.44, 0],
    ],
    float,
)


def toy_asset(*, correctives: bool = False, influences: int = 3, quads: bool = False) -> BodyAsset:
    """Boxes around 24 joints: texture seams, interior faces, optional pose correctives, many influences, quads.

    With quads the box of the head names its sides as parts of a face.
    """
    rng = np.random.default_rng(0)
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float) * 0.05
    box = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    vertices = (_JOINTS[:, None] + corners).reshape(-1, 3)
    polygons = np.concatenate([box + 8 * j for j in range(24)]).astype(np.int32)
    faces = split_quads(polygons)
    count = len(vertices)
    weights = np.zeros((count, 24))
    for v in range(count):
        near = np.argsort(np.linalg.norm(_JOINTS - vertices[v], axis=1))[:influences]
        weights[v, near] = rng.random(influences) + 0.1
    weights /= weights.sum(axis=1, keepdims=True)
    regressor = np.zeros((24, count))
    for j in range(24):
        regressor[j, 8 * j : 8 * j + 8] = 1 / 8
    interior = np.zeros(len(faces), bool)
    interior[15 * 12 : 15 * 12 + 4] = True
    part_ids = np.repeat(np.arange(24), 12).astype(np.int32)
    part_ids[15 * 12 : 16 * 12] = np.repeat([24, 25, 26, 27, 28, 15], 2)
    uv = rng.random((3 * len(faces) - 30, 2)).astype(np.float32)  # nearly every corner its own: seams everywhere
    polygons_uv = (np.arange(polygons.size).reshape(-1, 4) % (len(uv) - 7)).astype(np.int32)
    return BodyAsset(
        v_template=vertices.astype(np.float32),
        shapedirs=(rng.normal(size=(count, 3, 5)) * 0.01).astype(np.float32),
        weights=weights.astype(np.float32),
        parents=np.array(SMPL24_PARENTS, np.int64),
        faces=faces,
        J_regressor=csr_matrix(regressor),
        posedirs=(rng.normal(size=(count, 3, 207)) * 0.005).astype(np.float32) if correctives else None,
        uv=uv,
        faces_uv=split_quads(polygons_uv)
        if quads
        else (np.arange(3 * len(faces)).reshape(-1, 3) % len(uv)).astype(np.int32),
        quads=polygons if quads else None,
        quads_uv=polygons_uv if quads else None,
        part_ids=part_ids if quads else np.zeros(len(faces), np.int32),
        part_names=(*SMPL24_NAMES, *TOY_FACE) if quads else (),
        interior=interior,
        joint_names=SMPL24_NAMES,
        name="toy",
        licence="CC0",
    ).check()


def by_material(asset: BodyAsset, values: np.ndarray) -> np.ndarray:
    """Values (F, ...) of the faces in the order in which files with a list per material have them."""
    return values[np.argsort(face_materials(asset)[1], kind="stable")]


def posed(asset: BodyAsset, *, id: str = "p0", seed: int = 1, at=(0.3, 0.1, 4.0), yaw: float = 0.5) -> PersonResult:
    """Somebody upright in front of the camera, arms and legs anyhow."""
    rng = np.random.default_rng(seed)
    betas = rng.normal(size=asset.num_betas - 1)
    pose = rng.normal(size=(asset.num_joints - 1, 3)) * 0.5
    orient = (Rotation.from_euler("y", yaw) * Rotation.from_euler("x", np.pi)).as_rotvec()
    transl = np.array(at, float)
    vertices = pose_vertices(asset, betas, pose, orient, transl)
    joints = skeleton(asset, betas, pose, orient, transl)[1][:, :3, 3]
    return PersonResult(
        id=id,
        box_px=np.array([0.0, 0.0, 1.0, 1.0]),
        score=1.0,
        keypoint_set="blazepose33",
        keypoints_px=np.zeros((33, 3)),
        betas=betas.astype(np.float32),
        global_orient=orient,
        body_pose=pose,
        transl=transl,
        vertices_cam_m=vertices.astype(np.float32),
        joints_cam_m=joints.astype(np.float32),
        height_m=1.7,
    )


def result_of(people: list[PersonResult], rgb: np.ndarray) -> FitResult:
    """A fit of a picture of ``SIZE`` whose working copy is ``rgb``."""
    return FitResult(status="ok", input_path="a.jpg", image_size=SIZE, K=K, people=people, overlay_rgb=rgb)


def in_file_axes(points_cam: np.ndarray) -> np.ndarray:
    """OpenCV camera to y up, looking down -z."""
    return np.asarray(points_cam) * [1.0, -1.0, -1.0]
