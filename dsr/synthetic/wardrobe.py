"""Clothes, shoes and hair of the CC0 MakeHuman set on the open body; all that dresses bodies takes them from here.

A garment hangs on MakeHuman's base mesh, whose helper surfaces come with the open body (``DSR_OPEN_HELPERS.npz``), by a
rule that is linear in the body's shape but for the size of its offsets: exact as :meth:`Wardrobe.garment`, and linear
throughout (millimetres of difference) as :meth:`Wardrobe.piece`, where dressing a body is one product of matrices.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsr.body import BodyAsset, load_asset
from dsr.errors import DatasetError
from dsr.synthetic.base_mesh import BaseMesh, BoundGarment
from dsr.synthetic.mhclo import Garment, load_garment

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
    """The open body with its helper vertices, and the garments of a folder, read when first worn.

    Args:
        folder: where the MakeHuman assets were unpacked (:func:`unpack`); searched for ``NAME.mhclo``.

    Raises:
        DatasetError: if the folder lacks one of the garments named here.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.body: BodyAsset = load_asset("open")
        self.files = {path.stem: path for path in sorted(self.folder.rglob("*.mhclo"))}
        if not self.files:
            raise DatasetError(f"{folder}: holds no .mhclo garments; give the folder of the MakeHuman CC0 assets.")
        needed = [*SUITS, *(s for shoes in SUITS.values() for s in shoes), *HAIR_STYLES[0], *HAIR_STYLES[1], *BROWS]
        missing = sorted(set(needed) - set(self.files))
        if missing:
            raise DatasetError(
                f"{folder}: no garment {missing[0]}.mhclo; give the folder of unpacked MakeHuman assets."
            )
        self._mesh = BaseMesh(self.body)
        self.template, self.weights = self._mesh.template, self._mesh.weights
        self._garments: dict[str, BoundGarment] = {}
        self._pieces: dict[str, Piece] = {}

    def base(self, betas: np.ndarray) -> np.ndarray:
        """(19158, 3) base mesh of a shape in T-pose, metres; NaN where the open body has no vertex."""
        return self._mesh.shaped(betas)

    def garment(self, name: str) -> BoundGarment:
        """A garment by the name of its file, by the exact rule.

        Raises:
            DatasetError: if it is not there or not readable.
        """
        if name not in self._garments:
            if name not in self.files:
                raise DatasetError(
                    f"{self.folder}: there is no garment {name}.mhclo; the set of CC0 assets is incomplete."
                )
            self._garments[name] = self._mesh.bind(load_garment(self.files[name]))
        return self._garments[name]

    def piece(self, name: str) -> Piece:
        """A garment by name, linear in the shape.

        Raises:
            DatasetError: as :meth:`garment`.
        """
        if name not in self._pieces:
            self._pieces[name] = self._linear(name)
        return self._pieces[name]

    def _linear(self, name: str) -> Piece:
        bound, body = self.garment(name), self.body
        garment, places = bound.garment, bound.places
        directions = self._mesh.directions(bound, body.num_shapes).reshape(places.size, -1)
        faces = garment.faces.astype(np.int32)
        parts = garment_parts(garment, name, places)
        materials = parts[faces].min(1) if name.startswith("shoes") else parts[faces[:, 0]]
        if name.startswith("shoes"):
            faces, materials = faces[materials != SOCK], materials[materials != SOCK]
        covered = np.zeros(len(self.template), bool)
        covered[garment.delete_vertices] = True
        index = body.base_index
        return Piece(
            places=places.astype(np.float32),
            directions=directions.astype(np.float32),
            weights=bound.weights.astype(np.float32),
            normals=_normals(places, faces),
            faces=faces,
            materials=materials,
            covered=covered[index],
            tuck=_tuck(body, places) if materials[0] not in (HAIR, BROW) else np.zeros(len(body.v_template)),
        )


def unpack(path: Path, target: Path) -> Path:
    """The garment folder: as it is, or the archive in it (or given itself) unpacked into ``target``.

    Raises:
        DatasetError: if there is neither, or the archive is damaged.
    """
    if path.is_dir():
        archives = sorted(path.glob("*.tar.xz"))
        if any(path.rglob("*.mhclo")) or not archives:
            return path
        path = archives[0]
    if not path.is_file():
        raise DatasetError(f"{path}: no MakeHuman assets there; give their folder or archive.")
    try:
        with tarfile.open(path) as archive:
            archive.extractall(target, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DatasetError(
            f"{path}: cannot be unpacked ({error}); is it the archive of the MakeHuman assets?"
        ) from error
    return target


def _tuck(body: BodyAsset, places: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(places).query(body.v_template, distance_upper_bound=_TUCK_REACH_M)
    return (_TUCK_M * np.clip(1.5 - distance / 0.02, 0.0, 1.0)).astype(np.float32)


def _normals(places: np.ndarray, faces: np.ndarray) -> np.ndarray:
    from dsr.rendering.drawing import vertex_normals

    return vertex_normals(places.astype(np.float32), faces)


def garment_parts(garment: Garment, name: str, places: np.ndarray) -> np.ndarray:
    """(N,) uint8 what every vertex of a garment is part of: TOP, BOTTOM, ACCENT, SHOE, SOLE, SOCK, HAIR or BROW.

    Args:
        garment: the garment.
        name: of its file: shoes, hair and brows are known by it; everything else is a suit of top and bottom.
        places: (N, 3) its vertices on a body in T-pose, metres.
    """
    if name in HAIR_STYLES[0] + HAIR_STYLES[1]:
        return np.full(len(places), HAIR, np.uint8)
    if name in BROWS:
        return np.full(len(places), BROW, np.uint8)
    return _shoe(garment, places) if name.startswith("shoes") else suit_parts(garment, name, places)


def _shoe(garment: Garment, places: np.ndarray) -> np.ndarray:
    kinds = np.full(len(places), SHOE, np.uint8)
    floor = places[:, 1].min()
    kinds[places[:, 1] < floor + 0.02] = SOLE
    component = components(garment.faces, len(places))
    for number in range(component.max() + 1):
        mine = component == number
        # every pair comes with the same socks, two pieces of 144 vertices that reach over the ankle
        if places[mine, 1].max() > floor + 0.16 and mine.sum() == 144:
            kinds[mine] = SOCK
    return kinds


def suit_parts(garment: Garment, name: str, places: np.ndarray) -> np.ndarray:
    """(N,) uint8 TOP, BOTTOM or ACCENT: what every vertex of a suit is part of; arguments as :func:`garment_parts`."""
    kinds = np.full(len(places), TOP, np.uint8)
    pieces = components(garment.faces, len(places))
    if name in ("male_casualsuit01", "male_elegantsuit01") and len(garment.uv):  # sewn: an island per part
        islands = components(garment.faces_uv, len(garment.uv))
        pieces = np.zeros(len(places), int)
        pieces[garment.faces.ravel()] = islands[garment.faces_uv.ravel()]
    scale = float(np.ptp(places[:, 1])) / 1.34  # the suits reach from ankle to collar, 1.34 m on the default body
    top, sizes = places[:, 1].max(), np.bincount(pieces)
    for number in np.unique(pieces):
        mine = pieces == number
        low, high = (top - places[mine, 1].max()) / scale, (top - places[mine, 1].min()) / scale
        if low > 0.38 or (high > 1.1 and low < 0.3):  # the second is a bib
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
