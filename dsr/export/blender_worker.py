"""The process that holds Blender: one JSON request per line on standard input, one JSON answer per line.

A request names an ``.npz`` of plain arrays in file axes (y up, metres), the file to write and its format. Blender's
world is z up, so everything is turned (x, y, z) -> (x, -z, y); the exporters for FBX and USD turn it back. BVH is
written as it stands, so there the armature is built y up.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Y_UP_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])

_SENSOR_MM = 36.0


def main() -> None:
    """Answer requests until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever Blender prints goes to the error stream
    for line in sys.stdin:
        request = json.loads(line)
        try:
            _HANDLERS[request.get("task", "write")](request)
            answer: dict[str, object] = {"ok": True}
        except Exception as error:
            answer = {"ok": False, "error": _reason(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _write(request: dict[str, str]) -> None:
    import bpy

    with np.load(request["arrays"], allow_pickle=False) as data:
        arrays = {key: data[key] for key in data.files}
    kind, path = request["format"], request["path"]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.filepaths.save_version = 0  # no .blend1 beside the file
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = int(arrays.get("first_frame", 1)), int(arrays["frames"][-1])
    if "fps" in arrays:
        scene.render.fps = max(1, round(float(arrays["fps"])))
        scene.render.fps_base = scene.render.fps / float(arrays["fps"])
    scene.frame_set(1)
    axes = np.eye(3) if kind == "bvh" else Y_UP_TO_Z_UP
    armature = _armature(bpy, arrays, axes)
    _pose(bpy, armature, arrays, axes, keyed=kind != "blend")
    if "vertices" in arrays:
        _mesh(bpy, armature, arrays, axes)
    if "K" in arrays:
        _camera(bpy, arrays)
    bpy.context.view_layer.update()
    _SAVERS[kind](bpy, path)
    if not Path(path).is_file() or not Path(path).stat().st_size:
        raise RuntimeError("nothing was written")
    whole = {"usd": _is_whole_usd, "blend": _is_whole_blend}.get(kind)  # Blender may say nothing when the disk fills up
    if whole is not None and not whole(Path(path)):
        raise RuntimeError("only a part of the file could be written, free some space")


def _reason(error: Exception) -> str:
    """The line of an error, or of the traceback an operator raises as one, that says what is wrong."""
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Error:" in line] or lines or [type(error).__name__]
    return telling[-1].removeprefix("Error: ").removeprefix("Python: ")


def _is_whole_usd(path: Path) -> bool:
    """Whether all sections of a binary USD file are in it."""
    data = path.read_bytes()
    if data[:8] != b"PXR-USDC" or len(data) < 24:
        return False
    (table,) = struct.unpack_from("<q", data, 16)
    if not 24 <= table <= len(data) - 8:
        return False
    (count,) = struct.unpack_from("<Q", data, table)
    if table + 8 + 32 * count > len(data):
        return False
    sections = (struct.unpack_from("<16sqq", data, table + 8 + 32 * k) for k in range(count))
    return count > 0 and all(start + size <= len(data) for _, start, size in sections)


def _is_whole_blend(path: Path) -> bool:
    """Whether a compressed .blend ends with the table of its parts (zstd's seekable format)."""
    return path.read_bytes()[-4:] == struct.pack("<I", 0x8F92EAB1)


def _armature(bpy: Any, arrays: dict[str, np.ndarray], axes: np.ndarray) -> Any:
    names, parents = [str(n) for n in arrays["joint_names"]], arrays["parents"]
    heads = arrays["rest_joints"] @ axes.T
    tails = _tails(heads, parents)
    data = bpy.data.armatures.new(f"{arrays['name']}_armature")
    armature = bpy.data.objects.new(str(arrays["name"]), data)
    bpy.context.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bones = [data.edit_bones.new(name) for name in names]
    for joint, bone in enumerate(bones):
        bone.head, bone.tail = heads[joint].tolist(), tails[joint].tolist()
        if parents[joint] >= 0:
            bone.parent = bones[int(parents[joint])]
    bpy.ops.object.mode_set(mode="OBJECT")
    return armature


def _tails(heads: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Where bones end: at the only child; of several at the one straight ahead; else a little further that way.

    The root's bone goes to the child nearest to the body's middle.
    """
    tails = np.empty_like(heads)
    for joint in range(len(heads)):
        children, parent = np.flatnonzero(parents == joint), int(parents[joint])
        along = heads[joint] - heads[parent] if parent >= 0 else np.array([0.0, 0.0, 0.1])
        length = float(np.linalg.norm(along))
        along = along / max(length, 1e-6)
        if len(children) > 1 and parent >= 0:
            ways = heads[children] - heads[joint]
            ahead = ways @ along / np.maximum(np.linalg.norm(ways, axis=1), 1e-6)
            children = children[[np.argmax(ahead)]] if ahead.max() > 0.8 else children[:0]
        if len(children):
            middle = np.abs(heads[children, 0] - heads[joint, 0])
            tails[joint] = heads[children[np.argmin(middle)]]
        else:
            tails[joint] = heads[joint] + along * min(0.08, length)
        if np.linalg.norm(tails[joint] - heads[joint]) < 0.01:  # Blender drops bones without length
            tails[joint] = heads[joint] + [0.0, 0.0, 0.05]
    return tails


def _pose(bpy: Any, armature: Any, arrays: dict[str, np.ndarray], axes: np.ndarray, keyed: bool) -> None:
    from mathutils import Matrix

    frames = arrays["frames"].tolist()
    for joint, name in enumerate(arrays["joint_names"]):
        bone = armature.pose.bones[str(name)]
        rest = np.array(bone.bone.matrix_local.to_3x3())
        bone.rotation_mode = "QUATERNION"
        root = arrays["parents"][joint] < 0
        turns = rest.T @ axes @ arrays["rotations"][:, joint] @ axes.T @ rest
        places = (arrays["root_translation"] - arrays["rest_joints"][joint]) @ (rest.T @ axes).T
        before = None
        for frame, turn, place in zip(frames, turns, places, strict=True):
            quaternion = Matrix(turn.tolist()).to_quaternion()
            if before is not None:
                quaternion.make_compatible(before)  # keys are joined the short way
            bone.rotation_quaternion = before = quaternion
            if root:
                bone.location = place.tolist()
            if keyed or len(frames) > 1:
                bone.keyframe_insert("rotation_quaternion", frame=frame)
                if root or frame == frames[0]:
                    bone.keyframe_insert("location", frame=frame)


def _mesh(bpy: Any, armature: Any, arrays: dict[str, np.ndarray], axes: np.ndarray) -> None:
    polygons = arrays["polygons"]
    mesh = bpy.data.meshes.new(f"{arrays['name']}_mesh")
    mesh.from_pydata((arrays["vertices"] @ axes.T).tolist(), [], polygons.tolist())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(polygons), bool))
    for name, colour, roughness in zip(arrays["materials"], arrays["colours"], arrays["roughness"], strict=True):
        material = bpy.data.materials.new(str(name))
        material.diffuse_color = (*colour.tolist(), 1.0)
        if not material.use_nodes:
            material.use_nodes = True
        shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
        shader.inputs["Base Color"].default_value = material.diffuse_color
        shader.inputs["Roughness"].default_value = float(roughness)
        if "texture" in arrays and str(name) == str(arrays["textured"]):
            picture = material.node_tree.nodes.new("ShaderNodeTexImage")
            picture.image = bpy.data.images.load(str(arrays["texture"]))
            material.node_tree.links.new(picture.outputs["Color"], shader.inputs["Base Color"])
        mesh.materials.append(material)
    mesh.polygons.foreach_set("material_index", arrays["material_index"])
    if "corner_uv" in arrays:
        mesh.uv_layers.new(name="UVMap").data.foreach_set("uv", arrays["corner_uv"].astype(np.float32).ravel())
    mesh.update()
    body = bpy.data.objects.new(f"{arrays['name']}_body", mesh)
    bpy.context.collection.objects.link(body)
    weights = arrays["weights"]
    for joint, name in enumerate(arrays["joint_names"]):
        group = body.vertex_groups.new(name=str(name))
        for vertex in np.flatnonzero(weights[:, joint] > 0).tolist():
            group.add([vertex], float(weights[vertex, joint]), "REPLACE")
    _shape_keys(body, arrays, axes)
    body.parent = armature
    body.modifiers.new("Armature", "ARMATURE").object = armature


def _shape_keys(body: Any, arrays: dict[str, np.ndarray], axes: np.ndarray) -> None:
    """Facial expressions, 0 to 1."""
    if not len(arrays["morph_names"]):
        return
    rest = arrays["vertices"] @ axes.T
    body.shape_key_add(name="Basis", from_mix=False)
    for name, offsets, strength in zip(arrays["morph_names"], arrays["morphs"], arrays["morph_strengths"], strict=True):
        key = body.shape_key_add(name=str(name), from_mix=False)
        key.data.foreach_set("co", (rest + offsets @ axes.T).astype(np.float32).ravel())
        key.slider_min, key.slider_max = min(0.0, float(strength)), max(1.0, float(strength))
        key.value = float(strength)
    for name, strengths in zip(arrays["morph_names"], arrays.get("morph_keys", np.zeros((0, 0))).T, strict=False):
        if strengths.any():
            key = body.data.shape_keys.key_blocks[str(name)]
            for frame, strength in zip(arrays["frames"].tolist(), strengths.tolist(), strict=True):
                key.value = strength
                key.keyframe_insert("value", frame=frame)


def _camera(bpy: Any, arrays: dict[str, np.ndarray]) -> None:
    K, (width, height) = arrays["K"], (int(n) for n in arrays["image_size"])
    data = bpy.data.cameras.new("camera")
    data.sensor_fit, data.sensor_width = "HORIZONTAL", _SENSOR_MM
    data.lens = float(K[0, 0]) * _SENSOR_MM / width
    data.shift_x = (width / 2 - float(K[0, 2])) / width
    data.shift_y = (float(K[1, 2]) - height / 2) / width
    data.clip_start, data.clip_end = 0.01, 1000.0
    camera = bpy.data.objects.new("camera", data)
    camera.rotation_euler = (np.pi / 2, 0.0, 0.0)
    bpy.context.collection.objects.link(camera)
    scene = bpy.context.scene
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100


def _save_blend(bpy: Any, path: str) -> None:
    for picture in bpy.data.images:
        picture.pack()
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True, check_existing=False, compress=True)


def _save_fbx(bpy: Any, path: str) -> None:
    bpy.ops.export_scene.fbx(
        filepath=path,
        object_types={"ARMATURE", "MESH", "CAMERA"},
        apply_scale_options="FBX_SCALE_ALL",
        axis_forward="-Z",
        axis_up="Y",
        add_leaf_bones=False,
        bake_anim=True,
        bake_anim_use_nla_strips=False,
        bake_anim_use_all_actions=False,
        bake_anim_simplify_factor=0.0,
        mesh_smooth_type="OFF",
        path_mode="COPY" if bpy.data.images else "STRIP",
        embed_textures=bool(bpy.data.images),
        check_existing=False,
    )


def _save_usd(bpy: Any, path: str) -> None:
    pictures = {"export_textures_mode": "KEEP"} if bpy.data.images else {}  # they stay where they are
    bpy.ops.wm.usd_export(
        **pictures,
        filepath=path,
        export_animation=True,
        export_armatures=True,
        convert_orientation=True,
        export_global_forward_selection="NEGATIVE_Z",
        export_global_up_selection="Y",
        check_existing=False,
    )


def _save_bvh(bpy: Any, path: str) -> None:
    bpy.ops.export_anim.bvh(
        filepath=path,
        frame_start=1,
        frame_end=bpy.context.scene.frame_end,
        rotate_mode="ZXY",
        root_transform_only=True,
        check_existing=False,
    )


_SAVERS: dict[str, Callable[[Any, str], None]] = {
    "blend": _save_blend,
    "fbx": _save_fbx,
    "usd": _save_usd,
    "bvh": _save_bvh,
}


def _read_rig(request: dict[str, str]) -> None:
    import bpy

    from dsr.export.blender_rigs import read_rig

    read_rig(bpy, request["path"], request["arrays"])


def _write_rig(request: dict[str, str]) -> None:
    import bpy

    from dsr.export.blender_rigs import write_rig

    with np.load(request["arrays"], allow_pickle=False) as data:
        write_rig(bpy, request["rig"], dict(data), request["path"])


_HANDLERS: dict[str, Callable[[dict[str, str]], None]] = {
    "write": _write,
    "read_rig": _read_rig,
    "write_rig": _write_rig,
}

if __name__ == "__main__":
    main()
