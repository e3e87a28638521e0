"""Fitted people as movements that can be put on another skeleton: upright, y up, facing the camera is facing +z."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsr.body.numpy_lbs import rest_shape, skeleton
from dsr.export.carried.pose_transfer import Movement
from dsr.export.carried.standing_feet import swing
from dsr.export.rig import CAMERA_TO_FILE, joint_names
from dsr.results.clip import TrackResult

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.results.picture import PersonResult

_STILL_FPS = 30.0


def movement_of(
    person: PersonResult | TrackResult, asset: BodyAsset, up: np.ndarray | None = None, fps: float = 0.0
) -> Movement:
    """How a fitted person stands or moves.

    Args:
        person: of a picture (one frame) or of a clip.
        asset: the body it was fitted with.
        up: (3,) against gravity in the camera frame; the camera's own up where not known.
        fps: frames per second of a clip.

    Returns:
        The movement, frame by frame from the person's first.
    """
    vertices, rest = rest_shape(asset, person.betas)
    still = not isinstance(person, TrackResult)
    rows = zip(*_pose(person), strict=True)
    transforms = np.stack([skeleton(asset, person.betas, *row)[1] for row in rows])
    turn = CAMERA_TO_FILE
    if up is not None:
        turn = swing(CAMERA_TO_FILE @ up, np.array([0.0, 1.0, 0.0])) @ turn
    return Movement(
        names=tuple(joint_names(asset)),
        rest=rest,
        rotations=turn @ transforms[:, :, :3, :3],
        positions=transforms[:, :, :3, 3] @ turn.T,
        fps=_STILL_FPS if still or not fps > 0 else fps,
        sole=float(vertices[:, 1].min()),
        contacts=person.contacts if isinstance(person, TrackResult) else None,
    )


def _pose(person: PersonResult | TrackResult) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if isinstance(person, TrackResult):
        return person.body_pose, person.global_orient, person.transl
    return person.body_pose[None], person.global_orient[None], person.transl[None]
