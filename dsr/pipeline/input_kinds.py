"""By its name: what is a picture in a folder, what is left out of one, and what this program wrote itself."""

from __future__ import annotations

from pathlib import Path

OWN_ENDINGS = (
    ".overlay.jpg",
    ".side.jpg",
    ".upright.jpg",
    ".labels.jpg",
    ".skeleton.jpg",
    ".overlay.mp4",
    ".skeleton.mp4",
)
"""What is no input where the JSON file of a result lies beside it."""


def is_picture(path: Path) -> bool:
    """Whether it is a picture by its suffix, and none that a fit has drawn."""
    from dsr.image.formats import PICTURE_SUFFIXES

    return path.suffix.lower() in PICTURE_SUFFIXES and not _is_output(path)


def is_left_out(path: Path) -> bool:
    """Whether it is a video or a camera raw file, which somebody may miss among the pictures of a folder."""
    from dsr.image.formats import RAW_SUFFIXES
    from dsr.image.video import is_video

    return path.suffix.lower() in RAW_SUFFIXES or (is_video(path) and not _is_output(path))


def _is_output(path: Path) -> bool:
    """Whether it is an overlay or the like of a result beside it."""
    return any(
        path.name.endswith(ending) and path.with_name(path.name[: -len(ending)] + ".json").is_file()
        for ending in OWN_ENDINGS
    )
