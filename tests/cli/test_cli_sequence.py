"""dsr-fit on clips: folders of frames and video files through the whole command, with a made-up detector."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clip_people import FOCAL, SIZE, folder, frame
from safetensors.torch import load_file, save_file

import dsr
from dsr.body import load_body
from dsr.checkpoints import read_header, shipped_file
from dsr.cli.fit import main
from dsr.extras import install_hint
from dsr.files import file_sha256
from dsr.pipeline.clip_fitter import SequenceFitter
from dsr.pipeline.clip_outputs import overlay_frames
from dsr.pipeline.clip_reader import ClipReader
from dsr.pipeline.inputs import find_clips, natural_order


def run(*arguments, out: Path) -> int:
    fixed = ["--lifter", "none", "--focal", str(FOCAL), "--quality", "fast", "--quiet", "--body", "open-light"]
    return main([*map(str, arguments), "--out", str(out), *fixed])


def test_folder_of_frames(tmp_path, detector, people):
    clip, out = folder(tmp_path / "walk"), tmp_path / "out"
    assert run(clip, "--sequence", "--fps", 10, out=out) == 0
    assert {p.name for p in out.iterdir()} == {
        "DSR_OPEN_LIGHT.npz",
        "report.csv",
        "report.json",
        "walk.json",
        "walk.npz",
        "walk.p0.glb",
    }
    result = dsr.load_result(out / "walk.json")
    assert isinstance(result, dsr.SequenceResult)
    assert (result.status, result.fps, result.image_size) == ("ok", 10.0, SIZE)
    assert result.K.shape == (6, 3, 3) and result.K[5, 0, 0] == FOCAL and result.frames_read.all()
    (track,) = result.people
    assert track.id == "p0" and track.frames.tolist() == list(range(6)) and track.betas.ndim == 1
    # in natural order: the walker goes one way
    assert np.all(np.diff(track.transl[:, 0]) < 0) or np.all(np.diff(track.transl[:, 0]) > 0)
    assert track.residuals["fit"]["reprojection_rel"] < 0.02
    with np.load(out / "walk.npz", allow_pickle=False) as arrays:
        assert arrays["p0.body_pose"].shape == (6, 23, 3) and float(arrays["fps"]) == 10.0
        assert "p0.vertices_cam_m" not in arrays.files
    (posed,) = result.people_at(3, load_body("open-light").asset)
    assert np.abs(posed.joints_cam_m - track.joints_cam_m[3]).max() < 1e-4
    assert posed.vertices_cam_m.shape[1] == 3 and np.isfinite(posed.vertices_cam_m).all()
    (row,) = json.loads((out / "report.json").read_text())["rows"]
    assert row["status"] == "ok" and row["people"] == 1 and "walk.p0.glb" in row["outputs"]


def test_finished_clips_are_skipped_until_a_frame_changes(tmp_path, detector, capsys):
    clip, out = folder(tmp_path / "walk", (1,) * 3), tmp_path / "out"
    assert run(clip, "--sequence", out=out) == 0
    before = (out / "walk.npz").stat().st_mtime_ns
    assert run(clip, "--sequence", out=out) == 0
    assert (out / "walk.npz").stat().st_mtime_ns == before
    assert json.loads((out / "report.json").read_text())["rows"][0]["earlier"] is True
    assert run(clip, "--sequence", "--fps", 12, out=out) == 0
    assert dsr.load_result(out / "walk.json").fps == 12.0
    changed = (out / "walk.npz").stat().st_mtime_ns
    assert changed != before
    os.utime(clip / "f8.png", ns=(1, 1))
    assert run(clip, "--sequence", "--fps", 12, out=out) == 0
    touched = (out / "walk.npz").stat().st_mtime_ns
    assert touched != changed
    (clip / "f7.camera.json").write_text('{"focal_px": 280}')  # beside the first frame
    assert run(clip, "--sequence", "--fps", 12, out=out) == 0
    assert (out / "walk.npz").stat().st_mtime_ns != touched


def test_two_people_and_nobody_in_the_middle(tmp_path, detector):
    clip, out = folder(tmp_path / "walk", (3, 3, 1, 0, 0, 1, 3, 3)), tmp_path / "out"
    assert run(clip, "--sequence", "--fps", 10, "--max-gap", 1.5, out=out) == 0
    result = dsr.load_result(out / "walk.npz")
    assert [t.id for t in result.people] == ["p0", "p1"]
    assert [t.gaps for t in result.people] == [[(3, 4)], [(2, 5)]]
    assert result.people[0].joints_cam_m[:, 0, 0].max() < result.people[1].joints_cam_m[:, 0, 0].min()
    assert np.isnan(result.people[0].keypoints_px[3]).all() and np.isfinite(result.people[0].body_pose).all()
    assert "2 of 8 frames" in result.people[0].warnings[0]
    document = json.loads((out / "walk.json").read_text())
    assert document["people"][1]["gaps"] == [[2, 5]] and document["people"][1]["last_frame"] == 7


def test_a_gap_is_counted_in_seconds_of_the_clip(tmp_path, detector):
    """Four frames are 0.4 s at 10 frames per second: longer than 0.3 s, shorter than 0.6 s."""
    clip = folder(tmp_path / "walk", (1, 1, 0, 0, 0, 0, 1, 1))
    gaps = {}
    for limit in (0.3, 0.6):
        assert run(clip, "--sequence", "--fps", 10, "--max-gap", limit, out=tmp_path / "out") == 0
        gaps[limit] = [track.gaps for track in dsr.load_result(tmp_path / "out" / "walk.json").people]
    assert gaps == {0.3: [[], []], 0.6: [[(2, 5)]]}


def test_min_score_holds_for_clips_too(tmp_path, people, monkeypatch):
    def detect(self, photo):
        number = round(float(photo.rgb[20:-20, 20:-20, 0].mean()) / 25)
        return [people[0][number], replace(people[1][number], score=0.4)]

    monkeypatch.setattr("dsr.people.follower.PeopleFollower.detect", detect)
    clip, out = folder(tmp_path / "walk", (3,) * 4), tmp_path / "out"
    left = {}
    for limit in ("0.3", "0.5", "0.95"):
        assert run(clip, "--sequence", "--fps", 10, "--min-score", limit, out=out) == 0
        result = dsr.load_result(out / "walk.json")
        left[limit] = [bool(track.joints_cam_m[0, 0, 0] < 0) for track in result.people]
    assert left == {"0.3": [True, False], "0.5": [True], "0.95": []}
    assert result.status == "no_person" and "scores below --min-score 0.95" in result.message


def test_the_people_asked_for_keep_their_ids(tmp_path, detector):
    clip, out = folder(tmp_path / "walk", (3,) * 3), tmp_path / "out"
    assert run(clip, "--sequence", "--fps", 10, "--person", "1", out=out) == 0
    (track,) = dsr.load_result(out / "walk.json").people
    assert (
        track.id == "p1" and track.joints_cam_m[0, 0, 0] > 0 and {p.name for p in out.glob("*.glb")} == {"walk.p1.glb"}
    )
    assert run(clip, "--sequence", "--fps", 10, "--person", "2", out=out) == 0
    assert "nobody is number 2: --person counts from the first to appear" in dsr.load_result(out / "walk.json").message
    assert not list(out.glob("*.glb"))


def test_nobody_at_all_is_fine(tmp_path, detector):
    clip, out = folder(tmp_path / "empty", (0, 0, 0)), tmp_path / "out"
    assert run(clip, "--sequence", out=out) == 0
    result = dsr.load_result(out / "empty.json")
    assert result.status == "no_person" and "nobody was found in any frame" in result.message


def test_damaged_frames_and_frames_of_another_size(tmp_path, detector):
    clip, out = folder(tmp_path / "walk", (1,) * 5), tmp_path / "out"
    (clip / "f8.png").write_bytes(b"no picture")
    frame(3, 1, (100, 100)).save(clip / "f10.png")
    assert run(clip, "--sequence", "--fps", 10, out=out) == 0
    result = dsr.load_result(out / "walk.json")
    assert result.frames_read.tolist() == [True, False, True, False, True]
    assert result.people[0].gaps == [(1, 1), (3, 3)]
    assert any("f8.png" in w for w in result.warnings) and any("100 x 100" in w for w in result.warnings)
    assert json.loads((out / "walk.json").read_text())["clip"]["missing_frames"] == [1, 3]
    for path in clip.iterdir():
        path.write_bytes(b"no picture")
    assert run(clip, "--sequence", "--fps", 10, out=out) == 4
    assert not (out / "walk.json").exists() and not (out / "walk.p0.glb").exists()


def test_video_file_with_overlay(tmp_path, detector):
    pytest.importorskip("av", reason="needs the video extra (av)")
    from dsr.image.video import read_frames, read_info, write_video

    path, out = tmp_path / "clip.mp4", tmp_path / "out"
    write_video(path, (np.asarray(frame(n)) for n in range(5)), 10.0, SIZE)
    assert run(path, "--overlay", "--skeleton", out=out) == 0
    result = dsr.load_result(out / "clip.json")
    assert result.fps == 10.0 and len(result.frame_indices) == 5 and len(result.people) == 1
    assert len(result.input_sha256) == 64
    drawn = [f.rgb for f in read_frames(read_info(out / "clip.overlay.mp4"), [])]
    assert len(drawn) == 5
    skeletons = [f.rgb for f in read_frames(read_info(out / "clip.skeleton.mp4"), [])]
    assert [rgb.shape[:2] for rgb in skeletons] == [(SIZE[1], SIZE[0] + SIZE[1])] * 5
    joints = result.people[0].joints_cam_m[2] @ result.K[2].T
    u, v = (joints[:, :2] / joints[:, 2:]).mean(0).astype(int)
    assert np.abs(drawn[2][v, u].astype(int) - np.asarray(frame(2))[v, u]).max() > 60  # somebody is there
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(path.read_bytes()[:200])
    assert run(broken, out=tmp_path / "out2") == 4
    (row,) = json.loads((tmp_path / "out2" / "report.json").read_text())["rows"]
    assert "cannot be opened as a video" in row["message"]
    assert run(path, broken, out=tmp_path / "out3") == 3


def test_the_overlay_of_reduced_frames_lies_on_the_people(tmp_path, detector, monkeypatch):
    """Frames with too many pixels are worked on at half their size; cameras are those of the full size."""
    monkeypatch.setattr("dsr.image.video.MAX_PIXELS", SIZE[0] * SIZE[1] // 4)
    (clip,) = find_clips([folder(tmp_path / "walk", (1,) * 4)])
    options = dsr.FitOptions(quality="fast", body="open-light", focal=FOCAL)
    fitter = SequenceFitter(options, dsr.SequenceOptions(fps=10, lifter="none"))
    result = fitter.fit(clip)
    assert result.image_size == SIZE
    for number, drawn in enumerate(overlay_frames(result, clip, fitter.body, 10)):
        assert drawn.shape == (SIZE[1] // 2, SIZE[0] // 2, 3)
        plain = np.asarray(frame(number, 1))[0, 0].astype(int)
        v, u = np.nonzero(np.abs(drawn.astype(int) - plain).max(-1) > 30)
        joints = result.people[0].joints_cam_m[number] @ result.K[number].T
        pixels = joints[:, :2] / joints[:, 2:] / 2
        assert abs(u.mean() - pixels[:, 0].mean()) < 6 and abs(v.mean() - pixels[:, 1].mean()) < 12
        assert np.ptp(v) < 1.5 * np.ptp(pixels[:, 1])


def test_moments_without_a_frame_stay_in_the_clip(tmp_path, detector, monkeypatch):
    """A camera that drops a frame: times and numbers of the others stay, the person is filled in."""
    frames = ClipReader.frames
    monkeypatch.setattr(ClipReader, "frames", lambda self: (f for f in frames(self) if f[0] != 2))
    clip, out = folder(tmp_path / "walk", (1,) * 5), tmp_path / "out"
    assert run(clip, "--sequence", "--fps", 10, out=out) == 0
    result = dsr.load_result(out / "walk.json")
    assert result.frames_read.tolist() == [True, True, False, True, True] and len(result.K) == 5
    np.testing.assert_allclose(result.frame_times_s, [0, 0.1, 0.2, 0.3, 0.4])
    assert [track.gaps for track in result.people] == [[(2, 2)]]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--fps", "0"], "--fps 0"),
        (["--fps", "100000"], "--fps"),
        (["--format", "glb,obj"], "--format obj"),
        (["--side-view"], "--side-view"),
        (["--refine", "semantic"], "--refine semantic"),
        (["--lifter", "/nowhere/lifter.safetensors"], "--lifter /nowhere"),
        (["--max-gap", "-1"], "--max-gap"),
    ],
)
def test_what_clips_cannot_do(tmp_path, capsys, arguments, sentence):
    clip = folder(tmp_path / "walk", (1, 1))
    assert main([str(clip), "--sequence", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_video_without_pyav_is_one_sentence(tmp_path, capsys, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "av" else real(name, *rest))
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert main([str(tmp_path / "a.mp4"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert install_hint("video") in said and said.count("\n") == 1


def test_missing_lifter_is_a_warning(tmp_path, detector, monkeypatch):
    from dsr.errors import CheckpointError

    def missing(kind, device="cpu"):
        raise CheckpointError("the file is missing")

    monkeypatch.setattr("dsr.lifting.shipped.load_shipped", missing)
    clip = folder(tmp_path / "walk", (1, 1, 1))
    result = dsr.fit_sequence(clip, dsr.FitOptions(quality="fast", body="open-light"))
    assert result.status == "ok" and result.lifter == {"name": "none"} and "the file is missing" in result.warnings[0]


def test_lifter_is_used(tmp_path, detector, monkeypatch, people):
    """A lifter's uncertainty reaches the result; keypoints reach it as Human3.6M's joints."""
    from dsr.lifting.inference import LiftedSequence

    seen = []

    def lift(model, points, size, fps):
        assert (size, fps) == (SIZE, 10.0)
        seen.append(points)
        joints = np.zeros((len(points), 17, 3), np.float32)
        joints[..., 1] = np.linspace(-0.5, 0.5, 17)
        return LiftedSequence(joints, np.full((len(points), 17), 500.0, np.float32), np.zeros((len(points), 17), bool))

    monkeypatch.setattr("dsr.fitting.network_start.default_network", lambda: None)  # it has a lifter of its own
    monkeypatch.setattr("dsr.lifting.shipped.load_shipped", lambda kind: object())
    monkeypatch.setattr("dsr.lifting.lift_sequence", lift)
    clip = folder(tmp_path / "walk", (1, 0, 1, 1))
    options = dsr.FitOptions(quality="fast", body="open-light")
    result = dsr.fit_sequence(clip, options, dsr.SequenceOptions(fps=10))
    shipped = {"name": "shipped", "sha256": file_sha256(shipped_file("lifter_temporal.safetensors"))}
    assert result.lifter == shipped and seen[0].shape == (4, 17, 3) and np.isnan(seen[0][1]).all()
    assert np.allclose(seen[0][2, 4, :2], people[0][2].keypoints_px[23])
    assert np.allclose(result.people[0].joint_uncertainty_mm, np.hypot(500, 70))


def test_a_clip_is_fitted_again_when_its_lifters_file_changes(tmp_path, detector):
    """The same path with other content: the result says by which content it was made."""
    clip, out, lifter = folder(tmp_path / "walk", (1,) * 3), tmp_path / "out", tmp_path / "lifter.safetensors"
    original = shipped_file("lifter_temporal.safetensors")
    weights, header = load_file(original), read_header(original)
    fixed = ["--sequence", "--focal", str(FOCAL), "--quality", "fast", "--quiet", "--body", "open-light"]
    arguments = [str(clip), "--out", str(out), "--lifter", str(lifter), *fixed]
    written = []
    for scale in (1.0, 1.0, 0.9):
        if not written or scale != 1.0:
            save_file({name: scale * value for name, value in weights.items()}, lifter, header)
        assert main(arguments) == 0
        assert dsr.load_result(out / "walk.json").lifter == {"name": str(lifter), "sha256": file_sha256(lifter)}
        written.append((out / "walk.npz").stat().st_mtime_ns)
    assert written[0] == written[1] != written[2]


def test_a_clip_without_anybody_does_not_wait_for_a_lifter(tmp_path, detector):
    clip, out = folder(tmp_path / "empty", (0, 0, 0)), tmp_path / "out"
    for _ in range(2):
        assert main([str(clip), "--sequence", "--out", str(out), "--quiet", "--body", "open-light"]) == 0
    assert dsr.load_result(out / "empty.json").lifter == {"name": "none"}
    assert json.loads((out / "report.json").read_text())["rows"][0]["earlier"] is True


def openpose(detection, layout):
    """A person of an OpenPose file: BODY_25, or COCO-18 (nose, neck, right arm, left arm, legs, eyes, ears)."""
    from dsr.body.joints import BLAZEPOSE33_NAMES, OPENPOSE25_NAMES

    whole = np.c_[detection.keypoints_px, detection.confidence]
    named = dict(zip(BLAZEPOSE33_NAMES, whole, strict=True))
    named["neck"] = (named["left_shoulder"] + named["right_shoulder"]) / 2
    if layout == 25:
        return np.array([named.get(name, np.zeros(3)) for name in OPENPOSE25_NAMES])
    limbs = [
        f"{side}_{part}"
        for group in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
        for side in ("right", "left")
        for part in group
    ]
    return np.array(
        [named[name] for name in ("nose", "neck", *limbs, "right_eye", "left_eye", "right_ear", "left_ear")]
    )


def test_keypoint_files_of_several_layouts_with_gaps_and_nan(tmp_path, people):
    clip, files = folder(tmp_path / "walk", (1,) * 8), tmp_path / "keypoints"
    files.mkdir()
    for number, detection in enumerate(people[0]):
        points = openpose(detection, 25 if number < 4 else 18)
        if number in (1, 2):  # one point that is no number is not seen; a person of such points is nobody
            points[3 if number == 1 else slice(None)] = np.nan
        if number == 6:
            points = points[:-1]
        body = [] if number == 5 else [{"pose_keypoints_2d": points.ravel().tolist()}]
        (files / f"f{number + 7}_keypoints.json").write_text(json.dumps({"people": body}))
    options = dsr.FitOptions(quality="fast", body="open-light", keypoints=files, focal=FOCAL)
    result = dsr.fit_sequence(clip, options, dsr.SequenceOptions(fps=10))
    (track,) = result.people
    assert result.status == "ok" and track.keypoint_set == "coco17" and result.lifter["name"] == "shipped"
    assert np.flatnonzero(~track.observed).tolist() == [2, 5, 6]
    assert track.residuals["fit"]["reprojection_rel"] < 0.02
    assert any("not finite" in w or "17 keypoints" in w for w in result.warnings)


def test_joints_that_were_never_seen_are_not_lifted(tmp_path, people):
    """Other programs write (0, 0) for what they do not see: that is no place for a hip."""
    clip, files = folder(tmp_path / "walk", (1,) * 4), tmp_path / "keypoints"
    files.mkdir()
    for number, detection in enumerate(people[0][:4]):
        points = openpose(detection, 18)
        points[[8, 11]] = 0
        document = {"people": [{"pose_keypoints_2d": points.ravel().tolist()}]}
        (files / f"f{number + 7}.json").write_text(json.dumps(document))
    options = dsr.FitOptions(quality="fast", body="open-light", keypoints=files, focal=FOCAL)
    result = dsr.fit_sequence(clip, options, dsr.SequenceOptions(fps=10))
    said = next(sentence for sentence in result.warnings if "without the lifter" in sentence)
    assert "pelvis was not seen" in said
    (track,) = result.people
    assert track.joint_uncertainty_mm is None and track.residuals["fit"]["reprojection_rel"] < 0.02


def test_natural_order():
    names = [Path(f"f{n}.png") for n in ("10", "9", "09", "100", "1")]
    found = [p.stem for p in sorted(names, key=natural_order)]
    assert found[0] == "f1" and found[-2:] == ["f10", "f100"]


def test_following_looks_everywhere_now_and_then(people):
    from dsr.image.types import Photo
    from dsr.people.follower import PeopleFollower

    photo = Photo(Path("x"), np.zeros((240, 320, 3), np.uint8), 320, 240, 1.0, "", "PNG")

    class Detector:
        def __init__(self):
            self.calls, self.score = [], 0.9

        def detect(self, photo):
            self.calls.append("everywhere")
            return [people[0][0], people[1][0]]

        def follow(self, photo, boxes):
            self.calls.append("boxes")
            return [replace(people[k][0], score=self.score) for k in range(2)]

    detector = Detector()
    follower = PeopleFollower(detector, 12.0)
    for _ in range(8):
        assert len(follower.detect(photo)) == 2
    assert detector.calls == (["everywhere"] + ["boxes"] * 3) * 2
    detector.calls, detector.score = [], 0.2  # somebody is lost: look again at once
    follower.detect(photo)
    follower.detect(photo)
    assert detector.calls == ["everywhere", "boxes", "everywhere"]
    assert follower.detect(None) == []
    detector.calls = []
    follower.detect(photo)
    assert detector.calls == ["everywhere"]
