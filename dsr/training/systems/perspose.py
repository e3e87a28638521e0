"""PersPose's training: HRNet heads under the twelve published losses (PersPose specification, sections 5.6, 7 and 8).

No inverse kinematics runs in training (it has no share in the losses but the published overwriting of the first shape
coefficient, which only takes its gradient away); it runs in validation.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsr.body import Body, load_body
from dsr.checkpoints import load_checkpoint, read_state_dict
from dsr.datasets.perspose_view import PersPoseView
from dsr.errors import BodyError, TrainingError
from dsr.evaluation.protocols import regressor_matrix
from dsr.losses.perspose import perspose_losses
from dsr.regressors import PersPose, build_regressor
from dsr.regressors.loading import has_heads
from dsr.regressors.perspose.decode import NUM_BETAS, decode, lift, loss_outputs, mirror_inputs, unmirror
from dsr.synthetic.records import RecordSource
from dsr.training.batches import to_device
from dsr.training.systems.regressor.config import RegressorTrainConfig
from dsr.training.systems.regressor.data import TrainingData, held_out_batches, is_open, published_file, training_source
from dsr.training.systems.regressor.overlays import crops_with_bodies
from dsr.training.systems.regressor.task import RegressorTask
from dsr.training.systems.regressor.validation import pose_measures, shape_measures
from dsr.training.task import Amp

PUBLISHED_WIDTH = 48
REGRESSOR_FILES = (
    "smpl_file/J_regressor_h36m_correct.npy",
    "J_regressor_h36m_correct.npy",
    "J_regressor_h36m.npy",
)
"""Where in ``--data.root`` the matrix from SMPL's vertices to Human3.6M's joints lies."""


class PersPoseTask(RegressorTask):
    """PersPose's network, data and losses for the training loop.

    Args:
        config: the run.

    Raises:
        DsrError: if a file is missing or does not fit.
    """

    def __init__(self, config: RegressorTrainConfig) -> None:
        super().__init__(config)
        self.size = config.model.image_size
        self.bodies = label_bodies(config.body)
        joints = self.bodies["neutral"].num_joints
        if joints != 24:
            raise TrainingError(f"--body {config.body} has {joints} joints; PersPose needs SMPL's 24.")
        matrix = human36m_regressor(config, self.bodies["neutral"])
        view = PersPoseView(
            self.size, True, self.bodies, 0.1 if config.data.jitter == "on" else 0.0, config.data.reduce == "on", matrix
        )
        source = training_source(config, open_set, "passes", None)
        self.data = TrainingData(source, view, config.seed)

    def build_model(self) -> nn.Module:
        """The network, from a checkpoint or from HRNet's weights (COCO keypoints, ImageNet) where given."""
        small = self.config.model.width < PUBLISHED_WIDTH
        model = build_regressor(
            "perspose",
            image_size=self.size,
            width=self.config.model.width,
            initialisation="kaiming" if small else "published",
        )
        init = self.config.model.init
        if init is not None:
            assert isinstance(model, PersPose)
            if has_heads(read_state_dict(init)):
                load_checkpoint(model, init)
            else:
                model.load_backbone(init)
        return model

    def prepare(self, device: torch.device) -> None:
        """Body and held-out people."""
        self.body = load_body(self.config.body, num_betas=NUM_BETAS, device=device)
        view = PersPoseView(self.size, False, self.bodies)
        self.held_out = held_out_batches(self.config, view) if self.config.validation.count else []
        self.data.prepare(self.config.workers + 1)

    def terms(self, model: nn.Module, batch: dict[str, Any], epoch: int, amp: Amp) -> tuple[Tensor, dict[str, Tensor]]:
        """The published total and the terms that have a weight, unweighted; half of the batches are seen mirrored."""
        image, K, encode = batch["image"], batch["K_crop"], batch["encode"]
        mirrored = bool(np.random.uniform() < self.config.perspose.mirror)  # noqa: NPY002
        if mirrored:
            image, K = mirror_inputs(image, K)
        with amp():
            heads = model(image, K, encode)
        estimate = decode(heads, K, self.size)
        if mirrored:
            estimate = unmirror(estimate, self.size)
        outputs = loss_outputs(estimate, lift(estimate, batch["K_crop"]))
        terms = perspose_losses(outputs, batch, self.config.perspose.weights, size=self.size)
        total = terms.pop("total")
        kept = zip(terms.items(), self.config.perspose.weights, strict=True)
        return total, {name: term for (name, term), weight in kept if weight}

    def validate(self, model: nn.Module, final: bool) -> dict[str, float]:
        """Errors on held-out people after the inverse kinematics, 24 SMPL joints."""
        device = next(model.parameters()).device
        assert isinstance(model, PersPose)
        joints, true, betas, true_betas, same = [], [], [], [], True
        for batch in self.held_out:
            batch = to_device(batch, device)
            predicted = model.predict(
                batch["image"], batch["K_crop"], mirror=False, body=self.body, encode=batch["encode"]
            )
            joints.append(predicted.extras["joints"])
            true.append(batch["joints24"])
            betas.append(predicted.betas)
            true_betas.append(batch["betas"][:, : predicted.betas.shape[1]])
            same = same and bool(batch["has_betas"].all())
        measures = pose_measures(torch.cat(joints), torch.cat(true))
        if self.config.validation.shape == "on" and same:  # made-up people have no shape of licensed bodies
            measures.update(shape_measures(self.body, torch.cat(betas), torch.cat(true_betas), girths=final))
        return measures

    def overlay(self, model: nn.Module, batch: dict[str, Any]) -> np.ndarray | None:
        """Crops of the batch and of held-out people, each with its predicted body over it."""
        assert isinstance(model, PersPose)
        rows = []
        for part in (batch, *self.held_out[:1]):
            part = to_device({k: part[k][:6] for k in ("image", "K_crop", "encode")}, next(model.parameters()).device)
            predicted = model.predict(
                part["image"], part["K_crop"], mirror=False, body=self.body, encode=part["encode"]
            )
            assert predicted.transl is not None
            vertices = self.body(
                predicted.betas, predicted.pose_rotmat[:, 1:], predicted.pose_rotmat[:, 0], predicted.transl
            ).vertices
            rows.append(
                crops_with_bodies(
                    part["image"].cpu(),
                    vertices.cpu().numpy(),
                    self.body.asset,
                    list(part["K_crop"].cpu().double().numpy()),
                )
            )
        return np.concatenate(rows)


def label_bodies(name: str) -> dict[str, Body]:
    """The bodies of the labels by gender: those beside each other in a licensed folder, else the one body for all.

    Beside a licensed body, ``open`` is that of made-up people.
    """
    neutral = load_body(name, num_betas=NUM_BETAS)
    bodies = {"neutral": neutral}
    if Path(name).is_dir():
        for gender in ("female", "male"):
            with suppress(BodyError):
                bodies[gender] = load_body(name, gender=gender, num_betas=NUM_BETAS)
    if not is_open(neutral):
        bodies["open"] = load_body("open-light", num_betas=NUM_BETAS)  # that of made-up people
    return bodies


def human36m_regressor(config: RegressorTrainConfig, body: Body) -> np.ndarray | None:
    """The licensed matrix (17, V) of a run on SMPL, where a data folder has it; None: the body's own stands in."""
    if is_open(body):
        return None
    paths = (published_file(config, name) for name in REGRESSOR_FILES)
    path = next((path for path in paths if path is not None), None)
    return None if path is None else regressor_matrix(body.asset, path)


def open_set(name: str, root: Path) -> RecordSource:
    """One of PersPose's data sets in its folder."""
    from dsr.datasets.perspose_files import open_perspose_set

    return open_perspose_set(root, name)
