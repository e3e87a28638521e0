# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the add-on into one zip for Blender 3.4 to 5.x: ``python blender_addon/build.py --out dist/``.

The zip has one top folder with both ``bl_info`` and ``blender_manifest.toml``, so that it installs as a legacy add-on
and as an extension. Where the bpy wheel is installed, Blender's own validator looks at it.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "dsr_fit_body"
CARRIED = HERE.parent / "dsr" / "export" / "carried"
"""Modules of dsr (Apache-2.0) that the add-on carries a copy of, in the place of its own folder of that name."""
_DATE = (2020, 1, 1, 0, 0, 0)  # the same sources give the same bytes


def build(out: Path, runtime: Path | None = None, garments: Path | None = None) -> Path:
    """Write the zip; returns its path.

    Args:
        out: folder for it.
        runtime: folder with what **Install** needs, as of :func:`collect_runtime`.
        garments: folder with garments and skins of MakeHuman's format that the zip shall carry.

    Raises:
        SystemExit: if the version numbers differ.
    """
    version = manifest_version()
    others = {"bl_info": info_version(), "core/version.py": module_version()}
    for place, other in others.items():
        if version != other:
            raise SystemExit(f"{place} says {other}, blender_manifest.toml {version}: make them the same.")
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{PACKAGE.name}-{version}{'-with-runtime' if runtime else ''}.zip"
    files = contents()
    if runtime is not None:
        files |= {f"{PACKAGE.name}/runtime/{file.name}": file for file in runtime.iterdir()}
    if garments is not None:
        found = {file.relative_to(garments).as_posix(): file for file in garments.rglob("*") if file.is_file()}
        if not any(name.endswith(".mhclo") for name in found):
            raise SystemExit(f"{garments}: holds no garments (.mhclo); unpack the CC0 assets of MakeHuman there.")
        files |= {f"{PACKAGE.name}/clothes/{name}": file for name, file in found.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(files.items()):
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, file.read_bytes())
    return path


def contents() -> dict[str, Path]:
    """Name in the zip -> file."""
    files = {file.relative_to(HERE).as_posix(): file for file in PACKAGE.rglob("*")}
    files[f"{PACKAGE.name}/LICENSE"] = HERE / "LICENSE"
    files |= {f"{PACKAGE.name}/carried/{file.name}": file for file in CARRIED.glob("*.py")}
    return {name: file for name, file in files.items() if file.is_file() and "__pycache__" not in file.parts}


def collect_runtime(folder: Path) -> None:
    """Put a wheel of dsr made from these sources, one of pip and the tested versions into a folder.

    Raises:
        CalledProcessError: if pip cannot make or fetch them.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    sources = HERE.parent
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(sources)], check=True, stdout=sys.stderr
    )
    subprocess.run([*pip, "download", "--no-deps", "--dest", str(folder), PIP], check=True, stdout=sys.stderr)
    (folder / "constraints.txt").write_bytes((sources / "constraints.txt").read_bytes())


PIP = "pip>=25.1"
"""Takes up broken downloads where they ended."""


def manifest_version() -> str:
    """Version in blender_manifest.toml."""
    match = re.search(r'^version\s*=\s*"([^"]+)"', (PACKAGE / "blender_manifest.toml").read_text(), re.M)
    return match.group(1) if match else ""


def module_version() -> str:
    """Version in core/version.py."""
    match = re.search(r'^VERSION = "([^"]+)"', (PACKAGE / "core" / "version.py").read_text(), re.M)
    return match.group(1) if match else ""


def info_version() -> str:
    """Version in bl_info."""
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "bl_info":
            return ".".join(map(str, ast.literal_eval(node.value)["version"]))
    return ""


def validator() -> Path | None:
    """Blender's extension tool inside the bpy wheel, found without importing it."""
    spec = importlib.util.find_spec("bpy")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"), None)


def validate(path: Path) -> bool:
    """Whether Blender's validator accepts the zip.

    Raises:
        FileNotFoundError: where the bpy wheel is missing.
    """
    tool = validator()
    if tool is None:
        raise FileNotFoundError("the bpy wheel is not installed")
    return subprocess.run([sys.executable, str(tool), "validate", str(path)]).returncode == 0


def main(argv: list[str] | None = None) -> int:
    """Build and validate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder for the zip")
    parser.add_argument(
        "--with-runtime", action="store_true", help="also what Install needs: a wheel of dsr, pip, the tested versions"
    )
    parser.add_argument(
        "--with-clothes",
        type=Path,
        metavar="DIR",
        help="also the garments in a folder: unpacked CC0 assets of MakeHuman",
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.with_runtime:
            collect_runtime(Path(folder))
        path = build(arguments.out, Path(folder) if arguments.with_runtime else None, arguments.with_clothes)
    sys.stdout.write(f"{path}\n")
    if validator() is None:
        sys.stderr.write("Not validated: that needs the bpy wheel (python3 -m pip install bpy==5.0.1).\n")
        return 0
    return 0 if validate(path) else 1


if __name__ == "__main__":
    raise SystemExit(main())
