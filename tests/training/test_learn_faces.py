"""The network that reads faces: what it is learned from, how well it reads faces it has not seen, its files."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from dsr.body import load_asset
from dsr.evaluation.faces_drawn import draw_face
from dsr.fitting.face_actions import face_model, in_heads_frame, read_face
from dsr.fitting.face_network import SCALES, WEIGHTS, read_by_network
from dsr.fitting.perceptrons import answer, first_layer, read_weights
from dsr.people.expressive_face import FaceReader
from dsr.people.regions import Pyramid
from dsr.training.systems.face_samples import kept_faces, sample
from dsr.training.systems.faces import TEST_SEED, answers, errors, learn, write
from dsr.training.systems.hand_samples import write_samples


@pytest.fixture(scope="module")
def seen():
    """Faces that nobody learned from, and what the models say of them."""
    asset, reader, out = load_asset("open-x"), FaceReader(1), []
    for seed in range(TEST_SEED, TEST_SEED + 26):
        drawn = draw_face(asset, seed)
        face = None if drawn is None else reader(Pyramid(drawn.picture), drawn.keypoints, "blazepose33")
        if face is not None:
            out.append((face, sample(asset, drawn, face)))
    return out


@pytest.fixture(scope="module")
def data(seen):
    return {key: np.stack([row[key] for _, row in seen]) for key in ("inputs", "truth")}


def test_faces_that_were_not_seen_are_read(data):
    weights = read_weights(WEIGHTS)
    found = SCALES * np.stack([answer(weights, first_layer(weights, row)) for row in data["inputs"].astype(np.float32)])
    jaw, gaze, head, lids = errors(found, data["truth"])
    idle = errors(np.zeros_like(found), data["truth"])
    assert jaw < 0.8 * idle[0] and gaze < 0.8 * idle[1] and head < 0.7 * idle[2] and head < 7 and lids > 0.85


def test_a_reading_is_the_networks(seen):
    for face, _ in seen[:4]:
        offsets, rotation = in_heads_frame(face)
        said, reading = read_by_network(face.features, offsets, rotation, face.eyes_px), read_face(face)
        np.testing.assert_allclose(reading.head, said.head)
        assert reading.jaw[0] == pytest.approx(np.clip(said.jaw, 0, 0.6))
        np.testing.assert_allclose(said.head @ said.head.T, np.eye(3), atol=1e-9)
    assert face_model().rest.shape == offsets.shape


def test_learning_goes_down_twice_the_same_and_the_file_says_the_same_in_numpy(data, tmp_path):
    networks = [learn(data, 80, seed) for seed in (0, 1)]
    found = answers(networks, data["inputs"])
    assert errors(found, data["truth"])[2] < 0.7 * errors(np.zeros_like(found), data["truth"])[2]
    write(tmp_path / "c.safetensors", networks, 9, data, None)
    write(tmp_path / "d.safetensors", [learn(data, 80, seed) for seed in (0, 1)], 9, data, None)
    assert (tmp_path / "c.safetensors").read_bytes() == (tmp_path / "d.safetensors").read_bytes()
    weights = load_file(tmp_path / "c.safetensors")
    again = SCALES * np.stack([answer(weights, first_layer(weights, row)) for row in data["inputs"].astype(np.float32)])
    np.testing.assert_allclose(again, found, atol=1e-4)
    assert f"{len(found)} other drawn faces" in (tmp_path / "c.md").read_text()
    assert {name: value.shape for name, value in weights.items()} == {
        name: value.shape for name, value in read_weights(WEIGHTS).items()
    }


def test_what_is_kept_is_not_drawn_again(seen, tmp_path):
    write_samples(tmp_path / f"faces_{TEST_SEED}.npz", [row for _, row in seen[:5]])
    assert len(kept_faces(tmp_path, TEST_SEED, 250)["truth"]) == 5
