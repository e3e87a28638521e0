"""Drawing bodies: the differentiable semantic renderer, and a software z-buffer for overlays.

Nothing heavy is imported until a name is used: :func:`rasterise` needs numpy only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(import_module(f"dsr.rendering.{_PUBLIC[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'dsr.rendering' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
