"""Faces of made-up people close up, for learning what the landmark models make of faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr.body import BodyAsset
from dsr.body.numpy_lbs import skeleton
from dsr.evaluation.expressive_drawn import PosedPerson, paint_person, pose_person
from dsr.fitting.faces import EYES

SIZE = 448
_EYES_M = 0.062
_FACING = 0.6  # cosine of the angle to the camera from which a face is drawn


@dataclass(frozen=True, eq=False)
class DrawnFace:
    """A face in a picture.

    Attributes:
        picture: (448, 448, 3) uint8.
        person: who it is, without the person's camera.
        K: (3, 3).
        head: (3, 3) rotation of the head joint in the camera.
        keypoints: (33, 2) pixels of the body's points as a detector would have them.
    """

    picture: np.ndarray
    person: PosedPerson
    K: np.ndarray
    head: np.ndarray
    keypoints: np.ndarray


def draw_face(asset: BodyAsset, seed: int) -> DrawnFace | None:
    """The face of a made-up person; None where it is turned away from the camera.

    Args:
        asset: the open-x body.
        seed: another seed gives another person.
    """
    rng = np.random.default_rng(seed)
    posed = pose_person(asset, rng)
    names = list(asset.joint_names)
    _, transforms = skeleton(asset, posed.betas, posed.pose, posed.orient, posed.transl)
    turn, place = transforms[names.index("head"), :3, :3], transforms[names.index("head"), :3, 3]
    if turn @ [0, 0, 1.0] @ -place / np.linalg.norm(place) < _FACING:
        return None
    middle = transforms[[names.index(eye) for eye in EYES], :3, 3].mean(0)
    apart = np.exp(rng.uniform(np.log(12), np.log(60)))
    K = posed.K.copy()
    K[:2] *= apart * middle[2] / (K[0, 0] * _EYES_M)
    K[:2, 2] += SIZE / 2 + rng.normal(0, 10, 2) - (K @ middle)[:2] / middle[2]
    picture, _ = paint_person(asset, rng, posed.vertices, K, (SIZE, SIZE))
    points = (asset.keypoint_regressors["blazepose33"] @ posed.vertices) @ K.T
    keypoints = points[:, :2] / points[:, 2:] + rng.normal(0, 0.1 * apart, (len(points), 2))
    return DrawnFace(picture, posed, K, turn, keypoints)
