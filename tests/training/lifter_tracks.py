"""Tracks and small configurations for the tests of the lifters' training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr.tracks.track import PoseTrack
from dsr.training.config import LogConfig
from dsr.training.systems.lifter.config import MISSING_SIZES, LifterDataConfig, LifterTrainConfig
from dsr.training.systems.lifter.presets import lifter_preset


def smooth_track(frames: int = 40, seed: int = 0, valid: np.ndarray | None = None) -> PoseTrack:
    """A track of smooth joints whose keypoints are their projection."""
    rng = np.random.default_rng(seed)
    base, phase = rng.normal(0, 0.4, (17, 3)), rng.uniform(0, 6, (17, 3))
    joints = base + 0.1 * np.sin(np.arange(frames)[:, None, None] / 5 + phase) + [0.0, 0.0, 5.0]
    pixels = joints[..., :2] / joints[..., 2:] * 500 + 320
    return PoseTrack(
        f"smooth {seed}",
        "S1",
        "Walking 1",
        "0",
        50.0,
        pixels.astype(np.float32),
        joints.astype(np.float32),
        (640, 480),
        valid=valid,
    )


def published_track(screen: np.ndarray, joints: np.ndarray) -> PoseTrack:
    """A track that a published generator was given as screen coordinates (T, 17, 2) and joints (T, 17, 3)."""
    size = (1000, 1002)
    pixels = (np.asarray(screen, np.float64) + np.array([1.0, size[1] / size[0]])) * size[0] / 2
    return PoseTrack("published", "S1", "Walking", "0", 50.0, pixels, np.asarray(joints, np.float64), size)


def small_config(model: str = "mixste", **changes: object) -> LifterTrainConfig:
    """A run of a few steps on windows of nine frames."""
    size = {"convformer": 8, "glagcn": 8}.get(model, 16)
    config = replace(lifter_preset("mocap", model), data=("mocap:unused",), steps=6, epochs=3, batch=2)
    network = replace(
        config.network, frames=9, width=size, keep=3, heads=0 if "heads" in MISSING_SIZES.get(model, ()) else 2
    )
    config = replace(
        config,
        network=network if config.network.frames else config.network,  # some lift single frames
        windows=LifterDataConfig(hop=4),
        log=LogConfig(every=1, overlays=0, checkpoint=3, keep=0, tensorboard="off"),
    )
    return replace(config, **{"optim": replace(config.optim, warmup=0), **changes})
