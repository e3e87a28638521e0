"""Fits of exactly known people: pose, place, left and right, facing, depth order and scale come back."""

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dsr.body import load_body
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera import PictureCamera, project
from dsr.errors import FittingError
from dsr.fitting import fit_people
from dsr.fitting.residuals import silhouette_iou
from dsr.mocap import PosePrior
from dsr.options import FitOptions
from dsr.people.types import Detection, PersonMask
from dsr.rendering import rasterise

SIZE = (1920, 1080)
K = np.array([[1500.0, 0, 960], [0, 1500.0, 540], [0, 0, 1]])
CAMERA = PictureCamera(K, SIZE)
LIMBS = [1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21]
PEOPLE = 16


@pytest.fixture(scope="module")
def body():
    return load_body("open")


@pytest.fixture(scope="module")
def truth(body):
    """PEOPLE random people in front of the camera, all facings, off-centre too."""
    g = torch.Generator().manual_seed(11)
    theta = PosePrior.load().sample(PEOPLE, g, 0.8)
    yaw = 2 * math.pi * torch.rand(PEOPLE, generator=g)
    upside = axis_angle_to_rotmat(torch.tensor([math.pi, 0.0, 0.0]))
    orient = upside @ axis_angle_to_rotmat(torch.stack([0 * yaw, yaw, 0 * yaw], 1))
    betas = torch.randn(PEOPLE, body.num_betas, generator=g)
    betas[:, 10] = 0
    spread = torch.randn(PEOPLE, 3, generator=g) * torch.tensor([0.9, 0.2, 0.5])
    pose = torch.cat([theta.reshape(-1, 21, 3), torch.zeros(PEOPLE, 2, 3)], 1)
    return body(betas, pose, orient, spread + torch.tensor([0.0, 0.0, 4.5])), betas


def detections(body, vertices, keypoint_set="blazepose33", world=True):
    points = body.keypoints(vertices, keypoint_set)
    pixels = project(points, torch.tensor(K, dtype=torch.float32)).numpy()
    found = []
    for px, xyz in zip(pixels, points.numpy(), strict=True):
        box = np.concatenate([px.min(0), px.max(0)])
        centred = xyz - xyz[[23, 24]].mean(0) if world else None
        found.append(Detection(box, 0.9, keypoint_set, px, np.ones(len(px)), centred))
    return found


def facing(joints):
    return np.cross(joints[1] - joints[2], joints[12] - joints[0])


def errors_mm(people, target):
    joints = np.stack([p.joints_cam_m for p in people])[:, LIMBS]
    target = target[:, LIMBS]
    joints, target = (a - a[:, :2].mean(1, keepdims=True) for a in (joints, target))
    return 1000 * np.linalg.norm(joints - target, axis=-1).mean(1)


def test_known_people_come_back(body, truth):
    people = fit_people(detections(body, truth[0].vertices), CAMERA, body, FitOptions())
    error = errors_mm(people, truth[0].joints.numpy())
    assert np.median(error) < 35  # scale is only known from the shape prior
    assert np.median([p.residuals["fit"]["reprojection_rel"] for p in people]) < 0.005
    for person, joints in zip(people, truth[0].joints.numpy(), strict=True):
        left_to_right = joints[1] - joints[2]
        mine = person.joints_cam_m[1] - person.joints_cam_m[2]
        assert np.dot(left_to_right, mine) > 0.8 * np.linalg.norm(left_to_right) * np.linalg.norm(mine)
    assert [p.id for p in people] == [f"p{i}" for i in range(PEOPLE)]


def test_height_fixes_the_scale(body, truth):
    """Without the height, depth is as uncertain as people are different; with it, the pose's small errors are left."""
    y = body(truth[1]).vertices[..., 1]
    heights = (y.amax(1) - y.amin(1)).numpy()
    errors = {"known": [], "unknown": []}
    for i in range(8):
        found = detections(body, truth[0].vertices[i : i + 1])
        depth = float(truth[0].joints[i, 0, 2])
        person = fit_people(found, CAMERA, body, FitOptions(height=float(heights[i])))[0]
        assert person.height_m == pytest.approx(heights[i], abs=0.01)
        errors["known"].append(abs(person.transl[2] / depth - 1))
        errors["unknown"].append(abs(fit_people(found, CAMERA, body, FitOptions())[0].transl[2] / depth - 1))
    assert np.mean(errors["known"]) < 0.015, errors
    assert np.mean(errors["known"]) < 0.5 * np.mean(errors["unknown"]), errors


def test_landmarks_that_are_said_to_be_certain_win_over_keypoints_that_are_off(body, truth):
    """A detector's landmarks that contradict the keypoints would be believed less."""
    pixels = np.random.default_rng(1).normal(0, 8, (33, 2))
    found = detections(body, truth[0].vertices[:6])
    found = [replace(d, keypoints_px=d.keypoints_px + pixels) for d in found]
    sure = [replace(d, world_sigma_m=np.full(33, 0.01)) for d in found]
    usual, told = (
        errors_mm(fit_people(d, CAMERA, body, FitOptions()), truth[0].joints[:6].numpy()) for d in (found, sure)
    )
    assert told.mean() < 0.7 * usual.mean()


def test_batch_and_single_agree(body, truth):
    found = detections(body, truth[0].vertices[:4])
    together = fit_people(found, CAMERA, body, FitOptions())
    alone = [fit_people([d], CAMERA, body, FitOptions())[0] for d in found]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a.vertices_cam_m, b.vertices_cam_m, atol=5e-3)


@pytest.mark.parametrize("keypoint_set", ["coco17", "openpose25"])
def test_two_dimensional_keypoints_alone(body, truth, keypoint_set):
    """Imported keypoints carry no depth: the picture must match and left must stay left."""
    found = detections(body, truth[0].vertices[:6], keypoint_set, world=False)
    people = fit_people(found, CAMERA, body, FitOptions())
    assert max(p.residuals["fit"]["reprojection_rel"] for p in people) < 0.02
    joints = truth[0].joints[:6].numpy()
    assert np.median(errors_mm(people, joints)) < 100
    for person, target in zip(people, joints, strict=True):
        assert np.dot(facing(person.joints_cam_m), facing(target)) > 0


def test_mirrored_picture_gives_the_mirrored_person(body, truth):
    found = detections(body, truth[0].vertices[:1])[0]
    from dsr.body.joints import flip_permutation

    swap = list(flip_permutation("blazepose33"))
    pixels = found.keypoints_px[swap] * [-1, 1] + [SIZE[0], 0]
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    mirrored = dataclasses.replace(found, keypoints_px=pixels, box_px=box, world_m=found.world_m[swap] * [-1, 1, 1])
    a, b = (fit_people([d], CAMERA, body, FitOptions())[0] for d in (found, mirrored))
    swap24 = list(flip_permutation("smpl24"))
    np.testing.assert_allclose(b.joints_cam_m, a.joints_cam_m[swap24] * [-1, 1, 1], atol=0.01)


def test_nothing_to_see_is_a_clear_error(body):
    empty = Detection(np.array([0, 0, 100, 200.0]), 0.9, "coco17", np.zeros((17, 2)), np.zeros(17))
    with pytest.raises(FittingError, match="confidence"):
        fit_people([empty], CAMERA, body, FitOptions())


def test_silhouette_iou_of_a_perfect_and_a_shifted_mask(body, truth):
    vertices, faces = truth[0].vertices[0].numpy(), body.asset.faces[~body.asset.interior]
    seen = rasterise(vertices, faces, K, SIZE, cull_back=True).covered
    perfect = PersonMask(np.array([0.0, 0, *SIZE]), seen.astype(np.float32))
    assert silhouette_iou(perfect, vertices, faces, K) > 0.85  # the raster is coarse: the person is 20 rows high
    rows, cols = np.nonzero(seen)
    x0, x1, y0, y1 = cols.min(), cols.max() + 1, rows.min(), rows.max() + 1
    tight = PersonMask(np.array([x0, y0, x1, y1], float), seen[y0:y1, x0:x1].astype(np.float32))
    assert silhouette_iou(tight, vertices, faces, K) > 0.95  # one row of the raster
    aside = PersonMask(np.array([x1, y0, 2 * x1 - x0, y1], float), tight.probability)
    assert silhouette_iou(aside, vertices, faces, K) < 0.1
    assert silhouette_iou(None, vertices, faces, K) is None


def test_a_body_beside_its_silhouette_is_told(body, truth):
    vertices, faces = truth[0].vertices[0].numpy(), body.asset.faces[~body.asset.interior]
    seen = rasterise(vertices, faces, K, SIZE, cull_back=True).covered.astype(np.float32)
    (detection,) = detections(body, truth[0].vertices[:1])
    for shown, told in ((seen, False), (np.roll(seen, SIZE[0] // 2, 1), True)):
        masked = dataclasses.replace(detection, mask=PersonMask(np.array([0.0, 0, *SIZE]), shown))
        (person,) = fit_people([masked], CAMERA, body, FitOptions())
        assert any("covers little" in text for text in person.warnings) == told
