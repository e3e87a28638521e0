"""Posed meshes as OBJ and PLY through trimesh: y up, metres, in the order of the body asset; these hold no camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr.export.rig import Frame, rig_person, vertex_normals

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.results.picture import PersonResult


def mesh_bytes(
    person: PersonResult,
    asset: BodyAsset,
    frame: Frame = "camera",
    *,
    file_type: str,
) -> bytes:
    """The posed mesh of a person as the bytes of a file.

    Args:
        person: the fit.
        asset: the body it was fitted with.
        frame: ``camera`` or ``body``.
        file_type: ``obj`` or ``ply``.

    Raises:
        ExportError: if the person does not belong to the body or is not finite.
    """
    import trimesh

    rig = rig_person(person, asset, frame)
    normals = vertex_normals(rig.vertices, asset)
    mesh = trimesh.Trimesh(rig.vertices, asset.faces, vertex_normals=normals, process=False, validate=False)
    if file_type == "obj":
        return mesh.export(file_type="obj", include_normals=True).encode()  # type: ignore[union-attr]
    return mesh.export(file_type="ply", vertex_normal=True)  # type: ignore[return-value]
