"""Install, Repair, Remove and video support from within Blender, with commands that stand for pip's."""

import sys

import bpy
from check_tools import FOLDER, RecordingLayout, check, fresh, refused
from dsr_fit_body import preferences, session
from dsr_fit_body.core import runtime
from dsr_fit_body.core.messages import sentence
from dsr_fit_body.operators import installation


def pretend(code, share=1.0):
    python = runtime.base_python() or sys.executable
    return [runtime.Step(sentence("installing packages"), [python, "-c", code], share)]


@check
def install_repair_and_remove():
    fresh()
    folder = preferences.runtime_folder()
    runtime.remove(folder)
    assert not bpy.ops.fitbody.install.poll()  # these sources carry no runtime
    layout = RecordingLayout()
    preferences.draw_installation(layout)
    assert layout.drawn == ["fitbody.install"]
    carried, online = installation.CARRIED, installation.online
    installation.CARRIED = FOLDER / f"runtime_{bpy.app.version[0]}"
    installation.CARRIED.mkdir(exist_ok=True)
    for name in ("dsr_fit-0.1.0-py3-none-any.whl", "pip-26.3-py3-none-any.whl", "constraints.txt"):
        (installation.CARRIED / name).write_text("")
    steps = installation._steps
    try:
        assert "pip-26.3" in runtime.command_text(installation._steps())
        installation.online = lambda: False
        assert not bpy.ops.fitbody.install.poll()
        installation.online = lambda: True
        python = runtime.environment_python(folder)
        make = f"import pathlib; p = pathlib.Path({str(python)!r}); p.parent.mkdir(parents=True); p.write_text('')"
        installation._steps = lambda: pretend("print('ERROR: no network'); raise SystemExit(1)")
        refused(bpy.ops.fitbody.install, "no network")
        assert preferences.worker_python() == "" and "ERROR: no network" in session.STATE.install_log
        installation._steps = lambda: pretend(make)
        assert bpy.ops.fitbody.install() == {"FINISHED"}
        assert preferences.worker_python() == str(python) and str(session.STATE.note) == "The runtime is ready"
        layout = RecordingLayout()
        preferences.draw_installation(layout)
        assert layout.drawn == ["fitbody.install", "fitbody.remove_installation"]
        assert bpy.ops.fitbody.install(repair=True) == {"FINISHED"}
        for _ in range(2):
            assert bpy.ops.fitbody.remove_installation() == {"FINISHED"}
            assert preferences.worker_python() == ""
    finally:
        installation.CARRIED, installation.online, installation._steps = carried, online, steps


@check
def video_support_goes_into_the_python_that_is_set():
    fresh()
    online, installation.online = installation.online, lambda: True
    refused(bpy.ops.fitbody.install_video, "Set the Python")
    addon = bpy.context.preferences.addons["dsr_fit_body"].preferences
    addon.python = str(FOLDER / "worker_good")
    text = runtime.command_text(installation._video_steps())
    assert text.startswith(str(FOLDER / "worker_good")) and "av>=14.0" in text and "dsr[" not in text
    steps = installation._video_steps
    try:
        installation._video_steps = lambda: pretend("pass")
        assert bpy.ops.fitbody.install_video() == {"FINISHED"}
    finally:
        installation._video_steps, installation.online = steps, online


@check
def without_video_support_the_button_installs_it():
    from dsr_fit_body.core.messages import message
    from dsr_fit_body.operators.troubleshooting import _FIXERS

    detail = "Reading clips needs PyAV; install it with: python3 -m pip install av"
    assert message("no_video", detail=detail).fix == "VIDEO" and "VIDEO" in _FIXERS
