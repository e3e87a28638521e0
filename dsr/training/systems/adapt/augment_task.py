"""Training of the pose augmentation against its discriminators (PoseDA specification, sections 4.3 and 6, stage B)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from dsr.adaptation import PoseAugmentor, global_position_alignment
from dsr.adaptation.discriminators import KeypointDiscriminator, PartDiscriminator, centred_screen
from dsr.camera.lens import MIRRORED_SIGNS
from dsr.checkpoints import read_header, read_state_dict
from dsr.errors import CheckpointError
from dsr.losses.adaptation import lsgan_discriminator_loss, lsgan_generator_loss, range_loss
from dsr.tracks.skeleton import mirror
from dsr.tracks.track import PoseTrack
from dsr.training.systems.adapt.config import AugmentTrainConfig
from dsr.training.systems.adapt.data import (
    TargetPeople,
    UnknownCameraError,
    projected,
    read_source,
    read_target,
    source_windows,
)
from dsr.training.systems.lifter.task import WindowTask
from dsr.training.task import Amp

BLUR = 0.02
"""Noise on the 2D poses that are judged, as a share of the box: about a detector's."""
_PREFIX = "augmentor."


class AugmentorTask(WindowTask):
    """Augmentation and discriminators, in one network and one step; no loss of one reaches the other's weights.

    Args:
        config: the run.
        tracks: of the source; read from ``config.source`` when not given.
        people: of the target; read from ``config.target`` when not given. Without any, what is real on the screen are
            the source's own people.
    """

    config: AugmentTrainConfig
    windows: Tensor

    def __init__(
        self, config: AugmentTrainConfig, tracks: list[PoseTrack] | None = None, people: TargetPeople | None = None
    ) -> None:
        super().__init__(config, mirrored=True)
        self._tracks, self._people = tracks, people

    def build_model(self) -> nn.Module:
        """All networks."""
        return AdversarialPair(self.config)

    def prepare(self, device: torch.device) -> None:
        """Read the source's poses and the target's people."""
        config = self.config
        tracks = read_source(config.source, "train", config.windows) if self._tracks is None else self._tracks
        windows = source_windows(tracks, config.windows)
        self.windows = torch.from_numpy(windows.joints_m[windows.centre])  # of a frame
        self.camera = torch.from_numpy(windows.camera[windows.centre])
        self.people = self._people
        if self.people is None and config.target and config.augmentor.target:
            # Only how poses are turned is judged by them: the source's people will do where cameras are unknown.
            with suppress(UnknownCameraError):
                self.people = read_target(config.target, config.windows, config.min_confidence)

    def sample(self, epoch: int, position: int) -> tuple[int, int]:
        """Which pose, and whether it is mirrored."""
        number = int(np.random.default_rng((self.config.seed, epoch, position)).integers(self.epoch_length()))
        return number % len(self.windows), number // len(self.windows)

    def collate(self, samples: list[tuple[int, int]]) -> dict[str, Any]:
        """The poses of a batch, where they stand, and how they are seen there."""
        which, flipped = torch.tensor(samples).unbind(1)
        mirrored = flipped.bool()[:, None]
        joints = torch.where(mirrored[..., None], mirror(self.windows[which]), self.windows[which])
        camera = self.camera[which]
        camera = torch.where(mirrored, camera * camera.new_tensor(MIRRORED_SIGNS), camera)
        return {"poses": joints - joints[:, :1], "root": joints[:, :1], "camera": camera}

    def terms(self, model: nn.Module, batch: dict[str, Any], epoch: int, amp: Amp) -> tuple[Tensor, dict[str, Tensor]]:
        """Range and realism for the augmentation, truth for the discriminators in their steps."""
        terms: dict[str, Tensor] = model(batch["poses"], self._seen(batch))
        return torch.stack(list(terms.values())).sum(), terms

    def _seen(self, batch: dict[str, Tensor]) -> SeenPeople | None:
        """Where poses of a batch stand before which camera, and real 2D people there; None where nobody knows."""
        poses, people = batch["poses"], self.people
        if not self.config.augmentor.target:
            return None
        if people is None:
            if not bool(batch["camera"].isfinite().all()):
                return None
            root, camera = batch["root"], batch["camera"]
            real, valid = projected(poses + root, camera)
            return SeenPeople(root, camera, real[valid], valid)
        screen, cameras = people.screen.to(poses), people.camera.to(poses)
        placed = global_position_alignment(poses, screen, cameras, extent=people.extent)
        pair = placed.pair.to(poses.device)
        real = screen[pair]
        flipped = torch.rand(len(real), 1, 1, device=real.device) < 0.5
        return SeenPeople(placed.poses_m[:, :1], cameras[pair], torch.where(flipped, mirror(real), real), placed.valid)

    def header(self) -> dict[str, str]:
        """What :func:`load_augmentor` builds the network from."""
        settings = self.config.augmentor
        return {**super().header(), "width": str(settings.width), "rotation": settings.rotation}


@dataclass(frozen=True)
class SeenPeople:
    """Where poses of a batch are to be looked at, and what people look like there.

    Attributes:
        root: (N, 1, 3) metres.
        camera: (N, 9) screen-normalised intrinsics.
        real: (M, J, 2) 2D people.
        valid: (N,) bool: which poses can stand there.
    """

    root: Tensor
    camera: Tensor
    real: Tensor
    valid: Tensor


class AdversarialPair(nn.Module):
    """Augmentation, the discriminators of 3D parts and of 2D poses, and the pool of poses the first has seen.

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
        self.screen_discriminator = KeypointDiscriminator(17)
        # In the state, so that a resumed run sees the same old poses.
        self.register_buffer("pool", torch.zeros(config.augmentor.pool, 17, 3))
        self.register_buffer("counts", torch.zeros(2, dtype=torch.int64))  # steps done, poses in the pool

    def forward(self, poses: Tensor, seen: SeenPeople | None = None) -> dict[str, Tensor]:
        """The terms of a step by name.

        Args:
            poses: (N, 17, 3) metres relative to the root.
            seen: how they are to be looked at; None: nobody judges how they are turned.
        """
        settings, made = self.settings, self.augmentor(poses)
        judging = int(self.counts[0]) % settings.judge_every == 0
        terms = {
            "realism": settings.realism * lsgan_generator_loss(_judged(self.discriminator, made.bent_m)),
            "range": settings.span * range_loss(made.bend, made.ratio),
        }
        if judging:
            fake = self._mixed(made.bent_m.detach())
            terms["truth"] = lsgan_discriminator_loss(self.discriminator(poses), self.discriminator(fake))
        if seen is not None and bool(seen.valid.any()) and len(seen.real):
            # The turn alone answers for it: bones are the other discriminator's matter.
            turned = self.augmentor.turned(made.stretched_m.detach(), made.axis_angle)
            made_screen = _blurred(projected(turned + seen.root, seen.camera)[0][seen.valid])
            judged = _judged(self.screen_discriminator, made_screen)
            terms["turned"] = settings.target * lsgan_generator_loss(judged)
            if judging:
                real, fake = _blurred(seen.real), made_screen.detach()
                scores = self.screen_discriminator(real), self.screen_discriminator(fake)
                terms["truth_turned"] = lsgan_discriminator_loss(*scores)
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


def _judged(discriminator: nn.Module, made: Tensor) -> Tensor:
    """Scores whose gradient goes to what is judged alone."""
    weights = {name: value.detach() for name, value in discriminator.named_parameters()}
    scores: Tensor = functional_call(discriminator, weights, (made,))
    return scores


def _blurred(screen: Tensor) -> Tensor:
    """2D poses without place and size, with noise that hides whether a detector or a projection made them."""
    shapes = centred_screen(screen)
    return shapes + BLUR * torch.randn_like(shapes)


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
