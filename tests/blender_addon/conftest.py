"""Lets the tests import the add-on as Blender does, from its folder."""

from __future__ import annotations

import sys
from pathlib import Path

ADDON = Path(__file__).resolve().parents[2] / "blender_addon"
sys.path.insert(0, str(ADDON))
