"""The face of a person through a clip: every frame read by itself, then smooth in time; blinks are as quick as seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from dsr.body import Body
from dsr.body.numpy_lbs import rest_shape, rodrigues
from dsr.camera import PictureCamera
from dsr.fitting.face_actions import read_face
from dsr.fitting.faces import EYES, action_strengths, line_of_sight, looking_at, turn_head
from dsr.fitting.track_hands import posed_track
from dsr.people.expressive_face import FaceLandmarks
from dsr.results.clip import TrackResult

SMOOTH_S = 0.08
"""Standard deviation of the smoothing of faces in time, seconds."""
QUICK_S = 0.02
"""The same for eyelids and gaze: a blink lasts a tenth of a second."""
_HEAD_S = 0.1  # the same for how far a head is turned otherwise than the body has it
_UNSEEN_WEIGHT = 1e-3  # of a face at rest in every frame, against one that is seen


def with_track_face(
    track: TrackResult, faces: Sequence[FaceLandmarks | None], camera: PictureCamera, body: Body, fps: float
) -> TrackResult:
    """A track with heads turned as their faces are and with their expressions, at rest where none is seen.

    Args:
        track: as fitted.
        faces: what is seen in each of its n frames.
        camera: of the clip.
        body: the body layer, with jaw and eyes.
        fps: frames per second.
    """
    asset, names, count = body.asset, list(body.asset.joint_names), len(track.frames)
    _, joints = rest_shape(asset, track.betas)
    actions, jaw, gaze = np.zeros((count, len(asset.expression_names))), np.zeros((count, 3)), np.zeros((count, 3))
    seen, looked, faced = np.zeros(count), np.zeros(count), np.zeros(count)
    pose = np.asarray(track.body_pose, np.float64).copy()
    held = [names.index(part) - 1 for part in ("neck", "head")]
    before, turned = rodrigues(pose[:, held]), np.zeros((count, 2, 3))
    for t, face in enumerate(faces):
        if face is not None:
            reading = read_face(face)
            seen[t], jaw[t] = 1.0, reading.jaw
            actions[t] = list(action_strengths(reading, asset, joints).values())
            if reading.gaze is not None:
                looked[t], gaze[t] = 1.0, reading.gaze
            if reading.head is not None:
                sight, joints = line_of_sight(face, camera), np.asarray(track.joints_cam_m[t], np.float64)
                one, orient = pose[t].copy(), np.asarray(track.global_orient[t], np.float64)
                if turn_head(asset, one, orient, joints, looking_at(sight) @ reading.head, sight):
                    apart = np.swapaxes(before[t], 1, 2) @ rodrigues(one[held])
                    faced[t], turned[t] = 1.0, Rotation.from_matrix(apart).as_rotvec()
    quick = np.array([name.startswith(("eyeBlink", "eyeWide")) for name in asset.expression_names], bool)
    actions = np.where(quick, smooth(actions, seen, QUICK_S * fps), smooth(actions, seen, SMOOTH_S * fps))
    turns = before @ rodrigues(smooth(turned.reshape(count, 6), faced, _HEAD_S * fps).reshape(count, 2, 3))
    pose[:, held] = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec().reshape(count, 2, 3)
    pose[:, names.index("jaw") - 1] = smooth(jaw, seen, SMOOTH_S * fps)
    gaze = smooth(gaze, looked, 2 * QUICK_S * fps)
    for eye in EYES:
        pose[:, names.index(eye) - 1] = gaze
    warnings = list(track.warnings)
    covered = sum(face is not None and face.mouth_covered for face in faces)
    if 2 * covered > seen.sum():
        warnings.append("Mouth and chin look covered in most frames: there the mouth is left at rest.")
    changed = replace(
        track, warnings=warnings, body_pose=pose, actions=actions, action_names=tuple(asset.expression_names)
    )
    return posed_track(changed, body)


def smooth(values: np.ndarray, seen: np.ndarray, sigma: float) -> np.ndarray:
    """Values (n, K) smooth in time over ``sigma`` frames, at zero where nothing (``seen``, (n,)) is seen for long.

    Short gaps are filled from both ends.
    """
    wide = 3.0  # frames around a gap count for it as far as this; over what is seen the narrow window has its way
    out = np.zeros_like(values)
    weight = np.full((len(values), 1), _UNSEEN_WEIGHT)
    for width, share in ((sigma, 1.0), (wide * sigma + 1.0, 0.01)):
        out += share * gaussian_filter1d(seen[:, None] * values, width, axis=0, mode="constant", truncate=4.0)
        weight += share * gaussian_filter1d(seen, width, mode="constant", truncate=4.0)[:, None]
    return out / weight
