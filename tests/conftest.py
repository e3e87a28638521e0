"""Fixtures for tests of the whole chain."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def make_picture():
    """A function that writes a small grey picture, in which :mod:`cheap_bodies` finds this many people."""

    def make(path: Path, people: int = 1, size: tuple[int, int] = (96, 128), **save) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (50 * people,) * 3).save(path, **save)
        return path

    return make
