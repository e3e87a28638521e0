"""A diffusion lifter: poses drawn from noise by a denoiser that sees the keypoints, with KTPFormer's priors in front.

KTPFormer's paper (arXiv 2404.00658) puts KPA and TPA before the denoiser of D3DP (ICCV 2023, arXiv 2303.11579); that
variant was not released (KTPFormer specification, sections 14 and 16), so the details are ours: keypoints and noisy
pose are the five channels of every joint that KPA embeds, the step's embedding is added behind both priors, the
denoiser says the clean pose, noise follows the cosine schedule (Nichol and Dhariwal, ICML 2021), and sampling is DDIM
without fresh noise (ICLR 2021): the same keypoints and the same first noise always give the same poses.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from dsr.camera.lens import project_screen
from dsr.errors import UsageError
from dsr.lifting.base import WindowLifter

STEPS: Final = 1000
"""Steps of the noise in training."""
_OFFSET: Final = 0.008  # of the cosine schedule


def kept_signal(steps: int = STEPS) -> Tensor:
    """(steps,) share of the clean pose's variance that is left at every step, falling from about 1 to 0."""
    times = torch.linspace(0, steps, steps + 1, dtype=torch.float64) / steps
    curve = torch.cos((times + _OFFSET) / (1 + _OFFSET) * math.pi / 2).square()
    lost = (1 - curve[1:] / curve[:-1]).clamp(max=0.999)
    return (1 - lost).cumprod(0).float()


class DiffusionLifter(WindowLifter):
    """Several poses for every window: hypotheses, drawn by denoising.

    Args:
        frames: F.
        width: channels C.
        depth: pairs of blocks behind the embedding.
        heads: attention heads.
        hidden: width of the MLPs, by default 2 C.
        drop_path: stochastic depth of the last pair.
        inputs: 2 (u, v), or 3 with the confidence.
        joints: 17 or 15.
        priors: KPA and TPA as embedding, as in KTPFormer; otherwise MixSTE's, as in D3DP.
        hypotheses: poses drawn for every window; their mean is what the lifter gives.
        iterations: denoising steps of each.
        scale: on clean poses in metres before noise of variance one is added.
    """

    kept: Tensor
    _noise: Tensor

    def __init__(
        self,
        frames: int = 243,
        width: int = 512,
        depth: int = 7,
        heads: int = 8,
        hidden: int | None = None,
        drop_path: float = 0.1,
        inputs: int = 2,
        joints: int = 17,
        priors: bool = True,
        hypotheses: int = 20,
        iterations: int = 10,
        scale: float = 1.0,
    ) -> None:
        super().__init__(frames, inputs, joints)
        for name, value in (("hypotheses", hypotheses), ("iterations", iterations)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is a whole number from 1 on, got {value!r}")
        if width % 2:
            raise ValueError(f"width is even, got {width}")
        from dsr.lifting.ktpformer import KTPFormer
        from dsr.lifting.mixste import MixSTE

        kind: Any = KTPFormer if priors else MixSTE
        self.denoiser: Any = kind(frames, width, depth, heads, hidden, drop_path, inputs=inputs + 3, joints=joints)
        self.time = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.width, self.scale = width, scale
        self.hypothesis_count, self.iterations = hypotheses, iterations
        self.register_buffer("kept", kept_signal(), persistent=False)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(hypotheses, frames, joints, 3, generator=generator, device="cpu")
        self.register_buffer("_noise", noise, persistent=False)

    def forward(self, x: Tensor, target: Tensor | None = None) -> Tensor:
        """Poses of windows.

        Args:
            x: (B, F, J, inputs) screen-normalised keypoints.
            target: (B, F, J, 3) clean poses, in training: they are given noise of a random step each and denoised once.

        Returns:
            (B, F, J, 3) metres: the mean of the hypotheses, or the denoised targets.
        """
        if target is None:
            return self.hypotheses(x).mean(1)
        x = self.enter(x)
        step = torch.randint(STEPS, (len(x),), device=x.device)
        return self.denoised(x, self.noisy(target, torch.randn_like(target), step), step)

    def hypotheses(self, x: Tensor, noise: Tensor | None = None, iterations: int | None = None) -> Tensor:
        """Several poses for every window.

        Args:
            x: (B, F, J, inputs) screen-normalised keypoints.
            noise: (B, H, F, J, 3) or (H, F, J, 3) to begin with; by default fixed ones.
            iterations: denoising steps; by default those it was built with.

        Returns:
            (B, H, F, J, 3) metres relative to the root, whose own row is not forced to zero.
        """
        x = self.enter(x)
        noise = self._noise.to(x.dtype) if noise is None else noise
        count = noise.shape[-4]
        # By broadcasting, so that exported networks take any number of windows.
        state = (noise + torch.zeros_like(x[:, None, :1, :1, :1])).flatten(0, 1)
        seen = x[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1)
        pose = state
        rounds = iterations or self.iterations
        times = [round(STEPS * share / rounds) - 1 for share in range(rounds, -1, -1)]
        root_is_zero = (torch.arange(self.joints, device=x.device) > 0).to(x.dtype)[:, None]
        for now, later in pairwise(times):
            step = torch.full((1,), now, dtype=torch.int64, device=x.device)
            pose = self.denoised(seen, state, step)
            if later >= 0:
                clean = self.scale * pose * root_is_zero
                kept, next_kept = self.kept[now], self.kept[later]
                error = (state - kept.sqrt() * clean) / (1 - kept).sqrt()
                state = next_kept.sqrt() * clean + (1 - next_kept).sqrt() * error
        return pose.unflatten(0, (-1, count))

    def noisy(self, clean: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """Clean poses (B, F, J, 3) with noise of the same shape at steps (B,)."""
        kept = self.kept[step][:, None, None, None]
        return kept.sqrt() * self.scale * clean + (1 - kept).sqrt() * noise

    def denoised(self, x: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
        """What the clean poses are.

        Args:
            x: (B, F, J, inputs).
            noisy: (B, F, J, 3).
            step: (B,) or (1,) int64.
        """
        tokens = self.denoiser.embed(torch.cat((x, noisy), -1)) + self.time(self._waves(step))[:, None, None]
        for stage in range(self.denoiser.stages):
            tokens = self.denoiser.stage(stage, tokens)
        poses: Tensor = self.denoiser.regress(tokens)
        return poses

    def _waves(self, step: Tensor) -> Tensor:
        """(B, C) sines and cosines of steps, as of a transformer's positions."""
        half = self.width // 2
        rates = torch.exp(torch.arange(half, device=step.device) * (-math.log(10_000.0) / max(1, half - 1)))
        angles = step[:, None] * rates
        return torch.cat((angles.sin(), angles.cos()), 1).to(self.kept.dtype)


def by_reprojection(hypotheses: Tensor, screen: Tensor, intrinsic: Tensor, root_m: Tensor) -> Tensor:
    """Of every joint the hypothesis that falls nearest to the keypoint (D3DP's joint-wise aggregation).

    Args:
        hypotheses: (B, H, F, J, 3) metres relative to the root.
        screen: (B, F, J, 2) screen-normalised keypoints.
        intrinsic: (9,) or (B, 9) of the cameras (:func:`~dsr.camera.lens.screen_intrinsic`).
        root_m: (B, F, 3) where the roots stand in the camera, metres.

    Returns:
        (B, F, J, 3).

    Raises:
        UsageError: if shapes do not fit.
    """
    batch, _, frames, joints, _ = hypotheses.shape
    if screen.shape != (batch, frames, joints, 2) or root_m.shape != (batch, frames, 3):
        raise UsageError(
            f"Keypoints {tuple(screen.shape)} and roots {tuple(root_m.shape)} do not fit hypotheses of "
            f"{tuple(hypotheses.shape)}."
        )
    camera = intrinsic.to(hypotheses).expand(batch, 9)[:, None, None]
    seen = project_screen(hypotheses + root_m[:, None, :, None], camera)
    return _chosen(hypotheses, torch.linalg.vector_norm(seen - screen[:, None], dim=-1))


def best_hypotheses(hypotheses: Tensor, truth: Tensor, by: Literal["joint", "pose"] = "joint") -> Tensor:
    """The hypotheses nearest to the truth: their MPJPE is the papers' J-Best or P-Best, which no user can reach.

    Args:
        hypotheses: (B, H, F, J, 3) metres.
        truth: (B, F, J, 3) metres.
        by: ``joint``: of every joint the best; ``pose``: of every frame.

    Returns:
        (B, F, J, 3).
    """
    distance = torch.linalg.vector_norm(hypotheses - truth[:, None], dim=-1)
    if by == "pose":
        distance = distance.mean(-1, keepdim=True).expand_as(distance)
    return _chosen(hypotheses, distance)


def _chosen(hypotheses: Tensor, cost: Tensor) -> Tensor:
    """Joints (B, F, J, 3) of the hypotheses of least cost (B, H, F, J)."""
    best = cost.argmin(1, keepdim=True)[..., None].expand(-1, -1, -1, -1, 3)
    return hypotheses.gather(1, best)[:, 0]
