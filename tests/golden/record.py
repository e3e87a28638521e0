"""Record our own outputs: ``python tests/golden/record.py [ROOM ...]``.

Run it after adding cases, for a new lifter say, or after a change of outputs on purpose; what it writes is what every
clone compares with. It prints per room how many outputs are new, changed, gone and as before: an addition changes none.
Where outputs change, the tests against the authors' vectors have to pass too, on a machine that has those vectors.
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
        changes = recording.write()
        size = recording.path.stat().st_size / 1024
        named = {"new": changes.added, "changed": changes.changed, "gone": changes.gone}
        counts = ", ".join(f"{len(keys)} {word}" for word, keys in named.items())
        print(f"{room}: {len(recording.cases)} cases, {size:.0f} kB; outputs: {counts}, {changes.unchanged} as before")  # noqa: T201
        for word, keys in named.items():
            for key in keys[:10]:
                print(f"  {word}: {key}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
