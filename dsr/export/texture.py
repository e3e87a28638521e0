"""A person's own look: the photograph on the body's texture map where the camera saw it, a guess elsewhere.

What the z-buffer shows and the person's mask covers is taken from the photograph, the more the straighter the surface
faces the camera. The rest is taken from the mirrored half of the body where that was seen. Where it was not, the seen
colours of its likely clothing label go on, nearest first, so that light and shade end nowhere; far from anything seen
their median takes over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from dsr.camera import PictureCamera
from dsr.errors import DatasetError, ExportError, UsageError
from dsr.export.materials import SKIN, face_materials
from dsr.export.rig import vertex_normals
from dsr.rendering.zbuffer import rasterise

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.people.clothing_map import ClothingMap
    from dsr.results.picture import FitResult

SIDE = 1024
"""Pixels of a texture's side."""
TEXTURED = SKIN.name
"""Name of the material that the texture is of; eyes, teeth and the like keep their colours."""

_GRAZING, _FACING = 0.15, 0.5  # cosines to the line of sight: nothing and everything is taken from the photograph
_EDGE_M = 0.012  # a fitted outline is not exact: what lies so near to one is not trusted
_BEHIND_M = 0.04  # farther than what is in front by this: hidden by it
_DEPTH_M = 0.008  # of the z-buffer against the surface itself
_FEATHER = 8.0  # texels over which the photograph fades in
_MIRROR_M = 0.01  # a mirrored point farther from any seen one than this has not been seen
_LEAST_SEEN = 0.003  # share of the surface; below it there is nothing to go by
_LOCAL_M = 0.3  # so far from seen texels their own colours count rather than all of their label's
_NEIGHBOURS = 24
_AT_MOST = 20_000  # seen texels asked for the label of unseen ones
_FLIP = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Texture:
    """The look of one person on the texture map of a body.

    Attributes:
        rgb: (S, S, 3) uint8, sRGB; row 0 is v = 1 of the body's ``uv``.
        seen: (S, S) uint8: 255 where the photograph was taken, 0 where the colour is a guess, between where both are
            mixed and outside of the map's charts 0.
    """

    rgb: np.ndarray = field(repr=False)
    seen: np.ndarray = field(repr=False)

    @property
    def seen_share(self) -> float:
        """Share of the whole texture's pixels that come from the photograph for the greater part."""
        return float((self.seen > 127).mean())


@dataclass(frozen=True)
class _Atlas:
    """Texels of a body: N of them."""

    inside: np.ndarray  # (S, S) bool; N are True
    corners: np.ndarray  # (N, 3) vertices
    weights: np.ndarray  # (N, 3)
    places: np.ndarray  # (N, 3) on the template
    normals: np.ndarray  # (N, 3) there

    def of(self, values: np.ndarray) -> np.ndarray:
        """(N, C) from values (V, C) at the vertices."""
        return np.einsum("nk,nkc->nc", self.weights, values[self.corners])

    def picture(self, values: np.ndarray) -> np.ndarray:
        """(S, S, ...) of values (N, ...), 0 elsewhere."""
        out = np.zeros((*self.inside.shape, *values.shape[1:]), values.dtype)
        out[self.inside] = values
        return out


_ATLASES: WeakKeyDictionary[BodyAsset, _Atlas] = WeakKeyDictionary()


def check_texture_map(asset: BodyAsset) -> None:
    """Refuse a body without texture coordinates.

    Raises:
        UsageError: that says so.
    """
    if asset.uv is None or asset.faces_uv is None:
        raise UsageError(f"Body {asset.name} has no texture coordinates: leave out --texture, or use the open body.")


def person_texture(result: FitResult, index: int, asset: BodyAsset) -> Texture | None:
    """The look of a fitted person.

    Args:
        result: a fit whose ``overlay_rgb`` holds the upright picture. Where it has ``labels``, those of the person say
            which pixels are of it and what they show; otherwise the body's own outline does.
        index: of the person among ``result.people``.
        asset: the body it was fitted with.

    Returns:
        The texture, or None where the picture shows nothing of the person to go by.

    Raises:
        ExportError: if the result carries no picture.
        UsageError: if the body has no texture coordinates.
    """
    check_texture_map(asset)
    if result.overlay_rgb is None or result.K is None:
        raise ExportError(f"{result.input_path}: no picture to take colours from; textures are made right after a fit.")
    clothes = result.labels[index] if result.labels else None
    atlas = _atlas(asset)
    height, width = result.overlay_rgb.shape[:2]
    camera = PictureCamera(result.K, result.image_size).scaled((width, height))
    people = [np.asarray(person.vertices_cam_m, np.float64) for person in result.people]
    labels = _label_picture(clothes, (width, height), result.image_size)
    share, pixels = _seen(atlas, asset, people, index, camera, labels)
    if (share > 0.5).mean() < _LEAST_SEEN:
        return None
    colours = np.stack([_sampled(result.overlay_rgb[..., c], pixels) for c in range(3)], axis=1)
    column, row = (np.clip(pixels[:, k].astype(int), 0, (width, height)[k] - 1) for k in (0, 1))
    guess = _fill(atlas, asset, share, colours, labels[row, column], clothes is not None)
    mirrored, strength = _mirror(atlas, share, colours)
    guess += strength[:, None] * (mirrored - guess)
    rgb = guess + share[:, None] * (colours - guess)
    return Texture(_healed(atlas, rgb), atlas.picture(np.round(255 * share).astype(np.uint8)))


def _sampled(channel: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(N,) of a picture (h, w) at pixels (N, 2), between its pixels linearly."""
    return ndimage.map_coordinates(channel.astype(float), pixels[:, ::-1].T - 0.5, order=1, mode="nearest")


def _atlas(asset: BodyAsset) -> _Atlas:
    atlas = _ATLASES.get(asset)
    if atlas is None:
        atlas = _ATLASES[asset] = _build_atlas(asset)
    return atlas


def _build_atlas(asset: BodyAsset) -> _Atlas:
    assert asset.uv is not None and asset.faces_uv is not None
    materials, kind = face_materials(asset)
    mine = np.flatnonzero(kind == materials.index(SKIN)) if SKIN in materials else np.arange(len(asset.faces))
    flat = np.column_stack([asset.uv[:, 0], 1.0 - asset.uv[:, 1], np.ones(len(asset.uv))])
    zb = rasterise(flat, asset.faces_uv[mine], np.diag([SIDE, SIDE, 1.0]), (SIDE, SIDE))
    _, weights = zb.barycentric()
    corners = asset.faces[mine][zb.face_index[zb.covered]]
    template = asset.v_template.astype(np.float64)
    normals = vertex_normals(template, asset)
    at = np.einsum("nk,nkc->nc", weights, np.hstack([template, normals])[corners])
    return _Atlas(zb.covered, corners, weights, at[:, :3], at[:, 3:])


def _label_picture(clothes: ClothingMap | None, size: tuple[int, int], full: tuple[int, int]) -> np.ndarray:
    """(h, w) label of every pixel of the picture, 0 where it is not the person; all 1 where there are no labels."""
    width, height = size
    if clothes is None:
        return np.ones((height, width), int)
    u, v = (np.arange(width) + 0.5) * full[0] / width, (np.arange(height) + 0.5) * full[1] / height
    return np.maximum(clothes.at(u, v)[0], 0)


def _seen(
    atlas: _Atlas,
    asset: BodyAsset,
    people: list[np.ndarray],
    index: int,
    camera: PictureCamera,
    labels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """How far every texel is taken from the photograph, (N,) 0 to 1, and where it is in it, (N, 2)."""
    vertices = people[index]
    outer = asset.faces[~asset.interior] if len(asset.interior) == len(asset.faces) else asset.faces
    faces = np.concatenate([outer + k * asset.num_vertices for k in range(len(people))])
    depth = rasterise(np.concatenate(people), faces, camera.K, camera.size, cull_back=True).depth
    at = atlas.of(np.hstack([vertices, vertex_normals(vertices, asset)]))
    place, normal = at[:, :3], at[:, 3:]
    ahead = place[:, 2] > 0.05
    z = np.where(ahead, place[:, 2], 1.0)
    pixels = np.where(ahead[:, None], place[:, :2] / z[:, None], 0.0) @ camera.K[:2, :2].T + camera.K[:2, 2]
    length = np.linalg.norm(place, axis=1) * np.linalg.norm(normal, axis=1)
    cosine = -(place * normal).sum(1) / np.maximum(length, 1e-9)

    width, height = camera.size
    inside = ahead & (pixels >= 0).all(1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    column, row = (np.where(inside, pixels[:, k], 0).astype(int) for k in (0, 1))
    pixel_m = float(np.median(z)) / float(camera.K[1, 1])
    edge = max(1, round(_EDGE_M / pixel_m))
    mask = ndimage.binary_erosion(np.pad(labels > 0, 1, mode="edge"), iterations=edge, border_value=1)[1:-1, 1:-1]
    front = ndimage.minimum_filter(depth, size=2 * edge + 1)
    slope = pixel_m / np.maximum(cosine, _GRAZING)
    seen = inside & mask[row, column]
    seen &= z < depth[row, column] + _DEPTH_M + slope
    seen &= z < front[row, column] + _BEHIND_M + (edge + 1) * slope
    share = seen * np.clip((cosine - _GRAZING) / (_FACING - _GRAZING), 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    known = atlas.picture(share > 0) | ~atlas.inside  # borders of the charts are none of what was seen
    fade = np.minimum(ndimage.distance_transform_edt(known)[atlas.inside] / _FEATHER, 1.0)
    return share * fade, pixels


def _mirror(atlas: _Atlas, share: np.ndarray, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours (N, 3) of the other half's texels, and how far they are to be taken, (N,) 0 to 1."""
    other, strength = np.zeros_like(colours), np.zeros(len(share))
    source, wanted = np.flatnonzero(share > 0.25), np.flatnonzero(share < 1)
    if not len(source) or not len(wanted):
        return other, strength
    tree = cKDTree(atlas.places[source])
    distance, nearest = tree.query(atlas.places[wanted] * _FLIP, distance_upper_bound=_MIRROR_M)
    found = np.isfinite(distance)
    wanted, nearest, distance = wanted[found], source[nearest[found]], distance[found]
    alike = (atlas.normals[wanted] * _FLIP * atlas.normals[nearest]).sum(1) > 0.3
    other[wanted] = colours[nearest]
    strength[wanted] = alike * share[nearest] * np.clip(2.0 * (1.0 - distance / _MIRROR_M), 0.0, 1.0)
    return other, strength


def _fill(
    atlas: _Atlas, asset: BodyAsset, share: np.ndarray, colours: np.ndarray, labels: np.ndarray, known: bool
) -> np.ndarray:
    """(N, 3) colour of each texel's likely label: what the prior of clothing and the nearest seen texels agree on.

    It is the mean of the nearest texels of that label, and far from them the median of all. Both halves of a body are
    dressed alike, so seen texels vote on either, and left and right are one label.
    """
    from dsr.clothing.labels import LABEL_MIRROR

    sides = np.minimum(np.arange(len(LABEL_MIRROR)), LABEL_MIRROR)
    good = np.flatnonzero((share > 0.5) & (labels > 0))
    kind = sides[labels[good]]
    tones = np.zeros((len(sides), 3))
    for label in np.unique(kind):
        tones[label] = np.median(colours[good][kind == label], axis=0)
    step = -(-len(good) // _AT_MOST)
    few, kind, shades = atlas.places[good[::step]], kind[::step], colours[good[::step]]
    template, count = asset.v_template.astype(np.float64), asset.num_vertices
    tree = cKDTree(np.vstack([few, few * _FLIP]))
    distance, nearest = tree.query(template, k=np.arange(1, min(_NEIGHBOURS, len(few)) + 1))
    near = 1.0 / (0.01 + distance)
    votes = np.zeros((count, len(sides)))
    voters = np.tile(kind, 2)[nearest]
    np.add.at(votes, (np.arange(count)[:, None], voters), near / near.sum(1, keepdims=True))
    if known:
        likely = np.zeros_like(votes)
        np.add.at(likely.T, sides, _prior(asset).T)
        votes *= 0.05 + likely
    label = votes.argmax(1)
    same = near * (voters == label[:, None])
    total = same.sum(1)
    local = np.einsum("vk,vkc->vc", same, np.tile(shades, (2, 1))[nearest]) / np.maximum(total, 1e-9)[:, None]
    trust = np.exp(-(same * distance).sum(1) / np.maximum(total, 1e-9) / _LOCAL_M) * (total > 0)
    return atlas.of(tones[label] + trust[:, None] * (local - tones[label]))


def _prior(asset: BodyAsset) -> np.ndarray:
    """(V, 20) how likely each label is; the same for all where no prior fits the body."""
    from dsr.clothing.prior import load_clothing_prior

    try:
        return np.asarray(load_clothing_prior(asset).vertex_labels, np.float64)
    except DatasetError:
        return np.ones((asset.num_vertices, 20))


def _healed(atlas: _Atlas, rgb: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8, every pixel outside of the charts like the nearest one inside: no seam shows when filtered."""
    picture = np.clip(np.round(atlas.picture(rgb)), 0, 255).astype(np.uint8)
    nearest = ndimage.distance_transform_edt(~atlas.inside, return_distances=False, return_indices=True)
    return picture[tuple(nearest)]
