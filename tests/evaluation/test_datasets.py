"""Protocols on a tiny data set of the real layout: exact truth scores zero, known errors score what they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from dsr.body import load_body
from dsr.body.joints import H36M17_NAMES
from dsr.body.numpy_lbs import rodrigues
from dsr.cli.eval import main
from dsr.datasets.perspose_files import PersPoseSource
from dsr.datasets.spin import SpinSource
from dsr.errors import DatasetError, UsageError
from dsr.evaluation import Predictions, evaluate_predictions, find_protocol, load_predictions, save_predictions
from dsr.evaluation.protocols import J14_NAMES, J17_NAMES, LEGS_LEFT_FIRST, SPIN24_TO_J17, regressor_matrix
from dsr.evaluation.record_crops import crop_true_mesh
from dsr.regressors.loading import load_regressor

PEOPLE = 5


@pytest.fixture(scope="module")
def body():
    return load_body("open-light")


@pytest.fixture(scope="module")
def truth(body):
    """Poses (N, 24, 3), betas (N, 10), vertices without translation and joints in J17's order."""
    rng = np.random.default_rng(3)
    pose = rng.normal(0, 0.25, (PEOPLE, 24, 3))
    pose[:, 0] = np.array([np.pi, 0, 0]) + rng.normal(0, 0.3, (PEOPLE, 3))
    betas = rng.normal(0, 1, (PEOPLE, 10))
    turns = torch.as_tensor(np.stack([rodrigues(p) for p in pose]), dtype=torch.float32)
    with torch.no_grad():
        vertices = body(torch.as_tensor(betas, dtype=torch.float32), turns[:, 1:], turns[:, 0]).vertices.numpy()
    joints = np.stack([np.asarray(body.asset.keypoint_regressor("h36m17") @ v) for v in vertices])
    return pose, betas, vertices, joints[:, [H36M17_NAMES.index(name) for name in J17_NAMES]], turns.numpy()


@pytest.fixture(scope="module")
def data(truth, body, tmp_path_factory) -> Path:
    """An npz with all columns and its pictures."""
    pose, betas, _, joints, _ = truth
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    S = np.zeros((PEOPLE, 24, 4))
    S[:, list(SPIN24_TO_J17), :3] = joints - joints[:, [J17_NAMES.index("pelvis")]]
    S[:, list(SPIN24_TO_J17), 3] = 1
    for i in range(PEOPLE):
        Image.fromarray(rng.integers(0, 255, (96, 128, 3), np.uint8)).save(folder / f"{i}.jpg")
    np.savez(
        folder / "tiny.npz",
        imgname=[f"{i}.jpg" for i in range(PEOPLE)],
        center=np.tile([64.0, 48.0], (PEOPLE, 1)),
        scale=np.full(PEOPLE, 0.4),
        pose=pose.reshape(PEOPLE, 72),
        shape=betas,
        S=S,
        gender=np.array(list("mfmfm")),
    )
    return folder / "tiny.npz"


def perfect(truth, source: SpinSource, crop: str = "square") -> Predictions:
    _, betas, _, _, turns = truth
    return Predictions(
        keys=np.array([source.record(i).key for i in range(PEOPLE)]),
        pose_rotmat=turns,
        orient_crop=turns[:, 0],
        betas=betas.astype(np.float32),
        transl=np.tile(np.float32([0, 0, 4]), (PEOPLE, 1)),
        K=np.tile(np.array([[160.0, 0, 64], [0, 160, 48], [0, 0, 1]]), (PEOPLE, 1, 1)),
        crop=crop,
    )


def score(source, predictions, body, name, **more):
    return evaluate_predictions(source, predictions, {"neutral": body}, find_protocol(name), every=1, **more)


@pytest.mark.parametrize("name", ["3dpw", "h36m-p1", "mpi-inf-3dhp", "perspose-3dpw", "perspose-3dhp"])
def test_truth_scores_zero(truth, data, body, name) -> None:
    source = SpinSource(data, data.parent)
    report = score(source, perfect(truth, source), body, name)
    assert report.people == PEOPLE and report.skipped == 0
    assert report.metrics["mpjpe_mm"] < 0.01 and report.metrics["pa_mpjpe_mm"] < 0.01
    assert report.metrics["pck150"] == 1.0 and report.metrics["auc"] == pytest.approx(30 / 31)
    assert (report.metrics["pve_mm"] is None) == ("3dpw" not in name)
    if report.metrics["pve_mm"] is not None:
        assert report.metrics["pve_mm"] < 0.01
    assert tuple(report.per_joint) == (J17_NAMES if "3dhp" in name else J14_NAMES)
    assert any("neutral" in note for note in report.notes) == ("3dpw" in name)


def test_a_turn_shows_in_mpjpe_and_pve_but_not_aligned(truth, data, body) -> None:
    source = SpinSource(data, data.parent)
    turned = perfect(truth, source, "perspective")
    about = Rotation.from_euler("y", 20, degrees=True).as_matrix().astype(np.float32)
    pose = turned.pose_rotmat.copy()
    pose[:, 0] = about @ pose[:, 0]
    turned = Predictions(**{**turned.__dict__, "pose_rotmat": pose})
    joints = truth[3]
    centred = (joints - joints[:, [14]])[:, :14]
    expected = 1000 * np.linalg.norm(centred @ about.T - centred, axis=-1).mean()
    report = score(source, turned, body, "perspose-3dpw")
    assert report.metrics["mpjpe_mm"] == pytest.approx(expected, rel=1e-3) and expected > 30
    assert report.metrics["pa_mpjpe_mm"] < 0.01 and report.metrics["pve_mm"] > 30
    assert report.metrics["score"] == pytest.approx(report.metrics["mpjpe_mm"], abs=0.02)
    # the crop's orientation, which is right here, is what DSR compares
    assert score(source, turned, body, "3dpw", frame="crop").metrics["mpjpe_mm"] < 0.01
    assert score(source, turned, body, "3dpw", frame="picture").metrics["mpjpe_mm"] > 30


def test_raw_pve_is_not_aligned_and_pelvis_pve_is(truth, data, body) -> None:
    """Another shape moves the pelvis of the rest pose: the published DSR figure contains that."""
    source = SpinSource(data, data.parent)
    other = perfect(truth, source)
    betas = other.betas.copy()
    betas[:, 0] += 1.5
    other = Predictions(**{**other.__dict__, "betas": betas})
    raw, aligned = (score(source, other, body, name).metrics["pve_mm"] for name in ("3dpw", "perspose-3dpw"))
    assert raw > 5 and aligned > 5 and abs(raw - aligned) > 0.5


def test_swapped_sides_are_seen_by_every_joint(truth, data, body) -> None:
    source = SpinSource(data, data.parent)
    table = score(source, perfect(truth, source), body, "h36m-p1").per_joint
    assert all(row["mpjpe_mm"] < 0.01 for row in table.values())
    S = np.load(data)["S"].copy()
    S[:, [0, 5]] = S[:, [5, 0]]  # ankles
    columns = {key: np.load(data)[key] for key in np.load(data).files}
    np.savez(data.with_name("swapped.npz"), **{**columns, "S": S})
    swapped = SpinSource(data.with_name("swapped.npz"), data.parent)
    table = score(swapped, perfect(truth, swapped), body, "h36m-p1").per_joint
    assert {name for name, row in table.items() if row["mpjpe_mm"] > 1} == {"right_ankle", "left_ankle"}


def test_joints_away_from_the_pelvis_are_made_relative_and_unknown_ones_do_not_count(truth, data, body) -> None:
    columns = {key: np.load(data)[key] for key in np.load(data).files}
    S = columns["S"].copy()
    S[0, :, :3] += 3.0
    S[:, 0] = 0.0  # the right ankle: unknown
    S[1, :, 3] = 0.0  # a person without any
    np.savez(data.with_name("off.npz"), **{**columns, "S": S})
    source = SpinSource(data.with_name("off.npz"), data.parent)
    report = score(source, perfect(truth, source), body, "mpi-inf-3dhp")
    assert report.people == PEOPLE - 1 and report.skipped == 1
    assert report.metrics["mpjpe_mm"] < 0.01 and report.per_joint["right_ankle"]["mpjpe_mm"] is None
    assert any("1 people were not relative" in note for note in report.notes)


def test_regressor_files_of_both_orders(body, tmp_path) -> None:
    own = regressor_matrix(body.asset)
    np.save(tmp_path / "correct.npy", own)
    np.save(tmp_path / "spin.npy", own[list(LEGS_LEFT_FIRST)])
    for name in ("correct", "spin"):
        np.testing.assert_array_equal(regressor_matrix(body.asset, tmp_path / f"{name}.npy"), own)
    np.save(tmp_path / "small.npy", own[:, :10])
    with pytest.raises(DatasetError, match=r"small\.npy.*\(17, "):
        regressor_matrix(body.asset, tmp_path / "small.npy")
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(DatasetError, match=r"text\.npy"):
        regressor_matrix(body.asset, tmp_path / "text.npy")


def test_keypoints_and_masks_in_the_picture(truth, data, body) -> None:
    """The body itself, seen by its own camera, as keypoints and mask of the data set."""
    from dsr.rendering import rasterise

    source = SpinSource(data, data.parent)
    predictions = perfect(truth, source)
    plain = source.record

    def record(index: int, epoch: int = 0):
        made = plain(index)
        placed = truth[2][index] + predictions.transl[index]
        points = np.asarray(body.asset.keypoint_regressor("coco17") @ placed)
        pixels = points[:, :2] / points[:, 2:] * 160 + [64, 48]
        made.keypoints_px = {"coco17": np.concatenate([pixels, np.ones((17, 1))], 1)}
        outside = body.asset.faces[~body.asset.interior]
        made.mask = rasterise(placed, outside, predictions.K[0], (128, 96), cull_back=True).covered
        return made

    source.record = record
    image = score(source, predictions, body, "3dpw").image
    assert image["coco17"] == {"people": PEOPLE, "pck2d_05": 1.0, "pck2d_10": 1.0}
    assert image["mask"]["people"] == PEOPLE and image["mask"]["mask_iou"] > 0.99
    aside = Predictions(**{**predictions.__dict__, "transl": predictions.transl + np.float32([0.5, 0, 0])})
    image = score(source, aside, body, "3dpw").image
    assert image["coco17"]["pck2d_10"] == 0.0 and image["mask"]["mask_iou"] < 0.6


def test_predictions_survive_their_file_and_other_files_are_refused(truth, data, body, tmp_path) -> None:
    source = SpinSource(data, data.parent)
    predictions = perfect(truth, source, "perspective")
    save_predictions(predictions, tmp_path / "p.npz")
    again = load_predictions(tmp_path / "p.npz")
    for key, value in predictions.__dict__.items():
        np.testing.assert_array_equal(getattr(again, key), value)
    for key, value, words in (
        ("betas", None, "has no 'betas'"),
        ("pose_rotmat", predictions.pose_rotmat[:2], r"'pose_rotmat' has shape"),
        ("transl", np.full((PEOPLE, 3), np.nan), "'transl'.*finite"),
        ("keys", np.array([object()] * PEOPLE), "cannot be read"),
    ):
        columns = {k: v for k, v in {**predictions.__dict__, key: value}.items() if v is not None}
        np.savez(tmp_path / "bad.npz", **columns)
        with pytest.raises(DatasetError, match=rf"bad\.npz.*{words}"):
            load_predictions(tmp_path / "bad.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DatasetError, match=r"text\.npz"):
        load_predictions(tmp_path / "text.npz")
    with pytest.raises(DatasetError, match="does not exist"):
        load_predictions(tmp_path / "none.npz")


def test_predictions_of_other_people_are_refused(truth, data, body) -> None:
    source = SpinSource(data, data.parent)
    predictions = perfect(truth, source)
    with pytest.raises(DatasetError, match="5 people, but 2"):
        score(source, predictions, body, "3dpw", limit=2)
    other = Predictions(**{**predictions.__dict__, "keys": predictions.keys[::-1]})
    with pytest.raises(DatasetError, match="belong to another file"):
        score(source, other, body, "3dpw")
    wide = Predictions(**{**predictions.__dict__, "betas": np.zeros((PEOPLE, 60), np.float32)})
    with pytest.raises(DatasetError, match="60 shape coefficients"):
        score(source, wide, body, "3dpw")
    columns = {key: np.load(data)[key] for key in np.load(data).files if key not in ("S", "pose", "shape")}
    np.savez(data.with_name("bare.npz"), **columns)
    bare = SpinSource(data.with_name("bare.npz"), data.parent)
    with pytest.raises(DatasetError, match="annotated joints"):
        score(bare, perfect(truth, bare), body, "h36m-p2")
    with pytest.raises(UsageError, match="choose one of"):
        find_protocol("4dpw")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> Path:
    from dsr.regressors import build_regressor

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(build_regressor("dsr", backbone="resnet18", hidden=16).state_dict(), folder / "dsr.pt")
    small = build_regressor("perspose", width=8, modules=(1, 1, 1), blocks=1)
    torch.save(small.state_dict(), folder / "perspose.pt")
    return folder


def test_command_runs_a_network_and_scores_what_it_saved(data, checkpoints, tmp_path, capsys) -> None:
    run = ["3dpw", "--data", str(data), "--body", "open-light", "--device", "cpu"]
    files = ["--save-predictions", str(tmp_path / "p.npz"), "--json", str(tmp_path / "o.json")]
    assert main([*run, "--regressor", f"dsr:{checkpoints / 'dsr.pt'}", *files, "--verbose"]) == 0
    out = capsys.readouterr().out
    assert "3DPW test" in out and "PA-MPJPE" in out and "right_ankle" in out and "51.7" in out
    data_out = json.loads((tmp_path / "o.json").read_text())
    assert data_out["people"] == PEOPLE and data_out["system"] == "dsr"
    assert 20 < data_out["metrics"]["pa_mpjpe_mm"] < data_out["metrics"]["mpjpe_mm"] < 3000
    again = ["--predictions", str(tmp_path / "p.npz"), "--images", str(tmp_path), "--json", str(tmp_path / "2.json")]
    assert main([*run, *again]) == 0
    assert json.loads((tmp_path / "2.json").read_text()) == data_out


def test_command_runs_perspose(data, checkpoints, capsys) -> None:
    run = ["perspose-3dpw", "--data", str(data), "--body", "open-light", "--device", "cpu", "--limit", "1"]
    assert main([*run, "--regressor", f"perspose:{checkpoints / 'perspose.pt'}"]) == 0
    assert "perspose, 1 people" in capsys.readouterr().out


def test_command_reads_perspose_tables_and_fits_its_crops_to_the_truth(
    truth, data, body, checkpoints, tmp_path, capsys
) -> None:
    pose, betas, *_ = truth
    columns = {
        "file_name": np.array([f"{i}.jpg" for i in range(PEOPLE)]),
        "bbox": np.tile([40.0, 10, 40, 70], (PEOPLE, 1)),
        "cam_intrinsics": np.tile(np.array([[160.0, 0, 64], [0, 160, 48], [0, 0, 1]]), (PEOPLE, 1, 1)),
        "smpl_theta": pose,
        "smpl_beta": betas,
        "smpl_transl": np.tile([0.0, 0, 4], (PEOPLE, 1)),
        "gender": np.array(["neutral"] * PEOPLE),
    }
    np.savez(data.with_name("table.npz"), **columns)
    run = ["--data", str(data.with_name("table.npz")), "--body", "open-light", "--device", "cpu", "--limit", "1"]
    run += ["--regressor", f"perspose:{checkpoints / 'perspose.pt'}", "--mirror", "off", "--every", "1"]
    for protocol, crop in (("perspose-h36m", "auto"), ("perspose-h36m", "box"), ("3dpw", "auto")):
        saved = ["--save-predictions", str(tmp_path / f"{protocol}_{crop}.npz")]
        assert main([protocol, *run, *saved, "--crop", crop]) == 0
        assert "1 people" in capsys.readouterr().out
    names = ("perspose-h36m_auto", "perspose-h36m_box", "3dpw_auto")
    fitted, box, plain = (load_predictions(tmp_path / f"{name}.npz").transl for name in names)
    assert np.abs(fitted - box).max() > 1e-3  # other crops, other places
    np.testing.assert_array_equal(box, plain)
    source = PersPoseSource(data.with_name("table.npz"), data.parent)
    model = load_regressor(f"perspose:{checkpoints / 'perspose.pt'}").model
    crop = crop_true_mesh(source.record(0), model, {"neutral": body})
    mesh = (truth[2][0] + [0, 0, 4]) @ crop.rotation[0].numpy().T @ crop.K_crop[0].numpy().T
    pixels = mesh[:, :2] / mesh[:, 2:]
    assert pixels.min() > -0.5 and pixels.max() < 256.5  # all of the mesh is in the crop, and reaches a border
    assert min(pixels.min(), 256 - pixels.max()) < 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "either --regressor"),
        (["--regressor", "dsr:nothing.pt"], "no file nothing.pt"),
        (["--regressor", "hmr:nothing.pt"], "dsr:CHECKPOINT"),
        (["--predictions", "nothing.npz"], "nothing.npz does not exist"),
        (["--predictions", "x.npz", "--limit", "0"], "--limit 0"),
        (["--predictions", "x.npz", "--json", "no/where.json"], "does not exist"),
        (["--predictions", "x.npz", "--data", "none.npz"], "none.npz does not exist"),
    ],
)
def test_command_says_what_cannot_be_used(data, capsys, arguments, words) -> None:
    assert main(["h36m-p1", *([] if "--data" in arguments else ["--data", str(data)]), *arguments]) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1


def test_missing_pictures_are_named(truth, data, checkpoints, tmp_path, capsys) -> None:
    run = ["h36m-p1", "--data", str(data), "--images", str(tmp_path), "--body", "open-light", "--device", "cpu"]
    assert main([*run, "--regressor", f"dsr:{checkpoints / 'dsr.pt'}"]) == 2
    assert "0.jpg" in capsys.readouterr().err
