"""Who is in a photograph and where: the BlazePose detector, imported detections, and whom to take."""

from dsr.people.detector import PeopleDetector
from dsr.people.imports import load_boxes, load_detections
from dsr.people.keypoint_sets import NAMES, mirror_order
from dsr.people.select import select_people
from dsr.people.types import Detection, PersonMask

__all__ = [
    "NAMES",
    "Detection",
    "PeopleDetector",
    "PersonMask",
    "load_boxes",
    "load_detections",
    "mirror_order",
    "select_people",
]
