"""Made-up people as the landmark model sees them: only the part of a picture around the person is drawn, quickly.

Everything depends on the seed alone. Every twentieth seed is a person for testing, with poses from other clips.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.people.regions import Region
from dsr.rendering.drawing import draw
from dsr.synthetic.backdrop import draw_backdrop, draw_front, photograph
from dsr.synthetic.body_poses import PosePool
from dsr.synthetic.body_shapes import CHILD_FROM, ShapePool
from dsr.synthetic.dressed import Dresser, Worn, folded, paint
from dsr.synthetic.scene import shade
from dsr.synthetic.views import Camera, draw_camera, draw_heading, place
from dsr.synthetic.wardrobe import Wardrobe

SPLITS = ("train", "val")
TEST_EVERY = 20
STRATA = (
    "upright",
    "sitting",
    "lying",
    "upside_down",
    "child",
    "heavy",
    "thin",
    "loose",
    "selfie",
    "tele",
    "high",
    "low",
    "off_centre",
    "border",
    "occluded",
    "crowd",
    "back",
    "side",
    "small",
    "dark",
)
OUTSIDE, COVERED, BEHIND_SELF = 1, 2, 4
"""Bits of what hides a keypoint: the picture's border, a thing or another person, the own body."""
_WINDOW, _DRAWN_PX = 1.3, 300  # side of what is drawn, in regions, and its longest side in pixels
_INSIDE_BODY_M = np.full(33, 0.05)
"""How deep each keypoint may lie below the body's surface and still be seen, metres."""
_INSIDE_BODY_M[[13, 14, 25, 26]], _INSIDE_BODY_M[[11, 12]], _INSIDE_BODY_M[[23, 24]] = 0.09, 0.15, 0.22
_WITH_THINGS, _WITH_OTHERS = 0.2, 0.15
_TUMBLING = 0.03  # of the people lie, fall or jump any way
_TRIES = 6


@dataclass(frozen=True)
class DrawnPerson:
    """A person in a picture, of which a window is drawn.

    Attributes:
        window: (h, w, 3) uint8; where the picture ends inside of what the model sees, it ends.
        origin: (2,) picture pixels of the window's corner.
        scale: window pixels per picture pixel.
        camera: of the whole picture.
        labels: (h, w) uint8 clothing labels of the person, where not hidden.
        betas: (B,).
        pose: (24, 3) axis-angle, the first in the camera.
        transl: (3,) metres.
        joints: (24, 3) metres, camera.
        keypoints: (33, 3) BlazePose's, metres, camera.
        state: (33,) uint8 bits of what hides each keypoint.
        joint_state: (24,) uint8, the first two bits.
        region: the region around the true keypoints, picture pixels.
        female: the body's sex.
        looseness: mean metres of cloth off the skin.
        source: clip or kind of the pose.
        split: ``train`` or ``val``.
        strata: names of what is special.
    """

    window: np.ndarray
    origin: np.ndarray
    scale: float
    camera: Camera
    labels: np.ndarray
    betas: np.ndarray
    pose: np.ndarray
    transl: np.ndarray
    joints: np.ndarray
    keypoints: np.ndarray
    state: np.ndarray
    joint_state: np.ndarray
    region: Region
    female: bool
    looseness: float
    source: str
    split: str
    strata: frozenset[str] = field(default_factory=frozenset)

    def in_window(self, region: Region) -> Region:
        """A region of the picture as one of the window."""
        u, v = (np.array([region.u, region.v]) - self.origin) * self.scale
        return Region(float(u), float(v), region.side * self.scale, region.angle)

    def in_picture(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the window as points of the picture."""
        return points / self.scale + self.origin


class DrawnPeople:
    """Draws people.

    Args:
        mocap: folder of BVH clips; without it poses come from the prior and the postures.
        garments: folder of unpacked MakeHuman assets, poses among them; without it all clothes are painted.

    Raises:
        DatasetError: if a folder lacks what it should hold.
    """

    def __init__(self, mocap: Path | None = None, garments: Path | None = None) -> None:
        self._dresser = Dresser(None if garments is None else Wardrobe(garments))
        self._mocap, self._garments = mocap, garments
        self._pools: dict[str, PosePool] = {}
        self._shapes = ShapePool(self._dresser.asset)

    def draw(self, seed: int) -> DrawnPerson | None:
        """The person of a seed; None where too little of it would be seen."""
        rng = np.random.default_rng([13, seed])
        split = SPLITS[int(seed % TEST_EVERY == 0)]
        for _ in range(_TRIES):
            person = self._try(rng, split)
            if person is not None:
                return person
        return None

    def _pool(self, split: str) -> PosePool:
        if split not in self._pools:
            self._pools[split] = PosePool(self._mocap, split, self._garments)
        return self._pools[split]

    def _worn(
        self, rng: np.random.Generator, split: str, turn: np.ndarray
    ) -> tuple[Worn, np.ndarray, bool, np.ndarray, str]:
        pose = self._pool(split).draw(rng)
        tilt = pose.tilt if rng.random() > _TUMBLING else Rotation.from_quat(rng.normal(size=4)).as_matrix()
        betas, female = self._shapes.draw(rng)
        dress = self._dresser.draw(rng, female)
        turns = np.concatenate([(turn @ draw_heading(rng) @ tilt)[None], pose.body])
        return self._dresser.pose(betas, turns, dress), betas, female, turns, pose.source

    def _try(self, rng: np.random.Generator, split: str) -> DrawnPerson | None:
        camera = draw_camera(rng)
        worn, betas, female, turns, source = self._worn(rng, split, camera.turn)
        aim = worn.joints[[15, 9]].mean(0) if rng.random() < 0.8 else worn.joints[0]
        transl = place(rng, camera, worn.vertices, aim)
        keypoints = self._dresser.keypoints(worn.skin) + transl
        if keypoints[:, 2].min() < 0.15:
            return None
        pixels = project(keypoints, camera.K)
        region = true_region(pixels)
        window = _window(region, camera.size)
        if window is None:
            return None
        origin, size, scale = window
        K = camera.K.copy()
        K[:2, 2] -= origin
        K[:2] *= scale
        other = self._other(rng, split, camera, worn, transl) if rng.random() < _WITH_OTHERS else None
        vertices, faces, fields = worn.vertices + transl, worn.faces, worn.fields
        if other is not None:
            moved, second = other
            faces = np.concatenate([faces, second.faces + len(vertices)])
            vertices, fields = np.concatenate([vertices, moved]), np.concatenate([fields, second.fields])
        drawing = draw(vertices, faces, K, size, fields, near=0.12)
        covered = drawing.face_index >= 0
        mine = covered & (drawing.face_index < len(worn.faces))
        joints = worn.joints + transl
        in_window = (pixels - origin) * scale
        picture, labels = coloured(
            rng, drawing.face_index, drawing.values, size, [worn, *([other[1]] if other else [])]
        )
        labels[~mine] = 0
        front = None
        if rng.random() < _WITH_THINGS and mine.any():
            rows, columns = np.nonzero(mine)
            box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)
            cover, colours = draw_front(rng, *size, box, in_window[[15, 16]])
            if (cover & mine).sum() < 0.55 * mine.sum():
                picture[cover], labels[cover] = colours[cover], 0
                front = cover
        visible = labels > 0
        shown = visible.sum() / scale**2 / region.side**2
        if shown < 0.012 or visible.sum() < 250:
            return None
        dark = bool(rng.random() < 0.04)
        things = np.zeros_like(mine) if front is None else front
        mesh = _Seen(camera, drawing.depth, covered & ~mine, mine, things, origin, scale)
        state, joint_state = mesh.state(keypoints, True), mesh.state(joints, False)
        betas32 = betas.astype(np.float32)
        pose = Rotation.from_matrix(turns).as_rotvec()
        strata = _strata(camera, worn, betas, self._shapes.child, region, state, keypoints, other is not None, dark)
        return DrawnPerson(
            window=photograph(rng, picture, dark),
            origin=origin,
            scale=scale,
            camera=camera,
            labels=labels,
            betas=betas32,
            pose=pose,
            transl=transl,
            joints=joints,
            keypoints=keypoints,
            state=state,
            joint_state=joint_state,
            region=region,
            female=female,
            looseness=worn.dress.looseness,
            source=source,
            split=split,
            strata=strata,
        )

    def _other(
        self, rng: np.random.Generator, split: str, camera: Camera, worn: Worn, transl: np.ndarray
    ) -> tuple[np.ndarray, Worn] | None:
        """Somebody beside, behind or before: placed vertices (N, 3) and the body; None where nearer than 0.4 m."""
        second = self._worn(rng, split, camera.turn)[0]
        step = camera.turn @ np.array([rng.choice([-1, 1]) * rng.uniform(0.3, 0.9), 0, -rng.normal(0.4, 0.6)])
        feet = worn.vertices[:, 1].max() - second.vertices[:, 1].max()
        at = transl + step + np.array([0, feet, 0])
        moved = second.vertices + at
        return None if moved[:, 2].min() < 0.4 else (moved, second)


def coloured(
    rng: np.random.Generator,
    face_index: np.ndarray,
    values: np.ndarray,
    size: tuple[int, int],
    people: list[Worn],
) -> tuple[np.ndarray, np.ndarray]:
    """Picture (h, w, 3) float32, 0 to 255 before the camera's share, and labels (h, w) uint8 of everybody.

    Args:
        rng: randomness.
        face_index: (h, w) of a drawing of everybody's faces one after the other, -1 where nothing is seen.
        values: (N, 6) template places and normals of the covered pixels.
        size: (width, height).
        people: in the order of their faces.
    """
    picture = draw_backdrop(rng, *size)
    labels = np.zeros(face_index.shape, np.uint8)
    covered = face_index >= 0
    seen, first = face_index[covered], 0
    colours, found = np.zeros((len(seen), 3), np.float32), np.zeros(len(seen), np.uint8)
    places, normals = values[:, :3], values[:, 3:].copy()
    normals[normals[:, 2] > 0] *= -1  # seen from inside
    for worn in people:
        at = np.flatnonzero((seen >= first) & (seen < first + len(worn.faces)))
        materials = worn.materials[seen[at] - first]
        found[at], colours[at] = paint(worn.dress, materials, places[at])
        normals[at] = folded(worn.dress, found[at], places[at], normals[at])
        first += len(worn.faces)
    labels[covered] = found
    picture[covered] = shade(rng, colours, normals)
    return picture, labels


@dataclass(frozen=True)
class _Seen:
    """What the camera sees where: for finding out what hides a point."""

    camera: Camera
    depth: np.ndarray
    others: np.ndarray
    mine: np.ndarray
    things: np.ndarray
    origin: np.ndarray
    scale: float

    def state(self, points: np.ndarray, own: bool) -> np.ndarray:
        """(K,) uint8 bits for points (K, 3); what the window does not show counts as seen."""
        pixels = project(points, self.camera.K)
        outside = (pixels < 0).any(1) | (pixels >= self.camera.size).any(1)
        column, row = np.floor((pixels - self.origin) * self.scale).astype(int).T
        height, width = self.depth.shape
        shown = ~outside & (column >= 0) & (row >= 0) & (column < width) & (row < height)
        row, column = np.where(shown, row, 0), np.where(shown, column, 0)
        depth = self.depth[row, column]
        hidden = shown & (self.things[row, column] | (self.others[row, column] & (depth < points[:, 2])))
        state = OUTSIDE * outside + COVERED * hidden
        if own:
            state = state + BEHIND_SELF * (shown & self.mine[row, column] & (depth < points[:, 2] - _INSIDE_BODY_M))
        return state.astype(np.uint8)


def project(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of points (N, 3) before the camera."""
    return points[:, :2] / np.maximum(points[:, 2:], 0.05) * K[[0, 1], [0, 1]] + K[:2, 2]


def true_region(pixels: np.ndarray) -> Region:
    """The region that BlazePose's own points would give for true keypoints (33, 2): a circle round the hips' middle."""
    hips, shoulders = pixels[[23, 24]].mean(0), pixels[[11, 12]].mean(0)
    radius = float(np.sqrt(((pixels - hips) ** 2).sum(1)).max())
    up = shoulders - hips
    return Region.from_points(hips, hips + up / max(float(np.hypot(*up)), 1e-6) * radius)


def _window(region: Region, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int], float] | None:
    """Corner, size and scale of what is drawn: the part of the picture around a region."""
    half = region.side * _WINDOW / 2
    centre = np.array([region.u, region.v])
    low = np.maximum(np.floor(centre - half), 0)
    high = np.minimum(np.ceil(centre + half), size)
    if (high - low < 24).any():
        return None
    scale = min(1.0, _DRAWN_PX / float((high - low).max()))
    width, height = (max(24, int(np.ceil(side * scale))) for side in high - low)
    return low, (width, height), scale


def _strata(
    camera: Camera,
    worn: Worn,
    betas: np.ndarray,
    child: int,
    region: Region,
    state: np.ndarray,
    keypoints: np.ndarray,
    crowd: bool,
    dark: bool,
) -> frozenset[str]:
    """What is special about a person and its picture."""
    up = camera.turn @ np.array([0.0, 1.0, 0.0])
    trunk = keypoints[[11, 12]].mean(0) - keypoints[[23, 24]].mean(0)
    lean = float(up @ trunk / max(float(np.linalg.norm(trunk)), 1e-6))
    across = worn.joints[16] - worn.joints[17]  # right to left shoulder
    facing = float(across[0] / max(float(np.linalg.norm(across)), 1e-6))
    thighs = worn.joints[[4, 5]] - worn.joints[[1, 2]]
    bent = float((thighs @ up / np.linalg.norm(thighs, axis=1)).max())
    middle = (np.array([region.u, region.v]) / camera.size - 0.5) * 2
    found = {
        "upright": lean > 0.8,
        "sitting": lean > 0.5 and bent > -0.55,
        "lying": abs(lean) < 0.35,
        "upside_down": lean < -0.35,
        "child": betas[child] > CHILD_FROM,
        "loose": worn.dress.looseness >= 0.02,
        "selfie": camera.kind == "selfie",
        "tele": camera.kind == "tele",
        "high": camera.elevation > 0.3,
        "low": camera.elevation < -0.2,
        "off_centre": bool((np.abs(middle) > 0.5).any()),
        "border": bool((state & OUTSIDE).any()),
        "occluded": bool(((state & COVERED) > 0).sum() >= 3),
        "crowd": crowd,
        "back": facing < -0.5,
        "side": abs(facing) <= 0.5,
        "small": region.side < 160,
        "dark": dark,
    }
    return frozenset(name for name, true in found.items() if true)
