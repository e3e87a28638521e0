# SPDX-License-Identifier: GPL-3.0-or-later
"""Base classes of operators: failures become a sentence, and some operators need a body."""

from __future__ import annotations

from typing import Any

from .. import i18n, session
from ..builders import shape
from ..builders.armature import missing_bones
from ..core.messages import FitBodyError, Sentence, sentence


class AddonOperator:
    """Operators whose failures become one sentence, in the report and in the panel."""

    def execute(self, context: Any) -> set[str]:
        """Blender's entry; the work is in ``run``."""
        try:
            return self.run(context) or {"FINISHED"}
        except FitBodyError as error:
            session.show_message(error.message)
            return self.refuse(error.message.sentence, "ERROR")

    def inform(self, text: Sentence, level: str = "INFO") -> None:
        """Report a sentence in the user's language."""
        self.report({level}, i18n.translate(text))

    def refuse(self, text: Sentence, level: str = "WARNING") -> set[str]:
        """Report why nothing was done."""
        self.inform(text, level)
        return {"CANCELLED"}

    @classmethod
    def poll_with_reason(cls, allowed: bool, reason: Sentence) -> bool:
        """For ``poll``: the answer, with the reason for the tooltip of a button that is off."""
        if not allowed:
            cls.poll_message_set(i18n.translate(reason))
        return allowed


class BodyOperator(AddonOperator):
    """Changes the body that the active object belongs to: ``run_on_body(context, armature, mesh_object)``.

    Attributes:
        needs_bones: refused where bones of the body's joints were removed.
    """

    needs_bones = True

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Whether there is one."""
        return cls.poll_with_reason(
            shape.body_objects(context.active_object) is not None, sentence("Select a fitted body")
        )

    def run(self, context: Any) -> set[str] | None:
        """With the two objects of the body."""
        armature, mesh_object = shape.body_objects(context.active_object)
        missing = missing_bones(armature) if self.needs_bones else []
        if missing:
            text = sentence(
                "Bones of this body were removed ({bones}); undo that, or fit again", bones=", ".join(missing)
            )
            return self.refuse(text)
        return self.run_on_body(context, armature, mesh_object)
