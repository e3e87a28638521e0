"""What adaptation is told: frozen dataclasses and their checks. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from dsr.errors import UsageError
from dsr.training.config import LogConfig, RunConfig, Switch, suggestion
from dsr.training.config_file import read_config
from dsr.training.systems.lifter.config import LifterDataConfig, LifterOptimConfig, LifterValidationConfig

Method = Literal["none", "gpa", "lpa", "gpa+lpa"]
_SOURCES = "mocap:DIR (BVH clips), h36m:DIR, 3dhp:FILE"
_TARGETS = f"results:DIR (a folder run through dsr-fit), {_SOURCES}"


@dataclass(frozen=True)
class AugmentorConfig:
    """The local pose augmentation and how it is trained (PoseAug's rates; the lifter takes no part)."""

    width: int = field(default=256, metadata={"above": 0})
    """Channels of the generators and of the discriminator."""
    rotation: Literal["limited", "free"] = "limited"
    """limited: any yaw, 20 degrees of tilt; free: PoseAug's, which also gives people upside down."""
    realism: float = field(default=6.0, metadata={"at_least": 0})
    """Weight of the discriminator's judgement."""
    span: float = field(default=3.0, metadata={"at_least": 0})
    """Weight of the range that bends and stretches are kept in."""
    target: float = field(default=3.0, metadata={"at_least": 0})
    """Weight of the judgement of turns, by the target's 2D people (the source's where there are none); 0: none."""
    lr: float = field(default=1e-4, metadata={"above": 0})
    """Its learning rate, falling linearly; PoseAug's is meant for tens of thousands of steps."""
    judge_every: int = field(default=2, metadata={"above": 0})
    """The discriminators learn in every so manyth step."""
    pool: int = field(default=4096, metadata={"at_least": 0})
    """Augmented poses kept; half of what the discriminator sees are old ones. 0: none."""
    epochs: int = field(default=20, metadata={"above": 0})
    """Epochs of its training."""
    batch: int = field(default=1024, metadata={"above": 1})
    """Poses per step of its training."""


@dataclass(frozen=True, kw_only=True)
class PoseRunConfig(RunConfig):
    """What training on the source's poses is told, of the augmentation and of a lifter."""

    source: tuple[str, ...] = ()
    """Where labelled poses come from: mocap:DIR (BVH clips), h36m:DIR, 3dhp:FILE; several are mixed."""
    seed: int = field(default=1, metadata={"at_least": 0})
    """Seed of weights, order, pairs and noise."""
    workers: int = field(default=0, metadata={"at_least": 0, "may_change": True})
    """Processes that prepare samples; 0: none."""
    windows: LifterDataConfig = field(default_factory=lambda: LifterDataConfig(fps=10.0, hop=1))
    augmentor: AugmentorConfig = field(default_factory=AugmentorConfig)
    optim: LifterOptimConfig = field(
        default_factory=lambda: LifterOptimConfig(
            name="adam", lr=1e-4, weight_decay=0.0, decay=1.0, linear="on", clip=1.0
        )
    )
    validation: LifterValidationConfig = field(default_factory=LifterValidationConfig)
    log: LogConfig = field(
        default_factory=lambda: LogConfig(overlays=0, keep=0, tensorboard="off"), metadata={"may_change": True}
    )

    def check(self) -> None:
        """Refuse a run without poses."""
        if not self.source:
            raise UsageError(f"--source is missing: name where labelled poses come from, {_SOURCES}.")


@dataclass(frozen=True, kw_only=True)
class AugmentTrainConfig(PoseRunConfig):
    """Training of the augmentation, on the source's poses and the target's 2D people."""

    target: tuple[str, ...] = ()
    """As of the adaptation."""
    min_confidence: float = field(default=0.3, metadata={"at_least": 0, "at_most": 1})
    """As of the adaptation."""
    epochs: int = field(default=20, metadata={"above": 0, "may_change": True})
    """Epochs of the run."""
    batch: int = field(default=1024, metadata={"above": 1})
    """Poses per step."""

    def task_name(self) -> str:
        """The augmentation alone."""
        return "augmentor"


@dataclass(frozen=True, kw_only=True)
class AdaptTrainConfig(PoseRunConfig):
    """Adaptation of a trained lifter to a target that only has 2D keypoints."""

    lifter: Path | None = field(default=None, metadata={"exists": "file"})
    """Weights of a trained lifter (RUN/last.safetensors); the shipped one of single frames where none is given."""
    target: tuple[str, ...] = ()
    """Where the target's 2D keypoints come from: results:DIR (of dsr-fit), or a source, whose 3D is left alone."""
    method: Method = "gpa+lpa"
    """gpa: source poses where the target's people stand; lpa: varied ones; gpa+lpa: both; none: the source as it is."""
    weights: Path | None = field(default=None, metadata={"exists": "file"})
    """Trained augmentation (RUN/augmentor/last.safetensors of an earlier run); trained first where none is given."""
    noise: float = field(default=0.0, metadata={"at_least": 0, "below": 1})
    """Error put on projected keypoints, as a share of the person's height; a detector's: 0.013; published: 0."""
    distortion: Switch = "off"
    """Project with the lens coefficients of the target's camera; published without."""
    real: float = field(default=0.0, metadata={"at_least": 0, "at_most": 1})
    """Share of every batch that are source pairs as they are; published 0."""
    min_confidence: float = field(default=0.3, metadata={"at_least": 0, "at_most": 1})
    """A target person with a keypoint less sure than this places nobody."""
    epochs: int = field(default=30, metadata={"above": 0, "may_change": True})
    """Epochs of the run."""
    batch: int = field(default=1024, metadata={"above": 0})
    """Windows per step."""

    def task_name(self) -> str:
        """The adaptation."""
        return "adapt"

    def check(self) -> None:
        """Refuse a run without source, or without a target where one is needed."""
        super().check()
        if not self.target and "gpa" in self.method:
            raise UsageError(f"--target is missing: name where the target's keypoints come from, {_TARGETS}.")
        for source in self.source:
            _check_place("--source", source, _SOURCES)
        for target in self.target:
            _check_place("--target", target, _TARGETS)


def _check_place(option: str, value: str, allowed: str) -> None:
    """Refuse what is no source (or target), has other joints, or does not exist."""
    from dsr.training.systems.lifter.data import split_source

    kind, _, path = value.partition(":")
    if kind == "humaneva" and path:
        raise UsageError(f"{option} {value}: HumanEva has 15 joints, adaptation takes 17; use {allowed}.")
    if not path or f"{kind}:" not in allowed:
        raise UsageError(f"{option} {value}: use {allowed}.")
    if kind != "results":
        split_source(value, option)
    elif not Path(path).is_dir():
        raise UsageError(f"{option} {value}: there is no folder {path}.")


PRESETS = {"published": "PoseDA's method with PoseAug's rates: 20 epochs of the augmentation, 30 of the lifter"}
"""Name -> what it is."""


def base_config(name: str, file: Path | None) -> AdaptTrainConfig:
    """The configuration of a preset and a file over it.

    Raises:
        UsageError: if there is no such preset, or the file cannot be used.
    """
    if name not in PRESETS:
        raise UsageError(f"--preset {name}: there is no such preset; {suggestion(name, PRESETS)}")
    base = AdaptTrainConfig()
    return base if file is None else read_config(file, base)


def augment_config(config: AdaptTrainConfig) -> AugmentTrainConfig:
    """The augmentation's training within an adaptation: on the same source, device and threads."""
    return AugmentTrainConfig(
        source=config.source,
        target=config.target,
        min_confidence=config.min_confidence,
        epochs=config.augmentor.epochs,
        batch=config.augmentor.batch,
        seed=config.seed,
        device=config.device,
        threads=config.threads,
        windows=config.windows,
        augmentor=config.augmentor,
        optim=replace(AugmentTrainConfig(source=config.source).optim, lr=config.augmentor.lr),
        log=config.log,
    )
