"""PoseDA's parts against vectors: PoseAug's operations and networks, and the published alignment."""

from __future__ import annotations

import pytest
import torch
from shared_data import tensors

from dsr.adaptation import PARTS16, PoseAugmentor, global_position_alignment
from dsr.adaptation.augmentor import PoseGenerator
from dsr.adaptation.bones import bone_lengths, change_lengths, from_bones, to_bones, unit
from dsr.adaptation.discriminators import KeypointDiscriminator, PartDiscriminator
from dsr.camera.lens import project_screen
from dsr.evaluation import auc, mpjpe, pa_mpjpe, pck
from dsr.losses.adaptation import dead_band, lsgan_discriminator_loss, lsgan_generator_loss, range_loss
from dsr.tracks.skeleton import normalise_screen, unnormalise_screen
from dsr.training.systems.lifter.presets import lifter_preset
from dsr.training.systems.lifter.task import lifter_learning_rate


def close(ours, golden, absolute=1e-5):
    torch.testing.assert_close(ours.detach(), golden.to(ours.dtype), rtol=0, atol=absolute)


def golden(name):
    return tensors("poseda", name)


def weights(g, suffix=""):
    """The released names: the networks of lengths, turn and place carry a suffix."""
    loaded = {}
    for key, value in g.items():
        head, dot, rest = key.removeprefix("w.").partition(".")
        if key.startswith("w.") and head.endswith(suffix):
            name = head.removesuffix(suffix)
            loaded[("batch_norm1" if name == "batch_norm" else name) + dot + rest] = value.float()
    return loaded


def generator(g, inputs, outputs, suffix=""):
    network = PoseGenerator(inputs, outputs, 16).eval()
    missing, surplus = network.load_state_dict(weights(g, suffix), strict=False)
    assert surplus == [] and all(key.endswith("num_batches_tracked") for key in missing)
    return network


def flat(poses):
    return (poses - poses[:, :1]).flatten(1)


def test_bones():
    g = golden("g01_bones")
    assert g["parents"].tolist() == list(PARTS16.parents)
    bones = to_bones(g["pose"], PARTS16)
    close(bones, g["bone_vec"], 1e-6)
    close(bone_lengths(bones), g["bone_len"], 1e-6)
    close(unit(bones), g["bone_unit"], 1e-6)
    close(from_bones(bones, PARTS16), g["rebuilt_root_rel"], 1e-6)


def test_lengths_of_bones():
    g = golden("g02_bone_length_op")
    close(change_lengths(g["pose"], g["ratio9"], PARTS16), g["out"], 1e-6)
    close(change_lengths(g["pose"], torch.zeros(8, 9), PARTS16), g["out_zero"], 1e-6)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_bending(mode):
    g = golden("g03_ba_generator")
    network = generator(g, 96, 45).train(mode == "train")
    output = network(torch.cat((flat(g["pose"]), g[f"noise_{mode}"]), 1))
    bent, bend = PoseAugmentor(16, width=8).bend(g["pose"], output)
    close(bent, g[f"out_{mode}"])
    close(bend, g[f"ba_diff_{mode}"])


def test_stretching():
    g = golden("g04_bl_generator")
    network = generator(g, 111, 9, "_BL")
    lengths = bone_lengths(to_bones(g["pose"], PARTS16))[..., 0]
    output = network(torch.cat((flat(g["pose"]), lengths, g["noise"]), 1))
    ratio = PoseAugmentor(16, width=8).ratios(output)
    close(ratio, g["blr"])
    close(change_lengths(g["pose_ba"], ratio, PARTS16), g["out"])


def test_free_turn():
    g = golden("g05_rt_generator")
    output = generator(g, 96, 3, "_R")(torch.cat((flat(g["pose"]), g["noise_R"]), 1))
    augmentor = PoseAugmentor(16, width=8, rotation="free")
    angle = augmentor.turns(output)
    turned = augmentor.turned(g["pose_bl"], angle)
    close(angle, g["axis_angle"])
    close(turned - turned[:, :1] + g["translation"], g["out"])


def test_discriminators():
    g = golden("g06_disc3d")
    judge = PartDiscriminator(16, 12, 6)
    judge.load_state_dict({key.removeprefix("w."): value for key, value in g.items() if key.startswith("w.")})
    grams = judge.grams(g["pose"])
    for part, name in enumerate(("lh", "rh", "ll", "rl", "torso")):
        close(grams[:, part], g[f"kcs_{name}"])
    close(judge(g["pose"]), g["score"])
    flat_judge, g2 = KeypointDiscriminator(16), golden("g08_disc2d")
    flat_judge.load_state_dict({key.removeprefix("w."): value.float() for key, value in g2.items() if key[:2] == "w."})
    close(flat_judge(g2["pose2d"]), g2["score"], 1e-4)
    counts = [sum(p.numel() for p in m.parameters()) for m in (PartDiscriminator(16), KeypointDiscriminator(16))]
    assert counts == [1_076_205, 43_801]


def test_losses():
    g, d = golden("g09_losses"), golden("g06_disc3d")
    judge = PartDiscriminator(16, 12, 6)
    judge.load_state_dict({key.removeprefix("w."): value for key, value in d.items() if key.startswith("w.")})
    close(range_loss(g["ba_diff"], g["blr"]), g["diff_loss"], 1e-6)
    close(dead_band(g["v"], 0.2, 0.5), g["range_loss_m02_s05"], 1e-6)
    close(dead_band(g["v"], 0.0, 0.5), g["rect_l2_t05"], 1e-6)
    real, fake = judge(g["x3d"]), judge(g["x3d_ba"])
    close(lsgan_generator_loss(fake, real), g["lsgan_g_loss"], 1e-5)
    close(lsgan_discriminator_loss(real, fake), g["lsgan_d_loss"], 1e-5)


def test_camera():
    g = golden("g07_camera")
    close(project_screen(g["pose"], g["cam9"]), g["proj"])
    close(project_screen(g["pose"], g["cam9"], distortion=False), g["proj_linear"])
    close(project_screen(g["pose_near"], g["cam9"]), g["proj_near_clamped"])
    close(normalise_screen(g["pix"], 1000, 1002), g["norm_1000x1002"])
    close(unnormalise_screen(g["norm_1000x1002"], 1000, 1002), g["back"], 1e-3)


def test_metrics():
    g = golden("g10_metrics")
    true, found = g["gt_m"] - g["gt_m"][:, :1], g["pred_m"] - g["pred_m"][:, :1]
    close(mpjpe(found, true).mean(), g["mpjpe_m"])
    close(pa_mpjpe(found, true).mean(), g["p_mpjpe_m"])
    errors = 1000 * mpjpe(found, true, reduction="none")
    assert 100 * float(pck(errors)) == pytest.approx(float(g["pck150_pct"]), abs=1e-3)
    assert 100 * float(auc(errors)) == pytest.approx(float(g["auc_pct"]), abs=1e-3)


def test_learning_rate():
    config = lifter_preset("published", "simplebaseline")
    rates = [lifter_learning_rate(config, 7 * epoch, 7, 350) / config.optim.lr for epoch in range(50)]
    close(torch.tensor(rates), golden("g11_lr_factor")["factor"], 1e-6)


def test_global_position_alignment():
    g = golden("g12_gpa")
    camera = torch.cat((g["camera4_fxfycxcy"], torch.zeros(64, 5)), 1)
    found = global_position_alignment(g["source_3d"], g["target_2d"], camera, pair=g["perm"])
    close(found.poses_m, g["out_3d"])
    close(found.screen, g["out_2d_linear"])
    assert bool(found.valid.all())
