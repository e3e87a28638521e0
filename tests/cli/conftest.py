"""Fixtures for tests of clips."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def people():
    """Two people who walk past, 8 frames each."""
    from clip_people import walker

    return walker(8, -0.8), walker(8, 0.9)


@pytest.fixture
def detector(monkeypatch, people):
    """Finds the people whom the frames of :mod:`clip_people` speak of."""

    def detect(self, photo):
        if photo is None:
            return []
        red, green, _ = photo.rgb[20:-20, 20:-20].reshape(-1, 3).mean(0).round().astype(int)
        return [people[k][round(red / 25)] for k in range(2) if round(green / 60) >> k & 1]

    monkeypatch.setattr("dsr.people.follower.PeopleFollower.detect", detect)
