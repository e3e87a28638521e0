"""DSR's network: ResNet features and HMR's iterative regressor (Kanazawa et al., CVPR 2018; SPIN, ICCV 2019).

Dwivedi et al., "Learning to Regress Bodies from Images using Differentiable Semantic Rendering", ICCV 2021, arXiv
2110.03480; DSR specification, section 2. Rotations have six numbers per joint, the 3x2 matrix of the first two columns
read row by row (:func:`dsr.body.rot6d_to_rotmat`), as in SPIN and PersPose. The body comes out in the camera of the
crop, whose y points down: a person who stands upright and looks at the camera has global orientation diag(1, -1, -1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from dsr.body.joints import flip_permutation
from dsr.body.rotations import axis_angle_to_rotmat, nearest_rotmat, rot6d_to_rotmat, rotmat_to_rot6d
from dsr.checkpoints import shipped_file
from dsr.devices import evaluating
from dsr.errors import CheckpointError, UsageError
from dsr.npz import read_npz
from dsr.regressors.dsr.backbones import backbone_of, build_backbone, load_imagenet_weights
from dsr.regressors.types import BodyPrediction

if TYPE_CHECKING:
    from dsr.body import Body

NUM_JOINTS = 24
MEAN_SCALE = 0.9
"""Camera scale that the iterations start from: a body of two metres fills 0.9 of the crop."""


@dataclass(frozen=True)
class MeanParams:
    """Where the iterations start.

    Attributes:
        pose: (144,) six numbers per joint.
        shape: (num_betas,) betas.
        camera: (3,) weak-perspective s, tx, ty.
    """

    pose: Tensor
    shape: Tensor
    camera: Tensor

    @classmethod
    def default(cls, num_betas: int = 10) -> MeanParams:
        """Our own: upright, facing the camera, in the mean pose of the pose prior (``dsr/weights/pose_prior.md``)."""
        from safetensors.numpy import load_file

        prior = load_file(shipped_file("pose_prior.safetensors"))
        weights = np.exp(prior["log_weights"].astype(np.float64))
        pose = np.zeros((NUM_JOINTS, 3))
        pose[1:22] = (weights @ prior["means"] / weights.sum()).reshape(21, 3)
        with torch.device("cpu"):  # also for a network that is laid out on another device, or on none
            rotmat = axis_angle_to_rotmat(torch.from_numpy(pose))
            rotmat[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
            camera = torch.tensor([MEAN_SCALE, 0.0, 0.0])
            return cls(rotmat_to_rot6d(rotmat).reshape(-1).float(), torch.zeros(num_betas), camera)


def load_mean_params(path: str | Path) -> MeanParams:
    """Read the licensed ``smpl_mean_params.npz`` of SPIN and DSR.

    Args:
        path: the file, with ``pose`` (144,), ``shape`` (10,) and ``cam`` (3,).

    Raises:
        CheckpointError: if the file cannot be read or an entry is missing or has another size.
    """
    sizes = {"pose": 6 * NUM_JOINTS, "shape": 10, "cam": 3}
    arrays = {}
    try:
        file = read_npz(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not an .npz file of plain numbers, or is damaged ({error}).") from error
    for key, size in sizes.items():
        if key not in file:
            raise CheckpointError(f"{path} holds no entry {key}: smpl_mean_params.npz has pose, shape, cam.")
        array = file[key]
        if array.size != size or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {key} has shape {array.shape} where {size} numbers are needed.")
        arrays[key] = torch.from_numpy(array.astype(np.float32).reshape(size))
    return MeanParams(arrays["pose"], arrays["shape"], arrays["cam"])


class IterativeHead(nn.Module):
    """Regresses pose, shape and camera in a few corrections of the mean; no activations (specification, 2.2).

    Args:
        channels: of the feature map.
        mean: where the iterations start.
        hidden: width of the two layers.
        iterations: corrections.
        dropout: probability, in training only.
    """

    init_pose: Tensor
    init_shape: Tensor
    init_cam: Tensor

    def __init__(
        self, channels: int, mean: MeanParams, hidden: int = 1024, iterations: int = 3, dropout: float = 0.5
    ) -> None:
        super().__init__()
        pose, shape, camera = len(mean.pose), len(mean.shape), len(mean.camera)
        self.iterations = iterations
        self.fc1 = nn.Linear(channels + pose + shape + camera, hidden)
        self.drop1 = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, hidden)
        self.drop2 = nn.Dropout(dropout)
        self.decpose = nn.Linear(hidden, pose)
        self.decshape = nn.Linear(hidden, shape)
        self.deccam = nn.Linear(hidden, camera)
        for layer in (self.decpose, self.decshape, self.deccam):
            nn.init.xavier_uniform_(layer.weight, gain=0.01)
        self.register_buffer("init_pose", mean.pose.detach().clone().float().reshape(1, -1))
        self.register_buffer("init_shape", mean.shape.detach().clone().float().reshape(1, -1))
        self.register_buffer("init_cam", mean.camera.detach().clone().float().reshape(1, -1))

    def forward(self, features: Tensor, iterations: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Pose (B, 24, 3, 3), betas (B, num_betas) and camera (B, 3) from features (B, C, H, W)."""
        pooled = features.mean((-2, -1))
        batch = len(pooled)
        pose, shape, camera = (x.expand(batch, -1) for x in (self.init_pose, self.init_shape, self.init_cam))
        for _ in range(self.iterations if iterations is None else iterations):
            hidden = self.drop1(self.fc1(torch.cat((pooled, pose, shape, camera), 1)))
            hidden = self.drop2(self.fc2(hidden))
            pose = pose + self.decpose(hidden)
            shape = shape + self.decshape(hidden)
            camera = camera + self.deccam(hidden)
        return rot6d_to_rotmat(pose.unflatten(1, (NUM_JOINTS, 6))), shape, camera


class HMR(nn.Module):
    """DSR's regressor: one crop to SMPL pose, shape and a weak-perspective camera.

    Args:
        backbone: one of :data:`dsr.regressors.dsr.backbones.BACKBONES`; published: resnet50.
        image_size: side of the crops it is meant for, pixels; published: 224.
        hidden: width of the head; published: 1024.
        iterations: of the head; published: 3.
        dropout: in training, published: 0.5.
        num_betas: shape coefficients; published: 10.
        mean: where the head starts: :class:`MeanParams`, the path of ``smpl_mean_params.npz``, or None for our own. A
            checkpoint that holds the three ``init_*`` entries overwrites it.
        imagenet: ImageNet weights to start the backbone from, a file the user has; None starts at random.

    Attributes:
        has_licensed_mean: whether ``mean`` was given, so that a checkpoint without it may be loaded.

    Raises:
        UsageError: if a setting makes no sense.
        CheckpointError: if a file given cannot be used.

    Example:
        >>> pose, betas, camera = HMR("resnet18", image_size=64).eval()(torch.zeros(2, 3, 64, 64))
        >>> pose.shape
        torch.Size([2, 24, 3, 3])
    """

    name = "dsr"
    crop: Literal["square", "perspective"] = "square"
    num_betas = 10
    fits_skeleton = False

    def __init__(
        self,
        backbone: str = "resnet50",
        image_size: int = 224,
        *,
        hidden: int = 1024,
        iterations: int = 3,
        dropout: float = 0.5,
        num_betas: int = 10,
        mean: MeanParams | str | Path | None = None,
        imagenet: str | Path | Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        if image_size < 32 or iterations < 1 or hidden < 1 or not 0 <= dropout < 1:
            raise UsageError(
                f"HMR needs image_size >= 32, iterations >= 1, hidden >= 1 and 0 <= dropout < 1, not {image_size}, "
                f"{iterations}, {hidden}, {dropout}."
            )
        licensed_mean = mean is not None
        if mean is None:
            mean = MeanParams.default(num_betas)
        elif not isinstance(mean, MeanParams):
            mean = load_mean_params(mean)
        if len(mean.shape) != num_betas or len(mean.pose) != 6 * NUM_JOINTS:
            raise UsageError(
                f"The mean parameters have {len(mean.pose)} pose and {len(mean.shape)} shape numbers where "
                f"{6 * NUM_JOINTS} and {num_betas} are needed."
            )
        self.image_size = image_size
        self.num_betas = num_betas
        self.has_licensed_mean = licensed_mean
        self.backbone = build_backbone(backbone)
        if imagenet is not None:
            load_imagenet_weights(self.backbone, imagenet)
        self.head = IterativeHead(self.backbone.channels, mean, hidden, iterations, dropout)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bodies of normalised crops.

        Args:
            image: (B, 3, S, S), any S from 32 on; the network was trained with ``image_size``.

        Returns:
            Pose (B, 24, 3, 3) rotation matrices, betas (B, num_betas), camera (B, 3): s, tx, ty.
        """
        pose, betas, camera = self.head(self.backbone(image))
        return pose, betas, camera

    @torch.no_grad()
    def predict(
        self,
        image: Tensor,
        K_crop: Tensor | None = None,
        *,
        mirror: bool = False,
        body: Body | None = None,
        encode: Tensor | None = None,
    ) -> BodyPrediction:
        """Bodies of a batch of crops, as in :meth:`dsr.regressors.Regressor.predict`.

        The network runs as in evaluation; its parts are left in the modes they were in.

        Args:
            image: (B, 3, S, S) normalised RGB.
            K_crop: not used: the network assumes a focal length of its own (:mod:`dsr.camera.weak_perspective`).
            mirror: average with the prediction for the mirrored crop: rotations by their chordal mean (of two: the
                midpoint of the turn between them), betas and camera by their mean.
            body: not used.
            encode: not used.
        """
        with evaluating(self):
            if not mirror:
                return BodyPrediction(*self(image))
            pose, betas, camera = self(torch.cat((image, image.flip(-1))))
        pose, other_pose = pose.chunk(2)
        betas, other_betas = betas.chunk(2)
        camera, other_camera = camera.chunk(2)
        pose = nearest_rotmat(pose + mirror_pose(other_pose))
        camera = (camera + other_camera * camera.new_tensor([1.0, -1.0, 1.0])) / 2
        return BodyPrediction(pose, (betas + other_betas) / 2, camera)

    @staticmethod
    def architecture(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
        """Backbone, width of the head and number of betas, as in :meth:`dsr.regressors.Regressor.architecture`."""
        backbone = backbone_of(shapes)
        config: dict[str, Any] = {} if backbone is None else {"backbone": backbone}
        if len(shapes.get("fc1.weight", ())) == 2:
            config["hidden"] = shapes["fc1.weight"][0]
        if len(shapes.get("decshape.weight", ())) == 2:
            config["num_betas"] = shapes["decshape.weight"][0]
        return config


def mirror_pose(pose_rotmat: Tensor) -> Tensor:
    """The pose seen in a mirror: left and right exchanged, every rotation D R D with D = diag(-1, 1, 1).

    Args:
        pose_rotmat: (B, 24, 3, 3) in SMPL's order, the global orientation in a frame whose x is mirrored.
    """
    signs = pose_rotmat.new_tensor([-1.0, 1.0, 1.0])
    return pose_rotmat[..., list(flip_permutation("smpl24")), :, :] * signs[:, None] * signs
