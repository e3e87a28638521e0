"""The 49 joints of SPIN, EFT and DSR: OpenPose's 25 and the 24 of the data sets (DSR specification, 2.6).

On SMPL's mesh they are the published ones: kinematic joints, chosen vertices, and nine rows of the licensed
``J_regressor_extra.npy``. The open body has its own regressors for the same places; :data:`JOINTS49_SOURCES` says which
takes the place of which. Without the licensed file, the same places serve for the nine on SMPL.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dsr.body.joints import joint_names
from dsr.errors import BodyError
from dsr.npz import read_npy

if TYPE_CHECKING:
    from dsr.body import Body

SMPL_VERTICES = 6890
VERTEX_JOINTS = (
    332,
    6260,
    2800,
    4071,
    583,
    3216,
    3226,
    3387,
    6617,
    6624,
    6787,
    2746,
    2319,
    2445,
    2556,
    2673,
    6191,
    5782,
    5905,
    6016,
    6133,
)
"""Vertices of SMPL that are joints 24 to 44: face, feet, finger tips."""
EXTRA_JOINTS = 9
"""Joints 45 to 53, of ``J_regressor_extra.npy``."""
JOINT_MAP49 = (
    24,
    12,
    17,
    19,
    21,
    16,
    18,
    20,
    0,
    2,
    5,
    8,
    1,
    4,
    7,
    25,
    26,
    27,
    28,
    29,
    30,
    31,
    32,
    33,
    34,
    8,
    5,
    45,
    46,
    4,
    7,
    21,
    19,
    17,
    16,
    18,
    20,
    47,
    48,
    49,
    50,
    51,
    52,
    53,
    24,
    26,
    25,
    28,
    27,
)
"""The 49 among the 54."""

JOINTS49_SOURCES: tuple[tuple[str, str, str], ...] = (
    *((f"op_{name}", "openpose25", name) for name in joint_names("openpose25")),
    ("right_ankle", "smpl24", "right_ankle"),
    ("right_knee", "smpl24", "right_knee"),
    ("right_hip", "h36m17", "right_hip"),
    ("left_hip", "h36m17", "left_hip"),
    ("left_knee", "smpl24", "left_knee"),
    ("left_ankle", "smpl24", "left_ankle"),
    ("right_wrist", "smpl24", "right_wrist"),
    ("right_elbow", "smpl24", "right_elbow"),
    ("right_shoulder", "smpl24", "right_shoulder"),
    ("left_shoulder", "smpl24", "left_shoulder"),
    ("left_elbow", "smpl24", "left_elbow"),
    ("left_wrist", "smpl24", "left_wrist"),
    ("neck_lsp", "openpose25", "neck"),
    ("head_top_lsp", "h36m17", "head"),
    ("pelvis_mpii", "h36m17", "pelvis"),
    ("thorax_mpii", "h36m17", "thorax"),
    ("spine_h36m", "h36m17", "spine"),
    ("jaw_h36m", "h36m17", "neck_nose"),
    ("head_h36m", "h36m17", "head"),
    ("nose", "openpose25", "nose"),
    ("left_eye", "openpose25", "left_eye"),
    ("right_eye", "openpose25", "right_eye"),
    ("left_ear", "openpose25", "left_ear"),
    ("right_ear", "openpose25", "right_ear"),
)
"""Per joint its name (OpenPose's with ``op_`` before it), then the set that has it on other bodies than SMPL, and its
name there."""


def joints49(body: Body, vertices: Tensor, joints: Tensor, extra_regressor: Tensor | None = None) -> Tensor:
    """The 49 joints of posed bodies.

    Args:
        body: the body the vertices are of; with 6890 vertices it is taken for SMPL.
        vertices: (B, V, 3) posed, any unit and frame.
        joints: (B, 24, 3) its kinematic joints, the same unit and frame.
        extra_regressor: (9, 6890) from :func:`load_extra_regressor`, for SMPL; the nine joints come from the body's own
            Human3.6M and OpenPose regressors where None.

    Returns:
        (B, 49, 3) in the unit and frame of the vertices.

    Raises:
        BodyError: if a shape does not fit, or the extra regressor is given for another body than SMPL.
    """
    if joints.shape[1:] != (24, 3) or vertices.shape[1:] != (body.num_vertices, 3):
        raise BodyError(
            f"The 49 joints need joints (B, 24, 3) and vertices (B, {body.num_vertices}, 3), got {tuple(joints.shape)} "
            f"and {tuple(vertices.shape)}."
        )
    is_smpl = body.num_vertices == SMPL_VERTICES
    if extra_regressor is None:
        places = _from_keypoint_regressors(body, vertices, joints)
        return _replace_published(places, vertices, joints) if is_smpl else places
    if not is_smpl or extra_regressor.shape != (EXTRA_JOINTS, SMPL_VERTICES):
        raise BodyError(
            f"The extra joint regressor of shape {tuple(extra_regressor.shape)} is for SMPL's {SMPL_VERTICES} "
            f"vertices and must be ({EXTRA_JOINTS}, {SMPL_VERTICES}); {body.asset.name} has {body.num_vertices}."
        )
    extra = extra_regressor.to(vertices) @ vertices
    return torch.cat((joints, vertices[:, list(VERTEX_JOINTS)], extra), 1)[:, list(JOINT_MAP49)]


def load_extra_regressor(path: str | Path) -> Tensor:
    """Read the licensed ``J_regressor_extra.npy`` of SPIN and DSR.

    Returns:
        (9, 6890) float32.

    Raises:
        BodyError: if the file cannot be read or is of another shape.
    """
    try:
        array = read_npy(path)
    except OSError as error:
        raise BodyError(f"{path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise BodyError(f"{path} is not a .npy file of plain numbers, or is damaged ({error}).") from error
    shape = getattr(array, "shape", None)
    if shape != (EXTRA_JOINTS, SMPL_VERTICES) or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise BodyError(
            f"{path} is not J_regressor_extra.npy: it has shape {shape} where ({EXTRA_JOINTS}, {SMPL_VERTICES}) finite "
            "numbers are needed."
        )
    return torch.from_numpy(array.astype(np.float32))


def _from_keypoint_regressors(body: Body, vertices: Tensor, joints: Tensor) -> Tensor:
    sets = {"smpl24": joints, **{name: body.keypoints(vertices, name) for name in ("openpose25", "h36m17")}}
    first = {name: sum(sets[other].shape[1] for other in list(sets)[:i]) for i, name in enumerate(sets)}
    index = [first[source] + joint_names(source).index(name) for _, source, name in JOINTS49_SOURCES]
    return torch.cat(list(sets.values()), 1)[:, index]


def _replace_published(places: Tensor, vertices: Tensor, joints: Tensor) -> Tensor:
    """SMPL without the licensed regressor: all but its nine joints as published."""
    published = torch.cat((joints, vertices[:, list(VERTEX_JOINTS)]), 1)
    limit = published.shape[1]
    known = [i for i, source in enumerate(JOINT_MAP49) if source < limit]
    result = places.clone()
    result[:, known] = published[:, [JOINT_MAP49[i] for i in known]]
    return result
