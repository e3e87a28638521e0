"""Files that cannot be used end in one ImageError: the right status, a sentence naming the file; nothing else."""

from __future__ import annotations

import io
import os
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsr.errors import ImageError
from dsr.image import Photo, read_photo
from dsr.limits import Limits


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    noise = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((96, 72))


def encoded(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"compression": "tiff_lzw"} if kind == "TIFF" else {}))
    return buffer.getvalue()


def refused(path: Path, status: str, *words: str, limits: Limits | None = None, work_pixels: int = 10**6) -> None:
    with pytest.raises(ImageError) as caught:
        read_photo(path, limits, work_pixels=work_pixels)
    message = str(caught.value)
    assert caught.value.status == status, message
    assert str(path) in message
    for word in words:
        assert word in message


def test_missing(tmp_path) -> None:
    refused(tmp_path / "no.jpg", "unreadable", "does not exist")


def test_folder(tmp_path) -> None:
    (tmp_path / "a.jpg").mkdir()
    refused(tmp_path / "a.jpg", "unreadable", "folder")


def test_empty(tmp_path) -> None:
    (tmp_path / "a.jpg").touch()
    refused(tmp_path / "a.jpg", "unreadable", "empty")


@pytest.mark.parametrize("content", [b"hello, I am text\n", "grüße an alle, für immer\n".encode() * 9, b"B", b"{}"])
def test_text_named_jpg(tmp_path, content) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    refused(tmp_path / "a.jpg", "unreadable", "text, not a picture")


def test_binary_noise(tmp_path) -> None:
    (tmp_path / "a.jpg").write_bytes(bytes(range(128, 256)) * 10 + b"\0\1\2")
    refused(tmp_path / "a.jpg", "unreadable", "not a picture")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"%PDF-1.7 ...", "PDF"),
        (b"8BPS\0\1" + b"\0" * 30, "Photoshop"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 30, "video"),
        (b"\x76\x2f\x31\x01" + b"\0" * 30, "OpenEXR"),
        (b"%!PS-Adobe-3.0 EPSF", "PostScript"),
    ],
)
def test_other_known_formats_are_unsupported(tmp_path, content, what) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    refused(tmp_path / "a.jpg", "unsupported", what)


def test_camera_raw_is_unsupported_though_it_begins_like_tiff(tmp_path, picture) -> None:
    (tmp_path / "a.DNG").write_bytes(encoded(picture, "TIFF"))
    refused(tmp_path / "a.DNG", "unsupported", "raw")


def test_no_permission(tmp_path, picture, monkeypatch) -> None:
    path = tmp_path / "a.jpg"
    picture.save(path)
    if os.name == "posix" and os.geteuid() != 0:
        path.chmod(0)
    else:  # root reads everything: let the system call refuse

        def forbidden(*_args, **_kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", forbidden)
    refused(path, "unreadable", "permission")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_named_pipe_does_not_hang(tmp_path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    refused(tmp_path / "a.jpg", "unreadable", "regular file")


def test_symlink_loop(tmp_path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    refused(tmp_path / "a.jpg", "unreadable", "cannot be opened")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_truncated(tmp_path, picture, kind, kept) -> None:
    data = encoded(picture, kind)
    (tmp_path / "a.bin").write_bytes(data[: int(len(data) * kept)])
    refused(tmp_path / "a.bin", "unreadable")


def test_truncated_jpeg_says_so(tmp_path, picture) -> None:
    data = encoded(picture, "JPEG")
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "a.jpg", "unreadable", "cut short", "again")


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.9, 0.99])
def test_truncated_png_in_strips(tmp_path, picture, kept) -> None:
    data = encoded(picture, "PNG")
    (tmp_path / "a.png").write_bytes(data[: int(len(data) * kept)])
    refused(tmp_path / "a.png", "unreadable", work_pixels=1000)


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_too_small(tmp_path, size) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", "too_small", f"{size[0]} x {size[1]}")
    Image.new("RGB", (16, 16)).save(tmp_path / "b.png")
    assert read_photo(tmp_path / "b.png").width == 16


def test_strips_are_refused_before_tiles_are_counted(tmp_path) -> None:
    """A few kilobytes that would be enlarged by their longer side."""
    for name, size in (("strip.png", (200_000, 16)), ("tall.jpg", (16, 30_000))):
        Image.new("RGB", size).save(tmp_path / name)
        refused(tmp_path / name, "too_large", "more than 64 times as long as wide")
    Image.new("RGB", (480, 16)).save(tmp_path / "panorama.png")
    assert read_photo(tmp_path / "panorama.png").rgb.shape == (16, 480, 3)
    refused(tmp_path / "panorama.png", "too_large", "more than 20 times", limits=Limits(max_aspect=20))


def test_too_large_is_said_before_decoding(tmp_path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (60000).to_bytes(4, "big") + (60000).to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    refused(tmp_path / "bomb.png", "too_large", "500 megapixels")


@pytest.mark.parametrize(
    ("kind", "options"), [("TIFF", {}), ("WEBP", {}), ("JPEG", {"progressive": True}), ("BMP", {})]
)
def test_decoders_that_hold_the_whole_picture_are_bounded(tmp_path, picture, kind, options) -> None:
    path = tmp_path / "a.bin"
    picture.save(path, kind, **options)
    refused(path, "too_large", "bounded memory", limits=Limits(max_memory_mb=9000 / 2**20))
    assert read_photo(path).width == 96


def test_baseline_jpeg_and_png_are_not_bounded_by_the_whole(tmp_path, picture) -> None:
    limits = Limits(max_memory_mb=9000 / 2**20)
    for kind in ("JPEG", "PNG"):
        picture.save(tmp_path / "a.bin", kind)
        assert read_photo(tmp_path / "a.bin", limits, work_pixels=2000).width == 96


def test_heic_without_its_plugin_names_the_extra(tmp_path, monkeypatch) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    refused(tmp_path / "a.heic", "unsupported", '-m pip install "pillow-heif>=')


def test_damaged_heic(tmp_path) -> None:
    pytest.importorskip("pillow_heif", reason="the heic extra is not installed")
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100)
    refused(tmp_path / "a.heic", "unreadable")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "HEIF", "AVIF"])
def test_damaged_bytes_never_raise_anything_else(tmp_path, picture, kind) -> None:
    if kind == "HEIF":
        pillow_heif = pytest.importorskip("pillow_heif", reason="the heic extra is not installed")
        buffer = io.BytesIO()
        pillow_heif.from_pillow(picture).save(buffer, quality=50)
        data = buffer.getvalue()
    else:
        try:
            data = encoded(picture, kind)
        except (KeyError, OSError):
            pytest.skip(f"this Pillow writes no {kind}")
    random = np.random.default_rng(7)
    path = tmp_path / "a.bin"
    outcomes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for attempt in range(60):
            damaged = bytearray(data)
            span = len(damaged) if attempt % 2 else min(len(damaged), 200)
            for place in random.integers(4, span, size=1 + attempt % 5):
                damaged[place] = random.integers(0, 256)
            if attempt % 3 == 0:
                del damaged[random.integers(10, len(damaged)) :]
            path.write_bytes(damaged)
            try:
                outcomes.append(read_photo(path, work_pixels=2000 if attempt % 4 else 10**6))
            except ImageError as error:
                assert error.status in ("unreadable", "unsupported", "too_small", "too_large")
                assert str(path) in str(error)
                outcomes.append(None)
    assert any(outcome is None for outcome in outcomes)
    assert all(outcome is None or (isinstance(outcome, Photo) and outcome.rgb.ndim == 3) for outcome in outcomes)
