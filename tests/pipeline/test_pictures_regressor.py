"""Networks in the chain: from a checkpoint to results in the original camera, and what the files say about them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import dsr
from dsr.body import load_asset, load_body
from dsr.body.asset_file import save_asset
from dsr.body.rotations import rotmat_to_axis_angle
from dsr.camera import PictureCamera
from dsr.cli.fit import main
from dsr.errors import CheckpointError, UsageError
from dsr.options import FitOptions
from dsr.people import Detection
from dsr.pipeline.body_fitter import fit_bodies
from dsr.pipeline.picture_fitter import Fitter
from dsr.regressors import build_regressor
from dsr.regressors.loading import LoadedRegressor
from dsr.regressors.photo import PhotoRegressor
from dsr.regressors.types import BodyPrediction
from dsr.results import load_result

IMAGES = Path(__file__).parents[2] / "examples" / "images"
UPRIGHT = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # standing, facing the camera


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained network: about the mean pose, upright, facing the camera, 0.9 of its crop per two metres."""
    torch.manual_seed(0)
    model = build_regressor("dsr", backbone="resnet18", image_size=64, hidden=32)
    with torch.no_grad():
        for layer in (model.head.decpose, model.head.decshape, model.head.deccam):
            layer.weight.mul_(0.01)
            layer.bias.zero_()
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(model.state_dict(), path, metadata={"system": "dsr", "image_size": "64", "body": "open-light"})
    return path


def truth_keypoints(folder, name):
    """The true keypoints as an OpenPose folder, so that no detector has to run."""
    truth = json.loads((IMAGES / f"{name}.truth.json").read_text())
    folder.mkdir()
    people, body = [], load_body("open-light")
    for person in truth["people"]:
        parts = ("betas", "body_pose", "global_orient", "transl")
        vertices = body(*(torch.tensor(person[part])[None] for part in parts)).vertices
        points = body.keypoints(vertices, "openpose25")[0].numpy() @ np.array(truth["K"]).T
        pixels = points[:, :2] / points[:, 2:]
        people.append({"pose_keypoints_2d": np.column_stack([pixels, np.ones(25)]).ravel().tolist()})
    (folder / f"{name}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    return truth


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, checkpoint):
    """park_three through the command, once."""
    folder = tmp_path_factory.mktemp("run")
    truth = truth_keypoints(folder / "keypoints", "park_three")
    arguments = [
        str(IMAGES / "park_three.jpg"),
        "--out",
        str(folder / "out"),
        "--keypoints",
        str(folder / "keypoints"),
        "--regressor",
        f"dsr:{checkpoint}",
        "--focal",
        str(truth["K"][0][0]),
        "--quiet",
        "--format",
        "ply",
    ]
    assert main(arguments) == 0
    return truth, folder / "out" / "park_three.json", arguments


def test_the_command_puts_the_networks_bodies_onto_the_people(fitted, checkpoint):
    truth, path, _ = fitted
    result = load_result(path)
    assert result.status == "ok" and len(result.people) == 3 and not result.warnings
    assert result.regressor["name"] == "dsr" and result.regressor["body"] == "open"
    assert result.regressor["checkpoint"] == str(checkpoint)
    assert re.fullmatch("[0-9a-f]{64}", result.regressor["sha256"])
    assert result.timing_s["regressor"] > 0
    assert result.timing_s["regressor_per_person"] == pytest.approx(result.timing_s["regressor"] / 3, abs=1e-3)
    K = result.K
    for person, real in zip(result.people, sorted(truth["people"], key=lambda p: p["box_px"][0]), strict=True):
        seen = person.vertices_cam_m @ K.T
        seen = seen[:, :2] / seen[:, 2:]
        low, high = seen.min(0), seen.max(0)
        box = np.array(real["box_px"])
        side = (box[2:] - box[:2]).max()
        # the middle of the body's box is near that of the person's, and the body is about as large
        assert np.abs((low + high) / 2 - (box[:2] + box[2:]) / 2).max() < 0.2 * side
        assert 0.65 < (high - low)[1] / side < 1.1
        left, right = person.joints_cam_m[16], person.joints_cam_m[17]
        assert left[0] > right[0] + 0.2  # facing the camera, the person's left is on the picture's right
        assert person.joints_cam_m[15, 1] < person.joints_cam_m[0, 1] < person.joints_cam_m[7, 1]  # y down
        assert 2.0 < person.transl[2] < 7.0


def test_faces_follow_the_ray_in_the_original_camera(fitted):
    """Everybody has the same pose in the camera that looks straight at them; seen off the axis, it is turned."""
    _, path, _ = fitted
    result = load_result(path)
    first, last = result.people[0], result.people[-1]
    np.testing.assert_allclose(first.body_pose, last.body_pose, atol=0.02)
    yaw = [np.degrees(np.arctan2(p.transl[0], p.transl[2])) for p in (first, last)]
    axes = [dsr.body.axis_angle_to_rotmat(torch.tensor(p.global_orient))[:, 2].numpy() for p in (first, last)]
    turned = [np.degrees(np.arctan2(a[0], -a[2])) for a in axes]
    assert turned[0] - turned[1] == pytest.approx(yaw[1] - yaw[0], abs=3.0) and yaw[1] - yaw[0] > 25


def test_a_finished_picture_is_done_again_when_the_weights_change(fitted, checkpoint, capsys):
    _, path, arguments = fitted
    before = path.stat().st_mtime_ns
    assert main(arguments) == 0 and path.stat().st_mtime_ns == before
    content = checkpoint.read_bytes()
    torch.manual_seed(3)
    model = build_regressor("dsr", backbone="resnet18", image_size=64, hidden=32)
    save_file(model.state_dict(), checkpoint, metadata={"body": "open", "image_size": "64"})
    try:
        assert main([*arguments, "--dry-run"]) == 0
        capsys.readouterr()
        assert main([a for a in arguments if a != "--quiet"] + ["--dry-run"]) == 0
        assert capsys.readouterr().out.startswith("fit")
    finally:
        checkpoint.write_bytes(content)


def test_refining_joints_brings_the_networks_body_onto_the_keypoints(tmp_path, checkpoint):
    truth = truth_keypoints(tmp_path / "keypoints", "street_walk")
    common = {"keypoints": tmp_path / "keypoints", "focal": truth["K"][0][0], "regressor": f"dsr:{checkpoint}"}
    errors = {}
    for refine in ("none", "joints"):
        (person,) = next(dsr.fit_images(IMAGES / "street_walk.jpg", FitOptions(refine=refine, **common))).people
        errors[refine] = person.residuals["fit"]["reprojection_rel"]
        assert person.id == "p0"
    assert errors["joints"] < 0.02 < errors["none"]


def test_a_height_is_kept_and_the_size_in_the_picture_with_it(tmp_path, checkpoint):
    truth = truth_keypoints(tmp_path / "keypoints", "street_walk")
    people = {}
    for height in (None, 1.5):
        options = FitOptions(
            keypoints=tmp_path / "keypoints", focal=truth["K"][0][0], regressor=f"dsr:{checkpoint}", height=height
        )
        (people[height],) = next(dsr.fit_images(IMAGES / "street_walk.jpg", options)).people
    assert people[1.5].height_m == pytest.approx(1.5, abs=0.002)
    spans = [np.ptp(p.vertices_cam_m[:, 1] / p.vertices_cam_m[:, 2]) for p in people.values()]
    assert spans[1] == pytest.approx(spans[0], rel=0.02)


def test_mirroring_is_switched_on_and_off(tmp_path, checkpoint):
    """DSR was published without, so ``auto`` is ``off``; this network says much the same of every picture."""
    truth = truth_keypoints(tmp_path / "keypoints", "street_walk")
    pose = {}
    for mirror in ("auto", "off", "on"):
        options = FitOptions(
            keypoints=tmp_path / "keypoints", focal=truth["K"][0][0], regressor=f"dsr:{checkpoint}", mirror=mirror
        )
        (person,) = next(dsr.fit_images(IMAGES / "street_walk.jpg", options)).people
        pose[mirror] = person.body_pose
    np.testing.assert_array_equal(pose["off"], pose["auto"])
    assert np.abs(pose["on"] - pose["off"]).max() > 1e-5


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.with_name("nowhere.pt"), "there is no file"),
        (lambda path: path.write_bytes(b"not weights") and path, "weights.safetensors"),
        (lambda path: save_file({"a": torch.zeros(2)}, path) or path, "weights.safetensors does not fit"),
    ],
)
def test_weights_that_cannot_be_used_end_the_run_before_the_first_picture(tmp_path, capsys, make, sentence):
    path = make(tmp_path / "weights.safetensors")
    picture = str(IMAGES / "street_walk.jpg")
    assert main([picture, "--out", str(tmp_path / "out"), "--regressor", f"dsr:{path}"]) == 2
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said and len(said.strip().splitlines()) <= 3
    assert not list((tmp_path / "out").glob("*.json")) if (tmp_path / "out").exists() else True
    with pytest.raises((UsageError, CheckpointError), match=r"safetensors|nowhere"):
        dsr.fit_images(picture, FitOptions(regressor=f"dsr:{path}"))


@pytest.mark.parametrize("text", ["dsr", "dsr:", "hmr:weights.pt", ":weights.pt", "default:weights.pt", "DSR:x"])
def test_the_names_of_regressors_are_checked(text):
    with pytest.raises(UsageError, match=re.escape(f"--regressor {text!r}: use default, or dsr:CHECKPOINT")):
        Fitter(FitOptions(regressor=text))
    with pytest.raises(UsageError, match="--mirror"):
        Fitter(FitOptions(mirror="maybe"))


def test_records_of_runs_name_weights_by_their_full_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert FitOptions(regressor="dsr:a.pt").record()["regressor"] == f"dsr:{tmp_path / 'a.pt'}"


class Fixed(torch.nn.Module):
    """Says the same of everybody."""

    image_size = 64

    def __init__(self, crop, betas):
        super().__init__()
        self.crop, self.betas, self.bodies = crop, torch.tensor(betas), []
        self.num_betas, self.fits_skeleton = (10, False) if crop == "square" else (11, True)

    def predict(self, image, K_crop, *, mirror=False, body=None, encode=None):
        count = len(image)
        pose = torch.eye(3).repeat(count, 24, 1, 1)
        pose[:, 0] = UPRIGHT
        self.bodies.append(body)
        betas = self.betas.expand(count, -1)
        if self.crop == "square":
            return BodyPrediction(pose, betas, camera=torch.tensor([[0.9, 0.0, 0.2]]).repeat(count, 1))
        kept = min(betas.shape[1], body.num_betas)
        return BodyPrediction(pose, betas[:, :kept], transl=torch.tensor([[0.0, 0.2, 3.0]]).repeat(count, 1))


def network(system, body, betas):
    model = Fixed("square" if system == "dsr" else "perspective", betas)
    return LoadedRegressor(model, system, Path("weights.pt"), "0" * 64, body)


@pytest.fixture(scope="module")
def opened():
    return load_body("open-light")


@pytest.fixture
def standing(opened):
    """Somebody 2.6 m away in the T-pose."""
    vertices = opened(transl=torch.zeros(1, 3), global_orient=UPRIGHT[None]).vertices
    points = opened.keypoints(vertices + torch.tensor([0.0, 0.0, 2.6]), "openpose25")[0].numpy()
    pixels = points[:, :2] / points[:, 2:] * 500 + (320, 240)
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    return Detection(box, 0.9, "openpose25", pixels, np.ones(25))


K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
GREY = np.full((480, 640, 3), 120, np.uint8)


@pytest.mark.parametrize("system", ["dsr", "perspose"])
def test_betas_of_a_network_trained_here_are_the_open_bodys(system, opened, standing, monkeypatch):
    betas = [0.5, -1.0, 0.3, 0, 0, 0, 0, 0, 0, 0.2]
    found = PhotoRegressor(network(system, "open", betas), opened)(GREY, 1.0, K, [standing])
    np.testing.assert_allclose(found.bodies.betas[0], betas + [0.0] * (opened.num_betas - 10))
    assert found.warnings == ()


@pytest.mark.parametrize("system", ["dsr", "perspose"])
def test_betas_of_smpl_are_not_taken_for_the_open_bodys(system, opened, standing, monkeypatch, tmp_path):
    monkeypatch.setenv("DSR_BODY_MODELS", str(tmp_path))
    loaded = network(system, "smpl", [1.5] + [3.0] * 10)
    people = PhotoRegressor(loaded, opened, smpl=tmp_path / "none")
    found = people(GREY, 1.0, K, [standing])
    size = 1.5 if system == "perspose" else 0.0  # PersPose's search over the first coefficient ran on the open body
    np.testing.assert_allclose(found.bodies.betas[0], [size] + [0] * (opened.num_betas - 1))
    if system == "perspose":
        assert loaded.model.bodies[0].num_betas == 1
    (warning,) = found.warnings
    assert "trained for SMPL" in warning and "SMPL_NEUTRAL.pkl" in warning
    assert not people.exact
    # it stands where the keypoints are
    if system == "dsr":
        assert found.bodies.transl[0, 2] == pytest.approx(2.6, abs=0.02)


def test_smpls_shape_is_carried_over_where_its_file_is_there(opened, standing, tmp_path):
    asset = load_asset("open-light")
    path = tmp_path / "SMPL_NEUTRAL.npz"
    table = np.array([asset.parents, np.arange(24)])
    np.savez(
        path,
        v_template=asset.v_template,
        shapedirs=-asset.shapedirs[..., :10],
        weights=asset.weights,
        f=asset.faces,
        J_regressor=asset.J_regressor.toarray(),
        kintree_table=table,
        posedirs=np.zeros((len(asset.weights), 3, 207)),
    )
    people = PhotoRegressor(network("dsr", "smpl", [1.0, -1.0] + [0.0] * 8), opened, smpl=path)
    found = people(GREY, 1.0, K, [standing])
    assert people.exact and not found.warnings
    carried, wanted = (opened(betas).vertices for betas in (found.bodies.betas, torch.tensor([[-1.0, 1.0]])))
    assert float((carried - wanted).norm(dim=-1).mean()) < 0.01
    # and with SMPL itself wanted, they are taken as they are
    own = PhotoRegressor(network("dsr", "smpl", [1.0, -1.0] + [0.0] * 8), load_body(path), smpl=tmp_path / "none")
    np.testing.assert_allclose(own(GREY, 1.0, K, [standing]).bodies.betas[0, :2], [1.0, -1.0])


def test_perspose_has_all_its_coefficients_on_a_licensed_body(tmp_path):
    asset, path = load_asset("open-light"), tmp_path / "SMPL_NEUTRAL.npz"
    np.savez(
        path,
        v_template=asset.v_template,
        shapedirs=np.tile(asset.shapedirs, 2),
        weights=asset.weights,
        f=asset.faces,
        J_regressor=asset.J_regressor.toarray(),
        kintree_table=np.array([asset.parents, np.arange(24)]),
        posedirs=np.zeros((len(asset.weights), 3, 207)),
    )
    (tmp_path / "weights.pth").touch()
    for name, count in (("default", 10), (f"perspose:{tmp_path / 'weights.pth'}", 11)):
        assert Fitter(FitOptions(regressor=name, body=str(path))).body.num_betas == count
    found = PhotoRegressor(network("perspose", "smpl", [0.0] * 11), load_body("open-light"), smpl=path)
    assert found.source.num_betas == 11


def test_a_network_trained_here_serves_smpl_too(opened, standing, tmp_path):
    asset = load_asset("open-light", num_betas=10)
    from dataclasses import replace

    path = tmp_path / "licensed.npz"
    save_asset(replace(asset, name="SMPL_MALE", shapedirs=-asset.shapedirs), path)
    body = load_body(path)
    found = PhotoRegressor(network("dsr", "open", [1.0, -1.0] + [0.0] * 8), body)(GREY, 1.0, K, [standing])
    np.testing.assert_allclose(found.bodies.betas[0, :2], [-1.0, 1.0], atol=0.15)
    neutral = PhotoRegressor(network("dsr", "smpl", [1.0] * 10), body, smpl=tmp_path / "none")
    (warning,) = neutral(GREY, 1.0, K, [standing]).warnings
    assert "neutral" in warning and "SMPL_MALE" in warning


@pytest.mark.parametrize("system", ["dsr", "perspose"])
@pytest.mark.parametrize("trained", ["open", "smpl"])
def test_bodies_with_fingers_are_posed_too(system, trained, opened, standing, tmp_path):
    """A body of SMPL-X's 55 joints: fingers, jaw and eyes stay at rest, expressions at zero."""
    from dataclasses import replace

    from dsr.body import Body
    from dsr.body.joints import SMPLX55_NAMES

    fingers = [own - 1 if (own - 25) % 3 else (20 if own < 40 else 21) for own in range(25, 55)]
    parents = np.array([*opened.asset.parents[:22], 15, 15, 15, *fingers])
    asset = opened.asset
    rows = np.concatenate([asset.J_regressor.toarray()[:22], np.repeat(asset.J_regressor.toarray()[15:16], 33, 0)])
    weights = np.concatenate([asset.weights[:, :22], np.zeros((asset.num_vertices, 33))], 1)
    weights[:, 20:22] += asset.weights[:, 22:]
    wide = Body(
        replace(
            asset,
            name="SMPLX_NEUTRAL",
            sha256="x",
            J_regressor=type(asset.J_regressor)(rows),
            num_expressions=5,
            weights=weights.astype(np.float32),
            parents=parents,
            joint_names=tuple(SMPLX55_NAMES),
            shapedirs=np.concatenate([asset.shapedirs[..., :10], np.zeros_like(asset.shapedirs[..., :5])], 2),
        )
    )
    people = PhotoRegressor(network(system, trained, [0.5] * 10), wide, smpl=tmp_path / "none")
    found = people(GREY, 1.0, K, [standing])
    assert found.bodies.pose_rotmat.shape == (1, 55, 3, 3) and found.bodies.betas.shape == (1, 15)
    torch.testing.assert_close(found.bodies.pose_rotmat[0, 22:], torch.eye(3).expand(33, 3, 3))
    assert people.exact == (trained == "open") and bool(found.warnings) == (trained == "smpl")
    assert (found.bodies.betas[0, 10:] == 0).all()
    if trained == "open":
        np.testing.assert_allclose(found.bodies.betas[0, 0], 0.5, atol=0.15)
    from dsr.fitting import describe_people, fit_people

    (person,) = describe_people([standing], PictureCamera(K, (640, 480)), wide, found.bodies)
    assert person.body_pose.shape == (54, 3)
    camera, options = PictureCamera(K, (640, 480)), FitOptions(refine="joints")
    (person,) = fit_people([standing], camera, wide, options, found.bodies)
    assert person.residuals["fit"]["reprojection_rel"] < 0.02


@pytest.mark.parametrize("system", ["dsr", "perspose"])
@pytest.mark.parametrize("trained", ["open", "smpl"])
def test_networks_pose_open_x(system, trained, standing, tmp_path):
    """Its fingers and face stay at rest; the network's own body of 24 joints is another one."""
    wide = load_body("open-x")
    people = PhotoRegressor(network(system, trained, [0.5] * 10), wide, smpl=tmp_path / "none")
    found = people(GREY, 1.0, K, [standing]).bodies
    assert found.pose_rotmat.shape == (1, 55, 3, 3) and found.betas.shape == (1, wide.num_betas)
    torch.testing.assert_close(found.pose_rotmat[0, 22:], torch.eye(3).expand(33, 3, 3))
    assert not found.betas[0, wide.asset.num_shapes :].any() and people.exact == (trained == "open")


def test_open_x_is_fitted_like_the_open_body(standing):
    from dsr.fitting import fit_people

    camera = PictureCamera(K, (640, 480))
    bodies = [fit_people([standing], camera, body, FitOptions())[0] for body in map(load_body, ("open", "open-x"))]
    plain, wide = bodies
    np.testing.assert_allclose(wide.vertices_cam_m, plain.vertices_cam_m, atol=1e-4)
    np.testing.assert_allclose(wide.body_pose[:21], plain.body_pose[:21], atol=1e-4)
    assert wide.body_pose.shape == (54, 3) and not wide.body_pose[21:].any()


def test_too_little_device_memory_halves_networks_starts_too(monkeypatch, opened):
    import dsr.fitting
    from dsr.body.transfer import PosedBody

    sizes = []

    def fit_people(detections, camera, body, options, start=None):
        sizes.append((len(detections), [float(x) for x in start.transl[:, 0]]))
        if len(detections) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [float(start.transl[0, 0])]

    monkeypatch.setattr(dsr.fitting, "fit_people", fit_people)
    start = PosedBody(torch.eye(3).expand(3, 24, 3, 3), torch.zeros(3, 11), torch.arange(9.0).reshape(3, 3))
    options = FitOptions(refine="joints")
    assert fit_bodies([None] * 3, PictureCamera(K, (10, 10)), opened, options, start) == [0.0, 3.0, 6.0]
    assert [n for n, _ in sizes] == [3, 1, 2, 1, 1]


def test_described_bodies_are_those_given(opened, standing):
    from dsr.fitting import describe_people

    people = PhotoRegressor(network("dsr", "open", [0.5] + [0.0] * 9), opened)
    bodies = people(GREY, 1.0, K, [standing, standing]).bodies
    results = describe_people([standing, standing], PictureCamera(K, (640, 480)), opened, bodies)
    assert [p.id for p in results] == ["p0", "p1"]
    output = opened(bodies.betas, bodies.pose_rotmat[:, 1:], bodies.pose_rotmat[:, 0], bodies.transl)
    np.testing.assert_allclose(results[1].vertices_cam_m, output.vertices[1], atol=1e-5)
    np.testing.assert_allclose(results[0].global_orient, rotmat_to_axis_angle(UPRIGHT), atol=0.2)
