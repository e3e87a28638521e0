"""Whether two output folders of ``dsr-fit`` hold the same results, byte by byte but for times: before, after a change.

Example:
    python benchmarks/same_results.py BEFORE AFTER

Everything that tells when or how fast a run was is left out (``timing_s`` and ``seconds``, a changed body file's time);
all else has to agree to the last byte: meshes, arrays, overlays, results and reports. Films (their encoder works
in several threads) and FBX files (they tell the time) differ from run to run and have to be there only. Exit code 1
where something differs.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

_TIMES = {"timing_s", "seconds", "started", "finished"}


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if key not in _TIMES}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def comparable(file: Path) -> bytes:
    """What of a file has to stay the same."""
    if file.suffix in (".fbx", ".mp4"):
        return b""
    data = file.read_bytes()
    if file.suffix == ".json":
        return json.dumps(_without_times(json.loads(data)), sort_keys=True).encode()
    if file.name == "report.csv":
        rows = csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))
        return repr([{k: v for k, v in row.items() if k not in _TIMES} for row in rows]).encode()
    return data


def main() -> int:
    """Print a line per kind of file, and every file that differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args()
    names = [
        {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
        for folder in (arguments.before, arguments.after)
    ]
    same: Counter[str] = Counter()
    different = [
        f"only in {folder}: {name}"
        for i, folder in enumerate((arguments.before, arguments.after))
        for name in sorted(names[i] - names[1 - i])
    ]
    for name in sorted(names[0] & names[1]):
        if comparable(arguments.before / name) == comparable(arguments.after / name):
            same["".join(Path(name).suffixes[-1:])] += 1
        else:
            different.append(f"differs: {name}")
    for suffix, count in sorted(same.items()):
        print(f"{count:5} {suffix or 'other'} files the same")
    for line in different:
        print(line)
    print(f"{sum(same.values())} files the same, {len(different)} not")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
