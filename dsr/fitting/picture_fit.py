"""Keypoints to bodies: all people of one picture in one batch, each in the camera turned to look straight at them.

Start: closed-form inverse kinematics from the 3D landmarks, or several facings where only 2D keypoints are known. Then
robust second-order optimisation. The result is turned back into the original camera before anyone sees it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from dsr.body import Body, standing_height_m
from dsr.body.asset import BodyAsset
from dsr.body.joints import joint_names
from dsr.body.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from dsr.camera import perspective_rotation, project, rotate_body, rotate_body_to_original, translation_from_rays
from dsr.devices import one_thread
from dsr.errors import FittingError
from dsr.fitting.inverse_kinematics import pose_from_landmarks
from dsr.fitting.keypoint_model import POSED_JOINTS, KeypointModel
from dsr.fitting.solver import FitWeights, State, Targets, solve
from dsr.mocap.pose_prior import PosePrior
from dsr.options import FitOptions
from dsr.people.types import Detection, PersonMask
from dsr.rendering import rasterise
from dsr.results.picture import PersonResult

VISIBLE = 0.5
"""Keypoints of at least this confidence count as visible in residuals and warnings."""

_PREDICTED: dict[str, Any] = {"landmark_across_m": 0.08, "landmark_along_m": 0.12, "beta": 0.7, "child": 0.1}
"""How far a network's 3D keypoints and shape are trusted."""

_STEPS = {"fast": 8, "standard": 12, "best": 30}
_TYPICAL_POSES = {"fast": 1, "standard": 4, "best": 12}
"""How many of the prior's poses a fit without 3D landmarks starts from, in four facings each."""
_FINALISTS = 6
# How far each kind of keypoint can be trusted against the limbs' 1: the definition of some differs from picture to
# picture.
_TRUST = {
    "foot": 0.6,
    "eye": 0.3,
    "ear": 0.5,
    "mouth": 0.3,
    "nose": 0.5,
    "pinky": 0.3,
    "index": 0.3,
    "thumb": 0.2,
    "hip": 0.6,
    "heel": 0.6,
    "toe": 0.6,
}


class StartBodies(Protocol):
    """Bodies that somebody else predicted, in the original camera; people in the order of the detections.

    Attributes:
        pose_rotmat: (B, J, 3, 3) rotations of the body's joints, 0 is the global orientation.
        betas: (B, n).
        transl: (B, 3) metres.
    """

    @property
    def pose_rotmat(self) -> Tensor: ...  # noqa: D102
    @property
    def betas(self) -> Tensor: ...  # noqa: D102
    @property
    def transl(self) -> Tensor: ...  # noqa: D102


def fit_people(
    detections: Sequence[Detection],
    K: np.ndarray,
    body: Body,
    options: FitOptions,
    image_size: tuple[int, int],
    start: StartBodies | None = None,
) -> list[PersonResult]:
    """Fit a body to every detection of one picture.

    Args:
        detections: people, left to right; each is named after its ``number``, or else its place in the list.
        K: (3, 3) intrinsics of the full, upright picture, pixels.
        body: body layer; its asset needs the detections' keypoint set.
        options: ``height``, ``quality`` and ``refine`` are used.
        image_size: width and height of the full, upright picture, pixels.
        start: bodies to start from, a network's for example. Their 3D keypoints then take the place of the detector's
            3D landmarks, and are trusted more.

    Returns:
        One result per detection, in the same order, in the original camera.

    Raises:
        BodyError: if the body has no regressor for a keypoint set.
        FittingError: if no keypoint of a person is usable.
    """
    with one_thread():
        return _fit_all(detections, np.asarray(K, np.float64), body, options, image_size, start)


def describe_people(
    detections: Sequence[Detection], K: np.ndarray, body: Body, image_size: tuple[int, int], bodies: StartBodies
) -> list[PersonResult]:
    """Bodies as they are, not fitted to anything, as results.

    Args:
        detections: people, left to right; each is named after its ``number``, or else its place in the list.
        K: (3, 3) intrinsics of the full, upright picture, pixels.
        body: body layer.
        image_size: width and height of the full, upright picture, pixels.
        bodies: one body per detection, in the original camera.
    """
    camera = torch.as_tensor(np.asarray(K, np.float64), device=body.faces.device).expand(len(detections), 3, 3)
    every = rotmat_to_axis_angle(bodies.pose_rotmat.double())
    people = []
    for i, detection in enumerate(detections):  # people may come with different keypoint sets
        row = slice(i, i + 1)
        pose = bodies.betas[row].double(), every[row, 0], every[row, 1:], bodies.transl[row].double()
        people += _describe([detection], *pose, camera[row], body, image_size)
    _name(people, detections)
    return people


def _name(people: Sequence[PersonResult], detections: Sequence[Detection]) -> None:
    for i, (person, detection) in enumerate(zip(people, detections, strict=True)):
        person.id = f"p{i if detection.number is None else detection.number}"


def _fit_all(
    detections: Sequence[Detection],
    K: np.ndarray,
    body: Body,
    options: FitOptions,
    image_size: tuple[int, int],
    start: StartBodies | None,
) -> list[PersonResult]:
    people: dict[int, PersonResult] = {}
    for name in sorted({d.keypoint_set for d in detections}):
        for has_world in (True, False):
            index = [
                i for i, d in enumerate(detections) if d.keypoint_set == name and (d.world_m is not None) == has_world
            ]
            if index:
                group = [detections[i] for i in index]
                own = None if start is None else (start, index)
                people.update(zip(index, _fit_group(group, K, body, options, image_size, own), strict=True))
    results = [people[i] for i in range(len(detections))]
    _name(results, detections)
    return results


def _fit_group(
    detections: list[Detection],
    K: np.ndarray,
    body: Body,
    options: FitOptions,
    image_size: tuple[int, int],
    start: tuple[StartBodies, list[int]] | None,
) -> list[PersonResult]:
    """Fit people that share a keypoint set and either all have 3D landmarks or all have none."""
    device = str(body.faces.device)
    model, prior = _model(body.asset, detections[0].keypoint_set, device), _prior(device)
    targets, turn, camera = _targets(detections, K, model, options)
    weights = FitWeights(steps=_STEPS[options.quality])
    if start is None:
        starts = _starts(model, prior, targets, options)
    else:
        starts = [_predicted(*start, model, prior, turn, body)]
        points = model.pose(*(getattr(starts[0], f) for f in ("root", "theta", "betas", "transl"))).points
        targets = replace(targets, landmarks=points, betas=starts[0].betas, metric=True)
        weights = replace(weights, **_PREDICTED)
        # first let keypoints pull from afar: a network may be wrong by more than the robust term still feels
        # (the pose gives way, not the shape)
        eager = replace(weights, robust=8 * weights.robust, beta=0.1, child=0.02)
        starts = [solve(model, prior, targets, starts[0], eager)[0]]
    state = _best_of(model, prior, targets, starts, weights)
    return _results(detections, state, turn, camera, body, image_size)


def _targets(
    detections: list[Detection], K: np.ndarray, model: KeypointModel, options: FitOptions
) -> tuple[Targets, Tensor, Tensor]:
    """What a group is fitted to, the turn (B, 3, 3) into its rotated cameras, and the original camera (B, 3, 3)."""
    keypoint_set, device = detections[0].keypoint_set, model.device

    def tensor(arrays: list[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.stack(arrays), dtype=model.dtype, device=device)

    boxes, pixels = tensor([d.box_px for d in detections]), tensor([d.keypoints_px for d in detections])
    confidence = tensor([d.confidence for d in detections])
    if bool((confidence.max(1).values <= 0).any()):
        raise FittingError("a person has no keypoint with a confidence above 0; remove it from the keypoint file.")
    camera = torch.as_tensor(K, dtype=model.dtype, device=device).expand(len(detections), 3, 3)
    turn = perspective_rotation(camera, (boxes[:, :2] + boxes[:, 2:]) / 2)
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)
    rays = homogeneous @ torch.linalg.inv(camera).transpose(1, 2) @ turn.transpose(1, 2)
    # A ray at a right angle to the optical axis or behind it says nothing usable.
    confidence = torch.where(rays[..., 2] > 0.05, confidence, torch.zeros_like(confidence))
    rays = rays[..., :2] / rays[..., 2:].clamp(min=0.05)
    side = (boxes[:, 2:] - boxes[:, :2]).max(1).values
    targets = Targets(
        rays=rays,
        weight=confidence.square() * _trust(keypoint_set).to(confidence),
        scale=side / camera[:, 0, 0],
        landmarks=tensor([d.world_m for d in detections if d.world_m is not None]) @ turn.transpose(1, 2)
        if detections[0].world_m is not None
        else None,
        height=None if options.height is None else torch.full_like(side, options.height),
    )
    return targets, turn, camera


def _starts(model: KeypointModel, prior: PosePrior, targets: Targets, options: FitOptions) -> list[State]:
    """Where to start from: the landmarks' pose, or typical poses in four facings."""
    rest = model.pose(*_rest_pose(model, 1)).points[0]
    batch = len(targets.rays)
    if targets.landmarks is not None:
        poses = [pose_from_landmarks(targets.landmarks, rest)]
        if options.refine in ("joints", "all") or options.quality == "best":  # all depths reversed
            mirrored = targets.landmarks * targets.landmarks.new_tensor([1.0, 1.0, -1.0])
            poses.append(pose_from_landmarks(mirrored, rest))
    else:
        upright = torch.tensor([math.pi, 0.0, 0.0], dtype=model.dtype, device=model.device)  # y up to y down
        flip = axis_angle_to_rotmat(upright)
        poses = []
        for component in prior.log_weights.argsort(descending=True)[: _TYPICAL_POSES[options.quality]]:
            for quarter in range(4):
                yaw = torch.tensor([0.0, quarter * math.pi / 2, 0.0], dtype=model.dtype, device=model.device)
                root = (flip @ axis_angle_to_rotmat(yaw)).expand(batch, 3, 3)
                poses.append((root, prior.means[component].expand(batch, -1)))
    starts = []
    for root, theta in poses:
        theta = theta.clamp(prior.lower, prior.upper)
        betas, nowhere = torch.zeros(batch, model.num_betas).to(theta), torch.zeros(batch, 3).to(theta)
        points = model.pose(root, theta, betas, nowhere).points
        transl = translation_from_rays(points, targets.rays, targets.weight + 1e-6)
        # in front of the camera whatever the keypoints say: at the distance where the body has the box's size
        size = (points.amax(1) - points.amin(1))[:, :2].amax(1)
        far = size / targets.scale.clamp(min=1e-3)
        wrong = (transl[:, 2] < 0.3 * far) | (transl[:, 2] > 3 * far)
        ahead = torch.cat([targets.rays.median(1).values * far[:, None], far[:, None]], 1)
        starts.append(State(root, theta, betas, torch.where(wrong[:, None], ahead, transl)))
    return starts


def _predicted(
    start: StartBodies, rows: list[int], model: KeypointModel, prior: PosePrior, turn: Tensor, body: Body
) -> State:
    """Bodies predicted in the original camera as a start in the rotated ones."""
    pose, betas, transl = (x[rows].to(turn) for x in (start.pose_rotmat, start.betas, start.transl))
    root_rest = body.rest_joints(betas.to(body.rest_joints()))[:, 0].to(turn)
    root, transl = rotate_body(pose[:, 0], transl, root_rest, turn)
    theta = rotmat_to_axis_angle(pose[:, 1 : 1 + POSED_JOINTS]).flatten(1)
    return State(root, theta.clamp(prior.lower, prior.upper), betas[:, : model.num_betas], transl)


def _best_of(
    model: KeypointModel, prior: PosePrior, targets: Targets, starts: list[State], weights: FitWeights
) -> State:
    """Solve all starts in one batch, keep each person's cheapest; of many, go on with the best after a few steps."""
    batch, device = len(targets.rays), targets.rays.device
    state = State(*(torch.cat([getattr(s, f) for s in starts]) for f in ("root", "theta", "betas", "transl")))
    person = torch.arange(batch, device=device).repeat(len(starts))  # whom a row of the batch belongs to
    if len(starts) > _FINALISTS:
        state, cost = solve(
            model, prior, targets.select(person), state, replace(weights, steps=6, robust=4 * weights.robust)
        )
        finalists = cost.reshape(-1, batch).argsort(0)[:_FINALISTS] * batch + torch.arange(batch, device=device)
        state, person = state.select(finalists.flatten()), person[finalists.flatten()]
    state, cost = solve(model, prior, targets.select(person), state, weights)
    best = cost.reshape(-1, batch).argmin(0)
    return state.select(best * batch + torch.arange(batch, device=device))


def _results(
    detections: list[Detection], state: State, turn: Tensor, camera: Tensor, body: Body, image_size: tuple[int, int]
) -> list[PersonResult]:
    """Back to the original camera, through the full body, into arrays."""
    dtype = body.rest_joints().dtype
    betas = state.betas.to(dtype)
    root_rest = body.rest_joints(betas)[:, 0].to(turn)
    root, transl = rotate_body_to_original(state.root, state.transl, root_rest, turn)
    orient = rotmat_to_axis_angle(root)
    pose = torch.zeros(len(root), body.num_joints - 1, 3).to(orient)
    pose[:, :POSED_JOINTS] = state.theta.reshape(-1, POSED_JOINTS, 3)
    return _describe(detections, state.betas, orient, pose, transl, camera, body, image_size)


def _describe(
    detections: list[Detection],
    betas_fitted: Tensor,
    orient: Tensor,
    pose: Tensor,
    transl: Tensor,
    camera: Tensor,
    body: Body,
    image_size: tuple[int, int],
) -> list[PersonResult]:
    """Parameters (axis-angle, original camera) of people that share a keypoint set, through the full body."""
    dtype = body.rest_joints().dtype
    betas = betas_fitted.to(dtype)
    with torch.no_grad():
        output = body(betas, pose.to(dtype), orient.to(dtype), transl.to(dtype))
        points = body.keypoints(output.vertices, detections[0].keypoint_set)
        projected = project(points.to(camera), camera).cpu().numpy()
    arrays = [t.detach().cpu().numpy() for t in (betas_fitted, orient, pose, transl, output.vertices, output.joints)]
    height = standing_height_m(body.asset, arrays[0])
    outside = body.asset.faces[~body.asset.interior]
    K = camera[0].cpu().numpy()
    overlaps = [silhouette_iou(d.mask, v, outside, K) for d, v in zip(detections, arrays[4], strict=True)]
    results = []
    for i, detection in enumerate(detections):
        betas_i, orient_i, pose_i, transl_i, vertices, joints = (a[i] for a in arrays)
        results.append(
            PersonResult(
                id="",  # fit_people names them in the order of the picture
                box_px=np.asarray(detection.box_px, np.float32),
                score=float(detection.score),
                keypoint_set=detection.keypoint_set,
                keypoints_px=np.concatenate([detection.keypoints_px, detection.confidence[:, None]], 1).astype(
                    np.float32
                ),
                betas=betas_i.astype(np.float32),
                global_orient=orient_i.astype(np.float32),
                body_pose=pose_i.astype(np.float32),
                transl=transl_i.astype(np.float32),
                vertices_cam_m=vertices.astype(np.float32),
                joints_cam_m=joints.astype(np.float32),
                height_m=float(height[i]),
                residuals={"fit": {**_residuals(detection, projected[i]), "silhouette_iou": overlaps[i]}},
                warnings=_warnings(detection, image_size),
            )
        )
    return results


def _residuals(detection: Detection, projected: np.ndarray) -> dict[str, float | None]:
    """Median distance of visible keypoints to their projections, in pixels and as a share of the box height."""
    seen = detection.confidence >= VISIBLE
    if not seen.any():
        return {"reprojection_px": None, "reprojection_rel": None}
    error = float(np.median(np.linalg.norm(projected[seen] - detection.keypoints_px[seen], axis=1)))
    height = max(float(detection.box_px[3] - detection.box_px[1]), 1.0)
    return {"reprojection_px": error, "reprojection_rel": error / height}


def silhouette_iou(mask: PersonMask | None, vertices_cam: np.ndarray, faces: np.ndarray, K: np.ndarray) -> float | None:
    """Overlap of a fitted body with the detector's mask: intersection over union inside the mask's box.

    Args:
        mask: the person's mask, or None.
        vertices_cam: (V, 3) metres, camera frame.
        faces: (F, 3) outer faces.
        K: (3, 3) intrinsics of the full picture.

    Returns:
        0 to 1 on a raster of 64 rows, or None without a mask or where both are empty.
    """
    if mask is None:
        return None
    x0, y0, x1, y1 = (float(v) for v in mask.box_px)
    rows, cols = mask.probability.shape
    high = 64
    scale = high / max(y1 - y0, 1e-6)
    wide = min(max(round((x1 - x0) * scale), 1), 8 * high)
    shift = np.array([[scale, 0, -x0 * scale], [0, scale, -y0 * scale], [0, 0, 1]])
    body = rasterise(vertices_cam, faces, shift @ K, (wide, high), cull_back=True).covered
    row = ((np.arange(high) + 0.5) * rows / high).astype(int)
    col = ((np.arange(wide) + 0.5) * cols / wide).astype(int).clip(max=cols - 1)
    seen = mask.probability[np.ix_(row, col)] > 0.5
    union = int((body | seen).sum())
    return float((body & seen).sum() / union) if union else None


def _warnings(detection: Detection, image_size: tuple[int, int]) -> list[str]:
    names = joint_names(detection.keypoint_set)
    hidden = [n for n, c in zip(names, detection.confidence, strict=True) if c < VISIBLE]
    out = []
    if all(any(part in n for n in hidden) for part in ("left_knee", "right_knee", "left_ankle", "right_ankle")):
        out.append("The legs are hidden or outside the picture; their pose is a guess.")
    width, height = image_size
    x0, y0, x1, y1 = detection.box_px
    if x0 < 1 or y0 < 1 or x1 > width - 1 or y1 > height - 1:
        out.append("The person is cut by the border of the picture.")
    return out


def _rest_pose(model: KeypointModel, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    eye = torch.eye(3, dtype=model.dtype, device=model.device).expand(batch, 3, 3)
    return eye, eye.new_zeros(batch, 63), eye.new_zeros(batch, model.num_betas), eye.new_zeros(batch, 3)


def _trust(keypoint_set: str) -> Tensor:
    """(K,) factor on each keypoint's confidence."""
    return torch.tensor(
        [next((w for part, w in _TRUST.items() if part in name), 1.0) for name in joint_names(keypoint_set)]
    )


@lru_cache(maxsize=8)
def _model(asset: BodyAsset, keypoint_set: str, device: str) -> KeypointModel:
    return KeypointModel(asset, keypoint_set, device=device)


@lru_cache(maxsize=2)
def _prior(device: str) -> PosePrior:
    return PosePrior.load(device=device, dtype=torch.float64)
