"""What a network says about the people of a photograph, on the body that the user wants.

A network knows one body: licensed SMPL, or the open one where it was trained here. The user may want the other. With
both bodies at hand, shape and pose are carried over (:class:`dsr.body.transfer.BodyTransfer`). Without SMPL's
file its shape coefficients mean nothing: rotations still carry over exactly, shape does not, and the person gets a
warning that says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from dsr.body import Body, load_asset, load_body
from dsr.body.transfer import NUM_JOINTS, BodyTransfer, PosedBody
from dsr.camera import translation_from_rays
from dsr.errors import BodyError
from dsr.regressors.crops import crop_detections
from dsr.regressors.inference import RegressedBodies, regress
from dsr.regressors.loading import LoadedRegressor

if TYPE_CHECKING:
    from dsr.people import Detection

_LEAST_KEYPOINTS = 6


@dataclass(frozen=True)
class PredictedPeople:
    """Bodies of the people of one picture, on the body asked for, in the original camera.

    Attributes:
        bodies: their parameters, on the body's device.
        warnings: sentences for the user that hold for every one of them.
    """

    bodies: PosedBody
    warnings: tuple[str, ...]


class PhotoRegressor:
    """A network and the body its results are for.

    Args:
        loaded: the network.
        body: the body the results are for, on the network's device.
        mirror: average with the mirrored crops; by default as published, which is for PersPose only.
        smpl: where to look for SMPL when the network speaks of it and the body is another one: a path, or ``smpl`` for
            the folders that are searched.

    Attributes:
        fits_skeleton: whether the network fits pose and size to whichever body it is given.
        source: the body that the network's numbers are read with.
        exact: False where it takes the place of SMPL, because there is no SMPL file.
        gendered: whether that body is the female or male one; networks speak of the neutral one.

    Raises:
        BodyError: if an SMPL file is there and cannot be read, or poses cannot be carried over to the body.
    """

    def __init__(
        self, loaded: LoadedRegressor, body: Body, mirror: bool | None = None, smpl: str | Path = "smpl"
    ) -> None:
        self.loaded, self.body, self.mirror = loaded, body, mirror
        self.fits_skeleton = bool(getattr(loaded.model, "fits_skeleton"))  # noqa: B009
        self.gendered = not _is_open(body) and re.search(r"male|_[fm]_", body.asset.name.lower()) is not None
        self.source, self.exact = self._source(smpl)
        same = self.source is body or (_is_open(self.source) and _is_open(body))
        self._transfer = None if same else BodyTransfer(self.source, body)

    @torch.no_grad()
    def __call__(
        self,
        rgb: np.ndarray,
        scale: float,
        K: np.ndarray,
        detections: Sequence[Detection],
        height_m: float | None = None,
        mass_kg: float | None = None,
    ) -> PredictedPeople:
        """Bodies of the people found in a photograph.

        Args:
            rgb: (h, w, 3) uint8, upright, at working size.
            scale: working pixels per full pixel.
            K: (3, 3) intrinsics of the full picture, pixels.
            detections: at least one person.
            height_m: standing height that everybody gets, moved along the viewing ray so that the size in the picture
                stays.
            mass_kg: mass that everybody gets, kilograms.
        """
        crops = crop_detections(rgb, scale, K, detections, self.loaded.model)
        people = regress(self.loaded.model, crops, self.source, mirror=self.mirror)
        if not self.exact:
            people = self._without_shape(people)
        pose, betas, transl = (x.to(self.body.faces.device) for x in (people.pose_rotmat, people.betas, people.transl))
        if self._transfer is not None:
            bodies = self._transfer(pose, betas, transl)
        else:
            betas = torch.nn.functional.pad(betas, (0, max(0, self.body.num_betas - betas.shape[1])))
            bodies = PosedBody(pose, betas[:, : self.body.num_betas], transl)
        if height_m is not None or mass_kg is not None:
            bodies = self._with_size(bodies, height_m, mass_kg)
        if not self.exact:
            bodies = self._placed_by_keypoints(bodies, K, detections)
        return PredictedPeople(bodies, self._warnings())

    def _source(self, smpl: str | Path) -> tuple[Body, bool]:
        """The body the network's numbers belong to, or the open one in its place."""
        device = self.body.faces.device
        if self.loaded.body == "open":
            return (self.body if _is_open(self.body) else load_body("open-light", device=device)), True
        is_smpl = self.body.num_joints == NUM_JOINTS and not _is_open(self.body)
        if is_smpl and not self.gendered:
            return self.body, True
        from dsr.body.licensed import find_licensed

        try:
            path = find_licensed(smpl)
        except BodyError:
            pass
        else:
            return load_body(path, num_betas=self.loaded.num_betas, device=device), True
        if is_smpl:
            return self.body, True
        name = self.body.asset.path if _is_open(self.body) and self.body.asset.path else "open-light"
        if self.fits_skeleton:  # its search over the first coefficient is all of the shape that is left
            return Body(load_asset(name, num_betas=1)).to(device), False
        return (self.body if _is_open(self.body) else load_body(name, device=device)), False

    def _without_shape(self, people: RegressedBodies) -> RegressedBodies:
        """Betas of SMPL on a body that is not SMPL: none, or the size that was searched on that very body."""
        if self.fits_skeleton:
            return people
        return replace(people, betas=torch.zeros_like(people.betas))

    def _with_size(self, bodies: PosedBody, height_m: float | None, mass_kg: float | None) -> PosedBody:
        from dsr.body import standing_height_m
        from dsr.body.known_size import known_size

        asset = self.body.asset
        count = asset.num_shapes
        size = known_size(asset, count, height_m, mass_kg)
        assert size is not None
        before = bodies.betas.cpu().numpy()
        after = np.concatenate([size.nearest(before[:, :count]), before[:, count:]], 1)
        betas = torch.as_tensor(after).to(bodies.betas)
        grown = torch.as_tensor(standing_height_m(asset, after) / standing_height_m(asset, before)).to(bodies.transl)
        root = self.body.rest_joints(bodies.betas)[:, 0] + bodies.transl
        transl = root * grown[:, None] - self.body.rest_joints(betas)[:, 0]
        return PosedBody(bodies.pose_rotmat, betas, transl)

    def _placed_by_keypoints(self, bodies: PosedBody, K: np.ndarray, detections: Sequence[Detection]) -> PosedBody:
        """The place that brings the body onto the keypoints: its size is not the one the network had in mind."""
        transl = bodies.transl.clone()
        nowhere = torch.zeros_like(transl)
        posed = self.body(bodies.betas, bodies.pose_rotmat[:, 1:], bodies.pose_rotmat[:, 0], nowhere)
        for i, detection in enumerate(detections):
            seen = detection.confidence >= 0.5
            if seen.sum() < _LEAST_KEYPOINTS or detection.keypoint_set not in self.body.asset.keypoint_regressors:
                continue
            points = self.body.keypoints(posed.vertices[i : i + 1], detection.keypoint_set).double()
            pixels = torch.as_tensor(detection.keypoints_px).to(points)
            camera = torch.as_tensor(K).to(points)
            rays = (pixels - camera[:2, 2]) / camera.diagonal()[:2]
            weight = torch.as_tensor(np.where(seen, detection.confidence, 0.0)).to(points)
            place = translation_from_rays(points, rays[None], weight[None])[0]
            if bool((points[0, :, 2] + place[2] > 0.1).all()):
                transl[i] = place.to(transl)
        return PosedBody(bodies.pose_rotmat, bodies.betas, transl)

    def _warnings(self) -> tuple[str, ...]:
        if self.exact and self.gendered and self.source is self.body:
            return (
                f"The network {self.loaded.system} predicts the neutral body's shape; on {self.body.asset.name} it is "
                "only roughly right. Put SMPL_NEUTRAL.pkl into body_models/ to have it carried over.",
            )
        if self.exact:
            return ()
        kept = "only its size" if self.fits_skeleton else "an average shape"
        return (
            f"The network {self.loaded.system} was trained for SMPL, whose file was not found: bodies have the pose it "
            f"predicts but {kept}, and stand where the keypoints say; put SMPL_NEUTRAL.pkl into body_models/, or "
            "use --refine joints.",
        )


def _is_open(body: Body) -> bool:
    return body.asset.name.startswith("open") and body.num_joints == NUM_JOINTS
