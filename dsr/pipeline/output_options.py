"""Which files are written for every input beside its JSON and NPZ file."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsr.errors import MissingExtraError, UsageError
from dsr.extras import install_hint

if TYPE_CHECKING:
    from dsr.export.rig import Frame

UNSAID = {"rig": "smpl", "texture": False}
"""What results were made with that do not say it; with another value mesh files differ."""
CLIP_FORMATS = ("glb", "fbx", "bvh", "usd", "blend")
"""Formats of animated people."""


@dataclass(frozen=True)
class OutputOptions:
    """What is written for every picture or clip beside ``<name>.json`` and ``<name>.npz``.

    Attributes:
        formats: mesh formats, one file per person and format: ``<name>.p0.glb``.
        overlay: also ``<name>.overlay.jpg``; ``<name>.overlay.mp4`` of a clip.
        side_view: also ``<name>.side.jpg``.
        frame: frame of the mesh files, ``camera`` or ``body``.
        rig: whose bones they have: a name in :data:`dsr.export.RIGS`.
        labels: also ``<name>.labels.jpg``.
        skeleton: also ``<name>.skeleton.jpg``; ``<name>.skeleton.mp4`` of a clip.
        uncertainty: how far each joint may be off is drawn into the overlay.
        texture: the people's look on their meshes, and ``<name>.p0.texture.png`` and ``<name>.p0.texture_seen.png``.
    """

    formats: tuple[str, ...] = ("glb",)
    overlay: bool = False
    side_view: bool = False
    frame: Frame = "camera"
    rig: str = "smpl"
    labels: bool = False
    texture: bool = False
    skeleton: bool = False
    uncertainty: bool = False

    def record(self) -> dict[str, Any]:
        """Plain JSON values, compared when a run is resumed."""
        return {
            "formats": sorted(self.formats),
            "overlay": self.overlay,
            "side_view": self.side_view,
            "frame": self.frame,
            **({"labels": True} if self.labels else {}),
            **({"texture": True} if self.texture else {}),
            **({"skeleton": True} if self.skeleton else {}),
            **({"uncertainty": True} if self.uncertainty else {}),
            **({} if self.rig == "smpl" else {"rig": self.rig}),  # as in files written before there were others
        }


def parse_formats(text: str) -> tuple[str, ...]:
    """Mesh formats from a comma list; ``npz`` and ``json`` are always written and may be named.

    Raises:
        UsageError: for a format that is not known.
        MissingExtraError: for a format whose extra is not installed.
    """
    from dsr.export import BLENDER_FORMATS, FORMATS

    names = [name.strip().lower().lstrip(".") for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in (*FORMATS, "npz", "json")]
    if unknown or not names:
        known = ", ".join([*FORMATS, "npz"])
        raise UsageError(
            f"--format {text!r}: unknown {', '.join(unknown) or 'empty list'}; use a comma list of {known}."
        )
    need_blender = [name for name in names if name in BLENDER_FORMATS]
    if need_blender and importlib.util.find_spec("bpy") is None:
        raise MissingExtraError(
            f"--format {','.join(need_blender)} needs Blender's Python module; install it (Python 3.11) with: "
            + install_hint("blender")
        )
    return tuple(dict.fromkeys(name for name in names if name in FORMATS))


def check_clip_outputs(output_options: OutputOptions, videos: bool) -> None:
    """Refuse what cannot be written for clips, before any is opened.

    Args:
        output_options: the files asked for.
        videos: whether any clip is a video file.

    Raises:
        UsageError: for a format that holds no animation, or a side view.
        MissingExtraError: if PyAV is needed and not installed.
    """
    still = [name for name in output_options.formats if name not in CLIP_FORMATS]
    if still:
        raise UsageError(f"--format {','.join(still)}: a clip is animated; use {', '.join(CLIP_FORMATS)}.")
    if output_options.labels:
        raise UsageError("--labels is for single pictures; use --overlay for a clip.")
    if output_options.texture:
        raise UsageError("--texture is for single pictures; fit one frame of the clip with it.")
    if output_options.side_view:
        raise UsageError("--side-view is for single pictures; use --overlay for a clip.")
    drawn = next((name for name in ("overlay", "skeleton") if getattr(output_options, name)), None)
    if (videos or drawn) and importlib.util.find_spec("av") is None:
        what = "Video files need" if videos else f"--{drawn} of a clip is a video and needs"
        raise MissingExtraError(f"{what} PyAV; install it with: {install_hint('video')}")
