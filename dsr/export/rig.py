"""The posed, shaped body as files need it: rest mesh, skeleton, pose, and the axes files use (y up, metres)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

import numpy as np
from scipy import sparse

from dsr.body.numpy_lbs import rest_shape, rodrigues, skeleton
from dsr.errors import ExportError, UsageError

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.results.picture import PersonResult

Frame = Literal["camera", "body"]
FRAMES: tuple[str, ...] = ("camera", "body")

CAMERA_TO_FILE = np.diag([1.0, -1.0, -1.0])
"""OpenCV camera axes to file axes: the camera sits at the origin, looks down -z, y is up."""

_INFLUENCES = 4


@dataclass(frozen=True)
class Rig:
    """One person, ready to be written; file axes (y up), metres.

    Skinning of the arrays alone gives ``vertices``: a joint moves what hangs on it by its global transform times the
    inverse of the translation to its rest joint.

    Attributes:
        vertices: (V, 3) posed vertices.
        rest_vertices: (V, 3) shaped T-pose; pose correctives of this pose are added where the body model has them.
        rest_joints: (J, 3) joints of the shaped T-pose.
        rotations: (J, 3, 3) local joint rotations, the root's includes the frame.
        root_translation: (3,) where the root joint is.
    """

    vertices: np.ndarray = field(repr=False)
    rest_vertices: np.ndarray = field(repr=False)
    rest_joints: np.ndarray = field(repr=False)
    rotations: np.ndarray = field(repr=False)
    root_translation: np.ndarray


@dataclass(frozen=True)
class Skinning:
    """What is the same for everybody with one body asset.

    Attributes:
        joints: (V, 4) uint8 (uint16 over 256 joints) joints that move a vertex; 0 where the weight is 0.
        weights: (V, 4) float32, rows sum to 1.
        cut: (n,) vertices that had more than four influences.
        face_sum: (V, F) sparse, adds the values of the faces around a vertex.
    """

    joints: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    cut: np.ndarray = field(repr=False)
    face_sum: sparse.csr_matrix = field(repr=False)


_SKINNING: WeakKeyDictionary[BodyAsset, Skinning] = WeakKeyDictionary()


def skinning(asset: BodyAsset) -> Skinning:
    """The four strongest influences of every vertex, worked out once per asset."""
    cached = _SKINNING.get(asset)
    if cached is None:
        cached = _SKINNING[asset] = _skinning(asset)
    return cached


def rig_person(person: PersonResult, asset: BodyAsset, frame: Frame = "camera") -> Rig:
    """Rest mesh, skeleton and pose of a fitted person.

    Args:
        person: the fit.
        asset: the body it was fitted with.
        frame: ``camera``: where the picture's camera saw it, camera at the origin looking down -z; ``body``: global
            orientation removed, facing +z, lowest vertex at y = 0, pelvis at x = z = 0.

    Returns:
        The rig, in file axes (y up, metres).

    Raises:
        UsageError: if the frame is unknown.
        ExportError: if the person does not belong to the body, or holds numbers that are not finite.
    """
    check_frame(frame)
    check_parameters(
        person.id,
        asset,
        person.betas,
        {
            "vertices": (person.vertices_cam_m, (asset.num_vertices, 3)),
            "body_pose": (person.body_pose, (asset.num_joints - 1, 3)),
            "global_orient": (person.global_orient, (3,)),
            "transl": (person.transl, (3,)),
        },
    )
    rest, rest_joints = rest_shape(asset, person.betas)
    rotations = rodrigues(np.vstack([person.global_orient, person.body_pose]))
    if asset.posedirs is not None:
        feature = (rotations[1:] - np.eye(3)).ravel().astype(asset.posedirs.dtype)
        rest = rest + asset.posedirs.reshape(-1, len(feature)).dot(feature).reshape(-1, 3)

    seen = np.asarray(person.vertices_cam_m, np.float64)
    root = rest_joints[0] + person.transl
    if frame == "camera":
        turn, vertices, root = CAMERA_TO_FILE @ rotations[0], seen @ CAMERA_TO_FILE.T, CAMERA_TO_FILE @ root
    else:
        turn, vertices = np.eye(3), (seen - root) @ rotations[0]
        root = np.array([0.0, -vertices[:, 1].min(), 0.0])
        vertices = vertices + root
    rotations[0] = turn
    return Rig(vertices, rest, rest_joints, rotations, root)


def with_four_influences(rig: Rig, person: PersonResult, asset: BodyAsset) -> Rig:
    """Move the rest vertices that lose influences so that four still carry them to where the fit has them.

    Args:
        rig: of this person.
        person: the fit.
        asset: the body it was fitted with.

    Returns:
        The rig for :func:`skinning`; the same one where no vertex has more than four influences.
    """
    parts = skinning(asset)
    cut = parts.cut
    if not len(cut):
        return rig
    transl = rig.root_translation - rig.rest_joints[0]
    _, transforms = skeleton(asset, person.betas, rig.rotations[1:], rig.rotations[0], transl)
    transforms[:, :3, 3] -= np.einsum("jab,jb->ja", transforms[:, :3, :3], rig.rest_joints)
    blended = np.einsum("vk,vkab->vab", parts.weights[cut].astype(np.float64), transforms[parts.joints[cut]])
    usable = np.linalg.det(blended[:, :3, :3]) > 0.1  # a blend of opposite rotations can fold flat
    cut, blended = cut[usable], blended[usable]
    rest = rig.rest_vertices.copy()
    rest[cut] = np.linalg.solve(blended[:, :3, :3], (rig.vertices[cut] - blended[:, :3, 3])[..., None])[..., 0]
    return replace(rig, rest_vertices=rest)


def local_translations(rig: Rig, parents: np.ndarray) -> np.ndarray:
    """(J, 3) translation of every joint in its parent's axes; the root's is where it stands."""
    offsets = rig.rest_joints - rig.rest_joints[parents]
    offsets[parents < 0] = rig.root_translation
    return offsets


def joint_names(asset: BodyAsset) -> list[str]:
    """Names of the joints, ``joint0`` and so on where the asset has none."""
    named = len(asset.joint_names) == asset.num_joints
    return [asset.joint_names[j] if named else f"joint{j}" for j in range(asset.num_joints)]


def vertex_normals(vertices: np.ndarray, asset: BodyAsset) -> np.ndarray:
    """Unit normals at the vertices, the faces around weighted by their area.

    Args:
        vertices: (V, 3).
        asset: the body, for its faces.

    Returns:
        (V, 3) float64; the y axis where a vertex belongs to no face.
    """
    a, b, c = (np.take(vertices, asset.faces[:, k], axis=0) for k in range(3))  # thrice as fast as an index
    normals = skinning(asset).face_sum @ np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 1e-20, normals / np.maximum(length, 1e-20), [0.0, 1.0, 0.0])


def check_frame(frame: str) -> None:
    """Refuse a frame that is not in :data:`FRAMES`.

    Raises:
        UsageError: that names the known ones.
    """
    if frame not in FRAMES:
        raise UsageError(f"Unknown frame {frame!r}; use one of: {', '.join(FRAMES)}.")


def check_parameters(
    person_id: str, asset: BodyAsset, betas: np.ndarray, arrays: Mapping[str, tuple[np.ndarray, tuple[int, ...]]]
) -> None:
    """Refuse parameters that do not belong to the body, or are not finite.

    Args:
        person_id: for the message.
        asset: the body.
        betas: (B,) shape.
        arrays: per name the array and the shape it must have.

    Raises:
        ExportError: that says what is wrong.
    """
    who = f"Person {person_id}"
    for name, (array, shape) in arrays.items():
        if np.shape(array) != shape:
            raise ExportError(
                f"{who} cannot be written: {name} has shape {np.shape(array)} where body {asset.name} needs {shape}; "
                "give the body asset the fit was made with."
            )
        if not np.isfinite(array).all():
            raise ExportError(f"{who} cannot be written: {name} holds numbers that are not finite.")
    if len(betas) > asset.num_betas:
        raise ExportError(
            f"{who} cannot be written: {len(betas)} betas where body {asset.name} has {asset.num_betas}; "
            "give the body asset the fit was made with."
        )


def _skinning(asset: BodyAsset) -> Skinning:
    count = asset.num_vertices
    most = min(_INFLUENCES, asset.num_joints)
    strongest = np.argsort(-asset.weights, axis=1, kind="stable")[:, :most]
    weights = np.zeros((count, _INFLUENCES), np.float64)
    joints = np.zeros((count, _INFLUENCES), np.uint8 if asset.num_joints <= 256 else np.uint16)
    weights[:, :most] = np.take_along_axis(asset.weights, strongest, axis=1)
    cut = np.flatnonzero(asset.weights.sum(axis=1) - weights.sum(axis=1) > 1e-6)
    weights /= weights.sum(axis=1, keepdims=True)
    joints[:, :most] = strongest
    joints[weights == 0] = 0
    flat = asset.faces.ravel()
    rows = np.repeat(np.arange(len(asset.faces)), 3)
    face_sum = sparse.csr_matrix((np.ones(len(flat)), (flat, rows)), shape=(count, len(asset.faces)))
    return Skinning(joints, weights.astype(np.float32), cut, face_sum)
