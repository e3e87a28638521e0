"""Semantic refinement: pull fitted bodies onto the picture by a rendered silhouette (after DSR, ICCV 2021, section 3).

Where the picture shows skin the body has to match the mask tightly; elsewhere (clothing) it has to stay inside the mask
and fills it softly. What the keypoints, landmarks, pose prior, joint limits and shape prior say is held as the normal
distribution they leave around the fit: with H the Gauss-Newton matrix and g the gradient of the fit's cost at the
start, ``H = L L^T`` and ``delta = L^-T y``, the cost is ``g delta + |y|^2 / 2`` plus a constant. All unknowns then
share one unit, the standard deviation, so that plain Adam on y moves most what the keypoints know least: girth, depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dsr.body import Body, load_body
from dsr.body.asset_file import shipped_sha256
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera import PictureCamera, rotate_body
from dsr.devices import one_thread
from dsr.fitting.expectation import expect_upright
from dsr.fitting.gravity import find_stances
from dsr.fitting.mask_crop import MaskCrop, mask_crop
from dsr.fitting.network_start import with_network
from dsr.fitting.picture_result import describe_state
from dsr.fitting.problem import FitProblem, fit_problem, group_detections
from dsr.fitting.solver import FitWeights, State, linearise
from dsr.limits import check_time
from dsr.losses.silhouette import containment_loss, coverage_loss
from dsr.options import FitOptions
from dsr.people.types import Detection
from dsr.rendering import RenderSettings, SemanticRenderer
from dsr.results.picture import PersonResult

_STEPS = {"fast": 16, "standard": 24, "best": 40}
_STEP_FACTORS = (1.0, 0.75, 0.5, 0.35, 0.2, 0.1)
"""Parts of the step that are tried until one is accepted."""


@dataclass(frozen=True)
class SemanticWeights:
    """How the refinement weighs picture against keypoints."""

    silhouette: float = 300.0
    """Of a body that lies wholly beside its mask, in halves of squared standard deviations."""
    cloth: float = 0.33
    """How much uncovered clothing counts against uncovered skin."""
    pixel: float = 0.008
    """Keypoints may be off by this share of the person's box side: one standard deviation."""
    landmark_across_m: float = 0.20
    """3D landmarks across the viewing direction, metres. Twice what the fit allows: their errors go together, so that
    33 of them say less about proportions, and with these about the height, than 33 independent ones would."""
    landmark_along_m: float = 0.40
    """3D landmarks along the viewing direction, metres."""
    learning_rate: float = 0.12
    """Of Adam, in standard deviations."""
    worse_reprojection: float = 1.3
    """A result whose median reprojection error grows by more than this factor is refused."""
    side: int = 128
    """Side of the square that a person is drawn into, pixels."""
    sigma: float = 1e-5
    """Softness of the drawn edge (:class:`dsr.rendering.RenderSettings`). Softer ones draw a fatter body: the blurs of
    small triangles add up beyond the edge, and the fit would come out too thin."""


def refine_semantic(
    people: Sequence[PersonResult],
    detections: Sequence[Detection],
    camera: PictureCamera,
    body: Body,
    options: FitOptions,
    photo_rgb: np.ndarray | None = None,
    weights: SemanticWeights | None = None,
) -> list[PersonResult]:
    """Refine fitted people of one picture by their masks.

    Args:
        people: results of :func:`dsr.fitting.fit_people`; not changed.
        detections: the same people, in the same order.
        camera: of the full, upright picture.
        body: body layer the people were fitted with.
        options: ``height``, ``quality`` and ``clothing`` are used; ``"tight"`` and ``"off"`` treat clothing as skin.
        photo_rgb: (h, w, 3) uint8, the upright picture at any size; without it nothing counts as skin.
        weights: how terms are weighed.

    Returns:
        One result per person. Refined ones have ``residuals["semantic"]``; people without a mask, and people whose
        overlap with the mask does not rise or whose reprojection error rises by more than 30 %, keep their fit and
        get a warning that says so.

    Raises:
        MissingExtraError: if no backend of the renderer is installed.
    """
    weights = weights or SemanticWeights()
    results = list(people)
    for i, detection in enumerate(detections):
        if detection.mask is None:
            results[i] = _kept(people[i], "there is no mask of this person")
    with one_thread(), torch.enable_grad():
        for group in group_detections(detections):
            rows = [i for i in group if detections[i].mask is not None]
            if rows:
                crops = [
                    mask_crop(
                        people,
                        detections,
                        i,
                        camera,
                        photo_rgb,
                        clothing=options.clothing,
                        cloth=weights.cloth,
                        side=weights.side,
                    )
                    for i in rows
                ]
                some = [detections[i] for i in rows]
                problem = fit_problem(some, camera, body, options)
                if options.regressor == "default":
                    problem = with_network(problem)
                if camera.gravity is not None:
                    problem = expect_upright(problem, camera.gravity, find_stances(some, camera, camera.gravity))
                refined = _refine_group([people[i] for i in rows], problem, crops, options, weights)
                for i, person in zip(rows, refined, strict=True):
                    results[i] = person
    return results


def _refine_group(
    before: list[PersonResult],
    problem: FitProblem,
    mask_crops: list[MaskCrop],
    options: FitOptions,
    weights: SemanticWeights,
) -> list[PersonResult]:
    """Refine the fitted people of a problem, each by the crop of their mask."""
    model, body, turn = problem.model, problem.body, problem.rotation
    device = body.faces.device
    start = _state_of(before, problem)
    keypoint_weights = FitWeights(
        pixel=weights.pixel, landmark_across_m=weights.landmark_across_m, landmark_along_m=weights.landmark_along_m
    )
    targets = replace(problem.targets, landmark_sigma=None, pixel_factor=None)
    system = linearise(model, problem.prior, targets, start, keypoint_weights)
    factor = torch.linalg.cholesky(system.normal + 1e-6 * torch.eye(model.num_parameters).to(system.normal))
    slope = torch.linalg.solve_triangular(factor, system.gradient[..., None], upper=False)[..., 0]

    def tensor(arrays: list[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.stack(arrays), dtype=torch.float32, device=device)

    crop_K, masks = tensor([c.camera.K for c in mask_crops]), tensor([c.mask for c in mask_crops])
    visible, coverage = tensor([c.visible for c in mask_crops]), tensor([c.coverage for c in mask_crops])
    installed = body.asset.name in ("open", "open-x") and body.asset.sha256 == shipped_sha256(body.asset.name)
    light = _light(str(device)) if installed else body  # the same betas; another release's body has others
    outside = light.faces[torch.as_tensor(~light.asset.interior, device=device)]
    nothing = torch.zeros(len(outside), 1, device=device)
    render = SemanticRenderer(RenderSettings(sigma=weights.sigma), threads=1)
    demand = (visible * coverage * masks).sum((1, 2)) / (visible * masks).sum((1, 2)).clamp(min=1)

    def moved(y: Tensor) -> State:
        return start.step(torch.linalg.solve_triangular(factor.transpose(1, 2), y[..., None], upper=True)[..., 0])

    def silhouette(state: State) -> Tensor:
        pose = torch.nn.functional.pad(state.theta, (0, 3 * (light.num_joints - 1) - state.theta.shape[1]))
        vertices = light(state.betas.float(), pose.float(), state.root.float(), state.transl.float()).vertices
        vertices = vertices @ turn.float()  # X = R^T X', rows
        return render(vertices, outside, nothing, crop_K, (weights.side, weights.side), "faces").alpha

    # Where keypoints and priors alone would go: what they weigh here differs from what they weighed in the fit.
    y = (-slope).requires_grad_()
    adam = torch.optim.Adam([y], lr=weights.learning_rate, betas=(0.8, 0.95))
    steps = _STEPS[options.quality]
    for step in range(steps):
        check_time()
        for rate in adam.param_groups:
            rate["lr"] = weights.learning_rate * min(1.0, 2.0 * (1 - step / steps))
        alpha = silhouette(moved(y)).clamp(0, 1)
        loss = containment_loss(alpha, masks, weight=visible, reduction="none") + demand * coverage_loss(
            alpha, masks, weight=visible * coverage, reduction="none"
        )
        cost = weights.silhouette * loss.double() + (slope * y).sum(1) + 0.5 * y.square().sum(1)
        adam.zero_grad()
        cost.sum().backward()
        if y.grad is not None:
            y.grad.nan_to_num_(0.0, 0.0, 0.0)
        adam.step()
    done: dict[int, PersonResult] = {}
    for fraction in _STEP_FACTORS:
        todo = [k for k in range(len(before)) if k not in done]
        if not todo:
            break
        with torch.no_grad():
            state = moved(fraction * y.detach()).select(torch.as_tensor(todo, device=device))
            candidates = describe_state(problem.select(todo), state)
        for k, person in zip(todo, candidates, strict=True):
            if _better(before[k], person, weights):
                done[k] = _accepted(before[k], person, fraction)
    sentence = "it would not have raised the overlap with the mask, or only at the keypoints' cost"
    return [done[k] if k in done else _kept(before[k], sentence) for k in range(len(before))]


def _state_of(people: list[PersonResult], problem: FitProblem) -> State:
    """Results back into the cameras turned to look straight at them, double precision."""
    body, turn = problem.body, problem.rotation

    def stack(name: str) -> Tensor:
        return torch.as_tensor(np.stack([getattr(p, name) for p in people])).to(turn)

    betas = stack("betas")[:, : problem.model.num_betas]
    root_rest = body.rest_joints(betas)[:, 0].to(turn)
    root, transl = rotate_body(axis_angle_to_rotmat(stack("global_orient")), stack("transl"), root_rest, turn)
    return State(root, stack("body_pose")[:, :21].flatten(1), betas, transl)


def _better(before: PersonResult, after: PersonResult, weights: SemanticWeights) -> bool:
    """Whether the overlap rose and the keypoints did not pay for it."""
    old, new = before.residuals["fit"], after.residuals["fit"]
    overlap = old["silhouette_iou"], new["silhouette_iou"]
    if overlap[0] is None or overlap[1] is None or not overlap[1] > overlap[0]:
        return False
    error = old["reprojection_px"], new["reprojection_px"]
    if not (np.isfinite(after.vertices_cam_m).all() and after.transl[2] > 0):
        return False
    return error[0] is None or error[1] is None or error[1] <= weights.worse_reprojection * error[0]


def _accepted(before: PersonResult, after: PersonResult, step: float) -> PersonResult:
    residuals = {**before.residuals, "semantic": {**after.residuals["fit"], "step": step}}
    return replace(after, id=before.id, residuals=residuals, warnings=list(before.warnings))


def _kept(person: PersonResult, why: str) -> PersonResult:
    return replace(person, warnings=[*person.warnings, f"Not refined by the silhouette: {why}."])


@lru_cache(maxsize=2)
def _light(device: str) -> Body:
    """The open body with about half the vertices; same betas and pose."""
    return load_body("open-light", device=device)
