"""Animated GLB: the rigged body of one track with a key for every frame, in the place where the camera saw it.

Linear keys for the rotation of every joint, the place of the root and the strength of every facial action; times are
seconds from the first frame of the clip, so that several people of a clip play together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pygltflib as gltf
from scipy.spatial.transform import Rotation

from dsr.body.numpy_lbs import rest_shape
from dsr.errors import ExportError
from dsr.export.glb import rigged_glb
from dsr.export.rig import CAMERA_TO_FILE, Frame, Rig, check_frame, check_parameters
from dsr.results.clip import person_at

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.camera import PictureCamera
    from dsr.results.clip import TrackResult


def animated_glb_bytes(
    track: TrackResult,
    asset: BodyAsset,
    camera: PictureCamera,
    fps: float,
    frame: Frame = "camera",
) -> bytes:
    """A track as the bytes of an animated GLB file.

    The mesh is the shaped T-pose, skinned to joints named as in the asset; pose correctives of licensed bodies, a few
    millimetres, are not in it. At rest the file shows the first frame.

    Args:
        track: the person through the clip.
        asset: the body it was fitted with.
        camera: of the clip's upright frames.
        fps: frames per second.
        frame: ``camera``: camera at the origin, looking down -z; ``body``: standing on y = 0 (on the ground, where one
            was found), facing +z at the origin in the first frame.

    Raises:
        UsageError: if the frame is unknown.
        ExportError: if the track does not belong to the body or is not finite.
    """
    rest, rest_joints, local, roots = track_motion(track, asset, fps, frame)
    first = person_at(track, 0, asset)
    if track.actions is not None:
        rest, _ = rest_shape(asset, first.betas)  # the first frame's expression is taken away again
    rig = Rig(first.vertices_cam_m, rest, rest_joints, local[0], roots[0])
    file = rigged_glb(rig, first, asset, camera, frame)

    times = ((np.asarray(track.frames) / fps).astype(np.float32))[:, None]
    clock = file.add(times, "SCALAR", None, bounds=True)
    animation = gltf.Animation(name=track.id, samplers=[], channels=[])

    def add(node: int, path: str, keys: np.ndarray, kind: str) -> None:
        sampler = gltf.AnimationSampler(
            input=clock, output=file.add(keys.astype(np.float32), kind, None), interpolation="LINEAR"
        )
        animation.samplers.append(sampler)
        target = gltf.AnimationChannelTarget(node=node, path=path)
        animation.channels.append(gltf.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))

    root = int(np.flatnonzero(asset.parents < 0)[0])
    add(root, "translation", roots, "VEC3")
    for joint in range(asset.num_joints):
        add(joint, "rotation", _quaternions(local[:, joint]), "VEC4")
    if track.actions is not None and asset.expression_names:
        body = next(k for k, node in enumerate(file.model.nodes) if node.mesh is not None)
        add(body, "weights", np.asarray(track.actions).reshape(-1), "SCALAR")
    file.model.animations = [animation]
    file.model.scenes[0].extras = {"fps": float(fps), "gaps": [list(gap) for gap in track.gaps]}
    return file.to_bytes()


def track_motion(
    track: TrackResult, asset: BodyAsset, fps: float, frame: Frame = "camera"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A track as the motion of its rig, in file axes (y up, metres).

    Args:
        track: the person through the clip.
        asset: the body it was fitted with.
        fps: frames per second.
        frame: as for :func:`animated_glb_bytes`.

    Returns:
        Rest vertices (V, 3), rest joints (J, 3), rotations of the joints in their parents (T, J, 3, 3) and places of
        the root joint (T, 3).

    Raises:
        UsageError: if the frame is unknown.
        ExportError: if the track does not belong to the body or is not finite.
    """
    check_frame(frame)
    if not (np.isfinite(fps) and fps > 0):
        raise ExportError(f"Person {track.id} cannot be written: {fps} frames per second make no animation.")
    count = len(track.frames)
    check_parameters(
        track.id,
        asset,
        track.betas,
        {
            "body_pose": (track.body_pose, (count, asset.num_joints - 1, 3)),
            "global_orient": (track.global_orient, (count, 3)),
            "transl": (track.transl, (count, 3)),
        },
    )
    rest, rest_joints = rest_shape(asset, track.betas)
    turns, roots = _moved(track, rest_joints[0], frame)
    local = Rotation.from_rotvec(track.body_pose.reshape(-1, 3)).as_matrix()
    return rest, rest_joints, np.concatenate([turns[:, None], local.reshape(len(turns), -1, 3, 3)], 1), roots


def _moved(track: TrackResult, rest_root: np.ndarray, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (n, 3, 3) and places (n, 3) of the root joint in the file's axes."""
    turns = CAMERA_TO_FILE @ Rotation.from_rotvec(track.global_orient).as_matrix()
    roots = (rest_root + track.transl) @ CAMERA_TO_FILE.T
    if frame == "camera":
        return turns, roots
    up, height = np.array([0.0, 1.0, 0.0]), None
    if track.ground is not None:
        up, height = CAMERA_TO_FILE @ track.ground[:3], track.ground[3]
    forward = turns[0, :, 2] - (turns[0, :, 2] @ up) * up
    if np.linalg.norm(forward) < 1e-3:  # lying: the head's direction is level then
        forward = turns[0, :, 1] - (turns[0, :, 1] @ up) * up
    forward /= np.linalg.norm(forward)
    level = np.stack([np.cross(up, forward), up, forward])  # the file's axes in the new ones
    if height is None:
        lowest = float((np.asarray(track.joints_cam_m, float) @ CAMERA_TO_FILE.T @ up).min())
    else:
        lowest = float(height)
    origin = roots[0] - (roots[0] @ up - lowest) * up
    return level @ turns, (roots - origin) @ level.T


def _quaternions(rotations: np.ndarray) -> np.ndarray:
    """(n, 4) x, y, z, w without jumps of sign, so that keys are joined the short way."""
    quaternions = Rotation.from_matrix(rotations).as_quat()
    flips = np.sign(np.einsum("nk,nk->n", quaternions[1:], quaternions[:-1]))
    flips[flips == 0] = 1
    quaternions[1:] *= np.cumprod(flips)[:, None]
    return quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)
