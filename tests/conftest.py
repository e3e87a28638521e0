"""Fixtures for tests of the whole chain: small pictures, and bodies that cost nothing to fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def make_picture():
    """A function that writes a small plain picture; the grey level says how many people the cheap bodies give it."""

    def make(path: Path, people: int = 1, size: tuple[int, int] = (96, 128), **save) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (50 * people,) * 3).save(path, **save)
        return path

    return make


@pytest.fixture
def cheap_bodies(monkeypatch):
    """Replace finding and fitting people by a body at rest per 50 grey levels; reading and writing stay real."""
    from dsr.people import Detection
    from dsr.pipeline.pictures import Fitter
    from dsr.results.picture import PersonResult

    def people(self, photo):
        count = round(float(photo.rgb.mean()) / 50)
        box = np.array([0.0, 0, photo.width, photo.height])
        return [Detection(box, 0.9, "blazepose33", np.zeros((33, 2)), np.ones(33)) for _ in range(count)]

    def bodies(self, detections, K, size):
        asset = self.body.asset
        transl = np.array([0.0, 0.0, 4.0])
        vertices = (asset.v_template * [1, -1, -1] + transl).astype(np.float32)
        joints = asset.J_regressor @ asset.v_template
        orient, root = np.array([np.pi, 0, 0]), joints[0]
        transl = transl + root * [1, -1, -1] - root  # SMPL turns about the root joint
        return [
            PersonResult(
                id=f"p{i if d.number is None else d.number}",
                box_px=d.box_px,
                score=d.score,
                keypoint_set=d.keypoint_set,
                keypoints_px=np.column_stack([d.keypoints_px, d.confidence]),
                betas=np.zeros(asset.num_betas),
                global_orient=orient,
                body_pose=np.zeros((23, 3)),
                transl=transl,
                vertices_cam_m=vertices,
                joints_cam_m=joints,
                height_m=1.7,
                residuals={"fit": {"reprojection_px": 2.0, "reprojection_rel": 0.01}},
            )
            for i, d in enumerate(detections)
        ]

    monkeypatch.setattr(Fitter, "_people", people)
    monkeypatch.setattr(Fitter, "_bodies", bodies)
