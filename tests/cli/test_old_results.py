"""Folders that an earlier release filled, with another open body: read, exported, and fitted again on purpose only."""

import json
import logging

import numpy as np
import pytest
from cheap_bodies import cheap_fitter
from old_bodies import earlier_release

import dsr
from dsr.body import load_asset
from dsr.camera import PictureCamera
from dsr.cli.fit import main
from dsr.errors import ExportError, ResultError
from dsr.export.glb import glb_bytes
from dsr.results import SequenceResult
from dsr.results.saved import save_result


@pytest.fixture
def old(tmp_path, make_picture, monkeypatch):
    """An output folder with one result, and how to fill it again today."""
    picture, out = make_picture(tmp_path / "a.jpg"), tmp_path / "out"

    def fit(*more) -> int:
        return main([str(picture), "--out", str(out), *more], cheap_fitter)

    file = earlier_release(tmp_path / "release")
    with monkeypatch.context() as earlier:
        earlier.setenv("DSR_BODY_MODELS", str(tmp_path / "release"))
        assert fit() == 0
        assert dsr.load_result(out / "a.json").warnings == [], "it is that release's own body"
    assert (out / "DSR_OPEN.npz").read_bytes() == file.read_bytes()
    return out, fit


def test_an_old_result_is_read_with_a_sentence(old, caplog):
    out, _ = old
    with caplog.at_level(logging.WARNING):
        result = dsr.load_result(out / "a.json")
        dsr.load_result(out / "a.npz")
    (note,) = result.warnings
    assert note.startswith("Fitted with another open body than the installed one") and str(out / "DSR_OPEN.npz") in note
    assert len(caplog.records) == 1 and note in caplog.text, "once a folder"
    save_result(result, out / "b.json")
    assert dsr.load_result(out / "b.json").warnings == [note]
    (out / "DSR_OPEN.npz").unlink()
    assert "whose copy beside the result (DSR_OPEN.npz) is missing" in dsr.load_result(out / "a.json").warnings[-1]


def test_an_old_result_is_exported_with_its_own_body_only(old):
    out, _ = old
    result = dsr.load_result(out / "a.json")
    (person,), camera = result.people, PictureCamera(result.K, result.image_size)
    own = dsr.load_body(out / result.body["file"]).asset
    assert own.num_betas == 11 == len(person.betas) and own.sha256 == result.body["sha256"]
    assert glb_bytes(person, own, camera).startswith(b"glTF")
    with pytest.raises(ExportError, match="give the body asset the fit was made with"):
        glb_bytes(person, load_asset("open"), camera)


def test_an_old_clip_is_posed_with_its_own_body_only(old):
    out, _ = old
    body = dsr.load_result(out / "a.json").body
    clip = SequenceResult("ok", "walk", body=body, K=np.eye(3)[None])
    assert clip.people_at(0, load_asset(out / "DSR_OPEN.npz")) == []
    with pytest.raises(ResultError, match="fitted with another open body than the one given"):
        clip.people_at(0, load_asset("open"))


def test_a_run_into_an_old_folder_fits_again_and_says_why(old, capsys):
    out, fit = old
    before = (out / "DSR_OPEN.npz").read_bytes()
    assert fit("--dry-run") == 0
    planned = capsys.readouterr()
    assert planned.out.startswith("fit ") and "1 result in" in planned.err and "another body" in planned.err
    assert fit() == 0
    said = capsys.readouterr()
    assert "fitted again" in said.err and "skipped" not in said.out
    result = dsr.load_result(out / "a.json")
    today = load_asset("open")
    assert result.body["sha256"] == today.sha256 and result.warnings == []
    assert result.body["file"] == f"DSR_OPEN-{today.sha256[:8]}.npz"
    assert (out / "DSR_OPEN.npz").read_bytes() == before, "results of the old body may still need it"
    assert fit() == 0
    again = capsys.readouterr()
    assert "1 skipped" in again.out and "another body" not in again.err


def test_options_that_an_earlier_release_did_not_have_make_no_difference(tmp_path, make_picture, capsys):
    picture, out = make_picture(tmp_path / "a.jpg"), tmp_path / "out"
    assert main([str(picture), "--out", str(out)], cheap_fitter) == 0
    document = json.loads((out / "a.json").read_text())
    assert document["run"]["options"].pop("mass") is None
    (out / "a.json").write_text(json.dumps(document))
    assert main([str(picture), "--out", str(out)], cheap_fitter) == 0
    assert "1 skipped" in capsys.readouterr().out
    assert main([str(picture), "--out", str(out), "--mass", "70"], cheap_fitter) == 0
    assert "skipped" not in capsys.readouterr().out
