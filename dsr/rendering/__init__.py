"""Drawing bodies: a software z-buffer for overlays; the differentiable semantic renderer joins it here."""

from dsr.rendering.zbuffer import ZBuffer, rasterise

__all__ = ["ZBuffer", "rasterise"]
