"""Licensed SMPL, SMPL-H and SMPL-X files: finding them, reading them safely, converting them to a BodyAsset in memory.

The files are not part of this package: people register at https://smpl.is.tue.mpg.de or https://smpl-x.is.tue.mpg.de,
accept the licence (non-commercial unless bought) and put the files into ``body_models/`` or name them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsr.body.asset import BodyAsset, clean_parents
from dsr.body.asset_file import is_asset_file, model_folders
from dsr.body.joints import SMPL24_NAMES, SMPLH52_NAMES, SMPLX55_NAMES
from dsr.body.landmarks import keypoint_regressors
from dsr.body.modelfile import read_model_file
from dsr.errors import BodyError
from dsr.files import expand_user, file_sha256

GENDERS = ("neutral", "female", "male")
DEFAULT_BETAS = 10
DEFAULT_EXPRESSIONS = 10


@dataclass(frozen=True)
class _Family:
    """One published body model: how its files are called and what they hold."""

    key: str
    title: str
    site: str
    licence: str
    joint_names: tuple[str, ...]
    files: dict[str, tuple[str, ...]]


def _files(prefix: str, *extra: str) -> dict[str, tuple[str, ...]]:
    """Official file names per gender; ``{g}`` is the gender's short name in the older releases."""
    short = {"neutral": "neutral", "female": "f", "male": "m"}
    return {
        gender: (
            *(f"{prefix}_{gender.upper()}.{ext}" for ext in ("npz", "pkl")),
            *(name.format(g=short[gender], gender=gender, GENDER=gender.upper()) for name in extra),
        )
        for gender in GENDERS
    }


FAMILIES = {
    "smpl": _Family(
        "smpl",
        "SMPL",
        "https://smpl.is.tue.mpg.de",
        "SMPL body model licence, non-commercial; Max-Planck-Gesellschaft, https://smpl.is.tue.mpg.de/modellicense.html",
        SMPL24_NAMES,
        _files("SMPL", "basicmodel_{g}_lbs_10_207_0_v1.1.0.pkl", "basicmodel_{g}_lbs_10_207_0_v1.0.0.pkl"),
    ),
    "smplx": _Family(
        "smplx",
        "SMPL-X",
        "https://smpl-x.is.tue.mpg.de",
        "SMPL-X body model licence, non-commercial; Max-Planck-Gesellschaft, https://smpl-x.is.tue.mpg.de/modellicense.html",
        SMPLX55_NAMES,
        _files("SMPLX", "SMPLX_{GENDER}_2020.npz"),
    ),
    "smplh": _Family(
        "smplh",
        "SMPL-H",
        "https://mano.is.tue.mpg.de",
        "SMPL-H body model licence, non-commercial; Max-Planck-Gesellschaft, https://mano.is.tue.mpg.de/license.html",
        SMPLH52_NAMES,
        _files("SMPLH", "{gender}/model.npz"),
    ),
}
"""The body models this module reads, in the order in which a folder is searched."""


def load_licensed(name_or_path: str | Path, *, gender: str = "neutral", num_betas: int | None = None) -> BodyAsset:
    """Load a licensed body model.

    Args:
        name_or_path: a ``.pkl`` or ``.npz`` file, a folder that holds the official files (subfolders are searched), or
            ``smpl``, ``smplh``, ``smplx`` to search ``body_models/``.
        gender: ``neutral``, ``female`` or ``male``, where a folder holds several.
        num_betas: shape coefficients to keep, 10 by default; SMPL-X files add 10 of facial expression behind them.

    Returns:
        The asset; its pose has the axes of the official models (24, 52 or 55 joints, flat hands at zero).

    Raises:
        BodyError: if there is no such file, it is of the wrong kind, or it is not safe to read.
    """
    if gender not in GENDERS:
        raise BodyError(f"There is no {gender!r} body; gender is one of {', '.join(GENDERS)}.")
    path = find_licensed(name_or_path, gender)
    try:
        data = read_model_file(path)
    except BodyError as error:
        raise BodyError(f"{str(error).rstrip('.')}; {_expected()}.") from error
    return convert(data, path, num_betas)


def find_licensed(name_or_path: str | Path, gender: str = "neutral") -> Path:
    """Path of the file that a name, folder or path stands for.

    Raises:
        BodyError: naming the file expected and where to get it.
    """
    name = str(name_or_path)
    if name in FAMILIES:
        family = FAMILIES[name]
        for folder in model_folders():
            if file := _search(folder, family, gender):
                return file
        raise BodyError(
            f"No {gender} {family.title} file was found in {', '.join(str(f) for f in model_folders())}: put "
            f"{family.files[gender][1]} (or .npz) into one of them; get it from {family.site} after registration."
        )
    path = expand_user(name_or_path)
    if path.is_file():
        return path
    if path.is_dir():
        for family in FAMILIES.values():
            if file := _search(path, family, gender):
                return file
        smpl, smplx = FAMILIES["smpl"], FAMILIES["smplx"]
        raise BodyError(
            f"{path} holds no {gender} body model: expected {smpl.files[gender][1]} or .npz (from {smpl.site}) or "
            f"{smplx.files[gender][0]} (from {smplx.site})."
        )
    family = FAMILIES["smplx" if "smplx" in path.name.lower() else "smpl"]
    raise BodyError(
        f"{path} does not exist; expected open, open-x, open-light, or a body-model file such as "
        f"{family.files[gender][0]} (from {family.site})."
    )


def _search(folder: Path, family: _Family, gender: str, depth: int = 4) -> Path | None:
    """The first of the family's file names in a folder and the folders below it, upper and lower case alike."""
    if not folder.is_dir():
        return None
    by_name: dict[str, Path] = {}
    for here, folders, files in os.walk(folder):
        level = len(Path(here).relative_to(folder).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if level < depth else []
        for file in files:
            path = Path(here, file)
            if file.lower().endswith(".npz") and is_asset_file(path):
                continue  # the copy that lies beside results
            by_name.setdefault(file.lower(), path)
            by_name.setdefault(f"{path.parent.name}/{file}".lower(), path)
    return next((by_name[name.lower()] for name in family.files[gender] if name.lower() in by_name), None)


def convert(data: dict[str, Any], path: Path, num_betas: int | None = None) -> BodyAsset:
    """BodyAsset from the arrays of an SMPL-family file.

    Args:
        data: entries ``v_template``, ``shapedirs``, ``J_regressor``, ``weights``, ``kintree_table``, ``f`` and, where
            there are, ``posedirs``, ``exprdirs``, ``vt``, ``ft``.
        path: the file, for messages and the record.
        num_betas: shape coefficients to keep, 10 by default.

    Raises:
        BodyError: if something is missing or does not fit.
    """
    from scipy.sparse import csr_matrix

    needed = ("v_template", "shapedirs", "J_regressor", "weights", "kintree_table", "f")
    missing = [key for key in needed if data.get(key) is None]
    if missing:
        raise BodyError(f"{path} is not an SMPL, SMPL-H or SMPL-X model: {', '.join(missing)} missing; {_expected()}.")
    try:
        v_template = np.asarray(data["v_template"], np.float32)
        parents = clean_parents(np.asarray(data["kintree_table"])[0])
        weights = np.ascontiguousarray(data["weights"], np.float32)
        faces = np.ascontiguousarray(data["f"], np.int32)
        J_regressor = csr_matrix(data["J_regressor"]).astype(np.float64)
        family = next((f for f in FAMILIES.values() if len(f.joint_names) == len(parents)), None)
        if family is None:
            raise BodyError(f"{path} is a model of {len(parents)} joints, not 24, 52 or 55; {_expected()}.")
        shapedirs, expressions = _shape_directions(data, family, num_betas)
        asset = BodyAsset(
            v_template=v_template,
            shapedirs=shapedirs,
            posedirs=_pose_directions(data.get("posedirs"), len(v_template), len(parents)),
            weights=weights,
            parents=parents,
            faces=faces,
            J_regressor=J_regressor,
            part_ids=weights[faces].sum(1).argmax(1).astype(np.int32),
            interior=np.zeros(len(faces), bool),
            **_texture(data, len(faces)),
            joint_names=family.joint_names,
            part_names=family.joint_names,
            num_expressions=expressions,
            name=path.stem,
            licence=family.licence,
            sha256=file_sha256(path) if path.is_file() else "",
            path=path,
        ).check()
        asset.keypoint_regressors.update(keypoint_regressors(v_template, J_regressor, family.joint_names))
    except (ValueError, TypeError, IndexError) as error:
        raise BodyError(f"{path} is not an SMPL, SMPL-H or SMPL-X model ({error}); {_expected()}.") from error
    return asset


def asset_from_smplx(model: Any) -> BodyAsset:
    """BodyAsset from an object of the ``smplx`` package; shape columns first, then its expression columns.

    Raises:
        BodyError: if it lacks what smplx's body classes have.
    """
    from scipy.sparse import csr_matrix

    try:
        arrays = {name: _numpy(getattr(model, name)) for name in ("v_template", "shapedirs", "J_regressor", "parents")}
        weights, posedirs, faces = (_numpy(getattr(model, n)) for n in ("lbs_weights", "posedirs", "faces"))
    except AttributeError as error:
        raise BodyError(f"{type(model).__name__} is not a body model of the smplx package ({error}).") from error
    parents = clean_parents(arrays["parents"])
    family = next((f for f in FAMILIES.values() if len(f.joint_names) == len(parents)), FAMILIES["smpl"])
    shapedirs = arrays["shapedirs"]
    expressions = _numpy(model.expr_dirs) if hasattr(model, "expr_dirs") else shapedirs[..., :0]
    v_template = np.ascontiguousarray(arrays["v_template"], np.float32)
    J_regressor = csr_matrix(arrays["J_regressor"]).astype(np.float64)
    known = len(family.joint_names) == len(parents)
    return BodyAsset(
        v_template=v_template,
        shapedirs=np.ascontiguousarray(np.concatenate((shapedirs, expressions), 2), np.float32),
        posedirs=_pose_directions(posedirs, len(v_template), len(parents)),
        weights=np.ascontiguousarray(weights, np.float32),
        parents=parents,
        faces=np.ascontiguousarray(faces, np.int32),
        J_regressor=J_regressor,
        part_ids=weights[faces.astype(np.int64)].sum(1).argmax(1).astype(np.int32),
        interior=np.zeros(len(faces), bool),
        keypoint_regressors=keypoint_regressors(v_template, J_regressor, family.joint_names) if known else {},
        joint_names=family.joint_names if known else (),
        part_names=family.joint_names if known else (),
        num_expressions=expressions.shape[2],
        name=f"smplx-{type(model).__name__}",
        licence=family.licence,
    ).check()


def _expected() -> str:
    smpl, smplx = FAMILIES["smpl"], FAMILIES["smplx"]
    return f"expected a file such as SMPL_NEUTRAL.pkl from {smpl.site} or SMPLX_NEUTRAL.npz from {smplx.site}"


def _numpy(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def _shape_directions(data: dict[str, Any], family: _Family, num_betas: int | None) -> tuple[np.ndarray, int]:
    """Shape columns, followed for SMPL-X by expression columns, and how many those are."""
    directions = np.asarray(data["shapedirs"])
    if directions.ndim != 3:
        raise ValueError(f"shapedirs has shape {directions.shape}")
    expressions = directions[..., :0]
    if family.key == "smplx":
        start = 300 if directions.shape[2] > 300 else min(10, directions.shape[2])
        expressions = np.asarray(data["exprdirs"]) if data.get("exprdirs") is not None else directions[..., start:]
        expressions = expressions[..., :DEFAULT_EXPRESSIONS]
        directions = directions[..., :start]
    directions = directions[..., : num_betas or DEFAULT_BETAS]
    both = np.concatenate((directions, expressions), 2).astype(np.float32)
    return np.ascontiguousarray(both), expressions.shape[2]


def _pose_directions(posedirs: Any, vertices: int, joints: int) -> np.ndarray | None:
    """Pose correctives as (V, 3, 9 (J-1)); smplx keeps them transposed and flat."""
    if posedirs is None:
        return None
    array = np.asarray(posedirs)
    if array.shape == (9 * (joints - 1), 3 * vertices):
        array = array.T.reshape(vertices, 3, -1)
    return np.ascontiguousarray(array, np.float32)


def _texture(data: dict[str, Any], faces: int) -> dict[str, Any]:
    """Texture coordinates where a file has them for every face."""
    if data.get("vt") is None or data.get("ft") is None or np.shape(data["ft"]) != (faces, 3):
        return {}
    return {"uv": np.ascontiguousarray(data["vt"], np.float32), "faces_uv": np.ascontiguousarray(data["ft"], np.int32)}
