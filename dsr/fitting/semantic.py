"""Semantic refinement: pull fitted bodies onto the picture by a rendered silhouette (after DSR, ICCV 2021, section 3).

Where the picture shows skin the body has to match the mask tightly; elsewhere the dressed body has to: the skin moved
out by how loose the person's clothes are, which is found with the shape (:mod:`dsr.fitting.clothed_surface`). What the
keypoints, landmarks, pose prior, joint limits and shape prior say is held as the normal distribution they leave around
the fit, its pose as the fit holds it (:mod:`dsr.fitting.shape_and_pose`): with H the Gauss-Newton matrix and g the
gradient of the fit's cost at the start, ``H = L L^T`` and ``delta = L^-T y``, the cost is ``g delta + |y|^2 / 2`` plus
a constant. All unknowns then share one unit, the standard deviation, and steps along the gradient move most what the
keypoints know least: girth, depth, and how loose clothes are. The length of the steps is Adam's, but for all unknowns
of a person together: were each scaled by itself, many coefficients of shape would take up what one unknown of looseness
explains better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dsr.body import Body, BodyAsset, load_body
from dsr.body.asset_file import shipped_sha256
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera import PictureCamera, rotate_body
from dsr.clothing.groups import HAIR, LOWER, SHOES, SKIN, UPPER
from dsr.clothing.prior import ClothingPrior, load_clothing_prior
from dsr.devices import one_thread
from dsr.fitting.clothed_surface import clothed_surface
from dsr.fitting.expectation import expect_upright
from dsr.fitting.gravity import find_gravity, find_stances
from dsr.fitting.mask_crop import MaskCrop, mask_crop
from dsr.fitting.network_start import with_network
from dsr.fitting.picture_result import describe_state
from dsr.fitting.problem import FitProblem, fit_problem, group_detections
from dsr.fitting.semantic_terms import Canvas, OutlineTerm, PublishedTerm, SemanticTerm
from dsr.fitting.shape_and_pose import pose_as_fitted
from dsr.fitting.solver import FitWeights, State, Targets, linearise
from dsr.limits import check_time
from dsr.options import FitOptions
from dsr.people.body_view import view_body
from dsr.people.brought_labels import of_person
from dsr.people.clothing_map import ClothingMap
from dsr.people.crop_grid import person_grid
from dsr.people.parser import SIDE, parse_clothing
from dsr.people.types import Detection
from dsr.rendering import RenderSettings, SemanticRenderer
from dsr.results.picture import PersonResult

_STEPS = {"fast": 16, "standard": 24, "best": 40}
_MOMENTUM, _MEMORY = 0.8, 0.95  # as Adam's two
_IN_MASK = 0.2
"""Intersection over union of body and mask below which the mask lies elsewhere."""
_GROWN, _CHILD = 0.08, 0.16
"""Coefficient of a child's body: up to the first a fit of an adult that hedges, from the second on believed."""
_STEP_FACTORS = (1.0, 0.75, 0.5, 0.35, 0.2, 0.1)
"""Parts of the step that are tried until one is accepted."""


@dataclass(frozen=True)
class SemanticWeights:
    """How the refinement weighs picture against keypoints."""

    silhouette: float = 300.0
    """Of a body that lies wholly beside its mask, in halves of squared standard deviations."""
    objective: Literal["dressed", "outline", "published"] = "dressed"
    """What is compared with the picture: the dressed body with its mask; the bare body with it, as if all of it were
    skin; or DSR's labels with the rendered prior, as published."""
    cloth: float = 0.7
    """How much uncovered clothing counts against uncovered skin."""
    hair: float = 0.3
    """How much uncovered hair does; it stands off the head more than the prior knows."""
    pixel: float = 0.008
    """Keypoints may be off by this share of the person's box side: one standard deviation."""
    landmark_across_m: float = 0.20
    """3D landmarks across the viewing direction, metres, in what they say of the shape. Twice what the fit allows:
    their errors go together, so that 33 of them say less about proportions, and with these about the height, than 33
    independent ones would."""
    landmark_along_m: float = 0.40
    """3D landmarks along the viewing direction, metres."""
    beta: float = 1.0
    """Shape coefficients: as they differ between people (the fit gives them more room). Body and cloth share what the
    outline says by how much each of them differs."""
    child: float = 0.05
    """The coefficient that leads to a child, around the fit's: outlines say next to nothing about it."""
    learning_rate: float = 0.4
    """Length of a step at first, in standard deviations."""
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
    labels: ClothingMap | None = None,
) -> list[PersonResult]:
    """Refine fitted people of one picture by their masks.

    Args:
        people: results of :func:`dsr.fitting.fit_people`; not changed.
        detections: the same people, in the same order.
        camera: of the full, upright picture.
        body: body layer the people were fitted with.
        options: ``height``, ``quality`` and ``clothing`` are used; ``"tight"`` and ``"off"`` treat clothing as skin.
        photo_rgb: (h, w, 3) uint8, the upright picture at any size; without it the prior alone says what is covered.
        weights: how terms are weighed.
        labels: clothing labels of the whole picture in pixels of ``photo_rgb``, instead of the built-in parser's.

    Returns:
        One result per person. Refined ones have ``residuals["semantic"]``; people without a mask, and people whose
        overlap with the mask does not rise or whose reprojection error rises by more than 30 %, keep their fit and
        get a warning that says so.

    Raises:
        MissingExtraError: if no backend of the renderer is installed.
    """
    weights = weights or SemanticWeights()
    objective = weights.objective if options.clothing == "auto" else "outline"
    cloth = weights.cloth
    counts = (
        {SKIN: 1.0, HAIR: weights.hair, UPPER: cloth, LOWER: cloth, SHOES: cloth} if objective == "dressed" else None
    )
    gravity = camera.gravity or find_gravity(detections, camera)
    results = list(people)
    for i, detection in enumerate(detections):
        if detection.mask is None:
            results[i] = _kept(people[i], "there is no mask of this person")
    with one_thread(), torch.enable_grad():
        for group in group_detections(detections):
            rows = [i for i in group if detections[i].mask is not None]
            if rows:
                maps = [
                    parsed(people[i], detections[i], camera, body, photo_rgb, labels)
                    if objective != "outline"
                    else None
                    for i in rows
                ]
                crops = [
                    mask_crop(people, detections, i, camera, clothes, weights=counts, side=weights.side)
                    for i, clothes in zip(rows, maps, strict=True)
                ]
                some = [detections[i] for i in rows]
                problem = as_fitted = fit_problem(some, camera, body, options)
                if options.regressor == "default":  # its keypoints; the shape is the silhouette's matter now
                    as_fitted = with_network(problem)
                    targets = replace(problem.targets, landmarks=as_fitted.targets.landmarks)
                    problem = replace(problem, targets=targets, network=as_fitted.network)
                stances = find_stances(some, camera, gravity)
                problem, as_fitted = (expect_upright(p, gravity, stances) for p in (problem, as_fitted))
                before = [people[i] for i in rows]
                refined = _refine_group(before, problem, as_fitted.targets, crops, objective, options, weights)
                for i, person in zip(rows, refined, strict=True):
                    results[i] = person
    return results


def _refine_group(
    before: list[PersonResult],
    problem: FitProblem,
    as_fitted: Targets,
    mask_crops: list[MaskCrop],
    objective: str,
    options: FitOptions,
    weights: SemanticWeights,
) -> list[PersonResult]:
    """Refine the fitted people of a problem, each by the crop of their mask; the pose was fitted to other targets."""
    model, body, turn = problem.model, problem.body, problem.rotation
    device = body.faces.device
    start = _state_of(before, problem)
    keypoint_weights = FitWeights(
        pixel=weights.pixel,
        landmark_across_m=weights.landmark_across_m,
        landmark_along_m=weights.landmark_along_m,
        beta=weights.beta,
        child=weights.child,
    )
    targets = replace(
        problem.targets, landmark_sigma=None, landmark_weight=None, landmark_common=None, pixel_factor=None
    )
    if model.child_axis is not None:
        betas = torch.zeros_like(start.betas) if targets.betas is None else targets.betas.clone()
        child = start.betas[:, model.child_axis]
        if targets.betas is None:  # no height is given
            child = child * ((child - _GROWN) / (_CHILD - _GROWN)).clamp(0.0, 1.0)
        betas[:, model.child_axis] = child
        targets = replace(targets, betas=betas)
    if options.regressor != "default" and as_fitted.landmarks is not None:  # a network's pose has no landmarks of ours
        fitted = model.carried(start.root, start.theta, start.betas, start.transl)[0]
        as_fitted = replace(
            as_fitted, landmarks=fitted, landmark_sigma=None, landmark_weight=None, landmark_common=None
        )
    system = pose_as_fitted(
        linearise(model, problem.prior, targets, start, keypoint_weights),
        linearise(model, problem.prior, as_fitted, start, FitWeights()),
        model.num_betas,
    )
    factor = torch.linalg.cholesky(system.normal + 1e-6 * torch.eye(model.num_parameters).to(system.normal))
    slope = torch.linalg.solve_triangular(factor, system.gradient[..., None], upper=False)[..., 0]

    def tensor(arrays: list[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.stack(arrays), dtype=torch.float32, device=device)

    installed = body.asset.name in ("open", "open-x") and body.asset.sha256 == shipped_sha256(body.asset.name)
    light = _light(str(device)) if installed else body  # the same betas; another release's body has others
    outside = light.faces[torch.as_tensor(~light.asset.interior, device=device)]
    render = SemanticRenderer(RenderSettings(sigma=weights.sigma), threads=1)
    crop_K, masks = tensor([c.camera.K for c in mask_crops]), tensor([c.mask for c in mask_crops])
    canvas = Canvas(render, outside, crop_K, weights.side, masks, tensor([c.visible for c in mask_crops]))
    term = _term(objective, canvas, before, mask_crops, body, light)
    known = model.num_parameters

    def moved(y: Tensor) -> State:
        return start.step(torch.linalg.solve_triangular(factor.transpose(1, 2), y[..., None], upper=True)[..., 0])

    def drawn(state: State) -> Tensor:
        pose = torch.nn.functional.pad(state.theta, (0, 3 * (light.num_joints - 1) - state.theta.shape[1]))
        vertices = light(state.betas.float(), pose.float(), state.root.float(), state.transl.float()).vertices
        return vertices @ turn.float()  # X = R^T X', rows

    def cost(z: Tensor) -> Tensor:
        y, own = z[:, :known], z[:, known:]
        explained = (slope * y).sum(1) + 0.5 * z.square().sum(1)
        return weights.silhouette * term(drawn(moved(y)), own.float()).double() + explained

    # Where keypoints and priors alone would go: what they weigh here differs from what they weighed in the fit.
    z = torch.nn.functional.pad(-slope, (0, term.num_unknowns)).requires_grad_()
    with torch.no_grad():
        first = cost(torch.zeros_like(z))
    steps = _STEPS[options.quality]
    mean, square = torch.zeros_like(z), torch.zeros_like(z[:, :1])
    for step in range(steps):
        check_time()
        (gradient,) = torch.autograd.grad(cost(z).sum(), z)
        gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
        mean = _MOMENTUM * mean + (1 - _MOMENTUM) * gradient
        square = _MEMORY * square + (1 - _MEMORY) * gradient.square().sum(1, keepdim=True)
        ahead = mean / (1 - _MOMENTUM ** (step + 1)) / (square / (1 - _MEMORY ** (step + 1))).sqrt().clamp(min=1e-12)
        with torch.no_grad():
            z -= weights.learning_rate * min(1.0, 2.0 * (1 - step / steps)) * ahead
    done: dict[int, PersonResult] = {}
    for fraction in _STEP_FACTORS:
        todo = [k for k in range(len(before)) if k not in done]
        if not todo:
            break
        with torch.no_grad():
            cheaper = cost(fraction * z.detach()) < first
            loose = _looseness(term, fraction * z.detach()[:, known:].float())
            state = moved(fraction * z.detach()[:, :known]).select(torch.as_tensor(todo, device=device))
            candidates = describe_state(problem.select(todo), state)
        for k, person in zip(todo, candidates, strict=True):
            # A bare body has to cover more of its mask; a dressed one that is in it may shrink inside of its clothes.
            shrinks = objective != "outline" and _is_in_its_mask(before[k])
            fits = bool(cheaper[k]) if shrinks else _overlaps_more(before[k], person)
            if fits and _keeps_keypoints(before[k], person, weights):
                done[k] = _accepted(before[k], person, fraction, loose[k])
    sentence = "it would not have raised the overlap with the mask, or only at the keypoints' cost"
    return [done[k] if k in done else _kept(before[k], sentence) for k in range(len(before))]


def parsed(
    person: PersonResult,
    detection: Detection,
    camera: PictureCamera,
    body: Body,
    photo_rgb: np.ndarray | None,
    labels: ClothingMap | None = None,
) -> ClothingMap | None:
    """Clothing labels of a fitted person, or None without a photograph or where the body is not to be seen."""
    if photo_rgb is None or detection.mask is None:
        return None
    prior, vertices = clothing_prior_of(body.asset), person.vertices_cam_m.astype(np.float64)
    if labels is None:
        return parse_clothing(detection, vertices, body.asset, prior, camera, photo_rgb)
    grid = person_grid(detection, SIDE)
    scale = np.array([photo_rgb.shape[1] / camera.size[0], photo_rgb.shape[0] / camera.size[1]])
    return of_person(labels, detection, view_body(vertices, body.asset, prior, grid.camera(camera)), grid, scale)


def _looseness(term: SemanticTerm, unknowns: Tensor) -> list[dict[str, float]]:
    """How loose everybody's clothes were found, by garment; nothing where bodies were drawn bare."""
    if not isinstance(term, OutlineTerm) or term.clothes is None:
        return [{} for _ in unknowns]
    found = term.clothes.looseness(unknowns)
    return [{"looseness_upper": float(upper), "looseness_lower": float(lower)} for upper, lower in found]


def _term(
    objective: str, canvas: Canvas, people: list[PersonResult], crops: list[MaskCrop], body: Body, light: Body
) -> SemanticTerm:
    """What is compared with the picture."""
    device = canvas.masks.device

    def stack(arrays: list[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.stack(arrays), device=device)

    if objective == "outline":
        return OutlineTerm(canvas, torch.ones_like(canvas.masks))
    prior = clothing_prior_of(light.asset)
    if objective == "published":
        outer = prior.face_labels[~light.asset.interior]
        return PublishedTerm(canvas, stack([c.labels for c in crops]), torch.as_tensor(outer, device=device))
    views = []
    for person, crop in zip(people, crops, strict=True):
        view = view_body(
            person.vertices_cam_m.astype(np.float64), body.asset, clothing_prior_of(body.asset), crop.camera
        )
        views.append(None if view is None else (view, crop.labels, body.asset))
    return OutlineTerm(canvas, stack([c.coverage for c in crops]).float(), clothed_surface(prior, light.asset, views))


def _state_of(people: list[PersonResult], problem: FitProblem) -> State:
    """Results back into the cameras turned to look straight at them, double precision."""
    body, turn = problem.body, problem.rotation

    def stack(name: str) -> Tensor:
        return torch.as_tensor(np.stack([getattr(p, name) for p in people])).to(turn)

    betas = stack("betas")[:, : problem.model.num_betas]
    root_rest = body.rest_joints(betas)[:, 0].to(turn)
    root, transl = rotate_body(axis_angle_to_rotmat(stack("global_orient")), stack("transl"), root_rest, turn)
    return State(root, stack("body_pose")[:, :21].flatten(1), betas, transl)


def _is_in_its_mask(person: PersonResult) -> bool:
    """Whether the mask may be the person's at all."""
    overlap = person.residuals["fit"]["silhouette_iou"]
    return overlap is not None and overlap >= _IN_MASK


def _overlaps_more(before: PersonResult, after: PersonResult) -> bool:
    """Whether the body covers more of its mask than it did."""
    overlap = before.residuals["fit"]["silhouette_iou"], after.residuals["fit"]["silhouette_iou"]
    return overlap[0] is not None and overlap[1] is not None and overlap[1] > overlap[0]


def _keeps_keypoints(before: PersonResult, after: PersonResult, weights: SemanticWeights) -> bool:
    """Whether the body is one and the keypoints did not pay for it."""
    if not (np.isfinite(after.vertices_cam_m).all() and after.transl[2] > 0):
        return False
    error = before.residuals["fit"]["reprojection_px"], after.residuals["fit"]["reprojection_px"]
    return error[0] is None or error[1] is None or error[1] <= weights.worse_reprojection * error[0]


def _accepted(before: PersonResult, after: PersonResult, step: float, looseness: dict[str, float]) -> PersonResult:
    residuals = {**before.residuals, "semantic": {**after.residuals["fit"], "step": step, **looseness}}
    return replace(after, id=before.id, residuals=residuals, warnings=list(before.warnings))


def _kept(person: PersonResult, why: str) -> PersonResult:
    return replace(person, warnings=[*person.warnings, f"Not refined by the silhouette: {why}."])


@lru_cache(maxsize=2)
def _light(device: str) -> Body:
    """The open body with about half the vertices; same betas and pose."""
    return load_body("open-light", device=device)


@lru_cache(maxsize=4)
def clothing_prior_of(asset: BodyAsset) -> ClothingPrior:
    """The prior of a body, carried over once."""
    return load_clothing_prior(asset)
