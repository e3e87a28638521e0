"""InstantHMR's ONNX files: one crop to the numbers, 2D and 3D keypoints of MHR.

Files differ in two silent ways (specs/networks, 1.3 and 1.4): how the camera condition is written, which their metadata
says, and whether they have a head for 3D keypoints. Those that have none need MHR's own body to become points.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.body.mhr import RIG_TO_CAMERA, blazepose_of_joints, blazepose_of_keypoints
from dsr.camera.network_input import IMAGE_MEAN, IMAGE_STD
from dsr.errors import CheckpointError, MissingExtraError
from dsr.extras import install_hint
from dsr.files import file_sha256
from dsr.regressors.brought.torchscript import MHR_FILE, find_mhr, load_torchscript

if TYPE_CHECKING:
    from dsr.image.types import Photo
    from dsr.people.types import Detection

SIGMA_M = 0.045
"""How far its joints are off after a similarity alignment: 40 to 60 mm on public benchmarks."""
_SIZE = 224
_AROUND_KEYPOINTS, _MARGIN = 1.2, 1.2  # box around a body by its keypoints' extent, and the crop by the box
_LARGEST_BYTES = 2 << 30
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_WILD_SCALE, _WILD_LENGTH = 1.2, 2.0  # of parameters 136:204 and 130:136: a rig explodes beyond


class InstantHmr:
    """A file of InstantHMR's, run by onnxruntime on the processor.

    Args:
        path: the ``.onnx`` file.

    Attributes:
        angular: whether its camera condition is in angles; else in pixels.
        has_points: whether it gives 3D keypoints itself.

    Raises:
        MissingExtraError: without the extra ``onnx``.
        CheckpointError: if the file is none of InstantHMR's, reads other files, brings its own operators, or needs
            MHR's body and there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.sha256 = path, file_sha256(path)
        self._session, metadata = _session(path)
        inputs = {i.name: i.shape for i in self._session.get_inputs()}
        outputs = [o.name for o in self._session.get_outputs()]
        wanted = {"mhr_params", "shape_params", "cam_trans", "joints_2d"}
        if len(inputs.get("image", ())) != 4 or len(inputs.get("cliff_cond", ())) != 2 or not wanted <= set(outputs):
            raise CheckpointError(
                f"{path} is ONNX, but none of InstantHMR's files: they take image and cliff_cond and give "
                f"{', '.join(sorted(wanted))}; this one takes {', '.join(inputs)} and gives {', '.join(outputs)}."
            )
        self._outputs = outputs
        side = metadata.get("image_size", inputs["image"][2])
        self.size = int(side) if str(side).isdigit() and 32 <= int(side) <= 2048 else _SIZE
        self.angular = metadata.get("cliff_focal", "").lower() == "true"
        self.has_points = "joints_3d" in outputs
        self._mhr: Any = None
        if not self.has_points:
            body = find_mhr(path)
            if body is None:
                raise CheckpointError(
                    f"{path} gives the numbers of the body MHR and no 3D keypoints: put {MHR_FILE} of MHR's release "
                    "(Apache-2.0) beside it or into body_models/."
                )
            self._mhr = load_torchscript(body)
        self._check()

    def record(self) -> dict[str, str]:
        """What a result says about it."""
        return {
            "name": "instanthmr",
            "checkpoint": str(self.path),
            "sha256": self.sha256,
            "body": "mhr",
            "condition": "angles" if self.angular else "pixels",
            "points": "its own" if self.has_points else MHR_FILE,
        }

    def __call__(
        self, photo: Photo, K: np.ndarray, detections: list[Detection], warnings: list[str]
    ) -> list[Detection]:
        """People with its 3D keypoints, see :class:`~dsr.regressors.brought.loading.BroughtKeypoints`."""
        boxes = [_box_around(person.box_px, person.source) for person in detections]
        crops = np.stack([crop(photo.rgb, box * photo.scale, self.size) for box in boxes])
        condition = np.stack([self.condition(box, K, photo.width, photo.height) for box in boxes])
        told, lost = [], 0
        for person, place, sigma in zip(detections, *self._points(crops, condition), strict=True):
            usable = person.keypoint_set == "blazepose33" and np.isfinite(place).all()
            lost += not usable
            told.append(replace(person, world_m=place, world_sigma_m=sigma) if usable else person)
        if lost:
            warnings.append(f"InstantHMR's answer for {lost} of {len(told)} people cannot be used; they start without.")
        return told

    def condition(self, box: np.ndarray, K: np.ndarray, width: int, height: int) -> np.ndarray:
        """(3,) float32 where a box (4,) is, in the form that this file was made for; full-picture pixels."""
        centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
        if self.angular:
            focal = float(K[0, 0])
            angle = np.arctan((centre - K[:2, 2]) / focal)
            return np.array([*angle, side / focal], np.float32)
        return np.array([2 * centre[0] / width - 1, 2 * centre[1] / height - 1, side / max(width, height)], np.float32)

    def _points(self, crops: np.ndarray, condition: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """BlazePose's points (33, 3) of every crop, NaN where they make no sense, and their standard deviations."""
        answer = self._run(crops, condition)
        if self.has_points:
            rows = [blazepose_of_keypoints(points, SIGMA_M) for points in answer["joints_3d"].astype(np.float64)]
        else:
            rows = [blazepose_of_joints(joints, SIGMA_M) for joints in self._joints(answer)]
        return [place for place, _ in rows], [sigma for _, sigma in rows]

    def _joints(self, answer: dict[str, np.ndarray]) -> np.ndarray:
        """(B, 127, 3) the rig's joints by MHR's own program, metres, camera axes."""
        import torch

        params, shape = (answer[name].astype(np.float32) for name in ("mhr_params", "shape_params"))
        wild = (np.abs(params[:, 136:]) > _WILD_SCALE).any(1) | (np.abs(params[:, 130:136]) > _WILD_LENGTH).any(1)
        wild |= ~(np.isfinite(params).all(1) & np.isfinite(shape).all(1))
        with torch.inference_mode():
            safe = np.where(wild[:, None], 0.0, params).astype(np.float32)
            identity = np.nan_to_num(shape).astype(np.float32)
            _, state = self._mhr(torch.from_numpy(identity), torch.from_numpy(safe), torch.zeros(len(params), 72))
        joints = np.asarray(state[..., :3], np.float64) * RIG_TO_CAMERA
        joints[wild] = np.nan
        return joints

    def _run(self, crops: np.ndarray, condition: np.ndarray) -> dict[str, np.ndarray]:
        try:
            values = self._session.run(None, {"image": crops, "cliff_cond": condition})
        except Exception as error:  # onnxruntime has exceptions of its own
            raise CheckpointError(f"{self.path} cannot be run: {str(error).splitlines()[0][:200]}") from error
        return dict(zip(self._outputs, values, strict=True))

    def _check(self) -> None:
        """One run on zeros: the answers have the right shapes and are finite.

        Raises:
            CheckpointError: if not.
        """
        answer = self._run(np.zeros((1, 3, self.size, self.size), np.float32), np.zeros((1, 3), np.float32))
        shapes: dict[str, tuple[int, ...]] = {"mhr_params": (1, 204), "shape_params": (1, 45), "cam_trans": (1, 3)}
        shapes |= {"joints_3d": (1, 70, 3)} if self.has_points else {}
        for name, shape in shapes.items():
            if answer[name].shape != shape or not np.isfinite(answer[name]).all():
                raise CheckpointError(
                    f"{self.path}: {name} has the shape {answer[name].shape} or holds NaN; InstantHMR's is {shape}."
                )


def crop(rgb: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """(3, size, size) float32 normalised crop of a box (4,) in the picture's pixels; black outside of the picture."""
    import cv2

    side = max(_MARGIN * float((box[2:] - box[:2]).max()), 2.0)
    corner = (box[:2] + box[2:]) / 2 - side / 2
    low, high = np.floor(corner).astype(int), np.ceil(corner + side).astype(int)
    window = np.zeros((*(high - low)[::-1], 3), np.uint8)
    start, stop = np.maximum(low, 0), np.minimum(high, rgb.shape[1::-1])
    if (stop > start).all():
        there = tuple(slice(a, b) for a, b in zip((start - low)[::-1], (stop - low)[::-1], strict=True))
        window[there] = rgb[start[1] : stop[1], start[0] : stop[0]]
    small = cv2.resize(window, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    mean, std = (np.array(values, np.float32) for values in (IMAGE_MEAN, IMAGE_STD))
    return np.ascontiguousarray(((small - mean) / std).transpose(2, 0, 1))


def _box_around(box: np.ndarray, source: str) -> np.ndarray:
    """The box around a body: that of its keypoints is smaller, boxes that were brought are as they are."""
    grow = 1.0 if source == "boxes" else _AROUND_KEYPOINTS
    centre, half = (box[:2] + box[2:]) / 2, grow * (box[2:] - box[:2]) / 2
    return np.concatenate([centre - half, centre + half])


def _session(path: Path) -> tuple[Any, dict[str, str]]:
    """An onnxruntime session of a file that needs nothing else, and its metadata."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(f"--regressor instanthmr needs ONNX: {install_hint('onnx')}") from error
    if path.stat().st_size > _LARGEST_BYTES:
        raise CheckpointError(f"{path} is larger than 2 GB; InstantHMR's files have 60 to 150 MB.")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf has exceptions of its own
        raise CheckpointError(f"{path} is no ONNX file ({type(error).__name__}).") from error
    foreign = {node.domain for node in model.graph.node} - set(_DOMAINS)
    if foreign:
        raise CheckpointError(f"{path} brings operators of its own ({', '.join(sorted(foreign))}); it is not run.")
    external = onnx.TensorProto.EXTERNAL
    if any(weight.data_location == external for weight in model.graph.initializer):
        raise CheckpointError(f"{path} keeps weights in other files; only files that hold all of theirs are read.")
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CheckpointError(f"{path} cannot be run: {str(error).splitlines()[0][:200]}") from error
    return session, {entry.key: entry.value for entry in model.metadata_props}
