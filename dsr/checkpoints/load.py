"""Loading weights into a network: ours and the official files of the published systems, all or nothing.

Layouts (specifications of DSR, 2.8; PersPose, 5.3; KTPFormer, 12; GLA-GCN, 5): the entries themselves (HoT), or under
``model`` (SPIN, DSR, PersPose), or under ``model_pos`` (lifters), or under ``state_dict`` (Lightning:
``model.backbone.*``, ``model.head.*``); with or without the ``module.`` of DataParallel; ours is safetensors. What
belongs to the training or to the licensed body model is left out.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dsr.checkpoints.reader import LazyTensor, open_weights
from dsr.errors import CheckpointError
from dsr.files import expand_user

Layout = Literal["flat", "model", "model_pos", "state_dict", "safetensors"]

_NESTED: tuple[Literal["model", "model_pos", "state_dict"], ...] = ("model", "model_pos", "state_dict")
_NOT_WEIGHTS = re.compile(r"(smpl|smpl_\w+|smplx|J_regressor\w*|loss_fn|criterion\w*)(\.|$)")
_MEAN = ("init_pose", "init_shape", "init_cam")


@dataclass(frozen=True)
class CheckpointReport:
    """What came of loading a checkpoint.

    Attributes:
        missing: entries of the network that the file lacks and that kept their values; empty with ``strict`` but for
            the head's start, where the network was built with ``mean``.
        extra: entries of the file that the network does not have; empty with ``strict``.
        ignored: entries that are no weights of a network: the licensed body model, joint regressors, loss weights.
        layout: where the entries were: ``flat``, ``model``, ``model_pos``, ``state_dict`` or ``safetensors``.
        source: the file, or "the state dict given".
        loaded: number of entries that were filled.
    """

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    ignored: tuple[str, ...]
    layout: Layout
    source: str
    loaded: int


def load_checkpoint(
    model: nn.Module, path_or_state_dict: str | Path | Mapping[str, Any], strict: bool = True
) -> CheckpointReport:
    """Fill a network from a checkpoint; names, shapes and values are all checked before anything is changed.

    Half and double precision are converted to the network's. Nothing in a file is run, whatever it holds.

    Args:
        model: the network, on any device; a DataParallel wrapper is looked through.
        path_or_state_dict: a file (``.safetensors``, ``.pt``, ``.pth``, ``.ckpt``), or what such a file holds.
        strict: False lets the network keep its values where the file has none, and the file have entries of other
            networks; shapes and values are checked all the same.

    Raises:
        CheckpointError: naming file and entry, if the file cannot be read, an entry is missing, is not of this network,
            has another shape or is not finite.

    Example:
        >>> model = torch.nn.Linear(2, 1)
        >>> load_checkpoint(model, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}).loaded
        2
    """
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        model = model.module
    with _entries(path_or_state_dict) as (entries, layout, where):
        needed = model.state_dict()
        matched, extra, ignored = _match(needed, entries, layout, where)
        missing = [key for key in needed if key not in matched]
        lacking = [key for key in missing if not (_is_mean(key) and getattr(model, "has_licensed_mean", False))]
        if not matched or (strict and (extra or lacking)):
            raise CheckpointError(_explain(model, needed, entries, lacking, extra, where))
        to_fill = {key: needed[key] for key in matched}
        filled = check_entries(to_fill, {key: entries[name] for key, name in matched.items()}, where, _describe(model))
    model.load_state_dict(filled, strict=False)
    return CheckpointReport(tuple(missing), tuple(extra), tuple(ignored), layout, where, len(filled))


def read_state_dict(source: str | Path | Mapping[str, Any]) -> dict[str, Tensor]:
    """All tensors of a checkpoint by their names in the file, taken out of ``model``, ``model_pos`` or ``state_dict``.

    Args:
        source: a file, or what such a file holds.

    Raises:
        CheckpointError: if it cannot be read or holds no tensors.
    """
    with _entries(source) as (entries, _, where):
        return {key: _tensor(value, key, where) for key, value in entries.items()}


def check_entries(
    needed: Mapping[str, Tensor], entries: Mapping[str, Any], where: str, network: str
) -> dict[str, Tensor]:
    """Entries with the shapes and types a network needs, every one of them finite.

    Args:
        needed: the network's own entries.
        entries: of the file by the network's names; others are not looked at.
        where: the file, for messages.
        network: what it is called, for messages.

    Raises:
        CheckpointError: naming the first entry that is missing, has another shape or is not finite.
    """
    checked = {}
    for key, tensor in needed.items():
        if key not in entries:
            raise CheckpointError(f"{where} does not fit {network}: it has no entry {key}.")
        if tuple(entries[key].shape) != tuple(tensor.shape):
            raise CheckpointError(
                f"{where} does not fit {network}: {key} has shape {tuple(entries[key].shape)} where "
                f"{tuple(tensor.shape)} is needed; build the network as it was trained."
            )
        value = _tensor(entries[key], key, where).to(tensor.dtype)
        if not _finite(value):
            raise CheckpointError(f"{where} cannot be used: {key} holds values that are not finite in {tensor.dtype}.")
        checked[key] = value
    return checked


def _finite(value: Tensor) -> bool:
    if not value.numel():
        return True
    return all(map(math.isfinite, (x.item() for x in torch.aminmax(value))))  # NaN spreads to both


@contextmanager
def _entries(source: str | Path | Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Layout, str]]:
    """Tensors by name, where they were, and what to call the source; files stay open meanwhile."""
    if isinstance(source, Mapping):
        yield *_unwrap(source, "the state dict given"), "the state dict given"
        return
    path = expand_user(source)
    with open_weights(path) as content:
        entries, layout = _unwrap(content, str(source))
        if path.suffix == ".safetensors":
            layout = "safetensors"
        yield entries, layout, str(source)


def _unwrap(content: Mapping[str, Any], where: str) -> tuple[dict[str, Any], Layout]:
    layout: Layout = "flat"
    for key in _NESTED:
        inner = content.get(key)
        if isinstance(inner, Mapping):
            content, layout = inner, key
            break
    entries = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, (Tensor, LazyTensor))}
    if not entries:
        names = ", ".join(sorted(map(str, content))[:5]) or "nothing"
        raise CheckpointError(
            f"{where} holds no weights: no tensors at its top or under {', '.join(_NESTED)}, but {names}."
        )
    return entries, layout


def _tensor(value: Any, key: str, where: str) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    try:
        tensor: Tensor = value.load()
    except Exception as error:
        raise CheckpointError(f"{where} is damaged or cut off at its entry {key} ({error}); fetch it again.") from error
    return tensor


def _match(
    needed: Mapping[str, Tensor], entries: Mapping[str, Any], layout: Layout, where: str
) -> tuple[dict[str, str], list[str], list[str]]:
    """The network's names to the file's, and the names in the file that fit nothing, as extra and as ignored."""
    bare_names = Counter(map(_bare, needed))
    by_bare_name = {_bare(key): key for key in needed if bare_names[_bare(key)] == 1}
    matched: dict[str, str] = {}
    extra: list[str] = []
    ignored: list[str] = []
    lightning = layout == "state_dict" and any(name.startswith("model.") for name in entries)
    for name in entries:
        plain = name
        while plain not in needed and plain.startswith(("module.", "model.")):
            plain = plain.partition(".")[2]
        key = plain if plain in needed else by_bare_name.get(_bare(plain))
        if lightning and not name.startswith("model."):
            ignored.append(name)  # of the training, beside the network
        elif key is None:
            (ignored if _NOT_WEIGHTS.match(plain) else extra).append(name)
        elif key in matched:
            raise CheckpointError(f"{where} holds {key} twice, as {matched[key]} and as {name}.")
        else:
            matched[key] = name
    return matched, extra, ignored


def _is_mean(key: str) -> bool:
    return key.rpartition(".")[2] in _MEAN


def _bare(key: str) -> str:
    """The name without the part of the network it belongs to, as in the SPIN layout."""
    return key.removeprefix("backbone.").removeprefix("head.")


def _explain(
    model: nn.Module,
    needed: Mapping[str, Tensor],
    entries: Iterable[str],
    missing: list[str],
    extra: list[str],
    where: str,
) -> str:
    """One sentence or two on why a file does not fit."""
    network, system = _describe(model), _system(entries)
    parts = []
    if missing:
        parts.append(f"{len(missing)} of the network's {len(needed)} entries are missing, {missing[0]} first")
    if extra:
        parts.append(f"{len(extra)} entries are not of this network, {extra[0]} first")
    text = f"{where} does not fit {network}: {' and '.join(parts)}."
    if missing and all(map(_is_mean, missing)) and not extra:
        return (
            f"{text} Files of this kind leave the mean parameters out: put smpl_mean_params.npz beside the file, or "
            "build the network with mean= and the path of smpl_mean_params.npz."
        )
    return f"{text} The file looks like {system}." if system else text


def _describe(model: nn.Module) -> str:
    name = getattr(model, "name", None) or type(model).__name__
    backbone = getattr(getattr(model, "backbone", None), "name", None)
    return f"the network {name}" + (f" ({backbone})" if backbone else "")


_SYSTEMS = (
    (("hm_layer.weight", "rho0_layer.weight"), 'PersPose weights: build_regressor("perspose")'),
    (("decpose.weight", "conv1.weight"), 'DSR or SPIN weights: build_regressor("dsr") with the right backbone'),
    (("decpose.weight",), "a regressor of the HMR family with another backbone"),
    (("stage4.0.branches.0.0.conv1.weight",), "an HRNet without heads (ImageNet or COCO keypoints)"),
    (("layer4.0.conv1.weight", "fc.weight"), "an ImageNet ResNet: give it as imagenet= when the network is built"),
    (("layer4.0.conv1.weight",), "a ResNet without a regressor"),
    (("v_template", "shapedirs"), "a body model, not a network"),
    (("kpattention.attn.kpa.gconv.W",), 'KTPFormer weights: build_lifter("ktpformer")'),
    (("Spatial_patch_to_embedding.weight", "x_token"), 'HoT weights, on MixSTE: build_lifter("hot-mixste")'),
    (("Spatial_patch_to_embedding.weight",), 'MixSTE weights: build_lifter("mixste"), or "tpc-mixste"'),
    (("Transformer_encoder_1.pos_embed",), 'MHFormer weights: build_lifter("mhformer"), or "tpc-mhformer"'),
    (("blocks_st.0.attn_s.qkv.weight", "x_token"), 'HoT weights, on MotionBERT: build_lifter("hot-motionbert")'),
    (("blocks_st.0.attn_s.qkv.weight",), 'MotionBERT weights: build_lifter("motionbert")'),
    (("layers.0.att_spatial.mixer.qkv.weight", "x_token"), 'HoT weights: build_lifter("hot-motionagformer")'),
    (("layers.0.att_spatial.mixer.qkv.weight",), 'MotionAGFormer weights: build_lifter("motionagformer")'),
    (("expand_gcn.gcn1.PA",), 'GLA-GCN weights: build_lifter("glagcn") with the right widths'),
    (("sb.0.at.q.eta",), 'our ConvFormer\'s weights: build_lifter("convformer")'),
)


def _system(entries: Iterable[str]) -> str:
    """What a file seems to hold, from its names."""
    names = set()
    for name in entries:
        while name.startswith(("module.", "model.")):
            name = name.partition(".")[2]
        names.add(_bare(name))
    for signs, system in _SYSTEMS:
        if names.issuperset(signs):
            return system
    return ""
