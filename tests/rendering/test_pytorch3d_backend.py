"""The PyTorch3D backend: its blends without PyTorch3D, and the whole of it where it is installed."""

from __future__ import annotations

import dataclasses

import pytest
import soft_reference
import torch

from dsr.rendering import RenderSettings, SemanticRenderer
from dsr.rendering.pytorch3d_backend import blend

SIZE = (20, 24)
K = torch.tensor([[30.0, 0, 12], [0, 30, 10], [0, 0, 1]])
SETTINGS = [
    RenderSettings(sigma=2e-3, gamma=0.05, blend="softras", background=0.2),
    RenderSettings(sigma=2e-3, gamma=0.1, blend="softras", occlusion="camera", near=2.2, far=3.2),
    RenderSettings(sigma=2e-3, gamma=0.05, blend="pytorch3d", background=(0.1, 0.5, 0.9)),
]


def mesh():
    generator = torch.Generator().manual_seed(4)
    vertices = torch.rand(14, 3, generator=generator) * torch.tensor([1.4, 1.2, 1.5]) + torch.tensor([-0.7, -0.6, 2.0])
    faces = torch.stack([torch.randperm(14, generator=generator)[:3] for _ in range(10)])
    return vertices, faces, torch.rand(10, 3, generator=generator)


@pytest.mark.parametrize("settings", SETTINGS, ids=["body", "camera", "pytorch3d"])
def test_blending_fragments_is_what_the_reference_does(settings):
    vertices, faces, attributes = (one.double() if one.is_floating_point() else one for one in mesh())
    near, deep = float(vertices[:, 2].min()), float(vertices[:, 2].max())
    ends = (near, 2 * deep - near) if settings.occlusion == "body" else (settings.near, settings.far)
    found = soft_reference.fragments(vertices, faces, attributes, False, K.double(), SIZE, settings)
    d, mask, _, z, values = (torch.stack(part, 2)[None] for part in zip(*found, strict=True))
    colour, alpha = blend(values, z, -d, mask, torch.tensor([ends], dtype=torch.float64), settings)
    wanted = soft_reference.render(vertices, faces, attributes, K.double(), SIZE, settings, depth_range=ends)
    assert torch.allclose(colour[0].permute(2, 0, 1), wanted[0], atol=1e-9)
    assert torch.allclose(alpha[0], wanted[1], atol=1e-9)


@pytest.mark.parametrize("settings", SETTINGS, ids=["body", "camera", "pytorch3d"])
def test_both_backends_draw_the_same(settings):
    pytest.importorskip("pytorch3d", reason="PyTorch3D is not installed (no wheel for this torch)")
    vertices, faces, attributes = mesh()
    # Face 3 is 0.02 px high: PyTorch3D's gradient through its barycentric coordinates explodes there (forty times the
    # largest entry, where Warp follows the reference), so the two are compared without it.
    faces, attributes = (torch.cat((one[:3], one[4:])) for one in (faces, attributes))
    settings = dataclasses.replace(settings, sigma=1e-4)  # beside triangles the two clip z differently
    results = []
    for name in ("warp", "pytorch3d"):
        renderer = SemanticRenderer(settings, name)
        if name == "pytorch3d":
            renderer.backend.faces_per_pixel = 20
        moving = vertices[None].clone().requires_grad_()
        picture = renderer(moving, faces, attributes, K, SIZE)
        (grad,) = torch.autograd.grad(picture.attributes.sum() + picture.alpha.sum(), moving)
        results.append((picture, grad))
    (ours, our_grad), (theirs, their_grad) = results
    assert (ours.alpha - theirs.alpha).abs().max() < 1e-3
    assert (ours.attributes - theirs.attributes).abs().max() < 1e-2
    assert (ours.face_index == theirs.face_index).float().mean() > 0.99
    assert (our_grad - their_grad).abs().max() < 0.05 * our_grad.abs().max()
