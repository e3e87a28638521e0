"""Where clothes are on a body: for every vertex and face how likely each label is, and how far off the skin it lies.

The prior that ships is learned from CC0 garments (``dsr-prior garments``; its card lies beside it). Priors of other
bodies are carried over by the surface, and the published ``semantic_prior.npy`` of SMPL's faces (DSR specification,
section 3.1) is read as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dsr.body import BodyAsset, load_asset
from dsr.checkpoints import shipped_file
from dsr.clothing.labels import LABELS
from dsr.clothing.surface import closest_on_surface
from dsr.errors import DatasetError
from dsr.files import write_atomic
from dsr.npz import read_npy

SHIPPED = "clothing_prior_open.safetensors"
"""The prior of the open body in ``dsr/weights``."""
BARE_LABELS = tuple(LABELS.index(name) for name in ("jumpsuits", "face", "leftArm", "rightArm", "leftLeg", "rightLeg"))
"""Labels of skin. The first is CIHP's "torso skin" in priors made here; the published prior means cloth by it."""
_FARTHEST_M = 0.06  # between surfaces of the same body in two topologies; 99 of 100 vertices are nearer
_OPEN = ("open", "open-light", "open-x")


@dataclass(frozen=True, eq=False)
class ClothingPrior:
    """Label distributions and looseness of one body.

    Attributes:
        vertex_labels: (V, 20) float32 probability of each label of :data:`~dsr.clothing.labels.LABELS`; rows sum to 1.
        vertex_looseness_m: (V, 2) float32 metres from the skin to the outermost cloth where there is some, mean and
            standard deviation over people; 0 where the prior says nothing about it.
        faces: (F, 3) of the body.
        body: its name.
        face_labels: (F, 20), by default the mean of the corners.
        face_looseness_m: (F, 2) likewise.
    """

    vertex_labels: np.ndarray
    vertex_looseness_m: np.ndarray
    faces: np.ndarray = field(repr=False)
    body: str = "open"
    face_labels: np.ndarray = field(default_factory=lambda: np.zeros((0, len(LABELS)), np.float32))
    face_looseness_m: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))

    def __post_init__(self) -> None:
        if not len(self.face_labels):
            object.__setattr__(self, "face_labels", self.vertex_labels[self.faces].mean(1, dtype=np.float32))
        if not len(self.face_looseness_m):
            object.__setattr__(self, "face_looseness_m", self.vertex_looseness_m[self.faces].mean(1, dtype=np.float32))

    def covered_vertices(self) -> np.ndarray:
        """(V,) probability that cloth, hair or a shoe covers a vertex."""
        return np.asarray(1.0 - self.vertex_labels[:, BARE_LABELS].sum(1) - self.vertex_labels[:, 0])

    def carried(self, corners: np.ndarray, weights: np.ndarray, asset: BodyAsset) -> ClothingPrior:
        """The prior of another body whose vertices lie in triangles of this one.

        Args:
            corners: (V, 3) this body's vertices around each vertex of the other one.
            weights: (V, 3) their weights.
            asset: the other body.
        """
        labels = np.einsum("nk,nkc->nc", weights, self.vertex_labels[corners].astype(np.float64))
        loose = np.einsum("nk,nkc->nc", weights, self.vertex_looseness_m[corners].astype(np.float64))
        labels /= labels.sum(1, keepdims=True)
        return ClothingPrior(labels.astype(np.float32), loose.astype(np.float32), asset.faces, asset.name)


def load_clothing_prior(asset: BodyAsset | None = None, path: str | Path | None = None) -> ClothingPrior:
    """The prior for a body.

    Args:
        asset: the body; by default the open one.
        path: a file of :func:`write_clothing_prior`, or a published ``semantic_prior.npy`` with a row per face of
            ``asset``; by default the prior that ships with the package.

    Returns:
        The prior with a row per vertex and face of ``asset``. A prior of the open body is carried over by the surface.

    Raises:
        DatasetError: if the file is missing, damaged, or of another body.

    Example:
        >>> prior = load_clothing_prior()
        >>> prior.vertex_labels.shape[1], prior.vertex_looseness_m.shape[1]
        (20, 2)
    """
    asset = load_asset("open") if asset is None else asset
    if path is not None and Path(path).suffix.lower() == ".npy":
        return _published(Path(path), asset)
    prior = _read(shipped_file(SHIPPED) if path is None else Path(path))
    if np.array_equal(prior.faces, asset.faces):
        return prior
    return carry_prior(prior, load_asset(prior.body), asset)


def carry_prior(prior: ClothingPrior, source: BodyAsset, target: BodyAsset) -> ClothingPrior:
    """A prior on another topology: every vertex takes what the nearest point of the other body's surface has.

    Bodies of other proportions (licensed SMPL) are brought together first: the source takes the target's shape and
    rest pose (:class:`dsr.body.BodyTransfer`).

    Raises:
        DatasetError: if the bodies cannot be brought together.
    """
    from dsr.errors import BodyError

    vertices = source.v_template
    if not (source.name in _OPEN and target.name in _OPEN):
        try:
            vertices = _at_rest_of(source, target)
        except BodyError as error:
            raise DatasetError(
                f"the clothing prior of {source.name} cannot be carried to {target.name}: {error}"
            ) from error
    face, weights, distance = closest_on_surface(target.v_template.astype(np.float64), vertices, source.faces)
    if np.quantile(distance, 0.99) > _FARTHEST_M:
        raise DatasetError(
            f"the clothing prior is for {source.name}; {target.name} has vertices {distance.max():.2f} m away from it. "
            "Give a semantic prior of that body."
        )
    return prior.carried(source.faces[face], weights, target)


def write_clothing_prior(path: Path, prior: ClothingPrior, note: dict[str, str]) -> None:
    """Write a prior as float16 safetensors; the same prior and note give the same bytes.

    Args:
        path: the file.
        prior: what is written.
        note: what it was made of, plain words.
    """
    from safetensors.numpy import save_file

    half = {
        "vertex_labels": prior.vertex_labels,
        "vertex_looseness_m": prior.vertex_looseness_m,
        "face_labels": prior.face_labels,
        "face_looseness_m": prior.face_looseness_m,
    }
    tensors = {name: np.ascontiguousarray(values.astype(np.float16)) for name, values in half.items()}
    said = json.dumps({**note, "body": prior.body}, sort_keys=True)
    write_atomic(path, lambda temporary: save_file(tensors, temporary, metadata={"dsr": said}))


def _read(path: Path) -> ClothingPrior:
    """A file of :func:`write_clothing_prior`, checked."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as stored:
            note = json.loads((stored.metadata() or {}).get("dsr", "{}"))
            arrays = {name: stored.get_tensor(name).astype(np.float32) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise DatasetError(
            f"cannot read the clothing prior {path}: {error}; make it with `dsr-prior garments FOLDER --out FILE`."
        ) from error
    name = str(note.get("body", "open")) if isinstance(note, dict) else "open"
    if name not in _OPEN:
        raise DatasetError(
            f"{path} is a clothing prior of the body {name[:40]!r}; only those of the open body are read."
        )
    asset = load_asset(name)
    shapes = {
        "vertex_labels": (asset.num_vertices, len(LABELS)),
        "vertex_looseness_m": (asset.num_vertices, 2),
        "face_labels": (len(asset.faces), len(LABELS)),
        "face_looseness_m": (len(asset.faces), 2),
    }
    for key, shape in shapes.items():
        if key not in arrays or arrays[key].shape != shape:
            raise DatasetError(
                f"{path} is no clothing prior of {name}: it lacks {key} of shape {shape}; make it again."
            )
    _check_numbers(path, arrays["vertex_labels"], arrays["face_labels"])
    if not all(np.isfinite(arrays[f"{part}_looseness_m"]).all() for part in ("vertex", "face")):
        raise DatasetError(f"{path} holds a looseness that is no number; make it again.")
    for key in ("vertex_labels", "face_labels"):  # float16 rounds; rows sum to 1 again
        arrays[key] = arrays[key] / arrays[key].sum(1, keepdims=True)
    return ClothingPrior(
        arrays["vertex_labels"],
        arrays["vertex_looseness_m"],
        asset.faces,
        name,
        arrays["face_labels"],
        arrays["face_looseness_m"],
    )


def _published(path: Path, asset: BodyAsset) -> ClothingPrior:
    """A published table with a row per face; vertices take the mean of their faces."""
    try:
        table = np.squeeze(read_npy(path))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); give a semantic_prior.npy.") from error
    if table.shape != (len(asset.faces), len(LABELS)) or table.dtype.kind not in "fiu":
        raise DatasetError(
            f"{path} has shape {table.shape}; the body {asset.name} needs ({len(asset.faces)}, {len(LABELS)}), a row "
            "per face and a column per Graphonomy label."
        )
    table = table.astype(np.float32)
    _check_numbers(path, table)
    vertices = np.zeros((asset.num_vertices, len(LABELS)))
    for corner in range(3):
        np.add.at(vertices, asset.faces[:, corner], table)
    total = vertices.sum(1, keepdims=True)
    vertices = np.where(total > 0, vertices / np.maximum(total, 1e-12), 1.0 / len(LABELS))
    loose = np.zeros((asset.num_vertices, 2), np.float32)
    return ClothingPrior(vertices.astype(np.float32), loose, asset.faces, asset.name, table)


def _check_numbers(path: Path, *tables: np.ndarray) -> None:
    for table in tables:
        if not np.isfinite(table).all() or table.min() < 0 or table.max() > 1 + 1e-3 or not table.any():
            raise DatasetError(
                f"{path} holds numbers that are no probabilities (0 to 1); it is damaged, or another file."
            )


def _at_rest_of(source: BodyAsset, target: BodyAsset) -> np.ndarray:
    """(V, 3) the source body in the target's shape and rest pose."""
    import torch

    from dsr.body import Body, BodyTransfer

    bodies: list[Body] = [Body(target), Body(source)]
    rest = torch.eye(3).expand(1, target.num_joints, 3, 3)
    moved = BodyTransfer(*bodies)(rest, torch.zeros(1, target.num_betas), torch.zeros(1, 3))
    with torch.no_grad():
        output = bodies[1](moved.betas, moved.pose_rotmat[:, 1:], moved.pose_rotmat[:, 0], moved.transl)
    return np.asarray(output.vertices[0].double().cpu())
