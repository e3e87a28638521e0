"""Clothes, shoes and hair of the CC0 MakeHuman set, made ready once: meshes that follow the open body.

A garment hangs on MakeHuman's base mesh by a rule that is linear in the body's shape but for the size of its offsets;
here it is linear throughout (millimetres of difference), so that dressing a body is one product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from dsr.body import BodyAsset, load_asset
from dsr.errors import DatasetError
from dsr.synthetic.mhclo import Garment, assemble_base, load_garment

SKIN, HAIR, BROW, TOP, BOTTOM, ACCENT, SHOE, SOLE, SOCK, EYE, IRIS, PUPIL, MOUTH, HAT = range(14)
"""Materials of the faces of a dressed body."""

SUITS: dict[str, tuple[str, ...]] = {
    "male_casualsuit01": ("shoes01", "shoes02"),
    "male_casualsuit02": ("shoes02", "shoes05"),
    "male_casualsuit03": ("shoes02", "shoes04"),
    "male_casualsuit04": ("shoes02", "shoes06"),
    "male_casualsuit05": ("shoes03", "shoes05"),
    "male_casualsuit06": ("shoes01", "shoes05"),
    "male_elegantsuit01": ("shoes01", "shoes04"),
    "male_worksuit01": ("shoes03",),
    "female_casualsuit01": ("shoes02", "shoes05"),
    "female_casualsuit02": ("shoes02", "shoes06"),
    "female_elegantsuit01": ("shoes02",),
    "female_sportsuit01": ("shoes02", "shoes05"),
}
"""Suits and the shoes that go with them."""
HAIR_STYLES = (
    ("short01", "short02", "short03", "short04", "afro01"),
    ("bob01", "bob02", "long01", "braid01", "ponytail01"),
)
"""Of men and of women."""
BROWS = tuple(f"eyebrow{i:03d}" for i in range(1, 13))
_BARE_LEGS = ("female_casualsuit02", "female_elegantsuit01")
_TUCK_M, _TUCK_REACH_M = 0.008, 0.03


@dataclass(frozen=True, eq=False)
class Piece:
    """A garment in the T-pose of the open body.

    Attributes:
        places: (N, 3) float32 on the mean body, metres.
        directions: (3 N, B) float32 metres per unit of beta.
        weights: (N, 24) float32.
        normals: (N, 3) float32 unit normals of ``places``.
        faces: (F, 3) int32.
        materials: (F,) uint8.
        covered: (V,) bool, vertices of the body that it hides.
        tuck: (V,) float32 metres by which the body is drawn further in below it.
    """

    places: np.ndarray
    directions: np.ndarray
    weights: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    materials: np.ndarray
    covered: np.ndarray
    tuck: np.ndarray


class Wardrobe:
    """The garments of a folder, read when first worn.

    Args:
        folder: where the MakeHuman assets were unpacked; searched for ``NAME.mhclo``.

    Raises:
        DatasetError: if the folder lacks one of the garments named here.
    """

    def __init__(self, folder: str | Path) -> None:
        self.body: BodyAsset = load_asset("open")
        self._files = {path.stem: path for path in sorted(Path(folder).rglob("*.mhclo"))}
        wanted = [*SUITS, *(s for shoes in SUITS.values() for s in shoes), *HAIR_STYLES[0], *HAIR_STYLES[1], *BROWS]
        missing = sorted(set(wanted) - set(self._files))
        if missing:
            raise DatasetError(
                f"{folder}: no garment {missing[0]}.mhclo; give the folder of unpacked MakeHuman assets."
            )
        self._pieces: dict[str, Piece] = {}

    def piece(self, name: str) -> Piece:
        """A garment by name."""
        if name not in self._pieces:
            self._pieces[name] = self._make(name)
        return self._pieces[name]

    def _make(self, name: str) -> Piece:
        base = _bases(self.body)
        garment = load_garment(self._files[name])
        garment = garment.rebound(base.rest, np.isfinite(base.template).all(1)).turned(base.rest, base.template)
        places = garment.fit(base.template)
        directions = np.stack([(garment.fit(base.template + step) - places).reshape(-1) for step in base.steps], 1)
        faces = garment.faces.astype(np.int32)
        materials = _materials(garment, name, places)
        if name.startswith("shoes"):
            faces, materials = faces[materials != SOCK], materials[materials != SOCK]
        covered = np.zeros(len(base.template), bool)
        covered[garment.delete_vertices] = True
        index = self.body.base_index
        return Piece(
            places=places.astype(np.float32),
            directions=directions.astype(np.float32),
            weights=garment.skinning(base.weights).astype(np.float32),
            normals=_normals(places, faces),
            faces=faces,
            materials=materials,
            covered=covered[index],
            tuck=_tuck(self.body, places) if materials[0] not in (HAIR, BROW) else np.zeros(len(self.body.v_template)),
        )


@dataclass(frozen=True)
class _Bases:
    """MakeHuman's base mesh filled from the open body: template, steps per beta (finite part), weights, rest pose."""

    template: np.ndarray
    steps: list[np.ndarray]
    weights: np.ndarray
    rest: np.ndarray


@lru_cache(maxsize=1)
def _bases(body: BodyAsset) -> _Bases:
    if body.base_index is None or body.path is None:
        raise DatasetError(f"body {body.name} does not say which vertices of MakeHuman's mesh it has.")
    with np.load(body.path.with_name("DSR_OPEN_HELPERS.npz"), allow_pickle=False) as data:
        where, template, dirs, weights, rest = (
            data[name] for name in ("base_index", "v_template", "shapedirs", "weights", "rest_vertices")
        )
    steps = [
        assemble_base(body.shapedirs[..., k], body.base_index, dirs[..., k], where) for k in range(body.num_shapes)
    ]
    return _Bases(
        assemble_base(body.v_template, body.base_index, template, where),
        steps,
        assemble_base(body.weights, body.base_index, weights, where),
        rest,
    )


def _tuck(body: BodyAsset, places: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(places).query(body.v_template, distance_upper_bound=_TUCK_REACH_M)
    return (_TUCK_M * np.clip(1.5 - distance / 0.02, 0.0, 1.0)).astype(np.float32)


def _normals(places: np.ndarray, faces: np.ndarray) -> np.ndarray:
    from dsr.rendering.drawing import vertex_normals

    return vertex_normals(places.astype(np.float32), faces)


def _materials(garment: Garment, name: str, places: np.ndarray) -> np.ndarray:
    """(F,) material of every face: what the pieces of a suit are, by where they lie on the mean body."""
    kinds = np.full(len(places), TOP, np.uint8)
    if name in HAIR_STYLES[0] + HAIR_STYLES[1]:
        kinds[:] = HAIR
    elif name in BROWS:
        kinds[:] = BROW
    elif name.startswith("shoes"):
        kinds = _shoe(garment, places)
    else:
        kinds = _suit(garment, name, places)
    return kinds[garment.faces].min(1) if name.startswith("shoes") else kinds[garment.faces[:, 0]]


def _shoe(garment: Garment, places: np.ndarray) -> np.ndarray:
    kinds = np.full(len(places), SHOE, np.uint8)
    floor = places[:, 1].min()
    kinds[places[:, 1] < floor + 0.02] = SOLE
    component = components(garment.faces, len(places))
    for number in range(component.max() + 1):
        mine = component == number
        if places[mine, 1].max() > floor + 0.16 and mine.sum() == 144:
            kinds[mine] = SOCK
    return kinds


def _suit(garment: Garment, name: str, places: np.ndarray) -> np.ndarray:
    kinds = np.full(len(places), TOP, np.uint8)
    pieces = components(garment.faces, len(places))
    if name in ("male_casualsuit01", "male_elegantsuit01") and len(garment.uv):
        islands = components(garment.faces_uv, len(garment.uv))
        pieces = np.zeros(len(places), int)
        pieces[garment.faces.ravel()] = islands[garment.faces_uv.ravel()]
    scale = float(np.ptp(places[:, 1])) / 1.34  # the suits reach from ankle to collar, 1.34 m on the default body
    top, sizes = places[:, 1].max(), np.bincount(pieces)
    for number in np.unique(pieces):
        mine = pieces == number
        low, high = (top - places[mine, 1].max()) / scale, (top - places[mine, 1].min()) / scale
        if low > 0.38 or (high > 1.1 and low < 0.3):
            kinds[mine] = BOTTOM
        elif (name == "male_elegantsuit01" and low < 0.05 and high < 0.3) or (
            name == "male_casualsuit05" and sizes[number] < 500
        ):
            kinds[mine] = ACCENT
    return kinds


def components(faces: np.ndarray, count: int) -> np.ndarray:
    """(count,) number of the connected piece of every vertex of a mesh."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])
