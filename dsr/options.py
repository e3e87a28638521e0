"""What a fit can be told: the one dataclass behind ``dsr.fit_images`` and ``dsr-fit``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class FitOptions:
    """Options of :func:`dsr.fit_images`; the comment under a field is its help text in ``dsr-fit``."""

    person: str = "all"
    """Who to fit: ``all``, ``largest``, or a number counted from the left, starting at 0."""
    min_score: float = 0.5
    """Detections below this score are ignored (0 to 1)."""
    keypoints: Path | None = None
    """Folder of keypoint files to use instead of the detector: ``<stem>_keypoints.json`` (OpenPose) or one COCO JSON."""
    boxes: Path | None = None
    """JSON file of person boxes to use instead of the detector: ``{"photo.jpg": [[x, y, width, height], ...]}``."""
    focal: float | None = None
    """Focal length in pixels of the full, upright picture."""
    focal35: float | None = None
    """35 mm equivalent focal length in millimetres (by the picture's diagonal)."""
    fov: float | None = None
    """Horizontal field of view in degrees."""
    height: float | None = None
    """Body height in metres; fixes the metric scale for everybody in the picture."""
    body: str = "open"
    """Body model: ``open``, or a path to a licensed SMPL or SMPL-X file."""
    regressor: str = "default"
    """What predicts the body first: ``default`` starts from the detector's 3D landmarks."""
    refine: Literal["none", "joints", "semantic", "all"] = "none"
    """Extra refinement after the fit: ``joints`` runs more starts and keeps the best."""
    quality: Literal["fast", "standard", "best"] = "standard"
    """How much time to spend on finding people and fitting them."""
    clothing: Literal["auto", "tight", "off"] = "auto"
    """How clothing is treated by the semantic refinement."""
    device: str = "auto"
    """``auto``, ``cpu`` or ``cuda``."""
    seed: int = 0
    """Seed of everything random; the same seed gives the same bodies."""
