"""Drives a headless Chromium over its debugging pipe, without another package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def chromium() -> str:
    """The program; the test is skipped where there is none."""
    found = next((path for path in map(shutil.which, _NAMES) if path), None)
    if found is None:
        pytest.skip("there is no Chromium here (Debian: apt-get install chromium)")
    return found


class Browser:
    """One page in a window of a given size.

    Args:
        program: from :func:`chromium`.
        size: of the window.
    """

    def __init__(self, program: str, size: tuple[int, int] = (1500, 950)) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        read_end, self._out = os.pipe()
        self._in, write_end = os.pipe()
        flags = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        command = [program, *flags, f"--user-data-dir={self._profile.name}", f"--window-size={size[0]},{size[1]}"]
        # the browser reads from descriptor 3 and writes to 4
        shell = f'exec "$0" "$@" --remote-debugging-pipe 3<&{read_end} 4>&{write_end} 2>/dev/null'
        self._process = subprocess.Popen(["bash", "-c", shell, *command], pass_fds=(read_end, write_end))
        os.close(read_end)
        os.close(write_end)
        self._buffer, self._count, self._session = b"", 0, ""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self("Page.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 120
        while True:
            while b"\0" not in self._buffer:
                ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
                data = os.read(self._in, 1 << 20) if ready else b""
                if not data:
                    raise TimeoutError(f"{method} was not answered")
                self._buffer += data
            line, self._buffer = self._buffer.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, path: Path) -> float:
        """Open a page from its file; seconds until the table and the first fit are shown."""
        started = time.perf_counter()
        self("Page.navigate", url=path.absolute().as_uri())
        while not self.value("document.body && document.body.dataset.ready"):
            assert time.perf_counter() - started < 120
            time.sleep(0.02)
        seconds = time.perf_counter() - started
        while not self.value("document.body.dataset.turns"):  # WebGL starts after the page is shown
            time.sleep(0.02)
        return seconds

    def value(self, expression: str) -> Any:
        """What an expression is on the page."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        codes = {"ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39, "End": 35, "Home": 36, "Escape": 27}
        for key in keys:
            text = {"text": key} if len(key) == 1 else {}
            for kind in ("keyDown", "keyUp"):
                code = codes.get(key, ord(key.upper()) if len(key) == 1 else 0)
                more = text if kind == "keyDown" else {}
                self("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    def picture(self, path: Path) -> None:
        """A screenshot as PNG."""
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End the browser."""
        os.close(self._out)
        os.close(self._in)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._profile.cleanup()
