"""What every image-to-body network here takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from dsr.body import Body


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
            turned towards the person (PersPose, :func:`dsr.camera.perspective_crop`). With perspective crops,
            predictions are averaged with those of the mirrored crops unless told otherwise.
        num_betas: shape coefficients of the body it was trained with; of the class, those published.
        fits_skeleton: whether ``predict`` fits pose and size to the skeleton of ``body`` (PersPose's inverse
            kinematics), so that the first shape coefficient holds for whichever body it was given.
    """

    name: str
    image_size: int
    crop: Literal["square", "perspective"]
    num_betas: int
    fits_skeleton: bool

    def predict(
        self,
        image: Tensor,
        K_crop: Tensor,
        *,
        mirror: bool = False,
        body: Body | None = None,
        encode: Tensor | None = None,
    ) -> BodyPrediction:
        """Bodies of a batch of crops.

        Args:
            image: (B, 3, S, S) RGB, normalised with :data:`dsr.camera.IMAGE_MEAN` and ``IMAGE_STD``.
            K_crop: (B, 3, 3) intrinsics of the crops, pixels (ignored by networks that do not use them).
            mirror: average with the prediction for the mirrored crop.
            body: the body whose skeleton is fitted, for networks with ``fits_skeleton``; others ignore it.
            encode: (B,) False for crops whose intrinsics are made up; None: all are known. Networks that do not use
                the intrinsics ignore it.
        """
        ...

    @staticmethod
    def architecture(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
        """Settings for :func:`dsr.regressors.build_regressor` that fit a file of weights.

        Args:
            shapes: of the file's entries by name, without the wrappers ``module.``, ``model.``, ``backbone.`` and
                ``head.``; the file may be of another network.

        Returns:
            Only what the file tells; what is left out is as published.
        """
        ...
