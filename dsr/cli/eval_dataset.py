"""``dsr-eval 3dpw | h36m-p1 | ...``: a network, or saved predictions, on the user's copy of a data set."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from dsr.cli.common import EXIT_FINE
from dsr.cli.eval_common import check_output, number, write_json
from dsr.cli.progress import Progress
from dsr.options import CHECKPOINT_FORMS

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.datasets.perspose_files import PersPoseSource
    from dsr.datasets.spin import SpinSource
    from dsr.evaluation.datasets import DatasetReport
    from dsr.evaluation.protocols import Protocol


@dataclass(frozen=True, kw_only=True)
class DatasetCommand:
    """Score a network by a published protocol on your copy of a data set.

    Give --regressor to run one, or --predictions to score what an earlier run saved. Exit codes: 0 fine, 2 something
    cannot be used, 130 interrupted.
    """

    data: Path
    """The data set: an npz in SPIN's layout, or a table in that of PersPose (joblib or npz)."""
    images: Path | None = None
    """Folder that the pictures' names are relative to; the file's own folder by default."""
    regressor: Annotated[str | None, tyro.conf.arg(help=f"The network: {CHECKPOINT_FORMS}.")] = None
    predictions: Path | None = None
    """Score these saved predictions instead of running a network; no picture is read."""
    save_predictions: Path | None = None
    """Also write the predictions to this npz file."""
    body: str | None = None
    """Body the network was trained with: open, open-light, a file or a folder; what the checkpoint says by default."""
    h36m_regressor: Path | None = None
    """J_regressor_h36m.npy, which published figures need; without it the body's own regressor is used."""
    masks: Path | None = None
    """Folder of person masks that the column maskname is relative to."""
    neutral_truth: bool = False
    """Make true meshes with the neutral body even where the protocol has them gendered."""
    orientation: Literal["auto", "crop", "picture"] = "auto"
    """Camera that is compared in: the crop's, the full picture's, or as the network's figures were published (auto)."""
    crop: Literal["auto", "box", "truth"] = "auto"
    """What PersPose's crops are fitted to: the data set's box, or the true mesh (as published; auto: perspose-*)."""
    mirror: Literal["auto", "on", "off"] = "auto"
    """Average with the mirrored crop; auto does as published: PersPose does, DSR does not."""
    every: int | None = None
    """Take every so many rows only; by default as the protocol says."""
    limit: int | None = None
    """Take at most so many rows."""
    batch_size: int = 32
    """People at a time."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs."""
    json: Path | None = None
    """Also write everything measured to this file."""
    verbose: bool = False
    """Also print a table of all joints."""


def run_dataset(protocol_name: str, command: DatasetCommand) -> int:
    """Run ``dsr-eval PROTOCOL``; the exit code.

    Raises:
        DsrError: if something given cannot be used, before any work where that can be known.
    """
    from dsr.errors import UsageError
    from dsr.evaluation.protocols import find_protocol

    protocol = find_protocol(protocol_name)
    if (command.regressor is None) == (command.predictions is None):
        raise UsageError(
            f"give either --regressor {CHECKPOINT_FORMS} to run a network, or --predictions FILE to score what an "
            "earlier run saved."
        )
    for flag, value in (("--every", command.every), ("--limit", command.limit), ("--batch-size", command.batch_size)):
        if value is not None and value < 1:
            raise UsageError(f"{flag} {value}: use a whole number from 1.")
    check_output("--json", command.json)
    check_output("--save-predictions", command.save_predictions)
    report = _evaluate(command, protocol)
    sys.stdout.write(table(report, protocol, command.verbose))
    write_json("--json", command.json, report.to_json())
    return EXIT_FINE


def _evaluate(command: DatasetCommand, protocol: Protocol) -> DatasetReport:
    from dsr.devices import choose_device
    from dsr.evaluation.datasets import check_truth, evaluate_predictions
    from dsr.evaluation.predictions import load_predictions, predict_source, rows_of, save_predictions

    device = choose_device(command.device)
    every = protocol.every if command.every is None else command.every
    source = open_data(command.data, command.images, command.masks)
    if command.predictions is not None:
        predictions = load_predictions(command.predictions)
        betas = predictions.betas.shape[1]
        bodies = _bodies(command.body or "smpl", betas, protocol, command.neutral_truth, device)
    else:
        from dsr.regressors.loading import load_regressor

        assert command.regressor is not None
        loaded = load_regressor(command.regressor, device)
        bodies = _bodies(command.body or loaded.body, loaded.num_betas, protocol, command.neutral_truth, device)
        rows = rows_of(source, every, command.limit)
        check_truth(source, protocol, rows)
        with Progress("predicting", len(rows), stream=sys.stderr) as progress:
            predictions = predict_source(
                source,
                loaded.model,
                bodies["neutral"],
                every=every,
                limit=command.limit,
                batch_size=command.batch_size,
                mirror={"auto": None, "on": True, "off": False}[command.mirror],
                system=loaded.system,
                crop_bodies=_truth_crops(command, protocol, bodies),
                on_progress=progress.update,
            )
        if command.save_predictions is not None:
            save_predictions(predictions, command.save_predictions)
    return evaluate_predictions(
        source,
        predictions,
        bodies,
        protocol,
        regressor=command.h36m_regressor,
        every=every,
        limit=command.limit,
        frame=command.orientation,
    )


def open_data(path: Path, images: Path | None = None, masks: Path | None = None) -> SpinSource | PersPoseSource:
    """A data set of the user, by what is in its file.

    Args:
        path: SPIN's layout or PersPose's.
        images: folder of its pictures; the file's own by default.
        masks: folder of person masks, for SPIN's layout.

    Raises:
        DatasetError: if it is neither or cannot be read.
        UsageError: if masks are given for the layout that has none.
    """
    from dsr.datasets.perspose_files import PersPoseSource
    from dsr.datasets.spin import SpinSource
    from dsr.datasets.table_file import NpzTable
    from dsr.errors import UsageError

    images = images or path.parent
    if path.suffix == ".npz" and (not path.is_file() or "file_name" not in NpzTable(path)):
        return SpinSource(path, images, name=path.stem, masks=masks)
    if masks is not None:
        raise UsageError(f"--masks {masks}: only data sets in the layout of SPIN name masks.")
    return PersPoseSource(path, images)


def _truth_crops(command: DatasetCommand, protocol: Protocol, bodies: Mapping[str, Body]) -> Mapping[str, Body] | None:
    """Bodies that crops are fitted to, or None."""
    from_truth = protocol.name.startswith("perspose") if command.crop == "auto" else command.crop == "truth"
    return bodies if from_truth else None


def _bodies(name: str, betas: int, protocol: Protocol, neutral_truth: bool, device: str) -> Mapping[str, Body]:
    """The neutral body and, where the protocol wants them and there are any, those of both sexes."""
    from dsr.body import load_body
    from dsr.errors import UsageError

    is_open = name in ("open", "open-light")
    count = None if is_open else betas
    bodies = {"neutral": load_body(name, num_betas=count, device=device)}
    if protocol.gendered and not neutral_truth and not is_open:
        if Path(name).is_file():
            raise UsageError(
                f"--body {name}: protocol {protocol.name} makes true meshes with the male and the female body; name "
                "the folder that holds all three files, or use --neutral-truth."
            )
        for gender in ("male", "female"):
            bodies[gender] = load_body(name, gender=gender, num_betas=count, device=device)
    return bodies


def table(report: DatasetReport, protocol: Protocol, verbose: bool = False) -> str:
    """The report for people to read."""
    m = report.metrics
    lines = [
        f"{protocol.title}: {report.data}, {report.system or 'predictions'}, {report.people} people"
        + (f", {report.skipped} without truth left out" if report.skipped else ""),
        f"{'MPJPE':>10}{'PA-MPJPE':>10}{'PVE':>10}{'PCK150':>10}{'AUC':>10}{'score':>10}",
        f"{number(m['mpjpe_mm']):>10}{number(m['pa_mpjpe_mm']):>10}{number(m['pve_mm']):>10}"
        f"{number(m['pck150'], 100):>10}{number(m['auc'], 100):>10}{number(m['score']):>10}",
        "millimetres; PCK and AUC in % over 14 joints, not aligned; score = 1.5 PA-MPJPE + MPJPE",
    ]
    if protocol.published:
        lines.append(f"published: {protocol.published}")
    for name, values in report.image.items():
        if name == "mask":
            lines.append(f"overlap with masks {number(values['mask_iou'], 100)} % ({values['people']} people)")
        else:
            lines.append(
                f"{name} keypoints within 5 % of the box {number(values['pck2d_05'], 100)} %, within 10 % "
                f"{number(values['pck2d_10'], 100)} % ({values['people']} people)"
            )
    if verbose:
        lines.append(f"{'joint':<18}{'MPJPE':>8}{'PA-MPJPE':>10}{'PCK150':>8}{'AUC':>8}")
        lines += [
            f"{joint:<18}{number(v['mpjpe_mm']):>8}{number(v['pa_mpjpe_mm']):>10}{number(v['pck'], 100):>8}"
            f"{number(v['auc'], 100):>8}"
            for joint, v in report.per_joint.items()
        ]
    return "\n".join([*lines, *report.notes]) + "\n"
