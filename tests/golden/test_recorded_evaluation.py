"""Recorded metrics, and plain references of those that are one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recorded import Recording, normal, numbers, rotations, uniform, with_gradients
from test_recorded_losses import perspose_batch, perspose_outputs

from dsr import evaluation
from dsr.evaluation import lifting
from dsr.evaluation.protocols import PROTOCOLS, joint_rows

recording = Recording("evaluation")


def poses() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Predicted and true joints, turned, scaled and moved against each other, and a mask."""
    target = normal("target", 4, 17, 3)
    predicted = 0.7 * target @ rotations("R", 4, angle=2.0).mT + 0.2 * normal("noise", 4, 17, 3) + 0.5
    return predicted, target, numbers("mask", 4, 17) > -0.6


@recording.case
def joints():
    p, t, mask = poses()
    outputs = {}
    for reduction in ("mean", "sample", "joint", "none"):
        outputs[f"mpjpe {reduction}"] = evaluation.mpjpe(p, t, reduction=reduction)
        outputs[f"masked {reduction}"] = evaluation.mpjpe(p, t, mask, root=None, reduction=reduction)
        outputs[f"pa {reduction}"] = evaluation.pa_mpjpe(p, t, reduction=reduction)
        outputs[f"pa masked {reduction}"] = evaluation.pa_mpjpe(p, t, mask, scale=False, reduction=reduction)
    for name, options in {"scaled": {}, "rigid": {"scale": False}, "masked": {"mask": mask}}.items():
        parts = with_gradients(lambda p, o=options: evaluation.procrustes_align(p, t, **o), p)
        outputs |= {f"aligned {name} {key}": value for key, value in parts.items()}
    mirrored = p * torch.tensor([-1.0, 1.0, 1.0])  # no turn brings it onto the target, and a mirror is none
    outputs["pa mirrored"] = evaluation.pa_mpjpe(mirrored, t, reduction="sample")
    roots = numbers("root", 4, 3), numbers("other root", 4, 3)
    outputs["pve"] = evaluation.pve(p, t, predicted_root=roots[0], target_root=roots[1], reduction="sample")
    outputs["n_mpjpe"] = lifting.n_mpjpe(p, t)
    outputs["mpjve"] = lifting.mpjve(p, t)
    return outputs


@recording.case
def curves():
    errors = uniform("errors", 6, 14, low=0, high=250)
    errors[2, 3] = np.nan
    mask = uniform("mask", 6, 14) > -0.5
    outputs = {}
    for reduction in ("mean", "joint", "sample"):
        outputs[f"pck {reduction}"] = evaluation.pck(errors, mask=mask, reduction=reduction)
        outputs[f"auc {reduction}"] = evaluation.auc(errors, mask=mask, reduction=reduction)
    table = evaluation.per_joint([f"j{k}" for k in range(14)], mask=mask, mpjpe_mm=errors, pa_mm=errors / 2)
    return outputs | {"table": np.array([list(row.values()) for row in table.values()], np.float64)}


@recording.case
def pictures():
    p, t = uniform("p", 5, 17, 2, low=0, high=30), uniform("t", 5, 17, 2, low=0, high=30)
    size, mask = uniform("size", 5, low=20, high=60), uniform("mask", 5, 17) > -0.5
    masks = uniform("a", 5, 9, 9, low=0), uniform("b", 5, 9, 9, low=0), uniform("c", 5, 9, 9, low=0, high=2)
    return {
        "pck_2d": evaluation.pck_2d(p, t, size, mask, threshold=0.3),
        "pck_2d joints": evaluation.pck_2d(p, t, size, mask, joints=True),
        "iou": evaluation.mask_iou(*masks),
    }


@recording.case
def perspose():
    return evaluation.perspose_errors(perspose_outputs(), perspose_batch())


@recording.case
def protocols():
    """Which joints each published protocol looks at."""
    return {name: np.array(joint_rows(PROTOCOLS[name].joints)) for name in sorted(PROTOCOLS)}


@pytest.mark.parametrize("name", recording.cases)
def test_recorded(name):
    recording.check(name)


def test_mpjpe_is_the_mean_distance_after_the_root_is_moved_to_the_origin():
    p, t, _ = (x.numpy() for x in poses())
    total = 0.0
    for a, b in zip(p, t, strict=True):
        for j in range(17):
            total += np.sqrt((((a[j] - a[0]) - (b[j] - b[0])) ** 2).sum())
    assert float(evaluation.mpjpe(p, t)) == pytest.approx(total / (4 * 17), rel=1e-12)


def test_aligned_points_are_the_best_of_many_similarity_transforms():
    p, t, _ = (x.numpy() for x in poses())
    best = ((evaluation.procrustes_align(p, t) - t) ** 2).sum((1, 2))
    for k in range(50):
        turn = rotations(f"try {k}", 4, angle=0.05).numpy()
        scale, shift = 1 + 0.02 * uniform(f"scale {k}", 4, 1, 1), 0.02 * uniform(f"shift {k}", 4, 1, 3)
        other = scale * evaluation.procrustes_align(p, t) @ turn + shift
        assert (((other - t) ** 2).sum((1, 2)) >= best).all()
