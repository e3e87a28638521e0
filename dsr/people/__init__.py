"""Who is in a photograph and where: the BlazePose detector, imported detections, and whom to take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.people.clothing_map import ClothingMap as ClothingMap
    from dsr.people.detector import PeopleDetector as PeopleDetector
    from dsr.people.imports import check_people_file as check_people_file
    from dsr.people.imports import load_boxes as load_boxes
    from dsr.people.imports import load_detections as load_detections
    from dsr.people.naming import InputNames as InputNames
    from dsr.people.parser import parse_clothing as parse_clothing
    from dsr.people.select import select_people as select_people
    from dsr.people.types import Detection as Detection
    from dsr.people.types import PersonMask as PersonMask

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "clothing_map": ("ClothingMap",),
        "detector": ("PeopleDetector",),
        "imports": ("check_people_file", "load_boxes", "load_detections"),
        "naming": ("InputNames",),
        "parser": ("parse_clothing",),
        "select": ("select_people",),
        "types": ("Detection", "PersonMask"),
    },
)
