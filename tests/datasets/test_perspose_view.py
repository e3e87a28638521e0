"""PersPose's view: parity with the released geometry, and labels that keep their places under every draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shared_data import tensors

from dsr.body import load_body
from dsr.body.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from dsr.camera import crop_affine, homography, perspective_crop, project
from dsr.datasets import PersPoseView
from dsr.datasets.augment import SPIN24_NAMES
from dsr.datasets.perspose_view import PersPoseAugment, about_axis, draw_perspose, follow_rotation
from dsr.errors import DatasetError
from dsr.synthetic import PersonRecord

DRAWS = [
    PersPoseAugment(),
    PersPoseAugment(rotation_deg=25.0, scale=0.8),
    PersPoseAugment(rotation_deg=-10.0, scale=1.1, aim=(0.1, -0.07)),
]


def test_crop_matrices_are_the_published_ones():
    g = tensors("perspose", "crop_affine")
    middle = torch.full((2,), 128.0, dtype=torch.float64)
    for (x, y, w, h, degrees, sx, sy, scale, stretch), expected in zip(g["rows"], g["affine"], strict=True):
        centre = torch.stack([x + w / 2 - sx * w, y + h / 2 - sy * h])
        to_middle = crop_affine(centre, (256 / scale).repeat(2), 256)
        turn = about_axis(-float(degrees))
        turn[:2, 2] = middle - turn[:2, :2] @ middle
        stretched = crop_affine(middle, 2 * middle, 256, stretch=stretch)
        torch.testing.assert_close(stretched @ turn @ to_middle, expected, rtol=1e-9, atol=1e-9)


def test_training_crops_are_the_published_ones_for_their_rotation():
    """Their Python random calls cannot be repeated; for the rotation that they drew, only the zoom may differ."""
    g = tensors("perspose", "train_geometry")
    K = torch.tensor([[80.0, 0, 48], [0, 80, 36], [0, 0, 1]], dtype=torch.float64)
    zooms = []
    for R, H, K_crop in zip(g["R"], g["H"], g["K"], strict=True):
        crop = perspective_crop(K, torch.tensor([10.0, 8, 40, 58]), rotation=R)
        zoom = K_crop[0, 0] / crop.K_crop[0, 0]
        about = torch.diag(torch.stack([zoom, zoom, torch.ones_like(zoom)]))
        about[:2, 2] = 128 * (1 - zoom)
        torch.testing.assert_close(about @ crop.K_crop, K_crop, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(about @ crop.homography, H, rtol=1e-7, atol=1e-7)
        zooms.append(float(zoom))
    assert all(0.7 - 1e-9 <= zoom <= 1.1 + 1e-9 for zoom in zooms) and zooms.count(pytest.approx(1.0)) >= 4


@pytest.mark.parametrize("case", [0, 1])
def test_body_labels_follow_the_camera_as_published(case):
    g = {
        key[4:-2]: value
        for key, value in tensors("perspose", "train_geometry").items()
        if key.endswith(f"_{case}") and "hps" in key
    }
    rotations = axis_angle_to_rotmat(g["theta_in"])
    given = {
        "joints24": g["j24_in"],
        "twist": g["twist_in"],
        "pose_rotmat": rotations,
        "transl": g["transl_in"],
        "betas": torch.zeros(11),
        "rest_root": g["j24_in"][0] - g["transl_in"],
    }
    turned = follow_rotation(given, g["R"])
    torch.testing.assert_close(turned["joints24"], g["j24_out"], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(turned["twist"], g["twist_out"], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(turned["transl"], g["transl_out"], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(rotmat_to_axis_angle(turned["pose_rotmat"]), g["theta_out"], rtol=1e-6, atol=1e-7)


@pytest.fixture(scope="module")
def body():
    return load_body("open-light")


def person(body, **changes):
    rng = np.random.default_rng(5)
    K = np.array([[240.0, 0, 84], [0, 240.0, 60], [0, 0, 1]])
    values = {
        "pose_aa": np.concatenate([[[np.pi, 0.2, 0.1]], rng.normal(0, 0.25, (23, 3))]),
        "betas": rng.normal(0, 1, 10),
        "transl": np.array([0.7, 0.3, 4.2]),
        "K": K,
    }
    aa, shape = (torch.from_numpy(values[key])[None].float() for key in ("pose_aa", "betas"))
    posed = body(shape, aa[:, 1:], aa[:, :1], torch.from_numpy(values["transl"])[None])
    pixels = project(posed.vertices[0].double(), torch.from_numpy(K)).numpy()
    values["box_px"] = np.concatenate([pixels.min(0), pixels.max(0)])
    values.update(changes)
    image = rng.integers(0, 255, (120, 168, 3), dtype=np.uint8)
    return PersonRecord("toy", "0", image, values.pop("box_px"), **values), posed


@pytest.mark.parametrize("drawn", DRAWS)
def test_labels_of_a_body_are_that_body_in_the_crop(body, drawn):
    record, posed = person(body)
    sample = PersPoseView(image_size=64, bodies=body).sample(record, drawn)
    R, H = rotation_and_homography(record, drawn, 64, sample["K_crop"])
    again = body(
        sample["betas"][None, :10],
        sample["pose_rotmat"][None, 1:],
        sample["pose_rotmat"][None, :1],
        sample["transl"][None],
    )
    torch.testing.assert_close(again.joints[0], sample["joints24"], atol=2e-5, rtol=0)
    torch.testing.assert_close(again.joints[0].double(), posed.joints[0].double() @ R.T, atol=2e-5, rtol=0)
    # projecting in the crop is the same as projecting in the picture and mapping the pixels
    in_picture = project(posed.joints[0].double(), torch.from_numpy(record.K))
    mapped = torch.cat([in_picture, torch.ones(24, 1)], -1) @ H.T
    seen = project(sample["joints24"].double(), sample["K_crop"].double())
    torch.testing.assert_close(seen, mapped[:, :2] / mapped[:, 2:], atol=2e-3, rtol=0)
    K = sample["K_crop"]
    assert K[0, 0] == K[1, 1] and K[0, 2] == pytest.approx(32) and K[1, 2] == pytest.approx(32)
    if drawn.scale <= 1:
        everything = project(again.vertices[0], K)
        assert everything.min() > -1e-2 and everything.max() < 64.01
        assert (everything - 32).abs().max() == pytest.approx(32 * drawn.scale, abs=0.02), "the mesh fills the crop"
    assert bool(sample["has_smpl"]) and not bool(sample["has_joints17"]) and bool(sample["encode"])
    torch.testing.assert_close(sample["twist"].norm(dim=-1), torch.ones(24))
    torch.testing.assert_close(again.joints[0, 0], sample["joints24"][0], atol=2e-5, rtol=0)
    assert sample["joints17"][0].sub(sample["joints24"][0]).norm() < 0.15, "both are pelvises"
    assert 1.4 < float(sample["height"]) < 2.1


def rotation_and_homography(record, drawn, size, K_crop):
    R, _, _ = PersPoseView(image_size=size)._geometry(record, drawn, None)
    K = torch.from_numpy(record.K)
    return R, K_crop.double() @ torch.linalg.inv(K) @ homography(K, R)


def test_the_picture_follows_the_labels(body):
    record, posed = person(body)
    joint = 18
    u, v = project(posed.joints[0].double(), torch.from_numpy(record.K))[joint].tolist()
    v_px, u_px = np.indices((120, 168)) + 0.5
    blob = np.exp(-((u_px - u) ** 2 + (v_px - v) ** 2) / 18)
    record.image = np.repeat((255 * blob).astype(np.uint8)[..., None], 3, -1)
    sample = PersPoseView(image_size=128, bodies=body).sample(record, DRAWS[1])
    bright = (sample["image"][0] - sample["image"][0].min()).numpy()
    rows, columns = (np.indices(bright.shape) + 0.5).reshape(2, -1) @ bright.ravel() / bright.sum()
    at = project(sample["joints24"], sample["K_crop"])[joint]
    np.testing.assert_allclose([columns, rows], at, atol=0.3)


def test_aim_jitter_moves_the_person_but_not_the_principal_point(body):
    record, _ = person(body)
    aimed = PersPoseAugment(aim=(0.1, 0.0))
    plain, moved = (PersPoseView(bodies=body).sample(record, draw) for draw in (DRAWS[0], aimed))
    centre = [project(s["joints24"], s["K_crop"]).mean(0) for s in (plain, moved)]
    assert float((centre[1] - centre[0])[0]) > 5
    torch.testing.assert_close(moved["K_crop"][:2, 2], torch.tensor([128.0, 128.0]))


def test_joints_without_a_body_are_turned(body):
    record, posed = person(body, pose_aa=None)
    joints = body.keypoints(posed.vertices, "h36m17")[0]
    record.joints_m = {"h36m17": joints.numpy()}
    sample = PersPoseView(image_size=64).sample(record, DRAWS[2])
    R, _ = rotation_and_homography(record, DRAWS[2], 64, sample["K_crop"])
    torch.testing.assert_close(sample["joints17"], (joints.double() @ R.T).float(), atol=1e-5, rtol=0)
    flags = [bool(sample[key]) for key in ("has_smpl", "has_joints17", "has_keypoints")]
    assert flags == [False, True, False] and float(sample["height"]) == pytest.approx(1.8)


@pytest.mark.parametrize("rotation", [0.0, 30.0])
def test_pictures_without_camera_give_keypoints_and_no_encoding(rotation):
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:23, 50:53] = 255
    points = np.zeros((24, 3))
    points[SPIN24_NAMES.index("left_wrist")] = 51.5, 21.5, 1.0
    points[SPIN24_NAMES.index("nose")] = 5.0, 5.0, 1.0
    record = PersonRecord("coco", "0", image, np.array([30.0, 10, 60, 50]), keypoints_px={"spin24": points})
    sample = PersPoseView(image_size=128).sample(record, PersPoseAugment(rotation, 0.9))
    assert [bool(sample[k]) for k in ("has_smpl", "has_joints17", "has_keypoints", "encode")] == [0, 0, 1, 0]
    torch.testing.assert_close(sample["K_crop"], torch.tensor([[300.0, 0, 64], [0, 300, 64], [0, 0, 1]]))
    bright = (sample["image"][0] - sample["image"][0].min()).numpy()
    v, u = (np.indices(bright.shape) + 0.5).reshape(2, -1) @ bright.ravel() / bright.sum()
    np.testing.assert_allclose(sample["keypoints"][9], [u, v, 1.0], atol=0.05)
    assert sample["keypoints"][0, 2] == 0, "outside the crop"


def test_samples_of_all_kinds_make_one_batch(body):
    from dsr.datasets import collate

    full, posed = person(body)
    bare = PersonRecord("coco", "1", full.image, full.box_px, keypoints_px={"coco17": np.ones((17, 3))})
    bedlam, _ = person(body)
    bedlam.source = "bedlam-train"
    view = PersPoseView(image_size=64, bodies={"neutral": body})
    batch = collate([view(record, np.random.default_rng(i)) for i, record in enumerate((full, bare, bedlam))])
    assert batch["image"].shape == (3, 3, 64, 64) and batch["image"].dtype == torch.float32
    torch.testing.assert_close(batch["uv_weight"], torch.tensor([1.0, 1.0, 0.1]))
    assert all(v.dtype in (torch.float32, torch.bool) for v in batch.values() if isinstance(v, torch.Tensor))
    assert posed is not None


def test_shapes_of_another_body_are_no_labels(body):
    """Made-up people are posed with the open body beside a licensed one; their betas teach the network nothing."""
    record, posed = person(body, shape_of="open")
    twice = {"neutral": scaled(body, 2.0), "open": body}
    sample = PersPoseView(image_size=64, bodies=twice).sample(record, DRAWS[0])
    torch.testing.assert_close(sample["joints24"][0].norm(), posed.joints[0, 0].norm(), atol=1e-4, rtol=0)
    assert bool(sample["has_smpl"]) and not bool(sample["has_betas"])
    record.shape_of = "smpl"
    sample = PersPoseView(image_size=64, bodies=twice).sample(record, DRAWS[0])
    assert bool(sample["has_betas"]) and sample["joints24"][12].sub(sample["joints24"][0]).norm() > 0.7
    alone = PersPoseView(image_size=64, bodies=body).sample(person(body, shape_of="open")[0], DRAWS[0])
    assert bool(alone["has_betas"])


def scaled(body, factor):
    from dataclasses import replace

    from dsr.body import Body

    asset = body.asset
    return Body(replace(asset, v_template=asset.v_template * factor, shapedirs=asset.shapedirs * factor))


def test_the_licensed_regressor_gives_the_seventeen_joints(body):
    record, posed = person(body)
    matrix = np.zeros((17, body.num_vertices))
    matrix[:, :17] = 1.01 * np.eye(17)  # rows need not sum to one: it is applied about the vertices' mean
    sample = PersPoseView(image_size=64, bodies=body, regressor17=matrix).sample(record, DRAWS[0])
    R, _ = rotation_and_homography(record, DRAWS[0], 64, sample["K_crop"])
    middle = posed.vertices[0].mean(0).double()
    wanted = (1.01 * (posed.vertices[0, :17].double() - middle) + middle) @ R.T
    torch.testing.assert_close(sample["joints17"].double(), wanted, atol=1e-4, rtol=0)
    other = PersPoseView(image_size=64, bodies=body, regressor17=matrix[:, 1:]).sample(record, DRAWS[0])
    own = (body.keypoints(posed.vertices, "h36m17")[0].double() @ R.T).float()
    torch.testing.assert_close(other["joints17"], own, atol=1e-4, rtol=0)  # for another mesh


def test_draws_have_the_published_frequencies():
    rng = np.random.default_rng(0)
    draws = [draw_perspose(rng, aim_jitter=0.1) for _ in range(4000)]
    assert np.mean([d.pixels for d in draws]) == pytest.approx(0.8, abs=0.03)
    assert np.mean([d.rotation_deg != 0 for d in draws]) == pytest.approx(0.4, abs=0.03)
    assert np.mean([d.scale != 1 for d in draws]) == pytest.approx(0.16, abs=0.03)
    assert max(abs(d.aim[0]) for d in draws) <= 0.1 and max(abs(d.rotation_deg) for d in draws) <= 30
    assert draw_perspose(np.random.default_rng(3)).aim == (0.0, 0.0)


def test_body_labels_without_a_body_are_refused_by_name(body):
    record, _ = person(body)
    with pytest.raises(DatasetError, match=r"toy/0.*body"):
        PersPoseView()(record, np.random.default_rng(0))
    record.box_px = np.array([5.0, 5, 5, 9])
    record.pose_aa = None
    with pytest.raises(DatasetError, match="toy/0"):
        PersPoseView(augment=False)(record, np.random.default_rng(0))
