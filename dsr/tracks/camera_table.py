"""``python -m dsr.tracks.camera_table h36m_dataset.py cameras_h36m.json``: VideoPose3D's table of cameras as our file.

The table stands in VideoPose3D's source as two literals, ``h36m_cameras_intrinsic_params`` and
``h36m_cameras_extrinsic_params`` (``humaneva_...`` for ``cameras_humaneva15.json``). They are read as data; the file
is not run.
"""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from dsr._command import run_once
from dsr.errors import DatasetError
from dsr.files import write_bytes
from dsr.tracks.cameras import read_cameras

DATA_SETS = ("h36m", "humaneva")
INTRINSIC, EXTRINSIC = "{}_cameras_intrinsic_params", "{}_cameras_extrinsic_params"


def convert(source: str, where: str = "the file") -> dict[str, list[dict[str, Any]]]:
    """The cameras of every subject, as :func:`~dsr.tracks.cameras.read_cameras` takes them.

    Cameras whose place is unknown (those of subjects without 3D truth) are left out.

    Args:
        source: Python text with the two literals.
        where: its name, for messages.

    Raises:
        DatasetError: if it is no Python text, or lacks a literal.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DatasetError(f"{where} is no Python source: {error}.") from error
    tables: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in {form.format(one) for form in (INTRINSIC, EXTRINSIC) for one in DATA_SETS}:
                try:
                    tables[name] = ast.literal_eval(statement.value)
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
                    raise DatasetError(f"{where}: {name} is no plain table: {error}.") from error
    data_set = next((one for one in DATA_SETS if any(name.startswith(f"{one}_") for name in tables)), DATA_SETS[0])
    names = INTRINSIC.format(data_set), EXTRINSIC.format(data_set)
    for name in names:
        if name not in tables:
            raise DatasetError(f"{where} has no {name}; give VideoPose3D's common/{data_set}_dataset.py.")
    intrinsic, extrinsic = (tables[name] for name in names)
    if not isinstance(intrinsic, list) or not isinstance(extrinsic, dict):
        raise DatasetError(f"{where}: {names[0]} is a list of cameras and {names[1]} a table by subject.")
    keys = ("id", "center", "focal_length", "radial_distortion", "tangential_distortion", "res_w", "res_h")
    made: dict[str, list[dict[str, Any]]] = {}
    for subject, places in extrinsic.items():
        if not isinstance(places, list) or len(places) > len(intrinsic):
            raise DatasetError(f"{where}: {subject} has other cameras than the {len(intrinsic)} of {names[0]}.")
        if not all(isinstance(place, dict) and "translation" in place for place in places):
            continue
        made[str(subject)] = [
            {
                **{key: camera[key] for key in keys if key in camera},
                "orientation": place.get("orientation"),
                "translation": place["translation"],
            }
            for camera, place in zip(intrinsic, places, strict=False)
        ]
    read_cameras(made)
    return made


@dataclass(frozen=True)
class ConvertCameras:
    """VideoPose3D's table of Human3.6M's cameras as the JSON file that dsr-eval and dsr-train read."""

    source: tyro.conf.Positional[Path]
    """VideoPose3D's common/h36m_dataset.py or humaneva_dataset.py; it is read, not run."""
    target: tyro.conf.Positional[Path]
    """cameras_h36m.json beside data_3d_h36m.npz, or cameras_humaneva15.json."""

    def main(self) -> str:
        """Convert."""
        try:
            text = self.source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"{self.source} cannot be read: {error}.") from error
        made = convert(text, str(self.source))
        write_bytes(self.target, (json.dumps(made, indent=1) + "\n").encode())
        return f"{sum(map(len, made.values()))} cameras of {', '.join(made)} in {self.target}"


if __name__ == "__main__":
    sys.exit(run_once(ConvertCameras, "python -m dsr.tracks.camera_table"))
