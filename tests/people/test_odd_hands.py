"""Hands and faces in odd pictures: cut off, covered, mirrored, held by somebody else, masked, in profile, of a doll."""

from dataclasses import replace

import numpy as np
import pytest
from shared_data import photos
from test_hands import hand

from dsr.body import load_asset
from dsr.body.joints import flip_permutation, joint_names
from dsr.body.numpy_lbs import pose_vertices
from dsr.image import read_photo
from dsr.people import PeopleDetector
from dsr.people.expressive_face import FaceReader
from dsr.people.hands import HandFinder, settled
from dsr.people.regions import Pyramid
from dsr.rendering.drawing import draw, vertex_normals

SET = "blazepose33"
FLIP = list(flip_permutation(SET))


@pytest.fixture(scope="module")
def finder():
    return HandFinder(1)


@pytest.fixture(scope="module")
def scene():
    """A picture of three people who sit, their keypoints and confidences."""
    photo = read_photo(photos() / "astronauts_public_domain.jpg")
    people = PeopleDetector("fast", 1).detect(photo)
    return photo.rgb, [each.keypoints_px * photo.scale for each in people], [each.confidence for each in people]


@pytest.fixture(scope="module")
def seen(finder, scene):
    """Person, side and hand of the surest hand of the picture."""
    rgb, points, confidences = scene
    everybody = finder(Pyramid(rgb), points, confidences, SET)
    every = [(i, side, each) for i, hands in enumerate(everybody) for side, each in hands.items()]
    return max(every, key=lambda found: found[2].presence)


def covered(rgb, region, keep=()):
    """The picture with a grey square over a region, but for small squares around some points."""
    out = rgb.copy()
    half = 0.75 * region.side
    low, high = (np.array([region.u, region.v]) + np.array([[-half], [half]])).astype(int)
    low = np.maximum(low, 0)
    out[low[1] : high[1], low[0] : high[0]] = 128
    for u, v in np.asarray(keep, int):
        r = max(int(0.04 * region.side), 2)
        out[v - r : v + r, u - r : u + r] = rgb[v - r : v + r, u - r : u + r]
    return out


@pytest.mark.parametrize("visible", [0, 3])
def test_a_hand_of_which_hardly_a_point_is_seen_is_none(finder, scene, seen, visible):
    rgb, points, confidences = scene
    person, side, found = seen
    tips = found.points[[8, 12, 16][:visible], :2]
    picture = covered(rgb, found.region, tips.reshape(-1, 2))
    assert side not in finder(Pyramid(picture), [points[person]], [confidences[person]], SET)[0]


def test_a_hand_at_the_border_is_found_or_left_out_and_never_made_up_elsewhere(finder, scene, seen):
    rgb, points, confidences = scene
    person, side, found = seen
    for share in (0.2, 0.5, 0.8):
        box = found.points[:, 1]
        cut = rgb[: int(box.min() + share * np.ptp(box))]
        hands = finder(Pyramid(cut), [points[person]], [confidences[person]], SET)[0]
        if side in hands:
            here = hands[side]
            assert np.isfinite(here.points).all() and here.presence >= 0.5
            assert np.hypot(*(here.points[0, :2] - found.points[0, :2])) < 0.5 * found.region.side


def test_a_mirrored_picture_gives_the_mirrored_hands_to_the_other_sides(finder, scene):
    rgb, points, confidences = scene
    width = rgb.shape[1]
    there = finder(
        Pyramid(np.ascontiguousarray(rgb[:, ::-1])),
        [np.c_[width - each[FLIP, 0], each[FLIP, 1]] for each in points],
        [each[FLIP] for each in confidences],
        SET,
    )
    here = finder(Pyramid(rgb), points, confidences, SET)
    both = 0
    for mirrored, hands in zip(there, here, strict=True):
        for side, other in (("left", "right"), ("right", "left")):
            if side in mirrored and other in hands:
                both += 1
                back = mirrored[side].points[:, :2] * [-1, 1] + np.array([width, 0])
                off = np.linalg.norm(back - hands[other].points[:, :2], axis=1).mean()
                assert off < 0.1 * hands[other].region.side
    assert both >= 3


def test_people_who_hold_hands_keep_one_each():
    left, right = hand("left", at=(100.0, 100.0)), hand("right", at=(160.0, 100.0))
    assert settled([(0, left), (1, right)]) == [(0, left), (1, right)]
    same = replace(right, points=left.points + 3.0, region=left.region, wrist_distance=0.3)
    assert settled([(0, left), (1, same)]) == [(0, left)]


def test_crossed_arms_do_not_give_a_hand_to_both_wrists():
    held = hand("right", at=(200.0, 200.0))
    other = hand("left", at=(204.0, 200.0), side_probability=0.4)
    apart = hand("left", at=(330.0, 190.0))
    assert settled([(0, other), (0, held)]) == [(0, held)]
    assert len(settled([(0, apart), (0, held)])) == 2


def test_a_masked_mouth_is_said_to_be_covered(scene):
    rgb, points, _ = scene
    reader = FaceReader(1)
    for one in points:
        face = reader(Pyramid(rgb), one, SET)
        assert not face.mouth_covered
        masked = rgb.copy()
        chin = face.points[[234, 454, 152, 6], :2]
        low, high = chin.min(0).astype(int), chin.max(0).astype(int) + 1
        nose = int(face.points[197, 1])
        masked[nose : high[1], low[0] : high[0]] = (150, 190, 225)
        again = reader(Pyramid(masked), one, SET)
        assert again is None or again.mouth_covered


def test_a_dolls_hand_and_face_are_read_like_a_persons(finder):
    asset = load_asset("open-x")
    names = list(asset.joint_names)
    pose = np.zeros((54, 3))
    pose[names.index("left_shoulder") - 1] = [0.0, -0.35, -0.95]
    pose[names.index("left_elbow") - 1] = [0.0, 0.0, 2.0]
    vertices = pose_vertices(asset, np.zeros(10), pose, np.array([np.pi, 0, 0])) + np.array([0.0, 0.25, 2.2])
    K = np.array([[1100.0, 0, 360], [0, 1100.0, 360], [0, 0, 1]])
    faces = asset.faces[~asset.interior]
    drawn = draw(vertices, faces, K, (720, 720), vertex_normals(vertices, faces))
    picture = np.full((720, 720, 3), 90.0)
    light = 0.45 + 0.55 * np.clip(drawn.values @ [0.3, -0.4, -0.85], 0, 1)
    shown = drawn.face_index >= 0
    picture[shown] = np.array([215.0, 165, 140]) * light[:, None]
    points = asset.keypoint_regressors[SET] @ vertices @ K.T
    points = points[:, :2] / points[:, 2:]
    confidence = np.zeros(33)
    confidence[joint_names(SET).index("left_wrist")] = 1.0
    pyramid = Pyramid(picture.astype(np.uint8))
    assert set(finder(pyramid, [points], [confidence], SET)[0]) == {"left"}
    face = FaceReader(1)(pyramid, points, SET)
    assert face is not None and not face.mouth_covered


def test_a_face_in_profile_is_none_or_called_a_guess():
    from dsr.fitting.face_actions import read_face

    photo = read_photo(photos() / "skates_crowd.png")
    reader, guesses = FaceReader(1), 0
    for person in PeopleDetector("fast", 1).detect(photo):
        face = reader(Pyramid(photo.rgb), person.keypoints_px * photo.scale, SET)
        if face is not None:
            reading = read_face(face)
            assert np.isfinite(reading.jaw).all()
            if abs(reading.yaw) > np.radians(55):
                assert reading.gaze is None  # the eye that is seen says too little
                guesses += 1
    assert guesses <= 3
