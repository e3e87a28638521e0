"""Made-up people of whom no picture is drawn, with what the detector would say of them: hundreds per second.

The truth is drawn as for pictures (:mod:`dsr.synthetic.people_drawn`), the detector's answer by
:class:`dsr.synthetic.detector_noise.DetectorNoise`. There are no masks and no clothing labels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body import BodyAsset, load_asset
from dsr.synthetic.bodies import joint_transforms
from dsr.synthetic.body_poses import PosePool
from dsr.synthetic.body_shapes import CHILD_FROM, ShapePool
from dsr.synthetic.detector_noise import DetectorNoise
from dsr.synthetic.pairs import Pair
from dsr.synthetic.people_drawn import SPLITS, project
from dsr.synthetic.views import draw_camera, draw_heading, place

_LEAST_SEEN = 8  # keypoints inside the picture
_NEAREST_M = 0.15


class UndrawnPeople:
    """Draws people without pictures.

    Args:
        noise: of the detector.
        mocap: folder of BVH clips; without it poses come from the prior and the postures.
        split: ``train`` or ``val``.
        stills: folder of MakeHuman's poses, if there.
    """

    def __init__(
        self, noise: DetectorNoise, mocap: Path | None = None, split: str = "train", stills: Path | None = None
    ) -> None:
        body = load_asset("open")
        self._noise, self._split = noise, split
        self._poses, self._shapes = PosePool(mocap, split, stills), ShapePool(body)
        self._points = _Points(body)

    def draw(self, seed: int, count: int) -> Pair:
        """Stacked pairs of ``count`` people: the arrays of :mod:`dsr.synthetic.pairs`, but for what pictures give."""
        rng = np.random.default_rng([17, seed])
        people: list[Pair] = []
        while len(people) < count:
            person = self._one(rng)
            if person is not None:
                people.append(person)
        truth = {name: np.stack([person[name] for person in people]) for name in people[0]}
        said = self._noise.draw(rng, truth["keypoints"], truth["K"], truth["size"])
        return truth | said | {"split": np.full(count, SPLITS.index(self._split), np.uint8)}

    def _one(self, rng: np.random.Generator) -> Pair | None:
        camera = draw_camera(rng)
        pose = self._poses.draw(rng)
        betas, female = self._shapes.draw(rng)
        turns = np.concatenate([(camera.turn @ draw_heading(rng) @ pose.tilt)[None], pose.body])
        keypoints, joints = self._points.pose(betas, turns)
        transl = place(rng, camera, keypoints, joints[[15, 9]].mean(0) if rng.random() < 0.8 else joints[0])
        keypoints = keypoints + transl
        pixels = project(keypoints, camera.K)
        inside = (pixels >= 0).all(1) & (pixels < camera.size).all(1)
        if keypoints[:, 2].min() < _NEAREST_M or inside.sum() < _LEAST_SEEN:
            return None
        return {
            "size": np.array(camera.size, np.int32),
            "K": camera.K.astype(np.float32),
            "betas": betas.astype(np.float32),
            "pose": Rotation.from_matrix(turns).as_rotvec().astype(np.float32),
            "transl": transl.astype(np.float32),
            "joints": (joints + transl).astype(np.float32),
            "keypoints": keypoints.astype(np.float32),
            "sex": np.array(female, np.uint8),
            "child": np.array(betas[self._shapes.child] > CHILD_FROM),
            "clip": np.array(pose.source[:48], "U48"),
        }


class _Points:
    """The vertices that keypoints hang on, and nothing else of the body."""

    def __init__(self, body: BodyAsset) -> None:
        regressor = body.keypoint_regressor("blazepose33").tocsc()
        rows = np.flatnonzero(np.diff(regressor.indptr))
        self._regressor = regressor[:, rows].tocsr().astype(np.float32)
        self._template, self._weights = body.v_template[rows], body.weights[rows]
        self._dirs = np.ascontiguousarray(body.shapedirs[rows, :, : body.num_shapes]).reshape(3 * len(rows), -1)
        flat = body.shapedirs[..., : body.num_shapes].reshape(len(body.v_template), -1)
        self._rest = np.asarray(body.J_regressor @ body.v_template)
        self._rest_dirs = np.asarray(body.J_regressor @ flat).reshape(3 * len(self._rest), -1)
        self._parents = body.parents

    def pose(self, betas: np.ndarray, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (33, 3) and joints (24, 3) with zero translation."""
        rest = self._rest + (self._rest_dirs @ betas).reshape(-1, 3)
        transforms = joint_transforms(self._parents, rest, turns)
        bare = self._template + (self._dirs @ betas).reshape(-1, 3)
        blend = (self._weights @ transforms.reshape(24, 12)).reshape(-1, 3, 4)
        skin = np.einsum("vab,vb->va", blend[:, :, :3], bare) + blend[:, :, 3]
        joints = transforms[:, :, 3] + np.einsum("jab,jb->ja", transforms[:, :, :3], rest)
        return np.asarray(self._regressor @ skin), joints
