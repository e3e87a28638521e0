"""KTPFormer: kinematics and trajectory prior attention in front of alternating blocks (arXiv 2404.00658).

Specification: sections 3 to 6; 2 + 2L blocks, state dict as published.
"""

from __future__ import annotations

from torch import Tensor

from dsr.lifting.hourglass import FramePruning
from dsr.lifting.mixste import AlternatingLifter
from dsr.lifting.priors import KinematicsAttention, PriorBlock, TrajectoryAttention
from dsr.lifting.transformer import by_frame, by_joint, drop_rates, from_frames, from_joints
from dsr.tracks.skeleton import skeleton_of


class KTPFormer(AlternatingLifter):
    """The published network: 243 (or 81, 27) frames, 512 channels, 7 pairs behind the priors, 8 heads; 15 joints."""

    def __init__(
        self,
        frames: int = 243,
        width: int = 512,
        depth: int = 7,
        heads: int = 8,
        hidden: int | None = None,
        drop_path: float = 0.1,
        pruning: FramePruning | None = None,
        inputs: int = 2,
        joints: int = 17,
    ) -> None:
        rates = drop_rates(drop_path, depth + 1)
        super().__init__(frames, width, depth, heads, hidden, rates[1:], pruning, joints, inputs)
        skeleton = skeleton_of(joints)
        hidden = hidden or 2 * width
        self.kpattention = PriorBlock(KinematicsAttention(inputs, width, heads, skeleton), width, hidden, rates[0])
        self.tpattention = PriorBlock(TrajectoryAttention(width, heads, frames), width, hidden, rates[0])

    def embed(self, x: Tensor) -> Tensor:
        """The two prior blocks with the shared norms."""
        tokens = from_frames(self.Spatial_norm(self.kpattention(by_frame(x))), self.frames)
        return from_joints(self.Temporal_norm(self.tpattention(by_joint(tokens))), self.joints)
