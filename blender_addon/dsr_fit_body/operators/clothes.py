# SPDX-License-Identifier: GPL-3.0-or-later
"""Clothes, hair, shoes and skins of MakeHuman's format on the active body."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from .. import session
from ..builders import clothes, shape
from ..core.garment import read_garment, read_skin, title
from ..core.job import Outcome
from ..core.messages import FitBodyError, Sentence, message, sentence
from ..core.worker import worker_command
from ..preferences import addon_preferences, worker_python
from ..properties import panel_settings
from ..runs import addon_folder
from ..session import STATE
from .base import BodyOperator

TIMEOUT_S = 60.0
BODIES = ("open", "open-x", "open-light")
"""Names of body models that garments of MakeHuman fit."""


class FITBODY_OT_wear(BodyOperator, bpy.types.Operator):
    """Put the chosen garment on the active body; it follows pose and shape"""

    bl_idname = "fitbody.wear"
    bl_label = "Wear Garment"
    bl_options = {"REGISTER"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"})

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> set[str] | None:
        """The worker makes a model of it, and in the background it is worn before this returns."""
        if session.running():
            return self.refuse(sentence("A fit is running"))
        file = bpy.path.abspath(self.filepath or panel_settings().garment)
        model = _model(armature)
        hindrance = _hindrance(file, model)
        if hindrance is not None:
            return self.refuse(hindrance)
        if not worker_python():
            raise FitBodyError("no_python")
        out = addon_folder("garments") / f"{model} {Path(file).stem}.npz"
        request = {"garment": file, "body": model, "out": str(out)}
        command = worker_command(worker_python(), addon_preferences().keep_warm)
        session.start_job(command, "garment", request, TIMEOUT_S, _wear_when_done(armature.name, file))
        if bpy.app.background:
            if STATE.message is not None:
                return self.refuse(STATE.message.sentence, "ERROR")
            self.inform(STATE.note)
        return None


class FITBODY_OT_take_off(BodyOperator, bpy.types.Operator):
    """Take this garment off"""

    bl_idname = "fitbody.take_off"
    bl_label = "Take Off Garment"
    bl_options = {"REGISTER", "UNDO"}
    needs_bones = False

    garment: StringProperty(name="Garment", options={"SKIP_SAVE", "HIDDEN"})

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> set[str] | None:
        """The named one, else the last of the list."""
        worn = clothes.worn_by(armature)
        item = next((one for one in worn if one.name == self.garment), worn[-1] if worn and not self.garment else None)
        if item is None:
            return self.refuse(sentence("This body wears nothing of that"))
        if context.active_object == item:
            context.view_layer.objects.active = armature
        clothes.take_off(item)
        return None


class FITBODY_OT_use_skin(BodyOperator, bpy.types.Operator):
    """Give the active body the chosen skin"""

    bl_idname = "fitbody.use_skin"
    bl_label = "Use Skin of MakeHuman"
    bl_options = {"REGISTER", "UNDO"}
    needs_bones = False

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"})

    def run_on_body(self, context: Any, armature: Any, mesh_object: Any) -> set[str] | None:
        """Its picture on the body's UV map, else its colour."""
        file = bpy.path.abspath(self.filepath or panel_settings().skin)
        hindrance = _hindrance(file, _model(armature))
        if hindrance is not None:
            return self.refuse(hindrance)
        colour, picture = read_skin(Path(file))
        try:
            clothes.use_skin(mesh_object.data, title(Path(file)), colour, picture, panel_settings().pack)
        except RuntimeError as error:
            raise FitBodyError("unreadable", photo=picture) from error
        if picture is None:
            self.inform(sentence("The picture of this skin is missing; it has its colour"), "WARNING")
        return None


def _model(armature: Any) -> str:
    """Name of a body's model."""
    return str(armature.get("fitbody_model", ""))


def _hindrance(file: str, model: str) -> Sentence | None:
    """Why a chosen garment or skin cannot be used on a body, a sentence; None where it can."""
    if not file:
        return sentence("Choose a folder with garments first")
    if model not in BODIES:
        return sentence("Garments fit the open body; this one is {body}", body=model)
    return None


def _wear_when_done(name: str, file: str) -> Any:
    """The callback that puts the worker's model on the body, which may be gone by then."""

    def on_done(outcome: Outcome) -> None:
        if outcome.message is not None:
            return
        armature = bpy.data.objects.get(name)
        body = shape.body_objects(armature)
        if body is None:
            STATE.message = message("bad_result", detail=sentence("Select a fitted body"))
            return
        try:
            garment = read_garment(outcome.results[0])
            item = clothes.wear(*body, garment, file)
        except (FitBodyError, IndexError) as error:
            STATE.message = error.message if isinstance(error, FitBodyError) else message("failed", detail=error)
            return
        STATE.note = sentence("{person} wears {garment}", person=armature.name, garment=title(Path(file)))
        bpy.ops.ed.undo_push(message=f"Wear {item.name}")

    return on_done


CLASSES = (FITBODY_OT_wear, FITBODY_OT_take_off, FITBODY_OT_use_skin)
