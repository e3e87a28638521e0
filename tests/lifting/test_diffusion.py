"""The diffusion lifter: its noise, its sampler, KTPFormer's priors in it, and what hypotheses are good for."""

from __future__ import annotations

import pytest
import torch
from small_lifters import keypoints, made

from dsr.errors import UsageError
from dsr.lifting import build_lifter
from dsr.lifting.diffusion import STEPS, best_hypotheses, by_reprojection, kept_signal
from dsr.lifting.priors import PriorUnit
from dsr.tracks import mirror

SMALL = {"frames": 9, "width": 16, "depth": 1, "hypotheses": 3, "iterations": 4}
CAMERA = torch.tensor([2.0, 2.0, 0.1, -0.1, 0, 0, 0, 0, 0])


def lifter(**changes):
    return made("diffusion", {**SMALL, **changes}).eval()


class Known(torch.nn.Module):
    """A denoiser that knows the pose, and the stages around it."""

    stages = 0

    def __init__(self, pose):
        super().__init__()
        self.pose, self.seen = pose, []

    def embed(self, x):
        self.seen.append(x[..., -3:])
        return torch.zeros(*x.shape[:3], 16)

    def regress(self, tokens):
        return self.pose.expand(len(tokens), -1, -1, -1)


def test_the_schedule_goes_from_the_pose_to_noise():
    kept = kept_signal()
    assert kept.shape == (STEPS,) and kept[0] > 0.999 and kept[-1] < 1e-3
    assert (kept[1:] < kept[:-1]).all()
    assert kept[STEPS // 2].item() == pytest.approx(0.49, abs=0.02)  # the cosine's half


def test_noise_of_a_step_has_the_schedules_variance():
    model = lifter()
    clean, step = torch.full((2, 9, 17, 3), 0.5), torch.tensor([10, 900])
    noisy = model.noisy(clean, torch.randn(2, 9, 17, 3, generator=torch.Generator().manual_seed(0)), step)
    for one, kept in zip(noisy, model.kept[step], strict=True):
        assert float(one.mean()) == pytest.approx(0.5 * float(kept.sqrt()), abs=0.15)
        assert float(one.std()) == pytest.approx(float((1 - kept).sqrt()), rel=0.1)


def test_sampling_ends_where_the_denoiser_says_and_walks_down_the_schedule():
    model = lifter()
    pose = torch.randn(1, 9, 17, 3, generator=torch.Generator().manual_seed(1)) * 0.3
    pose[:, :, 0] = 0
    model.denoiser = Known(pose)
    found = model.hypotheses(keypoints(lifter()))
    torch.testing.assert_close(found, pose[:, None].expand(2, 3, -1, -1, -1))
    seen = model.denoiser.seen
    assert len(seen) == SMALL["iterations"]
    # the state of every later step is the pose with the first noise, at that step's share
    for now, state in zip((749, 499, 249), seen[1:], strict=True):
        noise = (state - model.kept[now].sqrt() * pose) / (1 - model.kept[now]).sqrt()
        torch.testing.assert_close(noise, seen[0], atol=3e-2, rtol=0)  # the first state holds 0.1 % of signal


def test_hypotheses_differ_the_mean_repeats_itself_and_more_can_be_drawn():
    model = lifter()
    x = keypoints(model)
    with torch.no_grad():
        several = model.hypotheses(x)
        assert several.shape == (2, 3, 9, 17, 3)
        assert (several[:, 0] - several[:, 1]).abs().max() > 1e-4
        torch.testing.assert_close(model(x), several.mean(1))
        noise = torch.randn(7, 9, 17, 3)
        more = model.hypotheses(x, noise, iterations=2)
        assert more.shape == (2, 7, 9, 17, 3)
        # every hypothesis is a window's own, whatever else is in the batch
        torch.testing.assert_close(more[1:], model.hypotheses(x[1:], noise, iterations=2), atol=1e-5, rtol=0)


def test_the_priors_embed_keypoints_and_noisy_pose():
    units = [unit for unit in lifter().modules() if isinstance(unit, PriorUnit)]
    assert [unit.gconv.W.shape[1] for unit in units] == [5, 16, 16]  # KPA, and TPA's two
    plain = lifter(priors=False)
    assert not any(isinstance(unit, PriorUnit) for unit in plain.modules())
    assert plain.denoiser.Spatial_patch_to_embedding.in_features == 5


def test_training_denoises_the_target_at_random_steps():
    model = lifter().train()
    x, target = keypoints(model), torch.randn(2, 9, 17, 3) * 0.3
    torch.manual_seed(0)
    poses = model(x, target)
    assert poses.shape == target.shape
    torch.manual_seed(1)
    assert (model(x, target) - poses).abs().max() > 1e-4  # another step, other noise
    (poses - target).norm(dim=-1).mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    # what it says depends on the noisy pose and on the step
    model.eval()
    noise = torch.randn(2, 9, 17, 3)
    with torch.no_grad():
        first, last = (model.denoised(x, model.noisy(target, noise, t), t) for t in torch.tensor([[5, 5], [950, 950]]))
        other = model.denoised(x, model.noisy(target, noise, torch.tensor([5, 5])), torch.tensor([950, 950]))
    assert (first - last).abs().max() > 1e-4 and (first - other).abs().max() > 1e-5


def test_a_few_steps_learn_a_pose_from_its_keypoints():
    torch.manual_seed(0)
    model = build_lifter("diffusion", **{**SMALL, "width": 32, "drop_path": 0.0})
    target = torch.randn(16, 1, 17, 3).expand(-1, 9, -1, -1) * 0.3
    target = target - target[:, :, :1]
    x = target[..., :2] + 0.05
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)

    def error():
        with torch.no_grad():
            return float((model.eval()(x) - target)[..., :2].norm(dim=-1).mean())

    before = error()
    for _ in range(60):
        loss = (model.train()(x, target) - target).norm(dim=-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert error() < 0.6 * before


def test_of_every_joint_the_hypothesis_nearest_to_its_keypoint():
    truth = torch.randn(2, 4, 17, 3) * 0.3
    truth = truth - truth[:, :, :1]
    root = torch.tensor([0.2, 0.1, 4.0]).expand(2, 4, 3)
    points = truth + root[:, :, None]
    screen = 2 * points[..., :2] / points[..., 2:] + CAMERA[2:4]
    several = truth[:, None] + 0.2 * torch.randn(2, 5, 4, 17, 3)
    several[:, 3, :, 5] = truth[:, :, 5]
    found = by_reprojection(several, screen, CAMERA, root)
    torch.testing.assert_close(found[:, :, 5], truth[:, :, 5])
    off = (found - truth)[..., :2].norm(dim=-1).mean()
    assert off < 0.6 * (several - truth[:, None])[..., :2].norm(dim=-1).mean()
    with pytest.raises(UsageError, match="do not fit"):
        by_reprojection(several, screen[:, :3], CAMERA, root)


def test_the_best_by_joint_is_no_worse_than_by_pose_and_both_than_any():
    truth = torch.randn(2, 4, 17, 3)
    several = truth[:, None] + 0.2 * torch.randn(2, 5, 4, 17, 3)

    def error(poses):
        return (poses - truth).norm(dim=-1).mean((-2, -1))

    joint, pose = error(best_hypotheses(several, truth)), error(best_hypotheses(several, truth, by="pose"))
    assert (joint < pose).all()
    assert (pose <= torch.stack([error(one) for one in several.unbind(1)]).amin(0)).all()


def test_odd_sizes_are_refused():
    for wrong in ({"hypotheses": 0}, {"iterations": 1.5}, {"width": 15}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            build_lifter("diffusion", **{**SMALL, **wrong})


def test_mirrored_keypoints_are_lifted_by_the_same_noise():
    """Averaging with the mirror image is of the same hypotheses count and shape as for any lifter."""
    model = lifter()
    x = keypoints(model)
    both = (model.poses(x) + mirror(model.poses(mirror(x)))) / 2
    assert both.shape == (2, 9, 17, 3) and both.isfinite().all()
