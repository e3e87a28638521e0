# SPDX-License-Identifier: GPL-3.0-or-later
"""Garments of MakeHuman's format: the files in a folder, and the model that the worker makes of one."""

from __future__ import annotations

import re
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .messages import FitBodyError, sentence

GARMENT, SKIN = ".mhclo", ".mhmat"
MOST = 2000
"""Files of a kind that are listed."""


@dataclass(frozen=True, eq=False)
class Garment:
    """A garment on the body model it was made for; axes of the files (y up, facing +z), metres.

    Attributes:
        name: of the garment.
        places: (N, 3) float64 on the average body.
        shapedirs: (N, 3, B) float32 metres per coefficient.
        weights: (N, J) float32.
        joint_names: J.
        polygons: (P, 4) corners; the last of a triangle is -1.
        uv: (P, 4, 2) per corner, or None.
        hidden: vertices of the body that it covers.
        direction_offsets: (N, 3) per spread of people, by the name of the direction.
        expression_names: of the last coefficients.
        colour: linear RGB.
        texture: path of its picture, "" where there is none.
    """

    name: str
    places: np.ndarray = field(repr=False)
    shapedirs: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    joint_names: list[str] = field(repr=False)
    polygons: np.ndarray = field(repr=False)
    uv: np.ndarray | None = field(repr=False)
    hidden: np.ndarray = field(repr=False)
    direction_offsets: dict[str, np.ndarray] = field(repr=False)
    expression_names: list[str] = field(repr=False)
    colour: tuple[float, float, float]
    texture: str

    @property
    def num_shapes(self) -> int:
        """How many coefficients come before the named expressions."""
        return self.shapedirs.shape[2] - len(self.expression_names)


def read_garment(path: Path) -> Garment:
    """The worker's file.

    Raises:
        FitBodyError: if it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in data.files}
        corners = arrays["polygons_uv"]
        names, offsets = arrays["direction_names"].tolist(), arrays["direction_offsets"]
        return Garment(
            name=str(arrays["name"]),
            places=arrays["places"].astype(np.float64),
            shapedirs=arrays["shapedirs"],
            weights=arrays["weights"],
            joint_names=[str(name) for name in arrays["joint_names"]],
            polygons=arrays["polygons"],
            uv=arrays["uv"][corners] if len(corners) else None,
            hidden=arrays["hidden"],
            direction_offsets={str(name): offset for name, offset in zip(names, offsets, strict=True)},
            expression_names=[str(name) for name in arrays["expression_names"]],
            colour=tuple(float(value) for value in arrays["colour"]),
            texture=str(arrays["texture"]),
        )
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        detail = sentence("{path} is no garment ({error})", path=Path(path).name, error=error)
        raise FitBodyError("bad_result", detail=detail) from error


def find_files(folder: Path, ending: str) -> list[Path]:
    """Garments or skins in a folder and below it, by name; of materials only those of skins.

    Args:
        folder: of MakeHuman's or MPFB's data, or of an unpacked asset pack.
        ending: :data:`GARMENT` or :data:`SKIN`.
    """
    try:
        found = [path for path in sorted(folder.rglob(f"*{ending}")) if path.is_file()]
    except OSError:
        return []
    if ending == SKIN:
        found = [path for path in found if "skins" in (part.lower() for part in path.parts)]
    return sorted(found[:MOST], key=lambda path: path.stem.lower())


_FOUND: dict[tuple[str, str], tuple[float, list[Path]]] = {}
RECHECK_S = 5.0
"""Seconds after which a folder is looked through again: the panel asks at every drawing."""


def files_once(folder: Path, ending: str) -> list[Path]:
    """:func:`find_files`, remembered for a while."""
    key, now = (str(folder), ending), time.monotonic()
    known = _FOUND.get(key)
    if known is None or now - known[0] > RECHECK_S:
        known = _FOUND[key] = (now, find_files(folder, ending))
    return known[1]


def usual_folder(carried: Path, home: Path) -> Path | None:
    """The folder that came with the add-on, else where MakeHuman and MPFB keep a user's assets; None where none is."""
    places = [carried, home / "Documents" / "makehuman" / "v1py3" / "data", home / "makehuman" / "v1py3" / "data"]
    roots = (home / ".config/blender", home / "AppData/Roaming/Blender Foundation/Blender")
    roots = (*roots, home / "Library/Application Support/Blender")
    for root in roots:
        places += sorted(root.glob("*/mpfb/data"), reverse=True)
        places += sorted(root.glob("*/extensions/.user/*/mpfb/data"), reverse=True)
    return next((place for place in places if place.is_dir()), None)


def title(path: Path) -> str:
    """``male_casualsuit01.mhclo`` -> ``Male Casualsuit 01``."""
    words = re.sub(r"(?<=[a-zA-Z])(?=\d)", " ", path.stem.replace("_", " ").replace("-", " "))
    return " ".join(word[:1].upper() + word[1:] for word in words.split())


def read_skin(path: Path) -> tuple[tuple[float, float, float], Path | None]:
    """Colour and picture of a skin's material; None where the picture is not there.

    Raises:
        FitBodyError: if it cannot be read.
    """
    colour, picture = (1.0, 1.0, 1.0), None
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        detail = sentence("{path} is no garment ({error})", path=path.name, error=error)
        raise FitBodyError("bad_result", detail=detail) from error
    for line in lines:
        key, _, value = line.strip().partition(" ")
        if key == "diffuseColor":
            numbers = re.findall(r"[0-9.]+", value)[:3]
            colour = tuple(float(number) for number in numbers) if len(numbers) == 3 else colour
        elif key == "diffuseTexture" and value.strip():
            named = (path.parent / value.strip().replace("\\", "/")).resolve()
            inside = path.resolve().parent.parent in named.parents  # skins share pictures in a folder beside theirs
            picture = named if inside and named.is_file() else None
    return colour, picture
