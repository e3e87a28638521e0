"""Sliders of jaw, gaze and fingers read and write the bones of a body with a face; expressions' keys have sliders."""

import math

import bpy
import numpy as np
from check_tools import RecordingLayout, built, check, posed
from dsr_fit_body import panels
from dsr_fit_body.body_settings import GESTURES
from dsr_fit_body.builders import gestures
from dsr_fit_body.builders import mesh as msh


@check
def gesture_sliders_read_the_fit_and_move_the_face_and_hands():
    made, result, body = built("face")
    armature, mesh_object, person = made.armatures[0], made.meshes[0], result.people[0]
    settings = armature.dsr_fit_body
    turn = person.rotations[0, body.names.index("jaw")]
    angle = math.acos(min(max((np.trace(turn) - 1) / 2, -1.0), 1.0))
    fitted = math.degrees(angle / (2 * math.sin(angle)) * (turn[2, 1] - turn[1, 2])) if angle else 0.0
    assert abs(settings.jaw - fitted) < 0.5, (settings.jaw, fitted)
    before = posed(mesh_object)
    weights = body.weights
    for name, value, joints in (
        ("jaw", 20.0, ["jaw"]),
        ("gaze_down", 15.0, list(gestures.EYES)),
        ("gaze_left", -20.0, list(gestures.EYES)),
        ("left_fist", 1.0, ["left_index2"]),
        ("right_fist", 0.9, ["right_ring3"]),
    ):
        setattr(settings, name, value)
        bpy.context.view_layer.update()
        assert abs(getattr(settings, name) - value) < 0.02 * max(1.0, abs(value)), (name, getattr(settings, name))
        after = posed(mesh_object)
        moved = np.linalg.norm(after - before, axis=1)
        own = weights[:, [body.names.index(joint) for joint in joints]].sum(1) > 0.9
        assert moved[own].max() > 0.002, (name, moved[own].max())
        assert moved[weights[:, body.names.index("left_knee")] > 0.9].max() < 1e-5, name
        before = after
    settings.left_fist = 0.0
    bpy.context.view_layer.update()
    flat = tips(armature)
    settings.left_fist = 1.0
    bpy.context.view_layer.update()
    closed = tips(armature)
    wrist = np.array(armature.pose.bones["left_wrist"].head)
    assert np.linalg.norm(closed - wrist, axis=1).max() < 0.75 * np.linalg.norm(flat - wrist, axis=1).min()
    settings.left_fist = 0.5
    bpy.context.view_layer.update()
    half = tips(armature)
    settings.left_fist = 1.0
    palm = np.array(armature.pose.bones["left_wrist"].matrix.to_3x3() @ down(armature))
    assert ((half - flat) @ palm > 0.01).all(), "fingers close towards the palm"
    turned = np.degrees(np.linalg.norm(gestures.turned_by(armature.pose.bones["left_index2"])))
    assert math.isclose(turned, 95.0, abs_tol=1.0)


def tips(armature):
    """(4, 3) ends of the left hand's fingers."""
    return np.array([armature.pose.bones[f"left_{finger}3"].tail for finger in gestures.FINGERS])


def down(armature):
    """The direction that is down at rest, in the wrist bone's axes."""
    from mathutils import Vector

    return armature.data.bones["left_wrist"].matrix_local.to_3x3().inverted() @ Vector((0, 0, -1))


@check
def the_face_panel_shows_bones_and_expressions():
    made, _, body = built("face")
    layout = RecordingLayout()
    panels.FITBODY_PT_face.draw_content(None, bpy.context, layout, layout, bpy.context.window_manager.dsr_fit_body)
    assert [name for name in layout.drawn if name in GESTURES] == list(GESTURES)
    keys = msh.expression_keys(made.meshes[0])
    assert [key.name for key in keys] == list(body.expression_names) and len(keys) > 10
    made, _, _ = built("landscape")
    layout = RecordingLayout()
    panels.FITBODY_PT_face.draw_content(None, bpy.context, layout, layout, bpy.context.window_manager.dsr_fit_body)
    assert not [name for name in layout.drawn if name in GESTURES]
