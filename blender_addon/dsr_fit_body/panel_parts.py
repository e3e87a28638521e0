# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces of panels: settings in a column, words at full width, lines that fold, text in lines."""

from __future__ import annotations

import textwrap
from typing import Any

import bpy


def props(column: Any, owner: Any, *names: str) -> None:
    """Settings below one another; check boxes get the whole width for their words."""
    for name in names:
        box = owner.bl_rna.properties[name].type == "BOOLEAN"
        (full_width(column) if box else column).prop(owner, name)


def full_width(layout: Any) -> Any:
    """A part of a layout in which words stand in the buttons: half of a narrow sidebar would cut them."""
    part = layout.column(align=True)
    part.use_property_split = False
    return part


def fold(layout: Any, owner: Any, name: str) -> Any:
    """A line that opens and closes what is below it; the row it is in."""
    row = layout.row(align=True)
    line = row.row(align=True)
    line.use_property_split, line.emboss, line.alignment = False, "NONE", "LEFT"
    line.prop(owner, name, icon="TRIA_DOWN" if getattr(owner, name) else "TRIA_RIGHT", toggle=True)
    return row


def paragraph(layout: Any, text: str, icon: str) -> None:
    """Text in lines that fit a narrow sidebar."""
    region = bpy.context.region
    width = max(24, int((region.width if region else 260) / 8.5) - 4)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(textwrap.wrap(text, width)[:8]):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")
