"""The add-on's parts that need no Blender."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from dsr_fit_body.core import geometry, names, protocol, smoothing
from dsr_fit_body.core.body_model import read_body_model
from dsr_fit_body.core.bone_axes import bone_axes  # read_body_model
from dsr_fit_body.core.messages import FIXES, FitBodyError, message
from dsr_fit_body.core.result import find_results, read_result
from sample_results import CASES, intrinsics, write_picture
from scipy.spatial.transform import Rotation
from skinning import linear_blend_skinning

from dsr.body import load_asset
from dsr.body.asset_file import save_asset
from dsr.body.joints import SMPLX55_NAMES

ADDON = Path(__file__).resolve().parents[2] / "blender_addon" / "dsr_fit_body"


def test_nothing_of_torch_or_dsr_is_imported():
    """Blender's Python has neither; nor scipy, nor Pillow."""
    allowed = {"bpy", "bpy_extras", "mathutils", "numpy", "bmesh"}
    for path in ADDON.rglob("*.py"):
        assert path.read_text().startswith("# SPDX-License-Identifier: GPL-3.0-or-later"), path
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            for name in modules:
                top = name.split(".")[0]
                assert top in allowed or top in __import__("sys").stdlib_module_names, (path, name)
        if path.parts[-2] == "core":
            assert "import bpy" not in path.read_text(), path


def test_rotations_agree_with_scipy():
    vectors = np.random.default_rng(0).normal(size=(200, 3)) * 2
    vectors[0], vectors[1], vectors[2] = 0, [np.pi, 0, 0], [0, np.pi - 1e-9, 0]
    rotations = geometry.axis_angle_to_matrix(vectors)
    expected = Rotation.from_rotvec(vectors)
    assert np.allclose(rotations, expected.as_matrix(), atol=1e-12)
    q = geometry.matrix_to_quaternion(rotations)
    assert np.allclose(geometry.quaternion_to_matrix(q), rotations, atol=1e-12)
    back = geometry.axis_angle_to_matrix(geometry.matrix_to_axis_angle(rotations))
    assert np.allclose(back, rotations, atol=1e-9)


def test_axes_are_rotations_and_left_stays_left():
    for axes in (geometry.BODY_TO_BLENDER, geometry.CAMERA_TO_BLENDER):
        assert np.allclose(axes @ axes.T, np.eye(3))
        assert np.linalg.det(axes) == pytest.approx(1)
    assert np.allclose(geometry.BODY_TO_BLENDER @ [0, 0, 1], [0, -1, 0])  # faces -y
    assert np.allclose(geometry.CAMERA_TO_BLENDER @ [0, 0, 1], [0, 1, 0])  # stands at +y
    assert np.allclose(geometry.CAMERA_TO_BLENDER @ [0, 1, 0], [0, 0, -1])


@pytest.mark.parametrize("case", CASES)
def test_lens_projects_as_the_intrinsics(case):
    """Blender's camera model written out: horizontal fit, shifts in units of the width."""
    (width, height), K = intrinsics(case)
    lens = geometry.lens_from_intrinsics(K, (width, height))
    points = np.array([[0.3, -0.2, 4.0], [-1.0, 0.7, 3.0]])
    scale = lens.lens / geometry.SENSOR_MM * width
    u = scale * points[:, 0] / points[:, 2] + width / 2 - lens.shift_x * width
    v = scale * points[:, 1] / points[:, 2] + height / 2 + lens.shift_y * width
    expected = points @ K.T
    assert np.allclose(np.c_[u, v], expected[:, :2] / expected[:, 2:], atol=1e-9)


def test_channels_and_back():
    rng = np.random.default_rng(3)
    bones = Rotation.random(24, random_state=1).as_matrix()
    rotations = Rotation.random(5 * 24, random_state=2).as_matrix().reshape(5, 24, 3, 3)
    transl, joints = rng.normal(size=(5, 3)), rng.normal(size=(24, 3))
    q, location = geometry.pose_to_channels(bones, rotations, transl, joints)
    got, moved = geometry.channels_to_pose(bones, q, location, joints)
    assert np.allclose(got, rotations, atol=1e-9)
    assert np.allclose(moved, transl, atol=1e-9)


def test_quaternions_keep_their_sign():
    angles = np.linspace(0, 4 * np.pi, 60)
    q = geometry.matrix_to_quaternion(geometry.axis_angle_to_matrix(angles[:, None] * np.array([0, 1.0, 0])))
    assert np.abs(np.diff(q, axis=0)).max() > 1
    assert np.abs(np.diff(geometry.continuous_quaternions(q), axis=0)).max() < 0.2


def test_every_bone_has_a_name_of_its_own_in_every_scheme():
    for scheme in names.SCHEMES:
        renamed = [names.bone_name_in(name, scheme) for name in names.SMPL24]
        assert len(set(renamed)) == 24
        fingers = [names.bone_name_in(name, scheme) for name in SMPLX55_NAMES]
        assert len(set(fingers)) == 55
    assert names.bone_name_in("left_shoulder", "MIXAMO") == "mixamorig:LeftArm"
    assert names.bone_name_in("left_collar", "MIXAMO") == "mixamorig:LeftShoulder"
    assert names.bone_name_in("right_knee", "RIGIFY") == "shin.R"
    assert names.bone_name_in("left_index2", "MIXAMO") == "mixamorig:LeftHandIndex2"
    assert names.bone_name_in("right_thumb1", "RIGIFY") == "thumb.01.R"
    assert names.bone_name_in("tail", "MIXAMO") == "tail"


def test_names_are_cut_in_bytes():
    assert len(names.cut_name("ж" * 100).encode()) <= 40
    assert names.cut_name("") == "photo"


def test_bones_point_along_the_limbs(tmp_path):
    path, _, _ = write_picture(tmp_path, 1)
    body = read_body_model(read_result(path).body_file)
    directions, lengths = bone_axes(body.names, body.parents, body.joints)
    joint = body.names.index
    assert directions[joint("left_knee")] @ [0, -1, 0] > 0.9
    assert directions[joint("left_shoulder")] @ [1, 0, 0] > 0.9
    assert directions[joint("right_elbow")] @ [-1, 0, 0] > 0.9
    assert directions[joint("spine1")] @ [0, 1, 0] > 0.8
    assert directions[joint("head")] @ [0, 1, 0] > 0.99
    assert directions[joint("left_foot")] @ [0, 0, 1] > 0.99
    assert np.linalg.norm(body.joints[joint("left_ankle")] - body.joints[joint("left_knee")]) == pytest.approx(
        lengths[joint("left_knee")]
    )


def test_bones_of_hands_and_face_point_along_them(tmp_path):
    asset = load_asset("open-x")
    save_asset(asset, tmp_path / "body.npz")
    body = read_body_model(tmp_path / "body.npz")
    assert tuple(body.names) == SMPLX55_NAMES and body.shapedirs.shape[2] == asset.num_betas
    directions, lengths = bone_axes(body.names, body.parents, body.joints)
    joint = body.names.index
    assert directions[joint("left_wrist")] @ [1, 0, 0] > 0.9
    assert directions[joint("right_index1")] @ [-1, 0, 0] > 0.8
    assert directions[joint("head")] @ [0, 1, 0] > 0.99
    assert directions[joint("jaw")] @ [0, 0, 1] > 0.7 and directions[joint("left_eye_smplhf")] @ [0, 0, 1] > 0.99
    fingers = [k for k, name in enumerate(SMPLX55_NAMES) if k >= 25 and not name.endswith("thumb1")]
    assert lengths[fingers].min() > 0.01 and lengths[fingers].max() < 0.05


def test_smoothing_takes_noise_away_and_does_not_lag():
    t = np.linspace(0, 2 * np.pi, 120)
    clean = np.sin(t)
    noisy = clean + np.random.default_rng(0).normal(size=120) * 0.1
    got = smoothing.smoothed(noisy, 0.6)
    assert np.abs(got - clean)[5:-5].mean() < 0.7 * np.abs(noisy - clean)[5:-5].mean()
    assert np.array_equal(smoothing.smoothed(noisy, 0.0), noisy)
    symmetric = smoothing.smoothed(np.eye(1, 41, 20)[0], 0.6)
    assert np.allclose(symmetric, symmetric[::-1])


def test_gaps_are_filled_on_the_way():
    q = geometry.matrix_to_quaternion(
        geometry.axis_angle_to_matrix(np.array([[[0, 0, 0.0]], [[0, 0, 1.2]], [[0, 0, 1]]]))
    )
    frames, filled, moved, left = smoothing.fill_gaps(
        np.array([0, 3, 20]), q, np.array([[0, 0, 0.0], [3, 0, 0], [4, 0, 0]]), 5
    )
    assert frames.tolist() == [0, 1, 2, 3, 20]
    assert np.allclose(geometry.matrix_to_axis_angle(geometry.quaternion_to_matrix(filled[1, 0])), [0, 0, 0.4])
    assert np.allclose(moved[:3, 0], [0, 1, 2])
    assert left == [(4, 19)]


def test_result_is_read_as_dsr_wrote_it(tmp_path):
    path, expected, asset = write_picture(tmp_path, 3)
    for file in (path, path.with_suffix(".npz")):
        got = read_result(file)
        assert [p.id for p in got.people] == [p.id for p in expected.people]
        assert got.size == expected.image_size and np.array_equal(got.K, expected.K)
        assert got.background == tmp_path / "landscape.png"
    body = read_body_model(got.body_file)
    for got_person, written_person in zip(got.people, expected.people, strict=True):
        posed = linear_blend_skinning(
            body.shaped_vertices(got_person.betas),
            body.shaped_joints(got_person.betas),
            body.weights,
            body.parents,
            got_person.rotations[0],
            got_person.transl[0],
        )
        assert np.abs(posed - written_person.vertices_cam_m).max() < 1e-5
        assert np.allclose(got_person.uncertainty_mm, written_person.joint_uncertainty_mm)
    assert np.allclose(body.joints, asset.J_regressor @ asset.v_template.astype(float))
    assert find_results(tmp_path) == [path]


def test_photo_is_found_when_the_folder_moved(tmp_path):
    (tmp_path / "a").mkdir()
    path, _, _ = write_picture(tmp_path / "a", 1)
    (tmp_path / "a").rename(tmp_path / "b")
    assert read_result(tmp_path / "b" / path.name).background == tmp_path / "b" / "landscape.png"
    (tmp_path / "b" / "landscape.png").unlink()
    assert read_result(tmp_path / "b" / path.name).background is None


@pytest.mark.parametrize(
    ("damage", "expected_text"),
    [
        (lambda p: p.write_text("{"), "cannot be read as JSON"),
        (lambda p: p.write_text("[1]"), "not a result"),
        (lambda p: p.write_text(json.dumps({**json.loads(p.read_text()), "schema_version": 3})), "schema 3"),
        (lambda p: p.with_suffix(".npz").unlink(), "missing"),
        (lambda p: p.with_suffix(".npz").write_bytes(b"PK\x03\x04 no"), "cannot be read"),
        (
            lambda p: p.write_text(json.dumps({k: v for k, v in json.loads(p.read_text()).items() if k != "image"})),
            "complete",
        ),
        (lambda p: p.unlink(), "missing"),
    ],
)
def test_broken_results_are_refused_with_a_sentence(tmp_path, damage, expected_text):
    path, _, _ = write_picture(tmp_path, 1)
    damage(path)
    with pytest.raises(FitBodyError, match=expected_text):
        read_result(path)


def test_broken_body_model_is_refused(tmp_path):
    path, _, _ = write_picture(tmp_path, 1)
    file = read_result(path).body_file
    file.write_bytes(b"nothing")
    with pytest.raises(FitBodyError, match="not a body model") as caught:
        read_body_model(file)
    assert caught.value.message.fix == "LOCATE_MODEL"
    file.unlink()
    with pytest.raises(FitBodyError, match="Body model not found"):
        read_body_model(file)


def test_every_message_fills_and_names_a_known_fix():
    from dsr_fit_body.core import messages

    for code in messages._MESSAGES:
        expected_text = message(code, photo="/x/photo.jpg", detail="why.", known=1)
        assert "{" not in expected_text.text and expected_text.fix in FIXES
    assert message("cancelled").text == "Fit cancelled; the scene was not changed"
    assert 'in "photo.jpg"' in message("no_person", photo="/x/photo.jpg").text
    assert message("something new", detail="odd").text == "The fit failed: odd"


def test_the_button_of_a_message_is_the_one_that_helps():
    from dsr_fit_body.core import messages

    buttons = {
        "PREFERENCES": {"no_python", "time_limit"},
        "CHECK": {"cannot_start", "died", "wrong_version", "hello_timeout", "extra_missing"},
        "LOCATE_MODEL": {"model_missing"},
        "LOWER_SCORE": {"no_person"},
        "CPU": {"out_of_memory"},
        "RETRY": {"out_of_memory_cpu", "failed"},
        "INSTALL": {"install_failed", "install_cancelled"},
        "VIDEO": {"no_video"},
    }
    got = {fix: {code for code in messages._MESSAGES if message(code).fix == fix} for fix in set(FIXES) - {""}}
    assert got == buttons


def test_noise_is_no_answer():
    for line in ("", "hello", "{broken", "[1]", '{"a": 1}', "{'event': 'x'}", '"event"', '{"event": 3}'):
        assert protocol.parse_line(line) is None
    assert protocol.parse_line(' {"event": "done", "id": 1}\r\n') == {"event": "done", "id": 1}
    assert json.loads(protocol.request_line("fit", 3, inputs=["a"])) == {"request": "fit", "id": 3, "inputs": ["a"]}


def test_warnings_call_people_as_the_scene_does_and_stand_there_once():
    from dsr_fit_body.core.messages import merged_warnings, warning_sentence

    legs = "The legs are hidden or outside the picture; their pose is a guess."
    told = [f"p0: {legs}", f"p2: {legs}", f"p0: {legs}", "p1: something new", "p1 was left out: too small", "a", "a"]
    texts = [str(text) for text in merged_warnings(warning_sentence(text) for text in told)]
    assert texts == [
        "People 1, 3: The legs are hidden or outside the picture; their pose is a guess",
        "Person 2: something new",
        "Person 2 was left out: too small",
        "a",
    ]
    again = merged_warnings([*merged_warnings(map(warning_sentence, told)), warning_sentence(f"p1: {legs}")])
    assert str(again[0]).startswith("People 1, 2, 3: ") and len(again) == 4
