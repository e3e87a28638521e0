"""Every hand and face of the results in a folder beside the picture, as one sheet to look at.

dsr-fit photos --expressive --out out && python benchmarks/expressive_sheet.py out sheet.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dsr.body import BodyAsset, load_asset
from dsr.image import read_photo
from dsr.rendering.drawing import draw, vertex_normals
from dsr.results import FitResult, load_result

TILE, COLUMNS = 200, 4
PARTS = {"left": (20, range(25, 40)), "right": (21, range(40, 55)), "face": (15, range(22, 25))}
"""Joints of each hand, wrist first, and of the face."""
COLOURS = {"eye": (235, 235, 230), "iris": (70, 110, 150), "pupil": (10, 10, 10)}


def tiles(result: FitResult, asset: BodyAsset, colours: np.ndarray) -> Iterator[Image.Image]:
    """The picture and the body side by side for every hand and face that was seen in a result."""
    photo = read_photo(Path(result.input_path))
    K = np.asarray(result.K, np.float64)
    for person in result.people:
        hands = person.hands or {}
        seen = [part for part in PARTS if (person.actions if part == "face" else hands.get(part) is not None)]
        for part in seen:
            first, others = PARTS[part]
            joints = person.joints_cam_m[[first, *others]]
            middle, reach = joints.mean(0), 0.34 if part == "face" else 0.28
            side = reach * K[0, 0] / middle[2]
            u, v = (K @ middle)[:2] / middle[2] - side / 2
            box = np.array([u, v, u + side, v + side]) * photo.scale
            left = Image.fromarray(photo.rgb).crop(tuple(np.round(box).astype(int).tolist())).resize((TILE, TILE))
            zoom = TILE / side
            near = K.copy()
            near[:2] *= zoom
            near[:2, 2] -= np.array([u, v]) * zoom
            values = np.concatenate([colours, vertex_normals(person.vertices_cam_m, asset.faces)], 1)
            drawn = draw(person.vertices_cam_m, asset.faces, near, (TILE, TILE), values)
            body = np.full((TILE, TILE, 3), 90.0)
            light = np.clip(-drawn.values[:, 3:] @ np.array([0.25, 0.35, 0.9]), 0, 1)
            body[drawn.face_index >= 0] = drawn.values[:, :3] * (0.4 + 0.7 * light[:, None])
            tile = Image.new("RGB", (2 * TILE, TILE))
            tile.paste(left, (0, 0))
            tile.paste(Image.fromarray(np.clip(body, 0, 255).astype(np.uint8)), (TILE, 0))
            ImageDraw.Draw(tile).text((3, 3), f"{Path(result.input_path).stem} {person.id} {part}", fill=(255, 255, 0))
            yield tile


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of results")
    parser.add_argument("sheet", type=Path, help="picture to write")
    arguments = parser.parse_args()
    asset = load_asset("open-x")
    colours = np.tile(np.array([205.0, 160.0, 135.0], np.float32), (asset.num_vertices, 1))
    parts = np.array(asset.part_names)[asset.part_ids]
    for kind, colour in COLOURS.items():
        colours[np.unique(asset.faces[[part.endswith(f"_{kind}") for part in parts]])] = colour
    found: list[Image.Image] = []
    for path in sorted(arguments.folder.glob("*.json")):
        if path.name != "report.json":
            result = load_result(path)
            if isinstance(result, FitResult) and result.K is not None:
                found += tiles(result, asset, colours)
    rows = max(1, -(-len(found) // COLUMNS))
    sheet = Image.new("RGB", (2 * TILE * COLUMNS, TILE * rows))
    for i, tile in enumerate(found):
        sheet.paste(tile, (2 * TILE * (i % COLUMNS), TILE * (i // COLUMNS)))
    sheet.save(arguments.sheet)
    print(f"{len(found)} hands and faces: {arguments.sheet}")


if __name__ == "__main__":
    main()
