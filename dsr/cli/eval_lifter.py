"""``dsr-eval lifter``: skeleton lifters by Protocols 1, 2 and 3, PCK and AUC, against two baselines."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from dsr.cli.common import EXIT_FINE, write_line
from dsr.cli.eval_common import check_output, number, write_json
from dsr.cli.progress import Progress
from dsr.devices import choose_device
from dsr.errors import FittingError, UsageError

if TYPE_CHECKING:
    from dsr.evaluation.lifting import LifterReport
    from dsr.tracks.track import PoseTrack
    from dsr.training.systems.lifter.config import LifterDataConfig

_NECK = 9  # Human3.6M's neck/nose, which PoseAug's lifters of 16 joints do not have
_FIGURES = (("mpjpe_mm", 1), ("pa_mpjpe_mm", 1), ("n_mpjpe_mm", 1), ("velocity_mm", 2), ("pck", 3), ("auc", 3))
_HEADER = f"{'MPJPE':>9}{'PA':>9}{'N-MPJPE':>9}{'velocity':>9}{'PCK':>9}{'AUC':>9}{'frames':>9}"


@dataclass(frozen=True, kw_only=True)
class LifterEvalCommand:
    """Skeleton lifters on held-out tracks: MPJPE, PA-MPJPE, N-MPJPE (mm), velocity (mm per frame), PCK, AUC.

    For example: dsr-eval lifter --checkpoint RUN/last.safetensors --data mocap:CLIPS; an official checkpoint by the
    authors' protocol: dsr-eval lifter --checkpoint best.bin --model ktpformer --protocol published --data h36m:DIR
    --keypoints cpn
    """

    data: str
    """mocap:DIR (its validation clips), h36m:DIR (S9 and S11), humaneva:DIR (Validate) or 3dhp:FILE."""
    checkpoint: list[str] = field(default_factory=lambda: ["temporal"])
    """RUN, RUN/last.safetensors, the shipped temporal or single; several: A B. With --model also official files."""
    model: str | None = None
    """Lifter that official checkpoints are of: ktpformer, hot-mixste, glagcn, uao, ..."""
    set: list[str] = field(default_factory=list)
    """What an official checkpoint has otherwise than published: --set frames=27 width=64 dataset=humaneva15."""
    protocol: Literal["library", "published"] = "library"
    """library: overlapping windows, every frame once, roots laid on each other; published: as the authors measured."""
    optimise: Literal["on", "off"] = "off"
    """uao with --protocol published: pictures correct their poses, from the true root, as in its tables."""
    baselines: Literal["on", "off"] = "on"
    """Also the mean pose and a linear lifter, fitted to the training tracks."""
    flip: Literal["on", "off"] = "on"
    """Average with the mirrored sequence."""
    keypoints: str = "as-trained"
    """Of mocap: h36m17 (projected joints) or blazepose33 made them; of h36m cpn, humaneva coco; gt or a file's name."""
    subjects: list[str] = field(default_factory=list)
    """Only these subjects, S9 for example."""
    only: list[str] = field(default_factory=list)
    """Only these actions, Walking for example."""
    fps: float = 0.0
    """Frames per second mocap is thinned to; 0: as in training."""
    noise: Literal["on", "off"] = "on"
    """Detector-like noise on mocap's keypoints."""
    seed: int = 1
    """Seed of mocap's cameras and noise."""
    actions: bool = False
    """Also a table by action."""
    joints: bool = False
    """Also a table by joint."""
    device: str = "cpu"
    """Where the network runs."""
    json: Path | None = None
    """Write all figures to this file."""


def run_lifter(command: LifterEvalCommand) -> int:
    """Run the subcommand.

    Returns:
        The exit code.

    Raises:
        UsageError, DatasetError, CheckpointError: for what cannot be read.
    """
    check_output("--json", command.json)
    from dsr.evaluation.lifter_protocol import evaluate_published, optimised_predictor, published_protocol
    from dsr.evaluation.lifting import LinearLifter, MeanPose, evaluate_lifter, lifter_predictor
    from dsr.lifting.uao import UAO
    from dsr.tracks.skeleton import POSEAUG16
    from dsr.training.systems.lifter.data import read_tracks, split_source

    command = replace(command, device=choose_device(command.device))
    kind, path = split_source(command.data)
    if command.protocol == "published" and kind == "mocap":
        raise UsageError(
            "--protocol published: no paper was measured on mocap; use --data h36m:DIR, humaneva:DIR or 3dhp:FILE."
        )
    models = {name: _load(name, command) for name in command.checkpoint}
    other = [name for name, model in models.items() if not isinstance(model, UAO)]
    if command.optimise == "on" and (other or command.protocol != "published" or kind not in ("h36m", "humaneva")):
        raise UsageError(
            "--optimise on is for uao, by --protocol published, on data whose cameras are known (h36m:DIR)."
        )
    windows = _windows(command, models.values())
    with Progress("measuring", stream=sys.stderr) as progress:
        progress.status(f"reading the held-out tracks of {command.data}")
        tracks = _chosen(read_tracks(command.data, "validation", windows, subjects=command.subjects), command)
        if all(model.joints == len(POSEAUG16) for model in models.values()):
            tracks = [track.without(_NECK) for track in tracks]
        predictors: dict[str, Any] = {}
        if command.baselines == "on" and kind != "3dhp" and command.protocol == "library":
            progress.status("reading the training tracks, for the baselines")
            training = read_tracks(command.data, "train", windows)
            predictors = {"mean pose": MeanPose.fit(training), "linear lifter": LinearLifter.fit(training)}
        reports: dict[str, LifterReport] = {}
        if command.optimise == "on":
            predictors = {name: optimised_predictor(model) for name, model in models.items()}
        elif command.protocol == "published":
            for name, model in models.items():
                reports[name] = evaluate_published(
                    model,
                    tracks,
                    published_protocol(model.lifter_name),
                    flip=command.flip == "on",
                    on_progress=partial(progress.update, text=name),
                )
        else:
            predictors |= {name: lifter_predictor(model, command.flip == "on") for name, model in models.items()}
        for name, predict in predictors.items():
            try:
                reports[name] = evaluate_lifter(predict, tracks, partial(progress.update, text=name))
            except FittingError as error:
                raise FittingError(f"--data {command.data}: {error}") from error
    frames, fps = sum(len(t) for t in tracks), sorted({t.fps for t in tracks})
    rates = " or ".join(f"{rate:g}" for rate in fps)
    seen = f", seen as {windows.keypoints}" if kind == "mocap" else ""
    if kind in ("h36m", "humaneva"):
        from dsr.training.systems.lifter.data import keypoint_file

        data_set = "h36m" if kind == "h36m" else "humaneva15"
        seen = f", keypoints of {keypoint_file(path, windows.keypoints, '--keypoints', data_set).name}"
    seen += ", by the authors' protocol" if command.protocol == "published" else ""
    write_line(sys.stdout, f"{len(tracks)} tracks, {frames} frames, {rates} per second{seen}")
    write_line(sys.stdout, table(reports, kind in ("h36m", "humaneva")))
    for name in models if command.actions else ():
        write_line(sys.stdout, _details(f"{name} by action", reports[name].actions))
    if command.joints:
        names = list(next(iter(reports.values())).joints_mm)
        write_line(sys.stdout, "\n" + f"{'MPJPE by joint, mm':<26}" + "".join(f"{n[-12:]:>13}" for n in reports))
        for joint in names:
            row = "".join(f"{r.joints_mm[joint]:>13.1f}" for r in reports.values())
            write_line(sys.stdout, f"{joint:<26}{row}")
    document = {
        "data": command.data,
        "tracks": len(tracks),
        "frames": frames,
        "fps": fps,
        "keypoints": windows.keypoints if kind == "mocap" else None,
        "protocol": command.protocol,
        "lifters": {name: asdict(report) for name, report in reports.items()},
    }
    write_json("--json", command.json, document)
    return EXIT_FINE


def table(reports: dict[str, Any], by_action: bool = False) -> str:
    """Figures of several lifters.

    Args:
        reports: by name.
        by_action: the plain mean over actions (Human3.6M, HumanEva) instead of the mean over frames.
    """
    rows = [f"{'':<26}{_HEADER}"]
    for name, report in reports.items():
        rows.append(_row(name, report.average if by_action else report.overall))
    return "\n".join(rows)


def _details(title: str, scores: dict[str, Any]) -> str:
    return "\n".join([f"\n{title:<26}{_HEADER}", *(_row(name, one) for name, one in scores.items())])


def _row(name: str, scores: Any) -> str:
    shown = name if len(name) <= 25 else "…" + name[-24:]
    return (
        f"{shown:<26}"
        + "".join(f"{number(getattr(scores, k), 1.0, d):>9}" for k, d in _FIGURES)
        + (f"{scores.frames:>9}")
    )


def _windows(command: LifterEvalCommand, models: Iterable[Any]) -> LifterDataConfig:
    """How mocap is seen: as the lifters saw it in training, where no flag says otherwise.

    Raises:
        UsageError: if they saw it differently.
    """
    from dsr.training.systems.lifter.config import LifterDataConfig

    trained = [(getattr(model, "keypoints", None), getattr(model, "fps", None)) for model in models]
    keypoints = {k for k, _ in trained if k} if command.keypoints == "as-trained" else {command.keypoints}
    fps = {rate for _, rate in trained if rate} if command.fps == 0 else {command.fps}
    for flag, values in (("--keypoints", keypoints), ("--fps", fps)):
        if len(values) > 1 and command.data.startswith("mocap:"):
            raise UsageError(
                f"{flag}: these lifters were trained with {' and '.join(map(str, sorted(values)))}; choose one."
            )
    return LifterDataConfig(
        keypoints=min(keypoints, default="h36m17"), noise=command.noise, seed=command.seed, fps=min(fps, default=0.0)
    )


def _chosen(tracks: list[PoseTrack], command: LifterEvalCommand) -> list[PoseTrack]:
    """The tracks of the subjects and actions that were asked for.

    Raises:
        UsageError: if there are none, naming what there is.
    """
    chosen = tracks
    for flag, wanted, names in (
        (
            "--subjects",
            [one.rpartition("/")[2] for one in command.subjects],
            lambda track: (track.subject.rpartition("/")[2],),
        ),
        ("--only", command.only, _names_of_action),
    ):
        there = {name for track in chosen for name in names(track)}
        missing = [one for one in wanted if one not in there]
        if missing:
            raise UsageError(f"{flag} {missing[0]}: {command.data} has {', '.join(sorted(there))}.")
        chosen = [track for track in chosen if not wanted or not {*names(track)}.isdisjoint(wanted)]
    return chosen


def _names_of_action(track: PoseTrack) -> tuple[str, ...]:
    """An action's name without its take; HumanEva's also without the subject: ``Walking/S1``, ``Walking``."""
    action = track.action.split(" ")[0]
    return tuple(dict.fromkeys((action, action.partition("/")[0])))


def _load(name: str, command: LifterEvalCommand) -> Any:
    from dsr.lifting.shipped import load_lifter, load_shipped

    if name in ("temporal", "single"):
        return load_shipped(cast(Any, name), command.device)
    path = Path(name)
    if path.is_dir():
        files = [path / file for file in ("last.ema.safetensors", "last.safetensors") if (path / file).is_file()]
        if not files:
            raise UsageError(f"--checkpoint {name}: the folder holds no last.safetensors; is it a run of dsr-train?")
        path = files[0]
    if path.suffix == ".safetensors" or not path.is_file():
        return load_lifter(path, command.device)
    if command.model is None:
        raise UsageError(f"--checkpoint {name}: say which lifter it is of, --model ktpformer for example.")
    return _official(path, command)


def _official(path: Path, command: LifterEvalCommand) -> Any:
    """A lifter from a file in its authors' layout, strictly."""
    from dsr.checkpoints import load_checkpoint
    from dsr.lifting import build_lifter

    assert command.model is not None
    settings: dict[str, Any] = {}
    for text in command.set:
        key, sign, value = text.partition("=")
        try:
            settings[key] = tuple(int(v) for v in value.split(",")) if "," in value else int(value)
        except ValueError:
            sign = sign if key in ("dataset", "streams") else ""
            settings[key] = value
        if not sign or not key:
            raise UsageError(f"--set {text}: use NAME=NUMBER, frames=27 for example; widths=3,3,3 for several numbers.")
    model: Any = build_lifter(command.model, **settings)
    load_checkpoint(model, path)
    model.lifter_name, model.lifter_config = command.model, settings
    return model.eval().requires_grad_(False).to(command.device)


__all__ = ["LifterEvalCommand", "run_lifter", "table"]
