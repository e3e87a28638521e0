"""What every network here expects of its pictures."""

from __future__ import annotations

IMAGE_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue (0..1) that crops are normalised with: ImageNet's, as in SPIN, DSR and PersPose."""
IMAGE_STD = (0.229, 0.224, 0.225)
"""Standard deviation of red, green and blue, likewise."""
CROP_MARGIN = 1.2
"""Side of DSR's crop over the longer side of the person's box (its specification, 9.1)."""
UNKNOWN_FOCAL = 600.0
"""Focal length of PersPose's crops of 256 pixels where the picture's camera is not known (its specification, 2.1)."""
