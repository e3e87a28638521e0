# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing bodies that are in the scene: shape, pose, ground, names, materials, view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.props import EnumProperty, FloatProperty, IntProperty

from .builders import armature as arm
from .builders import camera as cam
from .builders import ground, shape
from .builders import mesh as msh
from .builders.scene import RUN
from .core.asset import read_body
from .core.geometry import channels_to_pose
from .core.messages import FitBodyError, say
from .core.names import SCHEMES, name_in
from .ops_base import Guarded, OnBody
from .props import settings

NAMES = [("SMPL", "SMPL", "left_knee"), ("MIXAMO", "Mixamo", "mixamorig:LeftLeg"), ("RIGIFY", "Rigify", "shin.L")]


class FITBODY_OT_set_shape(OnBody, bpy.types.Operator):
    """Set one shape coefficient; joints follow"""

    bl_idname = "fitbody.set_shape"
    bl_label = "Set Shape"
    bl_options = {"REGISTER", "UNDO"}

    index: IntProperty(name="Index", min=0, max=msh.MAX_SHAPES - 1)
    value: FloatProperty(name="Value", soft_min=-5.0, soft_max=5.0)

    def work(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """Through the slider."""
        armature.dsr_fit_body.shape[self.index] = self.value


class FITBODY_OT_reset_shape(OnBody, bpy.types.Operator):
    """Back to the shape that was fitted; with Shift to the average body"""

    bl_idname = "fitbody.reset_shape"
    bl_label = "Reset Shape"
    bl_options = {"REGISTER", "UNDO"}

    to: EnumProperty(name="To", items=[("FIT", "As Fitted", ""), ("AVERAGE", "Average Body", "")], default="FIT")

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Shift means average."""
        self.to = "AVERAGE" if event.shift else "FIT"
        return self.execute(context)

    def work(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """Move all sliders."""
        betas = np.array(armature.get("fitbody_betas", [])) if self.to == "FIT" else np.zeros(0)
        values = np.zeros(msh.MAX_SHAPES)
        values[: min(len(betas), msh.MAX_SHAPES)] = betas[: msh.MAX_SHAPES]
        armature.dsr_fit_body.shape = values.tolist()


class FITBODY_OT_reset_pose(OnBody, bpy.types.Operator):
    """All joints back to the T-pose; the body stays where it stands and keeps its direction"""

    bl_idname = "fitbody.reset_pose"
    bl_label = "Reset Pose"
    bl_options = {"REGISTER", "UNDO"}

    def work(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """All bones but the root."""
        for joint, name in enumerate(arm.bone_names(armature)):
            if joint != int(armature.get("fitbody_root", 0)):
                armature.pose.bones[name].rotation_quaternion = (1.0, 0.0, 0.0, 0.0)
        keys = mesh_object.data.shape_keys.key_blocks
        if msh.CORRECTIVE in keys:
            keys[msh.CORRECTIVE].value = 0.0


class FITBODY_OT_update_joints(OnBody, bpy.types.Operator):
    """Put the joints where the shape keys want them, after changing the keys by hand"""

    bl_idname = "fitbody.update_joints"
    bl_label = "Update Joints"
    bl_options = {"REGISTER", "UNDO"}

    def work(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """Keys to sliders, joints to keys."""
        armature.dsr_fit_body.set_quietly(msh.get_shapes(mesh_object))
        if not shape.follow_shape(armature):
            raise FitBodyError("build_failed", detail=say("this armature cannot be edited here"))


class FITBODY_OT_bake_correctives(OnBody, bpy.types.Operator):
    """Work out the body model's pose correctives for the pose as it is now"""

    bl_idname = "fitbody.bake_correctives"
    bl_label = "Update Pose Correctives"
    bl_options = {"REGISTER", "UNDO"}

    def work(self, context: Any, armature: Any, mesh_object: Any) -> set[str] | None:
        """One key for this pose."""
        body = read_body(Path(str(armature.get("fitbody_body_file", ""))))
        if body.posedirs is None:
            return self.refuse(say("Body {body} has no pose correctives", body=body.name), "INFO")
        names = arm.bone_names(armature)
        q = np.array([armature.pose.bones[name].rotation_quaternion for name in names], np.float64)
        rest = arm.rest_matrices(armature)
        rotations, _ = channels_to_pose(rest, q[None], np.zeros((1, 3)), body.joints, body.root)
        keys = mesh_object.data.shape_keys.key_blocks
        if msh.CORRECTIVE in keys:
            mesh_object.shape_key_remove(keys[msh.CORRECTIVE])
        offset = body.corrective(rotations[0])
        if offset is not None:
            msh.add_key(mesh_object, msh.CORRECTIVE, offset, 1.0)
        return None


class FITBODY_OT_place_on_ground(OnBody, bpy.types.Operator):
    """Lowest point of the bodies, over all frames, to height 0; camera and bodies move together"""

    bl_idname = "fitbody.place_on_ground"
    bl_label = "Place on Ground"
    bl_options = {"REGISTER", "UNDO"}

    def work(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """Everybody of the same photo."""
        root = armature.parent or armature
        armatures = [c for c in root.children if c.type == "ARMATURE"] or [armature]
        meshes = [found[1] for a in armatures if (found := shape.body_parts(a))]
        moved = ground.place_on_ground(root, meshes or [mesh_object])
        self.tell(say("Moved by {distance} cm", distance=f"{100 * moved:.1f}"))


class OnPhotoCamera(Guarded):
    """Needs the camera of a photo: ``work(context, camera)``."""

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Whether there is such a camera."""
        return cls.allow(_photo_camera(context) is not None, say("Fit a photo first"))

    def run(self, context: Any) -> set[str] | None:
        """With the camera."""
        return self.work(context, _photo_camera(context))


class FITBODY_OT_view_photo(OnPhotoCamera, bpy.types.Operator):
    """Look through the camera of the active body's photo, at the photo's size"""

    bl_idname = "fitbody.view_photo"
    bl_label = "View Through Photo Camera"
    bl_options = {"REGISTER", "UNDO"}

    def work(self, context: Any, camera: Any) -> None:
        """Scene camera, size, view."""
        cam.use_camera(context.scene, camera, settings().set_size)
        cam.look_through(camera)


class FITBODY_OT_photo_opacity(OnPhotoCamera, bpy.types.Operator):
    """Give the photo behind the bodies the opacity of the panel"""

    bl_idname = "fitbody.photo_opacity"
    bl_label = "Apply Opacity"
    bl_options = {"REGISTER", "UNDO"}

    def work(self, context: Any, camera: Any) -> None:
        """All backgrounds of the camera."""
        for background in camera.data.background_images:
            background.alpha = settings().opacity


class FITBODY_OT_rename_bones(OnBody, bpy.types.Operator):
    """Other names for the bones; weights and motion go along, and it can be reversed"""

    bl_idname = "fitbody.rename_bones"
    bl_label = "Rename Bones"
    bl_options = {"REGISTER", "UNDO"}

    scheme: EnumProperty(name="Names", items=NAMES, default="MIXAMO")

    def work(self, context: Any, armature: Any, mesh_object: Any) -> None:
        """Blender renames groups and curves with the bones."""
        rename_bones(armature, self.scheme)


class FITBODY_OT_part_materials(OnBody, bpy.types.Operator):
    """A material for every part of the body, or skin alone"""

    bl_idname = "fitbody.part_materials"
    bl_label = "Part Materials"
    bl_options = {"REGISTER", "UNDO"}

    kind: EnumProperty(name="Materials", items=[("PARTS", "Parts", ""), ("SKIN", "Skin", "")], default="PARTS")

    def work(self, context: Any, armature: Any, mesh_object: Any) -> set[str] | None:
        """Slots and face assignments."""
        if self.kind == "SKIN":
            msh.use_skin_materials(mesh_object.data)
        elif not msh.use_part_materials(mesh_object.data, [str(n) for n in armature.data[arm.BONES]]):
            return self.refuse(say("This body model knows no parts"))
        return None


def rename_bones(armature: Any, scheme: str) -> None:
    """Rename every bone that stands for a joint.

    Args:
        armature: of a body.
        scheme: one of :data:`SCHEMES`.
    """
    if scheme not in SCHEMES:
        raise ValueError(scheme)
    wanted = {b.name: name_in(str(b[arm.TAG]), scheme) for b in armature.data.bones if arm.TAG in b}
    for now in wanted:  # two steps: a new name may be another bone's old one
        armature.data.bones[now].name = f"~{now}"
    for now, then in wanted.items():
        armature.data.bones[f"~{now}"].name = then


def _photo_camera(context: Any) -> Any | None:
    """The camera beside the active object, else one of the scene's cameras of ours."""
    item = context.active_object
    collections = list(item.users_collection) if item is not None else []
    for collection in [c for c in collections if RUN in c]:
        for other in collection.objects:
            if other.type == "CAMERA" and cam.SIZE in other:
                return other
    camera = context.scene.camera
    return camera if camera is not None and cam.SIZE in camera else None


CLASSES = (
    FITBODY_OT_set_shape,
    FITBODY_OT_reset_shape,
    FITBODY_OT_reset_pose,
    FITBODY_OT_update_joints,
    FITBODY_OT_bake_correctives,
    FITBODY_OT_place_on_ground,
    FITBODY_OT_view_photo,
    FITBODY_OT_photo_opacity,
    FITBODY_OT_rename_bones,
    FITBODY_OT_part_materials,
)
