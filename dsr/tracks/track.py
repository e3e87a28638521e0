"""Tracks for skeleton lifters: what one camera sees of one person over time, in the picture and in space."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dsr.errors import DatasetError


@dataclass(frozen=True, eq=False)
class PoseTrack:
    """2D keypoints and 3D joints of one person in one camera, T consecutive frames, J joints (17 of Human3.6M).

    Attributes:
        name: where the track came from, for messages; unique within a data set.
        subject: who moves; splits are by subject.
        action: what is done; protocols average over actions.
        camera: which camera looks.
        fps: frames per second.
        keypoints_px: (T, J, 2) pixels, float32.
        joints_m: (T, J, 3) metres in the camera (x right, y down, z forward), float32, the root's place included.
        size: width and height of the picture, pixels.
        confidence: (T, J) in [0, 1], or None where the data set has none.
        K: (3, 3) intrinsics, or None where unknown.
        valid: (T,) frames that count in evaluation, or None for all.
        root: the joint that poses are relative to.
        left: joints of the left side.
        right: their partners, in the same order.
        intrinsic: (9,) screen-normalised focal lengths, centre and lens of the camera, or None where unknown.
    """

    name: str
    subject: str
    action: str
    camera: str
    fps: float
    keypoints_px: np.ndarray
    joints_m: np.ndarray
    size: tuple[int, int]
    confidence: np.ndarray | None = None
    K: np.ndarray | None = None
    valid: np.ndarray | None = None
    root: int = 0
    left: tuple[int, ...] = (4, 5, 6, 11, 12, 13)
    right: tuple[int, ...] = (1, 2, 3, 14, 15, 16)
    intrinsic: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check that the arrays fit together.

        Raises:
            DatasetError: naming the track and the array that does not fit.
        """
        frames, joints = self.joints_m.shape[:2] if self.joints_m.ndim == 3 else (0, 0)
        shapes = {
            "joints_m": (frames, joints, 3),
            "keypoints_px": (frames, joints, 2),
            "confidence": (frames, joints),
            "valid": (frames,),
        }
        for key, shape in shapes.items():
            array = getattr(self, key)
            if array is not None and (array.shape != shape or not frames):
                raise DatasetError(f"Track {self.name}: {key} has shape {array.shape} where {shape} is expected.")
        if not (self.size[0] > 0 and self.size[1] > 0 and self.fps > 0):
            raise DatasetError(f"Track {self.name}: a picture of {self.size} at {self.fps} frames per second.")

    def __len__(self) -> int:
        return len(self.joints_m)

    def screen(self) -> np.ndarray:
        """(T, J, 2) float32 keypoints as the lifters take them: ``2u/w - 1``, ``2v/w - h/w``."""
        width, height = self.size
        return self.keypoints_px * np.float32(2 / width) - np.array([1, height / width], np.float32)

    def relative(self) -> np.ndarray:
        """(T, J, 3) float32 joints relative to the root; the root itself is zero."""
        return self.joints_m - self.joints_m[:, self.root : self.root + 1]

    def without(self, joint: int) -> PoseTrack:
        """The same with one joint left out, which is not the root; the others keep their order."""

        def moved(joints: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(one - (one > joint) for one in joints if one != joint)

        return replace(
            self,
            keypoints_px=np.delete(self.keypoints_px, joint, 1),
            joints_m=np.delete(self.joints_m, joint, 1),
            confidence=None if self.confidence is None else np.delete(self.confidence, joint, 1),
            root=self.root - (self.root > joint),
            left=moved(self.left),
            right=moved(self.right),
        )

    def part(self, start: int, stop: int) -> PoseTrack:
        """The frames from ``start`` up to and without ``stop``."""

        def cut(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else array[start:stop]

        return replace(
            self,
            keypoints_px=self.keypoints_px[start:stop],
            joints_m=self.joints_m[start:stop],
            confidence=cut(self.confidence),
            valid=cut(self.valid),
        )
