"""PersPose's joblib tables: what is read, memory-mapped, refused; nothing in a file is run."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import sys
import types
import zlib

import numpy as np
import pytest

from dsr.datasets.joblib_file import open_table
from dsr.datasets.perspose_files import SUBJECT_HEIGHTS_M, PersPoseSource, open_perspose_set
from dsr.errors import DatasetError

N = 2


class NumpyArrayWrapper:
    """Stands for joblib's class of that name while a test file is written."""


class _Writer(pickle._Pickler):
    """Writes arrays as joblib does: a wrapper with their description, padding, their bytes."""

    def __init__(self, stream):
        super().__init__(stream, protocol=4)
        self.stream = stream

    def save(self, obj, save_persistent_id=True):
        if type(obj) is not np.ndarray:
            return super().save(obj, save_persistent_id)
        wrapper = NumpyArrayWrapper()
        order = "F" if obj.flags.f_contiguous and not obj.flags.c_contiguous else "C"
        wrapper.__dict__.update(
            subclass=np.ndarray,
            shape=obj.shape,
            order=order,
            dtype=obj.dtype,
            allow_mmap=not obj.dtype.hasobject,
            numpy_array_alignment_bytes=16,
        )
        super().save(wrapper)
        self.framer.commit_frame(force=True)
        if obj.dtype.hasobject:
            self.stream.write(pickle.dumps(obj, protocol=5))
            return None
        padding = 16 - (self.stream.tell() + 1) % 16
        self.stream.write(bytes([padding]) + b"\xff" * padding + obj.tobytes(order))
        return None


@pytest.fixture(autouse=True)
def joblib_named_class(monkeypatch):
    module = types.ModuleType("joblib.numpy_pickle")
    module.NumpyArrayWrapper = NumpyArrayWrapper
    monkeypatch.setitem(sys.modules, "joblib", types.ModuleType("joblib"))
    monkeypatch.setitem(sys.modules, "joblib.numpy_pickle", module)
    monkeypatch.setattr(NumpyArrayWrapper, "__module__", "joblib.numpy_pickle")


def dump(value) -> bytes:
    stream = io.BytesIO()
    _Writer(stream).dump(value)
    return stream.getvalue()


def smpl_table(**changes):
    rng = np.random.default_rng(2)
    values = {
        "id": np.arange(N),
        "file_name": np.array(["image_00000.jpg", "image_00001.jpg"]),
        "video_name": ["downtown_walk", "downtown_walk"],
        "bbox": np.array([[10.0, 20, 30, 40], [11, 21, 31, 41]]),
        "cam_intrinsics": np.tile(np.array([[1000.0, 0, 500], [0, 1000, 400], [0, 0, 1]]), (N, 1, 1)),
        "gender": np.array(["f", "m"], dtype=object),
        "smpl_theta": np.asfortranarray(rng.normal(0, 1, (N, 24, 3))),
        "smpl_beta": rng.normal(0, 1, (N, 10)).astype(np.float32),
        "smpl_transl": [np.array([0.0, 0.1, 3.0]), np.array([0.0, 0.2, 4.0])],
        "vis": np.zeros((N, 50), bool),
        "smpl_mask": [{"counts": b"abc", "size": [4, 4]}] * N,
    }
    values.update(changes)
    return {key: value for key, value in values.items() if value is not None}


PACKERS = {
    "plain": bytes,
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("packer", [*PACKERS, "pickle"])
def test_smpl_tables_of_every_kind_give_the_same_records(tmp_path, packer):
    table = smpl_table()
    path = tmp_path / "3dpw_train.pkl"
    path.write_bytes(pickle.dumps(table) if packer == "pickle" else PACKERS[packer](dump(table)))
    source = PersPoseSource(path, tmp_path, name="3dpw")
    record = source.record(1)
    np.testing.assert_array_equal(record.pose_aa, table["smpl_theta"][1])
    np.testing.assert_array_equal(record.betas, table["smpl_beta"][1])
    np.testing.assert_array_equal(record.transl, [0.0, 0.2, 4.0])
    np.testing.assert_array_equal(record.box_px, [11, 21, 42, 62])
    np.testing.assert_array_equal(record.K, table["cam_intrinsics"][1])
    assert record.gender == "male" and source.record(0).gender == "female"
    assert record.image == tmp_path / "downtown_walk" / "image_00001.jpg" and len(source) == N
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.record(1).pose_aa, record.pose_aa)
    assert len(pickle.dumps(source)) < 1000
    assert isinstance(source._table.column("bbox"), np.memmap) is (packer == "plain")


def test_files_of_the_real_joblib_are_read(tmp_path, monkeypatch):
    monkeypatch.undo()
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    joblib.dump(smpl_table(), tmp_path / "t.pkl", compress=3)
    record = PersPoseSource(tmp_path / "t.pkl", tmp_path).record(0)
    np.testing.assert_array_equal(record.betas, smpl_table()["smpl_beta"][0])


def test_joints_and_keypoints_tables(tmp_path):
    rng = np.random.default_rng(4)
    base = {"smpl_theta": None, "smpl_beta": None, "smpl_transl": None, "gender": None}
    joints = smpl_table(**base, **{"3dhp_j17": rng.normal(0, 1, (N, 17, 3)), "video_name": ["S3_Seq1", "TS1"]})
    (tmp_path / "a.pkl").write_bytes(dump(joints))
    source = PersPoseSource(tmp_path / "a.pkl", tmp_path)
    np.testing.assert_array_equal(source.record(0).joints_m["h36m17"][:, :3], joints["3dhp_j17"][0])
    assert source.record(0).height_m == SUBJECT_HEIGHTS_M[2] and source.record(1).height_m is None
    points = np.concatenate([rng.uniform(0, 50, (N, 17, 2)), np.full((N, 17, 1), 2.0)], -1)
    coco = smpl_table(**base, cam_intrinsics=None, video_name=None, coco_kp17=points)
    np.savez(tmp_path / "coco.npz", **{k: v for k, v in coco.items() if k != "smpl_mask"})
    record = PersPoseSource(tmp_path / "coco.npz", tmp_path).record(1)
    np.testing.assert_array_equal(record.keypoints_px["coco17"][:, :2], points[1, :, :2])
    assert record.K is None and record.keypoints_px["coco17"][:, 2].max() == 1.0
    assert record.image == tmp_path / "image_00001.jpg"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bbox": None}, "has no 'bbox'"),
        ({"smpl_beta": None}, "has no 'smpl_beta'"),
        ({"cam_intrinsics": None}, "has no 'cam_intrinsics'"),
        ({"smpl_theta": np.zeros((N, 23, 3))}, "'smpl_theta' has shape (2, 23, 3)"),
        ({"smpl_transl": np.zeros((N + 1, 3))}, "'smpl_transl' has shape (3, 3)"),
        ({"smpl_beta": np.zeros((N, 4))}, "'smpl_beta' has shape (2, 4)"),
        ({"bbox": np.array([["a"] * 4] * N)}, "'bbox' holds"),
    ],
)
def test_tables_that_do_not_fit_are_refused_when_opened(tmp_path, changes, says):
    path = tmp_path / "t.pkl"
    path.write_bytes(dump(smpl_table(**changes)))
    with pytest.raises(DatasetError) as caught:
        PersPoseSource(path, tmp_path)
    assert says in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"smpl_theta": np.full((N, 24, 3), np.inf)}, "'smpl_theta' is not finite in row 0"),
        ({"bbox": np.zeros((N, 4))}, "'bbox' has no area in row 0"),
        ({"file_name": np.array(["../../secret", "b"])}, "'file_name' is '../../secret' in row 0"),
    ],
)
def test_rows_that_cannot_be_used_say_where_they_are(tmp_path, changes, says):
    path = tmp_path / "t.pkl"
    path.write_bytes(dump(smpl_table(**changes)))
    with pytest.raises(DatasetError) as caught:
        PersPoseSource(path, tmp_path).record(0)
    assert says in str(caught.value) and str(path) in str(caught.value)


class _Attack:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        import pathlib

        return pathlib.Path.touch, (self.target,)


@pytest.mark.parametrize("place", ["value", "object array", "compressed"])
def test_nothing_in_a_file_is_run(tmp_path, place):
    ran = tmp_path / "ran"
    attack = _Attack(ran)
    value = np.array([attack, attack], dtype=object) if place == "object array" else attack
    data = dump({"bbox": np.zeros((N, 4)), "file_name": value})
    path = tmp_path / "t.pkl"
    path.write_bytes(zlib.compress(data) if place == "compressed" else data)
    with pytest.raises(DatasetError, match=r"t\.pkl was refused.*Nothing in it was run"):
        open_table(path)
    assert not ran.exists()


def test_damaged_files_are_named_and_nothing_large_is_made(tmp_path):
    path = tmp_path / "t.pkl"
    good = dump(smpl_table())
    for data in (b"", b"text", good[:200], good[:-40], zlib.compress(good)[:-30], pickle.dumps([1, 2])):
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=r"t\.pkl"):
            open_table(path)
    huge = dump({"a": np.zeros((3, 3))}).replace(b"K\x03K\x03\x86", b"J\xff\xff\xff\x7fK\x03\x86")
    assert huge != dump({"a": np.zeros((3, 3))})
    path.write_bytes(huge)
    with pytest.raises(DatasetError, match=r"claim|left|cut off"):
        open_table(path)
    path.unlink()
    with pytest.raises(DatasetError, match="does not exist"):
        open_table(path)


def test_bytes_changed_at_random_never_raise_anything_else(tmp_path):
    path = tmp_path / "t.pkl"
    good, rng = dump(smpl_table()), np.random.default_rng(0)
    outcomes = set()
    for _ in range(150):
        data = bytearray(good)
        for place in rng.integers(0, 1500, 3):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            open_table(path)
            outcomes.add("read")
        except DatasetError as error:
            assert str(path) in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("coco", "coco/train2017"),
        ("3dhp", "3dhp/mpi_inf_3dhp_train_set"),
        ("bedlam-train", "bedlam/data"),
        ("3dpw", "3dpw/images"),
        ("h36m", "h36m"),
    ],
)
def test_pictures_lie_where_the_published_loaders_look(tmp_path, name, folder):
    (tmp_path / folder).mkdir(parents=True)
    table = tmp_path / folder.split("/")[0] / "some_train.pt"
    table.write_bytes(dump(smpl_table(file_name=np.array(["a.jpg", "b.jpg"]))))
    (tmp_path / folder / "a.jpg").touch()
    with pytest.raises(DatasetError, match=r"b\.jpg is missing, as are 0 more of 2 pictures of some_train\.pt") as said:
        open_perspose_set(tmp_path, name)
    assert str(tmp_path / folder) in str(said.value)
    (tmp_path / folder / "b.jpg").touch()
    assert open_perspose_set(tmp_path, name).record(1).image == tmp_path / folder / "b.jpg"


def test_training_sets_are_found_in_their_folders(tmp_path):
    (tmp_path / "bedlam").mkdir()
    for name in ("bedlam_train.pkl", "bedlam_val.pkl"):
        (tmp_path / "bedlam" / name).write_bytes(dump(smpl_table(file_name=np.array([name, name]))))
    for word in ("train", "val"):
        source = open_perspose_set(tmp_path, f"bedlam-{word}")
        assert source.name == f"bedlam-{word}" and source.record(0).image.name == f"bedlam_{word}.pkl"
    (tmp_path / "bedlam" / "train2.npz").touch()
    with pytest.raises(DatasetError, match=r"bedlam_train\.pkl, train2\.npz lie there"):
        open_perspose_set(tmp_path, "bedlam-train")
    with pytest.raises(DatasetError, match="h36m needs one table"):
        open_perspose_set(tmp_path, "h36m")
    with pytest.raises(DatasetError, match="'mars'"):
        open_perspose_set(tmp_path, "mars")


def test_columns_that_unpack_to_a_thousand_times_are_refused(tmp_path, monkeypatch):
    """Found by the torture corpus: a file of 800 KB took 2.4 GB."""
    monkeypatch.setattr("dsr.datasets.table_file._LARGE", 1 << 20)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, a=np.zeros(1 << 18), b=np.arange(1 << 18))
    with pytest.raises(DatasetError, match=r"'a' would unpack to 2 MB"):
        open_table(path)
    np.savez(path, a=np.zeros(1 << 18))
    assert open_table(path).column("a").shape == (1 << 18,)
