"""Tracks for skeleton lifters: Human3.6M and MPI-INF-3DHP files, mocap seen by virtual cameras, keypoint noise.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.tracks.files import load_h36m as load_h36m
    from dsr.tracks.files import load_mpi_inf_3dhp as load_mpi_inf_3dhp
    from dsr.tracks.keypoints import detector_to_h36m17 as detector_to_h36m17
    from dsr.tracks.mocap import mocap_tracks as mocap_tracks
    from dsr.tracks.noise import DetectorNoise as DetectorNoise
    from dsr.tracks.skeleton import H36M17 as H36M17
    from dsr.tracks.skeleton import mirror as mirror
    from dsr.tracks.skeleton import normalise_screen as normalise_screen
    from dsr.tracks.track import PoseTrack as PoseTrack

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "files": ("load_h36m", "load_mpi_inf_3dhp"),
        "keypoints": ("detector_to_h36m17",),
        "mocap": ("mocap_tracks",),
        "noise": ("DetectorNoise",),
        "skeleton": ("H36M17", "mirror", "normalise_screen"),
        "track": ("PoseTrack",),
    },
)
