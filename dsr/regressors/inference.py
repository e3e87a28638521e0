"""Crops of people through a network, in batches, and bodies back in the original camera.

Networks predict in the camera of the crop; :func:`place_bodies` turns the result back and gives it its metric place, so
that what comes out of :func:`regress` is in the camera of the full picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dsr.camera import rotate_body_to_original
from dsr.camera.weak_perspective import place_in_picture
from dsr.errors import UsageError
from dsr.regressors.crops import PeopleCrops
from dsr.regressors.types import BodyPrediction

if TYPE_CHECKING:
    from dsr.body import Body, BodyOutput


@dataclass(frozen=True)
class RegressedBodies:
    """Bodies of N people in the cameras of their full pictures.

    Attributes:
        pose_rotmat: (N, 24, 3, 3) float32 rotations of SMPL's joints, 0 is the global orientation in the camera.
        betas: (N, nb) shape of the body the network knows.
        transl: (N, 3) metres.
        prediction: what the network said, in the camera of the crop; published protocols compare this one.
    """

    pose_rotmat: Tensor
    betas: Tensor
    transl: Tensor
    prediction: BodyPrediction

    def __len__(self) -> int:
        return len(self.pose_rotmat)

    def output(self, body: Body) -> BodyOutput:
        """Vertices and joints in the camera of the full picture, metres."""
        return body(self.betas[:, : body.num_betas], self.pose_rotmat[:, 1:], self.pose_rotmat[:, 0], self.transl)


def predict(
    model: nn.Module, crops: PeopleCrops, body: Body | None = None, batch_size: int = 32, *, mirror: bool | None = None
) -> BodyPrediction:
    """Run a network over crops, batch by batch, on its own device; in bfloat16 on CUDA.

    Args:
        model: a :class:`dsr.regressors.Regressor`.
        crops: of any number of people and pictures.
        body: the body whose skeleton networks with ``fits_skeleton`` fit; on the model's device.
        batch_size: people at a time.
        mirror: average with the mirrored crops; by default as published, which is for PersPose only.

    Returns:
        Bodies in the cameras of the crops, float32, on the CPU.
    """
    mirror = getattr(model, "crop", "square") == "perspective" if mirror is None else mirror
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    parts = []
    for start in range(0, len(crops), batch_size):
        some = crops.select(slice(start, start + batch_size))
        encode = None if bool(some.known.all()) else some.known.to(device)
        # PersPose decides for itself what may be coarse.
        coarse = device.type == "cuda" and not hasattr(model, "autocast")
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16) if coarse else nullcontext():
            part = model.predict(  # type: ignore[operator]
                some.image.to(device), some.K_crop.float().to(device), mirror=mirror, body=body, encode=encode
            )
        parts.append(part)
    if not parts:
        raise UsageError("There is nobody to predict: give at least one crop.")
    return _join(parts)


def place_bodies(prediction: BodyPrediction, crops: PeopleCrops, body: Body) -> RegressedBodies:
    """Bodies of crops in the original camera: turned back, and at their metric distance.

    Args:
        prediction: in the cameras of the crops.
        crops: what was predicted from.
        body: the body the network's betas belong to; gives the rest place of the root joint.
    """
    known = prediction.betas[:, : body.num_betas].to(body.faces.device)
    pose = prediction.pose_rotmat.double()
    with torch.no_grad():
        root_rest = body.rest_joints(known)[:, 0].double().cpu()
        turned = pose.to(body.faces.device)
        joints = body.pose_joints(known, turned[:, 1:], turned[:, 0]).double().cpu()
    if prediction.transl is not None:
        orient, transl = rotate_body_to_original(pose[:, 0], prediction.transl.double(), root_rest, crops.rotation)
    elif prediction.camera is not None:
        placed = place_in_picture(
            pose[:, 0], prediction.camera.double(), root_rest, crops.K, crops.centre_px, crops.side_px, points=joints
        )
        orient, transl = placed.global_orient, placed.transl
    else:
        raise UsageError("The network predicts neither a translation nor a camera; its bodies cannot be placed.")
    pose[:, 0] = orient
    return RegressedBodies(pose.float(), prediction.betas.float(), transl.float(), prediction)


def regress(
    model: nn.Module, crops: PeopleCrops, body: Body, batch_size: int = 32, *, mirror: bool | None = None
) -> RegressedBodies:
    """Bodies of people, in the cameras of their full pictures.

    Args:
        model: a :class:`dsr.regressors.Regressor`.
        crops: of any number of people and pictures.
        body: the body the network was trained with.
        batch_size: people at a time.
        mirror: average with the mirrored crops; by default as published, which is for PersPose only.

    Returns:
        One body per person, in order, on the CPU.

    Raises:
        UsageError: if there is nobody.
    """
    return place_bodies(predict(model, crops, body, batch_size, mirror=mirror), crops, body)


def _join(parts: Sequence[BodyPrediction]) -> BodyPrediction:
    def one(tensors: list[Tensor]) -> Tensor:
        return torch.cat([t.float().cpu() for t in tensors])

    def maybe(name: str) -> Tensor | None:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else one(values)

    return BodyPrediction(
        one([p.pose_rotmat for p in parts]),
        one([p.betas for p in parts]),
        maybe("camera"),
        maybe("transl"),
        {key: one([part.extras[key] for part in parts]) for key in parts[0].extras},
    )
