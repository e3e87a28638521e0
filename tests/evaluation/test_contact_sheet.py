"""dsr-eval sheet: every picture with its views, in a picture file or a page."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cheap_bodies
import numpy as np
import pytest
from PIL import Image

from dsr.body import load_asset
from dsr.cli.eval import main
from dsr.errors import UsageError
from dsr.evaluation.contact_sheet import SheetRow, html_page, make_sheet, paste_rows
from dsr.export.top_view import render_top_view


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three pictures: one person, nobody, no picture at all; bodies cost nothing."""
    Image.new("RGB", (160, 120), (50, 50, 50)).save(tmp_path / "a_one.png")
    Image.new("RGB", (160, 120), (0, 0, 0)).save(tmp_path / "b_none.png")
    (tmp_path / "c_broken.png").write_bytes(b"broken")
    monkeypatch.setattr("dsr.pipeline.picture_fitter.fit_images", cheap_bodies.fit_cheaply)
    return tmp_path


def test_a_sheet_holds_all_pictures(folder, capsys):
    out = folder.parent / "sheet.png"
    assert main(["sheet", str(folder), "--out", str(out), "--row-height", "120", "--columns", "1"]) == 3
    printed = capsys.readouterr().out
    assert "3 pictures, 1 people" in printed and "not fitted" in printed and "c_broken.png" in printed
    with Image.open(out) as opened:
        sheet = np.asarray(opened)
    height = 140
    assert sheet.shape[0] == 3 * height
    first, second = sheet[20:140], sheet[height + 20 : height + 140]
    assert len(np.unique(first[:, 160:].reshape(-1, 3), axis=0)) > 50  # side and top view
    assert (second[:, 170:] == 255).all() and (second[:, :150] == 0).all()  # only the photograph of nobody


def test_a_page_holds_everything_itself(folder):
    out = folder.parent / "sheet.html"
    results = make_sheet([folder], out, row_height=100, limit=2)
    assert [r.status for r in results] == ["ok", "no_person"] and results[0].overlay_rgb is None
    page = out.read_text()
    assert page.count("<img") == 4 and "a_one.png: p0 1.70 m" in page and "b_none.png: nobody" in page
    assert "http" not in page and "c_broken" not in page
    assert "&lt;x&gt;.jpg" in html_page([SheetRow("<x>.jpg", ())])


def test_what_cannot_work_is_refused(folder, capsys):
    with pytest.raises(UsageError, match=r"sheet\.gif"):
        make_sheet([folder], folder / "sheet.gif")
    with pytest.raises(UsageError, match="too many"):
        make_sheet([folder], folder / "sheet.jpg", row_height=100_000)
    empty = folder / "empty"
    empty.mkdir()
    assert main(["sheet", str(empty), "--out", str(folder / "s.html")]) == 2
    assert main(["sheet", str(folder), "--out", str(folder / "no" / "s.html")]) == 2
    assert main(["sheet", str(folder), "--row-height", "5"]) == 2
    assert "--row-height 5" in capsys.readouterr().err


def test_rows_stand_beside_each_other():
    rows = [SheetRow(str(k), (np.full((50, 80, 3), 40 * k, np.uint8),)) for k in range(3)]
    sheet = paste_rows(rows, 50, columns=2)
    assert sheet.shape == (140, 400, 3)
    assert (sheet[25:65, 205:270] == 40).all() and (sheet[95:135, 5:70] == 80).all()


def person(asset, x: float, z: float) -> SimpleNamespace:
    return SimpleNamespace(vertices_cam_m=asset.v_template * [1, -1, -1] + [x, 0, z])


def test_from_above_right_is_right_and_far_is_up():
    """The second person, orange, is to the right of the first and farther away."""
    asset = load_asset("open-light")
    result = SimpleNamespace(people=[person(asset, -0.8, 3.0), person(asset, 0.8, 5.0)], floor=None)
    picture = render_top_view(result, asset, (300, 300)).astype(int)
    blue = (picture[..., 2] > picture[..., 0] + 60).nonzero()
    orange = (picture[..., 0] > picture[..., 2] + 60).nonzero()
    assert len(blue[0]) > 200 and len(orange[0]) > 200
    assert blue[1].mean() + 50 < orange[1].mean() and blue[0].mean() > orange[0].mean() + 50
    nobody = render_top_view(SimpleNamespace(people=[], floor=None), asset, (200, 100))
    assert nobody.shape == (100, 200, 3)


def test_the_folder_may_be_a_single_picture(folder):
    assert len(make_sheet([folder / "a_one.png"], Path(folder.parent / "one.jpg"), row_height=100)) == 1
