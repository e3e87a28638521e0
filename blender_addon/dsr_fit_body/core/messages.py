# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages for the user: one translatable sentence per situation, and the one button that helps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
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
    "INSTALL": "Install",
    "VIDEO": "Install Video Support",
}
"""Fix codes and the label of their button; "" is no button."""

_MESSAGES = {
    "no_python": ("Set the Python of your body-fitting environment", "PREFERENCES"),
    "install_failed": ("The installation stopped: {detail}; what was downloaded is kept", "INSTALL"),
    "install_cancelled": ("Installation cancelled; what was downloaded is kept", "INSTALL"),
    "no_video": ("{detail}", "VIDEO"),
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
    """A warning of the worker as a sentence: people as the scene calls them, translatable where it is a known one."""
    named = re.fullmatch(r"(p\d+): (.*)", text, re.S)
    if named is not None:
        return Sentence(_PERSON, {"numbers": str(person_number(named[1])), "text": _known_warning(named[2])})
    return _known_warning(text)


_PERSON, _PEOPLE = "Person {numbers}: {text}", "People {numbers}: {text}"
_WARNINGS = {
    r"(?P<number>\d+) of (?P<count>\d+) people skipped: score below (?P<limit>[\d.]*\d)\.?": (
        "{number} of {count} people skipped: score below {limit}"
    ),
    r"Not seen in (?P<number>\d+) of (?P<count>\d+) frames; the pose there is filled in\.?": (
        "Not seen in {number} of {count} frames; the pose there is filled in"
    ),
    r"The legs are hidden or outside the picture; their pose is a guess\.?": (
        "The legs are hidden or outside the picture; their pose is a guess"
    ),
    r"The person is cut by the border of the picture\.?": "The person is cut by the border of the picture",
    r"No foot was found resting on the ground: the camera moves, or the feet are hidden\.?": (
        "No foot was found resting on the ground: the camera moves, or the feet are hidden"
    ),
}
"""Pattern of a worker's warning -> the sentence with its values."""


def _known_warning(text: str) -> Sentence | str:
    for pattern, template in _WARNINGS.items():
        match = re.fullmatch(pattern, text)
        if match is not None:
            return Sentence(template, match.groupdict())
    return re.sub(r"\bp(\d+)\b", lambda match: f"Person {person_number(match[0])}", text)


def person_number(name: str) -> int:
    """How people are counted for people: ``p0`` is person 1."""
    digits = re.fullmatch(r"p(\d+)", name)
    return int(digits[1]) + 1 if digits else 1


def merged_warnings(warnings: Iterable[Sentence | str]) -> list[Sentence | str]:
    """Every warning once; what is said of several people is said of them together."""
    merged: dict[str, Sentence | str] = {}
    people: dict[str, list[str]] = {}
    for warning in warnings:
        if isinstance(warning, Sentence) and warning.template in (_PERSON, _PEOPLE):
            key = f": {warning.values['text']}"
            numbers = people.setdefault(key, [])
            numbers += [n for n in str(warning.values["numbers"]).split(", ") if n not in numbers]
            numbers.sort(key=int)
            template = _PERSON if len(numbers) == 1 else _PEOPLE
            merged[key] = Sentence(template, {"numbers": ", ".join(numbers), "text": warning.values["text"]})
        else:
            merged.setdefault(str(warning), warning)
    return list(merged.values())


def templates() -> set[str]:
    """Every sentence and label of this module."""
    warnings = {_PERSON, _PEOPLE, *_WARNINGS.values()}
    return {text for text, _ in _MESSAGES.values()} | set(FIXES.values()) - {""} | set(WORKER_STEPS) | warnings
