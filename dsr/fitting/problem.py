"""What the people of a picture are fitted to: keypoints as viewing rays, how far each is trusted, 3D landmarks, height.

Every person gets a camera that is turned to look straight at them (:func:`dsr.camera.perspective_rotation`), so that
people at the border of a picture are fitted like those in its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dsr.body import Body
from dsr.body.asset import BodyAsset
from dsr.body.joints import joint_names
from dsr.body.known_size import known_size
from dsr.camera import PictureCamera, perspective_rotation
from dsr.errors import FittingError
from dsr.fitting.keypoint_model import KeypointModel
from dsr.fitting.sigmas import common_errors, disagreement, landmark_sigma, limb_weight, person_factor
from dsr.fitting.solver import LinearMass, Targets
from dsr.mocap.pose_prior import PosePrior
from dsr.options import FitOptions
from dsr.people.types import Detection
from dsr.regressors.default.network import PredictedBodies

KEYPOINT_TRUST = {
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
"""How far a kind of keypoint can be trusted against the limbs' 1, by a part of its name: the definition of some differs
from picture to picture."""


@dataclass(frozen=True)
class FitProblem:
    """People of one picture who are fitted in one batch: one keypoint set, and all have 3D landmarks or none has.

    Attributes:
        detections: B people.
        camera: of the full, upright picture.
        body: the body layer.
        model: keypoints of the body, on its device.
        prior: pose prior, there too.
        targets: what to fit to, in the turned cameras.
        rotation: (B, 3, 3) picture's camera to the turned ones, ``X_turned = R X_cam``.
        factor: (B,) on the usual errors of a detector's 3D landmarks, by what their source says of them and how well
            they agree with the keypoints.
        network: what the default network says of everybody, or None.
    """

    detections: list[Detection]
    camera: PictureCamera
    body: Body
    model: KeypointModel
    prior: PosePrior
    targets: Targets
    rotation: Tensor
    factor: Tensor
    network: PredictedBodies | None = None

    def select(self, rows: list[int]) -> FitProblem:
        """Some of the people."""
        index = torch.as_tensor(rows, device=self.rotation.device)
        return replace(
            self,
            detections=[self.detections[i] for i in rows],
            targets=self.targets.select(index),
            rotation=self.rotation[index],
            factor=self.factor[index],
            network=None if self.network is None else self.network.select(index),
        )


def group_detections(detections: Sequence[Detection]) -> list[list[int]]:
    """Places in the list of people who can be fitted together: same keypoint set, with or without 3D landmarks."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for i, detection in enumerate(detections):
        groups.setdefault((detection.keypoint_set, detection.world_m is None), []).append(i)
    return [groups[key] for key in sorted(groups)]


def finite_detection(detection: Detection) -> Detection:
    """A detection without NaN and infinity: such keypoints are not seen, such 3D landmarks not there.

    A box that is no box is that of the keypoints that are seen.
    """
    pixels, confidence, box = (
        np.asarray(a, np.float64) for a in (detection.keypoints_px, detection.confidence, detection.box_px)
    )
    finite = np.isfinite(pixels).all(1) & np.isfinite(confidence)
    world = detection.world_m
    if world is not None and not np.isfinite(world).all():
        world = None
    seen = finite & (np.nan_to_num(confidence) > 0)
    boxed = np.isfinite(box).all() and (box[2:] > box[:2]).all()
    if finite.all() and world is detection.world_m and (boxed or not seen.any()):
        return detection
    middle = pixels[seen].mean(0) if seen.any() else np.zeros(2)
    pixels = np.where(finite[:, None], np.nan_to_num(pixels), middle)
    if not boxed and seen.any():
        box = np.concatenate([pixels[seen].min(0), pixels[seen].max(0)])
        box[2:] = np.maximum(box[2:], box[:2] + 1)
    return replace(
        detection,
        keypoints_px=pixels,
        confidence=np.where(finite, np.nan_to_num(confidence), 0.0),
        world_m=world,
        box_px=np.nan_to_num(box),
    )


def fit_problem(detections: list[Detection], camera: PictureCamera, body: Body, options: FitOptions) -> FitProblem:
    """The problem of people that :func:`group_detections` puts together.

    Args:
        detections: the people.
        camera: of the full, upright picture.
        body: body layer; its asset needs the detections' keypoint set.
        options: ``height`` and ``mass`` are used.

    Raises:
        BodyError: if the body has no regressor for the keypoint set.
        FittingError: if no keypoint of a person has a confidence above 0.
    """
    keypoint_set, device = detections[0].keypoint_set, str(body.faces.device)
    model = load_keypoint_model(body.asset, keypoint_set, device)

    def tensor(arrays: list[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.stack(arrays), dtype=model.dtype, device=device)

    boxes, pixels = tensor([d.box_px for d in detections]), tensor([d.keypoints_px for d in detections])
    confidence = tensor([d.confidence for d in detections])
    if bool((confidence.max(1).values <= 0).any()):
        raise FittingError("a person has no keypoint with a confidence above 0; remove it from the keypoint file.")
    K = torch.as_tensor(camera.K, dtype=model.dtype, device=device).expand(len(detections), 3, 3)
    rotation = perspective_rotation(K, (boxes[:, :2] + boxes[:, 2:]) / 2)
    homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)
    rays = homogeneous @ torch.linalg.inv(K).transpose(1, 2) @ rotation.transpose(1, 2)
    # A ray at a right angle to the optical axis or behind it says nothing usable.
    confidence = torch.where(rays[..., 2] > 0.05, confidence, torch.zeros_like(confidence))
    rays = rays[..., :2] / rays[..., 2:].clamp(min=0.05)
    side = (boxes[:, 2:] - boxes[:, :2]).max(1).values
    betas, mass = size_targets(body.asset, model, options)
    scale = side / K[:, 0, 0]
    landmarks, spread, common = None, None, None
    factor = pixel_factor = torch.ones_like(scale)
    if detections[0].world_m is not None:
        seen = tensor([d.world_m for d in detections if d.world_m is not None])
        limbs = confidence * limb_weight(keypoint_set).to(confidence)
        # Landmarks are said to be in the picture's camera; a detector that sees a crop alone gives them as a camera
        # does that looks straight at the person. Whichever falls onto the keypoints better is believed.
        turned = seen @ rotation.transpose(1, 2)
        off, off_turned = (disagreement(rays, points, limbs, scale) for points in (seen, turned))
        landmarks = torch.where((off_turned < off)[:, None, None], turned, seen)
        pixel_factor = person_factor(torch.minimum(off, off_turned))
        usual = landmark_sigma(keypoint_set).to(landmarks)
        # where the landmarks' source knows how far they are off, it is the same in all directions, and nothing shared
        alike = usual[:, 2].cpu().numpy()
        known = tensor(
            [alike if d.world_sigma_m is None else np.nan_to_num(d.world_sigma_m, nan=np.inf) for d in detections]
        )
        said = torch.tensor([d.world_sigma_m is not None for d in detections], device=device)
        limb = (known / usual[:, 2]).clamp(max=1.0) * limb_weight(keypoint_set).to(known)
        factor = torch.where(said, limb.sum(1) / limb_weight(keypoint_set).sum(), pixel_factor)
        factor = torch.minimum(factor, pixel_factor)
        spread = torch.where(said[:, None, None], known[..., None], pixel_factor[:, None, None] * usual)
        common = (pixel_factor * ~said)[:, None, None, None] * common_errors(landmarks, keypoint_set)
    targets = Targets(
        rays=rays,
        weight=confidence * keypoint_trust(keypoint_set).to(confidence),
        scale=scale,
        sight=rotation[:, 2, :2] / rotation[:, 2, 2:],
        landmarks=landmarks,
        landmark_sigma=spread,
        landmark_common=common,
        pixel_factor=pixel_factor[:, None].expand_as(confidence),
        height=None if options.height is None else torch.full_like(side, options.height),
        betas=None if betas is None else betas.expand(len(detections), -1),
        mass=mass,
    )
    return FitProblem(detections, camera, body, model, load_pose_prior(device), targets, rotation, factor)


def size_targets(
    asset: BodyAsset, model: KeypointModel, options: FitOptions
) -> tuple[Tensor | None, LinearMass | None]:
    """The likeliest betas (n,) of the height and mass that the user gave, and the mass; None where nothing is known."""
    size = known_size(asset, model.num_betas, options.height, options.mass)
    if size is None:
        return None, None
    betas = torch.as_tensor(size.betas, dtype=model.dtype, device=model.device)
    if size.mass_slope is None:
        return betas, None
    return betas, LinearMass(torch.as_tensor(size.mass_slope).to(betas), size.mass_goal_kg)


@lru_cache(maxsize=8)
def keypoint_trust(keypoint_set: str) -> Tensor:
    """(K,) factor on the confidence of each keypoint of a set, from :data:`KEYPOINT_TRUST`."""
    return torch.tensor(
        [next((w for part, w in KEYPOINT_TRUST.items() if part in name), 1.0) for name in joint_names(keypoint_set)]
    )


@lru_cache(maxsize=8)
def load_keypoint_model(asset: BodyAsset, keypoint_set: str, device: str) -> KeypointModel:
    """The keypoint model of a body, built once."""
    return KeypointModel(asset, keypoint_set, device=device)


@lru_cache(maxsize=2)
def load_pose_prior(device: str) -> PosePrior:
    """The pose prior in double precision, read once."""
    return PosePrior.load(device=device, dtype=torch.float64)
