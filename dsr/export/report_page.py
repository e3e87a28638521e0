"""One self-contained HTML page to look through the fits of an output folder; it needs no network and no server.

The page is ``dsr/export/page/page.html`` with its style and script, three.js (``three.min.js``, bundled from its npm
package) and the data of every fit, which the browser decodes when the fit is chosen. Bodies are drawn with fewer
vertices and whole millimetres.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.camera import PictureCamera
from dsr.errors import DsrError, ResultError
from dsr.export.overlay import COLOURS, draw_bodies
from dsr.export.side_view import level_view, render_side_view
from dsr.files import with_ending, write_atomic
from dsr.results.clip import SequenceResult
from dsr.results.picture import FitResult, PersonResult
from dsr.results.saved import load_result

if TYPE_CHECKING:
    from dsr.body.asset import BodyAsset
    from dsr.results.report import Row

_PAGE = Path(__file__).with_name("page")
_LONG_SIDE, _SIDE_SIZE = 448, (480, 320)
_CELL_M = 0.025
"""Vertices closer together than this are drawn as one."""
_MOST_POINTS = 65_535


@dataclass(frozen=True)
class LightMesh:
    """A body drawn with some of its vertices.

    Attributes:
        vertices: (V',) which of the body's vertices.
        faces: (F', 3) triangles of them.
    """

    vertices: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True)
class PageFit:
    """What the page has of one input.

    Attributes:
        row: a line of its table.
        data: what is shown when it is chosen; None where there is no fit.
    """

    row: dict[str, Any]
    data: dict[str, Any] | None


def light_mesh(asset: BodyAsset) -> LightMesh:
    """The outside of a body; in every cell of 25 millimetres the one vertex that is nearest to their mean at rest."""
    inside = asset.interior if len(asset.interior) == len(asset.faces) else np.zeros(len(asset.faces), bool)
    faces = asset.faces[~inside]
    used = np.unique(faces)
    cell = _CELL_M
    while True:
        points = asset.v_template[used]
        _, group = np.unique(np.floor(points / cell).astype(np.int64), axis=0, return_inverse=True)
        group = group.reshape(-1)
        if group.max(initial=0) < _MOST_POINTS:
            break
        cell *= 1.5
    means = np.stack([np.bincount(group, points[:, k]) for k in range(3)], axis=1) / np.bincount(group)[:, None]
    order = np.lexsort((np.linalg.norm(points - means[group], axis=1), group))
    nearest = used[order[np.unique(group[order], return_index=True)[1]]]
    place = np.zeros(asset.num_vertices, np.int64)
    place[used] = group
    small = place[faces]
    whole = (small[:, 0] != small[:, 1]) & (small[:, 1] != small[:, 2]) & (small[:, 2] != small[:, 0])
    return LightMesh(nearest, small[whole])


class ReportPage:
    """Makes the page of an output folder: :meth:`fit` for every row, from any thread, then :meth:`write`.

    Args:
        folder: the output folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._bodies: dict[Path, tuple[BodyAsset, LightMesh] | None] = {}

    def fit(self, row: Row, place: int) -> PageFit:
        """What the page has of one input; a result that cannot be shown costs the others nothing, its line says why.

        Args:
            row: of the report.
            place: of the row.
        """
        line: dict[str, Any] = {
            "i": place,
            "name": Path(row.input).name,
            "status": row.status,
            "failed": row.failed,
            "people": row.people,
            "worst": None,
            "px": row.reprojection_px if _is_finite(row.reprojection_px) else None,
            "warnings": len(row.warnings),
            "seconds": row.seconds,
            "message": row.message,
            "said": row.warnings,
        }
        json_path = with_ending(self._folder / row.name, ".json")
        if row.failed or not json_path.is_file():
            return PageFit(line, None)
        try:
            fit = self._shown(json_path, line)
            _json(fit.row), _json(fit.data)  # says what is not finite
        except ResultError as error:
            return PageFit({**line, "message": str(error)}, None)
        except (DsrError, ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
            said = f"{json_path} was changed by something else and cannot be shown ({error}): run dsr-fit again for it."
            return PageFit({**line, "message": said}, None)
        return fit

    def _shown(self, json_path: Path, line: dict[str, Any]) -> PageFit:
        result = load_result(json_path)
        fitted = [person.residuals.get("fit", {}).get("reprojection_rel") for person in result.people]
        known = [value for value in fitted if value is not None and np.isfinite(value)]
        line = {**line, "worst": round(100 * max(known), 3) if known else None}
        focal = "" if result.K is None else f"{float(np.asarray(result.K).reshape(-1, 3, 3)[0, 0, 0]):.0f} px: "
        width, height = result.image_size
        data: dict[str, Any] = {
            "facts": f"{result.input_path}, {width} x {height} pixels; focal length {focal}{result.focal_detail}.",
            "people": [_person_line(person) for person in result.people],
        }
        body = self._body(json_path.parent / result.body.get("file", "")) if result.people else None
        if body is not None:
            data |= _views(result, *body, json_path.parent)
        return PageFit(line, data)

    def write(self, path: Path, title: str, fits: Sequence[PageFit]) -> Path:
        """Write the page.

        Args:
            path: the HTML file.
            title: of the page.
            fits: in the order of the report.

        Raises:
            ExportError: if it cannot be written.
        """

        def write(temporary: Path) -> None:
            with temporary.open("w", encoding="utf-8") as stream:
                for piece in self._pieces(title, fits):
                    stream.write(piece)

        return write_atomic(path, write)

    def _pieces(self, title: str, fits: Sequence[PageFit]) -> Iterator[str]:
        page, style, script, three = (
            (_PAGE / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js", "three.min.js")
        )
        meshes = [body for body in self._bodies.values() if body is not None]
        marks: dict[str, Callable[[], Iterable[str]]] = {
            "TITLE": lambda: [html.escape(title)],
            "STYLE": lambda: [style],
            "INDEX": lambda: [_json([fit.row for fit in fits])],
            "MESHES": lambda: [
                _json({asset.sha256: _base64(mesh.faces.astype("<u2").tobytes()) for asset, mesh in meshes})
            ],
            "FITS": lambda: (
                f'<script type="application/json" id="fit{fit.row["i"]}">{_json(fit.data)}</script>\n'
                for fit in fits
                if fit.data is not None
            ),
            "THREE": lambda: [three],
            "PAGE": lambda: [script],
        }
        for k, piece in enumerate(re.split(f"@({'|'.join(marks)})@", page)):
            yield from marks[piece]() if k % 2 else [piece]

    def _body(self, path: Path) -> tuple[BodyAsset, LightMesh] | None:
        """A body that results were fitted with, read once; None where its copy is gone."""
        from dsr.body.asset_file import read_asset

        with self._lock:
            if path not in self._bodies:
                try:
                    asset = read_asset(path)
                    self._bodies[path] = asset, light_mesh(asset)
                except (DsrError, OSError):
                    self._bodies[path] = None
            return self._bodies[path]


def _views(result: FitResult | SequenceResult, asset: BodyAsset, mesh: LightMesh, folder: Path) -> dict[str, Any]:
    """Pictures and bodies; of a clip those of its middle frame, without a photograph."""
    if isinstance(result, SequenceResult):
        frames = result.people[0].frames
        people = result.people_at(int(frames[len(frames) // 2]), asset)
        still = FitResult("ok", result.input_path, people=people, floor=result.floor, image_size=result.image_size)
        return {"side": _webp(render_side_view(still, asset, _SIDE_SIZE)), **_bodies(still, asset, mesh)}
    views = {"side": _webp(render_side_view(result, asset, _SIDE_SIZE))}
    photo = _small_photo(result, folder)
    if photo is not None and result.K is not None:
        views["photo"] = _webp(photo)
        camera = PictureCamera(result.K, result.image_size).scaled((photo.shape[1], photo.shape[0]))
        draw_bodies(photo, [np.asarray(person.vertices_cam_m, np.float64) for person in result.people], asset, camera.K)
        views["overlay"] = _webp(photo)
    return {**views, **_bodies(result, asset, mesh)}


def _bodies(result: FitResult, asset: BodyAsset, mesh: LightMesh) -> dict[str, Any]:
    """Everybody's vertices about their middle, y up, in whole steps of a millimetre or more."""
    level, floor = level_view(result.floor)
    people = [np.asarray(person.vertices_cam_m, np.float64)[mesh.vertices] @ level.T for person in result.people]
    everybody = np.concatenate(people)
    low, high = everybody.min(axis=0), everybody.max(axis=0)
    centre, reach = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    step = max(0.001, reach / 32_000)
    ground = float(high[1]) if floor is None else floor
    colours = [COLOURS[k % len(COLOURS)].astype(int) for k in range(len(people))]
    steps = [np.round((points - centre) * [1, -1, -1] / step).astype("<i2") for points in people]
    return {
        "mesh": asset.sha256,
        "step": step,
        "radius": round(max(reach, 0.3), 3),
        "low": round(float(centre[1]) - ground, 3),
        "bodies": [
            {"colour": f"rgb({red},{green},{blue})", "points": _base64(points.tobytes())}
            for points, (red, green, blue) in zip(steps, colours, strict=True)
        ],
    }


def _small_photo(result: FitResult, folder: Path) -> np.ndarray | None:
    """The upright picture at the page's size: the copy beside the result, else the input; None where both are gone."""
    from PIL import Image

    from dsr.image import read_photo

    upright = folder / result.upright_file if result.upright_file else None
    for path in (upright, Path(result.input_path)):
        if path is None:
            continue
        try:
            photo = read_photo(path, work_pixels=1_000_000)
        except DsrError:
            continue
        if path == upright or photo.sha256 == result.input_sha256:
            picture = Image.fromarray(photo.rgb)
            picture.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.BOX)
            return np.array(picture)
    return None


def _is_finite(value: float | None) -> bool:
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def _person_line(person: Any) -> dict[str, str]:
    """A line of the table of people."""
    fit = person.residuals.get("fit", {})
    relative, pixels = fit.get("reprojection_rel"), fit.get("reprojection_px")
    score = person.score if isinstance(person, PersonResult) else None
    return {
        "person": person.id,
        "height": f"{person.height_m:.2f} m",
        "score": "" if score is None else f"{score:.2f}",
        "error": "" if relative is None else f"{100 * relative:.2f} %",
        "pixels": "" if pixels is None else f"{pixels:.1f}",
    }


def _webp(rgb: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "WEBP", quality=78, method=2)
    return _base64(buffer.getvalue())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _json(value: Any) -> str:
    """JSON that no browser takes for markup."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise ResultError(f"A figure of the results is not finite ({error}); run dsr-fit again for it.") from error
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028")
