"""Expressions from landmarks that are known: those of the body's own face, moved by its own actions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dsr.body import load_body
from dsr.body.numpy_lbs import rodrigues
from dsr.camera import PictureCamera
from dsr.errors import BodyError, UsageError
from dsr.fitting.face_actions import FITTED, STABLE, face_model, read_face, similarity
from dsr.fitting.faces import EYES, check_face, turn_head, with_face
from dsr.fitting.hands import global_rotation, posed_again
from dsr.people.expressive_face import FaceLandmarks
from dsr.people.regions import Region
from dsr.results.picture import PersonResult

CAMERA = PictureCamera(np.array([[1500.0, 0, 300], [0, 1500.0, 200], [0, 0, 1]]), (600, 400))
UPPER_LIDS, LOWER_LIDS = [159, 158, 160, 386, 385, 387], [145, 153, 144, 374, 380, 373]


def face(offsets=None, eyes_px=60.0, yaw=0.0):
    """Landmarks of a face at rest moved by offsets (478, 3), as a camera sees it that looks straight at it."""
    model = face_model()
    points = model.rest if offsets is None else model.rest + offsets
    turn = rodrigues(np.array([np.pi, 0, 0])) @ rodrigues(np.array([0, yaw, 0]))
    pixels = (points - points.mean(0)) @ turn.T * (eyes_px / 0.062) + [300, 200, 0]
    return FaceLandmarks(Region(300.0, 200.0, 100.0, 0.0), 1.0, pixels)


def moved(name, strength=1.0):
    model = face_model()
    index = len(FITTED) if name == "jaw" else FITTED.index(name)
    return np.concatenate([strength * model.directions[index], np.zeros((10, 3))])


def test_a_face_at_rest_is_at_rest_however_large_and_turned():
    for yaw, size in ((0, 60), (0.4, 30), (-0.3, 200)):
        reading = read_face(face(yaw=yaw, eyes_px=size))
        assert max(reading.actions.values(), default=0) < 0.02
        # the model's depth of irises is not that of eyes, so that true depth looks a little aside
        assert reading.jaw[0] < 0.01 and np.abs(reading.gaze).max() < 0.02 + 0.3 * abs(yaw)
        assert reading.yaw == pytest.approx(yaw, abs=0.15)


@pytest.mark.parametrize("name", ["mouthSmileLeft", "mouthSmileRight", "mouthFunnel", "mouthLeft", "mouthRight"])
def test_the_action_that_moved_the_face_is_the_strongest(name):
    actions = read_face(face(moved(name))).actions
    assert max(actions, key=actions.get) == name and actions[name] > 0.3


def test_an_open_jaw_is_the_jaws_joint():
    angles = [read_face(face(moved("jaw", angle))).jaw[0] for angle in (0.0, 0.2, 0.4)]
    assert angles[0] < 0.01 and angles[1] > 0.08 and angles[2] > 1.6 * angles[1]


def test_closed_eyes_blink_and_one_closed_eye_winks():
    model = face_model()
    for shut, other in (("Left", "Right"), ("Right", "Left")):
        offsets = np.zeros((478, 3))
        rows = slice(0, 3) if shut == "Right" else slice(3, 6)
        upper, lower = UPPER_LIDS[rows], LOWER_LIDS[rows]
        offsets[upper] = 0.9 * (model.rest[lower] - model.rest[upper])
        actions = read_face(face(offsets)).actions
        assert actions[f"eyeBlink{shut}"] > 0.9 and actions.get(f"eyeBlink{other}", 0) < 0.1


def test_eyes_look_where_the_irises_are():
    offsets = np.zeros((478, 3))
    offsets[468:] = [0.003, 0.0, 0.0]  # to the person's left
    left = read_face(face(offsets)).gaze
    offsets[468:] = [0.0, 0.002, 0.0]  # up
    up = read_face(face(offsets)).gaze
    assert left[1] > 0.2 and abs(left[0]) < 0.05 and up[0] < -0.1 and abs(up[1]) < 0.05
    assert (rodrigues(left) @ [0, 0, 1])[0] > 0.2 and (rodrigues(up) @ [0, 0, 1])[1] > 0.1


def test_small_faces_say_nothing_about_lids_and_gaze():
    offsets = np.zeros((478, 3))
    offsets[UPPER_LIDS] = 0.9 * (face_model().rest[LOWER_LIDS] - face_model().rest[UPPER_LIDS])
    reading = read_face(face(offsets, eyes_px=12))
    assert reading.gaze is None and "eyeBlinkLeft" not in reading.actions


def test_similarity_undoes_one():
    rng = np.random.default_rng(0)
    points, turn = rng.normal(size=(len(STABLE), 3)), rodrigues(rng.normal(size=3))
    scale, rotation, shift = similarity(points, 2.5 * points @ turn.T + [1, 2, 3])
    assert scale == pytest.approx(2.5)
    np.testing.assert_allclose(rotation, turn, atol=1e-9)
    np.testing.assert_allclose(shift, [1, 2, 3], atol=1e-9)


@pytest.fixture(scope="module")
def body():
    return load_body("open-x")


@pytest.fixture(scope="module")
def person(body):
    betas, pose = np.zeros(41, np.float32), np.zeros((54, 3), np.float32)
    orient, transl = np.array([np.pi, 0, 0], np.float32), np.array([0, 0, 3.0], np.float32)
    output = body(*(torch.from_numpy(row[None]) for row in (betas, pose, orient, transl)))
    rows = output.vertices[0].numpy(), output.joints[0].numpy()
    keypoints = np.zeros((33, 3))
    return PersonResult("p0", np.zeros(4), 1.0, "blazepose33", keypoints, betas, orient, pose, transl, *rows, 1.7)


def test_a_person_gets_actions_jaw_and_eyes_and_nothing_else_moves(body, person):
    found = posed_again(with_face(person, face(moved("mouthSmileLeft") + moved("jaw", 0.3)), CAMERA, body), body)
    asset = body.asset
    assert list(found.actions) == list(asset.expression_names) and found.actions["mouthSmileLeft"] > 0.3
    np.testing.assert_allclose(found.betas[asset.num_shapes :], list(found.actions.values()), atol=1e-6)
    jaw = asset.joint_names.index("jaw")
    assert found.body_pose[jaw - 1, 0] > 0.1
    apart = np.linalg.norm(found.vertices_cam_m - person.vertices_cam_m, axis=1)
    assert apart.max() > 0.008 and apart[asset.v_template[:, 1] < 0.4].max() < 1e-5
    np.testing.assert_allclose(found.joints_cam_m[:22], person.joints_cam_m[:22], atol=1e-5)


def test_a_face_that_is_not_seen_stays_at_rest(body, person):
    found = with_face(person, None, CAMERA, body)
    assert found.actions == {} and len(found.betas) == body.num_betas and not found.betas[41:].any()
    np.testing.assert_array_equal(found.vertices_cam_m, person.vertices_cam_m)


def test_a_covered_mouth_is_left_at_rest_and_said(body, person):
    seen = face(moved("mouthSmileLeft") + moved("mouthSmileRight") + moved("jaw", 0.3))
    assert with_face(person, seen, CAMERA, body).actions["mouthSmileLeft"] > 0.2
    found = with_face(person, replace(seen, mouth_covered=True), CAMERA, body)
    assert found.actions["mouthSmileLeft"] == 0 and np.abs(found.body_pose[21]).max() == 0
    assert any("covered" in sentence for sentence in found.warnings)


def test_a_face_turned_far_is_called_a_guess(body, person):
    assert any("guess" in sentence for sentence in with_face(person, face(yaw=0.9), CAMERA, body).warnings)


def test_a_smaller_head_needs_less_of_an_action(body, person):
    child = posed_again(replace(person, betas=np.eye(41, dtype=np.float32)[10] * 1.0), body)
    seen = face(moved("mouthSmileLeft"))
    assert (
        with_face(child, seen, CAMERA, body).actions["mouthSmileLeft"]
        < with_face(person, seen, CAMERA, body).actions["mouthSmileLeft"]
    )


def test_the_head_turns_as_the_face_does_and_the_eyes_lie_where_they_are_seen(body, person):
    asset = body.asset
    names = list(asset.joint_names)
    eyes, top, pose = [names.index(eye) for eye in EYES], names.index("head"), np.zeros((54, 3))
    wanted = rodrigues(np.array([np.pi, 0, 0])) @ rodrigues(np.array([0.2, -0.5, 0.1]))
    from_top = rodrigues(person.global_orient).T @ (person.joints_cam_m[eyes].mean(0) - person.joints_cam_m[top])
    seen_at = person.joints_cam_m[top] + wanted @ from_top + np.array([0.015, 0.0, -0.02])
    sight = seen_at + wanted @ [0.0, -0.002, 0.008]
    turn_head(asset, pose, person.global_orient.astype(float), person.joints_cam_m.astype(float), wanted, sight)
    found = posed_again(replace(person, body_pose=pose.astype(np.float32)), body)
    np.testing.assert_allclose(
        global_rotation(asset.parents, pose[None], person.global_orient[None], top)[0], wanted, atol=1e-6
    )
    middle = found.joints_cam_m[eyes].mean(0)
    assert abs(middle[0] / middle[2] - seen_at[0] / seen_at[2]) < 1e-3
    assert np.abs(pose[[j for j in range(54) if names[j + 1] not in ("neck", "head")]]).max() == 0


def test_neck_and_head_share_a_turn_and_a_turn_that_no_neck_makes_is_left(body, person):
    asset, names = body.asset, list(body.asset.joint_names)
    orient, joints = person.global_orient.astype(float), person.joints_cam_m.astype(float)
    neck, top = names.index("neck") - 1, names.index("head") - 1
    sight = joints[[names.index(eye) for eye in EYES]].mean(0)
    pose = np.zeros((54, 3))
    assert turn_head(asset, pose, orient, joints, rodrigues(orient) @ rodrigues(np.array([0.0, 1.0, 0.0])), sight)
    assert 0.3 < pose[neck, 1] < 0.7 and 0.3 < pose[top, 1] < 0.7
    pose = np.zeros((54, 3))
    backwards = rodrigues(orient) @ rodrigues(np.array([0.0, 2.6, 0.0]))
    assert not turn_head(asset, pose, orient, joints, backwards, sight) and not pose.any()


def test_a_body_without_a_jaw_is_refused():
    with pytest.raises(UsageError, match="--face needs a body with jaw and eyes"):
        check_face(load_body("open-light"))


def test_a_missing_file_of_landmarks_is_named(tmp_path, monkeypatch):
    from dsr.body.asset_file import find_open

    (tmp_path / "open").mkdir()
    for name in ("open", "open-x"):
        (tmp_path / "open" / find_open(name).name).symlink_to(find_open(name))
    monkeypatch.setenv("DSR_BODY_MODELS", str(tmp_path))
    with pytest.raises(BodyError, match=r"face_landmarks\.npz is needed to read faces"):
        face_model.__wrapped__()
