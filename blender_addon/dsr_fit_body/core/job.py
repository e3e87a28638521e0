# SPDX-License-Identifier: GPL-3.0-or-later
"""One request to a worker from its start to its outcome, as a state that is polled; knows nothing of Blender."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .messages import FitBodyError, Message, Sentence, message, progress_sentence, sentence, warning_sentence
from .protocol import PROTOCOL, request_line
from .worker import GRACE_PERIOD_S, Worker

HELLO_TIMEOUT_S = 90.0
"""Seconds a worker may take to say hello: Python, torch, a slow disk."""

_REQUEST_IDS = itertools.count(1)


@dataclass
class Outcome:
    """How a job ended.

    Attributes:
        results: JSON files of the results.
        message: what went wrong, or None.
        warnings: sentences, most of them the worker's.
        answers: the last answer of every kind (``check``).
        seconds: it took.
    """

    results: list[Path]
    message: Message | None
    warnings: list[Sentence | str]
    answers: dict[str, dict[str, Any]]
    seconds: float


@dataclass
class Job:
    """A request at work.

    Args:
        start_worker: makes a worker, or hands over a warm one.
        kind: ``fit`` or ``check``.
        fields: of the request.
        time_limit_s: seconds per picture or frame, 0 for none.
        hello_timeout_s: seconds the worker may take to start.
        clock: seconds, for tests.

    Attributes:
        fraction: of the work that is done, 0 to 1.
        activity: what the worker is doing, for people.
    """

    start_worker: Callable[[], Worker]
    kind: str
    fields: dict[str, Any]
    time_limit_s: float = 0.0
    hello_timeout_s: float = HELLO_TIMEOUT_S
    clock: Callable[[], float] = time.monotonic
    fraction: float = 0.0
    activity: Sentence | str = field(default_factory=lambda: sentence("Starting"))
    done: int = 0
    total: int = 0
    outcome: Outcome | None = None
    worker: Worker | None = None
    request_id: int = field(default_factory=lambda: next(_REQUEST_IDS))

    def __post_init__(self) -> None:
        self.began = self._advanced_at = self.clock()
        self._results: list[Path] = []
        self._warnings: list[Sentence | str] = []
        self._answers: dict[str, dict[str, Any]] = {}
        self._error: Message | None = None
        self._answered = False
        self._cancelled_at: float | None = None
        self._cancel_message = message("cancelled")
        self._sent = False
        self._may_restart = True
        try:
            self._begin()
        except FitBodyError as error:
            self._finish(error.message)

    @property
    def running(self) -> bool:
        """Whether it has no outcome yet."""
        return self.outcome is None

    @property
    def stopping(self) -> bool:
        """Whether it was cancelled and the worker has not stopped yet."""
        return self.running and self._cancelled_at is not None

    @property
    def seconds(self) -> float:
        """Elapsed so far."""
        return self.outcome.seconds if self.outcome else self.clock() - self.began

    def poll(self) -> Outcome | None:
        """Handle the worker's answers so far; the outcome once there is one. Never waits."""
        if self.outcome or self.worker is None:
            return self.outcome
        try:
            for answer in self.worker.answers():
                self._handle_answer(answer)
                if self.outcome:
                    return self.outcome
            if self.worker.hello and not self._sent:
                self._send_request()
            self._check_deadlines()
        except FitBodyError as error:
            self._finish(error.message)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            self._kill()
            detail = sentence("it said something that makes no sense ({error})", error=repr(error))
            self._finish(message("died", detail=detail))
        return self.outcome

    def wait(self, interval_s: float = 0.02) -> Outcome:
        """Poll until the end, for Blender without an interface."""
        while self.poll() is None:
            time.sleep(interval_s)
        assert self.outcome is not None
        return self.outcome

    def cancel(self, code: str = "cancelled") -> None:
        """Stop: the worker is asked and stays warm, or is killed where it does not stop soon.

        Args:
            code: of the message that the outcome gets.
        """
        if self.outcome or self._cancelled_at is not None:
            return
        self._cancelled_at, self._cancel_message, self.activity = self.clock(), message(code), sentence("Stopping")
        if self.worker is None or not self._sent or not self.worker.alive:
            self._kill()
            self._finish(self._cancel_message)
            return
        try:
            self.worker.send(request_line("cancel", self.request_id))
        except FitBodyError:
            self._kill()
            self._finish(self._cancel_message)

    def abandon(self, code: str = "cancelled") -> None:
        """Stop at once and kill the worker."""
        if self.outcome:
            return
        if self.worker is not None:
            self.worker.stop_now()
        self._finish(message(code))

    def _begin(self) -> None:
        self.worker = self.start_worker()
        self._sent = self._answered = False
        self._advanced_at = self.clock()
        if self.worker.hello:
            self._send_request()

    def _send_request(self) -> None:
        assert self.worker is not None and self.worker.hello is not None
        protocol = self.worker.hello.get("protocol")
        if protocol != PROTOCOL:
            self._kill()
            self._finish(message("wrong_version", detail=protocol, known=PROTOCOL))
            return
        if self.fields.get("sequence") and not self.worker.hello.get("clips"):
            self._finish(message("usage", detail=sentence("This worker fits no clips; update dsr")))
            return
        self._sent = True
        try:
            self.worker.send(request_line(self.kind, self.request_id, **self.fields))
        except FitBodyError as error:
            self._restart_or_finish(error.message)
        self._advanced_at = self.clock()

    def _handle_answer(self, answer: dict[str, Any]) -> None:
        if answer.get("id") != self.request_id:
            return
        self._answered = True
        event = answer["event"]
        self._answers[event] = answer
        if self._cancelled_at is not None and event != "done":
            return
        if event == "progress":
            self._handle_progress(answer)
        elif event == "warning":
            self._warnings.append(warning_sentence(str(answer.get("message", ""))))
        elif event == "result":
            self._advanced_at = self.clock()
            if answer.get("status") == "no_person":
                self._error = message("no_person", photo=answer.get("input", ""))
            elif answer.get("path"):
                self._results.append(Path(str(answer["path"])))
        elif event == "error":
            detail, photo = answer.get("message", ""), answer.get("input", "")
            code = str(answer.get("code", "failed"))
            if code == "extra_missing" and "PyAV" in str(detail):
                code = "no_video"
            self._error = message(code, detail=detail, photo=photo)
        elif event == "done":
            self._finish(self._cancel_message if self._cancelled_at is not None else self._final_message())

    def _final_message(self) -> Message | None:
        if self._error is not None and self._results:
            self._warnings.append(self._error.sentence)
        if self._error is None and not self._results and self.kind == "fit":
            return message("failed", detail=sentence("the worker gave no result"))
        return self._error if not self._results else None

    def _handle_progress(self, answer: dict[str, Any]) -> None:
        done, total = _integer(answer.get("done")), max(1, _integer(answer.get("total")))
        if done > self.done:
            self._advanced_at = self.clock()
        self.done, self.total = done, total
        steps = {"read": 0.2, "people": 0.5, "regressor": 0.6, "fit": 0.9, "semantic": 0.95}
        within = steps.get(str(answer.get("stage")), 0.05) if done < total else 0.0
        fraction = (done + within) / total
        if self.fields.get("sequence"):
            fraction *= 0.8  # the frames are looked at first, then everybody is fitted to all of them
        self.fraction = max(self.fraction, min(1.0, fraction))
        if answer.get("text"):
            self.activity = progress_sentence(str(answer["text"]))

    def _check_deadlines(self) -> None:
        """Deadlines, and a worker that has ended."""
        if self.outcome or self.worker is None:
            return
        now = self.clock()
        if self._cancelled_at is not None:
            if now - self._cancelled_at > GRACE_PERIOD_S or not self.worker.alive:
                self._kill()
                self._finish(self._cancel_message)
        elif not self.worker.alive:
            self._worker_ended()
        elif not self._sent and now - self._advanced_at > self.hello_timeout_s:
            self._kill()
            self._finish(message("hello_timeout", detail=f"{self.hello_timeout_s:g}"))
        elif self._sent and self.time_limit_s > 0 and now - self._advanced_at > self._time_limit():
            self._kill()
            self._finish(message("time_limit", detail=f"{self._time_limit():g}"))

    def _time_limit(self) -> float:
        """Seconds for one picture, one frame, or for fitting everybody to all frames of a clip at the end."""
        if self.fields.get("sequence") and self.total and self.done >= self.total:
            return self.time_limit_s + 2.0 * self.total
        return self.time_limit_s

    def _worker_ended(self) -> None:
        assert self.worker is not None
        for answer in self.worker.answers():
            self._handle_answer(answer)
        if self.outcome is None:
            code = "died" if self.worker.hello else "cannot_start"
            self._restart_or_finish(message(code, detail=self.worker.last_log_line()))

    def _restart_or_finish(self, error: Message) -> None:
        """A warm worker may have ended for idleness just before the request: once it is started anew."""
        warm = self.worker is not None and self.worker.hello is not None and not self._answered
        self._kill()
        if warm and self._may_restart:
            self._may_restart = False
            self._begin()
        else:
            self._finish(error)

    def _kill(self) -> None:
        if self.worker is not None:
            self.worker.stop()

    def _finish(self, error: Message | None) -> None:
        results = [] if error else self._results
        self.outcome = Outcome(results, error, self._warnings, self._answers, self.clock() - self.began)


def _integer(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and abs(value) < 1e9 else 0
