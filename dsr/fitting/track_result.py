"""A fitted track as a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from dsr.body import Body, standing_height_m
from dsr.body.shapes import result_measures
from dsr.fitting.residuals import VISIBLE
from dsr.results.clip import TrackResult

if TYPE_CHECKING:
    from dsr.camera import PictureCamera
    from dsr.fitting.track import TrackFit
    from dsr.people import Detection
    from dsr.people.tracking import PersonTrack


def describe_track(
    track: PersonTrack,
    detections: list[Detection | None],
    fit: TrackFit,
    camera: PictureCamera,
    body: Body,
) -> TrackResult:
    """A fitted track as a result: joints, residuals and warnings.

    Args:
        track: the person's detections, with their frame numbers.
        detections: of every frame from the first to the last; None where there is none.
        fit: the body in the same frames.
        camera: of the clip.
        body: the body layer.
    """
    some = track.detections[0]
    count = len(some.confidence)
    keypoints = np.full((len(detections), count, 3), np.nan, np.float32)
    boxes = np.full((len(detections), 4), np.nan, np.float32)
    for t, d in enumerate(detections):
        if d is not None and len(d.confidence) == count:
            keypoints[t] = np.c_[d.keypoints_px, d.confidence]
            boxes[t] = d.box_px
    joints, projected = [], []
    with torch.no_grad():
        betas = torch.as_tensor(fit.betas, dtype=torch.float32)
        for i in range(0, len(detections), 32):
            pose, orient, place = (
                torch.as_tensor(a[i : i + 32], dtype=torch.float32)
                for a in (fit.body_pose, fit.global_orient, fit.transl)
            )
            output = body(betas.expand(len(pose), -1), pose, orient, place)
            joints.append(output.joints.numpy())
            projected.append(camera.project(body.keypoints(output.vertices, some.keypoint_set).numpy()))
    error = np.linalg.norm(np.concatenate(projected) - keypoints[..., :2], axis=-1)
    seen = (keypoints[..., 2] >= VISIBLE) & np.isfinite(error)
    height = boxes[:, 3] - boxes[:, 1]
    pixels = float(np.median(error[seen])) if seen.any() else None
    relative = float(np.median((error / np.maximum(height, 1)[:, None])[seen])) if seen.any() else None
    warnings = list(fit.warnings)
    filled = int((~fit.observed).sum())
    if filled:
        warnings.append(f"Not seen in {filled} of {len(fit.observed)} frames; the pose there is filled in.")
    if not fit.contacts.any() and len(detections) > 2:
        warnings.append("No foot was found resting on the ground: the camera moves, or the feet are hidden.")
    return TrackResult(
        id=track.id,
        frames=np.arange(int(track.frames[0]), int(track.frames[-1]) + 1),
        observed=fit.observed,
        score=float(np.mean([d.score for d in track.detections])),
        keypoint_set=some.keypoint_set,
        keypoints_px=keypoints,
        boxes_px=boxes,
        betas=fit.betas,
        global_orient=fit.global_orient,
        body_pose=fit.body_pose,
        transl=fit.transl,
        joints_cam_m=np.concatenate(joints),
        contacts=fit.contacts,
        height_m=float(standing_height_m(body.asset, fit.betas)),
        measures=result_measures(body.asset, fit.betas[None])[0],
        ground=fit.ground,
        joint_uncertainty_mm=fit.joint_uncertainty_mm,
        residuals={"fit": {"reprojection_px": pixels, "reprojection_rel": relative}},
        warnings=warnings,
    )
