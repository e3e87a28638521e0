"""A body's pose or motion on another skeleton: limb directions in the world, feet that stand, the root's path.

The two skeletons may rest in different poses (T, A or anything between), have other proportions, bones with any axes,
and any unit. World rotations are carried over bone by bone, ``X = R_body @ A``, where the constant ``A`` turns the limb
as the skeleton has it at rest onto the limb of the body at rest; the path of the hips is scaled by the ratio of leg
lengths; where a foot stands, the root and then the leg give way so that it stays.

This module needs numpy alone: the Blender add-on carries a copy of it (``blender_addon/build.py``). Axes of the body
everywhere: y up, facing +z, its left at +x; metres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .standing_feet import ankle_shift, bent_leg, find_contacts, root_correction, slips, swing, unit

PARENT = {
    "spine1": "pelvis",
    "spine2": "spine1",
    "spine3": "spine2",
    "neck": "spine3",
    "head": "neck",
    **{
        f"{side}_{joint}": parent if parent in ("pelvis", "spine3") else f"{side}_{parent}"
        for side in ("left", "right")
        for joint, parent in (
            ("hip", "pelvis"),
            ("knee", "hip"),
            ("ankle", "knee"),
            ("foot", "ankle"),
            ("collar", "spine3"),
            ("shoulder", "collar"),
            ("elbow", "shoulder"),
            ("wrist", "elbow"),
            *((f"{finger}1", "wrist") for finger in ("thumb", "index", "middle", "ring", "pinky")),
            *(
                (f"{finger}{k}", f"{finger}{k - 1}")
                for finger in ("thumb", "index", "middle", "ring", "pinky")
                for k in (2, 3)
            ),
        )
    },
}
"""Joint -> the joint it hangs on; the pelvis has none."""
_NEXT = {
    "spine1": ("spine2", "spine3", "neck", "head"),
    "spine2": ("spine3", "neck", "head"),
    "spine3": ("neck", "head"),
    "neck": ("head",),
    **{
        f"{side}_{joint}": tuple(f"{side}_{name}" for name in following)
        for side in ("left", "right")
        for joint, following in (
            ("hip", ("knee",)),
            ("knee", ("ankle",)),
            ("collar", ("shoulder",)),
            ("shoulder", ("elbow",)),
            ("elbow", ("wrist",)),
            ("wrist", ("middle1",)),
            *(
                (f"{finger}{k}", (f"{finger}{k + 1}",))
                for finger in ("thumb", "index", "middle", "ring", "pinky")
                for k in (1, 2)
            ),
        )
    },
}
"""Joint -> joints its bone may point at, the first that both skeletons have counts."""


_NEARLY = float(np.cos(np.radians(20)))


@dataclass(frozen=True, eq=False)
class Movement:
    """How a body moves, T frames.

    Attributes:
        names: N joint names, SMPL's.
        rest: (N, 3) joints of the rest pose (T-pose), metres.
        rotations: (T, N, 3, 3) rotations in the world from the rest pose.
        positions: (T, N, 3) joints in the world, metres.
        fps: frames per second.
        sole: height of the sole at rest, metres.
        floor: height of the floor in the world, metres; None for the lowest the feet go.
        contacts: (T, 4) whether left heel, right heel, left toes, right toes stand; None where that is not known.
    """

    names: tuple[str, ...]
    rest: np.ndarray = field(repr=False)
    rotations: np.ndarray = field(repr=False)
    positions: np.ndarray = field(repr=False)
    fps: float = 30.0
    sole: float = 0.0
    floor: float | None = None
    contacts: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A skeleton at rest, axes and unit as they come.

    Attributes:
        heads: joint -> (3,) where its bone begins.
        axes: joint -> (3, 3) orientation of its bone.
        parents: joint -> the nearest joint above it in this skeleton, "" for none; :data:`PARENT` where left out.
        floor: height of the floor along its up axis; None for its lowest joint.
        up: (3,) its up axis; None to see it in the heads.
    """

    heads: Mapping[str, np.ndarray]
    axes: Mapping[str, np.ndarray]
    parents: Mapping[str, str] = field(default_factory=dict)
    floor: float | None = None
    up: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Transfer:
    """A movement on a skeleton, in that skeleton's axes and unit.

    Attributes:
        joints: those that move, parents first.
        rotations: joint -> (T, 3, 3) orientation of its bone.
        turns: joint -> (T, 3, 3) the same from the rest pose.
        positions: joint -> (T, 3) where its bone begins.
        scale: units of the skeleton per metre of the body.
        contacts: (T, 4) what keeps a foot in its place: left ankle, right ankle, left toes, right toes.
    """

    joints: tuple[str, ...]
    rotations: dict[str, np.ndarray] = field(repr=False)
    turns: dict[str, np.ndarray] = field(repr=False)
    positions: dict[str, np.ndarray] = field(repr=False)
    scale: float
    contacts: np.ndarray = field(repr=False)


def transfer(movement: Movement, skeleton: Skeleton, path: str = "own", keep_feet: bool = True) -> Transfer:
    """Put a movement on a skeleton.

    Args:
        movement: of the body.
        skeleton: with at least pelvis, hips, knees, shoulders, elbows.
        path: ``own``: from where the skeleton stands at rest; ``world``: from where the body is; ``none``: on the spot;
            ``same``: the skeleton is built like the body and goes exactly its way.
        keep_feet: standing feet stay where they are.

    Raises:
        ValueError: if the skeleton lacks a joint, or has legs of no length.
    """
    index = {name: k for k, name in enumerate(movement.names)}
    joints = [joint for joint in _in_order(movement.names) if joint in skeleton.heads and joint in index]
    for needed in ("pelvis", "left_hip", "right_hip", "left_knee", "right_knee"):
        if needed not in joints:
            raise ValueError(f"the skeleton has no {needed.replace('_', ' ')}")
    frame = body_frame(skeleton)
    rest = {joint: np.asarray(skeleton.heads[joint], np.float64) @ frame for joint in joints}
    body = {joint: movement.rest[index[joint]] for joint in joints}
    parents = {joint: _parent(joint, skeleton, rest) for joint in joints}
    turns = _turns(movement, index, joints, rest, body)
    scale = _leg(rest) / max(_leg(body), 1e-9)
    if not scale > 1e-9:
        raise ValueError("the skeleton's legs have no length")
    floor = min(float(p[1]) for p in rest.values()) if skeleton.floor is None else float(skeleton.floor)
    root = _root_path(movement, index, rest, body, turns["pelvis"], scale, floor, path)
    contacts = _contacts(movement, index)
    places = _places(joints, parents, rest, turns, root)
    if keep_feet and path in ("own", "world") and contacts.any():
        feet = [places.get(joint) for joint in _FEET]
        root = root + root_correction(slips(feet, contacts, scale), len(contacts)) * scale
        places = _places(joints, parents, rest, turns, root)
        _bend_legs(places, turns, contacts)
        places = _places(joints, parents, rest, turns, root)
    world = {joint: frame @ turns[joint] @ frame.T for joint in joints}
    return Transfer(
        joints=tuple(joints),
        rotations={joint: world[joint] @ np.asarray(skeleton.axes[joint], np.float64) for joint in joints},
        turns=world,
        positions={joint: places[joint] @ frame.T for joint in joints},
        scale=scale,
        contacts=contacts,
    )


def body_frame(skeleton: Skeleton) -> np.ndarray:
    """(3, 3) whose columns are the body's axes (left, up, forward) in a skeleton's; along its axes where nearly so.

    Raises:
        ValueError: if its hips or its spine have no extent.
    """
    heads = {joint: np.asarray(head, np.float64) for joint, head in skeleton.heads.items()}
    middle = (heads["left_hip"] + heads["right_hip"]) / 2
    top = next((heads[j] for j in ("head", "neck", "spine3", "spine2", "left_collar") if j in heads), None)
    if top is None:
        top = (heads["left_shoulder"] + heads["right_shoulder"]) / 2
    up = top - middle if skeleton.up is None else np.asarray(skeleton.up, np.float64)
    left = heads["left_hip"] - heads["right_hip"]
    if "left_shoulder" in heads and "right_shoulder" in heads:
        left = left + heads["left_shoulder"] - heads["right_shoulder"]
    if np.linalg.norm(up) < 1e-9 or np.linalg.norm(np.cross(up, left)) < 1e-9:
        raise ValueError("the skeleton's hips and spine have no extent")
    up = _along_axis(up)
    left = _along_axis(left - up * (left @ up))
    left = unit(left - up * (left @ up))
    return np.stack([left, up, np.cross(left, up)], 1)


def _along_axis(direction: np.ndarray) -> np.ndarray:
    """A unit vector along a coordinate axis where a direction is within 20 degrees of one: spines lean a little."""
    direction = unit(direction)
    nearest = int(np.argmax(np.abs(direction)))
    return np.sign(direction[nearest]) * np.eye(3)[nearest] if abs(direction[nearest]) > _NEARLY else direction


def _in_order(names: Sequence[str]) -> list[str]:
    """Joints with their parents first."""

    def depth(joint: str) -> int:
        return 0 if joint not in PARENT else 1 + depth(PARENT[joint])

    return sorted((name for name in names if name == "pelvis" or name in PARENT), key=depth)


def _parent(joint: str, skeleton: Skeleton, rest: Mapping[str, np.ndarray]) -> str:
    if joint == "pelvis":
        return ""
    parent = skeleton.parents.get(joint, "")
    if parent in rest and not _hangs_on(parent, joint):
        return parent
    parent = PARENT[joint]
    while parent not in rest:
        parent = PARENT[parent]
    return parent


def _hangs_on(joint: str, other: str) -> bool:
    """Whether a joint comes after another one in the body."""
    while joint in PARENT:
        joint = PARENT[joint]
        if joint == other:
            return True
    return False


def _turns(
    movement: Movement,
    index: Mapping[str, int],
    joints: list[str],
    rest: Mapping[str, np.ndarray],
    body: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Joint -> (T, 3, 3) rotation in the world from the skeleton's rest pose."""
    turns: dict[str, np.ndarray] = {}
    aligned: dict[str, np.ndarray] = {}
    for joint in joints:
        turning = movement.rotations[:, index[joint]]
        end = next((e for e in _NEXT.get(joint, ()) if e in rest), "")
        if end:
            along = rest[end] - rest[joint]
            aligned[joint] = swing(along, body[end] - body[joint])
            turned = turning @ aligned[joint]
            wanted = movement.positions[:, index[end]] - movement.positions[:, index[joint]]
            turned = swing(turned @ unit(along), wanted) @ turned  # nothing where no joint was passed over
        else:
            aligned[joint] = _end_alignment(joint, rest, body, aligned)
            turned = turning @ aligned[joint]
        turns[joint] = turned
    return turns


def _end_alignment(
    joint: str, rest: Mapping[str, np.ndarray], body: Mapping[str, np.ndarray], aligned: Mapping[str, np.ndarray]
) -> np.ndarray:
    """How a bone without a further joint is turned: hands with the forearm, soles stay level, heads look ahead."""
    side = joint.partition("_")[0]
    if joint.endswith("_ankle") and f"{side}_foot" in rest:
        flat = np.array([1.0, 0.0, 1.0])
        return swing(
            (rest[f"{side}_foot"] - rest[joint]) * flat, (body[f"{side}_foot"] - body[joint]) * flat
        )  # which way the toes point
    if joint.endswith("_foot"):
        return aligned.get(f"{side}_ankle", np.eye(3))
    if joint.endswith("_wrist") or joint[-1:].isdigit():
        return aligned.get(PARENT[joint], np.eye(3))
    return np.eye(3)


def _leg(joints: Mapping[str, np.ndarray]) -> float:
    """Length of the legs; of the thighs where there are no ankles."""
    lengths = []
    for side in ("left", "right"):
        length = np.linalg.norm(joints[f"{side}_knee"] - joints[f"{side}_hip"])
        if f"{side}_ankle" in joints:
            length = length + np.linalg.norm(joints[f"{side}_ankle"] - joints[f"{side}_knee"])
        lengths.append(length)
    return float(np.mean(lengths))


def _floor_of(movement: Movement, index: Mapping[str, int]) -> float:
    """Height of the floor: the lowest the feet go, or the rest of the body."""
    if movement.floor is not None:
        return movement.floor
    lowest = float(movement.positions[..., 1].min())
    for joint in ("left_ankle", "right_ankle", "left_foot", "right_foot"):
        if joint in index:
            above = movement.rest[index[joint], 1] - movement.sole
            lowest = min(lowest, float(movement.positions[:, index[joint], 1].min() - above))
    return lowest


def _root_path(
    movement: Movement,
    index: Mapping[str, int],
    rest: Mapping[str, np.ndarray],
    body: Mapping[str, np.ndarray],
    turn: np.ndarray,
    scale: float,
    floor: float,
    path: str,
) -> np.ndarray:
    """(T, 3) of the skeleton's pelvis, body's axes and skeleton's unit: the middle of the hips goes the scaled way."""
    if path == "same":
        return movement.positions[:, index["pelvis"]]
    hips = (movement.positions[:, index["left_hip"]] + movement.positions[:, index["right_hip"]]) / 2
    middle = (rest["left_hip"] + rest["right_hip"]) / 2
    moved = scale * (hips - hips[0]) + (middle if path != "world" else scale * hips[0])
    ankles = [j for j in ("left_ankle", "right_ankle") if j in rest] or ["left_knee", "right_knee"]
    own = np.mean([rest[j][1] for j in ankles]) - floor
    others = np.mean([body[j][1] for j in ankles]) - movement.sole
    moved[:, 1] = floor + scale * (hips[:, 1] - _floor_of(movement, index)) + own - scale * others
    if path == "none":
        moved[:, [0, 2]] = middle[[0, 2]]
    return moved - turn @ (middle - rest["pelvis"])


def _places(
    joints: list[str],
    parents: Mapping[str, str],
    rest: Mapping[str, np.ndarray],
    turns: Mapping[str, np.ndarray],
    root: np.ndarray,
) -> dict[str, np.ndarray]:
    """Forward kinematics: joint -> (T, 3)."""
    places = {"pelvis": root}
    for joint in joints:
        if joint != "pelvis":
            parent = parents[joint]
            places[joint] = places[parent] + turns[parent] @ (rest[joint] - rest[parent])
    return places


_FEET = ("left_ankle", "right_ankle", "left_foot", "right_foot")


def _contacts(movement: Movement, index: Mapping[str, int]) -> np.ndarray:
    """(T, 4) what keeps a foot in its place: the ankle while the heel stands, the toes once it does not."""
    if movement.contacts is None:
        points = [movement.positions[:, index[joint]] if joint in index else None for joint in _FEET]
        contacts = find_contacts(points, movement.fps)
    else:
        contacts = np.array(movement.contacts, bool)
    contacts[:, 2:] &= ~contacts[:, :2]
    return contacts


def _bend_legs(places: Mapping[str, np.ndarray], turns: dict[str, np.ndarray], contacts: np.ndarray) -> None:
    """Thighs and shins take what is left, so that the ankles reach their places; soles keep their turn."""
    for side, columns in (("left", (0, 2)), ("right", (1, 3))):
        hip, knee, ankle, foot = (f"{side}_{joint}" for joint in ("hip", "knee", "ankle", "foot"))
        if ankle not in places:
            continue
        shift = ankle_shift([places[ankle], places.get(foot)], contacts[:, columns])
        thigh, shin = places[knee] - places[hip], places[ankle] - places[knee]
        moved = (np.linalg.norm(shift, axis=1) > 1e-6 * np.linalg.norm(thigh, axis=1))[:, None, None]
        bent = bent_leg(thigh, shin, shift, turns[hip] @ np.array([0.0, 0.0, 1.0]))
        for joint, old, new in ((hip, thigh, bent[0]), (knee, shin, bent[1])):
            turns[joint] = np.where(moved, swing(old, new) @ turns[joint], turns[joint])
