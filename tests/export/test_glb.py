"""The GLB is judged from its bytes alone, by an evaluator written from the glTF 2.0 specification."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from export_toys import CAMERA, SIZE, K, by_material, in_file_axes, posed, toy_asset
from scipy.spatial.transform import Rotation

from dsr.body import load_asset
from dsr.body.numpy_lbs import rest_shape
from dsr.camera import PictureCamera
from dsr.errors import BodyError
from dsr.export import write_person
from dsr.export.materials import face_materials

DTYPE = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    def __init__(self, data: bytes) -> None:
        magic, version, length = struct.unpack("<4sII", data[:12])
        assert (magic, version, length) == (b"glTF", 2, len(data))
        json_length, kind = struct.unpack("<I4s", data[12:20])
        assert kind == b"JSON" and json_length % 4 == 0
        self.doc = json.loads(data[20 : 20 + json_length])
        start = 20 + json_length
        bin_length, kind = struct.unpack("<I4s", data[start : start + 8])
        assert kind == b"BIN\0" and bin_length % 4 == 0
        self.blob = data[start + 8 : start + 8 + bin_length]
        assert start + 8 + bin_length == len(data)

    def array(self, accessor: int) -> np.ndarray:
        a = self.doc["accessors"][accessor]
        view = self.doc["bufferViews"][a["bufferView"]]
        dtype, width = DTYPE[a["componentType"]], WIDTH[a["type"]]
        start = view.get("byteOffset", 0) + a.get("byteOffset", 0)
        assert "byteStride" not in view
        assert start % np.dtype(dtype).itemsize == 0 and start % 4 == 0
        assert a["count"] * width * np.dtype(dtype).itemsize <= view["byteLength"]
        return np.frombuffer(self.blob, dtype, a["count"] * width, start).reshape(a["count"], width)

    def offsets(self, accessor: int) -> np.ndarray:
        """(n, 3) of a sparse accessor."""
        a = self.doc["accessors"][accessor]
        sparse = a["sparse"]
        out = np.zeros((a["count"], 3), np.float32)
        place, value = (self.doc["bufferViews"][sparse[key]["bufferView"]] for key in ("indices", "values"))
        rows = np.frombuffer(self.blob, DTYPE[sparse["indices"]["componentType"]], sparse["count"], place["byteOffset"])
        assert (np.diff(rows.astype(int)) > 0).all() and {"target", "byteStride"}.isdisjoint({*place, *value})
        out[rows] = np.frombuffer(self.blob, np.float32, 3 * sparse["count"], value["byteOffset"]).reshape(-1, 3)
        np.testing.assert_allclose([a["min"], a["max"]], [out.min(0), out.max(0)])
        return out

    def world(self, node: int) -> np.ndarray:
        nodes = self.doc["nodes"]
        n = nodes[node]
        local = np.eye(4)
        assert not {"scale", "matrix"} & set(n)
        local[:3, :3] = Rotation.from_quat(n.get("rotation", [0, 0, 0, 1])).as_matrix()
        local[:3, 3] = n.get("translation", [0, 0, 0])
        above = [k for k, m in enumerate(nodes) if node in m.get("children", [])]
        assert len(above) <= 1
        return self.world(above[0]) @ local if above else local

    def skinned(self) -> tuple[np.ndarray, dict]:
        """Vertices of the file's skinned mesh in the scene, and its attributes."""
        node = next(n for n in self.doc["nodes"] if "skin" in n)
        skin = self.doc["skins"][node["skin"]]
        bind = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1).astype(float)
        joints = np.stack([self.world(j) for j in skin["joints"]]) @ bind
        mesh = self.doc["meshes"][node["mesh"]]
        primitives = mesh["primitives"]
        attributes = primitives[0]["attributes"]
        arrays = {key: self.array(k) for key, k in attributes.items()}
        points = np.c_[arrays["POSITION"].astype(float), np.ones(len(arrays["POSITION"]))]
        for strength, target in zip(mesh.get("weights", ()), primitives[0].get("targets", ()), strict=True):
            points[:, :3] += strength * self.offsets(target["POSITION"])
        out = np.einsum("vk,vkab,vb->va", arrays["WEIGHTS_0"].astype(float), joints[arrays["JOINTS_0"]], points)
        return out[:, :3], {"primitives": primitives, **arrays}


def corners_of(glb: Glb, vertices: np.ndarray) -> np.ndarray:
    """(F, 3, 3) corner positions of all faces of the file, in its order."""
    _, mesh = glb.skinned()
    return np.concatenate([vertices[glb.array(p["indices"]).reshape(-1, 3)] for p in mesh["primitives"]])


def written(person, asset, tmp_path, frame="camera") -> Glb:
    return Glb(write_person(person, asset, CAMERA, tmp_path / "p.glb", "glb", frame).read_bytes())


@pytest.fixture(params=["plain", "correctives", "six influences", "quads", "face"])
def asset(request):
    asset = toy_asset(
        correctives=request.param == "correctives",
        influences=6 if request.param == "six influences" else 3,
        quads=request.param == "quads",
    )
    return with_face(asset) if request.param == "face" else asset


def with_face(asset):
    """Two named expressions of the head behind the betas; the second moves one corner."""
    offsets = np.zeros((asset.num_vertices, 3, 2), np.float32)
    offsets[120:128, 1, 0], offsets[125, 2, 1] = 0.01, -0.02
    shapedirs = np.concatenate([asset.shapedirs[..., :-1], offsets], 2)
    return replace(asset, shapedirs=shapedirs, num_expressions=2, expression_names=("smileLeft", "blink"))


def test_skinning_from_the_bytes_gives_the_fitted_vertices(asset, tmp_path):
    person = posed(asset)
    glb = written(person, asset, tmp_path)
    vertices, _ = glb.skinned()
    order = by_material(asset, asset.faces)
    expected = in_file_axes(person.vertices_cam_m)[order]
    assert np.abs(corners_of(glb, vertices) - expected).max() < 1e-4


def test_rest_mesh_is_the_shaped_t_pose(tmp_path):
    asset = toy_asset()
    person = posed(asset)
    glb = written(person, asset, tmp_path)
    _, mesh = glb.skinned()
    shaped = asset.v_template + asset.shapedirs[..., :4] @ person.betas
    order = by_material(asset, asset.faces)
    assert np.abs(corners_of(glb, mesh["POSITION"]) - shaped[order]).max() < 1e-5


def test_body_frame_stands_on_the_floor_facing_z(tmp_path):
    asset = toy_asset()
    person = posed(asset, yaw=2.0, at=(1.0, -0.5, 6.0))
    glb = written(person, asset, tmp_path, "body")
    vertices, _ = glb.skinned()
    pelvis = next(k for k, n in enumerate(glb.doc["nodes"]) if n["name"] == "pelvis")
    placed = glb.world(pelvis)
    assert abs(vertices[:, 1].min()) < 1e-4
    assert np.allclose(placed[:3, :3], np.eye(3), atol=1e-6) and np.allclose(placed[[0, 2], 3], 0.0, atol=1e-6)
    turned = Rotation.from_rotvec(person.global_orient).as_matrix()
    expected = (person.vertices_cam_m - person.joints_cam_m[0]) @ turned
    order = by_material(asset, asset.faces)
    got = corners_of(glb, vertices) - placed[:3, 3]
    assert np.abs(got - expected[order]).max() < 1e-4
    assert not any("camera" in n for n in glb.doc["nodes"])


def test_joints_hierarchy_and_positions(tmp_path):
    asset = toy_asset()
    person = posed(asset)
    glb = written(person, asset, tmp_path)
    nodes = glb.doc["nodes"]
    skin = glb.doc["skins"][0]["joints"]
    assert [nodes[j]["name"] for j in skin] == list(asset.joint_names)
    for k, j in enumerate(skin):
        parents = [i for i, node in enumerate(skin) if j in nodes[node].get("children", [])]
        assert parents == ([int(asset.parents[k])] if asset.parents[k] >= 0 else [])
    heads = np.stack([glb.world(j)[:3, 3] for j in skin])
    assert np.abs(heads - in_file_axes(person.joints_cam_m)).max() < 1e-4


def test_structure_follows_the_specification(asset, tmp_path):
    glb = written(posed(asset), asset, tmp_path)
    doc = glb.doc
    _, mesh = glb.skinned()
    count = len(mesh["POSITION"])
    position = doc["accessors"][mesh["primitives"][0]["attributes"]["POSITION"]]
    assert np.array_equal(np.float32(position["min"]), mesh["POSITION"].min(0))
    assert np.array_equal(np.float32(position["max"]), mesh["POSITION"].max(0))
    assert np.abs(mesh["WEIGHTS_0"].sum(1) - 1).max() < 1e-6
    assert mesh["JOINTS_0"].dtype == np.uint8 and mesh["JOINTS_0"].max() < len(doc["skins"][0]["joints"])
    assert not mesh["JOINTS_0"][mesh["WEIGHTS_0"] == 0].any()
    assert np.abs(np.linalg.norm(mesh["NORMAL"], axis=1) - 1).max() < 1e-5
    faces = 0
    for primitive in mesh["primitives"]:
        indices = glb.array(primitive["indices"])
        assert indices.max() < count
        faces += len(indices) // 3
        assert doc["bufferViews"][doc["accessors"][primitive["indices"]]["bufferView"]]["target"] == 34963
        for accessor in primitive["attributes"].values():
            assert doc["accessors"][accessor]["count"] == count
        assert primitive.get("mode", 4) == 4  # triangles, also where the body has quads
    assert faces == len(asset.faces)
    assert [m["name"] for m in doc["materials"]] == [m.name for m in face_materials(asset)[0]]
    end = 0
    for view in doc["bufferViews"]:
        assert view["byteOffset"] >= end and view["byteOffset"] % 4 == 0
        end = view["byteOffset"] + view["byteLength"]
    assert end <= doc["buffers"][0]["byteLength"] <= len(glb.blob)
    assert doc["asset"]["version"] == "2.0" and doc["asset"]["copyright"] == "CC0"


def test_texture_seams_keep_every_corner(tmp_path):
    asset = toy_asset()
    glb = written(posed(asset), asset, tmp_path)
    _, mesh = glb.skinned()
    got = np.concatenate([mesh["TEXCOORD_0"][glb.array(p["indices"]).reshape(-1, 3)] for p in mesh["primitives"]])
    order = by_material(asset, asset.faces_uv)
    assert np.abs(got - (asset.uv[order] * [1, -1] + [0, 1])).max() < 1e-6


@pytest.mark.parametrize("focal", [(700.0, 700.0), (700.0, 560.0)])
def test_camera_sees_the_person_where_the_picture_does(focal, tmp_path):
    asset = toy_asset()
    person = posed(asset)
    centred = K.copy()
    centred[[0, 1], [0, 1]] = focal
    centred[:2, 2] = SIZE[0] / 2, SIZE[1] / 2
    glb = Glb(write_person(person, asset, PictureCamera(centred, SIZE), tmp_path / "p.glb", "glb").read_bytes())
    vertices, _ = glb.skinned()
    node = next(k for k, n in enumerate(glb.doc["nodes"]) if "camera" in n)
    view = np.linalg.inv(glb.world(node))
    lens = glb.doc["cameras"][0]["perspective"]
    seen = vertices @ view[:3, :3].T + view[:3, 3]
    scale = 1 / math.tan(lens["yfov"] / 2)
    x = seen[:, 0] / -seen[:, 2] * scale / lens["aspectRatio"]
    y = seen[:, 1] / -seen[:, 2] * scale
    pixels = np.stack([(x + 1) / 2 * SIZE[0], (1 - y) / 2 * SIZE[1]], 1)
    cam = vertices * [1, -1, -1]
    assert np.abs(pixels - (cam @ centred.T)[:, :2] / cam[:, 2:]).max() < 0.01
    assert glb.doc["cameras"][0]["extras"] == {"K": centred.tolist(), "image_size": list(SIZE)}


@pytest.mark.parametrize("name", ["open", "open-light", "open-x"])
def test_open_body(name, tmp_path):
    try:
        asset = load_asset(name)
    except BodyError as error:
        pytest.skip(str(error))
    person = posed(asset)
    glb = written(person, asset, tmp_path)
    vertices, mesh = glb.skinned()
    order = by_material(asset, asset.faces)
    assert np.abs(corners_of(glb, vertices) - in_file_axes(person.vertices_cam_m)[order]).max() < 1e-4
    assert np.abs(mesh["WEIGHTS_0"].sum(1) - 1).max() < 1e-6


def test_facial_expressions_are_morph_targets(tmp_path):
    asset = with_face(toy_asset())
    person = posed(asset)
    assert len(person.betas) == 5 and person.betas[4] != 0  # the last strength is left out: zero
    glb = written(person, asset, tmp_path)
    (mesh,) = glb.doc["meshes"]
    assert mesh["extras"] == {"targetNames": ["smileLeft", "blink"]}
    np.testing.assert_allclose(mesh["weights"], [person.betas[4], 0])
    rest = rest_shape(asset, person.betas[:4])[0]
    position = glb.array(mesh["primitives"][0]["attributes"]["POSITION"])
    order = by_material(asset, asset.faces)
    corners = np.concatenate([glb.array(p["indices"]).reshape(-1, 3) for p in mesh["primitives"]])
    assert np.abs(position[corners] - rest[order]).max() < 1e-6
    for k in range(2):
        moved = position + glb.offsets(mesh["primitives"][0]["targets"][k]["POSITION"])
        assert np.abs(moved[corners] - (rest + asset.shapedirs[..., 4 + k])[order]).max() < 1e-6
        assert all(p["targets"] == mesh["primitives"][0]["targets"] for p in mesh["primitives"])


def test_khronos_validator(asset, tmp_path):
    module = os.environ.get("GLTF_VALIDATOR")
    if not module or not shutil.which("node"):
        pytest.skip("needs node, and GLTF_VALIDATOR naming the folder of the npm package gltf-validator")
    files = [tmp_path / "camera.glb", tmp_path / "body.glb"]
    for path in files:
        write_person(posed(asset), asset, CAMERA, path, "glb", path.stem)
    script = (
        "const v=require(process.argv[1]),fs=require('fs');(async()=>{for(const f of process.argv.slice(2)){"
        "const r=await v.validateBytes(new Uint8Array(fs.readFileSync(f)));console.log(JSON.stringify(r.issues))}})()"
    )
    run = subprocess.run(["node", "-e", script, module, *files], capture_output=True, text=True, check=True)
    for line in run.stdout.splitlines():
        issues = json.loads(line)
        assert issues["numErrors"] == 0 and issues["numWarnings"] == 0, issues["messages"]
    assert len(run.stdout.splitlines()) == 2
