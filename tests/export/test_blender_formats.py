"""FBX, BVH, USD and .blend, opened again by Blender and compared in metres."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from export_toys import CAMERA, SIZE, K, posed, toy_asset
from scipy.spatial.transform import Rotation

from dsr.body import load_body
from dsr.body.numpy_lbs import skeleton
from dsr.errors import ExportError
from dsr.export import save_picture, write_person
from dsr.export.blender import write_track_with_blender
from dsr.export.materials import face_materials, polygons
from dsr.export.rig import joint_names
from dsr.mocap.bvh import read_bvh
from dsr.results.clip import TrackResult
from dsr.results.picture import PersonResult

pytestmark = [
    pytest.mark.blender,
    pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs bpy: python3 -m pip install bpy==5.0.1"),
]

FILES = [(kind, frame) for kind in ("blend", "fbx", "usd", "bvh", "glb") for frame in ("camera", "body")]
SKINNED = [f for f in FILES if f[0] in ("blend", "fbx", "usd")]


def to_blender(file_axes: np.ndarray) -> np.ndarray:
    return np.asarray(file_axes) @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).T


def expected(person, frame):
    """Vertices and joints in Blender's world."""
    v, j = np.asarray(person.vertices_cam_m, float), np.asarray(person.joints_cam_m, float)
    if frame == "camera":
        flip = np.array([1.0, -1, -1])
        return to_blender(v * flip), to_blender(j * flip)
    turn = Rotation.from_rotvec(person.global_orient).as_matrix()
    v, j = (v - j[0]) @ turn, (j - j[0]) @ turn
    floor = np.array([0.0, v[:, 1].min(), 0.0])
    return to_blender(v - floor), to_blender(j - floor)


def turned(rows) -> np.ndarray:
    """Rows that begin with their smallest number: formats may start a polygon at another corner."""
    rows = np.asarray(rows)
    start = rows.argmin(1)[:, None]
    return np.take_along_axis(rows, (start + np.arange(rows.shape[1])) % rows.shape[1], 1)


@pytest.fixture(scope="module", params=["plain", "correctives and six influences", "quads"])
def reopened(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("blender")
    rich = request.param == "correctives and six influences"
    asset = toy_asset(correctives=rich, influences=6 if rich else 3, quads=request.param == "quads")
    person = posed(asset, yaw=0.9)
    paths = [folder / f"{frame}.{kind}" for kind, frame in FILES]
    for path, (kind, frame) in zip(paths, FILES, strict=True):
        write_person(person, asset, CAMERA, path, kind, frame)
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in paths)  # nothing else, no .blend1
    answers = reimported(paths, tmp_path_factory.mktemp("user"))
    return asset, person, dict(zip(FILES, answers, strict=True))


def reimported(paths, settings):
    """What Blender has of files."""
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(settings)}
    command = [sys.executable, str(Path(__file__).with_name("reimport.py")), *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr[-2000:]
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.mark.parametrize("file", FILES)
def test_bones_are_where_the_joints_are(file, reopened):
    asset, person, scenes = reopened
    heads = scenes[file]["heads"]
    _, joints = expected(person, file[1])
    got = np.array([heads[name] for name in asset.joint_names])
    assert np.abs(got - joints).max() < 1e-3
    parents = scenes[file]["parents"]
    for child, parent in enumerate(asset.parents):
        assert parents[asset.joint_names[child]] == (asset.joint_names[parent] if parent >= 0 else None)
    assert np.allclose(scenes[file]["bones_scale"], 1.0)


@pytest.mark.parametrize("file", SKINNED)
def test_skinned_mesh_is_the_fitted_one(file, reopened):
    asset, person, scenes = reopened
    vertices, _ = expected(person, file[1])
    scene = scenes[file]
    assert np.abs(np.array(scene["vertices"]) - vertices).max() < 1e-3
    assert scene["uv"] == 1 and scene["meshes"] == 1
    corners, corners_uv, first = polygons(asset)
    assert np.array_equal(turned(scene["polygons"]), turned(corners))
    uv = np.array(scene["corner_uv"]).reshape(*corners.shape, 2)
    assert np.abs(turned(uv[..., 0]) - turned(asset.uv[corners_uv][..., 0])).max() < 1e-5
    materials, kind = face_materials(asset)
    names = np.array([material.name for material in materials])[kind[first]]
    assert np.array_equal(np.array(scene["materials"])[scene["slots"]], names)
    assert scene["colours"] == {m.name: pytest.approx(list(m.colour), abs=2e-3) for m in materials}


@pytest.mark.parametrize("file", [f for f in FILES if f[0] != "bvh"])
def test_rest_pose_is_the_t_pose(file, reopened):
    asset, person, scenes = reopened
    shaped = asset.v_template + asset.shapedirs[..., :4] @ person.betas
    joints = to_blender(asset.J_regressor @ shaped)
    got = np.array([scenes[file]["rest_heads"][name] for name in asset.joint_names])
    offset = got[0] - joints[0]  # importers may put the armature anywhere
    if file[0] == "glb":
        return  # the bind pose is checked from the bytes in test_glb.py
    assert np.abs(got - offset - joints).max() < 1e-3
    assert np.linalg.norm(offset) < 1e-3
    if asset.posedirs is None:
        assert np.abs(np.array(scenes[file]["rest_vertices"]) - to_blender(shaped)).max() < 1e-3


@pytest.mark.parametrize("kind", ["blend", "fbx", "usd"])
def test_camera_is_matched(kind, reopened):
    scenes = reopened[2]
    scene = scenes[kind, "camera"]
    width, height = SIZE
    lens = [K[0, 0] * 36 / width, (width / 2 - K[0, 2]) / width, (K[1, 2] - height / 2) / width, 36.0]
    assert np.allclose(scene["lens"], lens, atol=1e-4)
    at_origin_level = [[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert np.allclose(scene["camera_world"], at_origin_level, atol=1e-5)
    assert "lens" not in scenes[kind, "body"]


def test_blend_camera_sees_the_pixels_of_the_picture(reopened):
    _, person, scenes = reopened
    scene = scenes["blend", "camera"]
    assert scene["resolution"] == list(SIZE)
    seen = np.array(scene["seen"])
    pixels = np.stack([seen[:, 0] * SIZE[0], (1 - seen[:, 1]) * SIZE[1]], 1)
    true = person.vertices_cam_m[: len(seen)] @ K.T
    assert np.abs(pixels - true[:, :2] / true[:, 2:]).max() < 0.05


def test_a_texture_is_the_picture_of_the_skin(tmp_path):
    asset = toy_asset(quads=True)
    png = save_picture(np.full((8, 4, 3), 77), tmp_path / "p.texture.png")
    paths = [tmp_path / f"p.{kind}" for kind in ("blend", "fbx", "usd", "glb")]
    for path in paths:
        write_person(posed(asset), asset, CAMERA, path, path.suffix[1:], "camera", png)
    assert sorted(tmp_path.iterdir()) == sorted([png, *paths])  # USD names the file that is there
    pictures = [scene["pictures"] for scene in reimported(paths, tmp_path)]
    assert pictures == [{"skin": [[4, 8], packed]} for packed in (True, True, False, True)]


def test_fingers_face_and_actions_come_back(tmp_path):
    body, rng = load_body("open-x"), np.random.default_rng(3)
    asset = body.asset
    betas, pose = np.zeros(asset.num_betas, np.float32), np.zeros((54, 3), np.float32)
    pose[21:] = rng.normal(0, 0.25, (33, 3))
    smile = asset.expression_names.index("mouthSmileLeft")
    betas[asset.num_shapes + smile] = 0.7
    orient, transl = np.array([np.pi, 0.2, 0], np.float32), np.array([0, 0, 3.0], np.float32)
    output = body(*(torch.from_numpy(row[None]) for row in (betas, pose, orient, transl)))
    actions = dict(zip(asset.expression_names, betas[asset.num_shapes :].tolist(), strict=True))
    rows = output.vertices[0].numpy(), output.joints[0].numpy()
    person = PersonResult(
        "p0",
        np.zeros(4),
        1.0,
        "blazepose33",
        np.zeros((33, 3)),
        betas,
        orient,
        pose,
        transl,
        *rows,
        1.7,
        actions=actions,
    )
    kinds = ("fbx", "usd", "bvh")
    paths = [tmp_path / f"body.{kind}" for kind in kinds]
    for path, kind in zip(paths, kinds, strict=True):
        write_person(person, asset, CAMERA, path, kind, "camera")
    vertices, joints = expected(person, "camera")
    for kind, scene in zip(kinds, reimported(paths, tmp_path / "user"), strict=True):
        heads = np.array([scene["heads"][name] for name in asset.joint_names])
        assert np.abs(heads - joints).max() < 2e-3, kind  # BVH has two decimals of a centimetre
        if kind != "bvh":
            assert set(asset.expression_names) <= set(scene["keys"]), kind
            assert scene["keys"]["mouthSmileLeft"] == pytest.approx(0.7, abs=1e-3)
            apart = np.abs(np.array(scene["vertices"]) - vertices[: len(scene["vertices"])])
            assert apart.max() < 1e-3, kind


def test_missing_folder_is_an_export_error(tmp_path):
    asset = toy_asset()
    with pytest.raises(ExportError, match="does not exist"):
        write_person(posed(asset), asset, CAMERA, tmp_path / "none" / "p.blend", "blend")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["blend", "fbx", "usd", "bvh"])
def test_full_disk_leaves_the_old_file_and_no_rest(kind, tmp_path):
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("needs prlimit (Linux) to limit the helper's files")
    from dsr.export.blender import _helper

    asset = toy_asset()
    path = tmp_path / f"p.{kind}"
    path.write_bytes(b"old")
    process = _helper()._running()
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
    try:
        with pytest.raises(ExportError, match=rf"p\.{kind} cannot be written by Blender"):
            write_person(posed(asset), asset, CAMERA, path, kind)
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    write_person(posed(asset), asset, CAMERA, path, kind)
    assert path.stat().st_size > 1500


def test_a_dead_helper_is_reported_and_replaced(tmp_path):
    from dsr.export.blender import _helper

    asset = toy_asset()
    path = tmp_path / "p.bvh"
    write_person(posed(asset), asset, CAMERA, path, "bvh")
    old = path.read_bytes()
    with pytest.raises(ExportError, match=r"a\.fbx cannot be written by Blender: .*none\.npz"):
        _helper().write({"arrays": str(tmp_path / "none.npz"), "path": "", "format": "fbx", "target": "a.fbx"})
    process = _helper()._process
    os.kill(process.pid, signal.SIGSTOP)
    threading.Timer(0.3, process.kill).start()
    with pytest.raises(ExportError, match=r"p\.bvh cannot be written: Blender's process ended"):
        write_person(posed(asset), asset, CAMERA, path, "bvh")
    write_person(posed(asset), asset, CAMERA, path, "bvh")
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["p.bvh"]


@pytest.mark.parametrize("kind", ["bvh", "fbx", "usd", "blend"])
def test_a_track_moves_as_it_was_fitted(kind, tmp_path):
    """The clip's frame 10 is the file's frame 11: people of one clip play together."""
    asset = toy_asset()
    persons = [posed(asset, yaw=yaw) for yaw in (0.9, 1.1, 1.3, 1.5)]
    count, first = len(persons), 10
    for t, person in enumerate(persons):
        person.transl += [0.1 * t, 0.02 * t, 0.05 * t]
        person.joints_cam_m = skeleton(asset, persons[0].betas, person.body_pose, person.global_orient, person.transl)[
            1
        ][:, :3, 3]
    track = TrackResult(
        "p0",
        np.arange(first, first + count),
        np.ones(count, bool),
        0.9,
        "coco17",
        np.zeros((count, 17, 3)),
        np.zeros((count, 4)),
        persons[0].betas,
        np.stack([p.global_orient for p in persons]),
        np.stack([p.body_pose for p in persons]),
        np.stack([p.transl for p in persons]),
        np.stack([p.joints_cam_m for p in persons]),
        np.zeros((count, 4), bool),
        1.7,
    )
    path = tmp_path / f"p.{kind}"
    write_track_with_blender(track, asset, CAMERA, 29.97, path, kind)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    (tmp_path / "user").mkdir()
    moments = (0, 2, 3)
    scenes = reimported([f"{path}@{first + 1 + t}" for t in moments], tmp_path / "user")
    for t, scene in zip(moments, scenes, strict=True):
        joints = expected(persons[t], "camera")[1]
        heads = np.array([scene["heads"][name] for name in joint_names(asset)])
        assert np.abs(heads - joints).max() < 2e-3, f"frame {t}"
    if kind in ("fbx", "blend"):
        assert scenes[0]["fps"] == pytest.approx(29.97, abs=0.01)
    if kind == "bvh":
        assert read_bvh(path, 1.0).fps == pytest.approx(29.97, rel=1e-3) and len(read_bvh(path).rotations) == 14
