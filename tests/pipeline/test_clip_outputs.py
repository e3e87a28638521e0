"""The frames of a clip with everybody drawn over them: one for every moment, everybody in one colour throughout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dsr.body import load_body
from dsr.fitting.keypoint_model import KeypointModel
from dsr.pipeline.clip_outputs import overlay_frames
from dsr.pipeline.clip_reader import ClipReader
from dsr.pipeline.clip_skeletons import skeleton_frames, steady_views, track_joints
from dsr.pipeline.inputs import Clip
from dsr.results import SequenceResult, TrackResult

COUNT = 5


@pytest.fixture(scope="module")
def body():
    return load_body("open-light")


@pytest.fixture
def clip(tmp_path):
    """Frames whose grey tells their number."""
    pictures = tuple(tmp_path / f"f{n}.png" for n in range(COUNT))
    for n, path in enumerate(pictures):
        Image.new("RGB", (96, 64), (40 * n,) * 3).save(path)
    return Clip(tmp_path, pictures)


def made_result(clip, people=()):
    K = np.array([[100.0, 0, 48], [0, 100, 32], [0, 0, 1]])
    return SequenceResult(
        "ok",
        str(clip.path),
        image_size=(96, 64),
        fps=10.0,
        frame_indices=np.arange(COUNT),
        frame_times_s=np.arange(COUNT) / 10,
        frames_read=np.ones(COUNT, bool),
        K=np.tile(K, (COUNT, 1, 1)),
        people=list(people),
    )


def made_track(body, name, first, last):
    n, joints = last - first + 1, body.num_joints
    return TrackResult(
        id=name,
        frames=np.arange(first, last + 1),
        observed=np.ones(n, bool),
        score=0.9,
        keypoint_set="blazepose33",
        keypoints_px=np.zeros((n, 33, 3)),
        boxes_px=np.zeros((n, 4)),
        betas=np.zeros(body.num_betas),
        global_orient=np.zeros((n, 3)),
        body_pose=np.zeros((n, joints - 1, 3)),
        transl=np.tile([0.0, 0.0, 4.0], (n, 1)),
        joints_cam_m=np.zeros((n, joints, 3)),
        contacts=np.zeros((n, 4), bool),
        height_m=1.7,
    )


def test_a_missing_frame_shows_the_one_before(clip, body, monkeypatch):
    """Of frame 1 nothing came, frame 3 is damaged: the overlay lasts as long as the clip."""
    frames = ClipReader.frames

    def some(self):
        return ((n, t, None if n == 3 else photo) for n, t, photo in frames(self) if n != 1)

    monkeypatch.setattr(ClipReader, "frames", some)
    shown = [int(rgb[0, 0, 0]) for rgb in overlay_frames(made_result(clip), clip, body, 10.0)]
    assert shown == [0, 0, 80, 80, 160]


def test_everybody_keeps_one_colour_through_the_clip(clip, body, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "dsr.export.overlay.draw_bodies", lambda picture, people, asset, K, colours: drawn.append(list(colours))
    )
    people = [made_track(body, "p0", 0, 2), made_track(body, "p1", 1, 4)]
    assert len(list(overlay_frames(made_result(clip, people), clip, body, 10.0))) == COUNT
    assert drawn == [[0], [0, 1], [0, 1], [1], [1]]


def test_the_uncertainty_of_the_joints_is_drawn_on_request(clip, body):
    track = made_track(body, "p0", 0, 4)
    track.joints_cam_m[:] = [0.0, 0.0, 4.0]
    track.joint_uncertainty_mm = np.full((COUNT, body.num_joints), 400.0)
    track.joint_uncertainty_mm[2] = np.nan  # filled in: nobody knows
    result = made_result(clip, [track])
    plain = list(overlay_frames(result, clip, body, 10.0))
    marked = list(overlay_frames(result, clip, body, 10.0, True))
    assert [bool((a != b).any()) for a, b in zip(plain, marked, strict=True)] == [True, True, False, True, True]


def test_a_skeleton_video_shows_every_frame_and_goes_along_with_the_people(clip, body):
    track = made_track(body, "p0", 1, 4)
    track.global_orient[:] = [np.pi, 0, 0]  # upright before the camera
    track.transl[:, 0] = np.arange(4) * 2.0
    frames = list(skeleton_frames(made_result(clip, [track]), clip, body, 10.0))
    assert [frame.shape for frame in frames] == [(64, 96 + 64, 3)] * COUNT
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, 40, 80, 120, 160]
    coloured = [(np.ptp(frame[:, 96:].astype(int), axis=-1) > 60).sum() for frame in frames]
    assert coloured[0] == 0 and min(coloured[1:]) > 20  # nobody yet, then somebody in every frame


def test_joints_of_a_track_are_those_of_its_posed_body(body):
    track = made_track(body, "p0", 0, 2)
    generator = np.random.default_rng(0)
    track.global_orient[:], track.body_pose[:, :21] = [0.1, 3.0, 0.2], generator.normal(0, 0.3, (3, 21, 3))
    track.betas[:5] = generator.normal(0, 1, 5)
    with torch.no_grad():
        parts = (track.betas[None].repeat(3, 0), track.body_pose, track.global_orient, track.transl)
        posed = body(*(torch.as_tensor(part, dtype=torch.float32) for part in parts))
        expected = body.keypoints(posed.vertices, "h36m17").numpy()
    assert np.abs(track_joints(track, KeypointModel(body.asset, "h36m17")) - expected).max() < 1e-4


def test_the_eye_follows_steadily_and_keeps_its_distance(clip, body):
    track = made_track(body, "p0", 0, 4)
    points = np.tile(np.array([[0.0, 0.0, 4.0]]), (5, 17, 1)) + np.linspace(-0.8, 0.8, 17)[None, :, None] * [0, 1, 0]
    points[:, :, 0] += np.array([0, 4, 0, 4, 0])[:, None]
    views = steady_views(made_result(clip, [track]), [points])
    assert len({view.reach_m for view in views.values()}) == 1
    assert np.ptp([view.centre[0] for view in views.values()]) < 1.0  # jumps of 4 m do not shake it
    assert steady_views(made_result(clip), []) == {}
