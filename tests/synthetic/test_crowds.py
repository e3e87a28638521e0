"""Made-up pictures of several people: what the z-buffer says is seen of them, and how they are hidden and cut."""

from __future__ import annotations

import numpy as np
import pytest

from dsr.body.joints import joint_names
from dsr.synthetic.crowds import SCENES, CrowdSource

NAMES = joint_names("blazepose33")


@pytest.fixture(scope="module")
def source():
    return CrowdSource()


@pytest.fixture(scope="module")
def pictures(source):
    return {SCENES[seed]: source.draw(seed) for seed in range(len(SCENES))}


def inside(person, part):
    return [bool(person.visibility[NAMES.index(f"{side}_{part}")]) for side in ("left", "right")]


def test_a_picture_depends_on_the_seed_alone(pictures):
    again = CrowdSource().draw(0)
    np.testing.assert_array_equal(again.rgb, pictures["whole"].rgb)
    assert [p.trunk_px for p in again.people] == [p.trunk_px for p in pictures["whole"].people]


def test_scenes_show_what_they_are_called(pictures):
    assert all(any(inside(p, "ankle")) for p in pictures["whole"].people)
    assert all(any(inside(p, "hip")) and not all(inside(p, "ankle")) for p in pictures["knees"].people)
    assert all(not any(inside(p, "knee")) for p in pictures["shoulders"].people)
    assert any("table" in p.hidden_by for p in pictures["table"].people)
    assert any("somebody" in p.hidden_by for p in [*pictures["behind"].people, *pictures["crowd"].people])
    assert not any("table" in p.hidden_by for p in pictures["crowd"].people)
    assert len(pictures["crowd"].people) >= 6


def test_sizes_are_those_of_what_is_seen(pictures):
    """Nobody's face or trunk is larger than what is seen of the person; whole ones have a trunk of about a third."""
    for picture in pictures.values():
        for p in picture.people:
            side = (p.box_px[2:] - p.box_px[:2]).max()
            assert max(p.face_px, p.trunk_px) <= side
    whole = [p for p in pictures["whole"].people if not p.hidden_by and all(inside(p, "ankle"))]
    assert whole
    for p in whole:
        assert 0.2 < p.trunk_px / (p.box_px[2:] - p.box_px[:2]).max() < 0.6


def test_who_is_mostly_hidden_is_not_plain_to_see(source):
    """Of people in rows some have a trunk of which more than half is hidden: it counts for nothing."""
    people = [p for seed in (6, 13, 20) for p in source.draw(seed).people]
    sizes = np.array([p.trunk_px for p in people])
    assert (sizes == 0).any() and (sizes > 30).sum() > len(people) / 3


def test_keypoints_that_are_seen_lie_on_their_person(pictures):
    for picture in pictures.values():
        for p in picture.people:
            shown = p.keypoints_px[p.visibility == 2]
            low, high = p.box_px[:2] - 6, p.box_px[2:] + 6
            assert len(shown) < 5 or ((shown >= low) & (shown <= high)).all(1).mean() > 0.9


def test_a_trunk_that_the_border_mostly_cuts_off_is_not_plain_to_see(source):
    """Of head-and-shoulders pictures the trunk counts for nothing, of people to the waist it does."""
    shoulders, waist = ([p for k in (0, 7, 14) for p in source.draw(first + k).people] for first in (3, 2))
    assert np.mean([p.trunk_px == 0 for p in shoulders]) > 0.6
    assert np.mean([p.trunk_px > 40 for p in waist]) > 0.4
