"""BodyAsset: one body model as plain numpy arrays, and finding and reading the open one. Needs no torch.

Rest pose: T-pose, y up, facing +z, metres. The file is an ``.npz`` without pickled objects (``allow_pickle=False``).
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.body.joints import KEYPOINT_SETS
from dsr.errors import BodyError
from dsr.files import file_sha256

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

OPEN_FILES = {"open": "DSR_OPEN.npz", "open-light": "DSR_OPEN_LIGHT.npz"}
"""Names that :func:`load_asset` knows, and their files in ``body_models/open``."""

_REQUIRED = ("v_template", "shapedirs", "weights", "kintree_table", "f")


@dataclass(frozen=True, eq=False)
class BodyAsset:
    """A body model: mesh, shape directions, skinning and keypoint regressors.

    Attributes:
        v_template: (V, 3) float32 rest vertices, metres.
        shapedirs: (V, 3, B) float32 metres per unit of beta.
        weights: (V, J) float32 skinning weights, rows sum to 1.
        parents: (J,) int64, root -1.
        faces: (F, 3) int32.
        J_regressor: (J, V) sparse: rest joints from rest vertices.
        posedirs: (V, 3, 9 (J-1)) float32 pose correctives, or None.
        uv: (T, 2) float32 texture coordinates, or None.
        faces_uv: (F, 3) int32 indices into ``uv``, or None.
        part_ids: (F,) int32 index into ``part_names``.
        interior: (F,) bool, True for mouth cavity, eyeballs and the like.
        base_index: (V,) int64 MakeHuman base-mesh vertex of every vertex, or None.
        keypoint_regressors: per keypoint set a sparse (K, V) matrix.
        joint_names: names of the J joints.
        part_names: names of the parts.
        num_expressions: how many of the last betas are facial expression (SMPL-X).
        name: short name of the model.
        licence: one line.
        sha256: hex digest of the file.
        path: where it was read from, or None.
    """

    v_template: np.ndarray = field(repr=False)
    shapedirs: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    parents: np.ndarray = field(repr=False)
    faces: np.ndarray = field(repr=False)
    J_regressor: csr_matrix = field(repr=False)
    posedirs: np.ndarray | None = field(default=None, repr=False)
    uv: np.ndarray | None = field(default=None, repr=False)
    faces_uv: np.ndarray | None = field(default=None, repr=False)
    part_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32), repr=False)
    interior: np.ndarray = field(default_factory=lambda: np.zeros(0, bool), repr=False)
    base_index: np.ndarray | None = field(default=None, repr=False)
    keypoint_regressors: dict[str, csr_matrix] = field(default_factory=dict, repr=False)
    joint_names: tuple[str, ...] = field(default=(), repr=False)
    part_names: tuple[str, ...] = field(default=(), repr=False)
    num_expressions: int = 0
    name: str = "body"
    licence: str = ""
    sha256: str = ""
    path: Path | None = None

    @property
    def num_vertices(self) -> int:
        """Number of vertices V."""
        return int(self.v_template.shape[0])

    @property
    def num_joints(self) -> int:
        """Number of joints J."""
        return int(self.parents.shape[0])

    @property
    def num_betas(self) -> int:
        """Number of shape coefficients B."""
        return int(self.shapedirs.shape[2])

    def keypoint_regressor(self, name: str) -> csr_matrix:
        """Sparse (K, V) regressor of a keypoint set.

        Raises:
            BodyError: if the asset has none of that name.
        """
        if name not in self.keypoint_regressors:
            known = ", ".join(sorted(self.keypoint_regressors)) or "none"
            raise BodyError(f"Body {self.name} has no regressor for {name!r} keypoints (it has: {known}).")
        return self.keypoint_regressors[name]

    def check(self) -> BodyAsset:
        """The asset itself, after checking that its arrays fit together.

        Raises:
            BodyError: naming the file and the first array that does not fit.
        """
        where = self.path or self.name
        v, j, f = self.num_vertices, len(self.parents), len(self.faces)
        shapes: dict[str, tuple[Any, tuple[int | None, ...]]] = {
            "v_template": (self.v_template, (v, 3)),
            "shapedirs": (self.shapedirs, (v, 3, None)),
            "weights": (self.weights, (v, j)),
            "f": (self.faces, (f, 3)),
            "J_regressor": (self.J_regressor, (j, v)),
            "posedirs": (self.posedirs, (v, 3, 9 * (j - 1))),
            "part_ids": (self.part_ids, (f,)),
            "interior": (self.interior, (f,)),
            "f_uv": (self.faces_uv, (f, 3)),
            "base_index": (self.base_index, (v,)),
            **{f"kp_{k}": (m, (None, v)) for k, m in self.keypoint_regressors.items()},
        }
        for key, (array, want) in shapes.items():
            if array is None:
                continue
            if len(array.shape) != len(want) or any(w not in (None, s) for s, w in zip(array.shape, want, strict=True)):
                shown = ", ".join("any" if w is None else str(w) for w in want)
                raise BodyError(f"{where}: {key} has shape {tuple(array.shape)} where ({shown}) is needed.")
        for key in ("v_template", "shapedirs", "weights"):
            if not np.isfinite(getattr(self, key)).all():
                raise BodyError(f"{where}: {key} holds numbers that are not finite.")
        if f and not (self.faces.min() >= 0 and self.faces.max() < v):
            raise BodyError(f"{where}: faces point at vertices that do not exist.")
        if np.abs(self.weights.sum(1) - 1).max(initial=0) > 1e-3:
            raise BodyError(f"{where}: skinning weights do not sum to 1.")
        tree_levels(self.parents, str(where))
        return self


def tree_levels(parents: np.ndarray, where: str = "body") -> list[np.ndarray]:
    """Joints by distance from the root: the first array holds the root, the next its children, and so on.

    Args:
        parents: (J,) parent of every joint, root -1, in any order.
        where: file or name for the error message.

    Raises:
        BodyError: if the joints are not one tree.
    """
    levels = [np.flatnonzero(parents < 0)]
    if len(levels[0]) != 1:
        raise BodyError(f"{where}: the kinematic tree has {len(levels[0])} roots where 1 is needed.")
    seen = 1
    while len(children := np.flatnonzero(np.isin(parents, levels[-1]))):
        levels.append(children)
        seen += len(children)
    if seen != len(parents):
        raise BodyError(f"{where}: the kinematic tree has joints that do not hang on the root.")
    return levels


def load_asset(
    name_or_path: str | Path = "open", *, gender: str = "neutral", num_betas: int | None = None
) -> BodyAsset:
    """Read a body model into numpy arrays, without torch and without running code from the file.

    Args:
        name_or_path: ``open`` (13 718 vertices), ``open-light`` (about 7 000), a file in our own npz layout, a licensed
            SMPL, SMPL-H or SMPL-X file (``.npz`` or ``.pkl``), a folder of those, or ``smpl``, ``smplh``, ``smplx`` to
            look for one in ``body_models/``.
        gender: ``neutral``, ``female`` or ``male``, where a folder holds several.
        num_betas: shape coefficients to keep; by default all of the open body and 10 of a licensed one.

    Raises:
        BodyError: if the file is missing, of the wrong kind or not safe to read; the message names the file expected.
    """
    name = str(name_or_path)
    path = find_open(name) if name in OPEN_FILES else Path(name_or_path).expanduser()
    if name in OPEN_FILES or (path.is_file() and is_own_layout(path)):
        asset = _read_npz(path)
        if num_betas is None:
            return asset
        shapes, expressions = np.split(asset.shapedirs, [asset.num_betas - asset.num_expressions], 2)
        return replace(asset, shapedirs=np.concatenate((shapes[..., :num_betas], expressions), 2))
    from dsr.body.licensed import load_licensed

    return load_licensed(name_or_path, gender=gender, num_betas=num_betas)


def model_folders() -> list[Path]:
    """Folders searched for body models: ``$DSR_BODY_MODELS``, ``./body_models``, the installed and the repository's."""
    package = Path(__file__).resolve().parents[1]
    named = os.environ.get("DSR_BODY_MODELS")
    folders = [Path(named).expanduser()] if named else []
    return [*folders, Path("body_models"), package / "_assets" / "body_models", package.parent / "body_models"]


def find_open(name: str = "open") -> Path:
    """Path of the open body's file.

    Raises:
        BodyError: naming the file expected and the places looked at.
    """
    file = OPEN_FILES[name]
    folders = [f for f in model_folders() if f != Path("body_models")]
    places = [place for folder in folders for place in (folder / "open" / file, folder / file)]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(folder / "open") for folder in folders)
    raise BodyError(
        f"The open body's file {file} was not found (looked in {looked}); reinstall the package, or set "
        f"DSR_BODY_MODELS to the folder that holds open/{file}."
    )


def is_own_layout(path: Path) -> bool:
    """True for an npz in our own layout, such as the body copy beside results."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "J_regressor_row.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _read_npz(path: Path) -> BodyAsset:
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in data.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BodyError(f"{path} cannot be read as a body asset ({error}); fetch it again.") from error
    missing = [key for key in _REQUIRED if key not in arrays]
    if missing:
        raise BodyError(f"{path} is not a body asset: {', '.join(missing)} missing.")
    f = _plain(arrays["f"], np.int32)
    part_names = tuple(str(n) for n in arrays.get("part_names", ()))
    try:
        return BodyAsset(
            v_template=_plain(arrays["v_template"], np.float32),
            shapedirs=_plain(arrays["shapedirs"], np.float32),
            weights=_plain(arrays["weights"], np.float32),
            parents=clean_parents(arrays["kintree_table"][0]),
            faces=f,
            J_regressor=_sparse(arrays, "J_regressor"),
            posedirs=_plain(arrays["posedirs"], np.float32) if "posedirs" in arrays else None,
            uv=_plain(arrays["uv"], np.float32) if "uv" in arrays else None,
            faces_uv=_plain(arrays["f_uv"], np.int32) if "f_uv" in arrays else None,
            part_ids=_plain(arrays.get("part_ids", np.zeros(len(f))), np.int32),
            interior=_plain(arrays.get("interior", np.zeros(len(f))), bool),
            base_index=_plain(arrays["base_index"], np.int64) if "base_index" in arrays else None,
            keypoint_regressors={k: _sparse(arrays, f"kp_{k}") for k in KEYPOINT_SETS if f"kp_{k}_row" in arrays},
            joint_names=tuple(str(n) for n in arrays.get("joint_names", ())),
            part_names=part_names,
            num_expressions=int(arrays.get("num_expressions", 0)),
            name=_text(arrays.get("name", path.stem)),
            licence=_text(arrays.get("licence", "")),
            sha256=file_sha256(path),
            path=path,
        ).check()
    except (KeyError, IndexError, ValueError) as error:
        raise BodyError(f"{path} is not a body asset: {error}.") from error


def clean_parents(row: np.ndarray) -> np.ndarray:
    """Parents as int64 with root -1; the official files write the root as 4294967295 or as itself."""
    parents = np.asarray(row).astype(np.int64)
    outside = (parents < 0) | (parents >= len(parents)) | (parents == np.arange(len(parents)))
    return np.where(outside, -1, parents)


def _plain(array: Any, dtype: Any) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=dtype)


def _text(value: Any) -> str:
    return " ".join(str(part) for part in np.atleast_1d(value).reshape(-1))


def _sparse(arrays: dict[str, np.ndarray], key: str) -> csr_matrix:
    from scipy.sparse import csr_matrix

    shape = tuple(int(n) for n in arrays[f"{key}_shape"])
    values = arrays[f"{key}_val"].astype(np.float32)
    return csr_matrix((values, (arrays[f"{key}_row"], arrays[f"{key}_col"])), shape=shape)
