"""Networks that the user brings for clothing labels, made here with known weights and run as real files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dsr.clothing.labels import LABELS
from dsr.errors import DetectionError
from dsr.people.brought_labels import bring_labels
from dsr.people.label_tables import ANY_CLOTH, ANY_SKIN

ATR = (
    *("Background", "Hat", "Hair", "Sunglasses", "Upper-clothes", "Skirt", "Pants", "Dress", "Belt", "Left-shoe"),
    *("Right-shoe", "Face", "Left-leg", "Right-leg", "Left-arm", "Right-arm", "Bag", "Scarf"),
)
MULTICLASS_RGB = np.array(
    [(40, 40, 40), (90, 40, 20), (230, 180, 150), (250, 120, 90), (30, 60, 220), (60, 220, 60)], np.uint8
)
"""A colour for each class of the segmenter: background, hair, body skin, face skin, clothes, things worn."""


def write_segmenter(path: Path, side: int = 256, classes: int = 6) -> Path:
    """A ``.tflite`` as MediaPipe's multiclass segmenter: scores are minus the squared distance to a class's colour."""
    flatbuffers = pytest.importorskip("flatbuffers")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    colours = MULTICLASS_RGB[:classes].astype(np.float32) / 255
    weights, bias = (2 * colours).reshape(classes, 1, 1, 3), -(colours**2).sum(1)
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT() for _ in range(3)]
    for buffer, values in zip(model.buffers[1:], (weights, bias), strict=True):
        buffer.data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
    graph = schema.SubGraphT()
    graph.tensors = []
    for name, shape, buffer in (
        ("input", (1, side, side, 3), 0),
        ("filter", weights.shape, 1),
        ("bias", bias.shape, 2),
        ("segmentation", (1, side, side, classes), 0),
    ):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer, tensor.type = name, list(shape), buffer, schema.TensorType.FLOAT32
        graph.tensors.append(tensor)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 1
    model.operatorCodes = [code]
    convolution = schema.OperatorT()
    convolution.opcodeIndex, convolution.inputs, convolution.outputs = 0, [0, 1, 2], [3]
    convolution.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    convolution.builtinOptions = schema.Conv2DOptionsT()
    convolution.builtinOptions.strideW = convolution.builtinOptions.strideH = 1
    convolution.builtinOptions.padding = schema.Padding.SAME
    graph.inputs, graph.outputs, graph.operators = [0], [3], [convolution]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def test_the_multiclass_segmenter_labels_a_picture(tmp_path):
    """Six bands of the six classes' colours come out as their labels, in pixels of the picture."""
    labels_of = bring_labels(f"mediapipe:{write_segmenter(tmp_path / 'selfie_multiclass_256x256.tflite')}")
    assert labels_of is not None
    rgb = np.repeat(np.repeat(MULTICLASS_RGB, 100, 0)[:, None], 300, 1)
    found = labels_of(Path("photo.jpg"), rgb)
    middles = np.arange(50.0, 600.0, 100.0)
    labels, confidence = found.at(np.array([10.0, 290.0]), middles)
    wanted = [0, LABELS.index("hair"), ANY_SKIN, LABELS.index("face"), ANY_CLOTH, ANY_CLOTH]
    assert labels.T.tolist() == [wanted, wanted]
    assert (confidence > 1 / 6).all() and (confidence <= 1).all()
    assert found.box_px.tolist() == [0, 0, 300, 600] and found.source == "selfie_multiclass_256x256.tflite"


def test_a_segmenter_of_other_classes_is_refused(tmp_path):
    with pytest.raises(DetectionError, match="not MediaPipe's multiclass"):
        bring_labels(f"mediapipe:{write_segmenter(tmp_path / 'two.tflite', classes=2)}")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A tiny SegFormer of human parsing with random weights, saved as its authors save theirs."""
    transformers = pytest.importorskip("transformers", reason="the parsing extra (transformers) is not installed")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        id2label=dict(enumerate(ATR)),
        label2id={name: k for k, name in enumerate(ATR)},
    )
    folder = tmp_path_factory.mktemp("segformer")
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    transformers.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def test_a_checkpoint_of_transformers_labels_a_picture(checkpoint):
    """Each pixel gets our label of the class that the network itself scores highest there."""
    import torch
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

    labels_of = bring_labels(f"transformers:{checkpoint}")
    assert labels_of is not None
    rgb = np.random.default_rng(1).integers(0, 255, (90, 60, 3)).astype(np.uint8)
    found = labels_of(Path("photo.jpg"), rgb)
    network = SegformerForSemanticSegmentation.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        scores = network(**SegformerImageProcessor.from_pretrained(checkpoint)(rgb, return_tensors="pt")).logits[0]
    names = [ATR[k].lower().replace("-", "") for k in scores.argmax(0).ravel().tolist()]
    renamed = {"belt": "upperclothes", "bag": "background"}
    ours = {name.lower(): k for k, name in enumerate(LABELS)}
    assert found.labels.ravel().tolist() == [ours[renamed.get(name, name)] for name in names]
    assert len(set(names)) > 1
    assert found.box_px.tolist() == [0, 0, 60, 90] and found.source == checkpoint.name
    assert (found.confidence > 1 / len(ATR)).all()


def test_a_checkpoint_of_other_labels_is_refused(checkpoint, tmp_path):
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = {str(k): f"thing {k}" for k in range(len(ATR))}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DetectionError, match="no set of clothes"):
        bring_labels(f"transformers:{tmp_path}")


def test_a_damaged_checkpoint_is_named(checkpoint, tmp_path):
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"none")
    with pytest.raises(DetectionError, match="cannot be loaded as a segmentation checkpoint"):
        bring_labels(f"transformers:{tmp_path}")
