"""From a run of ``dsr-train lifter`` on motion capture to weights that are shipped: measured, with a model card.

    python -m dsr.training.systems.lifter.card RUN --out dsr/weights/lifter_temporal.safetensors

The file's header says how to build the network, its error per joint on the validation clips (for uncertainties), and a
hash of the list of clips.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import tyro

from dsr._command import run_once
from dsr.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Ship:
    """Measure a trained lifter and write it with its model card."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    out: Path
    """The .safetensors file; the card goes beside it as .md."""
    data: str | None = None
    """mocap:DIR, where the clips are elsewhere than the run says."""

    def main(self) -> str:
        """Run it; returns a line of figures."""
        from dsr.evaluation.lifting import LinearLifter, MeanPose, evaluate_lifter, lifter_predictor
        from dsr.lifting.shipped import load_lifter, save_lifter
        from dsr.training.config_file import read_config
        from dsr.training.systems.lifter.config import LifterTrainConfig, network_arguments
        from dsr.training.systems.lifter.data import read_tracks, split_source

        config = read_config(self.run / "config.yaml", LifterTrainConfig())
        source = self.data or config.data[0]
        kind, folder = split_source(source)
        if kind != "mocap":
            raise UsageError("Only lifters trained on motion capture are shipped: data sets forbid the others.")
        training = read_tracks(source, "train", config.windows)
        validation = read_tracks(source, "validation", config.windows)
        model = load_lifter(self.run / "last.safetensors")
        rows: dict[str, Any] = {
            "mean pose": MeanPose.fit(training),
            "linear lifter": LinearLifter.fit(training),
            "this lifter, without mirroring": lifter_predictor(model, flip=False),
            "this lifter": lifter_predictor(model),
        }
        reports = {name: evaluate_lifter(predict, validation) for name, predict in rows.items()}
        ours = reports["this lifter"]
        listing = clip_listing(folder)
        figures = {
            "clips_sha256": listing,
            "validation_mpjpe_mm": f"{ours.overall.mpjpe_mm:.1f}",
            "licence": "Apache-2.0",
        }
        arguments = network_arguments(config)
        save_lifter(
            self.out,
            model,
            config.model,
            arguments,
            joint_error_mm=list(ours.joints_mm.values()),
            fps=validation[0].fps,
            keypoints=config.windows.keypoints,
            **figures,
        )
        frames = [sum(map(len, tracks)) for tracks in (training, validation)]
        card = card_text(self.out, config, reports, listing, frames[0], frames[1], model)
        self.out.with_suffix(".md").write_text(card, encoding="utf-8")
        scores = ours.overall
        return (
            f"{self.out}: {scores.mpjpe_mm:.1f} mm, PA {scores.pa_mpjpe_mm:.1f} mm, velocity "
            f"{scores.velocity_mm:.1f} mm per frame on {scores.frames} held-out frames"
        )


def clip_listing(folder: Path) -> str:
    """Hash of the names and sizes of the clips below a folder."""
    clips = sorted(folder.rglob("*.bvh"))
    return sha256("\n".join(f"{c.name} {c.stat().st_size}" for c in clips).encode()).hexdigest()


def card_text(
    out: Path, config: Any, reports: dict[str, Any], listing: str, trained: int, measured: int, model: Any
) -> str:
    """The model card."""
    single = model.frames == 1
    rows = "\n".join(
        f"| {name} | {r.overall.mpjpe_mm:.1f} | {r.overall.pa_mpjpe_mm:.1f} | {r.overall.n_mpjpe_mm:.1f} | "
        f"{r.overall.velocity_mm:.1f} | {r.overall.pck:.3f} | {r.overall.auc:.3f} |"
        for name, r in reports.items()
    )
    joints = "\n".join(
        f"| {name.replace('_', ' ')} | {error:.0f} |" for name, error in reports["this lifter"].joints_mm.items()
    )
    return _CARD.format(
        title="Single-frame lifter" if single else "Temporal lifter",
        what="one picture" if single else f"windows of {model.frames} frames, about {config.windows.fps:g} per second",
        kind="single" if single else "temporal",
        file=out.name,
        model=config.model,
        parameters=sum(p.numel() for p in model.parameters()),
        size=out.stat().st_size / 1e6,
        rows=rows,
        joints=joints,
        command=command_of(config),
        clips=listing,
        trained=trained,
        measured=measured,
        samples=config.steps * config.batch * model.frames,
    )


def command_of(config: Any) -> str:
    """The command that trains this, as the difference to the preset mocap."""
    from dsr.training.config import flag, flat
    from dsr.training.systems.lifter.presets import lifter_preset

    base, now = flat(lifter_preset("mocap", config.model)), flat(config)
    left_out = ("model", "data", "log.", "validation.", "threads", "device", "workers")
    options = [
        f"{flag(key)} {'START' if key == 'network.init' else value}"
        for key, value in now.items()
        if value != base[key] and not key.startswith(left_out)
    ]
    lines, line = [], f"dsr-train lifter --model {config.model} --preset mocap --data mocap:CLIPS --out RUN"
    for option in options:
        if len(line) + len(option) > 100:
            lines.append(line + " \\")
            line = "    "
        line += f" {option}"
    return "\n    ".join([*lines, line])


_CARD = """# {title}

Keypoints of a detector to 3D joints, {what}: `dsr.lifting.load_shipped("{kind}")`, used by
`dsr.lifting.lift_sequence`.

File: `{file}` ({size:.1f} MB, safetensors, float32): a `{model}` with {parameters:,} parameters. It takes 17
joints of Human3.6M (`dsr.tracks.detector_to_h36m17` makes them of BlazePose's 33 or COCO's 17 keypoints) as screen
coordinates with confidences, brings people to one size on the screen by itself, and gives metres relative to the
pelvis in the camera's axes. The header holds its configuration and its validation error per joint, which
`lift_sequence` takes for the uncertainty of every joint together with the disagreement of its passes.

## Data

Motion capture clips (play, climbing, everyday actions, sports, walking, running, boxing, martial arts, dance), put on
bodies of random shape and seen by virtual cameras (`dsr.tracks.mocap`): {trained:,} training frames, of which
the run drew {samples:,} with repetition. The 2D input is made of BlazePose's points on the body's surface with a
detector's errors (`DetectorNoise`: wander, jitter, lost joints, exchanged sides), turned into the 17 joints in the same
way as a detector's.

The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF
EIA-0196217. Only what was learned is here; no clip and no converted clip is part of the package.

Split by clip: subjects 08 and 13 and every tenth dance or martial-arts clip are held out. SHA-256 of the list of clips:
`{clips}`.

## Training

    {command}
    python -m dsr.training.systems.lifter.card RUN --out dsr/weights/{file}

## Validation

{measured:,} frames of the held-out clips, one camera each, noise as above, flip-averaged; millimetres, velocity in
millimetres per frame.

| | MPJPE | PA-MPJPE | N-MPJPE | velocity | PCK 150 mm | AUC |
| --- | --- | --- | --- | --- | --- | --- |
{rows}

The linear lifter is ridge regression per frame from keypoints centred and scaled. Error per joint:

| joint | mm |
| --- | --- |
{joints}

## Limits

* It was trained for minutes on two slow processor cores and on half an hour of motion; published lifters see hundreds
  of times more. Depth from one picture stays ambiguous: expect errors of 10 cm at wrists and ankles, more when limbs
  point at the camera.
* The noise is made up; real detectors fail in their own ways. No real photograph was used in training or validation.
* Adults of average build, standing and moving; lying, crouching and upside-down people are rare in the clips.
* Cameras 0.3 to 2.5 m above the ground with little roll; drones and tilted phones were not seen.
* Body sizes are guesses: a child is lifted as a small adult at best. Use the scale of a fitted body instead.
"""


def entry() -> int:
    """Run the command line."""
    return run_once(Ship)


if __name__ == "__main__":
    raise SystemExit(entry())
