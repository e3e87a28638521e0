# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the bones of Rigify's basic human metarig lie in a body; Blender's rest axes (x left, y back, z up), metres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

BEND = 0.004
"""Least bend of knees and elbows, share of the limb: Rigify sees in it which way a limb folds; a T-pose is straight."""

_HINGES = (("thigh", "shin", "foot", (0.0, -1.0, 0.0)), ("upper_arm", "forearm", "hand", (0.0, 1.0, 0.0)))
"""Limbs, and where their middle joint goes when they fold: knees forwards, elbows backwards."""


@dataclass(frozen=True)
class MetaBone:
    """A bone of the metarig.

    Attributes:
        name: Rigify's.
        head: (3,) metres.
        tail: (3,) metres.
        parent: name, "" for the root.
        connected: whether its head is its parent's tail.
    """

    name: str
    head: np.ndarray
    tail: np.ndarray
    parent: str = ""
    connected: bool = False


def metarig_bones(joints: Mapping[str, np.ndarray], vertices: np.ndarray) -> list[MetaBone]:
    """The bones of Rigify's basic human metarig on a body's joints, parents before children.

    Joints keep their place; knees and elbows that are straight or bent the wrong way are moved by a few millimetres
    (:data:`BEND`).

    Args:
        joints: SMPL's name -> (3,) in the rest pose.
        vertices: (V, 3) in the rest pose: soles, heels, toes and the top of the head.

    Raises:
        KeyError: if a joint is missing.
    """
    top = max(float(vertices[:, 2].max()), float(joints["head"][2]) + 0.05)
    spine = [joints[name] for name in ("pelvis", "spine1", "spine2", "spine3", "neck")]
    middle = (joints["neck"] + joints["head"]) / 2
    crown = np.array([joints["head"][0], joints["head"][1], top])
    chain = [*spine, middle, joints["head"], crown]
    bones = [
        MetaBone(_spine(k), chain[k], chain[k + 1], _spine(k - 1) if k else "", connected=k not in (0, 4))
        for k in range(7)
    ]
    for side, letter, sign in (("left", "L", 1.0), ("right", "R", -1.0)):
        bones += _side(
            {k[len(side) + 1 :]: v for k, v in joints.items() if k.startswith(f"{side}_")}, spine, letter, sign
        )
        bones += _foot(joints[f"{side}_ankle"], joints[f"{side}_foot"], vertices, letter, sign)
    return _bend_limbs({bone.name: bone for bone in bones})


def _spine(k: int) -> str:
    return f"spine.{k:03d}" if k else "spine"


def _side(joints: Mapping[str, np.ndarray], spine: list[np.ndarray], letter: str, sign: float) -> list[MetaBone]:
    """Leg, arm, and the bones Rigify has for hip bone and breast."""
    hand = joints.get("hand", joints.get("middle1"))
    if hand is None:
        hand = joints["wrist"] + 0.25 * (joints["wrist"] - joints["elbow"])
    half_width = abs(float(joints["hip"][0] - spine[0][0]))
    hip_bone = spine[0] + half_width * np.array([1.13 * sign, -1.02, 1.46])
    breast = np.array([0.6 * joints["shoulder"][0] + 0.4 * spine[3][0], spine[3][1], spine[3][2]])
    return [
        MetaBone(f"pelvis.{letter}", spine[0], hip_bone, "spine"),
        MetaBone(f"thigh.{letter}", joints["hip"], joints["knee"], "spine"),
        MetaBone(f"shin.{letter}", joints["knee"], joints["ankle"], f"thigh.{letter}", connected=True),
        MetaBone(f"breast.{letter}", breast, breast - np.array([0.0, 1.4 * half_width, 0.0]), "spine.003"),
        MetaBone(f"shoulder.{letter}", joints["collar"], joints["shoulder"], "spine.003"),
        MetaBone(f"upper_arm.{letter}", joints["shoulder"], joints["elbow"], f"shoulder.{letter}"),
        MetaBone(f"forearm.{letter}", joints["elbow"], joints["wrist"], f"upper_arm.{letter}", connected=True),
        MetaBone(f"hand.{letter}", joints["wrist"], hand, f"forearm.{letter}", connected=True),
    ]


def _foot(ankle: np.ndarray, ball: np.ndarray, vertices: np.ndarray, letter: str, sign: float) -> list[MetaBone]:
    """Foot, toe, and the bone across the heel that Rigify rolls the foot about."""
    sole = vertices[(sign * vertices[:, 0] > 0) & (vertices[:, 2] < ankle[2])]
    low = float(sole[:, 2].min()) if len(sole) else float(ball[2]) - 0.03
    front = min(float(sole[:, 1].min()) if len(sole) else -np.inf, float(ball[1]) - 0.03)
    front = front if np.isfinite(front) else float(ball[1]) - 0.06
    back = float(sole[:, 1].max()) if len(sole) else float(ankle[1]) + 0.06
    heel = np.array([ankle[0], ankle[1] + 0.6 * (back - ankle[1]), low])
    half = np.array([0.04 * sign, 0.0, 0.0])
    return [
        MetaBone(f"foot.{letter}", ankle, ball, f"shin.{letter}", connected=True),
        MetaBone(f"toe.{letter}", ball, np.array([ball[0], front, ball[2]]), f"foot.{letter}", connected=True),
        MetaBone(f"heel.02.{letter}", heel - half, heel + half, f"foot.{letter}"),
    ]


def _bend_limbs(bones: dict[str, MetaBone]) -> list[MetaBone]:
    """Knees and elbows with at least a small bend the way they fold."""
    for upper, lower, end, direction in _HINGES:
        for letter in ("L", "R"):
            first, second = bones[f"{upper}.{letter}"], bones[f"{lower}.{letter}"]
            joint = bent_joint(first.head, second.head, bones[f"{end}.{letter}"].head, np.array(direction))
            bones[first.name], bones[second.name] = replace(first, tail=joint), replace(second, head=joint)
    return list(bones.values())


def bent_joint(start: np.ndarray, joint: np.ndarray, end: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The middle joint (3,) of a limb, moved so that it bends towards ``direction`` by at least :data:`BEND`.

    Args:
        start: of the limb.
        joint: in its middle.
        end: of the limb.
        direction: unit vector.
    """
    along = end - start
    length = max(float(np.linalg.norm(along)), 1e-9)
    along = along / length
    direction = direction - along * float(direction @ along)
    direction = direction / max(float(np.linalg.norm(direction)), 1e-9)
    bend = float((joint - start) @ direction)
    return joint + direction * max(0.0, BEND * length - bend)
