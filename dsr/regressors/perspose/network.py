"""PersPose: one crop and its intrinsics to a posed, shaped body in the crop's camera (ICCV 2025, arXiv 2508.17239).

HRNet sees the crop and, at a quarter of its resolution, the perspective encoding of its intrinsics; linear heads give
2D joints, relative depths, the root's metres per pixel, bone twists, leaf rotations and shape (specification 5); a
closed-form inverse kinematics turns them into SMPL's parameters (specification 6).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from dsr.camera import perspective_encoding
from dsr.devices import evaluating
from dsr.errors import UsageError
from dsr.regressors.perspose.decode import (
    LEAVES,
    NUM_BETAS,
    NUM_JOINTS,
    PersPoseEstimate,
    PersPoseHeads,
    average,
    decode,
    lift,
    mirror_inputs,
    unmirror,
)
from dsr.regressors.perspose.hrnet import STAGE1_CHANNELS, STRIDE, HRNet
from dsr.regressors.types import BodyPrediction

if TYPE_CHECKING:
    from dsr.body import Body

_OFFICIAL_WIDTH = 18  # the narrowest published HRNet; narrower ones get a classification head to match


class PersPose(nn.Module):
    """The network.

    Args:
        image_size: side of the crop, pixels, a multiple of 32.
        width: channels of HRNet's finest branch.
        modules: exchange modules of its stages 2, 3 and 4.
        blocks: residual blocks per branch of a module.
        head_planes: see :class:`HRNet`; by default 32 as published, and ``width`` below a width of 18.
        initialisation: of the backbone, see :class:`HRNet`.

    Attributes:
        autocast: whether :meth:`predict` runs the backbone in bfloat16 on CUDA; heads and decoding stay in float32.

    Raises:
        UsageError: if an argument is not usable.

    Example:
        >>> model = PersPose(image_size=64, width=8).eval()
        >>> K = torch.tensor([[[150.0, 0, 32], [0, 150, 32], [0, 0, 1]]])
        >>> model(torch.zeros(1, 3, 64, 64), K).heatmaps.shape
        torch.Size([1, 25, 16, 16])
    """

    name = "perspose"
    crop: Literal["square", "perspective"] = "perspective"
    num_betas = NUM_BETAS
    fits_skeleton = True

    def __init__(
        self,
        image_size: int = 256,
        width: int = 48,
        *,
        modules: Sequence[int] = (1, 4, 3),
        blocks: int = 4,
        head_planes: int | None = None,
        initialisation: Literal["published", "kaiming"] = "published",
    ) -> None:
        super().__init__()
        if image_size < STRIDE or image_size % STRIDE:
            raise UsageError(f"PersPose's image size must be a positive multiple of {STRIDE}, got {image_size}.")
        self.image_size = image_size
        self.autocast = True
        if head_planes is None:
            head_planes = 32 if width >= _OFFICIAL_WIDTH else width
        self.backbone = HRNet(
            width, modules=modules, blocks=blocks, head_planes=head_planes, initialisation=initialisation
        )
        vector = self.backbone.features
        self.hm_layer = nn.Conv2d(self.backbone.channels, NUM_JOINTS, 1)
        self.depth_layer_global = nn.Linear(vector, NUM_JOINTS)
        self.rho0_layer = nn.Linear(vector, 1)
        self.twist_layer = nn.Linear(vector, 3 * NUM_JOINTS)
        self.shape_layer = nn.Linear(vector, NUM_BETAS)
        self.leaf_rot_layer = nn.Linear(vector, 6 * len(LEAVES))
        self.cam_layer = nn.Conv2d(2, STAGE1_CHANNELS, 1, bias=False)
        nn.init.normal_(self.cam_layer.weight, std=0.01)

    def forward(self, image: Tensor, K_crop: Tensor, encode: Tensor | None = None) -> PersPoseHeads:
        """Raw outputs of the heads, float32; :func:`decode` reads them.

        Args:
            image: (B, 3, S, S) RGB, normalised with ``IMAGE_MEAN`` and ``IMAGE_STD``.
            K_crop: (B, 3, 3) intrinsics of the crops, pixels.
            encode: (B,) False (or 0) for crops whose intrinsics are made up (COCO): they get no encoding. None: all
                get it.

        Raises:
            UsageError: if a shape does not fit.
            CameraError: if the intrinsics are not usable.
        """
        batch, size = len(image), self.image_size
        if image.shape != (batch, 3, size, size) or K_crop.shape != (batch, 3, 3):
            raise UsageError(
                f"PersPose takes pictures (B, 3, {size}, {size}) and intrinsics (B, 3, 3), got {tuple(image.shape)} "
                f"and {tuple(K_crop.shape)}."
            )
        pe = perspective_encoding(K_crop, size).to(image)
        if encode is not None:
            pe = pe * encode.to(pe).reshape(batch, 1, 1, 1)
        fine, vector = self.backbone(image, self.cam_layer(pe))
        with torch.autocast(image.device.type, enabled=False):
            weights = self.hm_layer.weight.dtype  # float32, or float64 in a gradient check
            fine, vector = fine.to(weights), vector.to(weights)
            return PersPoseHeads(
                heatmaps=self.hm_layer(fine),
                depth=self.depth_layer_global(vector),
                rho0=self.rho0_layer(vector),
                twist=self.twist_layer(vector),
                shape=self.shape_layer(vector),
                leaf=self.leaf_rot_layer(vector),
            )

    def estimate(
        self, image: Tensor, K_crop: Tensor, encode: Tensor | None = None, *, mirrored: bool = False
    ) -> PersPoseEstimate:
        """Decoded outputs, with gradients; for training.

        Args:
            image: (B, 3, S, S) normalised crops.
            K_crop: (B, 3, 3) their intrinsics.
            encode: as in :meth:`forward`.
            mirrored: run the mirrored crops and un-mirror the outputs, so that labels stay as they are (the published
                augmentation, decided once per batch).
        """
        if not mirrored:
            return decode(self(image, K_crop, encode), K_crop, self.image_size)
        flipped, K_flipped = mirror_inputs(image, K_crop)
        return unmirror(decode(self(flipped, K_flipped, encode), K_crop, self.image_size), self.image_size)

    def estimate_averaged(self, image: Tensor, K_crop: Tensor, encode: Tensor | None = None) -> PersPoseEstimate:
        """Mean over the crops and the mirrored crops (specification 5.6), one forward of both; as :meth:`estimate`."""
        flipped, K_flipped = mirror_inputs(image, K_crop)
        twice = None if encode is None else torch.cat((encode, encode))
        heads = self(torch.cat((image, flipped)), torch.cat((K_crop, K_flipped)), twice)
        both = decode(heads, torch.cat((K_crop, K_crop)), self.image_size)
        plain, other = (PersPoseEstimate(**part) for part in _halves(both, len(image)))
        return average(plain, unmirror(other, self.image_size))

    @torch.no_grad()
    def predict(
        self,
        image: Tensor,
        K_crop: Tensor,
        *,
        mirror: bool = True,
        body: Body | None = None,
        encode: Tensor | None = None,
    ) -> BodyPrediction:
        """Bodies of a batch of crops, in evaluation mode and without gradients.

        Args:
            image: (B, 3, S, S) normalised crops, on the module's device.
            K_crop: (B, 3, 3) their intrinsics, pixels.
            mirror: average with the mirrored crops, as the published results are made.
            body: the body whose skeleton is fitted, 24 joints; the light open body by default.
            encode: as in :meth:`forward`.

        Returns:
            Pose, shape and translation in the crop's camera, metres. The network has 11 shape coefficients: a body with
            fewer gets its first ones and the rest are dropped (also from ``betas``); one with more has zeros for
            those. ``extras``: ``joints`` (B, 24, 3) of the fitted skeleton, ``joints_lifted`` (B, 25, 3) before the
            inverse kinematics, both metres in the crop's camera, and ``uv`` (B, 25, 2), ``depth`` (B, 25), ``rho0``
            (B,), ``density`` (B, 25), ``twist`` (B, 25, 3), ``betas_network`` (B, 11) as in
            :class:`PersPoseEstimate` and :class:`LiftedJoints`.

        Raises:
            UsageError: if a shape does not fit or the body has not 24 joints.
        """
        from dsr.body.perspose_ik import solve_ik

        body = body if body is not None else _default_body(str(image.device))
        if body.num_joints != 24:
            raise UsageError(f"PersPose fits SMPL's 24 joints; the body {body.asset.name} has {body.num_joints}.")
        kept = min(NUM_BETAS, body.num_betas)
        run = self.estimate_averaged if mirror else self.estimate
        fast = self.autocast and image.device.type == "cuda"
        with evaluating(self), torch.autocast(image.device.type, torch.bfloat16, enabled=fast):
            estimate = run(image, K_crop, encode)
        lifted = lift(estimate, K_crop)
        with torch.autocast(image.device.type, enabled=False):
            solved = solve_ik(
                lifted.joints_m[:, :24],
                estimate.twist,
                estimate.betas,
                estimate.leaf_rotmat,
                lambda betas: body.rest_joints(betas[:, :kept]),
            )
        return BodyPrediction(
            pose_rotmat=solved.pose_rotmat,
            betas=solved.betas[:, :kept],
            transl=solved.transl,
            extras={
                "joints": solved.joints_m,
                "joints_lifted": lifted.joints_m,
                "uv": estimate.uv_px,
                "depth": estimate.depth_m,
                "rho0": estimate.rho0,
                "density": lifted.density,
                "twist": estimate.twist,
                "betas_network": estimate.betas,
            },
        )

    def load_backbone(self, weights: str | Path | dict[str, Tensor]) -> list[str]:
        """Start from a published HRNet (COCO pose ``pose_hrnet_w48_256x192.pth``, or an ImageNet one) in place.

        Args:
            weights: the user's file, or its state dict; what this backbone does not have (``final_layer``, the
                ImageNet classifier) is left out.

        Returns:
            Names of the backbone's entries that the file does not have and that keep their values.

        Raises:
            CheckpointError: if the file cannot be read, an entry has another shape, or the stem or a stage is missing.
        """
        from dsr.checkpoints.load import read_state_dict
        from dsr.errors import CheckpointError

        what, state = ("the state dict", weights) if isinstance(weights, dict) else (weights, read_state_dict(weights))
        needed = self.backbone.state_dict()
        state = {key.removeprefix("module.").removeprefix("backbone."): value for key, value in state.items()}
        matching = {key: value for key, value in state.items() if key in needed}
        for key, value in matching.items():
            if value.shape != needed[key].shape:
                raise CheckpointError(
                    f"{what} does not fit this HRNet: {key} has shape {tuple(value.shape)} where "
                    f"{tuple(needed[key].shape)} is needed; use the weights of the same width."
                )
        for part in ("conv1.", "layer1.", "stage2.", "stage3.", "stage4."):
            if not any(key.startswith(part) for key in matching):
                raise CheckpointError(f"{what} is not an HRNet: it has no {part}* entries.")
        self.backbone.load_state_dict(matching, strict=False)
        return sorted(needed.keys() - matching.keys())

    @staticmethod
    def architecture(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
        """Sizes of HRNet, as in :meth:`dsr.regressors.Regressor.architecture`."""

        def count(pattern: str) -> int:
            return sum(re.fullmatch(pattern, key) is not None for key in shapes)

        config: dict[str, Any] = {}
        if len(shapes.get("hm_layer.weight", ())) == 4:
            config["width"] = shapes["hm_layer.weight"][1]
        modules = tuple(count(rf"stage{stage}\.(\d+)\.branches\.0\.0\.conv1\.weight") for stage in (2, 3, 4))
        blocks = count(r"stage2\.0\.branches\.0\.(\d+)\.conv1\.weight")
        if min(*modules, blocks) > 0:
            config |= {"modules": modules, "blocks": blocks}
        if len(shapes.get("incre_modules.0.0.conv1.weight", ())) == 4:
            config["head_planes"] = shapes["incre_modules.0.0.conv1.weight"][0]
        return config


def _halves(estimate: PersPoseEstimate, count: int) -> Iterator[dict[str, Any]]:
    for part in (slice(None, count), slice(count, None)):
        yield {f.name: getattr(estimate, f.name)[part] for f in fields(estimate)}


@lru_cache(maxsize=2)
def _default_body(device: str) -> Body:
    from dsr.body import load_body

    return load_body("open-light", device=device)
