"""Known boxes and keypoints: at least as good as the search; landmark models from files."""

from __future__ import annotations

import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dsr.body.joints import BLAZEPOSE33_NAMES, COCO17_NAMES
from dsr.cli.fit import main as fit
from dsr.errors import DetectionError
from dsr.image import read_photo
from dsr.people import Detection, PeopleDetector
from dsr.people.faces import FACE_MODEL
from dsr.people.known import with_landmarks
from dsr.people.landmarks import LandmarkModel
from dsr.people.models import LANDMARK_MODEL, find_model

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "images"
OF_COCO = [BLAZEPOSE33_NAMES.index(name) for name in COCO17_NAMES]


@cache
def detector() -> PeopleDetector:
    return PeopleDetector()


def imported(person: Detection, shift: float = 0.0) -> Detection:
    """A person's points as a COCO file has them, without 3D."""
    return Detection(
        person.box_px + shift, 0.9, "coco17", person.keypoints_px[OF_COCO] + shift, np.full(17, 0.8), source="file.json"
    )


@pytest.mark.parametrize("name", ["park_three.jpg", "street_pair.jpg", "room_border.jpg"])
def test_boxes_of_the_people_found_give_these_people(name: str) -> None:
    """Tight, loose and cut boxes: the same landmarks as without boxes."""
    photo = read_photo(EXAMPLES / name)
    people = detector().detect(photo)
    boxes = np.stack([person.box_px for person in people])
    side = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
    for room in (0.0, 0.06, -0.03):
        known = detector().detect_in_boxes(
            photo, np.concatenate([boxes[:, :2] - room * side, boxes[:, 2:] + room * side], 1)
        )
        assert len(known) == len(people)
        for a, b in zip(people, known, strict=True):
            assert np.array_equal(a.keypoints_px, b.keypoints_px) and b.source == "boxes"
            assert a.world_m is not None and np.array_equal(a.world_m, b.world_m)


def test_a_box_in_which_nobody_is_found_is_looked_into_all_the_same() -> None:
    photo = read_photo(EXAMPLES / "street_walk.jpg")
    (person,) = detector().detect(photo)
    nobody = np.array([5.0, 5.0, 60.0, 90.0])
    both = detector().detect_in_boxes(photo, np.stack([nobody, person.box_px]))
    assert len(both) == 2 and np.array_equal(both[1].keypoints_px, person.keypoints_px)
    assert np.isfinite(both[0].keypoints_px).all() and both[0].score < both[1].score
    assert detector().detect_in_boxes(photo, np.zeros((0, 4))) == []


def test_imported_keypoints_get_what_the_file_lacks() -> None:
    photo = read_photo(EXAMPLES / "street_pair.jpg")
    people = detector().detect(photo)
    known = [imported(person, 3.0) for person in people]
    completed = detector().complete(photo, known)
    for person, file, whole in zip(people, known, completed, strict=True):
        assert whole.keypoint_set == "blazepose33" and whole.source == "file.json" and whole.mask is not None
        assert np.array_equal(whole.keypoints_px[OF_COCO], file.keypoints_px)
        assert np.all(whole.confidence[OF_COCO] == 0.8)
        assert whole.world_m is not None and np.array_equal(whole.world_m, person.world_m)
        index = BLAZEPOSE33_NAMES.index("left_index")  # a hand goes where its wrist goes
        assert np.allclose(whole.keypoints_px[index], person.keypoints_px[index] + 3.0)
    assert detector().complete(photo, []) == []


def test_imported_keypoints_of_somebody_else_stay_as_they_are() -> None:
    photo = read_photo(EXAMPLES / "street_walk.jpg")
    (person,) = detector().detect(photo)
    far = imported(person, 0.5 * float((person.box_px[2:] - person.box_px[:2]).max()))
    assert with_landmarks(far, person) is None
    unseen = Detection(person.box_px, 0.9, "coco17", far.keypoints_px, np.zeros(17))
    assert with_landmarks(unseen, person) is None


def test_a_landmark_model_from_a_file_and_from_a_bundle(tmp_path: Path) -> None:
    """The installed model under another name, and inside a bundle: the same people."""
    photo = read_photo(EXAMPLES / "street_walk.jpg")
    (person,) = detector().detect(photo)
    file, bundle = tmp_path / "other.tflite", tmp_path / "other.task"
    file.write_bytes(find_model(LANDMARK_MODEL).read_bytes())
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("pose_detector.tflite", b"something else")
        archive.write(file, "pose_landmarks_detector.tflite")
    for path in (file, bundle):
        (again,) = PeopleDetector(landmarks=path).detect(photo)
        assert np.array_equal(again.keypoints_px, person.keypoints_px)


def test_files_that_are_no_landmark_model_are_refused_with_a_sentence(tmp_path: Path) -> None:
    text, empty, cut = tmp_path / "text.tflite", tmp_path / "empty.tflite", tmp_path / "cut.tflite"
    text.write_text("no model at all")
    empty.write_bytes(b"")
    cut.write_bytes(find_model(LANDMARK_MODEL).read_bytes()[:100_000])
    bundle, broken = tmp_path / "face.task", tmp_path / "broken.task"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("face_detector.tflite", b"x")
    broken.write_bytes(bundle.read_bytes()[:40])
    for path, words in (
        (text, "no TensorFlow Lite model"),
        (empty, "no TensorFlow Lite model"),
        (broken, "no TensorFlow Lite model"),
        (cut, "cannot be loaded"),
        (bundle, "bundle without a landmark model"),
        (find_model(FACE_MODEL), "no BlazePose landmark model"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(DetectionError, match=words) as error:
            LandmarkModel(file=path)
        assert str(path) in str(error.value)


def test_the_command_refuses_them_before_any_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, out = str(EXAMPLES / "street_walk.jpg"), str(tmp_path / "out")
    assert fit([picture, "--out", out, "--landmarks", str(tmp_path / "none.tflite")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert fit([picture, "--out", out, "--landmarks", picture]) == 2
    assert "pose_landmark_heavy.tflite" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.json"))
