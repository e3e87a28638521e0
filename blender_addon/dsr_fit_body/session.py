# SPDX-License-Identifier: GPL-3.0-or-later
"""The one job at a time and the warm worker of this Blender, polled by a timer; what the panel shows of them."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import bpy

from . import compat
from .core.job import Job, Outcome
from .core.messages import FitBodyError, Message, Sentence, merged_warnings, message
from .core.protocol import request_line
from .core.runtime import Installation
from .core.worker import GRACE_PERIOD_S, Worker, clean_environment

TICK_S = 0.02
MIN_INTERVAL_S, MAX_INTERVAL_S = 0.1, 1.5
"""Bounds of the time between two drawings of the panel while a job runs."""
MAX_DRAW_FRACTION = 0.15
"""Largest part of the time that drawing may take."""


class RedrawLimiter:
    """Limits how often the panel is drawn while a job runs: as often as it changes where that is cheap, and on a slow
    machine so seldom that drawing takes a small part of the time. What drawing costs shows in how late the timer is.
    """

    def __init__(self) -> None:
        self.cost_s = 0.0
        self._requested_at: float | None = None
        self._not_before = 0.0

    def should_draw(self, now: float, changed: bool, force: bool = False) -> bool:
        """Called at every tick: whether to draw now.

        Args:
            now: seconds.
            changed: there is something new to see.
            force: draw whatever it costs, as at the end.
        """
        if self._requested_at is not None:
            self.cost_s = max(0.0, now - self._requested_at - TICK_S)
            pause = min(max(MIN_INTERVAL_S, self.cost_s / MAX_DRAW_FRACTION), MAX_INTERVAL_S)
            self._not_before, self._requested_at = self._requested_at + pause, None
        if force or (changed and now >= self._not_before):
            self._requested_at = now
            return True
        return False


@dataclass
class State:
    """What is going on, and what the panel says about it.

    Attributes:
        job: at work, or None.
        on_done: takes the outcome when the job is over.
        worker: kept warm between jobs.
        message: of the last thing that went wrong.
        note: of the last thing that went well.
        warnings: sentences.
        ticks: of the timer since the job began.
        drawn: what the panel showed last.
        limiter: of redraws.
        checks: lines of the last check, (status, text).
        installation: at work, or None.
        install_log: last lines of one that failed.
        ready_for: what the worker was told to get ready for: the worker, the request's number, its fields.
    """

    job: Job | None = None
    on_done: Callable[[Outcome], None] | None = None
    worker: Worker | None = None
    message: Message | None = None
    note: Sentence | str = ""
    warnings: list[Sentence | str] = field(default_factory=list)
    ticks: int = 0
    drawn: tuple[object, ...] | None = None
    limiter: RedrawLimiter = field(default_factory=RedrawLimiter)
    checks: list[tuple[str, str]] = field(default_factory=list)
    installation: Installation | None = None
    install_log: list[str] = field(default_factory=list)
    ready_for: tuple[Worker, str, dict[str, Any]] | None = None


STATE = State()
_READY_IDS = itertools.count(1)


def start_job(
    command: list[str], kind: str, fields: dict[str, Any], time_limit_s: float, on_done: Callable[[Outcome], None]
) -> None:
    """Begin a job; in the background it is finished before this returns.

    Args:
        command: of the worker.
        kind: ``fit`` or ``check``.
        fields: of the request.
        time_limit_s: seconds per picture, 0 for none.
        on_done: called with the outcome, in Blender's main thread.
    """
    STATE.message, STATE.note, STATE.warnings, STATE.ticks, STATE.limiter = None, "", [], 0, RedrawLimiter()
    STATE.on_done = on_done
    ready = STATE.ready_for
    if ready is not None and ready[2]["inputs"] != fields.get("inputs", [])[: len(ready[2]["inputs"])]:
        _leave_off()
    STATE.job = Job(lambda: _warm_worker(command), kind, fields, time_limit_s)
    if bpy.app.background:
        STATE.job.wait()
        _finish_job()
    elif not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=TICK_S, persistent=True)


def get_ready(command: list[str], fields: dict[str, Any]) -> None:
    """Start the worker and tell it what will be asked for, unless it knows; it loads, and looks at the picture.

    Args:
        command: of the worker.
        fields: ``inputs``, the picture if it is known, and ``options`` of the fit.

    Raises:
        FitBodyError: if the worker cannot be started.
    """
    worker = _warm_worker(command)
    if STATE.ready_for is not None and STATE.ready_for[::2] == (worker, fields):
        return
    _leave_off()
    number = f"ready {next(_READY_IDS)}"
    worker.send(request_line("prepare", number, **fields))
    STATE.ready_for = (worker, number, fields)


def _leave_off() -> None:
    """The worker need not get ready for what it was told; it takes note between two steps."""
    ready, STATE.ready_for = STATE.ready_for, None
    if ready is not None and ready[0].alive:
        with contextlib.suppress(FitBodyError):
            ready[0].send(request_line("cancel", ready[1]))


def start_installation(installation: Installation, on_done: Callable[[Installation], None]) -> None:
    """Begin an installation; in the background it is finished before this returns.

    Raises:
        FitBodyError: if the disk has no room.
    """
    installation.start()
    STATE.message, STATE.note, STATE.installation = None, "", installation

    def poll() -> float | None:
        redraw(preferences=True)
        if not installation.finished:
            return MIN_INTERVAL_S * 3
        STATE.installation, STATE.message = None, installation.message
        STATE.install_log = list(installation.log) if installation.message is not None else []
        if installation.message is None:
            on_done(installation)
        redraw(preferences=True)
        return None

    if bpy.app.background:
        installation.wait()
        poll()
    else:
        bpy.app.timers.register(poll, first_interval=MIN_INTERVAL_S, persistent=True)


def running() -> bool:
    """Whether a job is at work."""
    return STATE.job is not None


def cancel(code: str = "cancelled") -> None:
    """Stop the job; the worker stays warm where it stops in time."""
    if STATE.job is not None:
        STATE.job.cancel(code)
        if bpy.app.background:
            STATE.job.wait()
            _finish_job()


def shut_down(code: str = "cancelled") -> None:
    """Stop the job and end the worker; for disabling the add-on and for leaving Blender."""
    job, STATE.job, STATE.on_done = STATE.job, None, None
    if STATE.installation is not None:
        STATE.installation.cancel()
        STATE.installation.wait(GRACE_PERIOD_S)
    if job is not None:
        job.abandon(code)
        STATE.message = message(code)
    worker, STATE.worker, STATE.ready_for = STATE.worker, None, None
    if worker is not None:
        worker.stop_now()
    with contextlib.suppress(ValueError):
        if bpy.app.timers.is_registered(_tick):
            bpy.app.timers.unregister(_tick)


def show_message(message: Message) -> None:
    """Show a message in the panel."""
    STATE.message = message
    redraw()


def redraw(preferences: bool = False) -> None:
    """Draw the sidebars again, and only those: the whole view would take twice as long; or preferences as well."""
    manager = bpy.context.window_manager
    for window in manager.windows if manager else ():
        for area in window.screen.areas:
            if preferences and area.type == "PREFERENCES":
                area.tag_redraw()
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def _warm_worker(command: list[str]) -> Worker:
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
            _finish_job()
    finally:
        job = STATE.job
        current = (str(job.activity), round(50 * job.fraction), int(10 * job.seconds), job.stopping) if job else None
        if STATE.limiter.should_draw(time.monotonic(), current != STATE.drawn or job is None, job is None):
            STATE.drawn = current
            redraw()
    return TICK_S if STATE.job is not None else None


def _finish_job() -> None:
    job, on_done = STATE.job, STATE.on_done
    STATE.job, STATE.on_done = None, None
    if job is None or job.outcome is None:
        return
    if STATE.worker is not None and not STATE.worker.alive:
        STATE.worker = None
    STATE.warnings = merged_warnings(job.outcome.warnings)
    STATE.message = job.outcome.message
    if on_done is None:
        return
    window = compat.interface_window()
    if window is None:
        on_done(job.outcome)
        return
    with bpy.context.temp_override(window=window):
        on_done(job.outcome)


@bpy.app.handlers.persistent
def _before_load(*_: Any) -> None:
    """Another file is opened: what the job was for is gone, and so are the bodies of the notes."""
    STATE.note, STATE.warnings = "", []
    if STATE.job is not None:
        STATE.on_done = None
        STATE.job.cancel("file_loaded")


@bpy.app.handlers.persistent
def _after_load(*_: Any) -> None:
    """The scene that Blender's context belonged to is gone."""
    compat.renew_context()


@bpy.app.handlers.persistent
def _after_undo(*_: Any) -> None:
    """The bodies that the panel's note is about may be gone; an undo of earlier steps makes new scenes."""
    STATE.note, STATE.warnings = "", []
    compat.renew_context()


_HANDLERS = {
    "load_pre": _before_load,
    "load_post": _after_load,
    "undo_post": _after_undo,
    "redo_post": _after_load,
}


def register() -> None:
    """Handlers that stop a job when another file is opened, and clear the panel's note after an undo."""
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
