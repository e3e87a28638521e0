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
from dsr.body.joints import joint_names
from dsr.body.rotations import axis_angle_to_rotmat
from dsr.camera import PictureCamera, rotate_body
from dsr.devices import one_thread
from dsr.fitting.picture_result import describe_state
from dsr.fitting.problem import FitProblem, fit_problem, group_detections
from dsr.fitting.residuals import VISIBLE
from dsr.fitting.solver import FitWeights, State, linearise
from dsr.losses.silhouette import containment_loss, coverage_loss
from dsr.options import FitOptions
from dsr.people.types import Detection, PersonMask
from dsr.rendering import RenderSettings, SemanticRenderer
from dsr.results.picture import PersonResult

_STEPS = {"fast": 16, "standard": 24, "best": 40}
_STEP_FACTORS = (1.0, 0.75, 0.5, 0.35, 0.2, 0.1)
"""Parts of the step that are tried until one is accepted."""
_BARE = ("nose", "eye", "ear", "mouth", "index", "pinky", "thumb", "wrist")
"""Keypoints around which skin can be expected."""


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
                crops = [_mask_crop(people, detections, i, camera, photo_rgb, options, weights) for i in rows]
                problem = fit_problem([detections[i] for i in rows], camera, body, options)
                refined = _refine_group([people[i] for i in rows], problem, crops, options, weights)
                for i, person in zip(rows, refined, strict=True):
                    results[i] = person
    return results


def _refine_group(
    before: list[PersonResult],
    problem: FitProblem,
    mask_crops: list[_MaskCrop],
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
    system = linearise(model, problem.prior, problem.targets, start, keypoint_weights)
    factor = torch.linalg.cholesky(system.normal + 1e-6 * torch.eye(model.num_parameters).to(system.normal))
    slope = torch.linalg.solve_triangular(factor, system.gradient[..., None], upper=False)[..., 0]

    def tensor(arrays: list[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.stack(arrays), dtype=torch.float32, device=device)

    crop_K, masks = tensor([c.camera.K for c in mask_crops]), tensor([c.mask for c in mask_crops])
    visible, coverage = tensor([c.visible for c in mask_crops]), tensor([c.coverage for c in mask_crops])
    light = _light(str(device)) if body.asset.name == "open" else body
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


@dataclass(frozen=True)
class _MaskCrop:
    """What the picture says about one person's silhouette, in a square of S pixels around them.

    Attributes:
        camera: of the crop.
        mask: (S, S) probability of the person.
        visible: (S, S) 1 where the mask can be believed: inside the picture, and nobody nearer in the way; else 0.
        coverage: (S, S) how much it counts that the body covers a pixel of the mask: 1 on skin, less on clothing.
    """

    camera: PictureCamera
    mask: np.ndarray
    visible: np.ndarray
    coverage: np.ndarray


def _mask_crop(
    people: Sequence[PersonResult],
    detections: Sequence[Detection],
    i: int,
    camera: PictureCamera,
    photo_rgb: np.ndarray | None,
    options: FitOptions,
    weights: SemanticWeights,
) -> _MaskCrop:
    """The crop of person ``i`` of the picture."""
    mask = detections[i].mask
    assert mask is not None
    side = weights.side
    mask_box, box = np.asarray(mask.box_px, float), np.asarray(detections[i].box_px, float)
    rows, cols = mask.probability.shape
    sure = mask.probability > 0.5
    if sure.any():  # the mask's box may be far larger than the person
        v, u = np.flatnonzero(sure.any(1)), np.flatnonzero(sure.any(0))
        cell = (mask_box[2:] - mask_box[:2]) / (cols, rows)
        person = np.concatenate([mask_box[:2] + cell * (u[0], v[0]), mask_box[:2] + cell * (u[-1] + 1, v[-1] + 1)])
        box = np.concatenate([np.minimum(box[:2], person[:2]), np.maximum(box[2:], person[2:])])
    centre, size = (box[:2] + box[2:]) / 2, 1.15 * float((box[2:] - box[:2]).max())
    scale = side / size
    crop = np.array([[scale, 0, side / 2 - scale * centre[0]], [0, scale, side / 2 - scale * centre[1]], [0, 0, 1]])
    u = centre[0] + (np.arange(side) + 0.5 - side / 2) / scale
    v = centre[1] + (np.arange(side) + 0.5 - side / 2) / scale
    mine = _sample(mask, u, v)
    width, height = camera.size
    visible = ((v > 0) & (v < height))[:, None] & ((u > 0) & (u < width))[None]
    for k, other in enumerate(detections):
        if k != i and other.mask is not None and people[k].transl[2] < people[i].transl[2]:
            visible &= ~((_sample(other.mask, u, v) > 0.5) & (mine < 0.5))
    coverage = np.ones((side, side))
    if options.clothing == "auto":
        skin = None if photo_rgb is None else skin_pixels(detections[i], mine, u, v, camera.size, photo_rgb)
        coverage = np.full((side, side), weights.cloth) if skin is None else np.where(skin, 1.0, weights.cloth)
    return _MaskCrop(camera.warped(crop, (side, side)), mine, visible.astype(float), coverage)


def _sample(mask: PersonMask, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Probability (len(v), len(u)) at full-picture pixels, bilinear, 0 outside of the mask's box."""
    from scipy.ndimage import map_coordinates

    x0, y0, x1, y1 = (float(value) for value in mask.box_px)
    rows, cols = mask.probability.shape
    row, col = (v - y0) / max(y1 - y0, 1e-6) * rows - 0.5, (u - x0) / max(x1 - x0, 1e-6) * cols - 0.5
    inside = ((row > -0.5) & (row < rows - 0.5))[:, None] & ((col > -0.5) & (col < cols - 0.5))[None]
    grid = np.meshgrid(row, col, indexing="ij")
    values = map_coordinates(mask.probability.astype(np.float32), grid, order=1, mode="nearest")
    return np.where(inside, values.clip(0, 1), 0.0)


def skin_pixels(
    detection: Detection, mask: np.ndarray, u: np.ndarray, v: np.ndarray, image_size: tuple[int, int], rgb: np.ndarray
) -> np.ndarray | None:
    """Pixels of the mask whose colour (Cb, Cr and a wide Y) is near that of this person's face and hands.

    Args:
        detection: the person; the keypoints of the face and the hands are used.
        mask: (R, C) probability of the person.
        u: (C,) full-picture pixels of the mask's columns.
        v: (R,) of its rows.
        image_size: (width, height) of the full picture.
        rgb: (h, w, 3) uint8, the same picture at any size.

    Returns:
        (R, C) bool, or None where too little of the face and the hands is seen to tell its colour.
    """
    names = joint_names(detection.keypoint_set)
    zoom = np.array([rgb.shape[1] / image_size[0], rgb.shape[0] / image_size[1]])
    row = (v * zoom[1]).astype(int).clip(0, rgb.shape[0] - 1)
    col = (u * zoom[0]).astype(int).clip(0, rgb.shape[1] - 1)
    colour = _ycbcr(rgb[np.ix_(row, col)])
    reach = 0.02 * (v[-1] - v[0])
    near = np.zeros(mask.shape, bool)
    for name, (x, y), confidence in zip(names, detection.keypoints_px, detection.confidence, strict=True):
        if confidence >= VISIBLE and any(part in name for part in _BARE):
            near |= (u[None] - x) ** 2 + (v[:, None] - y) ** 2 < reach**2
    samples = colour[near & (mask > 0.5)]
    if len(samples) < 12:
        return None
    centre = np.median(samples, 0)
    spread = np.maximum(1.4826 * np.median(np.abs(samples - centre), 0), (20.0, 3.0, 3.0))
    distance = np.square((colour - centre) / spread).sum(-1)
    return (distance < 9.0) & (mask > 0.5)


def _ycbcr(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.601 luma and colour differences, (..., 3), 0 to 255."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    return rgb.astype(float) @ matrix.T


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
