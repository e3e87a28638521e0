"""The training loop on a toy network: exact resume after a kill, averaged gradients, records, clear stops."""

import ast
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from shared_data import vectors

from dsr.errors import TrainingError
from dsr.training.batches import to_device
from dsr.training.config import LogConfig, OptimConfig
from dsr.training.loop import Trainer
from dsr.training.schedule import learning_rate, make_optimizer
from dsr.training.state import Average, RandomState, read_state
from dsr.training.systems.regressor.config import DataConfig, RegressorTrainConfig, RegressorValidationConfig
from dsr.training.systems.toy import ToyTask

HERE = Path(__file__).parent
PATHS = [str(folder) for folder in (HERE.parents[1], HERE.parent, HERE)]  # what other processes import from
CONFIG = RegressorTrainConfig(
    system="toy",
    epochs=4,
    batch=8,
    workers=0,
    device="cpu",
    threads=1,
    data=DataConfig(synthetic_count=88),
    validation=RegressorValidationConfig(count=32),
    optim=OptimConfig(lr=1e-2, ema=0.9, clip=1.0, warmup_epochs=1, decay=0.5),
    log=LogConfig(every=1, checkpoint=4),
)
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from test_train_loop import CONFIG
from dsr.training.loop import Trainer
from dsr.training.systems.toy import ToyTask

class Killer:
    def line(self, text): pass
    def update(self, done, total, text):
        if done == {at}:
            os.kill(os.getpid(), signal.{signal})

try:
    Trainer(CONFIG, ToyTask(CONFIG), Path({out!r}), Killer()).run()
except KeyboardInterrupt:
    sys.exit(130)
"""


def run(out: Path, config: RegressorTrainConfig = CONFIG, resume: bool = False):
    return run_task(ToyTask(config), out, resume)


def run_task(task, out: Path, resume: bool = False):
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(task.config, task, out, resume=resume)
    return trainer, trainer.run()


def kill_at(out: Path, step: int, name: str = "SIGKILL") -> int:
    out.mkdir()
    code = KILLED.format(paths=PATHS, out=str(out), at=step, signal=name)
    return subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An unbroken run."""
    out = tmp_path_factory.mktemp("whole")
    run(out)
    return out


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The same run, killed in the middle of its second epoch of 11 steps, where steps since the last save are lost."""
    out = tmp_path_factory.mktemp("killed") / "run"
    assert kill_at(out, 18) == -signal.SIGKILL
    assert read_state(out / "last.state.pt")["position"]["total"] == 16
    return out


def test_killed_and_resumed_is_bit_identical(tmp_path, whole, killed):
    out = Path(shutil.copytree(killed, tmp_path / "resumed"))
    run(out, resume=True)
    for name in ("last.safetensors", "last.ema.safetensors", "best.safetensors"):
        unbroken, resumed = load_file(whole / name), load_file(out / name)
        assert unbroken.keys() == resumed.keys()
        assert all(torch.equal(unbroken[key], resumed[key]) for key in unbroken), name
    curves = [[json.loads(line) for line in (one / "scalars.jsonl").read_text().splitlines()] for one in (whole, out)]
    for curve in curves:
        assert [line["step"] for line in curve] == list(range(1, 45))
        for line in curve:
            del line["steps_per_s"]
    assert curves[0] == curves[1]
    assert (whole / "metrics.json").read_text() == (out / "metrics.json").read_text()


@pytest.mark.parametrize("name", ["torch", "numpy"])
def test_resuming_needs_every_random_state(tmp_path, whole, killed, name):
    """Without numpy's state the penalty's noise differs, without torch's the dropout: both are really restored."""
    out = Path(shutil.copytree(killed, tmp_path / "resumed"))
    state = torch.load(out / "last.state.pt", weights_only=True)
    state["random"][0][name] = RandomState.capture().values[name]
    torch.save(state, out / "last.state.pt")
    run(out, resume=True)
    unbroken, resumed = load_file(whole / "last.safetensors"), load_file(out / "last.safetensors")
    assert not all(torch.equal(unbroken[key], resumed[key]) for key in unbroken)


def test_interrupted_runs_save_the_step_they_were_at(tmp_path):
    assert kill_at(tmp_path / "stopped", 18, "SIGINT") == 130
    assert read_state(tmp_path / "stopped/last.state.pt")["position"]["total"] == 18


def test_samples_and_weights_do_not_depend_on_workers(tmp_path):
    run(tmp_path / "none", replace(CONFIG, epochs=2))
    run(tmp_path / "two", replace(CONFIG, epochs=2, workers=2))
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("none", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_learns_and_keeps_the_best_and_the_last(tmp_path):
    _, summary = run(tmp_path, replace(CONFIG, epochs=12, optim=OptimConfig(lr=1e-2)))
    history = json.loads((tmp_path / "metrics.json").read_text())["history"]
    assert len(history) == 12 and history[-1]["score"] < 0.5 * history[0]["score"]
    assert summary["best"] == min(line["score"] for line in history)
    assert sorted(p.name for p in tmp_path.glob("epoch_*")) == ["epoch_0010.safetensors", "epoch_0011.safetensors"]
    assert not list(tmp_path.glob(".*part*"))


def test_validation_and_overlays_leave_the_run_alone(tmp_path):
    run(tmp_path / "a", replace(CONFIG, validation=RegressorValidationConfig(count=0), log=LogConfig(overlays=0)))
    run(tmp_path / "b", replace(CONFIG, validation=RegressorValidationConfig(count=5), log=LogConfig(overlays=3)))
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("a", "b"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert (tmp_path / "b/overlays/step_000003.png").exists() and not (tmp_path / "a/overlays").exists()


class Broken(ToyTask):
    def __init__(self, config, at, how):
        super().__init__(config)
        self.at, self.how, self.count = at, how, 0

    def terms(self, model, batch, epoch, amp):
        total, terms = super().terms(model, batch, epoch, amp)
        self.count += 1
        if self.count == self.at:
            if self.how == "loss":
                terms["squared"] = terms["squared"] * float("nan")
                return terms["squared"], terms
            total = total + (0 * next(model.parameters()).flatten()[0]).sqrt()  # finite, with an infinite gradient
        return total, terms


@pytest.mark.parametrize(("how", "word"), [("loss", "squared is nan"), ("gradient", "gradient is not finite")])
def test_a_loss_that_is_not_finite_stops_with_step_and_term(tmp_path, how, word):
    with pytest.raises(TrainingError, match=rf"step 14 \(epoch 1\).*{word}.*stopped\.safetensors"):
        Trainer(CONFIG, Broken(CONFIG, 14, how), tmp_path).run()
    stopped = json.loads((tmp_path / "stopped.json").read_text())
    assert stopped["step"] == "14" and stopped["samples"] == [str(i) for i in range(16, 24)]  # the third batch
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "stopped.safetensors").values())
    assert read_state(tmp_path / "last.state.pt")["position"]["total"] == 12


@pytest.mark.parametrize("damage", ["empty", "truncated", "pickle", "other"])
def test_damaged_states_are_refused_by_name(tmp_path, damage):
    run(tmp_path, replace(CONFIG, epochs=1))
    path = tmp_path / "last.state.pt"
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:900])
    elif damage == "pickle":
        import pickle

        class Hostile:
            def __reduce__(self):
                return (os.mkdir, (str(tmp_path / "executed"),))

        path.write_bytes(pickle.dumps(Hostile()))
    else:
        torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(TrainingError, match=r"last\.state\.pt"):
        run(tmp_path, resume=True)
    assert not (tmp_path / "executed").exists()


def test_random_states_come_back():
    before = RandomState.capture()
    first = (torch.rand(2), np.random.rand(2), random.random())  # noqa: NPY002
    before.restore()
    assert torch.equal(first[0], torch.rand(2))
    assert np.array_equal(first[1], np.random.rand(2)) and first[2] == random.random()  # noqa: NPY002


def test_perspose_schedule_is_the_published_one():
    golden = vectors("perspose", "misc")
    optim = OptimConfig(name="adamw", lr=3e-4, warmup_epochs=1, decay=0.75, decay_epochs=3)
    rates = [learning_rate(optim, float(epoch), 100) for epoch in golden["lr_epoch"]]
    np.testing.assert_allclose(rates, golden["lr"], rtol=1e-6)
    assert learning_rate(OptimConfig(lr=3e-5), 49.0, 50) == 3e-5  # DSR: constant


def test_the_cosine_falls_from_the_rate_to_a_hundredth_of_it():
    optim = OptimConfig(lr=1e-3, warmup_epochs=2, cosine="on")
    rates = [learning_rate(optim, epoch, 12) for epoch in (2, 4.5, 7, 9.5, 12, 20)]
    falls = [1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0, 0]
    assert rates == pytest.approx([1e-3 * (0.01 + 0.99 * fall) for fall in falls])
    assert learning_rate(optim, 1, 12) == pytest.approx(1e-3 * 1.01 / 2)  # still warming up


def test_large_gradients_are_clipped(tmp_path):
    """SGD's first step is as long as the rate times the limit, whatever the gradient."""

    class Steep(Plain):
        def make_optimizer(self, model):
            return torch.optim.SGD(model.parameters(), lr=1.0)

        def learning_rate(self, step, epoch_steps, total_steps):
            return 0.1

    def moved(clip):
        config = replace(PLAIN, steps=1, optim=OptimConfig(clip=clip))
        trainer, _ = run_task(Steep(config), tmp_path / str(clip))
        torch.manual_seed(config.seed)
        start = Steep(config).build_model().state_dict()
        return sum(float((v - start[k]).square().sum()) for k, v in trainer.model.state_dict().items()) ** 0.5

    assert moved(0.01) == pytest.approx(0.001, rel=1e-4)
    assert moved(0.0) == pytest.approx(moved(1e6), rel=1e-9) and moved(0.0) > 0.01


def test_validation_comes_every_so_many_epochs_and_at_the_end(tmp_path):
    run(tmp_path, replace(CONFIG, epochs=5, validation=RegressorValidationConfig(count=4, every=2)))
    history = json.loads((tmp_path / "metrics.json").read_text())["history"]
    assert [line["epoch"] for line in history] == [1, 3, 4]


def test_measures_are_those_of_the_averaged_weights(tmp_path):
    class Seen(ToyTask):
        def validate(self, model, final):
            self.weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            return super().validate(model, final)

    task = Seen(replace(CONFIG, epochs=1))
    trainer, _ = run_task(task, tmp_path)
    assert all(torch.equal(task.weights[key], value) for key, value in trainer.average.weights.items())
    assert not torch.equal(task.weights["0.weight"], trainer.model.state_dict()["0.weight"])


def test_the_best_weights_are_those_that_were_measured(tmp_path):
    """The average where there is one, in the file of the best and in that of the epoch; the last are the run's own."""
    config = replace(CONFIG, epochs=1, log=replace(CONFIG.log, keep=1))
    trainer, _ = run(tmp_path, config)
    averaged = trainer.average.weights["0.weight"]
    for name in ("best", "epoch_0000", "last.ema"):
        assert torch.equal(load_file(tmp_path / f"{name}.safetensors")["0.weight"], averaged), name
    assert torch.equal(load_file(tmp_path / "last.safetensors")["0.weight"], trainer.model.state_dict()["0.weight"])
    assert not torch.equal(averaged, trainer.model.state_dict()["0.weight"])


def test_the_loop_knows_neither_bodies_nor_pictures_nor_lifters():
    """What stands in the folder itself imports of the package what every system needs, and no system."""
    common = {"dsr.checkpoints", "dsr.devices", "dsr.errors", "dsr.extras", "dsr.files"}
    for file in sorted((HERE.parents[1] / "dsr/training").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("dsr"):
                here = node.module.startswith("dsr.training.") and "systems" not in node.module
                assert here or node.module in common, f"{file.name} imports {node.module}"


def test_the_average_keeps_the_share_of_the_old_weights_that_its_decay_says():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    average = Average(model, 0.9)
    average.steps = 10_000  # past the start, where it follows faster
    torch.nn.init.ones_(model.weight)
    expected = 0.0
    for _ in range(3):
        average.update(model)
        expected = 0.9 * expected + 0.1
        assert float(average.weights["weight"]) == pytest.approx(expected, rel=1e-6)


def test_a_young_average_follows_fast():
    """(1 + n) / (10 + n) of the old weights at step n, where that is less than the decay."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    average = Average(model, 0.999)
    torch.nn.init.ones_(model.weight)
    average.update(model)
    assert float(average.weights["weight"]) == pytest.approx(1 - 2 / 11)


def test_buffers_of_the_average_are_those_of_the_network():
    model = torch.nn.BatchNorm1d(2)
    average = Average(model, 0.9)
    model(torch.rand(4, 2))
    average.update(model)
    assert int(average.weights["num_batches_tracked"]) == 1


def test_adamw_does_not_decay_biases():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    groups = make_optimizer(model, OptimConfig(name="adamw", weight_decay=5e-4)).param_groups
    decays = {parameter.ndim: group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decays == {4: 5e-4, 1: 0.0}


TWO = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from dataclasses import replace
import torch
from test_train_loop import Plain, PLAIN
from dsr.training.loop import Trainer
torch.set_num_threads(1)
Trainer(PLAIN, Plain(PLAIN), Path({out!r})).run()
"""
PLAIN = replace(
    CONFIG,
    epochs=2,
    batch=4,
    optim=OptimConfig(lr=1e-2),
    validation=RegressorValidationConfig(count=0),
    log=LogConfig(every=1, checkpoint=0),
)


class Plain(ToyTask):
    """Without dropout, batch norm and noise, so that two processes of 4 samples must do what one of 8 does."""

    def build_model(self):
        return torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2)).double()

    def terms(self, model, batch, epoch, amp):
        loss = (model(batch["x"].double()) - batch["y"]).square().mean()
        return loss, {"squared": loss}


def test_two_processes_average_their_gradients(tmp_path):
    one = replace(PLAIN, batch=8)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    Trainer(one, Plain(one), tmp_path / "one").run()
    code = TWO.format(paths=PATHS, out=str(tmp_path / "two"))
    (tmp_path / "script.py").write_text(code)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
    }
    processes = [
        subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, env={**environment, "RANK": rank})
        for rank in "01"
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    whole, halves = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    start = Plain(one).build_model().state_dict()
    assert all(not torch.equal(whole[key], start[key]) for key in whole)
    for key in whole:
        torch.testing.assert_close(whole[key], halves[key], rtol=1e-10, atol=1e-12)
    assert len(read_state(tmp_path / "two/last.state.pt")["random"]) == 2


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def test_batches_reach_the_device():
    moved = to_device({"x": torch.zeros(2), "key": ["a"]}, torch.device("meta"))
    assert moved["x"].device.type == "meta" and moved["key"] == ["a"]
