"""Operations of a window (two per multiply-add) as the specifications count them, less what is saved here."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dsr.lifting import build_lifter

G = 1e9


def operations(name, **config):
    with torch.device("meta"):
        model = build_lifter(name, **config).eval()
        x = torch.zeros(1, model.frames, model.joints, model.inputs)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model(x)
    return counter.get_total_flops()


def queries_once(frames, width):
    """Token recovery projects its learned queries once instead of for each of 17 joints."""
    return 16 * frames * 2 * width**2


def scaled_adjacency(frames, layers):
    """Graphs are normalised by scaling rows and columns, not by two products with diagonal matrices."""
    return 17 * 2 * (2 * frames**3) * layers


def diagonal_products(frames, width):
    """A prior's diagonal scales rows instead of being a product of its own: over time twice, over joints once."""
    return 2 * 17 * 2 * frames**2 * width + frames * 2 * 17**2 * width


def one_convolution(frames, features=17 * 32, blocks=2, kernel=7):
    """Three kernels of one size are summed before they slide: time blocks and joint blocks."""
    in_time = 3 * 2 * (2 * frames**2 * kernel * features)
    over_joints = 3 * 2 * (2 * 32**2 * kernel * 17 * frames)
    return blocks * (in_time + over_joints)


# HoT specification, section 11 (PyTorch's counter); KTPFormer, 13; GLA-GCN, 5; ConvFormer, 4
PUBLISHED = [
    ("mixste", {}, 294.85, 0),
    ("hot-mixste", {}, 176.18, queries_once(243, 512)),
    ("tpc-mixste", {}, 266.85, 0),
    ("mhformer", {}, 16.44, 0),
    ("tpc-mhformer", {}, 9.16, 0),
    ("motionbert", {}, 142.09, 0),
    ("hot-motionbert", {}, 66.86, queries_once(243, 256)),
    ("motionagformer", {}, 128.92, scaled_adjacency(243, 16)),
    ("hot-motionagformer", {}, 76.66, scaled_adjacency(243, 7) + scaled_adjacency(81, 9) + queries_once(243, 128)),
    ("ktpformer", {"frames": 27}, 32.17, diagonal_products(27, 512)),
    ("ktpformer", {"frames": 81}, 98.02, diagonal_products(81, 512)),
    ("ktpformer", {}, 307.77, diagonal_products(243, 512)),
    ("glagcn", {}, 3.246, 0),
    ("glagcn", {"widths": (3,) * 4}, 1.075, 0),
    ("glagcn", {"widths": (3,) * 3}, 0.351, 0),
    *(
        ("convformer", {"frames": f}, m / 1e3, one_convolution(f))
        for f, m in ((9, 98), (27, 364), (81, 1720), (143, 4310), (243, 10814))
    ),
]


@pytest.mark.parametrize(("name", "config", "published", "saved"), PUBLISHED)
def test_operations(name, config, published, saved):
    ours = operations(name, **config)
    assert ours + saved == pytest.approx(published * G, rel=2e-3, abs=6e-3 * G)


def test_pruning_saves_what_is_published():
    for pruned, host, share in (("hot-mixste", "mixste", 0.402), ("hot-motionbert", "motionbert", 0.529)):
        assert 1 - operations(pruned) / operations(host) > share
