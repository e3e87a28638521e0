"""Differentiable semantic renderer: soft pictures of per-face or per-vertex attributes, all channels in one pass.

Image axes: row 0 is the top, u grows with the column and v with the row, pixel (row, column) has its centre at
``(u, v) = (column + 0.5, row + 0.5)``. The blends and their equations: :mod:`dsr.rendering.settings`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from dsr.errors import MissingExtraError, RenderError
from dsr.extras import install_command
from dsr.rendering.settings import RenderSettings

BackendName = Literal["auto", "warp", "pytorch3d"]
_STEEPEST = 1e4  # vertices farther than this many depths from the optical axis are not drawn


@dataclass(frozen=True)
class RenderOutput:
    """Pictures of a batch of meshes.

    Attributes:
        attributes: (B, C, H, W) blended attributes, background included.
        alpha: (B, H, W) soft silhouette, 0 to 1.
        depth: (B, H, W) metres, z of the nearest triangle over the pixel centre, 0 where there is none; no gradient.
        face_index: (B, H, W) int64, row of ``faces`` of that triangle, -1 where there is none.
    """

    attributes: Tensor
    alpha: Tensor
    depth: Tensor
    face_index: Tensor


class Backend(Protocol):
    """What draws projected triangles; :class:`dsr.rendering.warp_backend.WarpBackend` states the contract."""

    name: str

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
        """Colours (B, H, W, C); alpha, depth and nearest face (B, H, W)."""
        ...


class SemanticRenderer:
    """Soft rasteriser of meshes in camera coordinates; gradients to vertices, attributes and intrinsics.

    Args:
        settings: sharpness, blend and occlusion.
        backend: ``"warp"`` (installed with the project; CPU and CUDA), ``"pytorch3d"`` (where people have it), or
            ``"auto"``, which is Warp where it can be imported, else PyTorch3D.
        threads: CPU threads of the Warp backend; default: torch's number.

    Raises:
        MissingExtraError: if that backend is not installed.

    Example:
        >>> render = SemanticRenderer(RenderSettings(sigma=1e-5))
        >>> triangle = torch.tensor([[[-1.0, -1.0, 4.0], [1.0, -1.0, 4.0], [0.0, 1.0, 4.0]]])
        >>> K = torch.tensor([[[64.0, 0.0, 32.0], [0.0, 64.0, 32.0], [0.0, 0.0, 1.0]]])
        >>> picture = render(triangle, torch.tensor([[0, 1, 2]]), torch.eye(9)[:1], K, (64, 64))
        >>> picture.attributes.shape, picture.alpha.shape
        (torch.Size([1, 9, 64, 64]), torch.Size([1, 64, 64]))
    """

    def __init__(
        self,
        settings: RenderSettings | None = None,
        backend: BackendName = "auto",
        threads: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise RenderError(f"threads is {threads}: give at least one")
        self.settings = settings or RenderSettings()
        self.backend = _backend(backend, threads)
        self._known: tuple[Tensor, int, int, Tensor] | None = None  # faces, their version, number of vertices, as int32

    def __call__(
        self,
        vertices_cam: Tensor,
        faces: Tensor,
        attributes: Tensor,
        K: Tensor,
        size: tuple[int, int],
        attributes_at: Literal["auto", "faces", "vertices"] = "auto",
    ) -> RenderOutput:
        """Render a batch of meshes with the same faces.

        Args:
            vertices_cam: (B, V, 3) float32, camera metres (x right, y down, z forward).
            faces: (F, 3) integers, rows of the vertices; F may be 0. Both sides of a face are drawn.
            attributes: (F, C) or (B, F, C) per face, or (V, C) or (B, V, C) per vertex (interpolated with
                perspective-correct barycentric coordinates).
            K: (B, 3, 3) or (3, 3) float32 intrinsics in pixels of the picture to draw, last row 0, 0, 1.
            size: (H, W) of the picture in pixels.
            attributes_at: ``"faces"`` or ``"vertices"``; ``"auto"`` goes by the number of rows.

        Returns:
            The pictures. Triangles with a corner behind the camera or nearer than ``settings.min_depth``, without
            area, or outside of the picture add nothing, and get finite (zero) gradients.

        Raises:
            RenderError: if an argument has the wrong shape, type or device, or is not finite; the message names it.
        """
        _check(vertices_cam, faces, attributes, K, size)
        faces = self._checked_faces(faces, vertices_cam.shape[1])
        per_vertex = _per_vertex(attributes, len(faces), vertices_cam.shape[1], attributes_at)
        channels, background = attributes.shape[-1], self.settings.background
        if isinstance(background, tuple) and len(background) != channels:
            raise RenderError(f"settings.background has {len(background)} values for {channels} channels of attributes")
        screen = _project(vertices_cam, K, size, self.settings)
        depth_range = _depth_range(vertices_cam, screen, self.settings)
        colour, alpha, depth, face_index = self.backend.rasterise(
            screen, faces, attributes, per_vertex, depth_range, size, self.settings
        )
        return RenderOutput(colour.permute(0, 3, 1, 2), alpha, depth, face_index)

    def _checked_faces(self, faces: Tensor, num_vertices: int) -> Tensor:
        """Faces as int32; those of the last call are not looked through again."""
        known = self._known
        if known and known[0] is faces and known[1] == faces._version and known[2] == num_vertices:
            return known[3]
        if len(faces):
            low, high = (int(value) for value in torch.aminmax(faces))
            if low < 0 or high >= num_vertices:
                raise RenderError(f"faces names vertices {low} to {high}, vertices_cam has {num_vertices} of them")
        checked = faces.to(torch.int32, copy=True).contiguous()
        self._known = (faces, faces._version, num_vertices, checked)
        return checked


def _backend(name: str, threads: int | None) -> Backend:
    """Make the backend of that name, or the first that can be imported."""
    if name not in ("auto", "warp", "pytorch3d"):
        raise RenderError(f'backend is {name!r}: give "auto", "warp" or "pytorch3d"')
    from importlib.util import find_spec

    installed = [one for one in ("warp", "pytorch3d") if find_spec(one) is not None]
    chosen = installed[0] if name == "auto" and installed else name
    if chosen not in installed:
        hint = "build PyTorch3D for your torch" if name == "pytorch3d" else install_command("warp-lang")
        raise MissingExtraError(f"The renderer's backend {name!r} is not installed: {hint}")
    if chosen == "warp":
        from dsr.rendering.warp_backend import WarpBackend

        return WarpBackend(threads)
    from dsr.rendering.pytorch3d_backend import PyTorch3DBackend

    return PyTorch3DBackend()


def _check(vertices_cam: Tensor, faces: Tensor, attributes: Tensor, K: Tensor, size: tuple[int, int]) -> None:
    """Refuse what cannot be drawn, by name."""
    named = {"vertices_cam": vertices_cam, "attributes": attributes, "K": K}
    for name, tensor in {**named, "faces": faces}.items():
        if not isinstance(tensor, Tensor):
            raise RenderError(f"{name} is {type(tensor).__name__}: give a torch tensor")
        if tensor.device != vertices_cam.device:
            raise RenderError(f"{name} is on {tensor.device}, vertices_cam on {vertices_cam.device}: put both on one")
    for name, tensor in named.items():
        if tensor.dtype != torch.float32:
            raise RenderError(f"{name} is {tensor.dtype}: give torch.float32")
    if faces.dtype.is_floating_point or faces.dtype.is_complex or faces.dtype == torch.bool:
        raise RenderError(f"faces is {faces.dtype}: give integers")
    if vertices_cam.ndim != 3 or vertices_cam.shape[-1] != 3 or vertices_cam.shape[0] == 0:
        raise RenderError(f"vertices_cam has shape {tuple(vertices_cam.shape)}: give (B, V, 3)")
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise RenderError(f"faces has shape {tuple(faces.shape)}: give (F, 3)")
    batch = vertices_cam.shape[0]
    if K.shape not in ((3, 3), (batch, 3, 3)):
        raise RenderError(f"K has shape {tuple(K.shape)}: give (3, 3) or ({batch}, 3, 3)")
    if attributes.ndim not in (2, 3) or attributes.shape[-1] == 0:
        raise RenderError(f"attributes has shape {tuple(attributes.shape)}: give (N, C) or (B, N, C) with N = F or V")
    if attributes.ndim == 3 and attributes.shape[0] != batch:
        raise RenderError(f"attributes has a batch of {attributes.shape[0]}, vertices_cam one of {batch}")
    pair = isinstance(size, (tuple, list, torch.Size)) and len(size) == 2
    if not (pair and all(isinstance(side, int) and side > 0 for side in size)):
        raise RenderError(f"size is {size}: give (H, W) as positive integers")
    for name, tensor in named.items():
        if not _finite(tensor):
            raise RenderError(f"{name} has values that are not finite (NaN or infinite)")


def _finite(tensor: Tensor) -> bool:
    """Whether all values are finite; on the CPU through numpy, which does not wake torch's threads."""
    tensor = tensor.detach()
    if tensor.device.type == "cpu":
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(tensor.numpy().sum())
    else:
        total = float(tensor.sum())
    return math.isfinite(total) or bool(torch.isfinite(tensor).all())


def _per_vertex(attributes: Tensor, num_faces: int, num_vertices: int, attributes_at: str) -> bool:
    """Whether attributes belong to vertices."""
    rows = attributes.shape[-2]
    if attributes_at not in ("auto", "faces", "vertices"):
        raise RenderError(f'attributes_at is {attributes_at!r}: give "auto", "faces" or "vertices"')
    if attributes_at == "auto":
        if rows == num_faces == num_vertices:
            raise RenderError('attributes fits the faces and the vertices: say attributes_at="faces" or "vertices"')
        attributes_at = "vertices" if rows == num_vertices else "faces"
    expected = num_vertices if attributes_at == "vertices" else num_faces
    if rows != expected:
        raise RenderError(f"attributes has {rows} rows for {num_faces} faces and {num_vertices} vertices")
    return attributes_at == "vertices"


def _project(vertices_cam: Tensor, K: Tensor, size: tuple[int, int], settings: RenderSettings) -> Tensor:
    """x, y in normalised units and 1/z; zeros (and no gradient) for vertices that cannot be drawn, (B, V, 3)."""
    height, width = size
    K = K.expand(vertices_cam.shape[0], 3, 3)
    x, y, z = vertices_cam.unbind(-1)
    drawn = (z > settings.min_depth) & (torch.maximum(x.abs(), y.abs()) < _STEEPEST * z)
    nothing = torch.zeros_like(z)
    inverse_z = torch.where(drawn, z, torch.ones_like(z)).reciprocal()
    x, y = torch.where(drawn, x, nothing) * inverse_z, torch.where(drawn, y, nothing) * inverse_z
    scale = 2.0 / min(height, width)
    # sums of products instead of a matrix product, whose threads cost more than they help
    rows = K[:, :, :, None]
    u = rows[:, 0, 0] * x + rows[:, 0, 1] * y + (rows[:, 0, 2] - width / 2)
    v = rows[:, 1, 0] * x + rows[:, 1, 1] * y + (rows[:, 1, 2] - height / 2)
    return torch.stack((u * scale, v * scale, torch.where(drawn, inverse_z, nothing)), -1)


def _depth_range(vertices_cam: Tensor, screen: Tensor, settings: RenderSettings) -> Tensor:
    """Nearest and farthest depth by which triangles compete, (B, 2) metres, without gradient."""
    batch = vertices_cam.shape[0]
    if settings.occlusion == "camera" or vertices_cam.shape[1] == 0:
        return vertices_cam.new_tensor((settings.near, settings.far)).expand(batch, 2)
    z, drawn = vertices_cam.detach()[..., 2], screen.detach()[..., 2] > 0
    some = drawn.any(1)
    near = torch.where(some, torch.where(drawn, z, torch.inf).amin(1), 1.0)
    deep = torch.where(some, torch.where(drawn, z, -torch.inf).amax(1), 2.0)
    return torch.stack((near, deep + (deep - near).clamp(min=1e-3)), 1)
