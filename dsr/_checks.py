"""What the losses ask of their arguments: shapes and types at once, values with a single look at the device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dsr.errors import LossError


def floating(name: str, tensor: Tensor, shape: str, sizes: dict[str, int]) -> Tensor:
    """The tensor, shapes checked, half precision raised to float32 (sums over pictures overflow in half)."""
    check_shape(name, tensor, shape, sizes)
    if not tensor.dtype.is_floating_point:
        raise LossError(f"{name} must hold floating-point numbers, not {tensor.dtype}; convert it with .float().")
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def companion(name: str, tensor: Tensor, like: Tensor, shape: str, sizes: dict[str, int]) -> Tensor:
    """A second argument of any number type, in the type of the first; it must lie on the same device."""
    check_shape(name, tensor, shape, sizes)
    check_device(name, tensor, like)
    return tensor.to(like.dtype)


def check_shape(name: str, tensor: Tensor, shape: str, sizes: dict[str, int]) -> None:
    """Compare with a shape such as ``"B 24 3"``; a letter takes its size from the first argument that has it.

    Raises:
        LossError: if it does not fit; the message names the argument, what was expected and what came.
    """
    if not isinstance(tensor, Tensor):
        raise LossError(f"{name} must be a torch tensor, not {type(tensor).__name__}.")
    axes = shape.split()
    fits = tensor.ndim == len(axes)
    for axis, size in zip(axes, tensor.shape, strict=False):
        expected = int(axis) if axis.isdigit() else sizes.setdefault(axis, size) if fits else size
        fits = fits and expected == size
    if not fits:
        known = ", ".join(f"{axis}={sizes[axis]}" for axis in dict.fromkeys(axes) if axis in sizes)
        where = f" with {known}" if known else ""
        raise LossError(f"{name} must have shape ({', '.join(axes)}){where}, not {tuple(tensor.shape)}.")


def check_device(name: str, tensor: Tensor, like: Tensor) -> None:
    """Refuse arguments on different devices."""
    if tensor.device != like.device:
        raise LossError(f"{name} is on {tensor.device}, the first argument on {like.device}; move one of them.")


def check_values(ranges: Mapping[str, tuple[Tensor, float, float]]) -> None:
    """All values within their inclusive range and none of them NaN: one pass per tensor, one synchronisation.

    Args:
        ranges: argument name -> (tensor, smallest, largest); ``-inf`` and ``inf`` still ask for finite values.

    Raises:
        LossError: naming the first argument that does not hold.
    """
    names = [name for name, (tensor, _, _) in ranges.items() if tensor.numel()]
    if not names:
        return
    with torch.no_grad():
        extremes = torch.stack([torch.stack(ranges[name][0].aminmax()).double() for name in names]).tolist()
    for name, (low, high) in zip(names, extremes, strict=True):
        _, smallest, largest = ranges[name]
        if low != low or high != high:
            raise LossError(f"{name} contains NaN; look for it where the tensor was made.")
        if low in (float("inf"), float("-inf")) or high in (float("inf"), float("-inf")):
            raise LossError(f"{name} contains infinite values; look for them where the tensor was made.")
        if low < smallest or high > largest:
            raise LossError(
                f"{name} must lie between {smallest:g} and {largest:g}, but reaches from {low:g} to {high:g}."
            )


def reduce(per_sample: Tensor, reduction: str) -> Tensor:
    """``mean`` over the batch (0 for an empty one) or ``none``."""
    if reduction == "mean":
        return per_sample.sum() / max(len(per_sample), 1)
    if reduction == "none":
        return per_sample
    raise LossError(f"reduction must be 'mean' or 'none', not {reduction!r}.")
