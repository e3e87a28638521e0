"""A rig's bones as a skeleton to put a movement on, and the movement as local rotations of all its bones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .pose_transfer import Movement, Skeleton, Transfer, transfer
from .skeleton_names import ROOT, guess_bone_map


@dataclass(frozen=True, eq=False)
class Rig:
    """A tree of bones at rest; axes and unit as they come.

    Attributes:
        names: J bones; a parent may come after its children.
        parents: index of each bone's parent, -1 for none.
        rest: (J, 4, 4) bone to world at rest; scales of bones are allowed.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: np.ndarray = field(repr=False)

    def guess(self) -> dict[str, str]:
        """Joint -> bone, by the bones' names."""
        return guess_bone_map(self.names, self.parents)

    def skeleton(self, bone_map: Mapping[str, str]) -> Skeleton:
        """The bones of a map as a skeleton.

        Args:
            bone_map: joint -> bone; bones that are not there are left out.
        """
        at = self._indices(bone_map)
        joint_of = {index: joint for joint, index in at.items()}
        parents = {}
        for joint, index in at.items():
            above = self.parents[index]
            while above >= 0 and above not in joint_of:
                above = self.parents[above]
            parents[joint] = joint_of.get(above, "")
        axes = {joint: unscaled(self.rest[index]) for joint, index in at.items()}
        return Skeleton({joint: self.rest[index, :3, 3] for joint, index in at.items()}, axes, parents)

    def pose(self, moved: Transfer, bone_map: Mapping[str, str]) -> RigPose:
        """All bones while some follow a movement; the others keep their rest relative to their parents."""
        at = self._indices(bone_map)
        count = len(moved.positions["pelvis"])
        world = np.empty((count, len(self.names), 3, 3))
        local = np.empty_like(world)
        joint_of = {at[joint]: joint for joint in moved.joints}
        for index in self.order():
            parent = self.parents[index]
            rest = unscaled(self.rest[index])
            above = world[:, parent] if parent >= 0 else np.eye(3)
            if index in joint_of:
                world[:, index] = moved.rotations[joint_of[index]]
            else:
                world[:, index] = above @ unscaled(self.rest[parent]).T @ rest if parent >= 0 else rest
            local[:, index] = np.swapaxes(above, -1, -2) @ world[:, index]
        root = at["pelvis"]
        return RigPose(local, world, root, moved.positions["pelvis"], self._under_parent(root, moved))

    def order(self) -> list[int]:
        """Indices with parents first.

        Raises:
            ValueError: if bones hang on one another in a circle.
        """
        order: list[int] = []
        waiting = list(range(len(self.names)))
        while waiting:
            ready = [k for k in waiting if self.parents[k] < 0 or self.parents[k] in order]
            if not ready:
                raise ValueError("the bones hang on one another in a circle")
            order += ready
            waiting = [k for k in waiting if k not in set(ready)]
        return order

    def _indices(self, bone_map: Mapping[str, str]) -> dict[str, int]:
        places = {name: k for k, name in reversed(list(enumerate(self.names)))}
        return {joint: places[bone] for joint, bone in bone_map.items() if joint != ROOT and bone in places}

    def _under_parent(self, root: int, moved: Transfer) -> np.ndarray:
        """(T, 3) of the pelvis in its parent's coordinates; what it hangs on stays at rest."""
        parent = self.parents[root]
        above = self.rest[parent] if parent >= 0 else np.eye(4)
        positions = np.c_[moved.positions["pelvis"], np.ones(len(moved.positions["pelvis"]))]
        return (positions @ np.linalg.inv(above).T)[:, :3]


@dataclass(frozen=True, eq=False)
class RigPose:
    """A movement of all bones of a rig.

    Attributes:
        local: (T, J, 3, 3) rotations under the parent.
        world: (T, J, 3, 3) orientations.
        root: index of the pelvis.
        root_world: (T, 3) where the pelvis is.
        root_local: (T, 3) the same under its parent.
    """

    local: np.ndarray = field(repr=False)
    world: np.ndarray = field(repr=False)
    root: int
    root_world: np.ndarray = field(repr=False)
    root_local: np.ndarray = field(repr=False)


def retarget(
    movement: Movement, rig: Rig, bone_map: Mapping[str, str], path: str = "own", keep_feet: bool = True
) -> RigPose:
    """Put a movement on a rig; arguments as of :func:`~.pose_transfer.transfer`.

    Raises:
        ValueError: if the map lacks a bone that is needed.
    """
    return rig.pose(transfer(movement, rig.skeleton(bone_map), path, keep_feet), bone_map)


def unscaled(matrix: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) of a matrix (4, 4) of rotation and scale."""
    axes = np.asarray(matrix, np.float64)[:3, :3]
    return axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-12)


def quaternions(rotations: np.ndarray) -> np.ndarray:
    """Unit quaternions (T, 4) as w, x, y, z of rotations (T, 3, 3), without jumps of sign in time."""
    m = np.asarray(rotations, np.float64)
    products = np.empty((len(m), 4, 4))  # four times q_i q_j; the row of the largest entry on the diagonal is safe
    products[:, 0, 0] = 1 + m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        products[:, i + 1, i + 1] = 1 + m[:, i, i] - m[:, j, j] - m[:, k, k]
        products[:, 0, i + 1] = products[:, i + 1, 0] = m[:, k, j] - m[:, j, k]
        products[:, i + 1, j + 1] = products[:, j + 1, i + 1] = m[:, j, i] + m[:, i, j]
    best = np.argmax(np.diagonal(products, axis1=1, axis2=2), axis=1)
    q = products[np.arange(len(m)), best]
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    if len(q) > 1:
        flips = np.sign(np.sum(q[1:] * q[:-1], 1))
        q[1:] *= np.cumprod(np.where(flips == 0, 1.0, flips))[:, None]
    return q
