"""The files of one clip's result beside JSON and NPZ: animated people, and the clip with the bodies drawn over it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dsr.camera import PictureCamera
from dsr.files import with_ending, write_atomic, write_bytes
from dsr.pipeline.clip_reader import open_clip
from dsr.pipeline.inputs import Clip
from dsr.pipeline.output_options import OutputOptions
from dsr.results.clip import SequenceResult, track_betas

if TYPE_CHECKING:
    from dsr.body import Body


def write_clip_files(
    result: SequenceResult, clip: Clip, body: Body, base: Path, fps: float | None, output_options: OutputOptions
) -> list[Path]:
    """Write the files asked for, as far as they make sense.

    Args:
        result: an ``ok`` or ``no_person`` result.
        clip: where the frames come from, for the overlay.
        body: the body the people were fitted with.
        base: path of the files without their endings; the folder must exist.
        fps: frames per second that the clip was opened with, or None.
        output_options: which files.

    Returns:
        The paths written.

    Raises:
        ExportError: if something cannot be written.
        ImageError: if the clip cannot be read any more.
    """
    from dsr.export import on_rig
    from dsr.export.animation import animated_glb_bytes
    from dsr.export.blender import write_track_with_blender

    written: list[Path] = []
    if not result.people or result.K is None:
        return written
    camera, frame = PictureCamera(result.K[0], result.image_size), output_options.frame
    for track in result.people:
        rigged, asset = on_rig(track, body.asset, output_options.rig)
        for kind in output_options.formats:
            path = with_ending(base, f".{track.id}.{kind}")
            if kind == "glb":
                write_bytes(path, animated_glb_bytes(rigged, asset, camera, result.fps, frame))
            else:
                write_track_with_blender(rigged, asset, camera, result.fps, path, kind, frame)
            written.append(path)
    if output_options.overlay:
        frames = overlay_frames(result, clip, body, fps, output_options.uncertainty)
        written.append(_write_video(with_ending(base, ".overlay.mp4"), frames, result.fps))
    if output_options.skeleton:
        from dsr.pipeline.clip_skeletons import skeleton_frames

        frames = skeleton_frames(result, clip, body, fps)
        written.append(_write_video(with_ending(base, ".skeleton.mp4"), frames, result.fps))
    return written


def _write_video(path: Path, frames: Iterator[np.ndarray], fps: float) -> Path:
    """A video file of frames that are all as large as the first one."""
    from dsr.image.video import write_video

    first = next(frames)
    height, width = first.shape[:2]

    def write(temporary: Path) -> None:
        write_video(temporary, chain((first,), frames), fps, (width, height))

    return write_atomic(path, write)


def overlay_frames(
    result: SequenceResult, clip: Clip, body: Body, fps: float | None, uncertainty: bool = False
) -> Iterator[np.ndarray]:
    """The frames (h, w, 3) uint8 of a clip with everybody drawn over them; a missing frame shows the one before.

    Args:
        result: the fit.
        clip: the clip.
        body: the body the people were fitted with.
        fps: as it was opened with.
        uncertainty: also draw how far each joint may be off.
    """
    import torch

    from dsr.export.overlay import draw_bodies
    from dsr.export.uncertainty_marks import draw_uncertainty

    reader = open_clip(clip, fps)
    asset, shown, upcoming = body.asset, reader.first.rgb, 0
    for number, _, photo in reader.frames():
        while upcoming < number:
            yield shown
            upcoming += 1
        if photo is not None:
            vertices, colours, joints = [], [], []
            for who, track in enumerate(result.people):
                t = number - int(track.frames[0])
                if not 0 <= t < len(track.frames):
                    continue
                with torch.no_grad():
                    parts = (track_betas(track, t, asset), track.body_pose[t], track.global_orient[t], track.transl[t])
                    posed = body(*(torch.as_tensor(part, dtype=torch.float32)[None] for part in parts))
                vertices.append(posed.vertices[0].double().numpy())
                colours.append(who)
                unsure = track.joint_uncertainty_mm
                joints.append((track.joints_cam_m[t], None if unsure is None else unsure[t]))
            shown = photo.rgb.copy()
            if vertices and result.K is not None:
                height, width = shown.shape[:2]
                camera = PictureCamera(result.K[number], result.image_size).scaled((width, height))
                draw_bodies(shown, vertices, asset, camera.K, colours)
                if uncertainty:
                    draw_uncertainty(shown, joints, camera.K)
        yield shown
        upcoming = number + 1
