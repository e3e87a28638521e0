"""Training of the skeleton lifters, as a task of :class:`dsr.training.loop.Trainer`."""

from __future__ import annotations

import json
from collections.abc import Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsr.errors import TrainingError, UsageError
from dsr.lifting import build_lifter
from dsr.lifting.base import SequenceLifter
from dsr.lifting.diffusion import DiffusionLifter
from dsr.lifting.inference import fill_gaps
from dsr.lifting.uao import UAO
from dsr.losses.lifting import laplace_loss, random_move, self_scaled, sequence_loss, weighted_mpjpe
from dsr.tracks import mirror
from dsr.tracks.skeleton import skeleton_of
from dsr.tracks.track import PoseTrack
from dsr.training.config import RunConfig
from dsr.training.ranger import Ranger
from dsr.training.systems.lifter.config import LifterOptimConfig, LifterTrainConfig, network_arguments
from dsr.training.systems.lifter.start import draw_positions, start_from
from dsr.training.task import Amp, Task


@dataclass(frozen=True)
class Windows:
    """Frames of many tracks one after another, and the windows cut from them.

    Attributes:
        inputs: (N, J, 3) screen-normalised keypoints and confidences.
        targets: (N, J, 3) metres relative to the root.
        first: (W,) frame of the first one of each window in its track, negative where it begins before the track.
        start: (W,) where the window's track starts in the arrays.
        end: (W,) where it ends.
        frames: F.
    """

    inputs: np.ndarray
    targets: np.ndarray
    first: np.ndarray
    start: np.ndarray
    end: np.ndarray
    frames: int
    target: int

    def __len__(self) -> int:
        return len(self.first)

    def take(self, which: np.ndarray, channels: int, centre: bool) -> tuple[Tensor, Tensor]:
        """Inputs (B, F, J, channels) and targets (B, F or 1, J, 3); edge frames are repeated where a track ends."""
        at = (self.start + self.first)[which, None] + np.arange(self.frames)
        at = np.clip(at, self.start[which, None], self.end[which, None] - 1)
        aimed = at[:, self.target, None] if centre else at
        return torch.from_numpy(self.inputs[at][..., :channels]), torch.from_numpy(self.targets[aimed])


def cut_windows(
    tracks: list[PoseTrack], frames: int, hop: int, fps: float = 0.0, centre: bool = False, target: int | None = None
) -> Windows:
    """Windows of many tracks.

    Args:
        tracks: keypoints and joints; invalid frames are no targets.
        frames: F.
        hop: frames between starts; with ``centre``, between the centres.
        fps: thin the tracks to about this many frames per second; 0: keep all.
        centre: one window around frames 0, hop, 2 hop...; else windows that cover the track, the overhang split
            between both ends.
        target: where in a window its frame stands, with ``centre``; by default in the middle.

    Raises:
        UsageError: if there is nothing to cut.
    """
    inputs, targets, first, start, end = [], [], [], [], []
    total, target = 0, (frames - 1) // 2 if target is None else target
    for track in tracks:
        step = stride(track, fps)
        x, y, valid = track_arrays(track)
        x, y, valid = x[::step], y[::step], valid[::step]
        length = len(x)
        if centre:
            begins = np.arange(0, length, hop) - target
            good = valid[begins + target]
        else:
            count = max(1, -(-(length - frames) // hop) + 1)
            begins = np.arange(count) * hop - ((count - 1) * hop + frames - length) // 2
            good = valid[np.clip(begins[:, None] + np.arange(frames), 0, length - 1)].all(1)
        begins = begins[good]
        inputs.append(x)
        targets.append(y)
        first.append(begins)
        start.append(np.full(len(begins), total))
        end.append(np.full(len(begins), total + length))
        total += length
    if not tracks or not sum(map(len, first)):
        window = "a valid frame" if centre else f"{frames} valid frames in a row"
        raise UsageError(
            f"no window to train on in {len(tracks)} track{'s' * (len(tracks) != 1)} with {total} frames: none has "
            f"{window}. Give more clips{'' if centre else ', or a smaller --network.frames'}."
        )
    x, y, begins, start_at, end_at = (np.concatenate(part) for part in (inputs, targets, first, start, end))
    return Windows(x, y, begins, start_at, end_at, frames, target)


def stride(track: PoseTrack, fps: float) -> int:
    """Every so manyth frame of a track makes about this many per second; 1 where ``fps`` is 0."""
    return max(1, round(track.fps / fps)) if fps else 1


def track_arrays(track: PoseTrack) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Screen-normalised keypoints with confidences (T, J, 3) float32, root-relative joints (T, J, 3) and validity."""
    keypoints = np.asarray(track.keypoints_px, np.float64)
    if track.confidence is not None:
        keypoints = np.concatenate((keypoints, np.asarray(track.confidence)[..., None]), -1)
    pixels, confidence, _ = fill_gaps(keypoints)
    width, height = track.size
    screen = pixels * (2.0 / width) - (1.0, height / width)
    joints = np.asarray(track.joints_m, np.float64)
    valid = np.ones(len(joints), bool) if track.valid is None else np.asarray(track.valid, bool)
    inputs = np.concatenate((screen, confidence[..., None]), -1).astype(np.float32)
    return inputs, (joints - joints[:, :1]).astype(np.float32), valid & np.isfinite(joints).all((1, 2))


class WindowTask(Task):
    """What training on windows of poses has in common: their order, mirrored copies, the lifters' recipes.

    Args:
        config: the run; its ``optim`` is a lifter's.
        mirrored: whether every window is also seen in the mirror.
    """

    windows: Sized

    def __init__(self, config: RunConfig, mirrored: bool) -> None:
        super().__init__(config)
        self._copies = 1 + mirrored
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def epoch_length(self) -> int:
        """Windows, mirrored ones included."""
        return self._copies * len(self.windows)

    def sample(self, epoch: int, position: int) -> tuple[int, int]:
        """Which window, and whether it is mirrored; cut when a batch is joined."""
        if self._order[0] != epoch:
            generator = np.random.default_rng((self.config.seed, epoch))
            self._order = epoch, generator.permutation(self.epoch_length())
        number = int(self._order[1][position])
        return number % len(self.windows), number // len(self.windows)

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of the recipe, over all parameters that learn, in one group."""
        optim, parameters = recipe_of(self.config), [p for p in model.parameters() if p.requires_grad]
        if optim.name == "ranger":
            return Ranger(parameters, lr=optim.lr, weight_decay=optim.weight_decay)
        if optim.name == "adamw":
            return torch.optim.AdamW(parameters, lr=optim.lr, weight_decay=optim.weight_decay)
        return torch.optim.Adam(
            parameters, lr=optim.lr, weight_decay=optim.weight_decay, amsgrad=optim.name == "adam-amsgrad"
        )

    def learning_rate(self, step: int, epoch_steps: int, total_steps: int) -> float:
        """The learning rate of a step, counted from 0."""
        return lifter_learning_rate(self.config, step, epoch_steps, total_steps)


def recipe_of(config: RunConfig) -> LifterOptimConfig:
    """The optimiser of a run that has a lifter's."""
    if not isinstance(config.optim, LifterOptimConfig):
        raise TypeError(f"{type(config).__name__} has another optimiser than a lifter's.")
    return config.optim


class LifterTask(WindowTask):
    """One lifter, tracks of people, the published losses.

    Args:
        config: the run.
        tracks: to train on; read from ``config.data`` when not given.
        held_out: to validate on.
    """

    config: LifterTrainConfig
    windows: Windows

    def __init__(
        self, config: LifterTrainConfig, tracks: list[PoseTrack] | None = None, held_out: list[PoseTrack] | None = None
    ) -> None:
        super().__init__(config, mirrored=config.windows.flip == "on")
        self._given = tracks, held_out
        self.fps: float | None = None  # known when the tracks are read
        self._momentum_epoch = -1

    def build_model(self) -> nn.Module:
        """The lifter, at the size of the configuration."""
        arguments = network_arguments(self.config)
        model: Any = build_lifter(self.config.model, **arguments)
        if self.config.network.positions:
            draw_positions(model, self.config.network.positions)
        if self.config.network.init is not None:
            start_from(model, self.config.network.init)
        self.frames, self.channels, self.centre = model.frames, model.inputs, bool(model.centre_only)
        self.target = model.target_frame
        pruning = getattr(model, "pruning", None)
        self.dropped = pruning is not None and not pruning.recover
        if self.frames < 2 and self.config.model.startswith(("hot-", "tpc-")):
            raise UsageError("--network.frames: frames cannot be pruned from a window of one.")
        return model

    def prepare(self, device: torch.device) -> None:
        """Read the tracks and cut them."""
        windows, validation = self.config.windows, self.config.validation
        tracks, held_out = self._given
        if tracks is None:
            from dsr.training.systems.lifter.data import training_tracks, validation_tracks

            tracks = training_tracks(self.config.data, windows)
            held_out = validation_tracks(self.config.data, windows) if validation.count else []
        rates = {track.fps / stride(track, windows.fps) for track in tracks}
        self.fps = rates.pop() if len(rates) == 1 else None
        self.windows = self._cut("training", tracks, windows.hop or self.frames)
        self.held_out = None
        if held_out and validation.count:
            self.held_out = self._cut("held-out", held_out, self.frames)

    def _cut(self, purpose: str, tracks: list[PoseTrack], hop: int) -> Windows:
        """Windows of the run's size; where there are none, the message names the data."""
        try:
            return cut_windows(tracks, self.frames, hop, self.config.windows.fps, self.centre, self.target)
        except UsageError as error:
            raise UsageError(f"--data {' '.join(self.config.data)}, {purpose} part: {error}") from error

    def collate(self, samples: list[tuple[int, int]]) -> dict[str, Any]:
        """The windows of a batch."""
        which, flipped = (np.array(column) for column in zip(*samples, strict=True))
        x, y = self.windows.take(which, self.channels, self.centre)
        chosen = torch.from_numpy(flipped.astype(bool))[:, None, None, None]
        x, y = torch.where(chosen, mirror(x), x), torch.where(chosen, mirror(y), y)
        if self.config.windows.label_noise == "on":
            random = np.random.RandomState(int(which[0]) * 2 + int(flipped[0]) + self.config.seed)
            y = torch.from_numpy(random_move(y.numpy(), random))
        return {"x": x, "y": y}

    def terms(self, model: nn.Module, batch: dict[str, Any], epoch: int, amp: Amp) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch and its terms."""
        losses, target = self.config.losses, batch["y"]
        self._schedule_batch_norm(model, epoch)
        with amp():
            if self.dropped:
                if not isinstance(model, SequenceLifter):
                    raise TrainingError("Lifters that drop frames for good (tpc-) train on one GPU, as published.")
                poses, index = model.lift(batch["x"])
                target = target.gather(1, index[:, :, None, None].expand(-1, -1, *target.shape[2:]))
            elif isinstance(getattr(model, "module", model), DiffusionLifter):
                poses = model(batch["x"], target)
            elif losses.kind == "laplace":
                poses, log_scale = _with_uncertainty(model, batch["x"])
            else:
                poses = model(batch["x"])
        poses = poses.float()
        if losses.kind == "laplace":
            total = laplace_loss(poses, log_scale.float(), target)
            terms = {"laplace": total}
        elif losses.kind == "squared":
            total = (poses - target).square().mean()
            terms = {"squared": total}
        elif losses.kind == "position":
            total = weighted_mpjpe(poses, target)
            terms = {"position": total}
        else:
            skeleton = skeleton_of(target.shape[-2])
            weights = skeleton.joint_weights if losses.joints == "published" else (1.0,) * len(skeleton)
            total, terms = sequence_loss(poses, target, weights, temporal=losses.temporal, velocity=losses.velocity)
        return (self_scaled(total) if losses.compat == "on" else total), terms

    def validate(self, model: nn.Module, final: bool) -> dict[str, float]:
        """Flip-averaged errors on held-out windows, millimetres."""
        if self.held_out is None:
            return {}
        from dsr.evaluation import mpjpe, pa_mpjpe

        count = min(self.config.validation.count, len(self.held_out))
        which = np.linspace(0, len(self.held_out) - 1, count).astype(np.int64)
        device, errors, aligned = next(model.parameters()).device, [], []
        for part in np.array_split(which, -(-count // 64)):
            x, y = (t.to(device) for t in self.held_out.take(part, self.channels, self.centre))
            lifter: Any = model
            if self.dropped:
                poses, index = lifter.lift(x)
                mirrored = lifter.lift(mirror(x), index=index)[0]
                y = y.gather(1, index[:, :, None, None].expand(-1, -1, *y.shape[2:]))
            else:
                poses, mirrored = lifter(x), lifter(mirror(x))
            both = (poses + mirror(mirrored)).float() / 2
            errors.append(mpjpe(both, y, reduction="sample").flatten().cpu())
            aligned.append(pa_mpjpe(both, y, reduction="sample").flatten().cpu())
        error = 1e3 * float(torch.cat(errors).mean())
        return {"mpjpe_mm": error, "pa_mpjpe_mm": 1e3 * float(torch.cat(aligned).mean()), "score": error}

    def header(self) -> dict[str, str]:
        """What :func:`dsr.lifting.shipped.load_lifter` builds the network from."""
        from dsr.lifting.shipped import lifter_header

        arguments = json.loads(json.dumps(network_arguments(self.config)))
        return {
            **super().header(),
            **lifter_header(self.config.model, arguments, fps=self.fps, keypoints=self.config.windows.keypoints),
        }

    def _schedule_batch_norm(self, model: nn.Module, epoch: int) -> None:
        """GLA-GCN's momentum: 0.1 in the first epoch, then down to 0.001; shortcuts keep theirs."""
        if self.config.optim.bn_schedule == "off" or epoch == self._momentum_epoch:
            return
        self._momentum_epoch = epoch
        momentum = batch_norm_momentum(epoch, self.config.epochs)
        for name, module in model.named_modules():
            scheduled = name.endswith(("data_bn", "gcn1.bn", "tcn1.bn"))
            if scheduled and isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.momentum = momentum


def _with_uncertainty(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Positions and log-scales of UAO's network."""
    if not isinstance(model, UAO):
        raise TrainingError("The loss of UAO needs its uncertainties; that lifter trains on one GPU.")
    return model.with_uncertainty(x)


def lifter_learning_rate(config: RunConfig, step: int, epoch_steps: int, total_steps: int) -> float:
    """The schedules of the recipes: a factor after every epoch, or half a cosine.

    Args:
        config: the run, with the optimiser of a lifter.
        step: steps done.
        epoch_steps: steps of an epoch.
        total_steps: steps of the run.
    """
    optim, epoch = recipe_of(config), step // epoch_steps
    if step < optim.warmup:
        return optim.lr * (step + 1) / optim.warmup
    if optim.cosine == "on":
        share = step / total_steps if optim.per_step == "on" else min(1.0, epoch / config.epochs)
        return optim.lr_end + (optim.lr - optim.lr_end) * (1 + float(np.cos(np.pi * share))) / 2
    if optim.linear == "on":
        return optim.lr * (1 - epoch / (config.epochs + 1))
    halved = epoch // optim.halve_every if optim.halve_every else 0
    return optim.lr * optim.decay ** (epoch - halved) * 0.5**halved


def batch_norm_momentum(epoch: int, epochs: int) -> float:
    """GLA-GCN's batch-norm momentum in an epoch (0 is the first)."""
    return 0.1 * float(np.exp(-epoch / epochs * np.log(100.0)))
