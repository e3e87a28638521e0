"""Scans: labels of dressed bodies with noise, holes and an unknown rigid pose; scans that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation
from shared_data import makehuman

from clothing_prior import resuming
from clothing_prior.dressing import dress, labelled_piece
from clothing_prior.garments import draw_betas, draw_pose, inner_vertices, near_joints, read_covers
from clothing_prior.scans import Scan, learn_from_scans, load_parameters, load_scan, read_scan_covers, register
from dsr.body import load_asset
from dsr.cli.prior import main
from dsr.clothing.bare import bare_labels
from dsr.clothing.labels import LABELS, PALETTE_RGB
from dsr.clothing.prior import load_clothing_prior
from dsr.errors import DatasetError
from dsr.synthetic.wardrobe import Wardrobe, unpack


@pytest.fixture(scope="module")
def asset():
    return load_asset("open")


def as_scan(vertices, faces, labels, rng, noise=0.003, holes=12):
    """Noise, holes of some centimetres, and a rigid motion."""
    middle = vertices[faces].mean(1)
    kept = np.ones(len(faces), bool)
    for centre in middle[rng.choice(len(middle), holes)]:
        kept &= np.linalg.norm(middle - centre, axis=1) > rng.uniform(0.01, 0.04)
    turn = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
    noisy = vertices + rng.normal(0, noise, vertices.shape)
    return Scan(noisy @ turn.T + rng.normal(0, 2, 3), faces[kept], labels)


@pytest.mark.parametrize("seed", range(3))
def test_labels_of_generated_scans_are_right(tmp_path_factory, asset, seed):
    """Nine of ten visible vertices at least, through noise, holes and an unknown frame."""
    wardrobe = Wardrobe(unpack(makehuman(), tmp_path_factory.mktemp("mh")))
    rng = np.random.default_rng(seed)
    suit = ("male_casualsuit04", "female_casualsuit02", "female_elegantsuit01")[seed]
    pieces = [labelled_piece(wardrobe, name) for name in (suit, "shoes02", "short02")]
    betas, pose = draw_betas(asset, seed % 2, rng), draw_pose(rng)
    dressed = dress(wardrobe, pieces, betas, pose)
    true, _ = read_covers(dressed, asset, bare_labels(asset), near_joints(asset))
    bare = ~np.isin(true, [LABELS.index(n) for n in ("upperclothes", "pants", "skirt", "leftShoe", "rightShoe")])
    skin_faces = asset.faces[(bare[asset.faces]).all(1) & ~asset.interior]
    vertices = np.concatenate([dressed.vertices, dressed.cloth])
    faces = np.concatenate([skin_faces, dressed.faces + len(dressed.vertices)])
    labels = np.full(len(vertices), -1)
    labels[: asset.num_vertices] = np.where(bare, true, -1)
    labels[dressed.faces.ravel() + asset.num_vertices] = np.repeat(dressed.labels, 3)
    labels[: asset.num_vertices][true == LABELS.index("hair")] = LABELS.index("face")  # below the hair is the scalp
    found, distance = read_scan_covers(as_scan(vertices, faces, labels, rng), dressed.vertices, asset)
    seen = (found >= 0) & ~inner_vertices(asset)
    assert seen.mean() > 0.45
    assert (found[seen] == true[seen]).mean() >= 0.9
    cloth = np.isfinite(distance)
    assert 0.002 < np.median(distance[cloth]) < 0.05


def test_registration_undoes_any_rigid_motion(asset):
    rng = np.random.default_rng(4)
    body = asset.v_template.astype(float)
    for seed in range(4):
        turn = Rotation.random(random_state=seed).as_matrix()
        moved = register((body + rng.normal(0, 0.002, body.shape)) @ turn.T + [3.0, -1, 2], body)
        assert np.linalg.norm(moved - body, axis=1).mean() < 0.006
    with pytest.raises(DatasetError, match="cannot be brought together"):
        register(rng.uniform(-0.3, 0.3, (3000, 3)) * [6, 0.5, 6], body)


def write(folder: Path, asset, name="anna", labels="file", **parameters) -> Path:
    """A naked scan with labels, and its body's parameters."""
    ids = bare_labels(asset)
    mesh = trimesh.Trimesh(asset.v_template + np.array([0, 1, 0]), asset.faces, process=False)
    if labels == "colours":
        mesh.visual.vertex_colors = np.c_[np.array(PALETTE_RGB)[ids], np.full(len(ids), 255)].astype(np.uint8)
    if labels != "texture":
        mesh.export(folder / f"{name}.ply")
    if labels == "texture":  # a column of the picture per label
        picture = np.zeros((4, 20, 3), np.uint8) + np.array(PALETTE_RGB, np.uint8)
        uv = np.column_stack([(ids + 0.5) / 20, np.full(len(ids), 0.5)])
        mesh.visual = trimesh.visual.TextureVisuals(uv=uv, image=Image.fromarray(picture))
        mesh.export(folder / f"{name}.glb")
    if labels == "file":
        np.save(folder / f"{name}.labels.npy", ids)
    np.savez(folder / f"{name}.npz", **{"betas": np.zeros(5), "body_pose": np.zeros((23, 3)), **parameters})
    return folder / f"{name}.{'glb' if labels == 'texture' else 'ply'}"


@pytest.mark.parametrize("labels", ["file", "colours", "texture"])
def test_labels_beside_a_scan_or_in_its_colours(tmp_path, asset, labels):
    path = write(tmp_path, asset, labels=labels)
    np.testing.assert_array_equal(load_scan(path).labels, bare_labels(asset))
    np.testing.assert_allclose(load_parameters(path.with_suffix(".npz"), asset), asset.v_template, atol=1e-6)
    votes, left_out = learn_from_scans(tmp_path, asset)
    assert votes.people == 1 and not left_out and not votes.covered.any()
    seen = votes.labels.any(1)
    assert (votes.labels.argmax(1)[seen] == bare_labels(asset)[seen]).mean() > 0.97


def test_a_stopped_run_goes_on_to_the_same_sums(tmp_path, asset, monkeypatch):
    """Stopped after the second of three scans, one of which cannot be used, it reads the third alone."""
    folder, sums = tmp_path / "scans", tmp_path / "mine.sums.npz"
    folder.mkdir()
    for name in ("anna", "berta"):
        write(folder, asset, name)
    (folder / "broken.obj").write_text("no mesh")
    whole, left_out = learn_from_scans(folder, asset)
    monkeypatch.setattr(resuming, "_EVERY", 1)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn_from_scans(folder, asset, stop, sums)
    steps = []
    gone_on, still_out = learn_from_scans(folder, asset, lambda done, total: steps.append((done, total)), sums)
    assert steps == [(3, 3)] and still_out == left_out and len(left_out) == 1 and gone_on.people == 2
    np.testing.assert_array_equal(gone_on.labels, whole.labels)
    write(folder, asset, "anna", labels="colours")  # another file: begins again
    steps.clear()
    learn_from_scans(folder, asset, lambda done, total: steps.append(done), sums)
    assert steps == [1, 2, 3]


def test_the_command_improves_the_prior_and_names_what_it_left_out(tmp_path, asset, capsys):
    write(tmp_path, asset)
    (tmp_path / "broken.obj").write_text("no mesh")
    out = tmp_path / "mine.safetensors"
    assert main(["scans", str(tmp_path), "--out", str(out), "--base-people", "1"]) == 3
    said = capsys.readouterr()
    assert not out.with_suffix(".sums.npz").exists()
    assert "1 scans, 1 left out" in said.out and "broken" in said.err
    before, after = load_clothing_prior(asset), load_clothing_prior(asset, out)
    trunk = (np.abs(asset.v_template[:, 0]) < 0.1) & (asset.v_template[:, 1] > 0.2) & (asset.v_template[:, 1] < 0.4)
    skin = LABELS.index("jumpsuits")
    assert after.vertex_labels[trunk, skin].mean() > before.vertex_labels[trunk, skin].mean() + 0.3
    assert "left out" in out.with_suffix(".md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "anna.labels.npy").unlink(), "has no labels"),
        (lambda folder: np.save(folder / "anna.labels.npy", np.zeros(7, int)), "whole numbers are needed"),
        (lambda folder: np.save(folder / "anna.labels.npy", np.full(14104, 20)), "the label 20"),
        (lambda folder: (folder / "anna.npz").unlink(), "no body parameters of the scan"),
        (lambda folder: np.savez(folder / "anna.npz", betas=[np.nan], body_pose=np.zeros((23, 3))), "NaN"),
        (lambda folder: np.savez(folder / "anna.npz", betas=[0.0], body_pose=np.zeros((20, 3))), "20 joints"),
        (lambda folder: [file.unlink() for file in folder.iterdir()], "no scans there"),
    ],
)
def test_scans_that_cannot_be_used_are_named(tmp_path, asset, spoil, sentence):
    write(tmp_path, asset)
    spoil(tmp_path)
    with pytest.raises(DatasetError, match=sentence):
        learn_from_scans(tmp_path, asset)


def test_scans_in_other_units_or_without_numbers_are_named(tmp_path, asset):
    path = tmp_path / "big.ply"
    trimesh.Trimesh(1000 * asset.v_template, asset.faces, process=False).export(path)
    with pytest.raises(DatasetError, match="in metres"):
        load_scan(path)
    (tmp_path / "nan.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(DatasetError, match=r"nan\.obj"):
        load_scan(tmp_path / "nan.obj")
