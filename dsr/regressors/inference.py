"""People of pictures through a network: crops, batches, and bodies back in the original camera.

Each network gets the crop it was trained with: DSR a plain square around the person, PersPose the view of a camera that
is turned towards the person. Both predict in the camera of the crop; :func:`place_bodies` turns the result back and
gives it its metric place, so that what comes out of :func:`regress` is in the camera of the full picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from dsr.camera import crop_affine, perspective_crop, perspective_rotation, rotate_body_to_original, warp_crop
from dsr.camera.network_input import CROP_MARGIN, IMAGE_MEAN, IMAGE_STD, UNKNOWN_FOCAL
from dsr.camera.weak_perspective import place_in_picture
from dsr.errors import UsageError
from dsr.regressors.types import BodyPrediction

if TYPE_CHECKING:
    from dsr.body import Body, BodyOutput
    from dsr.people import Detection
    from dsr.synthetic.records import PersonRecord

PERSPECTIVE_MARGIN = 1.3
"""Factor on the box of the keypoints for PersPose: its 1.2 is for detector boxes, which include crown and toes."""

_CONFIDENT = 0.2


@dataclass(frozen=True)
class PeopleCrops:
    """Crops of N people, of one picture or many, with the way back to their pictures.

    Attributes:
        image: (N, 3, S, S) float32 RGB, normalised.
        K_crop: (N, 3, 3) float64 intrinsics of the crops' cameras, pixels of the crop.
        K: (N, 3, 3) float64 intrinsics of the full pictures.
        rotation: (N, 3, 3) float64, original camera to the camera that looks at the middle of the crop.
        centre_px: (N, 2) float64 middle of the person's box or square in the full picture.
        side_px: (N,) float64 side of the square in full-picture pixels (for the square kind).
        known: (N,) bool, False where K is made up.
    """

    image: Tensor
    K_crop: Tensor
    K: Tensor
    rotation: Tensor
    centre_px: Tensor
    side_px: Tensor
    known: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: slice | Tensor) -> PeopleCrops:
        """Some of the people."""
        return PeopleCrops(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[PeopleCrops]) -> PeopleCrops:
        """People of several pictures together."""
        return cls(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)))


@dataclass(frozen=True)
class RegressedBodies:
    """Bodies of N people in the cameras of their full pictures.

    Attributes:
        pose_rotmat: (N, 24, 3, 3) float32 rotations of SMPL's joints, 0 is the global orientation in the camera.
        betas: (N, nb) shape of the body the network knows.
        transl: (N, 3) metres.
        prediction: what the network said, in the camera of the crop; published protocols compare this one.
    """

    pose_rotmat: Tensor
    betas: Tensor
    transl: Tensor
    prediction: BodyPrediction

    def __len__(self) -> int:
        return len(self.pose_rotmat)

    def output(self, body: Body) -> BodyOutput:
        """Vertices and joints in the camera of the full picture, metres."""
        return body(self.betas[:, : body.num_betas], self.pose_rotmat[:, 1:], self.pose_rotmat[:, 0], self.transl)


def square_of(detection: Detection) -> tuple[np.ndarray, float]:
    """Middle (2,) and side of DSR's crop of a person found, full-picture pixels.

    As in its demo the side is 1.2 times the larger extent of the keypoints seen. The middle is that of their box, as in
    training; the demo takes the keypoints' mean instead, which for OpenPose's 25 is done here too.
    """
    seen = detection.keypoints_px[detection.confidence > _CONFIDENT]
    low, high = (seen.min(0), seen.max(0)) if len(seen) > 1 else (detection.box_px[:2], detection.box_px[2:])
    side = CROP_MARGIN * float(max(*(high - low), 1.0))
    centre = seen.mean(0) if detection.keypoint_set == "openpose25" and len(seen) > 1 else (low + high) / 2
    return np.asarray(centre, np.float64), side


def crop_detections(
    rgb: np.ndarray, scale: float, K: np.ndarray, detections: Sequence[Detection], model: Any
) -> PeopleCrops:
    """Crops of the people found in one photograph.

    Args:
        rgb: (h, w, 3) uint8, upright, at working size.
        scale: working pixels per full pixel (:class:`dsr.image.Photo`).
        K: (3, 3) intrinsics of the full picture, pixels.
        detections: at least one person.
        model: the network they are for; its ``crop`` and ``image_size`` are used.
    """
    squares = [square_of(d) for d in detections]
    boxes = np.stack([np.asarray(d.box_px, np.float64) for d in detections])
    return crop_people(
        rgb,
        K,
        model.crop,
        model.image_size,
        centres_px=np.stack([s[0] for s in squares]),
        sides_px=np.array([s[1] for s in squares]),
        boxes_px=boxes,
        margin=PERSPECTIVE_MARGIN,
        scale=scale,
    )


def crop_record(record: PersonRecord, model: Any) -> PeopleCrops:
    """The published crop of one person of a data set; where its K is unknown, PersPose gets the crop it has for COCO.

    Args:
        record: the person; ``centre_px`` and ``scale`` give the square, or else the box does.
        model: the network it is for.

    Raises:
        DatasetError: if its picture cannot be read.
    """
    from dsr.datasets.dsr_view import published_crop
    from dsr.datasets.pictures import read_picture

    rgb, factor = read_picture(record.image, f"{record.source}/{record.key}")
    height, width = (n * factor for n in rgb.shape[:2])
    box = np.asarray(record.box_px, np.float64)
    centre, square = published_crop(record)
    K = record.K
    if K is None:
        focal = math.hypot(width, height)
        K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return crop_people(
        rgb,
        np.asarray(K, np.float64),
        model.crop,
        model.image_size,
        centres_px=centre[None],
        sides_px=np.array([200 * square]),
        boxes_px=box[None],
        margin=1.0,
        scale=1 / factor,
        known=record.K is not None,
        smooth=False,
    )


def crop_people(
    rgb: np.ndarray,
    K: np.ndarray,
    kind: Literal["square", "perspective"],
    size: int,
    *,
    centres_px: np.ndarray,
    sides_px: np.ndarray,
    boxes_px: np.ndarray,
    margin: float = 1.0,
    scale: float = 1.0,
    known: bool = True,
    smooth: bool = True,
) -> PeopleCrops:
    """Cut the crops of N people out of one picture.

    Args:
        rgb: (h, w, 3) uint8.
        K: (3, 3) intrinsics of the full picture, pixels.
        kind: as the network's ``crop``.
        size: side of the crops, pixels.
        centres_px: (N, 2) middles of the squares, full-picture pixels (the published code rounds them).
        sides_px: (N,) sides of the squares, likewise.
        boxes_px: (N, 4) x0, y0, x1, y1 for the perspective crops.
        margin: factor on the boxes.
        scale: pixels of ``rgb`` per full pixel.
        known: whether K is the picture's own; a perspective crop of a picture whose K is not is not turned.
        smooth: low-pass filter pictures that are scaled down to less than half; the published crops are not.

    Returns:
        The crops, on the CPU.
    """
    camera = torch.as_tensor(np.asarray(K, np.float64)).expand(len(boxes_px), 3, 3)
    boxes = torch.as_tensor(np.asarray(boxes_px, np.float64))
    if kind == "square":
        centres = torch.as_tensor(np.asarray(centres_px, np.float64))
        sides = torch.as_tensor(np.asarray(sides_px, np.float64).clip(2.0))
        homography = crop_affine(centres, sides[:, None].expand(-1, 2), size)
        K_crop, rotation = homography @ camera, perspective_rotation(camera, centres)
    else:
        cut = perspective_crop(camera, boxes, size, margin=margin, rotate=known)
        homography, K_crop, rotation = cut.homography, cut.K_crop, cut.rotation
        centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, size * camera[:, 0, 0] / K_crop[:, 0, 0]
        if not known:
            focal = UNKNOWN_FOCAL * size / 256
            K_crop = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]]).double().expand_as(K_crop)
    pyramid = {1: (rgb, scale, scale)}
    crops = []
    for M, side in zip(homography.numpy(), sides.tolist(), strict=True):
        reduce = max(1, int(side * scale / size)) if smooth else 1
        if reduce not in pyramid:
            pyramid[reduce] = _shrink(rgb, scale, reduce)
        picture, across, down = pyramid[reduce]
        crops.append(warp_crop(picture, M @ np.diag([1 / across, 1 / down, 1.0]), size))
    return PeopleCrops(
        image=normalise(np.stack(crops)),
        K_crop=K_crop,
        K=camera,
        rotation=rotation,
        centre_px=centres,
        side_px=sides,
        known=torch.full((len(boxes),), known),
    )


def normalise(crops: np.ndarray) -> Tensor:
    """Crops (N, S, S, 3) uint8 as networks here take them: (N, 3, S, S) float32."""
    image = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
    return (image - mean) / std


def predict(
    model: nn.Module, crops: PeopleCrops, body: Body | None = None, batch_size: int = 32, *, mirror: bool | None = None
) -> BodyPrediction:
    """Run a network over crops, batch by batch, on its own device; in bfloat16 on CUDA.

    Args:
        model: a :class:`dsr.regressors.Regressor`.
        crops: of any number of people and pictures.
        body: the body whose skeleton PersPose's inverse kinematics uses; on the model's device.
        batch_size: people at a time.
        mirror: average with the mirrored crops; by default as published, which is for PersPose only.

    Returns:
        Bodies in the cameras of the crops, float32, on the CPU.
    """
    perspective = getattr(model, "crop", "square") == "perspective"
    mirror = perspective if mirror is None else mirror
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    parts = []
    for start in range(0, len(crops), batch_size):
        some = crops.select(slice(start, start + batch_size))
        extra: dict[str, Any] = {}
        if perspective:
            extra = {"body": body, "encode": None if bool(some.known.all()) else some.known.to(device)}
        own = device.type == "cuda" and not hasattr(model, "autocast")  # PersPose decides for itself what may be coarse
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16) if own else nullcontext():
            found = model.predict(some.image.to(device), some.K_crop.float().to(device), mirror=mirror, **extra)  # type: ignore[operator]
        parts.append(found)
    if not parts:
        raise UsageError("There is nobody to predict: give at least one crop.")
    return _join(parts)


def place_bodies(prediction: BodyPrediction, crops: PeopleCrops, body: Body) -> RegressedBodies:
    """Bodies of crops in the original camera: turned back, and at their metric distance.

    Args:
        prediction: in the cameras of the crops.
        crops: what was predicted from.
        body: the body the network's betas belong to; gives the rest place of the root joint.
    """
    known = prediction.betas[:, : body.num_betas].to(body.faces.device)
    pose = prediction.pose_rotmat.double()
    with torch.no_grad():
        root_rest = body.rest_joints(known)[:, 0].double().cpu()
        turned = pose.to(body.faces.device)
        joints = body.pose_joints(known, turned[:, 1:], turned[:, 0]).double().cpu()
    if prediction.transl is not None:
        orient, transl = rotate_body_to_original(pose[:, 0], prediction.transl.double(), root_rest, crops.rotation)
    elif prediction.camera is not None:
        placed = place_in_picture(
            pose[:, 0], prediction.camera.double(), root_rest, crops.K, crops.centre_px, crops.side_px, points=joints
        )
        orient, transl = placed.global_orient, placed.transl
    else:
        raise UsageError("The network predicts neither a translation nor a camera; its bodies cannot be placed.")
    pose[:, 0] = orient
    return RegressedBodies(pose.float(), prediction.betas.float(), transl.float(), prediction)


def regress(
    model: nn.Module,
    people: PeopleCrops | Iterable[PersonRecord],
    body: Body,
    batch_size: int = 32,
    *,
    mirror: bool | None = None,
) -> RegressedBodies:
    """Bodies of people, in the cameras of their full pictures.

    Args:
        model: a :class:`dsr.regressors.Regressor`.
        people: crops, or records of data sets (read as they are needed, ``batch_size`` at a time).
        body: the body the network was trained with.
        batch_size: people at a time, whatever pictures they are in.
        mirror: average with the mirrored crops; by default as published, which is for PersPose only.

    Returns:
        One body per person, in order, on the CPU.

    Raises:
        DatasetError: if a picture cannot be read.
        UsageError: if there is nobody.

    Example:
        >>> bodies = regress(model, source_records, load_body("open-light"))  # doctest: +SKIP
        >>> bodies.output(body).vertices.shape  # doctest: +SKIP
        torch.Size([35515, 7000, 3])
    """
    if isinstance(people, PeopleCrops):
        return place_bodies(predict(model, people, body, batch_size, mirror=mirror), people, body)
    parts = []
    for records in _chunks(people, batch_size):
        crops = PeopleCrops.join([crop_record(record, model) for record in records])
        parts.append(regress(model, crops, body, batch_size, mirror=mirror))
    if not parts:
        raise UsageError("There is nobody to predict: the data set is empty.")
    return RegressedBodies(
        pose_rotmat=torch.cat([part.pose_rotmat for part in parts]),
        betas=torch.cat([part.betas for part in parts]),
        transl=torch.cat([part.transl for part in parts]),
        prediction=_join([part.prediction for part in parts]),
    )


def _join(parts: Sequence[BodyPrediction]) -> BodyPrediction:
    def one(tensors: list[Tensor]) -> Tensor:
        return torch.cat([t.float().cpu() for t in tensors])

    def maybe(name: str) -> Tensor | None:
        found = [getattr(part, name) for part in parts]
        return None if any(t is None for t in found) else one(found)

    return BodyPrediction(
        one([p.pose_rotmat for p in parts]),
        one([p.betas for p in parts]),
        maybe("camera"),
        maybe("transl"),
        {key: one([part.extras[key] for part in parts]) for key in parts[0].extras},
    )


def _chunks(records: Iterable[PersonRecord], size: int) -> Iterator[list[PersonRecord]]:
    iterator = iter(records)
    while some := list(islice(iterator, size)):
        yield some


def _shrink(rgb: np.ndarray, scale: float, reduce: int) -> tuple[np.ndarray, float, float]:
    """The picture at 1/reduce of its size by averaging, and its pixels per full pixel across and down."""
    import cv2

    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (max(1, width // reduce), max(1, height // reduce)), interpolation=cv2.INTER_AREA)
    return small, scale * small.shape[1] / width, scale * small.shape[0] / height
