"""Known bodies beside pictures: the ``NAME.truth.json`` files that ``examples/render_people.py`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsr.camera import PictureCamera
from dsr.errors import CameraError, DatasetError
from dsr.files import read_json
from dsr.npz import read_npz

TRUTH_SUFFIX = ".truth.json"


@dataclass(frozen=True, eq=False)
class TruePerson:
    """One person whose body is known; camera frame OpenCV, metres, pixels of the picture.

    Attributes:
        betas: (B,) shape.
        global_orient: (3,) axis-angle, body to camera.
        body_pose: (J-1, 3) axis-angle.
        transl: (3,) metres.
        box_px: (4,) x0, y0, x1, y1 around the body, may reach outside the picture.
        visible_share: share of the body's vertices inside the picture, 0 to 1.
        joints_cam_m: (J, 3) metres.
        keypoints_cam_m: per keypoint set (K, 3) metres.
        keypoints_px: per keypoint set (K, 2) pixels.
        height_m: standing height of the shape, metres.
        strata: what the person is a case of, beside the picture's own stratum: clothes, side seen, lens.
        vertices_cam_m: (V, 3) metres, or None where only the parameters were kept.
        plain_px: longer side of what the picture shows of head or trunk, the larger one, pixels; None where the truth
            does not say.
    """

    betas: np.ndarray
    global_orient: np.ndarray
    body_pose: np.ndarray
    transl: np.ndarray
    box_px: np.ndarray
    visible_share: float
    joints_cam_m: np.ndarray
    keypoints_cam_m: dict[str, np.ndarray]
    keypoints_px: dict[str, np.ndarray]
    height_m: float
    strata: tuple[str, ...] = ()
    vertices_cam_m: np.ndarray | None = None
    plain_px: float | None = None


@dataclass(frozen=True, eq=False)
class TruePicture:
    """A picture with known people.

    Attributes:
        path: the picture.
        camera: its intrinsics and size.
        body_name: body asset the people were made with.
        body_sha256: hex digest of that asset's file.
        people: the people, left to right.
        stratum: kind of picture in a set of strata, "" in others.
        floor_cam: (4,) upward unit normal n and offset d of the floor, n . X = d in the camera, metres; None where the
            truth does not say.
    """

    path: Path
    camera: PictureCamera
    body_name: str
    body_sha256: str
    people: tuple[TruePerson, ...]
    stratum: str = ""
    floor_cam: np.ndarray | None = None


def load_truth(folder: str | Path) -> list[TruePicture]:
    """All pictures of a folder that have their truth beside them, by name.

    Raises:
        DatasetError: if the folder has none, a truth file is broken, or its picture is missing.
    """
    folder = Path(folder)
    files = sorted(folder.glob(f"*{TRUTH_SUFFIX}"))
    if not files:
        problem = f"no *{TRUTH_SUFFIX} files there" if folder.is_dir() else "there is no such folder"
        raise DatasetError(
            f"{folder}: {problem}; render pictures with examples/render_people.py, or name another folder "
            "(dsr-eval synthetic --truth FOLDER)."
        )
    return [_read(file) for file in files]


def _read(file: Path) -> TruePicture:
    try:
        data = read_json(file)
        picture = TruePicture(
            path=file.with_name(data["image"]),
            camera=PictureCamera(data["K"], data["image_size"]),
            body_name=str(data["body"]["name"]),
            body_sha256=str(data["body"]["sha256"]),
            people=tuple(
                _person(person, vertices)
                for person, vertices in zip(data["people"], _vertices(file, len(data["people"])), strict=True)
            ),
            stratum=str(data.get("stratum", "")),
            floor_cam=np.asarray(data["floor_cam"], np.float64).reshape(4) if "floor_cam" in data else None,
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, CameraError) as error:
        raise DatasetError(f"{file}: not a readable truth file ({type(error).__name__}: {error}).") from error
    if not picture.path.is_file():
        raise DatasetError(f"{file}: its picture {picture.path.name} is missing; render it again.")
    return picture


def _vertices(file: Path, people: int) -> list[np.ndarray | None]:
    """True vertices of everybody, from ``NAME.truth.npz`` where that is there."""
    arrays = file.with_suffix(".npz")
    if not arrays.is_file():
        return [None] * people
    return list(np.asarray(read_npz(arrays)["vertices_cam_m"], np.float64))


def _person(data: dict[str, Any], vertices: np.ndarray | None) -> TruePerson:
    def array(key: str) -> np.ndarray:
        return np.asarray(data[key], dtype=np.float64)

    keypoints = {
        name: (np.asarray(k["cam_m"], float), np.asarray(k["px"], float)) for name, k in data["keypoints"].items()
    }
    return TruePerson(
        betas=array("betas"),
        global_orient=array("global_orient"),
        body_pose=array("body_pose").reshape(-1, 3),
        transl=array("transl"),
        box_px=array("box_px"),
        visible_share=float(data["visible_share"]),
        joints_cam_m=array("joints_cam_m"),
        keypoints_cam_m={name: k[0] for name, k in keypoints.items()},
        keypoints_px={name: k[1] for name, k in keypoints.items()},
        height_m=float(data["height_m"]),
        strata=tuple(map(str, data.get("strata", ()))),
        vertices_cam_m=vertices,
        plain_px=max(float(data["head_px"]), float(data["trunk_px"])) if "head_px" in data else None,
    )
