"""How well clothes are read without a network: python benchmarks/clothes.py --count 24 --seed 5.

Made-up people with exact labels, wholly in their picture and facing the camera within 100 degrees, are found, fitted,
and parsed by the built-in parser. Intersection over union of skin, hair, upper, lower and shoes, over the pixels of all
people of a row; rows are thirds of the skin's tone (luma of the paint: above 165, above 95, below) and of the light
(luma of the skin in the picture over that of the paint: below 0.7, below 1, above).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from dsr.clothing.groups import GROUP_NAMES, GROUP_OF_LABEL, GROUP_PALETTE_RGB, SKIN
from dsr.options import FitOptions
from dsr.pipeline.picture_fitter import Fitter
from dsr.synthetic.people import SyntheticSource

SIZE, FACING_DEG = 448, 100.0
_LUMA = np.array([0.3, 0.6, 0.1])
_FACE, _LEFT_ARM, _RIGHT_ARM = 13, 14, 15
TONES, LIGHTS = ("light skin", "middle skin", "dark skin"), ("dim", "plain", "bright")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=24, help="people")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--sheet", type=Path, default=None, help="write picture, labels and truth of everybody")
    arguments = parser.parse_args()
    source = SyntheticSource(
        count=100 * arguments.count, seed=arguments.seed, size=SIZE, occluders=False, facing_deg=FACING_DEG
    )
    counts: dict[str, np.ndarray] = {}
    palette, tiles, done, missed = np.array(GROUP_PALETTE_RGB, np.uint8), [], 0, 0
    middles = np.arange(SIZE) + 0.5
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "person.png"
        for index in range(len(source)):
            record = source.record(index)
            labels = np.asarray(record.labels).astype(int)
            assert isinstance(record.image, np.ndarray) and record.K is not None
            inside = (record.box_px[:2] > 0).all() and (record.box_px[2:] < SIZE).all()
            if not inside or (labels > 0).mean() < 0.06 or (labels == _FACE).sum() < 60:
                continue
            Image.fromarray(record.image).save(path)
            fitter = Fitter(FitOptions(focal=float(record.K[0, 0]), person="largest"), keep_labels=True)
            result = fitter.fit(path)
            clothes = result.labels[0] if result.status == "ok" and result.labels else None
            if clothes is None:
                missed += 1
                continue
            called, truth = GROUP_OF_LABEL[np.maximum(clothes.at(middles, middles)[0], 0)], GROUP_OF_LABEL[labels]
            paint = float(source.scene(index).outfit.paints[_LEFT_ARM].first @ _LUMA)
            seen = np.median(record.image[np.isin(labels, (_FACE, _LEFT_ARM, _RIGHT_ARM))], axis=0) @ _LUMA
            tone = TONES[0 if paint > 165 else 1 if paint > 95 else 2]
            light = LIGHTS[0 if seen < 0.7 * paint else 1 if seen < paint else 2]
            pairs = [((called == g) & (truth == g), (called == g) | (truth == g)) for g in range(len(GROUP_NAMES))]
            shares = np.array([[both.sum(), either.sum()] for both, either in pairs])
            for row in ("all", tone, light):
                counts.setdefault(row, np.zeros((len(GROUP_NAMES) + 1, 2)))[:-1] += shares
                counts[row][-1] += (shares[SKIN, 0] / max(shares[SKIN, 1], 1), 1)
            tiles.append(np.hstack([record.image, palette[called], palette[truth]])[::2, ::2])
            done += 1
            if done == arguments.count:
                break
    print(f"{done} people, {missed} not found; intersection over union")
    print(f"{'':12s} people " + " ".join(f"{name:>6s}" for name in GROUP_NAMES[1:]) + "  mean  skin, mean over people")
    for row in ("all", *TONES, *LIGHTS):
        if row in counts:
            both, either = counts[row].T
            share = both[1:-1] / np.maximum(either[1:-1], 1)
            figures = " ".join(f"{value:6.3f}" for value in share)
            print(f"{row:12s} {either[-1]:6.0f} {figures} {share.mean():5.3f}  {both[-1] / either[-1]:.3f}")
    if arguments.sheet is not None:
        Image.fromarray(np.vstack(tiles)).save(arguments.sheet)


if __name__ == "__main__":
    main()
