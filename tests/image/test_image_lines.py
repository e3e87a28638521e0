"""Straight edges of photographs, in pixels of the full picture."""

import numpy as np
from PIL import Image, ImageDraw

from dsr.image.lines import straight_lines


def test_edges_of_a_pole_are_found_where_they_are():
    picture = Image.new("RGB", (1600, 1200), (200, 200, 200))
    ImageDraw.Draw(picture).polygon([(700, 100), (760, 100), (860, 1100), (800, 1100)], fill=(30, 30, 40))
    small = np.asarray(picture.resize((800, 600)))  # a picture worked on at half its size
    lines = straight_lines(small, 1600)
    along = lines[:, 2:] - lines[:, :2]
    long = np.hypot(*along.T) > 700
    assert long.sum() >= 2
    assert np.abs(np.degrees(np.arctan(along[long, 0] / along[long, 1])) - np.degrees(np.arctan(0.1))).max() < 0.7
    at_600 = lines[long, 0] + (600 - lines[long, 1]) * along[long, 0] / along[long, 1]
    assert np.abs(np.sort(at_600)[[0, -1]] - [750, 810]).max() < 6


def test_a_plain_picture_has_none():
    assert straight_lines(np.full((60, 80, 3), 90, np.uint8), 80).shape == (0, 4)
    for shape in ((1, 1), (2, 3000), (900, 3)):
        assert straight_lines(np.full((*shape, 3), 90, np.uint8), shape[1]).shape == (0, 4)
