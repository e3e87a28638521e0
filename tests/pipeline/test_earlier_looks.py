"""Looks ahead: what is remembered, when it is looked at again, and that fits stay the same."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from cheap_bodies import cheap_fitter, find_people, fit_bodies
from PIL import Image

from dsr.body import load_body
from dsr.image import read_photo
from dsr.options import FitOptions
from dsr.pipeline.earlier_looks import EarlierLooks
from dsr.pipeline.picture_fitter import Fitter
from dsr.pipeline.rehearsal import rehearse


def picture(path, people):
    Image.new("RGB", (40, 30), (50 * people,) * 3).save(path)
    return path


def fitter_that_counts(looks, options=None):
    found = []

    def find(photo):
        found.append(photo.path.name)
        return find_people(photo)

    return Fitter(options or FitOptions(), people_finder=find, body_fitter=fit_bodies, looks=looks), found


def test_a_picture_is_looked_at_once_for_any_options_that_look_for_the_same(tmp_path):
    looks, path = EarlierLooks(), picture(tmp_path / "a.png", 2)
    fitter, found = fitter_that_counts(looks)
    first, second = fitter.fit(path), fitter.fit(path)
    assert found == ["a.png"] and len(first.people) == len(second.people) == 2
    other, found = fitter_that_counts(looks, FitOptions(person="largest", focal35=50.0))
    assert len(other.fit(path).people) == 1 and found == []
    again, found = fitter_that_counts(looks, FitOptions(quality="best"))
    again.fit(path)
    assert found == ["a.png"]  # that quality looks for smaller people


def test_a_changed_file_is_read_again_and_the_same_picture_elsewhere_is_not_searched(tmp_path):
    looks, path = EarlierLooks(), picture(tmp_path / "a.png", 1)
    fitter, found = fitter_that_counts(looks)
    assert len(fitter.fit(path).people) == 1
    picture(path, 3)
    os.utime(path, ns=(1, 1))
    assert len(fitter.fit(path).people) == 3
    copy = tmp_path / "copy.png"
    copy.write_bytes(path.read_bytes())
    assert len(fitter.fit(copy).people) == 3 and found == ["a.png", "a.png"]
    path.unlink()
    assert fitter.fit(path).status == "unreadable"


def test_what_a_fit_does_to_people_is_not_remembered(tmp_path):
    looks, photo = EarlierLooks(), read_photo(picture(tmp_path / "a.png", 1))
    (person,) = looks.people(photo, FitOptions(), lambda: find_people(photo))
    person.keypoints_px[:] = 7.0
    (person,) = looks.people(photo, FitOptions(), lambda: find_people(photo))
    assert not person.keypoints_px.any()


def test_files_that_say_who_is_there_are_always_asked(tmp_path):
    looks, photo, asked = EarlierLooks(), read_photo(picture(tmp_path / "a.png", 1)), []
    for options in (FitOptions(keypoints=Path("k.json")), FitOptions(boxes=Path("b.json"))):
        for _ in range(2):
            looks.people(photo, options, lambda: asked.append(1) or find_people(photo))
    assert len(asked) == 4


def test_few_pictures_are_remembered(tmp_path):
    looks, photo, asked = EarlierLooks(), read_photo(picture(tmp_path / "a.png", 1)), []
    for k in (*range(40), 39, 0):
        one = replace(photo, sha256=str(k))
        looks.people(one, FitOptions(), lambda k=k, one=one: asked.append(k) or find_people(one))
    assert asked == [*range(40), 0]


def test_a_rehearsal_fits_the_mean_body_and_changes_no_fit(monkeypatch):
    import dsr.fitting

    body, fitted = load_body("open-light"), []
    fit = dsr.fitting.fit_people
    monkeypatch.setattr(dsr.fitting, "fit_people", lambda *a: fitted.append(fit(*a)) or fitted[-1])
    rehearse(body, FitOptions(body="open-light"))
    ((person,),) = fitted
    assert person.residuals["fit"]["reprojection_px"] < 3.0 and np.isfinite(person.vertices_cam_m).all()
    cheap_fitter(FitOptions(body="open-light")).rehearse()
    assert len(fitted) == 1  # a body fitter of the user's own is not asked for somebody who is not there
