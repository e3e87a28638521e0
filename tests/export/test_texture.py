"""A painted body is photographed, its look is read back, and seen from elsewhere it is still the painted one."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pygltflib
import pytest
from export_toys import CAMERA, posed, result_of, toy_asset
from PIL import Image
from scipy.spatial.transform import Rotation

from dsr.body import load_asset
from dsr.errors import ExportError, UsageError
from dsr.export import save_picture, write_person
from dsr.export.materials import SKIN, face_materials
from dsr.export.texture import SIDE, check_texture_map, person_texture
from dsr.people.clothing_map import ClothingMap
from dsr.rendering.zbuffer import rasterise

K = np.array([[900.0, 0.0, 320.0], [0.0, 900.0, 320.0], [0.0, 0.0, 1.0]])
SIZE = (640, 640)
BACKGROUND = (20, 240, 20)
FACE, UPPER, PANTS = 13, 5, 9


@pytest.fixture(scope="module")
def asset():
    return load_asset("open")


@pytest.fixture(scope="module")
def paint(asset):
    """(V, 3) colours with patterns: alike on both sides, another head, trunk and legs."""
    x, y, z = asset.v_template.T.astype(float)
    y = y - y.min()
    base = np.select(
        [y[:, None] > 1.4, y[:, None] > 0.95], [np.array([200.0, 150, 120]), np.array([60.0, 90, 190])], [90.0, 60, 50]
    )
    wave = 35 * np.sin(30 * y) + 20 * np.sin(40 * np.abs(x)) * np.cos(25 * z)
    return np.clip(base + wave[:, None], 0, 255)


def seen_from(asset, yaw_deg):
    """(V, 3) vertices of the T-posed body in front of the camera, turned."""
    turned = asset.v_template @ Rotation.from_euler("y", yaw_deg, degrees=True).as_matrix().T
    middle = (turned.min(0) + turned.max(0)) / 2
    return (turned - middle) * [1, -1, -1] + [0, 0, 3.2]


def drawn(asset, vertices, paint):
    """Picture (h, w, 3) and z-buffer of the painted body."""
    zb = rasterise(vertices, asset.faces, K, SIZE)
    picture = np.full((SIZE[1], SIZE[0], 3), BACKGROUND, np.uint8)
    picture[zb.covered] = zb.interpolate(paint)
    return picture, zb


def photographed(asset, paint, yaw_deg, *, labelled=True):
    """A perfect fit of the painted body, with its picture and labels."""
    vertices = seen_from(asset, yaw_deg)
    picture, zb = drawn(asset, vertices, paint)
    labels = np.zeros(picture.shape[:2], np.int64)
    y = asset.v_template[:, 1] - asset.v_template[:, 1].min()
    kind = np.select([y > 1.4, y > 0.95], [FACE, UPPER], PANTS)
    corners, weights = zb.barycentric()
    labels[zb.covered] = kind[corners[np.arange(len(corners)), weights.argmax(1)]]
    person = replace(posed(toy_asset()), vertices_cam_m=vertices.astype(np.float32))
    result = replace(result_of([person], picture), K=K, image_size=SIZE)
    box = np.array([0.0, 0.0, *SIZE])
    result.labels = [ClothingMap(box, labels, np.ones(labels.shape, np.float32))] if labelled else None
    return result


def looked_up(texture, asset, zb):
    """Colours of the covered pixels of the skin from a texture by the body's uv, and which pixels are skin."""
    _, weights = zb.barycentric()
    face = zb.face_index[zb.covered]
    uv = np.einsum("nk,nkc->nc", weights, asset.uv[asset.faces_uv[face]])
    materials, kind = face_materials(asset)
    row, column = ((1 - uv[:, 1]) * SIDE).astype(int), (uv[:, 0] * SIDE).astype(int)
    return texture[row, column].astype(float), kind[face] == materials.index(SKIN)


@pytest.fixture(scope="module")
def textured(asset, paint):
    return person_texture(photographed(asset, paint, 35.0), 0, asset)


@pytest.mark.parametrize("turn", [-60.0, 60.0])
def test_what_was_seen_is_right_from_sixty_degrees_away(asset, paint, textured, turn):
    truth, zb = drawn(asset, seen_from(asset, 35.0 + turn), paint)
    got, skin = looked_up(textured.rgb, asset, zb)
    seen = looked_up(textured.seen, asset, zb)[0] > 127
    error = np.abs(got - truth[zb.covered]).mean(1)
    assert (seen & skin).sum() > 0.15 * skin.sum()
    assert error[seen & skin].mean() < 8
    assert error[~seen & skin].mean() < 40  # guessed, not left empty


def test_the_side_that_was_not_seen_is_the_mirrored_one(asset, paint):
    """From the side one half is seen; the other one gets its patterns, which no single colour would match."""
    texture = person_texture(photographed(asset, paint, 90.0), 0, asset)
    truth, zb = drawn(asset, seen_from(asset, -90.0), paint)
    got, skin = looked_up(texture.rgb, asset, zb)
    unseen = skin & (looked_up(texture.seen, asset, zb)[0] == 0)
    assert unseen.mean() > 0.8
    error = np.abs(got - truth[zb.covered]).mean(1)[unseen]
    assert error.mean() < 12


def test_the_back_has_the_colours_of_its_labels_and_no_background(asset, paint):
    texture = person_texture(photographed(asset, paint, 0.0), 0, asset)
    _, zb = drawn(asset, seen_from(asset, 180.0), paint)
    got, skin = looked_up(texture.rgb, asset, zb)
    y = (zb.interpolate(asset.v_template.astype(float)) - asset.v_template.min(0))[:, 1]
    trunk, legs = (np.median(got[skin & (y > low) & (y < high)], axis=0) for low, high in ((1.05, 1.35), (0.2, 0.8)))
    assert np.abs(trunk - [60, 90, 190]).max() < 45 and np.abs(legs - [90, 60, 50]).max() < 45
    assert (np.abs(got[skin] - BACKGROUND).max(1) < 60).mean() < 0.001


def test_light_goes_on_where_nothing_was_seen(asset):
    """One garment that is dark below and light above: its back follows, and neither edge nor median shows."""
    y = asset.v_template[:, 1] - asset.v_template[:, 1].min()
    paint = np.repeat(60 + 100 * y[:, None].astype(float), 3, axis=1)
    result = photographed(asset, paint, 0.0)
    (clothes,) = result.labels
    result.labels = [replace(clothes, labels=np.where(clothes.labels > 0, UPPER, 0))]
    texture = person_texture(result, 0, asset)
    truth, zb = drawn(asset, seen_from(asset, 180.0), paint)
    got, skin = looked_up(texture.rgb, asset, zb)
    unseen = skin & (looked_up(texture.seen, asset, zb)[0] == 0)
    error = np.abs(got - truth[zb.covered]).mean(1)[unseen]
    assert unseen.mean() > 0.8 and error.mean() < 16 and np.ptp(got[unseen]) > 120


def test_somebody_in_front_is_not_painted_on_who_is_behind(asset, paint):
    result = photographed(asset, paint, 0.0)
    alone = person_texture(result, 0, asset)
    nearer = replace(result.people[0], vertices_cam_m=result.people[0].vertices_cam_m * np.float32(0.5))
    both = person_texture(replace(result, people=[result.people[0], nearer], labels=result.labels * 2), 0, asset)
    assert both is None or (both.seen > 127).sum() < 0.2 * (alone.seen > 127).sum()


def test_a_mask_of_nobody_gives_no_texture(asset, paint):
    result = photographed(asset, paint, 0.0)
    (clothes,) = result.labels
    result.labels = [replace(clothes, labels=np.zeros_like(clothes.labels))]
    assert person_texture(result, 0, asset) is None
    away = photographed(asset, paint, 0.0, labelled=False)
    assert person_texture(away, 0, asset) is not None
    away.people[0].vertices_cam_m[:, 0] += 10
    assert person_texture(away, 0, asset) is None


def test_what_cannot_be_textured_is_a_sentence(asset, paint):
    with pytest.raises(UsageError, match="no texture coordinates"):
        check_texture_map(replace(asset, uv=None, faces_uv=None))
    with pytest.raises(ExportError, match="no picture to take colours from"):
        person_texture(replace(photographed(asset, paint, 0.0), overlay_rgb=None), 0, asset)


@pytest.fixture
def png(tmp_path):
    return save_picture(np.random.default_rng(0).integers(0, 255, (16, 16, 3)), tmp_path / "p.texture.png")


def test_the_texture_is_in_the_glb(tmp_path, png):
    toy = toy_asset(quads=True)
    write_person(posed(toy), toy, CAMERA, tmp_path / "a.glb", "glb", "camera", png)
    write_person(posed(toy), toy, CAMERA, tmp_path / "b.glb", "glb")
    file, plain = (pygltflib.GLTF2().load(tmp_path / f"{name}.glb") for name in "ab")
    assert not plain.images and not plain.textures and not plain.samplers
    (image,) = file.images
    view = file.bufferViews[image.bufferView]
    data = file.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    assert image.mimeType == "image/png" and data == png.read_bytes()
    assert Image.open(io.BytesIO(data)).size == (16, 16)
    for material, before in zip(file.materials, plain.materials, strict=True):
        surface = material.pbrMetallicRoughness
        if material.name == "skin":
            assert surface.baseColorFactor == [1, 1, 1, 1] and file.textures[surface.baseColorTexture.index].source == 0
        else:
            assert surface == before.pbrMetallicRoughness and surface.baseColorTexture is None


def test_the_texture_is_named_by_the_materials_of_an_obj(tmp_path, png):
    toy = toy_asset(quads=True)
    write_person(posed(toy), toy, CAMERA, tmp_path / "a.obj", "obj", "camera", png)
    write_person(posed(toy), toy, CAMERA, tmp_path / "b.obj", "obj")
    skin, *others = (tmp_path / "a.mtl").read_text().split("newmtl ")[1:]
    assert skin.startswith("skin") and "map_Kd p.texture.png\n" in skin and "Kd 1.0000 1.0000 1.0000" in skin
    assert not any("map_Kd" in other for other in others)
    assert "map_Kd" not in (tmp_path / "b.mtl").read_text()
    assert (tmp_path / "a.obj").read_text().replace("a.mtl", "b.mtl") == (tmp_path / "b.obj").read_text()
