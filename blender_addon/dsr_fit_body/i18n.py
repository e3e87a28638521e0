# SPDX-License-Identifier: GPL-3.0-or-later
"""Translations in Blender: it looks texts up, and sentences with placeholders are put together here."""

from __future__ import annotations

import bpy

from .core.messages import Sentence
from .languages import translations

_NAME = __package__


def translate(text: Sentence | str) -> str:
    """A sentence in the language of Blender's interface; plain text as it is."""
    if not isinstance(text, Sentence):
        return text
    return text.translated(bpy.app.translations.pgettext_iface)


def translations_dict() -> dict[str, dict[tuple[str, str], str]]:
    """All languages as Blender takes them; it looks names of operators up in a separate context."""
    contexts = bpy.app.translations.contexts
    kinds = (contexts.default, contexts.operator_default)
    return {
        language: {(kind, english): text for english, text in texts.items() for kind in kinds}
        for language, texts in translations().items()
    }


def register() -> None:
    """Hand the translations to Blender; twice is harmless."""
    unregister()
    bpy.app.translations.register(_NAME, translations_dict())


def unregister() -> None:
    """Take them away; Blender does not mind where there are none."""
    bpy.app.translations.unregister(_NAME)
