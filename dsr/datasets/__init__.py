"""Data sets: records, views, mixtures; BVH motion capture, its retargeting to SMPL poses, MakeHuman garments.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

__all__ = [
    "CameraRange", "DetectorNoise", "DsrView", "EpochSampler", "Garment", "LabCamera", "MixedSource", "Motion",
    "PersPoseView", "PersonRecord", "PoseTrack", "RecordSource", "SmplMotion", "SpinSource", "SyntheticSource",
    "TableSource", "ViewDataset", "Windows", "assemble_base", "collate", "evaluation_windows", "half_padded",
    "load_garment", "load_h36m", "load_label_prior", "load_mocap", "load_mpi_inf_3dhp", "mocap_tracks", "read_bvh",
    "read_cameras", "retarget_to_smpl", "training_windows",
]  # fmt: skip

_HOME = {
    **dict.fromkeys(("Garment", "assemble_base", "load_garment"), "mhclo"),
    **dict.fromkeys(("Motion", "read_bvh"), "bvh"),
    **dict.fromkeys(("SmplMotion", "load_mocap", "retarget_to_smpl"), "retarget"),
    **dict.fromkeys(("PersonRecord", "RecordSource"), "records"),
    **dict.fromkeys(("EpochSampler", "MixedSource", "ViewDataset", "collate"), "mix"),
    **dict.fromkeys(("CameraRange", "mocap_tracks"), "lifting_mocap"),
    **dict.fromkeys(("LabCamera", "read_cameras"), "lifting_cameras"),
    **dict.fromkeys(("Windows", "evaluation_windows", "half_padded", "training_windows"), "chunks"),
    **dict.fromkeys(("load_h36m", "load_mpi_inf_3dhp"), "lifting_files"),
    "DetectorNoise": "lifting_noise",
    "PoseTrack": "lifting_tracks",
    "DsrView": "dsr_view",
    "SyntheticSource": "synthetic",
    "load_label_prior": "label_prior",
    "PersPoseView": "perspose_view",
    "SpinSource": "spin",
    "TableSource": "tables",
}

if TYPE_CHECKING:
    from .bvh import Motion, read_bvh
    from .chunks import Windows, evaluation_windows, half_padded, training_windows
    from .dsr_view import DsrView
    from .label_prior import load_label_prior
    from .lifting_cameras import LabCamera, read_cameras
    from .lifting_files import load_h36m, load_mpi_inf_3dhp
    from .lifting_mocap import CameraRange, mocap_tracks
    from .lifting_noise import DetectorNoise
    from .lifting_tracks import PoseTrack
    from .mhclo import Garment, assemble_base, load_garment
    from .mix import EpochSampler, MixedSource, ViewDataset, collate
    from .perspose_view import PersPoseView
    from .records import PersonRecord, RecordSource
    from .retarget import SmplMotion, load_mocap, retarget_to_smpl
    from .spin import SpinSource
    from .synthetic import SyntheticSource
    from .tables import TableSource

__getattr__, __dir__ = attach(__name__, _HOME)
