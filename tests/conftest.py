"""Fixtures for all tests: every device, and small pictures for the whole chain."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Every kind of device in turn."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    return request.param


@pytest.fixture
def make_picture():
    """A function that writes a small grey picture, in which :mod:`cheap_bodies` finds this many people."""

    def make(path: Path, people: int = 1, size: tuple[int, int] = (96, 128), **save) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (50 * people,) * 3).save(path, **save)
        return path

    return make
