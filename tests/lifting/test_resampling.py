"""Tracks at a lifter's rate and back at all frames."""

from types import SimpleNamespace

import pytest
import torch

from dsr.errors import UsageError
from dsr.lifting.resampling import rate_factors, repeat_ends, resample, restore


@pytest.mark.parametrize(
    ("fps", "factors"),
    [(30.0, (1, 1)), (44.0, (1, 1)), (46.0, (2, 1)), (50.0, (2, 1)), (100.0, (3, 1)), (21.0, (1, 1)), (12.0, (1, 2))],
)
def test_the_nearest_whole_factor_is_taken(fps, factors):
    """At 30 frames per second; 50 is nearer to twice as fast than to as fast."""
    assert rate_factors(SimpleNamespace(fps=30.0, frames=27), fps) == factors


def test_rates_that_say_nothing_leave_the_track_as_it_is():
    assert rate_factors(SimpleNamespace(fps=None, frames=27), 60.0) == (1, 1)
    assert rate_factors(SimpleNamespace(fps=30.0, frames=27), None) == (1, 1)
    assert rate_factors(SimpleNamespace(fps=30.0, frames=1), 60.0) == (1, 1)
    assert rate_factors(SimpleNamespace(fps=30.0, frames=3), 1.0) == (1, 3)
    with pytest.raises(UsageError, match="above 0"):
        rate_factors(SimpleNamespace(fps=30.0, frames=27), 0.0)


@pytest.mark.parametrize(("faster", "slower"), [(1, 1), (2, 1), (3, 1), (1, 2), (1, 4)])
@pytest.mark.parametrize("frames", [1, 2, 7, 12])
def test_a_straight_track_comes_back_as_it_was(faster, slower, frames):
    track = torch.arange(float(frames))[:, None, None] * torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    parts = resample(track, faster, slower)
    assert len(parts) == min(faster, frames)
    assert all(len(part) == (frames - 1) * slower + 1 for part in parts) or slower == 1
    restored = restore(parts, frames, faster, slower)
    assert restored.shape == track.shape
    held = (faster - 1) if frames > 1 else 0  # phases that start late or end early repeat their ends
    inner = slice(held, frames - held)
    torch.testing.assert_close(restored[inner], track[inner])


def test_ends_are_repeated():
    track = torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    assert repeat_ends(track, 2, 1).flatten().tolist() == [1, 1, 1, 2, 4, 4]
