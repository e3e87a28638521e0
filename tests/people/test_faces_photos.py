"""People who are plain to see but whose trunk is not: cut off, behind things, in the dark, in crowds."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared_data import people_found, photos, real_views

from dsr.image import read_photo
from dsr.image.types import Photo
from dsr.people import Detection, PeopleDetector

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "images"
MADE = ("park_wave.jpg", "street_walk.jpg", "room_sit.jpg", "park_kick.jpg")


@cache
def detector(quality: str = "standard") -> PeopleDetector:
    return PeopleDetector(quality)  # type: ignore[arg-type]


def photo_of(rgb: np.ndarray) -> Photo:
    return Photo(Path("x.png"), np.ascontiguousarray(rgb), rgb.shape[1], rgb.shape[0], 1.0, "", "PNG")


def example(name: str) -> tuple[np.ndarray, Detection]:
    photo = read_photo(EXAMPLES / name)
    (person,) = detector().detect(photo)
    return photo.rgb, person


def at_the_head(people: list[Detection], person: Detection, shift: tuple[int, int] = (0, 0)) -> bool:
    """Whether somebody's nose is where a person's is, by a third of the head's and trunk's height."""
    shoulders = person.keypoints_px[[11, 12]].mean(0)
    reach = 0.5 * float(np.hypot(*(shoulders - person.keypoints_px[0])))
    return any(np.hypot(*(p.keypoints_px[0] + shift - person.keypoints_px[0])) < reach for p in people)


@pytest.mark.parametrize("quality", ["fast", "standard"])
@pytest.mark.parametrize("name", MADE)
def test_head_and_shoulders_are_a_person_with_legs_unseen(name: str, quality: str) -> None:
    rgb, person = example(name)
    points = person.keypoints_px
    shoulders = points[[11, 12]].mean(0)
    neck = float(np.hypot(*(shoulders - points[0])))
    top, bottom = points[0, 1] - 1.5 * neck, shoulders[1] + 0.6 * neck
    left, right = points[0, 0] - 2.5 * neck, points[0, 0] + 2.5 * neck
    x, y = max(0, round(left)), max(0, round(top))
    portrait = photo_of(rgb[y : round(bottom), x : round(right)])
    people = detector(quality).detect(portrait)
    assert len(people) == 1 and at_the_head(people, person, (x, y))
    outside = people[0].keypoints_px[:, 1] > portrait.height
    assert outside[25:].all()
    assert people[0].confidence[25:].max() < 0.5 < people[0].confidence[:9].min()


@pytest.mark.parametrize("name", MADE)
def test_behind_a_table_and_in_the_dark(name: str) -> None:
    rgb, person = example(name)
    points = person.keypoints_px
    waist = round(0.7 * points[[23, 24], 1].mean() + 0.3 * points[[11, 12], 1].mean())
    table = rgb.copy()
    table[waist:] = (96, 70, 52)
    assert at_the_head(detector().detect(photo_of(table)), person)
    noise = np.random.default_rng(1).normal(0, 2, rgb.shape)
    dark = np.clip(255 * 0.16 * (rgb / 255.0) ** 2.2 + noise, 0, 255).astype(np.uint8)
    assert dark.mean() < 25
    assert at_the_head(detector().detect(photo_of(dark)), person)


def test_legs_alone_are_a_person_whose_rest_is_not_seen() -> None:
    picture = Image.open(photos() / "000000196141.jpg").convert("RGB").crop((220, 140, 480, 370))
    (person,) = detector().detect(photo_of(np.asarray(picture)))
    legs = person.keypoints_px[25:29]
    assert np.all((legs >= 0) & (legs <= picture.size)) and person.confidence[25:29].min() > 0.5


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 120, 200)])
def test_nobody_in_plain_and_noisy_pictures(colour: tuple[int, int, int]) -> None:
    plain = np.full((300, 400, 3), colour, np.uint8)
    assert detector().detect(photo_of(plain)) == []
    noise = np.random.default_rng(0).integers(0, 60, plain.shape) + np.array(colour) // 2
    assert detector().detect(photo_of(noise.astype(np.uint8))) == []


def test_annotated_people_of_crowded_pictures_are_found() -> None:
    """By the neck, the last of AI Challenger's 14 points; nobody is found twice."""
    folder = people_found()
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    missed = []
    for image in truth["images"]:
        people = detector().detect(read_photo(folder / image["file_name"]))
        necks = np.array([p.keypoints_px[[11, 12]].mean(0) for p in people])
        for row in truth["annotations"]:
            neck = np.array(row["keypoints"], float).reshape(-1, 3)[13]
            if row["image_id"] != image["id"] or neck[2] not in (1, 2):
                continue
            if np.linalg.norm(necks - neck[:2], axis=1).min() > 0.15 * max(row["bbox"][2:]):
                missed.append((image["file_name"], row["bbox"]))
        noses = np.array([p.keypoints_px[0] for p in people])
        apart = np.linalg.norm(noses[:, None] - noses, axis=-1) + 1e3 * np.eye(len(noses))
        assert apart.min() > 30
    assert not missed


def test_everybody_in_a_crowd_is_somebody_else() -> None:
    """Twelve tiles of a street: many people are no failure, and no two are the same."""
    rgb = read_photo(EXAMPLES / "street_pair.jpg").rgb
    small = np.asarray(Image.fromarray(rgb).resize((rgb.shape[1] // 3, rgb.shape[0] // 3)))
    crowd = np.tile(small, (3, 4, 1))
    people = detector().detect(photo_of(crowd))
    assert 16 <= len(people) <= 24
    middles = np.array([p.keypoints_px[[0, 11, 12, 23, 24]].mean(0) for p in people])
    apart = np.linalg.norm(middles[:, None] - middles, axis=-1) + 1e3 * np.eye(len(middles))
    assert apart.min() > 5


def test_people_of_forty_pixels_trunk_are_found_in_a_crowd() -> None:
    rgb = read_photo(EXAMPLES / "street_pair.jpg").rgb
    small = Image.fromarray(rgb).resize((300, 300 * rgb.shape[0] // rgb.shape[1]), Image.Resampling.LANCZOS)
    people = detector().detect(photo_of(np.tile(np.asarray(small), (6, 5, 1))))
    assert 56 <= len(people) <= 61


def test_nobody_is_a_post() -> None:
    """A post beside a treadmill; the man on it and the woman behind are people."""
    people = detector().detect(read_photo(real_views() / "single_022_cam02.jpg"))
    assert len(people) == 2
    assert all(np.hypot(*(p.keypoints_px[[23, 24]].mean(0) - (181, 935))) > 100 for p in people)
