"""Networks by name: the tables agree, each follows the protocol, and a third one works from its own class alone."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dsr.body import load_body
from dsr.errors import CheckpointError, UsageError
from dsr.options import CHECKPOINT_FORMS, SYSTEMS
from dsr.people import Detection
from dsr.regressors import REGRESSORS, BodyPrediction, Regressor, build_regressor
from dsr.regressors.dsr.hmr import IterativeHead, MeanParams
from dsr.regressors.loading import architecture, load_regressor
from dsr.regressors.photo import PhotoRegressor
from dsr.regressors.registry import regressor_class
from dsr.training.systems import REGRESSOR_TASKS, TASKS

K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


class Tiny(torch.nn.Module):
    """The smallest network, as in CONTRIBUTING.md; its shape has 3 numbers."""

    name, crop, num_betas, fits_skeleton = "tiny", "square", 3, False

    def __init__(self, image_size: int = 64, width: int = 8) -> None:
        super().__init__()
        self.image_size = image_size
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, width, 7, 4, 3), torch.nn.ReLU())
        self.head = IterativeHead(width, MeanParams.default(self.num_betas), hidden=16)

    def forward(self, image):
        return self.head(self.layers(image))

    @torch.no_grad()
    def predict(self, image, K_crop, *, mirror=False, body=None, encode=None):
        return BodyPrediction(*self.eval()(image))

    @staticmethod
    def architecture(shapes):
        return {"width": shapes["layers.0.weight"][0]} if "layers.0.weight" in shapes else {}


@pytest.fixture
def tiny(monkeypatch, tmp_path) -> Path:
    """A registered third network, and a file of its weights."""
    monkeypatch.setitem(REGRESSORS, "tiny", f"{__name__}:Tiny")
    monkeypatch.setattr("dsr.options.SYSTEMS", (*SYSTEMS, "tiny"))
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    header = {"system": "tiny", "image_size": "96", "body": "open-light"}
    save_file(Tiny(width=5).state_dict(), path, metadata=header)
    return path


def test_the_tables_name_the_same_networks():
    """``--regressor``, the registry and ``--system`` (which also has a toy)."""
    assert set(REGRESSORS) == set(SYSTEMS)
    assert {*REGRESSORS, "default", "toy"} == set(REGRESSOR_TASKS) == set(TASKS) - {"lifter", "augmentor", "adapt"}
    assert " or ".join(f"{name}:CHECKPOINT" for name in SYSTEMS) == CHECKPOINT_FORMS


@pytest.mark.parametrize("name", REGRESSORS)
def test_every_network_follows_the_protocol(name):
    network = regressor_class(name)
    assert network.name == name and network.crop in ("square", "perspective")
    assert network.num_betas > 0 and isinstance(network.fits_skeleton, bool)
    asked = inspect.signature(Regressor.predict).parameters
    taken = inspect.signature(network.predict).parameters
    assert list(asked) == list(taken) and all(asked[key].kind == taken[key].kind for key in asked)
    assert network.architecture({}) == {}


def test_a_third_network_is_built_from_its_file_and_predicts(tiny):
    loaded = load_regressor(f"tiny:{tiny}")
    assert (loaded.model.image_size, loaded.model.layers[0].out_channels, loaded.num_betas) == (96, 5, 3)
    assert loaded.record()["name"] == "tiny"
    points = np.random.default_rng(0).uniform((250, 100), (390, 400), (17, 2))
    person = Detection(np.array([250.0, 100, 390, 400]), 0.9, "coco17", points, np.ones(17))
    people = PhotoRegressor(loaded, load_body("open-light"))
    assert not people.fits_skeleton
    bodies = people(np.full((480, 640, 3), 90, np.uint8), 1.0, K, [person]).bodies
    assert bodies.betas.shape[1] == load_body("open-light").num_betas and (bodies.betas[0, 3:] == 0).all()
    assert bodies.transl[0, 2] > 1


def test_a_network_without_an_architecture_is_named(tiny, monkeypatch):
    monkeypatch.delattr(Tiny, "architecture")
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors.*class Tiny of tiny has no architecture\(shapes\)"):
        load_regressor(f"tiny:{tiny}")


def test_unknown_networks_are_not_read_as_another_one():
    state = build_regressor("perspose", image_size=64, width=4, modules=(1, 1, 1), blocks=1).state_dict()
    with pytest.raises(UsageError, match="There is no regressor 'tiny'"):
        architecture("tiny", state)
