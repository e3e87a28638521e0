"""What all lifters share, and the shape of the transformers: embedding, stages, head; frames pruned in between."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsr.errors import UsageError
from dsr.lifting.hourglass import CrossAttention, FramePruning, select_frames, take_frames
from dsr.lifting.transformer import by_joint, from_joints
from dsr.tracks.skeleton import rescale_people


class WindowLifter(nn.Module):
    """A lifter of windows of one length.

    Attributes:
        frames: F, the one window length it takes.
        inputs: channels per keypoint: 2 (u, v), or 3 with the confidence.
        joints: J.
        centre_only: whether the output is the window's centre frame alone.
        rescale: whether people are brought to one size on entry (:func:`~dsr.tracks.skeleton.rescale_people`); off in
            the published networks.
    """

    centre_only = False
    rescale = False

    def __init__(self, frames: int, inputs: int, joints: int) -> None:
        super().__init__()
        for name, value in (("frames", frames), ("inputs", inputs), ("joints", joints)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is a whole number from 1 on, got {value!r}.")
        self.frames, self.inputs, self.joints = frames, inputs, joints

    @property
    def by_centre(self) -> bool:
        """Whether a sequence is lifted frame by frame, each in the middle of its own window."""
        return self.centre_only

    @property
    def target_frame(self) -> int:
        """Which frame of its window a lifter ``by_centre`` gives: the middle one, or the last of a causal lifter."""
        return (self.frames - 1) // 2

    def check(self, x: Tensor) -> None:
        """Refuse keypoints of another shape than the lifter was built for.

        Raises:
            UsageError: saying both shapes.
        """
        if x.ndim == 4 and x.shape[1:] == (self.frames, self.joints, self.inputs):
            return
        advice = f"cut or pad the sequence to {self.frames} frames (dsr.lifting.lift_sequence does)."
        if x.ndim == 4 and x.shape[2] != self.joints:
            advice = f"it has {x.shape[2]} joints instead of {self.joints} (see dsr.tracks.detector_to_h36m17)."
        elif x.ndim == 4 and x.shape[3] != self.inputs:
            advice = f"keypoints are (u, v{', confidence' if self.inputs == 3 else ''}) here."
        raise UsageError(
            f"This lifter takes keypoints of shape (B, {self.frames}, {self.joints}, {self.inputs}), got "
            f"{tuple(x.shape)}: {advice}"
        )

    def poses(self, x: Tensor, *, copies: int = 1) -> Tensor:
        """What the lifter is meant to give of windows (B, F, J, inputs): all frames, or (B, 1, J, 3), the centre one.

        Args:
            x: the windows.
            copies: as in :meth:`SequenceLifter.lift`.
        """
        found: Tensor = self(x)
        return found

    def enter(self, x: Tensor) -> Tensor:
        """The keypoints, checked, and rescaled where this lifter wants that."""
        self.check(x)
        return rescale_people(x) if self.rescale else x


class SequenceLifter(WindowLifter):
    """A transformer lifter of whole windows; a host says how to embed, what its stages are and how to regress.

    Attributes:
        stages: how many stages there are; frames can be pruned before any of them.
        pruning: how frames are pruned, or None.
    """

    def __init__(self, frames: int, inputs: int, joints: int, stages: int, pruning: FramePruning | None) -> None:
        super().__init__(frames, inputs, joints)
        if pruning is not None and not (1 <= pruning.keep <= frames and 0 <= pruning.before <= stages):
            raise ValueError(f"{pruning} does not fit {frames} frames and {stages} stages.")
        self.stages, self.pruning = stages, pruning
        # One fixed draw: the same input is pruned in the same way every time outside of training.
        noise = torch.rand(frames, generator=torch.Generator().manual_seed(0), device="cpu")
        self.register_buffer("_tie_noise", noise, persistent=False)

    _tie_noise: Tensor

    @property
    def by_centre(self) -> bool:
        """Whether a sequence is lifted frame by frame: frames that were pruned do not come back."""
        return self.centre_only or (self.pruning is not None and not self.pruning.recover)

    def embed(self, x: Tensor) -> Tensor:
        """(B, F, J, inputs) to tokens (B, F, J, C)."""
        raise NotImplementedError

    def stage(self, index: int, tokens: Tensor) -> Tensor:
        """Tokens (B, F or f, J, C) through one stage."""
        raise NotImplementedError

    def finish(self, tokens: Tensor) -> Tensor:
        """What follows the last stage, before frames are recovered."""
        return tokens

    def regress(self, tokens: Tensor) -> Tensor:
        """Tokens (B, F, J, C) to (B, F, J, 3)."""
        raise NotImplementedError

    def frame_features(self, tokens: Tensor) -> Tensor:
        """(B, F, Cz) what frames are compared by; the mean over joints."""
        return tokens.mean(2)

    def add_recovery(self, width: int, heads: int, qkv_bias: bool = True) -> None:
        """Parameters of the pruning, if it recovers frames (names as published)."""
        if self.pruning is not None and self.pruning.recover:
            self.pos_embed_token = nn.Parameter(torch.zeros(1, self.pruning.keep, width))
            self.x_token = nn.Parameter(torch.zeros(1, self.frames, width))
            self.cross_attention = CrossAttention(width, heads, qkv_bias)

    def frames_at(self, stage: int) -> int:
        """Number of frames a stage sees."""
        return self.pruning.keep if self.pruning is not None and stage >= self.pruning.before else self.frames

    def lift(
        self, x: Tensor, *, noise: Tensor | None = None, index: Tensor | None = None, copies: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Poses, and which frames the middle of the network saw.

        Args:
            x: (B, F, J, inputs) screen-normalised keypoints.
            noise: (B, F) tie-breaking noise in [0, 1); by default a fixed one in evaluation and fresh in training.
            index: (B, f) frames to keep instead of choosing them.
            copies: the batch is this many versions of the same windows, one after the other (plain, mirrored); where
                frames do not come back, all keep those of the first, so that they can be averaged.

        Returns:
            (B, F or f, J, 3) metres, and (B, f) int64 (all frames where nothing is pruned).

        Raises:
            UsageError: if the input has another shape than the lifter was built for.
        """
        tokens, index = self.through(x, self.stages, noise, index, copies)
        tokens = self.finish(tokens)
        if self.pruning is not None and self.pruning.recover:
            kept = by_joint(tokens)
            per_joint = self.cross_attention(self.x_token, kept, kept, add=self.x_token)
            tokens = from_joints(per_joint, tokens.shape[2])
        return self.regress(tokens), index

    def poses(self, x: Tensor, *, copies: int = 1) -> Tensor:
        """As :meth:`WindowLifter.poses`."""
        poses, index = self.lift(x, copies=copies)
        return take_frames(poses, self.centre_of(index)) if self.by_centre else poses

    def centre_of(self, index: Tensor) -> Tensor:
        """(B, 1) where the window's centre stands among the frames of ``index`` (B, f)."""
        return (index == self.target_frame).int().argmax(1, keepdim=True)

    def through(
        self, x: Tensor, stages: int, noise: Tensor | None = None, index: Tensor | None = None, copies: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Tokens (B, F or f, J, C) after the first so many stages, and which frames they are; as :meth:`lift`."""
        tokens, pruning = self.embed(self.enter(x)), self.pruning
        for i in range(stages + 1):
            if pruning is not None and i == pruning.before:
                if index is None:
                    index = self._choose(tokens, noise, copies)
                tokens = take_frames(tokens, index)
                if pruning.recover:
                    tokens = tokens + pruning.positions(self.pos_embed_token, index, self.frames)[:, :, None]
            if i < stages:
                tokens = self.stage(i, tokens)
        if index is None:
            index = torch.arange(self.frames, device=x.device).expand(x.shape[0], -1)
        return tokens, index

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, J, inputs) to poses (B, F or f, J, 3), metres."""
        return self.lift(x)[0]

    def _choose(self, tokens: Tensor, noise: Tensor | None, copies: int) -> Tensor:
        assert self.pruning is not None
        if copies > 1 and not self.pruning.recover:
            first = tokens.shape[0] // copies
            return self._choose(tokens[:first], noise if noise is None else noise[:first], 1).repeat(copies, 1)
        if noise is None:
            noise = torch.rand(tokens.shape[:2], device=tokens.device) if self.training else self._tie_noise
        features = self.frame_features(tokens)
        pruning = self.pruning
        return select_frames(
            features, pruning.keep, neighbours=pruning.neighbours, noise=noise, centre=pruning.centre
        ).index
