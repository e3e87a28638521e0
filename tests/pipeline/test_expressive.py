"""Hands and faces from a picture to files and back; without being asked for they leave no trace."""

import json

import numpy as np
import pygltflib
import pytest
from shared_data import photos

from dsr.body import load_asset
from dsr.body.numpy_lbs import pose_vertices
from dsr.cli.fit import main
from dsr.errors import UsageError
from dsr.image import read_photo
from dsr.options import FitOptions, SequenceOptions, body_to_load
from dsr.pipeline.clip_fitter import fit_sequence
from dsr.pipeline.expression_reader import ExpressionReader
from dsr.pipeline.people_finder import PeopleFinder
from dsr.pipeline.picture_fitter import Fitter
from dsr.results import load_result

PICTURE = "astronauts_public_domain.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("expressive")
    arguments = [str(photos() / PICTURE), "--out", str(out), "--quiet", "--quality", "fast"]
    assert main([*arguments, "--expressive"]) == 0
    return out


def test_the_files_hold_fingers_actions_and_which_hands_were_seen(folder):
    stem = folder / PICTURE.replace(".jpg", "")
    document = json.loads(stem.with_suffix(".json").read_text())
    asset = load_asset("open-x")
    assert document["body"]["name"] == "open-x" and document["schema_version"] == 1
    result = load_result(stem.with_suffix(".json"))
    with np.load(stem.with_suffix(".npz")) as arrays:
        assert arrays["body_pose"].shape == (3, 54, 3) and arrays["hand_presence"].shape == (3, 2)
        for entry, person, presence in zip(document["people"], result.people, arrays["hand_presence"], strict=True):
            assert person.hands == entry["hands"] and person.actions == entry["actions"]
            for side, value in zip(("left", "right"), presence, strict=True):
                assert np.isnan(value) if entry["hands"][side] is None else value == pytest.approx(entry["hands"][side])
            assert list(entry["actions"]) == list(asset.expression_names)  # three faces, all seen
            np.testing.assert_allclose(person.betas[41:], list(entry["actions"].values()), atol=1e-6)
            again = pose_vertices(asset, person.betas, person.body_pose, person.global_orient, person.transl)
            np.testing.assert_allclose(again, person.vertices_cam_m, atol=1e-4)
    assert sum(value is not None for person in result.people for value in person.hands.values()) >= 4
    smiles = [person.actions["mouthSmileLeft"] for person in result.people]
    assert smiles[0] > smiles[1] + 0.1  # the first one smiles, the second does not


def test_the_mesh_file_has_finger_bones_and_the_actions_as_morph_targets(folder):
    result = load_result(folder / PICTURE.replace(".jpg", ".json"))
    gltf = pygltflib.GLTF2().load(str(folder / PICTURE.replace(".jpg", ".p0.glb")))
    mesh = gltf.meshes[0]
    assert mesh.extras["targetNames"] == list(load_asset("open-x").expression_names)
    np.testing.assert_allclose(mesh.weights, list(result.people[0].actions.values()), atol=1e-5)
    names = {node.name for node in gltf.nodes}
    assert {"left_index1", "right_thumb3", "jaw", "left_eye_smplhf"} <= names


def test_retargeted_to_such_a_file_fingers_move_and_morph_targets_stay_valid(folder, tmp_path):
    from dsr.cli.retarget import main as retarget

    character, out = folder / PICTURE.replace(".jpg", ".p1.glb"), tmp_path / "out.glb"
    result = folder / PICTURE.replace(".jpg", ".json")
    assert retarget([str(result), "--person", "p0", "--to", str(character), "--out", str(out)]) == 0
    data = out.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + length])
    sparse = [accessor for accessor in document["accessors"] if "bufferView" not in accessor]
    assert sparse and not any("byteOffset" in accessor for accessor in sparse)
    before = {node.name: node.rotation for node in pygltflib.GLTF2().load(str(character)).nodes}
    after = {node.get("name"): node.get("rotation") for node in document["nodes"]}
    assert not np.allclose(before["left_index2"], after["left_index2"], atol=0.02)


def test_options_that_are_not_used_leave_no_trace_in_a_record():
    assert not {"hands", "face", "expressive"} & set(FitOptions().record())
    assert FitOptions(hands=True).record()["hands"] is True
    assert body_to_load(FitOptions()) == "open" and body_to_load(FitOptions(face=True)) == "open-x"
    assert body_to_load(FitOptions(face=True, body="open-light")) == "open-light"


def test_a_clip_has_fingers_and_faces_in_every_frame(tmp_path):
    for frame in range(3):
        (tmp_path / f"{frame}.jpg").write_bytes((photos() / PICTURE).read_bytes())
    result = fit_sequence(tmp_path, FitOptions(expressive=True, quality="fast"), SequenceOptions(fps=25, lifter="none"))
    assert result.status == "ok" and len(result.people) == 3
    names = load_asset("open-x").expression_names
    for track in result.people:
        assert track.body_pose.shape[1:] == (54, 3) and track.actions.shape == (3, len(names))
        assert track.action_names == names and track.hand_presence.shape == (3, 2)
        assert np.abs(track.body_pose[:, 24:54]).max(axis=(1, 2)).min() > 0.2
    smiles = [track.actions[:, names.index("mouthSmileLeft")].mean() for track in result.people]
    assert max(smiles) > min(smiles) + 0.1
    assert sum(np.isfinite(track.hand_presence[1]).sum() for track in result.people) >= 4


@pytest.mark.parametrize("name", ["hands", "face"])
def test_bodies_without_fingers_and_faces_are_refused_before_the_first_picture(name):
    with pytest.raises(UsageError, match=f"--{name} needs a body"):
        Fitter(FitOptions(body="open-light", **{name: True})).prepare()


def test_on_one_thread_the_same_is_seen_as_on_two():
    options, photo = FitOptions(expressive=True), read_photo(photos() / PICTURE)
    people = PeopleFinder(options, 1)(photo)
    one, two = (ExpressionReader(options, threads).look(photo, people) for threads in (1, 2))
    assert sum(len(hands) for hands in one[0]) >= 4 and all(face is not None for face in one[1])
    for hands, others in zip(one[0], two[0], strict=True):
        assert list(hands) == list(others)
        for side in hands:
            np.testing.assert_array_equal(hands[side].points, others[side].points)
    for face, other in zip(one[1], two[1], strict=True):
        np.testing.assert_array_equal(face.points, other.points)
