"""Run by a Python with bpy: imports an FBX file and prints, as JSON, where its bones are in every frame."""

from __future__ import annotations

import json
import os
import sys

stream = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import bpy  # noqa: E402

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.fbx(filepath=sys.argv[1])
scene = bpy.context.scene
armature = next(item for item in bpy.data.objects if item.type == "ARMATURE")
first, last = (round(value) for value in armature.animation_data.action.frame_range)
positions = []
for frame in range(first, last + 1):
    scene.frame_set(frame)
    positions.append([list(armature.matrix_world @ bone.head) for bone in armature.pose.bones])
kinds = [item.type for item in bpy.data.objects]
answer = {
    "names": [bone.name for bone in armature.pose.bones],
    "positions": positions,
    "range": [first, last],
    "fps": scene.render.fps / scene.render.fps_base,
    "armatures": kinds.count("ARMATURE"),
    "meshes": kinds.count("MESH"),
}
stream.write(json.dumps(answer) + "\n")
