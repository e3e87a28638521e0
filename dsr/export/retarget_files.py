"""A fitted pose or motion on a character in a file of its own: glTF and VRM, BVH, and FBX through Blender.

The character's mesh, materials and bones stay as they are in the file; what is written is a copy of it with one more
animation (glTF, VRM), with another motion (BVH), or with a baked action (FBX).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.errors import DatasetError, ExportError, UsageError
from dsr.export.carried.bvh_text import bvh_text
from dsr.export.carried.rig_pose import Rig, RigPose, quaternions, retarget
from dsr.export.carried.skeleton_names import BODY_JOINTS, FINGER_JOINTS, RIG_NAMES, missing_joints
from dsr.files import write_bytes
from dsr.mocap.bvh import Motion, read_bvh

if TYPE_CHECKING:
    from pygltflib import GLTF2

    from dsr.export.carried.pose_transfer import Movement

RIG_FORMATS = ("glb", "vrm", "bvh", "fbx")
_FLOAT = 5126


@dataclass(frozen=True, eq=False)
class RigFile:
    """A character's file.

    Attributes:
        path: of the file.
        rig: its bones.
        content: what the format's own reader gave.
        known: joint -> bone where the file itself says so (VRM).
    """

    path: Path
    rig: Rig
    content: Any
    known: Mapping[str, str]

    def bone_map(self) -> dict[str, str]:
        """Joint -> bone: what the file says, else what the names say."""
        return dict(self.known) or self.rig.guess()


def read_rig(path: Path) -> RigFile:
    """Read a character.

    Args:
        path: ``.glb``, ``.vrm``, ``.bvh`` or ``.fbx``.

    Raises:
        UsageError: if the format is unknown.
        ExportError: if the file cannot be read or holds no bones.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in RIG_FORMATS:
        raise UsageError(f"{path} cannot be a character to retarget to: use .{', .'.join(RIG_FORMATS)}.")
    if not path.is_file():
        raise ExportError(f"There is no file {path}.")
    if kind == "bvh":
        return _read_bvh(path)
    if kind == "fbx":
        from dsr.export.blender import read_rig_with_blender

        names, parents, rest = read_rig_with_blender(path)
        return RigFile(path, Rig(names, parents, rest), None, {})
    return _read_gltf(path)


def write_retargeted(
    rig: RigFile,
    movement: Movement,
    bone_map: Mapping[str, str],
    out: Path,
    name: str,
    path: str = "own",
    keep_feet: bool = True,
) -> RigPose:
    """Write a copy of a character that stands or moves as a fitted person does.

    Args:
        rig: the character.
        movement: of the person.
        bone_map: joint -> bone.
        out: the file; its ending is the character's.
        name: of the animation.
        path: ``own``, ``world`` or ``none``, as of :func:`~dsr.export.carried.pose_transfer.transfer`.
        keep_feet: standing feet stay where they are.

    Raises:
        UsageError: if the map lacks a bone that is needed or names one that is not there.
        ExportError: if the file cannot be written.
    """
    check_bone_map(rig, bone_map)
    try:
        pose = retarget(movement, rig.rig, bone_map, path, keep_feet)
    except ValueError as error:
        raise ExportError(f"{rig.path} cannot take the pose: {error}.") from error
    kind = rig.path.suffix.lower()
    if kind == ".bvh":
        write_bytes(out, _bvh(rig, pose, movement.fps).encode())
    elif kind == ".fbx":
        from dsr.export.blender import write_rig_with_blender

        write_rig_with_blender(rig.path, pose, movement.fps, out, name)
    else:
        write_bytes(out, _gltf_bytes(rig, pose, set(bone_map.values()), movement.fps, name))
    return pose


def check_bone_map(rig: RigFile, bone_map: Mapping[str, str]) -> None:
    """Whether a map can be used with a character.

    Raises:
        UsageError: if it lacks a bone that is needed, or names a joint or bone that is not there.
    """
    strange = sorted(set(bone_map) - {*BODY_JOINTS, *FINGER_JOINTS, "root"})
    if strange:
        raise UsageError(f"The bone map names joints that a body has not: {', '.join(strange)}.")
    gone = sorted({bone for bone in bone_map.values() if bone and bone not in rig.rig.names})
    if gone:
        raise UsageError(f"{rig.path.name} has no bones named {', '.join(gone)}; its bones: {_some(rig.rig.names)}.")
    lacking = missing_joints(bone_map)
    if lacking:
        raise UsageError(
            f"No bone of {rig.path.name} was found for {', '.join(lacking)}: name them in a bone map "
            f"(--save-map writes one to edit, --bone-map reads it). Its bones: {_some(rig.rig.names)}."
        )


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "")


def _read_bvh(path: Path) -> RigFile:
    try:
        motion = read_bvh(path, unit_m=1.0)
    except DatasetError as error:
        raise ExportError(str(error)) from error
    rest = np.tile(np.eye(4), (len(motion.joint_names), 1, 1))
    for joint, parent in enumerate(motion.parents.tolist()):
        rest[joint, :3, 3] = motion.offsets_m[joint] + (rest[parent, :3, 3] if parent >= 0 else 0.0)
    return RigFile(path, Rig(motion.joint_names, tuple(motion.parents.tolist()), rest), motion, {})


def _bvh(rig: RigFile, pose: RigPose, fps: float) -> str:
    motion: Motion = rig.content
    orders = []
    for channels in motion.channels:
        turning = "".join(channel[0].upper() for channel in channels if channel.lower().endswith("rotation"))
        orders.append(turning if sorted(turning) == ["X", "Y", "Z"] else "ZXY")
    moved = pose.root_world - rig.rig.rest[pose.root, :3, 3]  # what the pelvis hangs on keeps its rest: the root moves
    return bvh_text(
        motion.joint_names,
        motion.parents.tolist(),
        motion.offsets_m,
        motion.end_sites,
        pose.local,
        motion.offsets_m[0] + moved,
        fps,
        orders,
    )


def _read_gltf(path: Path) -> RigFile:
    from pygltflib import GLTF2

    try:
        gltf = GLTF2.load_binary(str(path))
        nodes = gltf.nodes or []
        parents = [-1] * len(nodes)
        for index, node in enumerate(nodes):
            for child in node.children or ():
                parents[child] = index
        local = np.stack([_node_matrix(node) for node in nodes]) if nodes else np.zeros((0, 4, 4))
        names = tuple(node.name or f"node{index}" for index, node in enumerate(nodes))
        known = _vrm_map(gltf, names)
    except Exception as error:  # a parser of others, on a file of others
        raise ExportError(f"{path} cannot be read as binary glTF ({type(error).__name__}: {error}).") from error
    if not gltf.skins:
        raise ExportError(f"{path} has no skeleton: its mesh is not bound to bones.")
    rig = Rig(names, tuple(parents), local)
    rest = local.copy()
    for index in rig.order():
        if parents[index] >= 0:
            rest[index] = rest[parents[index]] @ local[index]
    return RigFile(path, Rig(names, tuple(parents), rest), gltf, known)


def _node_matrix(node: Any) -> np.ndarray:
    if node.matrix:
        return np.array(node.matrix, np.float64).reshape(4, 4).T
    x, y, z, w = node.rotation or (0.0, 0.0, 0.0, 1.0)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, :3] *= node.scale or (1.0, 1.0, 1.0)
    matrix[:3, 3] = node.translation or (0.0, 0.0, 0.0)
    return matrix


def _vrm_map(gltf: GLTF2, names: tuple[str, ...]) -> dict[str, str]:
    """Joint -> bone, as VRM 0 and VRM 1 say it in the file."""
    extensions = gltf.extensions or {}
    bones: dict[str, int] = {}
    for entry in (extensions.get("VRM") or {}).get("humanoid", {}).get("humanBones", []):
        bones[str(entry["bone"])] = int(entry["node"])
    for bone, entry in (extensions.get("VRMC_vrm") or {}).get("humanoid", {}).get("humanBones", {}).items():
        bones[str(bone)] = int(entry["node"])
    found = {joint: names[bones[bone]] for joint, bone in RIG_NAMES["vrm"].items() if bone in bones}
    if "spine3" not in found and "spine2" in found:  # a chest without an upper chest is the whole of it
        found["spine3"] = found.pop("spine2")
    return {joint: bone for joint, bone in found.items() if joint in (*BODY_JOINTS, *FINGER_JOINTS)}


def _gltf_bytes(rig: RigFile, pose: RigPose, bones: set[str], fps: float, name: str) -> bytes:
    """The file with one more animation; a pose also stands in the bones themselves."""
    import copy

    from pygltflib import Accessor, Animation, AnimationChannel, AnimationChannelTarget, AnimationSampler, BufferView

    gltf = copy.deepcopy(rig.content)
    for one in gltf.accessors:
        if one.bufferView is None:  # sparse, as morph targets are: pygltflib gives them an offset into nothing
            one.byteOffset = None
    blob = bytearray(gltf.binary_blob() or b"")

    def accessor(values: np.ndarray, kind: str) -> int:
        blob.extend(b"\0" * (-len(blob) % 4))
        data = np.ascontiguousarray(values, np.float32)
        gltf.bufferViews.append(BufferView(buffer=0, byteOffset=len(blob), byteLength=data.nbytes))
        blob.extend(data.tobytes())
        extent = {"min": [float(data.min())], "max": [float(data.max())]} if kind == "SCALAR" else {}
        view = len(gltf.bufferViews) - 1
        gltf.accessors.append(Accessor(bufferView=view, componentType=_FLOAT, count=len(data), type=kind, **extent))
        return len(gltf.accessors) - 1

    times = accessor(np.arange(len(pose.local)) / fps, "SCALAR")
    animation = Animation(name=name, samplers=[], channels=[])

    def channel(node: int, path: str, values: np.ndarray, kind: str) -> None:
        animation.samplers.append(AnimationSampler(input=times, output=accessor(values, kind), interpolation="LINEAR"))
        target = AnimationChannelTarget(node=node, path=path)
        animation.channels.append(AnimationChannel(sampler=len(animation.samplers) - 1, target=target))

    for index, node in enumerate(gltf.nodes):
        if rig.rig.names[index] not in bones and index != pose.root:
            continue
        if node.matrix:  # animated nodes have none
            local = np.array(node.matrix, np.float64).reshape(4, 4).T
            node.translation, node.matrix = local[:3, 3].tolist(), None
            node.scale = np.linalg.norm(local[:3, :3], axis=0).tolist()
        turning = quaternions(pose.local[:, index])[:, [1, 2, 3, 0]]
        node.rotation = turning[0].tolist()
        channel(index, "rotation", turning, "VEC4")
        if index == pose.root:
            node.translation = pose.root_local[0].tolist()
            channel(index, "translation", pose.root_local, "VEC3")
    gltf.animations = [*(gltf.animations or []), animation]
    gltf.buffers[0].byteLength = len(blob)
    gltf.set_binary_blob(bytes(blob))
    return b"".join(gltf.save_to_bytes())
