"""The published networks written down plainly, step by step as the specifications say, over the weights of ours.

What ``published_speed.py`` times ours against: standing in for the authors' code, which cannot be part of the project.
Nothing is fused, folded or reordered, every step is an ordinary call of PyTorch in the order of the paper; networks
without released code (ConvFormer) are read as our specification of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, T, C) to (N, heads, T, C / heads)."""
    n, t, c = x.shape
    return x.reshape(n, t, heads, c // heads).permute(0, 2, 1, 3)


def weigh(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax of scaled products; (N, heads, T, d) to (N, T, heads * d)."""
    scores = (q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5
    mixed = scores.softmax(dim=-1) @ v
    n, heads, t, d = mixed.shape
    return mixed.transpose(1, 2).reshape(n, t, heads * d)


def self_attention(x: Tensor, m: Any) -> Tensor:
    """Fused projection, softmax attention, projection."""
    n, t, c = x.shape
    q, k, v = m.qkv(x).reshape(n, t, 3, m.heads, c // m.heads).permute(2, 0, 3, 1, 4)
    return m.proj(weigh(q, k, v))


def cross_attention(query: Tensor, key: Tensor, value: Tensor, m: Any) -> Tensor:
    """Three projections, softmax attention, projection."""
    q, k, v = (split_heads(f(x), m.heads) for f, x in ((m.linear_q, query), (m.linear_k, key), (m.linear_v, value)))
    return m.proj(weigh(q, k, v))


def mlp(x: Tensor, m: Any) -> Tensor:
    """Linear, GELU, linear."""
    return m.fc2(functional.gelu(m.fc1(x)))


def block(x: Tensor, m: Any) -> Tensor:
    """Pre-norm attention and MLP."""
    x = x + self_attention(m.norm1(x), m.attn)
    return x + mlp(m.norm2(x), m.mlp)


def frames_first(x: Tensor) -> Tensor:
    """(B, F, J, C) to (B * F, J, C)."""
    return x.reshape(-1, *x.shape[2:])


def joints_first(x: Tensor) -> Tensor:
    """(B, F, J, C) to (B * J, F, C)."""
    b, f, j, c = x.shape
    return x.permute(0, 2, 1, 3).reshape(b * j, f, c)


def back_from_joints(x: Tensor, joints: int) -> Tensor:
    """(B * J, F, C) to (B, F, J, C)."""
    n, f, c = x.shape
    return x.reshape(n // joints, joints, f, c).permute(0, 2, 1, 3)


def pair(x: Tensor, model: Any, i: int) -> Tensor:
    """A spatial and a temporal block of MixSTE and KTPFormer with their shared norms."""
    b, f, j, c = x.shape
    x = model.Spatial_norm(block(frames_first(x), model.STEblocks[i])).reshape(b, f, j, c)
    x = joints_first(x)
    if i == 0 and hasattr(model, "Temporal_pos_embed"):
        x = x + model.Temporal_pos_embed
    return back_from_joints(model.Temporal_norm(block(x, model.TTEblocks[i])), j)


def mixste(model: Any, x: Tensor) -> Tensor:
    """MixSTE, and HoT on it (HoT specification, 2 to 4.1)."""
    x = model.Spatial_patch_to_embedding(x) + model.Spatial_pos_embed
    b, _, j, c = x.shape
    for i in range(model.stages):
        if model.pruning is not None and i == model.pruning.before:
            index = chosen_frames(x.mean(2), model.pruning.keep, model.pruning.neighbours, model._tie_noise)
            x = x.gather(1, index[:, :, None, None].expand(-1, -1, j, c))
            x = x + model.pos_embed_token[:, :, None]
        x = pair(x, model, i)
    if model.pruning is not None:
        kept = joints_first(x)
        queries = model.x_token.expand(b * j, -1, -1)
        x = back_from_joints(queries + cross_attention(queries, kept, kept, model.cross_attention), j)
    return model.head(x)


def chosen_frames(z: Tensor, keep: int, neighbours: int, noise: Tensor) -> Tensor:
    """(B, f) frames kept by density peaks, in order."""
    distance = torch.cdist(z, z) / z.shape[-1] ** 0.5
    nearest = torch.topk(distance, neighbours, dim=-1, largest=False)[0]
    density = (-(nearest**2).mean(-1)).exp() + 1e-6 * noise
    denser = (density[:, None, :] > density[:, :, None]).type(z.dtype)
    most = distance.flatten(1).max(-1)[0][:, None, None]
    score = (distance * denser + most * (1 - denser)).min(-1)[0] * density
    return torch.topk(score, keep, dim=-1)[1].sort(-1)[0]


def prior_unit(x: Tensor, m: Any) -> Tensor:
    """Graph layer with topology prior, batch norm, ReLU (KTPFormer specification, 3)."""
    g = m.gconv
    own, others = torch.matmul(x, g.W[0]), torch.matmul(x, g.W[1])
    graph = g.adjacency + g.adj2
    graph = (graph.T + graph) / 2
    eye = torch.eye(len(graph), dtype=x.dtype, device=x.device)
    y = torch.matmul(graph * eye, g.M * own) + torch.matmul(graph * (1 - eye), g.M * others) + g.bias
    return functional.relu(m.bn(y.transpose(1, 2)).transpose(1, 2))


def ktpformer(model: Any, x: Tensor) -> Tensor:
    """KTPFormer (specification, 3 to 5)."""
    b, f, j, _ = x.shape
    x = frames_first(x)
    k = model.kpattention
    x = prior_unit(x, k.attn.kpa) + k.attn.Spatial_pos_embed
    x = x + self_attention(k.attn.norm1(x), k.attn)
    x = model.Spatial_norm(x + mlp(k.norm2(x), k.mlp)).reshape(b, f, j, -1)
    t = model.tpattention
    x = joints_first(x)
    x = x + prior_unit(prior_unit(x, t.attn.tpa.gconv1), t.attn.tpa.gconv2) + t.attn.Temporal_pos_embed
    x = x + self_attention(t.attn.norm1(x), t.attn)
    x = back_from_joints(model.Temporal_norm(x + mlp(t.norm2(x), t.mlp)), j)
    for i in range(model.stages):
        x = pair(x, model, i)
    return model.head(x)


def graph_mixer(x: Tensor, m: Any) -> Tensor:
    """MotionAGFormer's graph convolution over joints or most similar frames (HoT specification, 4.4)."""
    if m.similar:
        similar = x @ x.transpose(1, 2)
        least = similar.topk(4, dim=-1, largest=True)[0][..., -1:]
        graph = (similar >= least).to(x.dtype)
        scale = torch.diag_embed(graph.sum(-1) ** -0.5)
        graph = scale @ graph @ scale
    else:
        graph = m.adjacency.repeat(len(x), 1, 1)
    return functional.relu(x + m.batch_norm(graph @ m.V(x) + m.U(x)))


def sub_block(x: Tensor, m: Any) -> Tensor:
    """Mixer and MLP with layer scales."""
    mixer = graph_mixer if hasattr(m.mixer, "similar") else self_attention
    x = x + m.layer_scale_1 * mixer(m.norm1(x), m.mixer)
    return x + m.layer_scale_2 * mlp(m.norm2(x), m.mlp)


def motionagformer(model: Any, x: Tensor) -> Tensor:
    """MotionAGFormer (HoT specification, 4.4)."""
    x = model.joints_embed(x) + model.pos_embed
    b, f, j, c = x.shape
    for layer in model.layers:
        streams = []
        for first, second in ((layer.att_spatial, layer.att_temporal), (layer.graph_spatial, layer.graph_temporal)):
            y = sub_block(frames_first(x), first).reshape(b, f, j, c)
            streams.append(back_from_joints(sub_block(joints_first(y), second), j))
        weights = layer.fusion(torch.cat(streams, dim=-1)).softmax(dim=-1)
        x = streams[0] * weights[..., 0:1] + streams[1] * weights[..., 1:2]
    x = model.norm(x)
    return model.head(torch.tanh(model.rep_logit.fc(x)))


def mhformer(model: Any, x: Tensor) -> Tensor:
    """MHFormer (HoT specification, 4.2); all frames, as released."""
    b, f, j, c = x.shape
    x = x.reshape(b, f, j * c).permute(0, 2, 1)
    streams = []
    hypothesis = model.Transformer_hypothesis
    for i in (1, 2, 3):
        encoder = getattr(model, f"Transformer_encoder_{i}")
        y = getattr(model, f"norm_{i}")(x) + encoder.pos_embed
        for part in encoder.blocks:
            y = block(y, part)
        x = x + encoder.norm(y)
        streams.append(getattr(model, f"embedding_{i}")(x).permute(0, 2, 1) + getattr(hypothesis, f"pos_embed_{i}"))
    for part in hypothesis.SHR_blocks:
        for i in range(3):
            normed = getattr(part, f"norm1_{i + 1}")(streams[i])
            streams[i] = streams[i] + self_attention(normed, getattr(part, f"attn_{i + 1}"))
        streams = _joint_mlp(streams, part)
    for part in hypothesis.CHI_blocks:
        for i, (q, k) in enumerate(((1, 2), (0, 2), (0, 1)), 1):
            n1, n2, n3 = (getattr(part, f"norm3_{i}{n}") for n in (1, 2, 3))
            crossed = cross_attention(n1(streams[q]), n2(streams[k]), n3(streams[i - 1]), getattr(part, f"attn_{i}"))
            streams[i - 1] = streams[i - 1] + crossed
        streams = _joint_mlp(streams, part)
    x = hypothesis.norm(torch.cat(streams, dim=-1))
    return model.regression(x.permute(0, 2, 1)).permute(0, 2, 1).reshape(b, f, j, 3)


def _joint_mlp(streams: list[Tensor], part: Any) -> list[Tensor]:
    x = torch.cat(streams, dim=-1)
    return list((x + mlp(part.norm2(x), part.mlp)).chunk(3, dim=-1))


def graph_convolution(x: Tensor, m: Any) -> Tensor:
    """GLA-GCN's adaptive graph convolution, subset by subset (specification, 4.1)."""
    n, c, t, v = x.shape
    total: Any = 0
    for i in range(3):
        theta = m.conv_a[i](x).permute(0, 3, 1, 2).reshape(n, v, -1)
        phi = m.conv_b[i](x).reshape(n, -1, v)
        graph = (torch.matmul(theta, phi) / theta.shape[-1]).softmax(dim=-2) + m.graph[i] + m.PA[i]
        mixed = torch.matmul(x.reshape(n, c * t, v), graph).reshape(n, c, t, v)
        total = total + m.conv_d[i](mixed)
    return functional.relu(m.bn(total) + (x if m.down is None else m.down(x)))


def graph_unit(x: Tensor, m: Any) -> Tensor:
    """Graph and temporal convolution with the unit's shortcut."""
    y = m.tcn1.bn(m.tcn1.conv(graph_convolution(x, m.gcn1)))
    if m.shortcut:
        y = y + (x if m.residual is None else m.residual.bn(m.residual.conv(x)))
    return functional.relu(y)


def glagcn(model: Any, x: Tensor) -> Tensor:
    """GLA-GCN (specification, 4.4)."""
    n, t, v, c = x.shape
    x = model.data_bn(x.reshape(n, t, v * c).permute(0, 2, 1)).permute(0, 2, 1).reshape(n, t, v, c)
    x = graph_unit(x.permute(0, 3, 1, 2), model.expand_gcn)
    for i, step in enumerate(model.widths):
        centres = x[:, :, step // 2 :: step]
        x = graph_unit(x, model.layers_tcngcn[2 * i])
        x = graph_unit(x, model.layers_tcngcn[2 * i + 1]) + centres
    return model.fc(x.mean(2)).permute(0, 2, 1)[:, None]


def dynamic_convolution(x: Tensor, m: Any) -> Tensor:
    """Every convolution, then the weighted sum (ConvFormer specification, 2.4)."""
    weights = m.eta.softmax(0)
    return sum(w * conv(x) for w, conv in zip(weights, m.convs, strict=True))  # type: ignore[return-value]


def conv_block(x: Tensor, m: Any) -> Tensor:
    """Convolutional attention and MLP."""
    at, y = m.at, m.n1(x)
    y = y.transpose(1, 2) if at.over_tokens else y
    q, k, v = (dynamic_convolution(y, f) for f in (at.q, at.k, at.v))
    if at.over_tokens:
        q, k, v = (z.transpose(1, 2) for z in (q, k, v))
    mixed = weigh(*(split_heads(z, at.heads) for z in (q, k, v)))
    x = x + (at.proj(mixed.transpose(1, 2)).transpose(1, 2) if at.over_tokens else at.proj(mixed))
    return x + m.ff(m.n2(x))


def convformer(model: Any, x: Tensor) -> Tensor:
    """ConvFormer (specification, 2)."""
    b, t, j, _ = x.shape
    x = (model.emb(x) + model.ps).reshape(b * t, j, -1)
    for part in model.sb:
        x = conv_block(x, part)
    x = model.ns(x).reshape(b, t, -1) + model.pt
    for part in model.tb:
        x = conv_block(x, part)
    return model.pool(model.head(model.nh(model.nt(x)))).reshape(b, 1, j, 3)


def uao(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """UAO's network (specification, 4) of (B, 17, 2): positions and log-scales."""
    x = model.encoder(x)
    for m in model.GCN_MLP.blocks:
        y = m.gcn1.conv1d(m.norm1(x.transpose(1, 2))).unflatten(1, (len(m.gcn1.adj), -1))
        x = x + torch.einsum("bkcv,kvw->bwc", y, m.gcn1.adj)
        x = x + m.channel_mlp(m.norm2(x)) + m.spatial_mlp(m.norm3(x.transpose(1, 2))).transpose(1, 2)
    return model.pred_mu(model.GCN_MLP.norm_mu(x)), model.pred_s(model.GCN_MLP.norm_s(x))


def residual_block(x: Tensor, m: Any) -> Tensor:
    """A basic or a bottleneck block of a ResNet (torchvision's definition)."""
    shortcut = x if m.downsample is None else m.downsample(x)
    x = functional.relu(m.bn1(m.conv1(x)))
    x = m.bn2(m.conv2(x))
    if hasattr(m, "conv3"):
        x = m.bn3(m.conv3(functional.relu(x)))
    return functional.relu(x + shortcut)


def residual_blocks(x: Tensor, stage: Any) -> Tensor:
    """One after the other."""
    for part in stage:
        x = residual_block(x, part)
    return x


def hmr(model: Any, x: Tensor) -> Tensor:
    """ResNet and HMR's iterative head (DSR specification, 2)."""
    net = model.backbone
    x = functional.max_pool2d(functional.relu(net.bn1(net.conv1(x))), 3, 2, 1)
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = residual_blocks(x, stage)
    pose, betas, camera = model.head(x)
    return torch.cat((pose.flatten(1), betas, camera), 1)


def hrnet(model: Any, x: Tensor) -> Tensor:
    """HRNet with its classification head (PersPose specification, 5.2); the pooled vector."""
    net = model
    x = functional.relu(net.bn1(net.conv1(x)))
    x = functional.relu(net.bn2(net.conv2(x)))
    branches = [residual_blocks(x, net.layer1)]
    for transition, stage in (
        (net.transition1, net.stage2),
        (net.transition2, net.stage3),
        (net.transition3, net.stage4),
    ):
        branches = [_steps(branches[min(i, len(branches) - 1)], step) for i, step in enumerate(transition)]
        for module in stage:
            branches = [residual_blocks(y, part) for y, part in zip(branches, module.branches, strict=True)]
            branches = [
                functional.relu(sum(_steps(y, step) for y, step in zip(branches, steps, strict=True)))  # type: ignore[arg-type]
                for steps in module.fuse_layers
            ]
    y = residual_blocks(branches[0], net.incre_modules[0])
    for widen, halve, branch in zip(net.incre_modules[1:], net.downsamp_modules, branches[1:], strict=True):
        y = residual_blocks(branch, widen) + _steps(y, halve)
    return _steps(y, net.final_feat_layer).mean((2, 3))


def _steps(x: Tensor, step: Any) -> Tensor:
    """Convolutions, norms and ReLUs one by one."""
    if isinstance(step, nn.Sequential):
        for part in step:
            x = _steps(x, part)
        return x
    return x if isinstance(step, nn.Identity) else step(x)
