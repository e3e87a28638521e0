# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's words in other languages: gettext's ``.po`` files beside this one, named as Blender names languages.

English is what the code says. A new language is one more file; a test says which words are missing.
"""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent

SAME = frozenset(
    (
        "Alembic (.abc)", "CPU", "FBX (.fbx)", "GPU", "Mixamo", "Python", "Rigify", "SMPL", "USD (.usdc)",
        "glTF (.glb)", "left_knee", "mixamorig:LeftLeg", "shin.L", "{detail}",
    )
)  # fmt: skip
"""Names that are the same in every language."""

_ENTRY = re.compile(r'^msgid "(.*)"\nmsgstr "(.*)"$', re.M)


def read_words(path: Path) -> dict[str, str]:
    """English text -> text, from a ``.po`` file with one line per text; what has no text yet is left out."""
    pairs = _ENTRY.findall(path.read_text(encoding="utf-8"))
    return {_plain(english): _plain(text) for english, text in pairs if english and text}


def languages() -> dict[str, dict[str, str]]:
    """Language -> words. Blender takes ``de`` for ``de_DE`` and every other German."""
    return {path.stem: read_words(path) for path in sorted(FOLDER.glob("*.po"))}


def _plain(text: str) -> str:
    return text.replace('\\"', '"').replace("\\\\", "\\")
