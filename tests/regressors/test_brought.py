"""Files of other projects that give 3D keypoints: made-up ones of the same shape."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dsr.body.joints import BLAZEPOSE33_NAMES
from dsr.body.mhr import blazepose_of_joints, blazepose_of_keypoints
from dsr.errors import CheckpointError, UsageError
from dsr.image.types import Photo
from dsr.options import FitOptions, split_regressor
from dsr.people.types import Detection
from dsr.regressors.brought import torchscript
from dsr.regressors.brought.instanthmr import InstantHmr, crop
from dsr.regressors.brought.loading import load_brought
from dsr.regressors.brought.sam3dbody import Sam3dBodyResults, read_people

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

K = np.array([[1000.0, 0, 320], [0, 1000.0, 240], [0, 0, 1]])
RNG = np.random.default_rng(0)
POINTS = RNG.normal(0, 0.5, (70, 3)).astype(np.float32)


def photo(path="a.png"):
    rgb = np.zeros((480, 640, 3), np.uint8)
    return Photo(Path(path), rgb, 640, 480, 1.0, "", "PNG")


def person(box=(200.0, 100, 300, 400), source="blazepose"):
    return Detection(
        np.array(box), 0.9, "blazepose33", np.full((33, 2), 200.0), np.ones(33), np.zeros((33, 3)), source=source
    )


def make_onnx(path, points=POINTS, metadata=None, joints_3d=True, domain="", params=None):
    """A graph with InstantHMR's inputs and outputs that says the same of everybody; joints_3d's first number is the
    camera condition's first, so that a test sees what the graph was told."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "mhr_params": np.zeros((1, 204)) if params is None else params[None],
        "shape_params": np.zeros((1, 45)),
        "cam_trans": np.array([[0, 1, 4.0]]),
        "joints_2d": RNG.uniform(-1, 1, (1, 70, 2)),
    }
    if joints_3d:
        constants["joints_3d"] = points[None]
    batch = helper.make_tensor("slice_to", TensorProto.INT64, [1], [1])
    zero = helper.make_tensor("slice_from", TensorProto.INT64, [1], [0])
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Slice", ["cliff_cond", "slice_from", "slice_to", "slice_to"], ["first"]),
        helper.make_node("Squeeze", ["first", "slice_to"], ["condition"]),
        helper.make_node("Sub", ["condition", "condition"], ["zeros"]),
        helper.make_node("Mul", ["grey", "zeros"], ["nothing"]),
    ]
    weights = [batch, zero]
    outputs = []
    for name, value in constants.items():
        weights.append(numpy_helper.from_array(np.asarray(value, np.float32), f"c_{name}"))
        shape = [-1] + [1] * (value.ndim - 1)
        weights.append(numpy_helper.from_array(np.array(shape, np.int64), f"s_{name}"))
        source = "condition" if name == "cam_trans" else "nothing"
        nodes.append(helper.make_node("Reshape", [source, f"s_{name}"], [f"r_{name}"]))
        nodes.append(
            helper.make_node("Add", [f"r_{name}", f"c_{name}"], [name], domain=domain if name == "cam_trans" else "")
        )
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *value.shape[1:]]))
    graph = helper.make_graph(
        nodes,
        "made",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 224, 224]),
            helper.make_tensor_value_info("cliff_cond", TensorProto.FLOAT, ["n", 3]),
        ],
        outputs,
        weights,
    )
    opset = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(path))
    return path


class Rig(torch.nn.Module):
    """What MHR's program takes and gives: joint i stands at i centimetres to the left, moved by the first parameter."""

    def forward(self, identity: torch.Tensor, params: torch.Tensor, expression: torch.Tensor):
        state = torch.zeros(len(params), 127, 8)
        state[:, :, 0] = torch.arange(127.0)[None] + params[:, :1]
        state[:, :, 1] = 100.0
        return torch.zeros(len(params), 18439, 3), state


def make_rig(path):
    torch.jit.script(Rig()).save(str(path))
    return path


def test_mhr_points_are_blazeposes_with_the_right_sides():
    place, sigma = blazepose_of_keypoints(POINTS, 0.04)
    names = BLAZEPOSE33_NAMES
    middle = POINTS[[9, 10]].mean(0)
    assert np.allclose(place[names.index("left_wrist")], POINTS[62] - middle, atol=1e-6)
    assert np.allclose(place[names.index("right_ankle")], POINTS[14] - middle, atol=1e-6)
    elbow = (POINTS[7] + (POINTS[63] + POINTS[65]) / 2) / 2
    assert np.allclose(place[names.index("left_elbow")], elbow - middle, atol=1e-6)
    assert np.isinf(sigma[names.index("mouth_left")]) and sigma[names.index("left_knee")] == 0.04
    assert sigma[names.index("left_heel")] > 0.04
    joints = RNG.normal(size=(127, 3))
    place, sigma = blazepose_of_joints(joints, 0.04)
    assert np.allclose(place[names.index("right_knee")], joints[19] - joints[[2, 18]].mean(0))
    assert np.isinf(sigma[[names.index("left_heel"), names.index("nose")]]).all() and np.isfinite(place).all()


def test_keypoints_of_a_graph_take_the_landmarks_place(tmp_path):
    network = InstantHmr(make_onnx(tmp_path / "five.onnx"))
    assert network.has_points and not network.angular and network.size == 224
    warnings = []
    told = network(photo(), K, [person(), person((10.0, 10, 60, 200))], warnings)
    expected, sigma = blazepose_of_keypoints(POINTS, 0.045)
    for one in told:
        assert np.allclose(one.world_m, expected, atol=1e-5) and np.array_equal(one.world_sigma_m, sigma)
    assert not warnings and network.record()["condition"] == "pixels"
    assert load_brought(f"instanthmr:{tmp_path / 'five.onnx'}").record()["sha256"] == network.sha256


def test_the_condition_is_written_as_the_file_was_made_for(tmp_path):
    box = np.array([100.0, 50, 200, 350])
    pixels = InstantHmr(make_onnx(tmp_path / "a.onnx")).condition(box, K, 640, 480)
    assert np.allclose(pixels, [2 * 150 / 640 - 1, 2 * 200 / 480 - 1, 300 / 640], atol=1e-6)
    told = InstantHmr(make_onnx(tmp_path / "b.onnx", metadata={"cliff_focal": "true", "arch": "optimized"}))
    assert told.angular and told.record()["condition"] == "angles"
    angles = told.condition(box, K, 640, 480)
    assert np.allclose(angles, [np.arctan(-170 / 1000), np.arctan(-40 / 1000), 0.3], atol=1e-6)


def test_crops_are_squares_around_the_box_black_outside():
    rgb = np.full((100, 100, 3), 255, np.uint8)
    white = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    black = -np.array([0.485, 0.456, 0.406]) / np.array([0.229, 0.224, 0.225])
    seen = crop(rgb, np.array([-50.0, 0, 50, 100]), 224)  # the square reaches from -60 to 60 and from -10 to 110
    assert seen.shape == (3, 224, 224) and seen.dtype == np.float32
    assert np.allclose(seen[:, 112, 168], white, atol=1e-5) and np.allclose(seen[:, 112, 50], black, atol=1e-5)
    assert np.allclose(seen[:, 5, 168], black, atol=1e-5)


def test_files_without_points_need_mhr_and_run_only_what_is_trusted(tmp_path, monkeypatch):
    file = make_onnx(tmp_path / "four.onnx", joints_3d=False, metadata={"arch": "mhr_only"})
    monkeypatch.setattr(torchscript, "model_folders", lambda: [tmp_path / "nowhere"])
    with pytest.raises(CheckpointError, match=r"mhr_model\.pt"):
        InstantHmr(file)
    rig = make_rig(tmp_path / "mhr_model.pt")
    ran = []
    monkeypatch.setattr(torch.jit, "load", lambda *a, _load=torch.jit.load, **k: ran.append(a) or _load(*a, **k))
    with pytest.raises(CheckpointError, match="not run"):
        InstantHmr(file)
    assert not ran
    from dsr.files import file_sha256

    monkeypatch.setenv(torchscript.TRUST, f"abc, {file_sha256(rig).upper()}")
    network = InstantHmr(file)
    assert ran and network.record()["points"] == "mhr_model.pt"
    (told,) = network(photo(), K, [person()], [])
    names = BLAZEPOSE33_NAMES
    # joint i is i cm to the rig's left, which a camera that looks at the front sees on its right
    assert told.world_m[names.index("left_wrist"), 0] == pytest.approx((78 - 10) / 100, abs=1e-5)
    assert np.isinf(told.world_sigma_m[names.index("nose")])


def test_wild_parameters_are_not_believed(tmp_path, monkeypatch):
    params = np.zeros(204)
    params[150] = 5.0
    file = make_onnx(tmp_path / "wild.onnx", joints_3d=False, params=params)
    from dsr.files import file_sha256

    monkeypatch.setenv(torchscript.TRUST, file_sha256(make_rig(tmp_path / "mhr_model.pt")))
    before, warnings = person(), []
    (told,) = InstantHmr(file)(photo(), K, [before], warnings)
    assert told is before and "1 of 1" in warnings[0]


def test_other_files_are_refused_with_a_sentence(tmp_path):
    (tmp_path / "text.onnx").write_bytes(b"hello")
    with pytest.raises(CheckpointError, match=r"no ONNX file|none of InstantHMR"):
        InstantHmr(tmp_path / "text.onnx")
    with pytest.raises(CheckpointError, match="operators of its own"):
        InstantHmr(make_onnx(tmp_path / "own.onnx", domain="evil"))
    with pytest.raises(CheckpointError, match="NaN"):
        InstantHmr(make_onnx(tmp_path / "nan.onnx", points=np.full((70, 3), np.nan, np.float32)))
    outside = onnx.load(str(make_onnx(tmp_path / "out.onnx")))
    onnx.save(outside, str(tmp_path / "out.onnx"), save_as_external_data=True, size_threshold=0, location="w.bin")
    with pytest.raises(CheckpointError, match="other files"):
        InstantHmr(tmp_path / "out.onnx")
    with pytest.raises(UsageError, match="there is no file"):
        split_regressor(f"instanthmr:{tmp_path / 'none.onnx'}")
    with pytest.raises(UsageError, match="instanthmr:FILE"):
        split_regressor("nlf:x")


def test_results_of_sam_3d_body_are_matched_by_box(tmp_path):
    np.savez(tmp_path / "a_0.npz", bbox=[0.0, 90, 110, 300], pred_keypoints_3d=POINTS + 1, pred_cam_t=np.zeros(3))
    np.savez(tmp_path / "a_1.npz", bbox=[195.0, 90, 310, 410], pred_keypoints_3d=POINTS)
    results = load_brought(f"sam3dbody:{tmp_path}")
    people, warnings = [person(), person((500.0, 0, 600, 300))], []
    told = results(photo(tmp_path / "a.png"), K, people, warnings)
    assert np.allclose(told[0].world_m, blazepose_of_keypoints(POINTS, 0.035)[0], atol=1e-6)
    assert told[1] is people[1] and "1 of 2" in warnings[0]
    assert results.record()["name"] == "sam3dbody" and len(results.record()["sha256"]) == 64
    warnings.clear()
    assert results(photo(tmp_path / "b.png"), K, people, warnings) == people and "b.png" in warnings[0]


def test_several_people_in_one_file_and_json(tmp_path):
    rows = [{"bbox": [0, 0, 10, 20], "pred_keypoints_3d": POINTS.tolist()}] * 2
    (tmp_path / "a.json").write_text(json.dumps(rows))
    np.savez(tmp_path / "b.npz", bbox=np.zeros((3, 4)), pred_keypoints_3d=np.zeros((3, 70, 3)))
    assert len(read_people(tmp_path / "a.json")) == 2 and len(read_people(tmp_path / "b.npz")) == 3


def test_damaged_results_and_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "object.npz", bbox=np.array([{}], object), pred_keypoints_3d=POINTS)
    np.savez(tmp_path / "lacks.npz", bbox=np.zeros(4))
    np.savez(tmp_path / "nan.npz", bbox=np.full(4, np.nan), pred_keypoints_3d=POINTS)
    (tmp_path / "text.npz").write_bytes(b"hello")
    for name in ("object", "lacks", "nan", "text"):
        with pytest.raises(CheckpointError, match="no result of SAM 3D Body"):
            read_people(tmp_path / f"{name}.npz")
    (tmp_path / "x.pkl").write_bytes(b"")
    with pytest.raises(UsageError, match="pickles"):
        Sam3dBodyResults(tmp_path / "x.pkl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no"):
        Sam3dBodyResults(tmp_path / "empty")


def test_a_fit_follows_them(tmp_path):
    """A body is fitted to what SAM 3D Body says, not to what the detector does."""
    from dsr.body import load_body
    from dsr.camera import PictureCamera
    from dsr.fitting import fit_people

    body = load_body("open")
    true = body.keypoints(
        body(
            torch.zeros(1, body.num_betas),
            torch.eye(3).expand(1, 23, 3, 3),
            torch.diag(torch.tensor([1.0, -1, -1]))[None],
            torch.zeros(1, 3),
        ).vertices,
        "blazepose33",
    )
    points = true[0].double().numpy() + np.array([0, 0.2, 4.0])
    pixels = points @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    mhr = np.zeros((70, 3))
    for row, name in {5: "left_shoulder", 6: "right_shoulder", 7: "left_elbow", 8: "right_elbow", 9: "left_hip",
                      10: "right_hip", 11: "left_knee", 12: "right_knee", 13: "left_ankle", 14: "right_ankle",
                      62: "left_wrist", 41: "right_wrist", 63: "left_elbow", 65: "left_elbow", 64: "right_elbow",
                      66: "right_elbow", 17: "left_heel", 20: "right_heel", 15: "left_foot_index",
                      18: "right_foot_index", 0: "nose", 1: "left_eye", 2: "right_eye", 3: "left_ear", 4: "right_ear",
                      61: "left_pinky", 40: "right_pinky", 49: "left_index", 28: "right_index", 44: "left_thumb",
                      23: "right_thumb"}.items():  # fmt: skip
        mhr[row] = points[BLAZEPOSE33_NAMES.index(name)]
    np.savez(tmp_path / "a.npz", bbox=box, pred_keypoints_3d=mhr)
    wrong = points * [1, 1, 0.0] + RNG.normal(0, 0.1, points.shape)
    seen = replace(person(), box_px=box, keypoints_px=pixels, world_m=wrong - wrong[[23, 24]].mean(0))
    told = Sam3dBodyResults(tmp_path)(photo(tmp_path / "a.png"), K, [seen], [])

    def error(people):
        got = fit_people(people, PictureCamera(K, (640, 480)), body, FitOptions())[0]
        fitted = body.keypoints(torch.tensor(got.vertices_cam_m)[None], "blazepose33")[0].numpy()
        limbs = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
        apart = (fitted - fitted[[23, 24]].mean(0)) - (points - points[[23, 24]].mean(0))
        return np.linalg.norm(apart, axis=1)[limbs].mean()

    assert error(told) < 0.03 and error(told) < 0.5 * error([seen])
