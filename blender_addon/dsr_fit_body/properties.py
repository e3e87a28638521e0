# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the panel, on the window manager: they do not end up in every file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from . import body_settings, bone_map_settings
from .ahead import changed
from .builders.motion import MotionOptions
from .builders.scene import BuildOptions
from .core.garment import GARMENT, SKIN, files_once, title
from .core.messages import FitBodyError
from .core.result import find_results
from .preferences import clothes_folder

SOURCES = [
    ("IMAGE", "Image", "One photo", "IMAGE_DATA", 0),
    ("SEQUENCE", "Image Sequence", "A folder of frames, one clip", "RENDERLAYERS", 1),
    ("VIDEO", "Video", "A video file", "FILE_MOVIE", 2),
    ("PHOTOS", "Several Photos", "A list of photos, fitted one after the other", "IMAGE_BACKGROUND", 4),
    ("RESULT", "Result Folder", "What dsr-fit wrote earlier", "FILE_FOLDER", 3),
]
_listed: dict[tuple[str, ...], list[tuple[str, str, str]]] = {}


def _results(self: Any, context: Any) -> list[tuple[str, str, str]]:
    """Results in the chosen folder; Blender keeps no copy of their words, so lists that it was given stay alive."""
    try:
        paths = find_results(bpy.path.abspath(self.result_folder)) if self.result_folder else []
    except FitBodyError:
        paths = []
    items = [(str(path), path.stem, str(path)) for path in paths] or [("", "No results", "Choose a folder")]
    return _listed.setdefault(tuple(item[0] for item in items), items)


def _files(ending: str) -> list[tuple[str, str, str]]:
    """Garments or skins of the folder in the preferences; looked at again when the folder has changed."""
    folder = clothes_folder()
    items = [(str(path), title(path), str(path)) for path in files_once(folder, ending)] if folder else []
    items = items or [("", "None", "Choose a folder")]
    return _listed.setdefault((ending, *(item[0] for item in items)), items)


def _garments(self: Any, context: Any) -> list[tuple[str, str, str]]:
    return _files(GARMENT)


def _skins(self: Any, context: Any) -> list[tuple[str, str, str]]:
    return _files(SKIN)


class FitBodyPhoto(bpy.types.PropertyGroup):
    """One photo of several; ``name`` is its path."""


class FitBodySettings(bpy.types.PropertyGroup):
    """What the panel's Fit button does."""

    source: EnumProperty(name="Source", items=SOURCES, default="IMAGE", update=changed)
    image: StringProperty(name="Image", description="The photo", subtype="FILE_PATH", update=changed)
    frames: StringProperty(name="Frames", description="Folder of the clip's frames", subtype="DIR_PATH")
    video: StringProperty(name="Video", description="The clip", subtype="FILE_PATH")
    photos: CollectionProperty(name="Photos", type=FitBodyPhoto)
    result_folder: StringProperty(name="Folder", description="Folder with results of dsr-fit", subtype="DIR_PATH")
    result: EnumProperty(name="Result", items=_results)
    people: EnumProperty(
        name="People",
        items=[
            ("all", "All", "Everybody found"),
            ("largest", "Largest", "The one who fills most of the picture"),
            ("some", "Up to", "As many as this, the largest first"),
            ("one", "One", "The one with this number, counted from the left"),
        ],
        default="all",
    )
    count: IntProperty(name="At Most", description="People, the largest first", default=3, min=1, soft_max=20)
    person: IntProperty(name="Number", description="Counted from the left, starting at 1", default=1, min=1)
    min_score: FloatProperty(
        name="Min. Score", description="Leave out people the detector is less sure of", default=0.5, min=0.0, max=1.0
    )
    body: EnumProperty(
        name="Body Model",
        items=[
            ("open", "Open Body", "The body model that comes with dsr"),
            ("open-x", "Open Body, Fingers", "The same with bones for fingers, jaw and eyes, and facial expressions"),
            ("open-light", "Open Body, Light", "The same with half the vertices"),
            ("FILE", "From File", "A licensed SMPL or SMPL-X file of your own"),
        ],
        default="open",
        update=changed,
    )
    body_file: StringProperty(name="File", description="SMPL or SMPL-X file (.pkl, .npz)", subtype="FILE_PATH")
    focal: EnumProperty(
        name="Focal",
        items=[
            ("AUTO", "Automatic", "From the photo's EXIF data, else a usual lens"),
            ("MM", "Millimetres", "35 mm equivalent"),
            ("FOV", "Field of View", "Across the picture's width"),
        ],
        default="AUTO",
    )
    focal_mm: FloatProperty(name="35 mm Equivalent", description="Millimetres", default=35.0, min=5.0, max=2000.0)
    fov: FloatProperty(name="Angle", description="Degrees across the width", default=54.0, min=1.0, max=170.0)
    quality: EnumProperty(
        name="Quality",
        items=[
            ("fast", "Fast", "Look once"),
            ("standard", "Standard", "The usual"),
            ("best", "Best", "Look for small people too; slower"),
        ],
        default="standard",
        update=changed,
    )
    refine: EnumProperty(
        name="Refine",
        items=[
            ("none", "None", "Quick"),
            ("joints", "Joints", "More starts, the best is kept"),
            ("semantic", "Silhouette", "Pull the body onto the person's outline; slow"),
            ("all", "Both", "Joints and silhouette; slow"),
        ],
        default="none",
    )
    expressive: BoolProperty(
        name="Fingers and Face",
        description="Also fit fingers, jaw, gaze and expression; the open body then has bones and sliders for them",
        default=False,
        update=changed,
    )
    again: EnumProperty(
        name="Fit Again",
        items=[
            ("REPLACE", "Replaces", "A further fit of the same photo takes the place of the earlier one"),
            ("ADD", "Adds", "A further fit of the same photo is put beside the earlier one"),
        ],
        default="REPLACE",
    )
    camera: BoolProperty(
        name="Camera and Photo", description="A camera that sees what the photo's camera saw", default=True
    )
    opacity: FloatProperty(name="Photo Opacity", subtype="FACTOR", default=0.5, min=0.0, max=1.0)
    pack: BoolProperty(name="Pack Photo", description="Keep the photo inside the .blend file", default=True)
    scene_camera: BoolProperty(
        name="Use as Scene Camera",
        description="Off: the scene keeps its own camera and render size, where it has one",
        default=True,
    )
    set_size: BoolProperty(name="Set Render Size", description="Render at the photo's size", default=True)
    look: BoolProperty(
        name="Look Through Camera", description="Turn the 3D view to the camera after a fit", default=True
    )
    ground: BoolProperty(
        name="Place on Ground",
        description="Lowest point at height 0; camera and bodies move together. Distance to the camera is an estimate",
        default=True,
    )
    correctives: BoolProperty(name="Pose Correctives", description="Where the body model has any", default=True)
    parts: BoolProperty(name="Part Materials", description="A material for every part of the body", default=False)
    twist: BoolProperty(
        name="Twist Bones",
        description="Spread a turn of arms, hands and thighs along the limb, without a ring at the joint",
        default=True,
    )
    all_shapes: BoolProperty(
        name="All Shape Values", description="Also the coefficients behind the named sliders", default=False
    )
    garment: EnumProperty(name="Garment", description="Of the folder with garments", items=_garments)
    skin: EnumProperty(name="Skin", description="Of the folder with garments", items=_skins)
    start_current: BoolProperty(name="Start at Current Frame", default=False)
    fps: BoolProperty(name="Frame Rate from Source", description="Set the scene's frame rate and frames", default=True)
    sequence_fps: FloatProperty(
        name="Frames per Second",
        description="How fast the pictures of the folder were taken",
        default=30.0,
        min=0.1,
        max=1000.0,
    )
    alone: BoolProperty(
        name="One Photo at a Time",
        description="Hide the bodies of the other photos in the view and in renders",
        default=True,
    )
    smoothing: FloatProperty(name="Smoothing", subtype="FACTOR", default=0.3, min=0.0, max=0.95)
    root_motion: BoolProperty(name="Keep Root Motion", description="Off: everybody stays in place", default=True)
    fill: IntProperty(
        name="Fill Gaps up to", description="Frames; over longer gaps the body is hidden", default=5, min=0
    )
    export_names: EnumProperty(
        name="Bone Names",
        items=[
            ("SMPL", "SMPL", "As in the scene"),
            ("MIXAMO", "Mixamo", "mixamorig:Hips and so on"),
            ("RIGIFY", "Rigify", "Names of Rigify's basic human metarig"),
        ],
        default="SMPL",
    )
    export_bake: BoolProperty(
        name="Bake Shape",
        description="Put the shape into the mesh alone; else the sliders go along as shape keys, 0 as fitted",
        default=True,
    )
    export_people: EnumProperty(
        name="Bodies",
        items=[
            ("ACTIVE", "Active", "The active body alone"),
            ("ALL", "Everybody", "All people of the active body's photo"),
        ],
        default="ACTIVE",
    )
    export_origin: BoolProperty(
        name="At the Origin",
        description="The active body over the origin with the lowest point at height 0; else where it is in the scene",
        default=False,
    )
    export_scale: FloatProperty(
        name="Scale",
        description="1 is metres, 100 centimetres; glTF is always metres",
        default=1.0,
        min=0.001,
        max=1000.0,
    )

    def source_path(self) -> Path | None:
        """What is chosen, absolute; None where nothing is. Of several photos the first."""
        if self.source == "PHOTOS":
            return next(iter(self.source_paths()), None)
        names = {"IMAGE": "image", "SEQUENCE": "frames", "VIDEO": "video", "RESULT": "result"}
        text = getattr(self, names[self.source])
        return Path(bpy.path.abspath(text)) if text else None

    def source_paths(self) -> list[Path]:
        """Everything that is chosen, absolute."""
        if self.source == "PHOTOS":
            return [Path(bpy.path.abspath(photo.name)) for photo in self.photos]
        path = self.source_path()
        return [path] if path is not None else []

    def build_options(self) -> BuildOptions:
        """For the builder."""
        start = bpy.context.scene.frame_current if self.start_current else 1
        return BuildOptions(
            camera=self.camera,
            opacity=self.opacity,
            pack=self.pack,
            scene_camera=self.scene_camera,
            set_size=self.set_size,
            ground=self.ground,
            correctives=self.correctives,
            parts=self.parts,
            twist=self.twist,
            replace=self.again == "REPLACE",
            fps=self.fps,
            alone=self.alone,
            motion=MotionOptions(start, self.smoothing, self.root_motion, self.fill),
        )

    def fit_options(self, device: str) -> dict[str, Any]:
        """Options of ``dsr-fit`` by name."""
        people = {"one": str(self.person - 1), "some": f"largest:{self.count}"}.get(self.people, self.people)
        body = bpy.path.abspath(self.body_file) if self.body == "FILE" else self.body
        options: dict[str, Any] = {
            "person": people,
            "min_score": round(self.min_score, 4),
            "body": body,
            "quality": self.quality,
            "refine": self.refine,
            "device": device,
        }
        if self.expressive and self.body != "open-light":
            options["expressive"] = True
        if self.focal == "MM":
            options["focal35"] = round(self.focal_mm, 4)
        elif self.focal == "FOV":
            options["fov"] = round(self.fov, 4)
        return options


CLASSES = (FitBodyPhoto, FitBodySettings, *body_settings.CLASSES, *bone_map_settings.CLASSES)


def register() -> None:
    """Attach the groups."""
    bpy.types.WindowManager.dsr_fit_body = PointerProperty(type=FitBodySettings)
    bpy.types.Object.dsr_fit_body = PointerProperty(type=body_settings.BodySettings)
    bpy.types.Object.dsr_bone_map = PointerProperty(type=bone_map_settings.FitBodyBoneMap)


def unregister() -> None:
    """Take them away."""
    del bpy.types.WindowManager.dsr_fit_body
    del bpy.types.Object.dsr_fit_body
    del bpy.types.Object.dsr_bone_map


def panel_settings() -> FitBodySettings:
    """The panel's settings."""
    return bpy.context.window_manager.dsr_fit_body
