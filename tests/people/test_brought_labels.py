"""Clothing labels that are brought: tables of every set, label pictures, networks by their labels, and wrong ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsr.clothing.labels import LABELS, PALETTE_RGB
from dsr.errors import DetectionError, MissingExtraError, UsageError
from dsr.options import PARSERS, FitOptions, check_options
from dsr.people.body_view import BodyView
from dsr.people.brought_labels import bring_labels, of_person, read_label_picture
from dsr.people.clothing_map import ClothingMap
from dsr.people.crop_grid import person_grid
from dsr.people.label_tables import ANY_CLOTH, ANY_SKIN, TABLES, resolve, table_of_names
from dsr.people.types import Detection, PersonMask

ID = {name: k for k, name in enumerate(LABELS)}
SEGFORMER = {
    **{0: "Background", 1: "Hat", 2: "Hair", 3: "Sunglasses", 4: "Upper-clothes", 5: "Skirt", 6: "Pants", 7: "Dress"},
    **{8: "Belt", 9: "Left-shoe", 10: "Right-shoe", 11: "Face", 12: "Left-leg", 13: "Right-leg", 14: "Left-arm"},
    **{15: "Right-arm", 16: "Bag", 17: "Scarf"},
}
SAPIENS = {
    **{0: "Background", 1: "Apparel", 2: "Face_Neck", 3: "Hair", 4: "Left_Foot", 5: "Left_Hand", 6: "Left_Lower_Arm"},
    **{7: "Left_Lower_Leg", 8: "Left_Shoe", 9: "Left_Sock", 10: "Left_Upper_Arm", 11: "Left_Upper_Leg"},
    **{12: "Lower_Clothing", 13: "Right_Foot", 14: "Right_Hand", 21: "Torso", 22: "Upper_Clothing", 23: "Lower_Lip"},
}


def save(folder: Path, values: np.ndarray, name: str = "photo.png") -> Path:
    Image.fromarray(values.astype(np.uint8)).save(folder / name)
    return folder


def test_names_of_networks_become_our_labels():
    assert table_of_names(SEGFORMER, "x").tolist() == list(TABLES["atr"])
    table = table_of_names(SAPIENS, "x")
    assert [LABELS[table[k]] for k in (2, 3, 6, 8, 9, 12, 14, 21, 22)] == [
        *("face", "hair", "leftArm", "leftShoe", "socks", "pants", "rightArm", "jumpsuits", "upperclothes")
    ]
    assert table[1] == ANY_CLOTH
    assert table_of_names(dict(enumerate(LABELS)), "x")[[5, 14, 18]].tolist() == [5, 14, 18]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({0: "wall", 1: "building", 2: "sky"}, "no set of clothes"),
        ({0: "background", 1: "cat"}, "no set of clothes"),
        ({**SEGFORMER, 18: "Zeppelin"}, "'Zeppelin'"),
    ],
)
def test_networks_of_other_labels_are_refused(names, sentence):
    with pytest.raises(DetectionError, match=sentence):
        table_of_names(names, "net")


@pytest.mark.parametrize("kind", ["graphonomy", "lip", "atr"])
def test_label_pictures_of_every_set(tmp_path, kind):
    ids = np.arange(len(TABLES[kind]))[None].repeat(4, 0)
    save(tmp_path, np.concatenate([ids, np.full((4, 1), 255)], 1))
    found = read_label_picture(tmp_path, kind, Path("photo.jpg"), (4 * ids.shape[1] + 4, 16))
    assert found.labels[0].tolist() == [*TABLES[kind], -1]
    u = np.array([1.0, 4 * ids.shape[1] + 3.5])
    assert found.at(u, np.array([2.0]))[0].tolist() == [[0, -1]]  # labels stretched over the picture


def test_graphonomys_colours_are_read_and_resampled_ones_refused(tmp_path):
    picture = np.array(PALETTE_RGB, np.uint8)[None].repeat(3, 0)
    save(tmp_path, picture)
    found = read_label_picture(tmp_path, "graphonomy", Path("photo.jpg"), (20, 3))
    assert found.labels[1].tolist() == list(range(20))
    save(tmp_path, picture // 2 + 7)
    with pytest.raises(DetectionError, match="resampled"):
        read_label_picture(tmp_path, "graphonomy", Path("photo.jpg"), (20, 3))
    with pytest.raises(DetectionError, match="colour picture"):
        read_label_picture(tmp_path, "lip", Path("photo.jpg"), (20, 3))


def test_label_pictures_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(DetectionError, match=r"no label picture photo\.png"):
        read_label_picture(tmp_path, "lip", Path("photo.jpg"), (20, 10))
    save(tmp_path, np.zeros((10, 10)))
    with pytest.raises(DetectionError, match="10 x 10 pixels, another shape"):
        read_label_picture(tmp_path, "lip", Path("photo.jpg"), (20, 10))
    save(tmp_path, np.full((10, 20), 18))
    with pytest.raises(DetectionError, match="label 18; atr has 0 to 17"):
        read_label_picture(tmp_path, "atr", Path("photo.jpg"), (20, 10))
    (tmp_path / "photo.png").write_text("no picture")
    with pytest.raises(DetectionError, match=r"photo\.png cannot be read"):
        read_label_picture(tmp_path, "lip", Path("photo.jpg"), (20, 10))


def test_labels_without_parts_take_them_from_the_body():
    groups = np.zeros((1, 3, 6))
    groups[0, :, 3], groups[0, 1, 4] = 0.5, 0.6
    skin = np.array([[ID["face"], ID["leftLeg"], ID["rightArm"]]])
    view = BodyView(np.ones((1, 3), bool), np.zeros((1, 3)), groups, skin, np.zeros((1, 3), int), np.zeros((1, 3), int))
    assert resolve(np.array([[ANY_SKIN, ANY_CLOTH, ANY_CLOTH]]), view).tolist() == [
        [ID["face"], ID["pants"], ID["upperclothes"]]
    ]
    mask = PersonMask(np.array([10.0, 0, 20, 30]), np.ones((3, 3), np.float32))
    detection = Detection(np.array([10.0, 0, 20, 30]), 1.0, "blazepose33", np.zeros((33, 2)), np.zeros(33), mask=mask)
    grid = person_grid(detection, 3)
    wide = BodyView(
        *(
            np.repeat(a, 3, 0)
            for a in (view.covered, view.distance, view.groups, view.skin_label, view.part, view.vertex)
        )
    )
    whole = ClothingMap(np.array([0.0, 0, 15, 15]), np.full((3, 3), ANY_SKIN), np.ones((3, 3), np.float32), "x")
    mine = of_person(whole, detection, wide, grid, np.array([0.5, 0.5]))
    assert mine is not None and mine.labels[1, 1] == ID["leftLeg"] and mine.labels[1, 0] == 0  # beside the mask


@pytest.mark.parametrize(
    ("parser", "sentence"),
    [("sapiens:x", "use built-in"), ("lip", "use built-in"), ("lip:/nowhere", "there is no /nowhere")],
)
def test_options_that_cannot_work_are_refused(parser, sentence):
    with pytest.raises(UsageError, match=sentence):
        check_options(FitOptions(parser=parser))


def test_files_that_are_no_networks_are_refused(tmp_path):
    assert bring_labels("built-in") is None and set(PARSERS) == {*TABLES, "transformers"}
    text = tmp_path / "model.tflite"
    text.write_text("no model")
    with pytest.raises(DetectionError, match=r"model\.tflite is no TensorFlow Lite model"):
        bring_labels(f"mediapipe:{text}")
    with pytest.raises(DetectionError, match="no checkpoint there"):
        bring_labels(f"transformers:{tmp_path}")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises((DetectionError, MissingExtraError), match=r"transformers|segmentation checkpoint"):
        bring_labels(f"transformers:{tmp_path}")


def test_another_model_than_the_segmenter_is_refused(tmp_path):
    from dsr.people.models import LANDMARK_MODEL, find_model

    with pytest.raises(DetectionError, match="not MediaPipe's multiclass"):
        bring_labels(f"mediapipe:{find_model(LANDMARK_MODEL)}")
