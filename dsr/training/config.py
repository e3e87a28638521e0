"""What a training run is told: frozen dataclasses, and the same as YAML. Imports no torch.

Every field has the same name in Python, in a YAML file (nested by group) and as a flag (``--optim.lr 1e-4``).
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from dsr.errors import MissingExtraError, UsageError
from dsr.extras import install_hint
from dsr.losses.weights import LossWeights

Switch = Literal["on", "off"]


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    backbone: str = "resnet50"
    """Backbone of dsr: resnet18, resnet34, resnet50 and so on; perspose has HRNet."""
    image_size: int = 224
    """Side of the square crops, pixels."""
    width: int = 48
    """Width of perspose's HRNet."""
    dropout: float = 0.5
    """Dropout of dsr's head."""
    init: Path | None = None
    """Checkpoint to start from (official layouts or safetensors); the optimiser starts anew."""


@dataclass(frozen=True)
class DataConfig:
    """What is trained on."""

    mix: dict[str, float] = field(default_factory=lambda: {"synthetic": 1.0})
    """Data sets and their shares: synthetic; h36m, coco, 3dpw, mpi-inf-3dhp (dsr) or 3dhp, bedlam-train,
    bedlam-val (perspose)."""
    root: Path | None = None
    """Folder of the data sets in the published layout (dsr: dataset_extras and dataset_folders, perspose: NAME/);
    synthetic needs none."""
    epoch_samples: int = 0
    """Samples of an epoch; 0: as published (dsr: the longest data set, perspose: 300000)."""
    flip: float = 0.5
    """Share of mirrored samples (dsr)."""
    noise: float = 0.4
    """Colour gains are drawn from 1 - noise to 1 + noise (dsr)."""
    rotation: float = 30.0
    """Standard deviation of the rotation in the picture, degrees (dsr)."""
    scale: float = 0.25
    """Standard deviation of the crop's scale (dsr)."""
    reduce: Switch = "off"
    """Decode JPEGs at 1/2, 1/4 or 1/8 where the crop is smaller still: faster, but evaluation does not."""
    jitter: Switch = "off"
    """Move the point the virtual camera turns to (perspose)."""
    mocap: Path | None = None
    """Folder of BVH files the synthetic people take their poses from; without it, the pose prior's."""
    synthetic_size: int = 256
    """Side of the synthetic pictures, pixels."""
    synthetic_count: int = 20000
    """Synthetic people of an epoch."""
    synthetic_pool: int = 0
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
    """Camera of the 2D keypoints and the semantic terms: published (f = 5000 px, seen from far away), or own: the
    crop's intrinsics where those of the picture are known."""
    semantic_pose: Literal["predicted", "labelled"] = "predicted"
    """Pose the semantic terms are drawn in: the predicted one, or the labels' where there is one, placed by the 2D
    keypoints; the terms then teach the shape alone."""
    backend: Literal["auto", "warp", "pytorch3d"] = "auto"
    """Renderer of the semantic terms."""
    prior: Path | None = None
    """semantic_prior.npy of the body (F, 20); without it, the label prior of the open body."""
    render_size: int = 0
    """Side of the rendered pictures, pixels; 0: that of the crops."""


@dataclass(frozen=True)
class PersPoseConfig:
    """PersPose's terms."""

    weights: tuple[float, ...] = (1, 1, 1, 1, 1, 1, 1, 0, 0, 0.1, 0.01, 0.01)
    """Weights of the 12 terms in the published order."""
    mirror: float = 0.5
    """Share of mirrored batches."""


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser and schedule."""

    name: Literal["adam", "adamw"] = "adam"
    """adam: one group; adamw: no decay of biases and 1-D parameters."""
    lr: float = 3e-5
    """Learning rate."""
    weight_decay: float = 0.0
    """Weight decay."""
    warmup_epochs: float = 0.0
    """Epochs of linear warm-up, factor (epoch + 0.01) / warmup_epochs."""
    decay: float = 1.0
    """Factor on the learning rate every decay_epochs after the warm-up."""
    decay_epochs: float = 1.0
    """Epochs between two steps of the learning rate."""
    cosine: Switch = "off"
    """Half a cosine from the learning rate down to a hundredth of it over the run, after the warm-up."""
    clip: float = 0.0
    """Largest norm of the gradient; 0: no clipping."""
    ema: float = 0.0
    """Decay of an average of the weights, 0.999 for example; it is validated and saved too. 0: none."""
    bf16: Switch = "on"
    """bfloat16 for the network on CUDA and on processors that have it; losses and inverse kinematics in float32."""
    sync_batchnorm: Switch = "off"
    """Batch-norm statistics over all GPUs."""


@dataclass(frozen=True)
class ValidationConfig:
    """Held-out synthetic people."""

    count: int = 256
    """How many; 0: no validation."""
    every: int = 1
    """Validate after this many epochs."""
    shape: Switch = "off"
    """Also measure the shape: vertices in T-pose, height, waist, hips."""


@dataclass(frozen=True)
class LogConfig:
    """What is written while training."""

    every: int = 50
    """Steps between two records of the losses."""
    overlays: int = 500
    """Steps between two pictures of predictions; 0: none."""
    checkpoint: int = 500
    """Steps between two checkpoints; there is always one after an epoch. 0: only then."""
    keep: int = 2
    """Keep the weights of this many last epochs, besides the last and the best."""
    tensorboard: Switch = "on"
    """Also write TensorBoard files, where the train extra is installed."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything a run depends on; RUN/config.yaml holds the resolved one."""

    system: Literal["dsr", "perspose", "toy"] = "dsr"
    """Which network; toy is a small regression for tests."""
    epochs: int = 50
    """Epochs of the run."""
    steps: int = 0
    """Stop after this many steps in all; 0: after the epochs."""
    batch: int = 128
    """Samples per step on each GPU."""
    seed: int = 7
    """Seed of everything drawn."""
    workers: int = 8
    """Processes that prepare samples; 0: none. The samples do not depend on it."""
    device: str = "auto"
    """auto, cpu or cuda."""
    threads: int = 0
    """CPU threads of the training itself; 0: torch's choice."""
    body: str = "open-light"
    """Body: open-light, open, or a licensed SMPL file."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    perspose: PersPoseConfig = field(default_factory=PersPoseConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    log: LogConfig = field(default_factory=LogConfig)


MAY_CHANGE = frozenset(
    {
        "epochs",
        "steps",
        "workers",
        "device",
        "threads",
        "log.every",
        "log.overlays",
        "log.checkpoint",
        "log.keep",
        "log.tensorboard",
        "losses.backend",
        "data.root",
        "data.mocap",
    }
)
"""What may differ when a run is resumed; everything else would make it another run."""


def check_config(config: TrainConfig) -> None:
    """Refuse values that cannot be meant.

    Raises:
        UsageError: naming the flag.
    """
    for key, value in flat(config).items():
        flag = f"--{key.replace('_', '-')} {value}"
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{flag}: use a finite number.")
        if key in _POSITIVE and value <= 0:
            raise UsageError(f"{flag}: use a number above 0.")
        if key in _NOT_NEGATIVE and value < 0:
            raise UsageError(f"{flag}: use 0 or a positive number.")
    for key, value in (
        ("data.flip", config.data.flip),
        ("perspose.mirror", config.perspose.mirror),
        ("optim.ema", config.optim.ema),
        ("model.dropout", config.model.dropout),
    ):
        below = key in ("optim.ema", "model.dropout")
        if not 0 <= value <= 1 or (below and value == 1):
            raise UsageError(f"--{key} {value}: use a number from 0 to {'below 1' if below else '1'}.")
    if config.device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {config.device}: use auto, cpu or cuda; torchrun chooses among several GPUs.")
    if not config.data.mix or any(not (math.isfinite(s) and s >= 0) for s in config.data.mix.values()):
        raise UsageError("--data.mix: name at least one data set, each with a share of 0 or more.")
    if sum(config.data.mix.values()) <= 0:
        raise UsageError("--data.mix: all shares are 0; give at least one data set a share above 0.")
    if len(config.perspose.weights) != 12:
        raise UsageError(f"--perspose.weights has {len(config.perspose.weights)} numbers: give 12, one per term.")
    for key, path in (("model.init", config.model.init), ("losses.prior", config.losses.prior)):
        if path is not None and not path.is_file():
            raise UsageError(f"--{key} {path}: there is no such file.")
    for key, path in (("data.root", config.data.root), ("data.mocap", config.data.mocap)):
        if path is not None and not path.is_dir():
            raise UsageError(f"--{key} {path}: there is no such folder.")


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as plain numbers, texts, lists and dictionaries."""

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, tuple):
            return [plain(one) for one in value]
        return dict(value) if isinstance(value, dict) else value

    return plain(config)


def flat(config: TrainConfig) -> dict[str, Any]:
    """Every value under its dotted name, ``optim.lr`` for example."""
    out: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        for f in fields(value):
            one = getattr(value, f.name)
            if is_dataclass(one):
                walk(f"{prefix}{f.name}.", one)
            else:
                out[prefix + f.name] = one

    walk("", config)
    return out


def from_dict(values: Any, base: TrainConfig | None = None, where: str = "the configuration") -> TrainConfig:
    """A configuration from what :func:`to_dict` gives, or from a part of it over ``base``.

    Raises:
        UsageError: naming ``where`` and the key that is unknown or has the wrong type.
    """
    return _merge(base or TrainConfig(), values, where, "")


def read_yaml(path: Path) -> Any:
    """The contents of a YAML (or JSON) file.

    Raises:
        UsageError: if it cannot be read or is no YAML.
        MissingExtraError: if it is no JSON and PyYAML is not installed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text file"
        raise UsageError(f"{path} cannot be read: {reason}.") from error
    try:
        import yaml
    except ImportError as error:
        try:
            return json.loads(text)
        except ValueError:
            raise MissingExtraError(f"Reading {path} needs PyYAML: {install_hint('train')}") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark is not None else ""
        raise UsageError(f"{path} is no valid YAML{place}: {getattr(error, 'problem', error)}.") from error


def to_yaml(config: TrainConfig) -> str:
    """The configuration as YAML; as JSON, which is YAML too, where PyYAML is not installed."""
    try:
        import yaml
    except ImportError:
        return json.dumps(to_dict(config), indent=1) + "\n"
    return str(yaml.safe_dump(to_dict(config), sort_keys=False))


def read_config(path: Path, base: TrainConfig | None = None) -> TrainConfig:
    """A configuration file, whole or a part of one over ``base``; a key ``preset`` is left to the caller."""
    values = read_yaml(path)
    values = {} if values is None else values
    if isinstance(values, dict):
        values = {key: value for key, value in values.items() if key != "preset"}
    return from_dict(values, base, str(path))


def _merge(base: Any, values: Any, where: str, prefix: str) -> Any:
    if not isinstance(values, dict):
        raise UsageError(f"{where}: {prefix.rstrip('.') or 'the file'} must hold names with values, not {values!r}.")
    hints = get_type_hints(type(base))
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            close = difflib.get_close_matches(str(key), hints, 1)
            hint = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(hints)}."
            raise UsageError(f"{where}: there is no key {prefix}{key}; {hint}")
        if is_dataclass(hints[key]):
            changes[key] = _merge(getattr(base, key), value, where, f"{prefix}{key}.")
        else:
            changes[key] = _convert(hints[key], value, f"{where}: {prefix}{key}")
    return dataclasses.replace(base, **changes)


def _convert(hint: Any, value: Any, what: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(next(a for a in arguments if a is not type(None)), value, what)
    if origin is Literal:
        if isinstance(value, bool) and set(arguments) == {"on", "off"}:  # YAML 1.1 reads on and off as booleans
            value = "on" if value else "off"
        if value not in arguments:
            raise UsageError(f"{what} is {value!r}: use {' or '.join(map(str, arguments))}.")
        return value
    if hint is float:
        if isinstance(value, str):  # YAML 1.1 reads 1e-4 as a text
            try:
                return float(value)
            except ValueError:
                pass
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(arguments[0], one, what) for one in value)
    elif origin is dict and isinstance(value, dict):
        return {str(key): _convert(arguments[1], one, what) for key, one in value.items()}
    elif (hint in (bool, str) or (hint is int and not isinstance(value, bool))) and isinstance(value, hint):
        return value
    raise UsageError(f"{what} is {value!r}: use {_NAMES.get(hint, 'a list' if origin is tuple else 'names: numbers')}.")


_NAMES = {float: "a number", int: "a whole number", bool: "true or false", str: "a text", Path: "a path"}
_POSITIVE = frozenset(
    {
        "epochs",
        "batch",
        "model.image_size",
        "model.width",
        "optim.lr",
        "optim.decay",
        "optim.decay_epochs",
        "losses.sigma",
        "losses.gamma",
        "log.every",
        "validation.every",
        "data.synthetic_size",
        "data.synthetic_count",
    }
)
_NOT_NEGATIVE = frozenset(
    {
        "steps",
        "workers",
        "threads",
        "data.epoch_samples",
        "data.synthetic_pool",
        "data.noise",
        "data.rotation",
        "data.scale",
        "optim.weight_decay",
        "optim.warmup_epochs",
        "optim.clip",
        "log.overlays",
        "log.checkpoint",
        "log.keep",
        "validation.count",
        "losses.render_size",
        "seed",
    }
)
