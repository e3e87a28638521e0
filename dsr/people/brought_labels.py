"""Clothing labels that the user brings: label pictures, or a network's file, instead of the built-in parser.

``--parser graphonomy:DIR``, ``lip:DIR``, ``atr:DIR``: a folder of PNG files named as the pictures, grey ids (or, for
Graphonomy, its colours). ``transformers:DIR``: a local segmentation checkpoint of human parsing. ``mediapipe:FILE``:
MediaPipe's multiclass selfie segmenter (``.tflite``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from dsr.clothing.labels import IGNORE, PALETTE_RGB
from dsr.errors import DetectionError, MissingExtraError
from dsr.extras import install_command
from dsr.people.body_view import BodyView
from dsr.people.clothing_map import ClothingMap
from dsr.people.crop_grid import CropGrid
from dsr.people.label_tables import TABLES, resolve, table_of_names
from dsr.people.models import LiteModel
from dsr.people.types import Detection

LabelsOf = Callable[[Path, np.ndarray], ClothingMap]
"""From a picture's path and its (h, w, 3) uint8 at any size to labels of the whole picture, in pixels of that size."""

_SAME_SHAPE = 0.01  # by how much the sides' ratio of a label picture may differ


def bring_labels(parser: str) -> LabelsOf | None:
    """What ``--parser`` names; None for the built-in parser.

    Raises:
        DetectionError: if it cannot be used.
        MissingExtraError: if a package is needed.
    """
    kind, _, place = parser.partition(":")
    if kind == "built-in":
        return None
    path = Path(place).expanduser()
    if kind == "transformers":
        return _transformers(path)
    if kind == "mediapipe":
        return _mediapipe(path)
    return lambda picture, rgb: read_label_picture(path, kind, picture, (rgb.shape[1], rgb.shape[0]))


def read_label_picture(folder: Path, kind: str, picture: Path, size: tuple[int, int]) -> ClothingMap:
    """The label picture of a photograph.

    Args:
        folder: holds ``NAME.png`` or ``NAME.jpg.png`` for a picture ``NAME.jpg``.
        kind: one of :data:`~dsr.people.label_tables.TABLES`.
        picture: the photograph.
        size: (width, height) of the upright photograph, at the size that boxes are wanted in.

    Raises:
        DetectionError: if there is none, it cannot be read, has another shape than the photograph, or unknown labels.
    """
    from PIL import Image

    places = [folder / f"{picture.stem}.png", folder / f"{picture.name}.png"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DetectionError(
            f"{folder}: no label picture {places[0].name} for {picture.name}; make it, or use built-in."
        )
    try:
        with Image.open(found) as opened:
            if opened.size[0] * opened.size[1] > 1 << 28:
                raise DetectionError(f"{found} is too large for a label picture.")
            colour = opened.mode in ("RGB", "RGBA") or (opened.mode == "P" and kind == "graphonomy")
            values = np.asarray(opened.convert("RGB") if colour else opened)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DetectionError(f"{found} cannot be read as a picture ({error}); make it again.") from error
    ratio = values.shape[1] / values.shape[0] / (size[0] / size[1])
    if abs(ratio - 1) > _SAME_SHAPE:
        raise DetectionError(
            f"{found} has {values.shape[1]} x {values.shape[0]} pixels, another shape than {picture.name} with "
            f"{size[0]} x {size[1]}; labels have to cover the whole upright picture."
        )
    labels = _from_colours(values, found, kind) if values.ndim == 3 else _from_ids(values, found, kind)
    box = np.array([0.0, 0.0, *size])
    return ClothingMap(box, labels, np.where(labels >= 0, 1.0, 0.0).astype(np.float32), found.name)


def _from_ids(values: np.ndarray, found: Path, kind: str) -> np.ndarray:
    table = np.array(TABLES[kind])
    if values.dtype.kind not in "iub":
        raise DetectionError(f"{found} holds no whole numbers; give a grey or palette PNG of label ids.")
    values = values.astype(np.int64)
    known = (values >= 0) & (values < len(table))
    strange = np.unique(values[~known & (values != 255)])  # 255 says unknown in many sets
    if len(strange):
        raise DetectionError(f"{found} holds the label {strange[0]}; {kind} has 0 to {len(table) - 1}.")
    return np.where(known, table[np.clip(values, 0, len(table) - 1)], IGNORE)


def _from_colours(values: np.ndarray, found: Path, kind: str) -> np.ndarray:
    if kind != "graphonomy":
        raise DetectionError(f"{found} is a colour picture; {kind} labels are read as ids from grey or palette PNGs.")
    codes = values.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    palette = np.array(PALETTE_RGB) @ np.array([1 << 16, 1 << 8, 1])
    order = palette.argsort()
    place = np.searchsorted(palette[order], codes).clip(0, len(palette) - 1)
    labels = np.where(palette[order][place] == codes, order[place], IGNORE)
    if (labels == IGNORE).mean() > 0.1:
        raise DetectionError(f"{found} has colours that are not Graphonomy's; was it resampled, or saved with loss?")
    return np.asarray(labels)


def _mediapipe(path: Path) -> LabelsOf:
    """MediaPipe's multiclass selfie segmenter."""
    if not path.is_file():
        raise DetectionError(f"--parser mediapipe:{path}: there is no such file.")
    try:
        model = LiteModel(path)
    except DetectionError as error:
        raise DetectionError(f"{path} is no TensorFlow Lite model; get selfie_multiclass_256x256.tflite.") from error
    side = model.input_shape[1] if len(model.input_shape) == 4 else 0
    if model.input_shape != (1, side, side, 3) or model.output_shapes != [(side, side, len(TABLES["mediapipe"]))]:
        raise DetectionError(
            f"{path} is a model, but not MediaPipe's multiclass selfie segmenter: it takes {model.input_shape[1:]} and "
            f"gives {model.output_shapes}; get selfie_multiclass_256x256.tflite."
        )

    one_at_a_time = Lock()

    def labels_of(picture: Path, rgb: np.ndarray) -> ClothingMap:
        from PIL import Image

        small = Image.fromarray(rgb).resize((side, side), Image.Resampling.BILINEAR)
        with one_at_a_time:
            scores = model(np.asarray(small, np.float32) / 255.0)[0].copy()
        labels = np.array(TABLES["mediapipe"])[scores.argmax(-1)]
        return ClothingMap(_whole(rgb), labels, _confidence(scores), path.name)

    return labels_of


def _transformers(folder: Path) -> LabelsOf:
    """A local checkpoint of the package transformers; nothing is downloaded and no code of it is run."""
    if not (folder / "config.json").is_file():
        raise DetectionError(f"--parser transformers:{folder}: no checkpoint there (config.json is missing).")
    try:
        import torch
        from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation
    except ImportError as error:
        raise MissingExtraError(
            f"--parser transformers needs that package ({error}); install it with: {install_command('transformers')}"
        ) from error
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        processor = AutoImageProcessor.from_pretrained(folder, **local)
        network = AutoModelForSemanticSegmentation.from_pretrained(folder, use_safetensors=True, **local).eval()
    except Exception as error:  # the package raises what its many models raise
        raise DetectionError(f"{folder} cannot be loaded as a segmentation checkpoint ({error}).") from error
    table = table_of_names({int(k): str(v) for k, v in network.config.id2label.items()}, str(folder))

    def labels_of(picture: Path, rgb: np.ndarray) -> ClothingMap:
        with torch.inference_mode():
            logits = network(**processor(images=rgb, return_tensors="pt")).logits[0]
        scores = logits.permute(1, 2, 0).float().numpy()
        if scores.shape[-1] > len(table):
            raise DetectionError(f"{folder} gives {scores.shape[-1]} labels and names {len(table)}.")
        return ClothingMap(_whole(rgb), table[scores.argmax(-1)], _confidence(scores), folder.name)

    return labels_of


def of_person(
    whole: ClothingMap, detection: Detection, body: BodyView | None, grid: CropGrid, scale: np.ndarray
) -> ClothingMap | None:
    """One person's part of the labels of a whole picture: background beside the mask, parts named after the body.

    Args:
        whole: labels of the picture, boxes in pixels of the size it was read at.
        detection: the person.
        body: the fitted body in the square, or None where it is not seen.
        grid: the square, full-picture pixels.
        scale: (2,) pixels of the size it was read at per full-picture pixel.
    """
    if detection.mask is None or body is None:
        return None
    u, v = grid.pixels()
    labels, confidence = whole.at(u * scale[0], v * scale[1])
    labels = resolve(labels, body)
    labels = np.where((grid.sample(detection.mask) < 0.5) & (labels > 0), 0, labels)
    return ClothingMap(grid.box_px, labels, confidence.astype(np.float32), whole.source)


def _whole(rgb: np.ndarray) -> np.ndarray:
    return np.array([0.0, 0.0, rgb.shape[1], rgb.shape[0]])


def _confidence(scores: np.ndarray) -> np.ndarray:
    shifted = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray((shifted.max(-1) / shifted.sum(-1)).astype(np.float32))
