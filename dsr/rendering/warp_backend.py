"""Warp backend: launches the kernels of :mod:`dsr.rendering._kernels` on the CPU (bands on threads) or on CUDA."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dsr._quiet import quiet_stderr
from dsr.errors import RenderError
from dsr.rendering.settings import RenderSettings

_FARTHEST = 2**62


@lru_cache(maxsize=1)
def start_warp() -> Any:
    """Warp, initialised without its banner and with a kernel cache that can be written.

    Compiled kernels are kept in the user's cache folder (the environment variable ``WARP_CACHE_PATH`` names another).
    Where that cannot be written, a temporary folder is used and every process compiles again.

    Raises:
        RenderError: if no folder for the cache can be found.
    """
    import warp

    if warp.config.log_level < warp.LOG_WARNING:
        warp.config.log_level = warp.LOG_WARNING
    with _without_driver_warning():
        try:
            warp.init()
        except OSError:  # the cache folder cannot be made
            warp.config.kernel_cache_dir = tempfile.mkdtemp(prefix="warp-cache-")
            warp.init()
    if not _writable(Path(str(warp.config.kernel_cache_dir))):
        try:
            from warp._src.build import init_kernel_cache
        except ImportError as error:
            message = f"Warp's cache folder {warp.config.kernel_cache_dir} cannot be written: set WARP_CACHE_PATH"
            raise RenderError(message) from error
        init_kernel_cache(tempfile.mkdtemp(prefix="warp-cache-"))
    return warp


@lru_cache(maxsize=8)
def kernels(device: str, atomic: bool) -> Any:
    """The kernels, compiled for a device before threads ask for them: the two modules as one namespace."""
    warp = start_warp()
    from dsr.rendering import _kernels

    warp.load_module(_kernels, device=device)
    names = dict(vars(_kernels))
    if atomic:
        from dsr.rendering import _kernels_atomic

        warp.load_module(_kernels_atomic, device=device)
        names.update(vars(_kernels_atomic))
    return SimpleNamespace(**{name: value for name, value in names.items() if not name.startswith("_")})


def _writable(folder: Path) -> bool:
    """True if files can be made in a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _without_driver_warning() -> Iterator[None]:
    """Hide what Warp's C++ side writes to stderr on machines without an NVIDIA driver; Python errors pass."""
    if torch.cuda.is_available():
        yield
        return
    with quiet_stderr():
        yield


class WarpBackend:
    """Rasterises with Warp kernels; float32, CPU or the tensors' CUDA device.

    Args:
        threads: CPU threads, each drawing a band of picture rows with the same amount of work; default: what torch
            uses (``torch.get_num_threads()``). The pictures do not depend on it; gradients do in their last digit.
        atomics: accumulate with atomics in two passes, as on CUDA, also on the CPU (one thread; for tests).
    """

    name = "warp"

    def __init__(self, threads: int | None = None, atomics: bool = False) -> None:
        self.threads = threads
        self.atomics = atomics
        self._pool: ThreadPoolExecutor | None = None
        self._owner = os.getpid()

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
        """Draw projected triangles; see :class:`dsr.rendering.renderer.SemanticRenderer` for the definitions.

        Args:
            screen: (B, V, 3) x, y in normalised units and 1/z; 1/z = 0 marks a vertex that cannot be drawn.
            faces: (F, 3) int32.
            attributes: (N, C) or (B, N, C) with N = V or F.
            per_vertex: whether attributes belong to vertices.
            depth_range: (B, 2) nearest and farthest depth, metres.
            size: (H, W) pixels.
            settings: how to blend.

        Returns:
            Colours (B, H, W, C), alpha (B, H, W), depth (B, H, W) of the nearest face in metres with 0 for none, and
            that face (B, H, W) int64 with -1 for none.
        """
        job = _Job(self, faces.contiguous(), per_vertex, depth_range.contiguous(), size, settings)
        return _Soft.apply(screen, attributes, job)

    def bands(self, work: Callable[[], Tensor], rows: int, device: torch.device) -> list[tuple[int, int]]:
        """Runs of picture rows with about the same work, one per thread."""
        count = self.threads or torch.get_num_threads()
        if device.type != "cpu" or self.atomics or count < 2 or rows < 2:
            return [(0, rows)]
        done = work().cumsum(0)
        goals = done[-1] * torch.arange(1, count, dtype=done.dtype) / count
        cuts = (torch.searchsorted(done, goals) + 1).clamp(max=rows).tolist()
        edges = [0, *cuts, rows]
        return [(a, b) for a, b in pairwise(edges) if b > a]

    def on_bands(self, work: Callable[[int, int, int], None], bands: list[tuple[int, int]]) -> None:
        """Call ``work(index, first row, last row)`` for every band, all but the first on other threads."""
        if self._owner != os.getpid():  # threads do not survive a fork
            self._pool, self._owner = None, os.getpid()
        if len(bands) > 1 and self._pool is None:
            self._pool = ThreadPoolExecutor(len(bands) - 1, "dsr-raster")
        others = [self._pool.submit(work, i, *bands[i]) for i in range(1, len(bands))] if self._pool else []
        work(0, *bands[0])
        for other in others:
            other.result()

    def __getstate__(self) -> dict[str, Any]:
        return {"threads": self.threads, "atomics": self.atomics, "_pool": None, "_owner": 0}


class _Job:
    """One picture (or batch): everything that is no tensor to differentiate."""

    def __init__(
        self,
        backend: WarpBackend,
        faces: Tensor,
        per_vertex: bool,
        depth_range: Tensor,
        size: tuple[int, int],
        settings: RenderSettings,
    ) -> None:
        self.backend, self.faces, self.per_vertex = backend, faces, per_vertex
        self.depth_range, self.size, self.settings = depth_range, size, settings
        self.atomic = backend.atomics or faces.device.type != "cpu"
        self.kernels = kernels(str(faces.device), self.atomic)

    def plan(self, screen: Tensor, attributes: Tensor) -> None:
        """Fix the scene's numbers and the bands."""
        height, width = self.size
        settings = self.settings
        scene = self.kernels.Scene()
        scene.width, scene.height, scene.channels = width, height, attributes.shape[-1]
        scene.num_vertices, scene.num_faces = screen.shape[1], len(self.faces)
        scene.per_vertex = int(self.per_vertex)
        scene.attribute_stride = attributes.shape[1] if attributes.ndim == 3 else 0
        scene.half = 0.5 * min(height, width)
        scene.sigma, scene.cut, scene.gamma = settings.sigma, settings.cut, settings.gamma
        scene.eps = settings.eps if settings.blend == "softras" else 1e-10
        scene.discard = int(settings.blend == "softras" and settings.occlusion == "camera")
        self.scene = scene
        self.rows = screen.shape[0] * height
        self.bands = self.backend.bands(lambda: self.work(screen), self.rows, screen.device)

    def work(self, screen: Tensor) -> Tensor:
        """Pixels that triangles visit, per picture row (B H,), from about 2000 of them, as a measure of time."""
        count = screen.shape[0] * len(self.faces)
        step = max(count // 2048, 1)
        steps = screen.new_zeros(self.rows + 1)
        inputs = [self.scene_of(0, self.rows), step, screen.view(-1, 3), self.faces, self.depth_range, steps]
        self.launch(self.kernels.measure, -(-count // step), inputs, screen.device)
        return steps.cumsum(0)[:-1].clamp(min=0) + 1e-3 * self.size[1]

    def scene_of(self, first: int, last: int) -> Any:
        """The scene of one band."""
        base, scene = self.scene, self.kernels.Scene()
        for name in base._cls.vars:
            setattr(scene, name, getattr(base, name))
        scene.first_row, scene.last_row = first, last
        return scene

    def threads_of(self, first: int, last: int) -> tuple[int, int]:
        """First triangle (counted through the batch) and number of triangles that can touch some rows."""
        height, count = self.size[0], len(self.faces)
        item, end = first // height, -(-last // height)
        return item * count, (end - item) * count

    def launch(self, kernel: Any, dim: int, inputs: list[Any], device: torch.device) -> None:
        """Run a kernel on torch tensors."""
        warp = start_warp()
        if dim == 0:
            return
        arrays = [_array(value) if isinstance(value, Tensor) else value for value in inputs]
        if device.type == "cpu":
            warp.launch(kernel, dim=dim, inputs=arrays, device="cpu")
            return
        stream = warp.stream_from_torch(torch.cuda.current_stream(device))
        warp.launch(kernel, dim=dim, inputs=arrays, device=stream.device, stream=stream)


def _array(tensor: Tensor) -> Any:
    """A torch tensor as a Warp array without copying: (N, 2) and (N, 3) become vectors."""
    warp = start_warp()
    vectors = {
        (torch.float32, 2): warp.vec2,
        (torch.float32, 3): warp.vec3,
        (torch.int32, 3): warp.vec3i,
    }
    dtype = vectors[tensor.dtype, tensor.shape[-1]] if tensor.ndim == 2 else None
    return warp.from_torch(tensor, dtype=dtype, requires_grad=False, return_ctype=True)


class _Soft(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, screen: Tensor, attributes: Tensor, job: _Job) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        screen, attributes = screen.detach().contiguous(), attributes.detach().contiguous()
        batch, (height, width) = screen.shape[0], job.size
        channels, pixels = attributes.shape[-1], batch * height * width
        job.plan(screen, attributes)
        k, settings, device = job.kernels, job.settings, screen.device
        background = torch.tensor(_background(settings, channels), device=device)
        # the bands start their own pixels: every operation of torch on a whole picture would wait for all its threads
        colour = screen.new_empty(pixels * channels)
        total, peak, keep, alpha, depth = (screen.new_empty(pixels) for _ in range(5))
        face_index = torch.empty(pixels, dtype=torch.int64, device=device)
        points, values = screen.view(-1, 3), attributes.view(-1)
        mesh = [points, job.faces]
        if job.atomic:
            nearest = torch.full((pixels,), _FARTHEST, dtype=torch.int64, device=device)
            log_keep = screen.new_zeros(pixels)
            first, dim = job.threads_of(0, job.rows)
            scene = job.scene_of(0, job.rows)
            job.launch(k.clear, pixels, [scene, colour, total, peak, keep, depth, face_index], device)
            job.launch(k.find_peak, dim, [scene, first, *mesh, job.depth_range, peak, nearest], device)
            inputs = [scene, first, *mesh, values, job.depth_range, peak, colour, total, log_keep]
            job.launch(k.accumulate, dim, inputs, device)
            face_index = torch.where(nearest < _FARTHEST, nearest & 0xFFFFFFFF, -1)
            depth = torch.where(nearest < _FARTHEST, (nearest >> 32).to(torch.float32) * 1e-6, 0.0)
            keep = log_keep.exp_()

        def paint(_: int, first_row: int, last_row: int) -> None:
            scene, count = job.scene_of(first_row, last_row), (last_row - first_row) * width
            if not job.atomic:
                job.launch(k.clear, count, [scene, colour, total, peak, keep, depth, face_index], device)
                first, dim = job.threads_of(first_row, last_row)
                inputs = [scene, first, *mesh, values, job.depth_range, colour, total, peak, keep, depth, face_index]
                job.launch(k.draw, dim, inputs, device)
            inputs = [scene, int(settings.blend == "pytorch3d"), background, colour, total, peak, keep, alpha]
            job.launch(k.finish, count, inputs, device)

        job.backend.on_bands(paint, job.bands)
        ctx.job = job
        ctx.save_for_backward(screen, attributes, colour, total, peak, keep)
        alpha, depth, face_index = (one.view(batch, height, width) for one in (alpha, depth, face_index))
        ctx.mark_non_differentiable(depth, face_index)
        return colour.view(batch, height, width, channels), alpha, depth, face_index

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_colour: Tensor | None, by_alpha: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        screen, attributes, colour, factor, peak, keep = ctx.saved_tensors
        job: _Job = ctx.job
        want_screen, want_attributes = ctx.needs_input_grad[:2]
        want_attributes &= by_colour is not None
        width = job.size[1]
        one = screen.new_empty(1)  # stands for what is not needed
        grad_colour = screen.new_empty(colour.shape) if by_colour is not None else one
        dot = screen.new_empty(keep.shape) if by_colour is not None else one
        grad_alpha = by_alpha.contiguous().view(-1) if by_alpha is not None else one
        copies = len(job.bands)
        to_screen = _zeros(copies, screen.numel() if want_screen else 3, screen.device)
        to_attributes = _zeros(copies, attributes.numel() if want_attributes else 1, screen.device)
        points, values = screen.view(-1, 3), attributes.view(-1)
        flags = [int(flag) for flag in (by_colour is not None, by_alpha is not None, want_attributes, want_screen)]

        def pull(band: int, first_row: int, last_row: int) -> None:
            scene = job.scene_of(first_row, last_row)
            if by_colour is not None:
                upstream = [start_warp().vec4i(*by_colour.stride()), _flat(by_colour)]
                inputs = [scene, *upstream, colour, grad_colour, dot]
                job.launch(job.kernels.take_upstream, (last_row - first_row) * width, inputs, screen.device)
            first, dim = job.threads_of(first_row, last_row)
            inputs = [scene, first, *flags, points, job.faces, values, job.depth_range, factor, peak, keep]
            grads = [grad_colour, dot, grad_alpha, to_screen[band].view(-1, 3), to_attributes[band]]
            job.launch(job.kernels.draw_backward, dim, inputs + grads, screen.device)

        job.backend.on_bands(pull, job.bands)
        return (
            _added(to_screen).view(screen.shape) if want_screen else None,
            _added(to_attributes).view(attributes.shape) if want_attributes else None,
            None,
        )


def _flat(tensor: Tensor) -> Tensor:
    """The memory behind a strided tensor from its first element to its last, (N,)."""
    last = sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.detach().as_strided((last + 1,), (1,))


def _zeros(rows: int, columns: int, device: torch.device) -> Tensor:
    """Float zeros; on the CPU from numpy, which does not wake torch's threads to write them."""
    if device.type == "cpu":
        return torch.from_numpy(np.zeros((rows, columns), np.float32))
    return torch.zeros(rows, columns, device=device)


def _added(parts: Tensor) -> Tensor:
    """Sum over the threads' buffers."""
    for part in parts[1:]:
        parts[0].add_(part)
    return parts[0]


def _background(settings: RenderSettings, channels: int) -> list[float]:
    """One background value per channel."""
    values = settings.background if isinstance(settings.background, tuple) else (settings.background,) * channels
    return [float(value) for value in values]
