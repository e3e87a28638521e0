"""Rigged GLB: the shaped rest mesh, the skeleton in the pose of the fit, and the matched camera.

glTF axes: y up, camera looking down -z, metres. Evaluating the skin of the file gives the vertices of the fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import pygltflib as gltf
from scipy.spatial.transform import Rotation

from dsr.export.materials import SKIN, Material, face_materials
from dsr.export.morphs import morphs
from dsr.export.rig import (
    Frame,
    Rig,
    joint_names,
    local_translations,
    rig_person,
    skinning,
    vertex_normals,
    with_four_influences,
)

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.camera import PictureCamera
    from dsr.results.picture import PersonResult

_COMPONENT = {"uint8": 5121, "uint16": 5123, "uint32": 5125, "float32": 5126}
_VERTEX_DATA, _INDEX_DATA = 34962, 34963


@dataclass(frozen=True)
class _SharedArrays:
    """Arrays of the file that are the same for everybody: vertices are split where the texture has seams."""

    vertex: np.ndarray = field(repr=False)  # (S,) vertex of the asset
    attributes: dict[str, np.ndarray] = field(repr=False)  # JOINTS_0, WEIGHTS_0, TEXCOORD_0
    indices: dict[Material, np.ndarray] = field(repr=False)


_SHARED: WeakKeyDictionary[BodyAsset, _SharedArrays] = WeakKeyDictionary()


def glb_bytes(
    person: PersonResult,
    asset: BodyAsset,
    camera: PictureCamera,
    frame: Frame = "camera",
    texture: Path | None = None,
) -> bytes:
    """A person as the bytes of a GLB file.

    The mesh is the shaped T-pose (plus the pose correctives of this pose where the body model has them), skinned to
    joints named as in the asset; named facial expressions are its morph targets. In the camera frame there is a node
    ``camera`` with the picture's vertical field of view; glTF has no principal point, so the exact intrinsics are in
    its extras.

    Args:
        person: the fit.
        asset: the body it was fitted with.
        camera: of the full, upright picture.
        frame: ``camera`` or ``body``.
        texture: PNG file of the skin's look, which goes into the file.

    Raises:
        ExportError: if the person does not belong to the body or is not finite.
    """
    rig = with_four_influences(rig_person(person, asset, frame), person, asset)
    file = rigged_glb(rig, person, asset, camera, frame)
    if texture is not None:
        file.add_texture(texture, SKIN.name)
    return file.to_bytes()


def rigged_glb(rig: Rig, person: PersonResult, asset: BodyAsset, camera: PictureCamera, frame: Frame) -> GlbFile:
    """The document of a rigged person; node j is joint j. Arguments as of :func:`glb_bytes`."""
    shared = _shared_arrays(asset)
    names = joint_names(asset)
    file = GlbFile(asset)

    face = morphs(asset, person.betas)
    attributes = {
        "POSITION": file.add(
            np.take(face.without(rig.rest_vertices), shared.vertex, axis=0), "VEC3", _VERTEX_DATA, bounds=True
        ),
        "NORMAL": file.add(
            np.take(vertex_normals(rig.rest_vertices, asset), shared.vertex, axis=0), "VEC3", _VERTEX_DATA
        ),
        **{
            key: file.add(array, "VEC2" if key == "TEXCOORD_0" else "VEC4", _VERTEX_DATA)
            for key, array in shared.attributes.items()
        },
    }
    targets = [{"POSITION": file.add_offsets(offsets[shared.vertex])} for offsets in face.offsets]
    primitives = [
        gltf.Primitive(
            attributes=gltf.Attributes(**attributes),
            indices=file.add(indices, "SCALAR", _INDEX_DATA),
            material=k,
            targets=targets or None,
        )
        for k, indices in enumerate(shared.indices.values())
    ]
    model = file.model
    model.materials = [
        gltf.Material(
            name=material.name,
            pbrMetallicRoughness=gltf.PbrMetallicRoughness(
                baseColorFactor=[*material.colour, 1.0], metallicFactor=0.0, roughnessFactor=material.roughness
            ),
            doubleSided=material.thin,
        )
        for material in shared.indices
    ]
    mesh = gltf.Mesh(name=f"{person.id}_body", primitives=primitives)
    if targets:
        mesh.weights = face.strengths.tolist()
        mesh.extras = {"targetNames": list(face.names)}  # where every reader looks for them
    model.meshes = [mesh]

    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (len(names), 1, 1))
    inverse_bind[:, 3, :3] = -rig.rest_joints  # column major
    quaternions = Rotation.from_matrix(rig.rotations).as_quat()
    for joint, translation in enumerate(local_translations(rig, asset.parents)):
        node = gltf.Node(
            name=names[joint],
            rotation=[float(q) for q in quaternions[joint]],
            translation=[float(t) for t in translation],
            children=np.flatnonzero(asset.parents == joint).tolist(),
        )
        model.nodes.append(node)
    root = int(np.flatnonzero(asset.parents < 0)[0])
    matrices = file.add(inverse_bind.reshape(-1, 16), "MAT4", None)
    model.skins = [gltf.Skin(joints=list(range(len(names))), inverseBindMatrices=matrices, skeleton=root)]
    model.scenes = [gltf.Scene(name=person.id, nodes=[])]
    extras = {
        "body": asset.name,
        "body_sha256": asset.sha256,
        "licence": asset.licence,
        "frame": frame,
        "betas": [float(b) for b in person.betas],
    }
    file.add_root(gltf.Node(name=person.id, children=[root], extras=extras))
    file.add_root(gltf.Node(name=f"{person.id}_mesh", mesh=0, skin=0))
    if frame == "camera":
        gltf_camera, node = _camera(camera)
        model.cameras = [gltf_camera]
        file.add_root(node)
    return file


class GlbFile:
    """A glTF document that grows by accessors, one buffer view each."""

    def __init__(self, asset: BodyAsset) -> None:
        self.model = gltf.GLTF2(
            asset=gltf.Asset(version="2.0", generator="dsr", copyright=asset.licence or None), scene=0
        )
        self._data: list[bytes] = []
        self._length = 0

    def add(self, array: np.ndarray, kind: str, target: int | None, bounds: bool = False) -> int:
        """Append an array (float64 becomes float32) and return its accessor."""
        array = np.ascontiguousarray(array, np.float32) if array.dtype == np.float64 else np.ascontiguousarray(array)
        accessor = gltf.Accessor(
            bufferView=self._view(array, target),
            byteOffset=0,
            componentType=_COMPONENT[array.dtype.name],
            count=len(array),
            type=kind,
        )
        if bounds:
            accessor.min = [float(v) for v in array.min(axis=0)]
            accessor.max = [float(v) for v in array.max(axis=0)]
        self.model.accessors.append(accessor)
        return len(self.model.accessors) - 1

    def add_offsets(self, offsets: np.ndarray) -> int:
        """Append offsets (n, 3) of which most are zero, as a sparse accessor, and return it."""
        moved = np.flatnonzero(offsets.any(axis=1))
        if not len(moved):
            moved = np.zeros(1, np.int64)  # a sparse accessor holds at least one
        places = moved.astype(np.uint16 if len(offsets) < 65535 else np.uint32)
        values = np.ascontiguousarray(offsets[moved], np.float32)
        sparse = gltf.Sparse(
            count=len(moved),
            indices=gltf.AccessorSparseIndices(
                bufferView=self._view(places), byteOffset=0, componentType=_COMPONENT[places.dtype.name]
            ),
            values=gltf.AccessorSparseValues(bufferView=self._view(values), byteOffset=0),
        )
        accessor = gltf.Accessor(
            byteOffset=None,
            componentType=_COMPONENT["float32"],
            count=len(offsets),
            type="VEC3",
            sparse=sparse,
            min=np.minimum(values.min(axis=0), 0 if len(moved) < len(offsets) else np.inf).tolist(),
            max=np.maximum(values.max(axis=0), 0 if len(moved) < len(offsets) else -np.inf).tolist(),
        )
        self.model.accessors.append(accessor)
        return len(self.model.accessors) - 1

    def add_root(self, node: gltf.Node) -> None:
        """Append a node to the scene."""
        self.model.nodes.append(node)
        self.model.scenes[0].nodes.append(len(self.model.nodes) - 1)

    def add_texture(self, path: Path, material: str) -> None:
        """Give the material of this name the picture of a PNG file as its colour."""
        view = self._view(np.frombuffer(path.read_bytes(), np.uint8))
        self.model.images.append(gltf.Image(name=path.stem, mimeType="image/png", bufferView=view))
        self.model.samplers.append(gltf.Sampler(magFilter=9729, minFilter=9987, wrapS=33071, wrapT=33071))
        self.model.textures.append(
            gltf.Texture(source=len(self.model.images) - 1, sampler=len(self.model.samplers) - 1)
        )
        for each in self.model.materials:
            if each.name == material:
                each.pbrMetallicRoughness.baseColorFactor = [1.0] * 4
                each.pbrMetallicRoughness.baseColorTexture = gltf.TextureInfo(index=len(self.model.textures) - 1)

    def _view(self, array: np.ndarray, target: int | None = None) -> int:
        data = array.tobytes()
        view = gltf.BufferView(buffer=0, byteOffset=self._length, byteLength=len(data), target=target)
        self.model.bufferViews.append(view)
        padding = -len(data) % 4
        self._data.append(data + b"\0" * padding)
        self._length += len(data) + padding
        return len(self.model.bufferViews) - 1

    def to_bytes(self) -> bytes:
        """The whole file."""
        self.model.buffers = [gltf.Buffer(byteLength=self._length)]
        self.model.set_binary_blob(b"".join(self._data))
        return b"".join(self.model.save_to_bytes())


def _camera(picture_camera: PictureCamera) -> tuple[gltf.Camera, gltf.Node]:
    (width, height), K = picture_camera.size, picture_camera.K
    perspective = gltf.Perspective(
        aspectRatio=float(width / height * K[1, 1] / K[0, 0]),
        yfov=2.0 * math.atan(height / (2.0 * float(K[1, 1]))),
        znear=0.01,
        zfar=1000.0,
    )
    extras: dict[str, Any] = {"K": K.tolist(), "image_size": [width, height]}
    camera = gltf.Camera(name="camera", type="perspective", perspective=perspective, extras=extras)
    return camera, gltf.Node(name="camera", camera=0, extras=extras)


def _shared_arrays(asset: BodyAsset) -> _SharedArrays:
    arrays = _SHARED.get(asset)
    if arrays is None:
        arrays = _SHARED[asset] = _build_shared_arrays(asset)
    return arrays


def _build_shared_arrays(asset: BodyAsset) -> _SharedArrays:
    faces = asset.faces.astype(np.int64)
    texture = None
    if asset.uv is not None and asset.faces_uv is not None:
        pairs = faces.ravel() * len(asset.uv) + asset.faces_uv.ravel()
        unique, corners = np.unique(pairs, return_inverse=True)
        vertex, corner_uv = np.divmod(unique, len(asset.uv))
        texture = asset.uv[corner_uv] * [1.0, -1.0] + [0.0, 1.0]  # glTF counts v downwards
    else:
        vertex, corners = np.unique(faces.ravel(), return_inverse=True)
    corners = corners.reshape(-1, 3).astype(np.uint16 if len(vertex) < 65535 else np.uint32)
    parts = skinning(asset)
    attributes = {"JOINTS_0": parts.joints[vertex], "WEIGHTS_0": parts.weights[vertex]}
    if texture is not None:
        attributes["TEXCOORD_0"] = texture.astype(np.float32)
    materials, kind = face_materials(asset)
    return _SharedArrays(vertex, attributes, {m: corners[kind == k].ravel() for k, m in enumerate(materials)})
