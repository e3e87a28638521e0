"""The default network: a body from what a detector and a lifter say about a person, with its uncertainty.

The network corrects a pose, it does not invent one: the closed-form pose of the detector's 3D landmarks is the start,
landmarks and lifter are looked at in the frame of that pose's trunk, and the answer is a turn of every joint on top of
it. So what was learned of somebody seen from the front holds for somebody seen from the side.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from dsr.body import load_asset
from dsr.body.asset import BodyAsset
from dsr.body.landmark_ik import pose_from_landmarks
from dsr.body.rotations import axis_angle_to_rotmat, rot6d_to_rotmat, rotmat_to_rot6d
from dsr.camera import translation_from_rays
from dsr.errors import UsageError
from dsr.regressors.default.inputs import KEYPOINTS, LIFTED, PersonInputs
from dsr.regressors.default.points import BodyPoints

if TYPE_CHECKING:
    from typing_extensions import Self

TURNED = 22
"""Joints that are turned: the root and joints 1 to 21; hands stay as they are."""
BETAS = 11
LIMBS = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
"""BlazePose's shoulders, elbows, wrists, hips, knees and ankles; their mean is where people are taken to be."""
DESIGNS = ("mlp", "refine", "tokens")
_HIPS, _SHOULDERS = [23, 24], [11, 12]
_TIGHT = 1e-3


@dataclass(frozen=True)
class SaidOfBodies:
    """Pose and shape of B people, in their turned cameras, and how sure they are.

    Standard deviations are of the errors along one axis: across the line of sight (the first of a pair) and along it.

    Attributes:
        turns: (B, 24, 3, 3) rotations of SMPL's joints, the first is the global orientation.
        betas: (B, 11) shape of the open body.
        point_sigma: (B, 33, 2) metres, of keypoints relative to the mean of the limbs.
        joint_sigma: (B, 24, 2) metres, of joints, likewise.
        pose_sigma: (B, 21, 3) radians, of the axis-angle of joints 1 to 21.
        beta_sigma: (B, 11).
    """

    turns: Tensor
    betas: Tensor
    point_sigma: Tensor
    joint_sigma: Tensor
    pose_sigma: Tensor
    beta_sigma: Tensor

    def select(self, rows: Tensor | slice) -> Self:
        """Some of the people."""
        return self.__class__(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def to(self, like: Tensor) -> Self:
        """On the device and in the precision of a tensor."""
        return self.__class__(**{f.name: getattr(self, f.name).to(like) for f in fields(self)})


@dataclass(frozen=True)
class PredictedBodies(SaidOfBodies):
    """What the network says about B people, with the bodies it means.

    Attributes:
        transl: (B, 3) metres: where the body falls onto the keypoints.
        points: (B, 33, 3) BlazePose's keypoints of the body, metres, placed.
        joints: (B, 24, 3) its joints.
    """

    transl: Tensor
    points: Tensor
    joints: Tensor


@dataclass(frozen=True)
class _Start:
    """The landmarks' pose, which is corrected."""

    root: Tensor  # (B, 3, 3)
    local: Tensor  # (B, 21, 3, 3)


class DefaultRegressor(nn.Module):
    """From :class:`~dsr.regressors.default.inputs.PersonInputs` to :class:`PredictedBodies`.

    Args:
        asset: the body that is posed, one of SMPL's 24 joints with the keypoints of ``blazepose33``; by default the
            light open one.
        design: ``mlp``: a residual perceptron; ``refine``: two of them, the second sees how far the first one's body is
            from the keypoints and landmarks; ``tokens``: a transformer over the joints.
        width: of the layers.
        blocks: residual blocks, or layers of the transformer.
        vertices: further points that a training looks at.

    Raises:
        UsageError: if there is no such design.
    """

    name = "default"
    num_betas = BETAS
    calibration: Tensor

    def __init__(
        self,
        asset: BodyAsset | None = None,
        design: str = "mlp",
        width: int = 512,
        blocks: int = 4,
        vertices: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if design not in DESIGNS:
            raise UsageError(f"The default network has no design {design!r}; choose one of {', '.join(DESIGNS)}.")
        self.design, self.width, self.depth = design, width, blocks
        asset = load_asset("open-light") if asset is None else asset
        self.body = BodyPoints(asset, "blazepose33", vertices, BETAS)
        self.mask = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.SiLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.SiLU(), nn.Flatten(),
            nn.Linear(32 * 36, 96), nn.SiLU(),
        )  # fmt: skip
        seen, said = 96 + _FLAT, TURNED * 6 + BETAS
        spread = 2 * (KEYPOINTS + 24) + 3 * (TURNED - 1) + BETAS
        if design == "tokens":
            self.trunks = nn.ModuleList([_Tokens(96, width, blocks, said, spread)])
        else:
            trunks = [_Perceptron(seen, width, blocks, said, spread)]
            if design == "refine":
                trunks.append(_Perceptron(seen + said + _AGAIN, width, blocks, said, spread))
            self.trunks = nn.ModuleList(trunks)
        # Factors on the standard deviations, found on held-out people: of points and joints, pose, betas.
        self.register_buffer("calibration", torch.ones(3))

    def forward(self, inputs: PersonInputs) -> PredictedBodies:
        """Bodies of B people."""
        return self.posed(inputs, self.said(inputs))

    def said(self, inputs: PersonInputs) -> SaidOfBodies:
        """What is said of B people, before their bodies are posed."""
        start = self._start(inputs)
        flat = features(inputs, start.root, start.local)
        mask = self.mask(2 * inputs.mask[:, None] - 1)
        if self.design == "tokens":
            said, spread = self.trunks[0](inputs, start.root, start.local, flat, mask)
            return self._said(start, said, spread)
        seen = torch.cat([mask, flat], 1)
        said, spread = self.trunks[0](seen)
        if self.design == "refine":
            first = self.posed(inputs, self._said(start, said, spread))
            again = torch.cat([seen, said, _residuals(inputs, first, start.root)], 1)
            more, spread = self.trunks[1](again)
            said = said + more
        return self._said(start, said, spread)

    def shape_bias(self) -> Tensor:
        """(11,) what is added to the betas at the end, a part of the network's parameters."""
        last = self.trunks[-1]
        if isinstance(last, _Tokens):
            return last.shape.bias
        return cast(_Perceptron, last).said.bias[TURNED * 6 :]

    @torch.no_grad()
    def _start(self, inputs: PersonInputs) -> _Start:
        root, theta = pose_from_landmarks(inputs.world, self.body.rest)
        return _Start(root, axis_angle_to_rotmat(theta.reshape(-1, TURNED - 1, 3)))

    def posed(self, inputs: PersonInputs, said: SaidOfBodies) -> PredictedBodies:
        """The bodies that are said, where they fall onto the keypoints."""
        joints, points, _ = self.body(said.turns, said.betas)
        transl = placed(points[:, :KEYPOINTS], inputs)
        values = {f.name: getattr(said, f.name) for f in fields(said)}
        return PredictedBodies(
            **values, transl=transl, points=points + transl[:, None], joints=joints + transl[:, None]
        )

    def _said(self, start: _Start, said: Tensor, spread: Tensor) -> SaidOfBodies:
        batch = len(said)
        six = said[:, : TURNED * 6].reshape(batch, TURNED, 6) * 0.3
        more = rot6d_to_rotmat(six + six.new_tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]))
        turned = torch.cat([start.root[:, None], start.local], 1) @ more
        eye = torch.eye(3).to(turned).expand(batch, 24 - TURNED, 3, 3)
        turns, betas = torch.cat([turned, eye], 1), said[:, TURNED * 6 :]
        sizes = (2 * KEYPOINTS, 2 * 24, 3 * (TURNED - 1), BETAS)
        point, joint, pose, beta = (part.clamp(-4.0, 3.0).exp() for part in spread.split(sizes, 1))
        scale = self.calibration
        return SaidOfBodies(
            turns,
            betas,
            0.04 * scale[0] * point.reshape(batch, KEYPOINTS, 2),
            0.04 * scale[0] * joint.reshape(batch, 24, 2),
            0.2 * scale[1] * pose.reshape(batch, TURNED - 1, 3),
            scale[2] * beta,
        )


def placed(points: Tensor, inputs: PersonInputs) -> Tensor:
    """(B, 3) translation that brings keypoints (B, 33, 3) onto the rays; always in front of the camera."""
    return _onto_rays(points, inputs.rays, inputs.confidence, inputs.scale)


def moved_onto(bodies: PredictedBodies, rays: Tensor, confidence: Tensor, scale: Tensor) -> PredictedBodies:
    """Bodies moved to where they fall onto other rays than the network was shown: those of a known camera.

    Args:
        bodies: B people.
        rays: (B, 33, 2) x/z, y/z of their keypoints.
        confidence: (B, 33) 0 to 1.
        scale: (B,) side of their boxes in the units of the rays.
    """
    shift = _onto_rays((bodies.points - bodies.transl[:, None])[:, :KEYPOINTS], rays, confidence, scale) - bodies.transl
    return replace(
        bodies,
        transl=bodies.transl + shift,
        points=bodies.points + shift[:, None],
        joints=bodies.joints + shift[:, None],
    )


@torch.no_grad()
def _onto_rays(points: Tensor, rays: Tensor, confidence: Tensor, scale: Tensor) -> Tensor:
    transl = translation_from_rays(points, rays, confidence + 1e-4)
    size = (points.amax(1) - points.amin(1))[:, :2].amax(1)
    far = size / scale.clamp(min=1e-3)
    wrong = ~((transl[:, 2] > 0.3 * far) & (transl[:, 2] < 3 * far))
    ahead = torch.stack([torch.zeros_like(far), torch.zeros_like(far), far], 1)
    return torch.where(wrong[:, None], ahead, transl)


def centred(points: Tensor) -> Tensor:
    """Keypoints (B, K, 3) from the mean of the limbs."""
    return points - points[:, LIMBS].mean(1, keepdim=True)


def features(inputs: PersonInputs, root: Tensor, local: Tensor) -> Tensor:
    """(B, n) what the network sees as one row: in the picture, and in the frame of the landmarks' trunk."""
    batch, scale = len(inputs), inputs.scale[:, None, None]
    seen = (inputs.confidence > 0).to(inputs.rays)[..., None]
    place = placed(inputs.world, inputs)
    world = inputs.world + place[:, None]
    off = world[..., :2] / world[..., 2:].clamp(min=0.05) - inputs.rays
    off = (off / scale).clamp(-0.5, 0.5)
    far = place[:, 2:].clamp(min=0.05).log()
    parts = [
        inputs.rays / scale * seen,
        3 * inputs.rays.clamp(-2, 2) * seen,
        inputs.confidence,
        2 * centred(inputs.world) @ root,
        2 * inputs.lifted @ root,
        root,
        rotmat_to_rot6d(local) - local.new_tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
        10 * off * seen,
        inputs.scale.clamp(min=1e-3).log(),
        far,
        inputs.has,
    ]
    return torch.cat([part.reshape(batch, -1) for part in parts], 1)


_FLAT = KEYPOINTS * (2 + 2 + 1 + 3) + LIFTED * 3 + 9 + 21 * 6 + KEYPOINTS * 2 + 4
_AGAIN = KEYPOINTS * 5


def _residuals(inputs: PersonInputs, bodies: PredictedBodies, root: Tensor) -> Tensor:
    """(B, n) how far bodies are from the keypoints in the picture and from the landmarks."""
    points = bodies.points[:, :KEYPOINTS]
    off = points[..., :2] / points[..., 2:].clamp(min=0.05) - inputs.rays
    off = 10 * (off / inputs.scale[:, None, None]).clamp(-0.5, 0.5) * (inputs.confidence > 0)[..., None]
    apart = 5 * (centred(points) - centred(inputs.world)) @ root
    return torch.cat([off.flatten(1), apart.flatten(1)], 1)


class _Perceptron(nn.Module):
    """Residual blocks over one row, and two heads: what is said, and how sure."""

    def __init__(self, inputs: int, width: int, blocks: int, said: int, spread: int) -> None:
        super().__init__()
        self.into = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Dropout(0.1), nn.Linear(width, width)
            )
            for _ in range(blocks)
        )
        self.out = nn.LayerNorm(width)
        self.said, self.spread = nn.Linear(width, said), nn.Linear(width, spread)
        for head in (self.said, self.spread):
            nn.init.normal_(head.weight, std=_TIGHT)
            nn.init.zeros_(head.bias)

    def forward(self, row: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.into(row)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        hidden = torch.nn.functional.silu(self.out(hidden))
        return self.said(hidden), self.spread(hidden)


class _Tokens(nn.Module):
    """A transformer over SMPL's joints: every joint's token sees the whole row; each says its own turn."""

    def __init__(self, mask: int, width: int, layers: int, said: int, spread: int) -> None:
        super().__init__()
        self.into = nn.Linear(mask + _FLAT, 2 * width)
        self.tokens = nn.Linear(2 * width, TURNED * 16)
        self.widen = nn.Linear(16 + 6, width)
        self.place = nn.Parameter(torch.randn(TURNED + 1, width) * 0.02)
        self.whole = nn.Linear(2 * width, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.05, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.turn = nn.Linear(width, 6)
        self.shape = nn.Linear(width, said - TURNED * 6)
        self.spread = nn.Linear(width + TURNED * 8, spread)
        self.short = nn.Linear(width, 8)
        for head in (self.turn, self.shape, self.spread):
            nn.init.normal_(head.weight, std=_TIGHT)
            nn.init.zeros_(head.bias)

    def forward(
        self, inputs: PersonInputs, root: Tensor, local: Tensor, flat: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        batch = len(flat)
        row = torch.nn.functional.silu(self.into(torch.cat([mask, flat], 1)))
        turns = rotmat_to_rot6d(torch.cat([root[:, None], local], 1))
        joints = self.widen(torch.cat([self.tokens(row).reshape(batch, TURNED, 16), turns], 2))
        hidden = self.layers(torch.cat([self.whole(row)[:, None], joints], 1) + self.place)
        whole, joints = hidden[:, 0], hidden[:, 1:]
        said = torch.cat([self.turn(joints).flatten(1), self.shape(whole)], 1)
        return said, self.spread(torch.cat([whole, self.short(joints).flatten(1)], 1))
