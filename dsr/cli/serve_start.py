"""What ``dsr-fit --serve`` says and does as it starts."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dsr import __version__
from dsr.results.files import SCHEMA_VERSION

PROTOCOL = 1
"""Version of the protocol; raised when an answer or request changes its meaning."""


def hello() -> dict[str, Any]:
    """The worker's versions; cheap, nothing heavy is imported."""
    return {
        "protocol": PROTOCOL,
        "dsr": __version__,
        "schema": SCHEMA_VERSION,
        "python": platform.python_version(),
        "torch": _version("torch"),
        "pid": os.getpid(),
        "clips": True,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def warm_up() -> None:
    """Import and read what every fit needs while the user is still choosing a photograph, or while people are found."""
    with suppress(ImportError):
        import cv2  # noqa: F401  straight lines, where it is installed
    import scipy.sparse.csgraph  # noqa: F401  measures

    import dsr.body
    import dsr.fitting
    import dsr.people
    from dsr.fitting.network_start import default_network

    _ = dsr.body.load_body, dsr.fitting.fit_people, dsr.people.PeopleDetector
    default_network()
