"""Garment files as the add-on lists and reads them, without Blender."""

from __future__ import annotations

import pytest
from dsr_fit_body.core import garment
from dsr_fit_body.core.messages import FitBodyError
from sample_garment import write_models


def test_names_and_files(tmp_path):
    for name in ("base/clothes/male_casualsuit01/male_casualsuit01.mhclo", "base/hair/afro.mhclo", "b/x.obj"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("base/skins/tan/tan.mhmat", "base/clothes/male_casualsuit01/cloth.mhmat"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = garment.find_files(tmp_path, garment.GARMENT)
    assert [garment.title(path) for path in found] == ["Afro", "Male Casualsuit 01"]
    assert [path.name for path in garment.find_files(tmp_path, garment.SKIN)] == ["tan.mhmat"]
    assert garment.find_files(tmp_path / "nowhere", garment.GARMENT) == []


def test_the_usual_folders(tmp_path):
    assert garment.usual_folder(tmp_path / "carried", tmp_path) is None
    (tmp_path / ".config/blender/4.2/mpfb/data").mkdir(parents=True)
    assert garment.usual_folder(tmp_path / "carried", tmp_path).parts[-3:] == ("4.2", "mpfb", "data")
    (tmp_path / "carried").mkdir()
    assert garment.usual_folder(tmp_path / "carried", tmp_path) == tmp_path / "carried"


def test_models_are_read_and_rubbish_is_refused(tmp_path):
    write_models(tmp_path)
    model = garment.read_garment(tmp_path / "garment_open-x.npz")
    assert model.name == "vest" and len(model.joint_names) == 55 and model.num_shapes == 41
    assert model.colour == pytest.approx((0.2, 0.3, 0.4)) and model.direction_offsets["height"].shape[1] == 3
    for text in (b"", b"rubbish"):
        (tmp_path / "bad.npz").write_bytes(text)
        with pytest.raises(FitBodyError, match="is no garment"):
            garment.read_garment(tmp_path / "bad.npz")


def test_pictures_of_skins_stay_in_the_folder_of_skins(tmp_path):
    skins = tmp_path / "data" / "skins"
    (skins / "tan").mkdir(parents=True)
    (skins / "textures").mkdir()
    (skins / "textures" / "tan.png").write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    material = skins / "tan" / "tan.mhmat"
    material.write_text("diffuseColor 0.5 0.25 1\ndiffuseTexture ../textures/tan.png\n")
    assert garment.read_skin(material) == ((0.5, 0.25, 1.0), (skins / "textures" / "tan.png").resolve())
    for name in ("../../../secret.png", str(tmp_path / "secret.png"), "none.png"):
        material.write_text(f"diffuseTexture {name}\n")
        assert garment.read_skin(material)[1] is None
    with pytest.raises(FitBodyError):
        garment.read_skin(tmp_path / "none.mhmat")
