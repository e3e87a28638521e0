"""Drawing bodies: the differentiable semantic renderer, and a software z-buffer for overlays.

Nothing heavy is imported until a name is used: :func:`rasterise` needs numpy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.rendering.renderer import RenderOutput as RenderOutput
    from dsr.rendering.renderer import SemanticRenderer as SemanticRenderer
    from dsr.rendering.settings import RenderSettings as RenderSettings
    from dsr.rendering.zbuffer import ZBuffer as ZBuffer
    from dsr.rendering.zbuffer import coverage as coverage
    from dsr.rendering.zbuffer import rasterise as rasterise

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "renderer": ("RenderOutput", "SemanticRenderer"),
        "settings": ("RenderSettings",),
        "zbuffer": ("ZBuffer", "coverage", "rasterise"),
    },
)
