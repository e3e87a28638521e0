"""Which bones PoseDA's operations take together, for its 16 joints and for the 17 of the lifters here.

PoseDA leaves Human3.6M's neck out, since 3DHP has none (specification, section 2). With it, the head hangs on the neck
by a bone of its own, which belongs to the same groups as the head's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dsr.body.joints import H36M17_PARENTS


@dataclass(frozen=True)
class BodyParts:
    """A skeleton's bones in groups; bone j - 1 ends at joint j and leads to its parent.

    Attributes:
        parents: of the joints, -1 for the root.
        keep_direction: bones that are not bent, so that the body cannot just turn.
        ratio_of: for every bone, which of the nine length ratios it follows; left and right share theirs.
        fixed_ratio: the ratio that stays 0, to limit the ambiguity of size and depth.
        discriminated: bones of the five parts that are judged apart: arms, legs (left, right), trunk.
    """

    parents: tuple[int, ...]
    keep_direction: tuple[int, ...]
    ratio_of: tuple[int, ...]
    fixed_ratio: int
    discriminated: tuple[tuple[int, ...], ...]

    @property
    def joints(self) -> int:
        """J."""
        return len(self.parents)

    @property
    def bones(self) -> int:
        """J - 1."""
        return len(self.parents) - 1


PARTS16: Final = BodyParts(
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 8, 10, 11, 8, 13, 14),
    keep_direction=(6, 7),
    ratio_of=(0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 6, 7, 8),
    fixed_ratio=4,
    discriminated=((7, 9, 10, 11), (7, 12, 13, 14), (0, 1, 2, 3, 6), (0, 3, 4, 5, 6), (0, 3, 6, 7, 8, 9, 12)),
)
"""PoseDA's joints; the groups literally as released (each leg's holds the other hip too)."""
PARTS17: Final = BodyParts(
    parents=H36M17_PARENTS,
    keep_direction=(6, 7),
    ratio_of=(0, 1, 2, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 6, 7, 8),
    fixed_ratio=4,
    discriminated=((7, 10, 11, 12), (7, 13, 14, 15), (0, 1, 2, 3, 6), (0, 3, 4, 5, 6), (0, 3, 6, 7, 8, 9, 10, 13)),
)
"""Human3.6M's 17 joints, as the lifters take them."""


def parts_of(joints: int) -> BodyParts:
    """The groups of a skeleton with so many joints.

    Raises:
        ValueError: for another number than 16 or 17.
    """
    known = {parts.joints: parts for parts in (PARTS16, PARTS17)}
    if joints not in known:
        raise ValueError(f"Poses have 16 or 17 joints here, got {joints}.")
    return known[joints]
