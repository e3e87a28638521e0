"""Several photos in one scene: which bodies are seen, whose rate counts, who is active, what is warned of; lists."""

from dataclasses import replace

import bpy
import numpy as np
from check_tools import FOLDER, RecordingLayout, check, fit, fresh
from dsr_fit_body import compat, panels, registration, runs, session
from dsr_fit_body.builders import photos, scene
from dsr_fit_body.builders.scene import BuildOptions
from dsr_fit_body.core.result import read_result
from dsr_fit_body.operators import fit as fit_operators
from dsr_fit_body.preview import THUMBNAILS

PICTURE, OTHER = FOLDER / "landscape" / "landscape.json", FOLDER / "portrait" / "portrait.json"


def bodies_in_sight():
    bpy.context.view_layer.update()
    return {o.name for o in bpy.data.objects if o.type == "MESH" and o.visible_get()}


def rendered():
    return {o.name for c in bpy.data.collections if not c.hide_render for o in c.objects if o.type == "MESH"}


@check
def a_second_photo_does_not_show_the_first_ones_bodies():
    fresh()
    first = scene.build(read_result(PICTURE), BuildOptions())
    second = scene.build(read_result(OTHER), BuildOptions())
    assert bodies_in_sight() == rendered() == {m.name for m in second.meshes}
    layout = RecordingLayout()
    panels._photos(layout)
    assert layout.drawn.count("fitbody.show_photo") == 2
    for _ in range(2):
        assert bpy.ops.fitbody.show_photo(collection=first.collection.name) == {"FINISHED"}
        assert bodies_in_sight() == rendered() == {m.name for m in first.meshes}
        assert bpy.context.scene.camera == first.camera
    first.armatures[0].dsr_fit_body.shape[0] = 1.0
    second.armatures[0].dsr_fit_body.shape[0] = 1.0  # also where it is hidden
    assert second.collection.hide_viewport and not second.armatures[0].visible_get()
    scene.build(read_result(FOLDER / "off-centre" / "off-centre.json"), BuildOptions(alone=False))
    assert {m.name for m in first.meshes} < bodies_in_sight()
    assert bpy.ops.fitbody.show_photo(collection="nothing") == {"CANCELLED"}


@check
def every_clip_keeps_its_rate_and_frames():
    fresh()
    clip = read_result(FOLDER / "short" / "clip.json")
    slow = replace(clip, fps=12.0, path=clip.path.with_name("slow.json"), source=clip.source.with_name("slow"))
    now = bpy.context.scene
    first = scene.build(clip, BuildOptions())
    assert abs(compat.scene_fps(now) - 29.97) < 1e-3 and (now.frame_start, now.frame_end) == (1, 5)
    scene.build(slow, BuildOptions())
    assert abs(compat.scene_fps(now) - 12.0) < 1e-6
    actions = [o.animation_data.action for o in bpy.data.objects if o.type == "ARMATURE"]
    assert sorted({round(action["fitbody_fps"], 2) for action in actions}) == [12.0, 29.97]
    assert bpy.ops.fitbody.show_photo(collection=first.collection.name) == {"FINISHED"}
    assert abs(compat.scene_fps(now) - 29.97) < 1e-3
    fresh()
    now = bpy.context.scene
    scene.build(clip, BuildOptions())
    both = scene.build(slow, BuildOptions(alone=False))
    assert abs(compat.scene_fps(now) - 29.97) < 1e-3 and "12 frames a second" in str(both.warnings[-1])


@check
def who_is_largest_becomes_active():
    fresh()
    result = read_result(PICTURE)
    boxes = ([0, 0, 40, 80], [300, 0, 700, 900])
    small, large = (replace(p, box_px=np.array(box)) for p, box in zip(result.people, boxes, strict=True))
    built = scene.build(replace(result, people=[small, large]), BuildOptions())
    assert built.largest == 1
    runs._select(built)
    assert bpy.context.view_layer.objects.active.name == "landscape Person 2"


@check
def people_are_called_as_in_the_file():
    fresh()
    built = scene.build(read_result(PICTURE), BuildOptions(skip=("p0",)))
    assert [a.name for a in built.armatures] == ["landscape Person 2"]


@check
def warnings_are_those_of_the_last_import():
    fresh()
    session.STATE.warnings = ["an old one"]
    assert bpy.ops.fitbody.import_result(filepath=str(PICTURE)) == {"FINISHED"}
    assert [str(text) for text in session.STATE.warnings] == ["a warning"]
    assert bpy.ops.fitbody.import_result(filepath=str(PICTURE)) == {"FINISHED"}
    assert [str(text) for text in session.STATE.warnings] == ["a warning"]
    session._before_load()
    assert session.STATE.warnings == [] and session.STATE.note == ""


@check
def several_photos_are_a_list():
    fresh()
    settings = bpy.context.window_manager.dsr_fit_body
    files = [FOLDER / name / f"{name}.png" for name in ("landscape", "portrait")]
    fit_operators.set_source(settings, [str(file) for file in files])
    assert settings.source == "PHOTOS" and settings.source_paths() == files
    layout = RecordingLayout()
    panels._source(layout, settings)
    assert {"fitbody.fit_file", "fitbody.clear_photos"} <= set(layout.drawn)
    assert layout.texts[:2] == ["landscape.png", "portrait.png"]
    addon = bpy.context.preferences.addons["dsr_fit_body"].preferences
    addon.python = str(FOLDER / "worker_several")
    for _ in range(2):
        assert bpy.ops.fitbody.fit() == {"FINISHED"}
        assert {c.name for c in photos.photos()} == {"FitBody landscape", "FitBody portrait"}
        assert len(bodies_in_sight()) == 2
        assert bpy.context.view_layer.objects.active.visible_get()  # of the photo that is seen
    for name, residual in (("landscape", 2.0), ("portrait", 7.5)):
        bpy.data.collections[f"FitBody {name}"][photos.RESIDUAL] = residual
    assert [photo.name for photo in photos.photos()] == ["FitBody portrait", "FitBody landscape"]
    layout = RecordingLayout()
    panels._source(layout, settings)
    assert layout.texts[:4] == ["portrait.png", "7.5 px", "landscape.png", "2.0 px"]  # whose bodies fit worst is first
    settings.photos.add().name = str(FOLDER / "gone.png")
    try:
        bpy.ops.fitbody.fit()
    except RuntimeError as error:
        assert 'There is no file "gone.png"' in str(error)
    else:
        raise AssertionError
    assert bpy.ops.fitbody.clear_photos() == {"FINISHED"} and settings.source_path() is None
    fit_operators.set_source(settings, [str(files[0])])
    assert settings.source == "IMAGE" and settings.image == str(files[0]) and fit


@check
def listed_photos_have_small_pictures():
    fresh()
    settings = bpy.context.window_manager.dsr_fit_body
    files = [FOLDER / name / f"{name}.png" for name in ("landscape", "portrait")]
    fit_operators.set_source(settings, [str(file) for file in [*files, FOLDER / "gone.png"]])

    class Layout(RecordingLayout):
        def template_icon(self, icon_value, scale):
            self.drawn.append(icon_value)

    def icons(draw, *arguments):
        layout = Layout()
        draw(layout, *arguments)
        return [item for item in layout.drawn if isinstance(item, int)]

    assert icons(panels._source, settings) == [] and not THUMBNAILS.icons  # drawing reads nothing
    assert bpy.app.timers.is_registered(THUMBNAILS._timer)
    assert THUMBNAILS.read() is not None and THUMBNAILS.read() is not None and THUMBNAILS.read() is None
    assert set(THUMBNAILS.icons) == {str(path) for path in settings.source_paths()}
    assert [min(THUMBNAILS._pictures[str(file)].image_size) > 0 for file in files] == [True, True]
    assert THUMBNAILS.icons[str(FOLDER / "gone.png")] == 0
    for number, file in enumerate(files, 41):  # without an interface Blender numbers no icons
        THUMBNAILS.icons[str(file)] = number
    assert icons(panels._source, settings) == [41, 42]
    for path, residual in ((PICTURE, 1.0), (OTHER, 3.0)):
        scene.build(read_result(path), BuildOptions()).collection[photos.RESIDUAL] = residual
    assert icons(panels._photos) == [42, 41]
    registration.unregister()
    assert not THUMBNAILS.icons and THUMBNAILS._pictures is None
    registration.register()


@check
def dropped_files_reach_the_list():
    fresh()
    settings = bpy.context.window_manager.dsr_fit_body
    bpy.context.preferences.addons["dsr_fit_body"].preferences.python = str(FOLDER / "worker_several")
    names = [{"name": "landscape.png"}, {"name": "again.png"}]
    (FOLDER / "landscape" / "again.png").write_bytes((FOLDER / "landscape" / "landscape.png").read_bytes())
    call = bpy.ops.fitbody.fit_file
    assert call("EXEC_DEFAULT", directory=str(FOLDER / "landscape"), files=names) == {"FINISHED"}
    assert [path.name for path in settings.source_paths()] == ["landscape.png", "again.png"]


@check
def the_rate_of_an_image_sequence_reaches_the_worker():
    fresh()
    settings = bpy.context.window_manager.dsr_fit_body
    settings.source, settings.frames, settings.sequence_fps = "SEQUENCE", str(FOLDER / "landscape"), 12.5
    bpy.context.preferences.addons["dsr_fit_body"].preferences.python = str(FOLDER / "worker_several")
    assert bpy.ops.fitbody.fit() == {"FINISHED"}
    assert '"fps": 12.5' in (FOLDER / "last_request.json").read_text()
