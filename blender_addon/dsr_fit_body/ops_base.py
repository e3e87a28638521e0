# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators have in common: failures become a sentence, and some need a body."""

from __future__ import annotations

from typing import Any

from . import i18n, session
from .builders import shape
from .core.messages import FitBodyError, Said, say


class Guarded:
    """Operators whose failures become one sentence, in the report and in the panel."""

    def execute(self, context: Any) -> set[str]:
        """Blender's entry; the work is in ``run``."""
        try:
            return self.run(context) or {"FINISHED"}
        except FitBodyError as error:
            session.tell(error.message)
            return self.refuse(error.message.said, "ERROR")

    def tell(self, said: Said, level: str = "INFO") -> None:
        """Report a sentence in the user's language."""
        self.report({level}, i18n.words(said))

    def refuse(self, said: Said, level: str = "WARNING") -> set[str]:
        """Report why nothing was done."""
        self.tell(said, level)
        return {"CANCELLED"}

    @classmethod
    def allow(cls, allowed: bool, why_not: Said) -> bool:
        """For ``poll``: the answer, with the reason for the tooltip of a button that is off."""
        if not allowed:
            cls.poll_message_set(i18n.words(why_not))
        return allowed


class OnBody(Guarded):
    """Changes the body that the active object belongs to: ``work(context, armature, mesh_object)``."""

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Whether there is one."""
        return cls.allow(shape.body_parts(context.active_object) is not None, say("Select a fitted body"))

    def run(self, context: Any) -> set[str] | None:
        """With the two objects of the body."""
        return self.work(context, *shape.body_parts(context.active_object))
