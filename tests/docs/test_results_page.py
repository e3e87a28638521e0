"""docs/results.md names every key and array of saved results, and none that is not there."""

from __future__ import annotations

import csv
import json
import shutil
from typing import Any

import numpy as np
import pages
import pytest

from dsr.cli.fit import main

PAGE = pages.page("docs/results.md")
EXAMPLE = pages.ROOT / "examples" / "images" / "street_walk.jpg"
FREE = {"options", "K", "betas"}
"""Keys below which there are values, or names of other pages."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An output folder with a picture and a clip of three frames."""
    out = tmp_path_factory.mktemp("out")
    clip = tmp_path_factory.mktemp("clips") / "clip"
    clip.mkdir()
    for i in range(3):
        shutil.copy(EXAMPLE, clip / f"{i}.jpg")
    assert main([str(EXAMPLE), "--out", str(out), "--refine", "semantic", "--quiet"]) == 0
    assert main([str(clip), "--sequence", "--out", str(out), "--quiet"]) == 0
    return out


def keys(document: Any, skip: frozenset[str] = frozenset()) -> set[str]:
    """Names of all keys, at every depth but below ``skip``."""
    if isinstance(document, list):
        return set().union(*(keys(one, skip) for one in document))
    if not isinstance(document, dict):
        return set()
    deeper = [keys(value, skip) for key, value in document.items() if key not in skip | FREE]
    return set(document).union(*deeper)


@pytest.mark.parametrize(
    ("stem", "title", "person"), [("street_walk", "NAME.json", "A person"), ("clip", "A clip's NAME.json", "A track")]
)
def test_every_key_of_the_json_file_is_described(folder, stem, title, person):
    document = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
    whole, _, single = pages.section(PAGE, title).partition(f"{person}:")
    assert document["people"] and document["status"] == "ok"
    described = pages.code_words(whole + single + pages.section(PAGE, "NAME.json"))  # "as for pictures"
    assert keys(document, frozenset({"people"})) <= described
    assert pages.table_keys(whole) == set(document)
    assert keys(document["people"]) <= described
    assert pages.table_keys(single) == set(document["people"][0])


def test_every_array_of_a_picture_is_described(folder):
    described = pages.table_keys(pages.section(PAGE, "NAME.npz"))
    with np.load(folder / "street_walk.npz") as arrays:
        assert described == set(arrays.files)


def test_every_array_of_a_clip_is_described(folder):
    described = pages.table_keys(pages.section(PAGE, "A clip's NAME.npz"))
    with np.load(folder / "clip.npz") as arrays:
        assert described == {name.replace("p0.", "ID.") for name in arrays.files}


def test_shapes_are_as_described(folder):
    """Letters stand for the same number everywhere in a file, and precision is what the page says."""
    for stem, title in (("street_walk", "NAME.npz"), ("clip", "A clip's NAME.npz")):
        sizes: dict[str, int] = {}
        with np.load(folder / f"{stem}.npz") as arrays:
            for array, shape, dtype in _shapes(pages.section(PAGE, title)):
                name = array.replace("ID.", "p0.")
                if name not in arrays.files:
                    continue
                value = arrays[name]
                assert len(shape) == value.ndim, name
                for letter, size in zip(shape, value.shape, strict=True):
                    number = letter.removesuffix("-1")
                    size += letter != number
                    expected = int(number) if number.isdigit() else sizes.setdefault(number, size)
                    assert size == expected, (name, letter)
                assert not dtype or value.dtype == dtype, name


def _shapes(text: str) -> list[tuple[str, list[str], str]]:
    """Array, shape and, where it is said, type; cells may hold several."""
    import re

    out = []
    for row in text.splitlines():
        if row.startswith("| `"):
            names, shape = row.split("|")[1:3]
            dtype = next((word for word in ("float32", "bool") if word in shape), "")
            shapes = [
                [one for one in group.replace(" ", "").split(",") if one] for group in re.findall(r"\((.*?)\)", shape)
            ]
            out += [(name, s, dtype) for name, s in zip(re.findall(r"`(.*?)`", names), shapes, strict=True)]
    return out


def test_every_column_of_the_report_is_described(folder):
    words = pages.code_words(pages.section(PAGE, "report.csv, report.json"))
    with (folder / "report.csv").open(newline="", encoding="utf-8") as file:
        assert set(next(csv.reader(file))) <= words
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert set(document) <= words and document["schema"] in words
