"""The floor of a picture: where most people who stand can stand together, each somewhat smaller and nearer or larger
and farther than an average adult. Who jumps, climbs or swims is left where the picture has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from dsr.body.asset import BodyAsset
from dsr.body.known_size import known_size
from dsr.camera.tilt import Gravity
from dsr.fitting.balance import anchor_blends
from dsr.fitting.problem import FitProblem
from dsr.fitting.solver import State
from dsr.fitting.stance import Stance
from dsr.fitting.unseen import seated_legs
from dsr.results.clip import TrackResult
from dsr.results.floor import Floor
from dsr.results.picture import PersonResult

_AGREE_LOG = 0.1
"""People's sizes, and with them their distances, differ by about this share."""
_MOVED_LOG, _ACTING_LOG = 0.2, 0.12
"""By how much somebody who stands, and somebody who runs, is made larger or smaller to stand on the others' floor."""
_CHILD_LOG = 0.7
"""Who would have to be smaller by up to this is a child where at least two others agree about the floor."""
_TALLEST_M = 2.0
"""Who would have to be taller than this to stand on the others' floor does not stand on it."""
_CUT = 0.15
"""What somebody says about the floor whose feet are not seen."""
_SITS_M = (0.22, 0.7)
"""Whose legs are not seen and who would stand so far below the others' floor sits."""
_NO_MEASURE = 10.0
"""By how much less a network is believed about legs that sit."""
_LOW_CAMERA_M = 0.3
"""A camera closer to the floor than this sees no sizes by it."""
_ALIKE_DEG, _WALKED_DEG = 12.0, 5.0
"""By how much the grounds of two tracks on one floor differ, and how well resting feet tell its slope."""
_BELIEVED = 0.1
"""A floor of less confidence is none: which way is up stays known, but nobody is said to stand anywhere."""
_SOLE_M = 0.012
"""How well a sole is put on the floor."""


@dataclass(frozen=True)
class SharedFloor:
    """Where N people stand together.

    Attributes:
        height_m: of the camera above it.
        scale: (N,) by how much each of them is larger than fitted.
        standing: (N,) bool, who is on it.
        confidence: 0 to 1.
        sits: (N,) bool, who has no legs in the picture and is too low to stand on it.
    """

    height_m: float
    scale: np.ndarray
    standing: np.ndarray
    confidence: float
    sits: np.ndarray


def shared_floor(below_m: np.ndarray, stances: Sequence[Stance]) -> SharedFloor | None:
    """The floor that the most people can share.

    Args:
        below_m: (N, 2) how far the left and right sole are below the camera, metres.
        stances: of the same people.

    Returns:
        None where nobody's feet are seen to stand.
    """
    carries = np.array([s.carries for s in stances]).reshape(-1, 2)
    upright = np.array([s.standing for s in stances])
    cut = np.array([s.feet.max() < 0.2 and s.hips > 0.5 and s.sitting < 0.5 for s in stances], bool)
    weight = np.maximum(carries.max(1, initial=0) * (0.3 + 0.7 * upright), _CUT * cut)
    below_m = np.asarray(below_m, np.float64)
    if not len(stances) or (weight.max() < 0.25 and cut.sum() < 2):
        return None
    foot = np.where(carries >= 0.5 * carries.max(1, keepdims=True), below_m, -np.inf).max(1)
    sits = _sits(foot, weight, cut)
    weight = np.where(sits, 0.0, weight)
    far = foot > _LOW_CAMERA_M
    if (far & (weight > 0.1)).any():
        size = np.where(far, np.log(np.maximum(foot, _LOW_CAMERA_M)), -np.inf)
        trust = np.where(far, weight, 0.0)
    else:  # a camera on the floor: the distance from it must do, in metres
        size, trust = foot / 1.0, weight
    with np.errstate(invalid="ignore"):
        near = np.exp(-0.5 * ((size[:, None] - size[None, :]) / _AGREE_LOG) ** 2)
    near = np.where(np.isfinite(near), near, 0.0)
    middle = size[int((near @ trust * (trust > 0)).argmax())]
    for _ in range(3):
        share = trust * np.where(np.isfinite(size), np.exp(-0.5 * ((size - middle) / _AGREE_LOG) ** 2), 0.0)
        middle = float(np.where(share > 0, size, 0.0) @ share / share.sum())
    off = np.where(np.isfinite(size), middle - size, np.inf)
    on = (trust > 0.1) & (np.abs(off) < np.where(upright > 0.4, _MOVED_LOG, _ACTING_LOG))
    if far.any() and on.sum() >= 2:
        on |= (trust > 0.1) & (upright > 0.6) & (off < 0) & (off > -_CHILD_LOG)
    agreement = float(trust[on].sum() / max(trust.sum(), 1e-9))
    confidence = agreement * float(1 - np.prod(1 - 0.6 * trust[on]))
    if far.any():
        return SharedFloor(float(np.exp(middle)), np.where(on, np.exp(np.where(on, off, 0)), 1.0), on, confidence, sits)
    return SharedFloor(middle, np.ones(len(stances)), on, confidence, sits)


def _sits(foot: np.ndarray, weight: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """(N,) bool, whose legs are not seen and who would stand below the others' floor.

    That floor is where the feet are that are seen, or else where the highest of the unseen ones would be: somebody
    sits rather than stands in the air.

    Args:
        foot: (N,) how far everybody's lower sole is below the camera, metres.
        weight: (N,) what everybody says about the floor.
        cut: (N,) bool, whose feet are not seen.
    """
    seen = ~cut & (weight > 0.25)
    floor = float(np.median(foot[seen])) if seen.any() else float(foot[cut].min())
    lower = foot - floor
    return np.asarray(cut & (lower > _SITS_M[0]) & (lower < _SITS_M[1]))


def soles_below(problem: FitProblem, state: State) -> np.ndarray:
    """(B, 2) how far everybody's left and right sole are below the camera, metres."""
    assert problem.targets.upright is not None
    anchors = problem.model.pose(state.root, state.theta, state.betas, state.transl).anchors
    above = torch.einsum("bax,bx->ba", anchors, problem.targets.upright.up)
    return np.asarray(-torch.minimum(above[:, [1, 3]], above[:, [2, 4]]).cpu())


def standing_on(
    problem: FitProblem, state: State, there: SharedFloor, stances: Sequence[Stance]
) -> tuple[FitProblem, State]:
    """A problem of B people with a floor, and the state to go on from: everybody moved along the line of sight to it.

    Who is too low to stand on it sits down.

    Args:
        problem: who is fitted to what.
        state: their bodies.
        there: the floor, with its people's rows.
        stances: everybody's.
    """
    height_m, scale, on = there.height_m, there.scale, there.standing
    model, targets = problem.model, problem.targets
    assert targets.upright is not None
    betas, transl, near = state.betas.clone(), state.transl.clone(), state.betas.clone()
    height, slope = model.height(state.betas)
    grown = height.detach().cpu().numpy() * scale
    on = on & ~((scale > 1) & (grown > _TALLEST_M))
    near[:] = 0.0 if targets.betas is None else targets.betas
    for i in np.flatnonzero(on & (np.abs(scale - 1) > 1e-3)):
        if scale[i] < 0.82:
            size = known_size(problem.body.asset, model.num_betas, round(20 * float(height[i]) * scale[i]) / 20, None)
            assert size is not None
            near[i] = torch.as_tensor(size.betas, dtype=betas.dtype, device=betas.device)
            betas[i] = near[i]
        else:
            betas[i] += (scale[i] - 1) * height[i] * slope / (slope @ slope)
        transl[i] *= scale[i]
    seen = np.array([s.carries if s.feet.max() > 0.2 else np.ones(2) for s in stances])
    carries = torch.as_tensor(seen, dtype=betas.dtype, device=betas.device)
    down = carries * torch.as_tensor(on, device=betas.device)[:, None]
    floor = torch.full_like(targets.upright.floor, -height_m)
    upright = replace(targets.upright, floor=floor, contact=down / _SOLE_M)
    theta, pose_sigma = state.theta, targets.pose_sigma
    if there.sits.any():
        rows = torch.as_tensor(there.sits, device=theta.device)
        seated, factor = (torch.as_tensor(a, dtype=theta.dtype, device=theta.device) for a in seated_legs())
        legs = rows[:, None] & (factor > 0)
        theta = torch.where(legs, seated, theta)
        pose = torch.where(legs, seated.to(upright.pose), upright.pose)
        upright = replace(upright, pose=pose, pose_factor=torch.where(legs, factor.to(pose), upright.pose_factor))
        if pose_sigma is not None:  # a network that saw no legs says that they stand
            pose_sigma = torch.where(legs, _NO_MEASURE * pose_sigma, pose_sigma)
    children = bool((scale[on] < 0.82).any()) if on.any() else False
    targets = replace(
        targets, upright=upright, pose_sigma=pose_sigma, betas=near if children or targets.betas is not None else None
    )
    return replace(problem, targets=targets), replace(state, betas=betas, transl=transl, theta=theta)


def find_floor(people: Sequence[PersonResult], stances: Sequence[Stance], gravity: Gravity, asset: BodyAsset) -> Floor:
    """The floor of fitted people.

    Args:
        people: everybody.
        stances: theirs.
        gravity: which way is up; the floor's normal.
        asset: the body.
    """
    floor = Floor(gravity.up, tilt_sigma_deg=float(np.hypot(gravity.pitch_sigma_deg, gravity.roll_sigma_deg)))
    if not people:
        return floor
    skin = anchor_blends(asset)[1][1:5]
    soles = np.stack([skin @ np.asarray(p.vertices_cam_m, np.float64) for p in people]) @ gravity.up
    below = -np.minimum(soles[:, 0::2], soles[:, 1::2])
    shared = shared_floor(below, stances)
    if shared is None or shared.confidence < _BELIEVED:
        return floor
    carries = np.array([s.carries for s in stances])
    foot = np.where(carries >= 0.5 * carries.max(1, keepdims=True), below, -np.inf).max(1)
    on = shared.standing & (np.abs(foot - shared.height_m) < 0.06 + 0.01 * shared.height_m)
    weight = np.maximum(carries.max(1), 0.1) * on
    if not on.any():
        return floor
    floor.offset_m = -float((foot[on] * weight[on]).sum() / weight[on].sum())
    floor.confidence = shared.confidence
    floor.people = [p.id for p, stands in zip(people, on, strict=True) if stands]
    return floor


def find_clip_floor(tracks: Sequence[TrackResult], gravity: Gravity) -> Floor:
    """The floor of a clip's tracks: that of most of them, at the height where they stand.

    Args:
        tracks: everybody; their own grounds come from resting feet.
        gravity: which way is up in the clip, for where nobody's feet rest.
    """
    tilt = float(np.hypot(gravity.pitch_sigma_deg, gravity.roll_sigma_deg))
    floor = Floor(gravity.up, tilt_sigma_deg=tilt)
    known = [t for t in tracks if t.ground is not None and t.contacts.any()]
    if not known:
        return floor
    rests = np.array([t.contacts.any(1).sum() for t in known], np.float64)
    grounds = np.stack([np.asarray(t.ground, np.float64) for t in known])
    middle = grounds[int(rests.argmax()), :3]
    alike = grounds[:, :3] @ middle > np.cos(np.radians(_ALIKE_DEG))
    normal = (rests * alike) @ grounds[:, :3]
    normal /= np.linalg.norm(normal)
    below = []
    for track, ground in zip(known, grounds, strict=True):
        feet = np.asarray(track.joints_cam_m, np.float64)[track.contacts.any(1)][:, [10, 11]].reshape(-1, 3)
        on_it = feet - np.outer(feet @ ground[:3] - ground[3], ground[:3])
        below.append(-float(np.median(on_it @ normal)))
    size = np.log(np.maximum(below, 1e-3)) if min(below) > _LOW_CAMERA_M else np.array(below)
    near = np.exp(-0.5 * ((size[:, None] - size[None, :]) / _AGREE_LOG) ** 2)
    best = size[int((near @ (rests * alike)).argmax())]
    on = alike & (np.abs(size - best) < _MOVED_LOG)
    share = float((rests * on).sum() / rests.sum())
    return Floor(
        normal=normal,
        offset_m=-float(np.average(np.array(below)[on], weights=rests[on])),
        confidence=share * float(1 - np.prod(1 - 0.8 * np.minimum(rests[on] / 10, 1))),
        tilt_sigma_deg=min(tilt, _WALKED_DEG),
        people=[t.id for t, stands in zip(known, on, strict=True) if stands],
    )
