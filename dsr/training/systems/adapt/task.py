"""Adaptation of a lifter (PoseDA specification, sections 3 and 6, stage C)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsr.adaptation import PoseAugmentor, global_position_alignment
from dsr.adaptation.alignment import FARTHEST_M, NEAREST_M
from dsr.camera.lens import MIRRORED_SIGNS
from dsr.errors import CheckpointError, TrainingError, UsageError
from dsr.lifting.base import SequenceLifter
from dsr.lifting.shipped import lifter_header, load_lifter, load_shipped
from dsr.lifting.uao import UAO
from dsr.losses.lifting import laplace_loss
from dsr.tracks.skeleton import mirror
from dsr.tracks.track import PoseTrack
from dsr.training.systems.adapt.augment_task import load_augmentor
from dsr.training.systems.adapt.config import AdaptTrainConfig
from dsr.training.systems.adapt.data import (
    SourceWindows,
    TargetPeople,
    projected,
    read_source,
    read_target,
    source_windows,
)
from dsr.training.systems.lifter.task import WindowTask
from dsr.training.task import Amp

_UNKNOWN_SOURCE = "--method lpa: a camera of the source is unknown, poses cannot be projected again."
_TRIED = 4096
"""Source poses that are placed before anything is trained."""


def read_inputs(config: AdaptTrainConfig) -> tuple[list[PoseTrack], TargetPeople | None]:
    """Read all that an adaptation starts from, so that nothing is refused after its augmentation has been trained.

    Args:
        config: the run.

    Returns:
        The source's tracks and, where the method aligns, the target's people.

    Raises:
        UsageError, CheckpointError, CameraError, DatasetError, ResultError: naming what cannot be used.
    """
    AdaptTask(config).build_model()
    if config.weights is not None and "lpa" in config.method:
        load_augmentor(config.weights)
    tracks = read_source(config.source, "train", config.windows)
    windows = source_windows(tracks, config.windows)
    if config.method == "lpa" and not np.isfinite(windows.camera).all():
        raise UsageError(_UNKNOWN_SOURCE)
    if "gpa" not in config.method:
        return tracks, None
    people = read_target(config.target, config.windows, config.min_confidence)
    chance = torch.Generator().manual_seed(config.seed)
    poses = torch.from_numpy(windows.joints_m[windows.centre[:: -(-len(windows) // _TRIED)]])
    placed = global_position_alignment(poses, people.screen, people.camera, generator=chance, extent=people.extent)
    if not bool(placed.valid.any()):
        raise UsageError(
            f"--target {' '.join(config.target)}: no source pose can stand where its people are, {NEAREST_M:g} to "
            f"{FARTHEST_M:g} m before the camera: look at the focal lengths (K) and sizes of its pictures."
        )
    return tracks, people


class AdaptTask(WindowTask):
    """A trained lifter, the source's poses, the target's 2D people.

    Args:
        config: the run.
        source: tracks of the source; read from ``config.source`` when not given.
        target: people of the target; read from ``config.target`` when not given.
        augmentor: trained augmentation; read from ``config.weights`` when not given.
    """

    config: AdaptTrainConfig
    windows: SourceWindows

    def __init__(
        self,
        config: AdaptTrainConfig,
        source: list[PoseTrack] | None = None,
        target: TargetPeople | None = None,
        augmentor: PoseAugmentor | None = None,
    ) -> None:
        super().__init__(config, mirrored=config.windows.flip == "on")
        self._source, self._target, self._augmentor = source, target, augmentor

    def build_model(self) -> nn.Module:
        """The lifter to adapt."""
        path = self.config.lifter
        try:
            model: Any = load_shipped("single") if path is None else load_lifter(path)
        except CheckpointError as error:
            raise CheckpointError(
                f"--lifter {path} is no lifter that can be adapted as it is: give RUN/last.safetensors of dsr-train "
                "lifter; a file in its authors' layout goes through dsr.lifting.build_lifter, dsr.load_checkpoint and "
                f"dsr.lifting.shipped.save_lifter first. ({error})"
            ) from error
        if model.joints != 17 or (isinstance(model, SequenceLifter) and model.by_centre):
            raise UsageError(f"--lifter {path}: adaptation takes lifters of 17 joints that drop no frames.")
        self.frames, self.channels, self.centre = model.frames, model.inputs, bool(model.centre_only)
        self._name, self._settings, self._fps = model.lifter_name, model.lifter_config, model.fps
        lifter: nn.Module = model.requires_grad_(True)
        return lifter

    def prepare(self, device: torch.device) -> None:
        """Read source, target and augmentation."""
        config = self.config
        tracks = read_source(config.source, "train", config.windows) if self._source is None else self._source
        self.windows = source_windows(tracks, config.windows)
        self.target = self._target
        if self.target is None and "gpa" in config.method:
            self.target = read_target(config.target, config.windows, config.min_confidence)
        self.augmentor = self._augmentor if "lpa" in config.method else None
        if self.augmentor is None and "lpa" in config.method:
            if config.weights is None:
                raise UsageError("--weights is missing: the trained augmentation (dsr-train adapt trains it first).")
            self.augmentor = load_augmentor(config.weights)
        if self.augmentor is not None:
            self.augmentor = self.augmentor.to(device).eval()
        if config.method == "lpa" and not np.isfinite(self.windows.camera).all():
            raise UsageError(_UNKNOWN_SOURCE)

    def collate(self, samples: list[tuple[int, int]]) -> dict[str, Any]:
        """The windows of a batch."""
        which, flipped = (np.array(column) for column in zip(*samples, strict=True))
        return {**self.windows.take(which, self.frames), "flipped": torch.from_numpy(flipped.astype(bool))}

    def terms(self, model: nn.Module, batch: dict[str, Any], epoch: int, amp: Amp) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error of root-relative joints (UAO's lifter: its own loss)."""
        with torch.no_grad():
            x, y, valid = self.pairs(batch)
        x = x[..., : self.channels]
        if not bool(valid.any()):
            raise TrainingError("no source pose could be placed before the target's camera: look at its focal length")
        x, y = x[valid], y[valid]
        if self.centre:
            y = y[:, (self.frames - 1) // 2, None]
        with amp():
            if isinstance(model, UAO):
                poses, scale = model.with_uncertainty(x)
                total = laplace_loss(poses.float(), scale.float(), y)
            else:
                total = (model(x).float() - y).square().mean()
        return total, {"position": total, "placed": valid.float().mean()}

    def pairs(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs (B, F, 17, 3), targets (B, F, 17, 3) and which of them (B,) are to be trained on."""
        config, flipped = self.config, batch["flipped"][:, None, None, None]
        # The mirror of a pose stands in the mirrored camera: only the place before it changes, which alignment sets.
        joints = torch.where(flipped, mirror(batch["joints"]), batch["joints"])
        x = torch.where(flipped, mirror(batch["inputs"]), batch["inputs"])
        camera = batch["camera"]
        camera = torch.where(batch["flipped"][:, None], camera * camera.new_tensor(MIRRORED_SIGNS), camera)
        y = joints - joints[:, :, :1]
        valid = torch.ones(len(x), dtype=torch.bool, device=x.device)
        real = round(config.real * len(x))
        if config.method == "none" or real == len(x):
            return x, y, valid
        varied = self._varied(joints)
        if varied is not None:
            first = real if config.method == "lpa" else real + (len(x) - real) // 2
            joints = torch.cat((joints[:first], varied[first:]))
            y = joints - joints[:, :, :1]
        if config.method == "lpa":
            seen, ok = projected(joints, camera[:, None])
        else:
            seen, ok = self._aligned(joints)
        made = torch.cat((self._noisy(seen), torch.ones_like(seen[..., :1])), -1)
        x = torch.cat((x[:real], made[real:]))
        return x, y, torch.cat((valid[:real], ok[real:]))

    def _varied(self, joints: Tensor) -> Tensor | None:
        """Augmented poses at the places of their originals; all frames of a window with one noise."""
        if self.augmentor is None:
            return None
        noise = torch.randn(len(joints), 1, 3, 51, device=joints.device).expand(-1, self.frames, -1, -1)
        made = self.augmentor(joints.flatten(0, 1), noise.flatten(0, 1)).poses_m
        return made.unflatten(0, (-1, self.frames)) + joints[:, :, :1]

    def _aligned(self, joints: Tensor) -> tuple[Tensor, Tensor]:
        """Windows moved together by where their middle frame goes, and their projections."""
        assert self.target is not None
        target = self.target
        middle = joints[:, (self.frames - 1) // 2]
        placed = global_position_alignment(
            middle, target.screen.to(joints), target.camera.to(joints), extent=target.extent
        )
        moved = joints + (placed.poses_m[:, :1] - middle[:, :1])[:, None]
        camera = target.camera.to(joints)[placed.pair.to(joints.device)]
        seen, ok = projected(moved, camera[:, None], self.config.distortion == "on")
        return seen, ok & placed.valid

    def _noisy(self, seen: Tensor) -> Tensor:
        if not self.config.noise:
            return seen
        height = (seen[..., 1].amax(-1) - seen[..., 1].amin(-1)).mean(1)[:, None, None, None]
        return seen + self.config.noise * height * torch.randn_like(seen)

    def header(self) -> dict[str, str]:
        """What :func:`dsr.lifting.load_lifter` builds the network from."""
        keypoints = self.config.windows.keypoints
        settings = json.loads(json.dumps(self._settings))
        return {**super().header(), **lifter_header(self._name, settings, fps=self._fps, keypoints=keypoints)}
