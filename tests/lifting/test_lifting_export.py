"""Lifters leave PyTorch: ONNX files that ONNX Runtime runs to the same poses, and torch.compile."""

from __future__ import annotations

import importlib.util
import io
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from test_lifting_properties import ALL, NEW_HOSTS, keypoints, made

import dsr
from dsr.lifting import load_shipped

CASES = [(name, config) for name, config in [*ALL.items(), *NEW_HOSTS.items()]]


def needs(*packages):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    reason = f"{' and '.join(missing)} missing: pip install {' '.join(packages)}"
    return pytest.mark.skipif(bool(missing), reason=reason)


def session(proto: bytes):
    import onnxruntime

    return onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"])


def agree(model, run, batches=(1,)):
    for seed, batch in enumerate(batches):
        x = keypoints(model, batch, seed)
        with torch.no_grad():
            wanted = model(x).numpy()
        (found,) = run.run(None, {run.get_inputs()[0].name: x.numpy()})
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@needs("onnx", "onnxruntime")
@pytest.mark.parametrize(("name", "config"), CASES)
def test_onnx_by_tracing_for_any_batch(name, config):
    model, file = made(name, config).eval(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one, and shapes that are meant to be fixed
        torch.onnx.export(
            model,
            (keypoints(model, 1),),
            file,
            dynamo=False,
            opset_version=18,
            input_names=["keypoints"],
            dynamic_axes={"keypoints": {0: "batch"}},
        )
    agree(model, session(file.getvalue()), (1, 3))


@pytest.mark.slow
@needs("onnx", "onnxruntime", "onnxscript")
@pytest.mark.parametrize(("name", "config"), CASES)
def test_onnx_by_the_newer_exporter(name, config):
    model = made(name, config).eval()
    program = torch.onnx.export(model, (keypoints(model, 1),), dynamo=True, verbose=False)
    agree(model, session(program.model_proto.SerializeToString()))


@needs("onnx", "onnxruntime")
@pytest.mark.parametrize("kind", ["temporal", "single"])
def test_shipped_lifters_as_onnx(kind):
    if not (Path(dsr.__file__).parent / "weights" / f"lifter_{kind}.safetensors").is_file():
        pytest.skip(f"lifter_{kind}.safetensors has not been trained yet")
    model, file = load_shipped(kind), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (keypoints(model, 1),), file, dynamo=False, opset_version=18)
    agree(model, session(file.getvalue()))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None and shutil.which("g++") is None, reason="no C++ compiler (c++, g++)")
@pytest.mark.parametrize("name", ["mixste", "hot-mixste", "ktpformer", "convformer", "glagcn"])
def test_compiled(name):
    model = made(name, ALL[name]).eval()
    x = keypoints(model)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model, fullgraph=True)(x), model(x), atol=1e-4, rtol=0)
