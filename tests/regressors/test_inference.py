"""Crops, batches, the way back to the original camera, and networks built from their files."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dsr.body import axis_angle_to_rotmat, load_body
from dsr.camera import fit_translation, project, rotate_body, transform_pixels
from dsr.camera.weak_perspective import CROP, FOCAL, translation_to_camera
from dsr.errors import CheckpointError, UsageError
from dsr.people import Detection
from dsr.regressors import build_regressor
from dsr.regressors.crops import PeopleCrops, crop_detections, crop_people, square_of
from dsr.regressors.inference import place_bodies, regress
from dsr.regressors.loading import load_regressor
from dsr.regressors.types import BodyPrediction

IMAGES = Path(__file__).parents[2] / "examples" / "images"
PICTURES = ("park_three", "room_border")  # off the axis by up to 26 degrees, from 1.8 to 3.8 m


@pytest.fixture(scope="module")
def body():
    return load_body("open-light")


class Oracle(torch.nn.Module):
    """Says what is true, in the camera of the crop it is shown."""

    image_size = 64

    def __init__(self, truth, body, kind):
        super().__init__()
        people = truth["people"]
        self.crop, self.body = kind, body
        self.betas = torch.tensor([p["betas"] for p in people])
        self.orient = axis_angle_to_rotmat(torch.tensor([p["global_orient"] for p in people]).double())
        self.pose = axis_angle_to_rotmat(torch.tensor([p["body_pose"] for p in people]).double())
        self.transl = torch.tensor([p["transl"] for p in people]).double()
        self.boxes = np.array([p["box_px"] for p in people])
        self.K = np.array(truth["K"])
        self.true = body(self.betas, self.pose, self.orient, self.transl)
        self.batches = []

    def crops(self, rgb):
        boxes = self.boxes
        centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, 1.2 * (boxes[:, 2:] - boxes[:, :2]).max(1)
        self.cut = crop_people(
            rgb, self.K, self.crop, 64, centres_px=centres, sides_px=sides, boxes_px=boxes, margin=1.2
        )
        return self.cut

    def predict(self, image, K_crop, *, mirror=False, body=None, encode=None):
        start = sum(self.batches)
        rows = slice(start, start + len(image))
        self.batches.append(len(image))
        cut = self.cut.select(rows)
        root = self.body.rest_joints(self.betas)[rows, 0].double()
        orient, transl = rotate_body(self.orient[rows], self.transl[rows], root, cut.rotation)
        pose = torch.cat([orient[:, None], self.pose[rows]], 1)
        if self.crop == "perspective":
            assert body is not None
            return BodyPrediction(pose, self.betas[rows], transl=transl)
        points = self.body.pose_joints(self.betas[rows], self.pose[rows], orient).double()
        seen = (project(self.true.joints[rows].double(), cut.K) - cut.centre_px[:, None]) / cut.side_px[:, None, None]
        K = torch.tensor([[FOCAL, 0, CROP / 2], [0, FOCAL, CROP / 2], [0, 0, 1.0]]).double().expand(len(image), 3, 3)
        shift = fit_translation(points, (seen + 0.5) * CROP, K)
        return BodyPrediction(pose, self.betas[rows], camera=translation_to_camera(shift))


def load(name):
    truth = json.loads((IMAGES / f"{name}.truth.json").read_text())
    with Image.open(IMAGES / f"{name}.jpg") as picture:
        return truth, np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("name", PICTURES)
def test_a_true_perspective_prediction_gives_the_true_vertices(name, body):
    truth, rgb = load(name)
    oracle = Oracle(truth, body, "perspective")
    found = regress(oracle, oracle.crops(rgb), body, batch_size=2)
    error = (found.output(body).vertices - oracle.true.vertices).norm(dim=-1).max()
    assert error < 1e-3, f"{1000 * error:.2f} mm"
    assert max(oracle.batches) <= 2 and sum(oracle.batches) == len(truth["people"])


@pytest.mark.parametrize("name", PICTURES)
def test_a_true_weak_perspective_prediction_lands_within_3_percent_of_the_depth(name, body):
    """A weak-perspective camera cannot say more: 50 mm at 1.8 m, and 1.5 % of the crop in the picture."""
    truth, rgb = load(name)
    oracle = Oracle(truth, body, "square")
    crops = oracle.crops(rgb)
    found = regress(oracle, crops, body)
    output = found.output(body)
    error = (output.vertices - oracle.true.vertices).norm(dim=-1).amax(1)
    assert (error < 0.03 * oracle.true.joints[:, 0, 2]).all()
    pixels, wanted = (project(x.joints.double(), crops.K) for x in (output, oracle.true))
    assert ((pixels - wanted).norm(dim=-1).amax(1) < 0.015 * crops.side_px).all()
    # the weak camera of a picture without K in a crop that is not turned would be this far off:
    assert (found.prediction.pose_rotmat[:, 0] - found.pose_rotmat[:, 0]).abs().amax() > 0.03


def test_crops_show_the_person_where_their_cameras_say(body):
    truth, _ = load("street_pair")
    oracle = Oracle(truth, body, "perspective")
    size = 96
    for kind in ("square", "perspective"):
        boxes = oracle.boxes
        centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1)
        rgb = np.zeros((960, 1280, 3), np.uint8)
        dots = project(oracle.true.joints, torch.tensor(oracle.K)[None].float())[:, 15].numpy()
        for u, v in dots:
            rgb[round(v - 0.5) - 3 : round(v - 0.5) + 4, round(u - 0.5) - 3 : round(u - 0.5) + 4] = 255
        crops = crop_people(rgb, oracle.K, kind, size, centres_px=centres, sides_px=sides, boxes_px=boxes, margin=1.2)
        inside = oracle.true.joints.double()
        if kind == "perspective":
            expected = project(inside @ crops.rotation.transpose(1, 2), crops.K_crop)[:, 15]
        else:
            homography = crops.K_crop @ torch.linalg.inv(crops.K)
            expected = transform_pixels(project(inside, crops.K), homography)[:, 15]
        bright = crops.image.mean(1) - crops.image.mean(1).amin((1, 2), keepdim=True)
        for i, weight in enumerate(bright.numpy()):
            v, u = np.unravel_index(weight.argmax(), weight.shape)
            near = weight[max(0, v - 3) : v + 4, max(0, u - 3) : u + 4]
            rows, cols = np.indices(near.shape)
            centre = np.array([(cols * near).sum(), (rows * near).sum()]) / near.sum() + (max(0, u - 3), max(0, v - 3))
            assert np.abs(centre + 0.5 - expected[i].numpy()).max() < 0.6


def test_pictures_scaled_down_are_averaged_and_published_ones_are_not():
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 1), dtype=np.uint8).repeat(3, 2)
    middle, side = np.full((1, 2), 400.0), np.array([800.0])
    where = {"centres_px": middle, "sides_px": side, "boxes_px": np.array([[0, 0, 800, 800]])}
    K = np.array([[800.0, 0, 400], [0, 800, 400], [0, 0, 1]])
    smooth, sharp = (crop_people(noise, K, "square", 100, **where, smooth=s).image[:, 0].std() for s in (True, False))
    assert smooth < 0.3 * sharp


def test_averaging_moves_nothing_in_pictures_whose_sides_do_not_divide():
    """A smooth ramp looks the same averaged or not, at the far end of a picture of 643 x 67 too."""
    ramp = np.add.outer(np.zeros(67), np.linspace(20, 220, 643))[..., None].repeat(3, 2).round().astype(np.uint8)
    where = {"centres_px": np.array([[600.0, 33.5]]), "sides_px": np.array([64.0]), "boxes_px": np.zeros((1, 4))}
    K = np.array([[600.0, 0, 321.5], [0, 600, 33.5], [0, 0, 1]])
    smooth, sharp = (crop_people(ramp, K, "square", 16, **where, smooth=s).image for s in (True, False))
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(smooth[inside], sharp[inside], atol=0.03, rtol=0)


def test_the_working_size_of_a_picture_does_not_change_its_crops():
    """Half the pixels for the same full picture: as much averaging per pixel of the crop."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 1), dtype=np.uint8).repeat(3, 2)
    K = np.array([[400.0, 0, 200], [0, 400, 200], [0, 0, 1]])
    crops = []
    for scale in (1.0, 0.5):
        where = {"centres_px": np.full((1, 2), 200.0), "sides_px": np.array([400.0])}
        where = {key: value / scale for key, value in where.items()}
        box, camera = np.array([[0.0, 0, 400, 400]]) / scale, np.diag([1 / scale, 1 / scale, 1]) @ K
        crops.append(crop_people(noise, camera, "square", 100, boxes_px=box, scale=scale, **where))
    torch.testing.assert_close(crops[0].image, crops[1].image, atol=1e-4, rtol=0)
    torch.testing.assert_close(crops[0].K_crop, crops[1].K_crop)


def test_perspective_crops_of_detections_are_1_3_times_their_boxes():
    """A box about the optical axis: the crop's focal length is f S over the side of the crop."""
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    person = Detection(np.array([270.0, 140, 370, 340]), 0.9, "coco17", np.full((17, 2), 300.0), np.zeros(17))
    model = SimpleNamespace(crop="perspective", image_size=256)
    crops = crop_detections(np.zeros((480, 640, 3), np.uint8), 1.0, K, [person], model)
    assert float(crops.K_crop[0, 0, 0]) == pytest.approx(500 * 256 / (1.3 * 200))
    torch.testing.assert_close(crops.rotation[0], torch.eye(3).double())


def test_the_square_is_1_2_times_the_keypoints_extent():
    points = np.array([[100.0, 50], [200, 400], [150, 300], [9999, 9999]])
    person = Detection(np.array([0.0, 0, 1, 1]), 0.9, "coco17", points, np.array([1.0, 1, 1, 0.1]))
    centre, side = square_of(person)
    np.testing.assert_allclose(centre, [150, 225])
    assert side == pytest.approx(1.2 * 350)
    openpose = Detection(person.box_px, 0.9, "openpose25", points, person.confidence)
    np.testing.assert_allclose(square_of(openpose)[0], [150, 250])  # the demo's mean


def crops_of(count, model):
    """One person each of as many made-up pictures; the second picture's K is made up."""
    rng = np.random.default_rng(0)
    parts = []
    for i in range(count):
        picture = rng.integers(0, 255, (80, 60 + 10 * i, 3), dtype=np.uint8)
        box, K = np.array([[10.0, 5, 50, 70]]), np.array([[90.0, 0, 30], [0, 90, 40], [0, 0, 1]])
        centre, side = np.array([[30.0, 37.5]]), np.array([78.0])
        parts.append(
            crop_people(
                picture,
                K,
                model.crop,
                model.image_size,
                centres_px=centre,
                sides_px=side,
                boxes_px=box,
                known=i != 1,
                smooth=False,
            )
        )
    return PeopleCrops.join(parts)


@pytest.mark.parametrize("system", ["dsr", "perspose"])
def test_batches_over_pictures_do_not_change_bodies(system, body):
    torch.manual_seed(1)
    config = {"backbone": "resnet18"} if system == "dsr" else {"width": 4, "modules": (1, 1, 1), "blocks": 1}
    model = build_regressor(system, image_size=64, **config).eval()
    crops = crops_of(4, model)
    every = regress(model, crops, body, batch_size=3)
    assert len(every) == 4 and every.pose_rotmat.shape == (4, 24, 3, 3)
    assert (every.transl[:, 2] > 0).all() and torch.isfinite(every.output(body).vertices).all()
    alone = regress(model, crops.select(slice(1, 3)), body)
    torch.testing.assert_close(every.pose_rotmat[1:3], alone.pose_rotmat, atol=2e-4, rtol=0)
    torch.testing.assert_close(every.transl[1:3], alone.transl, atol=2e-4, rtol=1e-3)
    mirrored = regress(model, crops.select(slice(0, 1)), body, mirror=system == "dsr")
    assert not torch.allclose(mirrored.prediction.pose_rotmat, every.prediction.pose_rotmat[:1], atol=1e-5)


def test_nobody_is_a_usage_error(body):
    model = build_regressor("dsr", backbone="resnet18", image_size=64)
    crops = crops_of(1, model)
    with pytest.raises(UsageError, match="nobody"):
        regress(model, crops.select(slice(0, 0)), body)
    with pytest.raises(UsageError, match="neither"):
        place_bodies(BodyPrediction(torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, 10)), crops, body)


@pytest.mark.parametrize(
    ("system", "config"),
    [
        ("dsr", {"backbone": "resnet18", "hidden": 64, "num_betas": 11}),
        ("perspose", {"width": 6, "modules": (1, 2, 1), "blocks": 1, "head_planes": 5}),
    ],
)
def test_the_architecture_is_read_off_the_file(tmp_path, system, config):
    torch.manual_seed(0)
    model = build_regressor(system, image_size=96, **config).eval()
    path = tmp_path / "last.safetensors"
    save_file(model.state_dict(), path, metadata={"system": system, "image_size": "96", "body": "open-light"})
    loaded = load_regressor(f"{system}:{path}")
    assert loaded.body == "open" and loaded.model.image_size == 96 and len(loaded.sha256) == 64
    assert all(torch.equal(v, loaded.model.state_dict()[k]) for k, v in model.state_dict().items())
    assert loaded.record()["name"] == system and not loaded.model.training
    old = tmp_path / "official.pt"
    torch.save({"model": model.state_dict()}, old)
    loaded = load_regressor(f"{system}:{old}")
    assert loaded.body == "smpl" and loaded.model.image_size == {"dsr": 224, "perspose": 256}[system]


def test_a_file_of_the_other_network_is_refused_by_name(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(build_regressor("dsr", backbone="resnet18").state_dict(), path)
    with pytest.raises(CheckpointError, match=r"a\.safetensors does not fit the network perspose"):
        load_regressor(f"perspose:{path}")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        load_regressor(f"dsr:{path}")
    state = build_regressor("dsr", backbone="resnet18", hidden=8).state_dict()
    for size in ("-5", "1000000", "large"):
        save_file(state, path, metadata={"image_size": size})
        with pytest.raises(CheckpointError, match=rf"a\.safetensors.*image_size '?{size}"):
            load_regressor(f"dsr:{path}")
    with pytest.raises(UsageError, match="there is no file"):
        load_regressor("dsr:nowhere.pt")
    with pytest.raises(UsageError, match="not a network"):
        load_regressor("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("system", ["dsr", "perspose"])
def test_cuda_in_bfloat16_agrees_with_the_processor(system, body):
    torch.manual_seed(1)
    config = {"backbone": "resnet18"} if system == "dsr" else {"width": 8}
    model = build_regressor(system, image_size=64, **config).eval()
    crops = crops_of(3, model)
    here = regress(model, crops, body, mirror=False)
    there = regress(model.cuda(), crops, load_body("open-light", device="cuda"), mirror=False)
    assert there.pose_rotmat.device.type == "cpu"
    torch.testing.assert_close(there.pose_rotmat, here.pose_rotmat, atol=0.05, rtol=0)
    torch.testing.assert_close(there.transl, here.transl, atol=0.1, rtol=0.05)


def test_mean_parameters_are_taken_from_beside_a_checkpoint_without_them(tmp_path):
    model = build_regressor("dsr", backbone="resnet18", image_size=64, hidden=8)
    entries = {key: value for key, value in model.state_dict().items() if ".init_" not in key}
    torch.save(entries, tmp_path / "raw.pt")
    with pytest.raises(CheckpointError, match=r"put smpl_mean_params\.npz beside"):
        load_regressor(f"dsr:{tmp_path / 'raw.pt'}")
    np.savez(tmp_path / "smpl_mean_params.npz", pose=np.zeros(144), shape=np.arange(10.0), cam=np.ones(3))
    assert load_regressor(f"dsr:{tmp_path / 'raw.pt'}").model.head.init_shape[0].tolist() == list(range(10))
