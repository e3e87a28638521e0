# SPDX-License-Identifier: GPL-3.0-or-later
"""Jaw, gaze and fingers of a body as single numbers, read from its pose bones and written to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from mathutils import Matrix, Quaternion, Vector

from .armature import BONES, bone_names

JAW, EYES = "jaw", ("left_eye_smplhf", "right_eye_smplhf")
FINGERS = ("index", "middle", "ring", "pinky")
_FIST_DEG = (75.0, 95.0, 60.0)
_THUMB_DEG = (0.0, 40.0, 50.0)


def bones_of(armature: Any, *joints: str) -> list[Any]:
    """Pose bones of joints; those a body has not or an artist removed are left out."""
    names = dict(zip(map(str, armature.data[BONES]), bone_names(armature), strict=True))
    found = (armature.pose.bones.get(names[joint]) for joint in joints if joint in names)
    return [bone for bone in found if bone is not None]


def has_gestures(armature: Any) -> bool:
    """Whether a body has a jaw, eyes and fingers to move."""
    return len(bones_of(armature, JAW, *EYES, "left_index1", "right_index1")) == 5


def turned_by(bone: Any) -> np.ndarray:
    """(3,) axis-angle of a pose bone in the armature's axes, radians."""
    rest = bone.bone.matrix_local.to_3x3()
    turn = rest @ bone.matrix_basis.to_3x3() @ rest.inverted()
    axis, angle = turn.to_quaternion().to_axis_angle()
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return np.array(axis) * angle


def turn_to(bone: Any, vector: np.ndarray) -> None:
    """Give a pose bone a rotation, axis-angle (3,) in the armature's axes, radians."""
    angle = float(np.linalg.norm(vector))
    turn = Matrix.Rotation(angle, 3, Vector(vector.tolist()) if angle > 0 else Vector((1.0, 0.0, 0.0)))
    rest = bone.bone.matrix_local.to_3x3()
    local: Quaternion = (rest.inverted() @ turn @ rest).to_quaternion()
    mode = bone.rotation_mode
    if mode == "QUATERNION":
        bone.rotation_quaternion = local
    elif mode == "AXIS_ANGLE":
        axis, around = local.to_axis_angle()
        bone.rotation_axis_angle = (around, *axis)
    else:
        bone.rotation_euler = local.to_euler(mode)


def jaw_deg(armature: Any) -> float:
    """How far the mouth is open."""
    bones = bones_of(armature, JAW)
    return float(np.degrees(turned_by(bones[0])[0])) if bones else 0.0


def set_jaw(armature: Any, degrees: float) -> None:
    """Open the mouth; the jaw keeps its other turns."""
    for bone in bones_of(armature, JAW):
        vector = turned_by(bone)
        vector[0] = np.radians(degrees)
        turn_to(bone, vector)


def gaze_down(armature: Any) -> float:
    """How far the eyes look down."""
    return _gaze(armature, 0)


def set_gaze_down(armature: Any, degrees: float) -> None:
    """Turn both eyes alike."""
    _set_gaze(armature, degrees, gaze_left(armature))


def gaze_left(armature: Any) -> float:
    """How far the eyes look to the body's left."""
    return _gaze(armature, 2)


def set_gaze_left(armature: Any, degrees: float) -> None:
    """Turn both eyes alike."""
    _set_gaze(armature, gaze_down(armature), degrees)


def left_fist(armature: Any) -> float:
    """How far the hand is closed: 0 with straight fingers, 1 as a fist."""
    return _fist(armature, "left")


def set_left_fist(armature: Any, value: float) -> None:
    """Bend all fingers alike; how they were spread is forgotten."""
    _set_fist(armature, "left", value)


def right_fist(armature: Any) -> float:
    """As :func:`left_fist`."""
    return _fist(armature, "right")


def set_right_fist(armature: Any, value: float) -> None:
    """As :func:`set_left_fist`."""
    _set_fist(armature, "right", value)


def _gaze(armature: Any, axis: int) -> float:
    bones = bones_of(armature, *EYES)
    return float(np.degrees(np.mean([turned_by(bone)[axis] for bone in bones]))) if bones else 0.0


def _set_gaze(armature: Any, down: float, left: float) -> None:
    for bone in bones_of(armature, *EYES):
        turn_to(bone, np.radians([down, 0.0, left]))


def _fist(armature: Any, side: str) -> float:
    bends = []
    for finger in FINGERS:
        for k, most in enumerate(_FIST_DEG, 1):
            for bone in bones_of(armature, f"{side}_{finger}{k}"):
                bends.append(float(turned_by(bone) @ _hinge(bone)) / np.radians(most))
    return float(np.mean(bends)) if bends else 0.0


def _set_fist(armature: Any, side: str, value: float) -> None:
    for finger, most in [*((finger, _FIST_DEG) for finger in FINGERS), ("thumb", _THUMB_DEG)]:
        for k, degrees in enumerate(most, 1):
            for bone in bones_of(armature, f"{side}_{finger}{k}"):
                turn_to(bone, _hinge(bone, finger == "thumb") * np.radians(degrees * value))


def _hinge(bone: Any, thumb: bool = False) -> np.ndarray:
    """Unit axis (3,) about which a finger's bone bends towards the palm; at rest palms look down, fingers sideways."""
    along = np.array(bone.bone.tail_local) - np.array(bone.bone.head_local)
    # thumbs bend across the palm, which lies behind them
    dorsal = np.array([0.0, -0.8, 0.6]) if thumb else np.array([0.0, 0.0, 1.0])
    axis = np.cross(dorsal, along)
    unit: np.ndarray = axis / max(float(np.linalg.norm(axis)), 1e-9)
    return unit
