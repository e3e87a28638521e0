"""Joint fitting of a clip against frame by frame: python benchmarks/sequence.py [--mocap CLIP.bvh] [--out DIR].

A dressed person of known pose, shape and place walks in front of a fixed camera. The pictures go through ``dsr-fit``
three times: every picture by itself, as a clip without a lifter, as a clip with the shipped one. Prints, against the
truth: MPJPE (root-relative) and PA-MPJPE in millimetres, acceleration error in m/s^2, and foot skate: how far the
body's heels and toes slide per second while the true ones rest. The last line is one JSON object. With ``--out`` the
pictures and results stay for looking at.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from _clock import say  # noqa: E402

SIZE, FOCAL = 640, 700.0
LIMBS = 22  # hands and feet's ends of the 24 joints have no keypoints of their own
Truth = dict[str, np.ndarray]


def walk(args: argparse.Namespace, rest: np.ndarray) -> Any:
    """The motion: a clip of motion capture, or the walk made of sines."""
    from dsr.mocap.bvh import read_bvh
    from dsr.mocap.gait import walking_motion
    from dsr.mocap.retarget import retarget_to_smpl

    if args.mocap is None:
        return walking_motion(args.frames / args.fps, args.fps, turn_rad_s=0.15, rest=rest)
    motion = read_bvh(args.mocap)
    motion = retarget_to_smpl(motion.every(max(1, round(motion.fps / args.fps)), 3), rest)
    cut = slice(args.first, args.first + args.frames)
    return replace(
        motion,
        body_pose_rotmat=motion.body_pose_rotmat[cut],
        global_orient=motion.global_orient[cut],
        root_position_m=motion.root_position_m[cut],
    )


def draw(args: argparse.Namespace, folder: Path) -> tuple[Truth, float]:
    """Pictures of the walk in ``folder``, what is true of them, and the frame rate."""
    from PIL import Image

    from dsr.rendering.zbuffer import rasterise
    from dsr.synthetic.bodies import mannequin
    from dsr.synthetic.garments import draw_outfit
    from dsr.synthetic.scene import draw_background, shade

    rng = np.random.default_rng(args.seed)
    body = mannequin()
    betas = np.clip(rng.normal(0, 0.8, 10), -1.5, 1.5)
    shaped = body.asset.v_template + body.asset.shapedirs[..., :10] @ betas
    rest = body.asset.J_regressor @ shaped
    motion = walk(args, rest)
    outfit = draw_outfit(rng, True)
    while outfit.skirt:  # a skirt hides which leg is which
        outfit = draw_outfit(rng, True)
    background = draw_background(rng, SIZE)
    while not 80 < background.mean() < 180:  # neither night nor glare
        background = draw_background(rng, SIZE)
    light = int(rng.integers(2**31))
    camera = Rotation.from_euler("x", 0.12).as_matrix() @ np.diag([1.0, -1.0, -1.0])
    camera = camera @ Rotation.from_euler("y", args.heading).as_matrix()
    middle = (motion.root_position_m.max(0) + motion.root_position_m.min(0)) / 2
    places = (motion.root_position_m - middle) @ camera.T + [0.0, 0.05, args.distance]
    K = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]])
    joints, feet = [], []
    for t in range(len(motion)):
        turns = np.concatenate([(camera @ motion.global_orient[t])[None], motion.body_pose_rotmat[t]])
        person = body.pose(betas, turns, outfit)
        transl = places[t] - person.joints[0]
        points = (person.cloth if outfit.skirt else person.cloth[: body.num_body]) + transl
        seen = rasterise(points, person.faces, K, (SIZE, SIZE), near=0.1, cull_back=True)
        fields = seen.interpolate(np.concatenate([person.places, person.normals], 1)[: len(points)])
        template, normals = fields[:, :3].astype(np.float32), fields[:, 3:].astype(np.float32)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        face, tube = seen.face_index[seen.covered], len(body.asset.faces)
        normals[face >= tube + (len(person.faces) - tube) // 2] *= -1
        labels = outfit.labels(template)
        if outfit.skirt:
            labels[face >= tube] = outfit.skirt
        picture = background.copy()
        picture[seen.covered] = shade(np.random.default_rng(light), outfit.colours(template, labels), normals)
        picture += np.random.default_rng([args.seed, t]).normal(0, 4, (SIZE, SIZE, 1))
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"walk_{t}.jpg", quality=92)
        joints.append(person.joints + transl)
        feet.append(body.keypoints(person.skin, "blazepose33")[29:33] + transl)
    return {"joints": np.array(joints), "feet": np.array(feet)}, motion.fps


def scores(joints: np.ndarray, feet: np.ndarray, frames: np.ndarray, truth: Truth, fps: float) -> dict[str, float]:
    """The figures of a fit that has the given frames."""
    from dsr.evaluation import mpjpe, pa_mpjpe

    mine, theirs = joints[:, :LIMBS], truth["joints"][frames, :LIMBS]
    whole = np.flatnonzero((frames[2:] - frames[:-2]) == 2)  # frames with both neighbours
    acceleration = [(p[whole + 2] - 2 * p[whole + 1] + p[whole]) * fps**2 for p in (mine, theirs)]
    pairs = np.flatnonzero(np.diff(frames) == 1)
    steps = [np.linalg.norm(p[pairs + 1] - p[pairs], axis=-1) * fps for p in (feet, truth["feet"][frames])]
    resting = steps[1] < 0.1
    return {
        "mpjpe_mm": float(1000 * np.mean(np.asarray(mpjpe(mine, theirs)))),
        "pa_mpjpe_mm": float(1000 * np.mean(np.asarray(pa_mpjpe(mine, theirs)))),
        "acceleration_m_s2": float(np.linalg.norm(acceleration[0] - acceleration[1], axis=-1).mean()),
        "skate_mm_s": float(1000 * steps[0][resting].mean()) if resting.any() else float("nan"),
        "frames": len(frames),
    }


def run(argv: list[str]) -> float:
    """The command; returns its seconds."""
    from dsr.cli.fit import main

    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(argv)
    if code:
        raise SystemExit(f"dsr-fit {' '.join(argv)} ended with {code}")
    return time.perf_counter() - started


def single(args: argparse.Namespace, pictures: Path, out: Path, truth: Truth, fps: float) -> dict[str, Any]:
    """Every picture by itself."""
    import dsr
    from dsr.body import load_asset

    seconds = run([str(pictures), "--out", str(out), "--person", "largest", "--focal", str(FOCAL), "--format", "npz"])
    frames, joints, feet = [], [], []
    regressor = load_asset("open").keypoint_regressor("blazepose33")[29:33]
    for t in range(len(truth["joints"])):
        result = dsr.load_result(out / f"walk_{t}.json")
        if result.people:
            frames.append(t)
            joints.append(result.people[0].joints_cam_m)
            feet.append(regressor @ result.people[0].vertices_cam_m)
    figures = scores(np.array(joints), np.array(feet), np.array(frames), truth, fps)
    return {"what": "frame by frame", "seconds": seconds, **figures}


def clip(pictures: Path, out: Path, truth: Truth, fps: float, lifter: str) -> dict[str, Any]:
    """All pictures as one clip."""
    import dsr
    from dsr.body import load_asset

    asset = load_asset("open")
    seconds = run(
        [
            str(pictures),
            "--sequence",
            "--fps",
            str(fps),
            "--out",
            str(out),
            "--person",
            "largest",
            "--focal",
            str(FOCAL),
            "--lifter",
            lifter,
            "--overlay",
        ]
    )
    result = dsr.load_result(out / f"{pictures.name}.json")
    track = result.people[0]
    regressor = asset.keypoint_regressor("blazepose33")[29:33]
    feet = np.array([regressor @ result.people_at(int(t), asset)[0].vertices_cam_m for t in track.frames])
    figures = scores(track.joints_cam_m, feet, track.frames, truth, fps)
    name = {"none": "clip, no lifter", "shipped": "clip, shipped lifter"}.get(lifter, f"clip, {Path(lifter).name}")
    if lifter != "none" and result.lifter["name"] == "none":
        name += " (missing: the detector's landmarks)"
    return {"what": name, "seconds": seconds, **figures, "timing_s": result.timing_s}


def main() -> None:
    """Draw, fit, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mocap", type=Path, help="a BVH clip to walk after; without it the walk is made of sines")
    parser.add_argument("--first", type=int, default=0, help="first frame of the BVH clip")
    parser.add_argument("--frames", type=int, default=75)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--heading", type=float, default=0.8, help="direction of the walk, radians; 0 is to the camera")
    parser.add_argument("--distance", type=float, default=4.5, help="metres")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--lifters", default="none,shipped", help="comma list: none, shipped, files of weights")
    parser.add_argument("--skip-single", action="store_true", help="leave out frame by frame")
    parser.add_argument("--out", type=Path, help="keep pictures and results in this folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = args.out or Path(temporary)
        pictures = out / "walk"
        pictures.mkdir(parents=True, exist_ok=True)
        for old in pictures.glob("walk_*.jpg"):
            old.unlink()
        truth, fps = draw(args, pictures)
        say(f"{len(truth['joints'])} frames at {fps:g} per second, {SIZE} x {SIZE} pixels")
        rows = [] if args.skip_single else [single(args, pictures, out / "single", truth, fps)]
        for lifter in args.lifters.split(","):
            rows.append(clip(pictures, out / f"clip_{Path(lifter).stem}", truth, fps, lifter))
    say(f"{'':44} {'MPJPE':>7} {'PA':>7} {'accel.':>7} {'skate':>7} {'frames':>7} {'seconds':>8}")
    say(f"{'':44} {'mm':>7} {'mm':>7} {'m/s2':>7} {'mm/s':>7}")
    for row in rows:
        say(
            f"{row['what']:44} {row['mpjpe_mm']:7.1f} {row['pa_mpjpe_mm']:7.1f} {row['acceleration_m_s2']:7.2f} "
            f"{row['skate_mm_s']:7.1f} {row['frames']:7d} {row['seconds']:8.1f}"
        )
    say(json.dumps(rows))


if __name__ == "__main__":
    main()
