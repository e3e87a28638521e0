"""Flips of fingers in a clip: a made-up clip of hands that open, close and turn, or any folder of frames or video.

    python benchmarks/hand_clip.py                      # the made-up clip
    python benchmarks/hand_clip.py walk_clip.mp4        # flips alone

A flip is a finger's joint that turns more than 40 degrees, or a hand that turns more than 60 against its forearm, from
one frame to the next.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from hands import MadeUpHands, place_of_fingers
from PIL import Image
from scipy.spatial.transform import Rotation

import dsr
from dsr.body import BodyAsset, load_asset
from dsr.body.numpy_lbs import pose_vertices, rodrigues
from dsr.fitting.fingers import RestHand
from dsr.rendering.drawing import draw, vertex_normals
from dsr.results.clip import TrackResult
from dsr.synthetic.backdrop import draw_backdrop
from dsr.synthetic.scene import shade

FINGER_DEG, WRIST_DEG = 40.0, 60.0
SIZE, FOCAL, FPS = 720, 1100.0, 25.0


def poses(asset: BodyAsset, frames: int) -> np.ndarray:
    """(T, 54, 3) of somebody who raises both hands, opens and closes them and turns them over."""
    names = list(asset.joint_names)
    out = np.zeros((frames, 54, 3))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        rest = RestHand(asset, np.zeros(10), side)
        for t in range(frames):
            phase = 2 * np.pi * t / 40 + (sign < 0) * 1.3
            out[t, names.index(f"{side}_shoulder") - 1] = [0.0, -sign * 0.35, -sign * 0.95]
            out[t, names.index(f"{side}_elbow") - 1] = [0.0, 0.0, sign * 2.0]
            turn = rodrigues(rest.forearm * (0.9 * np.sin(phase / 2) - 0.6)) @ rodrigues(np.array([0, 0, 0.2 * sign]))
            out[t, names.index(f"{side}_wrist") - 1] = Rotation.from_matrix(turn).as_rotvec()
            closed = 0.5 - 0.45 * np.cos(phase)
            angles = rest.relaxed * 0.0
            angles[0:16:4] = closed * 1.2
            angles[2:16:4] = closed * 1.5
            angles[3:16:4] = closed * 0.8
            angles[19:21] = closed * 0.6
            first = names.index(f"{side}_index1") - 1
            out[t, first : first + 15] = rest.as_pose(np.eye(3), angles).fingers
    return out


def draw_clip(asset: BodyAsset, folder: Path, frames: int) -> np.ndarray:
    """Draw the frames; the poses they show."""
    made = MadeUpHands(asset)
    rng = np.random.default_rng(4)
    moves, faces = poses(asset, frames), made.faces
    away = np.array([0.0, 0.25, 2.2])
    backdrop = draw_backdrop(rng, SIZE, SIZE)
    names = list(asset.joint_names)
    arms = [names.index(f"{side}_{part}") for side in ("left", "right") for part in ("wrist", "elbow")]
    bare = asset.weights[:, arms].sum(1) + asset.weights[:, 25:].sum(1) + asset.weights[:, [12, 15, 22, 23, 24]].sum(1)
    colours = np.where((bare > 0.5)[:, None], [205.0, 155.0, 130.0], [60.0, 70.0, 120.0]).astype(np.float32)
    K = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1.0]])
    for t, pose in enumerate(moves):
        vertices = pose_vertices(asset, np.zeros(10), pose, np.array([np.pi, 0, 0])) + away
        values = np.concatenate([colours, vertex_normals(vertices, faces)], 1)
        drawn = draw(vertices, faces, K, (SIZE, SIZE), values)
        picture = backdrop.copy()
        covered = drawn.face_index >= 0
        picture[covered] = shade(np.random.default_rng(4), drawn.values[:, :3], drawn.values[:, 3:])
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{t:04d}.png")
    return moves


def flips(track: TrackResult, asset: BodyAsset) -> tuple[int, float, float]:
    """How often something jumps, and the largest turns of finger and wrist joints between frames, degrees."""
    names = list(asset.joint_names)
    pose = np.asarray(track.body_pose)
    wrists = [names.index(f"{side}_wrist") - 1 for side in ("left", "right")]
    fingers = [k - 1 for k in range(25, 55)]

    def turns(rows: list[int]) -> np.ndarray:
        turn = Rotation.from_rotvec(pose[:, rows].reshape(-1, 3)).as_matrix().reshape(len(pose), len(rows), 3, 3)
        steps = np.swapaxes(turn[:-1], -1, -2) @ turn[1:]
        vectors = Rotation.from_matrix(steps.reshape(-1, 3, 3)).as_rotvec()
        return np.degrees(np.linalg.norm(vectors, axis=1)).reshape(len(steps), len(rows))

    if len(pose) < 2:
        return 0, 0.0, 0.0
    finger, wrist = turns(fingers), turns(wrists)
    count = int((finger > FINGER_DEG).sum() + (wrist > WRIST_DEG).sum())
    return count, float(finger.max()), float(wrist.max())


def main() -> None:
    """Print flips, and where the truth is known errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", default=None, help="instead of the made-up one")
    parser.add_argument("--frames", type=int, default=40, help="of the made-up clip")
    parser.add_argument("--keep", type=Path, default=None, help="folder for the made-up frames")
    arguments = parser.parse_args()
    asset = load_asset("open-x")
    options = dsr.FitOptions(expressive=True, quality="fast")
    with tempfile.TemporaryDirectory() as folder:
        frames = arguments.keep or Path(folder)
        frames.mkdir(exist_ok=True)
        truth = None if arguments.clip else draw_clip(asset, frames, arguments.frames)
        rate = None if arguments.clip else FPS
        result = dsr.fit_sequence(arguments.clip or frames, options, dsr.SequenceOptions(fps=rate))
    print(f"{result.status} {result.message}; {len(result.people)} people")
    for track in result.people:
        count, finger, wrist = flips(track, asset)
        left, right = 100 * np.isfinite(track.hand_presence).mean(0)
        print(f"{track.id}: {len(track.frames)} frames, hands seen in {left:.0f} and {right:.0f} %; {count} flips")
        print(f"  from frame to frame fingers turn up to {finger:.0f} degrees, wrists {wrist:.0f}")
        if truth is None:
            continue
        for side in ("left", "right"):
            off, idle = [], []
            first = asset.joint_names.index(f"{side}_index1") - 1
            relaxed = RestHand(asset, np.zeros(10), side)
            for t, frame in enumerate(track.frames):
                still = np.zeros(3)
                found, plain = truth[frame].copy(), truth[frame].copy()
                found[first : first + 15] = track.body_pose[t, first : first + 15]
                plain[first : first + 15] = relaxed.as_pose(np.eye(3), relaxed.relaxed).fingers
                true = place_of_fingers(asset, np.zeros(10), truth[frame], still, side)
                for rows, errors in ((found, off), (plain, idle)):
                    there = place_of_fingers(asset, np.zeros(10), rows, still, side)
                    errors.append(1000 * np.linalg.norm(there - true, axis=1).mean())
            print(f"  {side}: finger joints in the wrist's frame {np.mean(off):.1f} mm, relaxed {np.mean(idle):.1f}")


if __name__ == "__main__":
    main()
