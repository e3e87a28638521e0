"""The prior from photographs that ``dsr-fit`` has fitted and that have labels: what is seen is put onto the body."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from clothing_prior.resuming import OnProgress, count_files, fingerprint_of
from clothing_prior.votes import Votes
from dsr.body import BodyAsset
from dsr.camera import PictureCamera
from dsr.clothing.labels import LABELS
from dsr.errors import DatasetError
from dsr.people.brought_labels import read_label_picture
from dsr.rendering.zbuffer import rasterise

_SIDE = 512
_FEW_PIXELS = 400


def learn_from_pictures(
    results: Path,
    labels: Path,
    kind: str,
    asset: BodyAsset,
    on_progress: OnProgress | None = None,
    resume: Path | None = None,
) -> tuple[Votes, list[str]]:
    """Count the labels that fitted people show.

    Args:
        results: output folder of ``dsr-fit`` with the open body.
        labels: folder of label pictures, named as the photographs.
        kind: their label set, as ``--parser`` names it.
        asset: the open body.
        on_progress: called with pictures done and in all.
        resume: file that holds the sums so far; gone on from where it belongs to the same files.

    Returns:
        The votes, and a sentence for every picture that was left out.

    Raises:
        DatasetError: if there are no results, or none with labels.
    """
    from dsr.results import load_result

    files = sorted(file for file in results.glob("*.json") if file.name != "report.json") if results.is_dir() else []
    if not files:
        raise DatasetError(f"{results}: no results of dsr-fit there.")

    def add(file: Path, votes: Votes) -> None:
        result = load_result(file)
        people = getattr(result, "people", [])
        if result.K is None or not people:
            raise DatasetError(f"{file} holds nobody.")
        if any(len(person.vertices_cam_m) != asset.num_vertices for person in people):
            raise DatasetError(f"{file} was fitted with another body than {asset.name}.")
        picture = read_label_picture(labels, kind, Path(result.input_path), result.image_size)
        bodies = [np.asarray(person.vertices_cam_m, np.float64) for person in people]
        for vertex, label in seen_labels(bodies, asset, PictureCamera(result.K, result.image_size), picture.at):
            votes.add(vertex, label, np.full(len(vertex), np.nan))

    read = [*results.glob("*.json"), *results.glob("*.npz"), *labels.glob("*.png")]
    fingerprint = fingerprint_of(read, body=asset.sha256, of="pictures", kind=kind)
    sums = count_files(files, add, asset.num_vertices, fingerprint, resume, on_progress)
    if not sums.votes.people:
        raise DatasetError(f"{results}: none of {len(files)} pictures can be used; the first one: {sums.left_out[0]}")
    return sums.votes, sums.left_out


def seen_labels(
    bodies: list[np.ndarray],
    asset: BodyAsset,
    camera: PictureCamera,
    labels_at: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For everybody the vertices that are seen and their likeliest label; nobody's where another person is in front.

    Args:
        bodies: (V, 3) metres, camera frame.
        asset: the body.
        camera: of the full picture.
        labels_at: labels at columns u and rows v, as :meth:`dsr.people.ClothingMap.at`.
    """
    width, height = camera.size
    scale = min(1.0, _SIDE / max(width, height))
    small = camera.scaled((max(round(width * scale), 1), max(round(height * scale), 1)))
    faces = asset.faces[~asset.interior] if len(asset.interior) else asset.faces
    count = asset.num_vertices
    stacked = np.concatenate([faces + k * count for k in range(len(bodies))])
    seen = rasterise(np.concatenate(bodies), stacked, small.K, small.size, cull_back=True)
    corners, weights = seen.barycentric()
    nearest = corners[np.arange(len(corners)), weights.argmax(1)]
    u = (np.arange(small.size[0]) + 0.5) * width / small.size[0]
    v = (np.arange(small.size[1]) + 0.5) * height / small.size[1]
    label = labels_at(u, v)[0][seen.covered]
    found = []
    for k in range(len(bodies)):
        mine = (nearest // count == k) & (label > 0)
        if mine.sum() < _FEW_PIXELS:
            continue
        table = np.bincount((nearest[mine] % count) * len(LABELS) + label[mine], minlength=count * len(LABELS))
        table = table.reshape(count, len(LABELS))
        vertices = np.flatnonzero(table.any(1))
        found.append((vertices, table[vertices].argmax(1)))
    return found
