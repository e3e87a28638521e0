"""SequenceResult: everybody in a clip through time, and what of it stands in its two files (JSON + NPZ).

Everything is in the camera of the clip (OpenCV axes: x right, y down, z forward; metres) and in pixels of the full,
upright picture. Vertices are not stored (a minute of one person would take half a gigabyte): the body asset beside the
result gives them, see :meth:`SequenceResult.people_at`.

The NPZ file holds ``fps``, ``frame_indices (F,)``, ``frame_times_s (F,)``, ``frames_read (F,)``, ``K (F, 3, 3)`` and
for each person the arrays of :class:`TrackResult` under ``<id>.<name>``, ``p0.global_orient`` for instance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.errors import ResultError
from dsr.results.base import InputResult, common_fields, document_head, document_tail
from dsr.results.files import CLIP_SCHEMA, json_number, json_numbers, residuals_document
from dsr.results.picture import PersonResult

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset

_CONVENTION = (
    "camera OpenCV (x right, y down, z forward), metres; pixels u right, v down of the full upright picture, "
    "centres at +0.5; rotations axis-angle in radians; vertices are not stored, pose the body asset for them"
)
_ARRAYS = {
    "frames": np.int64,
    "observed": np.bool_,
    "betas": np.float64,
    "global_orient": np.float64,
    "body_pose": np.float64,
    "transl": np.float64,
    "joints_cam_m": np.float32,
    "keypoints_px": np.float32,
    "boxes_px": np.float32,
    "contacts": np.bool_,
}
_OPTIONAL = {
    "ground": np.float64,
    "joint_uncertainty_mm": np.float32,
    "hand_presence": np.float32,
    "actions": np.float32,
}


@dataclass
class TrackResult:
    """One person through a clip: n frames from the first to the last in which the person was seen.

    Attributes:
        id: stable name; ``p0`` is who appears first, of several at once the leftmost.
        frames: (n,) consecutive frame numbers of the clip.
        observed: (n,) False where the person was not seen and the pose was filled in.
        score: mean detection score, 0 to 1.
        keypoint_set: name of the keypoint convention.
        keypoints_px: (n, K, 3) u, v in full-picture pixels and confidence; NaN where not observed.
        boxes_px: (n, 4) x0, y0, x1, y1; NaN where not observed.
        betas: (B,) shape coefficients, the same in all frames.
        global_orient: (n, 3) axis-angle, body frame to camera, radians.
        body_pose: (n, J-1, 3) axis-angle, radians.
        transl: (n, 3) metres.
        joints_cam_m: (n, J, 3) metres, camera frame.
        contacts: (n, 4) whether left heel, right heel, left toes, right toes stand on the ground.
        ground: (4,) plane of the ground, unit normal n (up) and offset d with n . x = d; None where not known.
        joint_uncertainty_mm: (n, J) millimetres, or None without a lifter.
        hand_presence: where hands were asked for, (n, 2) how sure left and right are seen, NaN where one is not.
        actions: where the face was asked for, (n, A) strengths of the facial actions ``action_names``, 0 to 1.
        action_names: A names.
        height_m: standing height of the fitted shape, metres.
        measures: sizes of the fitted shape, as in :class:`~dsr.results.picture.PersonResult`.
        residuals: per stage, as in :class:`~dsr.results.picture.PersonResult`, medians over the frames.
        warnings: sentences for the user about this person.
    """

    id: str
    frames: np.ndarray
    observed: np.ndarray
    score: float
    keypoint_set: str
    keypoints_px: np.ndarray
    boxes_px: np.ndarray
    betas: np.ndarray
    global_orient: np.ndarray
    body_pose: np.ndarray
    transl: np.ndarray
    joints_cam_m: np.ndarray
    contacts: np.ndarray
    height_m: float
    ground: np.ndarray | None = None
    joint_uncertainty_mm: np.ndarray | None = None
    hand_presence: np.ndarray | None = None
    actions: np.ndarray | None = None
    action_names: tuple[str, ...] = ()
    measures: dict[str, float] = field(default_factory=dict)
    residuals: dict[str, dict[str, float | None]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """First and last frame of every stretch that was filled in."""
        edges = np.diff(np.concatenate([[1], self.observed.astype(int), [1]]))
        starts, stops = np.flatnonzero(edges < 0), np.flatnonzero(edges > 0)
        return [(int(self.frames[a]), int(self.frames[b - 1])) for a, b in zip(starts, stops, strict=True)]


@dataclass
class SequenceResult(InputResult):
    """Everything found in one clip: beside the fields of :class:`~dsr.results.base.InputResult` the following.

    Attributes:
        input_path: the video, or the folder of the frames.
        input_sha256: hex digest of the file, or of the frames' digests.
        K: (F, 3, 3) intrinsics of the full, upright picture, frame by frame.
        people: in the order of appearance, then from the left.
        fps: frames per second.
        frame_indices: (F,) frame numbers from 0.
        frame_times_s: (F,) seconds after the first frame.
        frames_read: (F,) False where a frame is missing or damaged.
        lifter: what lifted the keypoints: ``name`` (``shipped``, or the path of a file) and ``sha256`` of its file.
            ``name`` alone, ``none``, where the detector's own 3D landmarks had to do or there was nobody to lift.
    """

    people: list[TrackResult] = field(default_factory=list)
    fps: float = 0.0
    frame_indices: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    frame_times_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    frames_read: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    lifter: dict[str, str] = field(default_factory=lambda: {"name": "none"})

    def people_at(self, frame: int, asset: BodyAsset) -> list[PersonResult]:
        """Everybody in one frame with vertices, in the order of :attr:`people`; numpy alone.

        Args:
            frame: frame number.
            asset: the body the result was fitted with.

        Raises:
            ResultError: for another body of the same name, which has other betas.
        """
        fitted = self.body.get("sha256", "")
        if self.body.get("name") == asset.name and fitted and asset.sha256 not in ("", fitted):
            raise ResultError(
                f"{self.input_path} was fitted with another {asset.name} body than the one given: load the copy beside "
                f"the result ({self.body.get('file') or 'an .npz'}) with dsr.body.load_asset."
            )
        return [person_at(track, int(frame - track.frames[0]), asset) for track in self.people if frame in track.frames]


def person_at(track: TrackResult, index: int, asset: BodyAsset) -> PersonResult:
    """One frame of a track as a person with vertices.

    Args:
        track: the person.
        index: place in ``track.frames``.
        asset: the body the result was fitted with.
    """
    from dsr.body.numpy_lbs import pose_vertices

    betas, orient = track_betas(track, index, asset), track.global_orient[index]
    vertices = pose_vertices(asset, betas, track.body_pose[index], orient, track.transl[index])
    uncertainty = track.joint_uncertainty_mm
    return PersonResult(
        id=track.id,
        box_px=track.boxes_px[index],
        score=track.score,
        keypoint_set=track.keypoint_set,
        keypoints_px=track.keypoints_px[index],
        betas=betas,
        global_orient=orient,
        body_pose=track.body_pose[index],
        transl=track.transl[index],
        vertices_cam_m=vertices.astype(np.float32),
        joints_cam_m=track.joints_cam_m[index],
        height_m=track.height_m,
        measures=track.measures,
        joint_uncertainty_mm=None if uncertainty is None else uncertainty[index],
        hands=None if track.hand_presence is None else _seen_hands(track.hand_presence[index]),
        actions=None if track.actions is None else _by_name(track, index),
    )


def track_betas(track: TrackResult, index: int, asset: BodyAsset) -> np.ndarray:
    """The betas of one frame: the track's, and the strengths of facial actions of a body that has them by name."""
    if track.actions is None or not asset.expression_names:
        return track.betas
    betas = np.zeros(asset.num_betas)
    betas[: len(track.betas)] = track.betas
    betas[asset.num_shapes :] = track.actions[index]
    return betas


def _seen_hands(presence: np.ndarray) -> dict[str, float | None]:
    sides = zip(("left", "right"), presence.tolist(), strict=True)
    return {side: None if np.isnan(value) else value for side, value in sides}


def _by_name(track: TrackResult, index: int) -> dict[str, float]:
    assert track.actions is not None
    return dict(zip(track.action_names, track.actions[index].tolist(), strict=True))


def clip_arrays(result: SequenceResult) -> dict[str, np.ndarray]:
    """The NPZ file: the clip's arrays, and those of every person under ``<id>.<name>``."""
    arrays: dict[str, np.ndarray] = {
        "fps": np.float64(result.fps),  # type: ignore[dict-item]
        "frame_indices": np.asarray(result.frame_indices, np.int64),
        "frame_times_s": np.asarray(result.frame_times_s, np.float64),
        "frames_read": np.asarray(result.frames_read, np.bool_),
        "K": np.zeros((0, 3, 3)) if result.K is None else np.asarray(result.K, np.float64),
    }
    for track in result.people:
        for name, dtype in {**_ARRAYS, **_OPTIONAL}.items():
            value = getattr(track, name)
            if value is not None:
                arrays[f"{track.id}.{name}"] = np.asarray(value, dtype)

    return arrays


def clip_document(result: SequenceResult) -> dict[str, Any]:
    """The JSON file."""
    K = None if result.K is None or not len(result.K) else result.K[0].tolist()
    return {
        **document_head(result, CLIP_SCHEMA, _CONVENTION),
        "image": {"width": int(result.image_size[0]), "height": int(result.image_size[1])},
        "clip": {
            "fps": float(result.fps),
            "frames": len(result.frame_indices),
            "missing_frames": [int(i) for i in result.frame_indices[~result.frames_read]],
        },
        "camera": {"K": K, "focal_source": result.focal_source, "focal_detail": result.focal_detail},
        "body": dict(result.body),
        "lifter": dict(result.lifter),
        "arrays": "",
        "people": [_track_document(track) for track in result.people],
        **document_tail(result),
    }


def _track_document(track: TrackResult) -> dict[str, Any]:
    extra: dict[str, Any] = {} if track.actions is None else {"actions": list(track.action_names)}
    return {
        "id": track.id,
        "first_frame": int(track.frames[0]),
        "last_frame": int(track.frames[-1]),
        "gaps": [list(gap) for gap in track.gaps],
        "score": json_number(track.score),
        "height_m": json_number(track.height_m),
        "measures": {name: json_number(size) for name, size in track.measures.items()},
        "betas": json_numbers(track.betas),
        "ground": None if track.ground is None else json_numbers(track.ground),
        "keypoint_set": track.keypoint_set,
        **extra,
        "residuals": residuals_document(track.residuals),
        "warnings": list(track.warnings),
    }


def clip_from_files(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> SequenceResult:
    """The result that :func:`clip_document` and :func:`clip_arrays` were made of."""
    people = []
    for entry in document["people"]:
        of_track = {name: arrays[f"{entry['id']}.{name}"] for name in _ARRAYS}
        of_track |= {name: arrays[key] for name in _OPTIONAL if (key := f"{entry['id']}.{name}") in arrays}
        people.append(
            TrackResult(
                id=entry["id"],
                score=entry["score"],
                keypoint_set=entry["keypoint_set"],
                height_m=entry["height_m"],
                measures=entry.get("measures", {}),
                residuals=entry["residuals"],
                warnings=entry["warnings"],
                action_names=tuple(entry.get("actions", ())),
                **of_track,
            )
        )
    return SequenceResult(
        **common_fields(document, arrays),
        people=people,
        fps=float(arrays["fps"]),
        frame_indices=arrays["frame_indices"],
        frame_times_s=arrays["frame_times_s"],
        frames_read=arrays["frames_read"],
        lifter=document["lifter"],
    )
