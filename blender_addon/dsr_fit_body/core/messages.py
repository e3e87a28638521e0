# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user is told: one sentence per situation, and the one button that helps."""

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

_TABLE = {
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

STEPS = ("loading models", "reading", "people", "bodies", "refining and writing", "writing", "done")
"""What the worker says it is doing, behind the picture's name."""


@dataclass(frozen=True)
class Said:
    """A sentence with its blanks apart, so that it can be said in another language; ``str()`` is the English one.

    Attributes:
        template: English, with ``{name}`` for every blank.
        values: what goes into the blanks; may be sentences themselves.
    """

    template: str
    values: Mapping[str, object] = field(default_factory=dict)

    def words(self, translate: Callable[[str], str] = str) -> str:
        """The sentence, its template and those within it translated."""
        filled = {k: v.words(translate) if isinstance(v, Said) else v for k, v in self.values.items()}
        return translate(self.template).format(**filled)

    def __str__(self) -> str:
        return self.words()


def say(template: str, **values: object) -> Said:
    """A sentence; every template written in a call of this is translated."""
    return Said(template, values)


@dataclass(frozen=True)
class Message:
    """A sentence for the user.

    Attributes:
        code: what happened.
        said: one sentence.
        fix: a key of :data:`FIXES`.
    """

    code: str
    said: Said
    fix: str = ""

    @property
    def text(self) -> str:
        """The sentence in English."""
        return str(self.said)


class FitBodyError(Exception):
    """Something the user is told in a sentence; carries the :class:`Message`."""

    def __init__(self, code: str, **values: object) -> None:
        self.message = message(code, **values)
        super().__init__(self.message.text)


def message(code: str, **values: object) -> Message:
    """The message of a situation; an unknown code becomes ``failed`` with its detail.

    Args:
        code: a key of the table or an error code of the worker.
        values: ``photo`` (a path), ``detail`` (text or a sentence), ``known``, as the sentence needs them.
    """
    if code not in _TABLE:
        values.setdefault("detail", code)
        code = "failed"
    template, fix = _TABLE[code]
    detail = values.get("detail", "")
    if not isinstance(detail, Said):
        detail = str(detail).strip().rstrip(".") or say("no reason given")
    filled = {"known": "", **values, "detail": detail, "photo": Path(str(values.get("photo", ""))).name}
    return Message(code, Said(template, filled), fix)


def progress(text: str) -> Said | str:
    """What the worker says it is doing, as a sentence: ``photo.jpg: people``, ``clip: frame 7``."""
    title, colon, step = text.rpartition(": ")
    frame = re.fullmatch(r"frame (\d+)", step)
    if frame:
        doing: Said | str = say("frame {number}", number=frame.group(1))
    else:
        doing = Said(step) if step in STEPS else step
    return say("{photo}: {step}", photo=title, step=doing) if colon else doing


def warning(text: str) -> Said | str:
    """A warning of the worker, as a sentence where it is one that is known."""
    weak = re.fullmatch(r"(\d+) of (\d+) people skipped: score below ([\d.]*\d)\.?", text)
    if weak is None:
        return text
    number, count, limit = weak.groups()
    return say("{number} of {count} people skipped: score below {limit}", number=number, count=count, limit=limit)


def templates() -> set[str]:
    """Every sentence and label of this module."""
    return {text for text, _ in _TABLE.values()} | set(FIXES.values()) - {""} | set(STEPS)
