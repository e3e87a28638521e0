"""Settings of the differentiable semantic renderer, with the two published blends written out.

Geometry, common to both blends. A point X (camera metres) is drawn at ``u = (K X) / z`` pixels; lengths on the picture
are measured in *normalised units*, where 1 is half the shorter image side:

    x = (u - W/2) / h      y = (v - H/2) / h      h = min(W, H) / 2

For a pixel centre p and a triangle f, ``d(p, f)`` is the squared distance from p to the triangle's outline, counted
positive inside and negative outside (squared normalised units), and

    D_f = sigmoid(d / sigma)                                                                   (coverage)

A triangle is skipped where p is outside of it and ``-d >= sigma ln(1/dist_eps - 1)``, that is where D_f <= dist_eps.
``z_f`` is the depth of the triangle at p (perspective-correct, barycentric coordinates clipped to the triangle):
``1/z_f = sum_k w_k / z_k`` with w clipped to [0, 1] and divided by its sum. With the depth range [n, r] (see
:attr:`RenderSettings.occlusion`) the triangles compete by ``b_f = (r - z_f) / (r - n)``, 1 near and 0 far.

``blend="softras"`` (Liu et al., ICCV 2019; what DSR was trained with; shared vectors: softras_reference.npz):

    alpha  = 1 - prod_f (1 - D_f)
    colour = (sum_f D_f e^(b_f/gamma) c_f + e^(2 eps/gamma) background) / (sum_f D_f e^(b_f/gamma) + e^(2 eps/gamma))

(the released kernel starts its running sum at e^(eps/gamma) and its running maximum at eps, hence 2 eps). With
``occlusion="camera"``, triangles with ``z_f`` outside [n, r] count for alpha, not for the colour.

``blend="pytorch3d"`` (PyTorch3D's sigmoid alpha and softmax colour, of all triangles instead of the nearest few):

    alpha  = 1 - prod_f (1 - D_f)
    colour = (sum_f D_f e^((b_f - m)/gamma) c_f + delta background) / (sum_f D_f e^((b_f - m)/gamma) + delta)
    m = max(eps, max_f b_f)      delta = max(e^((eps - m)/gamma), 1e-10)      eps = 1e-10
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from dsr.errors import RenderError

Blend = Literal["softras", "pytorch3d"]
Occlusion = Literal["body", "camera"]


@dataclass(frozen=True)
class RenderSettings:
    """How softly triangles are drawn and how they are mixed; the module's first lines have the equations.

    Attributes:
        sigma: width of the soft edge, squared normalised units (1 = half the shorter image side). At 224 pixels the
            blur ends 1.07 px from an edge at 1e-5, 0.107 px at 1e-7 and 3.4 px at 1e-4.
        gamma: sharpness of the competition in depth, as a fraction of the depth range. Smaller hides more.
        occlusion: ``"body"``: the depth range is that of the vertices of each item, ``n = z_min`` and
            ``r = z_max + (z_max - z_min)`` (so b is between 1/2 and 1; the range is held constant in the gradient):
            what is in front hides what is behind. ``"camera"``: the published fixed range [near, far]; with gamma 0.1
            front and back are mixed about half and half, as in an X-ray, and bodies beyond ``far`` have no colour.
        near: nearest depth that is coloured, metres; only for ``occlusion="camera"``.
        far: farthest depth that is coloured, metres; only for ``occlusion="camera"``.
        eps: depth weight of the background in the SoftRas blend, as a fraction of the depth range.
        background: attribute values where nothing is drawn: one number, or one per channel.
        blend: ``"softras"`` or ``"pytorch3d"``.
        dist_eps: coverage below which a triangle is not drawn.
        min_depth: triangles with a corner nearer than this (metres) or behind the camera are left out, not cut.

    Raises:
        RenderError: if a value makes no sense; the message names it.

    Example:
        >>> RenderSettings(sigma=1e-4).blur_radius  # normalised units
        0.03034...
    """

    sigma: float = 1e-5
    gamma: float = 1e-2
    occlusion: Occlusion = "body"
    near: float = 1.0
    far: float = 100.0
    eps: float = 1e-3
    background: float | tuple[float, ...] = 0.0
    blend: Blend = "softras"
    dist_eps: float = 1e-4
    min_depth: float = 0.01

    def __post_init__(self) -> None:
        for name in ("sigma", "gamma", "min_depth"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise RenderError(f"RenderSettings.{name} is {value}: give a positive number")
        if not (math.isfinite(self.eps) and self.eps >= 0):
            raise RenderError(f"RenderSettings.eps is {self.eps}: give zero or a positive number")
        if not 0 < self.dist_eps < 0.5:
            raise RenderError(f"RenderSettings.dist_eps is {self.dist_eps}: give a number between 0 and 0.5")
        if not (math.isfinite(self.near) and math.isfinite(self.far) and self.near < self.far):
            raise RenderError(f"RenderSettings.near, far are {self.near}, {self.far}: near has to be less than far")
        if self.blend not in ("softras", "pytorch3d"):
            raise RenderError(f'RenderSettings.blend is {self.blend!r}: give "softras" or "pytorch3d"')
        if self.occlusion not in ("body", "camera"):
            raise RenderError(f'RenderSettings.occlusion is {self.occlusion!r}: give "body" or "camera"')
        values = self.background if isinstance(self.background, tuple) else (self.background,)
        if not values or not all(math.isfinite(value) for value in values):
            raise RenderError("RenderSettings.background has to be a finite number or a tuple of them, one per channel")

    @classmethod
    def published(cls, sigma: float = 1e-7, gamma: float = 1e-1) -> RenderSettings:
        """The settings DSR was trained with: SoftRas, fixed depth range of 1 to 100 m, no occlusion to speak of."""
        return cls(sigma=sigma, gamma=gamma, occlusion="camera")

    @property
    def cut(self) -> float:
        """Squared distance from a triangle, squared normalised units, at which its coverage falls to ``dist_eps``."""
        return self.sigma * math.log(1.0 / self.dist_eps - 1.0)

    @property
    def blur_radius(self) -> float:
        """Distance from a triangle at which it stops being drawn, normalised units."""
        return math.sqrt(self.cut)
