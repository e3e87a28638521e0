"""The network that proposes people in groups: what ships finds drawn people, broken files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dsr.errors import CheckpointError
from dsr.image.types import Photo
from dsr.people import PeopleDetector, groups
from dsr.people.group_network import ANCHORS, JOINTS, PLACE, SIZE_PX, STRIDE, VALUES
from dsr.people.proposals import Proposals
from dsr.people.regions import Pyramid
from dsr.synthetic.crowds import CrowdSource
from dsr.synthetic.cutouts import CutoutSource, read_cutouts, write_cutouts
from dsr.synthetic.groups import GroupSource


def test_answers_become_candidates_head_and_trunk_of_one_person_are_one() -> None:
    answers = np.full((ANCHORS * (1 + VALUES), 24, 32), -9.0)
    values = answers[ANCHORS:].reshape(ANCHORS, VALUES, 24, 32)
    for anchor, row, score in ((0, 4, 2.0), (1, 9, 1.0)):
        answers[anchor, row, 10] = score
        below = (48.0 - STRIDE * (row + 0.5)) / SIZE_PX
        values[anchor, :PLACE, row, 10] = (0.0, below, 0.0, 0.0, 3.0)
        joints = values[anchor, PLACE:-JOINTS, row, 10].reshape(JOINTS, 2)
        joints[:] = np.stack([np.linspace(-0.2, 0.2, JOINTS), below + np.linspace(-0.4, 0.4, JOINTS)], 1)
        values[anchor, -JOINTS:, row, 10] = np.log((0.02, 0.04)[anchor])
    (candidate,) = groups.decoded(answers)
    assert candidate[0] == pytest.approx(1 / (1 + np.exp(-2)))
    np.testing.assert_allclose(candidate[5:9], [42, 48, 42, 48 - SIZE_PX / 2], atol=1e-9)
    assert candidate[2] < candidate[4] < 48, "the head is above the hips"
    joints, scales = groups.joints_of(candidate[None])
    np.testing.assert_allclose(joints[0, [0, -1]], [[42 - 12.8, 48 - 25.6], [42 + 12.8, 48 + 25.6]], atol=1e-9)
    np.testing.assert_allclose(scales, 2 / (1 / 0.02 + 1 / 0.04) * SIZE_PX)


def test_two_whose_joints_differ_are_two_and_a_back_taken_for_a_front_is_one() -> None:
    rows = np.tile(np.r_[0.9, np.zeros(12), np.zeros(2 * JOINTS), np.full(JOINTS, 2.0)], (3, 1))
    rows[:, 5:9] = (100, 100, 100, 50)
    joints = np.stack([100 + 10.0 * np.cos(np.arange(JOINTS)), 60 + 6.0 * np.arange(JOINTS)], 1)
    rows[:, 13:-JOINTS] = joints.ravel()
    rows[1, 13:-JOINTS] = joints[groups.MIRROR].ravel()
    rows[2, 13:-JOINTS] += 15.0
    rows[:, 0] -= (0, 0.1, 0.2)
    kept = groups.merged(rows)
    assert kept[:, 0].tolist() == pytest.approx([0.9, 0.7])


def test_what_ships_proposes_drawn_people_in_groups(tmp_path: Path) -> None:
    source = CutoutSource()
    write_cutouts(tmp_path / "bank.npz", [source.draw(9_900_000 + k) for k in range(8)])
    pictures = GroupSource(read_cutouts(tmp_path / "bank.npz"), 256, 5)
    rng = np.random.default_rng(3)
    people = found = 0
    for _ in range(24):
        picture = pictures.draw(rng)
        rows = groups.in_picture(Pyramid(picture.rgb), 256)
        size = 2 * np.hypot(*(picture.points[:, 3] - picture.points[:, 2]).T)
        for points, state, length in zip(picture.points, picture.state, size, strict=True):
            if (state == 2).all():
                people += 1
                found += bool((np.hypot(*(rows[:, 5:7] - points[2]).T) < 0.2 * length).any())
    assert people >= 30 and found >= 0.7 * people


def test_who_is_hidden_by_half_is_found_with_the_network_and_not_without(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [CrowdSource().draw(seed) for seed in (33, 47)]
    detector = PeopleDetector()

    def found() -> int:
        trunk, count = [11, 12, 23, 24], 0
        for picture in pictures:
            height, width = picture.rgb.shape[:2]
            photo = Photo(Path("x.png"), np.ascontiguousarray(picture.rgb), width, height, 1.0, "", "PNG")
            people = np.stack([person.keypoints_px[trunk] for person in detector.detect(photo)])
            for who in picture.people:
                apart = np.linalg.norm(people - who.keypoints_px[trunk], axis=-1).mean(1)
                count += bool(apart.min() < 0.1 * np.ptp(who.keypoints_px, axis=0).max())
        return count

    assert sum(len(picture.people) for picture in pictures) == 8
    assert found() >= 6
    monkeypatch.setattr(Proposals, "in_group", lambda *_, **__: np.zeros((0, groups.GROUP_COLUMNS)))
    assert found() <= 3


def test_a_picture_without_anything_has_no_candidates() -> None:
    assert len(groups.in_picture(Pyramid(np.full((300, 400, 3), 127, np.uint8)), 320)) == 0


def test_broken_weights_are_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.safetensors").write_bytes(groups.WEIGHTS.read_bytes()[:1000])
    monkeypatch.setattr(groups, "WEIGHTS", tmp_path / "w.safetensors")
    groups.learned.cache_clear()
    try:
        with pytest.raises(CheckpointError, match="install this package again"):
            groups.learned()
    finally:
        groups.learned.cache_clear()
