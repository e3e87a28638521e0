"""What the checks inside Blender share: their list, a fresh file, bodies to compare with, a layout that records."""

import importlib
import json
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "blender_addon"))

import bpy
import dsr_fit_body
import numpy as np
from dsr_fit_body import session
from dsr_fit_body.builders import ground, scene
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core import geometry
from dsr_fit_body.core.body_model import read_body_model
from dsr_fit_body.core.result import read_result
from skinning import linear_blend_skinning

FOLDER = Path(sys.argv[sys.argv.index("--") + 1] if "--" in sys.argv else sys.argv[1])
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def fresh():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if not bpy.context.preferences.addons.get("dsr_fit_body"):
        bpy.context.preferences.addons.new().module = "dsr_fit_body"
    dsr_fit_body.register()


def built(name="landscape"):
    """A scene with this result, and the model of its body; the first body is active."""
    fresh()
    result = read_result(FOLDER / name / "landscape.json")
    made = scene.build(result, BuildOptions())
    bpy.context.view_layer.objects.active = made.armatures[0]
    return made, result, read_body_model(result.body_file)


def posed(mesh_object):
    bpy.context.view_layer.update()
    return ground.world_vertices(mesh_object)


def expected(result, person, betas=None, transl=None, rotations=None):
    """Vertices in Blender's world by the plainest linear blend skinning."""
    body = read_body_model(result.body_file)
    betas = person.betas if betas is None else betas
    turns = person.rotations[0] if rotations is None else rotations
    joints = body.shaped_joints(betas)
    move = person.transl[0] if transl is None else transl
    rest = body.shaped_vertices(betas)
    extra = body.corrective(turns)
    rest = rest if extra is None else rest + extra
    vertices = linear_blend_skinning(rest, joints, body.weights, body.parents, turns, move)
    return vertices @ geometry.CAMERA_TO_BLENDER.T


def census():
    """Everything in the file, by kind and name."""
    kinds = ("objects", "meshes", "armatures", "cameras", "collections", "materials", "images", "actions", "shape_keys")
    return {kind: sorted(item.name for item in getattr(bpy.data, kind)) for kind in kinds}


def fit(path, worker, **preferences):
    addon_preferences = bpy.context.preferences.addons["dsr_fit_body"].preferences
    addon_preferences.python = worker
    for name, value in preferences.items():
        setattr(addon_preferences, name, value)
    return bpy.ops.fitbody.fit(filepath=str(path))


def refused(call, expected_text):
    try:
        call()
    except RuntimeError as error:
        assert expected_text in str(error), str(error)
    else:
        raise AssertionError(f"no error with {expected_text!r}")
    assert session.STATE.message is not None and not session.running()


def glb_document(path):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + length])


def glb_bones(path):
    """Where the nodes of a GLB are, by name; y up."""
    nodes = glb_document(path)["nodes"]
    parents = {child: k for k, node in enumerate(nodes) for child in node.get("children", ())}

    def matrix(k):
        turn = geometry.quaternion_to_matrix(np.roll(nodes[k].get("rotation", [0, 0, 0, 1]), 1))
        local = np.eye(4)
        local[:3, :3] = turn * nodes[k].get("scale", [1, 1, 1])
        local[:3, 3] = nodes[k].get("translation", [0, 0, 0])
        return matrix(parents[k]) @ local if k in parents else local

    return {node.get("name", ""): matrix(k)[:3, 3] for k, node in enumerate(nodes)}


def mended_importers():
    """Blender 3.4's importers were written for an older numpy and an older Python than Debian's."""
    if bpy.app.version < (4, 0, 0):
        np.bool = bool  # glTF
        importlib.import_module("io_anim_bvh.import_bvh").open = lambda name, mode: Path(name).open()  # noqa: SIM115


class RecordingLayout:
    """Stands in for a panel's layout: every property and operator named must exist."""

    def __init__(self):
        self.drawn, self.texts, self.searched, self.cut = [], [], [], []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *a, **k: self._part()

    def _part(self):
        """A row or column: its own settings, the same records."""
        part = type(self)()
        part.__dict__.update(self.__dict__)
        return part

    def prop(self, owner, name, **_):
        assert name in owner.bl_rna.properties, (owner, name)
        self.drawn.append(name)
        if owner.bl_rna.properties[name].type == "BOOLEAN" and self.__dict__.get("use_property_split"):
            self.cut.append(name)  # half of a narrow sidebar is too little for the words of a check box

    def prop_search(self, owner, name, place, collection, **_):
        assert name in owner.bl_rna.properties and collection in place.bl_rna.properties
        self.searched.append(name)

    def operator(self, name, **_):
        group, call = name.split(".")
        kind = getattr(getattr(bpy.ops, group), call).get_rna_type()
        self.drawn.append(name)

        class Settable:
            def __setattr__(self, key, value):
                assert key in kind.properties, (name, key)

        return Settable()

    def operator_menu_enum(self, name, prop, **_):
        self.operator(name)

    def label(self, text="", **_):
        self.texts.append(text)
