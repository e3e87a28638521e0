"""Results survive the way to files and back; wrong files are refused with a sentence."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from dsr.errors import ExportError, ResultError
from dsr.results import FitResult, Floor, PersonResult, load_result, save_result


def make_person(i: int, vertices: int = 50, keypoints: int = 33) -> PersonResult:
    rng = np.random.default_rng(i)
    return PersonResult(
        id=f"p{i}",
        box_px=rng.uniform(0, 100, 4),
        score=0.9 - 0.1 * i,
        keypoint_set="blazepose33",
        keypoints_px=rng.uniform(0, 100, (keypoints, 3)).astype(np.float32),
        betas=rng.normal(size=11),
        global_orient=rng.normal(size=3),
        body_pose=rng.normal(size=(23, 3)),
        transl=rng.normal(size=3),
        vertices_cam_m=rng.normal(size=(vertices, 3)).astype(np.float32),
        joints_cam_m=rng.normal(size=(24, 3)),
        height_m=1.75,
        measures={"stature_m": 1.7512, "weight_kg": 70.1 + i},
        joint_uncertainty_mm=None if i else np.linspace(10, 60, 24),
        residuals={"fit": {"reprojection_px": 3.25, "reprojection_rel": 0.008, "silhouette_iou": None}},
        warnings=["cut by the border"],
    )


def make_result(people: int = 2) -> FitResult:
    return FitResult(
        status="ok" if people else "no_person",
        input_path="photos/Jürgen läuft.JPG",
        message="" if people else "nobody",
        input_sha256="ab" * 32,
        image_size=(640, 480),
        upright_differs=True,
        upright_file="Jürgen läuft.upright.jpg",
        K=np.array([[800.0, 0, 320], [0, 800, 240], [0, 0, 1]]),
        focal_source="exif",
        focal_detail="35 mm equivalent 26 mm",
        body={"name": "toy", "licence": "CC0", "sha256": "cd" * 32, "file": "TOY.npz"},
        people=[make_person(i) for i in range(people)],
        warnings=["first of 3 frames"],
        timing_s={"read": 0.0125},
        seed=7,
    )


def assert_same(a, b) -> None:
    """Every field equal, arrays to the bit."""
    assert type(a) is type(b)
    for f in fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y, err_msg=f.name)
            assert x.dtype == y.dtype, f.name
        elif f.name == "people":
            assert len(x) == len(y)
            for p, q in zip(x, y, strict=True):
                assert_same(p, q)
        else:
            assert x == y, f.name


@pytest.mark.parametrize("people", [0, 1, 3])
@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_a_result_comes_back_as_it_was_saved(tmp_path, people, ending):
    result = make_result(people)
    written = save_result(result, tmp_path / "a.jpg.json")
    assert [path.name for path in written] == ["a.jpg.npz", "a.jpg.json"]
    assert_same(result, load_result(tmp_path / f"a.jpg{ending}"))


def test_the_files_say_what_the_schema_promises(tmp_path):
    save_result(make_result(2), tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["schema_version"] == 1 and document["tool"]["name"] == "dsr"
    assert document["input"]["sha256"] == "ab" * 32
    assert document["camera"]["K"][0] == [800.0, 0.0, 320.0] and document["camera"]["focal_source"] == "exif"
    assert document["image"] == {
        "width": 640,
        "height": 480,
        "upright_differs": True,
        "upright_file": "Jürgen läuft.upright.jpg",
    }
    assert document["body"]["file"] == "TOY.npz"
    assert [p["id"] for p in document["people"]] == ["p0", "p1"]
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        shapes = {key: data[key].shape for key in data.files}
        assert data["vertices_cam_m"].dtype == np.float32
        np.testing.assert_allclose(document["people"][1]["body_pose"], data["body_pose"][1], rtol=1e-6)
    assert shapes == {
        "K": (3, 3),
        "betas": (2, 11),
        "global_orient": (2, 3),
        "body_pose": (2, 23, 3),
        "transl": (2, 3),
        "vertices_cam_m": (2, 50, 3),
        "joints_cam_m": (2, 24, 3),
        "keypoints_px": (2, 33, 3),
        "boxes_px": (2, 4),
        "scores": (2,),
        "joint_uncertainty_mm": (2, 24),
    }


def test_people_with_different_keypoint_sets_share_a_file(tmp_path):
    result = make_result(2)
    result.people[1] = make_person(1, keypoints=17)
    result.people[1].keypoint_set = "coco17"
    save_result(result, tmp_path / "a.json")
    assert_same(result, load_result(tmp_path / "a.json"))


def test_numbers_that_json_cannot_say_become_null(tmp_path):
    result = make_result(1)
    result.people[0].residuals["fit"]["reprojection_px"] = float("nan")
    save_result(result, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["people"][0]["residuals"]["fit"]["reprojection_px"] is None


def test_saving_twice_gives_the_same_bytes_and_leaves_nothing_else(tmp_path):
    save_result(make_result(), tmp_path / "a.json")
    first = (tmp_path / "a.npz").read_bytes()
    save_result(make_result(), tmp_path / "a.json")
    assert (tmp_path / "a.npz").read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.npz"]


def test_the_json_file_comes_last(tmp_path, monkeypatch):
    """It says that all is complete: arrays that cannot be written leave none."""
    order, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (order.append(target.suffix), replace(self, target))[1])
    save_result(make_result(), tmp_path / "a.json")
    assert order == [".npz", ".json"]

    def full(*arguments, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ExportError, match="no space left"):
        save_result(make_result(), tmp_path / "b.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.npz"]


def test_wrong_files_are_refused_with_a_sentence(tmp_path):
    with pytest.raises(ResultError, match=r"missing\.json is missing"):
        load_result(tmp_path / "missing.npz")
    with pytest.raises(ResultError, match="not a result"):
        load_result(tmp_path / "mesh.glb")
    save_result(make_result(), tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())

    (tmp_path / "new.json").write_text(json.dumps({**document, "schema_version": 2}))
    with pytest.raises(ResultError, match="schema version 2, this release reads 1"):
        load_result(tmp_path / "new.json")
    (tmp_path / "other.json").write_text("[1, 2]")
    with pytest.raises(ResultError, match="not a result of dsr-fit"):
        load_result(tmp_path / "other.json")
    (tmp_path / "broken.json").write_text('{"schema": ')
    with pytest.raises(ResultError, match="cannot be read as JSON"):
        load_result(tmp_path / "broken.json")
    del document["people"][0]["betas"], document["camera"]
    (tmp_path / "short.json").write_text(json.dumps(document))
    with pytest.raises(ResultError, match="not a complete result"):
        load_result(tmp_path / "short.json")
    (tmp_path / "a.npz").write_bytes(b"PK nonsense")
    with pytest.raises(ResultError, match=r"a\.npz cannot be read"):
        load_result(tmp_path / "a.json")
    (tmp_path / "a.npz").unlink()
    with pytest.raises(ResultError, match=r"a\.npz is missing"):
        load_result(tmp_path / "a.json")


def test_only_json_names_are_saved(tmp_path):
    with pytest.raises(ResultError, match=r"ends in \.json"):
        save_result(make_result(), tmp_path / "a.npz")


@pytest.mark.parametrize("offset", [-1.52, None])
def test_a_floor_comes_back(tmp_path, offset):
    up = np.array([0.1, -0.98, -0.17]) / np.linalg.norm([0.1, -0.98, -0.17])
    result = make_result()
    result.floor = Floor(up, offset, 0.83, 2.5, ["p0"])
    save_result(result, tmp_path / "a.json")
    entry = json.loads((tmp_path / "a.json").read_text())["floor"]
    assert entry["offset_m"] == offset and entry["people"] == ["p0"]
    back = load_result(tmp_path / "a.json").floor
    np.testing.assert_allclose(back.normal, up, atol=1e-6)
    assert (back.offset_m, back.confidence, back.tilt_sigma_deg, back.people) == (offset, 0.83, 2.5, ["p0"])


def test_results_of_earlier_releases_have_no_floor(tmp_path):
    save_result(make_result(), tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    assert document.pop("floor") is None
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert load_result(tmp_path / "a.json").floor is None
