"""The animated GLB is judged from its bytes alone: at every key the skin gives the vertices of the result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from export_toys import by_material
from scipy.spatial.transform import Rotation
from test_glb import Glb

from dsr.body import load_asset
from dsr.camera import PictureCamera
from dsr.errors import ExportError, UsageError
from dsr.export import on_rig
from dsr.export.animation import animated_glb_bytes
from dsr.results.clip import TrackResult, person_at

SIZE, FPS, FIRST = (640, 480), 25.0, 10
CAMERA = PictureCamera([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]], SIZE)


@pytest.fixture(scope="module")
def asset():
    return load_asset("open-light")


def made_track(asset, frames=6, ground=None):
    rng = np.random.default_rng(2)
    start = rng.normal(0, 0.3, (1, asset.num_joints - 1, 3))
    pose = start + np.cumsum(rng.normal(0, 0.08, (frames, asset.num_joints - 1, 3)), 0)
    turn = Rotation.from_euler("y", np.linspace(2.6, 3.7, frames)[:, None])  # beyond half a turn: signs flip
    orient = (Rotation.from_euler("x", np.pi) * turn).as_rotvec()
    betas = rng.normal(0, 1, asset.num_betas)
    track = TrackResult(
        "p0",
        np.arange(FIRST, FIRST + frames),
        np.array([True, False] + [True] * (frames - 2)),
        0.9,
        "blazepose33",
        np.zeros((frames, 33, 3)),
        np.zeros((frames, 4)),
        betas,
        orient,
        pose,
        rng.normal(0, 0.2, (frames, 3)) + np.array([0, 0, 4.0]),
        np.zeros((frames, asset.num_joints, 3)),
        np.zeros((frames, 4), bool),
        1.7,
        ground,
    )
    from dsr.body.numpy_lbs import skeleton

    for t in range(frames):
        placed = skeleton(asset, betas, pose[t], orient[t], track.transl[t])[1]
        track.joints_cam_m[t] = placed[:, :3, 3]
    return track


def at(glb: Glb, time: float) -> Glb:
    """The file with its nodes as the animation has them at a moment."""
    nodes = glb.doc["nodes"]
    for channel in glb.doc["animations"][0]["channels"]:
        sampler = glb.doc["animations"][0]["samplers"][channel["sampler"]]
        assert sampler.get("interpolation", "LINEAR") == "LINEAR"
        times, keys = glb.array(sampler["input"])[:, 0], glb.array(sampler["output"])
        keys = keys.reshape(len(times), -1)
        value = np.stack([np.interp(time, times, keys[:, k]) for k in range(keys.shape[1])])
        if channel["target"]["path"] == "rotation":
            value /= np.linalg.norm(value)
        if channel["target"]["path"] == "weights":
            glb.doc["meshes"][nodes[channel["target"]["node"]]["mesh"]]["weights"] = value.tolist()
            continue
        nodes[channel["target"]["node"]][channel["target"]["path"]] = value.tolist()
    return glb


def corners(glb: Glb) -> np.ndarray:
    vertices, mesh = glb.skinned()
    return np.concatenate([vertices[glb.array(p["indices"]).reshape(-1, 3)] for p in mesh["primitives"]])


def expected(asset, track, index):
    vertices = person_at(track, index, asset).vertices_cam_m * [1, -1, -1]
    order = by_material(asset, asset.faces)
    return vertices[order]


def test_keys_equal_the_result(asset):
    track = made_track(asset)
    glb = Glb(animated_glb_bytes(track, asset, CAMERA, FPS))
    assert np.abs(corners(glb) - expected(asset, track, 0)).max() < 1e-4  # at rest it shows the first frame
    for index in (0, 1, 3, 5):
        assert np.abs(corners(at(glb, (FIRST + index) / FPS)) - expected(asset, track, index)).max() < 1e-4


def moving_face(frames=4):
    """A body with fingers and facial actions, a track of it in which all of them move."""
    asset = load_asset("open-x")
    track = made_track(asset, frames)
    track.betas = track.betas[: asset.num_shapes]
    track.action_names = asset.expression_names
    track.actions = np.random.default_rng(3).uniform(0, 1, (frames, len(asset.expression_names)))
    return asset, track


def test_fingers_and_facial_actions_move_as_in_the_result():
    asset, track = moving_face()
    glb = Glb(animated_glb_bytes(track, asset, CAMERA, FPS))
    for index in (0, 2, 3):
        off = corners(at(glb, (FIRST + index) / FPS)) - expected(asset, track, index)
        assert np.abs(off).max() < 1e-4
    names = {node.get("name") for node in glb.doc["nodes"]}
    assert {"left_index3", "right_pinky1", "jaw", "left_eye_smplhf"} <= names
    assert {"mouthPucker", "eyeBlinkLeft", "mouthSmileRight"} <= set(glb.doc["meshes"][0]["extras"]["targetNames"])


def test_between_keys_it_goes_the_short_way(asset):
    track = made_track(asset)
    glb = Glb(animated_glb_bytes(track, asset, CAMERA, FPS))
    halfway = corners(at(glb, (FIRST + 2.5) / FPS))
    middle = (expected(asset, track, 2) + expected(asset, track, 3)) / 2
    assert np.abs(halfway - middle).max() < 0.03


def test_times_are_the_clips_and_gaps_are_told(asset):
    glb = Glb(animated_glb_bytes(made_track(asset), asset, CAMERA, FPS))
    animation = glb.doc["animations"][0]
    clock = animation["samplers"][0]["input"]
    assert np.allclose(glb.array(clock)[:, 0], np.arange(FIRST, FIRST + 6) / FPS)
    assert np.allclose([glb.doc["accessors"][clock][k][0] for k in ("min", "max")], [FIRST / FPS, (FIRST + 5) / FPS])
    assert len(animation["channels"]) == asset.num_joints + 1
    assert glb.doc["scenes"][0]["extras"] == {"fps": FPS, "gaps": [[FIRST + 1, FIRST + 1]]}


@pytest.mark.parametrize("tilt", [None, 0.2])
def test_body_frame_stands_at_the_origin(asset, tilt):
    up = None if tilt is None else Rotation.from_euler("x", tilt).apply([0.0, -1.0, 0.0])
    track = made_track(asset)
    if up is not None:
        lowest = min(float((track.joints_cam_m[t] @ up).min()) for t in range(6))
        track.ground = np.r_[up, lowest]
    glb = Glb(animated_glb_bytes(track, asset, CAMERA, FPS, "body"))
    assert not any("camera" in node for node in glb.doc["nodes"])
    moved = []
    for index in range(6):
        here = at(glb, (FIRST + index) / FPS)
        moved.append(np.stack([here.world(j)[:3, 3] for j in range(asset.num_joints)]))
    moved = np.stack(moved)
    assert np.abs(moved[0, 0, [0, 2]]).max() < 1e-5 and abs(moved[..., 1].min()) < 1e-4
    first = at(glb, FIRST / FPS).world(0)
    assert abs(first[0, 2]) < 1e-5 and first[2, 2] > 0  # faces +z
    apart = np.linalg.norm(moved[:, 0] - moved[:1, 0], axis=-1)
    assert np.allclose(apart, np.linalg.norm(track.joints_cam_m[:, 0] - track.joints_cam_m[:1, 0], axis=-1), atol=1e-4)


def test_bones_of_another_program_move_the_same_mesh():
    """The open body gets fingers for it, and the names."""
    opened = load_asset("open")
    track = made_track(opened, frames=3)
    track.body_pose[:, 21:] = 0
    rigged, wide = on_rig(track, opened, "mixamo")
    assert rigged.body_pose.shape == (3, 54, 3) and rigged.joints_cam_m.shape == (3, 55, 3)
    np.testing.assert_allclose(rigged.joints_cam_m[:, :22], track.joints_cam_m[:, :22], atol=1e-5)
    glb = Glb(animated_glb_bytes(rigged, wide, CAMERA, FPS))
    names = [node["name"] for node in glb.doc["nodes"]]
    assert {"mixamorig:Hips", "mixamorig:LeftHandIndex1", "mixamorig:RightToeBase"} <= set(names)
    there = at(glb, (FIRST + 2) / FPS)
    assert np.abs(corners(there) - expected(opened, track, 2)).max() < 1e-4


def test_one_frame_is_an_animation_too(asset):
    track = made_track(asset, frames=2)
    for name in ("frames", "observed", "global_orient", "body_pose", "transl", "joints_cam_m"):
        setattr(track, name, getattr(track, name)[:1])
    glb = Glb(animated_glb_bytes(track, asset, CAMERA, FPS))
    assert np.abs(corners(at(glb, 0.0)) - expected(asset, track, 0)).max() < 1e-4


def test_refusals(asset):
    track = made_track(asset)
    with pytest.raises(UsageError, match="Unknown frame"):
        animated_glb_bytes(track, asset, CAMERA, FPS, "world")
    with pytest.raises(ExportError, match="frames per second"):
        animated_glb_bytes(track, asset, CAMERA, 0.0)
    track.transl[2] = np.nan
    with pytest.raises(ExportError, match="not finite"):
        animated_glb_bytes(track, asset, CAMERA, FPS)


def test_khronos_validator(asset, tmp_path):
    module = os.environ.get("GLTF_VALIDATOR")
    if not module or not shutil.which("node"):
        pytest.skip("needs node, and GLTF_VALIDATOR naming the folder of the npm package gltf-validator")
    for frame in ("camera", "body"):
        (tmp_path / f"{frame}.glb").write_bytes(animated_glb_bytes(made_track(asset), asset, CAMERA, FPS, frame))
    face, track = moving_face()
    (tmp_path / "face.glb").write_bytes(animated_glb_bytes(track, face, CAMERA, FPS))
    script = (
        "const v=require(process.argv[1]),fs=require('fs');(async()=>{for(const f of process.argv.slice(2)){"
        "const r=await v.validateBytes(new Uint8Array(fs.readFileSync(f)));console.log(JSON.stringify(r.issues))}})()"
    )
    files = [str(path) for path in tmp_path.glob("*.glb")]
    run = subprocess.run(["node", "-e", script, module, *files], capture_output=True, text=True, check=True)
    for line in run.stdout.splitlines():
        issues = json.loads(line)
        assert issues["numErrors"] == 0 and issues["numWarnings"] == 0, issues["messages"]
    assert len(run.stdout.splitlines()) == 3
