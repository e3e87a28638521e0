"""Pictures of every format, whole, damaged and lying; names and things that only look like pictures."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bad_values import mutated
from PIL import Image, ImageOps

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "images"
_SAVED: list[tuple[str, str, dict[str, object], str]] = [
    ("jpg", "JPEG", {}, "RGB"),
    ("prog.jpg", "JPEG", {"progressive": True}, "RGB"),
    ("cmyk.jpg", "JPEG", {}, "CMYK"),
    ("grey.jpg", "JPEG", {}, "L"),
    ("png", "PNG", {}, "RGB"),
    ("alpha.png", "PNG", {}, "RGBA"),
    ("pal.png", "PNG", {}, "P"),
    ("deep.png", "PNG", {}, "I;16"),
    ("bit.png", "PNG", {}, "1"),
    ("gif", "GIF", {}, "P"),
    ("webp", "WEBP", {}, "RGB"),
    ("loss.webp", "WEBP", {"lossless": True}, "RGBA"),
    ("tif", "TIFF", {}, "RGB"),
    ("lzw.tif", "TIFF", {"compression": "tiff_lzw"}, "RGB"),
    ("jpeg.tif", "TIFF", {"compression": "jpeg"}, "RGB"),
    ("fax.tif", "TIFF", {"compression": "group4"}, "1"),
    ("float.tif", "TIFF", {}, "F"),
    ("int.tif", "TIFF", {}, "I"),
    ("lab.tif", "TIFF", {}, "LAB"),
    ("bmp", "BMP", {}, "RGB"),
    ("avif", "AVIF", {}, "RGB"),
    ("heic", "HEIF", {}, "RGB"),
]
"""Name's end, Pillow's format, how it is saved, mode."""


def person(size: int = 220) -> Image.Image:
    """A rendered person, small."""
    files = sorted(EXAMPLES.glob("*.jpg"))
    with Image.open(files[0]) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    upright.thumbnail((size, size))
    return upright


def seeds(size: int = 220) -> dict[str, bytes]:
    """A good file of each kind that can be written here."""
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
    except ImportError:
        pass
    picture = person(size)
    made: dict[str, bytes] = {}
    for name, kind, options, mode in _SAVED:
        buffer = io.BytesIO()
        try:
            _in_mode(picture, mode).save(buffer, kind, **options)
        except (KeyError, OSError, ValueError):  # a format that this Pillow does not write
            continue
        made[name] = buffer.getvalue()
    return made


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    if mode == "LAB":
        from PIL import ImageCms

        return ImageCms.profileToProfile(
            picture, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    return picture.convert(mode)


def write_pictures(folder: Path, count: int, rng: np.random.Generator, large: bool) -> int:
    """Fill a folder with pictures; how many inputs it holds.

    Args:
        folder: made here.
        count: damaged pictures beside the whole and the handmade ones.
        rng: draws them.
        large: also pictures of hundreds of megapixels that are small files.
    """
    folder.mkdir(parents=True)
    good = seeds()
    names = list(good)
    for name, data in good.items():
        (folder / f"whole.{name}").write_bytes(data)
    made = len(good)
    for i in range(count):
        name = names[i % len(names)]
        data = good[name]
        for _ in range(1 + int(rng.integers(0, 2))):
            data = mutated(data, rng, list(good.values()))
        (folder / f"m{i:04}.{name}").write_bytes(data)
    made += count
    for name, data in handmade(large):
        (folder / name).write_bytes(data)
        made += 1
    return made + _odd_entries(folder, good["jpg"])


def handmade(large: bool) -> Iterator[tuple[str, bytes]]:
    """Files that claim, repeat or hide something."""
    good = seeds(160)
    jpeg, png = good["jpg"], good["png"]
    yield "empty.jpg", b""
    yield "one.jpg", b"\xff"
    yield "zeros.png", bytes(5000)
    yield "text.jpg", b"this is a text\n" * 30
    yield "page.jpg", b"<!DOCTYPE html><html><body>Please log in</body></html>"
    yield "pointer.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
    yield "html_in.png", png[:60] + b"<html>" * 50
    yield "pdf.jpg", b"%PDF-1.7\n" + bytes(200)
    for width, height in ((2**31 - 1, 2**31 - 1), (1_000_000, 16), (16, 65_000), (0, 0), (65_000, 65_000), (15, 15)):
        yield f"claim_{width}x{height}.png", grey_png(width, height, rows=20)
    yield "strip.png", grey_png(30_000, 480)
    yield "header.jpg", jpeg[:200].replace(b"\xff\xc0", b"\xff\xc2") + b"\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03"
    yield "bomb_text.png", png[:33] + _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000))) + png[33:]
    yield "bomb_profile.png", png[:33] + _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000))) + png[33:]
    yield "many_chunks.png", png[:33] + _chunk(b"tEXt", b"a\0b") * 100_000 + png[33:]
    yield "apng.png", _animated("PNG", 30)
    yield "long.gif", _animated("GIF", 300)
    yield "long.webp", _animated("WEBP", 60)
    yield "pages.tif", _animated("TIFF", 40)
    yield "loop.tif", struct.pack("<2sHIHHHII", b"II", 42, 8, 1, 256, 4, 1, 99) + struct.pack("<I", 8)
    yield (
        "ifds.tif",
        b"II*\0" + struct.pack("<I", 8) + b"".join(struct.pack("<HI", 0, 14 + 6 * k) for k in range(20_000)),
    )
    for orientation in (0, 5, 8, 9, 255, 65_535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        person(120).save(buffer, "JPEG", exif=exif)
        yield f"turned_{orientation}.jpg", buffer.getvalue()
    for name, value in (("zero", (0, 0)), ("huge", (2**32 - 1, 1)), ("tiny", (1, 2**32 - 1)), ("big35", (65_535, 1))):
        exif = Image.Exif()
        exif.get_ifd(0x8769).update({0x920A: value[0] / max(value[1], 1), 0xA405: value[0] % 65_536})
        exif.get_ifd(0x8769).update({0xA20E: value[1] / 7, 0xA20F: value[0] / 3, 0xA210: 2, 0xA002: 1, 0xA003: 2**31})
        buffer = io.BytesIO()
        try:
            person(120).save(buffer, "JPEG", exif=exif)
        except (struct.error, OverflowError, ValueError):
            continue
        yield f"lens_{name}.jpg", buffer.getvalue()
    buffer = io.BytesIO()
    Image.new("RGB", (1600, 1200), (90, 120, 150)).save(buffer, "JPEG", progressive=True)
    scans = buffer.getvalue()
    last = scans.rindex(b"\xff\xda")
    yield "scans.jpg", scans[:last] + scans[last:-2] * 2000 + b"\xff\xd9"
    if large:
        yield "grey_480mp.png", grey_png(22_000, 21_900)
        for name, kind, size in (("flat.jpg", "JPEG", (21_000, 21_000)), ("flat.webp", "WEBP", (16_383, 16_383))):
            buffer = io.BytesIO()
            Image.new("RGB", size, (118, 120, 124)).save(buffer, kind, quality=30)
            yield name, buffer.getvalue()


def grey_png(width: int, height: int, rows: int | None = None) -> bytes:
    """A PNG that is all black; ``rows`` of it only where it shall break off."""
    header = struct.pack(">IIBBBBB", width % 2**32, height % 2**32, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + min(width, 2_000_000))
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else min(rows, height))) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _animated(kind: str, frames: int) -> bytes:
    first, *rest = (Image.new("RGB", (80, 60), (k % 256, 90, 120)) for k in range(frames))
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=rest)
    return buffer.getvalue()


def _odd_entries(folder: Path, jpeg: bytes) -> int:
    """Names that trip programs, and entries that are no files; how many of them are inputs."""
    names = [
        "~$lock",
        "~nouser",
        "a b",
        "-dash",
        "%s%n",
        "ünïcode 写真",
        "new\nline",
        "x" * 240,
        "con",
        "dots..",
        "tab\t",
    ]
    names = [f"{name}.jpg" for name in (*names, "quote'\"", "semi;colon", "emoji\U0001f600")]
    made = 0
    for name in names:
        (folder / name).write_bytes(jpeg)
        made += 1
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere")
    made += 2
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.jpg")
        made += 1
    (folder / "folder.jpg").mkdir()
    (folder / ".hidden.jpg").write_bytes(jpeg)
    return made
