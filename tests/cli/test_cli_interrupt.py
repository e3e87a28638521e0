"""Ctrl-C and SIGTERM: answered within two seconds whatever is in work, with the report, and nothing half left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys, time
sys.path.insert(0, {tests!r})
from functools import partial
import dsr.cli.fit as fit
from cheap_bodies import find_people, fit_bodies
from dsr.limits import check_time
from dsr.pipeline.picture_fitter import Fitter

def hang(detections, camera, body, options, start=None):
    if len(detections) == 2:
        print("HANGING", flush=True)
        {hang}
    return fit_bodies(detections, camera, body, options)

main = fit.main
fit.main = lambda: main(None, partial(Fitter, people_finder=find_people, body_fitter=hang))
fit.entry()
"""
HANGS = {"python": "\n        while True: check_time(); time.sleep(0.01)", "native": "time.sleep(100)"}
"""What asks for the time, and what is deaf."""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing on Windows")
@pytest.mark.parametrize("kind", list(HANGS))
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_a_run_ends_within_two_seconds(tmp_path, make_picture, kind, sign):
    for k in range(6):
        make_picture(tmp_path / f"{k}.png", people=2 if k == 3 else 1)
    program = PROGRAM.format(tests=str(ROOT / "tests"), hang=HANGS[kind])
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), "--out", str(tmp_path / "out"), "--jobs", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    lines = []
    while not (lines and "HANGING" in lines[-1]):
        lines.append(process.stdout.readline())
        assert lines[-1], process.communicate()[1]
    started = time.monotonic()
    process.send_signal(sign)
    out, err = process.communicate(timeout=30)
    # the two seconds are a promise for an idle machine; here a fourth of the tests may run beside
    assert time.monotonic() - started < 10
    assert process.returncode == 130, err
    assert "Traceback" not in err and "Interrupted after 3 pictures" in out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["interrupted"] and [row["status"] for row in report["rows"]] == ["ok"] * 3
    assert not [p.name for p in (tmp_path / "out").iterdir() if p.name.startswith((".", "3", "4", "5"))]
