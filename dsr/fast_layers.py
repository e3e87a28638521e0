"""Layers of networks by the fastest way this machine has, where nothing is recorded for gradients.

Without gradients on a CPU, PyTorch's float32 linear layers leave speed on the table where its BLAS does not know the
processor; oneDNN, which it carries as well, does them up to twice as fast and takes a following GELU along.
Convolutions take their batch norm into their weights, and keep channels last. Everywhere else (training, tracing,
other devices) the layers are called as they stand; results differ by rounding only.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional

SMALL = 1 << 21
"""Multiply-adds below which a linear layer is called as it stands: the choice does not matter there."""

_Known = dict[Any, tuple[list[Tensor], list[int], Any]]
_DERIVED: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()


def linear(
    x: Tensor, layer: nn.Linear, gelu: bool = False, *, add: Tensor | None = None, scale: Tensor | None = None
) -> Tensor:
    """``add + scale * layer(x)``, through GELU (erf) where asked for; the input is brought to the layer's precision.

    Args:
        x: (..., inputs).
        layer: the layer.
        gelu: apply GELU to the layer's result.
        add: (..., outputs) to add at the end; not together with ``gelu``.
        scale: (outputs,) to multiply the layer's result by.
    """
    x = x.to(layer.weight.dtype)
    if x.numel() * layer.out_features >= SMALL and _may_replace(x, nn.Linear, layer):
        weight, bias = _prepared_linear(layer, scale, x.numel() // layer.in_features)
        kind: tuple[Any, ...] = ("gelu", [], "none") if gelu else ("none", [], "")
        x = torch.ops.mkldnn._linear_pointwise(x, weight, bias, *kind)
        if add is None:
            return x
        # In place: oneDNN's own sum takes twice as long, and another result costs its memory.
        fits = add.dtype is x.dtype and torch.broadcast_shapes(add.shape, x.shape) == x.shape
        return x.add_(add) if fits else add + x
    x = layer(x)
    x = functional.gelu(x) if gelu else x
    x = x if scale is None else scale * x
    return x if add is None else add + x


class FrozenLinear:
    """A linear layer of fixed weights, forward and for the gradient of its input; nothing is recorded.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,) or None.
        rows: about how many rows it will be given, for the order of the weights.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, rows: int) -> None:
        self.weight, self.back_weight, self.bias = weight.contiguous(), weight.T.contiguous(), bias
        self.packed = _takes_packed(weight)
        if self.packed:
            self.weight, self.back_weight = (
                torch.ops.mkldnn._reorder_linear_weight(w, rows) for w in (self.weight, self.back_weight)
            )

    def __call__(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        """(..., inputs) to (..., outputs), through GELU (erf) where asked for."""
        if not gelu:
            return self._product(x, self.weight, self.bias, None)
        if not self.packed:
            return functional.gelu(functional.linear(x, self.weight, self.bias))
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "gelu", [], "none")

    def back(self, gradient: Tensor, add: Tensor | None = None) -> Tensor:
        """The gradient of the result to that of the input, added to ``add`` where given."""
        return self._product(gradient, self.back_weight, None, add)

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None, add: Tensor | None) -> Tensor:
        if not self.packed:
            y = functional.linear(x, weight, bias)
            return y if add is None else y + add
        if add is None:
            return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return torch.ops.mkldnn._linear_pointwise.binary(x, add, weight, bias, "add")


def product(weight: Tensor, x: Tensor, add: Tensor | None = None) -> Tensor:
    """``weight @ x``, and ``add`` where given, of few rows and many columns; nothing is recorded.

    Args:
        weight: (outputs, inputs).
        x: (inputs, columns).
        add: (outputs, columns).
    """
    if not _takes_packed(weight) or _has_fast_blas():
        return weight @ x if add is None else torch.addmm(add, weight, x)
    # To oneDNN the wide matrix is the layer and the small one its input.
    if add is None:
        return torch.ops.mkldnn._linear_pointwise(weight, x.T, None, "none", [], "")
    return torch.ops.mkldnn._linear_pointwise.binary(weight, add, x.T, None, "add")


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention of (N, heads, T, d); (N, T, heads * d)."""
    if q.dtype is torch.bfloat16 and q.device.type == "cpu":
        # PyTorch's fused attention gains nothing from bfloat16 on a CPU; plain products of packed heads do.
        sequences, scale = q.shape[:2], q.shape[-1] ** -0.5
        q, k, v = (part.flatten(0, 1) for part in (q, k, v))
        weights = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0.0, alpha=scale).softmax(-1)
        out = torch.bmm(weights, v).unflatten(0, sequences)
    else:
        out = functional.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).flatten(-2)


def convolution(
    x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None, *, relu: bool = False, add: Tensor | None = None
) -> Tensor:
    """``norm(conv(x)) + add``, through ReLU where asked for.

    Under CPU autocast the fused form works in its precision, sums included.

    Args:
        x: (B, C, H, W).
        conv: the convolution.
        norm: batch norm of its result.
        relu: apply ReLU at the end.
        add: (B, C', H', W') added before the ReLU.
    """
    layers = (conv,) if norm is None else (conv, norm)
    if not _may_replace(x, nn.Conv2d, *layers, autocast=True) or _odd(conv, norm):
        x = conv(x) if norm is None else norm(conv(x))
        x = x if add is None else x + add
        return functional.relu(x) if relu else x
    sources = [conv.weight, conv.bias]
    if norm is not None:
        sources += [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    padding = cast(Any, conv.padding)
    shape = list(padding), list(conv.stride), list(conv.dilation), conv.groups
    weights = partial(folded, conv, norm)
    return merged_convolution(x, conv, id(norm), sources, weights, *shape, relu=relu, add=add)


def merged_convolution(
    x: Tensor,
    owner: nn.Module,
    what: Any,
    sources: Sequence[Tensor | None],
    make: Callable[[], tuple[Tensor, Tensor | None]],
    padding: Sequence[int] = (0, 0),
    stride: Sequence[int] = (1, 1),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
    *,
    relu: bool = False,
    add: Tensor | None = None,
) -> Tensor:
    """A convolution whose weights are made of several layers' ones; where :func:`can_merge` says so.

    Args:
        x: (B, C, H, W); channels last are taken as they are.
        owner: see :func:`derived`.
        what: see there.
        sources: see there; None for none.
        make: kernel and bias, float32.
        padding: of the convolution.
        stride: of the convolution.
        dilation: of the convolution.
        groups: of the convolution.
        relu: apply ReLU at the end.
        add: (B, C', H', W') added before the ReLU.
    """
    dtype = convolution_dtype(x)

    def prepared() -> PackedConvolution:
        return PackedConvolution(*make(), x.shape, dtype, padding, stride, dilation, groups)

    packed: PackedConvolution = derived(owner, (what, dtype), [s for s in sources if s is not None], prepared)
    return packed(x, relu=relu, add=add)


def convolution_dtype(x: Tensor) -> torch.dtype:
    """What a merged convolution of this input works in: its own precision, or that of CPU autocast."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


class PackedConvolution:
    """A convolution of fixed weights in the order oneDNN wants; channels last, no gradients.

    Args:
        weight: the kernel.
        bias: (outputs,) or None.
        shape: of the inputs to be expected, for the order of the weights.
        dtype: what it works in.
        padding: of the convolution.
        stride: of the convolution.
        dilation: of the convolution.
        groups: of the convolution.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        shape: Sequence[int],
        dtype: torch.dtype,
        padding: Sequence[int] = (0, 0),
        stride: Sequence[int] = (1, 1),
        dilation: Sequence[int] = (1, 1),
        groups: int = 1,
    ) -> None:
        self.dtype, self.shape = dtype, (list(padding), list(stride), list(dilation), groups)
        weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self.shape, list(shape))
        self.bias = bias if bias is None else bias.to(dtype)

    def __call__(self, x: Tensor, *, relu: bool = False, add: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, C', H', W'), added to ``add`` and through ReLU where asked for."""
        x, last = self._brought(x), "relu" if relu else None
        if add is None:
            return torch.ops.mkldnn._convolution_pointwise(
                x, self.weight, self.bias, *self.shape, last or "none", [], ""
            )
        return torch.ops.mkldnn._convolution_pointwise.binary(
            x, self._brought(add), self.weight, self.bias, *self.shape, "add", 1.0, last, [], None
        )

    def _brought(self, x: Tensor) -> Tensor:
        return x.to(self.dtype).contiguous(memory_format=torch.channels_last)


class ConvolutionSteps(nn.Sequential):
    """Convolutions, batch norms and ReLUs in a row, each norm and ReLU done together with the convolution before it."""

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """(B, C, H, W) through all of them; added to ``add`` where given."""
        steps, at = list(self), 0
        while at < len(steps):
            step, at = steps[at], at + 1
            if isinstance(step, ConvolutionSteps) and at == len(steps):
                return step(x, add)
            if not isinstance(step, nn.Conv2d):
                x = step(x)
                continue
            norm = cast(Any, steps[at]) if at < len(steps) and isinstance(steps[at], nn.BatchNorm2d) else None
            at += norm is not None
            relu = at < len(steps) and isinstance(steps[at], nn.ReLU)
            at += relu
            last = at == len(steps) and not relu
            x = convolution(x, step, norm, relu=relu, add=add if last else None)
            add = None if last else add
        return x if add is None else add + x


def derived(owner: nn.Module, what: Any, sources: Sequence[Tensor], make: Callable[[], Any]) -> Any:
    """What ``make`` computes from an owner's weights, kept until one of them changes; without gradients only.

    Args:
        owner: the module it belongs to; it is forgotten with it.
        what: a name that tells several things of one owner apart.
        sources: the tensors it is computed from.
        make: computes it.
    """
    if any(source.is_inference() for source in sources):  # these do not count their changes
        return make()
    known = _DERIVED.setdefault(owner, {})
    found = known.get(what)
    if found is not None:
        kept, versions, value = found
        if len(kept) == len(sources) and all(
            a.data_ptr() == b.data_ptr() and b._version == n for a, b, n in zip(kept, sources, versions, strict=True)
        ):
            return value
    value = make()
    # The aliases keep the memory, so that no other tensor can come to lie at the same address.
    known[what] = [source.detach() for source in sources], [source._version for source in sources], value
    return value


def can_derive(x: Tensor) -> bool:
    """Whether weights may be merged for this input: nothing is recorded, traced, counted or converted."""
    return not torch.is_grad_enabled() and _is_plain(x)


def _is_plain(x: Tensor) -> bool:
    """Whether nobody looks on: no tracing, no counters of operations, no fake tensors; and oneDNN is there."""
    return bool(
        not (torch.compiler.is_compiling() or torch.jit.is_tracing())
        and torch._C._len_torch_dispatch_stack() == 0
        and not torch._C._functorch.is_functorch_wrapped_tensor(x)
        and _has_onednn()
    )


def _takes_packed(weight: Tensor) -> bool:
    return weight.dtype is torch.float32 and weight.device.type == "cpu" and _has_onednn()


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled)


@cache
def _has_fast_blas() -> bool:
    """Whether PyTorch's BLAS is MKL on its fast path, by MKL's own word.

    There its small products beat oneDNN's (twofold for 17 or 51 rows); elsewhere they take twice as long.
    """
    for library in (None, str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so")):
        try:
            return bool(ctypes.CDLL(library).mkl_serv_intel_cpu_true())
        except (AttributeError, OSError, TypeError):  # no such function, no such file; no None on Windows
            continue
    return False


def can_merge(x: Tensor, module: nn.Module) -> bool:
    """Whether a module may compute an input with :func:`merged_convolution`: in evaluation, float32 on a CPU."""
    return not module.training and x.dtype is torch.float32 and _may_replace(x, type(module), module, autocast=True)


def _may_replace(x: Tensor, kind: type[nn.Module], *layers: nn.Module, autocast: bool = False) -> bool:
    """Whether the fused operator may stand for the layers."""
    return bool(
        type(layers[0]) is kind
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and not any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers)
        and (autocast or not torch.is_autocast_enabled("cpu"))
        and can_derive(x)
    )


def _odd(conv: nn.Conv2d, norm: nn.Module | None) -> bool:
    """Whether a convolution or its norm is of a kind that is not merged."""
    if conv.padding_mode != "zeros" or isinstance(conv.padding, str) or conv.weight.dtype is not torch.float32:
        return True
    return norm is not None and (
        type(norm) is not nn.BatchNorm2d or norm.training or norm.running_mean is None or norm.weight is None
    )


def _prepared_linear(layer: nn.Linear, scale: Tensor | None, rows: int) -> tuple[Tensor, Tensor | None]:
    """Weight in the order oneDNN wants for about so many rows (a few percent of each product), and bias; scaled."""
    sources = [t for t in (layer.weight, layer.bias, scale) if t is not None]

    def make() -> tuple[Tensor, Tensor | None]:
        weight = layer.weight.detach()
        bias: Tensor | None = layer.bias
        if scale is not None:
            weight, bias = (
                (weight * scale[:, None]).to(weight.dtype),
                None if bias is None else (bias * scale).to(bias.dtype),
            )
        return torch.ops.mkldnn._reorder_linear_weight(weight, rows), bias

    pair: tuple[Tensor, Tensor | None] = derived(layer, "linear" if scale is None else "scaled", sources, make)
    return pair


def folded(conv: Any, norm: Any = None) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a convolution with the batch norm that follows it, in evaluation, taken into them.

    Args:
        conv: a convolution, (outputs, ...) weights.
        norm: the batch norm over its outputs, or None.
    """
    weight, bias = conv.weight.detach(), conv.bias
    if norm is None:
        return weight, bias
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias - norm.running_mean * scale
    weight = weight * scale.view(-1, *[1] * (weight.dim() - 1))
    return weight, shift if bias is None else shift + bias * scale
