"""How like themselves people look from elsewhere in the texture of one photograph: python benchmarks/texture.py.

Made-up people in pictures of their own (640 pixels a side, light that turns with the person, within 45 degrees of
facing the camera) are fitted, textured by that picture, and drawn as they are seen from 60 degrees to either side.
Errors are mean absolute differences of sRGB, 0 to 255, where both pictures show the skin's chart and the texture was
really seen; ``guessed`` are the other pixels. Rows:

* ``exact fit``: the truth's own body, mask and labels; what the texture itself loses.
* ``fit, true body``: the texture made by the fit, worn by the true body; errors of pose and shape count only where they
  made it take wrong pixels.
* ``fit, its body``: the fitted body itself, put where the person stands. Of a pattern it shows the wrong stripe where
  the body is off by half of one, so this counts the fit's depth above all.
* ``perfect, its body``: the fitted body painted as the person really is, where the photograph was seen: what no texture
  can mend.

What was seen is told apart by what the person shows there: skin and hair, clothes of one colour, patterned clothes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from dsr.body import BodyAsset, load_asset, pose_vertices
from dsr.export.materials import SKIN, face_materials
from dsr.export.rig import vertex_normals
from dsr.export.texture import SIDE, Texture, person_texture
from dsr.options import FitOptions
from dsr.people.clothing_map import ClothingMap
from dsr.pipeline.picture_fitter import Fitter
from dsr.rendering.zbuffer import ZBuffer, rasterise
from dsr.synthetic.people import SyntheticSource
from dsr.synthetic.scene import draw_background

SIZE, TURNS_DEG, FACING_DEG = 640, (-60.0, 60.0), 45.0
_LAMP = np.array([0.4, -0.5, -0.77]) / np.linalg.norm([0.4, -0.5, -0.77])
_AMBIENT = 0.62
KINDS = ("skin and hair", "one colour", "patterned")
_BARE = (2, 10, 13, 14, 15, 16, 17)


class Subject:
    """One made-up dressed person, drawn from any side with the open body's mesh."""

    def __init__(self, source: SyntheticSource, index: int, asset: BodyAsset) -> None:
        self.asset, scene = asset, source.scene(index)
        self.outfit, self.K, self.skirt = scene.outfit, scene.K, bool(scene.outfit.skirt)
        betas = np.zeros(asset.num_betas)
        betas[: len(scene.betas)] = scene.betas
        skin = pose_vertices(asset, betas, scene.pose_aa[1:], scene.pose_aa[0], scene.transl)
        self.normals = vertex_normals(skin, asset)
        lift = self.outfit.lift(asset.v_template.astype(np.float32))
        lift[np.unique(asset.faces[asset.interior])] = 0
        self.vertices = skin + lift[:, None] * self.normals
        self.middle = self.vertices.mean(0)
        self.height_m = scene.person.height_m

    def picture(self, turn_deg: float, background: np.ndarray) -> tuple[np.ndarray, ZBuffer, np.ndarray]:
        """The person turned about an upright axis: picture, z-buffer, and labels of the covered pixels."""
        zb = rasterise(turned(self.vertices, turn_deg, self.middle), self.asset.faces, self.K, (SIZE, SIZE))
        fields = zb.interpolate(np.hstack([self.asset.v_template, self.normals]))
        places = fields[:, :3].astype(np.float32)
        labels = self.outfit.labels(places)
        picture = background.copy()
        picture[zb.covered] = self._lit(places, labels, fields[:, 3:])
        return np.clip(picture, 0, 255).astype(np.uint8), zb, labels

    def seen_as(self, vertices_cam: np.ndarray, turn_deg: float) -> ZBuffer:
        """A fitted body (V, 3), turned like the person and put where they stand."""
        vertices = vertices_cam.astype(np.float64)
        middle = vertices.mean(0)
        body = turned(vertices, turn_deg, middle) + self.middle - middle
        return rasterise(body, self.asset.faces, self.K, (SIZE, SIZE))

    def kinds(self, labels: np.ndarray) -> np.ndarray:
        """Index of :data:`KINDS` for labels of the person."""
        patterned = [label for label, paint in self.outfit.paints.items() if paint.kind != "plain"]
        return np.where(np.isin(labels, _BARE), 0, np.where(np.isin(labels, patterned), 2, 1))

    def painted(self) -> np.ndarray:
        """(S, S, 3) uint8, the skin's chart as the person really is, in the photograph's light."""
        assert self.asset.uv is not None and self.asset.faces_uv is not None
        flat = np.column_stack([self.asset.uv[:, 0], 1.0 - self.asset.uv[:, 1], np.ones(len(self.asset.uv))])
        materials, kind = face_materials(self.asset)
        mine = kind == materials.index(SKIN)
        zb = rasterise(flat, self.asset.faces_uv[mine], np.diag([SIDE, SIDE, 1.0]), (SIDE, SIDE))
        _, weights = zb.barycentric()
        corners = self.asset.faces[mine][zb.face_index[zb.covered]]
        at = np.einsum("nk,nkc->nc", weights, np.hstack([self.asset.v_template, self.normals])[corners])
        places, normals = at[:, :3].astype(np.float32), at[:, 3:]
        out = np.full((SIDE, SIDE, 3), 128.0)
        out[zb.covered] = self._lit(places, self.outfit.labels(places), normals)
        return np.clip(out, 0, 255).astype(np.uint8)

    def _lit(self, places: np.ndarray, labels: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Colours (N, 3) of places of the template that face along normals (N, 3)."""
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        light = _AMBIENT + (1 - _AMBIENT) * np.clip(normals @ _LAMP, 0, 1)
        return np.asarray(self.outfit.colours(places, labels) * light[:, None])


def turned(vertices: np.ndarray, degrees: float, about: np.ndarray) -> np.ndarray:
    """Vertices turned about an upright axis through a point."""
    return (vertices - about) @ Rotation.from_euler("y", degrees, degrees=True).as_matrix().T + about


def subjects(count: int, seed: int, asset: BodyAsset) -> Iterator[tuple[int, Subject]]:
    """People who are wholly in their picture and wear no skirt, which no body's surface has."""
    source = SyntheticSource(count=100 * count, seed=seed, size=SIZE, occluders=False, facing_deg=FACING_DEG)
    found = 0
    for index in range(len(source)):
        record = source.record(index)
        inside = (record.box_px[:2] > 0).all() and (record.box_px[2:] < SIZE).all()
        if not inside or record.mask is None or record.mask.mean() < 0.07:
            continue
        person = Subject(source, index, asset)
        if not person.skirt:
            yield index, person
            found += 1
        if found == count:
            return


def worn(texture: Texture, asset: BodyAsset, zb: ZBuffer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours (S, S, 3) of a drawn body in its texture, where it was really seen, and where the chart is at all."""
    assert asset.uv is not None and asset.faces_uv is not None
    _, weights = zb.barycentric()
    face = zb.face_index[zb.covered]
    uv = np.einsum("nk,nkc->nc", weights, asset.uv[asset.faces_uv[face]])
    row, column = (np.clip((x * SIDE).astype(int), 0, SIDE - 1) for x in (1 - uv[:, 1], uv[:, 0]))
    colours = np.full((SIZE, SIZE, 3), 128, np.uint8)
    colours[zb.covered] = texture.rgb[row, column]
    materials, kind = face_materials(asset)
    chart, seen = np.zeros((2, SIZE, SIZE), bool)
    chart[zb.covered] = kind[face] == materials.index(SKIN)
    seen[zb.covered] = texture.seen[row, column] > 127
    return colours, chart & seen, chart


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=8, help="people")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--sheet", type=Path, default=None, help="write photograph, truth and all rows as one picture")
    arguments = parser.parse_args()
    asset, tiles = load_asset("open"), []
    rows: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for index, person in subjects(arguments.count, arguments.seed, asset):
            background = draw_background(np.random.default_rng(index), SIZE)
            photo, zb, labels = person.picture(0.0, background)
            path = Path(folder) / "photo.png"
            Image.fromarray(photo).save(path)
            options = FitOptions(focal=float(person.K[0, 0]), person="largest", height=float(person.height_m))
            result = Fitter(options, keep_pictures=True, keep_labels=True).fit(path)
            fitted = person_texture(result, 0, asset) if result.status == "ok" and result.people else None
            if fitted is None:
                print(f"person {index}: not found")
                continue
            known = np.zeros((SIZE, SIZE), np.int64)
            known[zb.covered] = labels
            box = np.array([0.0, 0.0, SIZE, SIZE])
            truth_of = replace(result.people[0], vertices_cam_m=person.vertices.astype(np.float32))
            ideal = replace(result, people=[truth_of])
            ideal.labels = [ClothingMap(box, known, np.ones(known.shape, np.float32))]
            exact = person_texture(ideal, 0, asset)
            assert exact is not None
            perfect = replace(fitted, rgb=person.painted())
            for turn in TURNS_DEG:
                grey = np.full((SIZE, SIZE, 3), 128.0)
                true, there, shown = person.picture(turn, grey)
                kinds = np.full((SIZE, SIZE), -1)
                kinds[there.covered] = person.kinds(shown)
                own = person.seen_as(result.people[0].vertices_cam_m, turn)
                ways = {
                    "exact fit": (exact, there),
                    "fit, true body": (fitted, there),
                    "fit, its body": (fitted, own),
                    "perfect, its body": (perfect, own),
                }
                tile = [photo, true]
                for name, (texture, seen_in) in ways.items():
                    colours, seen, chart = worn(texture, asset, seen_in)
                    error = np.abs(colours.astype(float) - true).mean(2)
                    seen, chart = seen & there.covered, chart & there.covered
                    guessed = chart & ~seen
                    places = (seen, guessed, chart, *(seen & (kinds == kind) for kind in range(len(KINDS))))
                    mean = [float(error[at].mean()) if at.any() else np.nan for at in places]
                    rows.setdefault(name, []).append([*mean, seen.sum() / max(chart.sum(), 1)])
                    tile.append(colours)
                tiles.append(np.hstack(tile)[::2, ::2])
    for name, values in rows.items():
        table = np.array(values)
        seen, guessed, everything, *of_kind, share = np.nanmean(table, 0)
        print(
            f"{name:17s} seen {seen:5.1f} (median {np.nanmedian(table[:, 0]):.1f}, worst {np.nanmax(table[:, 0]):.1f}),"
            f" guessed {guessed:5.1f}, all {everything:5.1f}; {100 * share:.0f} % seen; {len(table)} views"
        )
        print(" " * 17, "seen of", ", ".join(f"{kind} {value:.1f}" for kind, value in zip(KINDS, of_kind, strict=True)))
    if arguments.sheet is not None:
        Image.fromarray(np.vstack(tiles)).save(arguments.sheet)


if __name__ == "__main__":
    main()
