"""Recordings of our own outputs: seeded weights and inputs, what is kept of the outputs, and how they are compared.

They were made by ``python tests/golden/record.py`` on a day on which the authors' vectors agreed, so that a clone
without those vectors still notices a changed equation. Weights are never stored: they are drawn by name and shape.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import assert_close
from torch import Tensor, nn

HERE = Path(__file__).parent
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-5}
"""Share of the scale. Networks run in float64, where processors agree to 1e-12: what is left is the recording's
float32. Float32 is for what computes in it by itself (renderer, PersPose's losses): sums in another order."""
WHOLE = 192
"""Outputs of up to so many numbers are kept whole; of larger ones block sums with random signs, and a sample."""
_BLOCKS, _SAMPLE = 128, 64
Outputs = Mapping[str, Any]


@dataclass(frozen=True)
class Changes:
    """What a recording did to its room's file: names of outputs, and how many are as before."""

    added: list[str]
    changed: list[str]
    gone: list[str]
    unchanged: int


class Recording:
    """Cases of one room, each a function without arguments that gives outputs by name."""

    def __init__(self, room: str) -> None:
        self.path = HERE / f"{room}.npz"
        self.cases: dict[str, Callable[[], Outputs]] = {}
        self.tolerances: dict[str, float] = {}

    def case(self, function: Callable[[], Outputs]) -> Callable[[], Outputs]:
        """Add a function under its own name (a decorator)."""
        return self.add(function.__name__, function)

    def add(self, name: str, function: Callable[[], Outputs], tolerance: float = 0.0) -> Callable[[], Outputs]:
        """Add a case; a tolerance of its own is for what other processors round to other whole numbers."""
        assert name not in self.cases and "/" not in name
        self.cases[name] = function
        if tolerance:
            self.tolerances[name] = tolerance
        return function

    def compute(self, name: str) -> dict[str, tuple[np.ndarray, float | None]]:
        """What would be kept of a case's outputs by ``case/output kind shape``, and the tolerance (None: equal)."""
        values, threads = {}, torch.get_num_threads()
        torch.set_num_threads(1)  # small tensors: several threads only wait for each other on a busy machine
        try:
            outputs = self.cases[name]()
        finally:
            torch.set_num_threads(threads)
        for output, value in outputs.items():
            array = torch.as_tensor(value).detach().cpu()
            shape = "x".join(map(str, array.shape)) or "1"
            kind = "number" if array.is_floating_point() else "integer"
            tolerance = self.tolerances.get(name, TOLERANCES[array.dtype]) if array.is_floating_point() else None
            values[f"{name}/{output} {kind} {shape}"] = digest(array), tolerance
        return values

    def check(self, name: str) -> None:
        """Compare a case with its recording."""
        with np.load(self.path, allow_pickle=False) as file:
            kept = {key: file[key] for key in file.files if key.startswith(f"{name}/")}
        values = self.compute(name)
        gone, new = sorted(kept.keys() - values.keys()), sorted(values.keys() - kept.keys())
        assert not gone and not new, (
            f"recorded {gone}, computed {new}: if that is meant, run python tests/golden/record.py"
        )
        for key, (value, tolerance) in values.items():
            assert_close(value, kept[key], relative=tolerance, what=key)

    def write(self) -> Changes:
        """Record all cases; without a change the file is left alone."""
        old = dict(np.load(self.path, allow_pickle=False)) if self.path.exists() else {}
        new, added, changed = {}, [], []
        for name in sorted(self.cases):
            for key, (value, tolerance) in sorted(self.compute(name).items()):
                new[key] = value
                if key not in old:
                    added.append(key)
                    continue
                try:
                    assert_close(value, old[key], relative=tolerance)
                    new[key] = old[key]  # the last bits of another machine are no reason to change the file
                except AssertionError:
                    changed.append(key)
        gone = sorted(old.keys() - new.keys())
        if added or changed or gone:
            np.savez_compressed(self.path, **new)
        return Changes(added, changed, gone, len(new) - len(added) - len(changed))


def digest(value: Tensor) -> np.ndarray:
    """What is kept of an output: all of a small one; signed sums of blocks and a sample of a large one.

    A change of any one number shows in the sum of its block, divided by the root of the block's length.
    """
    if not value.is_floating_point():
        flat = value.to(torch.int64).reshape(-1).numpy()
        return flat if len(flat) <= WHOLE else np.array([len(flat), flat.sum(), zlib.crc32(flat.tobytes())], np.int64)
    flat = value.double().reshape(-1).numpy()
    if len(flat) <= WHOLE:
        return flat.astype(np.float32)
    signs = np.sign(uniform("signs", len(flat)))
    blocks = [part.sum() / len(part) ** 0.5 for part in np.array_split(signs * flat, _BLOCKS)]
    sample = flat[np.linspace(0, len(flat) - 1, _SAMPLE).round().astype(np.int64)]
    return np.concatenate((blocks, sample)).astype(np.float32)


def uniform(name: str, *shape: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """Numbers between ``low`` and ``high`` that belong to a name, the same on every machine; float64."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return np.asarray(low + (high - low) * rng.random(shape))


def numbers(name: str, *shape: int, low: float = -1.0, high: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """:func:`uniform` as a tensor."""
    return torch.from_numpy(uniform(name, *shape, low=low, high=high)).to(dtype)


def normal(name: str, *shape: int) -> Tensor:
    """About normal numbers of unit variance that belong to a name: sums of twelve uniform ones; float64."""
    return torch.from_numpy(uniform(name, 12, *shape, low=-0.5, high=0.5).sum(0))


def rotations(name: str, *shape: int, angle: float = 1.0) -> Tensor:
    """Rotation matrices (*shape, 3, 3) about random axes by up to so many radians; float64."""
    from scipy.spatial.transform import Rotation

    vectors = uniform(name, *shape, 3) * angle / 3**0.5
    return torch.from_numpy(Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*shape, 3, 3))


def seeded_weights(model: nn.Module, seed: str = "") -> nn.Module:
    """Draw every parameter and stored statistic of a model by its name, in place, so that each of them matters.

    Matrices and kernels keep the variance of what passes through (1 / fan-in), norms scale by 1 -+ 0.3, biases, tables
    and other vectors lie within 0.3 or 0.5, variances within 0.5 to 1.5.
    """
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not value.is_floating_point():
                continue
            draw = numbers(f"{seed}{name} {tuple(value.shape)}", *value.shape)
            if name.endswith("running_var"):
                draw = 1 + 0.5 * draw
            elif value.ndim == 1:
                draw = 0.3 * draw + (1 if name.endswith("weight") else 0)
            elif len(value) == 1 and not name.endswith("weight"):
                draw = 0.5 * draw
            elif value.ndim > 1:
                draw = draw * (3 / value[0].numel()) ** 0.5
            value.copy_(draw)
    return model


def still(model: nn.Module) -> nn.Module:
    """The model without chance in training: nothing is dropped."""
    for module in model.modules():
        if hasattr(module, "p") and isinstance(module.p, float):
            module.p = 0.0
    return model


def gradients(value: Tensor, leaves: Iterable[Tensor]) -> list[Tensor]:
    """Gradients of the sum of a value's elements, each with a weight of its own; zeros where it does not depend."""
    weights = numbers("weights of gradients", *value.shape, low=0.5, high=1.5).to(value)
    leaves = list(leaves)
    grads = torch.autograd.grad((value * weights).sum(), leaves, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, grads, strict=True)]


def with_gradients(function: Callable[..., Tensor], *inputs: Tensor) -> dict[str, Tensor]:
    """A function's value, and its gradients to the floating-point inputs."""
    leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    value = function(*leaves)
    wanted = [x for x in leaves if x.is_floating_point()]
    return {"value": value, **{f"gradient{i}": g for i, g in enumerate(gradients(value, wanted))}}


def parameter_gradients(value: Tensor, model: nn.Module) -> Tensor:
    """One signed sum of the gradient of every parameter, each divided by the root of its size."""
    named = dict(model.named_parameters())
    grads = gradients(value, named.values())
    signs = (numbers(f"signs of {name}", *g.shape).sign().to(g) for name, g in zip(named, grads, strict=True))
    return torch.stack([(g * s).sum() / g.numel() ** 0.5 for g, s in zip(grads, signs, strict=True)])


def layout(model: nn.Module) -> Tensor:
    """Names and shapes of a state dict as one number, and how many numbers it holds."""
    entries = sorted((name, tuple(value.shape)) for name, value in model.state_dict().items())
    return torch.tensor([zlib.crc32(repr(entries).encode()), sum(v.numel() for v in model.state_dict().values())])
