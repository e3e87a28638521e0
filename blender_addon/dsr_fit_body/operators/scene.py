# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators of the Scene panel: the photo's camera, the photo behind the bodies, the ground."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import StringProperty

from .. import compat
from ..builders import camera as cam
from ..builders import ground, photos, shape
from ..core.messages import sentence
from ..properties import panel_settings
from .base import AddonOperator, BodyOperator


class FITBODY_OT_place_on_ground(BodyOperator, bpy.types.Operator):
    """Lowest point of the bodies, over all frames, to height 0; camera and bodies move together"""

    bl_idname = "fitbody.place_on_ground"
    bl_label = "Place on Ground"
    bl_options = {"REGISTER", "UNDO"}
    needs_bones = False

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """Everybody of the same photo."""
        root = armature.parent or armature
        armatures = [c for c in root.children if c.type == "ARMATURE"] or [armature]
        meshes = [body[1] for a in armatures if (body := shape.body_objects(a))]
        moved = ground.place_on_ground(root, meshes or [mesh_object]) / compat.units_per_metre(context.scene)
        self.inform(sentence("Moved by {distance} cm", distance=f"{100 * moved:.1f}"))


class PhotoCameraOperator(AddonOperator):
    """Needs the camera of a photo: ``run_on_camera(context, camera)``."""

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Whether there is such a camera."""
        return cls.poll_with_reason(_photo_camera(context) is not None, sentence("Fit a photo first"))

    def run(self, context: Any) -> set[str] | None:
        """With the camera."""
        return self.run_on_camera(context, _photo_camera(context))


class FITBODY_OT_view_photo(PhotoCameraOperator, bpy.types.Operator):
    """Look through the camera of the active body's photo, at the photo's size"""

    bl_idname = "fitbody.view_photo"
    bl_label = "View Through Photo Camera"
    bl_options = {"REGISTER", "UNDO"}

    def run_on_camera(self, context: Any, camera: Any) -> None:
        """Scene camera, size, view, the photo's own bodies and time."""
        photo = photos.photo_of(camera)
        if photo is not None:
            photos.show(photo, panel_settings().alone, panel_settings().fps)
        cam.use_camera(context.scene, camera, panel_settings().set_size)
        cam.look_through(camera)


class FITBODY_OT_show_photo(AddonOperator, bpy.types.Operator):
    """Show the bodies of this photo, through its camera and at its frame rate"""

    bl_idname = "fitbody.show_photo"
    bl_label = "Show Photo"
    bl_options = {"REGISTER", "UNDO"}

    collection: StringProperty(name="Collection", options={"SKIP_SAVE", "HIDDEN"})

    def run(self, context: Any) -> set[str] | None:
        """The others are hidden where only one is to be seen."""
        photo = bpy.data.collections.get(self.collection)
        if photo is None or photos.RUN not in photo:
            return self.refuse(sentence("Fit a photo first"))
        settings, camera = panel_settings(), photos.camera_of(photo)
        photos.show(photo, settings.alone, settings.fps)
        bodies = [item for item in photo.objects if shape.body_objects(item) and item.type == "ARMATURE"]
        if bodies and context.view_layer.objects.active not in list(photo.objects):
            context.view_layer.objects.active = bodies[0]
        if camera is not None and settings.scene_camera:
            cam.use_camera(context.scene, camera, settings.set_size)
            if settings.look:
                cam.look_through(camera)
        return None


class FITBODY_OT_photo_opacity(PhotoCameraOperator, bpy.types.Operator):
    """Give the photo behind the bodies the opacity of the panel"""

    bl_idname = "fitbody.photo_opacity"
    bl_label = "Apply Opacity"
    bl_options = {"REGISTER", "UNDO"}

    def run_on_camera(self, context: Any, camera: Any) -> None:
        """All backgrounds of the camera."""
        for background in camera.data.background_images:
            background.alpha = panel_settings().opacity


def _photo_camera(context: Any) -> Any | None:
    """The camera beside the active object, else one of the scene's cameras of ours."""
    photo = photos.photo_of(context.active_object)
    if photo is not None and photos.camera_of(photo) is not None:
        return photos.camera_of(photo)
    camera = context.scene.camera
    return camera if camera is not None and cam.SIZE in camera else None


CLASSES = (
    FITBODY_OT_place_on_ground,
    FITBODY_OT_view_photo,
    FITBODY_OT_show_photo,
    FITBODY_OT_photo_opacity,
)
