"""A folder of results as a library of poses: the file, its poses on a body, pictures, Blender's list of libraries."""

import shutil
from pathlib import Path

import bpy
import numpy as np
from check_tools import FOLDER, census, check, fresh, refused
from dsr_fit_body.builders import armature as arm
from dsr_fit_body.builders import pose_library, scene
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core.result import read_result

LIBRARY = FOLDER / f"poses_{bpy.app.version[0]}"


def results():
    """A photo, a clip and a file that is broken."""
    if LIBRARY.exists():
        shutil.rmtree(LIBRARY)
    shutil.copytree(FOLDER / "landscape", LIBRARY)
    for path in (FOLDER / "short").iterdir():
        if path.is_file():
            shutil.copy(path, LIBRARY)
    head = (LIBRARY / "landscape.json").read_text()[:300]
    (LIBRARY / "broken.json").write_text(head)


def turns(armature):
    """Directions and rolls of all bones in the world."""
    bpy.context.view_layer.update()
    world = armature.matrix_world.to_3x3().normalized()
    return {b.name: np.array(world @ armature.pose.bones[b.name].matrix.to_3x3()) for b in armature.data.bones}


@check
def a_folder_of_results_becomes_a_library_of_poses():
    results()
    fresh()
    libraries = bpy.context.preferences.filepaths.asset_libraries
    known = len(libraries)
    before = census()
    for _ in range(2):
        assert bpy.ops.fitbody.make_pose_library(directory=str(LIBRARY)) == {"FINISHED"}
    assert census() == before  # nothing stays in the scene
    added = [library for library in libraries if library.path and LIBRARY.resolve() == Path(library.path).resolve()]
    assert len(added) == 1 and len(libraries) == known + 1 and "poses" in added[0].name
    file = LIBRARY / pose_library.FILE_NAME
    with bpy.data.libraries.load(str(file), assets_only=True) as (inside, wanted):
        wanted.actions = list(inside.actions)
    photo, clip = read_result(LIBRARY / "landscape.json"), read_result(LIBRARY / "clip.json")
    assert len(wanted.actions) == len(photo.people) + len(clip.people)
    assert all("Fit Body" in [tag.name for tag in action.asset_data.tags] for action in wanted.actions)
    pictures = [
        a.preview is not None and max(a.preview.image_size) > 0 for a in wanted.actions if "landscape" in a.name
    ]
    shapes = {tuple(a.preview.image_size) for a in wanted.actions if "landscape" in a.name}
    assert all(size[1] > size[0] for size in shapes), shapes  # the person's part of a wide photo, not all of it
    built = scene.build(photo, BuildOptions(ground=True))
    true = turns(built.armatures[1])
    action = next(a for a in wanted.actions if a.name == "landscape Person 2")
    target = built.armatures[0]
    target.animation_data_create().action = action
    if hasattr(action, "slots"):
        target.animation_data.action_slot = action.slots[0]
    bpy.context.scene.frame_set(1)
    got = turns(target)
    for name in arm.bone_names(target):
        assert np.abs(got[name] - true[name]).max() < 1e-4, name
    assert all(pictures), pictures


@check
def a_folder_without_results_makes_no_library():
    fresh()
    empty = FOLDER / f"poses_none_{bpy.app.version[0]}"
    empty.mkdir(exist_ok=True)
    assert bpy.ops.fitbody.make_pose_library(directory=str(empty)) == {"CANCELLED"}
    assert not (empty / pose_library.FILE_NAME).exists()
    refused(lambda: bpy.ops.fitbody.make_pose_library(directory=str(empty / "gone")), "There is no folder")
