"""Faces in photographs: landmarks where they belong, and no face where there is none."""

import numpy as np
import pytest
from shared_data import photos

from dsr.body.joints import flip_permutation, joint_names
from dsr.image import read_photo
from dsr.people import PeopleDetector
from dsr.people.expressive_face import FaceReader
from dsr.people.regions import Pyramid

NAMES = joint_names("blazepose33")


@pytest.fixture(scope="module")
def reader():
    return FaceReader(1)


@pytest.fixture(scope="module")
def people():
    photo = read_photo(photos() / "astronauts_public_domain.jpg")
    return photo, [each.keypoints_px * photo.scale for each in PeopleDetector("fast", 1).detect(photo)]


def test_landmarks_lie_where_the_body_has_its_face(reader, people):
    photo, everybody = people
    assert len(everybody) == 3
    for points in everybody:
        face = reader(Pyramid(photo.rgb), points, "blazepose33")
        assert face.presence > 0.9 and 15 < face.eyes_px < 30
        for landmark, name in (
            (1, "nose"),
            (468, "right_eye"),
            (473, "left_eye"),
            (61, "mouth_right"),
            (291, "mouth_left"),
        ):
            off = np.hypot(*(face.points[landmark, :2] - points[NAMES.index(name)]))
            assert off < 0.5 * face.eyes_px, name
        assert face.points[1, 2] < face.points[[234, 454], 2].min()  # the nose is nearer than the ears


def test_irises_lie_within_the_lids(reader, people):
    photo, everybody = people
    for points in everybody:
        marks = reader(Pyramid(photo.rgb), points, "blazepose33").points[:, :2]
        for iris, (outer, inner), (upper, lower) in ((468, (33, 133), (159, 145)), (473, (263, 362), (386, 374))):
            across = marks[inner] - marks[outer]
            assert 0.2 < (marks[iris] - marks[outer]) @ across / (across @ across) < 0.8
            assert marks[upper, 1] < marks[lower, 1]
            assert marks[upper, 1] - 2 < marks[iris, 1] < marks[lower, 1] + 2


def test_a_mirrored_face_is_the_mirror_image(reader, people):
    photo, everybody = people
    points = everybody[1]
    width = photo.rgb.shape[1]
    flip = list(flip_permutation("blazepose33"))
    mirrored = np.c_[width - points[flip, 0], points[flip, 1]]
    there = reader(Pyramid(photo.rgb[:, ::-1]), mirrored, "blazepose33")
    here = reader(Pyramid(photo.rgb), points, "blazepose33")
    pairs = [(468, 473), (33, 263), (61, 291), (159, 386), (1, 1)]
    for a, b in pairs:
        assert np.hypot(there.points[a, 0] - (width - here.points[b, 0]), there.points[a, 1] - here.points[b, 1]) < 1.5


def test_no_face_no_landmarks(reader, people):
    photo, everybody = people
    assert reader(Pyramid(np.full_like(photo.rgb, 128)), everybody[0], "blazepose33") is None
    assert reader(Pyramid(photo.rgb), np.zeros((33, 2)), "blazepose33") is None  # no size at all
    away = everybody[0] + [0, 250]
    assert reader(Pyramid(photo.rgb), away, "blazepose33") is None
