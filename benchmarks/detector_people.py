"""What the detector says of made-up people against what it says of people in photographs.

    python benchmarks/detector_people.py PAIRS PICTURE_OR_FOLDER ... [--shards 20]

PAIRS is a folder of `python -m dsr.synthetic.make_pairs`. A row per figure: its 10th, 50th and 90th percentile in the
photographs and among the made-up people, and how far the two distributions are apart (0 alike, 1 not at all). The
score of a person in a photograph is of another kind than that of a crop, so it has no row.
"""

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
from _clock import say

from dsr.image.reader import read_photo
from dsr.people.detector import PeopleDetector
from dsr.synthetic.detector_statistics import Comparison, compare, figures, histogram, pair_figures
from dsr.synthetic.make_pairs import read_pairs

ENDINGS = (".jpg", ".jpeg", ".png")


def of_photographs(files: list[Path]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Figures of everybody in pictures, and the confidences (N, 33)."""
    detector = PeopleDetector("standard")
    rows = []
    for file in files:
        photo = read_photo(file)
        rows += [(d, (photo.width, photo.height)) for d in detector.detect(photo)]
    points, confidence, world = (
        np.stack([getattr(d, name) for d, _ in rows]) for name in ("keypoints_px", "confidence", "world_m")
    )
    scores, sizes = np.array([d.score for d, _ in rows]), np.array([size for _, size in rows])
    return figures(points, confidence, world, scores, sizes), confidence


def table(rows: list[Comparison]) -> str:
    """The comparison as text, the least alike first."""
    lines = [f"{'':46s}{'photographs':>24s}{'made up':>24s}   apart"]
    for row in sorted(rows, key=lambda each: -each.apart):
        spreads = ["".join(f"{value:8.2f}" for value in each) for each in (row.first, row.second)]
        lines.append(f"{row.name:46s}{spreads[0]}{spreads[1]}{row.apart:8.2f}")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--shards", type=int, default=20)
    options = parser.parse_args()
    files = [
        file
        for path in options.pictures
        for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
        if file.suffix.lower() in ENDINGS
    ]
    real, seen = of_photographs(files)
    real.pop("presence")
    parts = list(islice(read_pairs(options.pairs), options.shards))
    names = ("points", "visibility", "inside", "world", "presence", "size")
    pairs = {name: np.concatenate([part[name] for part in parts]) for name in names}
    made = pair_figures(pairs)
    say(f"{len(seen)} people in {len(files)} photographs, {len(made['presence'])} made up\n")
    say(table(compare(real, made)))
    say("\nconfidence, share of landmarks per tenth (photographs above, made up below)")
    confidence = (pairs["visibility"].astype(np.float32) * pairs["inside"].astype(np.float32)).mean(1)
    ours = histogram(confidence)
    for name, shares in histogram(seen).items():
        say(f"{name:12s}" + "".join(f"{share:6.2f}" for share in shares))
        say(f"{'':12s}" + "".join(f"{share:6.2f}" for share in ours[name]))


if __name__ == "__main__":
    main()
