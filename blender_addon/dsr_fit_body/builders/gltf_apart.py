# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender 3's glTF exporter in a Blender of its own, so that the artist's scene is safe from it.

Blender 3.4.1 was seen to die, in that exporter or up to minutes after it, once copies of bodies had been exported in a
session in which Rigify had made a rig. Memory was overwritten; never with one thread, nor with FBX. So the copies go
into a file, and another Blender with one thread exports them.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import bpy

from .. import compat
from .export_copy import BodyCopies

_TIME_LIMIT_S = 600.0


def needed() -> bool:
    """Whether this Blender's exporter is better not run here."""
    return bpy.app.version < (4, 0, 0) and bool(bpy.app.binary_path)


def write(path: str, copies: BodyCopies, options: dict[str, Any]) -> None:
    """Export copies.

    Args:
        path: of the file to write.
        copies: as the scene has them now.
        options: of ``export_scene.gltf``.

    Raises:
        RuntimeError: if the other Blender fails.
    """
    scene = bpy.context.scene
    with tempfile.TemporaryDirectory(prefix="fitbody") as folder:
        file = Path(folder) / "bodies.blend"
        items = {copies.root, *copies.armatures, *copies.meshes}
        bpy.data.libraries.write(str(file), items, path_remap="ABSOLUTE", fake_user=True)
        request = {
            "file": str(file),
            "time": [scene.frame_start, scene.frame_end, scene.frame_current, compat.scene_fps(scene)],
            "options": {**options, "filepath": str(Path(path).resolve())},
        }
        package = Path(__file__).parents[1]
        code = (
            f"import sys; sys.path.insert(0, {str(package.parent)!r}); "
            f"from {package.name}.builders import gltf_apart; gltf_apart.export({json.dumps(request)!r})"
        )
        command = [bpy.app.binary_path, "-b", "-t", "1", "--factory-startup", "--python-exit-code", "3"]
        run = subprocess.run(
            [*command, "--python-expr", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIME_LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
    if run.returncode:
        told = [
            line for line in (run.stdout + run.stderr).splitlines() if "Error" in line and "script failed" not in line
        ]
        raise RuntimeError(told[-1].strip() if told else f"Blender ended with code {run.returncode}")


def export(request: str) -> None:
    """In the other Blender: take the copies from the file and export them.

    Args:
        request: JSON of :func:`write`.
    """
    wanted = json.loads(request)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(wanted["file"]) as (inside, taken):
        taken.objects = list(inside.objects)
    scene = bpy.context.scene
    for item in taken.objects:
        scene.collection.objects.link(item)
        item.select_set(True)
    first, last, now, fps = wanted["time"]
    compat.set_fps(scene, fps)
    scene.frame_start, scene.frame_end = first, last
    scene.frame_set(now)
    with compat.skins_of_plain_meshes():
        bpy.ops.export_scene.gltf(**wanted["options"])
