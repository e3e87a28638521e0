"""DSR's view: parity with the released data set code, and what it corrects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from shared_data import vectors

from dsr.body.joints import SMPL24_NAMES, flip_permutation
from dsr.camera import project, warp_crop
from dsr.clothing.labels import PALETTE_RGB
from dsr.datasets import DsrView
from dsr.datasets.augment import (
    FLIP49,
    SPIN24_FLIP,
    SPIN24_NAMES,
    DsrAugment,
    crop_matrix,
    draw_dsr,
    turn_joints,
    turn_pose,
)
from dsr.datasets.pictures import read_labels, read_picture, warp_labels
from dsr.errors import DatasetError
from dsr.synthetic import PersonRecord


def grey_levels(image, expected):
    """Differences of normalised pictures in grey levels of 255."""
    std = np.array([0.229, 0.224, 0.225])[:, None, None]
    return np.abs(image[:, ::2, ::2].numpy() - expected) * std * 255


def test_draws_are_the_published_ones():
    g = vectors("dsr", "augment_params")
    rng = np.random.RandomState(int(g["seed"]))
    for row in g["params"]:
        drawn = draw_dsr(rng)
        np.testing.assert_allclose([drawn.flip, *drawn.gains, drawn.rotation_deg, drawn.scale], row, rtol=1e-12)


def test_crops_keypoints_and_mirrors_are_the_published_ones():
    g = vectors("dsr", "image_utils")
    for case, (centre, scale, rotation) in enumerate(zip(g["center"], g["scale"], g["rot"], strict=True)):
        T = crop_matrix(centre, 200 * scale, 224, rotation)
        np.testing.assert_allclose(T, g["get_transform"][case], atol=1e-12)
        moved = np.trunc(g["pts"][case] @ T[:2, :2].T + T[:2, 2]) + 1
        np.testing.assert_array_equal(moved, g["transform_pts"][case])
        M = crop_matrix(np.round(centre), round(200 * scale), 224, rotation)
        crop = warp_crop(g["img"], M, 224, pixel_centre=0.0)
        grey = np.abs(crop[::2, ::2].astype(int) - g["crop_cv2"][case])
        assert grey.max() <= 3 and grey.mean() < 0.06  # the INDEX's guide for another OpenCV
        pose = g["pose"][case].reshape(24, 3)
        np.testing.assert_allclose(turn_pose(pose, rotation, False)[0], g["rot_aa"].reshape(3, 3)[case], atol=1e-9)
        np.testing.assert_allclose(turn_pose(pose, 0, True).ravel(), g["flip_pose"][case])
    np.testing.assert_array_equal(turn_joints(g["kp49"], 0, True, FLIP49), g["flip_kp49"])
    np.testing.assert_array_equal(turn_joints(g["kp24"], 0, True, SPIN24_FLIP), g["flip_kp24"])


def golden_record(g):
    return PersonRecord(
        source="golden",
        key="0",
        image=g["in_image_rgb"],
        box_px=np.array([0.0, 0.0, 1.0, 1.0]),
        centre_px=g["in_center"][0],
        scale=float(g["in_scale"][0]),
        pose_aa=g["in_pose"][0].reshape(24, 3),
        betas=g["in_shape"][0],
        joints_m={"spin24": g["in_S"][0]},
        keypoints_px={"spin24": g["in_part"][0], "openpose25": g["in_openpose"][0]},
        labels=g["in_idmap"],
    )


@pytest.mark.parametrize("item", ["t0", "t1", "e_3dpw", "e_h36m_p2", "e_mpi_inf_3dhp"])
def test_whole_items_are_the_published_ones(item):
    g = vectors("dsr", "dataset_items")
    training = item.startswith("t")
    rng = np.random.RandomState(int(g[f"{item}_seed"]) if training else 0)
    sample = DsrView(compat=True, augment=training)(golden_record(g), rng)
    np.testing.assert_allclose(sample["pose_aa"], g[f"{item}_pose"], atol=1e-6)
    np.testing.assert_array_equal(sample["betas"], g[f"{item}_betas"])
    np.testing.assert_array_equal(sample["keypoints"], g[f"{item}_keypoints"])
    if f"{item}_img_every2" in g:
        grey = grey_levels(sample["image"], g[f"{item}_img_every2"])
        assert grey.max() < 3 and grey.mean() < 0.06
    if training:
        np.testing.assert_allclose(sample["joints3d"], g[f"{item}_pose_3d"], atol=1e-6)
        np.testing.assert_array_equal(sample["mc_valid"], g[f"{item}_mc_valid"])
        # label pixels depend slightly on the OpenCV version (INDEX): a pixel in a thousand
        assert (sample["mc_mask"].numpy() != g[f"{item}_mc_mask"]).mean() < 1e-3
        assert (sample["c_classes"].numpy() != g[f"{item}_c_label"]).mean() < 1e-3
        distance = np.abs(sample["mc_distance"][::2, ::2].numpy() - g[f"{item}_mc_dist_every2"])
        assert distance.max() <= 1.001  # the mask's border moved by a pixel at most
        np.testing.assert_allclose(sample["c_weights"], g[f"{item}_c_weight"], atol=1e-5 if item == "t0" else 4e-3)
    elif item != "e_3dpw":  # its joints come from vertices, in evaluation
        chosen = [*range(13), 18] if "h36m" in item else [*range(13), 18, 14, 16, 17]
        np.testing.assert_array_equal(sample["joints3d"][chosen, :3], g[f"{item}_pose_3d"].astype(np.float32))


def toy_record(**changes):
    rng = np.random.default_rng(8)
    image = rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)
    labels = np.zeros((90, 120), np.uint8)
    labels[20:50, 30:44], labels[20:50, 60:80], labels[50:70, 45:60] = 14, 15, 5
    values = {
        "source": "toy",
        "key": "0",
        "image": image,
        "box_px": np.array([25.0, 15.0, 85.0, 75.0]),
        "K": np.array([[300.0, 0, 61], [0, 300.0, 44], [0, 0, 1]]),
        "pose_aa": rng.normal(0, 0.4, (24, 3)),
        "betas": rng.normal(0, 1, 10),
        "joints_m": {"spin24": np.concatenate([rng.normal((0, 0, 4), 0.3, (24, 3)), np.ones((24, 1))], 1)},
        "keypoints_px": {"spin24": np.concatenate([rng.uniform(25, 75, (24, 2)), np.ones((24, 1))], 1)},
        "labels": labels,
    }
    values.update(changes)
    return PersonRecord(**values)


def test_flip_tables_are_those_of_the_specification():
    assert SPIN24_FLIP == (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13, 14, 15, 16, 17, 18, 19, 21, 20, 23, 22)
    assert FLIP49[:25] == (0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21)


def test_mirrored_sample_exchanges_left_and_right_everywhere():
    view, record = DsrView(image_size=64), toy_record()
    plain, mirrored = (view.sample(record, DsrAugment(flip=flip, scale=1.1)) for flip in (False, True))
    torch.testing.assert_close(mirrored["image"], plain["image"].flip(-1))
    other_side = [0, 1, 2, 3, 5, 4, 7, 6]  # of the eight classes
    torch.testing.assert_close(mirrored["c_classes"], torch.tensor([*other_side, -1])[plain["c_classes"].flip(-1)])
    torch.testing.assert_close(mirrored["c_weights"], plain["c_weights"][other_side])
    assert plain["mc_valid"].tolist() == mirrored["mc_valid"].tolist() == [False, False, True, True, False]
    torch.testing.assert_close(mirrored["mc_mask"], plain["mc_mask"].flip(-1))
    swapped = plain["keypoints"][list(FLIP49)] * torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(mirrored["keypoints"], swapped)
    mirror = torch.diag(torch.tensor([-1.0, 1, 1]))
    order = list(flip_permutation("smpl24"))
    torch.testing.assert_close(mirrored["pose_rotmat"], mirror @ plain["pose_rotmat"][order] @ mirror)
    left, right = SMPL24_NAMES.index("left_knee"), SMPL24_NAMES.index("right_knee")
    torch.testing.assert_close(mirrored["pose_rotmat"][left], mirror @ plain["pose_rotmat"][right] @ mirror)
    torch.testing.assert_close(
        mirrored["joints3d"][:, :3], plain["joints3d"][list(SPIN24_FLIP), :3] * torch.tensor([-1.0, 1, 1])
    )


def test_published_mirror_keeps_the_wrong_sides():
    record = toy_record()
    plain, mirrored = (
        DsrView(compat=True).sample(record, DsrAugment(flip=flip))["c_classes"] for flip in (False, True)
    )
    torch.testing.assert_close(mirrored, plain.flip(-1))


@pytest.mark.parametrize(
    "drawn", [DsrAugment(), DsrAugment(rotation_deg=40, scale=0.8), DsrAugment(True, (1, 1, 1), 25)]
)
def test_projected_joints_lie_on_the_keypoints_of_the_crop(drawn):
    """Turn, scale, mirror and intrinsics of the crop agree: to the picture's pixel, without truncation."""
    record = toy_record()
    joints = record.joints_m["spin24"]
    pixels = project(torch.from_numpy(joints[:, :3]), torch.from_numpy(record.K)).numpy()
    record.keypoints_px = {"spin24": np.concatenate([pixels, np.ones((24, 1))], 1)}
    sample = DsrView(image_size=96).sample(record, drawn)
    seen = project(sample["joints3d"][:, :3], sample["K_crop"])
    torch.testing.assert_close(2 * seen / 96 - 1, sample["keypoints"][25:, :2], atol=1e-5, rtol=0)


def test_crop_shows_what_the_keypoints_say():
    image = np.zeros((90, 120, 3), np.uint8)
    image[40:43, 70:73] = 255
    points = np.zeros((24, 3))
    points[3] = 71.5, 41.5, 1.0  # centre of the dot, pixel centres at +0.5
    record = toy_record(image=image, keypoints_px={"spin24": points}, labels=None)
    sample = DsrView().sample(record, DsrAugment(True, (1, 1, 1), 30.0, 0.9))
    bright = (sample["image"][0] - sample["image"][0].min()).numpy()
    v, u = (np.indices(bright.shape) + 0.5).reshape(2, -1) @ bright.ravel() / bright.sum()
    place = 112 * (sample["keypoints"][25 + SPIN24_FLIP[3], :2].numpy() + 1)
    np.testing.assert_allclose(place, [u, v], atol=0.05)


def test_labels_keep_their_ids_and_are_unknown_beyond_the_picture():
    labels = np.zeros((20, 20), np.int16)
    labels[5:15, 5:15] = 19
    M = crop_matrix(np.array([10.0, 10.0]), 40.0, 80, 20.0)
    ids = warp_labels(labels, M, 80)
    colours = warp_labels(np.array(PALETTE_RGB, dtype=np.uint8)[labels], M, 80)
    assert set(np.unique(ids)) == {-1, 0, 19}
    np.testing.assert_array_equal(ids, colours)
    assert ids[0, 0] == -1 and (ids == 19).sum() == pytest.approx(400, abs=12)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "L"])
def test_label_maps_of_every_kind_say_the_same(tmp_path, mode):
    labels = np.random.default_rng(0).integers(0, 20, (12, 14)).astype(np.uint8)
    colours = np.array(PALETTE_RGB, dtype=np.uint8)[labels]
    picture = Image.fromarray(labels if mode == "L" else colours)
    if mode == "P":
        picture = Image.fromarray(19 - labels, "P")
        picture.putpalette(np.array(PALETTE_RGB[::-1], dtype=np.uint8).tobytes())
    picture.convert(mode).save(tmp_path / "a.png")
    ids = warp_labels(read_labels(tmp_path / "a.png", "toy/0"), np.eye(3), 12)
    np.testing.assert_array_equal(ids, labels[:, :12])


def test_labels_of_others_are_removed_and_nobodys_are_unknown():
    points = np.zeros((24, 3))
    points[0] = 37.0, 35.0, 1.0
    near = DsrView(image_size=224).sample(toy_record(keypoints_px={"spin24": points}), DsrAugment())
    assert near["c_classes"].unique().tolist() == [0, 4], "only the left arm is near the one keypoint"
    nobody = DsrView().sample(toy_record(keypoints_px={}), DsrAugment())
    assert not bool(nobody["has_labels"]) and (nobody["c_classes"] == -1).all()


def test_beyond_the_picture_is_unknown_far_from_the_keypoints_too():
    points = np.zeros((24, 3))
    points[0] = 70.0, 35.0, 1.0
    record = toy_record(box_px=np.array([0.0, -40, 120, 80]), keypoints_px={"spin24": points})
    classes = DsrView().sample(record, DsrAugment())["c_classes"]
    inside = (np.arange(224) + 0.5) * 144 / 224 + 20 - 72 >= 0
    assert (classes[~inside] == -1).all() and (classes[inside][:, 112] >= 0).any()


def test_what_a_record_lacks_is_marked():
    bare = PersonRecord("toy", "1", np.zeros((40, 50, 3), np.uint8), np.array([5.0, 5, 35, 35]))
    sample = DsrView(image_size=32, augment=False)(bare, np.random.default_rng(0))
    assert not any(bool(sample[key]) for key in ("has_smpl", "has_joints3d", "has_labels"))
    assert sample["keypoints"].abs().sum() == sample["keypoints"][:, :2].abs().sum(), "no confidence"
    torch.testing.assert_close(sample["pose_rotmat"], torch.eye(3).expand(24, 3, 3))


def test_coco_keypoints_fill_the_joints_of_the_same_name():
    coco = np.zeros((17, 3))
    coco[13] = 50.0, 60.0, 0.7  # left knee
    points = DsrView(augment=False)(toy_record(keypoints_px={"coco17": coco}), np.random.default_rng(0))["keypoints"]
    assert torch.nonzero(points[:, 2]).ravel().tolist() == [25 + SPIN24_NAMES.index("left_knee")]


def test_gains_act_on_channels_and_are_clipped():
    record = toy_record(image=np.full((90, 120, 3), 200, np.uint8), box_px=np.array([45.0, 30.0, 75.0, 60.0]))
    image = DsrView(image_size=16).sample(record, DsrAugment(gains=(0.5, 1.0, 1.4)))["image"][:, 8, 8]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close((image * std + mean) * 255, torch.tensor([100.0, 200.0, 255.0]))


def test_large_jpegs_are_decoded_smaller_and_show_the_same(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 640, dtype=np.uint8)[None, :, None], (480, 1, 3))
    Image.fromarray(ramp).save(tmp_path / "a.jpg", quality=95)
    picture, factor = read_picture(tmp_path / "a.jpg", "toy/0", reduce=5.0)
    assert factor == 4 and picture.shape == (120, 160, 3)
    record = toy_record(image=tmp_path / "a.jpg", box_px=np.array([100.0, 20, 500, 420]), labels=None)
    view = DsrView(image_size=64, augment=False, reduce=True)
    from_file = view(record, np.random.default_rng(0))
    record.image = ramp
    from_memory = view(record, np.random.default_rng(0))
    inside = slice(12, 52)
    difference = (from_file["image"] - from_memory["image"])[:, inside, inside].abs() * 0.225 * 255
    assert difference.max() < 4 and difference.mean() < 1


def test_training_reads_pictures_as_evaluation_does(tmp_path):
    """Fine stripes alias in a published crop, in training as in dsr-eval; a JPEG decoded smaller would be grey."""
    from types import SimpleNamespace

    from dsr.evaluation.record_crops import crop_record

    stripes = np.tile((np.arange(640) % 4 < 2).astype(np.uint8)[None, :, None] * 255, (480, 1, 3))
    Image.fromarray(stripes).save(tmp_path / "a.jpg", quality=95)
    record = toy_record(image=tmp_path / "a.jpg", box_px=np.array([100.0, 20, 500, 420]), labels=None)
    seen = [
        DsrView(image_size=64, augment=False, reduce=on)(record, np.random.default_rng(0))["image"]
        for on in (False, True)
    ]
    evaluated = crop_record(record, SimpleNamespace(crop="square", image_size=64)).image[0]
    torch.testing.assert_close(seen[0], evaluated, atol=1e-5, rtol=0)
    assert (seen[1] - evaluated).abs().mean() > 0.2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    quarters = np.zeros((32, 48, 3), np.uint8)
    quarters[:16, :24], quarters[:16, 24:], quarters[16:, 24:] = (250, 20, 20), (20, 250, 20), (20, 20, 250)
    Image.fromarray(quarters).save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
    with Image.open(tmp_path / "a.jpg") as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.jpg", "toy/0")[0], upright)


@pytest.mark.parametrize(
    "changes",
    [
        {"box_px": np.array([5.0, 5, 5, 5])},
        {"pose_aa": np.zeros((23, 3))},
        {"keypoints_px": {"spin24": np.zeros((17, 3))}},
        {"joints_m": {"spin24": np.zeros((24, 3))}},
        {"labels": np.full((90, 120), 20)},
        {"image": np.zeros((90, 120), np.uint8)},
    ],
)
def test_records_that_do_not_fit_are_refused_by_name(changes):
    with pytest.raises(DatasetError, match="toy/0"):
        DsrView(image_size=32)(toy_record(**changes), np.random.default_rng(0))
