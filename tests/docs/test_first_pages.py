"""README keeps its two commands, which CI runs; the design page lists the rooms in their order."""

from __future__ import annotations

import importlib.util
import re

import pages

INSTALL = "python3 -m pip install -c constraints.txt"
FIRST = f"{INSTALL} . && dsr-fit examples/images --out meshes --overlay && dsr-eval synthetic"
TESTS = f"{INSTALL} '.[test]' && python3 -m pytest -q"


def test_readme_shows_a_result_and_both_commands_on_the_first_screen():
    screen = "\n".join(pages.page("README.md").splitlines()[:30])
    assert f"\n    {FIRST}\n" in screen and f"\n    {TESTS}\n" in screen
    assert re.search(r"!\[.+\]\(docs/images/\w+\.jpg\)", screen)


def test_ci_runs_the_command_that_readme_names():
    script = pages.page(".ci/run").replace("install -q ", "install ").splitlines()
    assert all(part in script for part in TESTS.split(" && "))
    assert {"ruff check .", "ruff format --check .", "mypy"} <= set(script)


def test_readme_lists_every_extra():
    project = pages.page("pyproject.toml").partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    extras = set(re.findall(r"^(\w+) = ", project, re.MULTILINE))
    assert extras <= pages.table_keys(pages.section(pages.page("README.md"), "Platforms"))


def test_design_lists_the_rooms_in_their_order():
    spec = importlib.util.spec_from_file_location("architecture", pages.ROOT / "tests" / "test_architecture.py")
    assert spec and spec.loader
    architecture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(architecture)
    there = {architecture.room(name) for name in architecture.modules()}
    table = pages.tables(pages.section(pages.page("docs/design.md"), "Rooms"))[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [room for room in architecture.ORDER if room in there]
