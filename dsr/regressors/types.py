"""What every image-to-body network here takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor


@dataclass
class BodyPrediction:
    """Bodies of a batch of crops, in the camera of the crop.

    Attributes:
        pose_rotmat: (B, 24, 3, 3) rotations of SMPL's joints, 0 is the global orientation.
        betas: (B, nb) shape coefficients of the body the network was trained with.
        camera: (B, 3) weak-perspective (s, tx, ty) of the crop, for networks that predict one (DSR), else None.
        transl: (B, 3) metres, SMPL's translation in the crop's perspective camera (PersPose), else None.
        extras: whatever else the network predicts (twists, heatmap coordinates, relative depths), by name.
    """

    pose_rotmat: Tensor
    betas: Tensor
    camera: Tensor | None = None
    transl: Tensor | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)


class Regressor(Protocol):
    """A network from crops to bodies; a ``torch.nn.Module`` with these attributes.

    Attributes:
        name: as :func:`dsr.regressors.build_regressor` takes it.
        image_size: side of the square crop, pixels.
        crop: how crops are cut: ``square`` from the picture as it is (DSR), ``perspective`` from the virtual camera
            turned towards the person (PersPose, :func:`dsr.camera.perspective_crop`).
    """

    name: str
    image_size: int
    crop: Literal["square", "perspective"]

    def predict(self, image: Tensor, K_crop: Tensor, *, mirror: bool = False) -> BodyPrediction:
        """Bodies of a batch of crops.

        Args:
            image: (B, 3, S, S) RGB, normalised with :data:`dsr.regressors.IMAGE_MEAN` and ``IMAGE_STD``.
            K_crop: (B, 3, 3) intrinsics of the crops, pixels (ignored by networks that do not use them).
            mirror: average with the prediction for the mirrored crop.
        """
        ...
