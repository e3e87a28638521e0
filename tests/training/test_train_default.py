"""The default network's training: pairs in turned cameras, mirrored copies, terms, a run that learns and resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dsr.body import load_asset
from dsr.cli.train import main
from dsr.errors import TrainingError
from dsr.fitting.lifted_people import shipped_lifter
from dsr.regressors.default.inputs import PersonInputs
from dsr.regressors.default.network import KEYPOINTS, DefaultRegressor
from dsr.regressors.default.shipped import load_default
from dsr.training.systems import make_task
from dsr.training.systems.default.batches import mirrored_batch, usefulness, varied_batch
from dsr.training.systems.default.card import calibrate, measured
from dsr.training.systems.default.losses import TrueBodies, pose_terms
from dsr.training.systems.default.measures import predict_pairs, radii
from dsr.training.systems.default.pairs import Pairs, load_pairs
from dsr.training.systems.regressor.config import DefaultNetworkConfig
from dsr.training.systems.regressor.presets import preset
from tests.training.default_pairs import made_pairs, write_pairs

CALM = DefaultNetworkConfig(ray_noise=0.0, world_noise=0.0, drop=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def pairs(folder: Path) -> Pairs:
    return load_pairs(folder, 0, shipped_lifter(), labels=True)


def test_pairs_are_seen_by_cameras_that_look_at_them(pairs: Pairs):
    assert len(pairs) == 120 and pairs.labels.shape == (120, 48, 48)
    rays = pairs.points[..., :2] / pairs.points[..., 2:]
    assert (pairs.rays[:, 0] - rays).norm(dim=-1).median() < 0.01 * pairs.scale.mean()
    assert (pairs.rays[:, 0].mean(1).norm(dim=-1) < 0.3 * pairs.scale).all()  # in the middle
    middle = pairs.labels[:, 20:28, 20:28].float().mean((1, 2))
    assert ((middle == 5) | (middle == 13)).float().mean() > 0.5  # the silhouette lies where the person does


def test_a_prepared_copy_is_used_and_stale_ones_are_not(tmp_path: Path):
    folder = write_pairs(tmp_path / "p", 16)
    first = load_pairs(folder, 0, None)
    copies = sorted((folder / "ready").glob("*.npz"))
    assert len(copies) == 2
    held = dict(np.load(copies[0]))
    np.savez(copies[0], **{**held, "scale": held["scale"] * 2})
    assert torch.allclose(load_pairs(folder, 0, None).scale[:6], 2 * first.scale[:6])
    np.savez(folder / "pairs_00000.npz", **made_pairs(9, 5))
    assert len(load_pairs(folder, 0, None)) == len(first) + 1  # 7 of 9 instead of 6 of 8


@pytest.mark.parametrize("damage", ["empty", "cut", "other"])
def test_folders_that_hold_no_pairs_are_named(tmp_path: Path, damage: str):
    if damage == "cut":
        (tmp_path / "pairs_1.npz").write_bytes(b"PK\x03\x04 nothing")
    elif damage == "other":
        np.savez(tmp_path / "pairs_1.npz", points=np.zeros((2, 2, 33, 2)), split=np.zeros(2, np.uint8))
    with pytest.raises(TrainingError, match=str(tmp_path)):
        load_pairs(tmp_path, 0, None)


def test_a_mirror_twice_changes_nothing_and_truth_goes_with_inputs(pairs: Pairs):
    batch = varied_batch(pairs.select(slice(8)), CALM, np.random.default_rng(0))
    other = mirrored_batch(batch)
    for name, value in mirrored_batch(other).items():
        assert torch.equal(value, batch[name]), name
    for some in (batch, other):  # the mirrored truth is where the mirrored keypoints are
        rays = some["points"][..., :2] / some["points"][..., 2:]
        assert (rays - some["true_rays"]).norm(dim=-1).median() < 0.01 * some["true_scale"].mean()
        shown = some["rays"] / some["scale"][:, None, None]  # looks much the same under the same angle for all
        assert (shown - some["true_rays"] / some["true_scale"][:, None, None]).norm(dim=-1).median() < 0.04
    network = DefaultRegressor(load_asset("open-light"), "mlp", 16, 1)
    eye = torch.eye(3).expand(8, 2, 3, 3)
    for some in (batch, other):
        _, points, _ = network.body(torch.cat([some["turns"], eye], 1), some["betas"])
        apart = (points - points[:, :1]) - (some["points"] - some["points"][:, :1])
        assert apart.norm(dim=-1).max() < 0.01  # mirrored rotations put mirrored keypoints there


def test_who_was_mistaken_for_another_counts_little(pairs: Pairs):
    some = pairs.select(slice(4))
    moved = replace(some, rays=some.rays + 0.5 * some.scale[:, None, None, None])
    assert (usefulness(some) > 0.99).all() and (usefulness(moved) < 0.01).all()


def test_terms_are_least_at_the_truth_and_the_spread_teaches_itself_alone(pairs: Pairs):
    batch = varied_batch(pairs.select(slice(16)), CALM, np.random.default_rng(0))
    network = DefaultRegressor(load_asset("open-light"), "mlp", 16, 1, (0, 10))
    bodies = network(PersonInputs(**{name: batch[name] for name in PersonInputs.__dataclass_fields__}))
    eye = torch.eye(3).expand(16, 2, 3, 3)
    turns = torch.cat([batch["turns"], eye], 1)
    joints, points, _ = network.body(turns, batch["betas"])
    shift = batch["joints"][:, :1] - joints[:, :1]
    placed = points + shift
    true = TrueBodies(
        batch["turns"], batch["betas"], placed[:, :KEYPOINTS], joints + shift, placed[:, KEYPOINTS:], batch["seen"],
        batch["weight"],
    )  # fmt: skip
    perfect = replace(bodies, turns=turns, betas=batch["betas"], points=placed, joints=joints + shift)
    here, there = pose_terms(bodies, true, batch["true_scale"]), pose_terms(perfect, true, batch["true_scale"])
    for name in ("points", "pose", "shape", "vertices", "picture"):
        assert there[name] < 2e-3 < here[name], name
    said = network.trunks[0].said.weight
    (grad,) = torch.autograd.grad(here["spread"], said, retain_graph=True, allow_unused=True)
    assert grad is None or grad.abs().max() == 0
    (grad,) = torch.autograd.grad(here["points"], said)
    assert grad.abs().max() > 0


def test_radii_hold_half_and_nine_tenths():
    generator = torch.Generator().manual_seed(1)
    sigma = torch.tensor([0.02, 0.06])
    variance = torch.empty(20000, 2).exponential_(generator=generator).mean(1, keepdim=True)
    draws = torch.randn(20000, 3, generator=generator) * variance.sqrt()
    length = (draws * sigma[[0, 0, 1]]).norm(dim=1)
    half, most = radii(sigma)
    assert 0.48 < (length < half).float().mean() < 0.52 and 0.89 < (length < most).float().mean() < 0.91


def test_calibration_holds_on_the_people_it_was_made_on(pairs: Pairs):
    torch.manual_seed(0)
    network = DefaultRegressor(load_asset("open-light"), "refine", 16, 1).eval().requires_grad_(False)
    calibrate(network, pairs)
    figures = measured(network, pairs)
    assert 40 < figures["interval_50"] < 60 and 80 < figures["interval_90"] < 97
    bodies = predict_pairs(network, pairs, mirror=True)
    assert (pairs.betas - bodies.betas)[:, :10].median(0).values.abs().max() < 1e-3


@pytest.mark.parametrize("design", ["mlp", "refine", "tokens"])
def test_a_run_learns_resumes_and_is_read_again(folder: Path, tmp_path: Path, design: str):
    size = "--network.width 32 --network.blocks 1 --batch 20 --optim.lr 0.003 --optim.cosine off --epochs 6"
    where = ["--network.pairs", str(folder), "--out", str(tmp_path / "run"), "--network.design", design, "--quiet"]
    arguments = ["--preset", "default", *where, *size.split()]
    assert main([*arguments, "--steps", "9"]) == 0
    assert main([*arguments, "--steps", "30", "--resume"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "scalars.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 30 and rows[-1]["points"] < rows[0]["points"]
    network = load_default(tmp_path / "run" / "last.ema.safetensors")
    assert network.design == design
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "interval_50" in json.dumps(metrics)


def test_semantic_terms_teach_the_shape(folder: Path):
    config = preset("default")
    config = replace(
        config,
        network=replace(config.network, pairs=folder, design="mlp", width=16, blocks=1, semantic_people=3),
        losses=replace(config.losses, dsr="on", start_dsr=-1),
        validation=replace(config.validation, count=0),
    )
    task = make_task(config)
    model = task.build_model()
    task.prepare(torch.device("cpu"))
    batch = task.collate([task.sample(0, i) for i in range(6)])
    _, terms = task.terms(model, batch, 0, None)  # type: ignore[arg-type]
    assert {"dsr_mc", "dsr_c"} <= set(terms)
    head = model.trunks[0].said.bias  # type: ignore[union-attr]
    (grad,) = torch.autograd.grad(terms["dsr_mc"] + terms["dsr_c"], head)
    assert grad[: 22 * 6].abs().max() == 0 and grad[22 * 6 :].abs().max() > 0  # drawn in the true pose


def test_without_pairs_the_flag_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--preset", "default", "--out", str(tmp_path / "run")]) == 2
    assert "--network.pairs" in capsys.readouterr().err
