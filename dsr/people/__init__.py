"""Who is in a photograph and where: the BlazePose detector and imported detections."""

from dsr.people.detector import PeopleDetector
from dsr.people.types import Detection, PersonMask

__all__ = ["Detection", "PeopleDetector", "PersonMask"]
