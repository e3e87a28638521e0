"""Where the 478 landmarks of the face mesh lie on the open body: vertices, and what the model sees of a face at rest.

    python body_models/build_face_landmarks.py     # after build_open_x.py; needs the extra `detector`, a minute

Heads of the average body are drawn in many views, lights and skins; the face and iris models look at them; every
landmark is followed back to the vertex it lies on. Writes face_landmarks.npz beside the body. Two runs give the same
bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from bake import save_npz

from dsr.body import BodyAsset, load_asset
from dsr.body.numpy_lbs import rest_shape, rodrigues
from dsr.fitting.face_actions import STABLE, similarity
from dsr.people.expressive_face import FaceReader
from dsr.people.regions import Pyramid
from dsr.rendering.drawing import Drawing, draw, vertex_normals
from dsr.synthetic.backdrop import draw_backdrop
from dsr.synthetic.face_paint import skin_colours
from dsr.synthetic.scene import shade

SIZE = 320
VIEWS = 60
UPPER_LIP = (185, 40, 39, 37, 0, 267, 269, 270, 409, 191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_LIP = (146, 91, 181, 84, 17, 314, 405, 321, 375, 95, 88, 178, 87, 14, 317, 402, 318, 324)
UPPER_LIP += (184, 74, 73, 72, 11, 302, 303, 304, 408, 183, 42, 41, 38, 12, 268, 271, 272, 407)
LOWER_LIP += (77, 90, 180, 85, 16, 315, 404, 320, 307, 96, 89, 179, 86, 15, 316, 403, 319, 325)


class Heads:
    """Draws heads of a body."""

    def __init__(self, asset: BodyAsset) -> None:
        self.asset = asset
        names = asset.part_names
        near = asset.weights[:, [asset.joint_names.index(n) for n in FACE_JOINTS]].sum(1) > 0.5
        part = np.array(names)[asset.part_ids]
        faces = asset.faces
        self.rows = np.flatnonzero(near[faces].all(1))
        self.faces = faces[self.rows]
        self.part = part

    def __call__(
        self, vertices: np.ndarray, rng: np.random.Generator, eyes_px: float | None = None
    ) -> tuple[np.ndarray, Drawing, np.ndarray, np.ndarray, np.ndarray]:
        """Picture, drawing, camera matrix, rotation (3, 3) and place of the vertices (V, 3) of a head."""
        turn = rodrigues(np.array([0, rng.uniform(-0.4, 0.4), 0])) @ rodrigues(
            np.array([rng.uniform(-0.25, 0.25), 0, 0])
        )
        turn = rodrigues(np.array([0, 0, rng.uniform(-0.15, 0.15)])) @ rodrigues(np.array([np.pi, 0, 0])) @ turn
        middle = vertices[self.asset.faces[np.isin(self.part, ["left_eye", "right_eye"])]].reshape(-1, 3).mean(0)
        centre = middle - [0, 0.03, 0.08]
        placed = (vertices - centre) @ turn.T + [0, 0, 1.2]
        focal = (eyes_px or rng.uniform(45, 75)) / 0.062 * 1.2
        K = np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1.0]])
        normals = vertex_normals(placed, self.faces)
        drawn = draw(placed, self.faces, K, (SIZE, SIZE), np.concatenate([skin_colours(rng, self.asset), normals], 1))
        picture = draw_backdrop(rng, SIZE, SIZE)
        picture[drawn.face_index >= 0] = shade(rng, drawn.values[:, :3], drawn.values[:, 3:])
        return np.clip(picture, 0, 255).astype(np.uint8), drawn, K, turn, placed


FACE_JOINTS = ("head", "jaw", "left_eye_smplhf", "right_eye_smplhf", "neck")


def main() -> None:
    """Bake the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open", type=Path, default=Path(__file__).resolve().parent / "open", help="its folder")
    folder = parser.parse_args().open
    asset = load_asset("open-x")
    heads, reader = Heads(asset), FaceReader(1)
    vertices, _ = rest_shape(asset, np.zeros(1))
    hits: list[list[np.ndarray]] = [[] for _ in range(478)]
    seen = []
    for seed in range(VIEWS):
        rng = np.random.default_rng(seed)
        picture, drawn, K, turn, placed = heads(vertices, rng)
        shift = vertices[0] - (placed[0] @ turn)
        face = reader(Pyramid(picture), *keypoints(asset, placed, K))
        if face is None:
            continue
        pixels = np.floor(face.points[:, :2]).astype(int)
        for k, (u, v) in enumerate(pixels):
            if 0 <= u < SIZE and 0 <= v < SIZE and drawn.face_index[v, u] >= 0:
                depth = drawn.depth[v, u]
                ray = np.linalg.inv(K) @ [*face.points[k, :2], 1.0]
                hits[k].append((ray * depth) @ turn + shift)
        seen.append(face.points @ turn)
    weights = asset.weights
    jaw = weights[:, asset.joint_names.index("jaw")]
    skin = np.ones(asset.num_vertices, bool)
    skin[asset.faces[asset.interior]] = False
    near = asset.weights[:, [asset.joint_names.index(n) for n in FACE_JOINTS]].sum(1) > 0.5
    chosen = np.zeros(468, np.int64)
    for k in range(468):
        place = np.median(hits[k], axis=0)
        allowed = skin & near
        if k in UPPER_LIP:
            allowed = allowed & (jaw < 0.35)
        if k in LOWER_LIP:
            allowed = allowed & (jaw > 0.5)
        off = np.linalg.norm(vertices - place, axis=1)
        chosen[k] = int(np.argmin(np.where(allowed, off, np.inf)))
    stable = list(STABLE)
    aligned = []
    for points in seen:
        scale, rotation, shift = similarity(points[stable], vertices[chosen[stable]])
        aligned.append(scale * points @ rotation.T + shift)
    rest = np.median(aligned, axis=0)
    spread = np.median(np.linalg.norm(np.array(aligned) - rest, axis=2), axis=0)
    off = np.linalg.norm(rest[:468] - vertices[chosen], axis=1)
    print(
        f"{len(seen)} of {VIEWS} views; landmarks differ by {1000 * np.median(spread):.1f} mm between views (median),"
    )
    print(f"by {1000 * np.median(off):.1f} mm from their vertices")
    arrays = {
        "vertices": chosen.astype(np.int32),
        "rest": rest.astype(np.float32),
        "open_sha256": np.array(asset.sha256),
    }
    save_npz(folder / "face_landmarks.npz", arrays)


def keypoints(asset: BodyAsset, placed: np.ndarray, K: np.ndarray) -> tuple[np.ndarray, str]:
    """BlazePose's points (33, 2) of a body in the picture."""
    points = (asset.keypoint_regressors["blazepose33"] @ placed) @ K.T
    return points[:, :2] / points[:, 2:], "blazepose33"


if __name__ == "__main__":
    main()
