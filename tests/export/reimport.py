"""Run by a Python with bpy: opens files and prints, as JSON, what Blender has of them in its world (z up, metres)."""

from __future__ import annotations

import json
import os
import sys


def load(bpy, path):
    if path.endswith(".blend"):
        bpy.ops.wm.open_mainfile(filepath=path)
        return
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if path.endswith(".fbx"):
        bpy.ops.wm.fbx_import(filepath=path)
    elif path.endswith(".glb"):
        bpy.ops.import_scene.gltf(filepath=path)
    elif path.endswith(".usd"):
        bpy.ops.wm.usd_import(filepath=path)
    else:
        bpy.ops.import_anim.bvh(filepath=path)


def describe(bpy, path):
    """What is in a file, of an animation at the frame behind an @."""
    path, _, frame = path.partition("@")
    load(bpy, path)
    scene = bpy.context.scene
    scene.frame_set(int(frame or 1))
    bpy.context.view_layer.update()
    armature = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    world = armature.matrix_world
    out = {
        "heads": {b.name: list(world @ b.head) for b in armature.pose.bones},
        "rest_heads": {b.name: list(world @ b.head_local) for b in armature.data.bones},
        "parents": {b.name: b.parent.name if b.parent else None for b in armature.data.bones},
        "bones_scale": list(world.to_scale()),
        "fps": scene.render.fps / scene.render.fps_base,
    }
    meshes = [o for o in bpy.data.objects if o.type == "MESH" and o.find_armature()]
    if meshes:
        body = meshes[0]
        out["meshes"] = len(meshes)
        keys = body.data.shape_keys.key_blocks if body.data.shape_keys else ()
        out["keys"] = {key.name: key.value for key in keys}
        posed = body.evaluated_get(bpy.context.evaluated_depsgraph_get())
        out["vertices"] = [list(posed.matrix_world @ v.co) for v in posed.to_mesh().vertices]
        out["rest_vertices"] = [list(body.matrix_world @ v.co) for v in body.data.vertices]
        out["materials"] = [m.name for m in body.data.materials]
        out["uv"] = len(body.data.uv_layers)
        out["polygons"] = [list(polygon.vertices) for polygon in body.data.polygons]
        out["slots"] = [polygon.material_index for polygon in body.data.polygons]
        if body.data.uv_layers:
            out["corner_uv"] = [list(corner.uv) for corner in body.data.uv_layers[0].data]
        shaders = {m.name: n for m in body.data.materials for n in m.node_tree.nodes if n.type == "BSDF_PRINCIPLED"}
        linked = {name: [link.from_node.image for link in n.inputs["Base Color"].links] for name, n in shaders.items()}
        out["pictures"] = {name: [list(i.size), bool(i.packed_file)] for name, images in linked.items() for i in images}
        out["colours"] = {name: list(n.inputs["Base Color"].default_value)[:3] for name, n in shaders.items()}
    cameras = [o for o in bpy.data.objects if o.type == "CAMERA"]
    if cameras:
        from bpy_extras.object_utils import world_to_camera_view
        from mathutils import Vector

        camera = cameras[0]
        out["lens"] = [camera.data.lens, camera.data.shift_x, camera.data.shift_y, camera.data.sensor_width]
        out["resolution"] = [scene.render.resolution_x, scene.render.resolution_y]
        if path.endswith(".blend"):
            out["seen"] = [list(world_to_camera_view(scene, camera, Vector(v)))[:2] for v in out["vertices"][:100]]
        out["camera_world"] = [list(row) for row in camera.matrix_world]
    return out


if __name__ == "__main__":
    stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import bpy as module

    for name in sys.argv[1:]:
        stream.write(json.dumps(describe(module, name)) + "\n")
