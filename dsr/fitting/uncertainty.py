"""Uncertainty-aware optimisation at test time (UAO-Pose3D, arXiv 2402.02339): a picture corrects its own prediction.

The lifter's weights stay; its input, the detected 2D pose, becomes the latent that a few steps of Adam move until the
predicted joints project onto the detected ones, while joints that the network is sure of stay near its first prediction
(UAO specification, section 9). Beyond the paper: where people stand is estimated where it is not given.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from dsr.camera.lens import project_screen, screen_slopes
from dsr.camera.placement import translation_from_rays
from dsr.errors import FittingError, UsageError
from dsr.lifting.uao import UAO
from dsr.lifting.uao_frozen import FrozenUAO
from dsr.tracks.skeleton import mirror

_NEAREST_M = 0.3
"""Roots are not placed nearer to the camera than this."""
_ROOT_STEPS = 3
_FOCAL_LENGTHS = (0.2, 1000.0)
"""Screen-normalised focal lengths that a picture can have: 157 to 0.1 degrees across it."""
_FARTHEST_OUT = 10.0
"""Half-widths from the picture's middle: where most keypoints of somebody are farther out, they are pixels."""
_TOGETHER = 16
"""People who pass the network at once: with more, what is kept for the gradients leaves the processor's caches."""


@dataclass(frozen=True)
class UncertaintySettings:
    """How a prediction is corrected; the defaults are the published ones.

    Attributes:
        steps: of Adam.
        learning_rate: Adam's; a step moves a screen coordinate by about so much.
        uncertainty: weight of the terms that hold joints near the first prediction.
        projection: weight of the terms that draw them to the detected keypoints.
    """

    steps: int = 4
    learning_rate: float = 1e-3
    uncertainty: float = 0.005
    projection: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) or self.steps < 0:
            raise UsageError(f"steps is a whole number from 0 on, got {self.steps!r}.")
        for name in ("learning_rate", "uncertainty", "projection"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UsageError(f"{name} is a number from 0 on, got {getattr(self, name)}.")


@dataclass(frozen=True)
class OptimisationStep:
    """What one step saw and did; each of the two views is the plain or the mirrored one, turned back.

    Attributes:
        loss: the total.
        uncertainty: (2,) terms of both views, unweighted.
        projection: (2,) terms of both views, unweighted.
        log_scale: (2, B, 17) of both views.
        projected: (2, B, 17, 2) screen coordinates of the predicted joints.
        gradient: (2, B, 1, 17, 2) of the latents, the mirrored one as the network sees it.
        latent: (2, B, 1, 17, 2) after the step.
    """

    loss: Tensor
    uncertainty: Tensor
    projection: Tensor
    log_scale: Tensor
    projected: Tensor
    gradient: Tensor
    latent: Tensor


@dataclass(frozen=True)
class OptimisedPoses:
    """Poses before and after.

    Attributes:
        joints_m: (B, 17, 3) metres relative to the root, which is zero; both views averaged.
        first_m: (B, 17, 3) the same before the optimisation: the lifter's plain answer.
        log_scale: (B, 17) of the first prediction, both views averaged: exp of it is the expected error in metres.
        root_m: (B, 3) where the roots stand in the camera: as given, or as estimated from the last prediction.
        steps: one entry per step where they were asked for.
    """

    joints_m: Tensor
    first_m: Tensor
    log_scale: Tensor
    root_m: Tensor
    steps: tuple[OptimisationStep, ...] = field(default=())


def optimise_poses(
    lifter: UAO,
    keypoints: Tensor,
    intrinsic: Tensor,
    root_m: Tensor | None = None,
    *,
    settings: UncertaintySettings | None = None,
    confidence: Tensor | None = None,
    record: bool = False,
) -> OptimisedPoses:
    """Lift 2D poses and let the pictures correct them.

    Both views of all people pass the network together, its weights are frozen so that no gradients of them are
    computed, and the first prediction is that of the first step, whose own term is then exactly zero.

    Args:
        lifter: in any mode; it is used in evaluation mode and left as it was.
        keypoints: (B, 17, 2) or (B, 1, 17, 2) screen-normalised 2D poses (:func:`~dsr.tracks.normalise_screen`).
        intrinsic: (9,) or (B, 9) of the cameras (:func:`~dsr.camera.lens.screen_intrinsic`).
        root_m: (B, 3) root joints in the camera, metres: the published protocol takes the true ones. None: estimated
            before every step from the joints as they are, by least squares on the detected keypoints.
        settings: weights and steps.
        confidence: (B, 17) from 0 on, of the keypoints in projection and root; all alike where None, as published.
        record: keep what every step saw and did.

    Returns:
        The poses.

    Raises:
        UsageError: if shapes do not fit, something is no tensor, or there is nobody.
        FittingError: if keypoints, cameras or roots are not finite, a focal length is none that a picture has,
            keypoints are pixels, or somebody whose root is to be estimated has fewer than two keypoints of any
            confidence.
    """
    settings = settings or UncertaintySettings()
    given = {"keypoints": keypoints, "intrinsic": intrinsic, "root_m": root_m, "confidence": confidence}
    for name, value in given.items():
        if not isinstance(value, Tensor) and (value is not None or name in ("keypoints", "intrinsic")):
            raise UsageError(f"{name} must be a torch tensor, not {type(value).__name__}; torch.as_tensor makes one.")
    # Numbers of another kind (float64, say) are those of the network from here on.
    x = (keypoints[:, None] if keypoints.dim() == 3 else keypoints).to(next(lifter.parameters()).dtype)
    lifter.check(x)
    if tuple(intrinsic.shape) not in ((9,), (1, 9), (len(x), 9)):
        raise UsageError(
            f"Cameras of shape {tuple(intrinsic.shape)} for {len(x)} people: (9,) or ({len(x)}, 9) are needed "
            "(dsr.camera.lens.screen_intrinsic makes them)."
        )
    camera = intrinsic.to(x).expand(len(x), 9)
    _check(x, camera, root_m, confidence)
    weight = x.new_ones(x.shape[0], x.shape[2]) if confidence is None else confidence.to(x)
    root = None if root_m is None else root_m.to(x).reshape(-1, 3)
    network = FrozenUAO(lifter)
    parts = [
        _optimise(
            lifter,
            network,
            x[at],
            camera[at],
            None if root is None else root[at],
            weight[at],
            settings,
            len(x),
            record=record,
        )
        for at in (slice(i, i + _TOGETHER) for i in range(0, len(x), _TOGETHER))
    ]
    joints, first, scale, roots = (
        torch.cat([getattr(p, k) for p in parts]) for k in ("joints_m", "first_m", "log_scale", "root_m")
    )
    steps = tuple(_joined(step) for step in zip(*(part.steps for part in parts), strict=True)) if record else ()
    return OptimisedPoses(joints, first, scale, roots, steps)


def _optimise(
    lifter: UAO,
    network: FrozenUAO,
    x: Tensor,
    camera: Tensor,
    root_m: Tensor | None,
    weight: Tensor,
    settings: UncertaintySettings,
    people: int,
    *,
    record: bool,
) -> OptimisedPoses:
    """Some of so many people."""
    target, slopes = x[:, 0, :, :2], screen_slopes(x[:, 0, :, :2], camera)
    # One leaf for both views: Adam works entry by entry, so it moves as two would.
    latent = torch.cat((x, mirror(x))).detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([latent], lr=settings.learning_rate)

    def root_of(joints: Tensor) -> Tensor:
        """(2, B, 1, 3): given, or the one of each view."""
        if root_m is not None:
            return root_m.reshape(1, -1, 1, 3)
        return torch.stack([estimate_root(view, slopes, weight) for view in joints.detach()])[:, :, None]

    steps: list[OptimisationStep] = []
    first: Tensor | None = None
    with torch.enable_grad():
        for _ in range(settings.steps):
            joints, log_scale = _both_views(*network(lifter.enter(latent)[:, 0]))
            if first is None:
                first, first_scale = joints.detach(), log_scale
            kept = torch.linalg.vector_norm(joints - first, dim=-1)
            uncertainty = (kept * (-log_scale).exp() + log_scale).mean(2).sum(1) / people
            projected = project_screen(_placed(joints, root_of(joints)), camera)
            away = torch.linalg.vector_norm(projected - target, dim=-1)
            projection = (away * weight).mean(2).sum(1) / people
            loss = settings.uncertainty * uncertainty.sum() + settings.projection * projection.sum()
            (latent.grad,) = torch.autograd.grad(loss, latent)
            optimiser.step()
            if record:
                seen = (loss, uncertainty, projection, log_scale, projected)
                views = (part.unflatten(0, (2, -1)) for part in (latent.grad, latent))
                steps.append(OptimisationStep(*(part.detach().clone() for part in (*seen, *views))))
    with torch.no_grad():
        last, log_scale = _both_views(*network.forward(lifter.enter(latent)[:, 0], keep=False))
        if first is None:
            first, first_scale = last, log_scale
        root = root_of(last).mean(0)[:, 0]
    return OptimisedPoses(_average(last), _average(first), first_scale.mean(0), root, tuple(steps))


def estimate_root(joints: Tensor, slopes: Tensor, weight: Tensor) -> Tensor:
    """Where the root stands so that the joints fall onto the keypoints' rays; ours, the paper takes the truth.

    Args:
        joints: (B, J, 3) metres; joint 0 is the root and counts as zero.
        slopes: (B, J, 2) X/Z and Y/Z of the keypoints' rays.
        weight: (B, J).

    Returns:
        (B, 3) metres in the camera; least squares of the angles between joints and rays.
    """
    relative = torch.cat((torch.zeros_like(joints[:, :1]), joints[:, 1:]), 1)
    by_angle = weight
    for _ in range(_ROOT_STEPS):
        root = translation_from_rays(relative.double(), slopes.double(), by_angle.double())
        root[:, 2].clamp_(min=_NEAREST_M)
        depth = (relative[..., 2] + root[:, None, 2]).clamp_min(_NEAREST_M)
        by_angle = weight * (root[:, None, 2] / depth).square()
    return root.to(joints.dtype)


def _both_views(joints: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Joints (2, B, 17, 3) and log-scales (2, B, 17) of (2 B, ...); those of the mirrored view are turned back."""
    joints, log_scale = joints.unflatten(0, (2, -1)), log_scale.unflatten(0, (2, -1))
    back = mirror(torch.cat((joints[1], log_scale[1]), -1))
    return torch.stack((joints[0], back[..., :3])), torch.stack((log_scale[0], back[..., 3:]))[..., 0].detach()


def _placed(joints: Tensor, root: Tensor) -> Tensor:
    """Joints in the camera: the root itself first, the others relative to it (joint 0 is replaced, not subtracted)."""
    return torch.cat((torch.zeros_like(joints[..., :1, :]), joints[..., 1:, :]), -2) + root


def _average(views: Tensor) -> Tensor:
    pose = views.mean(0).detach()
    return torch.cat((torch.zeros_like(pose[:, :1]), pose[:, 1:]), 1)


def _joined(parts: tuple[OptimisationStep, ...]) -> OptimisationStep:
    """One step of all people: sums of the terms, people side by side."""
    sums = {
        name: torch.stack([getattr(p, name) for p in parts]).sum(0) for name in ("loss", "uncertainty", "projection")
    }
    rest = ("log_scale", "projected", "gradient", "latent")
    return OptimisationStep(**sums, **{name: torch.cat([getattr(p, name) for p in parts], 1) for name in rest})


def _check(x: Tensor, camera: Tensor, root_m: Tensor | None, confidence: Tensor | None) -> None:
    if not len(x):
        raise UsageError("There are no 2D poses to lift.")
    if root_m is not None and root_m.numel() != 3 * len(x):
        raise UsageError(f"Roots of shape {tuple(root_m.shape)} for {len(x)} people.")
    if confidence is not None and confidence.shape != (len(x), x.shape[2]):
        raise UsageError(f"Confidences of shape {tuple(confidence.shape)} for keypoints of {tuple(x.shape)}.")
    if not bool(x.isfinite().all()):
        raise FittingError("A keypoint is not a number: fill gaps before lifting (dsr.lifting.inference.fill_gaps).")
    if confidence is not None and not bool((confidence.isfinite() & (confidence >= 0)).all()):
        raise FittingError("Confidences of keypoints must be numbers from 0 on.")
    if not bool((camera.isfinite().all(-1) & (camera[..., :2] > 0).all(-1)).all()):
        raise FittingError("A camera's intrinsics are not finite, or a focal length is not positive.")
    least, largest = _FOCAL_LENGTHS
    focal = camera[..., :2]
    if not bool(((focal >= least) & (focal <= largest)).all()):
        wrong = focal[(focal < least) | (focal > largest)][0].item()
        raise FittingError(
            f"A screen-normalised focal length is {wrong:.4g}: {least:g} to {largest:g} half-widths of the picture are "
            "possible (dsr.camera.lens.screen_intrinsic makes it of pixels)."
        )
    if bool((x[..., 0].abs().flatten(1).median(1).values > _FARTHEST_OUT).any()):
        raise FittingError(
            "Keypoints lie far out of the picture: bring pixels to the screen by normalise_screen first."
        )
    if root_m is None and confidence is not None and bool(((confidence > 0).sum(1) < 2).any()):
        raise FittingError("Somebody has fewer than two keypoints of any confidence: give the root, or leave them out.")
    if root_m is not None and not bool(root_m.isfinite().all() & (root_m.reshape(-1, 3)[:, 2] > 0).all()):
        raise FittingError("Roots must be finite and in front of the camera.")
