"""Fitted people to files and pictures: obj, ply, glb, fbx, bvh, usd, blend; overlays and side views.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.export.bone_names import RIGS as RIGS
    from dsr.export.bone_names import on_rig as on_rig
    from dsr.export.label_picture import render_labels as render_labels
    from dsr.export.overlay import draw_bodies as draw_bodies
    from dsr.export.overlay import render_overlay as render_overlay
    from dsr.export.pictures import save_picture as save_picture
    from dsr.export.side_view import render_side_view as render_side_view
    from dsr.export.skeleton import render_skeletons as render_skeletons
    from dsr.export.writers import BLENDER_FORMATS as BLENDER_FORMATS
    from dsr.export.writers import FORMATS as FORMATS
    from dsr.export.writers import companions as companions
    from dsr.export.writers import write_person as write_person

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "bone_names": ("RIGS", "on_rig"),
        "overlay": ("draw_bodies", "render_overlay"),
        "pictures": ("save_picture",),
        "label_picture": ("render_labels",),
        "side_view": ("render_side_view",),
        "skeleton": ("render_skeletons",),
        "writers": (
            "BLENDER_FORMATS",
            "FORMATS",
            "companions",
            "write_person",
        ),
    },
)
