"""Links lead somewhere; names of modules, files and commands in the pages are real."""

from __future__ import annotations

import importlib
import re

import pages
import pytest

ROOT = pages.ROOT
NAMES = [file.relative_to(ROOT).as_posix() for file in pages.PAGES]
FILE = re.compile(
    r"\b(?:dsr|tests|docs|benchmarks|examples|body_models|blender_addon)/[\w./-]*\.(?:py|md|npz|npy|json)\b"
)
SCHEMAS = {"dsr.fit_result", "dsr.sequence_result", "dsr.report", "dsr.doctor"}
PLACEHOLDERS = {"dsr.regressors.name", "dsr.training.systems.name"}
"""Modules that CONTRIBUTING.md tells how to add."""


@pytest.mark.parametrize("name", NAMES)
def test_links_resolve(name):
    text, folder = pages.page(name), (ROOT / name).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, fragment = target.partition("#")
        file = folder / path if path else ROOT / name
        assert file.exists(), f"{name}: {target}"
        if fragment:
            titles = pages.headings(file.read_text(encoding="utf-8"))
            assert fragment in [pages.anchor(title) for _, title in titles], f"{name}: {target}"


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_small(name):
    for target in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", pages.page(name)):
        assert ((ROOT / name).parent / target).stat().st_size < 300_000, target


@pytest.mark.parametrize("name", NAMES)
def test_names_of_modules_can_be_imported(name):
    text = _present(name)
    for dotted in sorted(set(re.findall(r"\bdsr(?:\.[A-Za-z_]\w*)+", text)) - SCHEMAS - PLACEHOLDERS):
        assert _resolves(dotted), f"{name}: {dotted}"
    for module, what in re.findall(r"from (dsr[\w.]*) import ([\w, ]+)", text):
        for word in re.split(r"[, ]+", what.strip()):
            assert _resolves(f"{module}.{word}"), f"{name}: from {module} import {word}"


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named_are_there(name):
    for file in set(FILE.findall(_present(name))):
        if "NAME" in file or file == "body_models/SMPL_NEUTRAL.npz":  # the reader's own
            continue
        assert (ROOT / file).exists(), f"{name}: {file}"


def test_every_benchmark_is_described():
    listed = pages.code_words(pages.section(pages.page("docs/benchmarks.md"), "The commands"))
    files = {file.name for file in (ROOT / "benchmarks").glob("*.py") if not file.name.startswith("_")}
    assert {word for word in listed if word.endswith(".py")} == files


def test_moved_names_are_where_the_changelog_says():
    rows = re.findall(r"^\| `dsr[\w.]*`: (.*?) \| `(dsr[\w.]*)` \|$", pages.page("CHANGELOG.md"), re.MULTILINE)
    assert len(rows) > 10
    for names, module in rows:
        for name in pages.code_words(names):
            assert _resolves(f"{module}.{name}"), f"{name} is not in {module}"


def test_a_wrong_name_is_noticed():
    assert not _resolves("dsr.nowhere.label_prior") and not _resolves("dsr.clothing.nothing")
    assert _resolves("dsr.clothing.prior") and _resolves("dsr.fit_images") and _resolves("dsr.FitResult.people")


def _present(name: str) -> str:
    """The page without what it says about earlier releases: the first cells of tables headed ``before``."""
    text = pages.page(name)
    for table in pages.tables(text):
        if table.startswith("| before"):
            text = text.replace(table, "\n".join(row.split("|", 2)[2] for row in table.splitlines()))
    return text


def _resolves(dotted: str) -> bool:
    """Whether a module, or an attribute below one, has this name."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            if part not in getattr(thing, "__dataclass_fields__", ()) and not hasattr(thing, part):
                return False
            thing = getattr(thing, part, None)
        return True
    return False
