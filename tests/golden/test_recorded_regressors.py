"""Recorded networks from pictures to bodies: DSR's HMR and PersPose, raw heads, decoding, bodies, published layouts."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from recorded import Recording, layout, normal, numbers, parameter_gradients, rotations, seeded_weights, still
from test_recorded_body import rest_skeleton
from torch import Tensor

from dsr.regressors import REGRESSORS, build_regressor
from dsr.regressors.dsr.hmr import MeanParams, mirror_pose
from dsr.regressors.perspose import decode as decoding

recording = Recording("regressors")
PERSPOSE = {"image_size": 64, "width": 8, "modules": (1, 2, 1), "blocks": 1}


class Skeleton:
    """A body for the inverse kinematics."""

    num_joints, num_betas = 24, 11

    def rest_joints(self, betas: Tensor) -> Tensor:
        return rest_skeleton(betas.double()).to(betas)


def small(name: str, **config: Any) -> Any:
    with torch.random.fork_rng():
        return seeded_weights(build_regressor(name, **config)).double()


def hmr(backbone: str):
    model = small("dsr", backbone=backbone, image_size=64, hidden=48).eval()
    image = normal("picture", 2, 3, 64, 64)
    drop_rates = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    with torch.no_grad():
        pose, betas, camera = model(image)
        features = model.backbone(image)
        once = model.head(features, iterations=1)
    averaged = model.predict(image, mirror=True)
    trained = torch.cat([part.flatten(1) for part in still(model.train())(image)], 1)
    return {
        "pose": pose,
        "betas": betas,
        "camera": camera,
        "features": features,
        "after one correction": torch.cat([part.flatten(1) for part in once], 1),
        "averaged pose": averaged.pose_rotmat,
        "averaged betas": averaged.betas,
        "averaged camera": averaged.camera,
        "trained": trained,
        "gradients": parameter_gradients(trained, model),
        "drop_rates": torch.tensor(drop_rates).double(),
    }


@recording.case
def dsr_mean():
    """Where the iterations start without a licensed mean."""
    mean = MeanParams.default()
    return {
        "pose": mean.pose,
        "shape": mean.shape,
        "camera": mean.camera,
        "mirrored": mirror_pose(rotations("pose", 3, 24)),
    }


def crops() -> tuple[Tensor, Tensor]:
    K = torch.zeros(3, 3, 3, dtype=torch.float64)
    K[:, 0, 0], K[:, 1, 1] = numbers("fx", 3, low=120, high=180), numbers("fy", 3, low=120, high=180)
    K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = numbers("cx", 3, low=28, high=36), numbers("cy", 3, low=28, high=36), 1
    return normal("picture", 3, 3, 64, 64), K


def perspose():
    model = small("perspose", **PERSPOSE).eval()
    image, K = crops()
    encode = torch.tensor([True, False, True])
    outputs: dict[str, Any] = {}
    with torch.no_grad():
        outputs |= {f"heads {key}": value for key, value in vars(model(image, K, encode)).items()}
        outputs |= {f"mirrored {key}": value for key, value in vars(model.estimate(image, K, mirrored=True)).items()}
        outputs |= {f"averaged {key}": value for key, value in vars(model.estimate_averaged(image, K)).items()}
    for mirror in (True, False):
        prediction = model.predict(image, K, mirror=mirror, body=Skeleton())
        parts = {key: getattr(prediction, key) for key in ("pose_rotmat", "betas", "transl")} | prediction.extras
        outputs |= {f"body {key} {mirror}": value for key, value in parts.items()}
    trained = model.train()(image, K)
    together = torch.cat([getattr(trained, key).flatten(1) for key in vars(trained)], 1)
    return outputs | {"trained": together, "gradients": parameter_gradients(together, model)}


SMALL = {
    "dsr": {"dsr resnet18": partial(hmr, "resnet18"), "dsr resnet50": partial(hmr, "resnet50")},
    "perspose": {"perspose": perspose},
}
"""Network to its cases of a small size, with seeded weights."""
for _cases in SMALL.values():
    for _name, _compute in _cases.items():
        recording.add(_name, _compute)


@recording.case
def perspose_decoding():
    """Heads of moderate logits: where a trained network works."""
    shapes = {"heatmaps": (25, 8, 8), "depth": (25,), "rho0": (1,), "twist": (75,), "shape": (11,), "leaf": (30,)}
    leaves = {key: normal(key, 3, *shape).requires_grad_() for key, shape in shapes.items()}
    K = crops()[1]
    estimate = decoding.decode(decoding.PersPoseHeads(**leaves), K, 64)
    other = decoding.unmirror(estimate, 64)
    lifted = decoding.lift(decoding.average(estimate, other), K)
    outputs: dict[str, Any] = {}
    outputs |= {f"plain {key}": value for key, value in vars(estimate).items()}
    outputs |= {f"unmirrored {key}": value for key, value in vars(other).items()}
    outputs |= {f"lifted {key}": value for key, value in vars(lifted).items()} | {"joints": lifted.joints_m}
    grads = torch.autograd.grad(
        lifted.joints_m.sum() + estimate.leaf_rotmat.sum(), list(leaves.values()), allow_unused=True
    )
    outputs |= {f"gradient {k}": g for k, g in zip(leaves, grads, strict=True) if g is not None}
    image, K_flipped = decoding.mirror_inputs(*crops())
    return outputs | {"mirrored picture": image, "mirrored K": K_flipped}


def published(name: str):
    with torch.device("meta"):
        model = build_regressor(name)
    eps = [float(m.eps) for m in model.modules() if hasattr(m, "eps")]
    rates = [float(m.p) for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    return {
        "layout": layout(model),
        "size": torch.tensor(model.image_size),
        "eps": torch.tensor(eps, dtype=torch.float64, device="cpu"),
        "drop_rates": torch.tensor(rates, dtype=torch.float64, device="cpu"),
    }


for _name in REGRESSORS:
    recording.add(f"published {_name}", partial(published, _name))


def test_every_registered_network_is_recorded():
    assert set(SMALL) == set(REGRESSORS)
    assert all(cases for cases in SMALL.values())


@pytest.mark.parametrize("name", recording.cases)
def test_recorded(name):
    recording.check(name)
