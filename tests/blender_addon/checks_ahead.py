"""The worker ahead of a fit: what it is told, and when not."""

import json
import time

import bpy
from check_tools import FOLDER, check, fit, fresh
from dsr_fit_body import ahead, session

LOG = FOLDER / "ready_requests.jsonl"
PHOTO = FOLDER / "landscape" / "landscape.png"


def told(count):
    """What the worker was told, once it was told so many things."""
    end = time.monotonic() + 20
    while True:
        lines = LOG.read_text().splitlines() if LOG.exists() else []
        if len(lines) >= count or time.monotonic() > end:
            assert len(lines) == count, lines
            return [json.loads(line) for line in lines]
        time.sleep(0.02)


def panel(worker="good"):
    fresh()
    session.shut_down()
    LOG.unlink(missing_ok=True)
    settings = bpy.context.window_manager.dsr_fit_body
    settings.source, settings.image, settings.quality, settings.refine = "IMAGE", "", "standard", "none"
    preferences = bpy.context.preferences.addons["dsr_fit_body"].preferences
    preferences.python, preferences.early = str(FOLDER / f"worker_{worker}") if worker else "", True
    return settings, preferences


@check
def the_worker_looks_at_a_photo_before_it_is_asked_for():
    settings, _ = panel()
    ahead.get_ready()  # the panel is seen: no photo yet
    worker = session.STATE.worker
    settings.image, settings.refine = str(PHOTO), "all"
    ahead.get_ready()
    ahead.get_ready()  # it knows
    first, left, second = told(3)
    assert [first["request"], left["request"], second["request"]] == ["prepare", "cancel", "prepare"]
    assert first["inputs"] == [] and second["inputs"] == [str(PHOTO)] and left["id"] == first["id"] != second["id"]
    assert second["options"] == settings.fit_options("auto") | {"refine": "none"}  # a refinement would take long
    assert fit(PHOTO, str(FOLDER / "worker_good")) == {"FINISHED"}
    assert session.STATE.worker == worker and len(bpy.data.objects) == 6
    told(3)  # the fit was of the photo it looked at
    settings.quality = "best"
    ahead.get_ready()
    assert told(5)[-1]["options"]["quality"] == "best"
    assert fit(FOLDER / "portrait" / "portrait.png", str(FOLDER / "worker_good")) == {"FINISHED"}
    assert told(6)[-1]["request"] == "cancel"  # another photo need not wait for that one
    session.shut_down()
    assert session.STATE.ready_for is None


@check
def where_nothing_can_be_got_ready_nothing_is_said():
    before = None
    for worker, change in (
        ("", {}),
        ("good", {"early": False}),
        ("good", {"source": "RESULT"}),
        ("dies", {}),
        ("no_such", {}),
    ):
        settings, preferences = panel(worker)
        before = session.STATE.message
        settings.source = change.get("source", "IMAGE")
        preferences.early = change.get("early", True)
        for _ in range(2):
            ahead.get_ready()
            ahead.photo_chosen()  # in the background nothing is waited for
        assert session.STATE.message is before and not bpy.app.timers.is_registered(ahead.get_ready)
        if worker != "dies":
            assert session.STATE.worker is None
        time.sleep(0.1)
        ahead.get_ready()
        session.shut_down()
        assert not LOG.exists() or worker == "dies"
    settings, _ = panel()
    settings.image = str(FOLDER / "gone.png")
    ahead.get_ready()
    assert told(1)[0]["inputs"] == []
    session.shut_down()
