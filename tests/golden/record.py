"""Record our own outputs: ``python tests/golden/record.py [ROOM ...]``.

Run it only where the authors' vectors are beside the project and their tests pass: what it writes is what every clone
without them compares with. It prints which outputs changed; without a change no file is touched.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]


def main(argv: list[str] | None = None) -> int:
    """Record the rooms named, or all."""
    rooms = sorted(path.stem.removeprefix("test_recorded_") for path in HERE.glob("test_recorded_*.py"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=", ".join(rooms))
    for room in parser.parse_args(argv).rooms or rooms:
        recording = importlib.import_module(f"test_recorded_{room}").recording
        changed = recording.write()
        size = recording.path.stat().st_size
        print(f"{room}: {len(recording.cases)} cases, {size / 1024:.0f} kB, {len(changed)} outputs changed")  # noqa: T201
        for key in changed[:10]:
            print(f"  {key}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
