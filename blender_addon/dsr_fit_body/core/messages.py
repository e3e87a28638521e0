# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user is told: one sentence per situation, and the one button that helps."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Message:
    """A sentence for the user.

    Attributes:
        code: what happened.
        text: one sentence.
        fix: a key of :data:`FIXES`.
    """

    code: str
    text: str
    fix: str = ""


class FitBodyError(Exception):
    """Something the user is told in a sentence; carries the :class:`Message`."""

    def __init__(self, code: str, **values: object) -> None:
        self.message = message(code, **values)
        super().__init__(self.message.text)


def message(code: str, **values: object) -> Message:
    """The message of a situation; an unknown code becomes ``failed`` with its detail.

    Args:
        code: a key of the table or an error code of the worker.
        values: ``photo`` (a path), ``detail``, ``known``, as the sentence needs them.
    """
    if code not in _TABLE:
        values.setdefault("detail", code)
        code = "failed"
    text, fix = _TABLE[code]
    filled = {"detail": "no reason given", "known": "", "photo": "", **values}
    filled["photo"] = Path(str(filled["photo"])).name
    filled["detail"] = str(filled["detail"]).strip().rstrip(".") or "no reason given"
    return Message(code, text.format(**filled), fix)
