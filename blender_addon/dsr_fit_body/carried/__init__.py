# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that dsr and this add-on share: they lie in a folder of dsr, and ``build.py`` puts a copy of them here."""

from pathlib import Path

__path__.append(str(Path(__file__).resolve().parents[3] / "dsr" / "export" / "carried"))
