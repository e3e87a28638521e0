"""A known height or mass in fits: the likeliest shape of that size, children too, in pictures and in clips."""

import numpy as np
import pytest
import torch

from dsr.body import betas_for, load_body, standing_height_m
from dsr.body.measure import skin_mass_kg
from dsr.camera import PictureCamera, project
from dsr.fitting import fit_people
from dsr.fitting.track import fit_track
from dsr.options import FitOptions
from dsr.people.types import Detection

K = np.array([[1500.0, 0, 960], [0, 1500.0, 540], [0, 0, 1]])
CAMERA = PictureCamera(K, (1920, 1080))


@pytest.fixture(scope="module")
def body():
    return load_body("open")


def seen(body, betas, distance, frames=1):
    """Somebody who stands and looks at the camera, and moves an arm."""
    orient = torch.tensor([[np.pi, 0.0, 0.0]])
    pose = torch.zeros(frames, 23, 3)
    pose[:, 15, 2], pose[:, 16, 2] = -1.1, 1.1
    pose[:, 17, 1] = torch.linspace(-0.6, -0.2, frames)
    place = torch.tensor([[0.1, -0.2, distance]])
    with torch.no_grad():
        out = body(torch.as_tensor(betas, dtype=torch.float32)[None], pose, orient, place)
        points = body.keypoints(out.vertices, "blazepose33")
    pixels = project(points, torch.tensor(K, dtype=torch.float32)).numpy()
    found = []
    for px, xyz in zip(pixels, points.numpy(), strict=True):
        box = np.concatenate([px.min(0), px.max(0)])
        found.append(Detection(box, 0.9, "blazepose33", px, np.ones(33), xyz - xyz[[23, 24]].mean(0)))
    return found, out


def test_a_child_is_a_child_at_its_distance(body):
    """Without the height the picture could be of an adult further away."""
    detections, truth = seen(body, betas_for(body.asset, height_m=1.2), 3.0)
    (person,) = fit_people(detections, CAMERA, body, FitOptions(height=1.2))
    assert person.height_m == pytest.approx(1.2, abs=0.005)
    assert person.betas[body.asset.child_beta] > 0.5
    assert person.joints_cam_m[0, 2] == pytest.approx(float(truth.joints[0, 0, 2]), abs=0.06)
    assert 17 < skin_mass_kg(body.asset, person.betas.astype(np.float64)) < 29
    adult = fit_people(detections, CAMERA, body, FitOptions(height=1.7))[0]
    assert abs(adult.betas[body.asset.child_beta]) < 0.3 and adult.joints_cam_m[0, 2] > 3.8


@pytest.mark.parametrize("mass", [55.0, 105.0])
def test_a_mass_is_kept_and_told(body, mass):
    detections, _ = seen(body, np.zeros(body.num_betas), 4.0)
    (person,) = fit_people(detections, CAMERA, body, FitOptions(height=1.72, mass=mass))
    assert person.height_m == pytest.approx(1.72, abs=0.005)
    assert person.measures["weight_kg"] == pytest.approx(mass, abs=1.5)
    assert person.measures["stature_m"] == pytest.approx(person.height_m, abs=0.01)


def test_a_mass_alone_is_kept(body):
    detections, _ = seen(body, np.zeros(body.num_betas), 4.0)
    (person,) = fit_people(detections, CAMERA, body, FitOptions(mass=95.0))
    assert person.measures["weight_kg"] == pytest.approx(95, abs=1.5)


def test_a_clip_keeps_height_and_mass(body):
    detections, _ = seen(body, np.zeros(body.num_betas), 4.0, frames=5)
    fit = fit_track(detections, CAMERA, body, FitOptions(height=1.8, mass=62.0), 25.0)
    assert float(standing_height_m(body.asset, fit.betas)) == pytest.approx(1.8, abs=0.01)
    assert skin_mass_kg(body.asset, fit.betas) == pytest.approx(62, abs=1.5)


def test_a_small_child_in_a_clip(body):
    detections, _ = seen(body, betas_for(body.asset, height_m=1.1), 3.0, frames=3)
    fit = fit_track(detections, CAMERA, body, FitOptions(height=1.1), 25.0)
    assert fit.betas[body.asset.child_beta] > 0.6
    assert float(standing_height_m(body.asset, fit.betas)) == pytest.approx(1.1, abs=0.01)
