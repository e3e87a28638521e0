# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages for the user: one translatable sentence per situation, and the one button that helps."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FIXES = {
    "": "",
    "PREFERENCES": "Open Preferences",
    "CHECK": "Check Runtime",
    "LOCATE_MODEL": "Locate Body Model",
    "LOWER_SCORE": "Score 0.3 and Retry",
    "CPU": "Switch to CPU",
    "RETRY": "Try Again",
}
"""Fix codes and the label of their button; "" is no button."""

_MESSAGES = {
    "no_python": ("Set the Python of your body-fitting environment", "PREFERENCES"),
    "cannot_start": ("Could not start the worker: {detail}", "CHECK"),
    "died": ("The worker stopped: {detail}", "CHECK"),
    "wrong_version": ("The worker speaks protocol {detail}, this add-on {known}; update the older of the two", "CHECK"),
    "hello_timeout": ("The worker did not answer within {detail} s", "CHECK"),
    "model_missing": ("Body model not found: {detail}", "LOCATE_MODEL"),
    "no_photo": ("Choose a photo first", ""),
    "photo_missing": ('There is no file "{photo}"', ""),
    "no_pixels": ('The picture "{photo}" is empty: render it, or open it again', ""),
    "unreadable": ('Cannot read photo "{photo}" (unsupported or damaged)', ""),
    "no_person": ('No person found in "{photo}"; lower the score limit or crop the photo', "LOWER_SCORE"),
    "out_of_memory": ("Not enough GPU memory; run on the CPU", "CPU"),
    "out_of_memory_cpu": ("Not enough memory: {detail}", "RETRY"),
    "time_limit": ("Stopped after {detail} s; raise the limit in Preferences", "PREFERENCES"),
    "cancelled": ("Fit cancelled; the scene was not changed", ""),
    "newer_schema": ("Result written by a newer worker (schema {detail}); update the add-on", ""),
    "file_loaded": ("Job stopped because another file was opened", ""),
    "usage": ("{detail}", ""),
    "extra_missing": ("{detail}", "CHECK"),
    "failed": ("The fit failed: {detail}", "RETRY"),
    "bad_result": ("{detail}", ""),
    "build_failed": ("The bodies could not be built: {detail}", ""),
}

WORKER_STEPS = ("loading models", "reading", "people", "bodies", "refining and writing", "writing", "done")
"""Steps in the worker's progress answers, after the picture's name."""


@dataclass(frozen=True)
class Sentence:
    """A template and the values of its placeholders, so that it can be translated; ``str()`` is the English sentence.

    Attributes:
        template: English, with ``{name}`` for every placeholder.
        values: of the placeholders; may be sentences themselves.
    """

    template: str
    values: Mapping[str, object] = field(default_factory=dict)

    def translated(self, translate: Callable[[str], str] = str) -> str:
        """The sentence with its template, and the sentences among its values, translated."""
        filled = {k: v.translated(translate) if isinstance(v, Sentence) else v for k, v in self.values.items()}
        return translate(self.template).format(**filled)

    def __str__(self) -> str:
        return self.translated()


def sentence(template: str, **values: object) -> Sentence:
    """A sentence; every template in a call of this function has an entry in the language files."""
    return Sentence(template, values)


@dataclass(frozen=True)
class Message:
    """A sentence for the user.

    Attributes:
        code: what happened.
        sentence: for the user.
        fix: a key of :data:`FIXES`.
    """

    code: str
    sentence: Sentence
    fix: str = ""

    @property
    def text(self) -> str:
        """The sentence in English."""
        return str(self.sentence)


class FitBodyError(Exception):
    """A failure that is shown to the user; carries the :class:`Message`."""

    def __init__(self, code: str, **values: object) -> None:
        self.message = message(code, **values)
        super().__init__(self.message.text)


def message(code: str, **values: object) -> Message:
    """The message of a situation; an unknown code becomes ``failed`` with its detail.

    Args:
        code: a key of the table or an error code of the worker.
        values: of the placeholders: ``photo`` (a path), ``detail`` (text or a sentence), ``known``.
    """
    if code not in _MESSAGES:
        values.setdefault("detail", code)
        code = "failed"
    template, fix = _MESSAGES[code]
    detail = values.get("detail", "")
    if not isinstance(detail, Sentence):
        detail = str(detail).strip().rstrip(".") or sentence("no reason given")
    filled = {"known": "", **values, "detail": detail, "photo": Path(str(values.get("photo", ""))).name}
    return Message(code, Sentence(template, filled), fix)


def progress_sentence(text: str) -> Sentence | str:
    """The text of a progress answer as a sentence: ``photo.jpg: people``, ``clip: frame 7``."""
    title, colon, step = text.rpartition(": ")
    frame = re.fullmatch(r"frame (\d+)", step)
    if frame:
        activity: Sentence | str = sentence("frame {number}", number=frame.group(1))
    else:
        activity = Sentence(step) if step in WORKER_STEPS else step
    return sentence("{photo}: {step}", photo=title, step=activity) if colon else activity


def warning_sentence(text: str) -> Sentence | str:
    """A warning of the worker as a sentence, where it is one that can be translated."""
    weak = re.fullmatch(r"(\d+) of (\d+) people skipped: score below ([\d.]*\d)\.?", text)
    if weak is None:
        return text
    number, count, limit = weak.groups()
    return sentence("{number} of {count} people skipped: score below {limit}", number=number, count=count, limit=limit)


def templates() -> set[str]:
    """Every sentence and label of this module."""
    return {text for text, _ in _MESSAGES.values()} | set(FIXES.values()) - {""} | set(WORKER_STEPS)
