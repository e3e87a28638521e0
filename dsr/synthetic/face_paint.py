"""Colours of a bare body's skin, lips, brows and eyes, so that face models see a face."""

from __future__ import annotations

import numpy as np

from dsr.body import BodyAsset

COLOUR_OF = {"eye": (235, 232, 228), "iris": (90, 60, 40), "pupil": (12, 10, 10), "lashes": (35, 25, 20)}


def skin_colours(rng: np.random.Generator, asset: BodyAsset) -> np.ndarray:
    """(V, 3) float32 a skin, lips and brows of a random tone, 0..255; the body has facial actions (open-x)."""
    bright = rng.uniform(90, 235)
    skin = np.array([bright, bright * rng.uniform(0.7, 0.82), bright * rng.uniform(0.52, 0.7)])
    colours = np.tile(skin, (asset.num_vertices, 1))
    lips, brows = painted(asset)
    lip = np.array([0.78, 0.52, 0.52]) * skin + [25, 0, 5]
    colours = colours + lips[:, None] * (lip - colours)
    colours = colours + brows[:, None] * (np.full(3, rng.uniform(20, 70)) - colours)
    part = np.array(asset.part_names)[asset.part_ids]
    for kind, colour in COLOUR_OF.items():
        chosen = [p for p in asset.part_names if p.endswith(kind) and p.split("_")[0] in ("left", "right")]
        colours[np.unique(asset.faces[np.isin(part, chosen)])] = colour
    return colours.astype(np.float32)


def painted(asset: BodyAsset) -> tuple[np.ndarray, np.ndarray]:
    """(V,) how far every vertex is one of the lips, and of the brows, by what facial actions move."""
    place = asset.v_template
    actions = {n: asset.shapedirs[..., asset.num_shapes + i] for i, n in enumerate(asset.expression_names)}
    pucker = np.linalg.norm(actions["mouthRollLower"], axis=1) + np.linalg.norm(actions["mouthRollUpper"], axis=1)
    lips = np.clip(pucker / pucker.max() * 2 - 0.3, 0, 1)
    eye = asset.J_regressor @ place
    brows = np.zeros(len(place))
    for name in ("left_eye_smplhf", "right_eye_smplhf"):
        centre = eye[asset.joint_names.index(name)]
        off = place - centre
        high = np.abs(off[:, 1] - 0.021 + 8 * (np.abs(place[:, 0]) - abs(centre[0])) ** 2) < 0.004
        brows[high & (np.abs(off[:, 0]) < 0.022) & (place[:, 2] > centre[2] - 0.03)] = 0.8
    return lips, brows
