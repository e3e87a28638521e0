"""Formats, frames and files that are complete or not there."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from export_toys import CAMERA, by_material, in_file_axes, posed, toy_asset

from dsr.body.asset import split_quads
from dsr.errors import ExportError, MissingExtraError, UsageError
from dsr.export import BLENDER_FORMATS, FORMATS, companions, save_picture, write_person
from dsr.export.materials import face_materials

QUADS = pytest.mark.parametrize("quads", [False, True], ids=["triangles", "quads"])


@QUADS
def test_ply_keeps_order_and_polygons(quads, tmp_path):
    asset = toy_asset(quads=quads)
    person = posed(asset)
    path = write_person(person, asset, CAMERA, tmp_path / "p.ply", "ply")
    mesh = trimesh.load(path, process=False, maintain_order=True)
    assert np.abs(mesh.vertices - in_file_axes(person.vertices_cam_m)).max() < 1e-5
    assert_outward(mesh.vertices, mesh.vertex_normals)
    sides = 4 if quads else 3
    data = path.read_bytes()
    lists = np.frombuffer(data[data.index(b"end_header\n") + 11 + 24 * asset.num_vertices :], np.uint8)
    lists = lists.reshape(-1, 1 + 4 * sides)
    assert (lists[:, 0] == sides).all()
    corners = lists[:, 1:].copy().view("<i4")
    assert np.array_equal(split_quads(corners) if quads else corners, asset.faces)


@QUADS
def test_obj_keeps_order_polygons_texture_and_materials(quads, tmp_path):
    asset = toy_asset(quads=quads)
    person = posed(asset)
    path = write_person(person, asset, CAMERA, tmp_path / "my photo.p0.obj", "obj")
    obj = read_obj(path)
    assert np.abs(obj["v"] - in_file_axes(person.vertices_cam_m)).max() < 1e-5
    assert np.abs(obj["vt"] - asset.uv).max() < 1e-5
    assert_outward(obj["v"], obj["vn"])
    corners = np.concatenate(list(obj["faces"].values())) - 1
    assert corners.shape[1] == (4 if quads else 3) and np.array_equal(corners[..., 0], corners[..., 2])
    to_triangles = split_quads if quads else np.asarray
    assert np.array_equal(to_triangles(corners[..., 0]), by_material(asset, asset.faces))
    assert np.array_equal(to_triangles(corners[..., 1]), by_material(asset, asset.faces_uv))
    names = ["skin", "eye", "iris", "pupil", "lashes", "teeth"] if quads else ["skin", "interior"]
    assert list(obj["faces"]) == names
    assert obj["mtllib"] == "my photo.p0.mtl" and companions(path, "obj") == [tmp_path / "my photo.p0.mtl"]
    lines = (tmp_path / "my photo.p0.mtl").read_text().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("newmtl")] == names
    assert len([line for line in lines if line.startswith("Kd ")]) == len(names)


def test_obj_without_texture(tmp_path):
    asset = replace(toy_asset(quads=True), uv=None, faces_uv=None, quads_uv=None)
    obj = read_obj(write_person(posed(asset), asset, CAMERA, tmp_path / "p.obj", "obj"))
    corners = np.concatenate(list(obj["faces"].values()))
    assert not corners[..., 1].any() and np.array_equal(corners[..., 0], corners[..., 2])
    assert np.array_equal(split_quads(corners[..., 0] - 1), by_material(asset, asset.faces))


def test_materials_are_those_of_the_parts():
    asset = toy_asset(quads=True)
    materials, index = face_materials(asset)
    names = np.array([material.name for material in materials])[index]
    head = names[15 * 12 : 16 * 12]
    assert head.tolist() == [n for n in ("eye", "iris", "pupil", "teeth", "lashes", "skin") for _ in range(2)]
    assert set(np.delete(names, np.s_[15 * 12 : 16 * 12])) == {"skin"}
    by_name = {material.name: material for material in materials}
    assert max(by_name["pupil"].colour) < 0.05 < 0.7 < min(by_name["eye"].colour)  # nothing pink
    assert by_name["lashes"].thin and not by_name["skin"].thin


def assert_outward(vertices, normals):
    middle = vertices.reshape(-1, 8, 3).mean(1).repeat(8, 0)  # of the box a vertex belongs to
    assert (((vertices - middle) * normals).sum(1) > 0).mean() > 0.95


def read_obj(path):
    """Places, texture coordinates and normals of an OBJ file, and corners (n, k, 3) by material, 0 where one lacks."""
    obj, faces = {"v": [], "vt": [], "vn": []}, {}
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind in obj:
            obj[kind].append([float(x) for x in rest.split()])
        elif kind == "usemtl":
            faces[rest] = []
        elif kind == "f":
            rows = [[int(n or 0) for n in corner.split("/")] for corner in rest.split()]
            faces[list(faces)[-1]].append(rows)
        elif kind == "mtllib":
            obj["mtllib"] = rest
    arrays = {kind: np.array(values) for kind, values in obj.items() if kind != "mtllib"}
    return {**arrays, "mtllib": obj["mtllib"], "faces": {name: np.array(rows) for name, rows in faces.items()}}


@pytest.mark.parametrize("format", ["obj", "ply"])
def test_body_frame_of_meshes(format, tmp_path):
    asset = toy_asset()
    path = write_person(posed(asset, yaw=1.0), asset, CAMERA, tmp_path / f"p.{format}", format, "body")
    mesh = trimesh.load(path, process=False, force="mesh")
    assert abs(mesh.vertices[:, 1].min()) < 1e-5 and mesh.vertices[:, 1].max() > 1.0


def test_unknown_format_names_the_known_ones(tmp_path):
    asset = toy_asset()
    with pytest.raises(UsageError, match=r"'stl'.*obj, ply, glb, fbx, bvh, usd, blend"):
        write_person(posed(asset), asset, CAMERA, tmp_path / "p.stl", "stl")
    assert set(FORMATS) == {"obj", "ply", "glb", "fbx", "bvh", "usd", "blend"}


def test_unknown_frame(tmp_path):
    asset = toy_asset()
    with pytest.raises(UsageError, match="camera, body"):
        write_person(posed(asset), asset, CAMERA, tmp_path / "p.glb", "glb", "world")


def test_person_of_another_body_is_refused(tmp_path):
    asset = toy_asset()
    person = posed(asset)
    person.vertices_cam_m = person.vertices_cam_m[:-1]
    with pytest.raises(ExportError, match=r"p0.*vertices.*toy"):
        write_person(person, asset, CAMERA, tmp_path / "p.glb", "glb")
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    asset = toy_asset()
    person = posed(asset)
    person.body_pose[3, 1] = np.nan
    with pytest.raises(ExportError, match=r"body_pose.*not finite"):
        write_person(person, asset, CAMERA, tmp_path / "p.obj", "obj")


@pytest.mark.parametrize("format", ["obj", "ply", "glb"])
def test_full_disk_leaves_the_old_file_and_no_rest(format, tmp_path):
    resource = pytest.importorskip("resource")
    asset = toy_asset()
    path = tmp_path / f"p.{format}"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(ExportError, match="no space left"):
            write_person(posed(asset), asset, CAMERA, path, format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_missing_and_impossible_folders(tmp_path):
    asset = toy_asset()
    with pytest.raises(ExportError, match="does not exist"):
        write_person(posed(asset), asset, CAMERA, tmp_path / "none" / "p.glb", "glb")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match="not a folder"):
        write_person(posed(asset), asset, CAMERA, tmp_path / "file" / "p.glb", "glb")
    (tmp_path / "p.glb").mkdir()
    with pytest.raises(ExportError, match="folder of that name"):
        write_person(posed(asset), asset, CAMERA, tmp_path / "p.glb", "glb")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "p.glb"]


@pytest.mark.parametrize("format", BLENDER_FORMATS)
def test_blender_formats_name_the_extra(format, tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "bpy" else real(name, *a))
    asset = toy_asset()
    with pytest.raises(MissingExtraError, match=r"pip install bpy==5"):
        write_person(posed(asset), asset, CAMERA, tmp_path / f"p.{format}", format)
    assert not list(tmp_path.iterdir())


def test_pictures_by_suffix(tmp_path):
    from PIL import Image

    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[:, 15:] = 255, 0, 0
    png = np.asarray(Image.open(save_picture(rgb, tmp_path / "a.png")))
    assert np.array_equal(png, rgb)
    jpeg = Image.open(save_picture(rgb, tmp_path / "a.JPG"))
    assert jpeg.format == "JPEG" and np.abs(np.asarray(jpeg).astype(int) - rgb).mean() < 3
    with pytest.raises(UsageError, match="webp"):
        save_picture(rgb, tmp_path / "a.webp")
    with pytest.raises(ExportError, match="does not exist"):
        save_picture(rgb, tmp_path / "none" / "a.png")
    assert len(list(tmp_path.iterdir())) == 2
