"""The prior from CC0 garments: random bodies in random poses are dressed, and every vertex asked what covers it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from clothing_prior.covering import covering, nearest_cover, vertex_normals
from clothing_prior.dressing import DressedBody, dress
from clothing_prior.outfits import SEXES, draw_pieces, shares_table
from clothing_prior.resuming import OnProgress, Sums, load_sums, save_sums
from clothing_prior.votes import Votes
from dsr.body import BodyAsset
from dsr.clothing.bare import bare_labels
from dsr.mocap.pose_prior import PosePrior
from dsr.synthetic.wardrobe import Wardrobe

_EVERY = 25  # people between two saves
_LAYOUT = 3  # of the saved sums: another number does not go on from older ones


@dataclass(frozen=True)
class GarmentSettings:
    """How many people of which seed."""

    people: int = 300
    seed: int = 14


def learn_from_garments(
    wardrobe: Wardrobe, settings: GarmentSettings, resume: Path | None = None, on_progress: OnProgress | None = None
) -> Votes:
    """Dress people and count.

    Args:
        wardrobe: the garments.
        settings: people and seed.
        resume: file that holds the sums so far; gone on from where it belongs to the same settings and garments.
        on_progress: called with people done and people in all.
    """
    asset = wardrobe.body
    fingerprint = _fingerprint(wardrobe, settings)
    sums = load_sums(resume, fingerprint) or Sums(Votes.empty(asset.num_vertices))
    bare = bare_labels(asset)
    near = near_joints(asset)
    sexes = list(SEXES)
    for index in range(sums.done, settings.people):
        rng = np.random.default_rng([settings.seed, index])
        sex = index % 2
        pieces = draw_pieces(wardrobe, sexes[sex], rng)
        dressed = dress(wardrobe, pieces, draw_betas(asset, sex, rng), draw_pose(rng))
        labels, distance = read_covers(dressed, asset, bare, near)
        sums.votes.add(np.arange(asset.num_vertices), labels, distance)
        sums.done = index + 1
        if resume is not None and ((index + 1) % _EVERY == 0 or index + 1 == settings.people):
            save_sums(resume, fingerprint, sums)
        if on_progress is not None:
            on_progress(index + 1, settings.people)
    return sums.votes


def read_covers(
    dressed: DressedBody, asset: BodyAsset, bare: np.ndarray, near: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Label (V,) of every vertex of a dressed body and how far off its cover is (V,) metres, NaN where it is bare."""
    normals = vertex_normals(dressed.vertices, asset.faces)
    joints = asset.weights.argmax(1)
    face, distance = covering(dressed.vertices, normals, joints, dressed.cloth, dressed.faces, dressed.joints, near)
    face[inner_vertices(asset)] = -1  # teeth and eyeballs have nothing on
    covered = face >= 0
    lost = np.flatnonzero(dressed.hidden & ~covered & ~inner_vertices(asset))
    if len(lost) and covered.any():
        # on the hide list although no ray met the garment: below its hem, or where skin and cloth cross
        like = nearest_cover(dressed.vertices, lost, covered)
        face[lost], distance[lost] = face[like], distance[like]
    covered = face >= 0
    labels = np.where(covered, dressed.labels[face] if len(dressed.labels) else bare, bare)
    return labels, np.where(covered, distance, np.nan)


def draw_betas(asset: BodyAsset, sex: int, rng: np.random.Generator) -> np.ndarray:
    """Betas of an adult of one sex, float64."""
    if asset.sex_mean is None or asset.sex_cov is None:
        return np.clip(rng.normal(0, 1, 10), -2.5, 2.5)
    values, vectors = np.linalg.eigh(asset.sex_cov[sex])
    spread = np.sqrt(np.maximum(values, 0.0))
    # rounded, so that the last bits of one machine's linear algebra do not matter; signs of eigenvectors are free
    vectors = vectors * np.where(vectors[np.abs(vectors).argmax(0), np.arange(len(values))] < 0, -1.0, 1.0)
    drawn = asset.sex_mean[sex] + vectors @ (spread * np.clip(rng.normal(0, 1, len(values)), -2.5, 2.5))
    return np.asarray(np.round(drawn, 4))


def draw_pose(rng: np.random.Generator) -> np.ndarray:
    """(24, 3) axis-angle of the shipped pose prior, upright, hands straight; radians."""
    import torch

    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    turns = np.zeros((24, 3))
    turns[1:22] = _poses().sample(1, generator, 0.8)[0].double().numpy().reshape(21, 3)
    return np.round(turns, 4)


@lru_cache(maxsize=1)
def _poses() -> PosePrior:
    return PosePrior.load()


def inner_vertices(asset: BodyAsset) -> np.ndarray:
    """(V,) bool, vertices of inner faces only."""
    inner = np.ones(asset.num_vertices, bool)
    if len(asset.interior):
        inner[np.unique(asset.faces[~asset.interior])] = False
        return inner
    return ~inner


def near_joints(asset: BodyAsset) -> np.ndarray:
    """(J, J) bool: joints at most two bones apart, whose flesh one garment covers together."""
    count = len(asset.parents)
    linked = np.eye(count, dtype=bool)
    for joint, parent in enumerate(asset.parents):
        if parent >= 0:
            linked[joint, parent] = linked[parent, joint] = True
    return (linked.astype(np.int64) @ linked.astype(np.int64)) > 0


def garment_card(settings: GarmentSettings, wardrobe: Wardrobe) -> str:
    """What the card says about the making."""
    return f"""## Making

    dsr-prior garments MAKEHUMAN_ASSETS --people {settings.people} --seed {settings.seed}

{settings.people} random adults of the open body, half of them men, in poses of the shipped pose prior, dressed in
MakeHuman's CC0 garments ({len(wardrobe.files)} files, digest `{_digest(wardrobe)[:16]}`). Where a ray along the normal
of a vertex meets a garment within 5 cm, the vertex is covered; the outermost garment within 15 cm is what is seen, and
its distance counts. Vertices on a garment's hide list are covered too. Counts of mirrored vertices are added with left
and right exchanged, and smoothed over the mesh. Outfits are drawn by these shares:

{shares_table()}

Socks are seen on half of those in shorts or a skirt and shoes.
"""


def _digest(wardrobe: Wardrobe) -> str:
    digest = sha256()
    for name, file in wardrobe.files.items():
        digest.update(name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _fingerprint(wardrobe: Wardrobe, settings: GarmentSettings) -> str:
    said = {"seed": settings.seed, "body": wardrobe.body.sha256, "garments": _digest(wardrobe), "layout": _LAYOUT}
    return sha256(json.dumps({**said, "shares": {k: asdict(v) for k, v in SEXES.items()}}).encode()).hexdigest()
