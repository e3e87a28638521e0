"""Losses of PoseDA's augmentation (those of PoseAug; specification, section 4.4)."""

from __future__ import annotations

from typing import Final

from torch import Tensor

BEND_MIDDLE: Final = 0.205
BEND_SPAN: Final = 0.165
RATIO_FREE: Final = 0.1


def lsgan_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Half the squared distance of scores of real poses from 1 and of made ones from 0 (Mao et al., LSGAN)."""
    return 0.5 * ((real - 1.0).square().mean() + fake.square().mean())


def lsgan_generator_loss(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """Half the squared distance of scores of made poses from 1; ``real`` adds its constant part, as released."""
    loss = (fake - 1.0).square().mean()
    return 0.5 * (loss if real is None else loss + real.detach().square().mean())


def dead_band(values: Tensor, middle: float, span: float) -> Tensor:
    """Mean square of the distance from ``middle``, counted only where it is more than ``span``."""
    away = values - middle
    return (away.square() * (away.abs() > span)).mean()


def range_loss(bend: Tensor, ratio: Tensor) -> Tensor:
    """How far augmentation leaves its range: bent too little or too much, bones stretched by more than a tenth.

    Args:
        bend: (N, J - 1) 1 - cosine of each bone's bend.
        ratio: (N, 9) stretching.
    """
    return dead_band(bend.mean(-1), BEND_MIDDLE, BEND_SPAN) + dead_band(ratio, 0.0, RATIO_FREE)
