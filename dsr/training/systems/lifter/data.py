"""Where the lifters' tracks come from: ``mocap:DIR``, ``h36m:DIR``, ``3dhp:FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dsr.errors import UsageError
from dsr.tracks.track import PoseTrack
from dsr.training.systems.lifter.config import LifterDataConfig

KINDS: Final = ("mocap", "h36m", "3dhp")
_MOCAP_FPS = 30.0


def training_tracks(sources: tuple[str, ...], windows: LifterDataConfig) -> list[PoseTrack]:
    """The training tracks of all sources.

    Args:
        sources: as ``--data`` takes them.
        windows: keypoints, noise, cameras, seed.

    Raises:
        UsageError: for a source that is none.
        DatasetError: if files are missing or damaged.
    """
    return [track for source in sources for track in read_tracks(source, "train", windows)]


def validation_tracks(sources: tuple[str, ...], windows: LifterDataConfig) -> list[PoseTrack]:
    """The held-out tracks of all sources (mocap: its validation clips; H36M: the published test subjects)."""
    return [track for source in sources for track in read_tracks(source, "validation", windows)]


def read_tracks(source: str, split: str, windows: LifterDataConfig, option: str = "--data") -> list[PoseTrack]:
    """The tracks of one source.

    Args:
        source: ``mocap:DIR``, ``h36m:DIR`` or ``3dhp:FILE``.
        split: ``train`` or ``validation``.
        windows: keypoints, noise, cameras, seed of mocap.
        option: that the source was given by, for messages.
    """
    kind, path = split_source(source, option)
    if kind == "mocap":
        from dsr.tracks.mocap import mocap_tracks
        from dsr.tracks.noise import DetectorNoise

        return mocap_tracks(
            path,
            split,
            cameras_per_clip=windows.cameras if split == "train" else 1,
            seed=windows.seed,
            noise=DetectorNoise() if windows.noise == "on" else None,
            keypoints=windows.keypoints,
            fps=windows.fps or _MOCAP_FPS,
        )
    from dsr.tracks import files as track_files

    if kind == "3dhp":
        test = path.with_name(path.name.replace("train", "test"))
        if split == "validation" and test != path and not test.is_file():
            raise UsageError(f"{option} {source}: held-out sequences are in {test.name}, which is not beside it.")
        return track_files.load_mpi_inf_3dhp(test if split == "validation" else path)
    keypoints = sorted(path.glob("data_2d_h36m_*.npz"))
    poses = path / "data_3d_h36m.npz"
    if not poses.is_file() or not keypoints:
        raise UsageError(f"{option} {source}: {path} must hold data_3d_h36m.npz and a data_2d_h36m_*.npz.")
    # Detections before the truth, where both are there.
    chosen = next((file for file in keypoints if not file.stem.endswith("_gt")), keypoints[0])
    subjects = track_files.H36M_TRAIN if split == "train" else track_files.H36M_TEST
    return track_files.load_h36m(poses, chosen, subjects)


def split_source(source: str, option: str = "--data") -> tuple[str, Path]:
    """``mocap:DIR`` as (``mocap``, DIR).

    Raises:
        UsageError: if it is no source, or its path does not exist.
    """
    kind, colon, text = source.partition(":")
    if not colon or kind not in KINDS or not text:
        raise UsageError(f"{option} {source}: use mocap:DIR, h36m:DIR or 3dhp:FILE.")
    path = Path(text)
    if not path.exists():
        raise UsageError(f"{option} {source}: there is no {path}.")
    return kind, path
