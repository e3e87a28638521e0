"""Which files a clip's result becomes; the JSON file comes last and says that all of them are there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.errors import ExportError, MissingExtraError, UsageError
from dsr.extras import install_hint
from dsr.options import FitOptions, options_record
from dsr.pipeline.clip_fitter import SequenceOptions
from dsr.pipeline.clips import Clip, open_clip
from dsr.pipeline.outputs import OutputOptions, with_ending
from dsr.results.clip import SequenceResult
from dsr.results.saved import save_result

if TYPE_CHECKING:
    from dsr.body import Body

CLIP_FORMATS = ("glb",)
"""Formats of animated people."""


def check_clip_outputs(wanted: OutputOptions, videos: bool) -> None:
    """Refuse what cannot be written for clips, before any is opened.

    Args:
        wanted: the files wanted.
        videos: whether any clip is a video file.

    Raises:
        UsageError: for a format that holds no animation, or a side view.
        MissingExtraError: if PyAV is needed and not installed.
    """
    still = [name for name in wanted.formats if name not in CLIP_FORMATS]
    if still:
        raise UsageError(f"--format {','.join(still)}: a clip becomes an animated glb (and JSON + NPZ); use glb.")
    if wanted.side_view:
        raise UsageError("--side-view is for single pictures; use --overlay for a clip.")
    if videos or wanted.overlay:
        from importlib.util import find_spec

        if find_spec("av") is None:
            what = "Video files need" if videos else "--overlay of a clip is a video and needs"
            raise MissingExtraError(f"{what} PyAV; install it with: {install_hint('video')}")


def clip_record(clip: Clip, fit: FitOptions, sequence: SequenceOptions, wanted: OutputOptions) -> dict[str, Any]:
    """How a result was made: kept beside it, and compared when a run is resumed."""
    from dsr.pipeline.outputs import _sidecar

    first = clip.pictures[0] if clip.pictures else clip.path
    record = {"options": options_record(fit), "sequence": sequence.record(), **wanted.record(), **clip.stamp()}
    return record | {"sidecar": _sidecar(first)}


def is_clip_finished(
    document: dict[str, Any],
    json_path: Path,
    clip: Clip,
    fit: FitOptions,
    sequence: SequenceOptions,
    wanted: OutputOptions,
) -> bool:
    """Whether an earlier run already made everything this one would make of a clip."""
    run = document.get("run")
    if not isinstance(run, dict):
        return False
    if any(run.get(key) != value for key, value in clip_record(clip, fit, sequence, wanted).items()):
        return False
    files = [*run.get("outputs", ()), document.get("arrays", "")]
    return all((json_path.parent / file).is_file() for file in files)


def write_clip_outputs(
    result: SequenceResult,
    clip: Clip,
    body: Body,
    out: Path,
    name: str,
    fit: FitOptions,
    sequence: SequenceOptions,
    wanted: OutputOptions,
    body_file: str,
) -> list[Path]:
    """Write everything wanted for one clip.

    Args:
        result: an ``ok`` or ``no_person`` result; ``body["file"]`` is filled in.
        clip: where the frames come from, for the overlay.
        body: the body the people were fitted with.
        out: the output folder.
        name: relative output name, forward slashes; subfolders are made.
        fit: options, kept for resuming.
        sequence: options, kept for resuming.
        wanted: which files.
        body_file: file name of the body asset's copy in ``out``.

    Returns:
        The paths written, the JSON file last.

    Raises:
        ExportError: if something cannot be written.
    """
    from dsr.export.animation import animated_glb_bytes
    from dsr.files import write_atomic, write_bytes

    base = out / name
    json_path = with_ending(base, ".json")
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        json_path.unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(f"{json_path} cannot be written: {error.strerror or error}.") from error
    written: list[Path] = []
    if "glb" in wanted.formats and result.K is not None:
        for track in result.people:
            data = animated_glb_bytes(track, body.asset, result.K[0], result.image_size, result.fps, wanted.frame)
            written.append(write_bytes(with_ending(base, f".{track.id}.glb"), data))
    if wanted.overlay and result.people:
        from dsr.image.video import write_video

        reader = open_clip(clip, sequence.fps)
        height, width = reader.first.rgb.shape[:2]

        def write(temporary: Path) -> None:
            write_video(temporary, overlay_frames(result, clip, body, sequence), result.fps, (width, height))

        written.append(write_atomic(with_ending(base, ".overlay.mp4"), write))
    result.body["file"] = os.path.relpath(out / body_file, base.parent).replace(os.sep, "/")
    run = {**clip_record(clip, fit, sequence, wanted), "outputs": [path.name for path in written]}
    return written + save_result(result, json_path, run)


def overlay_frames(result: SequenceResult, clip: Clip, body: Body, sequence: SequenceOptions) -> Iterator[np.ndarray]:
    """The frames (h, w, 3) uint8 of a clip with everybody drawn over them; a missing frame shows the one before.

    Args:
        result: the fit.
        clip: the clip.
        body: the body the people were fitted with.
        sequence: the options it was fitted with.
    """
    import torch

    from dsr.export.overlay import draw_bodies

    reader = open_clip(clip, sequence.fps)
    asset, shown, following = body.asset, reader.first.rgb, 0
    for number, _, photo in reader.frames():
        while following < number:
            yield shown
            following += 1
        if photo is not None:
            vertices, colours = [], []
            for who, track in enumerate(result.people):
                t = number - int(track.frames[0])
                if not 0 <= t < len(track.frames):
                    continue
                with torch.no_grad():
                    parts = (track.betas, track.body_pose[t], track.global_orient[t], track.transl[t])
                    posed = body(*(torch.as_tensor(part, dtype=torch.float32)[None] for part in parts))
                vertices.append(posed.vertices[0].double().numpy())
                colours.append(who)
            shown = photo.rgb.copy()
            if vertices and result.K is not None:
                height, width = shown.shape[:2]
                scale = np.diag([width / result.image_size[0], height / result.image_size[1], 1.0])
                draw_bodies(shown, vertices, asset, scale @ result.K[number], colours)
        yield shown
        following = number + 1
