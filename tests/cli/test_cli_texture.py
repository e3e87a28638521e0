"""``dsr-fit --texture``: the photograph on the mesh, and what cannot have one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
from PIL import Image

from dsr.body import load_asset
from dsr.cli.fit import main

PICTURE = Path(__file__).parents[2] / "examples" / "images" / "studio_lunge.jpg"
NAMES = ("studio_lunge.p0.texture.png", "studio_lunge.p0.texture_seen.png")


def run(out: Path, *arguments: str) -> int:
    return main([str(PICTURE), "--out", str(out), "--quality", "fast", "--quiet", *arguments])


def test_the_texture_shows_the_persons_clothes_and_goes_with_the_option(tmp_path):
    assert run(tmp_path, "--texture", "--format", "glb") == 0
    rgb, seen = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in NAMES)
    assert rgb.shape == (*seen.shape, 3) and 0.05 < (seen > 127).mean() < 0.5
    blue = (rgb[..., 2] > rgb[..., 0] + 50) & (rgb[..., 2] > rgb[..., 1] + 20)  # the shirt
    assert blue[seen > 127].mean() > 0.1 and blue[seen == 0].mean() > 0.02
    document = json.loads((tmp_path / "studio_lunge.json").read_text(encoding="utf-8"))
    assert document["run"]["texture"] is True and set(NAMES) < set(document["run"]["outputs"])
    assert len(pygltflib.GLTF2().load(tmp_path / "studio_lunge.p0.glb").images) == 1

    assert run(tmp_path, "--format", "glb") == 0  # another run without it is another result
    assert not any((tmp_path / name).exists() for name in NAMES)
    assert not pygltflib.GLTF2().load(tmp_path / "studio_lunge.p0.glb").images
    assert "texture" not in json.loads((tmp_path / "studio_lunge.json").read_text(encoding="utf-8"))["run"]


def test_a_picture_that_shows_too_little_gives_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("dsr.export.texture.person_texture", lambda *arguments: None)
    assert run(tmp_path, "--texture") == 0
    (person,) = json.loads((tmp_path / "studio_lunge.json").read_text(encoding="utf-8"))["people"]
    assert any(warning.startswith("No texture:") for warning in person["warnings"])
    assert not pygltflib.GLTF2().load(tmp_path / "studio_lunge.p0.glb").images
    assert not any((tmp_path / name).exists() for name in NAMES)


def test_clips_and_bodies_without_texture_coordinates_are_refused(tmp_path, capsys, monkeypatch):
    (tmp_path / "frames").mkdir()
    Image.open(PICTURE).save(tmp_path / "frames" / "0.jpg")
    out = str(tmp_path / "out")
    assert main([str(tmp_path / "frames"), "--sequence", "--texture", "--out", out]) == 2
    assert "--texture is for single pictures" in capsys.readouterr().err
    plain = replace(load_asset("open"), uv=None, faces_uv=None, quads_uv=None)
    monkeypatch.setattr("dsr.body.load_asset", lambda *arguments: plain)
    assert run(tmp_path / "out", "--texture") == 2
    assert "no texture coordinates: leave out --texture" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
