"""Parity with the golden vectors of PersPose's released code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from shared_data import vectors

from dsr.camera import (
    crop_affine,
    homography,
    perspective_crop,
    perspective_encoding,
    perspective_rotation,
    rotate_body,
    rotate_body_to_original,
    rotate_points,
    transform_pixels,
    warp_crop,
)

CLAMPED = 11  # the published clamp turns this case's small angle into 4.9e-4 rad (INDEX.md)


def published_rotation(K, centre, aim, twist_deg, *, guard: float) -> np.ndarray:
    """The released rotation in plain numpy; ``guard`` is its 1e-8 against division by zero, 0 makes it exact."""

    def ray(pixel):
        direction = np.linalg.solve(K, [*pixel, 1.0])
        return direction / np.linalg.norm(direction)

    def matrix(vector):
        angle = np.linalg.norm(vector + guard)
        axis = vector / angle if angle > 0 else vector
        return Rotation.from_quat([*(axis * np.sin(angle / 2)), np.cos(angle / 2)]).as_matrix()

    start, target = ray(centre), ray(aim)
    axis = np.cross(start, target)
    length = np.linalg.norm(axis)
    if guard:
        angle = np.arccos(np.clip(start @ target / (1 + guard), -1 + 1e-7, 1 - 1e-7))
    else:
        angle = np.arctan2(length, start @ target)
    swing = matrix(axis / length * angle) if length > 0 else np.eye(3)
    return matrix(target * np.deg2rad(twist_deg)) @ swing


def test_rotation_equals_the_released_one_up_to_its_guards() -> None:
    golden = vectors("perspose", "pr_rotation")
    ours = perspective_rotation(
        *(torch.from_numpy(golden[key]) for key in ("K", "obj_center", "aim_center", "twist_deg"))
    ).numpy()
    for case, expected in enumerate(golden["R"]):
        inputs = [golden[key][case] for key in ("K", "obj_center", "aim_center", "twist_deg")]
        np.testing.assert_allclose(ours[case], published_rotation(*inputs, guard=0.0), atol=1e-14)
        if case != CLAMPED:
            # with its guards the formula is the golden one, so nothing but the guards separates ours from it
            np.testing.assert_allclose(published_rotation(*inputs, guard=1e-8), expected, atol=1e-14)
            np.testing.assert_allclose(ours[case], expected, atol=1e-7)


def test_homography_and_warped_points() -> None:
    golden = vectors("perspose", "pr_rotation")
    H = homography(torch.from_numpy(golden["K"]), torch.from_numpy(golden["R"]))
    np.testing.assert_allclose(H.numpy(), golden["H"], rtol=1e-12, atol=1e-10)
    moved = transform_pixels(torch.from_numpy(golden["points"]), H)
    np.testing.assert_allclose(moved.numpy(), golden["points_warped"], rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("name", ["pr_crop", "pr_crop_cv48"])
@pytest.mark.parametrize("case", range(6))
def test_crop(name: str, case: int) -> None:
    golden = vectors("perspose", name)
    x, y, width, height = golden[f"bbox_{case}"]
    box = torch.tensor([x, y, x + width, y + height], dtype=torch.float64)
    K, R = (torch.from_numpy(golden[f"{key}_{case}"]) for key in ("K", "R"))
    coco = str(golden[f"dataset_{case}"]) == "coco"
    crop = perspective_crop(K, box, 256, rotate=not coco, rotation=None if coco else R)
    np.testing.assert_allclose(crop.homography.numpy(), golden[f"H_full_{case}"], rtol=1e-11, atol=1e-10)
    if not coco:  # for COCO the release keeps K of the full picture and never uses it
        np.testing.assert_allclose(crop.K_crop.numpy(), golden[f"K_crop_{case}"], rtol=1e-12, atol=1e-10)
        exact = perspective_crop(K, box, 256)
        np.testing.assert_allclose(exact.rotation.numpy(), golden[f"R_{case}"], atol=1e-7)
        np.testing.assert_allclose(exact.K_crop.numpy(), golden[f"K_crop_{case}"], rtol=1e-6)
    if str(golden[f"dataset_{case}"]) == "3dhp":
        turned = rotate_points(torch.from_numpy(golden[f"j17_in_{case}"]), R)
        np.testing.assert_allclose(turned.numpy(), golden[f"j17_out_{case}"], atol=1e-12)
    keypoints = transform_pixels(torch.from_numpy(golden[f"kp_in_{case}"][:, :2]), crop.homography)
    np.testing.assert_allclose(keypoints.numpy(), golden[f"kp_out_{case}"][:, :2], rtol=1e-10, atol=1e-9)
    # OpenCV rounds source places to 1/32 pixel: the last bit of the matrix decides ties, so warp with the golden one
    warped = warp_crop(golden["image"], golden[f"H_full_{case}"], 256, pixel_centre=0.0)
    grey = np.abs(warped.astype(int) - golden[f"crop_u8_{case}"])
    assert grey.mean() < 0.3
    assert grey.max() <= 6  # what INDEX.md measured between OpenCV versions


def test_crop_affine() -> None:
    golden = vectors("perspose", "crop_affine")
    level = [row for row in range(6) if golden["rows"][row, 4] == 0]  # the others turn in the plane
    assert len(level) == 3
    for row in level:
        x, y, width, height, _, shift_x, shift_y, scale, stretch = golden["rows"][row]
        centre = torch.tensor([x + width / 2 - shift_x * width, y + height / 2 - shift_y * height], dtype=torch.float64)
        longer = 256.0 / scale
        C = crop_affine(centre, torch.tensor([longer, longer / 3], dtype=torch.float64), 256, stretch=stretch)
        np.testing.assert_allclose(C.numpy(), golden["affine"][row], rtol=1e-12, atol=1e-11)


def test_encoding() -> None:
    golden = vectors("perspose", "pe_map")
    maps = perspective_encoding(torch.from_numpy(golden["K"]), 256).numpy()
    assert maps.shape == (4, 2, 64, 64)
    for ours, expected, name in zip(maps, golden["pe"], golden["dataset"], strict=True):
        # the release multiplies the map of COCO by zero where it is fused; that belongs to the network
        np.testing.assert_allclose(ours * (str(name) != "coco"), expected, atol=1e-7)
    flipped = golden["K"].copy()
    flipped[:, 0, 2] = 256 - flipped[:, 0, 2]
    mirrored = perspective_encoding(torch.from_numpy(flipped), 256).numpy()
    kept = golden["dataset"] != "coco"
    np.testing.assert_allclose(mirrored[kept], golden["pe_flipK"][kept], atol=1e-7)


@pytest.mark.parametrize("sample", [0, 1])
def test_smpl_labels_follow_the_rotation_and_come_back(sample: int) -> None:
    golden = {
        key.removeprefix("hps_"): torch.from_numpy(value)
        for key, value in vectors("perspose", "train_geometry").items()
    }
    theta, transl, joints, R = (golden[f"{key}_{sample}"] for key in ("theta_in", "transl_in", "j24_in", "R"))
    orient = torch.from_numpy(Rotation.from_rotvec(theta[0].numpy()).as_matrix())
    rest = joints[0] - transl
    turned, moved = rotate_body(orient, transl, rest, R)
    np.testing.assert_allclose(moved.numpy(), golden[f"transl_out_{sample}"].numpy(), atol=1e-9)
    expected = Rotation.from_rotvec(golden[f"theta_out_{sample}"][0].numpy()).as_matrix()
    np.testing.assert_allclose(turned.numpy(), expected, atol=1e-7)
    np.testing.assert_allclose(rotate_points(joints, R).numpy(), golden[f"j24_out_{sample}"].numpy(), atol=1e-9)
    back, home = rotate_body_to_original(turned, moved, rest, R)
    np.testing.assert_allclose(back.numpy(), orient.numpy(), atol=1e-12)
    np.testing.assert_allclose(home.numpy(), transl.numpy(), atol=1e-12)


def test_training_crops_keep_the_principal_point_in_the_middle() -> None:
    golden = vectors("perspose", "train_geometry")
    box = torch.tensor([10.0, 8.0, 40.0, 58.0], dtype=torch.float64)
    K = torch.tensor([[80.0, 0, 48], [0, 80, 36], [0, 0, 1]], dtype=torch.float64)
    crop = perspective_crop(K, box, rotation=torch.from_numpy(golden["R"]))
    np.testing.assert_allclose(crop.K_crop[:, :2, 2].numpy(), golden["K"][:, :2, 2], atol=1e-9)
    assert crop.K_crop.shape == (8, 3, 3)
