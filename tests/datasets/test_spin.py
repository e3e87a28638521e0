"""SPIN's npz layout: what is read, what is refused and how it is said, and what goes to workers."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from dsr.clothing.labels import PALETTE_RGB
from dsr.datasets import DsrView
from dsr.datasets.spin import SpinSource
from dsr.errors import DatasetError

N = 3


def columns(**changes):
    rng = np.random.default_rng(3)
    values = {
        "imgname": np.array(["jpg/gp.jpg", "b.png", "c.jpg"]),
        "center": np.array([[30.0, 25.0], [31.0, 26.0], [20.0, 20.0]]),
        "scale": np.full(N, 0.2),
        "pose": rng.normal(0, 0.3, (N, 72)),
        "shape": rng.normal(0, 1, (N, 10)),
        "has_smpl": np.array([1, 0, 1]),
        "S": rng.normal(0, 1, (N, 24, 4)),
        "part": np.concatenate([rng.uniform(10, 50, (N, 24, 2)), np.ones((N, 24, 1))], -1),
        "gender": np.array(["m", "f", "-1"]),
    }
    values.update(changes)
    return {key: value for key, value in values.items() if value is not None}


def make(folder, save=np.savez, **changes):
    images = folder / "images"
    for name in ("jpg/gp.jpg", "b.png", "c.jpg"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((50, 60, 3), 90, np.uint8)).save(images / name)
    save(folder / "set.npz", **columns(**changes))
    return folder / "set.npz", images


def add_label(images, name, label=14):
    path = images / "grph_sequences" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((50, 60, 3), PALETTE_RGB[label], np.uint8)).save(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_records_hold_the_rows(tmp_path, save):
    npz, images = make(tmp_path, save)
    source = SpinSource(npz, images, name="toy")
    given = columns()
    first, second, third = (source.record(i) for i in range(len(source)))
    np.testing.assert_array_equal(first.pose_aa, given["pose"][0].reshape(24, 3))
    np.testing.assert_array_equal(first.joints_m["spin24"], given["S"][0])
    np.testing.assert_array_equal(third.keypoints_px["spin24"], given["part"][2])
    assert second.pose_aa is None and second.betas is None, "has_smpl is 0 in that row"
    assert [r.gender for r in (first, second, third)] == ["male", "female", "neutral"]
    assert first.image == images / "jpg/gp.jpg" and first.scale == 0.2
    np.testing.assert_allclose((first.box_px[:2] + first.box_px[2:]) / 2, given["center"][0])


def test_the_box_is_the_crop_without_its_margin(tmp_path):
    """SPIN's scale is 1.2 times the side of the person's box, in units of 200 pixels."""
    source = SpinSource(*make(tmp_path, scale=np.array([0.2, 0.3, 0.6])))
    for i, side in enumerate((200 * 0.2 / 1.2, 50.0, 100.0)):
        centre = columns()["center"][i]
        np.testing.assert_allclose(source.record(i).box_px, [*(centre - side / 2), *(centre + side / 2)])


def test_label_maps_are_found_under_names_of_their_pictures(tmp_path):
    """Published code strips the letters j, p and g from both ends of a name, not its extension."""
    npz, images = make(tmp_path)
    add_label(images, "jpg/gp.png")
    source = SpinSource(npz, images)
    assert source.record(0).labels == images / "grph_sequences/jpg/gp.png"
    assert source.record(1).labels is None
    view = DsrView(image_size=32, augment=False)
    labelled, bare = (view(source.record(i), np.random.default_rng(0)) for i in (0, 1))
    assert bool(labelled["has_labels"]) and bool(labelled["mc_valid"][2])
    assert not bool(bare["has_labels"]) and not bare["mc_valid"].any()


def test_uncompressed_columns_are_mapped_and_workers_get_no_data(tmp_path):
    npz, images = make(tmp_path)
    source = SpinSource(npz, images)
    source.record(0)
    assert isinstance(source._table.column("pose"), np.memmap)
    sent = pickle.dumps(source)
    big = columns()["pose"].nbytes
    assert len(sent) < big * N
    np.testing.assert_array_equal(pickle.loads(sent).record(2).pose_aa, source.record(2).pose_aa)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"center": None}, "has no 'center'"),
        ({"shape": None}, "has no 'shape'"),
        ({"pose": np.zeros((N, 71))}, "'pose' has shape (3, 71); (3, 72)"),
        ({"part": np.zeros((N + 1, 24, 3))}, "'part' has shape (4, 24, 3)"),
        ({"scale": np.array(["a", "b", "c"])}, "'scale' holds"),
        ({"imgname": np.array(["a", {}, None], dtype=object)}, "'imgname' holds Python objects"),
    ],
)
def test_files_that_do_not_fit_are_refused_when_opened(tmp_path, changes, says):
    npz, images = make(tmp_path, **changes)
    with pytest.raises(DatasetError) as caught:
        SpinSource(npz, images)
    assert says in str(caught.value) and str(npz) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pose": np.full((N, 72), np.nan)}, "'pose' is not finite in row 0"),
        ({"scale": np.array([0.0, 1, 1])}, "'scale' is 0 in row 0"),
        ({"imgname": np.array(["/etc/passwd", "b", "c"])}, "'imgname' is '/etc/passwd'"),
        ({"imgname": np.array(["../x.jpg", "b", "c"])}, "'imgname' is '../x.jpg'"),
    ],
)
def test_rows_that_cannot_be_used_say_where_they_are(tmp_path, changes, says):
    npz, images = make(tmp_path, **changes)
    with pytest.raises(DatasetError) as caught:
        SpinSource(npz, images).record(0)
    assert says in str(caught.value) and str(npz) in str(caught.value)


def test_numbers_that_are_not_finite_say_where_they_are(tmp_path):
    joints = columns()["S"]
    joints[2, 5, 1] = np.inf
    npz, images = make(tmp_path, S=joints)
    with pytest.raises(DatasetError, match="'S' is not finite in row 2"):
        SpinSource(npz, images).record(2)


@pytest.mark.parametrize("damage", ["cut", "text", "missing", "short_column"])
def test_damaged_files_are_named(tmp_path, damage):
    npz, images = make(tmp_path)
    data = npz.read_bytes()
    if damage == "cut":
        npz.write_bytes(data[: len(data) // 2])
    elif damage == "text":
        npz.write_text("no archive")
    elif damage == "missing":
        npz.unlink()
    else:
        with zipfile.ZipFile(npz) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(npz, "w") as archive:
            for name, value in members.items():
                archive.writestr(name, value[:-8] if name == "pose.npy" else value)
    with pytest.raises(DatasetError, match=r"set\.npz") as caught:
        SpinSource(npz, images)
    assert damage != "short_column" or "'pose' is cut off" in str(caught.value)


@pytest.mark.parametrize("damage", ["missing", "cut", "labels"])
def test_pictures_that_cannot_be_read_are_named_with_their_record(tmp_path, damage):
    npz, images = make(tmp_path)
    picture = images / "jpg/gp.jpg"
    if damage == "missing":
        picture.unlink()
    elif damage == "cut":
        picture.write_bytes(picture.read_bytes()[:300])
    else:
        add_label(images, "jpg/gp.png")
        picture = images / "grph_sequences/jpg/gp.png"
        picture.write_bytes(picture.read_bytes()[:60])
    with pytest.raises(DatasetError) as caught:
        DsrView(image_size=32)(SpinSource(npz, images, name="toy").record(0), np.random.default_rng(0))
    assert str(picture) in str(caught.value) and "toy/jpg/gp.jpg#0" in str(caught.value)


def test_label_map_of_another_size_is_refused(tmp_path):
    npz, images = make(tmp_path)
    add_label(images, "jpg/gp.png")
    Image.new("RGB", (30, 25)).save(images / "grph_sequences/jpg/gp.png")
    with pytest.raises(DatasetError, match=r"30 x 25.*60 x 50"):
        DsrView(image_size=32)(SpinSource(npz, images).record(0), np.random.default_rng(0))


def test_masks_are_read_when_asked_for(tmp_path):
    npz, images = make(tmp_path, maskname=np.array(["m.png", "m.png", "m.png"]))
    mask = np.zeros((50, 60), np.uint8)
    mask[10:20] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    assert SpinSource(npz, images).record(0).mask is None
    assert SpinSource(npz, images, masks=tmp_path).record(0).mask.sum() == 600
