"""Times a training sample against decoding its files alone, on one thread: python benchmarks/data_views.py."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from dsr.body import load_body
from dsr.clothing.labels import PALETTE_RGB
from dsr.datasets import DsrView, PersPoseView
from dsr.synthetic import PersonRecord, SyntheticSource


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Processor time of one call."""
    call()
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats * 1e3


def enlarged(record: PersonRecord, folder: Path, side: int) -> PersonRecord:
    """A made-up person in a picture of a given side, on disk as JPEG with a label map."""
    factor = side / record.image.shape[0]
    picture = cv2.resize(record.image, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    grain = np.random.default_rng(0).normal(0, 6, picture.shape)
    Image.fromarray(np.clip(picture + grain, 0, 255).astype(np.uint8)).save(folder / "a.jpg", quality=92)
    labels = cv2.resize(record.labels, (side, side), interpolation=cv2.INTER_NEAREST)
    Image.fromarray(np.array(PALETTE_RGB, dtype=np.uint8)[labels]).save(folder / "a.png")
    K = record.K.copy()
    K[:2] *= factor
    keypoints = {name: points * (factor, factor, 1) for name, points in record.keypoints_px.items()}
    return PersonRecord(
        "made up",
        "0",
        folder / "a.jpg",
        record.box_px * factor,
        K=K,
        pose_aa=record.pose_aa,
        betas=record.betas,
        transl=record.transl,
        joints_m=record.joints_m,
        keypoints_px=keypoints,
        labels=folder / "a.png",
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1000, help="side of the picture, pixels")
    parser.add_argument("--repeats", type=int, default=60)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = SyntheticSource(count=1, seed=1, size=256).record(0)
        record = enlarged(small, folder, args.side)
        jpeg = milliseconds(lambda: np.asarray(Image.open(folder / "a.jpg").convert("RGB")), args.repeats)
        png = milliseconds(lambda: np.asarray(Image.open(folder / "a.png")), args.repeats)
        print(f"decoding a JPEG of {args.side} x {args.side}: {jpeg:.1f} ms, its label PNG: {png:.1f} ms")
        dsr, perspose = DsrView(), PersPoseView(bodies=load_body("open-light"))
        rows: tuple[tuple[str, Callable[[], object], float], ...] = (
            ("DSR, JPEG and labels", lambda: dsr(record, rng), jpeg + png),
            ("DSR as published", lambda: DsrView(compat=True)(record, rng), jpeg + png),
            ("PersPose, JPEG", lambda: perspose(record, rng), jpeg),
            ("DSR, 256 px in memory", lambda: dsr(small, rng), jpeg + png),
        )
        for what, call, base in rows:
            took = milliseconds(call, args.repeats)
            print(f"{what:24} {took:6.1f} ms  {1e3 / took:6.0f} samples/s  {took / base:5.2f} x decoding")


if __name__ == "__main__":
    main()
