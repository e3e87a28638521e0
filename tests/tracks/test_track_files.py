"""Readers of lifters' data files, on files of the same form made here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_data import vectors

from dsr.errors import DatasetError
from dsr.tracks.cameras import LabCamera, flip_intrinsic, read_cameras
from dsr.tracks.files import H36M_KEPT, load_h36m, load_mpi_inf_3dhp, read_object_npz

CAMERA = {
    "id": "54",
    "orientation": [0.5, -0.5, 0.5, 0.5],
    "translation": [1000, 2000, 3000],
    "res_w": 1000,
    "res_h": 1002,
    "focal_length": [1145, 1143],
    "center": [512, 515],
    "radial_distortion": [-0.2, 0.2, 0],
    "tangential_distortion": [0, 0.001],
}
SYMMETRY = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]


def h36m(folder: Path, **change: Any) -> tuple[Path, Path]:
    """A data set of one subject, one action of 6 frames and two cameras."""
    rng = np.random.default_rng(0)
    world = rng.normal(size=(6, 32, 3)).astype(np.float32)
    seen = [rng.uniform(0, 1000, (8, 17, 2)).astype(np.float32) for _ in range(2)]
    values = {
        "positions_2d": {"S9": {"Walking 1": seen}},
        "positions_3d": {"S9": {"Walking 1": world}},
        "metadata": {"num_joints": 17, "keypoints_symmetry": SYMMETRY},
        **change,
    }
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=values["positions_3d"])
    seen_file = folder / "data_2d_h36m_gt.npz"
    np.savez_compressed(seen_file, positions_2d=values["positions_2d"], metadata=values["metadata"])
    (folder / "cameras_h36m.json").write_text(json.dumps({"S9": [CAMERA, {**CAMERA, "translation": [0, 0, 0]}]}))
    return folder / "data_3d_h36m.npz", seen_file


def test_camera_golden() -> None:
    data = vectors("ktpformer", "camera")
    camera = LabCamera(data["quat_wxyz"], data["translation_m"], (1000, 1002), data["intrinsic9"])
    np.testing.assert_allclose(camera.to_camera(data["X_world"]), data["X_camera"], atol=1e-5)
    np.testing.assert_allclose(camera.to_world(data["X_camera"]), data["X_back"], atol=1e-5)
    np.testing.assert_allclose(camera.project(data["X_cam_in_front"]), data["projected"], atol=1e-5)
    np.testing.assert_allclose(camera.project(data["X_cam_in_front"], False), data["projected_linear"], atol=1e-5)
    entry = {
        **CAMERA,
        "focal_length": [1145.0494, 1143.7811],
        "center": [512.54150, 515.45148],
        "radial_distortion": data["intrinsic9"][4:7],
        "tangential_distortion": data["intrinsic9"][7:],
    }
    made = read_cameras({"S1": [entry]})["S1"][0]
    np.testing.assert_allclose(made.intrinsic, data["intrinsic9"], atol=1e-5)


def test_flipped_intrinsics_golden() -> None:
    data = vectors("ktpformer", "chunk_generator")
    rows = data["epoch1_pairs_permuted"][:4]
    cameras = np.stack([data[f"cam_{i}"] for i in rows[:, 0]])
    np.testing.assert_array_equal(flip_intrinsic(cameras, rows[:, 3] != 0), data["epoch1_batch0_cam"])


def test_h36m(tmp_path: Path) -> None:
    poses, keypoints = h36m(tmp_path)
    tracks = load_h36m(poses, keypoints, ["S9"])
    facts = [(t.subject, t.action, len(t), t.fps, t.size) for t in tracks]
    assert facts == [("S9", "Walking 1", 6, 50, (1000, 1002))] * 2
    world = read_object_npz(poses)["positions_3d"]["S9"]["Walking 1"][:, H36M_KEPT]
    seen = read_object_npz(keypoints)["positions_2d"]["S9"]["Walking 1"]
    np.testing.assert_array_equal(tracks[1].keypoints_px, seen[1][:6])
    # The quaternion's rotation matrix, written out by hand.
    shifted = world - [1, 2, 3]
    w, x, y, z = CAMERA["orientation"]  # type: ignore[misc]
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    np.testing.assert_allclose(tracks[0].joints_m, shifted @ turn, atol=1e-5)
    K = tracks[0].K
    assert K is not None
    np.testing.assert_allclose(K, [[1145, 0, 512], [0, 1143, 515], [0, 0, 1]], atol=1e-9)
    assert (tracks[0].left, tracks[0].right) == (tuple(SYMMETRY[0]), tuple(SYMMETRY[1]))


def test_h36m_refusals(tmp_path: Path) -> None:
    poses, keypoints = h36m(tmp_path)
    with pytest.raises(DatasetError, match="no subject S1"):
        load_h36m(poses, keypoints, ["S1"])
    with pytest.raises(DatasetError, match="positions_3d"):
        load_h36m(keypoints, keypoints)
    with pytest.raises(DatasetError, match="does not exist"):
        load_h36m(tmp_path / "none.npz", keypoints)
    (tmp_path / "cameras_h36m.json").unlink()
    with pytest.raises(DatasetError, match=r"cameras_h36m\.json is missing"):
        load_h36m(poses, keypoints)
    bad = np.zeros((6, 17, 2), np.float32)
    bad[3, 2] = np.nan
    for seen, sentence in (([bad], "frame 3"), ([bad[:2] * 0], "finite|frames"), ([np.zeros((6, 16, 2))], "shape")):
        poses, keypoints = h36m(tmp_path, positions_2d={"S9": {"Walking 1": seen}})
        with pytest.raises(DatasetError, match=sentence):
            load_h36m(poses, keypoints)
    poses, keypoints = h36m(tmp_path, metadata={"num_joints": 17, "keypoints_symmetry": [[1, 2], [2, 3]]})
    with pytest.raises(DatasetError, match="keypoints_symmetry"):
        load_h36m(poses, keypoints)
    poses.write_bytes(poses.read_bytes()[:200])
    with pytest.raises(DatasetError, match="damaged"):
        load_h36m(poses, keypoints)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def test_nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    poses, keypoints = h36m(tmp_path, positions_3d={"S9": _Bomb()})
    with pytest.raises(DatasetError, match="Nothing in it was run"):
        load_h36m(poses, keypoints)
    assert not (tmp_path / "executed").exists()


def test_the_camera_of_3dhp_is_the_one_that_sees_its_joints_where_its_keypoints_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    p3 = rng.normal(0, 300, (20, 17, 3)) + np.array([0, 0, 4000])
    p2 = p3[..., :2] / p3[..., 2:] * 1500 + [1017, 1043]
    seen = p2 + rng.normal(0, 5, p2.shape)
    seen[:2, :5] += 400  # a detector's worst
    seen[3, 2] = 0  # missing
    views = {"0": {"data_2d": p2, "data_3d": p3}, "1": {"data_2d": seen, "data_3d": p3}}
    views["2"] = {"data_2d": p2, "data_3d": p3 - p3[:, 14:15]}
    views["3"] = {"data_2d": rng.uniform(0, 2048, p2.shape), "data_3d": p3}
    np.savez_compressed(tmp_path / "train.npz", data={"S1 Seq1": [views, 25]})
    exact, noisy, relative, unrelated = load_mpi_inf_3dhp(tmp_path / "train.npz")
    assert exact.K is not None and noisy.K is not None and relative.K is None and unrelated.K is None
    np.testing.assert_allclose(exact.K, [[1500, 0, 1017], [0, 1500, 1043], [0, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(noisy.K, exact.K, atol=20)


def test_mpi_inf_3dhp(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    p2, p3 = rng.uniform(0, 2048, (5, 17, 2)), rng.normal(0, 500, (5, 17, 3))
    train, test = tmp_path / "train.npz", tmp_path / "test.npz"
    arrays = {"data_2d": p2, "data_3d": p3}
    np.savez_compressed(train, data={"S1 Seq2": [{"0": arrays, "8": arrays}, 50]})
    np.savez_compressed(test, data={"TS6": {**arrays, "valid": np.array([[1], [0], [1], [1], [1]])}})
    first, second = load_mpi_inf_3dhp(train, "mpi")
    assert (first.subject, first.camera, second.camera, first.fps, first.size) == ("S1", "0", "8", 50, (2048, 2048))
    np.testing.assert_allclose(first.relative(), (p3 - p3[:, 14:15]) / 1000, atol=1e-6)
    (last,) = load_mpi_inf_3dhp(test)
    assert last.size == (1920, 1080) and last.valid is not None
    assert last.valid.tolist() == [True, False, True, True, True]
    np.testing.assert_allclose(last.joints_m[:, 0], p3[:, 14] / 1000, atol=1e-6)
    # Left wrist: 7 in their order, 13 in Human3.6M's; right ankle: 10 and 3.
    np.testing.assert_allclose(last.keypoints_px[:, [13, 3]], p2[:, [7, 10]], atol=1e-3)
    np.savez_compressed(test, data={"TS1": {"data_2d": p2[:3], "data_3d": p3}})
    with pytest.raises(DatasetError, match="3 frames"):
        load_mpi_inf_3dhp(test)
    with pytest.raises(DatasetError, match="TS2"):
        load_mpi_inf_3dhp(test, sequences=["TS2"])
