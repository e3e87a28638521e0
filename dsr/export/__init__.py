"""Fitted people to files and pictures: obj, ply, glb, fbx, bvh, usd, blend; overlays and side views.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

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

__getattr__, __dir__ = attach(__name__, _PUBLIC)
