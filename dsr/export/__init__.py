"""Fitted people to files and pictures: obj, ply, glb, fbx, bvh, usd, blend; overlays and side views.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.export.overlay import render_overlay as render_overlay
    from dsr.export.overlay import render_side_view as render_side_view
    from dsr.export.pictures import save_picture as save_picture
    from dsr.export.writers import BLENDER_FORMATS as BLENDER_FORMATS
    from dsr.export.writers import FORMATS as FORMATS
    from dsr.export.writers import write_person as write_person

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "overlay": (
            "render_overlay",
            "render_side_view",
        ),
        "pictures": ("save_picture",),
        "writers": (
            "BLENDER_FORMATS",
            "FORMATS",
            "write_person",
        ),
    },
)
