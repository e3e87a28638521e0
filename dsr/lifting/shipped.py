"""Lifters as files: safetensors whose header says how to build the network; two are shipped with the package."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from torch import nn

from dsr.checkpoints import shipped_file
from dsr.errors import CheckpointError, UsageError
from dsr.lifting.base import WindowLifter
from dsr.lifting.registry import build_lifter

Shipped = Literal["temporal", "single"]
_KEY: Final = "lifter"


def load_shipped(kind: Shipped = "temporal", device: str = "cpu") -> WindowLifter:
    """A lifter trained here: see ``dsr/weights/lifter_<kind>.md`` for data and figures.

    Args:
        kind: ``temporal`` for sequences, ``single`` for one picture.
        device: where it goes.

    Returns:
        The network in evaluation mode; give it to :func:`~dsr.lifting.lift_sequence`.

    Raises:
        UsageError: for another kind.
        CheckpointError: if this installation lacks the file.

    Example:
        >>> load_shipped("single").joints
        17
    """
    if kind not in get_args(Shipped):
        raise UsageError(f"There is no shipped lifter {kind!r}; there are {' and '.join(get_args(Shipped))}.")
    path = shipped_file(f"lifter_{kind}.safetensors")
    if not path.is_file():
        raise CheckpointError(f"{path} is missing from this installation; install the package again.")
    return load_lifter(path, device)


def load_lifter(path: str | Path, device: str = "cpu") -> WindowLifter:
    """A lifter from a file of :func:`save_lifter`, built as its header says.

    Args:
        path: the ``.safetensors`` file.
        device: where it goes.

    Returns:
        The network in evaluation mode, with what the header tells of its training: ``joint_error_mm`` (J,), the
        error of every joint on validation data, ``fps``, the frames per second it saw, and ``keypoints``, the set they
        were made of; None where it does not. ``lifter_name`` and ``lifter_config`` are what built it.

    Raises:
        CheckpointError: if the file cannot be read, says nothing of a lifter, or does not fit what it says.
    """
    from dsr.checkpoints import load_checkpoint, read_header

    path = Path(path)
    text = read_header(path).get(_KEY) if path.is_file() else None
    if path.is_file() and text is None:
        raise CheckpointError(
            f"{path} does not say which lifter it holds: build it with dsr.lifting.build_lifter and fill it with "
            "dsr.load_checkpoint."
        )
    if text is None:
        raise CheckpointError(f"{path} is missing or not a file.")
    try:
        about = json.loads(text)
        name, config, error = about["name"], dict(about["config"]), about.get("joint_error_mm")
        fps = about.get("fps")
        if not isinstance(name, str):
            raise TypeError("its name is no text")
        model: Any = build_lifter(name, **config)
        model.joint_error_mm = None if error is None else np.asarray(error, np.float32).reshape(model.joints)
        model.fps = None if fps is None else float(fps)
        if fps is not None and not (math.isfinite(model.fps) and model.fps > 0):
            raise ValueError(f"fps is {fps}")
        model.keypoints = about.get("keypoints")
        model.lifter_name, model.lifter_config = name, config
        if not isinstance(model.keypoints, str | None):
            raise TypeError("keypoints is no text")
    except (UsageError, ValueError, TypeError, KeyError, AttributeError) as problem:
        raise CheckpointError(f"{path} describes its lifter badly ({problem}); fetch it again.") from problem
    load_checkpoint(model, path)
    return model.eval().requires_grad_(False).to(device)


def save_lifter(
    path: str | Path,
    model: nn.Module,
    name: str,
    config: dict[str, Any],
    *,
    joint_error_mm: Any = None,
    fps: float | None = None,
    keypoints: str | None = None,
    **about: str,
) -> None:
    """Write a lifter so that :func:`load_lifter` builds it again.

    Args:
        path: the ``.safetensors`` file.
        model: the network.
        name: its name in :data:`~dsr.lifting.LIFTERS`.
        config: what :func:`~dsr.lifting.build_lifter` was called with; plain values.
        joint_error_mm: (J,) error of every joint on the validation data, for uncertainties.
        fps: frames per second it was trained at.
        keypoints: the set its 17 joints were made of in training, ``blazepose33`` for example.
        **about: further texts of the header: data, licence, figures.

    Raises:
        UsageError: if the settings do not build this network.
    """
    from dsr.checkpoints import write_weights

    header = lifter_header(name, config, joint_error_mm, fps, keypoints)
    if not isinstance(model, type(build_lifter(name, **config))):
        raise UsageError(f"{type(model).__name__} is not the lifter {name!r}.")
    write_weights(Path(path), dict(model.state_dict()), {**about, **header})


def lifter_header(
    name: str,
    config: dict[str, Any],
    joint_error_mm: Any = None,
    fps: float | None = None,
    keypoints: str | None = None,
) -> dict[str, str]:
    """The entry of a safetensors header that :func:`load_lifter` reads; arguments as of :func:`save_lifter`."""
    error = None if joint_error_mm is None else [round(float(e), 2) for e in np.ravel(joint_error_mm)]
    about = {"name": name, "config": config, "joint_error_mm": error, "fps": fps, "keypoints": keypoints}
    return {_KEY: json.dumps(about)}
