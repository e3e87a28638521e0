"""PyTorch3D backend: its rasteriser finds the nearest faces of every pixel, the blends are plain torch on top.

Optional: PyTorch3D has no wheels for current torch versions. The definitions are those of
:mod:`dsr.rendering.settings` with three differences: only the ``faces_per_pixel`` nearest triangles count; z and
attributes beside a triangle use PyTorch3D's clipping (perspective first, then negative weights to zero); triangles
without area are dropped at its own threshold.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsr.errors import MissingExtraError
from dsr.rendering.settings import RenderSettings


class PyTorch3DBackend:
    """Rasterises with PyTorch3D; float32, CPU or CUDA.

    Args:
        faces_per_pixel: triangles kept per pixel, nearest first; the blur needs many: 8 loses a little, 50 nothing.

    Raises:
        MissingExtraError: if PyTorch3D cannot be imported.
    """

    name = "pytorch3d"

    def __init__(self, faces_per_pixel: int = 8) -> None:
        try:
            import pytorch3d.renderer.mesh.rasterize_meshes  # noqa: F401
        except ImportError as error:
            message = "The renderer's backend 'pytorch3d' cannot be imported: build PyTorch3D for your torch"
            raise MissingExtraError(f"{message} ({error})") from error
        self.faces_per_pixel = faces_per_pixel

    def rasterise(
        self,
        screen: Tensor,
        faces: Tensor,
        attributes: Tensor,
        per_vertex: bool,
        depth_range: Tensor,
        size: tuple[int, int],
        settings: RenderSettings,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As :meth:`dsr.rendering.warp_backend.WarpBackend.rasterise`."""
        batch, (height, width) = screen.shape[0], size
        channels = attributes.shape[-1]
        faces = faces.long()
        fragments = self._fragments(screen, faces, size, settings)
        if fragments is None:
            empty = screen.sum() * 0.0
            background = screen.new_tensor(settings.background).expand(channels)
            colour = background.expand(batch, height, width, channels) + empty
            nothing = screen.new_zeros(batch, height, width)
            return colour, nothing + empty, nothing, torch.full_like(nothing, -1, dtype=torch.int64)
        pix_to_face, zbuf, bary, dists = fragments
        mask = pix_to_face >= 0
        face = torch.where(mask, pix_to_face % len(faces), 0)
        values = _values(attributes, faces, face, bary, per_vertex)
        colour, alpha = blend(values, zbuf, dists, mask, depth_range, settings)
        inside = mask & (dists < 0)
        first = inside.to(torch.uint8).argmax(-1, keepdim=True)
        seen = inside.any(-1)
        depth = torch.where(seen, zbuf.detach().gather(-1, first)[..., 0], 0.0)
        index = torch.where(seen, face.gather(-1, first)[..., 0], -1)
        return colour, alpha, depth, index

    def _fragments(
        self, screen: Tensor, faces: Tensor, size: tuple[int, int], settings: RenderSettings
    ) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        """PyTorch3D's face, z, barycentric coordinates and signed distance of the nearest triangles of each pixel."""
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes

        if len(faces) == 0:
            return None
        drawn = screen[..., 2:] > 0
        z = torch.where(drawn, screen[..., 2:], torch.ones_like(screen[..., 2:])).reciprocal()
        # x left, y up; a vertex that cannot be drawn goes behind the camera, where its faces are dropped
        ndc = torch.cat((-screen[..., :2], torch.where(drawn, z, torch.full_like(z, -1.0))), -1)
        whole = drawn[..., 0][:, faces].all(-1)  # (B, F)
        some = [faces[keep] if bool(keep.any()) else faces[:0] for keep in whole]
        if not any(len(one) for one in some):
            return None
        pix_to_face, zbuf, bary, dists = rasterize_meshes(
            Meshes(list(ndc), some),
            image_size=size,
            blur_radius=settings.cut,
            faces_per_pixel=self.faces_per_pixel,
            perspective_correct=True,
            clip_barycentric_coords=True,
            cull_backfaces=False,
        )
        rows = torch.cat([keep.nonzero()[:, 0] + item * len(faces) for item, keep in enumerate(whole)])
        return torch.where(pix_to_face >= 0, rows[pix_to_face.clamp(min=0)], -1), zbuf, bary, dists


def _values(attributes: Tensor, faces: Tensor, face: Tensor, bary: Tensor, per_vertex: bool) -> Tensor:
    """Attributes of the fragments, (B, H, W, N, C)."""
    if attributes.ndim == 2:
        attributes = attributes[None].expand(face.shape[0], *attributes.shape)
    item = torch.arange(face.shape[0], device=face.device)[:, None, None, None]
    if not per_vertex:
        return attributes[item, face]
    return (attributes[item[..., None], faces[face]] * bary[..., None]).sum(-2)


def blend(
    values: Tensor, z: Tensor, dists: Tensor, mask: Tensor, depth_range: Tensor, settings: RenderSettings
) -> tuple[Tensor, Tensor]:
    """Mix fragments by the equations of :mod:`dsr.rendering.settings`.

    Args:
        values: (B, H, W, N, C) attributes of N fragments per pixel.
        z: (B, H, W, N) depths, metres.
        dists: (B, H, W, N) squared distances, negative inside (PyTorch3D's sign).
        mask: (B, H, W, N) False for fragments that are padding.
        depth_range: (B, 2) metres.
        settings: which blend.

    Returns:
        Colours (B, H, W, C) and alpha (B, H, W).
    """
    scaled = torch.where(mask, dists, 0.0) / settings.sigma
    cover = torch.sigmoid(-scaled) * mask
    alpha = 1.0 - torch.where(mask, torch.sigmoid(scaled), 1.0).prod(-1)
    near, far = (depth_range[:, k, None, None, None] for k in range(2))
    softras = settings.blend == "softras"
    if softras and settings.occlusion == "camera":
        mask = mask & (z >= near) & (z <= far)
    eps = settings.eps if softras else 1e-10
    b = torch.where(mask, (far - z) / (far - near), 0.0)
    peak = b.amax(-1, keepdim=True).clamp(min=eps)
    weights = torch.where(mask, cover * torch.exp((b - peak) / settings.gamma), 0.0)
    if softras:
        behind = torch.exp(((2.0 * eps - peak) / settings.gamma).clamp(max=80.0))
        behind = torch.where(mask.any(-1, keepdim=True), behind, 1.0)
    else:
        behind = torch.exp((eps - peak) / settings.gamma).clamp(min=1e-10)
    total = weights.sum(-1, keepdim=True) + behind
    background = values.new_tensor(settings.background).expand(values.shape[-1])
    colour = ((weights[..., None] * values).sum(-2) + behind * background) / total
    return colour, alpha
