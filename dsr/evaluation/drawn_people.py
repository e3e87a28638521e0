"""Made-up pictures of people who stand together, with COCO annotations that say what is seen of everybody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsr.body.joints import joint_names
from dsr.errors import DatasetError
from dsr.evaluation.coco_people import PEOPLE_TRUTH_FILE
from dsr.synthetic.crowds import CrowdPerson, CrowdSource


def draw_pictures(
    folder: Path,
    count: int,
    seed: int = 0,
    mocap: Path | None = None,
    garments: Path | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> None:
    """Draw pictures and their ``truth.json`` into a folder.

    Args:
        folder: made if it is missing.
        count: how many pictures; a sixth of them or so are dark.
        seed: other seeds are other pictures.
        mocap: see :class:`~dsr.synthetic.crowds.CrowdSource`.
        garments: see there.
        on_progress: called with the number of finished pictures, that of all, and the name of the last one.

    Raises:
        DatasetError: if the folder holds a truth already, or cannot be written.
    """
    from PIL import Image

    truth = folder / PEOPLE_TRUTH_FILE
    if truth.exists():
        raise DatasetError(f"{truth} is there already: name a new folder to draw into, or leave --draw out.")
    source = CrowdSource(mocap, garments)
    images: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for k in range(count):
            picture = source.draw(seed * 100_000 + k)
            name = f"d{seed:03d}_{k:05d}_{picture.scene}{'_dark' if picture.dark else ''}.jpg"
            Image.fromarray(picture.rgb).save(folder / name, quality=92)
            images.append({"id": k, "file_name": name, "width": picture.rgb.shape[1], "height": picture.rgb.shape[0]})
            people += [_annotation(person, k, len(people) + i) for i, person in enumerate(picture.people)]
            if on_progress is not None:
                on_progress(k + 1, count, name)
        category = {"id": 1, "name": "person", "keypoints": list(joint_names("blazepose33"))}
        document = {"images": images, "annotations": people, "categories": [category]}
        truth.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be written ({error.strerror or error}).") from error


def _annotation(person: CrowdPerson, image: int, number: int) -> dict[str, Any]:
    low, high = person.box_px[:2], person.box_px[2:]
    keypoints = [
        [round(float(u), 1), round(float(v), 1), int(seen)] if seen else [0, 0, 0]
        for (u, v), seen in zip(person.keypoints_px, person.visibility, strict=True)
    ]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [round(float(value), 1) for value in (*low, *(high - low))],
        "keypoints": [value for point in keypoints for value in point],
        "face_px": person.face_px,
        "trunk_px": person.trunk_px,
        "hidden_by": list(person.hidden_by),
    }
