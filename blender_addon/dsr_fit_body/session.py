# SPDX-License-Identifier: GPL-3.0-or-later
"""The one job at a time and the warm worker of this Blender, polled by a timer; what the panel shows of them."""

from __future__ import annotations

import atexit
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import bpy

from . import compat
from .core.job import Job, Outcome
from .core.messages import Message, Said, message
from .core.worker import Worker, clean_environment

TICK_S = 0.05
SHORTEST_S, LONGEST_S = 0.1, 1.5
"""Bounds of the time between two drawings of the panel while a job runs."""
DRAW_SHARE = 0.15
"""Share of the time that drawing may take."""


class Pace:
    """How often the panel is drawn while a job runs: as often as it changes where that is cheap, and where the machine
    is slow so seldom that drawing takes a small share of the time. What drawing costs shows in how late the timer is.
    """

    def __init__(self) -> None:
        self.cost_s = 0.0
        self._asked_at: float | None = None
        self._not_before = 0.0

    def may_draw(self, now: float, changed: bool, at_once: bool = False) -> bool:
        """Called at every tick: whether to draw now.

        Args:
            now: seconds.
            changed: there is something new to see.
            at_once: draw whatever it costs, as at the end.
        """
        if self._asked_at is not None:
            self.cost_s = max(0.0, now - self._asked_at - TICK_S)
            pause = min(max(SHORTEST_S, self.cost_s / DRAW_SHARE), LONGEST_S)
            self._not_before, self._asked_at = self._asked_at + pause, None
        if at_once or (changed and now >= self._not_before):
            self._asked_at = now
            return True
        return False


@dataclass
class State:
    """What is going on, and what the panel says about it.

    Attributes:
        job: at work, or None.
        finish: takes the outcome when the job is over.
        worker: kept warm between jobs.
        message: of the last thing that went wrong.
        note: of the last thing that went well.
        warnings: sentences.
        ticks: of the timer since the job began.
        shown: what the panel showed last.
        pace: of drawing.
        checks: lines of the last check, (status, text).
    """

    job: Job | None = None
    finish: Callable[[Outcome], None] | None = None
    worker: Worker | None = None
    message: Message | None = None
    note: Said | str = ""
    warnings: list[Said | str] = field(default_factory=list)
    ticks: int = 0
    shown: tuple[object, ...] | None = None
    pace: Pace = field(default_factory=Pace)
    checks: list[tuple[str, str]] = field(default_factory=list)


STATE = State()


def start_job(
    command: list[str], kind: str, fields: dict[str, Any], limit_s: float, finish: Callable[[Outcome], None]
) -> None:
    """Begin a job; in the background it is finished before this returns.

    Args:
        command: of the worker.
        kind: ``fit`` or ``check``.
        fields: of the request.
        limit_s: seconds per picture, 0 for none.
        finish: called with the outcome, in Blender's main thread.
    """
    STATE.message, STATE.note, STATE.warnings, STATE.ticks, STATE.pace = None, "", [], 0, Pace()
    STATE.finish = finish
    STATE.job = Job(lambda: _worker(command), kind, fields, limit_s)
    if bpy.app.background:
        STATE.job.wait()
        _close()
    elif not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=TICK_S, persistent=True)


def running() -> bool:
    """Whether a job is at work."""
    return STATE.job is not None


def cancel(why: str = "cancelled") -> None:
    """Stop the job; the worker stays warm where it lets go in time."""
    if STATE.job is not None:
        STATE.job.cancel(why)
        if bpy.app.background:
            STATE.job.wait()
            _close()


def shut_down(why: str = "cancelled") -> None:
    """Stop the job and end the worker; for disabling the add-on and for leaving Blender."""
    job, STATE.job, STATE.finish = STATE.job, None, None
    if job is not None:
        job.abandon(why)
        STATE.message = message(why)
    worker, STATE.worker = STATE.worker, None
    if worker is not None:
        worker.stop_now()
    with contextlib.suppress(ValueError):
        if bpy.app.timers.is_registered(_tick):
            bpy.app.timers.unregister(_tick)


def tell(said: Message) -> None:
    """Put a sentence into the panel's box."""
    STATE.message = said
    redraw()


def redraw() -> None:
    """Draw the sidebars again, and only those: the whole view would take twice as long."""
    manager = bpy.context.window_manager
    for window in manager.windows if manager else ():
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def _worker(command: list[str]) -> Worker:
    """The warm worker if it is the right one, else a new one."""
    warm = STATE.worker
    if warm is not None:
        if warm.alive and warm.command == command:
            return warm
        warm.stop()
    STATE.worker = Worker(command, environment=clean_environment())
    return STATE.worker


def _tick() -> float | None:
    """The timer: threads never touch Blender, this does."""
    if STATE.job is None:
        return None
    STATE.ticks += 1
    try:
        if STATE.job.poll() is not None:
            _close()
    finally:
        job = STATE.job
        shown = (str(job.doing), round(50 * job.share), int(10 * job.seconds), job.stopping) if job else None
        if STATE.pace.may_draw(time.monotonic(), shown != STATE.shown or job is None, job is None):
            STATE.shown = shown
            redraw()
    return TICK_S if STATE.job is not None else None


def _close() -> None:
    job, finish = STATE.job, STATE.finish
    STATE.job, STATE.finish = None, None
    if job is None or job.outcome is None:
        return
    if STATE.worker is not None and not STATE.worker.alive:
        STATE.worker = None
    STATE.warnings = list(job.outcome.warnings)
    STATE.message = job.outcome.message
    if finish is None:
        return
    window = compat.interface_window()
    if window is None:
        finish(job.outcome)
        return
    with bpy.context.temp_override(window=window):
        finish(job.outcome)


@bpy.app.handlers.persistent
def _before_load(*_: Any) -> None:
    """Another file is opened: what the job was for is gone."""
    if STATE.job is not None:
        STATE.finish = None
        STATE.job.cancel("file_loaded")


@bpy.app.handlers.persistent
def _after_undo(*_: Any) -> None:
    """The bodies that the panel tells of may be gone."""
    STATE.note, STATE.warnings = "", []


_HANDLERS = {"load_pre": _before_load, "undo_post": _after_undo}


def register() -> None:
    """Handlers that stop a job, and that forget what is no longer so."""
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).append(handler)
    atexit.register(shut_down)


def unregister() -> None:
    """Stop everything."""
    shut_down()
    atexit.unregister(shut_down)
    for name, handler in _HANDLERS.items():
        if handler in getattr(bpy.app.handlers, name):
            getattr(bpy.app.handlers, name).remove(handler)
