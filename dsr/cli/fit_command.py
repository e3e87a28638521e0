"""The arguments of ``dsr-fit``; the comment under a field is its help text."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from dsr.limits import Limits
from dsr.options import FitOptions, SequenceOptions

if TYPE_CHECKING:
    from dsr.pipeline.output_options import OutputOptions


@dataclass(frozen=True, kw_only=True)
class FitCommand(Limits, FitOptions):
    """Fit posed, shaped, rigged bodies to the people in photographs and clips.

    Results go into the output folder: a mesh per person (NAME.p0.glb), everything found (NAME.json, NAME.npz), and one
    report.csv and report.json. Finished pictures are skipped when the command is run again. Video files, and folders of
    frames with --sequence, become one animated NAME.p0.glb per person. Exit codes: 0 all fine (nobody in a picture is
    fine), 2 usage, 3 some pictures failed, 4 all failed, 130 interrupted.
    """

    inputs: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="INPUT...", help_behavior_hint="(required)"),
    ]
    """Pictures, video files, folders, globs, text lists with one path per line, or URLs of them (s3://, gs://, ...)."""
    sequence: bool = False
    """Each folder holds the frames of one clip: people are followed, with one shape, smooth, feet on the ground."""
    fps: float | None = None
    """Frames per second of clips: 30 for a folder of frames; a video file says it itself."""
    lifter: str = "shipped"
    """What gives a clip's 3D joints: shipped, none (the detector's own landmarks), or a file of weights."""
    max_gap: float = 1.0
    """Seconds for which somebody in a clip may be hidden and stay the same person; the gap is filled in and marked."""
    out: Path
    """Folder for the results, or a URL (s3://, gs://, ...); made if it is not there."""
    format: str = "glb"
    """Comma list of mesh formats: obj, ply, glb; with the blender extra fbx, bvh, usd, blend. NPZ + JSON always."""
    overlay: bool = False
    """Also write NAME.overlay.jpg: the bodies drawn over the picture; NAME.overlay.mp4 for a clip."""
    uncertainty: bool = False
    """Draw into the overlay how far each joint may be off: a disc of one standard deviation; writes the overlay too."""
    skeleton: bool = False
    """Also write NAME.skeleton.jpg (.mp4 of a clip): detected skeletons over the picture, beside it those in space."""
    labels: bool = False
    """Also write NAME.labels.jpg: everybody's clothing labels over the picture."""
    texture: bool = False
    """Put the photograph on the meshes, NAME.p0.texture.png; NAME.p0.texture_seen.png says what was really seen."""
    side_view: bool = False
    """Also write NAME.side.jpg: the bodies seen from the side."""
    frame: Literal["camera", "body"] = "camera"
    """Frame of the mesh files: where the camera saw the person, or standing at the origin facing forward."""
    rig: Literal["smpl", "mixamo", "rigify", "game-engine"] = "smpl"
    """Names of bones in mesh files: SMPL's, or another program's, for which the open body gets finger bones."""
    recursive: bool = False
    """Also look into subfolders; the results mirror the tree."""
    jobs: int = 0
    """Pictures worked on at a time; 0 chooses by the processor. The results do not depend on it."""
    cluster: str | None = None
    """Work on a Ray cluster: auto (one that runs, else this machine) or HOST:PORT; --jobs is the number of workers."""
    overwrite: bool = False
    """Do finished pictures again. A picture done again loses files of its earlier run that are not asked for now."""
    limit: int | None = None
    """Take only this many pictures, the first ones."""
    fail_fast: bool = False
    """Stop at the first picture that cannot be used."""
    dry_run: bool = False
    """Only list what would be done; writes nothing."""
    quiet: bool = False
    """Say nothing but errors."""
    json_log: bool = False
    """One JSON object per line on standard output; everything meant for people goes to standard error."""
    list_licences: bool = False
    """List the licences of everything that has a part in a result, and stop."""
    serve: bool = False
    """Stay and answer requests on standard input, as the Blender add-on sends them; see docs/worker_protocol.md."""

    def fit_options(self) -> FitOptions:
        """The part of the command that :func:`dsr.fit_images` takes."""
        return FitOptions(**{f.name: getattr(self, f.name) for f in fields(FitOptions)})

    def limits(self) -> Limits:
        """The part of the command that says what one input may cost."""
        return Limits(**{f.name: getattr(self, f.name) for f in fields(Limits)})

    def output_options(self) -> OutputOptions:
        """The part of the command that is about files."""
        from dsr.pipeline.output_options import OutputOptions, parse_formats

        return OutputOptions(
            parse_formats(self.format),
            self.overlay or self.uncertainty,
            self.side_view,
            self.frame,
            self.rig,
            self.labels,
            self.texture,
            self.skeleton,
            self.uncertainty,
        )

    def sequence_options(self) -> SequenceOptions:
        """The part of the command that is about clips."""
        return SequenceOptions(self.fps, self.lifter, self.max_gap)


def inputs_first(arguments: list[str]) -> list[str]:
    """Move inputs that stand behind options to the front, where the parser looks for them."""
    if "--" in arguments:
        return arguments
    switches = {f.name for f in fields(FitCommand) if f.type == "bool"}
    known = {f.name for f in fields(FitCommand)}
    inputs: list[str] = []
    rest: list[str] = []
    takes_value = False
    for token in arguments:
        if takes_value or token.startswith("-"):
            name = token[2:].replace("-", "_") if token.startswith("--") else ""
            takes_value = not takes_value and name in known - switches
            rest.append(token)
        else:
            inputs.append(token)
    return inputs + rest
