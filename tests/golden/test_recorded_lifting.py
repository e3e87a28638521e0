"""Recorded outputs of every lifter: evaluation, a training step, frames chosen, sequences, published layouts."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from recorded import Recording, layout, normal, numbers, parameter_gradients, seeded_weights, still, uniform
from torch import Tensor, nn

from dsr.lifting import LIFTERS, SequenceLifter, build_lifter, lift_sequence, select_frames
from dsr.lifting.glagcn import EDGES, partitions
from dsr.lifting.motionagformer import joint_adjacency, normalise_adjacency
from dsr.lifting.priors import kinematic_topology, trajectory_topology
from dsr.tracks.keypoints import detector_to_h36m17
from dsr.tracks.skeleton import HUMANEVA15, mirror, normalise_screen, rescale_people, unnormalise_screen

recording = Recording("lifting")
SMALL: dict[str, Any] = {"frames": 9, "width": 16, "depth": 2}
STREAMS = {**SMALL, "representation": 16}
HYPOTHESES = {"frames": 9, "width": 16, "hidden": 32}
SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "mixste": ("mixste", SMALL),
    "mixste-confidence-rescaled": ("mixste", {**SMALL, "inputs": 3, "rescale": True}),
    "hot-mixste": ("hot-mixste", {**SMALL, "keep": 3, "before": 1}),
    "hot-mixste-by-time": ("hot-mixste", {**SMALL, "keep": 4, "before": 1, "by_time": True}),
    "tpc-mixste": ("tpc-mixste", {**SMALL, "keep": 3, "before": 1}),
    "ktpformer": ("ktpformer", SMALL),
    "hot-ktpformer": ("hot-ktpformer", {**SMALL, "keep": 3, "before": 1}),
    "mhformer": ("mhformer", HYPOTHESES),
    "mhformer-long": ("mhformer", {**HYPOTHESES, "frames": 36}),
    "tpc-mhformer": ("tpc-mhformer", {**HYPOTHESES, "keep": 3}),
    "motionbert": ("motionbert", STREAMS),
    "motionbert-priors": ("motionbert", {**STREAMS, "priors": True}),
    "hot-motionbert": ("hot-motionbert", {**STREAMS, "keep": 3}),
    "motionagformer": ("motionagformer", STREAMS),
    "hot-motionagformer": ("hot-motionagformer", {**STREAMS, "keep": 5, "before": 1}),
    "convformer": ("convformer", {"frames": 9, "width": 8, "kernels": (3, 5, 7)}),
    "glagcn": ("glagcn", {"width": 8, "widths": (3, 3)}),
    "glagcn-humaneva15": ("glagcn", {"width": 8, "widths": (3, 3), "dataset": "humaneva15"}),
    "glagcn-humaneva15-coco": ("glagcn", {"width": 8, "widths": (3, 3), "dataset": "humaneva15_coco"}),
    "uao": ("uao", {"layers": 1}),
    "diffusion": ("diffusion", {**SMALL, "depth": 1, "hypotheses": 2, "iterations": 2}),
    "simplebaseline": ("simplebaseline", {"width": 32}),
}


def small(name: str) -> nn.Module:
    """A small lifter whose every weight matters, float64."""
    lifter, config = SIZES[name]
    with torch.random.fork_rng():
        return seeded_weights(build_lifter(lifter, **config)).double()


def keypoints(model: Any, batch: int = 2) -> Tensor:
    """Screen keypoints that move from frame to frame."""
    start = numbers("place", batch, 1, model.joints, model.inputs, low=-0.5, high=0.5)
    return start + 0.1 * normal("steps", batch, model.frames, model.joints, model.inputs).cumsum(1)


def lifted(name: str) -> dict[str, Any]:
    """Poses in evaluation and in training without chance, frames kept, gradients, statistics after the step."""
    model = small(name).eval()
    rates = torch.tensor([float(m.p) for m in model.modules() if isinstance(getattr(m, "p", None), float)])
    x = keypoints(model)
    # the fixed draw of evaluation is the network's; a training step is given one
    noise = {"noise": numbers("ties", *x.shape[:2], low=0)} if isinstance(model, SequenceLifter) else {}
    run = model.lift if isinstance(model, SequenceLifter) else lambda x: (model(x), torch.zeros(0, dtype=torch.int64))
    with torch.no_grad():
        poses, index = run(x, **noise)
        mirrored, _ = run(mirror(x, HUMANEVA15) if model.joints == 15 else mirror(x), **noise)
    still(model.train())
    trained, _ = run(x, **noise)
    statistics = [b.flatten() for k, b in sorted(model.named_buffers()) if "running" in k]
    return {
        "poses": poses,
        "frames": index,
        "mirrored": mirrored,
        "trained": trained,
        "gradients": parameter_gradients(trained, model),
        "statistics": torch.cat(statistics) if statistics else torch.zeros(0),
        "drop_rates": rates.double(),
    }


def published(name: str) -> dict[str, Any]:
    """Names, shapes and settings at the published size."""
    with torch.device("meta"):
        model: Any = build_lifter(name)
    pruning = getattr(model, "pruning", None)
    settings = [model.frames, model.inputs, model.joints, int(model.by_centre), int(model.centre_only)]
    if pruning is not None:
        settings += [pruning.keep, pruning.before, pruning.neighbours]
        settings += [int(pruning.recover), int(pruning.centre), int(pruning.by_time)]
    rates = [float(m.p) for m in model.modules() if isinstance(getattr(m, "p", None), float)]
    heads = [int(m.heads) for m in model.modules() if hasattr(m, "heads")]
    eps = [float(m.eps) for m in model.modules() if hasattr(m, "eps")]
    return {
        "layout": layout(model),
        "settings": torch.tensor(settings),
        "heads": torch.tensor(heads, dtype=torch.int64),
        "drop_rates": torch.tensor(rates, dtype=torch.float64),
        "eps": torch.tensor(eps, dtype=torch.float64),
    }


for _name in SIZES:
    recording.add(f"lifted {_name}", partial(lifted, _name))
for _name in LIFTERS:
    recording.add(f"published {_name}", partial(published, _name))


@recording.case
def graphs():
    return {
        "kinematic": kinematic_topology(),
        "trajectory": trajectory_topology(9),
        "motionagformer": normalise_adjacency(joint_adjacency()),
        **{f"glagcn {name}": partitions(17 if name == "h36m" else 15, edges) for name, edges in EDGES.items()},
    }


@recording.case
def frames_kept():
    z, noise = normal("features of frames", 3, 20, 6), numbers("ties", 3, 20, low=0)
    mask = torch.ones(3, 20, dtype=torch.bool)
    mask[:, -4:] = False
    outputs = {}
    for name, options in {
        "plain": {},
        "centre": {"centre": True},
        "three": {"neighbours": 3},
        "mask": {"mask": mask},
    }.items():
        chosen = select_frames(z, 7, noise=noise, **options)
        finite = chosen.score.clamp(-1e3, 1e3)
        outputs |= {f"{name} index": chosen.index, f"{name} order": chosen.order, f"{name} score": finite}
        outputs |= {f"{name} density": chosen.density, f"{name} distance": chosen.distance}
        outputs |= {f"{name} clusters": chosen.clusters()}
    return outputs


@recording.case
def screen():
    pixels = 500 + 300 * numbers("pixels", 2, 5, 17, 2)
    people = torch.cat((normalise_screen(pixels, 1000, 1002), numbers("confidence", 2, 5, 17, 1, low=0)), -1)
    coco = uniform("coco keypoints", 4, 17, 2) * 100 + 300
    return {
        "normalised": people,
        "back": unnormalise_screen(people[..., :2], 1000, 1002),
        "rescaled": rescale_people(people),
        "mirrored": mirror(people),
        "mirrored humaneva": mirror(people[..., :15, :], HUMANEVA15),
        "from coco": np.asarray(detector_to_h36m17(coco)),
    }


def sequence(name: str, frames: int, **options: Any) -> dict[str, Any]:
    model = small(name).eval()
    track = 500 + 100 * uniform("place", 1, 17, 2) + 10 * normal("steps", frames, 17, 2).numpy().cumsum(0)
    track = np.concatenate((track, uniform("confidence", frames, 17, 1, low=0.2, high=1)), -1)
    track[frames // 3, 4] = np.nan
    track[frames // 2, 7:9, 2] = 0.05
    lifted = lift_sequence(model, track, (1000, 1002), **options)
    return {"joints": lifted.joints_m, "uncertainty": lifted.uncertainty_mm, "filled": lifted.filled}


recording.add("sequence of whole windows", partial(sequence, "mixste", 23))
recording.add("sequence of centres", partial(sequence, "glagcn", 12))
recording.add("sequence of pruned windows", partial(sequence, "tpc-mixste", 11))
recording.add("sequence without mirror", partial(sequence, "ktpformer", 9, flip=False, hop=3))


def test_every_registered_lifter_is_recorded():
    assert {lifter for lifter, _ in SIZES.values()} == set(LIFTERS)


@pytest.mark.parametrize("name", recording.cases)
def test_recorded(name):
    recording.check(name)
