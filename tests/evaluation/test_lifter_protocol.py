"""The authors' protocols: windows, root and sums; from official layouts and a data set to a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_data import vectors

from dsr.cli.eval import main
from dsr.errors import DatasetError, UsageError
from dsr.evaluation.lifter_protocol import PublishedProtocol, evaluate_published, published_protocol, window_frames
from dsr.evaluation.lifting import evaluate_lifter, lifter_predictor, mpjve
from dsr.evaluation.metrics import mpjpe, pa_mpjpe
from dsr.lifting import LIFTERS, build_lifter
from dsr.tracks import mirror
from dsr.tracks.camera_table import convert
from dsr.tracks.cameras import read_cameras
from dsr.tracks.track import PoseTrack

CAMERA = {
    "orientation": [0.5, 0.5, -0.5, 0.5],
    "translation": [100, 200, 5000],
    "focal_length": [1145, 1143],
    "center": [512, 515],
    "radial_distortion": [-0.2, 0.2, 0],
    "tangential_distortion": [0, 0.001],
}
SMALL = {
    "ktpformer": "frames=9 width=16 depth=2",
    "mixste": "frames=9 width=16 depth=2",
    "hot-mixste": "frames=9 width=16 depth=2 keep=3 before=1",
    "tpc-mixste": "frames=9 width=16 depth=2 keep=3 before=1",
    "mhformer": "frames=9 width=16 hidden=32",
    "motionbert": "frames=9 width=16 depth=2 representation=16",
    "motionagformer": "frames=9 width=16 depth=2 representation=16",
    "convformer": "frames=9 width=8",
    "glagcn": "width=8 widths=3,3",
    "uao": "layers=1",
    "simplebaseline": "width=32",
}


def track(frames=23, seed=0, action="Walking 1", valid=None):
    rng = np.random.default_rng(seed)
    joints = rng.normal(0, 0.4, (17, 3)) + 0.1 * rng.normal(size=(frames, 17, 3)) + [0.2, 0.1, 5.0]
    pixels = joints[..., :2] / joints[..., 2:] * 500 + 320
    return PoseTrack(f"t{seed}", "S9", action, "0", 50.0, pixels, joints, (640, 480), valid=valid)


def small(name, **more):
    torch.manual_seed(0)
    settings = {k: tuple(map(int, v.split(","))) if "," in v else int(v) for k, v in pairs(SMALL[name])}
    return build_lifter(name, **settings, **more).eval()


def pairs(text):
    return [one.split("=") for one in text.split()]


@pytest.mark.parametrize("length", [5, 9, 18, 23])
def test_windows_of_ktpformer(length):
    golden = vectors("ktpformer", "eval_windows_f9")
    if f"len{length}/in2d" not in golden:
        pytest.skip(f"no vectors of {length} frames")
    at = window_frames(length, 9, "anchored")
    np.testing.assert_array_equal(golden[f"len{length}/in2d"][0][at], golden[f"len{length}/win2d"])


def test_windows_cover_a_track():
    assert window_frames(4, 9, "anchored").tolist() == [[0, 1, 2, 3, 3, 3, 3, 3, 3]]
    assert window_frames(7, 3, "anchored").tolist() == [[0, 1, 2], [3, 4, 5], [4, 5, 6]]
    assert window_frames(7, 3, "split").tolist() == [[0, 0, 1], [2, 3, 4], [5, 6, 6]]
    assert window_frames(3, 3, "centre").tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 2]]


def test_every_lifter_has_a_protocol():
    assert published_protocol("ktpformer") == PublishedProtocol("anchored", keep_root=True)
    assert published_protocol("hot-mixste") == PublishedProtocol("split", keep_root=False)
    assert published_protocol("tpc-mhformer").windows == "centre"
    for name in LIFTERS:
        published_protocol(name)
    with pytest.raises(UsageError, match="no published protocol"):
        published_protocol("videopose")


def test_ktpformer_by_hand():
    """Windows with repeats, the root as predicted, sums over everything."""
    model, one = small("ktpformer"), track()
    at = window_frames(23, 9, "anchored")
    x = torch.from_numpy(one.screen()[at]).float()
    with torch.no_grad():
        poses = ((model(x) + mirror(model(mirror(x)))) / 2).double().numpy()
    truth = one.relative()[at]
    report = evaluate_published(model, [one], published_protocol("ktpformer"))
    assert report.overall.frames == 27
    assert report.overall.mpjpe_mm == pytest.approx(1e3 * np.linalg.norm(poses - truth, axis=-1).mean(), rel=1e-5)
    assert report.joints_mm["pelvis"] > 1
    flat = poses.reshape(-1, 17, 3), truth.reshape(-1, 17, 3)
    assert report.overall.pa_mpjpe_mm == pytest.approx(1e3 * float(pa_mpjpe(*flat)), rel=1e-4)
    assert report.overall.velocity_mm == pytest.approx(1e3 * float(mpjve(*flat)), rel=1e-5)
    zeroed = evaluate_published(model, [one], PublishedProtocol("anchored", keep_root=False))
    assert zeroed.joints_mm["pelvis"] == 0
    assert zeroed.overall.mpjpe_mm == pytest.approx(
        1e3 * float(mpjpe(np.concatenate((0 * poses[..., :1, :], poses[..., 1:, :]), -2), truth, root=None)), rel=1e-5
    )


def test_a_window_per_frame_is_what_the_library_does():
    """Where the predicted root is zero and each frame counts once, both protocols agree."""
    model, tracks = small("simplebaseline"), [track(12), track(14, 1, "Eating")]
    ours = evaluate_lifter(lifter_predictor(model), tracks)
    theirs = evaluate_published(model, tracks, published_protocol("simplebaseline"))
    for key in ("frames", "mpjpe_mm", "pa_mpjpe_mm", "n_mpjpe_mm", "velocity_mm", "pck", "auc"):
        assert getattr(theirs.overall, key) == pytest.approx(getattr(ours.overall, key), rel=1e-3), key
    assert set(theirs.actions) == {"Walking", "Eating"}


@pytest.mark.parametrize("name", ["glagcn", "uao", "convformer"])
def test_centre_frames_by_hand(name):
    model, one = small(name), track(12)
    protocol = published_protocol(name)
    x = torch.from_numpy(one.screen()[window_frames(12, model.frames, "centre")]).float()
    with torch.no_grad():
        poses = ((model(x) + mirror(model(mirror(x)))) / 2)[:, 0].numpy()
    if not protocol.keep_root:
        poses[:, 0] = 0
    report = evaluate_published(model, [one], protocol)
    errors = 1e3 * np.linalg.norm(poses - one.relative(), axis=-1)
    assert report.overall.mpjpe_mm == pytest.approx(errors.mean(), rel=1e-4)
    assert (report.joints_mm["pelvis"] > 0) == protocol.keep_root
    plain = evaluate_published(model, [one], protocol, flip=False)
    assert plain.overall.mpjpe_mm != pytest.approx(report.overall.mpjpe_mm, rel=1e-6)


def test_invalid_frames_do_not_count():
    valid = np.ones(18, bool)
    valid[[3, 12]] = False
    report = evaluate_published(small("mixste"), [track(18, valid=valid)], published_protocol("mixste"))
    assert report.overall.frames == 16


def test_what_cannot_be_measured_is_refused():
    broken = track()
    broken.keypoints_px[3, 4] = np.nan
    with pytest.raises(UsageError, match="Track t0: a keypoint is not a number"):
        evaluate_published(small("mixste"), [broken], published_protocol("mixste"))
    with pytest.raises(UsageError, match="a window per frame"):
        evaluate_published(small("tpc-mixste"), [track()], PublishedProtocol("split", keep_root=False))
    with pytest.raises(UsageError, match="no valid frames"):
        evaluate_published(small("mixste"), [], published_protocol("mixste"))


# --- the whole way: an official file and a data set in the published layout, to the table ---


@pytest.fixture
def data(tmp_path) -> Path:
    """Human3.6M as VideoPose3D's files have it: two subjects, two actions, detections and truth."""
    rng = np.random.default_rng(0)
    world = {s: {a: rng.normal(size=(14, 32, 3)) for a in ("Walking 1", "Eating")} for s in ("S9", "S11")}
    symmetry = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
    for name, seed in (("cpn_ft_h36m_dbb", 1), ("gt", 2)):
        other = np.random.default_rng(seed)
        seen = {
            s: {a: [other.uniform(0, 1000, (14, 17, 2)) for _ in range(2)] for a in actions}
            for s, actions in world.items()
        }
        metadata = {"num_joints": 17, "keypoints_symmetry": symmetry}
        np.savez_compressed(tmp_path / f"data_2d_h36m_{name}.npz", positions_2d=seen, metadata=metadata)
    np.savez_compressed(tmp_path / "data_3d_h36m.npz", positions_3d=world)
    cameras = {subject: [CAMERA, {**CAMERA, "translation": [0, 0, 6000]}] for subject in ("S9", "S11")}
    (tmp_path / "cameras_h36m.json").write_text(json.dumps({**cameras, "S4": [{"id": "unknown place"}]}))
    return tmp_path


def run(capsys, *arguments):
    code = main(["lifter", *map(str, arguments)])
    return code, capsys.readouterr()


@pytest.mark.parametrize("name", sorted(SMALL))
def test_from_an_official_file_to_the_authors_table(name, data, tmp_path, capsys):
    model = small(name)
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    file = tmp_path / "official.bin"
    torch.save({"epoch": 3, "lr": 1e-4, "model_pos": state}, file)
    table = tmp_path / "table.json"
    code, shown = run(
        capsys,
        "--checkpoint",
        file,
        "--model",
        name,
        "--set",
        *SMALL[name].split(),
        "--protocol",
        "published",
        "--data",
        f"h36m:{data}",
        "--keypoints",
        "gt",
        "--json",
        table,
        "--actions",
    )
    assert code == 0, shown.err
    assert "data_2d_h36m_gt.npz, by the authors' protocol" in shown.out and "Eating" in shown.out
    report = json.loads(table.read_text())["lifters"][str(file)]
    assert set(report["actions"]) == {"Walking", "Eating"}
    mean = np.mean([report["actions"][a]["mpjpe_mm"] for a in report["actions"]])
    assert report["average"]["mpjpe_mm"] == pytest.approx(mean) and mean > 100


def test_uao_is_measured_after_its_optimisation(data, tmp_path, capsys):
    file = tmp_path / "official.pth"
    torch.save(small("uao").state_dict(), file)
    before = [{**CAMERA, "orientation": [1, 0, 0, 0], "translation": [0, 0, -9000]}] * 2
    (data / "cameras_h36m.json").write_text(json.dumps({"S9": before, "S11": before}))
    base = ["--checkpoint", file, "--model", "uao", "--set", "layers=1", "--protocol", "published"]
    base += ["--data", f"h36m:{data}", "--keypoints", "cpn", "--json"]
    code, shown = run(capsys, *base, tmp_path / "plain.json")
    assert code == 0, shown.err
    code, shown = run(capsys, *base, tmp_path / "optimised.json", "--optimise", "on")
    assert code == 0, shown.err
    plain, optimised = (json.loads((tmp_path / f"{n}.json").read_text())["lifters"] for n in ("plain", "optimised"))
    one, other = (report[str(file)]["overall"] for report in (plain, optimised))
    assert one["frames"] == other["frames"] and one["mpjpe_mm"] != pytest.approx(other["mpjpe_mm"], abs=1e-6)
    code, shown = run(
        capsys, *base[:2], "--model", "uao", "--set", "layers=1", "--data", f"h36m:{data}", "--optimise", "on"
    )
    assert code == 2 and "--optimise on is for uao" in shown.err
    behind = [{**CAMERA, "orientation": [1, 0, 0, 0], "translation": [0, 0, 9000]}] * 2
    (data / "cameras_h36m.json").write_text(json.dumps({"S9": behind, "S11": behind}))
    code, shown = run(capsys, *base, tmp_path / "behind.json", "--optimise", "on")
    assert code == 2 and f"--data h36m:{data}: Track S9 " in shown.err and "in front of the camera" in shown.err


def test_poseda_on_3dhp_with_sixteen_joints(tmp_path, capsys):
    """PoseAug's layout of SimpleBaseline, P-STMO's file of 3DHP: MPJPE, PCK and AUC over 16 joints."""
    rng = np.random.default_rng(0)
    sequences = {
        f"TS{i}": {
            "data_2d": rng.uniform(0, 1000, (8, 17, 2)),
            "data_3d": rng.normal(0, 300, (8, 17, 3)) + np.array([0, 0, 4000]),
            "valid": np.arange(8) > 0,
        }
        for i in range(1, 7)
    }
    np.savez_compressed(tmp_path / "data_test_3dhp.npz", data=sequences)
    torch.manual_seed(0)
    model = build_lifter("simplebaseline", joints=16, width=32)
    file, table = tmp_path / "ckpt_best.pth.tar", tmp_path / "table.json"
    torch.save({"epoch": 9, "state_dict": model.state_dict()}, file)
    arguments = ["--checkpoint", file, "--model", "simplebaseline", "--set", "joints=16", "width=32", "--json", table]
    code, shown = run(
        capsys, *arguments, "--data", f"3dhp:{tmp_path / 'data_test_3dhp.npz'}", "--protocol", "published"
    )
    assert code == 0, shown.err
    report = json.loads(table.read_text())["lifters"][str(file)]
    assert report["overall"]["frames"] == 42 and len(report["joints_mm"]) == 16
    assert report["joints_mm"]["joint 0"] == 0 and 1 / 16 <= report["overall"]["pck"] < 0.5


def test_choices_of_subject_action_and_keypoints(data, tmp_path, capsys):
    model = small("mixste")
    file = tmp_path / "official.pth"
    torch.save(model.state_dict(), file)
    base = ["--checkpoint", file, "--model", "mixste", "--set", *SMALL["mixste"].split()]
    base += ["--data", f"h36m:{data}", "--protocol", "published"]

    def figure(*more):
        table = tmp_path / "one.json"
        code, shown = run(capsys, *base, "--json", table, *more)
        assert code == 0, shown.err
        return json.loads(table.read_text())["lifters"][str(file)]

    whole, cpn, named = (
        figure(),
        figure("--keypoints", "cpn"),
        figure("--keypoints", "data_2d_h36m_cpn_ft_h36m_dbb.npz"),
    )
    assert whole == cpn == named and figure("--keypoints", "gt") != cpn
    walking = figure("--only", "Walking", "--subjects", "S9")
    assert set(walking["actions"]) == {"Walking"} and walking["overall"]["frames"] < whole["overall"]["frames"]
    code, shown = run(capsys, *base, "--only", "Dancing")
    assert code == 2 and "--only Dancing" in shown.err and "Eating, Walking" in shown.err
    code, shown = run(capsys, *base, "--keypoints", "other.npz")
    assert code == 2 and "no file other.npz" in shown.err
    (data / "data_2d_h36m_hrnet.npz").write_bytes((data / "data_2d_h36m_gt.npz").read_bytes())
    code, shown = run(capsys, *base)
    assert code == 2 and "say which keypoints are meant" in shown.err


def test_official_files_need_their_lifter(data, tmp_path, capsys):
    file = tmp_path / "official.bin"
    torch.save(small("mixste").state_dict(), file)
    code, shown = run(capsys, "--checkpoint", file, "--data", f"h36m:{data}")
    assert code == 2 and "--model ktpformer" in shown.err
    code, shown = run(capsys, "--checkpoint", file, "--model", "glagcn", "--data", f"h36m:{data}")
    assert code == 2 and "official.bin" in shown.err
    code, shown = run(capsys, "--checkpoint", file, "--model", "mixste", "--set", "frames", "--data", f"h36m:{data}")
    assert code == 2 and "NAME=NUMBER" in shown.err
    code, shown = run(capsys, "--protocol", "published", "--data", f"mocap:{data}")
    assert code == 2 and "no paper was measured on mocap" in shown.err


TABLE = f"""
import os
h36m_cameras_intrinsic_params = [
    {{"id": "54138969", "center": [512.5, 515.4], "focal_length": [1145.0, 1143.8],
      "radial_distortion": [-0.2, 0.24, -0.002], "tangential_distortion": [-0.0009, -0.0014],
      "res_w": 1000, "res_h": 1002, "azimuth": 70}},
]
h36m_cameras_extrinsic_params = {{
    "S1": [{{"orientation": {CAMERA["orientation"]}, "translation": [1841.1, 4955.3, 1563.4]}}],
    "S2": [{{}}],
}}
raise SystemExit("this is never run")
"""


def test_videopose3ds_table_becomes_our_file(tmp_path, capsys):
    made = convert(TABLE)
    assert list(made) == ["S1"]
    camera = read_cameras(made)["S1"][0]
    assert camera.name == "54138969" and camera.size == (1000, 1002)
    np.testing.assert_allclose(camera.translation_m, [1.8411, 4.9553, 1.5634])
    with pytest.raises(DatasetError, match="no h36m_cameras_intrinsic_params"):
        convert("x = 1")
    with pytest.raises(DatasetError, match="no Python source"):
        convert("x = (")
    with pytest.raises(DatasetError, match="no plain table"):
        convert("h36m_cameras_intrinsic_params = open('x')")


def test_cameras_of_other_subjects_are_not_looked_at():
    cameras = {"S9": [CAMERA], "S4": [{"id": "no place"}]}
    assert list(read_cameras(cameras, ["S9"])) == ["S9"]
    with pytest.raises(DatasetError, match="S4"):
        read_cameras(cameras)
