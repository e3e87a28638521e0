"""What a user does: import, undo, fit with workers of every kind, turn the add-on off; what panels draw."""

import os
import time

import bpy
import dsr_fit_body
from check_tools import FOLDER, RecordingLayout, census, check, fit, fresh, posed, refused
from dsr_fit_body import session
from dsr_fit_body.builders import shape
from dsr_fit_body.core import face_parts


@check
def import_is_one_undo_step():
    fresh()
    bpy.ops.ed.undo_push(message="start")
    before = census()
    assert bpy.ops.fitbody.import_result(filepath=str(FOLDER / "landscape" / "landscape.json")) == {"FINISHED"}
    bpy.ops.ed.undo_push(message="import")  # what the interface does after an operator with UNDO
    assert len(bpy.data.objects) == 6
    assert str(session.STATE.note) == "2 bodies"
    bpy.ops.ed.undo()
    assert census() == before
    assert not session.STATE.note and not session.STATE.warnings  # the panel tells of bodies that are there
    bpy.ops.ed.redo()
    assert len(bpy.data.objects) == 6
    body = next(o for o in bpy.data.objects if o.type == "MESH")
    assert shape.body_objects(body) is not None


@check
def every_editing_operator_can_be_undone():
    fresh()
    bpy.ops.fitbody.import_result(filepath=str(FOLDER / "landscape" / "landscape.json"), ground=False)
    calls = {
        "set_shape": {"index": 0, "value": 3.0},
        "reset_shape": {"to": "AVERAGE"},
        "reset_pose": {},
        "place_on_ground": {},
        "rename_bones": {"scheme": "MIXAMO"},
        "part_materials": {"kind": "PARTS"},
    }
    name = bpy.context.view_layer.objects.active.name

    def state():
        armature = bpy.data.objects[name]
        body = shape.body_objects(armature)
        heads = [tuple(round(v, 5) for v in b.head_local) for b in armature.data.bones]
        return (
            posed(body[1]).round(4).tobytes(),
            heads,
            [b.name for b in armature.data.bones],
            len(body[1].data.materials),
        )

    for call, options in calls.items():
        bpy.ops.ed.undo_push(message="before")
        before = state()
        assert getattr(bpy.ops.fitbody, call)(**options) == {"FINISHED"}, call
        assert state() != before, call
        bpy.ops.ed.undo_push(message=call)
        bpy.ops.ed.undo()
        assert state() == before, call


@check
def again_replaces_or_adds():
    fresh()
    path = str(FOLDER / "landscape" / "landscape.json")
    bpy.ops.fitbody.import_result(filepath=path)
    first = census()
    material = bpy.data.materials[face_parts.SKIN.name]
    material.diffuse_color = (0, 1, 0, 1)
    bpy.ops.fitbody.import_result(filepath=path, replace=True)
    now = census()
    assert now == first, {k: (now[k], first[k]) for k in now if now[k] != first[k]}
    assert tuple(bpy.data.materials[face_parts.SKIN.name].diffuse_color) == (0, 1, 0, 1)  # the artist's
    bpy.ops.fitbody.import_result(filepath=path)
    assert len([c for c in bpy.data.collections if c.name.startswith("FitBody")]) == 2
    assert len(bpy.data.objects) == 12 and len(bpy.data.materials) == len(first["materials"])


@check
def import_from_edit_mode():
    bpy.ops.wm.read_factory_settings(use_empty=False)
    dsr_fit_body.register()
    bpy.context.view_layer.objects.active = bpy.data.objects["Cube"]
    bpy.ops.object.mode_set(mode="EDIT")
    assert bpy.ops.fitbody.import_result(filepath=str(FOLDER / "landscape" / "landscape.json")) == {"FINISHED"}


@check
def failures_leave_the_scene_alone():
    fresh()
    before = census()
    for name, expected_text in (
        ("no_such.json", "missing"),
        ("nobody/landscape.json", "No person found"),
        ("newer/landscape.json", "newer worker (schema 3)"),
        ("no_body/landscape.json", "Body model not found"),
        ("truncated/landscape.json", "cannot be read"),
    ):
        try:
            bpy.ops.fitbody.import_result(filepath=str(FOLDER / name))
        except RuntimeError as error:
            assert expected_text in str(error), (name, str(error))
        else:
            raise AssertionError(name)
        assert expected_text in session.STATE.message.text
        assert census() == before, name


@check
def result_folder_as_the_source():
    fresh()
    settings = bpy.context.window_manager.dsr_fit_body
    settings.source = "RESULT"
    settings.result_folder = str(FOLDER / "landscape")
    settings.result = str(FOLDER / "landscape" / "landscape.json")
    assert bpy.ops.fitbody.fit() == {"FINISHED"}
    assert len(bpy.data.objects) == 6


@check
def fit_with_a_worker_in_the_background():
    fresh()
    photo = FOLDER / "landscape" / "landscape.png"
    assert fit(photo, str(FOLDER / "worker_good")) == {"FINISHED"}
    assert len(bpy.data.objects) == 6 and str(session.STATE.note).startswith("2 bodies in")
    assert "from the worker" in session.STATE.warnings
    pid = session.STATE.worker.process.pid
    assert fit(photo, str(FOLDER / "worker_good")) == {"FINISHED"}
    assert session.STATE.worker.process.pid == pid  # warm
    assert len(bpy.data.objects) == 6  # replaced
    assert bpy.ops.fitbody.check_runtime() == {"FINISHED"}
    assert any("9.9" in text for _, text in session.STATE.checks)
    session.shut_down()


@check
def people_are_asked_for_as_the_worker_knows_them():
    fresh()
    settings = bpy.context.window_manager.dsr_fit_body
    settings.count, settings.person, settings.min_score = 3, 2, 0.25
    asked = {}
    for people in ("all", "largest", "some", "one"):
        settings.people = people
        options = settings.fit_options("auto")
        asked[people] = options["person"]
        assert options["min_score"] == 0.25
    assert asked == {"all": "all", "largest": "largest", "some": "largest:3", "one": "1"}
    assert "expressive" not in settings.fit_options("auto")
    settings.expressive = True
    assert settings.fit_options("auto")["expressive"] is True
    settings.body = "open-light"  # has neither fingers nor a face that moves
    assert "expressive" not in settings.fit_options("auto")


@check
def misbehaving_workers_end_in_a_message():
    fresh()
    photo = FOLDER / "landscape" / "landscape.png"
    before = census()
    for worker, expected_text in (
        ("", "Set the Python"),
        ("/nowhere/python", "Could not start the worker"),
        (str(FOLDER / "worker_dies"), "Could not start the worker: no module named torch"),
        (str(FOLDER / "worker_dies_later"), "The worker stopped: Segmentation fault"),
        (str(FOLDER / "worker_version"), "speaks protocol 7"),
        (str(FOLDER / "worker_nobody"), 'No person found in "landscape.png"'),
        (str(FOLDER / "worker_unreadable"), 'Cannot read photo "landscape.png"'),
        (str(FOLDER / "worker_model"), "Body model not found"),
        (str(FOLDER / "worker_memory"), "run on the CPU"),
        (str(FOLDER / "worker_lies"), "missing"),
        (str(FOLDER / "worker_hangs"), "Stopped after 1 s"),
    ):
        os.environ.pop("FITBODY_PYTHON", None)
        refused(lambda worker=worker: fit(photo, worker, time_limit=1 if "hangs" in worker else 20), expected_text)
        assert census() == before, worker
        session.shut_down()
    refused(lambda: fit(FOLDER / "no_such_photo.jpg", str(FOLDER / "worker_good")), "There is no file")
    assert census() == before
    assert fit(photo, str(FOLDER / "worker_noisy")) == {"FINISHED"}  # rubbish between the lines does not matter
    session.shut_down()


@check
def fix_buttons_change_one_setting_and_fit_again():
    fresh()
    from dsr_fit_body.core.messages import message

    settings = bpy.context.window_manager.dsr_fit_body
    preferences = bpy.context.preferences.addons["dsr_fit_body"].preferences
    preferences.python, settings.image = str(FOLDER / "worker_good"), str(FOLDER / "landscape" / "landscape.png")
    for before, after in ((0.5, 0.3), (0.1, 0.1)):
        settings.min_score = before
        session.STATE.message = message("no_person", photo="landscape.png")
        assert bpy.ops.fitbody.fix() == {"FINISHED"}
        assert abs(settings.min_score - after) < 1e-6 and len(bpy.data.objects) == 6
    preferences.device = "auto"
    session.STATE.message = message("out_of_memory")
    assert bpy.ops.fitbody.fix() == {"FINISHED"} and preferences.device == "cpu" and session.STATE.message is None
    preferences.device = "auto"
    session.STATE.message = message("cancelled")
    assert bpy.ops.fitbody.fix() == {"CANCELLED"}  # nothing helps there
    session.shut_down()


@check
def turned_off_and_on_while_a_job_is_there():
    fresh()
    from dsr_fit_body.core.job import Job
    from dsr_fit_body.core.worker import worker_command

    command = worker_command(str(FOLDER / "worker_slow"))

    for stop in ("disable", "load"):
        session.STATE.job = Job(lambda: session._warm_worker(command), "fit", {}, 60)
        job, worker = session.STATE.job, session.STATE.worker
        while not job._sent:
            job.poll()
            time.sleep(0.01)
        if stop == "disable":
            dsr_fit_body.unregister()
            assert job.outcome is not None and worker.process.poll() is not None
            dsr_fit_body.register()
            dsr_fit_body.register()
        else:
            bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
            assert job.stopping or not job.running
            outcome = job.wait()
            assert outcome.message.text == "Job stopped because another file was opened"
            session.shut_down()
        assert not session.running()
    dsr_fit_body.unregister()
    dsr_fit_body.unregister()
    assert not hasattr(bpy.types.Object, "dsr_fit_body") and not hasattr(bpy.types, "FITBODY_PT_main")


def ticks_while_drawing_costs(cost_s, seconds=20.0):
    """Ticks and drawings per second of a job whose text changes all the time; drawing holds the interface up."""
    limiter, now, ticks, drawn = session.RedrawLimiter(), 100.0, 0, []
    while now < 100.0 + seconds:
        ticks += 1
        if limiter.should_draw(now, changed=True):
            drawn.append(now)
            now += cost_s
        now += session.TICK_S
    return ticks / seconds, len(drawn) / seconds


@check
def panel_is_drawn_as_often_as_the_machine_can_afford():
    fresh()
    ticks, drawn = ticks_while_drawing_costs(0.004)
    assert ticks > 18 and 5 < drawn <= 10  # tenths of a second, no more often
    ticks, drawn = ticks_while_drawing_costs(0.2)  # a software renderer on a busy machine
    assert ticks > 14 and 0.6 < drawn < 1.2, (ticks, drawn)
    ticks, drawn = ticks_while_drawing_costs(1.0)  # hopeless, but it goes on
    assert drawn > 0.3
    limiter = session.RedrawLimiter()
    assert not limiter.should_draw(1.0, changed=False)
    assert limiter.should_draw(1.05, changed=True)
    assert not limiter.should_draw(1.11, changed=True) and limiter.should_draw(1.12, changed=True, force=True)
    session.start_job(["/nowhere"], "fit", {}, 0, lambda outcome: None)
    assert session.TICK_S <= 0.05 and session.STATE.message.code == "cannot_start"


@check
def panels_draw_what_exists():
    fresh()
    from types import SimpleNamespace

    from dsr_fit_body import menus, panels, preferences
    from dsr_fit_body.core.messages import message

    bpy.ops.fitbody.import_result(filepath=str(FOLDER / "landscape" / "landscape.json"))
    settings = bpy.context.window_manager.dsr_fit_body
    for source in ("IMAGE", "SEQUENCE", "VIDEO", "RESULT"):
        settings.source = source
        for code in (None, "no_person", "cancelled"):
            session.STATE.message = message(code, photo="x.jpg") if code else None
            for panel in panels.CLASSES:
                layout = RecordingLayout()
                context = SimpleNamespace(
                    window_manager=bpy.context.window_manager,
                    active_object=bpy.context.view_layer.objects.active,
                    scene=bpy.context.scene,
                )
                panel.draw(
                    SimpleNamespace(layout=layout, draw_content=lambda *a, p=panel: p.draw_content(None, *a)), context
                )
                assert layout.drawn or layout.texts, panel
                assert not layout.cut, layout.cut
    layout = RecordingLayout()
    page = bpy.context.preferences.addons["dsr_fit_body"].preferences
    preferences.FitBodyPreferences.draw(
        SimpleNamespace(layout=layout, **{"bl_rna": page.bl_rna, "python": page.python}), bpy.context
    )
    for menu in (menus._add, menus._import, menus._image):
        menu(SimpleNamespace(layout=RecordingLayout()), bpy.context)
