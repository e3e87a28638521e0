"""Measures: rings with known girths, arms that are lowered, and what the open body measures at marked points."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree
from shipped_bodies import marking, open_body, reference_skin

from dsr.body import Body, measure_body, measure_shape
from dsr.body.measure import skin_faces
from dsr.body.tape import GIRTHS, LENGTHS, MEASURES, Tape


def ring_tape(count):
    """A tape whose only marks are so many vertices, all named ``chest``."""
    return Tape(csr_matrix(np.eye(count)), ("chest",) * count, np.zeros(count))


def perimeter(points, plane="up"):
    return float(ring_tape(len(points)).perimeter(torch.from_numpy(points)[None], plane))


@pytest.mark.parametrize("sides", [40, 57])
def test_the_girth_of_a_cylinder_and_a_box(sides):
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    uneven = 0.3 + 0.1 * np.sin(5 * turn)  # the height of a point makes no difference
    circle = np.stack([0.2 * np.cos(turn), uneven, 0.2 * np.sin(turn)], 1)
    exact = sides * 0.4 * np.sin(np.pi / sides)  # of the polygon
    assert perimeter(circle) == pytest.approx(exact, rel=2e-3)
    box = np.array([[0.0, 0, 0], [1, 0.1, 0], [1, 0, 1], [0, 0, 1], [0.5, 0, 0.5]])
    assert perimeter(box) == pytest.approx(4, rel=2e-3)


def test_a_girth_is_a_taut_tape_over_a_hollow():
    outline = np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 1], [0.5, 0, 0.2], [0, 0, 1]])
    assert perimeter(outline) == pytest.approx(4, rel=2e-3)


def test_lowering_the_arms_turns_what_moves_with_the_left_arm():
    tape = Tape(csr_matrix(np.eye(2)), ("hand", "hip"), np.array([1.0, 0.0]))
    vertices = torch.tensor([[[0.7, 0.4, 0.0], [0.1, 0.0, 0.0]]], dtype=torch.float64)
    tpose, standing = tape.points(vertices, torch.tensor([[0.2, 0.4, 0.0]], dtype=torch.float64))
    assert torch.allclose(tpose, vertices)
    angle = np.radians(75)
    lowered = torch.tensor([0.2 + 0.5 * np.cos(angle), 0.4 - 0.5 * np.sin(angle), 0.0], dtype=torch.float64)
    assert torch.allclose(standing[0, 0], lowered)
    assert torch.allclose(standing[0, 1], vertices[0, 1])


def test_girths_can_be_differentiated():
    turn = torch.linspace(0, 6, 9, dtype=torch.float64)
    ring = torch.stack([torch.cos(turn), 0 * turn, 0.7 * torch.sin(turn)], 1)[None].requires_grad_()
    assert torch.autograd.gradcheck(lambda r: ring_tape(9).perimeter(r, "up"), ring)


def test_there_are_fifty_measures_and_each_is_defined():
    assert len(MEASURES) == 50 and len(LENGTHS) + len(GIRTHS) == 49 and len(GIRTHS) == 12
    assert all(m.definition.endswith(".") for m in MEASURES.values())


def test_stature_and_mass_are_those_of_the_mesh():
    asset = open_body()
    for betas in (np.zeros(11), np.eye(11)[0], np.linspace(1.5, -1.5, 11)):
        mesh, tape = measure_body(asset, betas), measure_shape(asset, betas)
        assert float(tape["stature"]) == pytest.approx(mesh.height_m, abs=1e-4)
        assert float(tape["weight"]) == pytest.approx(mesh.mass_kg, rel=2e-3)
        assert float(tape["buttock_girth"]) == pytest.approx(mesh.hip_m, rel=0.05)


def test_the_average_body_measures_like_a_person():
    """Loose bounds, of adults of both sexes: a ring around the wrong limb or a swapped landmark falls out."""
    size = {name: float(value) for name, value in measure_shape(open_body()).items()}
    heights = [name for name in MEASURES if name.endswith("_height")]
    assert all(0 < size[name] < size["stature"] for name in heights)
    assert size["lateral_malleolus_height"] < size["tibial_height"] < size["crotch_height"] < size["waist_height"]
    assert size["waist_height"] < size["chest_height"] < size["axilla_height"] < size["cervicale_height"]
    assert size["span"] == pytest.approx(size["stature"], rel=0.06)
    assert size["sleeve_outseam"] == pytest.approx(
        size["acromion_radiale_length"] + size["radiale_stylion_length"], rel=0.02
    )
    bounds = {"wrist": (0.13, 0.2), "forearm": (0.2, 0.33), "biceps": (0.23, 0.42), "neck": (0.29, 0.46)}
    bounds |= {"ankle": (0.18, 0.27), "calf": (0.3, 0.46), "lower_thigh": (0.32, 0.5), "thigh": (0.45, 0.75)}
    bounds |= {"head": (0.5, 0.62), "chest": (0.75, 1.2), "waist": (0.65, 1.1), "buttock": (0.8, 1.2)}
    for name, (low, high) in bounds.items():
        assert low < size[f"{name}_girth"] < high, name


def test_the_right_side_of_a_body_measures_like_its_left():
    """The mirrored body, measured on its left side, is the body measured on its right one."""
    asset = open_body()
    vertices = asset.v_template + asset.shapedirs @ np.linspace(1, -1, asset.num_betas)
    partner = cKDTree(asset.v_template).query(asset.v_template * [-1, 1, 1])[1]
    left = [asset.joint_names.index(f"left_{name}") for name in ("shoulder", "elbow", "wrist", "hand")]
    tape = Tape(asset.tape, asset.tape_names, asset.weights[:, left].sum(1).astype(np.float64))
    both = torch.from_numpy(np.stack([vertices, vertices[partner] * [-1, 1, 1]]))
    shoulder = torch.from_numpy((asset.J_regressor @ vertices)[left[0]])[None].expand(2, 3)
    sizes = tape.measure(*map(tape.split, tape.points(both, shoulder)))
    mass = list(MEASURES).index("weight")
    assert torch.isnan(sizes[:, mass]).all(), "without faces there is no volume"
    others = np.delete(sizes.numpy(), mass, 1)
    assert np.ptp(others[0]) > 1  # they are numbers of a person
    np.testing.assert_allclose(others[0], others[1], atol=1.5e-3)


def test_a_body_measures_itself():
    asset = open_body()
    betas = torch.eye(11)[:3]
    sizes = Body(asset).measure(betas)
    np.testing.assert_allclose(sizes["stature"], measure_shape(asset, betas.numpy())["stature"])
    assert sizes["waist_girth"].shape == (3,)


def test_landmarks_lie_on_the_skin_as_blends_of_three_vertices():
    pytest.importorskip("rtree", reason="the nearest point of a mesh needs rtree")
    asset, measurements = open_body(), marking("measurements")
    skin, reference = skin_faces(asset), reference_skin(asset)
    rows, names = measurements.marked_points(reference, skin, asset.weights, list(asset.joint_names))
    count = len(measurements.LANDMARKS)
    assert names[:count] == tuple(measurements.LANDMARKS)
    np.testing.assert_allclose(np.asarray(rows.sum(1)).ravel(), 1, atol=1e-6)
    assert rows.min() >= 0 and np.diff(rows.indptr).max() <= 3
    away = np.linalg.norm(rows[:count] @ reference - list(measurements.LANDMARKS.values()), axis=1)
    assert np.median(away) < 0.02  # the stand-in is stretched, no more
    assert set(names) >= {point for m in MEASURES.values() for point in m.points}
    assert set(measurements.TABLE) == set(MEASURES) and list(measurements.TABLE) == list(MEASURES)


def test_joint_centres_lie_between_their_landmarks():
    centres = marking("measurements").joint_centres
    mark = {name: np.array(place) for name, place in marking("measurements").LANDMARKS.items()}
    joints = centres(mark)
    np.testing.assert_allclose(joints["knee"], (mark["epicondyle_lateral"] + mark["epicondyle_medial"]) / 2)
    assert joints["hip"][0] == pytest.approx(0.66 * 0.125 + 0.0073) and joints["hip"][1] == 0.186
    assert joints["shoulder"][1] == pytest.approx(0.766 - 0.17 * 2 * 0.204)
    tensors = centres({name: torch.from_numpy(place)[None] for name, place in mark.items()})
    for name, place in joints.items():
        np.testing.assert_allclose(tensors[name][0], place)
