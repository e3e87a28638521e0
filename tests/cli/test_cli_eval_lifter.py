"""How dsr-eval lifter shows motion capture to lifters."""

from types import SimpleNamespace

import pytest

from dsr.cli.eval_lifter import LifterEvalCommand, _chosen, _windows, run_lifter
from dsr.errors import UsageError

DETECTED = SimpleNamespace(keypoints="blazepose33", fps=30.0)
PROJECTED = SimpleNamespace(keypoints="h36m17", fps=10.0)
SILENT = SimpleNamespace(keypoints=None, fps=None)


def seen(*models, **flags):
    windows = _windows(LifterEvalCommand(data="mocap:clips", **flags), models)
    return windows.keypoints, windows.fps


def test_as_in_training():
    assert seen(DETECTED, SILENT) == ("blazepose33", 30.0)
    assert seen(PROJECTED) == ("h36m17", 10.0)
    assert seen(SILENT) == ("h36m17", 0.0)


def test_flags_go_before_and_settle_a_disagreement():
    with pytest.raises(UsageError, match=r"--keypoints: these lifters were trained with blazepose33 and h36m17"):
        seen(DETECTED, PROJECTED)
    with pytest.raises(UsageError, match=r"--fps: .* 10\.0 and 30\.0"):
        seen(DETECTED, PROJECTED, keypoints="h36m17")
    assert seen(DETECTED, PROJECTED, keypoints="h36m17", fps=30) == ("h36m17", 30)


def test_actions_are_chosen_without_take_and_subject():
    names = ("Walking 1", "Walking 2", "Jog/S1", "Jog/S2", "Box/S1")
    tracks = [SimpleNamespace(subject="S1", action=name) for name in names]

    def chosen(*only):
        return [track.action for track in _chosen(tracks, LifterEvalCommand(data="humaneva:d", only=only))]

    assert chosen("Walking") == ["Walking 1", "Walking 2"]
    assert chosen("Jog") == ["Jog/S1", "Jog/S2"] and chosen("Jog/S2", "Box") == ["Jog/S2", "Box/S1"]
    with pytest.raises(UsageError, match=r"--only Run: humaneva:d has Box, Box/S1"):
        chosen("Run")


def test_an_unknown_device_is_told():
    with pytest.raises(UsageError, match="--device bogus"):
        run_lifter(LifterEvalCommand(data="mocap:clips", device="bogus"))
