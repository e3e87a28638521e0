"""The add-on's side of the worker protocol, against a worker that misbehaves in every way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dsr_fit_body.core import environments
from dsr_fit_body.core.job import Job
from dsr_fit_body.core.messages import FitBodyError
from dsr_fit_body.core.worker import ProcessKiller, Worker, clean_environment, worker_command
from sample_results import write_worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake worker is a shell script")
PHOTO = "/photos/friends.jpg"


@pytest.fixture
def job(tmp_path):
    """Makes jobs; ends their workers."""
    made = []

    def make(mode, time_limit_s=20.0, **options):
        command = worker_command(str(write_worker(tmp_path, mode, tmp_path / "result.json")))
        kept = options.pop("kept", None)

        def start():
            worker = kept if kept is not None and kept.alive else Worker(command, tmp_path)
            made.append(worker)
            return worker

        return Job(
            start, options.pop("kind", "fit"), {"inputs": [PHOTO], "out": str(tmp_path)}, time_limit_s, **options
        )

    yield make
    for worker in made:
        worker.stop_now()


def wait_for(true, timeout=15.0):
    until = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def sent(job):
    job.poll()
    return job._sent


def child_of(job) -> int:
    """The process the worker started, as it told on standard error: read by a thread of its own, so wait for it."""
    wait_for(lambda: any(line.startswith("child") for line in list(job.worker.log_tail)))
    return int(next(line for line in list(job.worker.log_tail) if line.startswith("child")).split()[1])


def test_a_fit_goes_through(job, tmp_path):
    one = job("good")
    fractions = []
    while one.poll() is None:
        fractions.append(one.fraction)
    outcome = one.outcome
    assert outcome.message is None and outcome.results == [tmp_path / "result.json"]
    assert outcome.warnings == ["from the worker"]
    assert fractions == sorted(fractions) and max(fractions) > 0.5
    assert one.worker.alive  # stays warm


def test_a_warm_worker_is_used_again(job):
    first = job("good")
    first.wait()
    second = job("good", kept=first.worker)
    assert second.wait().message is None
    assert second.worker is first.worker and second.request_id != first.request_id


@pytest.mark.parametrize(
    ("mode", "expected_text"),
    [
        ("dies", "Could not start the worker: no module named torch"),
        ("later", "The worker stopped: Segmentation fault"),
        ("version", "The worker speaks protocol 7, this add-on 1"),
        ("unreadable", 'Cannot read photo "friends.jpg" (unsupported or damaged)'),
        ("nobody", 'No person found in "friends.jpg"'),
        ("model", "Body model not found: about model_missing"),
        ("memory", "Not enough GPU memory; run on the CPU"),
        ("silent", "The fit failed: the worker gave no result"),
    ],
)
def test_what_goes_wrong_becomes_a_sentence(job, mode, expected_text):
    outcome = job(mode).wait()
    assert expected_text in outcome.message.text
    assert outcome.results == []


def test_noise_on_standard_output_does_not_matter(job, tmp_path):
    one = job("noisy")
    assert one.wait().results == [tmp_path / "result.json"]
    assert any("hello from a library" in line for line in one.worker.log_tail)
    assert all(len(line) <= 500 for line in one.worker.log_tail)


def test_hanging_runs_into_the_time_limit_and_is_killed(job):
    one = job("hangs", time_limit_s=0.5)
    assert one.wait().message.text == "Stopped after 0.5 s; raise the limit in Preferences"
    wait_for(lambda: one.worker.process.poll() is not None)


def test_no_hello_runs_into_a_separate_limit(job):
    one = job("mute", hello_timeout_s=0.4)
    assert one.wait().message.code == "hello_timeout"
    wait_for(lambda: one.worker.process.poll() is not None)


def test_cancel_while_working_keeps_the_worker(job):
    one = job("slow")
    wait_for(lambda: one.poll() is None and str(one.activity) == "loading models")
    began = time.monotonic()
    one.cancel()
    assert one.stopping
    assert one.wait().message.text == "Fit cancelled; the scene was not changed"
    assert time.monotonic() - began < 20  # it would be busy for ten minutes
    assert one.worker.alive and one.outcome.results == []


def test_cancel_before_the_worker_speaks_kills_it(job):
    one = job("mute")
    one.cancel()
    assert one.outcome.message.code == "cancelled"
    wait_for(lambda: one.worker.process.poll() is not None)


def test_a_worker_deaf_to_cancel_is_killed_with_its_children(job):
    one = job("deaf")
    wait_for(lambda: one.poll() is None and str(one.activity) == "loading models")
    child = child_of(one)
    one.cancel()
    assert one.wait().message.code == "cancelled"
    wait_for(lambda: gone(child))
    assert one.worker.process.wait(10) is not None


def test_abandoning_kills_even_what_ignores_being_asked(job):
    one = job("stubborn")
    wait_for(lambda: sent(one))
    child = child_of(one)
    one.abandon("file_loaded")
    assert one.outcome.message.text == "Job stopped because another file was opened"
    assert one.worker.process.poll() is not None
    wait_for(lambda: gone(child))


def test_a_worker_that_idled_out_is_started_again(job):
    """It may end in the very moment a request is written."""
    one = job("idle")
    outcome = one.wait()
    assert outcome.message.code == "died"
    assert one._may_restart is False  # once, not for ever


def test_answers_to_another_request_are_not_ours(job):
    one = job("good")
    one.request_id += 1000
    wait_for(lambda: sent(one))
    one._handle_answer({"event": "result", "id": 1, "status": "ok", "path": "/wrong.json"})
    one._handle_answer({"event": "done", "id": 1})
    assert one.running and one.wait().results[0].name == "result.json"


@pytest.mark.parametrize(
    "answer",
    [
        {"event": "progress", "done": float("inf"), "total": float("nan")},
        {"event": "progress", "done": "one", "total": None, "text": 3},
        {"event": "result", "path": 7, "status": ["ok"]},
        {"event": "error", "code": {"a": 1}, "message": None},
    ],
)
def test_answers_that_make_no_sense_stop_nothing(job, answer):
    """The timer that polls must go on, else the panel would say "running" for ever."""
    one = job("slow")
    wait_for(lambda: sent(one))
    one.worker._answers.put({**answer, "id": one.request_id})
    for _ in range(3):
        one.poll()
    one.cancel()
    assert one.wait().message is not None


def test_windows_way_of_ending_a_process():
    """By injection: CTRL_BREAK first, then taskkill with the tree."""
    calls = []

    class Windows(ProcessKiller):
        def run(self, command):
            calls.append(list(command))

    class Process:
        pid = 4711

        def send_signal(self, number):
            calls.append(number)

        def kill(self):
            calls.append("kill")

    killer = Windows(windows=True)
    killer.terminate(Process())
    killer.kill(Process())
    assert calls == [1, ["taskkill", "/F", "/T", "/PID", "4711"], "kill"]
    flags = killer.popen_options()["creationflags"]
    assert flags & 0x200 and flags & 0x08000000  # own group for CTRL_BREAK, no console window
    assert ProcessKiller(windows=False).popen_options() == {"start_new_session": True}


def test_the_environment_is_clean():
    base = {
        "PATH": "/bin",
        "PYTHONPATH": "/blender",
        "PYTHONHOME": "/b",
        "VIRTUAL_ENV": "/v",
        "LD_LIBRARY_PATH": "/b/lib",
        "HOME": "/h",
    }
    got = clean_environment(base)
    assert {key: got[key] for key in ("PATH", "HOME")} == {"PATH": "/bin", "HOME": "/h"}
    assert set(got) - {"PATH", "HOME"} == {"PYTHONUTF8", "PYTHONUNBUFFERED"}


def test_the_command_takes_a_python_an_environment_or_dsr_fit(tmp_path):
    (tmp_path / "bin").mkdir()
    python, command = tmp_path / "bin" / "python3", tmp_path / "bin" / "dsr-fit"
    for path in (python, command):
        path.write_text("")
    tail = ["--serve", "--idle", "300"]
    assert worker_command(str(python)) == [str(python), "-u", "-m", "dsr.cli.fit", *tail]
    assert worker_command(str(tmp_path)) == [str(python), "-u", "-m", "dsr.cli.fit", *tail]
    assert worker_command(str(command)) == [str(command), *tail]
    with pytest.raises(FitBodyError, match="Set the Python"):
        worker_command(" ")
    with pytest.raises(FitBodyError, match="there is no file"):
        worker_command(str(tmp_path / "nothing"))
    with pytest.raises(FitBodyError, match="Could not start the worker"):
        Worker([str(python)])  # not executable


def test_an_environment_with_dsr_is_found(tmp_path):
    for name, has in (("venv", False), (".venv", True)):
        site = tmp_path / "project" / name / "lib" / "python3.11" / "site-packages"
        # dsr itself is another project
        (site / ("dsr_fit-0.1.0.dist-info" if has else "dsr-1.0.dist-info")).mkdir(parents=True)
        (tmp_path / "project" / name / "bin").mkdir()
        (tmp_path / "project" / name / "bin" / "python3").write_text("")
    nothing = {"PATH": str(tmp_path)}
    near = tmp_path / "project" / "scenes"
    assert environments.find_python(near, nothing, tmp_path) == str(tmp_path / "project" / ".venv" / "bin" / "python3")
    assert environments.find_python(None, nothing, tmp_path) == ""
    assert environments.find_python(None, {"FITBODY_PYTHON": "/my/python"}, tmp_path) == "/my/python"


def test_the_real_worker_says_hello():
    """What dsr-fit --serve says is what is understood here."""
    environment = {**clean_environment(), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    worker = Worker([sys.executable, "-u", "-m", "dsr.cli.fit", "--serve"], environment=environment)
    try:
        one = Job(lambda: worker, "fit", {"inputs": ["/no/such/photo.jpg"], "out": "/tmp"}, 60)
        outcome = one.wait()
        assert worker.hello["protocol"] == 1
        assert outcome.results == [] and "photo.jpg" in outcome.message.text
    finally:
        worker.stop_now()


def test_killing_leaves_this_process_alone():
    process = subprocess.Popen([sys.executable, "-c", "pass"], **ProcessKiller().popen_options())
    process.wait()
    ProcessKiller().terminate(process)
    ProcessKiller().kill(process)


def test_clips_need_a_worker_that_knows_them(job):
    one = job("good")
    one.fields["sequence"] = True
    assert "fits no clips" in one.wait().message.text
