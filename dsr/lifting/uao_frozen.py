"""UAO's network with frozen weights: its forward pass, and the gradient of its input written out.

No gradient of a weight is computed. Norms' scales and shifts, layers without an activation between them and the two
heads are folded (UAO specification, sections 4 and 9). What the backward pass needs stays until the next forward pass
puts its own in its place, so that the same memory is used again.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr.fast_layers import FrozenLinear, derived

_EPS: Final = 1e-6
_ROWS: Final = 17 * 16
"""Rows that the layers' weights are put in order for."""


class FrozenUAO:
    """One network and the pass it made last; weights as they are when it is built.

    Args:
        model: a :class:`~dsr.lifting.uao.UAO`, used in evaluation mode.
    """

    def __init__(self, model: nn.Module) -> None:
        with torch.no_grad():
            self.weights: dict[str, Any] = derived(model, "frozen", list(model.parameters()), lambda: _folded(model))
        self.saved: dict[Any, Any] = {}

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 17, 2) keypoints to (N, 17, 3) positions and (N, 17, 1) log-scales, through which no gradients flow.

        Positions of one pass at a time can be differentiated: the last one.
        """
        found: tuple[Tensor, Tensor] = _Pass.apply(z, self)
        return found

    @torch.no_grad()
    def forward(self, z: Tensor, keep: bool = True) -> tuple[Tensor, Tensor]:
        """The same without gradients; what :meth:`backward` needs is kept where asked for."""
        x = functional.linear(z, *self.weights["encode"])
        for i, block in enumerate(self.weights["blocks"]):
            x = self._block(x, i, block, keep)
        x, *norm = _channel_norm(x)
        self._keep(keep, "head", norm)
        both = functional.linear(x, *self.weights["heads"])
        return both[..., :3], both[..., 3:]

    @torch.no_grad()
    def backward(self, positions: Tensor) -> Tensor:
        """The input's gradient (N, 17, 2) from that of the positions (N, 17, 3) of the last pass."""
        x = _channel_norm_back(positions @ self.weights["heads"][0][:3], *self.saved["head"])
        for i in reversed(range(len(self.weights["blocks"]))):
            x = self._block_back(x, i, self.weights["blocks"][i])
        return x @ self.weights["encode"][0]

    def _keep(self, keep: bool, name: Any, value: Any) -> None:
        if keep:
            self.saved[name] = value

    def _block(self, x: Tensor, i: int, block: dict[str, Any], keep: bool) -> Tensor:
        unit, rate = _joint_norm(x)
        self._keep(keep, ("graph", i), (unit, rate))
        mixed = torch.matmul(block["mix"], unit).unflatten(1, (x.shape[1], -1)).flatten(2)
        x = block["graph"](mixed, add=x).add_(block["shift"])
        u, *norm = _channel_norm(x)
        unit, rate = _joint_norm(x)
        by_channel = self._gated(u, block, i, "channel", 1, keep)
        by_joint = self._gated(unit.transpose(1, 2).contiguous(), block, i, "joint", 2, keep)
        self._keep(keep, ("mlps", i), (norm, unit, rate))
        return by_channel.add_(x).add_(by_joint.transpose(1, 2))

    def _block_back(self, gradient: Tensor, i: int, block: dict[str, Any]) -> Tensor:
        norm, unit, rate = self.saved["mlps", i]
        by_channel = self._gated_back(gradient.clone(), block, i, "channel", 1)
        by_joint = self._gated_back(gradient.transpose(1, 2).contiguous(), block, i, "joint", 2)
        gradient = gradient + _channel_norm_back(by_channel, *norm)
        gradient += _joint_norm_back(by_joint.transpose(1, 2), unit, rate)
        mixed = block["graph"].back(gradient).unflatten(-1, (-1, gradient.shape[-1])).flatten(1, 2)
        return gradient.add_(_joint_norm_back(torch.matmul(block["mix"].T, mixed), *self.saved["graph", i]))

    def _gated(self, x: Tensor, block: dict[str, Any], i: int, name: str, skip: int, keep: bool) -> Tensor:
        """Layers with a GELU after each; the one at ``skip`` is added to what comes in."""
        for at, layer in enumerate(block[name]):
            if keep:
                self.saved[name, i, at] = h = layer(x)
                y = functional.gelu(h)
            else:
                y = layer(x, gelu=True)
            x = y.add_(x) if at == skip else y
        return x

    def _gated_back(self, g: Tensor, block: dict[str, Any], i: int, name: str, skip: int) -> Tensor:
        """The gradient through them; ``g`` is worked in."""
        for at in reversed(range(len(block[name]))):
            around = g.clone() if at == skip else None
            torch.ops.aten.gelu_backward.grad_input(g, self.saved[name, i, at], grad_input=g)
            g = block[name][at].back(g, add=around)
        return g


class _Pass(torch.autograd.Function):
    """A pass as one step of a recorded computation."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, network: FrozenUAO) -> tuple[Tensor, Tensor]:
        ctx.network = network
        positions, scales = network.forward(z)
        ctx.mark_non_differentiable(scales)
        return positions, scales

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.network.backward(gradients[0]), None


def _joint_norm(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, J, C) over the joints of each channel: of mean 0 and variance 1, and what it was divided by, inverted."""
    x = x - x.mean(1, keepdim=True)
    rate = x.square().mean(1, keepdim=True).add_(_EPS).sqrt_().reciprocal_()
    return x.mul_(rate), rate


def _joint_norm_back(g: Tensor, unit: Tensor, rate: Tensor) -> Tensor:
    along = (g * unit).mean(1, keepdim=True)
    return torch.addcmul(g - g.mean(1, keepdim=True), unit, along, value=-1.0).mul_(rate)


def _channel_norm(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(..., C) of mean 0 and variance 1; the input, its mean and the inverse of its spread."""
    y, mean, rate = torch.native_layer_norm(x, x.shape[-1:], None, None, _EPS)
    return y, x, mean, rate


def _channel_norm_back(g: Tensor, x: Tensor, mean: Tensor, rate: Tensor) -> Tensor:
    shape, parts = x.shape[-1:], [True, False, False]
    return torch.ops.aten.native_layer_norm_backward(g, x, shape, mean, rate, None, None, parts)[0]


def _folded(model: Any) -> dict[str, Any]:
    """All weights as the passes take them; folded in double precision, so that each is rounded once."""
    norm_mu, norm_s = model.GCN_MLP.norm_mu, model.GCN_MLP.norm_s
    heads = [_behind(norm, *_one_layer(head)) for norm, head in ((norm_mu, model.pred_mu), (norm_s, model.pred_s))]
    dtype = model.encoder.fc1.weight.dtype
    return {
        "encode": tuple(part.to(dtype) for part in _one_layer(model.encoder)),
        "blocks": [_folded_block(block, dtype) for block in model.GCN_MLP.blocks],
        "heads": tuple(torch.cat(parts).to(dtype) for parts in zip(*heads, strict=True)),
    }


def _folded_block(block: Any, dtype: torch.dtype) -> dict[str, Any]:
    graphs = block.gcn1.adj.double()
    kernel, bias = (part.squeeze(-1).unflatten(0, (len(graphs), -1)) for part in _wide(block.gcn1.conv1d))
    scale, before = _wide(block.norm1)
    # Joints are mixed before channels, their norm's scale with them: (w k, v) rows. The rest is constant.
    mix = (graphs * scale[:, None]).permute(2, 0, 1).flatten(0, 1)
    constant = before[:, None] * kernel.sum(-1)[:, None] + bias[:, None]
    joint, channel = block.spatial_mlp, block.channel_mlp
    joint = [joint.linear_up1, joint.linear_up2, joint.linear_mid, joint.linear_down1, joint.linear_down2]
    channel = [channel.linear_down, channel.linear_mid, channel.linear_up]
    return {
        "mix": mix.to(dtype).contiguous(),
        "graph": FrozenLinear(kernel.permute(1, 0, 2).flatten(1).to(dtype), None, _ROWS),
        "shift": torch.einsum("kvc,kvw->wc", constant, graphs).to(dtype),
        "channel": _gated_layers(block.norm2, channel, _ROWS, dtype),
        "joint": _gated_layers(block.norm3, joint, _ROWS * 16, dtype),
    }


def _gated_layers(norm: Any, parts: list[Any], rows: int, dtype: torch.dtype) -> list[FrozenLinear]:
    pairs = [_wide(part.linear[0]) for part in parts]
    pairs[0] = _behind(norm, *pairs[0])
    return [FrozenLinear(weight.to(dtype), bias.to(dtype), rows) for weight, bias in pairs]


def _behind(norm: Any, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A layer that takes the scale and shift of the norm before it."""
    scale, shift = _wide(norm)
    return weight * scale, bias + weight @ shift


def _one_layer(pair: Any) -> tuple[Tensor, Tensor]:
    """Two linear layers with nothing between."""
    (first, shift), (last, bias) = _wide(pair.fc1), _wide(pair.fc5)
    return last @ first, last @ shift + bias


def _wide(layer: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias in double precision."""
    return layer.weight.detach().double(), layer.bias.detach().double()
