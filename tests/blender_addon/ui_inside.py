"""Runs inside Blender's interface: opens the sidebar and answers small requests left as files (shot, state, quit)."""

import json
import sys
import time
from pathlib import Path

import bpy

FOLDER = Path(sys.argv[sys.argv.index("--") + 1])
HEARTBEAT = []  # times of a timer of our own: what "ticks per second" means to a user


def view():
    window = bpy.context.window_manager.windows[0]
    return window, next(a for a in window.screen.areas if a.type == "VIEW_3D")


def open_sidebar():
    view()[1].spaces.active.show_region_ui = True


DRAWN = []  # times at which our panel was drawn


def note_draw(self, context):
    DRAWN.append(time.monotonic())


SLIDERS = []


def note_sliders(self, context):
    SLIDERS.append(time.monotonic())


FITS = []  # seconds from the press to bodies in the scene
BEGAN = []


def beat():
    from dsr_fit_body.session import STATE

    HEARTBEAT.append(time.monotonic())
    if STATE.job is not None:
        BEGAN[:] = [STATE.job.began]
    elif BEGAN:
        FITS.append(round(time.monotonic() - BEGAN.pop(), 2))
    return 0.05


def state():
    from dsr_fit_body.preview import PREVIEW
    from dsr_fit_body.session import STATE

    job = STATE.job
    region = next(r for r in view()[1].regions if r.type == "UI")
    return {
        "objects": sorted(o.name for o in bpy.data.objects),
        "collections": sorted(c.name for c in bpy.data.collections),
        "camera": bpy.context.scene.camera.name if bpy.context.scene.camera else "",
        "perspective": view()[1].spaces.active.region_3d.view_perspective,
        "running": job is not None,
        "stopping": bool(job and job.stopping),
        "fraction": job.fraction if job else 0,
        "text": str(job.activity) if job else "",
        "message": STATE.message.text if STATE.message else "",
        "note": str(STATE.note),
        "warnings": [str(text) for text in STATE.warnings],
        "ticks": STATE.ticks,
        "beats": HEARTBEAT,
        "fits": FITS,
        "preview": PREVIEW.icon,
        "label": bpy.app.translations.pgettext_iface("Fit Body", "Operator"),
        "image": bpy.context.window_manager.dsr_fit_body.image,
        "sidebar": [region.x, region.y, region.width, region.height],
        "worker": STATE.worker.process.pid if STATE.worker else None,
        "shape": [list(o.dsr_fit_body.shape)[:11] for o in bpy.data.objects if o.type == "ARMATURE"],
        "installing": STATE.installation.fraction if STATE.installation else -1,
        "active": bpy.context.view_layer.objects.active.name if bpy.context.view_layer.objects.active else "",
        "drawn": len(DRAWN),
        "sliders": len(SLIDERS),
    }


def take(name):
    path = FOLDER / name
    if not path.exists():
        return None
    text = path.read_text().strip()
    path.unlink()
    return text


def answer(name, value):
    part = FOLDER / f"{name}.part"
    part.write_text(json.dumps(value))
    part.replace(FOLDER / name)


def watch():
    shot = take("do.shot")
    if shot:
        window, area = view()
        with bpy.context.temp_override(window=window, screen=window.screen, area=area):
            bpy.ops.screen.screenshot(filepath=shot)
        answer("shot.json", shot)
    if take("do.state") is not None:
        answer("state.json", state())
    code = take("do.run")
    if code:
        try:
            exec(code, {"bpy": bpy})
            answer("run.json", "")
        except Exception as error:
            answer("run.json", repr(error))
    if take("do.quit") is not None:
        bpy.ops.wm.quit_blender()
    return 0.1


bpy.types.FITBODY_PT_main.append(note_draw)
bpy.types.FITBODY_PT_body.append(note_sliders)
bpy.app.timers.register(open_sidebar, first_interval=0.5)
bpy.app.timers.register(watch, first_interval=1.0, persistent=True)
bpy.app.timers.register(beat, first_interval=1.0, persistent=True)
