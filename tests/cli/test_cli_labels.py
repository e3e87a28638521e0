"""``dsr-fit`` with clothing labels: the picture of them, labels that are brought, and wrong ones as a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsr.cli.fit import main
from dsr.clothing.labels import LABELS, PALETTE_RGB

PICTURE = Path(__file__).parents[2] / "examples" / "images" / "studio_lunge.jpg"


def run(out: Path, *arguments: str) -> int:
    return main([str(PICTURE), "--out", str(out), "--format", "npz", "--quiet", *arguments])


def tinted(picture: Path, label: str) -> float:
    """Share of the pixels that a label's colour was laid over."""
    photo = np.asarray(Image.open(PICTURE).convert("RGB"), float)
    drawn = np.asarray(Image.open(picture).resize((photo.shape[1], photo.shape[0])), float)
    expected = 0.65 * np.array(PALETTE_RGB[LABELS.index(label)]) + 0.35 * photo
    return float((np.abs(drawn - expected).mean(-1) < 16).mean())


def test_the_built_in_parser_is_drawn_and_refines(tmp_path):
    assert run(tmp_path, "--labels", "--refine", "semantic", "--quality", "fast") == 0
    assert tinted(tmp_path / "studio_lunge.labels.jpg", "upperclothes") > 0.01
    (person,) = json.loads((tmp_path / "studio_lunge.json").read_text(encoding="utf-8"))["people"]
    semantic = person["residuals"].get("semantic")
    assert semantic is None or semantic["looseness_upper"] > 0


def test_brought_labels_are_used_instead(tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    width, height = Image.open(PICTURE).size
    Image.fromarray(np.full((height, width), LABELS.index("skirt"), np.uint8)).save(labels / "studio_lunge.png")
    assert run(tmp_path / "out", "--labels", "--parser", f"graphonomy:{labels}", "--quality", "fast") == 0
    picture = tmp_path / "out" / "studio_lunge.labels.jpg"
    assert tinted(picture, "skirt") > 0.05 and tinted(picture, "upperclothes") < 0.01


@pytest.mark.parametrize(
    ("side", "value", "sentence"), [(20, 3, "another shape"), (None, 19, "the label 19"), (0, 0, "no label picture")]
)
def test_wrong_labels_are_a_sentence(tmp_path, capsys, side, value, sentence):
    labels = tmp_path / "labels"
    labels.mkdir()
    width, height = Image.open(PICTURE).size
    if side != 0:
        shape = (height, width) if side is None else (side, 5 * side)
        Image.fromarray(np.full(shape, value, np.uint8)).save(labels / "studio_lunge.png")
    assert run(tmp_path / "out", "--labels", "--parser", f"atr:{labels}", "--quality", "fast") == 4
    said = capsys.readouterr()
    assert sentence in said.out + said.err and "Traceback" not in said.err
