"""Clips of exactly known walks, seen by a made-up detector: the clip as a whole beats its frames one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dsr.body import load_body
from dsr.camera import PictureCamera
from dsr.devices import one_thread
from dsr.errors import DatasetError, FittingError
from dsr.fitting import fit_people, network_start, track_frames, track_solver
from dsr.fitting.contact import find_contacts, fit_ground
from dsr.fitting.lifted_joints import LiftedJoints, turned_to_landmarks
from dsr.fitting.problem import load_pose_prior
from dsr.fitting.solver import LinearMass
from dsr.fitting.track import fit_track
from dsr.fitting.track_frames import fit_frames
from dsr.fitting.track_problem import TrackWeights, track_points, track_targets
from dsr.fitting.track_starts import track_start
from dsr.fitting.track_terms import linearise_track
from dsr.mocap.gait import walking_motion
from dsr.options import FitOptions
from dsr.people.types import Detection

SIZE, FPS = (1280, 720), 30.0
K = np.array([[1100.0, 0, 640], [0, 1100.0, 360], [0, 0, 1]])
CAMERA = PictureCamera(K, SIZE)
FRAMES, GAP = 40, range(18, 24)
OPTIONS = FitOptions()
FEET = slice(29, 33)


@pytest.fixture(scope="module")
def body():
    return load_body("open")


class Walk:
    """A known walk before a camera that looks down a little, and what a detector makes of it."""

    def __init__(self, body, heading=1.0, seed=0, frames=FRAMES):
        rng = np.random.default_rng(seed)
        betas = torch.zeros(frames, body.num_betas)
        rest = body.rest_joints(betas[:1])[0].numpy()
        motion = walking_motion(frames / FPS, FPS, heading_rad=0.0, rest=rest)
        camera = Rotation.from_euler("x", 0.1).as_matrix() @ np.diag([1.0, -1, -1])
        camera = camera @ Rotation.from_euler("y", heading).as_matrix()
        place = (motion.root_position_m - motion.root_position_m.mean(0)) @ camera.T + [0, 0.1, 5.0]
        f32 = torch.float32
        with torch.no_grad():
            out = body(
                betas,
                torch.tensor(motion.body_pose_rotmat, dtype=f32),
                torch.tensor(camera @ motion.global_orient, dtype=f32),
                torch.tensor(place - rest[0], dtype=f32),
            )
        self.up = camera[:, 1]
        self.joints, self.points = out.joints.numpy(), body.keypoints(out.vertices, "blazepose33").numpy()
        self.h36m = body.keypoints(out.vertices, "h36m17").numpy()
        pixels = self.points @ K.T
        pixels = pixels[..., :2] / pixels[..., 2:]
        size = np.ptp(pixels[..., 1], axis=1).mean()
        pixels = pixels + 0.006 * size * drift(rng, pixels.shape)
        wrong = rng.random(pixels.shape[:2]) < 0.02
        pixels[wrong] += rng.normal(0, 0.1 * size, (wrong.sum(), 2))
        world = self.points - self.points[:, [23, 24]].mean(1, keepdims=True)
        world = 0.95 * world + drift(rng, world.shape) * [0.02, 0.02, 0.07]
        confidence = rng.uniform(0.8, 1.0, pixels.shape[:2])
        boxes = np.concatenate([pixels.min(1), pixels.max(1)], 1)
        self.detections = [
            Detection(b, 0.9, "blazepose33", p, c, w)
            for b, p, c, w in zip(boxes, pixels, confidence, world, strict=True)
        ]


def drift(rng, shape, memory=0.7):
    """Noise that lasts for some frames, of unit variance."""
    noise = rng.standard_normal(shape)
    for t in range(1, shape[0]):
        noise[t] = memory * noise[t - 1] + np.sqrt(1 - memory**2) * noise[t]
    return noise


def posed(body, fit):
    count = len(fit.transl)
    parts = (fit.body_pose, fit.global_orient, fit.transl)
    with torch.no_grad():
        out = body(
            torch.as_tensor(fit.betas, dtype=torch.float32).expand(count, -1),
            *(torch.as_tensor(part, dtype=torch.float32) for part in parts),
        )
    return out.joints.numpy(), body.keypoints(out.vertices, "blazepose33").numpy()


def scores(joints, points, walk, frames=slice(None)):
    """MPJPE (mm), acceleration error (m/s^2) and slide of resting feet (mm/s)."""
    mine, theirs = (j[frames, :22] - j[frames, :1] for j in (joints, walk.joints))
    bend = [np.diff(j[frames, :22], n=2, axis=0) * FPS**2 for j in (joints, walk.joints)]
    steps = [np.linalg.norm(np.diff(p[frames, FEET], axis=0), axis=-1) * FPS for p in (points, walk.points)]
    return (
        1000 * np.linalg.norm(mine - theirs, axis=-1).mean(),
        np.linalg.norm(bend[0] - bend[1], axis=-1).mean(),
        1000 * steps[0][steps[1] < 0.1].mean(),
    )


@pytest.fixture(scope="module")
def walk(body):
    return Walk(body)


@pytest.fixture(scope="module")
def fitted(body, walk):
    seen = [None if t in GAP else d for t, d in enumerate(walk.detections)]
    return fit_track(seen, CAMERA, body, OPTIONS, FPS)


def test_walk_has_feet_that_rest(walk):
    steps = np.linalg.norm(np.diff(walk.joints[:, [7, 8]], axis=0), axis=-1) * FPS
    assert np.mean(steps.min(1) < 1e-3) > 0.9 and 1.5 < steps.max() < 5  # between frames the other foot takes over
    with pytest.raises(DatasetError, match="no frame"):
        walking_motion(0.0)


def test_clip_beats_its_frames(body, walk, fitted):
    people = fit_people([replace(d) for d in walk.detections], CAMERA, body, OPTIONS)
    points = np.stack([body.keypoints(torch.tensor(p.vertices_cam_m)[None], "blazepose33")[0].numpy() for p in people])
    alone = scores(np.stack([p.joints_cam_m for p in people]), points, walk)
    whole = scores(*posed(body, fitted), walk)
    # the clip has six frames less to go by than the frames by themselves
    assert whole[0] < 0.9 * alone[0] and whole[0] < 40
    assert whole[1] < 0.15 * alone[1]
    assert whole[2] < 0.05 * alone[2] and whole[2] < 20


def test_gap_is_filled_and_marked(body, walk, fitted):
    assert [t for t, seen in enumerate(fitted.observed) if not seen] == list(GAP)
    joints, _ = posed(body, fitted)
    error = np.linalg.norm((joints - joints[:, :1]) - (walk.joints - walk.joints[:, :1]), axis=-1)[list(GAP)].mean()
    assert error < 0.09  # a fifth of a second without any keypoint
    assert np.abs(joints[GAP.start :, 0] - walk.joints[GAP.start :, 0]).max() < 0.6


def test_contacts_and_ground_are_the_true_ones(walk, fitted):
    true = np.linalg.norm(np.diff(walk.points[:, FEET], axis=0), axis=-1) * FPS < 0.1
    found = fitted.contacts[1:] & fitted.contacts[:-1]
    assert found[true].mean() > 0.8
    assert np.degrees(np.arccos(fitted.ground[:3] @ walk.up)) < 8


def test_lifter_with_right_depths_helps(body):
    away = Walk(body, heading=2.7, seed=3)
    noise = np.random.default_rng(0)
    for d in away.detections:  # a detector whose depths are reversed: only the lifter knows better
        d.world_m[:, 2] *= -1
    lifted = LiftedJoints(
        away.h36m - away.h36m[:, :1] + noise.normal(0, 0.015, away.h36m.shape), np.full(away.h36m.shape[:2], 20.0)
    )
    alone = scores(*posed(body, fit_track(away.detections, CAMERA, body, OPTIONS, FPS)), away)
    fit = fit_track(away.detections, CAMERA, body, OPTIONS, FPS, lifted)
    helped = scores(*posed(body, fit), away)
    assert helped[0] < 0.7 * alone[0] and helped[0] < 45


def test_every_joint_says_how_far_it_is_off(body, walk, fitted, monkeypatch):
    unsure = fitted.joint_uncertainty_mm
    assert unsure.shape == (FRAMES, 24) and np.isnan(unsure[list(GAP)]).all()
    assert (unsure[fitted.observed] > 5).all() and np.median(unsure[fitted.observed]) < 150
    monkeypatch.setattr(network_start, "default_network", lambda: None)  # then the lifter's word
    lifted = LiftedJoints(walk.h36m[:6], np.full((6, 17), 20.0))
    assert np.all(fit_track(walk.detections[:6], CAMERA, body, OPTIONS, FPS, lifted).joint_uncertainty_mm == 20)
    assert fit_track(walk.detections[:6], CAMERA, body, OPTIONS, FPS).joint_uncertainty_mm is None


def test_a_lifter_that_leans_is_turned_to_single_frames_as_far_as_it_is_unsure(walk):
    turn = Rotation.from_rotvec([0.2, 0.1, 0.0])
    seen = np.array([t for t in range(FRAMES) if t not in GAP])

    def angle(uncertainty_mm, frames=seen):
        leaning = LiftedJoints(walk.h36m @ turn.as_matrix().T, np.full(walk.h36m.shape[:2], uncertainty_mm))
        joints = turned_to_landmarks(leaning, frames, walk.h36m[frames]).joints_m
        found, _ = Rotation.align_vectors(
            (joints - joints[:, :1]).reshape(-1, 3), (walk.h36m - walk.h36m[:, :1]).reshape(-1, 3)
        )
        return found.magnitude()

    assert angle(75.0) < 0.35 * turn.magnitude()
    assert 0.3 * turn.magnitude() < angle(30.0) < 0.85 * turn.magnitude()
    assert angle(3.0) > 0.95 * turn.magnitude() and np.isfinite(angle(np.inf))
    assert angle(75.0, seen[:0]) > 0.99 * turn.magnitude()


def test_one_frame_and_two(body, walk):
    for count in (1, 2):
        fit = fit_track(walk.detections[:count], CAMERA, body, OPTIONS, FPS)
        joints, _ = posed(body, fit)
        own, true = joints - joints[:, :1], walk.joints[:count] - walk.joints[:count, :1]
        assert np.linalg.norm(own - true, axis=-1).mean() < 0.07
        assert fit.contacts.shape == (count, 4)


def test_nan_keypoints_are_as_good_as_unseen(body, walk):
    some = []
    for t, d in enumerate(walk.detections[:8]):
        points = d.keypoints_px.copy()
        points[[13, 15, 25]] = np.nan
        if t == 3:
            points[:] = np.nan
        some.append(replace(d, keypoints_px=points))
    fit = fit_track(some, CAMERA, body, OPTIONS, FPS)
    assert fit.observed.tolist() == [t != 3 for t in range(8)]
    assert np.isfinite(fit.body_pose).all() and np.isfinite(fit.transl).all()
    with pytest.raises(FittingError, match="none with 6 keypoints"):
        fit_track([None, some[3]], CAMERA, body, OPTIONS, FPS)


@pytest.mark.parametrize("fps", [1.0, 240.0])
def test_wrong_frame_rate_gives_a_body_still(body, walk, fps):
    fit = fit_track(walk.detections[:8], CAMERA, body, OPTIONS, fps)
    joints, _ = posed(body, fit)
    own, true = joints - joints[:, :1], walk.joints[:8] - walk.joints[:8, :1]
    assert np.linalg.norm(own - true, axis=-1).mean() < 0.08


def test_long_tracks_go_on_window_by_window(body, walk, monkeypatch):
    monkeypatch.setattr(track_solver, "WINDOW", 16)
    joints, points = posed(body, fit_track(walk.detections, CAMERA, body, OPTIONS, FPS))
    error, bend, slide = scores(joints, points, walk)
    assert error < 45 and bend < 12 and slide < 40
    assert np.linalg.norm(np.diff(joints[:, 0], axis=0), axis=-1).max() * FPS < 2.5  # no jumps between windows


def test_height_is_kept(body, walk):
    from dsr.body import standing_height_m

    fit = fit_track(walk.detections[:6], CAMERA, body, FitOptions(height=1.85), FPS)
    assert abs(standing_height_m(body.asset, fit.betas) - 1.85) < 0.01


def test_derivatives_of_the_whole_track(body, walk):
    """Every parameter's slope as differences of the cost say it."""
    count = 5
    points, prior = track_points(body.asset, "blazepose33"), load_pose_prior("cpu")
    seen = [None if t == 2 else d for t, d in enumerate(walk.detections[:count])]
    lifted = LiftedJoints(walk.h36m[:count], np.full((count, 17), 40.0))
    targets = track_targets(seen, CAMERA, FPS, 1.7, lifted)
    targets = replace(
        targets,
        contact=torch.rand(count - 1, 4, dtype=torch.float64),
        ground=torch.tensor([0.0, -1, 0, -1], dtype=torch.float64),
        mass=LinearMass(torch.linspace(-4, 8, points.model.num_betas, dtype=torch.float64), 2.0),
    )
    with torch.no_grad(), one_thread():
        fits = fit_frames(seen, CAMERA, body, OPTIONS, points, TrackWeights())
        start, targets = track_start(fits, points, prior, targets)
        weights = TrackWeights(robust=1e6)
        slope = linearise_track(points, prior, targets, start, weights).gradient
        generator, step = torch.Generator().manual_seed(0), 1e-6
        for _ in range(3):
            way = torch.randn(count, 69, generator=generator, dtype=torch.float64)
            shape = torch.randn(len(start.betas), generator=generator, dtype=torch.float64)
            costs = [
                linearise_track(points, prior, targets, start.step(s * way, s * shape), weights).cost
                for s in (step, -step)
            ]
            expected = 2 * float((slope[:, :69] * way).sum() + slope[:, 69:].sum(0) @ shape)
            assert (costs[0] - costs[1]) / (2 * step) == pytest.approx(expected, rel=2e-4)


def test_the_prior_says_less_where_nobody_was_seen(body, walk):
    """There the neighbours know more: the prior's residual is taken times ``guess``."""
    points, prior = track_points(body.asset, "blazepose33"), load_pose_prior("cpu")
    seen = [walk.detections[0], None, walk.detections[2]]
    targets = track_targets(seen, CAMERA, FPS)
    with torch.no_grad(), one_thread():
        fits = fit_frames(seen, CAMERA, body, OPTIONS, points, TrackWeights())
        state, targets = track_start(fits, points, prior, targets)
        unseen, whole = (
            linearise_track(points, prior, targets, state, TrackWeights(prior=0.9, guess=guess)) for guess in (0.5, 1.0)
        )
        pull, component, _ = prior.residual(state.theta[1:2])
        cost = 0.9**2 * float(pull.square().sum() + 2 * prior.offset[component])
    assert whole.cost - unseen.cost == pytest.approx((1 - 0.5**2) * cost, rel=1e-6)
    change = whole.blocks[0] - unseen.blocks[0]
    assert change[1].abs().max() > 0.1 and change[[0, 2]].abs().max() < 1e-9


def test_lifter_joints_far_from_everything_are_let_go(body, walk):
    """A wrist that a lifter puts a metre away pulls far less than its distance says."""
    points, prior = track_points(body.asset, "blazepose33"), load_pose_prior("cpu")
    seen, joints, pulls = walk.detections[:3], walk.h36m[:3].copy(), []
    joints[:, 13, 2] += 1.0
    with torch.no_grad(), one_thread():
        fits = fit_frames(seen, CAMERA, body, OPTIONS, points, TrackWeights())
        for robust in (TrackWeights.lifter_robust, 1e6):
            slopes = []
            for lifted in (walk.h36m[:3], joints):
                targets = track_targets(seen, CAMERA, FPS, None, LiftedJoints(lifted, np.full((3, 17), 60.0)))
                state, targets = track_start(fits, points, prior, targets)
                weights = TrackWeights(lifter_robust=robust)
                slopes.append(linearise_track(points, prior, targets, state, weights).gradient[:, 3:66])
            pulls.append(float((slopes[1] - slopes[0]).norm()))
    assert 0 < pulls[0] < 0.5 * pulls[1]


def test_frames_share_the_shape_that_the_network_says(body, walk, monkeypatch):
    """One frame's guess at the shape is not another's."""
    points = track_points(body.asset, "blazepose33")
    with torch.no_grad(), one_thread():
        shared = fit_frames(walk.detections[:12], CAMERA, body, OPTIONS, points, TrackWeights()).betas
        monkeypatch.setattr(track_frames, "_one_shape", lambda problem: problem)
        own = fit_frames(walk.detections[:12], CAMERA, body, OPTIONS, points, TrackWeights()).betas
    assert shared.std(0).mean() < 0.6 * own.std(0).mean()


def test_the_network_is_believed_about_keypoints_that_are_half_seen(body, walk, monkeypatch):
    """It has heeded the confidence itself; only what is hardly seen counts less than its own word."""
    points, wrist = track_points(body.asset, "blazepose33"), 15

    def sigma(confidence):
        moved = replace(walk.detections[0], confidence=walk.detections[0].confidence.copy())
        moved.confidence[wrist] = confidence
        with torch.no_grad(), one_thread():
            return fit_frames([moved], CAMERA, body, OPTIONS, points, TrackWeights()).sigma[0, wrist]

    def said(problem):
        told = ask(problem)
        alike = torch.full_like(told.network.point_sigma, 0.1)
        return replace(told, network=replace(told.network, point_sigma=alike))

    ask = track_frames.with_network
    monkeypatch.setattr(track_frames, "with_network", said)
    np.testing.assert_allclose(sigma(1.0), 0.06)
    np.testing.assert_allclose(sigma(0.5), 0.06)
    np.testing.assert_allclose(sigma(0.125), 0.12)
    assert sigma(0.0).isinf().all()
    monkeypatch.setattr(network_start, "default_network", lambda: None)
    monkeypatch.setattr(track_frames, "with_network", ask)
    np.testing.assert_allclose(sigma(0.5), [0.18, 0.18, 0.36])  # without it the confidence says all


def test_targets_say_how_far_each_part_is_trusted(walk):
    """A lifter's joints err together: their sigma is 1.5 times what it says, of 15 mm at least."""
    uncertainty = np.full((4, 17), 40.0)
    uncertainty[0, 0], uncertainty[1, 1], uncertainty[2, 2] = 1.0, np.nan, np.inf
    joints = walk.h36m[:4].copy()
    joints[3, 3] = np.nan
    seen = [walk.detections[0], None, *walk.detections[2:4]]
    targets = track_targets(seen, CAMERA, FPS, None, LiftedJoints(joints, uncertainty))
    expected = np.full((4, 17), 0.06)
    expected[0, 0], expected[1, 1], expected[2, 2], expected[3, 3] = 0.0225, np.inf, np.inf, np.inf
    np.testing.assert_allclose(targets.lifted_sigma, expected)
    nose, wrist, thumb = 0, 15, 21
    confidence = walk.detections[0].confidence
    np.testing.assert_allclose(
        targets.weight[0, [nose, wrist, thumb]], confidence[[nose, wrist, thumb]] ** 2 * [0.5, 1.0, 0.2], rtol=1e-6
    )
    assert targets.weight[1].sum() == 0 and float(targets.scale[1]) > 0
    np.testing.assert_allclose(targets.rays[0, wrist] * 1100 + torch.tensor([640, 360]), seen[0].keypoints_px[wrist])


def test_no_contact_where_everything_moves():
    moving = torch.arange(20.0).double()[:, None, None] * torch.tensor([0.1, 0.0, 0.0]).double().expand(1, 4, 3)
    up = torch.tensor([0.0, -1, 0], dtype=torch.float64)
    contact = find_contacts(moving + torch.tensor([0.0, 0, 5]), up, 30.0)
    assert float(contact.sum()) == 0 and fit_ground(moving, contact, up) is None
    still = find_contacts(0 * moving + torch.tensor([0.0, 1, 5]), up, 30.0)
    assert float(still.min()) > 0.99
