"""Faces of fitted people: jaw, eyes and facial actions as the picture shows them, at rest where it shows none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr.body import Body, BodyAsset
from dsr.errors import UsageError
from dsr.fitting.face_actions import FaceReading, face_model, read_face
from dsr.people.expressive_face import FaceLandmarks
from dsr.results.picture import PersonResult

EYES = ("left_eye_smplhf", "right_eye_smplhf")
_TURNED_RAD = 0.6


def check_face(body: Body) -> None:
    """Refuse a body whose face does not move.

    Raises:
        UsageError: if it has no jaw and no eyes to turn.
        BodyError: if what is known of faces is not installed.
    """
    if not {"jaw", *EYES} <= set(body.asset.joint_names):
        raise UsageError(
            f"--face needs a body with jaw and eyes: open-x or an SMPL-X file; {body.asset.name} has none."
        )
    face_model()


def with_face(person: PersonResult, face: FaceLandmarks | None, body: Body) -> PersonResult:
    """A person with the expression of a face; one whose face is not seen is as before, with no actions.

    Vertices and joints are still those from before: :func:`dsr.fitting.hands.posed_again` comes after all changes.

    Jaw and eyes turn by their joints, the other actions are the last betas of a body that has them by name (open-x).
    Actions of the body are as large on every head, so that their strengths follow the size of the head.

    Args:
        person: as fitted.
        face: what is seen of the face, or None.
        body: the body layer, with jaw and eyes.
    """
    asset, names = body.asset, list(body.asset.joint_names)
    betas = np.zeros(asset.num_betas, np.float32) if asset.expression_names else person.betas.copy()
    betas[: len(person.betas)] = person.betas
    if face is None:
        return replace(person, betas=betas, actions={})
    reading = read_face(face)
    pose = np.asarray(person.body_pose, np.float64).copy()
    pose[names.index("jaw") - 1] = reading.jaw
    if reading.gaze is not None:
        pose[[names.index(eye) - 1 for eye in EYES]] = reading.gaze
    actions = action_strengths(reading, asset, person.joints_cam_m)
    if actions:
        betas[asset.num_shapes :] = list(actions.values())
    warnings = list(person.warnings)
    if abs(reading.yaw) > _TURNED_RAD:
        warnings.append("The face is turned far aside: half of its expression is a guess.")
    if face.mouth_covered:
        warnings.append("Mouth and chin look covered: the mouth is left at rest.")
    return replace(
        person,
        betas=betas,
        body_pose=pose.astype(np.float32),
        actions=actions,
        warnings=warnings,
    )


def action_strengths(reading: FaceReading, asset: BodyAsset, joints: np.ndarray) -> dict[str, float]:
    """Strength of every facial action of a body, 0 to 1, by name; they are as large on every head.

    Args:
        reading: the expression.
        asset: the body.
        joints: (J, 3) of its shape, in any pose.
    """
    right, left = (joints[list(asset.joint_names).index(eye)] for eye in EYES)
    size = float(np.linalg.norm(left - right)) / face_model().eyes_m
    return {name: float(min(size * reading.actions.get(name, 0.0), 1.0)) for name in asset.expression_names}
