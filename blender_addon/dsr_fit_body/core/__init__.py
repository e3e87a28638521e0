# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that needs numpy and files only: no Blender, no torch."""
