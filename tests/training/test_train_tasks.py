"""The two systems' tasks on a few synthetic people: losses, schedules, masks, priors, and a whole small run."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from dsr.cli.train import main
from dsr.datasets.augment import draw_dsr
from dsr.errors import TrainingError
from dsr.losses import semantic_losses as original
from dsr.training.config_file import from_dict
from dsr.training.systems.dsr import DsrTask, load_prior, published_file
from dsr.training.systems.perspose import PersPoseTask
from dsr.training.systems.regressor.config import RegressorTrainConfig
from dsr.training.systems.regressor.data import Pool, TrainingData, synthetic_source
from dsr.training.systems.regressor.presets import preset
from dsr.training.systems.regressor.validation import mean_pose, pose_measures, shape_measures

CPU = torch.device("cpu")
SMALL = {
    "batch": 3,
    "workers": 0,
    "device": "cpu",
    "model": {"image_size": 64, "width": 8, "backbone": "resnet18"},
    "data": {"synthetic_count": 6, "synthetic_size": 96, "synthetic_pool": 0},
    "validation": {"count": 3},
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small tensors are no faster with several, and much slower where others use the processor too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dsr(one_thread):
    task = DsrTask(from_dict(SMALL, preset("smoke-dsr")))
    task.prepare(CPU)
    torch.manual_seed(0)
    return task, task.build_model(), task.collate([task.sample(0, i) for i in range(3)])


def test_semantic_terms_begin_after_the_published_epoch(dsr):
    task, model, batch = dsr
    with torch.no_grad():
        early, late = (task.terms(model, batch, epoch, nullcontext)[1] for epoch in (2, 3))
    assert not any(name.startswith("loss_dsr") for name in early)
    assert all(late[name] > 0 for name in ("loss_dsr_mc", "loss_dsr_c"))
    assert {name: float(early[name]) for name in early} == {name: pytest.approx(float(late[name])) for name in early}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_share_of_mirrored_samples_is_the_configurations(share):
    task = DsrTask(from_dict({**SMALL, "data": {**SMALL["data"], "flip": share}}, preset("smoke")))
    rng = np.random.default_rng(0)
    assert {draw_dsr(rng, flip_probability=task.data.view.flip_probability).flip for _ in range(20)} == {bool(share)}


def test_semantic_gradients_reach_pose_shape_and_camera(dsr):
    task, model, batch = dsr
    outputs = [x.detach().requires_grad_() for x in model(batch["image"])]
    K, transl = task._camera(outputs[2], batch)
    vertices = task.body(outputs[1], outputs[0][:, 1:], outputs[0][:, 0]).vertices + transl[:, None]
    terms = task._semantic(vertices, K, batch, batch["has_labels"])
    sum(terms.values()).backward()
    assert all(x.grad is not None and x.grad.isfinite().all() and x.grad.abs().max() > 0 for x in outputs)


def test_samples_without_labels_are_masked_before_the_loss(dsr):
    """Whatever stands where labels lack reaches neither the loss nor the gradient; the mean is over the whole batch."""
    task, model, batch = dsr
    model.eval()
    only = {**batch, "has_labels": torch.tensor([True, False, False])}
    spoiled = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in only.items()}
    for key in ("mc_mask", "mc_distance", "c_weights"):
        spoiled[key][1:] = float("nan")
    first = {key: value[:1] for key, value in batch.items()}
    totals = []
    for one in (only, spoiled):
        model.zero_grad()
        total, terms = task.terms(model, one, 9, nullcontext)
        total.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
        totals.append(terms["loss_dsr_c"])
    assert torch.equal(totals[0], totals[1])
    alone = task.terms(model, first, 9, nullcontext)[1]["loss_dsr_c"]
    assert float(totals[0].detach()) == pytest.approx(float(alone.detach()) / 3, rel=1e-4)
    nobody = task.terms(model, {**batch, "has_labels": torch.zeros(3, dtype=torch.bool)}, 9, nullcontext)[1]
    assert nobody["loss_dsr_c"] == 0
    model.train()


def test_switched_off_renders_nothing():
    task = DsrTask(from_dict({**SMALL, "losses": {"dsr": "off"}}, preset("smoke-dsr")))
    task.prepare(CPU)
    batch = task.collate([task.sample(0, i) for i in range(2)])
    assert not hasattr(task, "renderer") and not batch["has_labels"].any()
    with torch.no_grad():
        _, terms = task.terms(task.build_model(), batch, 9, nullcontext)
    assert set(terms) == {"loss_keypoints", "loss_keypoints_3d", "loss_regr_pose", "loss_regr_betas", "loss_cam"}


def test_true_bodies_have_no_loss(dsr):
    """The labels of the synthetic people, put through the losses as a prediction, cost next to nothing."""
    task, _, batch = dsr

    class Oracle(torch.nn.Module):
        def forward(self, image):
            return batch["pose_rotmat"], batch["betas"], torch.tensor([[0.8, 0.0, 0.0]]).expand(3, 3)

    terms = task.terms(Oracle(), batch, 0, nullcontext)[1]
    assert all(float(terms[name]) < 1e-6 for name in ("loss_keypoints_3d", "loss_regr_pose", "loss_regr_betas"))
    measures = task.validate(_Constant(), False)
    assert measures["mpjpe_mm"] > 10  # and a constant answer does not


class _Constant(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image):
        pose = torch.eye(3).expand(len(image), 24, 3, 3)
        return pose, torch.zeros(len(image), 10), torch.ones(len(image), 3)


def test_shapes_of_made_up_people_do_not_teach_smpl(dsr, monkeypatch):
    """With a licensed body their betas are no labels: neither the term nor the shape measures look at them."""
    task, model, batch = dsr
    monkeypatch.setattr(task, "open", False)
    with torch.no_grad():
        model.eval()
        strange = {**batch, "betas": batch["betas"] + 100}
        assert all(task.terms(model, b, 0, nullcontext)[1]["loss_regr_betas"] == 0 for b in (batch, strange))
        licensed = {**strange, "open_shape": torch.zeros(3, dtype=torch.bool)}
        assert task.terms(model, licensed, 0, nullcontext)[1]["loss_regr_betas"] > 100 * task.losses.betas
        assert "shape_pve_mm" not in task.validate(model, False)
        model.train()


def test_semantic_terms_take_the_forms_and_the_camera_of_the_configuration(dsr, monkeypatch):
    task, model, batch = dsr
    model.eval()
    losses = {}
    for camera in ("published", "own"):
        for form in ("published", "inside"):
            monkeypatch.setattr(task, "losses", replace(task.losses, crop_camera=camera, c_variant=form))
            with torch.no_grad():
                losses[camera, form] = float(task.terms(model, batch, 9, nullcontext)[1]["loss_dsr_c"])
    model.train()
    assert len({round(value, 5) for value in losses.values()}) == 4


def test_labelled_poses_leave_the_shape_alone_to_learn(dsr, monkeypatch):
    """In the labels' pose, at the keypoints' place, the semantic terms see the true body whatever was predicted."""
    task, _, batch = dsr
    monkeypatch.setattr(task, "losses", replace(task.losses, crop_camera="own", semantic_pose="labelled"))
    seen = []
    monkeypatch.setattr(task, "_semantic", lambda vertices, K, batch, chosen: seen.append((vertices, K, chosen)) or {})
    pose = torch.eye(3).repeat(3, 24, 1, 1).requires_grad_()
    betas = batch["betas"].clone().requires_grad_()
    only = {**batch, "has_smpl": torch.tensor([True, True, False])}
    task.terms(lambda image: (pose, betas, torch.tensor([[0.8, 0.0, 0.0]]).repeat(3, 1)), only, 9, nullcontext)
    vertices, K, chosen = seen[0]
    assert chosen.all()
    true = task.body(batch["betas"], batch["pose_rotmat"][:, 1:], batch["pose_rotmat"][:, 0])
    joints = task.body.keypoints(vertices, "openpose25")
    points = (joints @ K.mT)[..., :2] / (joints @ K.mT)[..., 2:] * (2 / 64) - 1
    known = batch["keypoints"][:, :25, 2] > 0
    missed = (points - batch["keypoints"][:, :25, :2]).norm(dim=-1)
    assert missed[:2][known[:2]].max() < 0.03 and missed[2][known[2]].max() > 0.1
    torch.testing.assert_close(vertices[:2, 1:] - vertices[:2, :1], true.vertices[:2, 1:] - true.vertices[:2, :1])
    vertices[:2].square().sum().backward()
    assert betas.grad[:2].abs().min() > 0
    assert pose.grad is None or pose.grad.abs().max() == 0


def test_perspose_terms_and_overlay():
    task = PersPoseTask(from_dict(SMALL, preset("smoke-perspose")))
    task.prepare(CPU)
    model = task.build_model()
    batch = task.collate([task.sample(0, i) for i in range(3)])
    losses = []
    for seed in (0, 2):  # the first draws 0.55 and 0.44
        np.random.seed(seed)  # noqa: NPY002
        total, terms = task.terms(model, batch, 0, nullcontext)
        losses.append(float(total.detach()))
    assert {"uv", "depth", "scale", "twist", "betas", "leaf"} <= set(terms) and "xyz" not in terms
    total.backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if name.endswith("layer.weight"))
    assert len(set(losses)) == 2  # plain and mirrored batches
    with torch.no_grad():
        model.eval()
        assert task.overlay(model, batch).shape == (4 * 64, 3 * 64, 3)
        assert task.validate(model, False)["score"] > 0


def test_a_small_run_through_the_command(tmp_path, capsys):
    flags = [
        "--preset",
        "smoke-dsr",
        "--out",
        str(tmp_path),
        "--batch",
        "3",
        "--workers",
        "0",
        "--device",
        "cpu",
        "--model.image-size",
        "64",
        "--model.backbone",
        "resnet18",
        "--data.synthetic-count",
        "6",
        "--data.synthetic-pool",
        "0",
        "--data.synthetic-size",
        "96",
        "--epochs",
        "1",
        "--validation.count",
        "3",
        "--losses.start-dsr",
        "-1",
        "--log.overlays",
        "2",
        "--threads",
        "1",
    ]
    assert main(flags) == 0
    shown = capsys.readouterr().out
    assert "PA-MPJPE, mm" in shown and "vertices in T-pose, mm" in shown and "waist error, cm" in shown
    assert (tmp_path / "overlays/step_000002.png").exists()
    import dsr
    from dsr.regressors import build_regressor

    model = build_regressor("dsr", backbone="resnet18", image_size=64)
    report = dsr.load_checkpoint(model, tmp_path / "last.safetensors")
    assert not report.missing and not report.extra


def test_order_and_samples_are_functions_of_the_place():
    config = from_dict(SMALL, preset("smoke"))
    task = DsrTask(config)
    again = DsrTask(config)
    a, b = task.sample(1, 4), again.sample(1, 4)
    assert a["key"] == b["key"] and torch.equal(a["image"], b["image"])
    assert not torch.equal(a["image"], task.sample(2, 4)["image"])
    keys = {
        TrainingData(synthetic_source(config), lambda record, rng: {"key": record.key}, 7).sample(0, i)["key"]
        for i in range(6)
    }
    assert len(keys) == 6


def test_a_pool_is_made_once_and_comes_again():
    config = from_dict(
        {"data": {"synthetic_pool": 2, "synthetic_count": 3, "synthetic_size": 32}}, RegressorTrainConfig()
    )
    pool = synthetic_source(config)
    assert isinstance(pool, Pool) and len(pool) == 3
    assert pool.record(0, 0) is pool.record(2, 0) is pool.record(1, 1)
    held_out = synthetic_source(replace(config, validation=replace(config.validation, count=4)), held_out=True)
    assert len(held_out) == 4 and held_out.seed != config.seed


@pytest.mark.parametrize("what", ["shape", "values", "text"])
def test_priors_that_do_not_fit_are_named(tmp_path, what):
    from dsr.body import load_asset

    asset = load_asset("open-light")
    path = tmp_path / "semantic_prior.npy"
    good = np.full((len(asset.faces), 20, 1), 0.05)
    if what == "text":
        path.write_text("no array")
    else:
        np.save(path, good[:-1] if what == "shape" else good * 40)
    with pytest.raises(TrainingError, match=r"semantic_prior\.npy"):
        load_prior(path, asset)
    np.save(path, good)
    assert load_prior(path, asset).shape == (len(asset.faces), 20)


def test_networks_are_chosen_by_their_aligned_error():
    rng = torch.Generator().manual_seed(0)
    true = torch.randn(5, 24, 3, generator=rng)
    predicted = 1.2 * true + 0.1 * torch.randn(5, 24, 3, generator=rng)
    measures = pose_measures(predicted, true)
    assert measures["score"] == measures["pa_mpjpe_mm"] < 0.8 * measures["mpjpe_mm"]


def test_mean_pose_is_the_best_constant():
    torch.manual_seed(0)
    base = torch.randn(24, 3)
    turns = torch.linalg.qr(torch.randn(10, 3, 3))[0]
    turns = turns * torch.linalg.det(turns)[:, None, None]
    people = (base @ turns) * torch.rand(10, 1, 1).add(0.5) + torch.randn(10, 1, 3)
    assert pose_measures(people, people)["mean_pose_pa_mpjpe_mm"] < 0.1  # one pose, however turned and scaled
    noisy = people + 0.3 * torch.randn_like(people)
    best = pose_measures(people, noisy)["mean_pose_pa_mpjpe_mm"]
    from dsr.evaluation import pa_mpjpe

    assert best <= 1000 * float(pa_mpjpe(noisy[:1].expand_as(noisy), noisy)) + 1e-3
    assert mean_pose(noisy).shape == (24, 3)


def test_shape_errors_are_zero_for_the_true_shape_only():
    from dsr.body import load_body

    body = load_body("open-light")
    true = torch.tensor([[1.0, 0.5], [-1.0, 0.0]])
    assert shape_measures(body, true, true, girths=True)["shape_pve_mm"] == 0
    measures = shape_measures(body, -true, true, girths=True)
    assert measures["shape_pve_mm"] > measures["mean_pose_shape_pve_mm"] > 0
    assert measures["height_cm"] > 0 and measures["waist_cm"] > 0


def test_distances_are_in_the_pixels_that_are_rendered(dsr, monkeypatch):
    task, model, batch = dsr
    monkeypatch.setattr(task, "losses", replace(task.losses, render_size=32))
    seen = []
    monkeypatch.setattr(
        "dsr.training.systems.dsr.semantic_losses", lambda *a, **k: seen.append(a[1]) or original(*a, **k)
    )
    with torch.no_grad():
        pose, betas, camera = model(batch["image"])
        K, transl = task._camera(camera, batch)
        vertices = task.body(betas, pose[:, 1:], pose[:, 0]).vertices + transl[:, None]
        task._semantic(vertices, K, batch, torch.ones(3, dtype=torch.bool))
    torch.testing.assert_close(seen[0].distance, batch["mc_distance"][:, 1::2, 1::2] / 2)


def test_networks_start_from_backbones_and_whole_checkpoints(tmp_path):
    def built(kind, system, init):
        model = {"init": str(init), **({"backbone": "resnet18"} if system == "dsr" else {})}
        return kind(from_dict({**SMALL, "model": {**SMALL["model"], **model}}, preset(f"smoke-{system}"))).build_model()

    for kind, system, part in ((DsrTask, "dsr", "layer1.0.conv1.weight"), (PersPoseTask, "perspose", "conv1.weight")):
        config = from_dict({**SMALL, "model": {**SMALL["model"], "backbone": "resnet18"}}, preset(f"smoke-{system}"))
        whole = kind(config).build_model().state_dict()
        backbone = {k.removeprefix("backbone."): v for k, v in whole.items() if k.startswith("backbone.")}
        torch.save(whole, tmp_path / "whole.pt")
        torch.save(backbone, tmp_path / "backbone.pth")
        assert all(torch.equal(whole[k], v) for k, v in built(kind, system, tmp_path / "whole.pt").state_dict().items())
        assert torch.equal(built(kind, system, tmp_path / "backbone.pth").backbone.state_dict()[part], backbone[part])


def test_the_published_folder_gives_the_mean_the_joints_and_the_prior(tmp_path):
    mean = {"pose": np.tile([1.0, 0, 0, 1, 0, 0], 24), "shape": np.arange(10.0), "cam": np.array([0.9, 0, 0])}
    np.savez(tmp_path / "smpl_mean_params.npz", **mean)
    config = from_dict({**SMALL, "data": {**SMALL["data"], "root": str(tmp_path)}}, preset("smoke"))
    assert DsrTask(config).build_model().head.init_shape[0].tolist() == list(range(10))
    assert published_file(config, "J_regressor_extra.npy") is None
    (tmp_path / "J_regressor_extra.npy").write_bytes(b"")
    assert published_file(config, "J_regressor_extra.npy") == tmp_path / "J_regressor_extra.npy"
    assert preset("dsr").body == preset("perspose-h36m").body == "smpl" and preset("smoke").body == "open-light"
