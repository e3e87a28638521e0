"""A body asset as a file of our layout: where the open ones lie, reading, writing. Needs no torch.

The layout is an ``.npz`` of plain arrays (``allow_pickle=False``), sparse matrices as row, column, value and shape.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.body.asset import BodyAsset, clean_parents
from dsr.body.joints import KEYPOINT_SETS
from dsr.errors import BodyError
from dsr.files import file_sha256, weights_sha256
from dsr.npz import ARCHIVE_DAMAGE, read_npz

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

OPEN_FILES = {"open": "DSR_OPEN.npz", "open-light": "DSR_OPEN_LIGHT.npz", "open-x": "DSR_OPEN_X.npz"}
"""Names that :func:`dsr.body.load_asset` knows, and their files in ``body_models/open``."""

MOST_ASSET_BYTES = 1 << 28
"""Bytes that the arrays of a body may have; those of SMPL-X with all its directions are half of it."""

_REQUIRED = ("v_template", "shapedirs", "weights", "kintree_table", "f")


_PACKAGE = Path(__file__).resolve().parents[1]
BUNDLED_FOLDERS = (_PACKAGE / "_assets" / "body_models", _PACKAGE.parent / "body_models")
"""Where an installed copy and the repository keep body models."""


def model_folders() -> list[Path]:
    """Folders searched for body models: ``$DSR_BODY_MODELS``, ``./body_models``, the installed and the repository's."""
    named = os.environ.get("DSR_BODY_MODELS")
    return [*([Path(named).expanduser()] if named else []), Path("body_models"), *BUNDLED_FOLDERS]


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


def shipped_sha256(name: str) -> str:
    """Hash of the open body of this name as it is installed; "" for other names and where it is not."""
    try:
        return weights_sha256(find_open(name)) if name in OPEN_FILES else ""
    except BodyError:
        return ""


def is_asset_file(path: Path) -> bool:
    """True for an npz of our layout, such as the copy of the body beside results."""
    return {"v_template.npy", "J_regressor_row.npy"} <= _entries(path)


def is_addition_file(path: Path) -> bool:
    """True for an npz that says how a body differs from the open one beside it, as ``DSR_OPEN_X.npz`` does."""
    return "open_sha256.npy" in _entries(path)


def read_addition(path: Path) -> BodyAsset:
    """Read the open body with another skeleton and facial expressions, from a file that holds only these.

    Mesh, betas, parts and keypoints are those of ``DSR_OPEN.npz`` in the same folder.

    Raises:
        BodyError: if one of the two files cannot be read, or they were not made for each other.
    """
    arrays = _arrays(path)
    base = read_asset(path.with_name(OPEN_FILES["open"]))
    if _text(arrays["open_sha256"]) != base.sha256:
        raise BodyError(
            f"{path} was made for another {base.path.name if base.path else base.name} than the one beside it; fetch "
            "both again, or run body_models/build_open_x.py."
        )
    try:
        names = tuple(str(n) for n in arrays["expression_names"])
        offsets = _sparse(arrays, "expressions").toarray().reshape(len(names), base.num_vertices, 3)
        return replace(
            base,
            shapedirs=np.concatenate((base.shapedirs, offsets.transpose(1, 2, 0)), 2),
            num_expressions=len(names),
            expression_names=names,
            weights=_plain(arrays["weights"], np.float32),
            parents=clean_parents(arrays["kintree_table"][0]),
            J_regressor=_sparse(arrays, "J_regressor"),
            joint_names=tuple(str(n) for n in arrays["joint_names"]),
            name=_text(arrays["name"]),
            licence=_text(arrays["licence"]),
            sha256=file_sha256(path),
            path=path,
        ).check()
    except (KeyError, IndexError, ValueError) as error:
        raise BodyError(f"{path} does not fit the open body: {error}.") from error


def read_asset(path: Path) -> BodyAsset:
    """Read a file of our layout.

    Raises:
        BodyError: if it cannot be read or its arrays do not fit together; names the file and the array.
    """
    arrays = _arrays(path)
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
            quads=_plain(arrays["quads"], np.int32) if "quads" in arrays else None,
            quads_uv=_plain(arrays["quads_uv"], np.int32) if "quads_uv" in arrays else None,
            part_ids=_plain(arrays.get("part_ids", np.zeros(len(f))), np.int32),
            interior=_plain(arrays.get("interior", np.zeros(len(f))), bool),
            base_index=_plain(arrays["base_index"], np.int64) if "base_index" in arrays else None,
            keypoint_regressors={k: _sparse(arrays, f"kp_{k}") for k in KEYPOINT_SETS if f"kp_{k}_row" in arrays},
            tape=_sparse(arrays, "tape") if "tape_row" in arrays else None,
            tape_names=tuple(str(n) for n in arrays.get("tape_names", ())),
            sex_mean=_plain(arrays["sex_mean"], np.float64) if "sex_mean" in arrays else None,
            sex_cov=_plain(arrays["sex_cov"], np.float64) if "sex_cov" in arrays else None,
            directions=_plain(arrays["directions"], np.float64) if "directions" in arrays else None,
            direction_names=tuple(str(n) for n in arrays.get("direction_names", ())),
            direction_units=tuple(str(n) for n in arrays.get("direction_units", ())),
            direction_spreads=_plain(arrays["direction_spreads"], np.float64)
            if "direction_spreads" in arrays
            else None,
            joint_names=tuple(str(n) for n in arrays.get("joint_names", ())),
            part_names=part_names,
            num_expressions=int(arrays.get("num_expressions", 0)),
            expression_names=tuple(str(n) for n in arrays.get("expression_names", ())),
            name=_text(arrays.get("name", path.stem)),
            licence=_text(arrays.get("licence", "")),
            sha256=_text(arrays.get("source_sha256", "")) or file_sha256(path),  # a copy is what it was copied from
            path=path,
        ).check()
    except (KeyError, IndexError, ValueError) as error:
        raise BodyError(f"{path} is not a body asset: {error}.") from error


def save_asset(asset: BodyAsset, path: str | os.PathLike[str]) -> None:
    """Write an asset as ``.npz``: plain arrays, sparse matrices as row, column, value and shape.

    Args:
        asset: the body, also one converted from a licensed file; its licence goes along and still holds.
        path: the file, ending in ``.npz``.
    """
    half = asset.shapedirs.astype(np.float16)  # what the open body's files hold
    arrays: dict[str, Any] = {
        "v_template": asset.v_template,
        "shapedirs": half if np.array_equal(half, asset.shapedirs) else asset.shapedirs,
        "weights": asset.weights,
        "kintree_table": np.stack([asset.parents, np.arange(asset.num_joints)]),
        "f": asset.faces,
        "part_ids": asset.part_ids,
        "interior": asset.interior,
        "joint_names": np.array(asset.joint_names, dtype=str),
        "part_names": np.array(asset.part_names, dtype=str),
        "name": np.array(asset.name),
        "num_expressions": np.array(asset.num_expressions),
        "expression_names": np.array(asset.expression_names, dtype=str),
        "licence": np.array(asset.licence),
        "source_sha256": np.array(asset.sha256),
        "posedirs": asset.posedirs,
        "uv": asset.uv,
        "f_uv": asset.faces_uv,
        "quads": asset.quads,
        "quads_uv": asset.quads_uv,
        "base_index": asset.base_index,
        "sex_mean": asset.sex_mean,
        "sex_cov": asset.sex_cov,
        "directions": asset.directions,
        "direction_spreads": asset.direction_spreads,
    }
    matrices = {"J_regressor": asset.J_regressor, **{f"kp_{k}": m for k, m in asset.keypoint_regressors.items()}}
    if asset.tape is not None:
        arrays["tape_names"] = np.array(asset.tape_names, dtype=str)
        matrices["tape"] = asset.tape
    if asset.directions is not None:
        arrays["direction_names"] = np.array(asset.direction_names, dtype=str)
        arrays["direction_units"] = np.array(asset.direction_units, dtype=str)
    for key, matrix in matrices.items():
        coo = matrix.tocoo()
        arrays |= {f"{key}_row": coo.row, f"{key}_col": coo.col, f"{key}_val": coo.data, f"{key}_shape": coo.shape}
    np.savez_compressed(path, **{key: value for key, value in arrays.items() if value is not None})


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_npz(path, most=MOST_ASSET_BYTES)
    except (OSError, ValueError) as error:
        raise BodyError(f"{path} cannot be read as a body asset ({error}); fetch it again.") from error


def _entries(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    except ARCHIVE_DAMAGE:
        return set()


def _plain(array: Any, dtype: Any) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=dtype)


def _text(value: Any) -> str:
    return " ".join(str(part) for part in np.atleast_1d(value).reshape(-1))


def _sparse(arrays: dict[str, np.ndarray], key: str) -> csr_matrix:
    from scipy.sparse import csr_matrix

    shape = tuple(int(n) for n in arrays[f"{key}_shape"])
    values = arrays[f"{key}_val"].astype(np.float32)
    return csr_matrix((values, (arrays[f"{key}_row"], arrays[f"{key}_col"])), shape=shape)
