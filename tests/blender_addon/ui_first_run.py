"""From an empty Blender and the zip with the runtime to a body, in the real interface: clicks, minutes, screenshots.

python tests/blender_addon/ui_first_run.py ZIP PHOTO SCREENSHOTS
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from ui_driver import FIT_BUTTON, PATH_FIELD, TAB, VIEW, Interface

INSTALL_BUTTON, OK_BUTTON = (1205, 140), (1205, 300)
"""Where they lie in the empty panel, and in the dialog that asks for consent."""


def first_run(interface: Interface, photo: Path, shots: Path, install_s: float = 1800.0) -> dict:
    """Tab, Install, OK, photo, Fit; what was seen, the clicks and the seconds."""
    shots.mkdir(parents=True, exist_ok=True)
    began, clicks = time.monotonic(), 0

    def click(place: tuple[int, int], true) -> None:
        nonlocal clicks
        interface.insist(lambda: interface.click(*place), true)
        clicks += 1

    click(TAB, lambda s: s["drawn"] > 0)
    interface.settle()
    interface.shot(shots / "1_empty.png")
    interface.click(*INSTALL_BUTTON)
    clicks += 1
    time.sleep(1.0)
    interface.shot(shots / "2_consent.png")
    interface.xdotool("key", "Return")
    clicks += 1
    interface.until(lambda s: s["installing"] >= 0, 20)
    time.sleep(6.0)
    interface.shot(shots / "3_installing.png")
    state = interface.until(lambda s: s["installing"] < 0, install_s)
    installed = time.monotonic() - began
    interface.hover(*VIEW)
    time.sleep(1.0)
    interface.shot(shots / "4_installed.png")
    if state["message"]:
        return {"message": state["message"], "seconds": installed}
    interface.insist(lambda: interface.type(*PATH_FIELD, str(photo)), lambda s: s["image"] == str(photo))
    clicks += 1
    interface.hover(*VIEW)
    interface.until(lambda s: s["preview"] > 0, 20)
    interface.settle()
    click(FIT_BUTTON, lambda s: s["running"] or s["fits"])
    fitted = interface.until(lambda s: not s["running"], 300)
    time.sleep(1.5)
    interface.shot(shots / "5_body.png")
    about = {key: fitted[key] for key in ("note", "message", "objects", "warnings", "active")}
    return {**about, "clicks": clicks, "install_s": installed, "seconds": time.monotonic() - began}


def main(argv: list[str]) -> int:
    """Prints what was seen."""
    archive, photo, shots = (Path(word).resolve() for word in argv)
    interface = Interface(Path(tempfile.mkdtemp(prefix="fitbody")), archive, "")
    try:
        seen = first_run(interface, photo, shots)
    finally:
        interface.close()
    sys.stdout.write(json.dumps(seen, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
