"""Where the lifters' tracks come from: ``mocap:DIR``, ``h36m:DIR``, ``humaneva:DIR``, ``3dhp:FILE``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from dsr.errors import UsageError
from dsr.tracks.track import PoseTrack
from dsr.training.systems.lifter.config import LifterDataConfig

KINDS: Final = ("mocap", "h36m", "humaneva", "3dhp")
KEYPOINTS: Final = {
    "h36m": {"cpn": "cpn_ft_h36m_dbb", "gt": "gt"},
    "humaneva15": {"coco": "detectron_pt_coco", "gt": "gt"},
}
"""Short names of the data sets' files of 2D keypoints."""
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


def read_tracks(
    source: str,
    split: str,
    windows: LifterDataConfig,
    option: str = "--data",
    subjects: Collection[str] | None = None,
) -> list[PoseTrack]:
    """The tracks of one source.

    Args:
        source: ``mocap:DIR``, ``h36m:DIR``, ``humaneva:DIR`` or ``3dhp:FILE``.
        split: ``train`` or ``validation``.
        windows: keypoints; noise, cameras, seed of mocap.
        option: that the source was given by, for messages.
        subjects: of Human3.6M or HumanEva, instead of those of the split.
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
    data_set = "h36m" if kind == "h36m" else "humaneva15"
    poses = path / f"data_3d_{data_set}.npz"
    if not poses.is_file():
        raise UsageError(f"{option} {source}: {path} must hold {poses.name} and a data_2d_{data_set}_*.npz.")
    keypoints = keypoint_file(path, windows.keypoints, f"{option} {source}", data_set)
    if kind == "h36m":
        known = track_files.H36M_TRAIN if split == "train" else track_files.H36M_TEST
        return track_files.load_h36m(poses, keypoints, subjects or known)
    evaluated = track_files.HUMANEVA_TRAIN if split == "train" else track_files.HUMANEVA_TEST
    if subjects:
        part = "Train" if split == "train" else "Validate"
        subjects = [name if "/" in name else f"{part}/{name}" for name in subjects]
    return track_files.load_humaneva(poses, keypoints, subjects or evaluated)


def keypoint_file(folder: Path, keypoints: str, where: str, data_set: str = "h36m") -> Path:
    """The file of Human3.6M's or HumanEva's 2D keypoints.

    Args:
        folder: that holds ``data_2d_h36m_*.npz`` or ``data_2d_humaneva15_*.npz``.
        keypoints: ``cpn`` (the detections most papers use; of HumanEva ``coco``), ``gt`` (projected truth) or a file;
            another text takes the one file of detections that is there, or the truth where there is no other.
        where: for messages.
        data_set: ``h36m`` or ``humaneva15``.

    Raises:
        UsageError: if the file is not there, or there are several to choose from.
    """
    if keypoints in KEYPOINTS[data_set]:
        file = folder / f"data_2d_{data_set}_{KEYPOINTS[data_set][keypoints]}.npz"
        if not file.is_file():
            raise UsageError(f"{where}: keypoints {keypoints} need {file.name}, which is not in {folder}.")
        return file
    if keypoints.endswith(".npz"):
        for file in (Path(keypoints), folder / keypoints):
            if file.is_file():
                return file
        raise UsageError(f"{where}: there is no file {keypoints} of keypoints, nor one of that name in {folder}.")
    files = sorted(folder.glob(f"data_2d_{data_set}_*.npz"))
    detected = [file for file in files if not file.stem.endswith("_gt")]
    if not files:
        raise UsageError(f"{where}: {folder} must hold data_3d_{data_set}.npz and a data_2d_{data_set}_*.npz.")
    if len(detected) > 1:
        names = ", ".join(file.name for file in detected)
        short = ", ".join(KEYPOINTS[data_set])
        raise UsageError(f"{where}: there are {names}; say which keypoints are meant, {short} or a file's name.")
    return (detected or files)[0]


def split_source(source: str, option: str = "--data") -> tuple[str, Path]:
    """``mocap:DIR`` as (``mocap``, DIR).

    Raises:
        UsageError: if it is no source, or its path does not exist.
    """
    kind, colon, text = source.partition(":")
    if not colon or kind not in KINDS or not text:
        raise UsageError(f"{option} {source}: use mocap:DIR, h36m:DIR, humaneva:DIR or 3dhp:FILE.")
    path = Path(text)
    if not path.exists():
        raise UsageError(f"{option} {source}: there is no {path}.")
    return kind, path
