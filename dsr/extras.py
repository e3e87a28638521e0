"""Commands that install what is missing beside this copy of the program, for the Python that runs it.

Packages are named themselves, never the distribution with an extra: that works after any way of installing. Where the
program runs from a clone, they come in the clone's tested versions; elsewhere the program's requirements with an upper
bound are named too, so that pip keeps them and what they need. Sources that were never installed are installed.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from pathlib import Path

DISTRIBUTION = "dsr-fit"
"""Name of the distribution; the import name is ``dsr``."""
_SOURCES = Path(__file__).parents[1]


def install_hint(extra: str) -> str:
    """The command that installs what an extra needs.

    Args:
        extra: name in ``[project.optional-dependencies]`` of pyproject.toml, ``video`` for example.

    Raises:
        KeyError: if the installed distribution has no such extra.
    """
    table = _requirements()
    return _pip(*extra_packages(extra), *_bounded()) if table else _install_sources(f".[{extra}]")


def install_command(*packages: str) -> str:
    """The command that installs packages the program itself needs, in the versions that it asks for.

    Args:
        packages: names of distributions.

    Example:
        >>> print(install_command("mediapipe").partition(" -m ")[2])  # doctest: +ELLIPSIS
        pip install ...
    """
    table = _requirements()
    if not table:
        return _install_sources(".")
    versions = {re.split(r"[<>=!~ ]", requirement)[0]: requirement for requirement in table[""]}
    return _pip(*(versions.get(name, name) for name in packages), *_bounded())


def extra_packages(extra: str) -> tuple[str, ...]:
    """The requirements of an extra of the installed distribution, ``("av>=14.0",)`` for example.

    Raises:
        KeyError: if there is no such extra.
    """
    return tuple(_requirements()[extra])


@lru_cache(maxsize=1)
def _requirements() -> dict[str, list[str]]:
    """Requirements by extra without their conditions, "" for the program's; empty where it is not installed."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        about = metadata(DISTRIBUTION)
    except PackageNotFoundError:
        return {}
    table: dict[str, list[str]] = {name: [] for name in ("", *(about.get_all("Provides-Extra") or ()))}
    for line in about.get_all("Requires-Dist") or ():
        requirement, _, condition = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", condition)
        table[extra[1] if extra else ""].append(requirement.strip())
    return table


def _constraints() -> Path | None:
    """The tested versions, where the program runs from a clone."""
    file = _SOURCES / "constraints.txt"
    return file if file.is_file() else None


def _bounded() -> list[str]:
    """The program's requirements that do not take every later version: pip forgets those that a command does not name.

    mediapipe, for one, needs an older protobuf than the newest onnx would bring.
    """
    return (
        [] if _constraints() else [requirement for requirement in _requirements()[""] if re.search("<|==", requirement)]
    )


def _pip(*arguments: str) -> str:
    """``python -m pip install ...``; double quotes mean the same to every shell."""
    constraints = _constraints()
    tested = ("-c", str(constraints)) if constraints else ()
    words = [sys.executable or "python3", "-m", "pip", "install", *dict.fromkeys(arguments), *tested]
    return " ".join(f'"{word}"' if re.search(r"[<>;|&\s\[\]]", word) else word for word in words)


def _install_sources(target: str) -> str:
    return f'cd "{_SOURCES}" && {_pip(target)}'
