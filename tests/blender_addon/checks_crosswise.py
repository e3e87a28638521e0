"""Exports of one Blender read by another: run on request, first the writing in both, then the reading in both."""

import os

import bpy
import numpy as np
from check_tools import CHECKS, FOLDER
from checks_exports import STARTS, clip, compared, read_back, seen, still
from dsr_fit_body import compat
from dsr_fit_body.core.result import read_result
from dsr_fit_body.operators.export import FORMATS, available_formats

OWN = FOLDER / f"cross_{bpy.app.version[0]}"


def on_request(function):
    """Among the checks only where it is asked for by name."""
    if function.__name__ in os.environ.get("ADDON_CHECKS", ""):
        CHECKS.append(function)
    return function


def _kept(name, state):
    vertices, heads = state
    np.savez(
        OWN / f"{name}.npz", corners=[vertices.min(0), vertices.max(0)], names=list(heads), heads=[*heads.values()]
    )


@on_request
def exports_for_another_blender():
    OWN.mkdir(exist_ok=True)
    for kind in available_formats():
        built = still()
        _kept(f"photo_{kind}", seen(built.armatures[1], built.meshes[1]))
        path = OWN / f"photo{FORMATS[kind][1]}"
        assert bpy.ops.fitbody.export(filepath=str(path), format=kind) == {"FINISHED"}
        if kind == "OBJ":
            continue
        built = clip()
        for frame in (0, 4):
            bpy.context.scene.frame_set(STARTS + frame)
            _kept(f"clip_{kind}_{frame}", seen(built.armatures[0], built.meshes[0]))
        path = OWN / f"clip{FORMATS[kind][1]}"
        assert bpy.ops.fitbody.export(filepath=str(path), format=kind) == {"FINISHED"}


@on_request
def exports_of_another_blender():
    figures = {}
    fps = read_result(FOLDER / "short" / "clip.json").fps
    for folder in sorted(FOLDER.glob("cross_*")):
        for kind, (_, ending, _) in FORMATS.items():
            path = folder / f"photo{ending}"
            if folder == OWN or not path.is_file() or kind not in {"GLB", "FBX", "OBJ", "BVH", *available_formats()}:
                continue
            items, armatures, meshes = read_back(path, kind)
            assert len([o for o in items if o.parent is None]) == 1, (kind, [o.name for o in items])
            got = seen(armatures[0] if armatures else None, meshes[0] if meshes else None)
            figures[f"{folder.name} photo {kind}"] = compared(got, _true(folder, f"photo_{kind}"), kind)
            if kind == "OBJ":
                continue
            items, armatures, meshes = read_back(
                folder / f"clip{ending}", kind, fps if kind in ("GLB", "ABC", "USD") else 0
            )
            assert len([o for o in items if o.parent is None]) == 1, kind
            first = STARTS
            if armatures and armatures[0].animation_data:
                first, end = armatures[0].animation_data.action.frame_range
                assert abs(end - first - 4) < 0.01, (kind, first, end)
            if kind in ("FBX", "BVH"):
                assert abs(compat.scene_fps(bpy.context.scene) - fps) < 0.005, kind
            for frame in (0, 4):
                bpy.context.scene.frame_set(round(first) + frame)
                got = seen(armatures[0] if armatures else None, meshes[0] if meshes else None)
                true = _true(folder, f"clip_{kind}_{frame}")
                figures[f"{folder.name} clip {kind} {frame}"] = compared(got, true, f"{kind} {frame}")
    assert figures
    return figures


def _true(folder, name):
    """The state when it was written; corners stand for the vertices."""
    with np.load(folder / f"{name}.npz") as data:
        return data["corners"], dict(zip(data["names"].tolist(), data["heads"], strict=True))
