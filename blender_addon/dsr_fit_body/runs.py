# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a fit and what happens with its results: folders, bodies in the scene, the undo step."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import bpy

from . import compat
from .builders import camera as cam
from .builders import photos
from .builders import scene as builder
from .core.job import Outcome
from .core.messages import FitBodyError, Sentence, merged_warnings, message, sentence
from .core.names import cut_name
from .core.result import read_result
from .core.version import VERSION
from .preferences import addon_preferences
from .session import STATE


def addon_folder(name: str) -> Path:
    """A folder in the place where this add-on may write."""
    folder = compat.user_folder(__package__) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def new_run_folder(source: Path) -> Path:
    """A fresh folder for the files of one fit; old ones beyond the number to keep are removed."""
    runs = addon_folder("runs")
    for old in sorted(p for p in runs.iterdir() if p.is_dir())[: -addon_preferences().keep_runs or None]:
        shutil.rmtree(old, ignore_errors=True)
    base = f"{time.strftime('%Y%m%d-%H%M%S')}-{cut_name(source.stem)}"
    number = 0
    while (folder := runs / (f"{base}-{number}" if number else base)).exists():
        number += 1
    folder.mkdir()
    return folder


def build_when_done(options: builder.BuildOptions, look: bool) -> Callable[[Outcome], None]:
    """The callback that brings the results of a fit into the scene.

    Args:
        options: as they were at the start; the artist may change them meanwhile.
        look: turn the 3D view to the camera.
    """

    def on_done(outcome: Outcome) -> None:
        if outcome.message is not None:
            return
        try:
            import_results(outcome.results, options, look, outcome.seconds)
        except FitBodyError as error:
            STATE.message = error.message
        except Exception as error:  # what a file or another add-on did must not stop the timer
            STATE.message = message("build_failed", detail=f"{type(error).__name__}: {error}")
            raise
        else:
            bpy.ops.ed.undo_push(message="Fit body from image")

    return on_done


def import_results(
    paths: list[Path], options: builder.BuildOptions, look: bool, seconds: float | None = None
) -> Sentence:
    """Bring results into the scene.

    Args:
        paths: JSON files.
        options: what is made.
        look: turn the 3D view to the camera.
        seconds: the fit took until now; the summary then has the time until bodies are in the scene.

    Returns:
        the summary, which the panel shows as well.

    Raises:
        FitBodyError: if a result is broken or nobody is in it.
    """
    began = time.perf_counter()
    results = [read_result(path) for path in paths]
    count, made = 0, []
    warnings: list[Sentence | str] = []
    for result in results:
        built = builder.build(result, options, version=VERSION)
        count += len(built.armatures)
        made.append(built)
        warnings += built.warnings
    STATE.warnings = merged_warnings([*STATE.warnings, *warnings])
    seen = made[-1]
    if len(made) > 1:  # one may have replaced another
        seen = next(built for photo in photos.photos() for built in made if built.collection == photo)
        photos.show(seen.collection, options.alone, options.fps)
    _select(seen)
    if look and seen.camera is not None:
        cam.look_through(seen.camera)
    bodies = sentence("1 body") if count == 1 else sentence("{count} bodies", count=count)
    if seconds is not None:
        took = f"{seconds + time.perf_counter() - began:.1f}"
        bodies = sentence("{bodies} in {seconds} s", bodies=bodies, seconds=took)
    STATE.note = bodies
    return bodies


def _select(built: builder.Built) -> None:
    """The body that is largest in the picture becomes the active object."""
    for item in bpy.context.view_layer.objects:
        if item.select_get():
            item.select_set(False)
    largest = built.armatures[built.largest]
    largest.select_set(True)
    bpy.context.view_layer.objects.active = largest
