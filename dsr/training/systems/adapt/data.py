"""Source poses in their own cameras, and the target's 2D people, as arrays for adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dsr.adaptation.alignment import usable_targets
from dsr.camera.lens import project_screen, screen_intrinsic
from dsr.errors import CameraError, ResultError, UsageError
from dsr.image.focal import focal_pixels
from dsr.results import FitResult, load_result
from dsr.results.files import CLIP_SCHEMA, PICTURE_SCHEMA
from dsr.tracks.keypoints import detector_to_h36m17
from dsr.tracks.track import PoseTrack
from dsr.training.systems.lifter.config import LifterDataConfig
from dsr.training.systems.lifter.data import read_tracks
from dsr.training.systems.lifter.task import stride, track_arrays

_RESULTS = "results"


@dataclass(frozen=True)
class SourceWindows:
    """Frames of all source tracks one after another, and the windows around them.

    Attributes:
        joints_m: (N, 17, 3) metres in the camera, the root's place included.
        inputs: (N, 17, 3) screen-normalised keypoints and confidences.
        camera: (N, 9) screen-normalised intrinsics; NaN where unknown.
        centre: (W,) middle frame of each window.
        start: (W,) first frame of the window's track.
        end: (W,) after its last one.
    """

    joints_m: np.ndarray
    inputs: np.ndarray
    camera: np.ndarray
    centre: np.ndarray
    start: np.ndarray
    end: np.ndarray

    def __len__(self) -> int:
        return len(self.centre)

    def take(self, which: np.ndarray, frames: int) -> dict[str, Tensor]:
        """``joints`` (B, F, 17, 3), ``inputs`` (B, F, 17, 3) and ``camera`` (B, 9); ends of tracks are repeated."""
        at = self.centre[which, None] + np.arange(frames) - (frames - 1) // 2
        at = np.clip(at, self.start[which, None], self.end[which, None] - 1)
        arrays = {"joints": self.joints_m[at], "inputs": self.inputs[at], "camera": self.camera[self.centre[which]]}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def source_windows(tracks: list[PoseTrack], windows: LifterDataConfig) -> SourceWindows:
    """Frames of tracks, thinned to ``windows.fps``; a window is around every ``hop``-th valid frame.

    Raises:
        UsageError: if no track has a valid frame of 17 joints.
    """
    joints, inputs, camera, centre, start, end = [], [], [], [], [], []
    total = 0
    for track in tracks:
        if track.joints_m.shape[1] != 17:
            raise UsageError(f"Track {track.name} has {track.joints_m.shape[1]} joints; adaptation takes 17.")
        step = stride(track, windows.fps)
        x, _, valid = (part[::step] for part in track_arrays(track))
        j = np.nan_to_num(np.asarray(track.joints_m, np.float32)[::step])
        joints.append(j)
        inputs.append(x)
        camera.append(np.repeat(_camera(track)[None], len(j), 0))
        at = np.flatnonzero(valid)[:: windows.hop or 1] + total
        centre.append(at)
        start.append(np.full(len(at), total))
        end.append(np.full(len(at), total + len(j)))
        total += len(j)
    if not tracks or not sum(map(len, centre)):
        raise UsageError(f"--source: no valid frame in {len(tracks)} tracks.")
    return SourceWindows(*(np.concatenate(part) for part in (joints, inputs, camera, centre, start, end)))


@dataclass(frozen=True)
class TargetPeople:
    """2D people of the target that can place somebody.

    Attributes:
        screen: (M, 17, 2) screen-normalised.
        camera: (M, 9) screen-normalised intrinsics of each one's picture.
        extent: the largest height over width of the pictures.
        left_out: people with missing or doubtful keypoints, out of the picture or tiny.
    """

    screen: Tensor
    camera: Tensor
    extent: float
    left_out: int


class UnknownCameraError(UsageError):
    """A target whose cameras nobody knows: its people place nobody."""


def read_source(sources: tuple[str, ...], split: str, windows: LifterDataConfig) -> list[PoseTrack]:
    """The tracks of all sources."""
    return [track for source in sources for track in read_tracks(source, split, windows, "--source")]


def read_target(sources: tuple[str, ...], windows: LifterDataConfig, min_confidence: float) -> TargetPeople:
    """The 2D people of the target.

    Args:
        sources: ``results:DIR``, or sources of tracks.
        windows: how mocap is seen.
        min_confidence: least confidence of every keypoint.

    Raises:
        UsageError: if nobody can be used.
        UnknownCameraError: if a camera is unknown.
        CameraError: if a camera's focal length is none that a picture can have.
        ResultError: if a result cannot be read.
    """
    parts = []
    for source in sources:
        kind, _, path = source.partition(":")
        if kind == _RESULTS:
            parts += _people_of_results(Path(path))
        else:
            tracks = read_tracks(source, "train", windows, "--target")
            parts += [people_of_track(track, windows.fps, f"--target {source}") for track in tracks]
    return join_people(parts, min_confidence, " ".join(sources))


@dataclass(frozen=True)
class _People:
    """People of one camera: keypoints (M, 17, 3) screen-normalised with confidence, its intrinsics and proportions."""

    keypoints: np.ndarray
    camera: np.ndarray
    extent: float


def projected(joints: Tensor, camera: Tensor, distortion: bool = False) -> tuple[Tensor, Tensor]:
    """Poses as a camera sees them.

    Args:
        joints: (N, ..., J, 3) metres in the camera.
        camera: (N, ..., 9) screen-normalised intrinsics.
        distortion: with the lens's coefficients.

    Returns:
        Screen coordinates (N, ..., J, 2), and which of them (N,) lie wholly before the camera.
    """
    ahead = (joints[..., :2].abs() < joints[..., 2:]).flatten(1).all(1)
    return project_screen(joints, camera, distortion), ahead


def join_people(parts: list[_People], min_confidence: float, where: str) -> TargetPeople:
    """Everybody usable, of all cameras.

    Raises:
        UsageError: if there is nobody, naming ``where``.
    """
    screens, cameras, left_out = [], [], 0
    for part in parts:
        screen = torch.from_numpy(part.keypoints[..., :2].astype(np.float32))
        sure = torch.from_numpy((part.keypoints[..., 2] >= min_confidence).all(-1))
        kept = usable_targets(screen, part.extent) & sure
        left_out += int((~kept).sum())
        screens.append(screen[kept])
        cameras.append(torch.from_numpy(part.camera.astype(np.float32)).expand(int(kept.sum()), 9))
    if not sum(map(len, screens)):
        raise UsageError(
            f"--target {where}: nobody to align to ({left_out} people have keypoints that are missing, doubtful, out "
            "of the picture or tiny); give more pictures, or a smaller --min-confidence."
        )
    extent = max(part.extent for part in parts)
    return TargetPeople(torch.cat(screens), torch.cat(cameras), extent, left_out)


def people_of_track(track: PoseTrack, fps: float = 0.0, where: str = "--target") -> _People:
    """A track's keypoints; its 3D is not looked at.

    Args:
        track: that somebody is seen in.
        fps: frames per second it is thinned to; 0: all.
        where: it came from, for messages.

    Raises:
        UnknownCameraError: if its camera is unknown.
    """
    camera = _camera(track)
    if not np.isfinite(camera).all():
        raise UnknownCameraError(
            f"{where}: the camera of track {track.name} is unknown, and alignment needs its focal length: add it to "
            "the data set's calibrations (of 3dhp: data_2d must be data_3d as its camera sees it), give pictures run "
            "through dsr-fit (results:DIR), or use --method lpa."
        )
    keypoints = np.asarray(track.keypoints_px, np.float64)[:: stride(track, fps)]
    confidence = np.ones(keypoints.shape[:2]) if track.confidence is None else track.confidence[:: stride(track, fps)]
    return _screen_people(keypoints, confidence, track.size, camera)


def _people_of_results(folder: Path) -> list[_People]:
    if not folder.is_dir():
        raise UsageError(f"--target results:{folder}: there is no such folder.")
    people = []
    for file in sorted(folder.rglob("*.json")):
        try:
            head = file.read_text(encoding="utf-8")[:4000]
        except (OSError, UnicodeDecodeError) as error:
            raise ResultError(f"{file} cannot be read: {error}") from error
        if PICTURE_SCHEMA not in head and CLIP_SCHEMA not in head:
            continue  # a report, say
        people += _people_of_result(file)
    if not people:
        raise UsageError(f"--target results:{folder}: no people; run dsr-fit into it first.")
    return people


def _people_of_result(file: Path) -> list[_People]:
    result = load_result(file)
    size = (int(result.image_size[0]), int(result.image_size[1]))
    if result.K is None or not len(result.people):
        return []
    people = []
    for person in result.people:
        keypoints, K = np.asarray(person.keypoints_px, np.float64), np.asarray(result.K, np.float64)
        if isinstance(result, FitResult):
            keypoints = keypoints[None]
        else:
            K = K[0]
        try:
            joints = detector_to_h36m17(keypoints[..., :3], person.keypoint_set)
        except UsageError as error:
            raise UsageError(f"{file}: {error}") from error
        people.append(_screen_people(joints[..., :2], joints[..., 2], size, _intrinsic(K, size, f"{file}: K")))
    return people


def _screen_people(pixels: np.ndarray, confidence: np.ndarray, size: tuple[int, int], camera: np.ndarray) -> _People:
    width, height = size
    screen = pixels * (2.0 / width) - (1.0, height / width)
    keypoints = np.concatenate((screen, np.asarray(confidence, np.float64)[..., None]), -1)
    return _People(np.where(np.isfinite(keypoints), keypoints, np.nan), camera, height / width)


def _camera(track: PoseTrack) -> np.ndarray:
    if track.K is None:
        return np.full(9, np.nan, np.float32)
    return _intrinsic(np.asarray(track.K, np.float64), track.size, f"The camera of track {track.name}")


def _intrinsic(K: np.ndarray, size: tuple[int, int], where: str) -> np.ndarray:
    for focal in K[[0, 1], [0, 1]].tolist():
        focal_pixels("K", focal, *size, where)
    if not np.isfinite(K).all():
        raise CameraError(f"{where} is not finite.")
    return screen_intrinsic(torch.from_numpy(K), *size).numpy().astype(np.float32)
