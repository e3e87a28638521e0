"""Fakes for tests of the whole chain: people and bodies that cost nothing; reading and writing stay real."""

from __future__ import annotations

from functools import partial

import numpy as np

from dsr.people import Detection
from dsr.pipeline.picture_fitter import Fitter, fit_images
from dsr.results import PersonResult


def find_people(photo):
    """A person per 50 grey levels."""
    count = round(float(photo.rgb.mean()) / 50)
    box = np.array([0.0, 0, photo.width, photo.height])
    return [Detection(box, 0.9, "blazepose33", np.zeros((33, 2)), np.ones(33)) for _ in range(count)]


def fit_bodies(detections, camera, body, options, start=None):
    """A body at rest for everybody."""
    asset = body.asset
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


cheap_fitter = partial(Fitter, people_finder=find_people, body_fitter=fit_bodies)
"""Called as :class:`~dsr.pipeline.picture_fitter.Fitter`."""
fit_cheaply = partial(fit_images, people_finder=find_people, body_fitter=fit_bodies)
"""Called as :func:`dsr.fit_images`."""
