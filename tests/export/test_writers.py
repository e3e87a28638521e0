"""Formats, frames and files that are complete or not there."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import trimesh
from export_toys import CAMERA, in_file_axes, posed, toy_asset

from dsr.errors import ExportError, MissingExtraError, UsageError
from dsr.export import BLENDER_FORMATS, FORMATS, save_picture, write_person


@pytest.mark.parametrize("format", ["obj", "ply"])
def test_posed_mesh_keeps_the_order_of_the_asset(format, tmp_path):
    asset = toy_asset()
    person = posed(asset)
    path = write_person(person, asset, CAMERA, tmp_path / f"p.{format}", format)
    mesh = trimesh.load(path, process=False, maintain_order=True)
    assert np.abs(mesh.vertices - in_file_axes(person.vertices_cam_m)).max() < 1e-5
    assert np.array_equal(mesh.faces, asset.faces)
    middle = mesh.vertices.reshape(-1, 8, 3).mean(1).repeat(8, 0)  # of the box a vertex belongs to
    assert (((mesh.vertices - middle) * mesh.vertex_normals).sum(1) > 0).mean() > 0.95


@pytest.mark.parametrize("format", ["obj", "ply"])
def test_body_frame_of_meshes(format, tmp_path):
    asset = toy_asset()
    path = write_person(posed(asset, yaw=1.0), asset, CAMERA, tmp_path / f"p.{format}", format, "body")
    mesh = trimesh.load(path, process=False)
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
