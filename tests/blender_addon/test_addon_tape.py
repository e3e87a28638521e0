"""Measures of a plain shape, and the change of shape that gives a measure its value."""

from __future__ import annotations

import numpy as np
import pytest
from dsr_fit_body.core.tape import DENSITY, Tape, solve

CORNERS = np.array([[x, y, z] for x in (-0.2, 0.2) for y in (-0.1, 0.1) for z in (0.0, 2.0)])
SIDES = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


def box(faces=SIDES):
    return Tape(faces, SIDES[:4])


def test_sizes_of_a_box():
    sizes = box().sizes(CORNERS, 1.0, 1.6)
    assert sizes["Height"] == pytest.approx(200) and sizes["Arm Span"] == pytest.approx(40)
    assert sizes["Mass"] == pytest.approx(DENSITY * 0.4 * 0.2 * 2.0)
    assert sizes["Waist"] == pytest.approx(120, abs=0.2)


@pytest.mark.parametrize("missing", [[4], [5], [4, 5]])
def test_holes_are_closed(missing):
    """Two holes are closed each by itself."""
    tape = box(np.delete(SIDES, missing, axis=0))
    assert tape.volume(CORNERS) == pytest.approx(0.16)


def test_a_mesh_without_a_torso_has_no_girths():
    tape = Tape(SIDES, SIDES[:0])
    assert set(tape.sizes(CORNERS, 0.0, 0.0)) == {"Height", "Mass", "Arm Span"}


def test_measures_get_their_values_by_the_smallest_change():
    taller, wider, deeper = (np.sign(CORNERS - [0, 0, 1.0]) * row * 0.02 for row in np.eye(3)[[2, 0, 1]])
    nothing = np.zeros_like(CORNERS)
    offsets = np.stack([taller, wider, deeper, nothing], -1)
    tape, targets = box(), {"Height": 190.0, "Mass": 170.0}
    change = solve(tape, targets, CORNERS, offsets, lambda change: (1.0, 1.6))
    sizes = tape.sizes(CORNERS + offsets @ change, 1.0, 1.6)
    assert abs(sizes["Height"] - 190) < 0.05 and abs(sizes["Mass"] - 170) < 0.05
    assert change[3] == 0 and change[2] > change[1] > 0  # a centimetre more depth is more mass than one more width
    waist = solve(tape, {**targets, "Waist": 130.0}, CORNERS, offsets, lambda change: (1.0, 1.6))
    got = tape.sizes(CORNERS + offsets @ waist, 1.0, 1.6)
    assert abs(got["Waist"] - 130) < 0.1 and abs(got["Mass"] - 170) < 0.05
    far = solve(tape, {"Height": 1e5}, CORNERS, offsets, lambda change: (1.0, 1.6), limit=3.0)
    assert np.abs(far).max() <= 3.0
