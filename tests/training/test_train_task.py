"""What a further system has to bring: four methods and its configuration; the rest has defaults."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from dsr.checkpoints import read_header
from dsr.errors import UsageError
from dsr.training.config import LogConfig, OptimConfig, RunConfig, UpdateConfig, ValidationConfig, check_config
from dsr.training.loop import Trainer
from dsr.training.ranks import Ranks
from dsr.training.task import Task


@dataclass(frozen=True, kw_only=True)
class LineConfig(RunConfig):
    """A run of the smallest system."""

    slope: float = field(default=2.0, metadata={"above": 0})
    """Slope to learn."""

    def task_name(self):
        return "line"

    def check(self):
        if self.batch % 2:
            raise UsageError(f"--batch {self.batch}: use an even number.")


class LineTask(Task):
    """Learn a slope."""

    def build_model(self):
        return nn.Linear(1, 1, bias=False)

    def epoch_length(self):
        return 8

    def sample(self, epoch, position):
        x = torch.tensor([position / 8 + 0.1])
        return {"x": x, "y": self.config.slope * x}

    def terms(self, model, batch, epoch, amp):
        loss = (model(batch["x"]) - batch["y"]).square().mean()
        return loss, {"squared": loss}


CONFIG = LineConfig(
    epochs=200,
    batch=4,
    workers=0,
    device="cpu",
    threads=1,
    optim=OptimConfig(lr=0.05),
    log=LogConfig(checkpoint=0, keep=0, tensorboard="off"),
)


def test_four_methods_are_enough(tmp_path):
    trainer = Trainer(CONFIG, LineTask(CONFIG), tmp_path)
    summary = trainer.run()
    assert float(trainer.model.weight.detach()) == pytest.approx(2.0, abs=1e-3) and summary["steps"] == 400
    header = read_header(tmp_path / "last.safetensors")
    assert (header["system"], header["step"], header["epoch"]) == ("line", "400", "200")
    assert summary["metrics"] == {} and not (tmp_path / "overlays").exists()


def test_a_system_without_its_four_methods_is_none():
    with pytest.raises(TypeError, match="abstract"):
        Task(CONFIG)


def test_another_recipe_needs_its_own_methods():
    task = LineTask(LineConfig(optim=UpdateConfig()))
    with pytest.raises(TypeError, match="LineTask has another recipe"):
        task.learning_rate(0, 2, 4)


def test_bounds_and_checks_of_a_system_are_looked_at():
    check_config(CONFIG)
    with pytest.raises(UsageError, match=r"--slope 0.0: use a number above 0\."):
        check_config(LineConfig(slope=0.0))
    with pytest.raises(UsageError, match=r"--batch 3: use an even number\."):
        check_config(LineConfig(batch=3))
    with pytest.raises(UsageError, match=r"--validation.every 0"):
        check_config(LineConfig(validation=ValidationConfig(every=0)))


def test_a_process_takes_the_device_that_is_there(monkeypatch):
    assert Ranks().device("auto").type in ("cpu", "cuda") and Ranks().device("cpu").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="--device cuda"):
        Ranks().device("cuda")
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert [Ranks(rank, rank, 3).device("auto") for rank in range(3)] == [
        torch.device("cuda", number) for number in (0, 1, 0)
    ]
    assert chosen == [0, 1, 0]


def test_one_process_agrees_with_itself():
    ranks = Ranks()
    assert ranks.first and not ranks.start(torch.device("cpu"))
    assert ranks.any(True, torch.device("cpu")) and not ranks.any(False, torch.device("cpu"))
    assert ranks.gather("x") == ["x"]
