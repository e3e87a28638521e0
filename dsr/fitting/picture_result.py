"""Bodies as results: parameters through the full body layer, residuals and warnings, in the picture's own camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dsr.body import Body, standing_height_m
from dsr.body.rotations import rotmat_to_axis_angle
from dsr.body.shapes import result_measures
from dsr.body.transfer import PosedBody
from dsr.camera import PictureCamera, project, rotate_body_to_original
from dsr.fitting.keypoint_model import POSED_JOINTS
from dsr.fitting.network_start import joint_uncertainty
from dsr.fitting.problem import FitProblem
from dsr.fitting.residuals import reprojection_residuals, silhouette_iou, visibility_warnings
from dsr.fitting.solver import State
from dsr.fitting.unseen import unseen_uncertainty
from dsr.people.types import Detection
from dsr.results.picture import PersonResult

_LITTLE_OVERLAP = 0.35
"""Silhouette IoU of a body that is hardly the person's; 0.6 to 0.9 is usual, loose clothes included."""


def describe_people(
    detections: Sequence[Detection], camera: PictureCamera, body: Body, bodies: PosedBody
) -> list[PersonResult]:
    """Bodies as they are, not fitted to anything, as results.

    Args:
        detections: people, left to right; each is named after its ``number``, or else its place in the list.
        camera: of the full, upright picture.
        body: body layer.
        bodies: one body per detection, in the picture's camera.
    """
    every = rotmat_to_axis_angle(bodies.pose_rotmat.double())
    people = []
    for i, detection in enumerate(detections):  # people may come with different keypoint sets
        row = slice(i, i + 1)
        pose = bodies.betas[row].double(), every[row, 0], every[row, 1:], bodies.transl[row].double()
        people += _describe([detection], *pose, camera, body)
    return named_people(people, detections)


def describe_state(problem: FitProblem, state: State) -> list[PersonResult]:
    """The solved people of a problem, turned back to the picture's camera; ids are left empty."""
    body, R = problem.body, problem.rotation
    betas = state.betas.to(body.rest_joints())
    root_rest = body.rest_joints(betas)[:, 0].to(R)
    root, transl = rotate_body_to_original(state.root, state.transl, root_rest, R)
    orient = rotmat_to_axis_angle(root)
    pose = torch.zeros(len(root), body.num_joints - 1, 3).to(orient)
    pose[:, :POSED_JOINTS] = state.theta.reshape(-1, POSED_JOINTS, 3)
    unsure = None if problem.network is None else joint_uncertainty(problem.network)
    return _describe(problem.detections, state.betas, orient, pose, transl, problem.camera, body, unsure)


def named_people(people: list[PersonResult], detections: Sequence[Detection]) -> list[PersonResult]:
    """The same people with their ids: ``p`` and the detection's ``number``, or else its place in the list."""
    for i, (person, detection) in enumerate(zip(people, detections, strict=True)):
        person.id = f"p{i if detection.number is None else detection.number}"
    return people


def _describe(
    detections: list[Detection],
    betas_fitted: Tensor,
    orient: Tensor,
    pose: Tensor,
    transl: Tensor,
    camera: PictureCamera,
    body: Body,
    unsure_mm: np.ndarray | None = None,
) -> list[PersonResult]:
    """Parameters (axis-angle, picture's camera) of people that share a keypoint set, through the full body."""
    dtype = body.rest_joints().dtype
    betas = betas_fitted.to(dtype)
    with torch.no_grad():
        output = body(betas, pose.to(dtype), orient.to(dtype), transl.to(dtype))
        points = body.keypoints(output.vertices, detections[0].keypoint_set).double()
        projected = project(points, torch.as_tensor(camera.K, device=points.device)).cpu().numpy()
    arrays = [t.detach().cpu().numpy() for t in (betas_fitted, orient, pose, transl, output.vertices, output.joints)]
    height, measures = standing_height_m(body.asset, arrays[0]), result_measures(body.asset, arrays[0])
    outside = body.asset.faces[~body.asset.interior]
    results = []
    for i, detection in enumerate(detections):
        betas_i, orient_i, pose_i, transl_i, vertices, joints = (a[i] for a in arrays)
        overlap = silhouette_iou(detection.mask, vertices, outside, camera.K)
        results.append(
            PersonResult(
                id="",
                box_px=np.asarray(detection.box_px, np.float32),
                score=float(detection.score),
                keypoint_set=detection.keypoint_set,
                keypoints_px=np.concatenate([detection.keypoints_px, detection.confidence[:, None]], 1).astype(
                    np.float32
                ),
                betas=betas_i.astype(np.float32),
                global_orient=orient_i.astype(np.float32),
                body_pose=pose_i.astype(np.float32),
                transl=transl_i.astype(np.float32),
                vertices_cam_m=vertices.astype(np.float32),
                joints_cam_m=joints.astype(np.float32),
                height_m=float(height[i]),
                measures=measures[i],
                joint_uncertainty_mm=_uncertainty(
                    unseen_uncertainty(detection, camera.size, body.num_joints),
                    None if unsure_mm is None else unsure_mm[i],
                    body.num_joints,
                ),
                residuals={"fit": {**reprojection_residuals(detection, projected[i]), "silhouette_iou": overlap}},
                warnings=[*visibility_warnings(detection, camera.size), *_overlap_warnings(overlap)],
            )
        )
    return results


def _uncertainty(unseen: np.ndarray | None, said: np.ndarray | None, joints: int) -> np.ndarray | None:
    """(J,) of joints that are not seen, and of SMPL's by the network where there is one; the larger of both."""
    if said is None:
        return unseen
    known = np.full(joints, np.nan)
    count = min(joints, len(said))
    known[:count] = said[:count]
    return known if unseen is None else np.fmax(known, unseen)


def _overlap_warnings(overlap: float | None) -> list[str]:
    """A sentence where body and silhouette hardly meet: of a picture upside down, or of a skeleton over two people."""
    if overlap is None or overlap >= _LITTLE_OVERLAP:
        return []
    return [f"The body covers little of this person's silhouette (overlap {100 * overlap:.0f} %): look at the overlay."]
