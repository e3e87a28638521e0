"""Drives a real Blender under Xvfb from outside: mouse, keys, screenshots. Also a command:

python tests/blender_addon/ui_driver.py PHOTO PYTHON SCREENSHOTS
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).resolve().parent
SYSTEM_PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = ("blender", "Xvfb", "xdotool")
WIDTH, HEIGHT = 1600, 1000


def missing() -> str:
    """What cannot be found, "" where all is there."""
    gone = [tool for tool in TOOLS if shutil.which(tool, path=SYSTEM_PATH) is None]
    return (
        ""
        if not gone
        else f"needs {', '.join(gone)}: apt-get install blender xvfb xdotool libgl1-mesa-dri python3-numpy"
    )


def blender_environment(folder: Path, **more: str) -> dict[str, str]:
    """No virtual environment may leak into Debian's Blender: it would take its Python from there."""
    dropped = ("VIRTUAL_ENV", "LD_LIBRARY_PATH", "FITBODY_PYTHON", "DSR_PYTHON")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k not in dropped}
    (folder / "user").mkdir(parents=True, exist_ok=True)
    return {**kept, "PATH": SYSTEM_PATH, "BLENDER_USER_RESOURCES": str(folder / "user"), "HOME": str(folder), **more}


class NoInterface(RuntimeError):
    """No window of Blender comes up on this machine at all."""


def version() -> str:
    """Of the system's Blender, "3.4.1" for example."""
    run = subprocess.run(
        ["blender", "--version"], env={**os.environ, "PATH": SYSTEM_PATH}, capture_output=True, text=True, timeout=60
    )
    return run.stdout.split()[1] if run.stdout.startswith("Blender ") else ""


class Interface:
    """A Blender with the add-on installed, its window on a display of its own.

    Args:
        folder: for everything it writes.
        zip_path: the add-on.
        python: of the worker.
        module: name of the add-on.

    Raises:
        RuntimeError: if the add-on cannot be installed, or fails in the window.
        NoInterface: if Xvfb or Blender's window does not come up.
    """

    def __init__(self, folder: Path, zip_path: Path, python: str, module: str = "dsr_fit_body") -> None:
        self.folder = folder
        self.environment = blender_environment(folder, LIBGL_ALWAYS_SOFTWARE="1")
        install = ["blender", "-b", "--python-exit-code", "1", "-P", str(HERE / "ui_install.py")]
        run = subprocess.run(
            [*install, "--", str(zip_path), module, python],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
        )
        if run.returncode:
            raise RuntimeError(run.stdout[-2000:] + run.stderr[-2000:])
        self._display()
        script = ["--python", str(HERE / "ui_inside.py"), "--", str(folder)]
        log = (folder / "blender.log").open("w")
        window = ["blender", "--window-geometry", "0", "0", str(WIDTH), str(HEIGHT)]
        self.blender = subprocess.Popen(
            [*window, *script], env=self.environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            self.state(timeout=90)
        except (RuntimeError, TimeoutError) as error:
            self._kill()
            log = (folder / "blender.log").read_text(errors="replace")
            if "Traceback" in log and ("ui_inside.py" in log or module in log):
                raise RuntimeError(log[-2000:]) from error  # the window came, and the add-on or this driver broke
            raise NoInterface(str(error)) from error
        time.sleep(1)

    def _display(self) -> None:
        read, write = os.pipe()
        screen = f"{WIDTH}x{HEIGHT}x24"
        self.xvfb = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", screen, "+extension", "GLX", "+render", "-noreset"],
            env=self.environment,
            pass_fds=(write,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise NoInterface("Xvfb did not start")
        self.environment["DISPLAY"] = f":{number}"

    def close(self) -> int:
        """Quit Blender; its exit code."""
        try:
            (self.folder / "do.quit").write_text("x")
            return self.blender.wait(30)
        finally:
            self._kill()

    def _kill(self) -> None:
        for process in (self.blender, self.xvfb):
            if process.poll() is None:
                process.kill()
                process.wait(10)

    def ask(self, request: str, reply: str, text: str, timeout: float = 30.0):
        """Leave a request file and wait for the reply file."""
        answer = self.folder / reply
        answer.unlink(missing_ok=True)
        (self.folder / f"{request}.part").write_text(text)
        (self.folder / f"{request}.part").rename(self.folder / request)
        until = time.monotonic() + timeout
        while not answer.exists():
            if self.blender.poll() is not None:
                raise RuntimeError("Blender ended: " + (self.folder / "blender.log").read_text()[-2000:])
            if time.monotonic() > until:
                raise TimeoutError(f"{request}: " + (self.folder / "blender.log").read_text()[-2000:])
            time.sleep(0.02)
        return json.loads(answer.read_text())

    def state(self, timeout: float = 30.0) -> dict:
        """What Blender says about itself."""
        return self.ask("do.state", "state.json", "x", timeout)

    def shot(self, path: Path) -> Path:
        """A screenshot of the whole window."""
        path.unlink(missing_ok=True)
        self.ask("do.shot", "shot.json", str(path))
        return path

    def run(self, code: str) -> None:
        """Python inside Blender, for setting up only."""
        error_text = self.ask("do.run", "run.json", code)
        if error_text:
            raise RuntimeError(error_text)

    def xdotool(self, *translate: str) -> None:
        """One call of xdotool."""
        subprocess.run(["xdotool", *translate], env=self.environment, check=True, stderr=subprocess.DEVNULL, timeout=30)

    def hover(self, x: int, y: int) -> None:
        """Blender must have seen the pointer over a button before it takes a click."""
        self.xdotool("mousemove", str(x - 6), str(y - 4))
        time.sleep(0.15)
        self.xdotool("mousemove", str(x), str(y))
        time.sleep(0.5)

    def click(self, x: int, y: int, times: int = 1) -> None:
        """Left button."""
        self.hover(x, y)
        self.xdotool("click", "--repeat", str(times), "--delay", "80", "1")
        time.sleep(0.4)

    def type(self, x: int, y: int, text: str) -> None:
        """Into a text field."""
        self.click(x, y, 2)
        self.xdotool("key", "ctrl+a")
        self.xdotool("type", "--delay", "15", text)
        self.xdotool("key", "Return")
        time.sleep(0.4)

    def settle(self, timeout: float = 60.0) -> None:
        """Wait until the first drawings (shaders are compiled, in software) are over."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            began = time.monotonic()
            time.sleep(1.5)
            rate, _ = beats_per_second(self.state()["beats"], began, time.monotonic())
            if rate > 8:
                return

    def insist(self, act, true, tries: int = 6) -> dict:
        """Do something until Blender has taken it: a busy machine eats clicks."""
        for _ in range(tries):
            act()
            for _ in range(8):
                now = self.state()
                if true(now):
                    return now
                time.sleep(0.15)
        raise TimeoutError(json.dumps({k: v for k, v in now.items() if k != "beats"}))

    def after(self, key: str, true, timeout: float = 15.0) -> dict:
        """Press a key once and wait; the state, also where the condition did not come true."""
        self.xdotool("key", key)
        end = time.monotonic() + timeout
        while not true(now := self.state()) and time.monotonic() < end:
            time.sleep(0.1)
        return now

    def until(self, true, timeout: float) -> dict:
        """Wait for a condition on the state."""
        end = time.monotonic() + timeout
        while True:
            now = self.state()
            if true(now):
                return now
            if time.monotonic() > end:
                raise TimeoutError(json.dumps({k: v for k, v in now.items() if k != "beats"}))
            time.sleep(0.1)


# Where things are in Blender 3.4.1 in a window of 1600 x 1000 with its factory layout.
TAB = (1308, 250)
"""The "Fit Body" tab."""
PATH_FIELD, FIT_BUTTON, CANCEL_BUTTON, VIEW = (1180, 150), (1205, 499), (1240, 528), (600, 600)
"""The buttons as they lie below the picture of a photo."""


def beats_per_second(beats: list[float], begin: float, end: float) -> tuple[float, float]:
    """Ticks per second of Blender's interface between two times, and the longest pause."""
    inside = [t for t in beats if begin <= t <= end]
    pauses = [b - a for a, b in pairwise(inside)]
    return (len(inside) / max(end - begin, 1e-9), max(pauses, default=end - begin))


BODY_HEADER = (1150, 613)
"""Of the sub-panel, when nothing but the outcome stands above it."""
NO_WARNINGS = "import dsr_fit_body.session as s; s.STATE.warnings = []; s.redraw()"


def session(interface: Interface, photo: Path, shots: Path) -> dict:
    """What a user does: tab, photo, Fit, look, undo, redo, fit again, cancel. Returns what was seen on the way."""
    shots.mkdir(parents=True, exist_ok=True)
    seen: dict = {"start": interface.state()}
    interface.insist(lambda: interface.click(*TAB), lambda s: s["drawn"] > 0)
    seen["typed"] = interface.insist(
        lambda: interface.type(*PATH_FIELD, str(photo)), lambda s: s["image"] == str(photo)
    )
    interface.hover(*VIEW)
    seen["preview"] = interface.until(lambda s: s["preview"] > 0, 20)
    interface.settle()
    interface.shot(shots / "1_before.png")
    interface.settle()
    seen["pressed"] = interface.insist(lambda: interface.click(*FIT_BUTTON), lambda s: s["running"] or s["fits"])
    interface.until(lambda s: s["fraction"] > 0 or not s["running"], 60)
    time.sleep(1.0)  # the panel is drawn
    interface.shot(shots / "2_running.png")
    seen["fitted"] = interface.until(lambda s: not s["running"], 180)
    time.sleep(1.0)
    interface.shot(shots / "3_after.png")
    interface.run(NO_WARNINGS)
    interface.settle()
    interface.insist(lambda: interface.click(*BODY_HEADER), lambda s: s["sliders"] > 0)
    interface.shot(shots / "3_sliders.png")
    interface.click(*BODY_HEADER)
    interface.hover(*VIEW)
    before, after = seen["start"]["objects"], seen["fitted"]["objects"]
    seen["undone"] = interface.after("ctrl+z", lambda s: s["objects"] == before)
    time.sleep(0.5)  # the view is drawn
    interface.shot(shots / "4_undone.png")
    seen["redone"] = interface.after("ctrl+shift+z", lambda s: s["objects"] == after)
    interface.settle()
    interface.insist(lambda: interface.click(*FIT_BUTTON), lambda s: s["running"] or len(s["fits"]) > 1)
    seen["again"] = interface.until(lambda s: not s["running"] and len(s["fits"]) > 1, 120)
    seen["first_s"], seen["further_s"] = seen["again"]["fits"][:2]  # from the press to bodies that are drawn
    interface.settle()
    interface.run("bpy.context.window_manager.dsr_fit_body.refine = 'all'")  # takes long enough to be cancelled
    interface.insist(lambda: interface.click(*FIT_BUTTON), lambda s: s["running"])
    began = time.monotonic()
    time.sleep(2.5)
    seen["busy"] = interface.state()
    seen["beats"], seen["longest_pause_s"] = beats_per_second(seen["busy"]["beats"], began, time.monotonic())
    interface.click(*CANCEL_BUTTON)
    seen["cancelled"] = interface.until(lambda s: not s["running"], 30)
    time.sleep(0.5)
    interface.shot(shots / "5_cancelled.png")
    interface.run("bpy.context.preferences.view.language = 'de_DE'")
    time.sleep(1.0)
    interface.shot(shots / "6_german.png")
    seen["german"] = interface.state()
    seen["load"] = os.getloadavg()[0]
    return seen


def main(argv: list[str]) -> int:
    """Photo to body with a real worker; prints what was seen."""
    photo, python, shots = argv
    folder = Path(tempfile.mkdtemp(prefix="fitbody"))
    build = [sys.executable, str(HERE.parents[1] / "blender_addon" / "build.py"), "--out", str(folder)]
    subprocess.run(build, check=True, stdout=sys.stderr)
    interface = Interface(folder, next(folder.glob("*.zip")), python)
    try:
        seen = session(interface, Path(photo).resolve(), Path(shots))
    finally:
        interface.close()
    for state in seen.values():
        if isinstance(state, dict):
            state.pop("beats", None)
    sys.stdout.write(json.dumps(seen, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
