"""Predictions against a data set's truth by a published protocol: joints, vertices, and what shows in the picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.errors import DatasetError, UsageError
from dsr.evaluation.predictions import Predictions, matched, rows_of
from dsr.evaluation.protocols import J17_NAMES, SPIN24_TO_J17, Protocol, joint_rows, regressor_matrix

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.synthetic.records import PersonRecord, RecordSource

_BATCH = 64
_OFF_ROOT_M = 1e-3


@dataclass
class DatasetReport:
    """Scores of one data set.

    Attributes:
        protocol: its name.
        data: name of the data set.
        system: name of the network.
        people: how many were scored.
        skipped: how many were not, for want of truth.
        metrics: means over people, then joints: ``mpjpe_mm``, ``pa_mpjpe_mm``, ``pve_mm`` (None where the protocol or
            the data set has none), ``pck150``, ``auc``, ``score`` (1.5 PA-MPJPE + MPJPE, DSR's model selection).
        per_joint: joint to ``mpjpe_mm``, ``pa_mpjpe_mm``, ``pck`` and ``auc``.
        image: ``pck2d_05`` and ``pck2d_10`` (keypoints within 5 and 10 % of the box) per keypoint set and
            ``mask_iou``, each with how many people had it; empty where the data set has neither.
        notes: sentences about how it was done.
    """

    protocol: str
    data: str
    system: str
    people: int = 0
    skipped: int = 0
    metrics: dict[str, float | None] = field(default_factory=dict)
    per_joint: dict[str, dict[str, float | None]] = field(default_factory=dict)
    image: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


@dataclass
class _Errors:
    """What has been measured so far; distances in millimetres."""

    joints: list[np.ndarray] = field(default_factory=list)
    aligned: list[np.ndarray] = field(default_factory=list)
    vertices: list[np.ndarray] = field(default_factory=list)
    near: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    overlap: list[float] = field(default_factory=list)
    rerooted: int = 0
    skipped: int = 0


def evaluate_predictions(
    source: RecordSource,
    predictions: Predictions,
    bodies: Mapping[str, Body],
    protocol: Protocol,
    *,
    regressor: Path | None = None,
    every: int | None = None,
    limit: int | None = None,
    frame: str = "auto",
) -> DatasetReport:
    """Score predictions by a protocol.

    Args:
        source: the data set they are for.
        predictions: of the same rows, in the same order.
        bodies: ``neutral`` for predictions and, for gendered truth, ``male`` and ``female``; missing ones are replaced
            by the neutral one, which the report says.
        protocol: one of :data:`~dsr.evaluation.PROTOCOLS`.
        regressor: file of Human3.6M's joint regressor; the bodies' own where None.
        every: every so many rows; by default as the protocol says.
        limit: at most so many.
        frame: ``crop``: the orientation as the network said it, in the camera of its crop, as DSR is published;
            ``picture``: turned back to the camera of the full picture, where the truth lives; ``auto``: as published
            for the network's kind of crop.

    Raises:
        DatasetError: if predictions and data set do not belong together, or nobody has the truth it compares with.
    """
    if frame not in ("auto", "crop", "picture"):
        raise UsageError(f"frame {frame!r}: use auto, crop or picture.")
    crop = predictions.crop == "square" if frame == "auto" else frame == "crop"
    neutral = bodies["neutral"]
    matrices = {gender: regressor_matrix(body.asset, regressor) for gender, body in bodies.items()}
    rows = rows_of(source, protocol.every if every is None else every, limit)
    if predictions.betas.shape[1] > neutral.num_betas:
        raise DatasetError(
            f"The predictions have {predictions.betas.shape[1]} shape coefficients, but the {neutral.asset.name} body "
            f"knows {neutral.num_betas}: name the body that the network was trained with."
        )
    errors = _Errors()
    replaced: set[str] = set()
    for some in _batches(matched(predictions, source, rows)):
        usable = [(place, record) for place, record in some if _has_truth(record, protocol)]
        errors.skipped += len(some) - len(usable)
        if usable:
            _score(usable, predictions, bodies, matrices, protocol, crop, errors, replaced)
    if not errors.joints:
        raise _no_truth(source, protocol)
    return _report(source, predictions, neutral, protocol, regressor, crop, errors, replaced)


def check_truth(source: RecordSource, protocol: Protocol, rows: range) -> None:
    """Look for somebody with the truth a protocol wants, before a network is run over them all.

    Raises:
        DatasetError: if nobody has it.
    """
    if not any(_has_truth(source.record(row), protocol) for row in rows):
        raise _no_truth(source, protocol)


def _no_truth(source: RecordSource, protocol: Protocol) -> DatasetError:
    needed = "SMPL pose and shape" if protocol.truth == "mesh" else "annotated joints (S)"
    return DatasetError(f"{source.name}: nobody has {needed}, which protocol {protocol.name} compares with.")


def _score(
    some: list[tuple[int, PersonRecord]],
    predictions: Predictions,
    bodies: Mapping[str, Body],
    matrices: Mapping[str, np.ndarray],
    protocol: Protocol,
    crop: bool,
    errors: _Errors,
    replaced: set[str],
) -> None:
    """Score a few people."""
    from dsr.evaluation.image_scores import image_scores
    from dsr.evaluation.metrics import mpjpe, pa_mpjpe

    body = bodies["neutral"]
    places = [place for place, _ in some]
    pose, betas = predictions.pose_rotmat[places].astype(np.float64), predictions.betas[places]
    posed, root = _mesh(body, betas, pose)
    for placed, (place, record) in zip(posed + predictions.transl[places, None], some, strict=True):
        image_scores(record, placed, body, predictions.K[place], errors.near, errors.overlap)
    if crop:  # the same body, turned about its root joint
        turn = predictions.orient_crop[places].astype(np.float64) @ pose[:, 0].transpose(0, 2, 1)
        posed = (posed - root[:, None]) @ turn.transpose(0, 2, 1) + root[:, None]
    joints = _joints(matrices["neutral"], posed)
    pelvis, chosen = joints[:, :1], joint_rows(protocol.joints)
    if protocol.truth == "mesh":
        true_mesh, true_joints = _true_meshes(some, bodies, matrices, protocol, replaced)
        true_pelvis = true_joints[:, :1]
        target = (true_joints - true_pelvis)[:, chosen]
        if protocol.pve != "none":
            shift = 0.0 if protocol.pve == "raw" else pelvis - true_pelvis
            apart = np.linalg.norm(posed - shift - true_mesh, axis=-1)
            errors.vertices.append(1000 * apart[:, _skin(body)].mean(1))
        counts = np.ones(target.shape[:-1], bool)
    else:
        annotated = np.stack([a for _, record in some if (a := _annotated(record, protocol, errors)) is not None])
        target, counts = annotated[..., :3], annotated[..., 3] > 0
    predicted = (joints - pelvis)[:, chosen]
    errors.joints.append(1000 * mpjpe(predicted, target, counts, root=None, reduction="none"))
    errors.aligned.append(1000 * pa_mpjpe(predicted, target, counts, reduction="none"))


def _mesh(body: Body, betas: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (B, V, 3) without translation and the root joint's rest place (B, 3), from rotations (B, 24, 3, 3)."""
    import torch

    device = body.faces.device
    shape = torch.as_tensor(betas[:, : body.num_betas], dtype=body.rest_joints().dtype, device=device)
    turns = torch.as_tensor(pose).to(shape)[:, : body.num_joints]
    with torch.no_grad():
        vertices = body(shape, turns[:, 1:], turns[:, 0]).vertices
        root = body.rest_joints(shape)[:, 0]
    return vertices.double().cpu().numpy(), root.double().cpu().numpy()


def _true_meshes(
    some: list[tuple[int, PersonRecord]],
    bodies: Mapping[str, Body],
    matrices: Mapping[str, np.ndarray],
    protocol: Protocol,
    replaced: set[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (B, V, 3) and Human3.6M's joints (B, 17, 3) of true bodies, each of its gender."""
    from dsr.body.numpy_lbs import rodrigues

    genders = []
    for _, record in some:
        gender = record.gender if protocol.gendered else "neutral"
        if gender not in bodies:
            replaced.add(gender)
            gender = "neutral"
        genders.append(gender)
    vertices = joints = np.zeros(0)
    for gender in sorted(set(genders)):
        rows = [i for i, g in enumerate(genders) if g == gender]
        records = [some[i][1] for i in rows]
        pose = np.stack([rodrigues(np.asarray(r.pose_aa, np.float64)) for r in records])
        betas = np.stack([np.asarray(r.betas, np.float64) for r in records])
        mesh, _ = _mesh(bodies[gender], betas, pose)
        if not vertices.size:
            vertices, joints = np.zeros((len(some), *mesh.shape[1:])), np.zeros((len(some), 17, 3))
        vertices[rows], joints[rows] = mesh, _joints(matrices[gender], mesh)
    return vertices, joints


def _annotated(record: PersonRecord, protocol: Protocol, errors: _Errors) -> np.ndarray | None:
    """Annotated joints (J, 4) in the protocol's order: metres from the pelvis, and confidence; None without any."""
    if "h36m17" in record.joints_m:
        known = np.asarray(record.joints_m["h36m17"], np.float64)
        joints = known[joint_rows(J17_NAMES)]
    elif "spin24" not in record.joints_m:
        return None
    else:
        joints = np.asarray(record.joints_m["spin24"], np.float64)[list(SPIN24_TO_J17)]
    pelvis = joints[J17_NAMES.index("pelvis")]
    off = pelvis[3] > 0 and bool(np.linalg.norm(pelvis[:3]) > _OFF_ROOT_M)
    if off or (protocol.reroot and pelvis[3] > 0):
        errors.rerooted += int(off)
        joints = joints - np.array([*pelvis[:3], 0.0])
    return joints[[J17_NAMES.index(name) for name in protocol.joints]]


def _has_truth(record: PersonRecord, protocol: Protocol) -> bool:
    if protocol.truth == "mesh":
        return record.pose_aa is not None and record.betas is not None
    known = _annotated(record, protocol, _Errors())
    return known is not None and bool((known[:, 3] > 0).any())


def _report(
    source: RecordSource,
    predictions: Predictions,
    neutral: Body,
    protocol: Protocol,
    regressor: Path | None,
    crop: bool,
    errors: _Errors,
    replaced: set[str],
) -> DatasetReport:
    from dsr.evaluation.pck_auc import auc, pck, per_joint

    joints, aligned = np.concatenate(errors.joints), np.concatenate(errors.aligned)
    report = DatasetReport(protocol.name, source.name, predictions.system, len(joints), errors.skipped)
    mean, mean_aligned = _over_people(joints), _over_people(aligned)
    # PCK and AUC by the published tool's 14 joints: pelvis, spine and nose are not among them
    first = [i for i, name in enumerate(protocol.joints) if name in J17_NAMES[:14]]
    report.metrics = {
        "mpjpe_mm": mean,
        "pa_mpjpe_mm": mean_aligned,
        "pve_mm": float(np.concatenate(errors.vertices).mean()) if errors.vertices else None,
        "pck150": float(pck(joints[:, first])),
        "auc": float(auc(joints[:, first])),
        "score": 1.5 * mean_aligned + mean,
    }
    report.per_joint = per_joint(protocol.joints, mpjpe_mm=joints, pa_mpjpe_mm=aligned)
    for name, hits in errors.near.items():
        near = np.nanmean(np.asarray(hits), 0)
        report.image[name] = {"people": len(hits), "pck2d_05": float(near[0]), "pck2d_10": float(near[1])}
    if errors.overlap:
        report.image["mask"] = {"people": len(errors.overlap), "mask_iou": float(np.mean(errors.overlap))}
    if regressor is None:
        report.notes.append(
            f"Joints through the {neutral.asset.name} body's own Human3.6M regressor; published figures need "
            "J_regressor_h36m.npy (--h36m-regressor)."
        )
    if crop:
        report.notes.append("Orientation in the camera of the crop, as DSR's figures are published.")
    if replaced:
        report.notes.append(f"No {' or '.join(sorted(replaced))} body was given; the neutral one made the true meshes.")
    if errors.rerooted:
        report.notes.append(f"True joints of {errors.rerooted} people were not relative to the pelvis and made so.")
    return report


def _over_people(errors: np.ndarray) -> float:
    """Mean over each person's known joints, then over people; NaN marks joints that are not known."""
    known = np.isfinite(errors)
    each = np.where(known, errors, 0.0).sum(1)[known.any(1)] / known.sum(1)[known.any(1)]
    return float(each.mean()) if len(each) else float("nan")


def _batches(people: Iterator[tuple[int, PersonRecord]]) -> Iterator[list[tuple[int, PersonRecord]]]:
    while some := list(islice(people, _BATCH)):
        yield some


def _joints(matrix: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    return np.asarray(np.tensordot(vertices, matrix, axes=(1, 1)).transpose(0, 2, 1))


def _skin(body: Body) -> np.ndarray:
    """(V,) True for vertices outside; all of SMPL's."""
    skin = np.ones(body.asset.num_vertices, bool)
    if body.asset.interior.any():
        skin[np.unique(body.asset.faces[body.asset.interior])] = False
    return skin
