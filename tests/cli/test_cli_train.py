"""dsr-train through its command: a toy run, resuming, and what it refuses."""

import json

import pytest
from safetensors.torch import load_file

from dsr.cli.train import main, report

TOY = (
    "--system",
    "toy",
    "--workers",
    "0",
    "--device",
    "cpu",
    "--batch",
    "8",
    "--data.synthetic-count",
    "24",
    "--validation.count",
    "16",
    "--log.overlays",
    "0",
    "--threads",
    "1",
)


def test_train_resume_and_refuse(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["--out", str(out), *TOY, "--epochs", "2", "--optim.cosine", "off"]) == 0
    assert "epoch 1: error" in capsys.readouterr().out
    made = {path.name for path in out.iterdir()}
    assert {"config.yaml", "last.state.pt", "last.safetensors", "best.safetensors", "metrics.json"} <= made
    assert main(["--out", str(out), *TOY, "--epochs", "2"]) == 2
    assert "holds another run" in capsys.readouterr().err
    assert main(["--out", str(out), "--resume", "--optim.lr", "0.5"]) == 2
    assert "--optim.lr is 0.5, but the run" in capsys.readouterr().err
    assert main(["--out", str(out), "--resume"]) == 0
    assert "Nothing left to do" in capsys.readouterr().out
    assert main(["--out", str(out), "--resume", "--epochs", "3"]) == 0
    assert "Going on at step 6 of 9" in capsys.readouterr().out
    assert json.loads((out / "metrics.json").read_text())["last"]["epoch"] == 2
    assert main(["--out", str(tmp_path / "whole"), *TOY, "--epochs", "3", "--optim.cosine", "off"]) == 0
    whole, resumed = (load_file(folder / "last.safetensors") for folder in (tmp_path / "whole", out))
    assert all((whole[key] == resumed[key]).all() for key in whole)


def test_resuming_nothing_begins(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "run"), *TOY, "--epochs", "1", "--resume"]) == 0
    assert "the run begins" in capsys.readouterr().out


def test_a_schedule_over_the_whole_run_keeps_its_length(tmp_path, capsys):
    assert main(["--out", str(tmp_path), *TOY, "--epochs", "2", "--optim.cosine", "on"]) == 0
    assert main(["--out", str(tmp_path), "--resume", "--epochs", "3"]) == 2
    assert "--epochs is 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--preset", "smok"], "did you mean smoke"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml cannot be read"),
        (["--epochs", "0"], "--epochs 0"),
        (["--preset", "dsr", "--data.root", "/nowhere"], "--data.root /nowhere"),
        (["--epochz", "3"], "epochz"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(tmp_path, capsys, flags, word):
    assert main(["--out", str(tmp_path / "run"), *flags]) == 2
    assert word in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_out_may_not_be_a_file(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file"), *TOY]) == 2
    assert "a file of that name is in the way" in capsys.readouterr().err


def test_published_presets_ask_for_their_data(tmp_path, capsys):
    assert main(["--preset", "dsr", "--out", str(tmp_path / "a"), "--device", "cpu"]) == 2
    assert "--data.root" in capsys.readouterr().err
    assert main(["--preset", "dsr", "--out", str(tmp_path / "b"), "--device", "cpu", "--data.root", str(tmp_path)]) == 2
    assert "h36m_train.npz" in capsys.readouterr().err


def test_bad_values_of_a_lifter_are_refused_before_anything_is_made(tmp_path, capsys):
    lifter = ["lifter", "--data", f"mocap:{tmp_path}", "--out", str(tmp_path / "run")]
    for flags, words in (
        (["--preset", "mocp"], "--preset mocp: there is no such preset; did you mean mocap?"),
        (["--optim.ema", "1"], "--optim.ema 1.0: use a number from 0 to below 1."),
        (["--network.positions", "10"], "--network.positions 10.0: use a number from 0 to below 10."),
        (["--network.init", "/nowhere"], "--network.init /nowhere: there is no such file."),
    ):
        assert main([*lifter, *flags]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", [[], ["lifter"]])
def test_every_kind_prints_what_it_would_do(kind, tmp_path, capsys):
    flags = ["--out", str(tmp_path / "run"), "--epochs", "3", "--dry-run", *(["--data", "mocap:x"] if kind else [])]
    assert main([*kind, *flags]) == 0
    shown = capsys.readouterr().out
    assert "epochs: 3\n" in shown and ("windows:" in shown) == bool(kind) and not (tmp_path / "run").exists()


def test_a_run_of_another_kind_is_not_gone_on_with(tmp_path, capsys):
    assert main(["--out", str(tmp_path), *TOY, "--epochs", "1"]) == 0
    assert main(["lifter", "--out", str(tmp_path), "--resume", "--data", "mocap:x"]) == 2
    assert "config.yaml: there is no key" in capsys.readouterr().err


def test_reports_compare_with_the_constant_answer_or_are_one_line(tmp_path):
    summary = {"steps": 4, "steps_now": 2, "seconds": 3.2, "metrics": {"mpjpe_mm": 90.04, "score": 90.0}}
    assert report(summary, tmp_path) == f"4 steps, 2 of them now in 3 s; mpjpe_mm 90.0; see {tmp_path}"
    summary["metrics"] = {"mpjpe_mm": 60.0, "mean_pose_mpjpe_mm": 80.0, "height_cm": 7.0, "score": 60.0}
    lines = report(summary, tmp_path).splitlines()
    assert lines[0] == f"4 steps, 2 of them now in 3 s; see {tmp_path}"
    assert lines[2].split() == ["MPJPE,", "mm", "60.0", "80.0", "25.0", "%"]
    assert lines[3].split() == ["height", "error,", "cm", "7.0"] and len(lines) == 4
    assert report({**summary, "metrics": {}}, tmp_path) == lines[0]
