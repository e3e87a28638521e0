"""What lies beside the project in ../shared: the authors' vectors, photographs, motion capture, clothes.

Tests look here and nowhere else. A test whose folder is missing is skipped and says which; a missing file in a folder
that is there is an error. ``DSR_SHARED`` names another place.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

SHARED = Path(os.environ.get("DSR_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def specs() -> Path:
    """The specifications of published systems, with vectors of their code in ``SYSTEM/golden``."""
    return _folder("specs", "the specifications with the authors' vectors")


def photos() -> Path:
    """Real photographs."""
    return _folder("photos", "the photographs")


def mocap() -> Path:
    """Archives of motion capture."""
    return _folder("mocap", "the motion capture")


def real_views() -> Path:
    """Photographs with 3D truth."""
    return _folder("real_views", "the photographs with 3D truth")


def people_found() -> Path:
    """Crowded photographs whose people are annotated."""
    return _folder("people_found", "the photographs with annotated people")


def anthropometry() -> Path:
    """Measures of real people."""
    return _folder("anthropometry", "the measures of real people")


def makehuman() -> Path:
    """Archives of MakeHuman's clothes."""
    return _folder("makehuman", "MakeHuman's clothes")


def vectors(system: str, name: str) -> dict[str, np.ndarray]:
    """All arrays of ``SYSTEM/golden/NAME.npz``."""
    with np.load(specs() / system / "golden" / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def tensors(system: str, name: str) -> dict[str, Tensor]:
    """The numbers of :func:`vectors` as tensors, without texts."""
    return {
        key: torch.from_numpy(np.asarray(value))
        for key, value in vectors(system, name).items()
        if value.dtype.kind in "fiub"
    }


def script(system: str, name: str) -> ModuleType:
    """``SYSTEM/golden/NAME.py``, which makes what vectors would be too large for."""
    path = specs() / system / "golden" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"golden_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _folder(name: str, content: str) -> Path:
    path = SHARED / name
    if not path.is_dir():
        pytest.skip(f"{content} are not at {path if 'DSR_SHARED' in os.environ else f'../shared/{name}'}")
    return path
