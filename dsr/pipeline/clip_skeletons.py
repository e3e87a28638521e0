"""The skeleton video of a clip: every frame with the detected skeletons, and beside it the fitted ones in space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from dsr.body.rotations import axis_angle_to_rotmat
from dsr.export.skeleton import Viewpoint, draw_skeletons, skeleton_keypoints, viewpoint
from dsr.fitting.keypoint_model import POSED_JOINTS, KeypointModel
from dsr.pipeline.clip_reader import open_clip
from dsr.pipeline.inputs import Clip
from dsr.results.clip import SequenceResult, TrackResult
from dsr.results.floor import Floor

if TYPE_CHECKING:
    from dsr.body import Body

_STEADY_S = 0.5
"""The eye follows the people's mean over so many seconds before and after."""


def skeleton_frames(result: SequenceResult, clip: Clip, body: Body, fps: float | None) -> Iterator[np.ndarray]:
    """The frames (h, w, 3) uint8 of a clip's skeleton video, all of one size; a missing frame shows the one before.

    Args:
        result: the fit.
        clip: the clip.
        body: the body the people were fitted with.
        fps: as it was opened with.
    """
    reader = open_clip(clip, fps)
    model = KeypointModel(body.asset, "h36m17")
    joints = [track_joints(track, model) for track in result.people]
    views = steady_views(result, joints)
    nowhere = viewpoint(np.zeros((0, 17, 3)))
    shown, upcoming = draw_skeletons(reader.first.rgb, [], [], views.get(0, nowhere)), 0
    for number, _, photo in reader.frames():
        while upcoming < number:
            yield shown
            upcoming += 1
        if photo is not None:
            scale = photo.rgb.shape[1] / result.image_size[0]
            present = [
                (track, points, number - int(track.frames[0]))
                for track, points in zip(result.people, joints, strict=True)
                if 0 <= number - int(track.frames[0]) < len(track.frames)
            ]
            keypoints = [
                skeleton_keypoints(track.keypoints_px[t], track.keypoint_set, scale) for track, _, t in present
            ]
            poses = [points[t] for _, points, t in present]
            shown = draw_skeletons(photo.rgb, keypoints, poses, views.get(number, nowhere))
        yield shown
        upcoming = number + 1


def track_joints(track: TrackResult, model: KeypointModel) -> np.ndarray:
    """Human3.6M's joints of a person through a clip, (n, 17, 3) metres in the camera."""
    frames, count = len(track.frames), model.num_betas

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.asarray(array, np.float64))

    betas = torch.zeros(frames, count, dtype=torch.float64)
    betas[:, : len(track.betas)] = tensor(track.betas)[:count]
    root, theta = axis_angle_to_rotmat(tensor(track.global_orient)), tensor(track.body_pose[:, :POSED_JOINTS])
    points, _ = model.carried(root, theta.flatten(1), betas, tensor(track.transl))
    return np.asarray(points[:, :17])


def steady_views(result: SequenceResult, joints: list[np.ndarray]) -> dict[int, Viewpoint]:
    """Where every frame is looked at from: the eye goes along with the people, and never nearer or farther.

    Args:
        result: the fit.
        joints: (n, 17, 3) metres of every track.

    Returns:
        Frame number to view, of the frames in which somebody is there.
    """
    ground = next((track.ground for track in result.people if track.ground is not None), None)
    floor = None if ground is None else Floor(np.asarray(ground[:3], np.float64), float(ground[3]))
    if not joints:
        return {}
    overall = viewpoint(np.concatenate(joints), floor)
    seen: dict[int, list[np.ndarray]] = {}
    for track, points in zip(result.people, joints, strict=True):
        for number, pose in zip(track.frames.tolist(), points @ overall.level.T, strict=True):
            seen.setdefault(number, []).append(pose)
    numbers = sorted(seen)
    middles = np.array([np.mean([pose[0] for pose in seen[number]], 0) for number in numbers])
    near = max(1, round(_STEADY_S * result.fps))
    centres, far = {}, 0.0
    for place, number in enumerate(numbers):
        window = np.abs(np.array(numbers[max(0, place - near) : place + near + 1]) - number) <= near
        centre = middles[max(0, place - near) : place + near + 1][window].mean(0)
        centres[number] = np.array([centre[0], overall.centre[1], centre[2]])
        far = max(far, max(float(np.linalg.norm(pose - centres[number], axis=1).max()) for pose in seen[number]))
    reach = viewpoint(np.zeros((1, 3)), None, 1.15 * far).reach_m
    return {number: replace(overall, centre=centre, reach_m=reach) for number, centre in centres.items()}
