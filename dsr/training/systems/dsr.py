"""DSR's training: HMR's regressor under keypoint, parameter and semantic losses (DSR specification, sections 6 and 7).

All nine semantic channels are drawn in one pass, only for samples with labels and only from the published epoch on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsr.body import BodyAsset, joints49, load_body, load_extra_regressor
from dsr.body.spin_joints import SMPL_VERTICES
from dsr.camera import fit_translation
from dsr.camera.crop_camera import place_in_crop, project_to_crop, published_intrinsics
from dsr.checkpoints import load_checkpoint, read_state_dict
from dsr.clothing import ClothedTarget, MinimallyClothedTarget, load_clothing_prior, semantic_attributes
from dsr.datasets import DsrView
from dsr.errors import DatasetError, TrainingError
from dsr.losses import (
    betas_loss,
    camera_scale_loss,
    keypoint_2d_loss,
    keypoint_3d_loss,
    pose_loss,
    semantic_losses,
    source_confidence,
    vertex_loss,
    weighted_total,
)
from dsr.regressors import HMR, build_regressor, load_imagenet_weights
from dsr.regressors.loading import MEAN_FILE, has_heads
from dsr.rendering import RenderSettings, SemanticRenderer
from dsr.synthetic.records import RecordSource
from dsr.training.batches import to_device
from dsr.training.systems.regressor.config import RegressorTrainConfig
from dsr.training.systems.regressor.data import TrainingData, held_out_batches, is_open, published_file, training_source
from dsr.training.systems.regressor.overlays import crops_with_bodies
from dsr.training.systems.regressor.task import RegressorTask
from dsr.training.systems.regressor.validation import pose_measures, shape_measures
from dsr.training.task import Amp

EXTRA_FILE, PRIOR_FILE = "J_regressor_extra.npy", "semantic_prior.npy"
"""SMPL's nine further joints and the published prior of its faces, as they are called in the published layout."""
LEAST_KEYPOINTS = 6
"""A labelled pose is placed by at least so many keypoints."""
NEAREST_SCALE = 0.1
"""Bodies whose predicted scale is below this are not rendered: they are specks 450 m away, or behind the camera."""


class DsrTask(RegressorTask):
    """DSR's network, data and losses for the training loop.

    Args:
        config: the run.

    Raises:
        DsrError: if a file is missing or does not fit.
    """

    def __init__(self, config: RegressorTrainConfig) -> None:
        super().__init__(config)
        self.losses = losses = config.losses
        data, size = config.data, config.model.image_size
        semantic = losses.dsr == "on" and (losses.dsr_mc != 0 or losses.dsr_c != 0)
        view = DsrView(
            image_size=size,
            targets=semantic,
            compat=losses.compat == "on",
            reduce=data.reduce == "on",
            flip_probability=data.flip,
            noise_factor=data.noise,
            rotation_deg=data.rotation,
            scale_factor=data.scale,
        )
        self.data = TrainingData(training_source(config, open_dsr_set, "random", None), view, config.seed)
        self.semantic = semantic

    def build_model(self) -> nn.Module:
        """The regressor, from a checkpoint or from ImageNet's ResNet where given, and the published mean if found."""
        init, mean = self.config.model.init, published_file(self.config, MEAN_FILE)
        if init is not None and init.with_name(MEAN_FILE).is_file():
            mean = init.with_name(MEAN_FILE)
        model = build_regressor(
            "dsr",
            backbone=self.config.model.backbone,
            image_size=self.config.model.image_size,
            dropout=self.config.model.dropout,
            mean=mean,
        )
        if init is not None:
            assert isinstance(model, HMR)
            if has_heads(read_state_dict(init)):
                load_checkpoint(model, init)
            else:
                load_imagenet_weights(model.backbone, init)
        return model

    def prepare(self, device: torch.device) -> None:
        """Body, prior, renderer and held-out people."""
        self.body = self.true_body = load_body(self.config.body, device=device)
        if self.body.num_joints != 24:
            raise TrainingError(f"--body {self.config.body} has {self.body.num_joints} joints; DSR needs SMPL's 24.")
        self.open = is_open(self.body)
        if not self.open:
            self.true_body = load_body("open-light", device=device)  # that of the held-out people
        extra = published_file(self.config, EXTRA_FILE) if self.body.num_vertices == SMPL_VERTICES else None
        self.extra = None if extra is None else load_extra_regressor(extra).to(device)
        if self.semantic:
            self._prepare_semantics(device)
        view = DsrView(image_size=self.config.model.image_size, augment=False, targets=False)
        self.held_out = held_out_batches(self.config, view) if self.config.validation.count else []
        self.data.prepare(self.config.workers + 1)

    def _prepare_semantics(self, device: torch.device) -> None:
        losses, asset = self.losses, self.body.asset
        smpl = self.body.num_vertices == SMPL_VERTICES
        prior = load_prior(losses.prior or (published_file(self.config, PRIOR_FILE) if smpl else None), asset)
        outer = np.flatnonzero(~asset.interior) if asset.interior is not None else np.arange(len(asset.faces))
        self.prior = torch.from_numpy(prior[outer]).to(device)
        self.faces = self.body.faces[torch.from_numpy(outer).to(device)].contiguous()
        settings = RenderSettings(
            sigma=losses.sigma, gamma=losses.gamma, occlusion="camera" if losses.compat == "on" else "body"
        )
        self.renderer = SemanticRenderer(settings, losses.backend, threads=self.config.threads or None)

    def terms(self, model: nn.Module, batch: dict[str, Any], epoch: int, amp: Amp) -> tuple[Tensor, dict[str, Tensor]]:
        """DSR's weighted total and its terms under their published names (before the common factor)."""
        with amp():
            pose, betas, camera = model(batch["image"])
        pose, betas, camera = pose.float(), betas.float(), camera.float()
        weights = self.losses
        output = self.body(betas, pose[:, 1:], pose[:, 0])
        joints = joints49(self.body, output.vertices, output.joints, self.extra)
        keypoints = batch["keypoints"]
        confidence = source_confidence(keypoints[..., 2], openpose=weights.openpose, ground_truth=weights.ground_truth)
        in_view = camera[:, :1] > NEAREST_SCALE  # elsewhere the projection explodes; the camera term brings them back
        K, transl = self._camera(camera, batch)
        points = project_to_crop(joints, transl, K, batch["image"].shape[-1])
        truth3d = batch["joints3d"]
        shaped = batch["has_smpl"] & (batch["open_shape"] == self.open)
        terms = {
            "loss_keypoints": keypoint_2d_loss(points, keypoints[..., :2], confidence),
            "loss_keypoints_3d": keypoint_3d_loss(
                joints[:, 25:], truth3d[..., :3], truth3d[..., 3], batch["has_joints3d"]
            ),
            "loss_regr_pose": pose_loss(pose, batch["pose_rotmat"], batch["has_smpl"]),
            "loss_regr_betas": betas_loss(betas, batch["betas"], shaped),
            "loss_cam": camera_scale_loss(camera),
        }
        if weights.vertices:
            with torch.no_grad():
                true = self.body(batch["betas"], batch["pose_rotmat"][:, 1:], batch["pose_rotmat"][:, 0]).vertices
            terms["loss_shape"] = vertex_loss(output.vertices, true, shaped)
        started = self.semantic and weights.dsr_started(epoch)
        if started:
            chosen = batch["has_labels"] & in_view[:, 0] & camera.isfinite().all(1)
            placed = output.vertices + transl[:, None]
            if weights.semantic_pose == "labelled":
                placed, chosen = self._labelled(placed, chosen, betas, K, batch, confidence)
            terms.update(self._semantic(placed, K, batch, chosen))
        return weighted_total(terms, weights, dsr_started=started)

    def _camera(self, camera: Tensor, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Intrinsics of the crops (B, 3, 3) and where the bodies stand (B, 3)."""
        size = batch["image"].shape[-1]
        if self.losses.crop_camera == "own":
            K = batch["K_crop"].to(camera)
        else:
            K = published_intrinsics(len(camera), size, camera)
        kept = torch.cat((camera[:, :1].clamp_min(NEAREST_SCALE), camera[:, 1:]), 1)
        return K, place_in_crop(kept, K, size)

    def _labelled(
        self, placed: Tensor, chosen: Tensor, betas: Tensor, K: Tensor, batch: dict[str, Any], confidence: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Bodies (B, V, 3) in the camera, those with a pose label in it and where their 2D keypoints are; and which."""
        seen = confidence[:, 25:]
        rows = (batch["has_smpl"] & batch["has_labels"] & ((seen > 0).sum(1) >= LEAST_KEYPOINTS)).nonzero()[:, 0]
        if not len(rows):
            return placed, chosen
        pose, size = batch["pose_rotmat"][rows], batch["image"].shape[-1]
        output = self.body(betas[rows], pose[:, 1:], pose[:, 0])
        joints = joints49(self.body, output.vertices, output.joints, self.extra)[:, 25:]
        pixels = size / 2 * (batch["keypoints"][rows, 25:, :2] + 1)
        transl = fit_translation(joints, pixels, K[rows], seen[rows])
        placed, chosen = placed.clone(), chosen.clone()
        placed[rows], chosen[rows] = output.vertices + transl[:, None], True
        return placed, chosen

    def _semantic(self, vertices: Tensor, K: Tensor, batch: dict[str, Any], chosen: Tensor) -> dict[str, Tensor]:
        """DSR-MC and DSR-C of the samples that have labels, as means over the whole batch."""
        rows = chosen.nonzero()[:, 0]
        if not len(rows):
            return {"loss_dsr_mc": vertices.new_zeros(()), "loss_dsr_c": vertices.new_zeros(())}
        losses, size = self.losses, batch["image"].shape[-1]
        targets = {key: batch[key][rows] for key in ("mc_mask", "mc_distance", "mc_valid", "c_classes", "c_weights")}
        side = losses.render_size or size
        if side != size:
            targets = {key: _resize(value, side) if value.ndim == 3 else value for key, value in targets.items()}
            targets["mc_distance"] = targets["mc_distance"] * (side / size)
        K = K[rows] * K.new_tensor([side / size, side / size, 1.0])[:, None]
        drawn = self.renderer(
            vertices[rows], self.faces, semantic_attributes(self.prior, targets["mc_valid"]), K, (side, side), "faces"
        )
        known = (targets["c_classes"] >= 0).float()
        nothing = targets["mc_valid"].new_zeros(len(rows), 5, dtype=torch.int64)
        tight = MinimallyClothedTarget(targets["mc_mask"], targets["mc_distance"], targets["mc_valid"], nothing, known)
        clothed = ClothedTarget(targets["c_classes"], targets["c_weights"], nothing)
        if losses.compat == "on":
            semantic = semantic_losses(drawn.attributes, tight, clothed, variant=losses.mc_variant, compat=True)
        else:
            semantic = semantic_losses(
                drawn.attributes,
                tight,
                clothed,
                alpha=drawn.alpha,
                weight=known,
                variant=losses.mc_variant,
                c_variant=losses.c_variant,
            )
        share = len(rows) / len(vertices)
        return {"loss_dsr_mc": share * semantic.mc, "loss_dsr_c": share * semantic.c}

    def validate(self, model: nn.Module, final: bool) -> dict[str, float]:
        """Errors on held-out people, 24 SMPL joints; the shape's where asked for, tape measures at the end only."""
        device = next(model.parameters()).device
        joints, true, betas, true_betas = [], [], [], []
        for batch in self.held_out:
            batch = to_device(batch, device)
            pose, shape, _ = model(batch["image"])
            joints.append(self.body.pose_joints(shape, pose[:, 1:], pose[:, 0]))
            truth = batch["pose_rotmat"]
            true.append(self.true_body.pose_joints(batch["betas"], truth[:, 1:], truth[:, 0]))
            betas.append(shape)
            true_betas.append(batch["betas"])
        measures = pose_measures(torch.cat(joints), torch.cat(true))
        if self.config.validation.shape == "on" and self.open:  # made-up people have no shape of SMPL
            measures.update(shape_measures(self.body, torch.cat(betas), torch.cat(true_betas), girths=final))
        return measures

    def overlay(self, model: nn.Module, batch: dict[str, Any]) -> np.ndarray | None:
        """Crops of the batch and of held-out people, each with its predicted body over it."""
        rows = []
        for part in (batch, *self.held_out[:1]):
            part = to_device({k: part[k][:6] for k in ("image", "K_crop")}, next(model.parameters()).device)
            pose, betas, camera = model(part["image"])
            K, transl = self._camera(camera, part)
            vertices = self.body(betas, pose[:, 1:], pose[:, 0]).vertices + transl[:, None]
            rows.append(
                crops_with_bodies(
                    part["image"].cpu(), vertices.cpu().numpy(), self.body.asset, list(K.cpu().double().numpy())
                )
            )
        return np.concatenate(rows)


def load_prior(path: Path | None, asset: BodyAsset) -> np.ndarray:
    """The semantic prior of a body's faces: the user's file, or the open body's clothing prior carried over.

    Returns:
        (F, 20) float32.

    Raises:
        TrainingError: if the file is no such prior.
    """
    try:
        return load_clothing_prior(asset, path).face_labels
    except DatasetError as error:
        raise TrainingError(
            f"The semantic losses need a prior of the body: {error} Give a semantic_prior.npy by --losses.prior, "
            "or train without them: --losses.dsr off."
        ) from error


def open_dsr_set(name: str, root: Path) -> RecordSource:
    """One of DSR's data sets in its published folder."""
    from dsr.datasets.spin import PICTURE_FOLDERS, TRAINING_FILES, SpinSource

    if name not in TRAINING_FILES:
        raise TrainingError(f"--data.mix: DSR has no data set {name}; choose synthetic, {', '.join(TRAINING_FILES)}.")
    return SpinSource(
        root / "dataset_extras" / TRAINING_FILES[name], root / "dataset_folders" / PICTURE_FOLDERS[name], name=name
    )


def _resize(pictures: Tensor, side: int) -> Tensor:
    """Targets (N, S, S) at another size, nearest pixel."""
    size = pictures.shape[-1]
    index = ((torch.arange(side, device=pictures.device) + 0.5) * size / side).long()
    return pictures[:, index][:, :, index]
