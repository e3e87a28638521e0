"""People made on the fly, for training without data: dressed open bodies before random backgrounds, everything known.

Each record depends on the seed, the epoch and the index only. Keypoints, labels and the mask agree with the picture
exactly; the body is the light open one, so betas are its first ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body.joints import joint_names
from dsr.errors import DatasetError
from dsr.rendering.zbuffer import ZBuffer, rasterise
from dsr.synthetic.bodies import Mannequin, PosedPerson, mannequin, rotation
from dsr.synthetic.garments import Outfit, draw_outfit, refitted
from dsr.synthetic.poses import MocapPoses, PriorPoses, load_poses
from dsr.synthetic.records import PersonRecord
from dsr.synthetic.scene import develop, draw_background, draw_occluders, shade

_FLIP_TO_CAMERA = np.diag([1.0, -1.0, -1.0])  # body: y up, facing +z; camera: y down, looking along +z
_TRIES = 8


@dataclass(frozen=True)
class Scene:
    """One dressed person before a camera, as drawn for a record.

    Attributes:
        person: the body; vertices without ``transl``.
        outfit: the clothes.
        betas: (10,).
        pose_aa: (24, 3) in the camera.
        transl: (3,) metres.
        K: (3, 3).
        seen: z-buffer of the dressed person, without occluders.
        places: (N, 3) template places of the covered pixels, in the order of ``numpy.nonzero(seen.covered)``.
        normals: (N, 3) unit normals there, camera frame.
        labels: (N,) label ids there.
    """

    person: PosedPerson
    outfit: Outfit
    betas: np.ndarray
    pose_aa: np.ndarray
    transl: np.ndarray
    K: np.ndarray
    seen: ZBuffer
    places: np.ndarray
    normals: np.ndarray
    labels: np.ndarray


class SyntheticSource:
    """A record source of made-up people.

    Args:
        count: records per epoch.
        seed: another seed gives other people.
        size: side of the square pictures, pixels.
        mocap: folder of BVH clips to take poses from; without it poses are drawn from the shipped prior.
        clothing: draw garments; without them labels are those of the bare body and the hair.
        occluders: put things before about half of the people.
        split: clips to use, ``train``, ``val`` or ``all``.
        facing_deg: people are turned at most this far from facing the camera; 180 is all round.
        looseness_m: how far off the skin tops and bottoms lie, from and to, instead of what is drawn; no skirts then.

    Raises:
        DatasetError: if count, size or angle make no sense, or the mocap folder holds no clips.

    Example:
        >>> SyntheticSource(count=4, size=128).record(0).image.shape
        (128, 128, 3)
    """

    name = "synthetic"

    def __init__(
        self,
        count: int = 10_000,
        seed: int = 0,
        size: int = 256,
        mocap: Path | str | None = None,
        clothing: bool = True,
        occluders: bool = True,
        split: str = "train",
        facing_deg: float = 180.0,
        looseness_m: tuple[float, float] | None = None,
    ) -> None:
        if not 0 <= facing_deg <= 180:
            raise DatasetError(f"synthetic people face the camera within 0 to 180 degrees, not {facing_deg:g}.")
        if count < 1 or size < 16 or seed < 0:
            given = f"{count}, {size}, {seed}"
            raise DatasetError(f"synthetic people need count >= 1, size >= 16 and seed >= 0, not {given}.")
        self.count, self.seed, self.size = count, seed, size
        self.clothing, self.occluders = clothing, occluders
        self.looseness_m = looseness_m
        self.facing = float(np.radians(facing_deg))
        self.mocap = None if mocap is None else Path(mocap)
        self._poses: PriorPoses | MocapPoses = load_poses(self.mocap, split)

    def __len__(self) -> int:
        return self.count

    def record(self, index: int, epoch: int = 0) -> PersonRecord:
        """One person; the same for the same seed, epoch and index.

        Raises:
            DatasetError: if the index is out of range.
        """
        rng, scene = self._draw(index, epoch)
        picture = draw_background(rng, self.size)
        covered = scene.seen.covered
        picture[covered] = shade(rng, scene.outfit.colours(scene.places, scene.labels), scene.normals)
        labels = np.zeros((self.size, self.size), np.uint8)
        labels[covered] = scene.labels
        box = _box(covered)
        hidden = np.zeros_like(covered)
        if self.occluders and rng.random() < 0.5:
            front, colours = draw_occluders(rng, self.size, box)
            if (covered & front).sum() < 0.6 * covered.sum():
                hidden = front
                picture[hidden], labels[hidden] = colours[hidden], 0
        joints = self._joints(scene)
        return PersonRecord(
            source=self.name,
            key=f"{self.seed}/{epoch}/{index}",
            image=develop(rng, picture),
            box_px=box,
            K=scene.K,
            pose_aa=scene.pose_aa.astype(np.float32),
            betas=scene.betas.astype(np.float32),
            transl=scene.transl.astype(np.float32),
            joints_m={
                name: np.c_[joints[name], np.ones(len(joints[name]))].astype(np.float32)
                for name in ("spin24", "smpl24", "h36m17")
            },
            keypoints_px={name: _project(points, scene.K, hidden) for name, points in joints.items()},
            labels=labels,
            mask=covered & ~hidden,
            height_m=scene.person.height_m,
            shape_of="open",
        )

    def scene(self, index: int, epoch: int = 0) -> Scene:
        """The dressed body and camera of a record, for checks."""
        return self._draw(index, epoch)[1]

    def _draw(self, index: int, epoch: int) -> tuple[np.random.Generator, Scene]:
        if not 0 <= index < self.count:
            raise DatasetError(f"synthetic record {index} does not exist; there are {self.count}.")
        rng = np.random.default_rng([self.seed, epoch, index])
        for _ in range(_TRIES):
            scene = self._scene(rng)
            if scene.seen.covered.sum() >= 0.03 * self.size**2:
                break
        return rng, scene

    def _scene(self, rng: np.random.Generator) -> Scene:
        body = mannequin()
        outfit = draw_outfit(rng, self.clothing)
        if self.looseness_m is not None:
            outfit = refitted(outfit, rng, self.looseness_m)
        betas = np.clip(rng.normal(0, 1, 10), -2.5, 2.5)
        pose, tilt = self._poses.draw(rng)
        yaw = rng.uniform(-1, 1) * self.facing if rng.random() < 0.5 else rng.normal(0, 0.8)
        yaw = np.clip(yaw, -self.facing, self.facing)
        heading = rotation((0.0, yaw, 0.0)) @ tilt
        camera = rotation((rng.normal(0.08, 0.2), 0.0, 0.0)) @ rotation((0.0, 0.0, rng.normal(0, 0.08)))
        turns = np.concatenate([(camera @ _FLIP_TO_CAMERA @ heading)[None], pose])
        person = body.pose(betas, turns, outfit)
        K, transl = _place(rng, person, self.size)
        used = person.cloth[: body.num_body] + transl if not outfit.skirt else person.cloth + transl
        seen = rasterise(used, person.faces, K, (self.size, self.size), near=0.1, cull_back=True)
        fields = seen.interpolate(np.concatenate([person.places, person.normals], 1)[: len(used)])
        places, normals = fields[:, :3].astype(np.float32), fields[:, 3:].astype(np.float32)
        normals /= np.maximum(np.sqrt(np.einsum("va,va->v", normals, normals)), 1e-9)[:, None]
        face = seen.face_index[seen.covered]
        tube = len(body.asset.faces)
        inner = face >= tube + (len(person.faces) - tube) // 2
        normals[inner] *= -1
        labels = outfit.labels(places)
        if outfit.skirt:
            labels[face >= tube] = outfit.skirt
        pose_aa = Rotation.from_matrix(turns).as_rotvec()
        return Scene(person, outfit, betas, pose_aa, transl, K, seen, places, normals, labels)

    def _joints(self, scene: Scene) -> dict[str, np.ndarray]:
        """Every named set in camera metres."""
        body: Mannequin = mannequin()
        joints = {"smpl24": scene.person.joints + scene.transl}
        for name in ("openpose25", "coco17", "h36m17"):
            joints[name] = body.keypoints(scene.person.skin, name) + scene.transl
        joints["spin24"] = np.stack([joints[name][row] for name, row in _spin24()])
        return joints


@lru_cache(maxsize=1)
def _spin24() -> tuple[tuple[str, int], ...]:
    """Set and row of SPIN's 24 joints: the places that the networks' own 49 joints take on the open body."""
    from dsr.body.spin_joints import JOINTS49_SOURCES

    return tuple((source, joint_names(source).index(name)) for _, source, name in JOINTS49_SOURCES[25:])


def _place(rng: np.random.Generator, person: PosedPerson, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A camera and where the body stands before it: intrinsics (3, 3) and translation (3,)."""
    fov = np.radians(rng.uniform(25, 75))
    focal = size / (2 * np.tan(fov / 2))
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    columns = np.ascontiguousarray(person.cloth.T)
    low, high = columns.min(1), columns.max(1)
    extent, middle = high - low, (high + low) / 2
    share = rng.uniform(0.95, 1.5) if rng.random() < 0.12 else rng.uniform(0.4, 0.95)
    depth = max(focal * max(extent[0], extent[1]) / (share * size) + 0.3 * extent[2], 0.45 + extent[2])
    room = np.maximum(size - focal * extent[:2] / depth, 0.1 * size) / 2 * 1.1
    pixel = size / 2 + rng.uniform(-1, 1, 2) * room
    ray = np.array([(pixel[0] - size / 2) / focal, (pixel[1] - size / 2) / focal, 1.0])
    return K, ray * depth - middle


def _project(points: np.ndarray, K: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(K, 3) float32 u, v and confidence; 0 outside the picture, behind the camera and behind occluders."""
    height, width = hidden.shape
    z = np.maximum(points[:, 2], 0.05)
    pixels = points[:, :2] / z[:, None] * K[[0, 1], [0, 1]] + K[:2, 2]
    inside = (points[:, 2] > 0.05) & (pixels >= 0).all(1) & (pixels < (width, height)).all(1)
    column, row = np.clip(pixels, 0, (width - 1, height - 1)).astype(int).T
    seen = inside & ~hidden[row, column]
    return np.c_[pixels, seen].astype(np.float32)


def _box(covered: np.ndarray) -> np.ndarray:
    """(4,) float32 x0, y0, x1, y1 around the true pixels; the whole picture if there are none."""
    if not covered.any():
        return np.array([0, 0, covered.shape[1], covered.shape[0]], np.float32)
    columns, rows = np.flatnonzero(covered.any(0)), np.flatnonzero(covered.any(1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
