"""How the small recipes start HoT's recovery."""

import pytest
import torch

from dsr.lifting import build_lifter
from dsr.training.systems.lifter.presets import lifter_preset
from dsr.training.systems.lifter.start import start_recovery
from dsr.training.systems.lifter.task import LifterTask


@pytest.mark.parametrize("model", ["hot-mixste", "hot-motionbert", "hot-motionagformer", "hot-ktpformer"])
def test_every_frame_asks_for_the_kept_frame_of_its_time(model):
    """Published, all ask alike and get the mean of the window."""
    torch.manual_seed(0)
    lifter = LifterTask(lifter_preset("mocap", model), [], []).build_model()
    attention = lifter.cross_attention
    query = attention.linear_q(lifter.x_token[0]).unflatten(-1, (attention.heads, -1))
    # What keys know of their time alone, when the kept frames are spread evenly.
    key = attention.linear_k(lifter.pos_embed_token[0]).unflatten(-1, (attention.heads, -1))
    scores = torch.einsum("fhd,khd->hfk", query, key).mean(0)
    assert scores.shape == (27, 9)
    nearest = torch.arange(27) // 3
    assert ((scores.argmax(1) - nearest).abs() <= 1).all()
    assert (scores.argmax(1) == nearest).float().mean() > 0.8


def test_published_tables_stay_at_zero():
    config = lifter_preset("published", "hot-mixste")
    network = LifterTask(config, [], []).build_model()
    assert not network.x_token.any() and not network.pos_embed_token.any()


def test_heads_of_an_odd_width_start_too():
    lifter = build_lifter("hot-mixste", frames=9, width=20, heads=4, depth=2, keep=3, before=1)
    start_recovery(lifter)
    assert lifter.x_token.std() > 0.1 and lifter(torch.rand(1, 9, 17, 2)).isfinite().all()
