"""Hands of fitted people: wrists and fingers as the picture shows them, relaxed where it shows none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from dsr.body import Body
from dsr.body.numpy_lbs import rest_shape, rodrigues
from dsr.body.rotations import rotmat_to_axis_angle
from dsr.camera import PictureCamera
from dsr.camera.directions import swing
from dsr.errors import UsageError
from dsr.fitting.fingers import FINGERS, RestHand, forearm_and_wrist
from dsr.fitting.hand_network import likely_hand
from dsr.fitting.hand_solver import HandView
from dsr.people.hands import SIDES, Hand, Side
from dsr.results.picture import PersonResult

_UNSEEN_MM = 25.0
"""How unsure a finger's joint is against the wrist when nobody sees the hand, one standard deviation."""
_GUESS = 0.5
"""Probability of its side below which a hand may be the other one."""
_TWISTED_RAD = 0.2


def check_fingers(body: Body) -> None:
    """Refuse a body that has no fingers to turn.

    Raises:
        UsageError: if it has none.
    """
    if "left_index1" not in body.asset.joint_names:
        raise UsageError(f"--hands needs a body with fingers: open-x or an SMPL-X file; {body.asset.name} has none.")


def with_hands(person: PersonResult, hands: Mapping[Side, Hand], camera: PictureCamera, body: Body) -> PersonResult:
    """A person with fingers and wrists turned as in the picture, relaxed fingers where a hand is not seen.

    Wrists stay where they are; the forearm takes its share of the hand's twist. Vertices and joints are still those
    from before: :func:`posed_again` comes after all changes.

    Args:
        person: as fitted.
        hands: what is seen of the hands, full-picture pixels.
        camera: of the full, upright picture.
        body: the body layer, with fingers.
    """
    asset, names = body.asset, list(body.asset.joint_names)
    pose = np.asarray(person.body_pose, np.float64).copy()
    unsure = np.full(len(names), np.nan) if person.joint_uncertainty_mm is None else person.joint_uncertainty_mm.copy()
    warnings = list(person.warnings)
    shaped = rest_shape(asset, person.betas)
    for side in SIDES:
        rest = RestHand(asset, person.betas, side, shaped)
        first = names.index(f"{side}_{FINGERS[0]}1")
        if side not in hands:
            pose[first - 1 : first + 14] = rest.as_pose(np.eye(3), rest.relaxed).fingers
            unsure[first : first + 15] = np.fmax(unsure[first : first + 15], _UNSEEN_MM)
            continue
        elbow, wrist = names.index(f"{side}_elbow"), names.index(f"{side}_wrist")
        forearm = global_rotation(asset.parents, pose[None], np.asarray(person.global_orient)[None], elbow)[0]
        turn, view = hand_view(hands[side], camera, forearm, np.asarray(person.joints_cam_m[wrist], np.float64))
        found = likely_hand(rest, view)
        wanted = forearm.T @ turn @ found.hand
        turns = forearm_and_wrist(rodrigues(pose[elbow - 1]), wanted, rest.forearm)
        pose[[elbow - 1, wrist - 1]] = rotmat_to_axis_angle(torch.from_numpy(np.stack(turns[:2]))).numpy()
        pose[first - 1 : first + 14] = found.fingers
        warnings += _warnings(hands[side], turns[2])
    seen: dict[str, float | None] = {side: hands[side].presence if side in hands else None for side in SIDES}
    return replace(
        person,
        body_pose=pose.astype(np.float32),
        joint_uncertainty_mm=None if np.isnan(unsure).all() else unsure,
        hands=seen,
        warnings=warnings,
    )


def posed_again(person: PersonResult, body: Body) -> PersonResult:
    """A person whose vertices and joints are those of the parameters."""
    dtype = body.rest_joints().dtype
    rows = (person.betas, person.body_pose, person.global_orient, person.transl)
    betas, pose, orient, transl = (torch.from_numpy(np.asarray(row)[None]).to(dtype) for row in rows)
    with torch.no_grad():
        output = body(betas, pose, orient, transl)
    return replace(
        person,
        vertices_cam_m=output.vertices[0].cpu().numpy().astype(np.float32),
        joints_cam_m=output.joints[0].cpu().numpy().astype(np.float32),
    )


def hand_view(hand: Hand, camera: PictureCamera, forearm: np.ndarray, wrist: np.ndarray) -> tuple[np.ndarray, HandView]:
    """The hand as a camera sees it whose picture is the hand's region, and that camera's axes (3, 3) in the picture's.

    Args:
        hand: full-picture pixels.
        camera: of the picture.
        forearm: (3, 3) rotation of the elbow joint in the camera.
        wrist: (3,) place of the wrist, metres.
    """
    K = np.asarray(camera.K, np.float64)
    to_rays = np.linalg.inv(K).T
    middle = np.array([hand.region.u, hand.region.v, 1.0]) @ to_rays
    upright = np.eye(3)
    upright[:2, :2] = hand.region.rotation
    turn = swing(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), torch.from_numpy(middle)).numpy() @ upright
    straight = np.c_[hand.points[:, :2], np.ones(len(hand.points))] @ to_rays @ turn
    distance = max(float((turn.T @ wrist)[2]), 0.05)
    view = HandView(
        points=K[0, 0] * straight[:, :2] / straight[:, 2:],
        world=hand.world_m @ upright,
        pixels_per_metre=float(K[0, 0]) / distance,
        forearm=turn.T @ forearm,
        presence=hand.presence,
        side_probability=hand.side_probability,
        side_px=hand.region.side,
        features=hand.features,
    )
    return turn, view


def global_rotation(parents: np.ndarray, pose: np.ndarray, orient: np.ndarray, joint: int) -> np.ndarray:
    """(n, 3, 3) rotations of a joint in the camera, of poses (n, J-1, 3) and orientations (n, 3)."""
    turn = rodrigues(pose[:, joint - 1])
    while parents[joint] > 0:
        joint = int(parents[joint])
        turn = rodrigues(pose[:, joint - 1]) @ turn
    return rodrigues(orient) @ turn


def _warnings(hand: Hand, beyond: float) -> list[str]:
    sentences = []
    if hand.side_probability < _GUESS:
        sentences.append(f"The {hand.side} hand may be the other one's picture: its fingers are a guess.")
    if beyond > _TWISTED_RAD:
        sentences.append(f"The {hand.side} hand looks twisted farther than a forearm turns: it is a guess.")
    return sentences
