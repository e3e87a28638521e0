"""Examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def modules_with_examples() -> list[str]:
    """Dotted names; other modules are not imported."""
    files = [file for file in sorted((ROOT / "dsr").rglob("*.py")) if ">>> " in file.read_text(encoding="utf-8")]
    parts = [file.relative_to(ROOT).with_suffix("").parts for file in files]
    return [".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    tests = [test for test in doctest.DocTestFinder().find(importlib.import_module(name)) if test.examples]
    for test in tests:
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)
    assert tests, f"{name}: its examples stand where nobody runs them (a private name, a comment)"


def test_only_what_needs_a_file_of_the_user_is_skipped():
    for file in (ROOT / "dsr").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for block in re.findall(r"(?:^ *(?:>>>|\.\.\.) .*\n)+", text, re.MULTILINE):
            if "doctest: +SKIP" in block:
                assert re.search(r"\"[\w:./]+(?:\.\w+|/)\"", block), f"{file}: {block}"
