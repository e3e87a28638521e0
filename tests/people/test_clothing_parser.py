"""The parser without a network: skin of every tone told from cloth, hems where they are, pictures without colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dsr.body import load_asset
from dsr.camera import PictureCamera
from dsr.clothing.bare import PARTS, body_parts
from dsr.clothing.groups import GROUP_OF_LABEL, GROUPS, HAIR, LOWER, SHOES, SKIN, UPPER, group_shares
from dsr.clothing.labels import LABELS
from dsr.clothing.prior import load_clothing_prior
from dsr.people.clothing_map import ClothingMap
from dsr.people.parser import parse_clothing
from dsr.people.skin import calibrate_skin, colour_features
from dsr.people.types import Detection, PersonMask
from dsr.rendering.zbuffer import rasterise

SIZE = 320
K = np.array([[480.0, 0, SIZE / 2], [0, 480.0, SIZE / 2], [0, 0, 1]])
WHITE = (225, 225, 225)
TONES = {"light": (242, 208, 182), "middle": (198, 141, 104), "dark": (82, 54, 37)}


@pytest.fixture(scope="module")
def body():
    asset = load_asset("open")
    vertices = asset.v_template * [1.0, -1.0, -1.0] + [0.0, -0.05, 3.2]
    return asset, load_clothing_prior(asset), vertices


def scene(
    body, tone, light=1.0, sleeve=0.35, hem=-0.35, top=(60, 90, 190), bottom=(70, 75, 70), noise=6.0, shoes=WHITE
):
    """A T-shirt, shorts, shoes and hair painted onto the body: picture, groups, detection."""
    asset, _, vertices = body
    seen = rasterise(vertices, asset.faces, K, (SIZE, SIZE), cull_back=True)
    x, y, z = seen.interpolate(asset.v_template).T
    group = np.full(len(x), SKIN)
    group[(y < -0.84)] = SHOES
    group[(y > hem) & (y < 0.1) & (np.abs(x) < 0.3)] = LOWER
    group[(y > 0.05) & (y < 0.5) & (np.abs(x) < sleeve)] = UPPER
    group[(y > 0.70) | ((y > 0.62) & (z < 0.02))] = HAIR
    colours = np.array([(0, 0, 0), tone, (50, 32, 22), top, bottom, shoes], float)
    rng = np.random.default_rng(3)
    picture = np.full((SIZE, SIZE, 3), (126.0, 140.0, 120.0))
    shade = 0.75 + 0.25 * np.cos(6 * y)
    picture[seen.covered] = colours[group] * shade[:, None]
    picture = np.clip(light * picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
    groups = np.zeros((SIZE, SIZE), int)
    groups[seen.covered] = group
    points = asset.keypoint_regressor("blazepose33") @ vertices
    pixels = points[:, :2] / points[:, 2:] * K[0, 0] + K[0, 2]
    mask = PersonMask(np.array([0.0, 0, SIZE, SIZE]), seen.covered.astype(np.float32))
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    return picture, groups, Detection(box, 1.0, "blazepose33", pixels, np.ones(33), mask=mask)


def iou(first, second):
    return (first & second).sum() / max((first | second).sum(), 1)


def parsed(body, picture, detection):
    asset, prior, vertices = body
    result = parse_clothing(detection, vertices, asset, prior, PictureCamera(K, (SIZE, SIZE)), picture)
    assert result is not None
    at = np.arange(SIZE) + 0.5
    labels, confidence = result.at(at, at)
    return np.where(labels < 0, 0, GROUP_OF_LABEL[labels]), labels, confidence


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("light", [0.5, 1.0])
def test_groups_of_every_tone_in_dim_and_in_good_light(body, tone, light):
    picture, truth, detection = scene(body, TONES[tone], light, noise=3.0)
    groups, labels, confidence = parsed(body, picture, detection)
    assert iou(groups == SKIN, truth == SKIN) > 0.8
    assert iou(groups == UPPER, truth == UPPER) > 0.85
    assert iou(groups == LOWER, truth == LOWER) > 0.8
    assert iou(groups == SHOES, truth == SHOES) > 0.6
    assert tone == "dark" or iou(groups == HAIR, truth == HAIR) > 0.4  # dark hair on dark skin differs by nothing here
    person = truth > 0
    right, wrong = confidence[person & (groups == truth)], confidence[person & (groups != truth)]
    assert right.mean() > wrong.mean() + 0.05 and right.mean() > 0.8
    left, right_half = (
        labels[:, SIZE // 2 + 20 :],
        labels[:, : SIZE // 2 - 20],
    )  # who faces the camera has the left right
    for name, other in (("left", left), ("right", right_half)):
        opposite = "right" if name == "left" else "left"
        assert not np.isin(other, [LABELS.index(f"{opposite}Arm"), LABELS.index(f"{opposite}Leg")]).any()


@pytest.mark.parametrize(("sleeve", "hem"), [(0.2, -0.2), (0.64, -0.8)])
def test_hems_lie_where_the_picture_has_them(body, sleeve, hem):
    picture, truth, detection = scene(body, TONES["middle"], sleeve=sleeve, hem=hem)
    groups, _, _ = parsed(body, picture, detection)
    assert iou(groups == SKIN, truth == SKIN) > 0.75
    assert iou(groups == UPPER, truth == UPPER) > 0.85 and iou(groups == LOWER, truth == LOWER) > 0.8


@pytest.mark.parametrize(("tone", "light"), [("middle", 1.2), ("dark", 0.75), ("dark", 1.2)])
def test_a_bare_trunk_is_skin_and_shorts_are_not(body, tone, light):
    """No garment of the prior's is a bare trunk; nearly all of it looks like the face, in somewhat other light."""
    trunk = (light * np.array(TONES[tone])).tolist()
    picture, truth, detection = scene(body, TONES[tone], top=trunk, sleeve=0.2)
    groups, _, _ = parsed(body, picture, detection)
    assert (groups[truth == UPPER] == SKIN).mean() > 0.8
    assert iou(groups == LOWER, truth == LOWER) > 0.8


def test_bare_trunk_and_feet_in_other_light_than_the_face(body):
    """Daylight from above: bluer and brighter. What limbs and trunk have in common says what feet have to look like."""
    tone = np.array(TONES["middle"])
    picture, truth, detection = scene(
        body, tone, top=tone * (1.05, 1.13, 1.22), sleeve=0.2, shoes=tone * (1.25, 1.4, 1.42)
    )
    groups, _, _ = parsed(body, picture, detection)
    assert (groups[truth == UPPER] == SKIN).mean() > 0.8
    assert (groups[truth == SHOES] == SKIN).mean() > 0.75
    assert iou(groups == LOWER, truth == LOWER) > 0.8


@pytest.mark.parametrize("bottom", [(70, 75, 70), (60, 40, 120)])
def test_limbs_tell_the_skin_of_somebody_without_a_face(body, bottom):
    """Seen from behind, or behind somebody: arms and shins of one colour are skin, and so is the trunk then."""
    picture, truth, detection = scene(body, TONES["middle"], top=TONES["middle"], sleeve=0.2, bottom=bottom)
    unseen = replace(detection, confidence=np.zeros(33))
    groups, _, _ = parsed(body, picture, unseen)
    assert (groups[truth == UPPER] == SKIN).mean() > 0.8 and iou(groups == LOWER, truth == LOWER) > 0.8
    clothed, truth, _ = scene(body, TONES["middle"], top=(60, 90, 190), sleeve=0.64, bottom=bottom, hem=-0.8)
    groups, _, _ = parsed(body, clothed, unseen)
    assert (groups[truth == UPPER] == SKIN).mean() < 0.1 and (groups[truth == LOWER] == SKIN).mean() < 0.1


def test_white_clothes_in_too_much_light_and_gloves_are_no_skin(body):
    """A channel that is full has lost its colour, and dark gloves are the colour of nobody's skin."""
    picture, truth, detection = scene(body, TONES["light"], light=1.3, top=(252, 250, 240), bottom=(252, 250, 240))
    groups, _, _ = parsed(body, picture, detection)
    assert (groups[truth == UPPER] == SKIN).mean() < 0.2 and (groups[truth == LOWER] == SKIN).mean() < 0.2
    picture, truth, detection = scene(body, (52, 50, 58), bottom=(45, 44, 50))
    groups, _, _ = parsed(body, picture, detection)
    assert (groups[truth == LOWER] == SKIN).mean() < 0.4


def test_parts_of_a_body_are_where_their_names_say(body):
    asset, _, _ = body
    part = np.array(PARTS)[body_parts(asset)]
    middle = {name: np.abs(asset.v_template[part == name]).mean(0) for name in PARTS}
    height = {name: asset.v_template[part == name][:, 1].mean() for name in PARTS}
    assert height["head"] > height["trunk"] > height["pelvis"] > height["thigh"] > height["shin"] > height["foot"]
    assert middle["hand"][0] > middle["forearm"][0] > middle["upper arm"][0] > middle["trunk"][0]


def test_without_a_mask_there_is_nothing_to_say(body):
    asset, prior, vertices = body
    picture, _, detection = scene(body, TONES["light"])
    camera = PictureCamera(K, (SIZE, SIZE))
    assert parse_clothing(replace(detection, mask=None), vertices, asset, prior, camera, picture) is None
    assert parse_clothing(detection, vertices + np.array([50.0, 0, 0]), asset, prior, camera, picture) is None


def test_a_picture_without_colours_is_parsed_all_the_same(body):
    picture, truth, detection = scene(body, (190, 190, 190), top=(60, 60, 60), bottom=(25, 25, 25))
    grey = np.repeat(picture.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    groups, _, _ = parsed(body, grey, detection)
    assert iou(groups == UPPER, truth == UPPER) > 0.6 and iou(groups > 0, truth > 0) > 0.9


def test_half_a_picture_gives_the_same_labels(body):
    """The picture may have been reduced when it was read; boxes and masks speak of the full one."""
    picture, truth, detection = scene(body, TONES["middle"])
    groups, _, _ = parsed(body, np.ascontiguousarray(picture[::2, ::2]), detection)
    assert iou(groups == SKIN, truth == SKIN) > 0.7 and iou(groups == UPPER, truth == UPPER) > 0.8


def test_skin_is_calibrated_on_what_is_skin_and_general_where_it_is_not():
    rng = np.random.default_rng(0)
    skin = colour_features(np.clip(np.array(TONES["dark"]) + rng.normal(0, 4, (200, 3)), 0, 255))
    model = calibrate_skin(skin, np.ones(200))
    assert model.calibrated and model.has_colour and np.median(model.distance2(skin)) < 3
    assert model.distance2(colour_features(np.array([40, 60, 160]))) > 9
    shadow = colour_features(0.6 * np.array(TONES["dark"]))
    assert model.distance2(shadow) < 9  # the same skin in shadow
    green = colour_features(np.tile([30, 160, 60], (200, 1)))
    assert not calibrate_skin(green, np.ones(200)).calibrated  # a mask is no skin
    assert not calibrate_skin(skin[:5], np.ones(5)).calibrated
    with_glasses = np.concatenate([skin, colour_features(np.full((60, 3), 10))])
    np.testing.assert_allclose(calibrate_skin(with_glasses, np.ones(260)).mean, model.mean, atol=0.1)


def test_groups_hold_every_label_once():
    assert sorted(label for members in GROUPS.values() for label in members) == sorted(LABELS)
    shares = group_shares(np.eye(20))
    np.testing.assert_array_equal(shares.argmax(1), GROUP_OF_LABEL)
    np.testing.assert_array_equal(shares.sum(1), 1)


def test_a_map_is_unknown_outside_of_its_box():
    labels = np.arange(6).reshape(2, 3)
    found, sure = ClothingMap(np.array([10.0, 20, 40, 40]), labels, np.full((2, 3), 0.5, np.float32)).at(
        np.array([5.0, 11, 25, 39, 41]), np.array([19.0, 21, 39, 45])
    )
    assert found.tolist() == [[-1] * 5, [-1, 0, 1, 2, -1], [-1, 3, 4, 5, -1], [-1] * 5]
    assert (sure > 0).sum() == 6
