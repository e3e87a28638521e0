"""Keypoint regressors for the SMPL family's meshes: limb joints from the model, face, fingers and feet from vertices.

The vertex numbers are the ones in common use for the two meshes (6890 vertices: SMPL and SMPL-H; 10 475: SMPL-X).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dsr.body.joints import KEYPOINT_SETS, joint_names

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_SMPL = {
    "nose": 332,
    "left_eye": 2800,
    "right_eye": 6260,
    "left_ear": 583,
    "right_ear": 4071,
    "left_big_toe": 3216,
    "left_small_toe": 3226,
    "left_heel": 3387,
    "right_big_toe": 6617,
    "right_small_toe": 6624,
    "right_heel": 6787,
    "left_thumb_tip": 2746,
    "left_index_tip": 2319,
    "left_pinky_tip": 2673,
    "right_thumb_tip": 6191,
    "right_index_tip": 5782,
    "right_pinky_tip": 6133,
}
_SMPLX = {
    "nose": 9120,
    "left_eye": 9448,
    "right_eye": 9929,
    "left_ear": 6,
    "right_ear": 616,
    "left_big_toe": 5770,
    "left_small_toe": 5780,
    "left_heel": 8846,
    "right_big_toe": 8463,
    "right_small_toe": 8474,
    "right_heel": 8635,
    "left_thumb_tip": 5361,
    "left_index_tip": 4933,
    "left_pinky_tip": 5286,
    "right_thumb_tip": 8079,
    "right_index_tip": 7669,
    "right_pinky_tip": 8022,
}
VERTEX_IDS = {6890: _SMPL, 10475: _SMPLX}
"""Vertices of face, finger tips and feet by number of vertices of the mesh."""

Row = np.ndarray


def keypoint_regressors(
    v_template: np.ndarray, J_regressor: csr_matrix, names: tuple[str, ...]
) -> dict[str, csr_matrix]:
    """Regressors of all keypoint sets for a mesh of the SMPL family; none for a mesh that is not known.

    Args:
        v_template: (V, 3) rest vertices, metres, y up, facing +z.
        J_regressor: (J, V) joints from vertices.
        names: names of the J joints.

    Returns:
        Per keypoint set a sparse (K, V) matrix with rows that sum to one.
    """
    from scipy.sparse import csr_matrix

    if len(v_template) not in VERTEX_IDS:
        return {}
    rows = _Rows(v_template, J_regressor, names)
    rows.add_vertices(VERTEX_IDS[len(v_template)])
    rows.add_face()
    rows.add_knuckles()
    rows.add_middles()
    sets: dict[str, csr_matrix] = {}
    for keypoint_set in KEYPOINT_SETS:
        table = _ALIASES.get(keypoint_set, {})
        rows_of_set = [table.get(name, name) for name in joint_names(keypoint_set)]
        sets[keypoint_set] = csr_matrix(np.stack([rows.by_name[name] for name in rows_of_set]))
    return sets


_ALIASES = {
    "h36m17": {
        "pelvis": "mid_hip",
        "spine": "h36m_spine",
        "thorax": "h36m_thorax",
        "neck_nose": "nose",
        "head": "crown",
    },
    "openpose25": {"neck": "mid_shoulder"},
    "blazepose33": {
        **{
            f"{side}_{part}": f"{side}_{part}_knuckle"
            for side in ("left", "right")
            for part in ("pinky", "index", "thumb")
        },
        **{f"{side}_foot_index": f"{side}_big_toe" for side in ("left", "right")},
    },
}


class _Rows:
    """Named rows over the vertices, built up from joints, vertices and blends of those."""

    def __init__(self, v_template: np.ndarray, J_regressor: csr_matrix, names: tuple[str, ...]) -> None:
        self.vertices = v_template.astype(np.float64)
        dense = np.asarray(J_regressor.todense(), np.float64)
        self.joints = set(names)
        self.by_name: dict[str, Row] = {name: row / (row.sum() or 1) for name, row in zip(names, dense, strict=True)}

    def place(self, name: str) -> np.ndarray:
        return self.by_name[name] @ self.vertices

    def blend(self, **parts: float) -> Row:
        return np.sum([share * self.by_name[name] for name, share in parts.items()], axis=0)

    def vertex(self, index: int) -> Row:
        row = np.zeros(len(self.vertices))
        row[index] = 1
        return row

    def add_vertices(self, ids: dict[str, int]) -> None:
        """Vertex keypoints; a pair that lies the wrong way round (left is +x) is swapped."""
        for name, index in ids.items():
            other = ids.get(name.replace("left", "right") if "left" in name else name.replace("right", "left"), index)
            is_left = self.vertices[index, 0] > self.vertices[other, 0]
            swap = other != index and is_left != ("left" in name)
            self.by_name[name] = self.vertex(other if swap else index)

    def add_face(self) -> None:
        """Corners of eyes and mouth: the skin in front, nearest to where they lie as seen from eyes and nose."""
        left, right, nose = self.place("left_eye"), self.place("right_eye"), self.place("nose")
        apart = left - right
        centre = (left + right) / 2
        drop = np.array(
            [0.0, nose[1] - centre[1], 0.0]
        )  # eyes to nose tip; the mouth is about 0.8 of it below the nose
        for side, sign in (("left", 1), ("right", -1)):
            eye = self.place(f"{side}_eye")
            self.by_name[f"{side}_eye_inner"] = self.front(eye - sign * 0.25 * apart)
            self.by_name[f"{side}_eye_outer"] = self.front(eye + sign * 0.22 * apart)
            self.by_name[f"mouth_{side}"] = self.front(nose + 0.8 * drop + sign * 0.38 * apart)

    def front(self, target: np.ndarray) -> Row:
        """The foremost vertex among those nearest to a point as seen from the front, near the point's depth."""
        apart = np.linalg.norm(self.vertices[:, :2] - target[:2], axis=1)
        apart[np.abs(self.vertices[:, 2] - target[2]) > 0.06] = np.inf
        nearest = np.argsort(apart)[:6]
        near = nearest[apart[nearest] < 0.02]
        choice = near[np.argmax(self.vertices[near, 2])] if len(near) else int(nearest[0])
        return self.vertex(int(choice))

    def add_knuckles(self) -> None:
        """BlazePose's hand points: the model's finger joints where it has them, else on the way to the finger tip."""
        for side in ("left", "right"):
            for finger, joint, share in (("index", 1, 0.5), ("pinky", 1, 0.5), ("thumb", 2, 0.6)):
                finger_joint = f"{side}_{finger}{joint}"
                parts = {f"{side}_wrist": 1 - share, f"{side}_{finger}_tip": share}
                row = self.by_name[finger_joint] if finger_joint in self.joints else self.blend(**parts)
                self.by_name[f"{side}_{finger}_knuckle"] = row

    def add_middles(self) -> None:
        """Points between joints, defined as on the open body."""
        self.by_name["mid_hip"] = self.blend(left_hip=0.5, right_hip=0.5)
        self.by_name["mid_shoulder"] = self.blend(left_shoulder=0.5, right_shoulder=0.5)
        self.by_name["h36m_thorax"] = self.blend(neck=0.5, left_shoulder=0.25, right_shoulder=0.25)
        self.by_name["h36m_spine"] = self.blend(mid_hip=0.5, h36m_thorax=0.5)
        crown = np.zeros(len(self.vertices))
        crown[np.argsort(-self.vertices[:, 1])[:30]] = 1 / 30
        self.by_name["crown"] = crown
