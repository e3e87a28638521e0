"""``dsr-doctor``: what is installed, which models and devices are found, what is missing and how to get it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import tyro

from dsr.cli.common import EXIT_FINE, EXIT_NOT_READY, run_command, write_line
from dsr.errors import DsrError
from dsr.extras import install_command, install_hint
from dsr.files import expand_user

_NEEDED = (
    "torch",
    "numpy",
    "scipy",
    "threadpoolctl",
    "pillow",
    "mediapipe",
    "ai-edge-litert",
    "trimesh",
    "pygltflib",
    "safetensors",
    "warp-lang",
    "tyro",
    "rich",
)
_REINSTALL = "in the source folder: python3 -m pip install --force-reinstall --no-deps ."
_EXTRAS = {
    "heic": (("pillow_heif",), "reads HEIC and HEIF pictures from phones"),
    "video": (("av",), "reads video files and writes overlay videos"),
    "onnx": (("onnx", "onnxscript", "onnxruntime"), "exports the lifters to ONNX, runs InstantHMR's files"),
    "blender": (("bpy",), "writes FBX, BVH, USD and .blend (Python 3.11 only)"),
    "smplx": (("smplx",), "takes bodies of the smplx package (non-commercial code)"),
    "build": (("anny", "fast_simplification", "rtree"), "bakes the open body again"),
    "cluster": (("ray", "fsspec"), "dsr-fit --cluster works on many machines"),
    "train": (("tensorboard", "yaml"), "dsr-train writes TensorBoard files and reads YAML files"),
}
"""Extra to the modules it brings and what they add."""


@dataclass(frozen=True)
class Check:
    """One line of the self-test.

    Attributes:
        name: what was looked at.
        status: ``ok``, ``note`` (works, worth knowing) or ``missing`` (the default job cannot run).
        detail: version, path or reason.
        fix: what to do, "" where nothing is needed.
    """

    name: str
    status: str
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class DoctorCommand:
    """Say what is installed, which models and devices are found, and what each missing extra would add.

    Exit codes: 0 the default job can run, 1 it cannot (the lines say what to do), 2 usage.
    """

    json: bool = False
    """Print one JSON object instead of a table."""
    landmarks: Path | None = None
    """A landmark model to look at, as dsr-fit --landmarks would take it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""

    def check() -> int:
        config = (tyro.conf.FlagCreatePairsOff,)
        return _print_checks(tyro.cli(DoctorCommand, prog="dsr-doctor", args=argv, config=config))

    return run_command("dsr-doctor", check)


def _print_checks(command: DoctorCommand) -> int:
    checks = run_checks(command.landmarks)
    ready = all(check.status != "missing" for check in checks)
    if command.json:
        from dsr import __version__

        document = {
            "schema": "dsr.doctor",
            "schema_version": 1,
            "tool": {"name": "dsr", "version": __version__},
            "ready": ready,
            "checks": [asdict(check) for check in checks],
        }
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return EXIT_FINE if ready else EXIT_NOT_READY
    width = max(len(check.name) for check in checks) + 2
    for check in checks:
        write_line(sys.stdout, f"{check.status:9}{check.name:{width}}{check.detail}")
        if check.fix:
            write_line(sys.stdout, f"{'':9}{'':{width}}-> {check.fix}")
    write_line(sys.stdout, "")
    write_line(
        sys.stdout,
        "Ready: dsr-fit can run." if ready else "Not ready: follow the arrows above, then run dsr-doctor again.",
    )
    return EXIT_FINE if ready else EXIT_NOT_READY


def entry() -> None:
    """Console script."""
    sys.exit(main())


def run_checks(landmarks: Path | None = None) -> list[Check]:
    """All checks, in reading order; none of them raises.

    Args:
        landmarks: a landmark model of the user's to look at as well.
    """
    steps: list[Callable[[], list[Check]]] = [
        _python,
        _packages,
        _tensors,
        _people,
        partial(_landmarks, landmarks),
        _body,
        _prior,
        _folders,
        _opencv,
        _extras,
        _brought,
    ]
    checks: list[Check] = []
    for step in steps:
        try:
            checks += step()
        except Exception as error:
            name = getattr(step, "__name__", "landmark model").strip("_")
            checks.append(Check(name, "missing", f"{type(error).__name__}: {error}", _REINSTALL))
    return checks


def _python() -> list[Check]:
    version = platform.python_version()
    detail = f"{version} on {platform.system()} {platform.machine()}"
    if (3, 10) <= sys.version_info[:2] <= (3, 12):
        return [Check("Python", "ok", detail)]
    return [Check("Python", "missing", detail, "use Python 3.10, 3.11 or 3.12 (3.11 for the blender extra)")]


def _packages() -> list[Check]:
    checks = []
    for name in _NEEDED:
        try:
            checks.append(Check(name, "ok", importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            checks.append(Check(name, "missing", "not installed", install_command(name)))
    return checks


def _tensors() -> list[Check]:
    try:
        import torch

        if float(torch.ones(2, 2).matmul(torch.ones(2)).sum()) != 4.0:
            raise RuntimeError("two times two is not four")
    except Exception as error:  # its native libraries raise anything
        detail = f"installed, but it cannot be used: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
        return [Check("torch works", "missing", detail, f"{install_command('torch')} --force-reinstall")]
    devices = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    cores = os.cpu_count() or 1
    detail = f"CPU with {cores} cores" + "".join(f"; CUDA {i}: {name}" for i, name in enumerate(devices))
    return [Check("devices", "ok", detail + ("" if devices else "; no CUDA device (not needed)"))]


def _people() -> list[Check]:
    from dsr.people.faces import FACE_MESH_MODEL, FACE_MODEL
    from dsr.people.models import DETECTION_MODEL, LiteModel, find_model

    checks = []
    for label, name in (
        ("people detector", DETECTION_MODEL),
        ("face detector", FACE_MODEL),
        ("face mesh", FACE_MESH_MODEL),
    ):
        try:
            path = find_model(name)
            LiteModel(name)
            checks.append(Check(label, "ok", str(path)))
        except (DsrError, ImportError, OSError, ValueError, RuntimeError) as error:
            checks.append(Check(label, "missing", str(error), install_command("mediapipe", "ai-edge-litert")))
    return checks


def _landmarks(file: Path | None) -> list[Check]:
    """The landmark model, and how to use another one."""
    from dsr.people.landmarks import LandmarkModel
    from dsr.people.models import LANDMARK_MODEL, find_model

    try:
        LandmarkModel()
        better = "; dsr-fit --landmarks takes the slower, more exact heavy one"
        checks = [Check("landmark model", "ok", f"{find_model(LANDMARK_MODEL)} (full{better})")]
    except (DsrError, ImportError, OSError, ValueError, RuntimeError) as error:
        return [Check("landmark model", "missing", str(error), install_command("mediapipe", "ai-edge-litert"))]
    if file is not None:
        try:
            LandmarkModel(file=file.expanduser())
            checks.append(Check("--landmarks", "ok", str(file)))
        except DsrError as error:
            checks.append(Check("--landmarks", "note", str(error), "dsr-fit works without it"))
    return checks


def _body() -> list[Check]:
    from dsr.body.asset_file import OPEN_FILES

    named = os.environ.get("DSR_BODY_MODELS")
    if named:
        folder, file = expand_user(named), OPEN_FILES["open"]
        if not any((place / file).is_file() for place in (folder / "open", folder)):
            why = "is no folder" if not folder.is_dir() else f"holds neither {file} nor open/{file}"
            fix = "set DSR_BODY_MODELS to the folder of your body models, or unset it: the installed body is used now"
            checks = [Check("DSR_BODY_MODELS", "note", f"{folder} {why}", fix)]
            return checks + _open_body()
    return _open_body()


def _open_body() -> list[Check]:
    from dsr.body import load_asset

    try:
        asset = load_asset("open")
    except DsrError as error:
        return [Check("open body", "missing", str(error), _REINSTALL)]
    detail = f"{asset.name}, {asset.num_vertices} vertices, {asset.num_betas} betas, {asset.path}"
    return [Check("open body", "ok", detail)]


def _prior() -> list[Check]:
    from importlib.resources import files

    folder = files("dsr") / "weights"
    names = (
        sorted(item.name for item in folder.iterdir() if item.name.endswith(".safetensors")) if folder.is_dir() else []
    )
    if names:
        return [Check("learned weights", "ok", ", ".join(names))]
    return [Check("learned weights", "missing", f"none in {folder}", _REINSTALL)]


def _folders() -> list[Check]:
    checks = []
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for label, folder, needed in (
        ("temporary folder", Path(tempfile.gettempdir()), True),
        ("cache folder", cache, False),
    ):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder):
                free = shutil.disk_usage(folder).free / 2**30
            checks.append(Check(label, "ok", f"{folder}, {free:.1f} GiB free"))
        except OSError as error:
            status = "missing" if needed else "note"
            fix = (
                "set TMPDIR to a folder you may write to"
                if needed
                else "set XDG_CACHE_HOME to a folder you may write to"
            )
            checks.append(Check(label, status, f"{folder} is not writable ({error.strerror or error})", fix))
    return checks


def _opencv() -> list[Check]:
    """Two packages that both bring cv2 overwrite each other's files."""
    names = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
    present = []
    for name in names:
        try:
            importlib.metadata.version(name)
            present.append(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if len(present) < 2:
        return []
    return [
        Check(
            "OpenCV", "note", f"{' and '.join(present)} overwrite each other", f"python3 -m pip uninstall {present[0]}"
        )
    ]


def _extras() -> list[Check]:
    checks = []
    for extra, (modules, adds) in _EXTRAS.items():
        if all(find_spec(module) is not None for module in modules):
            name = modules[0].replace("_", "-")
            checks.append(Check(f"extra {extra}", "ok", f"{name} {importlib.metadata.version(name)}: {adds}"))
        else:
            checks.append(Check(f"extra {extra}", "note", f"not installed; {adds}", _hint(extra)))
    return checks


def _hint(extra: str) -> str:
    """How to install an extra; where the sources are newer than their installation, that comes first."""
    try:
        return install_hint(extra)
    except KeyError:
        return _REINSTALL


def _brought() -> list[Check]:
    """What the user can bring: where it goes, and under which licence."""
    from dsr.cli.doctor_brought import BROUGHT, find_brought

    checks = []
    for item in BROUGHT:
        path = find_brought(item)
        there = "" if path is None else f"found: {path}; "
        detail = f"{item.name}: {there}{item.place}; licence: {item.licence}"
        checks.append(Check("can be brought", "note" if path is None else "ok", detail))
    return checks


if __name__ == "__main__":
    entry()
