"""The prior that ships, priors of other bodies and published files, and files that are no prior."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dsr.body import load_asset
from dsr.checkpoints import shipped_file
from dsr.clothing import LABEL_MIRROR, LABELS, ClothingPrior, load_clothing_prior
from dsr.clothing.prior import SHIPPED, carry_prior, write_clothing_prior
from dsr.clothing.surface import closest_on_surface
from dsr.errors import DatasetError

ID = {label: k for k, label in enumerate(LABELS)}


def places(asset):
    return asset.v_template[:, 0], asset.v_template[:, 1], asset.v_template[:, 2]


@pytest.mark.parametrize("name", ["open", "open-light", "open-x"])
def test_the_shipped_prior_says_what_is_bare_and_what_is_covered(name):
    asset = load_asset(name)
    prior = load_clothing_prior(asset)
    x, y, z = places(asset)
    outer = np.isin(np.arange(asset.num_vertices), asset.faces[~asset.interior])
    for table, rows in ((prior.vertex_labels, asset.num_vertices), (prior.face_labels, len(asset.faces))):
        assert table.shape == (rows, 20) and table.dtype == np.float32 and not table[:, 0].any()
        np.testing.assert_allclose(table.sum(1), 1, atol=1e-5)

    def mean(mask):
        return prior.vertex_labels[mask].mean(0)

    # below the eyes, where a fringe may hang, and between the cheeks, along which long hair falls
    face = mean((y > 0.59) & (y < 0.66) & (z > 0.1) & (np.abs(x) < 0.045) & outer)
    assert face[ID["face"]] > 0.95
    for side, sign in (("left", 1), ("right", -1)):
        assert mean(sign * x > 0.74)[ID[f"{side}Arm"]] > 0.97  # hands
        foot = mean((y < -0.86) & (sign * x > 0))
        assert foot[ID[f"{side}Shoe"]] > 0.85 and foot[ID[f"{side}Shoe"]] + foot[ID[f"{side}Leg"]] > 0.98
        assert foot[ID["leftShoe" if side == "right" else "rightShoe"]] < 0.01
    clothes = [ID["upperclothes"], ID["coat"], ID["pants"]]
    trunk = (np.abs(x) < 0.12) & (y > 0.25) & (y < 0.4)
    assert mean(trunk & (z > 0))[clothes].sum() > 0.98
    assert mean(trunk)[[*clothes, ID["hair"]]].sum() > 0.98  # which may hang down the back
    hips = mean((np.abs(x) < 0.12) & (y > -0.12) & (y < -0.02))
    assert hips[[ID["pants"], ID["skirt"]]].sum() > 0.85 and hips[ID["upperclothes"]] < 0.15  # shirts hang over


def test_left_and_right_are_alike():
    asset = load_asset("open")
    prior = load_clothing_prior(asset)
    other, weights, _ = closest_on_surface(asset.v_template * [-1.0, 1.0, 1.0], asset.v_template, asset.faces)
    mirrored = np.einsum("nk,nkc->nc", weights, prior.vertex_labels[asset.faces[other]])[:, LABEL_MIRROR]
    assert np.abs(mirrored - prior.vertex_labels).mean() < 0.002


def test_looseness_is_measured_where_clothes_are():
    asset = load_asset("open")
    prior = load_clothing_prior(asset)
    x, y, z = places(asset)
    mean, spread = prior.vertex_looseness_m.T
    belly = (np.abs(x) < 0.1) & (y > 0.0) & (y < 0.2) & (z > 0.05)
    assert 0.005 < mean[belly].mean() < 0.05 and 0.003 < spread[belly].mean() < 0.05
    assert mean.min() >= 0 and mean.max() < 0.15


def test_the_file_is_small_and_its_card_says_what_it_is_made_of():
    file = shipped_file(SHIPPED)
    assert file.stat().st_size < 2_000_000
    card = file.with_suffix(".md").read_text(encoding="utf-8")
    assert "dsr-prior garments" in card and "CC0" in card and "seed" in card and "## Limits" in card


def test_a_prior_moves_to_another_topology_and_back():
    full, light = load_asset("open"), load_asset("open-light")
    prior = load_clothing_prior(full)
    back = carry_prior(carry_prior(prior, full, light), light, full)
    assert np.abs(back.vertex_labels - prior.vertex_labels).mean() < 0.005
    assert (back.vertex_labels.argmax(1) == prior.vertex_labels.argmax(1)).mean() > 0.97
    assert np.abs(back.vertex_looseness_m - prior.vertex_looseness_m).mean() < 0.002


def test_a_prior_moves_to_a_body_of_other_proportions():
    """A licensed body rests elsewhere: here one a quarter taller, with limbs that point a little further down."""
    source = load_asset("open-light")
    grown = replace(
        source,
        name="smpl",
        v_template=1.25 * source.v_template,
        shapedirs=1.25 * source.shapedirs,
        sha256="another",
    )
    prior = load_clothing_prior(source)
    carried = load_clothing_prior(replace(grown, faces=source.faces[:, [1, 2, 0]]))
    assert (carried.vertex_labels.argmax(1) == prior.vertex_labels.argmax(1)).mean() > 0.9
    far = replace(grown, v_template=grown.v_template + 3.0 * np.random.default_rng(0).normal(size=(1, 3)))
    far = replace(far, v_template=far.v_template * [1.0, 1.0, 9.0], faces=source.faces[:, [1, 2, 0]])
    with pytest.raises(DatasetError, match="smpl"):
        load_clothing_prior(far)


def test_published_priors_are_read_by_face(tmp_path):
    asset = load_asset("open-light")
    path = tmp_path / "semantic_prior.npy"
    table = np.zeros((len(asset.faces), 20, 1), np.float64)
    table[np.arange(len(table)), np.arange(len(table)) % 20] = 1.0
    np.save(path, table)
    prior = load_clothing_prior(asset, path)
    np.testing.assert_array_equal(prior.face_labels, table[..., 0])
    np.testing.assert_allclose(prior.vertex_labels.sum(1), 1, atol=1e-5)
    assert not prior.vertex_looseness_m.any()
    for broken in (table[:-1], np.full_like(table, np.nan), table - 1, 40 * table):
        np.save(path, broken)
        with pytest.raises(DatasetError, match=r"semantic_prior\.npy"):
            load_clothing_prior(asset, path)


def test_files_that_are_no_prior_are_named(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.safetensors.*dsr-prior"):
        load_clothing_prior(path=tmp_path / "none.safetensors")
    text = tmp_path / "text.safetensors"
    text.write_text("no tensors")
    with pytest.raises(DatasetError, match=r"text\.safetensors"):
        load_clothing_prior(path=text)
    asset = load_asset("open")
    prior = load_clothing_prior(asset)
    short = ClothingPrior(prior.vertex_labels[:-1], prior.vertex_looseness_m, asset.faces[:5], "open")
    write_clothing_prior(tmp_path / "short.safetensors", short, {})
    with pytest.raises(DatasetError, match="vertex_labels"):
        load_clothing_prior(path=tmp_path / "short.safetensors")
    lost = ClothingPrior(prior.vertex_labels * np.nan, prior.vertex_looseness_m, asset.faces, "open")
    write_clothing_prior(tmp_path / "lost.safetensors", lost, {})
    with pytest.raises(DatasetError, match="no probabilities"):
        load_clothing_prior(path=tmp_path / "lost.safetensors")
    foreign = ClothingPrior(prior.vertex_labels, prior.vertex_looseness_m, asset.faces, "smpl")
    write_clothing_prior(tmp_path / "foreign.safetensors", foreign, {})
    with pytest.raises(DatasetError, match="'smpl'"):
        load_clothing_prior(path=tmp_path / "foreign.safetensors")


def test_what_is_written_is_read_and_the_same_twice(tmp_path):
    asset = load_asset("open")
    prior = load_clothing_prior(asset)
    for name in ("a", "b"):
        write_clothing_prior(tmp_path / f"{name}.safetensors", prior, {"people": "1", "seed": "2"})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    again = load_clothing_prior(asset, tmp_path / "a.safetensors")
    np.testing.assert_allclose(again.vertex_labels, prior.vertex_labels, atol=2e-3)


def test_closest_points_against_brute_force():
    rng = np.random.default_rng(0)
    vertices, points = rng.normal(size=(12, 3)), rng.normal(size=(40, 3))
    faces = np.array([rng.choice(12, 3, replace=False) for _ in range(10)])
    face, weights, distance = closest_on_surface(points, vertices, faces)
    steps = np.linspace(0, 1, 60)
    grid = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1])
    samples = np.einsum("gk,fka->fga", grid, vertices[faces]).reshape(-1, 3)
    brute = np.linalg.norm(points[:, None] - samples[None], axis=-1).min(1)
    assert (distance <= brute + 1e-9).all() and (distance > brute - 0.06).all()
    np.testing.assert_allclose(weights.sum(1), 1)
    reached = np.einsum("nk,nka->na", weights, vertices[faces[face]])
    np.testing.assert_allclose(np.linalg.norm(reached - points, axis=1), distance)
