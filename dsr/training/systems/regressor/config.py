"""What the training of an image-to-body network is told: data, losses, and which network. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dsr.errors import UsageError
from dsr.losses.perspose_weights import TERMS
from dsr.losses.weights import LossWeights
from dsr.training.config import OptimConfig, RunConfig, Switch, ValidationConfig, suggestion
from dsr.training.systems import REGRESSOR_TASKS

if TYPE_CHECKING:
    System = str
else:
    System = Literal[tuple(REGRESSOR_TASKS)]  # the flag and its help list the tasks that there are


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    backbone: str = "resnet50"
    """Backbone of dsr: resnet50, resnext50_32x4d, wide_resnet50_2, mobilenet_v2, hrnet_w32 and so on."""
    image_size: int = field(default=224, metadata={"above": 0})
    """Side of the square crops, pixels."""
    width: int = field(default=48, metadata={"above": 0})
    """Width of perspose's HRNet."""
    dropout: float = field(default=0.5, metadata={"at_least": 0, "below": 1})
    """Dropout of dsr's head."""
    init: Path | None = field(default=None, metadata={"exists": "file"})
    """Checkpoint to start from (official layouts or safetensors); the optimiser starts anew."""


@dataclass(frozen=True)
class DataConfig:
    """What is trained on."""

    mix: dict[str, float] = field(default_factory=lambda: {"synthetic": 1.0})
    """Shares of data sets: synthetic; h36m, coco, 3dpw, mpi-inf-3dhp (dsr) or 3dhp, bedlam-train, bedlam-val."""
    root: Path | None = field(default=None, metadata={"exists": "folder", "may_change": True})
    """Folder of the data sets as published (dsr: dataset_extras, dataset_folders; perspose: NAME/)."""
    epoch_samples: int = field(default=0, metadata={"at_least": 0})
    """Samples of an epoch; 0: as published (dsr: the longest data set, perspose: 300000)."""
    flip: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1})
    """Share of mirrored samples (dsr)."""
    noise: float = field(default=0.4, metadata={"at_least": 0})
    """Colour gains are drawn from 1 - noise to 1 + noise (dsr)."""
    rotation: float = field(default=30.0, metadata={"at_least": 0})
    """Standard deviation of the rotation in the picture, degrees (dsr)."""
    scale: float = field(default=0.25, metadata={"at_least": 0})
    """Standard deviation of the crop's scale (dsr)."""
    reduce: Switch = "off"
    """Decode JPEGs at 1/2, 1/4 or 1/8 where the crop is smaller still: faster, but evaluation does not."""
    jitter: Switch = "off"
    """Move the point the virtual camera turns to (perspose)."""
    mocap: Path | None = field(default=None, metadata={"exists": "folder", "may_change": True})
    """Folder of BVH files the synthetic people take their poses from; without it, the pose prior's."""
    synthetic_size: int = field(default=256, metadata={"above": 0})
    """Side of the synthetic pictures, pixels."""
    synthetic_count: int = field(default=20000, metadata={"above": 0})
    """Synthetic people of an epoch."""
    synthetic_pool: int = field(default=0, metadata={"at_least": 0})
    """Make only this many synthetic people, keep them in memory and take them again in every epoch; 0: always new."""
    synthetic_facing: float = 180.0
    """Synthetic people are turned at most this many degrees from facing the camera; 180 is all round."""
    clothing: Switch = "on"
    """Dress the synthetic people."""
    occluders: Switch = "on"
    """Put things in front of the synthetic people."""


@dataclass(frozen=True)
class LossConfig(LossWeights):
    """Weights of DSR's terms (published by default) and how the semantic ones are rendered."""

    dsr: Switch = "on"
    """off: train without the semantic terms (keypoints and parameters only)."""
    crop_camera: Literal["published", "own"] = "published"
    """Camera of keypoints and semantic terms: published (f = 5000 px), or own: the picture's where it is known."""
    semantic_pose: Literal["predicted", "labelled"] = "predicted"
    """Pose the semantic terms are drawn in: predicted, or the labels' where known (terms then teach shape alone)."""
    backend: Literal["auto", "warp", "pytorch3d"] = field(default="auto", metadata={"may_change": True})
    """Renderer of the semantic terms."""
    prior: Path | None = field(default=None, metadata={"exists": "file"})
    """semantic_prior.npy of the body (F, 20); without it, the clothing prior carried to the body."""
    render_size: int = field(default=0, metadata={"at_least": 0})
    """Side of the rendered pictures, pixels; 0: that of the crops."""


@dataclass(frozen=True)
class PersPoseConfig:
    """PersPose's terms."""

    weights: tuple[float, ...] = (1, 1, 1, 1, 1, 1, 1, 0, 0, 0.1, 0.01, 0.01)
    """Weights of the 12 terms in the published order."""
    mirror: float = field(default=0.5, metadata={"at_least": 0, "at_most": 1})
    """Share of mirrored batches."""


@dataclass(frozen=True)
class DefaultNetworkConfig:
    """The default network: its design, its pairs, how they are varied, its terms."""

    pairs: Path | None = field(default=None, metadata={"exists": "folder", "may_change": True})
    """Folder of pairs of made-up people and detections (python -m dsr.synthetic.make_pairs)."""
    people: int = field(default=0, metadata={"at_least": 0})
    """Train on at most this many people of the folder; 0: on all."""
    design: Literal["mlp", "refine", "tokens"] = "refine"
    """Residual perceptron, two of them with feedback, or a transformer over the joints."""
    width: int = field(default=512, metadata={"above": 0})
    """Width of its layers."""
    blocks: int = field(default=4, metadata={"above": 0})
    """Residual blocks, or layers."""
    ray_noise: float = field(default=0.006, metadata={"at_least": 0})
    """Noise of the keypoints, shares of the box side."""
    world_noise: float = field(default=0.012, metadata={"at_least": 0})
    """Noise of landmarks and lifted joints, metres; half of it is common to a limb."""
    drop: float = field(default=0.1, metadata={"at_least": 0, "at_most": 1})
    """Share of samples without the lifter's joints, without silhouette, with hidden keypoints."""
    semantic_people: int = field(default=16, metadata={"above": 0})
    """People of a batch that the semantic terms draw."""
    points: float = field(default=10.0, metadata={"at_least": 0})
    """Weight of keypoints and joints in space."""
    pose: float = field(default=1.0, metadata={"at_least": 0})
    """Weight of the rotations."""
    shape: float = field(default=0.1, metadata={"at_least": 0})
    """Weight of the betas."""
    vertices: float = field(default=4.0, metadata={"at_least": 0})
    """Weight of vertices."""
    picture: float = field(default=5.0, metadata={"at_least": 0})
    """Weight of keypoints in the picture."""
    spread: float = field(default=0.1, metadata={"at_least": 0})
    """Weight of the likelihood that teaches the uncertainties; the pose does not follow it."""


@dataclass(frozen=True)
class RegressorValidationConfig(ValidationConfig):
    """Held-out synthetic people."""

    shape: Switch = "off"
    """Also measure the shape: vertices in T-pose, height, waist, hips."""


@dataclass(frozen=True, kw_only=True)
class RegressorTrainConfig(RunConfig):
    """Everything a run depends on; RUN/config.yaml holds the resolved one."""

    system: System = "dsr"
    """Which network; toy is a small regression for tests."""
    body: str = "open-light"
    """Body: open-light, open, or a licensed SMPL file."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    perspose: PersPoseConfig = field(default_factory=PersPoseConfig)
    network: DefaultNetworkConfig = field(default_factory=DefaultNetworkConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    validation: RegressorValidationConfig = field(default_factory=RegressorValidationConfig)

    def task_name(self) -> str:
        """The network's system."""
        return self.system

    def check(self) -> None:
        """Refuse systems that are not there, mixtures of nothing and weights that are not PersPose's twelve."""
        if self.system not in REGRESSOR_TASKS:
            raise UsageError(
                f"--system {self.system}: there is no such network; {suggestion(self.system, REGRESSOR_TASKS)}"
            )
        mix, weights = self.data.mix, self.perspose.weights
        if not mix or any(not (math.isfinite(s) and s >= 0) for s in mix.values()):
            raise UsageError("--data.mix: name at least one data set, each with a share of 0 or more.")
        if sum(mix.values()) <= 0:
            raise UsageError("--data.mix: all shares are 0; give at least one data set a share above 0.")
        if len(weights) != len(TERMS):
            raise UsageError(f"--perspose.weights has {len(weights)} numbers: give {len(TERMS)}, one per term.")
