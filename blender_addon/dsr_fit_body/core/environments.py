# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the Python environment that has dsr, in the places where people keep environments."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from .worker import environment_pythons

VARIABLES = ("FITBODY_PYTHON", "DSR_PYTHON")
"""Environment variables that name the Python; they win over searching."""


def python_from_variables(environment: Mapping[str, str] | None = None) -> str:
    """The Python that an environment variable names, "" where none does."""
    values = os.environ if environment is None else environment
    return next((values[name] for name in VARIABLES if values.get(name)), "")


def find_python(
    near: Path | None = None, environment: Mapping[str, str] | None = None, home: Path | None = None
) -> str:
    """A Python with dsr installed, found by looking at files alone; "" where there is none.

    Args:
        near: a folder whose own environment is looked at, with its parents (the .blend file's, say).
        environment: variables; those of the process by default.
        home: the user's folder.
    """
    values = os.environ if environment is None else environment
    named = python_from_variables(values)
    if named:
        return named
    for python in _candidates(near, values, Path.home() if home is None else home):
        if has_dsr(python):
            return str(python)
    return ""


def has_dsr(python: Path) -> bool:
    """Whether the environment around a Python has dsr installed, also as an editable install."""
    if not python.is_file():
        return False
    root = python.parent.parent if python.parent.name in ("bin", "Scripts") else python.parent
    places = [*root.glob("lib/python3*/site-packages"), root / "Lib" / "site-packages"]
    return any((p / "dsr" / "cli").is_dir() or any(p.glob("dsr_fit-*.dist-info")) for p in places if p.is_dir())


def _candidates(near: Path | None, values: Mapping[str, str], home: Path) -> Iterator[Path]:
    command = shutil.which("dsr-fit", path=values.get("PATH"))
    if command:
        yield from environment_pythons(Path(command).resolve().parent.parent)
        yield from environment_pythons(Path(command).parent.parent)
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if values.get(variable):
            yield from environment_pythons(Path(values[variable]))
    folders = [near, *near.parents] if near is not None else []
    for folder in [*folders, home, home / "dsr"]:
        for name in (".venv", "venv", "dsr-env"):
            yield from environment_pythons(folder / name)
    for base in ("miniconda3", "miniforge3", "mambaforge", "anaconda3", ".conda", ".virtualenvs", ".pyenv/versions"):
        root = home / base
        for folder in sorted([*root.glob("envs/*"), *(root.glob("*") if base.startswith(".") else [])]):
            yield from environment_pythons(folder)
