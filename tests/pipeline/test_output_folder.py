"""The output folder: what is finished, what is removed, and what a failure leaves; the same for pictures and clips."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from cheap_bodies import cheap_fitter

import dsr
from dsr.errors import ImageError
from dsr.files import weights_sha256
from dsr.options import FitOptions, SequenceOptions
from dsr.pipeline.chain import StageTimer, errors_as_status
from dsr.pipeline.earlier import read_earlier
from dsr.pipeline.inputs import Clip, InputPicture, find_sources
from dsr.pipeline.output_folder import OutputFolder
from dsr.pipeline.output_options import OutputOptions
from dsr.pipeline.people_finder import PeopleFinder
from dsr.results import FitResult, SequenceResult


@pytest.fixture(scope="module")
def body():
    return dsr.load_body("open-light")


@pytest.fixture
def make_folder(tmp_path, body):
    def make(options=None, output_options=None, sequence=None) -> OutputFolder:
        folder = OutputFolder(
            tmp_path / "out", options or FitOptions(body="open-light"), output_options or OutputOptions(), sequence
        )
        folder.make()
        folder.add_body(body.asset)
        return folder

    return make


@pytest.fixture
def clip(tmp_path, make_picture):
    pictures = tuple(make_picture(tmp_path / "walk" / f"f{i}.png") for i in range(3))
    return Clip(tmp_path / "walk", pictures)


def nobody(clip: Clip, lifter: dict[str, str]) -> SequenceResult:
    """A clip in which nobody could be fitted, lifted by this lifter."""
    return SequenceResult(
        "no_person",
        str(clip.path),
        "nobody",
        image_size=(96, 128),
        fps=30.0,
        frame_indices=np.arange(3),
        frame_times_s=np.arange(3) / 30,
        frames_read=np.ones(3, bool),
        K=np.tile(np.eye(3), (3, 1, 1)),
        lifter=lifter,
    )


@pytest.mark.parametrize(("option", "whole"), [("keypoints", True), ("keypoints", False), ("boxes", True)])
def test_changed_keypoints_and_boxes_are_noticed(tmp_path, make_picture, make_folder, body, option, whole):
    """A picture whose entries were repaired is fitted again; in a folder of files its neighbours are not."""
    (tmp_path / "files").mkdir()
    pictures = [InputPicture(make_picture(tmp_path / name)) for name in ("a.jpg", "b.jpg")]
    files = [tmp_path / "files" / f"{name}_keypoints.json" for name in "ab"]
    for file in files:
        file.write_text("{}")
    options = FitOptions(body="open-light", **{option: files[0] if whole else files[0].parent})
    for picture, name in zip(pictures, "ab", strict=True):
        result = cheap_fitter(FitOptions(body="open-light")).fit_input(picture)
        assert make_folder(options).write(result, picture, name, body).status == "ok"
    finished = [make_folder(options).is_finished(picture, name) for picture, name in zip(pictures, "ab", strict=True)]
    assert finished == [True, True]
    files[0].write_text('{"people": []}')
    finished = [make_folder(options).is_finished(picture, name) for picture, name in zip(pictures, "ab", strict=True)]
    assert finished == [False, not whole]
    document = json.loads((tmp_path / "out" / "b.json").read_text())
    assert document["run"].pop("people_file")
    (tmp_path / "out" / "b.json").write_text(json.dumps(document))  # as earlier releases wrote it
    assert make_folder(options).is_finished(pictures[1], "b")


def test_what_a_run_keeps_of_finished_results_is_small(tmp_path, make_picture, make_folder, body):
    """A run over a hundred thousand finished results holds this of each."""
    picture = InputPicture(make_picture(tmp_path / "a.jpg"))
    make_folder().write(cheap_fitter(FitOptions(body="open-light")).fit_input(picture), picture, "a", body)
    whole, kept = (tmp_path / "out" / "a.json").read_text(), read_earlier(tmp_path / "out" / "a.json")
    assert kept is not None and kept["run"] == json.loads(whole)["run"] and "people" not in kept
    assert len(json.dumps(kept)) < len(whole) / 3 and read_earlier(tmp_path / "out" / "b.json") is None


def test_a_picture_is_finished_for_the_same_options_only(tmp_path, make_picture, make_folder, body):
    picture = InputPicture(make_picture(tmp_path / "a.jpg"))
    options = FitOptions(body="open-light")
    row = make_folder().write(cheap_fitter(options).fit_input(picture), picture, "a", body)
    assert (row.status, row.outputs) == ("ok", ["a.p0.glb", "a.npz", "a.json"])
    assert make_folder().is_finished(picture, "a") and not make_folder().is_finished(picture, "b")
    assert not make_folder(replace(options, seed=1)).is_finished(picture, "a")
    for changed in (
        {"formats": ("ply",)},
        {"overlay": True},
        {"side_view": True},
        {"frame": "body"},
        {"rig": "mixamo"},
        {"texture": True},
        {"skeleton": True},
        {"overlay": True, "uncertainty": True},
    ):
        assert not make_folder(output_options=OutputOptions(**changed)).is_finished(picture, "a")
    assert make_folder(output_options=OutputOptions(formats=("glb",))).is_finished(picture, "a")
    assert make_folder().plan([picture], []) == [
        make_folder().plan([picture], [], overwrite=True)[0].__class__(picture, "a", True)
    ]
    (tmp_path / "out" / "a.npz").unlink()
    assert not make_folder().is_finished(picture, "a")


@pytest.mark.parametrize("other", [{"rig": "mixamo"}, {"texture": True}], ids=["rig", "texture"])
def test_meshes_made_in_another_way_are_made_again(tmp_path, make_picture, make_folder, body, other):
    picture = InputPicture(make_picture(tmp_path / "a.jpg"))
    result = cheap_fitter(FitOptions(body="open-light"), keep_pictures=True).fit_input(picture)
    folder = make_folder(output_options=OutputOptions(**other))
    assert folder.write(result, picture, "a", body).status == "ok" and folder.is_finished(picture, "a")
    assert not make_folder().is_finished(picture, "a")


def test_the_materials_of_an_obj_come_and_go_with_it(tmp_path, make_picture, make_folder, body):
    picture = InputPicture(make_picture(tmp_path / "a.jpg"))
    result = cheap_fitter(FitOptions(body="open-light")).fit_input(picture)
    obj = make_folder(output_options=OutputOptions(formats=("obj",)))
    assert obj.write(result, picture, "a", body).outputs == ["a.p0.obj", "a.p0.mtl", "a.npz", "a.json"]
    assert obj.is_finished(picture, "a")
    row = make_folder(output_options=OutputOptions(formats=("ply",))).write(result, picture, "a", body)
    assert row.outputs == ["a.p0.ply", "a.npz", "a.json"] and "a.p0.mtl" in row.warnings[0]
    assert not (tmp_path / "out" / "a.p0.mtl").exists()


@pytest.mark.parametrize(
    "changed", [{"fps": 12.0}, {"lifter": "shipped"}, {"max_gap_s": 2.0}], ids=["fps", "lifter", "gap"]
)
def test_a_clip_is_finished_for_the_same_options_only(make_folder, clip, body, changed):
    sequence = SequenceOptions(lifter="none")
    make_folder(sequence=sequence).write(nobody(clip, {"name": "none"}), clip, "walk", body)
    assert make_folder(sequence=sequence).is_finished(clip, "walk")
    assert not make_folder(sequence=replace(sequence, **changed)).is_finished(clip, "walk")


def test_a_clip_is_finished_for_the_same_lifter_only(tmp_path, make_folder, clip, body):
    weights = tmp_path / "lifter.safetensors"
    weights.write_bytes(b"first")
    sequence = SequenceOptions(lifter=str(weights))
    record = {"name": str(weights), "sha256": weights_sha256(weights)}
    make_folder(sequence=sequence).write(nobody(clip, record), clip, "walk", body)
    assert make_folder(sequence=sequence).is_finished(clip, "walk")
    weights.write_bytes(b"other")
    assert not make_folder(sequence=sequence).is_finished(clip, "walk")
    document = json.loads((tmp_path / "out" / "walk.json").read_text())
    del document["lifter"]["sha256"]  # as it was written before files said by which weights
    (tmp_path / "out" / "walk.json").write_text(json.dumps(document))
    assert not make_folder(sequence=sequence).is_finished(clip, "walk")


def test_a_file_of_weights_is_the_same_however_it_is_named(tmp_path, make_folder, clip, body, monkeypatch):
    weights = tmp_path / "lifter.safetensors"
    weights.write_bytes(b"first")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    record = {"name": "lifter.safetensors", "sha256": weights_sha256(weights)}
    make_folder(sequence=SequenceOptions(lifter="lifter.safetensors")).write(nobody(clip, record), clip, "walk", body)
    monkeypatch.chdir(tmp_path / "other")
    assert make_folder(sequence=SequenceOptions(lifter=str(weights))).is_finished(clip, "walk")
    assert SequenceOptions(lifter="a.safetensors").record()["lifter"] == str(tmp_path / "other" / "a.safetensors")
    for system in ("dsr", "perspose"):
        record = FitOptions(regressor=f"{system}:a.safetensors").record()
        assert record["regressor"] == f"{system}:{tmp_path / 'other' / 'a.safetensors'}"


@pytest.mark.parametrize("kind", ["picture", "clip"])
def test_what_was_made_with_another_sidecar_is_not_finished(tmp_path, make_picture, make_folder, clip, body, kind):
    source = InputPicture(make_picture(tmp_path / "a.jpg")) if kind == "picture" else clip
    sidecar = source.first_file.with_suffix(".camera.json")

    def write() -> None:
        fitter = cheap_fitter(FitOptions(body="open-light"))
        result = fitter.fit_input(source) if kind == "picture" else nobody(clip, {"name": "none"})
        folder.write(result, source, "a", body)
        assert folder.is_finished(source, "a")

    folder = make_folder(sequence=SequenceOptions(lifter="none"))
    write()
    sidecar.write_text('{"focal_px": 100}')
    assert not folder.is_finished(source, "a")
    write()
    sidecar.write_text('{"focal_px": 200}')
    assert not folder.is_finished(source, "a")
    write()
    sidecar.unlink()
    assert not folder.is_finished(source, "a")


def test_a_clip_that_turns_bad_loses_its_old_results(tmp_path, make_folder, clip, body):
    folder = make_folder()
    folder.write(nobody(clip, {"name": "none"}), clip, "walk", body)
    assert (tmp_path / "out" / "walk.npz").is_file()
    row = folder.write(SequenceResult("unreadable", str(clip.path), "gone."), clip, "walk", body)
    assert row.failed and row.message == "gone. The results of an earlier run were removed."
    assert not list((tmp_path / "out").glob("walk*"))
    folder.write(nobody(clip, {"name": "none"}), clip, "walk", body)
    elsewhere = replace(clip, path=tmp_path / "elsewhere" / "walk")
    folder.write(SequenceResult("unreadable", str(elsewhere.path), "gone."), elsewhere, "walk", body)
    assert (tmp_path / "out" / "walk.npz").is_file()  # another clip's results stay


def test_what_goes_wrong_while_writing_is_the_rows_message(tmp_path, make_picture, make_folder, body, monkeypatch):
    picture = InputPicture(make_picture(tmp_path / "a.jpg"))
    result = cheap_fitter(FitOptions(body="open-light")).fit_input(picture)
    monkeypatch.setattr("dsr.export.write_person", lambda *arguments: 1 / 0)
    row = make_folder().write(result, picture, "a", body)
    assert row.failed and "unexpected ZeroDivisionError while writing: division by zero" in row.message
    assert row.outputs == [] and not (tmp_path / "out" / "a.json").exists()


def test_errors_become_the_status_they_name(caplog):
    result = FitResult("ok", "a.jpg")
    with errors_as_status(result):
        raise ImageError("a.jpg has 1 pixel.", "too_small")
    assert (result.status, result.message) == ("too_small", "a.jpg has 1 pixel.")
    with errors_as_status(result):
        raise RuntimeError("odd")
    assert result.status == "failed" and "a.jpg: unexpected RuntimeError: odd." in result.message
    assert "Traceback" in caplog.text
    with pytest.raises(KeyboardInterrupt), errors_as_status(result):
        raise KeyboardInterrupt


def test_stages_that_come_again_add_up(monkeypatch):
    times = iter([0.0, 1.0, 3.0, 7.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    seconds, finished = {}, []
    timer = StageTimer(seconds, finished.append)
    for stage in ("lift", "fit", "lift"):
        timer.lap(stage)
    assert seconds == {"lift": 5.0, "fit": 2.0} and finished == ["lift", "fit", "lift"]


def test_every_thread_has_its_detector(monkeypatch):
    """Interpreters of the models cannot be shared between threads."""
    monkeypatch.setattr("dsr.people.PeopleDetector", lambda *settings: object())
    finder, detectors = PeopleFinder(FitOptions()), []

    def ask():
        assert finder.detector is finder.detector
        detectors.append(finder.detector)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(detector) for detector in detectors}) == 2


def test_videos_are_clips_and_folders_only_where_that_is_said(tmp_path, make_picture, make_folder):
    make_picture(tmp_path / "in" / "a.jpg")
    video = tmp_path / "in" / "b.mp4"
    video.write_bytes(b"x")
    sources = find_sources([tmp_path / "in", video])
    assert [(type(s), s.path.name) for s in sources] == [(InputPicture, "a.jpg"), (Clip, "b.mp4")]
    assert [p.name for p in make_folder().plan(sources, ["A"])] == ["a.jpg", "b"]
    assert [p.name for p in make_folder().plan(sources, [], limit=1)] == ["a"]
    clips = find_sources([tmp_path / "in", video, video], sequence=True)
    assert [(clip.path.name, clip.first_file.name) for clip in clips] == [("in", "a.jpg"), ("b.mp4", "b.mp4")]
