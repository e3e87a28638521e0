"""Fitted people to files and pictures: obj, ply, glb, fbx, bvh, usd, blend; overlays and side views.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "BLENDER_FORMATS": "writers",
    "FORMATS": "writers",
    "render_overlay": "overlay",
    "render_side_view": "overlay",
    "save_picture": "pictures",
    "write_atomic": "atomic",
    "write_bytes": "atomic",
    "write_person": "writers",
}

__all__ = [
    "BLENDER_FORMATS",
    "FORMATS",
    "render_overlay",
    "render_side_view",
    "save_picture",
    "write_atomic",
    "write_bytes",
    "write_person",
]

if TYPE_CHECKING:
    from dsr.export.atomic import write_atomic, write_bytes
    from dsr.export.overlay import render_overlay, render_side_view
    from dsr.export.pictures import save_picture
    from dsr.export.writers import BLENDER_FORMATS, FORMATS, write_person


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(import_module(f"dsr.export.{_PUBLIC[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'dsr.export' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
