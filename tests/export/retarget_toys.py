"""Characters with other rest poses, proportions, axes, units and names than the body, and a walk to put on them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body import load_asset
from dsr.body.joints import SMPL24_PARENTS
from dsr.body.numpy_lbs import rest_shape
from dsr.export.carried.bvh_text import bvh_text
from dsr.export.carried.pose_transfer import PARENT, Movement
from dsr.export.carried.skeleton_names import BODY_JOINTS, RIG_NAMES
from dsr.mocap.gait import walking_motion

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # facing -y
X_AHEAD = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # z up, facing +x
DAZ = {
    "pelvis": "hip", "spine1": "abdomen", "spine3": "chest", "neck": "neck", "head": "head",
    **{
        f"{side}_{joint}": f"{side[0]}{bone}"
        for side in ("left", "right")
        for joint, bone in (
            ("collar", "Collar"), ("shoulder", "Shldr"), ("elbow", "ForeArm"), ("wrist", "Hand"),
            ("hip", "Thigh"), ("knee", "Shin"), ("ankle", "Foot"), ("foot", "Toe"),
        )
    },
}  # fmt: skip
RIGS = {
    # arms down by (degrees), units per metre, axes, length of thighs, distance of the hips
    "mixamo T": (0, 100.0, np.eye(3), 1.0, 1.0),
    "mixamo A": (48, 1.0, np.eye(3), 1.08, 1.2),
    "unreal": (35, 100.0, Z_UP, 0.92, 0.85),
    "bvh": (80, 39.37, X_AHEAD, 1.15, 1.3),
}


@lru_cache
def body_rest():
    asset = load_asset("open-light")
    vertices, rest = rest_shape(asset, np.zeros(3))
    return tuple(asset.joint_names), rest, float(vertices[:, 1].min())


def walk(frames, fps=30.0):
    """A walk along a bow; the ankle of the foot that carries does not move."""
    names, rest, sole = body_rest()
    motion = walking_motion(max(frames, 2) / fps, fps, turn_rad_s=0.3, rest=rest)
    motion = type(motion)(
        motion.body_pose_rotmat[:frames], motion.global_orient[:frames], motion.root_position_m[:frames], fps
    )
    turns = np.empty((frames, 24, 3, 3))
    turns[:, 0] = motion.global_orient
    for joint, parent in enumerate(SMPL24_PARENTS[1:], 1):
        turns[:, joint] = turns[:, parent] @ motion.body_pose_rotmat[:, joint - 1]
    return Movement(names, rest, turns, motion.joints(rest), fps, sole)


class Character:
    """One of RIGS: joints at rest in its own axes and unit, names of its bones."""

    def __init__(self, name):
        down, self.scale, self.turn, self.thigh, self.wide = RIGS[name]
        table = DAZ if name == "bvh" else RIG_NAMES[name.split()[0]]
        self.names = {joint: table[joint] for joint in BODY_JOINTS if joint in table}
        names, rest, _ = body_rest()
        at = {joint: rest[names.index(joint)] for joint in names}
        own = dict(at)
        for side, sign in (("left", 1.0), ("right", -1.0)):
            lower = Rotation.from_euler("z", -sign * down, degrees=True).as_matrix()
            for joint, parent in ((f"{side}_elbow", f"{side}_shoulder"), (f"{side}_wrist", f"{side}_elbow")):
                own[joint] = own[parent] + 1.1 * lower @ (at[joint] - at[parent])
            own[f"{side}_hip"] = at[f"{side}_hip"] * [self.wide, 1, 1]
            own[f"{side}_knee"] = own[f"{side}_hip"] + self.thigh * (at[f"{side}_knee"] - at[f"{side}_hip"])
            own[f"{side}_ankle"] = own[f"{side}_knee"] + at[f"{side}_ankle"] - at[f"{side}_knee"]
            own[f"{side}_foot"] = own[f"{side}_ankle"] + 1.2 * (at[f"{side}_foot"] - at[f"{side}_ankle"])
        self._own = {joint: own[joint] for joint in self.names}
        legs = [np.linalg.norm(own["left_knee"] - own["left_hip"]), np.linalg.norm(at["left_knee"] - at["left_hip"])]
        shin = np.linalg.norm(at["left_ankle"] - at["left_knee"])
        self.leg = (legs[0] + shin) / (legs[1] + shin)

    def heads(self):
        return {joint: self.turn @ place * self.scale for joint, place in self._own.items()}

    def axes(self):
        return {joint: Rotation.random(random_state=k).as_matrix() for k, joint in enumerate(self.names)}

    def parent(self, joint):
        parent = PARENT.get(joint, "")
        while parent and parent not in self.names:
            parent = PARENT.get(parent, "")
        return parent


def write_glb(character, path, names=None, vrm=False):
    """A triangle bound to the character's bones, which have axes of their own and lie in a scaled armature."""
    from pygltflib import GLTF2, Accessor, Attributes, Buffer, BufferView, Mesh, Node, Primitive, Scene, Skin

    names = names or character.names
    joints = list(names)
    heads, axes = character.heads(), character.axes()
    outer = np.diag([0.01, 0.01, 0.01, 1.0]) if character.scale == 100.0 else np.eye(4)
    world = {}
    for joint in joints:
        world[joint] = np.eye(4)
        world[joint][:3, :3], world[joint][:3, 3] = axes[joint], heads[joint]
    nodes = [Node(name="Armature", scale=[outer[0, 0]] * 3, children=[1])]
    for joint in joints:
        parent = character.parent(joint)
        local = np.linalg.inv(world[parent]) @ world[joint] if parent else world[joint]
        turning = Rotation.from_matrix(local[:3, :3]).as_quat().tolist()
        children = [1 + k for k, other in enumerate(joints) if character.parent(other) == joint]
        nodes.append(Node(name=names[joint], rotation=turning, translation=local[:3, 3].tolist(), children=children))
    nodes.append(Node(name="Body", mesh=0, skin=0))
    inverse = np.stack([np.linalg.inv(outer @ world[joint]).T for joint in joints]).astype(np.float32)
    triangle = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]], np.float32)
    bound, weight = np.zeros((3, 4), np.uint16), np.tile([1.0, 0, 0, 0], (3, 1)).astype(np.float32)
    blob, views = b"", []
    for data in (inverse, triangle, bound, weight):
        views.append(BufferView(buffer=0, byteOffset=len(blob), byteLength=data.nbytes))
        blob += data.tobytes()
    accessors = [
        Accessor(bufferView=0, componentType=5126, count=len(joints), type="MAT4"),
        Accessor(bufferView=1, componentType=5126, count=3, type="VEC3", min=[0, 0, 0], max=[0.1, 0.1, 0]),
        Accessor(bufferView=2, componentType=5123, count=3, type="VEC4"),
        Accessor(bufferView=3, componentType=5126, count=3, type="VEC4"),
    ]
    primitive = Primitive(attributes=Attributes(POSITION=1, JOINTS_0=2, WEIGHTS_0=3))
    gltf = GLTF2(
        scene=0,
        scenes=[Scene(nodes=[0, len(nodes) - 1])],
        nodes=nodes,
        meshes=[Mesh(primitives=[primitive])],
        skins=[Skin(joints=[1 + k for k in range(len(joints))], inverseBindMatrices=0)],
        accessors=accessors,
        bufferViews=views,
        buffers=[Buffer(byteLength=len(blob))],
    )
    if vrm:
        bones = {RIG_NAMES["vrm"][joint]: {"node": 1 + k} for k, joint in enumerate(joints)}
        gltf.extensions = {"VRMC_vrm": {"specVersion": "1.0", "humanoid": {"humanBones": bones}}}
        gltf.extensionsUsed = ["VRMC_vrm"]
    gltf.set_binary_blob(blob)
    path.write_bytes(b"".join(gltf.save_to_bytes()))
    return path


def write_bvh(character, path):
    joints = list(character.names)
    heads = character.heads()
    parents = [joints.index(character.parent(joint)) if character.parent(joint) else -1 for joint in joints]
    offsets = np.array([heads[j] - (heads[joints[p]] if p >= 0 else 0) for j, p in zip(joints, parents, strict=True)])
    leaves = {k: np.array([0.0, 0.0, 2.0]) for k in range(len(joints)) if k not in parents}
    still = np.tile(np.eye(3), (1, len(joints), 1, 1))
    orders = ["ZXY" if k % 2 else "YXZ" for k in range(len(joints))]
    names = [character.names[joint] for joint in joints]
    path.write_text(bvh_text(names, parents, offsets, leaves, still, offsets[:1], 30.0, orders))
    return path
