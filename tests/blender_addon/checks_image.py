"""The picture in the panel, and taking the photo from what is open in Blender."""

import contextlib
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import dsr_fit_body
import numpy as np
from check_tools import FOLDER, RecordingLayout, check, fresh, refused
from dsr_fit_body import panels, runs
from dsr_fit_body.core.messages import FitBodyError
from dsr_fit_body.operators import active_image
from dsr_fit_body.preview import PREVIEW

PHOTO = FOLDER / "landscape" / "landscape.png"


def shown(path, kind="IMAGE"):
    """Size of what the panel shows after the timer came round; without an interface there are no icons."""
    PREVIEW.icon_of(path, kind)
    PREVIEW.read()
    reads = PREVIEW.reads
    PREVIEW.icon_of(path, kind)
    PREVIEW.read()
    assert PREVIEW.reads == reads
    return PREVIEW.size


@check
def preview_is_read_once_per_file_and_date():
    fresh()
    photo = FOLDER / "preview.png"
    shutil.copy(PHOTO, photo)
    reads = PREVIEW.reads
    assert PREVIEW.icon_of(photo, "IMAGE") == 0 and PREVIEW.reads == reads  # drawing reads nothing
    width, height = shown(photo)
    assert max(width, height) in (128, 256) and abs(width / height - 16 / 9) < 0.05
    began = time.perf_counter()
    for _ in range(200):
        PREVIEW.icon_of(photo, "IMAGE")
    took = (time.perf_counter() - began) / 200
    PREVIEW.read()
    assert PREVIEW.reads == reads + 1
    os.utime(photo, (1, 1))
    assert min(shown(photo)) > 0 and PREVIEW.reads == reads + 2
    photo.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    nothing = (0, 0)
    assert shown(photo) == nothing and PREVIEW.reads == reads + 3
    photo.unlink()
    assert shown(photo) == nothing and shown(None) == nothing and shown(Path("/no/such\0photo.jpg")) == nothing
    assert PREVIEW.reads == reads + 3
    frames = FOLDER / f"preview_frames_{bpy.app.version[0]}"
    frames.mkdir()
    assert shown(frames, "SEQUENCE") == nothing
    shutil.copy(PHOTO, frames / "frame_0001.png")
    assert min(shown(frames, "SEQUENCE")) > 0
    return {"draw_s": took}


@check
def preview_leaves_nothing_behind():
    fresh()
    assert min(shown(PHOTO)) > 0
    pictures = PREVIEW._pictures
    assert list(pictures) == [str(PHOTO)]  # one at a time
    PREVIEW.icon_of(PHOTO.with_name("other.png"), "IMAGE")
    assert PREVIEW._pictures is not None
    dsr_fit_body.unregister()
    assert PREVIEW._pictures is None and not bpy.app.timers.is_registered(PREVIEW._timer)
    assert not pictures  # given back: a collection that is only forgotten keeps its pictures
    dsr_fit_body.unregister()
    dsr_fit_body.register()
    assert min(shown(PHOTO)) > 0
    dsr_fit_body.register()  # a second time in a row
    assert min(shown(PHOTO)) > 0


@check
def panel_shows_the_preview_where_there_is_one():
    fresh()
    settings = bpy.context.window_manager.dsr_fit_body
    settings.image = str(PHOTO)

    class Layout(RecordingLayout):
        def template_icon(self, icon_value, scale):
            self.drawn.append(icon_value)

    def icons():
        layout = Layout()
        panels._source(layout, settings)
        return [item for item in layout.drawn if isinstance(item, int)]

    assert icons() == []
    PREVIEW.read()
    PREVIEW.icon = PREVIEW.icon or 4711  # without an interface Blender numbers no icons
    assert icons() == [PREVIEW.icon]
    settings.image = "/no/such.png"
    assert icons() == []


def pixels(image):
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(image.size[1], image.size[0], -1)


def file_of(image):
    return active_image.file_of(image, bpy.context.scene)


def assert_same_picture(path, expected, tolerance=1.5 / 255):
    image = bpy.data.images.load(str(path))
    got = pixels(image)
    bpy.data.images.remove(image)
    assert got.shape[:2] == expected.shape[:2] and np.abs(got[..., :3] - expected[..., :3]).max() <= tolerance


@contextlib.contextmanager
def untouched(image):
    """The user's data-block stays as it is, and no other appears."""

    def facts():
        packed = bool(image.packed_file)
        return image.filepath, image.source, image.is_dirty, packed, image.file_format, sorted(bpy.data.images.keys())

    before = facts(), len(bpy.data.scenes)
    yield
    assert (facts(), len(bpy.data.scenes)) == before


@check
def active_image_with_a_file():
    fresh()
    image = bpy.data.images.load(str(PHOTO))
    with untouched(image):
        assert file_of(image) == ("IMAGE", PHOTO)
    settings = bpy.context.window_manager.dsr_fit_body
    settings.source = "VIDEO"
    assert bpy.ops.fitbody.use_active_image.poll()  # the only one there is
    assert bpy.ops.fitbody.use_active_image() == {"FINISHED"}
    assert settings.source == "IMAGE" and settings.image == str(PHOTO)
    image.source = "SEQUENCE"
    assert file_of(image) == ("SEQUENCE", PHOTO.parent)
    image.source = "FILE"
    bpy.data.images.new("Second", 8, 8)
    assert not bpy.ops.fitbody.use_active_image.poll()  # which of the two?
    mesh = bpy.data.meshes.new("Plane")
    item = bpy.data.objects.new("Plane", mesh)
    bpy.context.scene.collection.objects.link(item)
    bpy.context.view_layer.objects.active = item
    material = bpy.data.materials.new("Photo")
    if not material.use_nodes:
        material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    material.node_tree.nodes.active = node
    mesh.materials.append(material)
    assert active_image.active_image(bpy.context) == image
    editor = SimpleNamespace(type="IMAGE_EDITOR", image=bpy.data.images["Second"])
    context = SimpleNamespace(space_data=editor, window_manager=None, window=None, active_object=item)
    assert active_image.active_image(context).name == "Second"  # an open editor says it most clearly


@check
def active_image_that_is_packed_keeps_its_bytes():
    fresh()
    photo_copy = FOLDER / "packed.png"
    shutil.copy(PHOTO, photo_copy)
    image = bpy.data.images.load(str(photo_copy))
    image.pack()
    photo_copy.unlink()
    with untouched(image):
        kind, path = file_of(image)
        assert kind == "IMAGE" and path.suffix == ".png" and path.read_bytes() == PHOTO.read_bytes()
        assert path.parent == runs.addon_folder("pictures") and file_of(image)[1] == path
    image.filepath_raw = str(FOLDER / "packed")
    assert file_of(image)[1].suffix == ".png"  # told by its bytes
    image.filepath_raw = str(photo_copy)
    image.unpack(method="REMOVE") if bpy.app.version < (4, 0, 0) else image.unpack(method="USE_ORIGINAL")
    with contextlib.suppress(FileNotFoundError):
        photo_copy.unlink()
    fresh()
    image = bpy.data.images.load(str(PHOTO))
    image.filepath_raw = str(FOLDER / "gone.png")
    refused(bpy.ops.fitbody.use_active_image, 'There is no file "gone.png"')


@check
def active_image_that_is_in_no_file():
    fresh()
    made = bpy.data.images.new("Ünsaved / paint", 64, 32)
    expected = np.random.default_rng(0).uniform(size=(32, 64, 4)).astype(np.float32)
    expected[..., 3] = 1
    made.pixels.foreach_set(expected.ravel())
    with untouched(made):
        kind, path = file_of(made)
        assert kind == "IMAGE" and path.parent == runs.addon_folder("pictures") and path.name.isascii()
    assert_same_picture(path, expected)
    assert file_of(made)[1] == path  # the same picture is the same file, so a further fit replaces the earlier one
    made.pixels[0] = 1 - made.pixels[0]
    assert file_of(made)[1] != path
    photo = bpy.data.images.load(str(PHOTO))
    painted = pixels(photo)
    painted[:100, :100, 0] = 1.0
    photo.pixels.foreach_set(painted.ravel())
    assert photo.is_dirty
    with untouched(photo):
        _, path = file_of(photo)
    assert path != PHOTO
    assert_same_picture(path, painted)
    bright = bpy.data.images.new("HDR", 16, 16, float_buffer=True)
    bright.pixels.foreach_set(np.full(16 * 16 * 4, 0.5, np.float32))
    _, path = file_of(bright)
    assert_same_picture(path, np.full((16, 16, 3), 0.735, np.float32), 0.01)  # linear 0.5 as a screen shows it
    kept = bpy.context.preferences.addons["dsr_fit_body"].preferences
    kept.keep_runs = 2
    for value in (0.1, 0.2, 0.3, 0.4):
        made.pixels.foreach_set(np.full(64 * 32 * 4, value, np.float32))
        _, path = file_of(made)
    assert path.is_file() and len(list(runs.addon_folder("pictures").iterdir())) == 2
    kept.keep_runs = 20


@check
def active_image_that_is_a_render():
    fresh()
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 32, 24, 100
    scene.render.image_settings.file_format = "OPEN_EXR"
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.world = bpy.data.worlds.new("World")

    def nothing(path, scene):
        raise RuntimeError("no render yet")

    empty = SimpleNamespace(name="Render Result", filepath="", source="VIEWER", type="RENDER_RESULT", library=None)
    empty.save_render = nothing
    try:
        file_of(empty)
    except FitBodyError as error:
        assert error.message.code == "no_pixels"
    else:
        raise AssertionError("nothing gave a picture")
    bpy.ops.render.render()
    result = bpy.data.images["Render Result"]
    _, path = file_of(result)
    assert path.suffix == ".png" and scene.render.image_settings.file_format == "OPEN_EXR"
    image = bpy.data.images.load(str(path))
    assert tuple(image.size) == (32, 24)
    assert len(bpy.data.scenes) == 1
