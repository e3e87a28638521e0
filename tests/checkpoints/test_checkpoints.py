"""Checkpoints: every official layout, all or nothing, nothing run, and messages that name file and entry."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from shared_data import specs
from torch import nn

import dsr
from dsr.checkpoints import load_checkpoint, read_state_dict
from dsr.errors import CheckpointError
from dsr.regressors import build_regressor


class Head(nn.Module):
    init_pose: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.decpose = nn.Linear(4, 6)
        self.register_buffer("init_pose", torch.zeros(1, 6))


class Small(nn.Module):
    """A network built like DSR's."""

    name = "small"

    def __init__(self, has_licensed_mean: bool = False) -> None:
        super().__init__()
        self.has_licensed_mean = has_licensed_mean
        self.backbone = nn.ModuleDict({"conv1": nn.Conv2d(3, 4, 3, bias=False), "bn1": nn.BatchNorm2d(4)})
        self.head = Head()


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """Entries for a Small by its own names."""
    rng = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(v.shape, generator=rng) if v.is_floating_point() else torch.tensor(7)
        for key, v in Small().state_dict().items()
    }


def bare(entries):
    return {key.removeprefix("backbone.").removeprefix("head."): value for key, value in entries.items()}


def same(model, entries, dtype=torch.float32):
    return all(torch.equal(value, entries[key].to(value.dtype)) for key, value in model.state_dict().items())


LICENSED = {
    "smpl.betas": torch.zeros(1, 10),
    "smpl_native.v_template": torch.zeros(6, 3),
    "J_regressor": torch.zeros(17, 6),
    "loss_fn.criterion_dsr_c.weight": torch.zeros(8),
    "decpose.bias": torch.zeros(6),
}
LAYOUTS = {
    "flat": lambda w: w,
    "flat bare": bare,
    "spin": lambda w: {"model": bare(w), "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}, "epoch": 3},
    "lightning": lambda w: {
        "state_dict": {**{f"model.{k}": v for k, v in w.items()}, **LICENSED, "model.smpl.smpl.betas": torch.ones(1)},
        "pytorch-lightning_version": "1.1.8",
    },
    "parallel": lambda w: {"model": {f"module.{k}": v for k, v in w.items()}},
    "parallel lightning": lambda w: {"state_dict": {f"model.module.{k}": v for k, v in w.items()}},
}


@pytest.mark.parametrize("saved", ["memory", "zip", "legacy", "half"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(tmp_path, layout, saved):
    entries = weights()
    if saved == "half":
        entries = {key: v.half() if v.is_floating_point() else v for key, v in entries.items()}
    content = LAYOUTS[layout](entries)
    if saved == "memory":
        source = content
    else:
        source = tmp_path / "x.pt"
        torch.save(content, source, _use_new_zipfile_serialization=saved != "legacy")
    model = Small()
    report = load_checkpoint(model, source)
    assert same(model, entries)
    assert (report.missing, report.extra, report.loaded) == ((), (), len(entries))
    assert report.layout == {"spin": "model", "parallel": "model", "lightning": "state_dict"}.get(
        layout, "state_dict" if "lightning" in layout else "flat"
    )
    assert len(report.ignored) == (6 if layout == "lightning" else 0)


def test_our_own_file(tmp_path):
    save_file(weights(), str(tmp_path / "last.safetensors"))
    model = nn.DataParallel(Small())
    report = dsr.load_checkpoint(model, str(tmp_path / "last.safetensors"))
    assert same(model.module, weights())
    assert report.layout == "safetensors"


def test_the_released_lightning_names():
    """343 rows of the HMR module inside Lightning, and what stands beside them; 331 are used."""
    rows = json.loads((specs() / "dsr/golden/lightning_key_map.json").read_text())
    rng = torch.Generator().manual_seed(1)

    def made(row):
        if row["dtype"] == "torch.int64":
            return torch.full(row["shape"], 5)
        return torch.randn(row["shape"], generator=rng) if row["used_by"] else torch.zeros(1).expand(row["shape"])

    state = {row["lightning_key"]: made(row) for row in rows}
    model = build_regressor("dsr")
    report = load_checkpoint(model, {"state_dict": {**state, **LICENSED}, "epoch": 1})
    used = [row for row in rows if row["used_by"]]
    assert report.loaded == len(used) == 331
    assert set(report.ignored) == {row["lightning_key"] for row in rows if not row["used_by"]} | set(LICENSED)
    own = model.state_dict()
    for row in used:
        assert torch.equal(own[f"{row['used_by']}.{row['after_strip']}"], state[row["lightning_key"]])


def test_perspose_with_its_licensed_entries(tmp_path):
    model = build_regressor("perspose", image_size=64, width=8, modules=(1, 1, 1), blocks=1)
    entries = {k: torch.randn(v.shape) if v.is_floating_point() else v for k, v in model.state_dict().items()}
    torch.save(
        {"model": {**entries, "smpl.betas": torch.zeros(96, 11), "smpl.faces_tensor": torch.zeros(4, 3)}},
        tmp_path / "perspose.pth",
    )
    other = build_regressor("perspose", image_size=64, width=8, modules=(1, 1, 1), blocks=1)
    assert load_checkpoint(other, tmp_path / "perspose.pth").ignored == ("smpl.betas", "smpl.faces_tensor")
    assert same(other, entries)
    with pytest.raises(CheckpointError, match=r"perspose\.pth does not fit the network dsr.*looks like PersPose"):
        load_checkpoint(build_regressor("dsr", backbone="resnet18", hidden=8), tmp_path / "perspose.pth")


def without(key):
    return lambda w: {k: v for k, v in w.items() if k != key}


BROKEN = {
    "missing": (without("head.decpose.bias"), r"1 of the network's 9 entries are missing, head\.decpose\.bias first"),
    "extra": (lambda w: {**w, "head.fc9.weight": torch.ones(1)}, r"1 entries are not of this network, head\.fc9\.wei"),
    "shape": (
        lambda w: {**w, "backbone.conv1.weight": torch.ones(8, 3, 3, 3)},
        r"backbone\.conv1\.weight has shape \(8, 3, 3, 3\) where \(4, 3, 3, 3\)",
    ),
    "nan": (lambda w: {**w, "head.decpose.weight": torch.full((6, 4), torch.nan)}, r"head\.decpose\.weight holds val"),
    "infinite": (lambda w: {**w, "head.decpose.bias": torch.tensor([0.0] * 5 + [torch.inf])}, r"decpose\.bias holds"),
    "too large": (lambda w: {**w, "head.decpose.bias": torch.ones(6).double() * 1e300}, r"decpose\.bias holds"),
    "twice": (lambda w: {**w, "model.head.decpose.bias": torch.ones(6)}, r"head\.decpose\.bias twice"),
    "start": (without("head.init_pose"), r"smpl_mean_params\.npz"),
    "nothing": (lambda w: {"epoch": 3, "model": {}}, "holds no weights"),
    "others": (lambda w: {"v_template": torch.ones(3), "shapedirs": torch.ones(3)}, "looks like a body model"),
}


@pytest.mark.parametrize("defect", BROKEN)
def test_defects_are_named_and_nothing_is_changed(tmp_path, defect):
    damage, message = BROKEN[defect]
    path = tmp_path / "broken.pt"
    torch.save(damage(weights()), path)
    model = Small()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(model, path)
    assert str(path) in str(caught.value)
    assert same(model, before)


def test_the_start_of_the_iterations_may_come_from_the_licensed_file():
    model = Small(has_licensed_mean=True)
    model.head.init_pose.fill_(3)
    report = load_checkpoint(model, without("head.init_pose")(weights()))
    assert report.missing == ("head.init_pose",)
    assert (model.head.init_pose == 3).all()


def test_not_strict_takes_what_fits():
    model = Small()
    bias = model.head.decpose.bias.detach().clone()
    report = load_checkpoint(model, {**without("head.decpose.bias")(weights()), "more": torch.ones(1)}, strict=False)
    assert (report.missing, report.extra) == (("head.decpose.bias",), ("more",))
    assert torch.equal(model.head.decpose.bias, bias)
    assert torch.equal(model.head.decpose.weight, weights()["head.decpose.weight"])
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint(model, {"more": torch.ones(1)}, strict=False)


def make_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no checkpoints, or no longer, and a word of the message each must give."""
    good = folder / "good.pt"
    torch.save(weights(), good)
    legacy = folder / "legacy.pt"
    torch.save(weights(), legacy, _use_new_zipfile_serialization=False)
    save_file(weights(), str(folder / "good.safetensors"))
    data, old, own = good.read_bytes(), legacy.read_bytes(), (folder / "good.safetensors").read_bytes()
    flipped = bytearray(data)
    flipped[data.index(weights()["head.decpose.weight"].numpy().tobytes())] ^= 0x40
    contents = {
        "empty.pt": (b"", "is empty"),
        "page.pt": (b"<!DOCTYPE html><html>", "web page"),
        "lfs.pt": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        "text.pt": (b"hello, these are weights\n" * 9, "damaged"),
        "short.pt": (data[: len(data) // 2], "damaged"),
        "flipped.pt": (bytes(flipped), r"decpose\.weight"),
        "short_legacy.pt": (old[: len(old) - 40], "damaged"),
        "stub_legacy.pt": (old[:60], "damaged"),
        "short.safetensors": (own[:-10], "safetensors"),
        "stub.safetensors": (own[:5], "safetensors"),
        "claim.pt": (old[: old.index(b"\x80", 20)] + b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little"), "damaged"),
        "list.pt": (None, "holds a list"),
        "archive.pt": (None, "no data.pkl"),
        "compressed.pt": (None, "compressed"),
        "script.pt": (None, "TorchScript"),
    }
    made = {name: (folder / name, message) for name, (_, message) in contents.items()}
    for name, (content, _) in contents.items():
        if content is not None:
            (folder / name).write_bytes(content)
    torch.save([1, 2], folder / "list.pt")
    with zipfile.ZipFile(folder / "archive.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(folder / "compressed.pt", "w", zipfile.ZIP_DEFLATED) as out:
        for entry in source.namelist():
            out.writestr(entry, source.read(entry))
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(folder / "script.pt"))
    return {**made, "folder": (folder, "is a folder"), "absent": (folder / "absent.pt", "cannot be read")}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_files_that_are_no_checkpoints(tmp_path):
    for name, (path, message) in make_files(tmp_path).items():
        model = Small()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        with pytest.raises(CheckpointError, match=message) as caught:
            load_checkpoint(model, path)
        assert str(path) in str(caught.value), name
        assert same(model, before)


class Bomb:
    """Writes a file when it is unpickled the ordinary way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "run")


class Settings(dict):
    """Stands for the settings that Lightning stores."""


@pytest.mark.parametrize("new", [True, False])
def test_nothing_in_a_file_is_run(tmp_path, new):
    path, mark = tmp_path / "hostile.ckpt", tmp_path / "mark"
    content = {
        "state_dict": weights(),
        "hyper_parameters": Settings(lr=1),
        "bomb": Bomb(mark),
        "callbacks": {Settings: {"best": [Bomb(mark)]}},
    }
    torch.save(content, path, _use_new_zipfile_serialization=new)
    model = Small()
    load_checkpoint(model, path)
    assert same(model, weights())
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # the bomb is live


def test_a_plain_pickle_is_neither_run_nor_taken(tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"model": Bomb(mark)}))
    with pytest.raises(CheckpointError, match=r"plain\.pt"):
        load_checkpoint(Small(), tmp_path / "plain.pt")
    assert not mark.exists()


def rewritten(path: Path, out: Path, old: bytes, new: bytes) -> Path:
    """The archive with bytes of its pickle replaced."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                assert old in data
                data = data.replace(old, new)
            target.writestr(name, data)
    return out


@pytest.mark.parametrize("place", ["entry", "OrderedDict", "set"])
def test_keys_nested_deeply_do_not_end_the_interpreter(tmp_path, place):
    """Hashing them overflows its stack."""
    deep = b")" + b"\x85" * 300_000
    stream = {
        "entry": b"\x80\x02}" + deep + b"Ns.",
        "OrderedDict": b"\x80\x02ccollections\nOrderedDict\n](" + deep + b"Nta\x85R.",
        "set": b"\x80\x04\x8f(" + deep + b"\x90.",
    }[place]
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream)
        archive.writestr("archive/byteorder", "little")
    with pytest.raises(CheckpointError, match="a tuple as a key"):
        read_state_dict(path)


def test_claimed_sizes_are_not_believed(tmp_path):
    torch.save({"model": {"x": torch.zeros(3, 5)}}, tmp_path / "good.pt")
    huge = b"J\xff\xff\xff\x7f"  # 2^31 - 1
    for i, (old, new) in enumerate(
        [
            (b"K\x03K\x05\x86", huge + b"K\x05\x86"),  # the shape
            (b"K\x0ft", huge + b"t"),  # the storage
            (b"K\x05K\x01\x86", huge + b"K\x01\x86"),  # the stride
        ]
    ):
        path = rewritten(tmp_path / "good.pt", tmp_path / f"bad{i}.pt", old, new)
        with pytest.raises(CheckpointError, match="entry x"):
            read_state_dict(path)


def test_reading_follows_views_and_keeps_types(tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    content = {
        "view": base[1:3, ::2],
        "turned": base.t(),
        "half": base.bfloat16(),
        "count": torch.tensor(3),
        "none": torch.zeros(0, 3),
        "parameter": nn.Parameter(base),
    }
    torch.save({"model": content}, tmp_path / "views.pt")
    torch.save({"model": content}, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    for name in ("views.pt", "legacy.pt"):
        found = read_state_dict(tmp_path / name)
        assert found.keys() == content.keys()
        for key, value in content.items():
            assert torch.equal(found[key], value.detach())
            assert found[key].dtype == value.dtype
