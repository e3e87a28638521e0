"""How the renderer starts: light imports, a quiet Warp, caches that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

DRAW = """
import torch
from dsr.rendering import RenderSettings, SemanticRenderer
vertices = torch.tensor([[[-1.0, -1, 2], [1, -1, 2], [0, 1, 2]]], requires_grad=True)
picture = SemanticRenderer(RenderSettings(sigma=1e-2), "warp", threads=2)(
    vertices, torch.tensor([[0, 1, 2]]), torch.ones(1, 2), torch.tensor([[8.0, 0, 8], [0, 8, 8], [0, 0, 1]]), (16, 16)
)
picture.attributes.sum().backward()
assert picture.alpha.max() > 0.9 and vertices.grad.abs().max() > 0
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    everything = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-c", code], env=everything, capture_output=True, text=True, timeout=120)


def test_imports_stay_light():
    code = "import sys, dsr, dsr.rendering as r; r.RenderSettings(), r.rasterise, r.ZBuffer\n"
    done = run(code + "print(sorted({'torch', 'warp', 'mediapipe', 'pytorch3d'} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


def test_drawing_says_nothing(tmp_path):
    done = run(DRAW, WARP_CACHE_PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""
    assert list(tmp_path.rglob("*kernels*")), "the kernels were not kept"


def test_a_cache_folder_that_cannot_be_made_is_replaced(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run(DRAW, WARP_CACHE_PATH=str(tmp_path / "file" / "cache"), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("warp-cache-*"))


def test_a_cache_folder_that_cannot_be_written_is_replaced(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    # chmod means nothing to root, so the check itself is told that this folder is closed
    closed = (
        "import dsr.rendering.warp_backend as b; real = b._writable\n"
        f"b._writable = lambda folder: not str(folder).startswith({str(cache)!r}) and real(folder)\n"
    )
    done = run(closed + DRAW, WARP_CACHE_PATH=str(cache), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("warp-cache-*/**/*kernels*"))
    assert not list(cache.rglob("*kernels*"))
