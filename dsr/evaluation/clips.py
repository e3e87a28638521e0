"""Clips with 3D truth: the same frames fitted one by one and as a clip, beside each other.

A folder as for photographs (:mod:`dsr.evaluation.view_truth`) whose ``truth.json`` says of views which clip and frame
they are; pictures called ``NAME_042_CAM.jpg`` are frame 42 of ``clips/NAME_CAM.mp4``. Truth may be known at few frames:
frame by frame is fitted there and at the frames before and after, so that acceleration and sliding feet are measured on
the same frames both ways.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.errors import DatasetError
from dsr.evaluation.known_joints import limb_distance, limb_index
from dsr.evaluation.posture import LIMB12_HIPS
from dsr.evaluation.view_truth import TrueView, load_views, view_rows
from dsr.evaluation.views import ViewScore, score_people, summaries
from dsr.options import FitOptions, SequenceOptions, body_to_load

if TYPE_CHECKING:
    from dsr.body import BodyAsset
    from dsr.pipeline.inputs import Clip
    from dsr.results.clip import SequenceResult
    from dsr.results.picture import PersonResult

WAYS = ("frame by frame", "clip")
FEET = ("left_heel", "right_heel", "left_foot_index", "right_foot_index")
_NAME = re.compile(r"(?P<name>.+?)_(?P<frame>\d+)_(?P<camera>[^_]+)$")
_SAME = 0.3
"""Mean distance of keypoints in sides of the box from which on somebody in the next frame is somebody else."""


@dataclass(frozen=True)
class TrueClip:
    """One clip and what is known of it.

    Attributes:
        path: the video file, or the folder of its frames.
        views: true people by frame; intrinsics and pixels are those of their pictures.
        resting: which of :data:`FEET` (4,) rest on the ground from this frame to the next, by frame; where known.
    """

    path: Path
    views: dict[int, list[TrueView]]
    resting: dict[int, np.ndarray]


@dataclass
class Motion:
    """How somebody moves about one frame, one way: metres and seconds, None where a neighbouring frame is not there.

    ``acceleration`` is the mean over the limb joints about the middle of the hips, ``acceleration_error`` that of its
    difference to the true one, ``skate`` the mean speed of heels and toes that rest.
    """

    acceleration: float | None = None
    acceleration_error: float | None = None
    skate: float | None = None


@dataclass
class ClipsReport:
    """What was measured.

    Attributes:
        body: name and sha256 of the fitted body's file.
        scores: of every view, by way.
        motion: of every view in the same order, by way.
        failed: clips that could not be fitted, as ``clip: message``.
    """

    body: dict[str, str]
    scores: dict[str, list[ViewScore]] = field(default_factory=lambda: {way: [] for way in WAYS})
    motion: dict[str, list[Motion]] = field(default_factory=lambda: {way: [] for way in WAYS})
    failed: list[str] = field(default_factory=list)

    def figures(self, way: str, clip: str | None = None) -> dict[str, float | None]:
        """Means of a way, over all clips or one (by the name in ``ViewScore.instant``); metres and seconds in mm."""
        rows = [i for i, score in enumerate(self.scores[way]) if clip is None or score.instant == clip]
        figures = summaries([self.scores[way][i] for i in rows])["all"]
        for key, scale in (("acceleration", 1.0), ("acceleration_error", 1.0), ("skate", 1000.0)):
            values = [v for i in rows if (v := getattr(self.motion[way][i], key)) is not None]
            figures[key] = scale * float(np.mean(values)) if values else None
        return figures

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        ways = {
            way: {
                "summary": self.figures(way),
                "views": [
                    {**asdict(score), **asdict(motion)}
                    for score, motion in zip(self.scores[way], self.motion[way], strict=True)
                ],
            }
            for way in WAYS
        }
        return {"body": self.body, "failed": self.failed, "ways": ways}


def load_clips(folder: str | Path) -> list[TrueClip]:
    """The clips of a folder, in the order of their first views.

    Raises:
        DatasetError: if the truth is missing or broken, or no view belongs to a clip.
    """
    folder = Path(folder)
    clips: dict[Path, TrueClip] = {}
    for view, row in zip(load_views(folder), view_rows(folder), strict=True):
        place = _place(folder, view, row)
        if place is None:
            continue
        clip = clips.setdefault(place[0], TrueClip(place[0], {}, {}))
        clip.views.setdefault(place[1], []).append(view)
        if "feet_resting" in row:
            clip.resting[place[1]] = np.array(row["feet_resting"], bool).reshape(len(FEET))
    if not clips:
        raise DatasetError(
            f"{folder}: no view belongs to a clip: name pictures NAME_042_CAM.jpg beside clips/NAME_CAM.mp4, or say "
            "'clip' and 'frame' in truth.json (docs/benchmarks.md)."
        )
    return list(clips.values())


def _place(folder: Path, view: TrueView, row: dict[str, Any]) -> tuple[Path, int] | None:
    """Clip and frame of a view; None where it is a picture alone."""
    if "clip" in row:
        path = folder / str(row["clip"])
        if not path.exists():
            raise DatasetError(f"{folder}: the clip {path} is missing.")
        return path, int(row.get("frame", 0))
    match = _NAME.match(view.path.stem)
    if match is None:
        return None
    found = sorted((folder / "clips").glob(f"{match['name']}_{match['camera']}.*"))
    return (found[0], int(match["frame"])) if found else None


def evaluate_clips(
    clips: Sequence[TrueClip],
    options: FitOptions | None = None,
    sequence: SequenceOptions | None = None,
    *,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> ClipsReport:
    """Fit clips both ways.

    Args:
        clips: of :func:`load_clips`.
        options: how to fit; the focal length is the truth's unless they name one.
        sequence: how to fit clips.
        on_progress: called with the number of finished clips, that of all, and the name of the last one.

    Raises:
        UsageError: for options that cannot work.
    """
    from dsr.body import load_asset

    options, sequence = options or FitOptions(), sequence or SequenceOptions()
    asset = load_asset(body_to_load(options))
    report = ClipsReport({"name": asset.name, "sha256": asset.sha256})
    for done, clip in enumerate(clips, 1):
        _evaluate(clip, options, sequence, asset, report)
        if on_progress is not None:
            on_progress(done, len(clips), clip.path.name)
    return report


def _evaluate(
    clip: TrueClip, options: FitOptions, sequence: SequenceOptions, asset: BodyAsset, report: ClipsReport
) -> None:
    from dsr.pipeline.clip_fitter import SequenceFitter
    from dsr.pipeline.clip_reader import open_clip
    from dsr.pipeline.inputs import find_clips

    source = find_clips([clip.path])[0]
    reader = open_clip(source, sequence.fps)
    views = {frame: [_scaled(view, reader.size[0]) for view in group] for frame, group in clip.views.items()}
    if (options.focal, options.focal35, options.fov) == (None, None, None):
        options = replace(options, focal=float(next(iter(views.values()))[0].K[0, 0]))
    whole = SequenceFitter(options, sequence).fit(source)
    if whole.status not in ("ok", "no_person"):
        report.failed.append(f"{clip.path.name}: {whole.message}")
    wanted = sorted({f for frame in views for f in (frame - 1, frame, frame + 1) if f >= 0})
    single = _frame_by_frame(source, wanted, options, sequence)
    together = {f: whole.people_at(f, asset) if whole.people else [] for f in wanted}
    feet = _FeetOf(clip, whole)
    for way, people in zip(WAYS, (single, together), strict=True):
        for frame, group in views.items():
            scores = score_people(group, people.get(frame, []), [], asset)
            report.scores[way] += [replace(score, instant=clip.path.name) for score in scores]
            report.motion[way] += [_motion(view, frame, people, views, feet, asset, reader.fps) for view in group]


def _scaled(view: TrueView, width: int) -> TrueView:
    """A view in the pixels of a clip that is so wide."""
    from dsr.image import read_photo

    photo = read_photo(view.path)
    scale = width / photo.width
    return replace(view, K=view.K * np.array([[scale], [scale], [1.0]]), joints_px=view.joints_px * scale)


def _frame_by_frame(
    clip: Clip, wanted: Sequence[int], options: FitOptions, sequence: SequenceOptions
) -> dict[int, list[PersonResult]]:
    """The people of some frames, each fitted as a picture of its own."""
    from PIL import Image

    from dsr.pipeline.clip_reader import open_clip
    from dsr.pipeline.picture_fitter import fit_images

    with tempfile.TemporaryDirectory() as folder:
        paths: dict[int, Path] = {}
        for number, _, photo in open_clip(clip, sequence.fps).frames():
            if photo is not None and number in wanted:
                paths[number] = Path(folder) / f"frame_{number:06d}.png"
                Image.fromarray(photo.rgb).save(paths[number])
            if number > max(wanted):
                break
        results = fit_images(list(paths.values()), options, jobs=1) if paths else iter(())
        return {number: result.people for number, result in zip(paths, results, strict=True)}


class _FeetOf:
    """Which feet rest: by the truth where it says so, else by the fit of the clip."""

    def __init__(self, clip: TrueClip, result: SequenceResult) -> None:
        self._true, self._result = clip.resting, result

    def resting(self, frame: int, person: PersonResult | None) -> np.ndarray:
        """(4,) bool, from a frame to the next."""
        if self._true:
            return self._true.get(frame, np.zeros(len(FEET), bool))
        for track in self._result.people:
            there = np.isin([frame, frame + 1], track.frames).all()
            if there and person is not None and _near(person, track.keypoints_px[frame - track.frames[0]]):
                first = frame - int(track.frames[0])
                return np.asarray(track.contacts[first] & track.contacts[first + 1])
        return np.zeros(len(FEET), bool)


def _motion(
    view: TrueView,
    frame: int,
    people: dict[int, list[PersonResult]],
    views: dict[int, list[TrueView]],
    feet: _FeetOf,
    asset: BodyAsset,
    fps: float,
) -> Motion:
    """How the person of a view moves about its frame."""
    now = next((p for p in people.get(frame, []) if limb_distance(view, p.keypoint_set, p.keypoints_px) < _SAME), None)
    if now is None:
        return Motion()
    around = [next((p for p in people.get(f, []) if _near(p, now.keypoints_px)), None) for f in (frame - 1, frame + 1)]
    motion = Motion()
    resting = feet.resting(frame, now)
    if around[1] is not None and resting.any():
        rows = asset.keypoint_regressor("blazepose33")[foot_rows()]
        step = rows @ (around[1].vertices_cam_m.astype(np.float64) - now.vertices_cam_m)
        motion.skate = float(np.linalg.norm(step, axis=1)[resting].mean() * fps)
    before, after = around
    if before is not None and after is not None:
        bend = _bend([_limbs(p, asset) for p in (before, now, after)], fps)
        motion.acceleration = float(np.linalg.norm(bend, axis=1).mean())
        true = [_same_person(view, views.get(f, [])) for f in (frame - 1, frame + 1)]
        if true[0] is not None and true[1] is not None:
            known = true[0].known & view.known & true[1].known
            real = _bend([_hips_at_zero(v.joints_m) for v in (true[0], view, true[1])], fps)
            if known[list(LIMB12_HIPS)].all():
                motion.acceleration_error = float(np.linalg.norm(bend - real, axis=1)[known].mean())
    return motion


def _bend(places: Sequence[np.ndarray], fps: float) -> np.ndarray:
    return np.asarray((places[0] - 2 * places[1] + places[2]) * fps**2)


def _limbs(person: PersonResult, asset: BodyAsset) -> np.ndarray:
    rows = asset.keypoint_regressor("blazepose33")[limb_index("blazepose33")]
    return _hips_at_zero(rows @ person.vertices_cam_m.astype(np.float64))


def _hips_at_zero(joints: np.ndarray) -> np.ndarray:
    return np.asarray(joints - joints[list(LIMB12_HIPS)].mean(0))


def foot_rows() -> list[int]:
    """Places of :data:`FEET` in ``blazepose33``."""
    from dsr.body import joint_names

    names = joint_names("blazepose33")
    return [names.index(name) for name in FEET]


def _same_person(view: TrueView, others: Sequence[TrueView]) -> TrueView | None:
    return next((other for other in others if other.person == view.person), None)


def _near(person: PersonResult, keypoints_px: np.ndarray) -> bool:
    """Whether somebody's keypoints lie about there."""
    if len(keypoints_px) != len(person.keypoints_px):
        return False
    apart = np.linalg.norm(np.asarray(person.keypoints_px)[:, :2] - np.asarray(keypoints_px)[:, :2], axis=1)
    side = float(max(person.box_px[2:] - person.box_px[:2]))
    return bool(np.nanmean(apart) < _SAME * max(side, 1.0))
