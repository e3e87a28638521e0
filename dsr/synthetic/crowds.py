"""Pictures of made-up people who stand together: whole, cut off, behind tables and each other, small and in the dark.

The z-buffer says what is seen of everybody. Everything depends on the seed alone; poses come from the clips and
postures that are kept for testing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.rendering.drawing import Drawing, draw
from dsr.synthetic.backdrop import photograph
from dsr.synthetic.body_poses import DrawnPose, PosePool
from dsr.synthetic.body_shapes import ShapePool
from dsr.synthetic.dressed import Dresser, Worn
from dsr.synthetic.people_drawn import coloured, project
from dsr.synthetic.scene import tone
from dsr.synthetic.views import FLIP_TO_CAMERA, draw_heading
from dsr.synthetic.wardrobe import Wardrobe

SCENES = ("whole", "knees", "waist", "shoulders", "table", "behind", "crowd")
"""What a picture is of, one after the other by seed: its people are seen so far, stand so, or are small and many."""
_CUT_M = {"whole": -0.35, "knees": 0.42, "waist": 0.95, "shoulders": 1.28, "table": 0.3, "behind": -0.3, "crowd": -0.6}
"""Height above the floor at which the lower border cuts who stands in the first row, metres."""
_TOP_M = 1.95
_FACE_M, _TRUNK_M = (0.09, 0.56, 0.71, 0.05), (0.2, -0.03, 0.47, -1.0)
"""The T-pose's face and trunk: half the width, lower and upper end, and what it lies in front of, metres."""
_HALF = 0.5
"""A face or trunk of which others, things and the border hide more than this is not plain to see."""
_AROUND = 2
_DARK_SHARE = 0.15
_LEAST_PIXELS = 60


@dataclass(frozen=True)
class CrowdPerson:
    """Somebody in a picture.

    Attributes:
        keypoints_px: (33, 2) BlazePose's, pixels.
        visibility: (33,) 0 outside the picture, 1 behind somebody or something, 2 else.
        box_px: (4,) x0, y0, x1, y1 of what is seen.
        face_px: longer side of the box around what is seen of the face, pixels.
        trunk_px: the same of the trunk, shoulders to hips. Both are 0 where less than half of it is seen.
        hidden_by: ``table``, ``somebody``: what hides at least three keypoints.
    """

    keypoints_px: np.ndarray
    visibility: np.ndarray
    box_px: np.ndarray
    face_px: float
    trunk_px: float
    hidden_by: tuple[str, ...]


@dataclass(frozen=True)
class CrowdPicture:
    """A picture (h, w, 3) uint8 and everybody of whom anything is seen."""

    rgb: np.ndarray
    people: tuple[CrowdPerson, ...]
    scene: str
    dark: bool


class CrowdSource:
    """Draws pictures of several people.

    Args:
        mocap: folder of BVH clips; without it poses come from the prior and the postures.
        garments: folder of unpacked MakeHuman assets; without it all clothes are painted and heads are bald.

    Raises:
        DatasetError: if a folder lacks what it should hold.
    """

    def __init__(self, mocap: Path | None = None, garments: Path | None = None) -> None:
        self._dresser = Dresser(None if garments is None else Wardrobe(garments))
        self._poses = PosePool(mocap, "val", garments)
        self._shapes = ShapePool(self._dresser.asset)

    def draw(self, seed: int) -> CrowdPicture:
        """The picture of a seed."""
        rng = np.random.default_rng([19, seed])
        scene = SCENES[seed % len(SCENES)]
        places = _places(rng, scene)
        size, focal = _lens(rng, scene)
        high = float(rng.uniform(1.1, 1.8) if scene != "crowd" else rng.uniform(1.5, 3.5))
        far = _distance(rng, scene, size, focal, places)
        # the lower border's ray meets the first row at the height of the cut
        down = float(np.arctan2(high - _CUT_M[scene], far) - np.arctan(size[1] / 2 / focal))
        roll = Rotation.from_rotvec([0, 0, np.radians(rng.normal(0, 2))])
        turn = (roll * Rotation.from_rotvec([down, 0, 0])).as_matrix() @ FLIP_TO_CAMERA
        eye = np.array([0.0, high, far])
        people = [self._person(rng, place) for place in places]
        things = _table(rng, places) if scene == "table" else np.zeros((0, 8, 3))
        K = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
        dark = bool(rng.random() < _DARK_SHARE)
        return self._picture(rng, people, things, (K, turn, eye, size), scene, dark)

    def _person(self, rng: np.random.Generator, place: np.ndarray) -> tuple[Worn, np.ndarray]:
        """Somebody dressed and posed, feet on the floor at a place (x, z): the body and its shift (3,), world."""
        pose = self._upright(rng)
        betas, female = self._shapes.draw(rng)
        dress = self._dresser.draw(rng, female)
        turns = np.concatenate([(draw_heading(rng) @ pose.tilt)[None], pose.body])
        worn = self._dresser.pose(betas, turns, dress)
        shift = np.array([place[0] - worn.joints[0, 0], -worn.vertices[:, 1].min(), place[1] - worn.joints[0, 2]])
        return worn, shift

    def _upright(self, rng: np.random.Generator) -> DrawnPose:
        pose = self._poses.draw(rng)
        for _ in range(20):
            if pose.tilt[1, 1] > 0.85:
                break
            pose = self._poses.draw(rng)
        return pose

    def _picture(
        self,
        rng: np.random.Generator,
        people: list[tuple[Worn, np.ndarray]],
        things: np.ndarray,
        view: tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]],
        scene: str,
        dark: bool,
    ) -> CrowdPicture:
        K, turn, eye, size = view
        bodies = [worn for worn, _ in people]
        vertices = [(worn.vertices + shift - eye) @ turn.T for worn, shift in people]
        turned = [np.concatenate([worn.fields[:, :3], worn.fields[:, 3:] @ turn.T], 1) for worn in bodies]
        faces: list[np.ndarray] = []
        starts: list[int] = []
        first = 0
        for worn in bodies:
            starts.append(sum(map(len, faces)))
            faces.append(worn.faces + first)
            first += len(worn.vertices)
        corners = (things.reshape(-1, 3) - eye) @ turn.T
        boxes = np.concatenate([_BOX_FACES + first + 8 * k for k in range(len(things))]) if len(things) else None
        ends = [*starts[1:], sum(map(len, faces))]
        every = np.concatenate([*faces, *([] if boxes is None else [boxes])]).astype(np.int32)
        fields = np.concatenate([*turned, np.tile([[0, 9, 0, 0, 0, -1.0]], (len(corners), 1))]).astype(np.float32)
        drawing = draw(np.concatenate([*vertices, corners]), every, K, size, fields, near=0.15)
        owner = np.searchsorted(ends, drawing.face_index, side="right")
        owner[drawing.face_index < 0] = -1
        picture = _colours(rng, drawing, owner, bodies, size)
        points = [(self._dresser.keypoints(worn.skin) + shift - eye) @ turn.T for worn, shift in people]
        seen = _Sight(drawing, owner, len(bodies), K)
        around = K * [[1 / _AROUND], [1 / _AROUND], [1]] + [
            [0, 0, (1 - 1 / _AROUND) * size[0] / 2],
            [0, 0, (1 - 1 / _AROUND) * size[1] / 2],
            [0, 0, 0],
        ]  # the same camera, with as much again around the picture
        alone = [
            draw(v, worn.faces, around, size, f, near=0.15) for v, worn, f in zip(vertices, bodies, turned, strict=True)
        ]
        found = [seen.person(i, points[i], alone[i].values[:, :3]) for i in range(len(bodies))]
        return CrowdPicture(photograph(rng, picture, dark), tuple(p for p in found if p is not None), scene, dark)


@dataclass(frozen=True)
class _Sight:
    """What the camera sees: whose every pixel is (-1 nobody's, from ``count`` on a thing's)."""

    drawing: Drawing
    owner: np.ndarray
    count: int
    K: np.ndarray

    def person(self, index: int, keypoints: np.ndarray, alone: np.ndarray) -> CrowdPerson | None:
        """What is seen of somebody; None where next to nothing is.

        Args:
            index: who.
            keypoints: (33, 3) camera frame, metres.
            alone: (N, 3) template places of the pixels, coarser by :data:`_AROUND`, that would be seen without the
                others and the picture's border.
        """
        height, width = self.owner.shape
        mine = self.owner == index
        if mine.sum() < _LEAST_PIXELS:
            return None
        rows, columns = np.nonzero(mine)
        places = self.drawing.values[mine[self.owner >= 0], :3]

        def extent(part: tuple[float, float, float, float]) -> float:
            of = _of_part(places, part)
            if of.sum() < max(_HALF * _AROUND**2 * _of_part(alone, part).sum(), 1):
                return 0.0
            return float(max(np.ptp(rows[of]), np.ptp(columns[of])) + 1)

        pixels = project(keypoints, self.K)
        inside = ((pixels >= 0) & (pixels < (width, height))).all(1) & (keypoints[:, 2] > 0.1)
        column, row = np.floor(np.where(inside[:, None], pixels, 0)).astype(int).T
        before = self.owner[row, column]
        hidden = inside & (before >= 0) & (before != index) & (self.drawing.depth[row, column] < keypoints[:, 2])
        behind = {"table": hidden & (before >= self.count), "somebody": hidden & (before < self.count)}
        return CrowdPerson(
            keypoints_px=pixels,
            visibility=np.where(inside, 2 - hidden.astype(int), 0),
            box_px=np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float64),
            face_px=extent(_FACE_M),
            trunk_px=extent(_TRUNK_M),
            hidden_by=tuple(name for name, which in behind.items() if which.sum() >= 3),
        )


def _of_part(places: np.ndarray, part: tuple[float, float, float, float]) -> np.ndarray:
    """(N,) bool, which template places (N, 3) belong to a part of the T-pose."""
    half, low, high, front = part
    return (np.abs(places[:, 0]) < half) & (places[:, 1] > low) & (places[:, 1] < high) & (places[:, 2] > front)


def _colours(
    rng: np.random.Generator, drawing: Drawing, owner: np.ndarray, bodies: list[Worn], size: tuple[int, int]
) -> np.ndarray:
    """(h, w, 3) float32 picture before the camera's share."""
    things = owner >= len(bodies)
    only = np.where(things, -1, drawing.face_index)
    values = drawing.values[~things[owner >= 0]]
    picture, _ = coloured(rng, only, values, size, bodies)
    picture[things] = tone(rng)
    return picture


def _places(rng: np.random.Generator, scene: str) -> np.ndarray:
    """(N, 2) x and z of everybody on the floor, metres; the camera looks along -z."""
    if scene == "crowd":
        rows, columns = int(rng.integers(2, 5)), int(rng.integers(4, 8))
        grid = np.stack(np.meshgrid(np.arange(columns) * rng.uniform(0.8, 1.5), -np.arange(rows) * 1.1), -1)
        grid[1::2, :, 0] += 0.45
        places = grid.reshape(-1, 2) + rng.normal(0, 0.12, (rows * columns, 2))
    elif scene == "behind":
        front = int(rng.integers(1, 3))
        x = np.arange(front) * rng.uniform(0.8, 1.1)
        side = rng.choice([-1, 1], front) * rng.uniform(0.3, 0.5, front)
        back = np.stack([x + side, -rng.uniform(0.6, 1.4, front)], 1)
        places = np.concatenate([np.stack([x, np.zeros(front)], 1), back])
    else:
        people = int(rng.integers(1, 4))
        places = np.stack([np.arange(people) * rng.uniform(0.65, 1.0), rng.uniform(-0.4, 0.0, people)], 1)
    places[:, 0] -= places[:, 0].mean()
    return np.asarray(places)


def _lens(rng: np.random.Generator, scene: str) -> tuple[tuple[int, int], float]:
    """Size of the picture and focal length, pixels."""
    longer = float(np.exp(rng.uniform(np.log(640), np.log(1600))))
    ratio = float(rng.choice([3 / 4, 2 / 3, 9 / 16]))
    upright = scene in ("whole", "knees", "waist") and rng.random() < 0.4
    size = (round(longer * ratio), round(longer)) if upright else (round(longer), round(longer * ratio))
    least = 35 if scene == "shoulders" else 26
    return size, float(np.exp(rng.uniform(np.log(least), np.log(85)))) / 36 * longer


def _distance(rng: np.random.Generator, scene: str, size: tuple[int, int], focal: float, places: np.ndarray) -> float:
    """From the camera to the first row, metres."""
    if scene == "crowd":  # trunks of about 40 to 70 pixels
        return float(focal * 0.5 / rng.uniform(40, 70))
    room = (_TOP_M - _CUT_M[scene]) * rng.uniform(1.0, 1.5)
    wide = (np.ptp(places[:, 0]) + 0.7) * rng.uniform(0.9, 1.2)
    return float(max(focal * room / size[1], focal * wide / size[0], 0.9))


def _table(rng: np.random.Generator, places: np.ndarray) -> np.ndarray:
    """(1, 8, 3) corners of a table before the first row, or a counter."""
    top, near = rng.uniform(0.7, 1.05), places[:, 1].max() + rng.uniform(0.3, 0.45)
    left, right = places[:, 0].min() - rng.uniform(0.1, 1.0), places[:, 0].max() + rng.uniform(0.1, 1.0)
    low, high = np.array([left, 0.0, near]), np.array([right, top, near + rng.uniform(0.4, 0.9)])
    unit = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    return (unit * (high - low) + low)[None]


_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
_BOX_FACES = np.concatenate([_QUADS[:, [0, 1, 2]], _QUADS[:, [0, 2, 3]]])
