"""BVH as text: a skeleton without rest rotations and its motion, y up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_AXES = "XYZ"


def bvh_text(
    names: Sequence[str],
    parents: Sequence[int],
    offsets: np.ndarray,
    ends: Mapping[int, np.ndarray],
    rotations: np.ndarray,
    root_positions: np.ndarray,
    fps: float,
    orders: Sequence[str] | str = "ZXY",
) -> str:
    """A BVH file's text.

    Args:
        names: J joints, the root first, parents before children.
        parents: (J,) index of each joint's parent, -1 for the root.
        offsets: (J, 3) from the parent at rest; the root's is where it is at rest.
        ends: joint -> (3,) where a leaf ends.
        rotations: (T, J, 3, 3) local rotations.
        root_positions: (T, 3).
        fps: frames per second.
        orders: of rotation channels, one for all or one per joint: ``ZXY`` stands for ``Rz @ Rx @ Ry``.

    Raises:
        ValueError: if there is not exactly one root.
    """
    if [k for k, parent in enumerate(parents) if parent < 0] != [0]:
        raise ValueError("BVH has one root, which comes first")
    orders = [orders] * len(names) if isinstance(orders, str) else list(orders)
    children: list[list[int]] = [[] for _ in names]
    for joint, parent in enumerate(parents):
        if parent >= 0:
            children[int(parent)].append(joint)
    lines, order = ["HIERARCHY"], []

    def add(joint: int, depth: int) -> None:
        tab = "\t" * depth
        order.append(joint)
        lines.append(f"{tab}{'ROOT' if depth == 0 else 'JOINT'} {names[joint]}")
        lines.append(f"{tab}{{")
        lines.append(f"{tab}\tOFFSET {_numbers(offsets[joint])}")
        turning = " ".join(f"{axis}rotation" for axis in orders[joint])
        moving = "Xposition Yposition Zposition " if depth == 0 else ""
        lines.append(f"{tab}\tCHANNELS {6 if depth == 0 else 3} {moving}{turning}")
        for child in children[joint]:
            add(child, depth + 1)
        if not children[joint]:
            end = _numbers(np.asarray(ends.get(joint, (0.0, 0.0, 0.0)), np.float64))
            lines.extend([f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET {end}", f"{tab}\t}}"])
        lines.append(f"{tab}}}")

    add(0, 0)
    lines += ["MOTION", f"Frames: {len(rotations)}", f"Frame Time: {1.0 / fps:.8f}"]
    angles = np.stack([euler_degrees(rotations[:, joint], orders[joint]) for joint in order], 1)
    rows = np.concatenate([root_positions, angles.reshape(len(rotations), -1)], 1)
    lines += [_numbers(row) for row in rows]
    return "\n".join(lines) + "\n"


def euler_degrees(rotations: np.ndarray, order: str) -> np.ndarray:
    """Angles (T, 3) in degrees of rotations (T, 3, 3), without jumps of a whole turn: ``R = R_a @ R_b @ R_c``.

    Args:
        rotations: of one joint in time.
        order: three different axes, ``ZXY`` for example.
    """
    i, j, k = (_AXES.index(axis) for axis in order)
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    m = np.asarray(rotations, np.float64)
    middle = np.arcsin(np.clip(sign * m[:, i, k], -1.0, 1.0))
    first = np.arctan2(-sign * m[:, j, k], m[:, k, k])
    last = np.arctan2(-sign * m[:, i, j], m[:, i, i])
    locked = np.abs(m[:, i, k]) > 1 - 1e-10  # first and last turn about one axis
    first = np.where(locked, np.arctan2(sign * m[:, k, j], m[:, j, j]), first)
    last = np.where(locked, 0.0, last)
    return np.degrees(np.unwrap(np.stack([first, middle, last], 1), axis=0))


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values.tolist())
