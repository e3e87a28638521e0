"""What a user can bring to ``dsr``, where it goes and under which licence: nothing of it is shipped or fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Brought:
    """One thing that can be brought.

    Attributes:
        name: what it is.
        place: where it goes, or how it is named.
        licence: in a few words.
        file: name below the folders of body models by which it is found; "" where it is named on the command line.
    """

    name: str
    place: str
    licence: str
    file: str = ""


BROUGHT = (
    Brought(
        "SMPL, SMPL-H, SMPL-X",
        "body_models/, then --body smpl, smplh or smplx",
        "the Max Planck Society's, non-commercial unless bought",
        "SMPL_NEUTRAL.pkl",
    ),
    Brought("DSR's checkpoints", "--regressor dsr:FILE", "the authors': non-commercial research"),
    Brought("PersPose's checkpoints", "--regressor perspose:FILE", "the authors' (see their repository)"),
    Brought(
        "InstantHMR's ONNX files",
        "--regressor instanthmr:FILE.onnx, with the extra onnx",
        "SAM License or CC BY-NC 4.0 by file: non-commercial but for the one named commercial",
    ),
    Brought(
        "MHR's body (mhr_model.pt)",
        "body_models/, for InstantHMR's files without 3D keypoints",
        "Apache-2.0",
        "mhr_model.pt",
    ),
    Brought("results of SAM 3D Body", "--regressor sam3dbody:PATH (.npz, .json)", "SAM License"),
    Brought("BlazePose's heavy landmark model", "--landmarks FILE", "Apache-2.0"),
    Brought(
        "clothing labels and parsers",
        "--parser graphonomy:DIR, lip:DIR, atr:DIR, transformers:DIR, mediapipe:FILE",
        "their authors'",
    ),
    Brought("lifters of this package or of their authors", "--lifter FILE", "their authors'"),
)


def find_brought(item: Brought) -> Path | None:
    """The file where it is found by itself."""
    from dsr.body.asset_file import model_folders

    if not item.file:
        return None
    found = (path for folder in model_folders() if folder.is_dir() for path in sorted(folder.rglob(item.file)))
    return next(found, None)
