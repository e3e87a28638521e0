"""What alignment guarantees, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch

from dsr.adaptation import global_position_alignment
from dsr.adaptation.alignment import pairs, usable_targets
from dsr.camera.lens import project_screen, screen_intrinsic
from dsr.errors import UsageError

CAMERA = screen_intrinsic(torch.tensor([[1500.0, 0, 1010], [0, 1500.0, 1000], [0, 0, 1]]), 2048, 2048)


def people(count, seed=0, focal=CAMERA, spread=1.0):
    """Standing skeletons of random limbs, and their 2D poses in a camera."""
    rng = torch.Generator().manual_seed(seed)
    pose = torch.randn(count, 16, 3, generator=rng) * torch.tensor([0.2, 0.5, 0.15])
    pose[:, 0] = 0
    place = torch.rand(count, 1, 3, generator=rng) * torch.tensor([2.0, 1.0, 3.0]) * spread
    placed = pose + place - torch.tensor([1.0, 0.5, -3.5])
    return pose, placed, project_screen(placed, focal)


def align(source, target, camera=CAMERA, **more):
    return global_position_alignment(source, target, camera, generator=torch.Generator().manual_seed(3), **more)


def test_roots_land_where_the_targets_are_and_sizes_agree():
    source, _, _ = people(2000)
    _, _, target = people(1500, seed=1)
    found = align(source, target)
    on = found.valid
    assert float(on.float().mean()) > 0.9
    assert float((found.screen[on, 0] - target[found.pair][on, 0]).abs().max()) < 1e-6
    size = [(s.amax(1) - s.amin(1)).sum(-1) / 2 for s in (found.screen[on], target[found.pair][on])]
    ratio = size[0] / size[1]
    assert 0.97 < float(ratio.mean()) < 1.05 and float(ratio.std()) < 0.06
    assert float(torch.corrcoef(torch.stack(size))[0, 1]) > 0.97


def test_only_the_place_changes():
    source, _, _ = people(50)
    _, _, target = people(50, seed=1)
    rows = torch.arange(50)
    found = align(source + 7.0, target, pair=rows)
    torch.testing.assert_close(found.poses_m - found.poses_m[:, :1], source, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.poses_m, align(source, target, pair=rows).poses_m, rtol=0, atol=1e-4)
    # Twice is once; a body twice as large stands twice as far and looks the same.
    torch.testing.assert_close(align(found.poses_m, target, pair=rows).poses_m, found.poses_m, rtol=0, atol=1e-4)
    torch.testing.assert_close(align(2 * source, target, pair=rows).screen, found.screen, rtol=0, atol=1e-5)
    assert found.poses_m.grad_fn is None


def test_flat_poses_fill_the_box_exactly():
    source, _, _ = people(40)
    source[..., 2] = 0
    _, _, target = people(40, seed=1)
    found = align(source, target, pair=torch.arange(40))
    size = [(s.amax(1) - s.amin(1)).sum(-1) / 2 for s in (found.screen, target)]
    torch.testing.assert_close(size[0], size[1], rtol=0, atol=1e-5)


def test_every_target_is_drawn_alike():
    drawn = pairs(10, 4, torch.Generator().manual_seed(0))
    assert sorted(torch.bincount(drawn, minlength=4).tolist()) == [2, 2, 3, 3]
    assert sorted(drawn[:4].tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("focal", [300.0, 1500.0, 20000.0])
def test_any_focal_length_and_portrait_pictures(focal):
    camera = screen_intrinsic(torch.tensor([[focal, 0, 540], [0, focal, 960], [0, 0, 1]]), 1080, 1920)
    source, _, _ = people(60)
    target = torch.rand(60, 16, 2) * torch.tensor([0.4, 1.2]) + torch.tensor([-0.2, -1.6])
    found = align(source, target, camera, extent=1920 / 1080)
    assert bool(found.poses_m.isfinite().all() & found.screen.isfinite().all())
    assert bool(usable_targets(target, 1920 / 1080).all()) and not bool(usable_targets(target).all())
    if focal == 1500.0:
        on = found.valid
        assert float(on.float().mean()) > 0.9
        assert float((found.screen[on, 0] - target[found.pair][on, 0]).abs().max()) < 1e-5


def test_unusable_people_are_marked_and_never_nan():
    source, _, _ = people(6)
    _, _, target = people(6, seed=1)
    target[0, 3] = math.nan
    target[1, 5] = 0.0  # a missing joint as 3DHP's converter writes it
    target[2] *= 0.001
    target[3, :, 0] += 3.0
    found = align(source, target, pair=torch.arange(6))
    assert found.valid.tolist()[:4] == [False] * 4 and bool(found.valid[4:].all())
    assert bool(found.poses_m.isfinite().all() & found.screen.isfinite().all())


@pytest.mark.parametrize("focal", [0.0, -1.0, math.nan, math.inf])
def test_cameras_that_are_none_place_nobody(focal):
    source, _, target = people(4)
    camera = CAMERA.expand(4, 9).clone()
    camera[1, :2] = focal
    source[2, 3] = math.nan
    found = align(source, target, camera, pair=torch.arange(4))
    assert found.valid.tolist() == [True, False, False, True]
    assert bool(found.poses_m.isfinite().all() & found.screen.isfinite().all())


def test_what_does_not_fit_is_refused():
    source, _, target = people(4)
    with pytest.raises(UsageError, match="do not fit"):
        align(source, torch.cat((target, target[..., :1]), -1))
    with pytest.raises(UsageError, match="do not fit"):
        align(source, target[:, :12])
    with pytest.raises(UsageError, match="no target person"):
        align(source, target[:0])
