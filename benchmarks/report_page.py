"""How fast the page of ``dsr-fit report`` opens in Chromium, from its file: seconds until the first fit is shown.

    python benchmarks/report_page.py OUT [--fits 500] [--picture FILE.png]

OUT is an output folder of dsr-fit; its fits are repeated until there are so many. The same page with a twentieth of the
fits is opened beside it, so that the browser's own start can be told from the page's share.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "export")]

from browser import Browser, chromium  # noqa: E402

from dsr.export.report_page import ReportPage  # noqa: E402
from dsr.results.report import read_rows  # noqa: E402


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fits", type=int, default=500)
    parser.add_argument("--picture", type=Path, help="also take a screenshot")
    arguments = parser.parse_args()
    page, rows = ReportPage(arguments.folder), read_rows(arguments.folder)
    made = [page.fit(row, place) for place, row in enumerate(rows)]
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        for fits in (arguments.fits // 20, arguments.fits):
            repeated = [replace(made[i % len(made)], row={**made[i % len(made)].row, "i": i}) for i in range(fits)]
            path = page.write(Path(name) / f"{fits}.html", f"{fits} fits", repeated)
            browser = Browser(chromium())
            seconds = min(browser.open(path) for _ in range(3))
            script = float(browser.value("document.body.dataset.ready")) / 1000
            started = time.perf_counter()
            for _ in range(20):
                browser.press("j")
            step = (time.perf_counter() - started) / 20
            if arguments.picture:
                browser.picture(arguments.picture)
            browser.close()
            size = path.stat().st_size / 2**20
            figures[f"open_{fits}_s"] = seconds
            own = f"by its own clock {script:.2f} s"
            print(f"{fits:6} fits {size:8.1f} MB  open {seconds:5.2f} s ({own})  a key {step:.3f} s")
    print(json.dumps({"benchmark": "report_page", **figures}))


if __name__ == "__main__":
    main()
