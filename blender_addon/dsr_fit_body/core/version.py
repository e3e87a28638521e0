# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's version; an extension is loaded without ``bl_info``."""

from __future__ import annotations

VERSION = "0.1.0"
"""The same as in ``bl_info`` and in the manifest; the build command checks it."""
