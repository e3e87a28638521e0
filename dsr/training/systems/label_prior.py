"""Learn which clothing label each triangle of the open body shows, from made-up people.

``python -m dsr.training.systems.label_prior --people 4000 --out dsr/weights/label_prior_open.safetensors`` writes the
table and its model card. Each pixel of a dressed person votes with its label for the triangle that the bare body shows
there (DSR specification, section 3.5, without the segmentation network): what a fitted body covers in a labelled
picture.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsr._command import run_once
from dsr.clothing.labels import LABEL_MIRROR
from dsr.clothing.prior import LABELS, mirror_faces, smooth
from dsr.rendering.zbuffer import rasterise
from dsr.synthetic.bodies import mannequin
from dsr.synthetic.people import SyntheticSource


def label_prior(source: SyntheticSource) -> np.ndarray:
    """Label probabilities of the light open body's triangles.

    Args:
        source: people to look at, all ``len(source)`` of its first epoch; its pictures need not be large (128).

    Returns:
        (F, 20) float32; rows sum to 1, column 0 (background) is 0. Votes of mirrored triangles are shared.
    """
    asset = mannequin().asset
    votes = np.zeros((len(asset.faces), LABELS))
    for index in range(len(source)):
        votes += _votes(source, index)
    mirrored = votes[mirror_faces(asset)][:, LABEL_MIRROR]
    return smooth(votes + mirrored, asset)


@dataclass
class LabelPrior:
    """Learn the open body's label prior from made-up people and write it with its model card."""

    people: int = 4000
    """How many people to look at."""
    out: Path = Path("label_prior_open.safetensors")
    """File to write; the model card goes beside it as .md."""
    mocap: Path | None = None
    """Folder of BVH clips to take poses from; without it poses come from the shipped pose prior."""
    size: int = 128
    """Side of the pictures, pixels."""
    seed: int = 1
    """Seed of the people."""

    def main(self) -> str:
        """Vote, write both files, and return the line of figures."""
        source = SyntheticSource(self.people, self.seed, self.size, self.mocap, occluders=False)
        table = label_prior(source)
        write_prior(self.out, table, self.people, self.seed)
        names = {13: "face", 5: "upperclothes", 9: "pants", 14: "leftArm", 18: "leftShoe", 2: "hair"}
        likeliest = np.bincount(table.argmax(1), minlength=LABELS)
        return "; ".join(f"{name}: {likeliest[k]} triangles" for k, name in names.items())


def write_prior(path: Path, table: np.ndarray, people: int, seed: int) -> None:
    """Write the table as float16 safetensors, and its model card."""
    from safetensors.numpy import save_file

    asset = mannequin().asset
    note = {"body": asset.name, "body_sha256": asset.sha256, "people": str(people), "seed": str(seed)}
    save_file({"probabilities": table.astype(np.float16)}, path, metadata={"dsr": json.dumps(note, sort_keys=True)})
    path.with_suffix(".md").write_text(_CARD.format(people=people, seed=seed, faces=len(table)), encoding="utf-8")


def _votes(source: SyntheticSource, index: int) -> np.ndarray:
    """(F, 20) votes of one person; each person has one vote in all."""
    scene, body = source.scene(index), mannequin()
    faces = body.asset.faces
    bare = rasterise(scene.person.skin + scene.transl, faces, scene.K, (source.size,) * 2, near=0.1, cull_back=True)
    labels = np.zeros((source.size, source.size), np.int64)
    labels[scene.seen.covered] = scene.labels
    at = bare.covered & (labels > 0)
    cells = bare.face_index[at] * LABELS + labels[at]
    return np.bincount(cells, minlength=len(faces) * LABELS).reshape(-1, LABELS) / max(int(at.sum()), 1)


_CARD = """# Label prior of the open body

Probabilities of Graphonomy's 20 clothing labels per triangle of the light open body, for the semantic losses when
training on it (`dsr.clothing.load_label_prior`). The full open body takes the nearest triangle's.

File: `label_prior_open.safetensors`, `probabilities ({faces}, 20)` float16, triangles in the order of the body's `f`,
labels in Graphonomy's order. Column 0 (background) is zero. Label 10 is bare neck and trunk, as CIHP has it.

## Making

    python -m dsr.training.systems.label_prior --people {people} --seed {seed} \\
        --out dsr/weights/label_prior_open.safetensors

{people} made-up people (`dsr.synthetic.people`): random shapes, poses of the shipped pose prior, random cameras and
random clothes. Every pixel of a dressed person votes with its label for the triangle that the bare body shows there;
each person counts the same. Votes are symmetrised (mirrored triangles, sides of arms, legs and shoes exchanged) and
blended with the neighbours' where they are few.

## Limits

* The clothes are invented and so are their shares: short and long sleeves, trousers, shorts and skirts, shoes, hair.
  This is no statistic of what people wear, and not the prior published with DSR, which was learned from scans.
* Jumpsuits do not occur; hats, gloves, scarves and sunglasses are rare.
* Arms before the trunk and other overlaps between dressed and bare body leave a small share of a neighbour's label.
"""


def entry() -> int:
    """Run the command; 0 on success, 2 with one line on standard error if the data do not allow it."""
    return run_once(LabelPrior, "python -m dsr.training.systems.label_prior")


if __name__ == "__main__":
    sys.exit(entry())
