"""All pictures of some folders on one sheet, each with its overlay, side view and top view, for people to look through.

Figures hide what a look shows: somebody mirrored, leaning, floating, or missing.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dsr.errors import UsageError
from dsr.options import FitOptions, body_to_load

if TYPE_CHECKING:
    from PIL import Image

    from dsr.body import BodyAsset
    from dsr.results.picture import FitResult

SHEET_SUFFIXES = (".html", ".jpg", ".jpeg", ".png")
_LONGEST = 65_000
"""JPEG ends at 65 535 pixels."""
_LABEL = 20


@dataclass(frozen=True, eq=False)
class SheetRow:
    """One picture of the sheet.

    Attributes:
        label: what is written above it.
        views: (h, w, 3) uint8 each: overlay, side, top; only the photograph, or nothing, where nobody was fitted.
    """

    label: str
    views: tuple[np.ndarray, ...]


def make_sheet(
    paths: Sequence[str | Path],
    out: str | Path,
    options: FitOptions | None = None,
    *,
    row_height: int = 300,
    columns: int = 2,
    limit: int | None = None,
    jobs: int = 1,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> list[FitResult]:
    """Fit pictures and draw the sheet.

    Args:
        paths: pictures, or folders of them.
        out: ``.html`` (one page with everything in it), ``.jpg`` or ``.png``.
        options: how to fit.
        row_height: height of the views, pixels.
        columns: pictures beside each other, in a picture file.
        limit: only the first so many pictures.
        jobs: pictures fitted at a time; 0 chooses by the processor.
        on_progress: called with the number of finished pictures, that of all, and the name of the last one.

    Returns:
        The results, in the order of the sheet, without their pictures.

    Raises:
        UsageError: for another suffix, options that cannot work, no pictures, or a sheet too long for a picture file.
        ExportError: if the file cannot be written.
    """
    from dsr.body import load_asset
    from dsr.export.pictures import save_picture
    from dsr.files import write_bytes
    from dsr.pipeline.inputs import find_inputs
    from dsr.pipeline.picture_fitter import fit_images

    out, options = Path(out), options or FitOptions()
    if out.suffix.lower() not in SHEET_SUFFIXES:
        raise UsageError(f"{out}: a sheet is saved as {', '.join(SHEET_SUFFIXES)}; choose one of these suffixes.")
    pictures = [picture.path for picture in find_inputs(paths)][:limit]
    if not pictures:
        raise UsageError(f"no pictures in {', '.join(map(str, paths))}.")
    if out.suffix.lower() != ".html" and -(-len(pictures) // columns) * (row_height + _LABEL) > _LONGEST:
        raise UsageError(f"{len(pictures)} pictures are too many for {out.name}: name a .html file, or give --limit.")
    asset = load_asset(body_to_load(options))
    rows, results = [], []
    for done, result in enumerate(fit_images(pictures, options, jobs=jobs, keep_pictures=True), 1):
        rows.append(sheet_row(result, asset, row_height))
        result.overlay_rgb = None
        results.append(result)
        if on_progress is not None:
            on_progress(done, len(pictures), Path(result.input_path).name)
    if out.suffix.lower() == ".html":
        write_bytes(out, html_page(rows).encode("utf-8"))
    else:
        save_picture(paste_rows(rows, row_height, columns), out, quality=85)
    return results


def sheet_row(result: FitResult, asset: BodyAsset, height: int) -> SheetRow:
    """The views of one fit.

    Args:
        result: a fit with its picture (``overlay_rgb``), unless that could not be read.
        asset: the body it was fitted with.
        height: of the views, pixels.
    """
    from dsr.export.overlay import render_overlay
    from dsr.export.side_view import render_side_view
    from dsr.export.top_view import render_top_view

    name = Path(result.input_path).name
    photo = [] if result.overlay_rgb is None else [_resized(result.overlay_rgb, height)]
    if not result.people:
        return SheetRow(f"{name}: {'nobody' if result.status == 'no_person' else result.message}", tuple(photo))
    people = ", ".join(f"{person.id} {person.height_m:.2f} m" for person in result.people)
    drawn = [_resized(render_overlay(result, asset), height)] if photo else []
    views = (
        *drawn,
        render_side_view(result, asset, (height * 3 // 2, height)),
        render_top_view(result, asset, (height, height)),
    )
    return SheetRow(f"{name}: {people}", views)


def paste_rows(rows: Sequence[SheetRow], height: int, columns: int = 2) -> np.ndarray:
    """The sheet as one picture: rows fill one line after the other.

    Args:
        rows: what to show, with views of this height.
        height: of the views, pixels.
        columns: rows beside each other.

    Returns:
        (h, w, 3) uint8.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=_LABEL - 6)
    wide = max(200, max(sum(view.shape[1] + 4 for view in row.views) for row in rows))
    lines = -(-len(rows) // columns)
    sheet = Image.new("RGB", (columns * wide, lines * (height + _LABEL)), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for place, row in enumerate(rows):
        x, y = place % columns * wide, place // columns * (height + _LABEL)
        draw.text((x + 4, y + 2), _cut(row.label, wide // 8), fill=(0, 0, 0), font=font)
        for view in row.views:
            sheet.paste(Image.fromarray(view), (x, y + _LABEL))
            x += view.shape[1] + 4
    return np.asarray(sheet)


def html_page(rows: Iterable[SheetRow]) -> str:
    """The sheet as one self-contained page."""
    from PIL import Image

    parts = ["<!doctype html><meta charset='utf-8'><title>Contact sheet</title><style>body{font:14px sans-serif}"]
    parts.append("img{margin:0 4px 16px 0;vertical-align:top}</style>")
    for row in rows:
        images = "".join(f"<img alt='' src='{_data_url(Image.fromarray(view))}'>" for view in row.views)
        parts.append(f"<div>{html.escape(row.label)}<br>{images}</div>")
    return "\n".join(parts)


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _resized(rgb: np.ndarray, height: int) -> np.ndarray:
    from PIL import Image

    width = min(max(1, round(rgb.shape[1] * height / rgb.shape[0])), 4 * height)
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
