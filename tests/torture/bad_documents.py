"""Files beside pictures: sidecars, keypoints and boxes of other programs, lists of paths."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bad_pictures import person
from bad_values import ODD_VALUES, mutated, mutated_value

_STICK = [(50, 15), (52, 13), (48, 13), (55, 15), (45, 15), (60, 30), (40, 30), (65, 45), (35, 45), (68, 60), (32, 60),
          (56, 62), (44, 62), (57, 85), (43, 85), (58, 108), (42, 108)]  # fmt: skip
"""COCO's 17 of somebody who stands."""


def camera_documents() -> list[Any]:
    """Good sidecars."""
    K = [[300.0, 0, 50], [0, 300.0, 60], [0, 0, 1]]
    return [{"focal_px": 300.0}, {"focal35_mm": 28}, {"fov_deg": 60}, {"K": K}, {"K": K, "width": 200, "height": 240}]


def person_documents(name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Good files of people in one picture, by the program that writes them so."""
    triples = [value for x, y in _STICK for value in (float(x), float(y), 0.9)]
    body25 = triples + [1.0, 1.0, 0.5] * 8
    row = {"image_id": name, "category_id": 1, "keypoints": triples, "score": 0.8, "bbox": [30, 5, 40, 110]}
    image = {"id": 1, "file_name": name, "width": size[0], "height": size[1]}
    coco = {
        "images": [image],
        "annotations": [{"id": 5, "iscrowd": 0, "num_keypoints": 17, **row, "image_id": 1}],
        "categories": [{"id": 1, "name": "person"}],
    }
    unit = [value / 120 if k % 3 < 2 else value for k, value in enumerate(triples)]
    return {
        "openpose": {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": body25}]},
        "openpose_old": {"version": 1.1, "bodies": [{"joints": [*triples, 0.0, 0.0, 0.0]}]},
        "control": [{"people": [{"pose_keypoints_2d": unit + [0.0] * 3}], "canvas_width": 200, "canvas_height": 240}],
        "coco": coco,
        "results": [row],
        "alphapose": [{**row, "keypoints": triples + [9.0, 9.0, 0.4] * 9}],
        "mmpose": [{"keypoints": [[float(x), float(y)] for x, y in _STICK], "keypoint_scores": [0.9] * 17}],
        "boxes": {name: [[30, 5, 40, 110]]},
    }


def write_sidecars(folder: Path, count: int, rng: np.random.Generator) -> int:
    """Pictures with a sidecar each; how many."""
    folder.mkdir(parents=True)
    picture, good = person(120), camera_documents()
    values = [*good, *({key: odd} for key in ("focal_px", "K", "fov_deg") for odd in ODD_VALUES)]
    values += [mutated_value(good[i % len(good)], rng) for i in range(max(0, count - len(values)))]
    rng.shuffle(values)
    for i, value in enumerate(values[:count]):
        picture.save(folder / f"s{i:04}.jpg", quality=80)
        (folder / f"s{i:04}.jpg.camera.json").write_bytes(_encoded(value, rng, [b"{}", b"[" * 5000]))
    return min(count, len(values))


def write_keypoint_folder(folder: Path, keypoints: Path, count: int, rng: np.random.Generator) -> int:
    """Pictures, and in another folder a damaged file of keypoints for each; how many."""
    folder.mkdir(parents=True)
    keypoints.mkdir(parents=True)
    picture = person(120)
    for i in range(count):
        picture.save(folder / f"k{i:04}.jpg", quality=80)
        documents = person_documents(f"k{i:04}.jpg", picture.size)
        kinds = ("openpose", "openpose_old", "control", "mmpose")
        value = mutated_value(documents[kinds[i % len(kinds)]], rng)
        (keypoints / f"k{i:04}_keypoints.json").write_bytes(_encoded(value, rng, [b"{}", b"[" * 5000]))
    return count


def person_files(folder: Path, count: int, rng: np.random.Generator) -> Iterator[tuple[str, Path]]:
    """Damaged files of people for the picture ``p.jpg`` of the folder: the option and the file."""
    folder.mkdir(parents=True)
    picture = person(120)
    picture.save(folder / "p.jpg", quality=80)
    documents = person_documents("p.jpg", picture.size)
    for i in range(count):
        kind = list(documents)[i % len(documents)]
        file = folder / f"f{i:04}_{kind}.json"
        file.write_bytes(_encoded(mutated_value(documents[kind], rng), rng, [b"{}", b"[" * 200_000, b'{"a":' * 9000]))
        yield ("boxes" if kind == "boxes" or i % 7 == 3 else "keypoints"), file


def list_files(folder: Path, count: int, rng: np.random.Generator) -> Iterator[Path]:
    """Text lists of pictures in all encodings, with entries that are none."""
    folder.mkdir(parents=True)
    person(120).save(folder / "p.jpg", quality=80)
    lines = [
        "p.jpg",
        "# nothing",
        "",
        "'p.jpg'",
        "missing.jpg",
        "~nouser/x.jpg",
        "/dev/null",
        "x" * 300,
        ".",
        "p.jpg\t",
    ]
    encodings = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"]
    for i in range(count):
        text = "\r\n".join(["p.jpg", *rng.choice(lines, 1 + i % 6)])
        data = text.encode(encodings[i % len(encodings)])
        file = folder / f"l{i:03}.txt"
        file.write_bytes(data if i % 3 else mutated(data, rng, [b"\0" * 50, codecs.BOM_UTF16_BE]))
        yield file


def _encoded(value: Any, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """As JSON, now and then in another encoding or with damaged bytes."""
    data = json.dumps(value).encode()
    choice = rng.random()
    if choice < 0.06:
        return json.dumps(value).encode("utf-16")
    if choice < 0.1:
        return codecs.BOM_UTF8 + data
    if choice < 0.22:
        return mutated(data, rng, others)
    return data
