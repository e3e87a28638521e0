"""What stands is balanced, and what the picture does not show stands, too."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from standing_people import CAMERA, SIZE, lean_deg, level_to_camera, person, seen

from dsr.body import load_body
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera.tilt import Gravity, up_vector
from dsr.fitting import fit_people, network_start
from dsr.fitting.balance import ANCHORS, Upright, anchor_blends, upright_terms
from dsr.fitting.keypoint_model import KeypointModel
from dsr.fitting.problem import load_pose_prior
from dsr.fitting.solver import FitWeights, State, Targets, linearise
from dsr.fitting.unseen import keypoint_shares
from dsr.options import FitOptions

UP = up_vector(0, 0)
LEVEL = dataclasses.replace(CAMERA, gravity=Gravity(UP, 0, 0, 2, 1))


@pytest.fixture(scope="module")
def body():
    return load_body("open")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gravity does to landmarks; the default network sees through such as these by itself."""
    monkeypatch.setattr(network_start, "default_network", lambda: None)


def test_the_mass_of_a_body_is_where_bodies_have_it(body):
    """De Leva's women and men: 55 to 57 % of the height above the floor, standing."""
    inner, skin = anchor_blends(body.asset)
    joints = body.asset.J_regressor @ body.asset.v_template
    hanging = joints.copy()
    for elbow, hand, shoulder in ((18, 22, 16), (19, 23, 17)):
        reach = np.linalg.norm(joints[elbow] - joints[shoulder])
        hanging[elbow] = joints[shoulder] - [0, reach, 0]
        for joint in (elbow + 2, hand):
            hanging[joint] = hanging[elbow] - [0, np.linalg.norm(joints[joint] - joints[elbow]), 0]
    low, high = body.asset.v_template[:, 1].min(), body.asset.v_template[:, 1].max()
    share = ((inner @ hanging)[0, 1] - low) / (high - low)
    assert 0.54 < share < 0.58
    soles = (skin @ body.asset.v_template)[1:5]
    assert np.abs(soles[:, 1] - low).max() < 0.02
    assert (soles[[1, 3], 2] - soles[[0, 2], 2]).min() > 0.12 and soles[0, 0] > 0 > soles[2, 0]


def test_slopes_of_the_cost(body):
    """Balance, floor and expected poses pull along the gradient of what they cost."""
    model = KeypointModel(body.asset, "blazepose33")
    g, batch = torch.Generator().manual_seed(3), 3

    def normal(*shape, scale=1.0):
        return scale * torch.randn(*shape, generator=g, dtype=torch.float64)

    root = axis_angle_to_rotmat(torch.tensor([math.pi, 0, 0], dtype=torch.float64) + normal(batch, 3, scale=0.2))
    place = torch.tensor([0.0, 0.3, 4.0], dtype=torch.float64) + normal(batch, 3, scale=0.2)
    state = State(root, normal(batch, 63, scale=0.3), normal(batch, model.num_betas, scale=0.3), place)
    ones = torch.ones(batch, dtype=torch.float64)
    upright = Upright(
        up=torch.as_tensor(UP).expand(batch, 3),
        away=torch.tensor([0.0, 0, 1], dtype=torch.float64).expand(batch, 3),
        mass=12 * ones,
        carry=torch.tensor([[0.0, 1], [0, 0], [1, 1]], dtype=torch.float64),
        trunk=7 * ones,
        along=0.4 * ones,
        soles=20 * ones[:, None].expand(batch, 2),
        level=15 * ones,
        pose=normal(batch, 63, scale=0.2),
        pose_factor=normal(batch, 63).abs(),
        floor=-1.1 * ones,
        contact=9 * ones[:, None].expand(batch, 2),
    )
    posed = model.pose(state.root, state.theta, state.betas, state.transl)
    assert posed.anchors.shape == (batch, len(ANCHORS), 3)
    assert float(upright_terms(posed.anchors, posed.anchor_jacobian, upright).cost.min()) > 0.1
    targets = Targets(
        posed.points[..., :2] / posed.points[..., 2:], torch.zeros(batch, 33, dtype=torch.float64), 0.4 * ones
    )
    targets = dataclasses.replace(targets, upright=upright)
    prior, weights, step = load_pose_prior("cpu"), FitWeights(), 1e-6
    gradient = linearise(model, prior, targets, state, weights).gradient
    for _ in range(4):
        way = normal(batch, model.num_parameters)
        up, down = (linearise(model, prior, targets, state.step(s * way), weights).cost for s in (step, -step))
        torch.testing.assert_close((up - down) / (2 * step), 2 * (gradient * way).sum(1), rtol=1e-3, atol=1e-2)


def test_standing_people_do_not_lean_though_the_landmarks_do(body):
    """The landmarks' error is 20 degrees; the same landmarks without gravity lean with them."""
    found = seen(body, person(body), lean_deg=20)
    upright = fit_people([found], LEVEL, body, FitOptions())[0]
    assert abs(lean_deg(body, upright.vertices_cam_m, UP)) < 6
    assert abs(lean_deg(body, upright.vertices_cam_m, UP, "hip", "ankle")) < 6
    joints = upright.joints_cam_m
    for hip, knee, ankle in ((1, 4, 7), (2, 5, 8)):
        thigh, shin = joints[knee] - joints[hip], joints[ankle] - joints[knee]
        cosine = thigh @ shin / np.linalg.norm(thigh) / np.linalg.norm(shin)
        assert math.degrees(math.acos(min(1.0, cosine))) < 12
    unknown = dataclasses.replace(CAMERA, gravity=Gravity(UP, 0, 0, 60, 60))
    leaning = fit_people([found], unknown, body, FitOptions())[0]
    assert lean_deg(body, leaning.vertices_cam_m, UP) > abs(lean_deg(body, upright.vertices_cam_m, UP)) + 1


def test_gravity_is_the_camera_s_not_the_picture_s(body):
    """Seen from above, whoever stands has the head nearer to the camera."""
    up, level = up_vector(25, 0), level_to_camera(25, 0)
    camera = dataclasses.replace(CAMERA, gravity=Gravity(up, 25, 0, 2, 1))
    found = seen(body, person(body, level=level), lean_deg=-20)
    fitted = fit_people([found], camera, body, FitOptions())[0]
    assert abs(lean_deg(body, fitted.vertices_cam_m, up)) < 7
    assert lean_deg(body, fitted.vertices_cam_m, UP) > 15


def test_who_does_not_stand_may_lean(body):
    """Bent forward by 50 degrees, seen from the side: the picture says so, and it stays."""
    pose = np.zeros((23, 3))
    pose[[0, 1], 0] = -0.9
    pose[15, 2], pose[16, 2] = -1.2, 1.2
    bent = person(body, pose, yaw=90)
    fitted = fit_people([seen(body, bent)], LEVEL, body, FitOptions())[0]
    mine, true = (v[[np.argmax(-v[:, 1])]] for v in (fitted.vertices_cam_m - fitted.transl, bent - bent.mean(0)))
    assert np.isfinite(mine).all() and np.isfinite(true).all()
    trunk = fitted.joints_cam_m[12] - fitted.joints_cam_m[0]
    tilt = math.degrees(math.acos(float(trunk @ UP) / float(np.linalg.norm(trunk))))
    truth = body.asset.J_regressor @ bent
    expected = math.degrees(math.acos(float((truth[12] - truth[0]) @ UP) / float(np.linalg.norm(truth[12] - truth[0]))))
    assert abs(tilt - expected) < 8


@pytest.mark.parametrize("hidden", [("ankle", "heel", "foot"), ("knee", "ankle", "heel", "foot")])
def test_legs_that_are_not_seen_stand_below_the_trunk(body, hidden):
    """The detector guesses them bent, as it does; the result says how unsure they are."""
    pose = np.zeros((23, 3))
    pose[[0, 1], 0], pose[[3, 4], 0] = -1.0, 1.2
    pose[15, 2], pose[16, 2] = -1.2, 1.2
    bent, standing = seen(body, person(body, pose), lean_deg=15), person(body)
    true = seen(body, standing, lean_deg=15, hidden=hidden)
    guess = true.confidence == 0
    pixels, world = true.keypoints_px.copy(), true.world_m.copy()
    pixels[guess] = pixels[23:25].mean(0) + (bent.keypoints_px - bent.keypoints_px[23:25].mean(0))[guess]
    world[guess] = bent.world_m[guess]
    confidence = np.where(guess, 0.2, 1.0)
    found = dataclasses.replace(true, keypoints_px=pixels, world_m=world, confidence=confidence)
    fitted = fit_people([found], LEVEL, body, FitOptions())[0]
    assert abs(lean_deg(body, fitted.vertices_cam_m, UP)) < 10
    joints = fitted.joints_cam_m
    drop = (joints[[1, 2]] - joints[[7, 8]]) @ UP
    assert (drop > 0.93 * np.linalg.norm(joints[[1, 2]] - joints[[7, 8]], axis=1)).all()
    unsure = fitted.joint_uncertainty_mm
    assert unsure[7] > 200 and np.isnan(unsure[[0, 12, 16, 18]]).all()
    assert np.isfinite(unsure[4]) == ("knee" in hidden)


def test_guesses_outside_the_picture_hardly_count(body):
    found = seen(body, person(body, place=(0.0, 2.6, 4.0)))
    outside = found.keypoints_px[:, 1] > SIZE[1]
    shares = keypoint_shares(found, SIZE)
    assert outside.any() and shares[outside].max() <= 0.1
    assert shares[11] == 1 and shares[27] == 0
