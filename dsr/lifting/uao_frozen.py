"""UAO's network with frozen weights: its forward pass, and the gradient of its input written out.

No gradient of a weight is computed. Norms' scales and shifts and the two heads are folded; of the products of the graph
convolution those that add up are done once (UAO specification, sections 3, 4 and 9). Joints come first, (17, N, C), in
the order of :class:`JointTree`, so that layers over joints and layers over channels both see whole rows. The encoder's
two layers stay two: their rounding goes through everything that follows, and is the published one so. What the backward
pass needs stays until the next forward pass puts its own in its place, so that the same memory is used again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsr.fast_layers import FrozenLinear, derived, product

_EPS: Final = 1e-6
_VIEWS: Final = 4
"""Views whose joints go through their MLP at once: with more, its widest layers leave the processor's second cache."""
_ROWS: Final = 17 * 16
"""About how many rows the layers over channels are given, for the order of their weights."""


class FrozenUAO:
    """One network and the pass it made last; weights as they are when it is built.

    Args:
        model: a :class:`~dsr.lifting.uao.UAO`, used in evaluation mode.
    """

    def __init__(self, model: nn.Module) -> None:
        with torch.no_grad():
            self.weights: dict[str, Any] = derived(model, "frozen", list(model.parameters()), lambda: _folded(model))
        self.saved: dict[Any, Any] = {}
        self.rows: dict[Any, Tensor] = {}

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 17, 2) keypoints to (N, 17, 3) positions and (N, 17, 1) log-scales, through which no gradients flow.

        Positions of one pass at a time can be differentiated: the last one.
        """
        found: tuple[Tensor, Tensor] = _Pass.apply(z, self)
        return found

    @torch.no_grad()
    def forward(self, z: Tensor, keep: bool = True) -> tuple[Tensor, Tensor]:
        """The same without gradients; what :meth:`backward` needs is kept where asked for."""
        tree = self.weights["tree"]
        x = z.transpose(0, 1)[tree.order]
        for layer in self.weights["encode"]:
            x = functional.linear(x, *layer)
        for i, block in enumerate(self.weights["blocks"]):
            x = self._block(x, i, block, keep)
        x, *norm = _channel_norm(x)
        self._keep(keep, "head", norm)
        both = functional.linear(x, *self.weights["heads"])[tree.place].transpose(0, 1)
        return both[..., :3], both[..., 3:]

    @torch.no_grad()
    def backward(self, positions: Tensor) -> Tensor:
        """The input's gradient (N, 17, 2) from that of the positions (N, 17, 3) of the last pass."""
        tree = self.weights["tree"]
        g = positions.transpose(0, 1)[tree.order] @ self.weights["heads"][0][:3]
        g = _channel_norm_back(g, *self.saved["head"])
        for i in reversed(range(len(self.weights["blocks"]))):
            g = self._block_back(g, i, self.weights["blocks"][i])
        return (g @ self.weights["encode_back"])[tree.place].transpose(0, 1)

    def _keep(self, keep: bool, name: Any, value: Any) -> None:
        if keep:
            self.saved[name] = value

    def _block(self, x: Tensor, i: int, block: dict[str, Any], keep: bool) -> Tensor:
        unit, rate = _joint_norm(x)
        self._keep(keep, ("graph", i), (unit, rate))
        by_graph = self.weights["tree"].products(unit * block["scale"], block["graph"])
        x = torch.addcmul(x, by_graph, block["share"]).add_(block["shift"])
        u, *norm = _channel_norm(x)
        self._keep(keep, ("norm", i), norm)
        y = self._by_channel(u, block["channel"], i, keep).add_(x)
        for part, (some, into) in enumerate(zip(x.split(_VIEWS, 1), y.split(_VIEWS, 1), strict=True)):
            into += self._by_joint(some, block["joint"], (i, part), keep).view_as(into)
        return y

    def _block_back(self, gradient: Tensor, i: int, block: dict[str, Any]) -> Tensor:
        g = _channel_norm_back(self._by_channel_back(gradient, block["channel"], i), *self.saved["norm", i])
        g += gradient
        for part, (some, into) in enumerate(zip(gradient.split(_VIEWS, 1), g.split(_VIEWS, 1), strict=True)):
            into += self._by_joint_back(some, block["joint_back"], (i, part))
        by_graph = self.weights["tree"].products(g * block["share"], block["graph_back"]).mul_(block["scale"])
        return g.add_(_joint_norm_back(by_graph, *self.saved["graph", i]))

    def _by_channel(self, x: Tensor, layers: list[FrozenLinear], i: int, keep: bool) -> Tensor:
        """Layers with a GELU after each; the second one is added to what comes in."""
        for at, layer in enumerate(layers):
            if keep:
                self.saved["channel", i, at] = h = layer(x)
                y = functional.gelu(h)
            else:
                y = layer(x, gelu=True)
            x = y.add_(x) if at == 1 else y
        return x

    def _by_channel_back(self, g: Tensor, layers: list[FrozenLinear], i: int) -> Tensor:
        for at in reversed(range(len(layers))):
            inner = torch.ops.aten.gelu_backward(g, self.saved["channel", i, at])
            g = layers[at].back(inner, add=g if at == 1 else None)
        return g

    def _by_joint(self, x: Tensor, layers: list[Tensor], name: Any, keep: bool) -> Tensor:
        """The same over joints, with a last row of ones for the bias; the third one is added to what comes in."""
        first = self._with_ones(name, x)
        norm = _joint_norm(x, out=first[:-1].view_as(x))
        x, kept = first, []
        for at, layer in enumerate(layers):
            h = product(layer, x)
            kept.append(h)
            y = self._with_ones(at, h)
            torch.ops.aten.gelu.out(h, out=y[:-1])
            if at == 2:
                y[:-1] += x[:-1]
            x = y
        self._keep(keep, ("joint", name), (norm, kept))
        return x[:-1]

    def _by_joint_back(self, g: Tensor, layers: list[Tensor], name: Any) -> Tensor:
        shape, (norm, kept) = g.shape, self.saved["joint", name]
        g = g.flatten(1)
        for at in reversed(range(len(layers))):
            inner = torch.ops.aten.gelu_backward(g, kept[at])
            g = product(layers[at], inner, add=g if at == 2 else None)
        return _joint_norm_back(g.view(shape), *norm)

    def _with_ones(self, name: Any, like: Tensor) -> Tensor:
        """(rows + 1, columns) memory of that name; the last row is ones, the others whatever they were."""
        shape = len(like) + 1, like[0].numel()
        kept = self.rows.get(name)
        if kept is None or kept.shape != shape:
            self.rows[name] = kept = like.new_empty(shape)
            kept[-1] = 1.0
        return kept


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


@dataclass(frozen=True)
class JointTree:
    """The graphs of :func:`~dsr.lifting.uao.joint_graph` without their factors, which are one for each joint reached.

    Attributes:
        order: (17,) joints of the middle, those of the left, those of the right; the other tensors are places in it.
        place: (17,) where a joint stands.
        middle: how many are of the middle.
        parents: (12,) joints that have others farther from the spine beside them.
        child: (12,) one of these others for each.
        more: the rest of them, for the joints of ``parents`` that ``fork`` says.
        fork: see there.
        nearer: (17,) which of ``parents`` each joint hangs on; 0 for the spine.
        spine: the joint that hangs on none.
    """

    order: Tensor
    place: Tensor
    middle: int
    parents: Tensor
    child: Tensor
    more: Tensor
    fork: Tensor
    nearer: Tensor
    spine: int

    @classmethod
    def of(cls, graphs: Tensor) -> JointTree:
        """The tree of the four graphs (4, 17, 17)."""
        links = graphs[3] > 0
        pairs = links.triu().nonzero()
        order = torch.cat(((~links.any(0)).nonzero()[:, 0], pairs[:, 0], pairs[:, 1]))
        child, parent = (graphs[1][order][:, order] > 0).nonzero().T
        parents = parent.unique()
        fork = torch.searchsorted(parents, parent)
        first = torch.stack([(fork == k).nonzero()[0, 0] for k in range(len(parents))])
        rest = torch.ones_like(fork, dtype=torch.bool).index_fill(0, first, False)
        nearer = torch.zeros_like(order).index_copy(0, child, fork)
        spine = int(torch.ones_like(order).index_fill(0, child, 0).argmax())
        middle = len(order) - 2 * len(pairs)
        return cls(order, order.argsort(), middle, parents, child[first], child[rest], fork[rest], nearer, spine)

    def products(self, x: Tensor, kernels: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
        """Every joint's sum of its neighbours times their kernels, 41 products instead of 68.

        A joint and its mirror image change places between the first and the last graph: sum and difference of the two
        go through half of the sum and half of the difference of both kernels.

        Args:
            x: (17, N, C) joints.
            kernels: of a joint of the middle for itself, of the sum, of the difference, of the sum of joints farther
                from the spine, of the joint nearer to it.
        """
        itself, both, apart, farther, nearer = kernels
        left, right = x[self.middle :].chunk(2)
        around = x.index_select(0, self.child).index_add_(0, self.fork, x.index_select(0, self.more))
        found = nearer(x.index_select(0, self.parents)).index_select(0, self.nearer)
        found[self.spine] = 0.0
        found[: self.middle] += itself(x[: self.middle])
        half, difference = both(left + right), apart(left - right)
        to_left, to_right = found[self.middle :].chunk(2)
        to_left.add_(half).add_(difference)
        to_right.add_(half).sub_(difference)
        return found.index_add_(0, self.parents, farther(around))


def _joint_norm(x: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(J, N, C) over the joints of each channel: of mean 0 and variance 1, and what it was divided by, inverted."""
    x = torch.sub(x, x.mean(0), out=out)
    rate = x.square().mean(0).add_(_EPS).rsqrt_()
    return x.mul_(rate), rate


def _joint_norm_back(g: Tensor, unit: Tensor, rate: Tensor) -> Tensor:
    along = (g * unit).mean(0)
    return torch.addcmul(g - g.mean(0), unit, along, value=-1.0).mul_(rate)


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
    encoder = model.encoder.fc1, model.encoder.fc5
    tree = JointTree.of(model.GCN_MLP.blocks[0].gcn1.adj)
    return {
        "tree": tree,
        "encode": [(layer.weight.detach(), layer.bias.detach()) for layer in encoder],
        "encode_back": _one_layer(model.encoder)[0].to(dtype),
        "blocks": [_folded_block(block, tree, dtype) for block in model.GCN_MLP.blocks],
        "heads": tuple(torch.cat(parts).to(dtype) for parts in zip(*heads, strict=True)),
    }


def _folded_block(block: Any, tree: JointTree, dtype: torch.dtype) -> dict[str, Any]:
    graphs, order = block.gcn1.adj.double(), tree.order
    kernel, bias = (part.squeeze(-1).unflatten(0, (len(graphs), -1)) for part in _wide(block.gcn1.conv1d))
    scale, before = _wide(block.norm1)
    constant = before[:, None] * kernel.sum(-1)[:, None] + bias[:, None]
    own, outward, inward, mirrored = kernel
    kernels = [
        FrozenLinear(k.to(dtype), None, _ROWS // 2)
        for k in (own, 0.5 * (own + mirrored), 0.5 * (own - mirrored), outward, inward)
    ]
    channel, joint = block.channel_mlp, block.spatial_mlp
    channel = [_wide(part.linear[0]) for part in (channel.linear_down, channel.linear_mid, channel.linear_up)]
    channel[0] = _behind(block.norm2, *channel[0])
    joint = joint.linear_up1, joint.linear_up2, joint.linear_mid, joint.linear_down1, joint.linear_down2
    joint = [_wide(part.linear[0]) for part in joint]
    weight, bias = _behind(block.norm3, *joint[0])
    joint[0], joint[-1] = (weight[:, order], bias), tuple(part[order] for part in joint[-1])
    back = [k.back for k in kernels]
    return {
        "graph": kernels,
        # Along the other way farther joints are nearer ones.
        "graph_back": [*back[:3], back[4], back[3]],
        "scale": scale[order, None, None].to(dtype),
        "share": graphs[0].diagonal()[order, None, None].to(dtype),
        "shift": torch.einsum("kvc,kvw->wc", constant, graphs)[order, None].to(dtype),
        "channel": [FrozenLinear(weight.to(dtype), bias.to(dtype), _ROWS) for weight, bias in channel],
        "joint": [torch.cat((weight, bias[:, None]), 1).to(dtype) for weight, bias in joint],
        "joint_back": [weight.T.to(dtype).contiguous() for weight, _ in joint],
    }


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
