"""A worker that behaves, or misbehaves, as its first argument says; the rest is what dsr-fit would get.

fake_worker.py MODE RESULT.json ... --serve
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

mode, result = sys.argv[1], sys.argv[2]
cancelled = set()


def send(event, **values):
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def noise():
    for line in ("INFO: hello from a library", "{not json", '{"a": 1}', "\x1b[31mred\x1b[0m", "[1, 2]"):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
    sys.stdout.buffer.write(b"\xff\xfe\x00rubbish\n" + b"x" * 3_000_000 + b"\n")
    sys.stdout.buffer.flush()


def wait(seconds, number):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if number in cancelled and mode != "deaf":
            send("error", id=number, code="cancelled", message="Cancelled.")
            send("done", id=number, seconds=0)
            return True
        time.sleep(0.01)
    return False


def fit(request):
    number, photo = request["id"], request["inputs"][0]
    if mode == "several":  # results lie beside the photos
        Path(result).parents[1].joinpath("last_request.json").write_text(json.dumps(request))
        for photo in request["inputs"]:
            path = Path(photo).with_suffix(".json")
            path = path if path.is_file() else Path(result)
            send("result", id=number, input=photo, status="ok", people=2, path=str(path))
        send("done", id=number, seconds=0.1)
        return
    error = {"unreadable": "unreadable", "model": "model_missing", "memory": "out_of_memory"}.get(mode)
    send("progress", id=number, done=0, total=1, text="loading models")
    if mode == "noisy":
        noise()
    if mode == "later":
        sys.stderr.write("Segmentation fault\n")
        sys.stderr.flush()
        os._exit(139)
    if mode in ("hangs", "deaf"):
        time.sleep(600)
    if (mode == "slow" or (mode == "ui" and request["options"]["refine"] == "all")) and wait(600, number):
        return
    for k in range(3):
        send("progress", id=number, done=0, total=1, text=f"step {k}", stage=("read", "people", "fit")[k])
        if wait(0.6 if mode == "ui" else 0.05, number):  # long enough to be seen at work
            return
    send("warning", id=number, input=photo, message="from the worker")
    if error:
        send("error", id=number, code=error, message=f"about {error}.", input=photo)
    elif mode == "nobody":
        send("result", id=number, input=photo, status="no_person", people=0, path=result)
    elif mode == "lies":
        send("result", id=number, input=photo, status="ok", people=1, path=result + ".not_there.json")
    elif mode != "silent":
        send("result", id=number, input=photo, status="ok", people=2, path=result)
    send("progress", id=number, done=1, total=1, text="done")
    send("done", id=number, seconds=0.1)


def garment(request):
    number, out = request["id"], request["out"]
    shutil.copyfile(Path(result).parents[1] / f"garment_{request['body']}.npz", out)
    send("result", id=number, input=request["garment"], status="ok", message="", path=out, outputs=[out])
    send("done", id=number, seconds=0.1)


def answer(request):
    if request["request"] == "fit":
        fit(request)
    elif request["request"] == "garment":
        garment(request)
    elif request["request"] == "check":
        lines = [("Python", "ok"), ("torch", "ok"), ("open body", "ok"), ("extra video", "note"), ("odd", "missing")]
        checks = [{"name": name, "status": status, "detail": "9.9", "fix": ""} for name, status in lines]
        send("check", id=request["id"], checks=checks)
        send("done", id=request["id"], seconds=0)


def main():
    if mode == "dies":
        sys.exit("no module named torch")
    if mode == "mute":
        time.sleep(600)
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode in ("stubborn", "deaf"):  # a child that must not outlive it
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        sys.stderr.write(f"child {child.pid}\n")
        sys.stderr.flush()
    if mode == "noisy":
        noise()
    about = {"dsr": "0.0.0", "schema": 1, "python": "3", "torch": "2", "pid": os.getpid(), "clips": mode == "several"}
    send("hello", protocol=7 if mode == "version" else 1, **about)
    if mode == "idle":
        sys.stdin.readline()
        return
    requests = []

    def read():
        for line in sys.stdin:
            request = json.loads(line)
            if request["request"] == "cancel":
                cancelled.add(request["id"])
            if request["request"] in ("prepare", "cancel"):
                with Path(result).parents[1].joinpath("ready_requests.jsonl").open("a") as log:
                    log.write(line)
            else:
                requests.append(request)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        if requests:
            answer(requests.pop(0))
        time.sleep(0.005)


main()
