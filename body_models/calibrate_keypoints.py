"""Print where the shipped detector marks its landmarks on the open body: evidence for the offsets in keypoints.py.

    python examples/render_people.py --count 250 --seed 77000 --out PICTURES --size 512 --samples 2
    python body_models/calibrate_keypoints.py --pictures PICTURES

The pictures are of dressed people of random shapes and poses, seen from all sides; the landmarks found on them are
compared with the body's blazepose33 keypoints. One picture shows an offset across the view only; over many views one
offset in the frame of the body part, the same for all people and mirrored for right ones, is found by robust least
squares. Printed a landmark, in millimetres: the offset from the keypoint, the same from either half of the people, the
root of the mean squared distance across the view (clipped at :data:`CLIP_M`) before and after, how far outwards it
remains where the part is seen from the front and from the back and how far ahead where seen from the side, and the
offset that keypoints.py should hold: the present one where another does not lower the root mean squared distance.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from keypoints import BLAZEPOSE_OFFSETS_MM
from scipy.spatial.transform import Rotation

from dsr.body import BodyAsset, load_asset
from dsr.body.joints import joint_names
from dsr.body.numpy_lbs import pose_vertices
from dsr.image import read_photo
from dsr.people import PeopleDetector

MIN_CONFIDENCE = 0.5
SIGMA_M, CLIP_M, ROUNDS = 0.015, 0.1, 20
"""Where residuals begin to count less (Geman-McClure), where they count no more, rounds of reweighting."""
MIRROR = np.array([-1.0, 1.0, 1.0])
NAMES = joint_names("blazepose33")


def observe(
    asset: BodyAsset, person: dict[str, Any], camera: np.ndarray, points_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How landmarks of a picture lie off the body's keypoints, in metres at their depth.

    Args:
        asset: the body.
        person: of a truth file.
        camera: (3, 3) intrinsics.
        points_px: (33, 2).

    Returns:
        Residuals (33, 2), their slopes (33, 2, 3) by the offset in the rest frame of the part (right ones mirrored) and
        the direction (33, 3) to the camera in that frame.
    """
    rows = asset.keypoint_regressor("blazepose33")
    betas, pose, orient, transl = (
        np.array(person[k], float) for k in ("betas", "body_pose", "global_orient", "transl")
    )
    place = np.asarray(rows @ pose_vertices(asset, betas, pose, orient, transl), np.float64)
    local = Rotation.from_rotvec(np.concatenate([orient.reshape(1, 3), pose.reshape(-1, 3)])).as_matrix()
    world = np.empty_like(local)
    for joint, parent in enumerate(asset.parents):
        world[joint] = local[joint] if parent < 0 else world[parent] @ local[joint]
    turn = np.einsum("kj,jab->kab", np.asarray(rows @ asset.weights, np.float64), world)
    turn[["right" in name for name in NAMES]] *= MIRROR
    depth, ray = place[:, 2:], place[:, :2] / place[:, 2:]
    residual = (points_px - camera[:2, 2]) / camera[0, 0] * depth - place[:, :2]
    slope = turn[:, :2] - ray[..., None] * turn[:, 2:]
    view = -np.einsum("kab,ka->kb", turn, place / np.linalg.norm(place, axis=1, keepdims=True))
    return residual, slope, view


def robust_offset(residual: np.ndarray, slope: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The offset (3,) that explains residuals (N, 2) with slopes (N, 2, 3) best; weights (N,)."""
    offset = np.zeros(3)
    for _ in range(ROUNDS):
        left = np.linalg.norm(residual - slope @ offset, axis=1)
        trust = weight * (SIGMA_M**2 / (SIGMA_M**2 + left**2)) ** 2
        normal = np.einsum("n,nax,nay->xy", trust, slope, slope) + 1e-9 * np.eye(3)
        offset = np.linalg.solve(normal, np.einsum("n,nax,na->x", trust, slope, residual))
    return offset


def gather(asset: BodyAsset, folder: Path) -> tuple[np.ndarray, ...]:
    """Residuals (P, 33, 2), slopes (P, 33, 2, 3), views (P, 33, 3) and confidences (P, 33) of all people."""
    detector, found = PeopleDetector(threads=1), []
    for file in sorted(folder.glob("*.truth.json")):
        truth = json.loads(file.read_text(encoding="utf-8"))
        if truth["body"]["sha256"] != asset.sha256:
            raise SystemExit(f"{file} is of another body than {asset.path}; render the pictures again.")
        people = [p for p in truth["people"] if p["visible_share"] > 0.95]
        if not people:
            continue
        photo = read_photo(file.with_name(truth["image"]))
        for person in people:
            (seen,) = detector.detect_in_boxes(photo, np.array([person["box_px"]]))
            seen_from = observe(asset, person, np.array(truth["K"]), seen.keypoints_px)
            found.append((*seen_from, seen.confidence))
    if not found:
        raise SystemExit(f"{folder} holds no pictures with people that are all in sight.")
    return tuple(np.stack(column) for column in zip(*found, strict=True))


def _stem(name: str) -> str:
    """The name of a landmark in keypoints.py."""
    stem = "_".join(part for part in name.split("_") if part not in ("left", "right"))
    return "big_toe" if stem == "foot_index" else stem


def _line(name: str, data: tuple[np.ndarray, ...], half: np.ndarray) -> str:
    both = [i for i, n in enumerate(NAMES) if _stem(n) == name]
    residual, slope, view, confidence = (a[:, both] for a in data)
    use = (confidence > MIN_CONFIDENCE) & (np.linalg.norm(residual, axis=2) < CLIP_M)
    first = np.broadcast_to(half[:, None], use.shape)[use]
    r, s, v, w = (a[use] for a in (residual, slope, view, confidence))
    offsets = [robust_offset(r[part], s[part], w[part]) for part in (slice(None), first, ~first)]
    if name == "nose":
        for offset in offsets:
            offset[0] = 0.0
    left = r - s @ offsets[0]
    rms = [np.sqrt((np.minimum(np.linalg.norm(x, axis=1), CLIP_M) ** 2).mean()) for x in (r, left)]

    def along(axis: int) -> np.ndarray:
        way = s[:, :, axis]
        return (left * way).sum(1) / np.maximum(np.linalg.norm(way, axis=1), 1e-6)

    seen = ((along(0), v[:, 2] > 0.7), (along(0), v[:, 2] < -0.7), (along(2), abs(v[:, 0]) > 0.7))
    remains = [np.median(value[part]) if part.any() else np.nan for value, part in seen]
    shown = "".join("".join(f"{1000 * x:6.1f}" for x in o).rjust(20) for o in offsets)
    move = offsets[0] if rms[1] < rms[0] else np.zeros(3)
    table = tuple(int(x) for x in np.round(np.array(BLAZEPOSE_OFFSETS_MM[name]) + 1000 * move))
    numbers = "".join(f"{1000 * x:8.1f}" for x in (*rms, *remains))
    return f"{name:10}{len(r):5}{shown}{numbers}   {table}"


def main() -> None:
    """Detect, solve and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of examples/render_people.py")
    parser.add_argument("--asset", default="open", help="the body that was rendered")
    args = parser.parse_args()
    data = gather(load_asset(args.asset), args.pictures)
    half = np.arange(len(data[0])) % 2 == 0
    print(f"{len(half)} people; millimetres, left side: x out, y up, z forward")
    print(
        f"{'landmark':10}{'seen':>5}{'offset':>20}{'half':>20}{'other half':>20}"
        f"{'before':>8}{'after':>8}{'front':>8}{'back':>8}{'side':>8}   table"
    )
    for name in BLAZEPOSE_OFFSETS_MM:
        print(_line(name, data, half))


if __name__ == "__main__":
    main()
