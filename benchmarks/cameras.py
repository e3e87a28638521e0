"""What straight lines tell of cameras: focal length of an unknown lens, and which way is down, against the truth.

    python benchmarks/cameras.py --truth RENDERED --views REAL_VIEWS

RENDERED is a folder of pictures with their truth, as `examples/render_people.py` makes them; REAL_VIEWS one of pictures
with `truth.json`, of which the intrinsics are known but not the tilt. People are found first: lines on them do not
count.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dsr.camera import PictureCamera
from dsr.camera.scene_lines import FOCAL_LOG, SceneLines
from dsr.evaluation.truth import load_truth
from dsr.evaluation.view_truth import load_views
from dsr.fitting import find_gravity
from dsr.image import read_photo
from dsr.image.lines import straight_lines
from dsr.people import PeopleDetector


def _cases(args: argparse.Namespace) -> Iterator[tuple[Path, np.ndarray, np.ndarray | None]]:
    """Pictures, their true (3, 3) intrinsics, and true (3,) upward directions where known."""
    for folder in args.truth or []:
        for truth in load_truth(folder):
            yield truth.path, truth.camera.K, None if truth.floor_cam is None else truth.floor_cam[:3]
    for folder in args.views or []:
        for path, K in {view.path: view.K for view in load_views(folder)}.items():
            yield path, K, None


def main() -> None:
    """Print how far off focal lengths and upward directions are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, action="append", help="folder of rendered pictures with their truth")
    parser.add_argument("--views", type=Path, action="append", help="folder of real pictures with truth.json")
    args = parser.parse_args()
    detector = PeopleDetector("standard")
    focal: list[tuple[float, float]] = []
    tilt: dict[str, list[float]] = {"known lens": [], "unknown lens": []}
    count = 0
    for path, K, up in _cases(args):
        photo = read_photo(path)
        people = detector.detect(photo)
        boxes = np.array([person.box_px for person in people]).reshape(-1, 4)
        lines_px = straight_lines(photo.rgb, photo.width)
        size, guess = (photo.width, photo.height), float(np.hypot(photo.width, photo.height))
        count += 1
        unknown = PictureCamera(np.array([[guess, 0, size[0] / 2], [0, guess, size[1] / 2], [0, 0, 1]]), size)
        told = SceneLines.of(lines_px, unknown.K, size, boxes).focal()
        if told is not None:
            focal.append((np.log(told[0] * guess / K[0, 0]), np.log(guess / K[0, 0])))
        if up is not None:
            ratio, sigma = told or (1.0, FOCAL_LOG)
            guessed = unknown.K * [[ratio, 1, 1], [1, ratio, 1], [1, 1, 1]]
            for name, K_seen, wrong in (("known lens", K, 0.2), ("unknown lens", guessed, sigma)):
                lines = SceneLines.of(lines_px, K_seen, size, boxes, wrong)
                found = find_gravity(people, PictureCamera(K_seen, size), lines).up
                tilt[name].append(np.degrees(np.arccos(np.clip(found @ up, -1, 1))))
    print(f"{count} pictures; the focal length is told in {len(focal)}")
    if focal:
        ours, diagonal = np.expm1(np.abs(np.array(focal))).T
        of_diagonal = f"the picture's diagonal there: {np.median(diagonal):.0%}"
        print(f"  off by {np.median(ours):.0%} (median; most {ours.max():.0%}); {of_diagonal}")
    for name, errors in tilt.items():
        if errors:
            print(f"which way is down, {name}: off by {np.mean(errors):.1f} degrees, median {np.median(errors):.1f}")


if __name__ == "__main__":
    main()
