"""The four keypoint conventions on the open body, as sparse rows over its vertices."""

from __future__ import annotations

import numpy as np
from regressors import RegressorFitter, Row, blend, thin
from tpose import FLIP

from dsr.body.joints import COCO17_NAMES

# Where BlazePose marks a point, away from the anatomical one: left side of the T-pose, millimetres (x out, y up,
# z forward), as calibrate_keypoints.py prints it. Without it, fits come out 5 cm too tall and hands too wide.
BLAZEPOSE_OFFSETS_MM = {
    "nose": (0, -2, -6),
    "eye_inner": (-1, -4, -4),
    "eye": (-5, -4, -8),
    "eye_outer": (-11, -3, -13),
    "ear": (-29, -1, 23),
    "mouth": (-10, 4, -2),
    "shoulder": (17, 2, 1),
    "elbow": (-2, 2, 9),
    "wrist": (9, 1, -3),
    "pinky": (-11, -3, 26),
    "index": (-20, -8, -15),
    "thumb": (11, 11, -23),
    "hip": (6, 5, 14),
    "knee": (1, 3, 10),
    "ankle": (-1, 11, 0),
    "heel": (-10, -1, 1),
    "big_toe": (6, 0, -22),
}


def keypoint_rows(
    fitter: RegressorFitter,
    anny_points: dict[str, np.ndarray],
    heads: dict[str, np.ndarray],
    mouth_left: Row,
    h36m_joints: list[Row],
) -> dict[str, list[Row]]:
    """Rows of coco17, h36m17, blazepose33 and openpose25.

    Points that BlazePose has too lie where it marks them in coco17 and openpose25 as well: its training data extend
    COCO's, and it is the detector that can be measured.

    Args:
        fitter: solver over the sample of shapes.
        anny_points: Anny's own dense keypoint rows (V,) by name (COCO body, toes and heels; Apache-2.0).
        heads: (N, 3) T-posed heads of the finger bones by name (left hand only).
        mouth_left: row of the left corner of the mouth.
        h36m_joints: rows of the 24 joints as Human3.6M has them.
    """
    point = {name: thin(row) for name, row in anny_points.items()}
    for name in list(point):  # exact left/right symmetry
        if name.startswith("left_"):
            point["right_" + name[5:]] = fitter.flip(point[name])
    point["nose"] = blend([(0.5, point["nose"]), (0.5, fitter.flip(point["nose"]))])
    sides = {"left": lambda row: row, "right": fitter.flip}
    left_eye, right_eye = fitter.apply(point["left_eye"]), fitter.apply(point["right_eye"])
    apart = left_eye - right_eye
    extra = {
        "eye_inner": fitter.solve(left_eye - 0.25 * apart, count=60),
        "eye_outer": fitter.solve(left_eye + 0.22 * apart, count=60),
        "mouth": mouth_left,
        **{name: fitter.solve(target, count=120) for name, target in heads.items()},
    }
    for name, row in extra.items():
        for side, mirrored in sides.items():
            point[f"{side}_{name}"] = mirrored(row)

    def both(name: str) -> list[Row]:
        return [point[f"left_{name}"], point[f"right_{name}"]]

    nose = point["nose"]
    for name, move in BLAZEPOSE_OFFSETS_MM.items():
        row = _marked(fitter, point, name, move)
        if name == "nose":
            point[name] = row
            continue
        for side, mirrored in sides.items():
            point[f"{side}_{name}"] = mirrored(row)
    blazepose = [point["nose"]]
    for side in sides:
        blazepose += [point[f"{side}_{name}"] for name in ("eye_inner", "eye", "eye_outer")]
    for name in list(BLAZEPOSE_OFFSETS_MM)[4:]:
        blazepose += both(name)
    shoulders = blend([(0.5, row) for row in both("shoulder")])
    hips = blend([(0.5, row) for row in both("hip")])
    openpose = [point["nose"], shoulders]
    for side in ("right", "left"):
        openpose += [point[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist")]
    openpose.append(hips)
    for side in ("right", "left"):
        openpose += [point[f"{side}_{name}"] for name in ("hip", "knee", "ankle")]
    openpose += [*reversed(both("eye")), *reversed(both("ear"))]
    for side in ("left", "right"):
        openpose += [point[f"{side}_{name}"] for name in ("big_toe", "small_toe", "heel")]
    return {
        "coco17": [point[name] for name in COCO17_NAMES],
        "h36m17": _h36m(fitter, h36m_joints, nose),
        "blazepose33": blazepose,
        "openpose25": openpose,
    }


H36M_HIPS, H36M_SHOULDERS, H36M_UP = 1.53, 0.86, 0.008
"""How far Human3.6M's hips and shoulder joints lie apart, over the distance of the anatomical ones: 0.265 m and 0.26 to
0.30 m on people of 1.7 to 1.8 m; how far its hips lie above them, metres: its thighs are as long as its shanks."""


def h36m_skeleton(fitter: RegressorFitter, joints: np.ndarray, template: np.ndarray) -> dict[int, Row]:
    """Rows of hips and shoulders, by joint, where Human3.6M's skeletons have them.

    Args:
        fitter: solver over straight and bent bodies.
        joints: (N, 24, 3) their joints.
        template: (24, 3) joints of the template.
    """
    rows: dict[int, Row] = {}
    for left, factor in ((1, H36M_HIPS), (16, H36M_SHOULDERS)):
        right = int(FLIP[left])
        out = (factor - 1) / 2
        targets, centre = (
            (1 + out) * points[..., left, :] - out * points[..., right, :] for points in (joints, template)
        )
        if left == 1:  # the pelvis stays upright in all of them
            targets, centre = (points + np.array([0, H36M_UP, 0]) for points in (targets, centre))
        rows[left] = fitter.solve(targets, count=300, centre=centre)
        rows[right] = fitter.flip(rows[left])
    return rows


def _marked(fitter: RegressorFitter, point: dict[str, Row], name: str, move_mm: tuple[float, float, float]) -> Row:
    """The left (or middle) point where BlazePose marks it."""
    row = point.get(f"left_{name}", point.get(name))
    assert row is not None
    target = fitter.apply(row) + np.array(move_mm) / 1000
    return fitter.solve(target, count=200, central=name == "nose")


def _h36m(fitter: RegressorFitter, joint: list[Row], nose: Row) -> list[Row]:
    """Pelvis, right leg, left leg, spine, thorax, nose, head top, left arm, right arm (PersPose spec, section 5.4)."""
    pelvis = blend([(0.5, joint[1]), (0.5, joint[2])])
    thorax = blend([(0.5, joint[12]), (0.25, joint[16]), (0.25, joint[17])])
    spine = blend([(0.5, pelvis), (0.5, thorax)])
    top = np.where(fitter.usable, fitter.template[:, 1], -np.inf)
    crown = {int(v): 1 / 30 for v in np.argsort(-top)[:30]}
    crown = blend([(0.5, crown), (0.5, fitter.flip(crown))])
    legs = [joint[j] for j in (2, 5, 8, 1, 4, 7)]
    return [pelvis, *legs, spine, thorax, nose, crown, *(joint[j] for j in (16, 18, 20, 17, 19, 21))]
