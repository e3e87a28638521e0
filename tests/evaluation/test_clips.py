"""Clips with 3D truth, frame by frame and as a clip: on drawn walkers, and on files that are wrong."""

import json
import shutil

import numpy as np
import pytest

from dsr.cli.eval_clips import ClipsCommand, run_clips, table
from dsr.errors import DatasetError, UsageError
from dsr.evaluation.clips import FEET, ClipsReport, Motion, load_clips
from dsr.evaluation.clips_drawn import draw_clips
from dsr.evaluation.views import ViewScore


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "walks"
    draw_clips(folder, 1, seed=3, frames=8)
    return folder


def test_drawn_frames_are_all_known(drawn):
    (clip,) = load_clips(drawn)
    assert list(clip.views) == list(range(8)) and len(list(clip.path.glob("*.jpg"))) == 8
    (view,) = clip.views[4]
    pixels = view.joints_m @ view.K.T
    assert np.allclose(pixels[:, :2] / pixels[:, 2:], view.joints_px, atol=1e-6) and view.known.all()
    resting = np.stack([clip.resting[t] for t in range(7)])
    assert resting.shape == (7, len(FEET)) and resting.any() and not clip.resting[7].any()
    with pytest.raises(DatasetError, match="not empty"):
        draw_clips(drawn, 1)


def test_the_command_prints_both_ways(drawn, tmp_path, capsys):
    written = tmp_path / "clips.json"
    assert run_clips(ClipsCommand(folder=drawn, json=written)) == 0
    told = capsys.readouterr().out
    assert "frame by frame" in told and "below frame by frame" in told and "skate" in told
    ways = json.loads(written.read_text())["ways"]
    alone, whole = (ways[way]["summary"] for way in ("frame by frame", "clip"))
    for figures in (alone, whole):
        assert figures["views"] == 8 and figures["missed"] == figures["astray"] == 0
        assert 5 < figures["pa_mpjpe_mm"] < 120
    assert whole["acceleration_error"] < 0.7 * alone["acceleration_error"]
    assert whole["skate"] < 0.5 * alone["skate"]
    assert len(ways["clip"]["views"]) == 8


def test_views_belong_to_clips_by_their_names(drawn, tmp_path):
    """As the photographs of ../shared/real_views do, whose clips are films; here a folder of frames stands for one."""
    (clip,) = load_clips(drawn)
    row = json.loads((drawn / "truth.json").read_text())
    first = row["views"][5]
    frames = sorted(clip.path.glob("*.jpg"))
    shutil.copy(frames[5], tmp_path / "walk_005_cam01.jpg")
    shutil.copy(frames[5], tmp_path / "alone.jpg")
    shutil.copytree(clip.path, tmp_path / "clips" / "walk_cam01.frames")
    plain = {key: first[key] for key in ("person", "K", "joints_cam_mm", "joints_px")}
    views = [{**plain, "file": "walk_005_cam01.jpg"}, {**plain, "file": "alone.jpg"}]
    (tmp_path / "truth.json").write_text(json.dumps({"joint_order": row["joint_order"], "views": views}))
    (found,) = load_clips(tmp_path)
    assert found.path.name == "walk_cam01.frames" and list(found.views) == [5] and not found.resting
    views = views[1:]
    (tmp_path / "truth.json").write_text(json.dumps({"joint_order": row["joint_order"], "views": views}))
    with pytest.raises(DatasetError, match="no view belongs to a clip"):
        load_clips(tmp_path)
    views[0]["clip"] = "clips/none.mp4"
    (tmp_path / "truth.json").write_text(json.dumps({"joint_order": row["joint_order"], "views": views}))
    with pytest.raises(DatasetError, match=r"none\.mp4 is missing"):
        load_clips(tmp_path)


def test_figures_leave_out_what_is_not_known():
    report = ClipsReport({"name": "open", "sha256": "0" * 64})
    for way, errors in (("frame by frame", (40.0, 60.0)), ("clip", (30.0, None))):
        for error in errors:
            report.scores[way].append(ViewScore("a.jpg", "x", "c.mp4", error is not None, False, error))
        report.motion[way] += [Motion(4.0, None, 0.05), Motion()]
    figures = report.figures("clip")
    assert figures["pa_mpjpe_mm"] == 30 and figures["missed"] == 1
    assert figures["acceleration"] == 4 and figures["acceleration_error"] is None and figures["skate"] == 50
    told = table(report, verbose=True)
    assert "40.0 % below frame by frame" in told and "clip, missed: a.jpg x" in told


def test_numbers_that_cannot_work_are_refused(tmp_path):
    for wrong in ({"limit": 0}, {"draw": -1}, {"frames": 2}):
        with pytest.raises(UsageError):
            run_clips(ClipsCommand(folder=tmp_path, **wrong))


def test_the_command_takes_the_options_of_fits_and_clips(capsys):
    from dsr.cli.eval import main

    assert main(["clips", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"--{name}" in told for name in ("draw", "seed", "quality", "lifter", "fps"))
