"""The BlazePose model files: found in the installed mediapipe package (never imported), run by ai-edge-litert."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dsr._quiet import quiet_stderr
from dsr.errors import DetectionError, MissingExtraError
from dsr.extras import install_command
from dsr.files import weights_sha256
from dsr.limits import check_time
from dsr.npz import ARCHIVE_DAMAGE
from dsr.people.inner_tensors import with_outputs

DETECTION_MODEL = "pose_detection/pose_detection.tflite"
LANDMARK_MODEL = "pose_landmark/pose_landmark_full.tflite"
MODEL_SHA256 = {
    DETECTION_MODEL: "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    LANDMARK_MODEL: "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    "face_detection/face_detection_full_range_sparse.tflite": (
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"
    ),
    "face_landmark/face_landmark.tflite": "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    "face_detection/face_detection_short_range.tflite": (
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
    ),
    "hand_landmark/hand_landmark_full.tflite": "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    "holistic_landmark/hand_recrop.tflite": "67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",
    "iris_landmark/iris_landmark.tflite": "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    "palm_detection/palm_detection_full.tflite": "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
}
"""The files of mediapipe 0.10.21 that are run: another file under such a name is not."""
LANDMARK_FILES = "pose_landmark_heavy.tflite or pose_landmarker_heavy.task for example"
MAX_MODEL_BYTES = 1 << 28


def find_model(name: str) -> Path:
    """Path of a model file under ``mediapipe/modules`` of the installed package.

    Args:
        name: path below ``mediapipe/modules``, e.g. ``pose_detection/pose_detection.tflite``.

    Raises:
        MissingExtraError: if mediapipe is not installed.
        DetectionError: if the installed version does not carry the file (0.10.21 is the last one that does), or carries
            another one than :data:`MODEL_SHA256` says.
    """
    spec = importlib.util.find_spec("mediapipe")
    if spec is None:
        raise MissingExtraError(
            f"finding people needs the BlazePose models of the mediapipe package; {_install_models()}"
        )
    for folder in spec.submodule_search_locations or ():
        path = Path(folder) / "modules" / name
        if path.is_file():
            if MODEL_SHA256.get(name) not in (None, weights_sha256(path)):
                raise DetectionError(
                    f"{path} is not the file that mediapipe 0.10.21 carries: it is damaged or was changed; "
                    f"{_install_models(' --force-reinstall')}"
                )
            return path
    raise DetectionError(
        f"the installed mediapipe {_version('mediapipe')} does not carry modules/{name}; {_install_models()}"
    )


def default_threads() -> int:
    """Threads for one interpreter: the cores this process may use, at most 4 (the models are too small for more)."""
    try:
        cores = len(os.sched_getaffinity(0))  # type: ignore[attr-defined,unused-ignore]
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    return max(1, min(4, cores))


class LiteModel:
    """One ``.tflite`` model with a single float input and its outputs in file order.

    The result does not depend on the number of threads (checked bit for bit in the tests). One call at a time: LiteRT
    keeps one set of buffers per interpreter. Batches were measured and brought nothing (5.1 ms per tile, 7 ms per
    person on two cores for every batch size, and no gain from two interpreters), so inputs go one by one.

    Args:
        name: path below ``mediapipe/modules``, or a file of the user's (a ``Path``), see :func:`read_model`.
        threads: threads inside one call, default :func:`default_threads`.
        inner: names of inner tensors that follow the outputs.

    Raises:
        MissingExtraError: if mediapipe or ai-edge-litert is not installed.
        DetectionError: if the file is missing or cannot be loaded.
    """

    def __init__(self, name: str | Path, threads: int | None = None, inner: tuple[str, ...] = ()) -> None:
        path = name if isinstance(name, Path) else find_model(name)
        content = read_model(path) if isinstance(name, Path) else None
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            hint = install_command("ai-edge-litert")
            raise MissingExtraError(
                f"finding people needs ai-edge-litert ({error}); install it with: {hint}"
            ) from error
        if inner:
            content = with_outputs(content or path.read_bytes(), inner)
        try:
            with quiet_stderr():  # LiteRT says which delegate it took
                self._interpreter: Any = Interpreter(
                    model_path=None if content else str(path),
                    model_content=content,
                    num_threads=threads or default_threads(),
                )
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            next_step = "it is no whole .tflite model; get it again" if content else _install_models()
            raise DetectionError(f"{path} cannot be loaded ({error}); {next_step}") from error
        entry = self._interpreter.get_input_details()[0]
        self._input = entry["index"]
        self.input_shape: tuple[int, ...] = tuple(int(n) for n in entry["shape"])
        outputs = self._interpreter.get_output_details()
        self._outputs = [output["index"] for output in outputs]
        self.output_shapes: list[tuple[int, ...]] = [tuple(int(n) for n in output["shape"][1:]) for output in outputs]

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """Run on one image of shape ``input_shape[1:]``, float32; outputs lose their leading axis of 1."""
        check_time()
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(image[None], dtype=np.float32))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


def read_model(path: Path) -> bytes:
    """The bytes of a landmark model: a ``.tflite`` file, or the one inside a MediaPipe ``.task`` bundle.

    Raises:
        DetectionError: if the file cannot be read or is neither.
    """
    expected = f"expected a BlazePose landmark model, {LANDMARK_FILES}"
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise DetectionError(f"{path} is too large for a landmark model; {expected}")
        content = path.read_bytes()
        if not _is_tflite(content) and zipfile.is_zipfile(
            path
        ):  # a .tflite file with metadata looks like a zip as well
            with zipfile.ZipFile(path) as bundle:
                names = [e for e in bundle.infolist() if e.filename.endswith(".tflite") and "landmark" in e.filename]
                if len(names) != 1 or names[0].file_size > MAX_MODEL_BYTES:
                    raise DetectionError(f"{path} is a bundle without a landmark model of a pose; {expected}")
                content = bundle.read(names[0])
    except OSError as error:
        raise DetectionError(f"{path} cannot be read: {error.strerror or error}") from error
    except ARCHIVE_DAMAGE as error:
        raise DetectionError(f"{path} is a broken bundle, or one with a password ({error}); get it again") from error
    if not _is_tflite(content):
        raise DetectionError(f"{path} is no TensorFlow Lite model; {expected}")
    return content


def _is_tflite(content: bytes) -> bool:
    return content[4:8] == b"TFL3"


def _install_models(options: str = "") -> str:
    return f"install it with: {install_command('mediapipe')}{options}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(unknown version)"
