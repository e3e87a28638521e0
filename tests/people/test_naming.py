"""Which entry belongs to which picture: file names with as many folders as agree, and what could be meant for two."""

from pathlib import Path

import pytest

from dsr.errors import DetectionError
from dsr.people.naming import InputNames, entries_of, keypoint_file, likeness, trailing_number

WHERE = Path("file.json")
CAM1, CAM2 = Path("/a/photos/cam1/0001.jpg"), Path("/a/photos/cam2/0001.jpg")


@pytest.mark.parametrize(
    ("name", "agree"),
    [
        ("0001.jpg", 1),
        ("0001", 1),
        ("cam1/0001.jpg", 2),
        ("cam1\\0001.jpg", 2),
        ("./cam1/0001", 2),
        ("photos/cam1/0001.jpg", 3),
        ("/a/photos/cam1/0001.jpg", 4),
        ("other/cam1/0001.jpg", 2),
        ("cam2/0001.jpg", 1),
        ("0001.png", 0),
        ("10001.jpg", 0),
        ("", 0),
        (1, 1),
        (11, 0),
    ],
)
def test_names_agree_by_their_trailing_parts(name, agree):
    assert likeness(CAM1, name) == agree


def test_numbers_of_stems():
    assert [trailing_number(Path(n)) for n in ("a_007.jpg", "000000397133.jpg", "a.jpg", "7b.png")] == [
        7,
        397133,
        None,
        None,
    ]
    assert trailing_number(Path("9" * 40 + ".jpg")) is None


def test_the_name_with_most_folders_in_common_is_taken():
    names = ["0001.jpg", "cam2/0001.jpg", "cam1/0001.jpg", "cam1/0001.jpg"]
    assert entries_of(CAM1, names, [CAM2], WHERE) == [2, 3]
    assert entries_of(CAM2, names, [CAM1], WHERE) == [1]
    assert entries_of(Path("/a/0002.jpg"), names, [], WHERE) == []
    assert entries_of(CAM1, ["0001", "0001.jpg"], [], WHERE) == [1], "a whole name says more than a stem"


def test_what_is_another_pictures_is_not_this_ones():
    assert entries_of(CAM1, ["cam2/0001.jpg"], [CAM2], WHERE) == []
    assert entries_of(CAM1, ["val2017/0001.jpg"], [], WHERE) == [0], "folders may be called otherwise"


def test_what_could_be_of_two_pictures_is_refused():
    with pytest.raises(DetectionError, match=r"0001\.jpg, which could be .*cam1.*cam2"):
        entries_of(CAM1, ["0001.jpg"], [CAM2], WHERE)
    with pytest.raises(DetectionError, match=r"x/0001\.jpg and y/0001\.jpg, which could all be"):
        entries_of(CAM1, ["x/0001.jpg", "y/0001.jpg"], [], WHERE)
    with pytest.raises(DetectionError, match="has 7, which could be"):
        entries_of(Path("a_7.jpg"), [7, 8], [Path("b_7.jpg")], WHERE)


def test_rivals_have_the_same_stem_or_number():
    names = InputNames([CAM1, CAM2, Path("/b/x_1.jpg"), Path("/b/y.jpg")])
    assert names.count == 4
    assert names.rivals(CAM1) == [CAM2, Path("/b/x_1.jpg")]
    assert names.rivals(Path("/b/y.jpg")) == [] and names.rivals(Path("/c/z.jpg")) == []
    assert InputNames([Path("a/1.jpg"), Path("a") / "1.jpg"]).rivals(Path("a/1.jpg")) == [], "the same picture twice"


def test_keypoint_files_lie_in_the_same_folders_as_pictures(tmp_path):
    patterns = ("{stem}_keypoints.json", "{stem}.json")
    for file in ("kp/0001.json", "kp/cam1/0001_keypoints.json", "kp/photos/cam2/0001.json"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("{}")

    def found(picture):
        file = keypoint_file(tmp_path / "kp", Path(picture), patterns)
        return None if file is None else file.relative_to(tmp_path / "kp").as_posix()

    assert found(CAM1) == "cam1/0001_keypoints.json" and found(CAM2) == "photos/cam2/0001.json"
    assert found("/a/photos/cam3/0001.jpg") == "0001.json" and found("/a/0002.jpg") is None
