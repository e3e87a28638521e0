# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to bodies in the scene: the folder of a run, and what is done with its results."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import bpy

from . import compat
from .builders import camera as cam
from .builders import scene as builder
from .core.job import Outcome
from .core.messages import FitBodyError, Said, message, say
from .core.names import cut_name
from .core.result import read_result
from .core.version import VERSION
from .prefs import preferences
from .session import STATE


def own_folder(name: str) -> Path:
    """A folder in the place where this add-on may write."""
    folder = compat.user_folder(__package__) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def new_run_folder(source: Path) -> Path:
    """A fresh folder for the files of one fit; old ones beyond the number to keep are removed."""
    runs = own_folder("runs")
    for old in sorted(p for p in runs.iterdir() if p.is_dir())[: -preferences().keep_runs or None]:
        shutil.rmtree(old, ignore_errors=True)
    base = f"{time.strftime('%Y%m%d-%H%M%S')}-{cut_name(source.stem)}"
    number = 0
    while (folder := runs / (f"{base}-{number}" if number else base)).exists():
        number += 1
    folder.mkdir()
    return folder


def finisher(options: builder.BuildOptions, look: bool) -> Callable[[Outcome], None]:
    """What builds when a fit is over.

    Args:
        options: as they were at the start; the artist may change them meanwhile.
        look: turn the 3D view to the camera.
    """

    def finish(outcome: Outcome) -> None:
        if outcome.message is not None:
            return
        try:
            bring_in(outcome.results, options, look, outcome.seconds)
        except FitBodyError as error:
            STATE.message = error.message
        except Exception as error:  # what a file or another add-on did must not stop the timer
            STATE.message = message("build_failed", detail=f"{type(error).__name__}: {error}")
            raise
        else:
            bpy.ops.ed.undo_push(message="Fit body from image")

    return finish


def bring_in(paths: list[Path], options: builder.BuildOptions, look: bool, seconds: float | None = None) -> Said:
    """Results into the scene.

    Args:
        paths: JSON files.
        options: what is made.
        look: turn the 3D view to the camera.
        seconds: the fit took until now; the sentence then says how long it is to bodies in the scene.

    Returns:
        the sentence about it, which the panel shows as well.

    Raises:
        FitBodyError: if a result is broken or nobody is in it.
    """
    began = time.perf_counter()
    results = [read_result(path) for path in paths]
    count = 0
    warnings: list[Said | str] = []
    for result in results:
        built = builder.build(result, options, version=VERSION)
        count += len(built.armatures)
        warnings += built.warnings
        _select(built)
        if look and built.camera is not None:
            cam.look_through(built.camera)
    STATE.warnings += [text for text in warnings if text not in STATE.warnings]
    bodies = say("1 body") if count == 1 else say("{count} bodies", count=count)
    if seconds is not None:
        took = f"{seconds + time.perf_counter() - began:.1f}"
        bodies = say("{bodies} in {seconds} s", bodies=bodies, seconds=took)
    STATE.note = bodies
    return bodies


def _select(built: builder.Built) -> None:
    """The first person's body becomes the active object."""
    for item in bpy.context.view_layer.objects:
        if item.select_get():
            item.select_set(False)
    built.armatures[0].select_set(True)
    bpy.context.view_layer.objects.active = built.armatures[0]
