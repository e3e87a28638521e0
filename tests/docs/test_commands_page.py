"""docs/cli.md has every option that the commands' help has, and no other."""

from __future__ import annotations

import ast
import importlib
import itertools
import re

import pages
import pytest

from dsr.options import SYSTEMS
from dsr.training.systems import REGRESSOR_TASKS

PAGE = pages.page("docs/cli.md")
SECTIONS = {
    "dsr-fit": ("fit", [], ["--serve"]),
    "dsr-eval synthetic": ("eval", ["synthetic"]),
    "dsr-eval views": ("eval", ["views"]),
    "dsr-eval clips": ("eval", ["clips"]),
    "dsr-eval people": ("eval", ["people"]),
    "dsr-eval sheet": ("eval", ["sheet"]),
    "dsr-eval PROTOCOL": ("eval", ["3dpw"]),
    "dsr-eval lifter": ("eval", ["lifter"]),
    "dsr-train, image to body": ("train", []),
    "dsr-train lifter": ("train", ["lifter"]),
    "dsr-train adapt": ("train", ["adapt"]),
    "dsr-prior": ("prior", ["garments"], ["scans"], ["pictures"], ["show"]),
    "dsr-retarget": ("retarget", []),
    "dsr-doctor": ("doctor", []),
}
"""Heading to module of the command and the arguments before ``--help``."""
FIELDS = [
    "dsr/options.py",
    "dsr/losses/weights.py",
    "dsr/training/config.py",
    *(f"dsr/training/systems/{kind}/config.py" for kind in ("adapt", "lifter", "regressor")),
    "dsr/cli/fit_command.py",
    *(f"dsr/cli/eval_{name}.py" for name in ("clips", "dataset", "lifter", "people", "sheet", "synthetic", "views")),
    "dsr/cli/prior.py",
    "dsr/cli/retarget.py",
    "dsr/cli/train.py",
]
"""Files whose fields are options of commands."""


def options_of_help(command: str, arguments: list[str], capsys) -> set[str]:
    """The options that the command's own help lists."""
    assert importlib.import_module(f"dsr.cli.{command}").main([*arguments, "--help"]) == 0
    text = capsys.readouterr().out
    options = set(
        re.findall(r"^\W{1,2}(--[a-z0-9][\w.-]*)", text, re.MULTILINE)
    )  # further right, options are only mentioned
    assert options, text
    return {re.sub(r"^--data\.mix\..*", "--data.mix.NAME", option) for option in options}


@pytest.mark.parametrize("title", SECTIONS)
def test_options_are_those_of_the_command(title, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    command, *calls = SECTIONS[title]
    options = set().union(*(options_of_help(command, arguments, capsys) for arguments in calls))
    if title == "dsr-fit":
        options |= {"--serve"}
    assert options_of_page(pages.section(PAGE, title)) == options


def options_of_page(text: str) -> set[str]:
    rows = [row for row in text.splitlines() if row.startswith("|") or not row.startswith("    ")]
    words = pages.code_words("\n".join(rows))
    return {word for word in words if re.fullmatch(r"--[a-z0-9][\w.-]*", word)}


@pytest.mark.parametrize("title", SECTIONS)
def test_help_is_plain_text(title, capsys, monkeypatch):
    """No markup of docstrings."""
    monkeypatch.setenv("COLUMNS", "200")
    command, *calls = SECTIONS[title]
    for arguments in calls:
        assert importlib.import_module(f"dsr.cli.{command}").main([*arguments, "--help"]) == 0
        text = capsys.readouterr().out
        assert not re.search(r"``|:\w+:`", text), text


@pytest.mark.parametrize(
    ("title", "command", "arguments"), [("dsr-fit", "fit", []), ("dsr-eval PROTOCOL", "eval", ["3dpw"])]
)
def test_regressor_names_every_network(title, command, arguments, capsys, monkeypatch):
    """The help and the page: ``--regressor dsr:CHECKPOINT|perspose:CHECKPOINT``."""
    monkeypatch.setenv("COLUMNS", "200")
    assert importlib.import_module(f"dsr.cli.{command}").main([*arguments, "--help"]) == 0
    text = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    entry = re.search(r" --regressor \S*STR .*? --\w", text)
    assert entry and re.findall(r"(\w+):CHECKPOINT", entry[0]) == list(SYSTEMS)
    row = next(row for row in pages.section(PAGE, title).splitlines() if row.startswith("| `--regressor"))
    assert re.findall(r"(\w+):(?:CKPT|CHECKPOINT)", row.partition("` |")[0]) == list(SYSTEMS)


def test_system_lists_every_task():
    row = next(row for row in pages.section(PAGE, "dsr-train, image to body").splitlines() if "`--system" in row)
    choices = re.search(r"`--system ([^`]*)`", row)
    assert choices and choices[1].split(r"\|") == list(REGRESSOR_TASKS)


@pytest.mark.parametrize("file", FIELDS)
def test_the_help_of_a_field_is_one_line(file):
    """The parser keeps the line breaks of longer ones, in the middle of its boxes."""
    fields = [
        (before.target, text.value.value)
        for node in ast.walk(ast.parse(pages.page(file)))
        if isinstance(node, ast.ClassDef)
        for before, text in itertools.pairwise(node.body)
        if isinstance(before, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    ]
    assert fields
    for target, text in fields:
        assert "\n" not in text, f"{file}: {ast.unparse(target)}"


def test_every_command_has_its_part():
    project = pages.page("pyproject.toml").partition("[project.scripts]\n")[2].partition("\n\n")[0]
    commands = re.findall(r"^(dsr-\w+) =", project, re.MULTILINE)
    assert sorted(title for level, title in pages.headings(PAGE) if level == 2) == sorted(commands)


@pytest.mark.parametrize("command", ["dsr-fit", "dsr-eval", "dsr-train", "dsr-prior", "dsr-retarget", "dsr-doctor"])
def test_examples_in_the_pages_use_options_that_exist(command, capsys, monkeypatch):
    """Command lines in code blocks: every option belongs to the command, whichever of its forms."""
    monkeypatch.setenv("COLUMNS", "80")
    calls = [(module, arguments) for module, *forms in SECTIONS.values() for arguments in forms]
    known = {"--help", "--serve", "--GROUP.NAME"}.union(
        *(options_of_help(module, arguments, capsys) for module, arguments in calls if f"dsr-{module}" == command)
    )
    for file in pages.PAGES:
        for line in re.findall(rf"^ {{4,}}(?:.*&& )?{command} (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE):
            line = line.partition("  #")[0].partition(" && ")[0]
            used = {re.sub(r"^--data\.mix\..*", "--data.mix.NAME", word) for word in re.findall(r"--[\w.-]+", line)}
            assert used <= known, f"{file.name}: {command} {line}"
