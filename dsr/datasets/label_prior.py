"""Which clothing label each triangle of the open body shows, learned from made-up people.

``python -m dsr.datasets.label_prior --people 4000 --out dsr/weights/label_prior_open.safetensors`` writes the table and
its model card. Each pixel of a dressed person votes with its label for the triangle that the bare body shows there
(DSR specification, section 3.5, without the segmentation network): what a fitted body covers in a labelled picture.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from dsr._command import run_once
from dsr.body import BodyAsset, load_asset
from dsr.datasets.synthetic import SyntheticSource
from dsr.datasets.synthetic_body import mannequin
from dsr.errors import DatasetError
from dsr.rendering.zbuffer import rasterise

LABELS = 20
_MIRROR = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 14, 17, 16, 19, 18])
_FARTHEST = 0.03  # metres between triangles of two meshes of the same body


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
    mirrored = votes[mirror_faces(asset)][:, _MIRROR]
    return smooth(votes + mirrored, asset)


def load_label_prior(asset: BodyAsset | None = None, path: str | Path | None = None) -> np.ndarray:
    """The prior for a body's triangles: those of ``open-light``, or by nearest triangle those of ``open``.

    Args:
        asset: the light or the full open body; by default the light one.
        path: file of :func:`write_prior`; by default the one that ships with the package.

    Returns:
        (F, 20) float32, rows sum to 1.

    Raises:
        DatasetError: if the file is missing or damaged, or the body is not the open one.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = default_path() if path is None else Path(path)
    light = load_asset("open-light")
    try:
        table = load_file(path)["probabilities"].astype(np.float32)
    except (OSError, SafetensorError, KeyError) as error:
        raise DatasetError(f"cannot read the label prior {path}: {error}; make it with "
                           "`python -m dsr.datasets.label_prior --out FILE`.") from error  # fmt: skip
    if table.shape != (len(light.faces), LABELS):
        raise DatasetError(f"{path} holds {table.shape} where ({len(light.faces)}, {LABELS}) is needed; make it again.")
    if asset is not None and not np.array_equal(asset.faces, light.faces):
        distance, nearest = cKDTree(_centroids(light)).query(_centroids(asset))
        if np.quantile(distance, 0.99) > _FARTHEST:
            raise DatasetError(f"the label prior is for the open body; {asset.name} has triangles "
                               f"{distance.max():.2f} m away from it. Give a semantic prior of that body.")  # fmt: skip
        table = table[nearest]
    return np.asarray(table / table.sum(1, keepdims=True), np.float32)


def default_path() -> Path:
    """Where the prior that ships with the package lies."""
    return Path(__file__).resolve().parent.parent / "weights" / "label_prior_open.safetensors"


def mirror_faces(asset: BodyAsset) -> np.ndarray:
    """(F,) index of the triangle that lies nearest to each triangle's mirror image."""
    centroids = _centroids(asset)
    return cKDTree(centroids).query(centroids * [-1.0, 1.0, 1.0])[1]


def smooth(votes: np.ndarray, asset: BodyAsset, steps: int = 60) -> np.ndarray:
    """Probabilities from votes: each triangle's own, blended with its neighbours' the more the fewer it has.

    Args:
        votes: (F, 20) non-negative.
        asset: the body; triangles that share a vertex are neighbours.
        steps: how many triangles far a known one reaches.

    Returns:
        (F, 20) float32; triangles that no known one reaches take the nearest known one's.

    Raises:
        DatasetError: if there is no vote at all.
    """
    total = votes.sum(1, keepdims=True)
    if not total.any():
        raise DatasetError("no votes for any triangle; draw more people.")
    faces = asset.faces
    share = csr_matrix((np.ones(faces.size), (np.repeat(np.arange(len(faces)), 3), faces.reshape(-1))))
    weight = 0.02 * np.median(total[total > 0])
    known = np.where(total > 0, votes / np.maximum(total, 1e-12), 0.0)
    result = known
    for _ in range(steps):
        around = share @ (share.T @ result)
        mass = around.sum(1, keepdims=True)
        around = np.where(mass > 0, around / np.maximum(mass, 1e-12), 0.0)
        result = (votes + weight * around) / (total + weight * (mass > 0) + 1e-12)
    lost = result.sum(1) < 0.5
    if lost.any():
        centroids = _centroids(asset)
        result[lost] = result[~lost][cKDTree(centroids[~lost]).query(centroids[lost])[1]]
    return np.asarray(result / result.sum(1, keepdims=True), np.float32)


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


def _centroids(asset: BodyAsset) -> np.ndarray:
    return asset.v_template[asset.faces].mean(1)


_CARD = """# Label prior of the open body

Probabilities of Graphonomy's 20 clothing labels per triangle of the light open body, for the semantic losses when
training on it (`dsr.datasets.label_prior`). The full open body takes the nearest triangle's.

File: `label_prior_open.safetensors`, `probabilities ({faces}, 20)` float16, triangles in the order of the body's `f`,
labels in Graphonomy's order. Column 0 (background) is zero. Label 10 is bare neck and trunk, as CIHP has it.

## Making

    python -m dsr.datasets.label_prior --people {people} --seed {seed} --out dsr/weights/label_prior_open.safetensors

{people} made-up people (`dsr.datasets.synthetic`): random shapes, poses of the shipped pose prior, random cameras and
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
    return run_once(LabelPrior, "python -m dsr.datasets.label_prior")


if __name__ == "__main__":
    sys.exit(entry())
