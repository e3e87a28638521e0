"""Body measurements of ANSUR II on a mesh, differentiable in torch: heights, breadths, depths, girths and lengths.

Every measure is taken on marked points: landmarks, and rings of points around a limb or the trunk. Both are fixed
convex blends of vertices of the T-posed body, so they stay at the same anatomical place on every shape. The arms are
lowered first, as people stand when they are measured. A girth is the length of a taut tape: the perimeter of the
ring's convex hull in a plane, by Cauchy's formula the mean width times pi. Metres, kilograms.

Definitions, in our words and from memory of Hotzman et al., Measurer's Handbook: US Army and Marine Corps
Anthropometric Surveys (NATICK/TR-11/017).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dsr.body.measure import DENSITY

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ARM_ANGLE = np.radians(75.0)
"""How far the arms are lowered from the T-pose."""
_DIRECTIONS = 96


@dataclass(frozen=True)
class Measure:
    """How one measure is taken.

    Attributes:
        kind: ``height``, ``distance``, ``width``, ``breadth``, ``depth``, ``girth``, ``stature``, ``span`` or ``mass``.
        points: names of landmarks or rings.
        definition: the handbook's definition in a line.
        plane: for girths, the normal of the tape's plane: ``up``, ``arm`` or ``neck``.
        factor: what the value on the mesh is multiplied with, where the handbook's posture differs.
    """

    kind: str
    points: tuple[str, ...]
    definition: str
    plane: str = "up"
    factor: float = 1.0


def _height(point: str, definition: str) -> Measure:
    return Measure("height", (point,), definition)


def _girth(ring: str, definition: str, plane: str = "up", factor: float = 1.0) -> Measure:
    return Measure("girth", (ring,), definition, plane, factor)


MEASURES: dict[str, Measure] = {
    "stature": Measure("stature", ("crown",), "Floor to the top of the head, standing."),
    "weight": Measure("mass", (), "Body weight; on the mesh volume times density."),
    "cervicale_height": _height("cervicale", "Floor to the tip of the spine of the seventh neck vertebra."),
    "suprasternale_height": _height("suprasternale", "Floor to the lowest point of the notch above the breastbone."),
    "acromial_height": _height("acromion", "Floor to the outermost point of the shoulder blade's acromion."),
    "axilla_height": _height("axilla", "Floor to the front fold of the armpit."),
    "chest_height": _height("nipple", "Floor to the bustpoint or nipple."),
    "waist_height": _height("omphalion", "Floor to the middle of the navel."),
    "iliocristale_height": _height("iliocristale", "Floor to the highest point of the hip bone's crest at the side."),
    "trochanterion_height": _height("trochanterion", "Floor to the top of the thigh bone's greater trochanter."),
    "buttock_height": _height("gluteal", "Floor to the level of the buttock's hindmost point."),
    "crotch_height": _height("crotch", "Floor to the crotch."),
    "knee_height_midpatella": _height("patella", "Floor to the middle of the kneecap."),
    "lateral_femoral_epicondyle_height": _height("epicondyle_lateral", "Floor to the outer bump of the thigh bone."),
    "tibial_height": _height("tibiale", "Floor to the upper inner rim of the shin bone."),
    "lateral_malleolus_height": _height("malleolus_lateral", "Floor to the outermost point of the outer ankle."),
    "biacromial_breadth": Measure("width", ("acromion",), "Between the two acromia."),
    "bideltoid_breadth": Measure("width", ("deltoid",), "Widest across the shoulder muscles, arms hanging."),
    "chest_breadth": Measure("breadth", ("chest",), "Width of the chest at the level of the bustpoint."),
    "waist_breadth": Measure("breadth", ("waist",), "Width at the level of the navel."),
    "hip_breadth": Measure("breadth", ("hips",), "Widest across the hips, standing."),
    "bimalleolar_breadth": Measure("distance", ("malleolus_lateral", "malleolus_medial"), "Across the ankle's bumps."),
    "foot_breadth": Measure("breadth", ("foot_ball",), "Across the ball of the foot, horizontally."),
    "hand_breadth": Measure("distance", ("metacarpale2", "metacarpale5"), "Across the knuckles of fingers 2 and 5."),
    "head_breadth": Measure("breadth", ("head",), "Widest across the head above the ears."),
    "bizygomatic_breadth": Measure("width", ("zygion",), "Across the cheek bones."),
    "chest_depth": Measure("depth", ("chest",), "Front to back of the chest at the level of the bustpoint."),
    "waist_depth": Measure("depth", ("waist",), "Front to back at the level of the navel."),
    "buttock_depth": Measure("depth", ("buttock",), "Front to back at the buttock's hindmost point."),
    "chest_girth": _girth("chest", "Around the chest at the level of the bustpoint, horizontal."),
    "waist_girth": _girth("waist", "Around the waist at the level of the navel, horizontal."),
    "buttock_girth": _girth("buttock", "Around the trunk at the buttock's hindmost point, horizontal."),
    "thigh_girth": _girth("thigh", "Around the thigh at the fold below the buttock."),
    "lower_thigh_girth": _girth("lower_thigh", "Around the thigh just above the kneecap."),
    "calf_girth": _girth("calf", "Around the calf, largest."),
    "ankle_girth": _girth("ankle", "Around the ankle, smallest."),
    "neck_girth": _girth("neck", "Around the neck below the Adam's apple, across the neck's axis.", "neck"),
    "biceps_girth": _girth("biceps", "Around the upper arm, flexed; the mesh's is relaxed.", "arm", 1.06),
    "forearm_girth": _girth("forearm", "Around the forearm, flexed; the mesh's is relaxed.", "arm", 1.03),
    "wrist_girth": _girth("wrist", "Around the wrist at the styloids.", "arm"),
    "head_girth": _girth("head", "Around the head above brows and ears, largest."),
    "acromion_radiale_length": Measure("distance", ("acromion", "radiale"), "Acromion to the top of the radius."),
    "radiale_stylion_length": Measure("distance", ("radiale", "stylion"), "Top of the radius to its tip at the wrist."),
    "sleeve_outseam": Measure("distance", ("acromion", "stylion"), "Acromion to the tip of the radius, arm straight."),
    "hand_length": Measure("distance", ("stylion", "dactylion"), "Wrist to the tip of the middle finger."),
    "span": Measure("span", ("dactylion",), "Between the tips of the middle fingers, arms stretched sideways."),
    "foot_length": Measure("depth", ("foot",), "Heel to the tip of the longest toe."),
    "head_length": Measure("depth", ("head",), "Front to back of the head, largest."),
    "tragion_top_of_head": Measure("top", ("tragion",), "Ear notch to the top of the head, vertical."),
    "menton_sellion_length": Measure("distance", ("menton", "sellion"), "Chin to the root of the nose."),
}
"""Measures by name, in the order in which :meth:`Tape.measure` gives them."""

LENGTHS = tuple(n for n, m in MEASURES.items() if m.kind not in ("girth", "mass"))
GIRTHS = tuple(n for n, m in MEASURES.items() if m.kind == "girth")


class Tape:
    """Measures T-posed bodies at marked points.

    Args:
        rows: (K, V) sparse, marked points from T-posed vertices; points of one name follow each other.
        names: K names.
        arm: (V,) how much of each vertex moves with the left arm.
        faces: (F, 3) closed outer skin for the volume, or None to leave the mass out (NaN).
        volume_factor: full volume over the volume inside ``faces``.
    """

    def __init__(
        self,
        rows: csr_matrix,
        names: tuple[str, ...],
        arm: np.ndarray,
        faces: np.ndarray | None = None,
        volume_factor: float = 1.0,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.groups = {name: np.flatnonzero([n == name for n in names]) for name in dict.fromkeys(names)}
        index, weight = _gather(rows)
        self.weight = torch.from_numpy(weight).to(dtype)
        self.moving = torch.from_numpy(weight * arm[index]).to(dtype)
        self.index = torch.from_numpy(index)
        self.faces = None if faces is None else torch.from_numpy(faces.astype(np.int64))
        self.volume_factor = volume_factor
        turn = np.linspace(0, 2 * np.pi, _DIRECTIONS, endpoint=False)
        self.circle = torch.from_numpy(np.stack([np.cos(turn), np.sin(turn)])).to(dtype)

    def points(self, vertices: Tensor, shoulder: Tensor) -> tuple[Tensor, Tensor]:
        """Marked points (B, K, 3) in the T-pose and with lowered arms.

        Args:
            vertices: (B, V, 3) T-posed, metres.
            shoulder: (B, 3) left shoulder joint.
        """
        corners = vertices[:, self.index]
        whole = (self.weight[..., None] * corners).sum(2)
        moving = (self.moving[..., None] * corners).sum(2)
        share = self.moving.sum(1)[:, None]
        c, s = np.cos(ARM_ANGLE), np.sin(ARM_ANGLE)
        lower = whole.new_tensor([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])  # the left arm from +x towards -y
        centre = share * shoulder[:, None]
        return whole, whole - moving + (moving - centre) @ lower.T + centre

    def split(self, points: Tensor, wanted: Collection[str] | None = None) -> dict[str, Tensor]:
        """Points (B, K, 3) by name; all of them, or those wanted."""
        return {name: points[:, rows] for name, rows in self.groups.items() if wanted is None or name in wanted}

    def measure(self, tpose: dict[str, Tensor], standing: dict[str, Tensor], vertices: Tensor | None = None) -> Tensor:
        """All measures (B, M) in the order of :data:`MEASURES`, metres and kilograms.

        Args:
            tpose: marked points in the T-pose by name (:meth:`split`).
            standing: marked points with lowered arms by name.
            vertices: (B, V, 3) T-posed, for the mass.
        """
        return torch.stack([self.take(m, tpose, standing, vertices) for m in MEASURES.values()], 1)

    def take(
        self, m: Measure, tpose: dict[str, Tensor], standing: dict[str, Tensor], vertices: Tensor | None
    ) -> Tensor:
        """One measure (B,); arguments as in :meth:`measure`."""
        p = [standing[name] for name in m.points]
        floor = standing["sole"][..., 1].amin(1)
        if m.kind == "stature":
            return p[0][..., 1].amax(1) - floor
        if m.kind == "height":
            return p[0][..., 1].mean(1) - floor
        if m.kind == "top":
            return standing["crown"][..., 1].amax(1) - p[0][:, 0, 1]
        if m.kind == "distance":
            return torch.linalg.vector_norm(p[0].mean(1) - p[1].mean(1), dim=-1)
        if m.kind == "width":
            return 2 * p[0][..., 0].amax(1)
        if m.kind == "span":
            return 2 * tpose[m.points[0]][..., 0].amax(1)
        if m.kind in ("breadth", "depth"):
            along = p[0][..., 0 if m.kind == "breadth" else 2]
            return along.amax(1) - along.amin(1)
        if m.kind == "mass":
            return self._mass(vertices) if vertices is not None else torch.full_like(floor, torch.nan)
        return m.factor * self.perimeter(p[0], m.plane)

    def perimeter(self, ring: Tensor, plane: str) -> Tensor:
        """Perimeter (B,) of the convex hull of rings (B, N, 3) seen along the normal of their plane."""
        across, along = _PLANES[plane]
        flat = torch.stack([ring @ ring.new_tensor(across), ring @ ring.new_tensor(along)], -1)
        return (flat @ self.circle).amax(1).mean(1) * (2 * torch.pi)

    def _mass(self, vertices: Tensor) -> Tensor:
        if self.faces is None:
            return vertices.new_full((len(vertices),), torch.nan)
        a, b, c = (vertices[:, self.faces[:, k]] for k in range(3))
        six = (a * torch.linalg.cross(b, c, dim=-1)).sum((-1, -2))
        return DENSITY * self.volume_factor * six.abs() / 6


_PLANES = {
    "up": ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "arm": ((float(np.sin(ARM_ANGLE)), float(np.cos(ARM_ANGLE)), 0.0), (0.0, 0.0, 1.0)),
    "neck": ((1.0, 0.0, 0.0), (0.0, -0.324, 0.946)),
}
"""Two axes of every tape's plane, with lowered arms."""


def _gather(rows: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values (K, n) of sparse rows with at most n entries each; short rows are filled with zeros."""
    rows = rows.tocsr()
    count = np.diff(rows.indptr)
    index = np.zeros((rows.shape[0], int(count.max())), np.int64)
    weight = np.zeros(index.shape)
    place = np.arange(index.shape[1]) < count[:, None]
    index[place], weight[place] = rows.indices, rows.data
    return index, weight
