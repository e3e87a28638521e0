"""Training of the pose augmentation against its anchor discriminator (PoseDA specification, section 6, stage B)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from dsr.adaptation import PoseAugmentor
from dsr.adaptation.discriminators import PartDiscriminator
from dsr.checkpoints import read_header, read_state_dict
from dsr.errors import CheckpointError
from dsr.losses.adaptation import lsgan_discriminator_loss, lsgan_generator_loss, range_loss
from dsr.tracks.skeleton import mirror
from dsr.tracks.track import PoseTrack
from dsr.training.systems.adapt.config import AugmentTrainConfig
from dsr.training.systems.adapt.data import read_source, source_windows
from dsr.training.systems.lifter.task import WindowTask
from dsr.training.task import Amp

_PREFIX = "augmentor."


class AugmentorTask(WindowTask):
    """Augmentation and discriminator, in one network and one step; neither's loss reaches the other's weights.

    Args:
        config: the run.
        tracks: of the source; read from ``config.source`` when not given.
    """

    config: AugmentTrainConfig
    windows: Tensor

    def __init__(self, config: AugmentTrainConfig, tracks: list[PoseTrack] | None = None) -> None:
        super().__init__(config, mirrored=True)
        self._tracks = tracks

    def build_model(self) -> nn.Module:
        """Both networks."""
        return AdversarialPair(self.config)

    def prepare(self, device: torch.device) -> None:
        """Read the source's poses."""
        tracks = read_source(self.config.source, "train", self.config.windows) if self._tracks is None else self._tracks
        windows = source_windows(tracks, self.config.windows)
        poses = windows.joints_m[windows.centre]
        self.windows = torch.from_numpy(poses - poses[:, :1])  # of a frame

    def sample(self, epoch: int, position: int) -> tuple[int, int]:
        """Which pose, and whether it is mirrored."""
        number = int(np.random.default_rng((self.config.seed, epoch, position)).integers(self.epoch_length()))
        return number % len(self.windows), number // len(self.windows)

    def collate(self, samples: list[tuple[int, int]]) -> dict[str, Any]:
        """The poses of a batch."""
        which, flipped = torch.tensor(samples).unbind(1)
        poses = self.windows[which]
        return {"poses": torch.where(flipped.bool()[:, None, None], mirror(poses), poses)}

    def terms(self, model: nn.Module, batch: dict[str, Any], epoch: int, amp: Amp) -> tuple[Tensor, dict[str, Tensor]]:
        """Range and realism for the augmentation, truth for the discriminator in its steps."""
        terms: dict[str, Tensor] = model(batch["poses"])
        return torch.stack(list(terms.values())).sum(), terms

    def header(self) -> dict[str, str]:
        """What :func:`load_augmentor` builds the network from."""
        settings = self.config.augmentor
        return {**super().header(), "width": str(settings.width), "rotation": settings.rotation}


class AdversarialPair(nn.Module):
    """Augmentation, discriminator and the pool of poses it has seen.

    Args:
        config: the run.
    """

    pool: Tensor
    counts: Tensor

    def __init__(self, config: AugmentTrainConfig) -> None:
        super().__init__()
        self.settings = config.augmentor
        self.augmentor = PoseAugmentor(17, config.augmentor.width, config.augmentor.rotation)
        self.discriminator = PartDiscriminator(17, config.augmentor.width)
        # In the state, so that a resumed run sees the same old poses.
        self.register_buffer("pool", torch.zeros(config.augmentor.pool, 17, 3))
        self.register_buffer("counts", torch.zeros(2, dtype=torch.int64))  # steps done, poses in the pool

    def forward(self, poses: Tensor) -> dict[str, Tensor]:
        """The terms of a step by name, of poses (N, 17, 3)."""
        settings, made = self.settings, self.augmentor(poses)
        judged = functional_call(
            self.discriminator, {k: v.detach() for k, v in self.discriminator.named_parameters()}, (made.bent_m,)
        )
        terms = {
            "realism": settings.realism * lsgan_generator_loss(judged),
            "range": settings.span * range_loss(made.bend, made.ratio),
        }
        if int(self.counts[0]) % settings.judge_every == 0:
            fake = self._mixed(made.bent_m.detach())
            terms["truth"] = lsgan_discriminator_loss(self.discriminator(poses), self.discriminator(fake))
        self.counts[0] += 1
        return terms

    def _mixed(self, made: Tensor) -> Tensor:
        """Half of the poses exchanged for old ones, once the pool is full (Shrivastava et al., 2017)."""
        size, kept = len(self.pool), int(self.counts[1])
        if not size:
            return made
        room = min(size - kept, len(made))
        self.pool[kept : kept + room] = made[:room]
        self.counts[1] += room
        if room == len(made):
            return made
        rest = made[room:].clone()
        swapped = torch.randperm(len(rest), device=made.device)[: len(rest) // 2]
        at = torch.randperm(size, device=made.device)[: len(swapped)]
        swapped = swapped[: len(at)]
        old = self.pool[at].clone()
        self.pool[at] = rest[swapped]
        rest[swapped] = old
        return torch.cat((made[:room], rest))


def load_augmentor(path: Path) -> PoseAugmentor:
    """A trained augmentation from a run's weights, in evaluation mode.

    Raises:
        CheckpointError: if the file is not one of an augmentation.
    """
    header = read_header(path)
    if header.get("system") != "augmentor":
        raise CheckpointError(f"{path} holds no trained augmentation; give RUN/augmentor/last.safetensors.")
    augmentor = PoseAugmentor(17, int(header["width"]), header["rotation"])  # type: ignore[arg-type]
    weights = {k.removeprefix(_PREFIX): v for k, v in read_state_dict(path).items() if k.startswith(_PREFIX)}
    try:
        augmentor.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit an augmentation: {str(error).splitlines()[-1].strip()}") from error
    return augmentor.eval()
