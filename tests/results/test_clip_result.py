"""Results of clips survive the way to files and back; one frame of a track is a person with vertices."""

import json
from dataclasses import replace

import numpy as np
import pytest
from test_picture_result import assert_same

from dsr.body import load_asset
from dsr.errors import ResultError
from dsr.results import SequenceResult, TrackResult, load_result, save_result


def make_track(name: str, first: int, count: int, lifted: bool) -> TrackResult:
    rng = np.random.default_rng(first)
    return TrackResult(
        id=name,
        frames=np.arange(first, first + count),
        observed=np.arange(count) % 3 != 1,
        score=0.8,
        keypoint_set="coco17",
        keypoints_px=rng.uniform(0, 100, (count, 17, 3)).astype(np.float32),
        boxes_px=rng.uniform(0, 100, (count, 4)).astype(np.float32),
        betas=rng.normal(size=11),
        global_orient=rng.normal(size=(count, 3)),
        body_pose=rng.normal(size=(count, 23, 3)),
        transl=rng.normal(size=(count, 3)),
        joints_cam_m=rng.normal(size=(count, 24, 3)).astype(np.float32),
        contacts=rng.random((count, 4)) > 0.5,
        height_m=1.7,
        measures={"stature_m": 1.7, "weight_kg": 64.25},
        ground=np.array([0.0, -1, 0, -1.4]) if lifted else None,
        joint_uncertainty_mm=rng.uniform(10, 90, (count, 24)).astype(np.float32) if lifted else None,
        residuals={"fit": {"reprojection_px": 2.5, "reprojection_rel": 0.006, "silhouette_iou": None}},
        warnings=["somebody stood in front"],
    )


def make_result() -> SequenceResult:
    read = np.ones(9, bool)
    read[4] = False
    return SequenceResult(
        status="ok",
        input_path="clips/Jürgen läuft.MP4",
        input_sha256="ab" * 32,
        image_size=(640, 480),
        fps=23.976,
        frame_indices=np.arange(9),
        frame_times_s=np.arange(9) / 23.976,
        frames_read=read,
        K=np.array([[800.0 + i, 0, 320] for i in range(9)])[:, None] * np.ones((1, 3, 1)),
        focal_source="exif",
        focal_detail="35 mm equivalent 26 mm",
        body={"name": "toy", "licence": "CC0", "sha256": "cd" * 32, "file": "TOY.npz"},
        lifter={"name": "shipped", "sha256": "ef" * 32},
        people=[make_track("p0", 0, 9, True), make_track("p1", 2, 5, False)],
        warnings=["1 frame is missing"],
        timing_s={"people": 0.0125},
        seed=7,
    )


@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_a_clip_comes_back_as_it_was_saved(tmp_path, ending):
    result = make_result()
    written = save_result(result, tmp_path / "a.mp4.json", {"options": {"seed": 7}})
    assert [path.name for path in written] == ["a.mp4.npz", "a.mp4.json"]
    assert_same(result, load_result(tmp_path / f"a.mp4{ending}"))


def test_the_files_say_what_the_schema_promises(tmp_path):
    save_result(make_result(), tmp_path / "a.json", {"options": {"seed": 7}})
    document = json.loads((tmp_path / "a.json").read_text())
    assert (document["schema"], document["schema_version"]) == ("dsr.sequence_result", 1)
    assert document["clip"] == {"fps": 23.976, "frames": 9, "missing_frames": [4]}
    assert document["lifter"] == {"name": "shipped", "sha256": "ef" * 32} and document["arrays"] == "a.npz"
    assert document["camera"]["K"][0] == [800.0, 0.0, 320.0] and document["run"] == {"options": {"seed": 7}}
    first, second = document["people"]
    assert (second["first_frame"], second["last_frame"], second["gaps"]) == (2, 6, [[3, 3], [6, 6]])
    assert first["ground"] == [0.0, -1.0, 0.0, -1.4] and second["ground"] is None
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        assert "p0.joint_uncertainty_mm" in data.files and "p1.joint_uncertainty_mm" not in data.files


def test_a_clip_without_its_arrays_is_refused_with_a_sentence(tmp_path):
    save_result(make_result(), tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    document["people"][0]["id"] = "p5"
    (tmp_path / "other.json").write_text(json.dumps(document))
    with pytest.raises(ResultError, match="not a complete result"):
        load_result(tmp_path / "other.json")
    (tmp_path / "a.npz").unlink()
    with pytest.raises(ResultError, match=r"a\.npz is missing"):
        load_result(tmp_path / "a.json")


def test_everybody_in_a_frame_has_the_frames_pose():
    asset, result = load_asset("open-light"), make_result()
    assert [p.id for p in result.people_at(0, asset)] == ["p0"] and result.people_at(9, asset) == []
    person = result.people_at(4, asset)[1]
    track = result.people[1]
    for name in ("global_orient", "body_pose", "transl", "joints_cam_m", "keypoints_px"):
        np.testing.assert_array_equal(getattr(person, name), getattr(track, name)[2], err_msg=name)
    np.testing.assert_array_equal(person.box_px, track.boxes_px[2])
    assert person.id == "p1" and person.vertices_cam_m.shape == (asset.num_vertices, 3)
    shift = np.array([0, 0, 1.0])
    moved = replace(track, transl=track.transl + shift)
    nearer = replace(result, people=[moved]).people_at(4, asset)[0]
    np.testing.assert_allclose(
        nearer.vertices_cam_m - person.vertices_cam_m, np.tile(shift, (asset.num_vertices, 1)), atol=1e-5
    )


def test_fingers_and_faces_of_a_clip_come_back_and_shape_its_frames(tmp_path):
    asset, result = load_asset("open-x"), make_result()
    rng, names = np.random.default_rng(0), asset.expression_names
    track = replace(
        make_track("p0", 0, 3, False),
        body_pose=np.zeros((3, 54, 3)),
        joints_cam_m=np.zeros((3, 55, 3), np.float32),
        hand_presence=np.array([[0.9, np.nan]] * 3, np.float32),
        actions=rng.uniform(0, 1, (3, len(names))).astype(np.float32),
        action_names=names,
    )
    result = replace(result, people=[track])
    save_result(result, tmp_path / "a.json")
    again = load_result(tmp_path / "a.json")
    assert_same(result, again)
    first, last = (again.people_at(frame, asset)[0] for frame in (0, 2))
    assert first.hands == {"left": pytest.approx(0.9), "right": None}
    assert first.actions == dict(zip(names, track.actions[0].tolist(), strict=True))
    np.testing.assert_allclose(last.betas[asset.num_shapes :], track.actions[2])
    assert np.abs(first.vertices_cam_m - last.vertices_cam_m).max() > 0.003
