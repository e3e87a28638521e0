# SPDX-License-Identifier: GPL-3.0-or-later
"""Translations of the add-on's texts: gettext's ``.po`` files beside this one, named as Blender names languages.

The code has the English texts. A new language is one more file; a test lists the texts it lacks.
"""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent

UNTRANSLATED = frozenset(
    (
        "Alembic (.abc)",
        "CPU",
        "FBX (.fbx)",
        "GPU",
        "Mixamo",
        "Python",
        "Rigify",
        "SMPL",
        "USD (.usdc)",
        "glTF (.glb)",
        "left_knee",
        "mixamorig:LeftLeg",
        "shin.L",
        "{detail}",
    )
)
"""Texts that are the same in every language."""

_ENTRY = re.compile(r'^msgid "(.*)"\nmsgstr "(.*)"$', re.M)


def read_po(path: Path) -> dict[str, str]:
    """English text -> text, from a ``.po`` file with one line per text; what has no text yet is left out."""
    pairs = _ENTRY.findall(path.read_text(encoding="utf-8"))
    return {_plain(english): _plain(text) for english, text in pairs if english and text}


def translations() -> dict[str, dict[str, str]]:
    """Language -> English text -> text. Blender takes ``de`` for ``de_DE`` and every other German."""
    return {path.stem: read_po(path) for path in sorted(FOLDER.glob("*.po"))}


def _plain(text: str) -> str:
    return text.replace('\\"', '"').replace("\\\\", "\\")
