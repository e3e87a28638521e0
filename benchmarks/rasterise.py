"""Times the soft rasteriser, forward and backward, on the open body: python benchmarks/rasterise.py.

One body fills 90 % of the picture's height, 9 channels per face, gradients to the vertices. Faces inside the body
(``asset.interior``: mouth, eyeballs) are left out by the caller, as in every loss; ``--interior`` draws them too. On a
busy machine look at ``best`` and ``cpu``: the time of the best run, and the processor time (of all threads) of the
cheapest one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

import torch
from torch import Tensor

from dsr.body import load_body
from dsr.rendering import RenderSettings, SemanticRenderer

CHANNELS = 9
Scene = tuple[Tensor, Tensor, Tensor, Tensor, tuple[int, int]]


def scene(name: str, size: int, batch: int, interior: bool, device: str) -> Scene:
    """Bodies at rest four metres away, filling 90 % of the picture: vertices, faces, attributes, K, size."""
    body = load_body(name)
    betas = torch.zeros(batch, body.num_betas)
    vertices = body(betas=betas).vertices.detach() * torch.tensor([1.0, -1, -1])
    vertices = vertices - vertices.mean(1, keepdim=True) + torch.tensor([0, 0, 4.0])
    rays = vertices[0, :, :2] / vertices[0, :, 2:]
    low, high = rays.amin(0), rays.amax(0)
    focal = 0.9 * size / float((high - low).max())
    centre = size / 2 - focal * (low + high) / 2
    K = torch.tensor([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    faces = body.faces if interior else body.faces[~torch.as_tensor(body.asset.interior)]
    attributes = torch.rand(len(faces), CHANNELS, generator=torch.Generator().manual_seed(0))
    on = (one.to(device) for one in (vertices, faces, attributes, K))
    return (*on, (size, size))


def measure(work: Callable[[], None], rounds: int, device: str, warm: int = 2) -> tuple[float, float, float]:
    """Best and median wall time and least processor time of one call, milliseconds, after ``warm`` calls."""
    walls, cpus = [], []
    for i in range(rounds + warm):
        start, cpu = time.perf_counter(), time.process_time()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if i >= warm:
            walls.append(1e3 * (time.perf_counter() - start))
            cpus.append(1e3 * (time.process_time() - cpu))
    return min(walls), median(walls), min(cpus)


def passes(renderer: SemanticRenderer, drawn: Scene) -> tuple[Callable[[], None], Callable[[], None]]:
    """The forward pass alone, and forward and backward."""
    vertices, faces, attributes, K, size = drawn
    generator = torch.Generator().manual_seed(1)
    upstream = [torch.randn(len(vertices), *shape, *size, generator=generator) for shape in ((CHANNELS,), ())]
    upstream = [one.to(vertices.device) for one in upstream]
    moving = vertices.clone().requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            renderer(moving, faces, attributes, K, size)

    def both() -> None:
        picture = renderer(moving, faces, attributes, K, size)
        torch.autograd.grad((picture.attributes, picture.alpha), moving, upstream)

    return forward, both


def main() -> None:
    """Print one line per case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--interior", action="store_true", help="draw the faces inside the body, too")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--faces-per-pixel", type=int, default=8, help="of PyTorch3D")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cases = [
        ("open-light", 224, 1, 1e-7),
        ("open-light", 224, 1, 1e-5),
        ("open-light", 224, 1, 1e-4),
        ("open", 224, 1, 1e-5),
        ("open-light", 512, 1, 1e-5),
        ("open-light", 224, 32, 1e-5),
    ]
    if options.device == "cuda":
        cases += [("open-light", 224, 64, 1e-7), ("open-light", 224, 64, 1e-5)]
    with_p3d = find_spec("pytorch3d") is not None
    start = time.perf_counter()
    renderer = SemanticRenderer(RenderSettings(), "warp", options.threads)
    passes(renderer, scene("open-light", 32, 1, False, options.device))[1]()
    print(f"first call {time.perf_counter() - start:.1f} s; {options.threads} threads on {os.cpu_count()} processors")
    others = f"faces_per_pixel={options.faces_per_pixel}, same blur" if with_p3d else "not installed"
    print(f"PyTorch3D: {others}; load before: {_load()}")
    print(f"{'body':<11}{'faces':>6}{'size':>5}{'batch':>6}{'sigma':>8}", end="")
    print(f"{'forward':>9}{'both: best':>12}{'median':>8}{'cpu':>8}  ms   PyTorch3D / ours")
    for name, size, batch, sigma in cases:
        drawn = scene(name, size, batch, options.interior, options.device)
        rounds = max(options.rounds // batch, 5)
        forward, both = passes(SemanticRenderer(RenderSettings(sigma=sigma), "warp", options.threads), drawn)
        fast = measure(forward, rounds, options.device)[0]
        best, middle, cpu = measure(both, rounds, options.device)
        ratio = "-"
        if with_p3d:
            rival = SemanticRenderer(RenderSettings(sigma=sigma), "pytorch3d")
            rival.backend.faces_per_pixel = options.faces_per_pixel  # type: ignore[attr-defined]
            slow = options.device == "cpu"  # seconds per body: one call, and no warming for batches
            theirs = measure(
                passes(rival, drawn)[1], 1 if slow else rounds, options.device, int(batch == 1) if slow else 2
            )[0]
            ratio = f"{theirs / best:.1f}x ({theirs:.0f} ms)"
        print(f"{name:<11}{len(drawn[1]):>6}{size:>5}{batch:>6}{sigma:>8.0e}", end="")
        print(f"{fast:>9.1f}{best:>12.1f}{middle:>8.1f}{cpu:>8.1f}       {ratio}", flush=True)
    print(f"load after: {_load()}")


def _load() -> str:
    """The machine's load averages, where the system has them."""
    return " ".join(f"{one:.1f}" for one in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    main()
