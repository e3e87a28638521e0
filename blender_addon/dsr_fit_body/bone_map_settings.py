# SPDX-License-Identifier: GPL-3.0-or-later
"""The bone map of a character, on its armature: it is saved with the .blend file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, StringProperty

from .carried.skeleton_names import BODY_JOINTS, FINGER_JOINTS, ROOT


class FitBodyBone(bpy.types.PropertyGroup):
    """One row: the bone that stands for a joint; ``name`` is the joint."""

    bone: StringProperty(name="Bone", description="The bone that stands for this joint", options=set())


class FitBodyBoneMap(bpy.types.PropertyGroup):
    """Of one armature."""

    rows: CollectionProperty(name="Bone Map", type=FitBodyBone)
    show: BoolProperty(name="Bone Map", description="Which bone stands for which joint", default=False, options=set())
    path: EnumProperty(
        name="Path",
        items=[
            ("own", "From Its Place", "The character walks from where it stands, as far as its legs carry it"),
            ("none", "On the Spot", "The character stays where it stands"),
        ],
        default="own",
        options=set(),
    )
    keep_feet: BoolProperty(
        name="Keep Feet",
        description="Feet that stand do not slide; hips and legs give way",
        default=True,
        options=set(),
    )
    at_body: BoolProperty(
        name="Move to the Body",
        description="Put the character's object where the fitted body stands",
        default=False,
        options=set(),
    )

    def table(self) -> dict[str, str]:
        """Joint -> bone, without empty rows."""
        return {row.name: row.bone for row in self.rows if row.bone}

    def fill(self, table: Mapping[str, str]) -> None:
        """Rows for all joints of a body, and for fingers where the table has them."""
        self.rows.clear()
        joints = (ROOT, *BODY_JOINTS) if table.get(ROOT) else BODY_JOINTS
        for joint in (*joints, *(finger for finger in FINGER_JOINTS if table.get(finger))):
            row = self.rows.add()
            row.name, row.bone = joint, table.get(joint, "")


CLASSES: tuple[Any, ...] = (FitBodyBone, FitBodyBoneMap)
