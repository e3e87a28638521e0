"""Inside Blender's process: the bones of a character's FBX file, and the file written again with a baked action."""

from __future__ import annotations

from typing import Any

import numpy as np


def read_rig(bpy: Any, path: str, out: str) -> None:
    """Bones of the largest armature in an FBX file into an ``.npz``: names, parents, rest matrices in the world.

    Raises:
        RuntimeError: if there is no armature in the file.
    """
    armature = _opened(bpy, path)
    bones = list(armature.data.bones)
    places = {bone.name: k for k, bone in enumerate(bones)}
    np.savez(
        out,
        names=[bone.name for bone in bones],
        parents=[places[bone.parent.name] if bone.parent else -1 for bone in bones],
        rest=np.array([armature.matrix_world @ bone.matrix_local for bone in bones], np.float64),
    )


def write_rig(bpy: Any, path: str, pose: dict[str, np.ndarray], out: str) -> None:
    """Write an FBX file again while its armature moves.

    Args:
        bpy: Blender.
        path: the character.
        pose: ``local`` (T, J, 3, 3), ``root`` and ``root_world`` (T, 3) of a
            :class:`~dsr.export.carried.rig_pose.RigPose`, ``fps`` and ``name``.
        out: the file.
    """
    from mathutils import Matrix

    armature = _opened(bpy, path)
    armature.animation_data_clear()
    scene, fps, count = bpy.context.scene, float(pose["fps"]), len(pose["local"])
    scene.render.fps = max(1, round(fps))
    scene.render.fps_base = scene.render.fps / fps
    scene.frame_start, scene.frame_end = 0, count - 1  # FBX has seconds, and Blender's frame 0 is second 0
    armature.animation_data_create().action = bpy.data.actions.new(str(pose["name"]))
    bones = list(armature.data.bones)
    rest = {bone.name: armature.matrix_world @ bone.matrix_local for bone in bones}
    inverse = armature.matrix_world.inverted()
    for index, bone in enumerate(bones):
        posed = armature.pose.bones[bone.name]
        posed.rotation_mode = "QUATERNION"
        own = _rotation(rest[bone.name])
        if bone.parent:
            own = _rotation(rest[bone.parent.name]).T @ own
        axes = _rotation(bone.matrix_local)
        before = None
        for frame in range(count):
            turned = Matrix((own.T @ pose["local"][frame, index]).tolist()).to_quaternion()
            if before is not None:
                turned.make_compatible(before)  # keys are joined the short way
            posed.rotation_quaternion = before = turned
            posed.keyframe_insert("rotation_quaternion", frame=frame)
            if index == int(pose["root"]):
                here = np.array(inverse @ Matrix.Translation(pose["root_world"][frame].tolist()))[:3, 3]
                posed.location = (axes.T @ (here - np.array(bone.head_local))).tolist()
                posed.keyframe_insert("location", frame=frame)
    bpy.context.view_layer.update()
    bpy.ops.export_scene.fbx(
        filepath=out,
        apply_scale_options="FBX_SCALE_ALL",
        add_leaf_bones=False,
        bake_anim=True,
        bake_anim_use_nla_strips=False,
        bake_anim_use_all_actions=False,
        bake_anim_simplify_factor=0.0,
        path_mode="COPY",
        embed_textures=True,
        check_existing=False,
    )


def _opened(bpy: Any, path: str) -> Any:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.fbx(filepath=path, use_anim=False)
    armatures = [item for item in bpy.data.objects if item.type == "ARMATURE"]
    if not armatures:
        raise RuntimeError("there is no armature in it")
    bpy.context.view_layer.update()
    return max(armatures, key=lambda item: len(item.data.bones))


def _rotation(matrix: Any) -> np.ndarray:
    axes = np.array(matrix, np.float64)[:3, :3]
    return axes / np.linalg.norm(axes, axis=0)
