"""Named directions of a body's shape space, for sliders. Needs no torch.

The file of the body holds them; ``body_models/directions.py`` learned them from measured people. What stays as it is,
to first order: sex for all others; stature for all but height; mass for all but height (taller people are heavier) and
mass itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dsr.body.asset import BodyAsset
from dsr.errors import BodyError


@dataclass(frozen=True, eq=False)
class Direction:
    """What one unit of a named direction does to the betas.

    Attributes:
        name: ``height``, ``mass``, ``muscle``, ``age``, ``sex``, ``leg_length``, ``shoulder_breadth`` or
            ``hip_breadth``.
        unit: ``cm``, ``kg``, ``years``, ``sd`` (one standard deviation of people alike in the rest) or
            ``middle to woman`` (1 is the average woman, -1 the average man).
        betas: (B,) to be added for one unit.
        spread: standard deviation of people who are alike in what stays as it is, in the unit.
    """

    name: str
    unit: str
    betas: np.ndarray = field(repr=False)
    spread: float


def named_directions(asset: BodyAsset) -> dict[str, Direction]:
    """The named directions of a body.

    Args:
        asset: a body whose file holds them; the open ones do.

    Returns:
        Directions by name, in the order in which sliders show them.

    Raises:
        BodyError: if it has none.

    Example:
        >>> from dsr.body import load_asset
        >>> legs = named_directions(load_asset("open"))["leg_length"]
        >>> (3 * legs.betas).shape  # added to betas: legs 3 cm longer, as tall and as heavy as before
        (41,)
    """
    if asset.directions is None or asset.direction_spreads is None:
        raise BodyError(f"Body {asset.name} has no named directions (array directions); its betas are all there is.")
    rows = np.pad(asset.directions, ((0, 0), (0, asset.num_betas - asset.directions.shape[1])))
    parts = zip(asset.direction_names, asset.direction_units, rows, asset.direction_spreads, strict=True)
    return {name: Direction(name, unit, betas, float(spread)) for name, unit, betas, spread in parts}
