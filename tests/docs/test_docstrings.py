"""Examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
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


def test_most_examples_are_run():
    """Only what needs a file of the user's is skipped."""
    skipped = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "dsr").rglob("*.py")
        if "doctest: +SKIP" in file.read_text(encoding="utf-8")
    }
    assert skipped == {
        "dsr/image/reader.py",
        "dsr/pipeline/clip_fitter.py",
        "dsr/pipeline/pictures.py",
        "dsr/regressors/loading.py",
    }
