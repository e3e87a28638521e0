"""Recorded pictures of the soft rasteriser: both blends at two sigmas, gradients, depth and the z-buffer."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from recorded import Recording, gradients, numbers, uniform
from torch import Tensor

from dsr.rendering import RenderSettings, SemanticRenderer

recording = Recording("rendering")
SIZE = (24, 30)
SETTINGS = {
    "sharp": RenderSettings(sigma=1e-5),
    "soft": RenderSettings(sigma=1e-3, gamma=0.05),
    "camera": RenderSettings(sigma=1e-3, gamma=0.1, occlusion="camera", near=1.5, far=4.0, background=(0.3, 0.1, 0.9)),
    "pytorch3d": RenderSettings(sigma=1e-3, gamma=0.05, blend="pytorch3d", background=0.25),
    "published": RenderSettings.published(sigma=1e-4),
}


def scene() -> tuple[Tensor, Tensor, Tensor]:
    """Triangles that cover each other in front of a camera whose fx is not fy."""
    places = uniform("vertices", 2, 18, 3) * [0.8, 0.6, 0.7] + [0, 0, 2.8]
    faces = np.array([np.argsort(uniform(f"face {i}", 18))[:3] for i in range(20)])
    K = torch.tensor([[33.0, 0.4, 15.5], [0, 31.0, 11.6], [0, 0, 1]])
    return torch.from_numpy(places).float(), torch.from_numpy(faces), K


def drawn(name: str, at: str):
    vertices, faces, K = scene()
    attributes = numbers("attributes", 20 if at == "faces" else 18, 3, low=0, dtype=torch.float32)
    leaves = [vertices.requires_grad_(), attributes.requires_grad_()]
    picture = SemanticRenderer(SETTINGS[name], "warp", threads=1)(leaves[0], faces, leaves[1], K, SIZE, at)
    both = torch.cat((picture.attributes, picture.alpha[:, None]), 1)
    grads = gradients(both, leaves)
    return {
        "attributes": picture.attributes,
        "alpha": picture.alpha,
        "depth": picture.depth,
        "nearest": picture.face_index,
        "gradient of vertices": grads[0],
        "gradient of attributes": grads[1],
        "radius": torch.tensor([SETTINGS[name].blur_radius], dtype=torch.float64),
    }


for _name in SETTINGS:
    recording.add(f"{_name} faces", partial(drawn, _name, "faces"))
recording.add("soft vertices", partial(drawn, "soft", "vertices"))


@pytest.mark.parametrize("name", recording.cases)
def test_recorded(name):
    recording.check(name)
