"""Faces of fitted people: jaw, eyes and facial actions as the picture shows them, at rest where it shows none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from dsr.body import Body, BodyAsset
from dsr.body.numpy_lbs import rodrigues
from dsr.camera import PictureCamera
from dsr.camera.directions import swing
from dsr.errors import UsageError
from dsr.fitting.face_actions import FaceReading, face_model, read_face
from dsr.fitting.hands import global_rotation
from dsr.people.expressive_face import FaceLandmarks
from dsr.results.picture import PersonResult

EYES = ("left_eye_smplhf", "right_eye_smplhf")
_TURNED_RAD = 0.6
_MOST_TURN_RAD, _NO_NECK_RAD, _MOST_BEND_RAD = 1.4, 1.9, 0.25  # of neck and head together; towards the eyes
_BEFORE_EYES = np.array([0.0, -0.002, 0.008])
"""From the middle of the eyeballs to that of the lids' corners, metres."""


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


def with_face(person: PersonResult, face: FaceLandmarks | None, camera: PictureCamera, body: Body) -> PersonResult:
    """A person with the expression of a face; one whose face is not seen is as before, with no actions.

    Vertices and joints are still those from before: :func:`dsr.fitting.hands.posed_again` comes after all changes.

    The head is turned as the face is, which the body's keypoints say far less exactly; neck and head joint share it.
    Jaw and eyes turn by their joints, the other actions are the last betas of a body that has them by name (open-x).
    Actions of the body are as large on every head, so that their strengths follow the size of the head.

    Args:
        person: as fitted.
        face: what is seen of the face, or None.
        camera: of the full, upright picture.
        body: the body layer, with jaw and eyes.
    """
    asset, names = body.asset, list(body.asset.joint_names)
    eyes = [names.index(eye) for eye in EYES]
    betas = np.zeros(asset.num_betas, np.float32) if asset.expression_names else person.betas.copy()
    betas[: len(person.betas)] = person.betas
    if face is None:
        return replace(person, betas=betas, actions={})
    reading, warnings = read_face(face), list(person.warnings)
    pose = np.asarray(person.body_pose, np.float64).copy()
    pose[names.index("jaw") - 1] = reading.jaw
    if reading.gaze is not None:
        pose[np.array(eyes) - 1] = reading.gaze
    if reading.head is not None:
        sight = line_of_sight(face, camera)
        orient, joints = np.asarray(person.global_orient, np.float64), np.asarray(person.joints_cam_m, np.float64)
        if not turn_head(asset, pose, orient, joints, looking_at(sight) @ reading.head, sight):
            warnings.append(
                "The face is turned further than a neck turns: it may be somebody else's; the head is left."
            )
    actions = action_strengths(reading, asset, person.joints_cam_m)
    if actions:
        betas[asset.num_shapes :] = list(actions.values())
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


def turn_head(
    asset: BodyAsset, pose: np.ndarray, orient: np.ndarray, joints: np.ndarray, head: np.ndarray, sight: np.ndarray
) -> bool:
    """Turn neck and head of a pose so that the head is turned, and the eyes nearly seen, as in the picture.

    Neck and head joint turn the same way, half each, no further than necks allow; then the neck bends a little towards
    where the eyes are seen, which the head's joint makes good.

    Args:
        asset: the body.
        pose: (J-1, 3) axis-angle, changed.
        orient: (3,) axis-angle.
        joints: (J, 3) of the pose, metres.
        head: (3, 3) rotation of the head in the camera.
        sight: (3,) direction in which the middle of the eyes is seen.

    Returns:
        False where no neck turns as far: the face is another's or misread, and the pose stays.
    """
    names = list(asset.joint_names)
    neck, top = names.index("neck"), names.index("head")
    around = rodrigues(pose[neck - 1])
    trunk = global_rotation(asset.parents, pose[None], orient[None], neck)[0] @ around.T
    turn = Rotation.from_matrix(trunk.T @ head).as_rotvec()
    angle = float(np.linalg.norm(turn))
    if angle > _NO_NECK_RAD:
        return False
    turn *= min(1.0, _MOST_TURN_RAD / max(angle, 1e-9))
    half, head = rodrigues(turn / 2), trunk @ rodrigues(turn)
    bone = trunk @ half @ around.T @ trunk.T @ (joints[top] - joints[neck])
    was = global_rotation(asset.parents, pose[None], orient[None], top)[0]
    eyes = head @ was.T @ (joints[[names.index(eye) for eye in EYES]].mean(0) - joints[top]) + head @ _BEFORE_EYES
    ray, start = sight / np.linalg.norm(sight), joints[neck] + eyes
    along = float(ray @ (start + bone))
    aim = along * ray - start  # where the head's joint would be, at its distance
    bend = Rotation.from_matrix(swing(torch.from_numpy(bone), torch.from_numpy(aim)).numpy()).as_rotvec()
    bend *= min(1.0, _MOST_BEND_RAD / max(float(np.linalg.norm(bend)), 1e-9))
    around = trunk.T @ rodrigues(bend) @ trunk @ half
    pose[neck - 1] = Rotation.from_matrix(around).as_rotvec()
    pose[top - 1] = Rotation.from_matrix((trunk @ around).T @ head).as_rotvec()
    return True


def line_of_sight(face: FaceLandmarks, camera: PictureCamera) -> np.ndarray:
    """(3,) direction in which the middle of the eyes is seen, in the camera."""
    sight: np.ndarray = np.linalg.inv(np.asarray(camera.K, np.float64)) @ [*face.between_eyes, 1.0]
    return sight


def looking_at(place: np.ndarray) -> np.ndarray:
    """Axes (3, 3) in the camera of one that looks straight at a place (3,)."""
    ahead = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    turn: np.ndarray = swing(ahead, torch.from_numpy(np.asarray(place, np.float64))).numpy()
    return turn


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
