"""Published test protocols: which joints, what they are compared with, and what is laid on each other first.

Predicted joints always come from the predicted mesh through Human3.6M's 17-joint regressor, and their pelvis is its
joint 0. ``dsr`` protocols follow SPIN and DSR (DSR specification, section 8), ``perspose`` ones PersPose (its
specification, section 10). Joints here have the order and names of :data:`dsr.body.joints.H36M17_NAMES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from dsr.body.joints import H36M17_NAMES
from dsr.errors import DatasetError, UsageError
from dsr.npz import read_npy

if TYPE_CHECKING:
    from dsr.body import BodyAsset

J17_NAMES = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "thorax",
    "head",
    "pelvis",
    "spine",
    "neck_nose",
)
"""SPIN's 17 evaluation joints; the first 14 are "J14", in the order of LSP."""
J14_NAMES = J17_NAMES[:14]
SPIN24_TO_J17 = (*range(13), 18, 14, 16, 17)
"""Places of :data:`J17_NAMES` in SPIN's 24 annotated joints (``S``)."""
LEGS_LEFT_FIRST = (0, 4, 5, 6, 1, 2, 3, *range(7, 17))
"""Turns rows of a regressor whose legs come left first into the order of Human3.6M, and back."""


@dataclass(frozen=True)
class Protocol:
    """How one data set is scored.

    Attributes:
        name: as ``dsr-eval`` takes it.
        title: for people.
        joints: names of the joints scored.
        truth: ``mesh``: joints of the true SMPL mesh, through the same regressor; ``joints``: annotated joints.
        reroot: subtract the pelvis of annotated joints as well; the published DSR code takes them as they are.
        gendered: true meshes have the gender the data set names, else the neutral body.
        pve: ``none``, ``raw`` (meshes without translation, not aligned) or ``pelvis`` (regressed pelvis subtracted).
        every: take every so many rows only.
        file: usual name of the npz.
        published: figures of the released checkpoints in millimetres, to compare with.
    """

    name: str
    title: str
    joints: tuple[str, ...]
    truth: Literal["mesh", "joints"]
    pve: Literal["none", "raw", "pelvis"]
    reroot: bool = False
    gendered: bool = False
    every: int = 1
    file: str = ""
    published: str = ""


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol(
            "3dpw",
            "3DPW test, DSR's protocol",
            J14_NAMES,
            "mesh",
            "raw",
            gendered=True,
            file="3dpw_test_with_mmpose.npz",
            published="DSR 85.7 MPJPE, 51.7 PA-MPJPE, 99.5 PVE",
        ),
        Protocol(
            "h36m-p1",
            "Human3.6M, protocol 1 (all cameras)",
            J14_NAMES,
            "joints",
            "none",
            file="h36m_valid_protocol1.npz",
            published="DSR 60.9 MPJPE",
        ),
        Protocol(
            "h36m-p2",
            "Human3.6M, protocol 2 (frontal camera)",
            J14_NAMES,
            "joints",
            "none",
            file="h36m_valid_protocol2.npz",
            published="DSR 40.3 PA-MPJPE",
        ),
        Protocol(
            "mpi-inf-3dhp",
            "MPI-INF-3DHP test",
            J17_NAMES,
            "joints",
            "none",
            file="mpi_inf_3dhp_valid.npz",
        ),
        Protocol(
            "perspose-3dpw",
            "3DPW test, PersPose's protocol",
            J14_NAMES,
            "mesh",
            "pelvis",
            gendered=True,
            published="PersPose 60.1 MPJPE, 39.1 PA-MPJPE, 72.4 PVE",
        ),
        Protocol(
            "perspose-h36m",
            "Human3.6M, PersPose's protocol (every 4th row)",
            J14_NAMES,
            "mesh",
            "pelvis",
            every=4,
            published="PersPose 43.0 MPJPE, 28.3 PA-MPJPE, 52.7 PVE",
        ),
        Protocol(
            "perspose-3dhp",
            "MPI-INF-3DHP test, PersPose's protocol",
            J17_NAMES,
            "joints",
            "none",
            reroot=True,
            published="PersPose 71.9 MPJPE, 54.4 PA-MPJPE",
        ),
    )
}
"""Protocols by name."""


def find_protocol(name: str) -> Protocol:
    """A protocol by its name.

    Raises:
        UsageError: if there is none.
    """
    try:
        return PROTOCOLS[name]
    except KeyError:
        raise UsageError(f"There is no protocol {name!r}; choose one of {', '.join(PROTOCOLS)}.") from None


def joint_rows(names: tuple[str, ...]) -> list[int]:
    """Places of joints in Human3.6M's 17."""
    return [H36M17_NAMES.index(name) for name in names]


def regressor_matrix(asset: BodyAsset, path: Path | None = None) -> np.ndarray:
    """The matrix (17, V) from a body's vertices to Human3.6M's joints, in their own order.

    Args:
        asset: the body.
        path: ``J_regressor_h36m.npy`` for licensed bodies; without it, the body's own regressor (a stand-in for SMPL,
            whose published figures need the file). Both files in circulation work: the one whose legs come left first
            and the "correct" one; the rest pose tells them apart.

    Raises:
        DatasetError: if the file cannot be read, or is for another mesh.
    """
    if path is None:
        return np.asarray(asset.keypoint_regressor("h36m17").toarray(), np.float64)
    try:
        matrix = read_npy(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as J_regressor_h36m.npy ({error}): copy it again.") from error
    if not isinstance(matrix, np.ndarray) or matrix.shape != (17, asset.num_vertices) or matrix.dtype.kind != "f":
        shape = getattr(matrix, "shape", "no array")
        raise DatasetError(
            f"{path} has shape {shape}; (17, {asset.num_vertices}) is needed for the {asset.name} body: it regresses "
            "Human3.6M's joints from the vertices of SMPL."
        )
    matrix = matrix.astype(np.float64)
    if not np.isfinite(matrix).all():
        raise DatasetError(f"{path} holds numbers that are not finite: copy it again.")
    rest = matrix @ asset.v_template.astype(np.float64)
    left_first = rest[1, 0] > rest[4, 0]  # the body's left is at +x
    return matrix[list(LEGS_LEFT_FIRST)] if left_first else matrix
