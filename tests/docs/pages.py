"""The project's pages as the tests of this folder read them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("blender_addon", "body_models")),
    *sorted((ROOT / "dsr" / "weights").glob("*.md")),
]


def page(name: str) -> str:
    """The text of a page, by its path in the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def headings(text: str) -> list[tuple[int, str]]:
    """Level and title of every heading outside code."""
    return [(len(marks), title.strip()) for marks, title in re.findall(r"^(#+) (.*)$", text, re.MULTILINE)]


def section(text: str, title: str) -> str:
    """The part below a heading, with the smaller headings in it."""
    start = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert start, f"there is no heading {title!r}"
    end = re.search(rf"^#{{1,{len(start[1])}}} ", text[start.end() :], re.MULTILINE)
    return text[start.end() :][: end.start() if end else None]


def code_words(text: str) -> set[str]:
    """What stands between backticks, taken apart at spaces and commas."""
    return {word for span in re.findall(r"`([^`\n]+)`", text) for word in re.split(r"[\s,]+", span) if word}


def table_keys(text: str) -> set[str]:
    """Code in the first cell of every row of the section's tables."""
    cells = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    return set().union(*(code_words(cell) for cell in cells))


def tables(text: str) -> list[str]:
    """The tables of a section, each as its lines."""
    return re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)


def anchor(title: str) -> str:
    """A heading's name in links, as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"`|\[([^\]]*)\]\([^)]*\)", r"\1", title).lower())
    return kept.replace(" ", "-")
