"""Drawn faces as the face models see them, for learning to read faces; a folder keeps them, so that a run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body import BodyAsset, load_asset
from dsr.evaluation.faces_drawn import DrawnFace, draw_face
from dsr.fitting.face_actions import in_heads_frame
from dsr.fitting.face_network import face_inputs
from dsr.fitting.faces import EYES, looking_at
from dsr.npz import read_npz
from dsr.people.expressive_face import FaceLandmarks, FaceReader
from dsr.people.regions import Pyramid
from dsr.training.systems.hand_samples import together, write_samples

SEEDS_A_FILE = 250


def sample(asset: BodyAsset, drawn: DrawnFace, face: FaceLandmarks) -> dict[str, np.ndarray]:
    """What the network sees of a drawn face, and what it shall say.

    Args:
        asset: the body that was drawn.
        drawn: the face.
        face: what the face models say of it.
    """
    assert face.features is not None
    names, offsets, rotation = list(asset.joint_names), *in_heads_frame(face)
    middle = np.linalg.inv(drawn.K) @ [*face.points[:468, :2].mean(0), 1.0]
    seen_from = looking_at(middle)
    turn = Rotation.from_matrix(rotation @ seen_from.T @ drawn.head).as_rotvec()
    pose = drawn.person.pose
    jaw, gaze = pose[names.index("jaw") - 1, 0], pose[names.index(EYES[0]) - 1, :2]
    return {
        "inputs": face_inputs(face.features, offsets, rotation, face.eyes_px).astype(np.float16),
        "truth": np.array([jaw, *gaze, float(drawn.person.closed), *turn]),
    }


def kept_faces(folder: Path, first: int, seeds: int) -> dict[str, np.ndarray]:
    """The samples of so many seeds; what the folder does not have yet is made.

    Args:
        folder: of the files.
        first: seed.
        seeds: a multiple of :data:`SEEDS_A_FILE`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asset, reader, parts = load_asset("open-x"), FaceReader(1), []
    for start in range(first, first + seeds, SEEDS_A_FILE):
        file = folder / f"faces_{start}.npz"
        if not file.is_file():
            rows = []
            for seed in range(start, start + SEEDS_A_FILE):
                drawn = draw_face(asset, seed)
                face = None if drawn is None else reader(Pyramid(drawn.picture), drawn.keypoints, "blazepose33")
                if drawn is not None and face is not None:
                    rows.append(sample(asset, drawn, face))
            write_samples(file, rows)
        parts.append(read_npz(file))
    return together(parts)
