"""The shipped default network gives the figures of its model card, on a slice of the people they were measured on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dsr.checkpoints import shipped_file
from dsr.regressors.default.shipped import FILE, load_default
from dsr.training.systems.default.card import SHOWN, SLICE_PEOPLE, load_pairs_of, measured

CARD = shipped_file(FILE).with_suffix(".md")
SLICE = Path(__file__).with_name("default_slice.npz")


def test_figures_are_measured_again():
    people = load_pairs_of(SLICE)
    assert len(people) == SLICE_PEOPLE
    figures = measured(load_default(), people)
    rows = dict(re.findall(r"^\| ([^|]+?) \| [\d.]+ \| ([\d.]+) \|$", CARD.read_text(encoding="utf-8"), re.M))
    assert set(rows) == {label for label, _ in SHOWN}
    for label, key in SHOWN:
        assert figures[key] == pytest.approx(float(rows[label]), abs=0.3), label


def test_people_are_better_known_than_by_the_landmarks():
    figures = measured(load_default(), load_pairs_of(SLICE))
    assert figures["pa_mpjpe_mm"] < 0.9 * figures["landmarks_pa_mpjpe_mm"]
    assert 40 < figures["interval_50"] < 60 and 80 < figures["interval_90"] < 97  # of 48 people


def test_the_card_says_what_it_has_to():
    text = CARD.read_text(encoding="utf-8")
    assert "The data used in this project was obtained from mocap.cs.cmu.edu" in text
    for words in ("CC0", "seed", "Designs compared", "Limits", "With and without"):
        assert words in text, words
    assert shipped_file(FILE).stat().st_size < 16e6 and SLICE.stat().st_size < 300_000
