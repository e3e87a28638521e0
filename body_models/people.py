"""Anny bodies with local modifications, brought to the T-pose about anatomical joint centres, in torch.

One person is a vector of parameters: Anny's phenotypes (gender, age, muscle, weight, height, proportions) and symmetric
local modifications (a left and a right one move together).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from measurements import joint_centres, marked_points
from mesh import open_mesh, split
from torch import Tensor
from tpose import FLIP, JOINT_NAMES, PARENTS, bone_to_joint, four_strongest, joint_bones

from dsr.body.tape import Tape

_STEMS = """
upperarm-scale-horiz upperarm-scale-depth upperarm-scale-vert upperarm-fat upperarm-muscle upperarm-shoulder-muscle
lowerarm-scale-horiz lowerarm-scale-depth lowerarm-scale-vert lowerarm-fat lowerarm-muscle
measure-upperarm-length measure-upperarm-circ measure-lowerarm-length measure-wrist-circ
hand-scale hand-fingers-length hand-fingers-diameter foot-scale foot-scale-horiz foot-scale-vert foot-scale-depth
measure-ankle-circ measure-calf-circ measure-knee-circ measure-thigh-circ
measure-lowerleg-height measure-upperleg-height upperlegs-height lowerlegs-height
upperleg-scale-horiz upperleg-scale-depth upperleg-scale-vert upperleg-fat upperleg-muscle
lowerleg-scale-horiz lowerleg-scale-depth lowerleg-scale-vert lowerleg-fat lowerleg-muscle
hip-scale-horiz hip-scale-depth hip-scale-vert hip-trans-up hip-trans-forward measure-hips-circ measure-waisttohip-dist
buttocks-volume stomach-tone stomach-pregnant pelvis-tone
torso-scale-horiz torso-scale-depth torso-scale-vert torso-muscle-pectoral torso-muscle-dorsi torso-vshape
measure-shoulder-dist measure-bust-circ measure-underbust-circ measure-waist-circ measure-napetowaist-dist
measure-frontchest-dist breast-trans breast-volume-vert
measure-neck-circ measure-neck-height neck-scale-horiz neck-scale-depth neck-scale-vert neck-back-scale-depth
head-scale-horiz head-scale-depth head-scale-vert head-back-scale-depth head-fat chin-height chin-jaw-drop
cheek-bones cheek-volume
"""
LOCAL = _STEMS.split()
"""Local modifications by the stem of their names."""

_LIMB = {"hip": 1, "knee": 4, "ankle": 7, "shoulder": 16, "elbow": 18, "wrist": 20}
REFERENCE = {"age": 2 / 3, "gender": 0.0, "proportions": 0.75}
"""The reference man on whom landmarks and rings are marked."""


class People:
    """Anny as a function from parameters to T-posed vertices, joints and marked points.

    Attributes:
        names: of the parameters; the first six are phenotypes.
        mesh: surface of the open body.
        body_index: (V,) base-mesh vertices of the open body, in its order.
        weights: (19158, 24) skinning weights cut to the four strongest.
    """

    def __init__(self) -> None:
        import anny

        self.model = model = anny.Anny(topology="anny-full", local_changes="all")
        self.mesh = open_mesh()
        self.body_index = self.mesh.base_index
        self.root = Path(anny.__path__[0])
        self.labels = list(model.bone_labels)
        joint_of_bone = bone_to_joint(self.labels, list(model.bone_parents))
        indices, values = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
        full = np.zeros((len(indices), 24))
        np.add.at(full, (np.arange(len(indices))[:, None], joint_of_bone[indices]), values)
        self.over_four = int((np.count_nonzero(full[self.body_index], axis=1) > 4).sum())
        self.weights = four_strongest(full)
        self.phenotypes = list(model.phenotype_labels)
        self.pairs = [self._pair(stem) for stem in LOCAL]
        self.names = [*self.phenotypes, *LOCAL]
        self._stack()
        self.skin_faces = split(self.mesh.quads[~self.mesh.interior])
        reference = {k: torch.full((1,), v, dtype=model.dtype) for k, v in REFERENCE.items()}
        self.reference = self._rest_of(reference)[0].numpy()
        self.marks, self.mark_names = marked_points(
            self.reference[self.body_index], self.skin_faces, self.weights[self.body_index], JOINT_NAMES
        )
        self.marks_base = _on_base(self.marks, self.body_index, len(self.weights))

    def _pair(self, stem: str) -> list[int]:
        labels = self.model.local_change_labels
        ends = ("-incr", "-up", "-out", "-forward", "")
        for names in ([f"{stem}{e}"] for e in ends):
            if names[0] in labels:
                return [labels.index(names[0])]
        for e in ends:
            if f"l-{stem}{e}" in labels:
                return [labels.index(f"{side}-{stem}{e}") for side in "lr"]
        raise KeyError(stem)

    def _stack(self) -> None:
        """Blend shapes of vertices followed by bone heads: phenotype basis, positive and negative local ones."""
        m, short = self.model, self.mesh.short_lashes
        shapes = torch.cat([short(m.blendshapes), m.bone_heads_blendshapes], 1)
        count = m.phenotype_blendshape_projection.shape[1]
        local = shapes[-2 * len(m.local_change_labels) :]
        self.template = _y_up(torch.cat([short(m.template_vertices), m.template_bone_heads], 0))
        self.phenotype_basis = _y_up(shapes[:count])
        self.up = _y_up(torch.stack([sum(local[2 * i] for i in pair) for pair in self.pairs]))
        self.down = _y_up(torch.stack([sum(local[2 * i + 1] for i in pair) for pair in self.pairs]))

    def _rest_of(self, phenotypes: dict[str, Tensor]) -> Tensor:
        p = torch.stack([phenotypes.get(k, torch.full((1,), 0.5, dtype=self.model.dtype)) for k in self.phenotypes], 1)
        return self.rest(torch.cat([p, p.new_zeros(len(p), len(LOCAL))], 1))

    def only(self, vertices: np.ndarray) -> Sub:
        """The same people on some base-mesh vertices, for speed."""
        return Sub(self, vertices)

    def coefficients(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients of the phenotype basis, of positive and of negative local modifications."""
        m, n = self.model, len(self.phenotypes)
        zero = parameters.new_zeros(len(parameters), len(m.local_change_labels))
        face = parameters.new_zeros(len(parameters), len(m.facial_action_labels))
        wi = m._get_phenotype_blendshape_coefficients(parameters[:, :n], zero, face)[:, : len(self.phenotype_basis)]
        local = parameters[:, n:]
        return wi, local.clamp(min=0), (-local).clamp(min=0)

    def rest(self, parameters: Tensor) -> Tensor:
        """Rest vertices and bone heads (N, 19158 + 104, 3), body frame."""
        return _blend(self.coefficients(parameters), self.template, self.phenotype_basis, self.up, self.down)


class Sub:
    """People on a subset of the base mesh: marked points and joints without the other vertices.

    Args:
        people: the whole.
        vertices: base-mesh vertices besides those of the marked points.
    """

    def __init__(self, people: People, vertices: np.ndarray) -> None:
        self.people = people
        used = np.unique(people.marks_base.indices)
        self.vertices = np.union1d(vertices, used)
        count = len(people.weights)
        keep = torch.from_numpy(np.concatenate([self.vertices, count + np.arange(len(people.labels))]).astype(np.int64))
        self.template, self.basis = people.template[keep], people.phenotype_basis[:, keep]
        self.up, self.down = people.up[:, keep], people.down[:, keep]
        self.weights = torch.from_numpy(people.weights[self.vertices])
        self.bones = [torch.tensor([people.labels.index(b) for b in bones]) for bones in joint_bones()]
        marks = people.marks_base[:, self.vertices]
        arm = people.weights[self.vertices][:, [16, 18, 20, 22]].sum(1)
        self.tape = Tape(marks.tocsr(), people.mark_names, arm)
        self.mark_rows = {n: self.tape.groups[n] for n in people.mark_names}

    def rest(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Rest vertices (N, U, 3) and the 24 joints (N, 24, 3): limbs at anatomical centres, the trunk at Anny's."""
        both = _blend(self.people.coefficients(parameters), self.template, self.basis, self.up, self.down)
        vertices, heads = both[:, : len(self.vertices)], both[:, len(self.vertices) :]
        joints = torch.stack([heads[:, b].mean(1) for b in self.bones], 1)
        tape = self.tape
        marks = {
            name: (tape.weight[rows[0], :, None] * vertices[:, tape.index[rows[0]]]).sum(1)
            for name, rows in self.mark_rows.items()
            if len(rows) == 1
        }
        joints = joints.clone()
        mirror = vertices.new_tensor([-1.0, 1.0, 1.0])
        for name, centre in joint_centres(marks).items():
            j = _LIMB[name]
            joints[:, j], joints[:, int(FLIP[j])] = centre, centre * mirror
        hips = (joints[:, 1] + joints[:, 2]) / 2
        root = joints[:, 0].clone()
        root[:, 1] = hips[:, 1] + ROOT_ABOVE_HIPS * (joints[:, 3, 1] - hips[:, 1])
        joints[:, 0] = root
        return vertices, joints

    def tposed(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """T-posed vertices (N, U, 3) and joints (N, 24, 3)."""
        return repose(*self.rest(parameters), self.weights)

    def points(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Marked points in the T-pose and with lowered arms (N, K, 3), and the T-posed vertices (N, U, 3)."""
        vertices, joints = self.tposed(parameters)
        return (*self.tape.points(vertices, joints[:, 16]), vertices)


ROOT_ABOVE_HIPS = 0.3
"""The pelvis joint above the line between the hips, as a share of the way to the lowest spine joint."""


def repose(vertices: Tensor, joints: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Bring rest shapes into the T-pose by linear blend skinning on the 24 joints, pelvis at the origin.

    The same as :func:`tpose.repose`, differentiable.
    """
    rotations = world_rotations(joints)
    posed: list[Tensor] = [torch.zeros_like(joints[:, 0])]
    for joint in range(1, 24):
        parent = int(PARENTS[joint])
        offset = joints[:, joint] - joints[:, parent]
        posed.append(posed[parent] + (rotations[:, parent] @ offset[..., None])[..., 0])
    placed = torch.stack(posed, 1)
    shift = placed - (rotations @ joints[..., None])[..., 0]
    blended = torch.einsum("vj,njk->nvk", weights, torch.cat([rotations, shift[..., None]], -1).flatten(2))
    affine = blended.unflatten(2, (3, 4))
    return (affine[..., :3] @ vertices[..., None])[..., 0] + affine[..., 3], placed


def world_rotations(joints: Tensor) -> Tensor:
    """Rotations (N, 24, 3, 3) that bring every joint's limb from the rest pose into the T-pose."""
    eye = torch.eye(3, dtype=joints.dtype).expand(len(joints), 3, 3)
    out = [eye] * 24
    for side, (hip, knee, ankle, shoulder, elbow, wrist, hand) in (
        (1.0, (1, 4, 7, 16, 18, 20, 22)),
        (-1.0, (2, 5, 8, 17, 19, 21, 23)),
    ):
        down, away = joints.new_tensor([0.0, -1.0, 0.0]), joints.new_tensor([side, 0.0, 0.0])
        out[hip] = _swing(joints[:, knee] - joints[:, hip], down)
        out[knee] = _swing(joints[:, ankle] - joints[:, knee], down)
        upper, fore = joints[:, elbow] - joints[:, shoulder], joints[:, wrist] - joints[:, elbow]
        hinge = torch.linalg.cross(upper, fore)
        up = torch.linalg.cross(away, joints.new_tensor([0.0, 0.0, 1.0]))
        target = _frame(away[None], up[None])
        out[shoulder] = target @ _frame(upper, hinge).transpose(-1, -2)
        out[elbow] = target @ _frame(fore, hinge).transpose(-1, -2)
        palm = (out[elbow] @ (joints[:, hand] - joints[:, wrist])[..., None])[..., 0]
        out[wrist] = _swing(palm, away) @ out[elbow]
        out[hand] = out[wrist]
    return torch.stack(out, 1)


def _unit(v: Tensor) -> Tensor:
    return v / torch.linalg.vector_norm(v, dim=-1, keepdim=True)


def _frame(x: Tensor, z: Tensor) -> Tensor:
    x = _unit(x)
    z = _unit(z - (z * x).sum(-1, keepdim=True) * x)
    return torch.stack([x, torch.linalg.cross(z, x), z], -1)


def _swing(source: Tensor, target: Tensor) -> Tensor:
    a = _unit(source)
    v, c = torch.linalg.cross(a, target.expand_as(a)), a @ target
    zero = torch.zeros_like(c)
    k = torch.stack([zero, -v[:, 2], v[:, 1], v[:, 2], zero, -v[:, 0], -v[:, 1], v[:, 0], zero], -1).unflatten(
        -1, (3, 3)
    )
    return torch.eye(3, dtype=a.dtype) + k + k @ k / (1 + c)[:, None, None]


def _y_up(points: Tensor) -> Tensor:
    return torch.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def _blend(
    coefficients: tuple[Tensor, Tensor, Tensor], template: Tensor, basis: Tensor, up: Tensor, down: Tensor
) -> Tensor:
    flat = template.flatten()
    for c, shapes in zip(coefficients, (basis, up, down), strict=True):
        flat = flat + c @ shapes.flatten(1)
    return flat.unflatten(-1, (-1, 3))


def _on_base(rows: sp.csr_matrix, body_index: np.ndarray, count: int) -> sp.csr_matrix:
    c = rows.tocoo()
    return sp.csr_matrix((c.data, (c.row, body_index[c.col])), shape=(rows.shape[0], count))
