"""The lifters against vectors of the published code (and, for ConvFormer, of our reading of the paper)."""

from __future__ import annotations

import json

import pytest
import torch
from shared_data import specs, tensors, vectors

from dsr.lifting import build_lifter, select_frames
from dsr.lifting.convformer import ConvolutionalAttention
from dsr.lifting.glagcn import EDGES, partitions
from dsr.lifting.hourglass import CrossAttention
from dsr.lifting.motionagformer import GraphMixer, joint_adjacency, normalise_adjacency
from dsr.lifting.priors import kinematic_topology, trajectory_topology
from dsr.tracks import mirror
from dsr.tracks.keypoints import detector_to_h36m17

HOSTS = {
    "mixste_f27_c32": "mixste",
    "hot_mixste_f27_c32_t9_l3": "hot-mixste",
    "tpc_mixste_f27_c32_t9_l7": "tpc-mixste",
    "mhformer_f27_c32": "mhformer",
    "mhformer_f36_c32": "mhformer",
    "tpc_mhformer_f36_c32_t12_l1": "tpc-mhformer",
    "motionbert_f27_c32_d3": "motionbert",
    "hot_motionbert_f27_c32_d3_t9_l1": "hot-motionbert",
    "motionagformer_f27_c32_d3": "motionagformer",
    "hot_motionagformer_f27_c32_d3_t9_l1": "hot-motionagformer",
}
GLAGCN = {
    "h36m_tiny_27f_c8": {"width": 8, "widths": (3, 3, 3)},
    "h36m_fw33_27f_c4": {"frames": 27, "width": 4, "widths": (3, 3)},
    "h36m_fw33333_243f_c4": {"width": 4},
    "h36m_fw3_3f_c3": {"width": 3, "widths": (3,)},
    "humaneva15_gt_27f_c8": {"width": 8, "widths": (3, 3, 3), "dataset": "humaneva15"},
    "humaneva15_coco17_27f_c8": {"width": 8, "widths": (3, 3, 3), "dataset": "humaneva15_coco"},
    "humaneva15_coco_15in_27f_c8": {"width": 8, "widths": (3, 3, 3), "dataset": "humaneva15_coco"},
}


def weights(golden, prefix="sd/"):
    return {key.removeprefix(prefix): value for key, value in golden.items() if key.startswith(prefix)}


def close(ours, golden, absolute=1e-5):
    torch.testing.assert_close(ours.detach(), golden.to(ours.dtype), rtol=0, atol=absolute)


def shapes(model):
    return {key: list(value.shape) for key, value in model.state_dict().items()}


def test_topologies():
    g = tensors("ktpformer", "topology")
    close(kinematic_topology(), g["adj_spatial"], 1e-7)
    for frames in (9, 27, 81, 243):
        close(trajectory_topology(frames), g[f"adj_temporal_{frames}"], 1e-7)


@pytest.mark.parametrize("name", ["tiny_f9_c32_d2", "tiny_f27_c64_d3"])
def test_ktpformer(name):
    g = tensors("ktpformer", name)
    frames, width, depth, heads, _ = g["cfg"].tolist()
    model = build_lifter("ktpformer", frames=frames, width=width, depth=depth, heads=heads, drop_path=0.0).eval()
    model.load_state_dict(weights(g))
    x, batch = g["in/x"], len(g["in/x"])
    with torch.no_grad():
        per_frame = x.flatten(0, 1)
        close(model.kpattention.attn.kpa(per_frame), g["mid/kpa_graph"])
        spatial = model.kpattention(per_frame)
        close(spatial, g["mid/kpa_block"])
        per_joint = model.Spatial_norm(spatial).unflatten(0, (batch, -1)).transpose(1, 2).flatten(0, 1)
        close(model.tpattention.attn.tpa(per_joint), g["mid/tpa_graph"])
        close(model.tpattention(per_joint), g["mid/tpa_block"])
        close(model(x), g["out/y"])
        back = mirror(model(mirror(x)))
        close(back, g["out/flip_branch"])
        close((model(x) + back) / 2, g["out/tta"])


@pytest.mark.parametrize("name", HOSTS)
def test_hosts_and_hourglass(name):
    g = tensors("hot", name)
    settings = json.loads(str(vectors("hot", name)["cfg_json"]))
    config = {"frames": g["in/x"].shape[1], "width": 32}
    if "token_num" in settings:
        config |= {"keep": settings["token_num"], "before": settings["layer_index"]}
    if "dim_rep" in settings:
        config |= {"depth": settings.get("depth", settings.get("n_layers")), "representation": settings["dim_rep"]}
    else:
        config |= {"hidden": settings["d_hid"]}
    model = build_lifter(HOSTS[name], **config).eval()
    model.load_state_dict(weights(g))
    noise = g.get("in/noise_uniform01")
    with torch.no_grad():
        y, index = model.lift(g["in/x"], noise=noise)
        close(y, g["out/y"])
        if noise is not None:
            assert torch.equal(index, g["out/index_sorted"])
        chosen = index if "tpc" in name else None
        other, flipped = model.lift(mirror(g["in/x"]), noise=g.get("in/noise_flip_uniform01"), index=chosen)
        if "out/flip_index_sorted" in g:
            assert torch.equal(flipped, g["out/flip_index_sorted"])
        close((y + mirror(other)) / 2, g["out/tta"])


def test_clustering_of_frames():
    g = tensors("hot", "cluster_dpc_knn")
    for prefix in sorted({key.split("/")[0] for key in g}):
        part = {key.removeprefix(prefix + "/"): value for key, value in g.items() if key.startswith(prefix + "/")}
        keep = part["noise/topk_order"].shape[1]
        x, noise = part["x"], part["noise_uniform01"]
        k = int(prefix.split("_k")[1].split("_")[0])
        found = select_frames(x, keep, noise=noise, neighbours=k)
        close(found.distance, part["dist"], 2e-6)
        close(found.density, part["density"], 2e-6)
        close(found.score, part["score"])
        assert torch.equal(found.order, part["noise/topk_order"])
        assert torch.equal(found.index, part["noise/index_sorted"])
        assert torch.equal(found.clusters(), part["noise/cluster_assign"])
        centred = select_frames(x, keep, noise=noise, neighbours=k, centre=True)
        assert torch.equal(centred.index, part["noise/center_index_sorted_with_center"])
        if "zero/score" in part:
            close(select_frames(x, keep, neighbours=k).score, part["zero/score"])
        if "masked_last3/topk_order" in part:
            mask = torch.ones(x.shape[:2], dtype=torch.bool)
            mask[:, -3:] = False
            masked = select_frames(x, keep, noise=noise, neighbours=k, mask=mask)
            assert torch.equal(masked.order, part["masked_last3/topk_order"])
            assert torch.equal(masked.clusters(), part["masked_last3/cluster_assign"])


def test_token_recovery():
    g = tensors("hot", "token_recovering_attention")
    layer = CrossAttention(32, 8)
    layer.load_state_dict(weights(g))
    out = layer(g["in/query"], g["in/tokens"], g["in/tokens"])
    close(out, g["out/attn"])
    close(g["in/query"] + out, g["out/with_residual"])


def test_graphs_of_motionagformer():
    g = tensors("hot", "motionagformer_gcn")
    close(joint_adjacency(), g["spatial_adj"], 0)
    close(normalise_adjacency(joint_adjacency()), g["spatial_adj_normalised"], 1e-6)
    x = g["in/x"]
    spatial, temporal = GraphMixer(16, 17, False).eval(), GraphMixer(16, 9, True).eval()
    spatial.load_state_dict(weights(g, "spatial/sd/"))
    temporal.load_state_dict(weights(g, "temporal/sd/"))
    close(spatial(x.flatten(0, 1)).view_as(x), g["spatial/y"])
    in_time = temporal(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 17)).transpose(1, 2)
    close(in_time, g["temporal/y"])


@pytest.mark.parametrize(
    "name",
    [
        "mixste",
        "hot-mixste",
        "tpc-mixste",
        "mhformer",
        "tpc-mhformer",
        "motionbert",
        "hot-motionbert",
        "motionagformer",
        "hot-motionagformer",
    ],
)
def test_state_dicts_of_hosts_are_the_published_ones(name):
    manifest = json.loads((specs() / "hot" / f"manifest_{name.replace('-', '_')}.json").read_text())
    with torch.device("meta"):
        model = build_lifter(name)
    assert shapes(model) == manifest["state_dict"]
    assert sum(p.numel() for p in model.parameters()) == manifest["trainable_params"]


@pytest.mark.parametrize("frames", [81, 243])
def test_state_dict_of_ktpformer_is_the_published_one(frames):
    manifest = json.loads((specs() / "ktpformer" / f"manifest_f{frames}_c512_d7.json").read_text())
    with torch.device("meta"):
        model = build_lifter("ktpformer", frames=frames)
    assert shapes(model) == manifest["state_dict"]
    assert sum(p.numel() for p in model.parameters()) == manifest["trainable_params"]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("h36m_243f", {}),
        ("h36m_81f", {"widths": (3,) * 4}),
        ("h36m_27f", {"widths": (3,) * 3}),
        ("humaneva15_gt_27f", {"widths": (3,) * 3, "dataset": "humaneva15"}),
        ("humaneva15_coco_27f", {"widths": (3,) * 3, "dataset": "humaneva15_coco"}),
    ],
)
def test_state_dict_of_glagcn_is_the_published_one(name, config):
    manifest = json.loads((specs() / "glagcn" / "golden" / f"manifest_{name}_c96.json").read_text())
    with torch.device("meta"):
        model = build_lifter("glagcn", **config)
    assert shapes(model) == manifest["keys"]
    assert sum(p.numel() for p in model.parameters()) == manifest["n_trainable_params"]


@pytest.mark.parametrize("name", GLAGCN)
def test_glagcn(name):
    g = tensors("glagcn", name)
    model = build_lifter("glagcn", **GLAGCN[name]).eval()
    model.load_state_dict(weights(g))
    given = g["input"].clone()
    close(model(given), g["output"])
    assert torch.equal(given, g["input"])  # the released code overwrites its input here
    close(model.double()(given.double()), g["output_f64"], 1e-8)


def test_graphs_of_glagcn():
    g = tensors("glagcn", "adjacency")
    for name, edges in EDGES.items():
        close(partitions(len(g[name][0]), edges), g[name], 1e-7)


def test_convformer():
    g = tensors("convformer", "c03_tiny_model")
    model = build_lifter(
        "convformer", frames=7, joints=5, width=8, heads=2, spatial_blocks=1, temporal_blocks=1, kernels=(3, 5, 7)
    ).eval()
    model.load_state_dict(weights(g, "w."))
    out = model(g["x"])
    close(out, g["out"])
    loss = (out - g["target"]).norm(dim=-1).mean()
    close(loss, g["mpjpe"])
    loss.backward()
    close(model.head.weight.grad, g["grad_head_weight"])
    close(model.pool.weight.grad, g["grad_pool_weight"])
    close(model.tb[0].at.q.eta.grad, g["grad_eta_q_temporal"])


@pytest.mark.parametrize(
    ("name", "channels", "heads", "over_tokens"),
    [("c01_dmhcsa_spatial", 8, 2, True), ("c02_dmhcsa_temporal", 6, 4, False)],
)
def test_convolutional_attention(name, channels, heads, over_tokens):
    g = tensors("convformer", name)
    layer = ConvolutionalAttention(channels, (3, 5, 7), heads, over_tokens, 0.0)
    layer.load_state_dict(weights(g, "w."))
    close(layer(g["x"]), g["out"])


@pytest.mark.parametrize("frames", [9, 27, 81, 143, 243])
def test_convformer_has_the_published_number_of_parameters(frames):
    g = tensors("convformer", "c04_published_numbers")
    with torch.device("meta"):
        ours = sum(p.numel() for p in build_lifter("convformer", frames=frames).parameters())
    row = g["param_T"].tolist().index(frames)
    assert ours == g["ours_exact"][row]
    assert abs(ours / 1e6 - float(g["param_M"][row])) <= 0.01


def test_coco_keypoints_become_the_lifters_joints():
    g = tensors("hot", "demo_preprocess")
    ours = torch.from_numpy(detector_to_h36m17(g["coco"].numpy()))
    torch.testing.assert_close(ours, g["h36m"].to(ours.dtype), rtol=1e-6, atol=1e-5)
