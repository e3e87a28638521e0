"""dsr-train adapt: what a batch is made of, the augmentation first, exact resume, targets from dsr-fit's folder."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from lifter_tracks import small_config, smooth_track

from dsr.cli import train as train_command
from dsr.errors import CameraError, CheckpointError, TrainingError, UsageError
from dsr.lifting.shipped import load_lifter
from dsr.results import FitResult, PersonResult, save_result
from dsr.tracks import mirror
from dsr.training.config import LogConfig, check_config
from dsr.training.loop import Trainer
from dsr.training.systems.adapt.augment_task import AugmentorTask, load_augmentor
from dsr.training.systems.adapt.config import AdaptTrainConfig, AugmentorConfig, AugmentTrainConfig
from dsr.training.systems.adapt.data import join_people, people_of_track, projected, read_target
from dsr.training.systems.adapt.task import AdaptTask
from dsr.training.systems.lifter.config import LifterDataConfig
from dsr.training.systems.lifter.task import LifterTask

K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
LOG = LogConfig(every=1, overlays=0, checkpoint=2, keep=0, tensorboard="off")
WINDOWS = LifterDataConfig(hop=3)
AS_IT_WAS = 0.01  # metres


def person_track(seed, depth=5.0, aside=0.0):
    """A smooth track of somebody about a metre tall, in the picture, before a known camera."""
    track = smooth_track(seed=seed)
    joints = 0.4 * (track.joints_m - [0, 0, 5.0]) + [aside, 0.0, depth]
    pixels = joints[..., :2] / joints[..., 2:] * 500 + K[:2, 2]
    return replace(track, joints_m=joints.astype(np.float32), keypoints_px=pixels.astype(np.float32), K=K)


SOURCE = [person_track(seed) for seed in range(2)]
TARGET = join_people([people_of_track(person_track(seed, 9.0, 1.5)) for seed in (5, 6)], 0.3, "test")


@pytest.fixture(scope="module")
def lifter(tmp_path_factory):
    """Weights of a small lifter."""
    out = tmp_path_factory.mktemp("lifter")
    config = small_config("simplebaseline", steps=60, epochs=60)
    config = replace(config, network=replace(config.network, width=32))
    Trainer(config, LifterTask(config, SOURCE), out).run()
    return out / "last.safetensors"


@pytest.fixture(scope="module")
def augmentation(tmp_path_factory):
    """Weights of a small augmentation, and the run."""
    out = tmp_path_factory.mktemp("augmentor")
    return train_augmentor(out), out / "last.safetensors"


def augment_config(**changes):
    settings = AugmentorConfig(width=16, pool=20)
    config = AugmentTrainConfig(
        source=("given",), epochs=6, batch=8, threads=1, windows=WINDOWS, augmentor=settings, log=LOG
    )
    return replace(config, **changes)


def train_augmentor(out, resume=False, **changes):
    config = augment_config(**changes)
    trainer = Trainer(config, AugmentorTask(config, SOURCE, TARGET), out, resume=resume)
    trainer.run()
    return trainer


def adapt_config(lifter, method, **changes):
    config = AdaptTrainConfig(
        lifter=lifter,
        source=("given",),
        target=("given",),
        method=method,
        epochs=3,
        batch=8,
        threads=1,
        windows=WINDOWS,
        log=LOG,
    )
    return replace(config, **changes)


def prepared(lifter, method, augmentor=None, **changes):
    task = AdaptTask(adapt_config(lifter, method, **changes), SOURCE, TARGET, augmentor)
    task.build_model()
    task.prepare(torch.device("cpu"))
    batch = task.collate([task.sample(0, i) for i in range(8)])
    torch.manual_seed(0)
    return task, batch, task.pairs(batch)


def test_without_a_method_a_batch_is_the_source(lifter):
    _, batch, (x, y, valid) = prepared(lifter, "none")
    flipped = batch["flipped"][:, None, None, None]
    torch.testing.assert_close(x, torch.where(flipped, mirror(batch["inputs"]), batch["inputs"]), rtol=0, atol=0)
    assert bool(valid.all()) and float(y[:, :, 0].abs().max()) == 0


def test_alignment_moves_people_and_leaves_their_poses(lifter):
    _, _, (x, y, valid) = prepared(lifter, "gpa")
    _, _, (x0, y0, _) = prepared(lifter, "none")
    torch.testing.assert_close(y, y0, rtol=0, atol=1e-6)
    assert bool(valid.all())
    roots = x[:, 0, 0, :2]
    nearest = (roots[:, None] - TARGET.screen[:, 0]).norm(dim=-1).amin(1)
    assert float(nearest.max()) < 1e-5
    assert float((roots - x0[:, 0, 0, :2]).norm(dim=-1).min()) > 0.1
    size, wanted = ((p[..., 1].amax(-1) - p[..., 1].amin(-1)) for p in (x[:, 0, :, :2], TARGET.screen))
    assert 0.5 < float(size.mean() / wanted.mean()) < 1.5


def test_half_of_a_batch_is_augmented(lifter, augmentation):
    augmentor = load_augmentor(augmentation[1])
    _, _, (_, y0, _) = prepared(lifter, "none")
    for method in ("gpa+lpa", "lpa"):
        _, _, (x, y, _) = prepared(lifter, method, augmentor)
        changed = (y - y0).abs().amax((1, 2, 3)) > AS_IT_WAS
        assert changed.tolist() == ([False] * 4 + [True] * 4 if method == "gpa+lpa" else [True] * 8)
        assert bool(x.isfinite().all())
    _, _, (_, y, _) = prepared(lifter, "gpa", augmentor)
    torch.testing.assert_close(y, y0, rtol=0, atol=1e-6)
    _, batch, (x, _, _) = prepared(lifter, "gpa", real=0.5)
    flipped = batch["flipped"][:, None, None, None]
    own = torch.where(flipped, mirror(batch["inputs"]), batch["inputs"])
    torch.testing.assert_close(x[:4], own[:4], rtol=0, atol=0)
    assert float((x[4:] - own[4:]).abs().amax((1, 2, 3)).min()) > 0.05


def test_noise_is_a_share_of_the_height(lifter):
    exact, noisy = (prepared(lifter, "gpa", noise=n)[2][0][..., :2] for n in (0.0, 0.02))
    height = exact[..., 1].amax(-1) - exact[..., 1].amin(-1)
    assert float(((noisy - exact) / height[..., None, None]).std()) == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize("method", ["none", "gpa", "lpa", "gpa+lpa"])
def test_a_run_writes_a_lifter(lifter, augmentation, tmp_path, method):
    config = adapt_config(lifter, method, epochs=15)
    config = replace(config, optim=replace(config.optim, lr=1e-3))
    task = AdaptTask(config, SOURCE, TARGET, load_augmentor(augmentation[1]))
    trainer = Trainer(config, task, tmp_path)
    batch = task.collate([(i, 0) for i in range(len(task.windows))])

    def loss():
        torch.manual_seed(1)
        with torch.no_grad():
            return float(task.terms(trainer.model.eval(), batch, 0, nullcontext)[0])

    before = loss()
    trainer.run()
    assert loss() < before
    again = load_lifter(tmp_path / "last.safetensors")
    x = torch.rand(2, 1, 17, again.inputs)
    torch.testing.assert_close(again(x), trainer.model.eval()(x), rtol=0, atol=1e-6)


def test_the_lifters_loss_does_not_reach_the_augmentation(lifter, augmentation):
    augmentor = load_augmentor(augmentation[1])
    task, batch, _ = prepared(lifter, "gpa+lpa", augmentor)
    model = task.build_model().train()
    task.terms(model, batch, 0, nullcontext)[0].backward()
    assert all(p.grad is None for p in augmentor.parameters())
    assert all(p.grad is not None for p in model.parameters())


def test_augmentation_and_discriminator_learn_apart(augmentation):
    config = augment_config()
    task = AugmentorTask(config, SOURCE, TARGET)
    task.prepare(torch.device("cpu"))
    pair = task.build_model().train()
    batch = task.collate([task.sample(0, i) for i in range(8)])
    _, terms = task.terms(pair, batch, 0, nullcontext)
    assert set(terms) == {"realism", "range", "truth", "turned", "truth_turned"}
    judges = [*pair.discriminator.parameters(), *pair.screen_discriminator.parameters()]
    (terms["realism"] + terms["range"]).backward(retain_graph=True)
    assert all(p.grad is None for p in judges)
    assert any(p.grad is not None and bool(p.grad.any()) for p in pair.augmentor.angles.parameters())
    pair.zero_grad(set_to_none=True)
    terms["turned"].backward(retain_graph=True)  # how people stand before the camera is the turn's matter alone
    assert all(p.grad is None for p in [*judges, *pair.augmentor.angles.parameters()])
    assert any(p.grad is not None and bool(p.grad.any()) for p in pair.augmentor.orientation.parameters())
    pair.zero_grad(set_to_none=True)
    (terms["truth"] + terms["truth_turned"]).backward()
    assert all(p.grad is None for p in pair.augmentor.parameters())
    assert all(p.grad is not None for p in judges)
    assert set(task.terms(pair, batch, 0, nullcontext)[1]) == {"realism", "range", "turned"}  # every second step
    full = augmentation[0].model
    assert int(full.counts[1]) == 20 and bool(full.pool.any())


def test_a_stopped_augmentation_goes_on_exactly(tmp_path):
    for name in ("straight", "halves"):
        (tmp_path / name).mkdir()
    straight = train_augmentor(tmp_path / "straight", steps=6)
    train_augmentor(tmp_path / "halves", steps=3)
    again = train_augmentor(tmp_path / "halves", resume=True, steps=6)
    for key, value in straight.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key


def person_result(keypoints):
    vertices, joints = np.zeros((4, 3), np.float32), np.zeros((24, 3))
    return PersonResult(
        "p0",
        np.zeros(4),
        0.9,
        "coco17",
        keypoints.astype(np.float32),
        np.zeros(10),
        np.zeros(3),
        np.zeros((23, 3)),
        np.zeros(3),
        vertices,
        joints,
        1.7,
    )


def test_a_folder_of_dsr_fit_is_a_target(tmp_path):
    rng = np.random.default_rng(0)
    keypoints = np.concatenate((rng.uniform(200, 300, (17, 2)), np.ones((17, 1))), 1)
    doubtful = keypoints.copy()
    doubtful[9, 2] = 0.1
    for stem, seen in (("one", keypoints), ("two", doubtful)):
        result = FitResult(
            status="ok",
            input_path=f"{stem}.jpg",
            message="",
            input_sha256="0" * 64,
            image_size=(640, 480),
            K=K,
            focal_source="flag",
            focal_detail="",
            body={"name": "toy"},
            people=[person_result(seen)],
            warnings=[],
            timing_s={},
            seed=0,
        )
        save_result(result, tmp_path / f"{stem}.json")
    (tmp_path / "report.json").write_text('{"rows": []}')
    found = read_target((f"results:{tmp_path}",), WINDOWS, 0.3)
    assert len(found.screen) == 1 and found.left_out == 1
    assert found.camera[0, :4].tolist() == pytest.approx([2 * 500 / 640, 2 * 500 / 640, 0, 0], abs=1e-6)
    left_wrist = found.screen[0, 13].numpy()
    assert left_wrist == pytest.approx(keypoints[9, :2] * 2 / 640 - [1, 480 / 640], abs=1e-5)
    with pytest.raises(UsageError, match="nobody to align to"):
        read_target((f"results:{tmp_path}",), WINDOWS, 1.1)
    save_result(replace(result, K=np.diag([1e-12, 1e-12, 1.0])), tmp_path / "absurd.json")
    with pytest.raises(CameraError, match=r"absurd\.json: K = 1e-12 .* no photograph has"):
        read_target((f"results:{tmp_path}",), WINDOWS, 0.3)


def test_what_cannot_be_adapted_is_refused(lifter, tmp_path, capsys):
    with pytest.raises(UsageError, match="--source is missing"):
        check_config(AdaptTrainConfig(target=("results:x",)))
    clips = (f"mocap:{tmp_path}",)
    with pytest.raises(UsageError, match="--target is missing"):
        check_config(AdaptTrainConfig(source=clips))
    for target, message in (
        ("results:nowhere", "no folder nowhere"),
        ("foo:x", "use results:DIR"),
        ("j", "use results:DIR"),
        ("humaneva:he", "HumanEva has 15 joints"),
        ("mocap:/no", "no /no"),
    ):
        with pytest.raises(UsageError, match=f"--target {target}: .*{message}"):
            check_config(AdaptTrainConfig(source=clips, target=(target,)))
    with pytest.raises(UsageError, match="--source mocap:/no: there is no /no"):
        check_config(AdaptTrainConfig(source=("mocap:/no",), target=clips))
    with pytest.raises(UsageError, match="camera of track smooth 0 is unknown"):
        people_of_track(smooth_track())
    with pytest.raises(UsageError, match="there is no such folder"):
        read_target((f"results:{tmp_path / 'none'}",), WINDOWS, 0.3)
    with pytest.raises(UsageError, match="run dsr-fit into it first"):
        read_target((f"results:{tmp_path}",), WINDOWS, 0.3)
    with pytest.raises(CheckpointError, match="no trained augmentation"):
        load_augmentor(lifter)
    with pytest.raises(UsageError, match="--weights is missing"):
        prepared(lifter, "lpa")
    behind = replace(TARGET, screen=TARGET.screen * 1e-3)
    task = AdaptTask(adapt_config(lifter, "gpa"), SOURCE, behind)
    model = task.build_model()
    task.prepare(torch.device("cpu"))
    with pytest.raises(TrainingError, match="could be placed"):
        task.terms(model, task.collate([(0, 0), (1, 0)]), 0, nullcontext)
    assert train_command.main(["adapt", "--out", str(tmp_path / "run")]) == 2
    assert "--source is missing" in capsys.readouterr().err
    # A folder without clips leaves nothing that a corrected command would stumble over.
    flags = ["adapt", "--out", str(tmp_path / "run"), "--source", *clips, "--target", *clips]
    assert train_command.main(flags) == 2
    assert "no .bvh files" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def refused(capsys, tmp_path, lifter, *more):
    """What the command says before it has trained or left anything."""
    out = tmp_path / "refused"
    flags = ["adapt", "--out", str(out), "--lifter", str(lifter), "--source", f"mocap:{tmp_path}", "--quiet"]
    assert train_command.main([*flags, *more]) == 2
    assert not out.exists()
    return capsys.readouterr().err


def test_inputs_are_looked_at_before_the_augmentation_is_trained(lifter, tmp_path, monkeypatch, capsys):
    tracks = {"--source": SOURCE, "--target": SOURCE}
    monkeypatch.setattr("dsr.training.systems.adapt.data.read_tracks", lambda s, p, w, option: tracks[option])
    target = ("--target", f"mocap:{tmp_path}")
    official = tmp_path / "ktpformer.bin"
    torch.save({"model_pos": {"a": torch.zeros(1)}}, official)
    said = refused(capsys, tmp_path, official, *target)
    assert f"--lifter {official}" in said and "save_lifter" in said
    tracks["--target"] = [replace(SOURCE[0], K=np.diag([1e-12, 1e-12, 1.0]))]
    said = refused(capsys, tmp_path, lifter, *target)
    assert f"camera of track {SOURCE[0].name}" in said and "no photograph has" in said
    tracks["--target"] = [replace(SOURCE[0], K=np.array([[9e4, 0, 320], [0, 9e4, 240], [0, 0, 1]]))]
    assert "no source pose can stand where its people are" in refused(capsys, tmp_path, lifter, *target)


def test_varying_poses_needs_no_camera_of_the_target(monkeypatch, tmp_path):
    unknown = [replace(SOURCE[0], K=None)]
    monkeypatch.setattr("dsr.training.systems.adapt.data.read_tracks", lambda s, p, w, option: unknown)
    task = AugmentorTask(augment_config(target=(f"mocap:{tmp_path}",)), SOURCE)
    task.prepare(torch.device("cpu"))
    assert task.people is None and task._seen(task.collate([(0, 0), (1, 0)])) is not None


def test_the_command_trains_the_augmentation_first_and_goes_on(lifter, tmp_path, monkeypatch, capsys):
    def tracks(source, split, windows, option="--data"):
        return SOURCE if option == "--source" else [person_track(7, 8.0, 1.0)]

    monkeypatch.setattr("dsr.training.systems.adapt.data.read_tracks", tracks)
    out = tmp_path / "run"
    clips = f"mocap:{tmp_path}"
    flags = ["adapt", "--out", str(out), "--lifter", str(lifter), "--source", clips, "--target", clips]
    flags += ["--epochs", "2", "--batch", "8", "--threads", "1", "--windows.hop", "3", "--augmentor.epochs", "2"]
    flags += ["--augmentor.batch", "8", "--augmentor.width", "16", "--quiet"]
    assert train_command.main([*flags, "--steps", "1"]) == 0, capsys.readouterr().err
    first = (out / "augmentor" / "last.safetensors").read_bytes()
    assert train_command.main([*flags, "--steps", "2", "--resume"]) == 0, capsys.readouterr().err
    assert (out / "augmentor" / "last.safetensors").read_bytes() == first
    assert load_lifter(out / "last.safetensors").joints == 17


def test_turns_follow_the_targets_people():
    """The target looks down by 20 degrees: augmented poses learn to lean so, by 2D people alone."""
    lean = np.radians(20)
    turn = np.array([[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]])

    def tilted(seed):
        track = person_track(seed, 7.0)
        root = track.joints_m[:, :1]
        joints = (track.joints_m - root) @ turn.T + root
        pixels = joints[..., :2] / joints[..., 2:] * 500 + K[:2, 2]
        return replace(track, joints_m=joints.astype(np.float32), keypoints_px=pixels.astype(np.float32))

    upright = [person_track(seed, 7.0) for seed in range(12)]
    leaning = join_people([people_of_track(tilted(seed)) for seed in range(12)], 0.3, "test")
    level = join_people([people_of_track(track) for track in upright], 0.3, "test")
    leans = {}
    for name, people in (("leaning", leaning), ("level", level)):
        settings = AugmentorConfig(width=32, pool=0, judge_every=1, realism=0.0, span=0.0)
        task = AugmentorTask(augment_config(batch=64, augmentor=settings), upright, people)
        task.prepare(torch.device("cpu"))
        torch.manual_seed(0)
        pair = task.build_model().train()
        optimiser = torch.optim.Adam(pair.parameters(), 3e-3)
        for _ in range(100):
            batch = task.collate([(int(i), 0) for i in torch.randint(len(task.windows), (64,))])
            optimiser.zero_grad()
            task.terms(pair, batch, 0, nullcontext)[0].backward()
            optimiser.step()
        with torch.no_grad():
            leans[name] = float(torch.rad2deg(pair.augmentor(batch["poses"]).axis_angle[:, 1]).mean())
    assert leans["leaning"] > leans["level"] + 5


def test_without_a_target_the_sources_own_people_are_what_is_real():
    task = AugmentorTask(augment_config(), SOURCE)
    task.prepare(torch.device("cpu"))
    batch = task.collate([task.sample(0, i) for i in range(8)])
    seen = task._seen(batch)
    back, ahead = projected(batch["poses"] + batch["root"], batch["camera"])
    torch.testing.assert_close(seen.real, back[ahead])
    assert bool(seen.valid.all()) and torch.equal(seen.root, batch["root"])
    nobody = AugmentorTask(augment_config(augmentor=AugmentorConfig(width=16, pool=20, target=0.0)), SOURCE, TARGET)
    nobody.prepare(torch.device("cpu"))
    assert nobody._seen(batch) is None
    unknown = AugmentorTask(augment_config(), [replace(track, K=None) for track in SOURCE])
    unknown.prepare(torch.device("cpu"))
    assert unknown._seen(unknown.collate([(0, 0), (1, 1)])) is None
