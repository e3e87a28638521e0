"""FBX, BVH, USD and .blend through Blender's Python module, in one helper process for the whole batch.

The module takes two seconds and 340 MB to load, prints on standard output and must stay on one thread, so it lives in a
process of its own (:mod:`dsr.export.blender_worker`) that is started by the first file and ends with this one.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from dsr.errors import ExportError, MissingExtraError
from dsr.export.animation import track_motion
from dsr.export.materials import SKIN, face_materials, polygons
from dsr.export.morphs import morphs
from dsr.export.rig import Frame, joint_names, rig_person
from dsr.extras import install_hint
from dsr.files import write_atomic

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.camera import PictureCamera
    from dsr.export.carried.rig_pose import RigPose
    from dsr.results.clip import TrackResult
    from dsr.results.picture import PersonResult

_TIMEOUT_S = 300.0


def write_with_blender(
    person: PersonResult,
    asset: BodyAsset,
    camera: PictureCamera,
    path: Path,
    format: str,
    frame: Frame = "camera",
    texture: Path | None = None,
) -> None:
    """Write a person as a posed armature with its skinned mesh and, in the camera frame, the matched camera.

    Args:
        person: the fit.
        asset: the body it was fitted with.
        camera: of the full, upright picture.
        path: the file; complete or not there.
        format: ``fbx``, ``bvh`` (skeleton only), ``usd`` or ``blend``.
        frame: ``camera`` or ``body``.
        texture: PNG file of the skin's look; a USD file names it, the others hold it.

    Raises:
        MissingExtraError: if Blender's Python module is not installed.
        ExportError: if the file cannot be written.
    """
    rig = rig_person(person, asset, frame)
    motion: dict[str, Any] = {
        "rotations": rig.rotations[None],
        "root_translation": rig.root_translation[None],
        "frames": np.ones(1, int),
        **({} if texture is None else {"texture": str(texture.resolve()), "textured": SKIN.name}),
    }
    _write(person.id, person.betas, asset, rig.rest_vertices, rig.rest_joints, motion, camera, path, format, frame)


def write_track_with_blender(
    track: TrackResult,
    asset: BodyAsset,
    camera: PictureCamera,
    fps: float,
    path: Path,
    format: str,
    frame: Frame = "camera",
) -> None:
    """Write a track as an animated armature with its skinned mesh, a key for every frame.

    The clip's first frame is the scene's, so that several people of a clip play together.

    Args:
        track: the person through the clip.
        asset: the body it was fitted with.
        camera: of the clip's upright frames.
        fps: frames per second.
        path: the file; complete or not there.
        format: ``fbx``, ``bvh`` (skeleton only), ``usd`` or ``blend``.
        frame: as for :func:`dsr.export.animation.animated_glb_bytes`.

    Raises:
        MissingExtraError: if Blender's Python module is not installed.
        ExportError: if the file cannot be written, or the track does not belong to the body.
    """
    rest, rest_joints, rotations, roots = track_motion(track, asset, fps, frame)
    start = 0 if format == "fbx" else 1  # FBX has seconds instead of frames, and Blender's frame 0 is second 0
    motion: dict[str, Any] = {
        "rotations": rotations,
        "root_translation": roots,
        "frames": np.asarray(track.frames, int) + start,
        "first_frame": start,
        "fps": np.float64(fps),
        **({} if track.actions is None else {"morph_keys": track.actions}),
    }
    _write(track.id, track.betas, asset, rest, rest_joints, motion, camera, path, format, frame)


def read_rig_with_blender(path: Path) -> tuple[tuple[str, ...], tuple[int, ...], np.ndarray]:
    """Names, parents and rest matrices (J, 4, 4) in the world, metres, of the bones of an FBX file.

    Raises:
        MissingExtraError: if Blender's Python module is not installed.
        ExportError: if the file cannot be read.
    """
    _need_blender("Reading .fbx")
    with tempfile.TemporaryDirectory(prefix="dsr-") as folder:
        arrays = Path(folder) / "rig.npz"
        _helper().write({"task": "read_rig", "path": str(path.resolve()), "arrays": str(arrays), "target": str(path)})
        with np.load(arrays, allow_pickle=False) as data:
            return tuple(map(str, data["names"])), tuple(data["parents"].tolist()), data["rest"]


def write_rig_with_blender(rig: Path, pose: RigPose, fps: float, path: Path, name: str) -> None:
    """Write an FBX file again with its armature posed or moving.

    Args:
        rig: the character's file.
        pose: of its bones.
        fps: frames per second.
        path: the file; complete or not there.
        name: of the action.

    Raises:
        MissingExtraError: if Blender's Python module is not installed.
        ExportError: if the file cannot be written.
    """
    _need_blender("Writing .fbx")
    with tempfile.TemporaryDirectory(prefix="dsr-") as folder:
        arrays = Path(folder) / "pose.npz"
        np.savez(arrays, local=pose.local, root=pose.root, root_world=pose.root_world, fps=fps, name=name)
        order = {"task": "write_rig", "rig": str(rig.resolve()), "arrays": str(arrays), "target": str(path)}
        _let_blender_write(order, path, "fbx", len(pose.local))


def _need_blender(what: str) -> None:
    if importlib.util.find_spec("bpy") is None:
        raise MissingExtraError(f"{what} needs Blender's Python module (Python 3.11): {install_hint('blender')}")


def _write(
    name: str,
    betas: np.ndarray,
    asset: BodyAsset,
    rest: np.ndarray,
    rest_joints: np.ndarray,
    motion: dict[str, Any],
    camera: PictureCamera,
    path: Path,
    format: str,
    frame: Frame,
) -> None:
    """Let the helper write a rig and how it moves."""
    _need_blender(f"Writing .{format}")
    arrays: dict[str, Any] = {
        "name": name,
        "joint_names": joint_names(asset),
        "parents": asset.parents,
        # BVH readers differ in whether they add the root's offset to its position: keep it zero there
        "rest_joints": rest_joints - (rest_joints[0] if format == "bvh" else 0.0),
        **motion,
    }
    if format != "bvh":
        corners, corners_uv, first = polygons(asset)
        materials, material_of_face = face_materials(asset)
        face = morphs(asset, betas)
        arrays |= {"vertices": face.without(rest), "polygons": corners, "weights": asset.weights}
        arrays |= {"morph_names": face.names, "morphs": face.offsets, "morph_strengths": face.strengths}
        arrays |= {
            "materials": [material.name for material in materials],
            "colours": [material.colour for material in materials],
            "roughness": [material.roughness for material in materials],
            "material_index": material_of_face[first],
        }
        if asset.uv is not None and corners_uv is not None:
            arrays["corner_uv"] = asset.uv[corners_uv].reshape(-1, 2)
        if frame == "camera":
            arrays |= {"K": camera.K, "image_size": camera.size}
    with tempfile.TemporaryDirectory(prefix="dsr-") as folder:
        request = Path(folder) / "person.npz"
        np.savez(request, **arrays)
        order = {"arrays": str(request), "format": format, "target": str(path)}
        _let_blender_write(order, path, format, len(motion["frames"]))


def _let_blender_write(order: dict[str, str], path: Path, format: str, frames: int) -> None:
    """Send a request for a file that is complete or not there."""

    def write(temporary: Path) -> None:
        temporary.touch()  # a folder that cannot be written says so here, as for every other format
        temporary.unlink()
        named = temporary.resolve().with_name(f"{temporary.stem}.blender.{format}")  # Blender goes by the suffix
        try:
            _helper().write({**order, "path": str(named)}, _TIMEOUT_S + frames)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)

    write_atomic(path, write)


@cache
def _helper() -> _Helper:
    helper = _Helper()
    atexit.register(helper.close)
    return helper


class _Helper:
    """The process that holds Blender; one request at a time, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._settings: tempfile.TemporaryDirectory[str] | None = None
        self._noise: IO[bytes] | None = None

    def write(self, request: dict[str, str], timeout_s: float = _TIMEOUT_S) -> None:
        """Send a request and wait for its answer.

        Raises:
            ExportError: if Blender cannot write the file, or the process ends or hangs (the next request starts anew).
        """
        with self._lock:
            process = self._running()
            assert process.stdin is not None and process.stdout is not None
            watchdog = threading.Timer(timeout_s, process.kill)
            watchdog.start()
            try:
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = ""
            finally:
                watchdog.cancel()
            if not line:
                tail = self._last_line()
                self._stop()
                raise ExportError(f"{request['target']} cannot be written: Blender's process ended{tail}; try again.")
            answer = json.loads(line)
            if not answer["ok"]:
                raise ExportError(f"{request['target']} cannot be written by Blender: {answer['error']}.")

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return self._process
        if self._owner == os.getpid():
            self._stop()
        self._owner = os.getpid()
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115
        self._settings = tempfile.TemporaryDirectory(prefix="dsr-blender-")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("BLENDER_", "PYTHON"))}
        environment["BLENDER_USER_RESOURCES"] = self._settings.name  # not the user's own settings and add-ons
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p) or str(Path(__file__).parents[2])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dsr.export.blender_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            env=environment,
            text=True,
            encoding="utf-8",
        )
        return self._process

    def _last_line(self) -> str:
        if self._noise is None:
            return ""
        self._noise.seek(0)
        lines = self._noise.read().decode("utf-8", "replace").strip().splitlines()
        return f" ({lines[-1].strip()[:200]})" if lines else ""

    def _stop(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        continue
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._settings is not None:
                self._settings.cleanup()
            if self._noise is not None:
                self._noise.close()
        self._process = self._settings = self._noise = None
