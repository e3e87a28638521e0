"""Checks inside Blender: ``python run_checks.py FOLDER`` with the bpy wheel, ``blender -b -P run_checks.py -- FOLDER``.

Reads what the test wrote into the folder, prints one JSON line per check: its name, what went wrong, and figures.
"""

import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

CHECKS = importlib.import_module("check_tools").CHECKS
for module in sorted(HERE.glob("checks_*.py")):
    importlib.import_module(module.stem)


def main():
    selected = os.environ.get("ADDON_CHECKS", "").split()
    for function in CHECKS:
        if selected and function.__name__ not in selected:
            continue
        line = {"check": function.__name__, "error": "", "figures": {}}
        began = time.perf_counter()
        try:
            line["figures"] = function() or {}
        except Exception:
            line["error"] = traceback.format_exc()
        line["seconds"] = round(time.perf_counter() - began, 2)
        sys.stdout.write("\nCHECK " + json.dumps(line) + "\n")  # importers print without a line break
        sys.stdout.flush()


main()
