"""Expressions of made-up faces: jaw, gaze, closed eyes and smiles as read from a picture, against the truth.

    python benchmarks/faces.py --count 200

Every picture shows the head of an open-x body of a random shape with random actions, jaw and gaze, turned by up to 25
degrees, its eyes 16 to 60 pixels apart.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from _tiles import save_tiles

from dsr.body import load_asset
from dsr.body.numpy_lbs import pose_vertices
from dsr.fitting.face_actions import FITTED, read_face
from dsr.people.expressive_face import FaceReader
from dsr.people.regions import Pyramid

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "body_models"))
from build_face_landmarks import Heads, keypoints


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="pictures")
    parser.add_argument("--sheet", type=Path, default=None, help="write the faces as one picture")
    arguments = parser.parse_args()
    asset = load_asset("open-x")
    names, heads, reader = list(asset.joint_names), Heads(asset), FaceReader(1)
    rows, strengths, tiles = [], [], []
    for seed in range(arguments.count):
        rng = np.random.default_rng(50_000 + seed)
        betas = np.zeros(asset.num_betas)
        betas[:10] = rng.normal(0, 0.7, 10)
        truth = {}
        for name in rng.choice(FITTED, 3, replace=False):
            truth[str(name)] = rng.uniform(0, 1)
        closed = rng.random() < 0.3
        if rng.random() < 0.3:
            truth["mouthSmileLeft"] = truth["mouthSmileRight"] = rng.uniform(0.4, 1)
        for side in ("Left", "Right"):
            truth[f"eyeBlink{side}"] = 1.0 if closed else 0.0
        for name, value in truth.items():
            betas[asset.num_shapes + asset.expression_names.index(name)] = value
        pose = np.zeros((54, 3))
        jaw = rng.choice([0.0, rng.uniform(0, 0.4)])
        gaze = np.array([*rng.normal(0, [0.15, 0.25]), 0.0])
        pose[names.index("jaw") - 1, 0] = jaw
        for eye in ("left_eye_smplhf", "right_eye_smplhf"):
            pose[names.index(eye) - 1] = gaze
        vertices = pose_vertices(asset, betas, pose)
        picture, _, K, _, placed = heads(vertices, rng, rng.uniform(16, 60))
        face = reader(Pyramid(picture), *keypoints(asset, placed, K))
        if face is None:
            continue
        found = read_face(face)
        off_gaze = np.nan if found.gaze is None or closed else np.linalg.norm(found.gaze - gaze)
        blinks = [found.actions.get(f"eyeBlink{side}", 0.0) for side in ("Left", "Right")]
        rows.append([abs(found.jaw[0] - jaw), jaw, off_gaze, np.linalg.norm(gaze), (np.mean(blinks) > 0.5) == closed])
        strengths.append([(found.actions.get(name, 0.0), truth.get(name, 0.0)) for name in FITTED])
        if arguments.sheet and len(tiles) < 40:
            import cv2

            tile = Pyramid(picture).crop(face.region.upright(), 160).copy()
            for u, v in face.region.upright().to_crop(face.points[:, :2], 160):
                cv2.circle(tile, (int(u), int(v)), 1, (0, 255, 0), -1)
            text = f"j{np.degrees(found.jaw[0]):.0f}/{np.degrees(jaw):.0f} b{np.mean(blinks):.1f}/{closed:d}"
            cv2.putText(tile, text, (2, 12), 0, 0.4, (255, 255, 0), 1)
            tiles.append(tile)
    table, pairs = np.array(rows, float), np.array(strengths)
    error, rest = np.degrees(table[:, 0].mean()), np.degrees(table[:, 1].mean())
    print(f"{arguments.count} faces, {len(rows)} read")
    print(f"jaw {error:.1f} degrees (a closed mouth: {rest:.1f})")
    gazes = table[np.isfinite(table[:, 2])]
    print(f"gaze {np.degrees(gazes[:, 2].mean()):.1f} degrees (ahead: {np.degrees(gazes[:, 3].mean()):.1f})")
    print(f"closed and open eyes told apart: {100 * table[:, 4].mean():.0f} %")
    off = np.abs(pairs[..., 0] - pairs[..., 1]).mean()
    print(f"strength of an action {off:.3f} (at rest: {pairs[..., 1].mean():.3f})")
    for k, name in enumerate(FITTED):
        there = pairs[:, k, 1] > 0.5
        if there.any():
            strong, weak = pairs[there, k, 0].mean(), pairs[~there, k, 0].mean()
            print(f"  {name:22}{strong:5.2f} where it is above 0.5, {weak:5.2f} else")
    if arguments.sheet:
        save_tiles(tiles, arguments.sheet)


if __name__ == "__main__":
    main()
