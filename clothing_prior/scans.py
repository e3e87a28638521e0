"""The prior from clothed scans with labels and fitted body parameters.

A scan is ``NAME.obj``, ``.ply`` or ``.glb`` (metres), with a label for every vertex: in ``NAME.labels.npy`` (ids 0 to
19, -1 unknown), or as vertex colours or a texture of Graphonomy's palette. ``NAME.npz`` holds the body inside of it:
``betas``, ``body_pose`` (23, 3), and where known ``global_orient`` (3,) and ``transl`` (3,). The scan is registered to
the body rigidly, so that its frame does not matter; holes are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from clothing_prior.covering import covering, vertex_normals
from clothing_prior.dressing import joint_transforms, skin
from clothing_prior.garments import inner_vertices, near_joints
from clothing_prior.resuming import OnProgress, count_files, fingerprint_of
from clothing_prior.votes import Votes
from dsr.body import BodyAsset
from dsr.clothing.labels import LABELS, PALETTE_RGB
from dsr.clothing.prior import BARE_LABELS
from dsr.errors import DatasetError
from dsr.npz import read_npy, read_npz

ENDINGS = (".obj", ".ply", ".glb")
_MOST_VERTICES = 2_000_000
_POINTS, _ROUNDS, _TRIMMED = 2500, 40, 0.85
_WORST_FIT_M = 0.06


@dataclass(frozen=True)
class Scan:
    """A labelled scan.

    Attributes:
        vertices: (N, 3) metres, any rigid frame.
        faces: (F, 3).
        labels: (N,) label ids, -1 where unknown.
    """

    vertices: np.ndarray
    faces: np.ndarray
    labels: np.ndarray


def learn_from_scans(
    folder: Path, asset: BodyAsset, on_progress: OnProgress | None = None, resume: Path | None = None
) -> tuple[Votes, list[str]]:
    """Register every scan of a folder and count what covers the body.

    Args:
        folder: the scans.
        asset: the body their parameters belong to, with 24 joints.
        on_progress: called with scans done and in all.
        resume: file that holds the sums so far; gone on from where it belongs to the same files.

    Returns:
        The votes, and a sentence for every scan that was left out.

    Raises:
        DatasetError: if the folder holds no scan, or none that can be used.
    """
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS) if folder.is_dir() else []
    if not files:
        raise DatasetError(f"{folder}: no scans there (.obj, .ply or .glb with labels and a .npz of the body).")

    def add(file: Path, votes: Votes) -> None:
        scan, body = load_scan(file), load_parameters(file.with_suffix(".npz"), asset)
        labels, distance = read_scan_covers(scan, body, asset)
        rows = np.flatnonzero(labels >= 0)
        votes.add(rows, labels[rows], distance[rows])

    read = [file.with_suffix(ending) for file in files for ending in (file.suffix, ".npz", ".labels.npy")]
    sums = count_files(
        files, add, asset.num_vertices, fingerprint_of(read, body=asset.sha256, of="scans"), resume, on_progress
    )
    if not sums.votes.people:
        raise DatasetError(f"{folder}: none of {len(files)} scans can be used; the first one: {sums.left_out[0]}")
    return sums.votes, sums.left_out


def load_scan(path: Path) -> Scan:
    """A scan and its labels.

    Raises:
        DatasetError: if it cannot be read, has no labels, or they do not fit.
    """
    import trimesh

    try:
        mesh: Any = trimesh.load(path, force="mesh", process=False, maintain_order=True)
        vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    except Exception as error:  # trimesh raises what its readers raise
        raise DatasetError(f"{path} cannot be read as a mesh ({error}).") from error
    if not len(faces) or len(vertices) > _MOST_VERTICES:
        raise DatasetError(f"{path} has {len(vertices)} vertices and {len(faces)} triangles; 1 to 2 million are read.")
    if not np.isfinite(vertices).all():
        raise DatasetError(f"{path} has vertices that are no numbers (NaN); repair the scan.")
    height = float(np.ptp(vertices, axis=0).max())
    if not 0.4 < height < 4.0:
        raise DatasetError(f"{path} is {height:.3g} across; scans have to be in metres.")
    beside = path.with_suffix(".labels.npy")
    if beside.is_file():
        try:
            labels = np.squeeze(read_npy(beside))
        except (OSError, ValueError) as error:
            raise DatasetError(f"{beside} cannot be read ({error}).") from error
        if labels.shape != (len(vertices),) or labels.dtype.kind not in "iu":
            raise DatasetError(f"{beside} has shape {labels.shape}; {len(vertices)} whole numbers are needed.")
        labels = labels.astype(np.int64)
        if labels.min() < -1 or labels.max() >= len(LABELS):
            raise DatasetError(f"{beside} holds the label {labels.max()}; there are 0 to {len(LABELS) - 1}.")
        return Scan(vertices, faces, labels)
    return Scan(vertices, faces, _from_colours(_vertex_colours(mesh, path), path))


def _vertex_colours(mesh: Any, path: Path) -> np.ndarray:
    """(N, 3) colours of a mesh's vertices: its own, or those of its texture there."""
    kind, colours = mesh.visual.kind, None
    if kind == "vertex":
        colours = mesh.visual.vertex_colors
    elif kind == "texture" and getattr(mesh.visual, "uv", None) is not None:
        try:
            colours = mesh.visual.to_color().vertex_colors
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise DatasetError(f"{path}: its texture cannot be read ({error}).") from error
    if colours is None or len(colours) != len(mesh.vertices):
        raise DatasetError(
            f"{path} has no labels: give {path.stem}.labels.npy, or vertex colours or a texture of Graphonomy's "
            "palette."
        )
    return np.asarray(colours)[:, :3]


def load_parameters(path: Path, asset: BodyAsset) -> np.ndarray:
    """(V, 3) vertices of the body that is inside a scan, where its parameters place it.

    Raises:
        DatasetError: if the file is missing, damaged, or does not fit the body.
    """
    try:
        arrays = read_npz(path)
        betas = np.asarray(arrays["betas"], np.float64).ravel()
        pose = np.asarray(arrays["body_pose"], np.float64).reshape(-1, 3)
        orient = np.asarray(arrays.get("global_orient", np.zeros(3)), np.float64).reshape(1, 3)
        transl = np.asarray(arrays.get("transl", np.zeros(3)), np.float64).reshape(3)
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(
            f"{path}: no body parameters of the scan ({error}); betas and body_pose are needed."
        ) from error
    if len(pose) != len(asset.parents) - 1 or len(betas) > asset.num_betas:
        raise DatasetError(f"{path} has {len(betas)} betas and {len(pose)} joints; {asset.name} has other ones.")
    if not all(np.isfinite(a).all() for a in (betas, pose, orient, transl)):
        raise DatasetError(f"{path} holds numbers that are none (NaN).")
    shaped = asset.v_template + asset.shapedirs[..., : len(betas)] @ betas
    turns = np.concatenate([orient, pose])
    return skin(shaped, asset.weights.astype(np.float64), joint_transforms(asset, shaped, turns)) + transl


def read_scan_covers(scan: Scan, body: np.ndarray, asset: BodyAsset) -> tuple[np.ndarray, np.ndarray]:
    """What covers every vertex of the body inside a scan.

    Args:
        scan: in any rigid frame.
        body: (V, 3) the body inside of it.
        asset: that body.

    Returns:
        Label (V,), -1 where the scan shows nothing, and (V,) metres to it, NaN on skin.

    Raises:
        DatasetError: if scan and body cannot be brought together.
    """
    placed = register(scan.vertices, body)
    joints = asset.weights.argmax(1)
    nearest = cKDTree(body).query(placed)[1]
    corners = joints[nearest][scan.faces]
    face_joints = np.where(corners[:, 1] == corners[:, 2], corners[:, 1], corners[:, 0])
    normals = vertex_normals(body, asset.faces)
    face, distance = covering(body, normals, joints, placed, scan.faces, face_joints, near_joints(asset))
    face[inner_vertices(asset)] = -1
    seen = face >= 0
    votes = scan.labels[scan.faces[face]]
    label = np.where(votes[:, 1] == votes[:, 2], votes[:, 1], votes[:, 0])
    label = np.where(seen & (label > 0), label, -1)
    return label, np.where((label >= 0) & ~np.isin(label, BARE_LABELS), distance, np.nan)


def register(points: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Points (N, 3) of a scan moved rigidly onto a body (V, 3): trimmed ICP from the four ways its axes may lie.

    Raises:
        DatasetError: if no start leads to a fit.
    """
    rng = np.random.default_rng(0)
    some = points[rng.choice(len(points), min(_POINTS, len(points)), replace=False)]
    tree = cKDTree(body)
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    axes, body_axes = _axes(some), _axes(body)
    for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        flip = np.diag([signs[0], signs[1], signs[0] * signs[1]])
        turn = body_axes @ flip @ axes.T
        shift = body.mean(0) - turn @ some.mean(0)
        error = np.inf
        for _ in range(_ROUNDS):
            moved = some @ turn.T + shift
            distance, near = tree.query(moved)
            kept = distance <= np.quantile(distance, _TRIMMED)
            error = float(distance[kept].mean())
            step, offset = _rigid(moved[kept], body[near[kept]])
            turn, shift = step @ turn, step @ shift + offset
        if best is None or error < best[0]:
            best = error, turn, shift
    if best is None or best[0] > _WORST_FIT_M:
        raise DatasetError("the scan and the body in its .npz cannot be brought together; are they of one person?")
    return np.asarray(points @ best[1].T + best[2])


def _axes(points: np.ndarray) -> np.ndarray:
    """(3, 3) principal axes as columns, longest first, right-handed."""
    axes = np.linalg.eigh(np.cov((points - points.mean(0)).T))[1][:, ::-1]
    return axes * (1, 1, np.sign(np.linalg.det(axes)))


def _rigid(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation of the best rigid motion, ``target ~ R source + t`` (Kabsch)."""
    a, b = source.mean(0), target.mean(0)
    u, _, vt = np.linalg.svd((target - b).T @ (source - a))
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return turn, b - turn @ a


def _from_colours(rgb: np.ndarray, path: Path) -> np.ndarray:
    """Labels of vertex colours; a third of a palette colour's distance may be lost to compression."""
    palette = np.array(PALETTE_RGB, float)
    distance, near = cKDTree(palette).query(rgb.astype(float))
    labels = np.where(distance < 12.0, near, -1)
    if (labels < 0).mean() > 0.2:
        raise DatasetError(
            f"{path}: its colours are not those of Graphonomy's labels; give {path.stem}.labels.npy instead."
        )
    return np.asarray(labels)
