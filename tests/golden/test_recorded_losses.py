"""Recorded values and gradients of every loss: DSR-MC, DSR-C, silhouettes, keypoints, parameters, PersPose, lifters."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from recorded import Recording, gradients, normal, numbers, rotations, uniform, with_gradients
from torch import Tensor

from dsr import losses
from dsr.clothing.targets import clothed_target, distance_map, minimally_clothed_target
from dsr.losses import lifting
from dsr.losses.perspose import PersPoseOutputs, perspose_losses
from dsr.losses.perspose_weights import PERSPOSE_WEIGHTS, TERMS

recording = Recording("losses")
H, W = 16, 20


def soft_disc(name: str, batch: int = 3, softness: float = 1.5) -> Tensor:
    """Soft silhouettes, 0 to 1, float64: discs of various places and sizes."""
    v, u = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    x, y, r = (
        numbers(f"{name} {k}", batch, 1, 1, low=a, high=b) for k, a, b in (("x", 7, 13), ("y", 6, 10), ("r", 4, 6))
    )
    return torch.sigmoid((r - ((u - x) ** 2 + (v - y) ** 2).sqrt()) / softness)


def label_map(name: str = "labels") -> Tensor:
    """(3, H, W) clothing labels: patches of all 20, and unknown pixels; the last sample shows nobody."""
    coarse = torch.from_numpy(uniform(name, 3, 1, 4, 5, low=-1, high=20)).floor().clamp(-1, 19)
    labels = torch.nn.functional.interpolate(coarse, size=(H, W), mode="nearest")[:, 0].long()
    labels[2] = 0
    return labels


def silhouettes() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rendered, mask, weight, distance; the last sample's mask is empty."""
    mask = (soft_disc("mask") > 0.5).double()
    mask[2] = 0
    weight = numbers("weight", 3, H, W, low=0, high=2)
    return soft_disc("rendered"), mask, weight, distance_map(mask > 0).double()


def tight(variant: str, compat: bool, with_alpha: bool = False) -> dict[str, Any]:
    rendered, mask, weight, distance = silhouettes()
    options: dict[str, Any] = {"variant": variant, "compat": compat, "reduction": "none"}
    if compat:
        return with_gradients(
            lambda r: losses.dsr_mc_loss(r, mask, **options), rendered.unsqueeze(1).repeat(1, 3, 1, 1)
        )
    options |= {"weight": weight, "distance": distance if variant == "distance" else None}
    valid = torch.tensor([True, True, False])
    if with_alpha:
        alpha = soft_disc("alpha")
        return with_gradients(
            lambda r, a: losses.dsr_mc_loss(r, mask, alpha=a, valid=valid, **options), rendered, alpha
        )
    return with_gradients(lambda r: losses.dsr_mc_loss(r, mask, **options), rendered)


for _variant in ("iou", "row_iou", "distance"):
    for _compat in (False, True):
        recording.add(f"dsr_mc {_variant}{' compat' * _compat}", partial(tight, _variant, _compat))
    recording.add(f"dsr_mc {_variant} alpha", partial(tight, _variant, False, True))


def probabilities() -> Tensor:
    """(3, 8, H, W) rendered classes that sum to less than 1."""
    return 0.95 * normal("classes", 3, 8, H, W).mul(1.5).softmax(1)


def clothed(variant: str, compat: bool, with_alpha: bool, weighted: bool, loose: float | None = None) -> dict[str, Any]:
    target = clothed_target(label_map(), min_pixels=5, compat=compat)
    options: dict[str, Any] = {"variant": variant, "compat": compat, "reduction": "none"}
    if loose is not None:
        options["loose"] = loose
    if weighted:
        options["class_weights"] = target.weights
    if weighted and not compat:
        options["weight"] = numbers("weight", 3, H, W, low=0, high=2)
    p = probabilities()
    if with_alpha:
        return with_gradients(
            lambda r, a: losses.dsr_c_loss(r, target.classes, alpha=a, **options), p, soft_disc("alpha")
        )
    return with_gradients(lambda r: losses.dsr_c_loss(r, target.classes, **options), p)


for _alpha in (False, True):
    for _weighted in (False, True):
        for _kind in ("published", "inside"):
            _name = f"dsr_c {_kind}{' alpha' * _alpha}{' weighted' * _weighted}"
            recording.add(_name, partial(clothed, _kind, False, _alpha, _weighted))
recording.add("dsr_c inside loose", partial(clothed, "inside", False, True, True, 0.3))
recording.add("dsr_c compat", partial(clothed, "published", True, False, True))
recording.add("dsr_c compat own weights", partial(clothed, "published", True, False, False))


def both(variant: str, c_variant: str, compat: bool) -> dict[str, Any]:
    labels = label_map()
    mc = minimally_clothed_target(labels, min_pixels=5, compat=compat)
    c = clothed_target(labels, min_pixels=5, compat=compat)
    rendered = torch.cat((soft_disc("rendered").unsqueeze(1), probabilities()), 1)
    options: dict[str, Any] = {"variant": variant, "c_variant": c_variant, "compat": compat, "reduction": "none"}
    if not compat:
        options |= {"alpha": soft_disc("alpha"), "weight": numbers("weight", 3, H, W, low=0, high=2)}

    def stacked(r: Tensor) -> Tensor:
        result = losses.semantic_losses(r, mc, c, **options)
        return torch.stack((result.mc, result.c))

    return with_gradients(stacked, rendered)


recording.add("semantic", partial(both, "iou", "published", False))
recording.add("semantic inside distance", partial(both, "distance", "inside", False))
recording.add("semantic compat rows", partial(both, "row_iou", "published", True))
recording.add("semantic compat distance", partial(both, "distance", "published", True))


@recording.case
def silhouette_terms():
    m, t, w, d = silhouettes()
    none = {"reduction": "none"}
    parts = {
        "soft_iou": with_gradients(lambda m: losses.soft_iou(m, t, weight=w, smooth=2.0), m),
        "iou": with_gradients(lambda m: losses.iou_loss(m, t, weight=w, **none), m),
        "contained": with_gradients(lambda m: losses.containment_loss(m, t, weight=w, **none), m),
        "contained distance": with_gradients(lambda m: losses.containment_loss(m, t, distance=d, weight=w, **none), m),
        "coverage": with_gradients(lambda m: losses.coverage_loss(m, t, weight=w, **none), m),
        "mean": {"value": losses.coverage_loss(m, t, weight=w)},
    }
    return flat(parts)


@recording.case
def keypoints():
    p2, t2 = numbers("p2", 4, 49, 2), numbers("t2", 4, 49, 2)
    confidence = numbers("confidence", 4, 49, low=-0.5).clamp_min(0)
    p3, t3, c3 = numbers("p3", 4, 24, 3), numbers("t3", 4, 24, 3), confidence[:, 25:]
    has = torch.tensor([True, False, True, True])
    return flat(
        {
            "two": with_gradients(lambda p: losses.keypoint_2d_loss(p, t2, confidence), p2),
            "three": with_gradients(lambda p: losses.keypoint_3d_loss(p, t3, c3, has), p3),
            "root": with_gradients(lambda p: losses.keypoint_3d_loss(p, t3, c3, root=(0,)), p3),
            "sources": {
                "published": losses.source_confidence(confidence),
                "mixed": losses.source_confidence(confidence, openpose=0.5, ground_truth=2.0),
            },
        }
    )


@recording.case
def parameters():
    rotmat, target = rotations("pose", 4, 24), rotations("target", 4, 24)
    aa = numbers("axis angle", 4, 72)
    has = torch.tensor([True, False, True, True])
    camera = torch.cat((torch.tensor([[0.9], [0.05], [-0.5], [-3.0]]).double(), numbers("shift", 4, 2)), 1)
    return flat(
        {
            "pose": with_gradients(lambda p: losses.pose_loss(p, target, has), rotmat),
            "pose axis-angle": with_gradients(lambda p: losses.pose_loss(p, aa, has), rotmat),
            "betas": with_gradients(lambda p: losses.betas_loss(p, numbers("betas", 4, 10), has), numbers("b", 4, 10)),
            "vertices": with_gradients(
                lambda p: losses.vertex_loss(p, numbers("v", 4, 30, 3), has), numbers("w", 4, 30, 3)
            ),
            "camera": with_gradients(lambda c: losses.camera_scale_loss(c), camera[:3]),
            "camera below the knee": with_gradients(lambda c: losses.camera_scale_loss(c), camera[3:]),
            "camera compat": with_gradients(lambda c: losses.camera_scale_loss(c, compat=True), camera[:2]),
        }
    )


@recording.case
def totals():
    """Every weight of every published configuration, by terms of 1, 2, 3, ..."""
    terms = {name: torch.tensor(float(k + 1), dtype=torch.float64) for k, name in enumerate(losses.TERMS)}
    outputs = {}
    configurations = {
        "own": losses.LossWeights(),
        "training": losses.PUBLISHED_TRAINING,
        "defaults": losses.PUBLISHED_DEFAULTS,
    }
    for name, weights in configurations.items():
        for started in (True, False):
            total, weighted = losses.weighted_total(terms, weights, dsr_started=started)
            outputs |= {f"{name} {started} {key}": term for key, term in {"total": total, **weighted}.items()}
        outputs[f"{name} starts"] = torch.tensor([weights.dsr_started(epoch) for epoch in range(-1, 5)])
        numeric = {key: value for key, value in asdict(weights).items() if isinstance(value, float | int)}
        outputs |= {f"{name} weight {key}": np.float64(value) for key, value in numeric.items()}
    return outputs | {f"perspose {key}": np.array(row, np.float64) for key, row in PERSPOSE_WEIGHTS.items()}


def perspose_batch() -> dict[str, Tensor]:
    """Nine crops: six with body labels (one of BEDLAM, one without betas), two with 17 joints, one with keypoints."""
    n = 9
    kind = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2])
    K = torch.zeros(n, 3, 3)
    K[:, 0, 0], K[:, 1, 1] = (numbers(f"f{k}", n, low=500, high=700).float() for k in (0, 1))
    K[:, :2, 2], K[:, 2, 2] = 128, 1
    root = torch.cat((numbers("root", n, 1, 2, low=-0.2, high=0.2), numbers("z", n, 1, 1, low=2.5, high=5)), -1)
    keypoints = torch.cat((numbers("kp", n, 17, 2, low=-20, high=276), numbers("vis", n, 17, 1).clamp_min(0)), -1)
    return {
        "K_crop": K,
        "has_smpl": kind == 0,
        "has_betas": torch.tensor([1, 1, 1, 1, 0, 1, 0, 0, 0], dtype=torch.bool),
        "has_joints17": kind == 1,
        "has_keypoints": kind == 2,
        "uv_weight": torch.tensor([1, 1, 0.1, 1, 1, 1, 1, 1, 1]),
        "height": numbers("height", n, low=1.4, high=2.0).float(),
        "joints24": (root + numbers("j24", n, 24, 3, low=-0.6, high=0.6)).float(),
        "joints17": (root + numbers("j17", n, 17, 3, low=-0.6, high=0.6)).float(),
        "twist": numbers("twist", n, 24, 3).float(),
        "pose_rotmat": rotations("pose", n, 24).float(),
        "betas": numbers("betas", n, 11, low=-2, high=2).float(),
        "keypoints": keypoints.float(),
    }


def perspose_outputs() -> PersPoseOutputs:
    n = 9
    return PersPoseOutputs(
        uv_px=numbers("uv", n, 25, 2, low=0, high=256),
        depth_m=numbers("depth", n, 25, low=-0.7, high=0.7),
        density=numbers("density", n, 25, low=4, high=9),
        relative_m=numbers("relative", n, 25, 3, low=-0.8, high=0.8),
        twist=numbers("raw twist", n, 25, 3),
        leaf_rotmat=rotations("leaf", n, 5),
        betas=numbers("own betas", n, 11),
    )


def perspose(weights: str) -> dict[str, Any]:
    outputs = perspose_outputs()
    leaves = [getattr(outputs, f).requires_grad_() for f in PersPoseOutputs.__dataclass_fields__]
    terms = perspose_losses(outputs, perspose_batch(), PERSPOSE_WEIGHTS[weights])
    grads = gradients(terms["total"], leaves)
    names = list(PersPoseOutputs.__dataclass_fields__)
    return {**terms, **{f"gradient {name}": g for name, g in zip(names, grads, strict=True)}}


for _weights in PERSPOSE_WEIGHTS:
    recording.add(f"perspose {_weights}", partial(perspose, _weights))


@recording.case
def perspose_terms_one_by_one():
    """The gradient of each term, whatever its weight."""
    outputs = {}
    for k, name in enumerate(TERMS):
        if name == "height":
            continue
        given = perspose_outputs()
        leaves = [getattr(given, f).requires_grad_() for f in PersPoseOutputs.__dataclass_fields__]
        weights = [float(i == k) for i in range(len(TERMS))]
        total = perspose_losses(given, perspose_batch(), weights, size=256)["total"]
        outputs[f"{name} value"] = total
        outputs[f"{name} gradient"] = torch.cat([g.flatten() for g in gradients(total, leaves)])
    return outputs


@recording.case
def lifters():
    p, t = 0.5 * normal("p", 2, 9, 17, 3), 0.5 * normal("t", 2, 9, 17, 3)
    terms = {
        "mpjpe": lambda p: lifting.weighted_mpjpe(p, t),
        "weighted": lambda p: lifting.weighted_mpjpe(p, t, range(17)),
        "temporal": lifting.temporal_consistency,
        "velocity": lambda p: lifting.velocity_error(p, t),
        "sequence": lambda p: lifting.sequence_loss(p, t)[0],
        "self-scaled": lambda p: lifting.self_scaled(lifting.sequence_loss(p, t)[0]),
        "symmetry": lifting.symmetry_penalty,
        "bones": lifting.bone_consistency,
        "lengths": lambda p: lifting.bone_length_error(p, t),
        "directions": lambda p: lifting.bone_direction_error(p, t),
    }
    parts: dict[str, Any] = {name: with_gradients(term, p) for name, term in terms.items()}
    parts["terms"] = lifting.sequence_loss(p, t)[1]
    target = t.numpy()
    parts["moved"] = {"value": lifting.random_move(target, np.random.RandomState(3))}
    return flat(parts)


def flat(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Outputs of several functions, under both names."""
    return {f"{name} {key}": value for name, part in parts.items() for key, value in part.items()}


@pytest.mark.parametrize("name", recording.cases)
def test_recorded(name):
    recording.check(name)
