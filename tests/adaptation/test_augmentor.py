"""Augmented poses are people's: lengths, symmetry, turns; the discriminator learns; one pose alone is refused."""

from __future__ import annotations

import math

import pytest
import torch

from dsr.adaptation import PARTS16, PARTS17, PoseAugmentor
from dsr.adaptation.bones import bone_lengths, from_bones, to_bones, turn
from dsr.adaptation.discriminators import PartDiscriminator, centred_screen
from dsr.errors import UsageError
from dsr.losses.adaptation import lsgan_discriminator_loss
from dsr.tracks.skeleton import H36M17


def poses(count=12, joints=17, seed=0):
    made = torch.randn(count, joints, 3, generator=torch.Generator().manual_seed(seed)) * 0.3
    return made - made[:, :1]


def lengths(pose, parts):
    return bone_lengths(to_bones(pose, parts))[..., 0]


@pytest.mark.parametrize(("joints", "parts"), [(16, PARTS16), (17, PARTS17)])
def test_bones_keep_what_they_must(joints, parts):
    torch.manual_seed(0)
    augmentor, source = PoseAugmentor(joints, width=16), poses(joints=joints)
    with torch.no_grad():
        made = augmentor(source)
    torch.testing.assert_close(lengths(made.bent_m, parts), lengths(source, parts), rtol=0, atol=1e-5)
    kept = list(parts.keep_direction)
    torch.testing.assert_close(
        to_bones(made.bent_m, parts)[:, kept], to_bones(source, parts)[:, kept], rtol=0, atol=1e-6
    )
    assert float(made.bend.max()) > 0.05 and float(made.bend[:, kept].abs().max()) < 1e-5
    grown = lengths(made.poses_m, parts) / lengths(source, parts) - 1
    assert float(grown.abs().max()) <= 0.2 + 1e-5 and float(made.ratio[:, 4].abs().max()) == 0
    expected = made.ratio[:, list(parts.ratio_of)]
    torch.testing.assert_close(grown, expected, rtol=0, atol=1e-4)
    distances = [torch.cdist(p, p) for p in (augmentor.turned(source, augmentor.turns(torch.randn(12, 3))), source)]
    torch.testing.assert_close(*distances, rtol=0, atol=1e-5)


def test_groups_of_17_joints_are_symmetric():
    left, right = ([j - 1 for j in side] for side in (H36M17.left, H36M17.right))
    ratio = PARTS17.ratio_of
    assert [ratio[b] for b in left] == [ratio[b] for b in right]
    for parts in (PARTS16, PARTS17):
        assert len(parts.ratio_of) == parts.bones and set(parts.ratio_of) == set(range(9))


def test_zero_parameters_change_nothing():
    augmentor, source = PoseAugmentor(16, width=8), poses(joints=16)
    bent, bend = augmentor.bend(source, torch.zeros(12, 45))
    torch.testing.assert_close(bent, source, rtol=0, atol=1e-6)
    assert float(bend.abs().max()) < 1e-6
    angle = torch.zeros(12, 3, requires_grad=True)
    turned = turn(source, angle)
    torch.testing.assert_close(turned, source, rtol=0, atol=1e-6)
    turned.square().sum().backward()
    assert bool(angle.grad.isfinite().all())
    torch.testing.assert_close(from_bones(to_bones(source, PARTS16), PARTS16), source, rtol=0, atol=1e-6)


def test_limited_turns_keep_people_upright():
    augmentor = PoseAugmentor(17, width=8)
    standing = torch.zeros(200, 17, 3)
    standing[:, 10, 1] = -0.8  # the head above the pelvis (y is down)
    angle = augmentor.turns(torch.randn(200, 3) * 3)
    turned = augmentor.turned(standing, angle)
    tilt = torch.rad2deg(torch.arccos(-turned[:, 10, 1] / 0.8))
    assert float(tilt.max()) < 29 and float(tilt.max()) > 15  # both tilts at their limit: 28 degrees
    assert float(angle[:, 0].abs().max()) > math.pi / 2
    loose = PoseAugmentor(17, width=8, rotation="free")
    free = loose.turned(standing, loose.turns(torch.randn(200, 3) * 3))
    assert float(free[:, 10, 1].max()) > 0.3  # upside down


def test_discriminator_sees_angles_alone():
    judge, source = PartDiscriminator(17, 16, 8), poses()
    score = judge(source)
    for same in (
        3 * source,
        source + 5.0,
        turn(source, torch.tensor([[0.3, 1.0, -2.0]] * 12)),
        source * torch.tensor([-1.0, 1, 1]),
    ):
        torch.testing.assert_close(judge(same), score, rtol=0, atol=1e-4)
    assert float((judge(poses(seed=1)) - score).abs().max()) > 1e-3


def test_a_step_of_the_discriminator_lowers_its_loss():
    torch.manual_seed(0)
    judge, real, fake = PartDiscriminator(17, 32, 16), poses(64), poses(64, seed=1)
    optimiser = torch.optim.Adam(judge.parameters(), 1e-3)
    losses = []
    for _ in range(2):
        loss = lsgan_discriminator_loss(judge(real), judge(fake))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[1] < losses[0]


def test_what_cannot_be_augmented_is_refused():
    augmentor = PoseAugmentor(17, width=8)
    with pytest.raises(UsageError, match="batch norm needs two"):
        augmentor.train()(poses(1))
    assert bool(augmentor.eval()(poses(1)).poses_m.isfinite().all())
    with pytest.raises(UsageError, match=r"Poses are \(N, 17, 3\)"):
        augmentor(poses(joints=16))
    with pytest.raises(UsageError, match="rotation is limited or free"):
        PoseAugmentor(17, rotation="any")
    with pytest.raises(ValueError, match="16 or 17 joints"):
        PoseAugmentor(24)


def test_it_begins_near_the_poses_as_they_are():
    torch.manual_seed(0)
    source = poses(64)
    with torch.no_grad():
        made = PoseAugmentor(17, width=64).train()(source)
    bend = torch.rad2deg(torch.arccos((1 - made.bend).clamp(-1, 1)))
    assert 0.5 < float(bend.mean()) < 15
    assert float(made.axis_angle[:, 1:].abs().mean()) < 0.1 and float(made.ratio.abs().mean()) < 0.05


def test_shapes_on_the_screen_have_no_place_and_no_size():
    screen = torch.rand(5, 17, 2)
    shape = centred_screen(screen)
    torch.testing.assert_close(centred_screen(0.3 * screen + torch.tensor([0.4, -0.2])), shape)
    assert float(shape[:, 0].abs().max()) == 0
    torch.testing.assert_close((shape.amax(1) - shape.amin(1)).mean(-1), torch.ones(5))
    assert bool(centred_screen(torch.zeros(1, 17, 2)).isfinite().all())
