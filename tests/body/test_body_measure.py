"""Measurements: shapes with known answers, and people who grow as their betas say."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from body_toys import toy_asset

from dsr.body import load_asset, measure_body, standing_height_m
from dsr.body.measure import DENSITY, face_edges, girth, volume_m3
from dsr.errors import BodyError


def cylinder(radius=0.15, height=1.0, sections=256):
    mesh = trimesh.creation.cylinder(radius, height, sections=sections)
    return np.asarray(mesh.vertices)[:, [1, 2, 0]], np.asarray(mesh.faces)  # axis along y


def test_girth_of_a_cylinder_and_a_box():
    vertices, faces = cylinder()
    assert girth(vertices, face_edges(faces), 0.123) == pytest.approx(2 * np.pi * 0.15, rel=1e-3)
    box = trimesh.creation.box((0.3, 1.0, 0.2))
    assert girth(np.asarray(box.vertices), face_edges(box.faces), 0.2) == pytest.approx(1.0)
    assert girth(vertices, face_edges(faces), 2.0) == 0


def test_girth_is_a_taut_tape_over_a_hollow():
    left, faces = cylinder()
    right = left + np.array([0.5, 0, 0])
    edges = face_edges(np.concatenate((faces, faces + len(left))))
    assert girth(np.concatenate((left, right)), edges, 0.0) == pytest.approx(2 * np.pi * 0.15 + 2 * 0.5, rel=1e-3)


def test_volume_of_closed_and_holed_shapes():
    ball = trimesh.creation.icosphere(5, radius=0.5)
    vertices, faces = np.asarray(ball.vertices), np.asarray(ball.faces)
    assert volume_m3(vertices + 3, faces) == pytest.approx(np.pi / 6, rel=2e-3)
    assert volume_m3(vertices, faces[:, ::-1]) == pytest.approx(np.pi / 6, rel=2e-3)
    box = trimesh.creation.box((1.0, 2.0, 3.0)).subdivide().subdivide()
    flat = box.triangles_center
    holed = box.faces[~((flat[:, 1] == 1) & (np.abs(flat[:, 0]) < 0.25) & (np.abs(flat[:, 2]) < 0.75))]
    holed = holed[
        ~np.isin(np.arange(len(holed)), np.flatnonzero(np.abs(box.vertices[holed].mean(1)[:, 1] + 1) < 1e-9)[:1])
    ]
    assert len(holed) < len(box.faces) - 1
    assert volume_m3(np.asarray(box.vertices) + 5, holed) == pytest.approx(6.0)


@pytest.mark.parametrize("name", ["open", "open-light"])
def test_the_average_body_is_a_plausible_person(name):
    sizes = measure_body(load_asset(name))
    assert 1.6 < sizes.height_m < 1.8
    assert 50 < sizes.mass_kg < 85
    assert 0.8 < sizes.chest_m < 1.1 and 0.65 < sizes.waist_m < 0.95 and 0.85 < sizes.hip_m < 1.15
    assert sizes.waist_m < min(sizes.chest_m, sizes.hip_m)
    assert sizes.mass_kg == pytest.approx(DENSITY * sizes.volume_m3)


def test_the_light_body_measures_like_the_full_one():
    full, light = load_asset("open"), load_asset("open-light")
    for betas in (
        np.zeros(11),
        np.array([1.5, -1, 0.5, 0, 1, 0, 0, 0, 0, 0, 0]),
        np.array([-1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ):
        a, b = measure_body(full, betas), measure_body(light, betas)
        assert abs(a.height_m - b.height_m) < 0.01
        assert abs(a.mass_kg / b.mass_kg - 1) < 0.03
        for key in ("chest_m", "waist_m", "hip_m"):
            assert abs(getattr(a, key) - getattr(b, key)) < 0.03, key


def test_scaling_scales_lengths_and_volume():
    asset = load_asset("open")
    big = replace(asset, v_template=asset.v_template * np.float32(1.2))
    small, large = measure_body(asset), measure_body(big)
    for key in ("height_m", "chest_m", "waist_m", "hip_m"):
        assert getattr(large, key) == pytest.approx(1.2 * getattr(small, key), rel=2e-3)
    assert large.mass_kg == pytest.approx(1.728 * small.mass_kg, rel=1e-4)


def test_wider_bodies_measure_wider_but_not_taller():
    asset = load_asset("open")
    before = measure_body(asset)
    for width in (1.05, 1.1, 1.2):
        after = measure_body(replace(asset, v_template=asset.v_template * np.array([width, 1, width], np.float32)))
        assert after.height_m == pytest.approx(before.height_m)
        for key in ("chest_m", "waist_m", "hip_m", "mass_kg"):
            assert getattr(after, key) > getattr(before, key)
        before = after


def test_the_first_beta_changes_the_height_monotonically():
    asset = load_asset("open")
    steps = np.linspace(-2, 2, 9)
    sizes = [measure_body(asset, np.array([b])) for b in steps]
    heights = np.array([s.height_m for s in sizes])
    assert (np.abs(np.diff(heights)) > 0.01).all() and len(set(np.sign(np.diff(heights)))) == 1
    betas = np.zeros((9, 11))
    betas[:, 0] = steps
    assert np.allclose(standing_height_m(asset, betas), heights, atol=1e-5)
    assert np.isclose(standing_height_m(asset, betas[0]), heights[0], atol=1e-5)


def test_arms_do_not_count():
    """Fatter arms, the same torso: girths stay."""
    asset = load_asset("open")
    arms = asset.weights[:, 16:24].sum(1) > 0.999
    thick = asset.v_template.copy()
    thick[arms, 1] += 3 * (thick[arms, 1] - thick[arms, 1].mean())  # down to the waist and beyond
    a, b = measure_body(asset), measure_body(replace(asset, v_template=thick))
    assert thick[arms, 1].min() < 0.3
    assert (a.chest_m, a.waist_m, a.hip_m) == pytest.approx((b.chest_m, b.waist_m, b.hip_m), abs=5e-3)


def test_a_body_without_parts_is_refused():
    with pytest.raises(BodyError, match="no part ids for the torso"):
        measure_body(toy_asset(30))
