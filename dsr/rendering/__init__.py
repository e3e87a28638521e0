"""Drawing bodies: the differentiable semantic renderer, and a software z-buffer for overlays.

Nothing heavy is imported until a name is used: :func:`rasterise` needs numpy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

_PUBLIC = {
    "RenderOutput": "renderer",
    "RenderSettings": "settings",
    "SemanticRenderer": "renderer",
    "ZBuffer": "zbuffer",
    "rasterise": "zbuffer",
}

__all__ = ["RenderOutput", "RenderSettings", "SemanticRenderer", "ZBuffer", "rasterise"]

if TYPE_CHECKING:
    from dsr.rendering.renderer import RenderOutput, SemanticRenderer
    from dsr.rendering.settings import RenderSettings
    from dsr.rendering.zbuffer import ZBuffer, rasterise

__getattr__, __dir__ = attach(__name__, _PUBLIC)
