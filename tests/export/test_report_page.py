"""The page of ``dsr-fit report``: whole in one file, what is in it, and what it does in a browser."""

import functools
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, chromium
from cheap_bodies import cheap_fitter
from PIL import Image

from dsr.body import load_asset
from dsr.cli.fit import main
from dsr.export.report_page import light_mesh
from dsr.results.report import read_rows

PAGE = Path(__file__).resolve().parents[2] / "dsr" / "export" / "page"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An output folder: two of one person, one of three, one of nobody, one broken, one with a name that is markup."""
    made = tmp_path_factory.mktemp("report")
    for name, people in (("a", 1), ("b", 1), ("three", 3), ("nobody", 0), ("<b>&'</script>", 1)):
        Image.new("RGB", (96, 128), (50 * people,) * 3).save(made / f"{name.replace('/', '_')}.png")
    (made / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    out = made / "out"
    assert main([str(made), "--out", str(out), "--quiet"], cheap_fitter) == 3
    report = json.loads((out / "report.json").read_text())
    result = json.loads((out / "b.json").read_text())  # the worst fit, with a warning
    result["people"][0]["residuals"]["fit"]["reprojection_rel"] = 0.09
    (out / "b.json").write_text(json.dumps(result))
    for row in report["rows"]:
        row["warnings"] = ["p0: A sentence of 12 words."] if row["name"] in ("b", "a") else []
    (out / "report.json").write_text(json.dumps(report))
    assert main(["report", str(out), "--quiet"]) == 0
    return out


def embedded(text: str, name: str):
    """What stands in one of the page's data elements."""
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.DOTALL)[1])


def test_everything_is_in_the_one_file(folder):
    text = (folder / "report.html").read_text()
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:|//)", markup)
    assert "default-src 'none'" in text and "@" not in re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
    assert text.count("<script") == text.count("</script>")


def test_every_row_is_there_and_every_fit_has_its_pictures_and_bodies(folder):
    text = (folder / "report.html").read_text()
    index = embedded(text, "index")
    assert [row["name"] for row in index] == [Path(row.input).name for row in read_rows(folder)]
    by_name = {row["name"]: row for row in index}
    assert by_name["broken.jpg"]["failed"] and by_name["broken.jpg"]["worst"] is None
    assert by_name["b.png"]["worst"] == pytest.approx(9.0) and by_name["a.png"]["worst"] == pytest.approx(1.0)
    fit = embedded(text, f"fit{by_name['three.png']['i']}")
    assert len(fit["bodies"]) == len(fit["people"]) == 3 and fit["people"][1]["person"] == "p1"
    import base64

    for view, size in (("photo", (96, 128)), ("overlay", (96, 128)), ("side", (480, 320))):
        assert Image.open(io.BytesIO(base64.b64decode(fit[view]))).size == size
    mesh = light_mesh(load_asset("open"))
    points = np.frombuffer(base64.b64decode(fit["bodies"][0]["points"]), "<i2").reshape(-1, 3) * fit["step"]
    assert len(points) == len(mesh.vertices)
    height = np.ptp(load_asset("open").v_template[:, 1])
    assert np.ptp(points[:, 1]) == pytest.approx(height, abs=0.03)  # upright, in metres
    faces = np.frombuffer(base64.b64decode(embedded(text, "meshes")[fit["mesh"]]), "<u2")
    np.testing.assert_array_equal(faces.reshape(-1, 3), mesh.faces)


def test_the_light_mesh_is_the_body():
    asset = load_asset("open")
    mesh = light_mesh(asset)
    assert 2000 < len(mesh.vertices) < 6000 and mesh.faces.max() < len(mesh.vertices)
    corners = asset.v_template[mesh.vertices][mesh.faces].astype(float)
    whole = asset.v_template[asset.faces[~asset.interior]].astype(float)

    def volume(c):
        return np.einsum("fi,fi->", c[:, 0], np.cross(c[:, 1], c[:, 2])) / 6

    assert volume(corners) == pytest.approx(volume(whole), rel=0.04)  # closed, and the same way round


def test_three_is_the_named_version_with_its_licence():
    start = (PAGE / "three.min.js").read_text(encoding="utf-8")[:200]
    version = json.loads((PAGE / "package.json").read_text())["devDependencies"]["three"]
    assert f"three.js {version}, MIT" in start
    notice = (PAGE.parents[2] / "NOTICE").read_text()
    assert f"three.js {version}" in notice and "MIT" in notice


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("image", "width"), 0),
        (("image", "width"), "x"),
        (("input", "path"), None),
        (("people", 0, "residuals"), None),
        (("people", 0, "height_m"), float("nan")),
        (("people", 0, "residuals", "fit", "reprojection_rel"), float("inf")),
        (("body", "file"), 7),
    ],
)
def test_a_result_that_something_else_has_changed_costs_the_others_nothing(folder, tmp_path, place, value):
    out = tmp_path / "out"
    shutil.copytree(folder, out)
    document = json.loads((out / "a.json").read_text())
    *way, last = place
    functools.reduce(lambda part, key: part[key], way, document)[last] = value
    (out / "a.json").write_text(json.dumps(document))
    assert main(["report", str(out), "--quiet"]) == 0
    index = {row["name"]: row for row in embedded((out / "report.html").read_text(), "index")}
    assert index["b.png"]["worst"] == pytest.approx(9.0) and len(index) == 6
    assert "run dsr-fit again" in index["a.png"]["message"] or index["a.png"]["message"] == ""


def test_a_folder_without_a_report_is_told(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "no report.json" in capsys.readouterr().err


def test_an_empty_name_of_the_page_is_refused(folder, capsys):
    assert main(["report", str(folder), "--out", ""]) == 2
    assert "--out is empty" in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser(folder):
    opened = Browser(chromium())
    opened.open(folder / "report.html")
    yield opened
    opened.close()


def chosen(browser):
    return browser.value("document.querySelector('#name').textContent")


def test_the_worst_comes_first_and_keys_go_through_all(browser):
    browser.press("Escape", "Home")
    assert chosen(browser) == "b.png"
    browser.press("ArrowDown", "j")
    assert browser.value("document.querySelector('[aria-selected=true]').id") == "row2"
    browser.press("k", "ArrowUp")
    assert chosen(browser) == "b.png"
    browser.press("End")
    assert chosen(browser) in ("broken.jpg", "nobody.png")  # what has no error comes last
    assert "9.00" in browser.value("document.querySelector('#rows').firstChild.textContent")


def test_filters_by_status_warning_and_name(browser):
    browser.press("Escape")
    count = "document.querySelector('#count').textContent"
    assert browser.value(count) == "6 of 6"
    browser.value("document.querySelector('#statuses input[value=ok]').click()")
    assert browser.value(count) == "2 of 6"
    browser.value("document.querySelector('#statuses input[value=ok]').click()")
    choose = "(s => { s.value = '{}'; s.dispatchEvent(new Event('change')); })(document.querySelector('#warning'))"
    browser.value(choose.replace("{}", "A sentence of N words."))
    assert browser.value(count) == "2 of 6"
    browser.value(choose.replace("{}", ""))
    browser.press("/", "t", "h", "r")  # typed into the field: no shortcut takes it away
    assert browser.value(count) == "1 of 6" and chosen(browser) == "three.png"
    browser.value("(s => { s.value = ''; s.dispatchEvent(new Event('input')); })(document.querySelector('#search'))")
    browser.press("Escape")


def test_names_are_text_not_markup(browser):
    assert browser.value("document.querySelectorAll('#rows b').length") == 0
    assert "<b>&'<_script>.png" in browser.value("document.querySelector('#rows').textContent")


def test_the_body_is_drawn_and_turns(browser, tmp_path):
    browser.press("Escape", "Home", "0")
    assert browser.value("document.querySelector('#photo').naturalWidth") == 96
    grab = "document.querySelector('#body').toDataURL()"
    first = browser.value(grab)
    assert len(set(map(tuple, pixels(first).reshape(-1, 3)))) > 50
    browser.press("ArrowRight")
    turned = browser.value(grab)
    assert turned != first
    browser.press("ArrowLeft", "s")
    side = (pixels(browser.value(grab)) != pixels(first)).any(axis=-1).mean()
    assert side > 0.02
    browser.picture(tmp_path / "page.png")
    assert np.asarray(Image.open(tmp_path / "page.png").convert("L")).std() > 10


def pixels(url: str) -> np.ndarray:
    import base64

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))
