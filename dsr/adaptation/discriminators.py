"""Who judges whether a pose could be a person's: five parts by the angles between their bones, and 2D poses (PoseAug).

Our anchor discriminator of PoseDA is the first one, with untouched source poses as what is real (specification, 4.3).
It cannot see how people are turned before the camera. The second one can, and has the target's people as what is real;
it is given their shapes on the screen alone (:func:`centred_screen`), for place and size are alignment's matter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsr.adaptation.bones import to_bones, unit
from dsr.adaptation.parts import BodyParts, parts_of

_SMALLEST = 1e-6


class PartDiscriminator(nn.Module):
    """3D poses by the cosines between bones of each of five parts: size, place, turn and mirror do not count.

    Args:
        joints: 16 or 17.
        width: of the hidden layers.
        last: of the layer before the score.
    """

    def __init__(self, joints: int = 16, width: int = 256, last: int = 100) -> None:
        super().__init__()
        self.parts: BodyParts = parts_of(joints)
        for number, _ in enumerate(self.parts.discriminated, 1):
            setattr(self, f"kcs_path_{number}", _PartPath(self.parts.bones**2, width, last))

    def forward(self, poses: Tensor) -> Tensor:
        """Poses (N, J, 3) to scores (N, 5); 1 is real."""
        paths = [getattr(self, f"kcs_path_{number}") for number in range(1, len(self.parts.discriminated) + 1)]
        grams = self.grams(poses).unbind(1)
        return torch.cat([path(gram.flatten(1)) for path, gram in zip(paths, grams, strict=True)], 1)

    def grams(self, poses: Tensor) -> Tensor:
        """(N, 5, J - 1, J - 1) cosines between the bones of each part, zero for bones of others."""
        directions = unit(to_bones(poses, self.parts))
        masks = directions.new_zeros(len(self.parts.discriminated), self.parts.bones, 1)
        for mask, bones in zip(masks, self.parts.discriminated, strict=True):
            mask[list(bones)] = 1
        masked = directions[:, None] * masks
        return masked @ masked.transpose(-1, -2)


class _PartPath(nn.Module):
    def __init__(self, inputs: int, width: int, last: int) -> None:
        super().__init__()
        self.kcs_layer_1 = nn.Linear(inputs, width)
        self.kcs_layer_2 = nn.Linear(width, width)
        self.kcs_layer_3 = nn.Linear(width, width)
        self.layer_last = nn.Linear(width, last)
        self.layer_pred = nn.Linear(last, 1)
        self.relu = nn.LeakyReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, 1)."""
        first = self.relu(self.kcs_layer_1(x))
        y = self.kcs_layer_3(self.relu(self.kcs_layer_2(first))) + first
        score: Tensor = self.layer_pred(self.relu(self.layer_last(y)))
        return score


def centred_screen(screen: Tensor) -> Tensor:
    """2D poses (N, J, 2) with the root at zero and a mean of the box's sides of one."""
    size = (screen.amax(1) - screen.amin(1)).mean(-1).clamp_min(_SMALLEST)
    return (screen - screen[:, :1]) / size[:, None, None]


class KeypointDiscriminator(nn.Module):
    """2D poses, screen-normalised.

    Args:
        joints: J.
        width: of the layers.
    """

    def __init__(self, joints: int = 16, width: int = 100) -> None:
        super().__init__()
        self.pose_layer_1 = nn.Linear(2 * joints, width)
        self.pose_layer_2 = nn.Linear(width, width)
        self.pose_layer_3 = nn.Linear(width, width)
        self.pose_layer_4 = nn.Linear(width, width)
        self.layer_last = nn.Linear(width, width)
        self.layer_pred = nn.Linear(width, 1)
        self.relu = nn.LeakyReLU()

    def forward(self, screen: Tensor) -> Tensor:
        """(N, J, 2) to (N, 1); 1 is real."""
        first = self.relu(self.pose_layer_1(screen.flatten(1)))
        second = self.relu(self.pose_layer_2(first))
        third = self.relu(self.pose_layer_3(second) + first)
        score: Tensor = self.layer_pred(self.relu(self.layer_last(self.pose_layer_4(third))))
        return score
