"""What the training of a lifter is told: frozen dataclasses, their checks, the network they mean. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dsr.errors import UsageError
from dsr.training.config import LogConfig, RunConfig, Switch, UpdateConfig, ValidationConfig

Optimiser = Literal["adam", "adam-amsgrad", "adamw", "ranger"]


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network; 0 takes the published one."""

    frames: int = field(default=0, metadata={"at_least": 0})
    """Window length."""
    width: int = field(default=0, metadata={"at_least": 0})
    """Channels."""
    depth: int = field(default=0, metadata={"at_least": 0})
    """Stages (pairs, layers or blocks), where the network has a choice."""
    heads: int = field(default=0, metadata={"at_least": 0})
    """Attention heads."""
    inputs: int = field(default=0, metadata={"at_least": 0})
    """Channels per keypoint: 2 (u, v), or 3 with the confidence."""
    keep: int = field(default=0, metadata={"at_least": 0})
    """Frames left by pruning (HoT, TPC), of any transformer lifter."""
    before: int = -1
    """Stage in front of which frames are pruned; -1: the published one."""
    by_time: Switch = "off"
    """HoT: kept frames know their time in the window; published, only their rank among the kept."""
    priors: Switch = "off"
    """KPA and TPA as the embedding of MotionBERT or MotionAGFormer."""
    causal: Switch = "off"
    """GLA-GCN: the last frame of a window, from those before it; published, the middle one."""
    similar: int = -1
    """MotionAGFormer: frames joined to each, by likeness; 0: the one before and after; -1: the published 4."""
    adaptive: Switch = "on"
    """MotionAGFormer: streams weighted by what they hold; off: alike."""
    layer_scale: Switch = "on"
    """MotionAGFormer: learned factors on the residual branches."""
    streams: Literal["both", "attention", "graph"] = "both"
    """MotionAGFormer: both streams, as published, or one alone."""
    hypotheses: int = field(default=0, metadata={"at_least": 0})
    """Poses that the diffusion lifter draws for every window."""
    iterations: int = field(default=0, metadata={"at_least": 0})
    """Denoising steps of each."""
    drop: float = -1.0
    """Dropout (ConvFormer, GLA-GCN, UAO, SimpleBaseline); -1: the published one."""
    drop_path: float = -1.0
    """Stochastic depth; -1: the published one."""
    rescale: Switch = "off"
    """Bring people to one size on the screen before anything else; published lifters do not."""
    positions: float = field(default=0.0, metadata={"at_least": 0, "below": 10})
    """Spread of the positional tables at the start, which sets joints (HoT: and times) apart; 0: as published."""
    init: Path | None = field(default=None, metadata={"exists": "file"})
    """Weights to start from (official checkpoint or safetensors); a lifter of another window length will do."""


@dataclass(frozen=True)
class LifterDataConfig:
    """Windows of the training data."""

    keypoints: str = "h36m17"
    """Of mocap: h36m17 (with noise), blazepose33 or coco17 made the 17; of h36m cpn, humaneva coco; gt or a file."""
    noise: Switch = "on"
    """Detector-like noise on mocap's 2D joints."""
    cameras: int = field(default=2, metadata={"above": 0})
    """Virtual cameras per mocap clip."""
    fps: float = field(default=0.0, metadata={"at_least": 0})
    """Frames per second the tracks are thinned to; 0: 30 for mocap, else as they are."""
    hop: int = field(default=0, metadata={"at_least": 0})
    """Frames between the starts of two training windows; 0: windows do not overlap."""
    flip: Switch = "on"
    """Every window also mirrored."""
    label_noise: Switch = "off"
    """GLA-GCN's rotation and scale of the targets, part of the released recipe."""
    seed: int = 1
    """Seed of cameras and noise of mocap."""


@dataclass(frozen=True)
class LifterLossConfig:
    """The loss."""

    kind: Literal["sequence", "position", "squared", "laplace"] = "sequence"
    """sequence: weighted MPJPE + temporal + velocity; position: MPJPE; squared: PoseAug's; laplace: UAO's."""
    joints: Literal["published", "even"] = "published"
    """Weights of the joints in sequence: up to 4 for wrists and elbows, or all alike."""
    temporal: float = 0.5
    """Weight of the temporal consistency."""
    velocity: float = 2.0
    """Weight of the velocity error."""
    compat: Switch = "off"
    """KTPFormer's released gradient: multiplied by the loss itself."""


@dataclass(frozen=True)
class LifterOptimConfig(UpdateConfig):
    """Optimiser and schedule; weight decay is on all parameters, as in the released code of the lifters."""

    name: Optimiser = "adamw"
    """Optimiser."""
    lr: float = field(default=8e-5, metadata={"above": 0})
    """Learning rate."""
    weight_decay: float = field(default=0.1, metadata={"at_least": 0})
    """Weight decay (adamw, ranger)."""
    decay: float = field(default=0.99, metadata={"above": 0})
    """Factor on the learning rate after every epoch."""
    halve_every: int = field(default=0, metadata={"at_least": 0})
    """Every so many epochs the factor is 0.5 instead; 0: never."""
    cosine: Switch = "off"
    """Half a cosine over the epochs instead of the factor, down to lr_end."""
    linear: Switch = "off"
    """The learning rate falls linearly over the epochs, 1 - epoch / (epochs + 1), as in PoseAug."""
    lr_end: float = field(default=1e-5, metadata={"at_least": 0})
    """Where the cosine ends."""
    warmup: int = field(default=0, metadata={"at_least": 0})
    """Steps of linear warm-up."""
    per_step: Switch = "off"
    """Move the cosine at every step, not after every epoch."""
    bn_schedule: Switch = "off"
    """GLA-GCN's batch-norm momentum, from 0.1 down to 0.001."""
    bf16: Switch = "off"
    """bfloat16 for the network where the processor has it."""


@dataclass(frozen=True)
class LifterValidationConfig(ValidationConfig):
    """Measures on held-out tracks; for H36M the published test subjects, for mocap its validation clips."""

    count: int = field(default=0, metadata={"at_least": 0})
    """Windows measured after an epoch, evenly spread; 0: none."""


@dataclass(frozen=True, kw_only=True)
class LifterTrainConfig(RunConfig):
    """Everything a run depends on; RUN/config.yaml holds the resolved one."""

    model: str = "mixste"
    """Lifter; --list-presets shows the names."""
    data: tuple[str, ...] = field(default=(), metadata={"may_change": True})
    """Where tracks come from: mocap:DIR (BVH clips), h36m:DIR or humaneva:DIR (npz), 3dhp:FILE; several are mixed."""
    epochs: int = field(default=160, metadata={"above": 0, "may_change": True})
    """Epochs of the run."""
    batch: int = field(default=4, metadata={"above": 0})
    """Windows per step on each GPU."""
    seed: int = field(default=1126, metadata={"at_least": 0})
    """Seed of weights, order and dropout."""
    workers: int = field(default=0, metadata={"at_least": 0, "may_change": True})
    """Processes that cut windows; 0: none."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    windows: LifterDataConfig = field(default_factory=LifterDataConfig)
    losses: LifterLossConfig = field(default_factory=LifterLossConfig)
    optim: LifterOptimConfig = field(default_factory=LifterOptimConfig)
    validation: LifterValidationConfig = field(default_factory=LifterValidationConfig)
    log: LogConfig = field(
        default_factory=lambda: LogConfig(overlays=0, tensorboard="off"), metadata={"may_change": True}
    )

    def task_name(self) -> str:
        """All lifters are one system."""
        return "lifter"

    def check(self) -> None:
        """Refuse a run without tracks, or with a loss that the lifter cannot have."""
        if not self.data:
            raise UsageError(
                "--data is missing: name the tracks to train on, mocap:DIR, h36m:DIR, humaneva:DIR or 3dhp:FILE."
            )
        if self.losses.kind == "laplace" and host_of(self.model) != "uao":
            raise UsageError(f"--losses.kind laplace: {self.model} gives no uncertainty; uao does.")


def host_of(model: str) -> str:
    """The lifter without its pruning: ``mixste`` of ``hot-mixste``."""
    return model.rpartition("-")[2]


MISSING_SIZES = {
    "glagcn": frozenset({"depth", "heads"}),
    "mhformer": frozenset({"depth"}),
    "uao": frozenset({"heads"}),
    "simplebaseline": frozenset({"heads"}),
}
"""Lifter to the sizes that it has no argument for; depth is then as published, heads are refused."""


def network_arguments(config: LifterTrainConfig) -> dict[str, Any]:
    """What :func:`dsr.lifting.build_lifter` is called with: only what differs from the published size.

    Raises:
        UsageError: for something this lifter does not have.
    """
    network, home = config.network, host_of(config.model)
    made: dict[str, Any] = {
        key: getattr(network, key) for key in ("frames", "width", "heads", "inputs") if getattr(network, key)
    }
    missing = MISSING_SIZES.get(home, frozenset())
    if "heads" in made and "heads" in missing:
        raise UsageError(f"--network.heads: {config.model} has no attention heads.")
    if config.data and all(source.startswith("humaneva:") for source in config.data):
        made |= _humaneva(config)
    if home == "glagcn" and network.frames:
        made["widths"] = _thirds(network.frames)
    if network.depth and home == "convformer":
        made |= {"spatial_blocks": network.depth, "temporal_blocks": network.depth}
    elif network.depth and home == "uao":
        made["layers"] = network.depth
    elif network.depth and "depth" not in missing:
        made["depth"] = network.depth
    if config.model.startswith(("hot-", "tpc-")):
        made |= {"keep": network.keep} if network.keep else {}
        made |= {"before": network.before} if network.before >= 0 else {}
        made |= {"by_time": True} if network.by_time == "on" else {}
    if home == "diffusion":
        made |= {name: getattr(network, name) for name in ("hypotheses", "iterations") if getattr(network, name)}
    if network.rescale == "on":
        made["rescale"] = True
    if network.priors == "on":
        if home not in ("motionbert", "motionagformer"):
            raise UsageError(f"--network.priors: {config.model} does not take them; MotionBERT and MotionAGFormer do.")
        made["priors"] = True
    made |= _streams(config, home)
    if network.causal == "on":
        if home != "glagcn":
            raise UsageError(f"--network.causal: only GLA-GCN has it, not {config.model}.")
        made["causal"] = True
    if network.drop >= 0 and home in ("convformer", "glagcn", "uao", "simplebaseline"):
        made["drop"] = network.drop
    if network.drop_path >= 0 and home in ("convformer", "mixste", "ktpformer", "uao", "diffusion"):
        made["drop_path"] = network.drop_path
    return made


def _streams(config: LifterTrainConfig, home: str) -> dict[str, Any]:
    """MotionAGFormer's variants."""
    network = config.network
    made: dict[str, Any] = {"similar": network.similar} if network.similar >= 0 else {}
    made |= {name: False for name in ("adaptive", "layer_scale") if getattr(network, name) == "off"}
    made |= {"streams": network.streams} if network.streams != "both" else {}
    if made and home != "motionagformer":
        raise UsageError(
            f"--network.{next(iter(made)).replace('_', '-')}: only MotionAGFormer has it, not {config.model}."
        )
    return made


def _humaneva(config: LifterTrainConfig) -> dict[str, Any]:
    """15 joints; GLA-GCN has a graph of its own for detections."""
    home = host_of(config.model)
    if home == "glagcn":
        return {"dataset": "humaneva15" if config.windows.keypoints == "gt" else "humaneva15_coco"}
    if home not in ("ktpformer", "mixste", "convformer", "simplebaseline"):
        raise UsageError(f"--data: {config.model} has Human3.6M's 17 joints, not HumanEva's 15; glagcn takes these.")
    return {"joints": 15}


def _thirds(frames: int) -> tuple[int, ...]:
    """The temporal strides of 3 whose product is the window."""
    count = round(math.log(frames, 3)) if frames > 1 else 0
    if 3**count != frames or count < 1:
        raise UsageError(f"--network.frames {frames}: GLA-GCN takes 3, 9, 27, 81 or 243 frames.")
    return (3,) * count
