# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's operators, one file per task; ``base`` is what they share."""

from __future__ import annotations

from . import (
    active_image,
    bone_names,
    character,
    clothes,
    export,
    fit,
    installation,
    materials,
    pose,
    pose_asset,
    rigify,
    scene,
    shape,
    troubleshooting,
)

CLASSES = (
    *fit.CLASSES,
    *active_image.CLASSES,
    *troubleshooting.CLASSES,
    *installation.CLASSES,
    *shape.CLASSES,
    *pose.CLASSES,
    *pose_asset.CLASSES,
    *scene.CLASSES,
    *bone_names.CLASSES,
    *character.CLASSES,
    *clothes.CLASSES,
    *materials.CLASSES,
    *rigify.CLASSES,
    *export.CLASSES,
)
