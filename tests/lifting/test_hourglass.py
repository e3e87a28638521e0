"""Kept frames that know their time."""

import torch

from dsr.lifting import build_lifter
from dsr.lifting.hourglass import FramePruning


def test_positions_follow_the_time_of_a_frame_not_its_rank():
    table = torch.arange(9.0)[None, :, None].expand(1, 9, 4)
    index = torch.tensor([[0, 1, 2, 13, 14, 22, 24, 25, 26], [1, 4, 7, 10, 13, 16, 19, 22, 25]])
    ranks = FramePruning(9, 1).positions(table, index, 27)
    assert ranks is table
    times = FramePruning(9, 1, by_time=True).positions(table, index, 27)
    assert times.shape == (2, 9, 4)
    assert torch.allclose(times[1, :, 0], torch.arange(9.0))  # evenly kept: the ranks
    expected = ((index[0] + 0.5) / 3 - 0.5).clamp(0, 8)
    assert torch.allclose(times[0, :, 0], expected)


def test_one_kept_frame_is_enough():
    lifter = build_lifter("hot-mixste", frames=5, width=16, depth=2, heads=2, keep=1, before=1, by_time=True).eval()
    assert lifter(torch.rand(2, 5, 17, 2)).isfinite().all()


def test_poses_depend_on_when_frames_were():
    """The same kept tokens at other times give other poses; by rank they cannot."""
    torch.manual_seed(0)
    for by_time in (False, True):
        lifter = build_lifter("hot-motionagformer", frames=9, width=16, depth=2, keep=3, before=1, by_time=by_time)
        torch.nn.init.normal_(lifter.pos_embed_token)
        torch.nn.init.normal_(lifter.x_token)
        lifter.eval()
        x = torch.rand(1, 1, 17, 3).expand(1, 9, 17, 3).contiguous()  # a person standing still
        early, late = (lifter.lift(x, index=torch.tensor([kept]))[0] for kept in ([0, 1, 2], [0, 4, 8]))
        assert torch.allclose(early, late, atol=1e-6) is not by_time
