"""The files of a garment: where they may lie, its OBJ mesh, its material; no name in it leads out of its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr.errors import DatasetError

_MOST_BYTES = 1 << 26


def file_beside(path: Path, name: str) -> Path:
    """A file that a garment names: in its own folder or below, as the format has it; nothing else is read.

    Raises:
        DatasetError: if the name leads elsewhere.
    """
    inside = Path(name.replace("\\", "/"))
    if not name or "\0" in name or inside.is_absolute() or ".." in inside.parts:
        raise DatasetError(f"{path}: names the file {name[:80]!r}, which is not in the garment's own folder.")
    return path.parent / inside


def read_text(path: Path) -> str:
    """A text file of reasonable size.

    Raises:
        DatasetError: if it is none.
    """
    try:
        # A pipe or a device would be read without end.
        if path.exists() and not path.is_file():
            raise DatasetError(f"{path}: is no file; check the garment's path.")
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            raise DatasetError(f"{path}: has more than {_MOST_BYTES >> 20} MB, which no garment has.")
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error}); check the garment's path.") from error


def read_obj(path: Path) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Number of vertices, triangles (F, 3), texture coordinates (T, 2) and their triangles; none where they lack some.

    Raises:
        DatasetError: if it is no OBJ mesh.
    """
    vertices = 0
    uv: list[list[float]] = []
    faces: list[list[int]] = []
    faces_uv: list[list[int]] = []
    try:
        for line in read_text(path).splitlines():
            words = line.split()
            if not words:
                continue
            if words[0] == "v":
                vertices += 1
            elif words[0] == "vt":
                uv.append([float(words[1]), float(words[2])])
            elif words[0] == "f":
                corners = [word.split("/") for word in words[1:]]
                points = [int(corner[0]) - 1 for corner in corners]
                texture = [int(corner[1]) - 1 if len(corner) > 1 and corner[1] else -1 for corner in corners]
                for i in range(1, len(points) - 1):
                    faces.append([points[0], points[i], points[i + 1]])
                    faces_uv.append([texture[0], texture[i], texture[i + 1]])
    except (ValueError, IndexError) as error:
        raise DatasetError(f"{path}: not a readable OBJ mesh ({error}).") from error
    face_array = np.asarray(faces, dtype=np.int64).reshape(-1, 3)
    if face_array.size and (face_array.min() < 0 or face_array.max() >= vertices):
        raise DatasetError(f"{path}: a face refers to a vertex that is not in the file.")
    uv_array = np.asarray(uv, dtype=np.float64).reshape(-1, 2)
    faces_uv_array = np.asarray(faces_uv, dtype=np.int64).reshape(-1, 3)
    if not uv_array.size or (faces_uv_array < 0).any() or faces_uv_array.max(initial=-1) >= len(uv_array):
        uv_array, faces_uv_array = np.zeros((0, 2)), np.zeros((0, 3), dtype=np.int64)
    return vertices, face_array, uv_array, faces_uv_array


def read_material(path: Path | None) -> tuple[dict[str, str] | None, tuple[float, float, float]]:
    """Material keys and the diffuse colour; a material that is not there is white, as the garment is usable without."""
    if path is None or not path.is_file():
        return None, (1.0, 1.0, 1.0)
    material: dict[str, str] = {}
    for line in read_text(path).splitlines():
        words = line.split(None, 1)
        if len(words) == 2 and not words[0].startswith("#"):
            material[words[0]] = words[1].strip()
    numbers = material.get("diffuseColor", "1 1 1").split()
    try:
        red, green, blue = (float(number) for number in numbers[:3])
    except ValueError:
        return material, (1.0, 1.0, 1.0)
    return material, (red, green, blue)
