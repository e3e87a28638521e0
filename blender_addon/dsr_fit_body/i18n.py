# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on in other languages: Blender looks the words up, sentences with blanks are put together here."""

from __future__ import annotations

import bpy

from .core.messages import Said
from .languages import languages

_NAME = __package__


def words(said: Said | str) -> str:
    """A sentence in the language of Blender's interface; plain text as it is."""
    if not isinstance(said, Said):
        return said
    return said.words(bpy.app.translations.pgettext_iface)


def table() -> dict[str, dict[tuple[str, str], str]]:
    """All languages as Blender takes them: operators' names are looked up in a context of their own."""
    contexts = bpy.app.translations.contexts
    kinds = (contexts.default, contexts.operator_default)
    return {
        language: {(kind, english): text for english, text in own.items() for kind in kinds}
        for language, own in languages().items()
    }


def register() -> None:
    """Hand the words to Blender; twice is harmless."""
    unregister()
    bpy.app.translations.register(_NAME, table())


def unregister() -> None:
    """Take them away; Blender does not mind where there are none."""
    bpy.app.translations.unregister(_NAME)
