"""The reader gives the right upright pixels for every format, orientation and kind of pixel."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared_data import photos

import dsr.image.decode as decode_module
from dsr.image import PICTURE_SUFFIXES, read_photo
from dsr.image.png_strips import can_strip

# stored picture from the upright one, after the EXIF standard's table of what row 0 and column 0 are
STORED = {
    1: lambda u: u,
    2: lambda u: u[:, ::-1],
    3: lambda u: u[::-1, ::-1],
    4: lambda u: u[::-1],
    5: lambda u: u.swapaxes(0, 1),
    6: lambda u: np.rot90(u, 1),
    7: lambda u: u[::-1, ::-1].swapaxes(0, 1),
    8: lambda u: np.rot90(u, -1),
}


@pytest.fixture(scope="module")
def upright() -> np.ndarray:
    """A 60 x 44 picture without any symmetry, smooth enough for JPEG."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((60, 44), Image.Resampling.BICUBIC)).copy()


def exif_with(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "lzw.tif", "webp"])
def test_every_orientation_equals_the_prerotated_file(tmp_path, upright, suffix, orientation) -> None:
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    if suffix == "lzw.tif":
        options = {"compression": "tiff_lzw"}
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    stored.save(path, exif=exif_with(orientation), **options)
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.rgb, upright)
    assert (photo.width, photo.height, photo.scale) == (60, 44, 1.0)
    assert photo.orientation == orientation
    assert photo.upright_differs == (orientation != 1)
    # the same at reduced size
    small = read_photo(path, work_pixels=700)
    assert (small.width, small.height, small.scale) == (60, 44, 0.5)
    assert small.rgb.shape == (22, 30, 3)
    expected = upright.reshape(22, 2, 30, 2, 3).mean(axis=(1, 3))
    assert np.abs(small.rgb - expected).max() <= 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_orientation(tmp_path, upright, orientation) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    stored.save(tmp_path / "a.jpg", quality=95, subsampling=0, exif=exif_with(orientation))
    stored.save(tmp_path / "plain.jpg", quality=95, subsampling=0)
    photo = read_photo(tmp_path / "a.jpg")
    np.testing.assert_array_equal(STORED[orientation](photo.rgb), read_photo(tmp_path / "plain.jpg").rgb)
    assert np.abs(photo.rgb.astype(int) - upright).max() < 30
    assert photo.orientation == orientation


@pytest.mark.parametrize("value", [0, 9, 77, -1])
def test_nonsense_orientation_is_no_orientation(tmp_path, upright, value) -> None:
    exif = exif_with(1)
    exif[0x0112] = value & 0xFFFF
    Image.fromarray(upright).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").rgb, upright)


@pytest.mark.parametrize("orientation", [1, 6, 8, 3])
def test_heic(tmp_path, upright, orientation) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the heic extra is not installed")
    large = np.asarray(Image.fromarray(upright).resize((120, 88)))
    path = tmp_path / "IMG_1.HEIC"
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](large)))
    heif = pillow_heif.from_pillow(stored)
    heif.save(path, quality=95, exif=exif_with(orientation).tobytes())
    photo = read_photo(path)
    assert photo.format == "HEIF" and photo.upright_differs
    assert (photo.width, photo.height) == (120, 88)
    assert np.abs(photo.rgb.astype(int) - large).mean() < 6


def test_avif_bmp_gif(tmp_path, upright) -> None:
    Image.fromarray(upright).save(tmp_path / "a.bmp")
    photo = read_photo(tmp_path / "a.bmp")
    np.testing.assert_array_equal(photo.rgb, upright)
    assert photo.format == "BMP" and not photo.upright_differs
    Image.fromarray(upright).save(tmp_path / "a.gif")
    photo = read_photo(tmp_path / "a.gif")
    assert np.abs(photo.rgb.astype(int) - upright).mean() < 12
    assert photo.format == "GIF" and photo.upright_differs
    try:
        Image.fromarray(upright).save(tmp_path / "a.avif", quality=90)
    except (KeyError, OSError):
        pytest.skip("this Pillow writes no AVIF")
    photo = read_photo(tmp_path / "a.avif")
    assert np.abs(photo.rgb.astype(int) - upright).mean() < 8 and photo.format == "AVIF"


def test_the_content_decides_not_the_name(tmp_path, upright) -> None:
    Image.fromarray(upright).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "ünï cöde.JPG")
    photo = read_photo(str(tmp_path / "ünï cöde.JPG"))
    assert photo.format == "PNG"
    np.testing.assert_array_equal(photo.rgb, upright)


def test_sixteen_bit_is_scaled_not_clipped(tmp_path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 64).round().astype(np.uint16), (40, 1))
    expected = np.round(ramp / 257.0)
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    Image.fromarray(ramp).save(tmp_path / "grey.tif")
    for name in ("grey.png", "grey.tif"):
        rgb = read_photo(tmp_path / name).rgb.astype(int)
        assert np.abs(rgb - expected[..., None]).max() <= 1
        assert (rgb[..., 0] == rgb[..., 2]).all()
        small = read_photo(tmp_path / name, work_pixels=700).rgb
        assert small.shape == (20, 32, 3) and small.max() > 250
    # 16-bit colour: written by hand, Pillow only reads it
    colour = np.stack([ramp, ramp[:, ::-1], ramp // 2], axis=-1).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in colour)
    (tmp_path / "colour.png").write_bytes(png_bytes(64, 40, 16, 2, rows))
    rgb = read_photo(tmp_path / "colour.png").rgb.astype(int)
    assert np.abs(rgb - colour.astype(float) / 257.0).max() <= 1


@pytest.mark.parametrize("top", [1.0, 255.0, 900.0])
def test_integer_and_float_pictures_use_the_full_range(tmp_path, top) -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (40, 1))
    Image.fromarray(ramp * top).save(tmp_path / "f.tif")
    photo = read_photo(tmp_path / "f.tif")
    assert np.abs(photo.rgb[..., 1] - ramp * 255).max() <= 1
    assert bool(photo.warnings) == (top == 900.0)
    if top > 1:
        Image.fromarray((ramp * 65535).astype(np.int32)).save(tmp_path / "i.tif")
        assert np.abs(read_photo(tmp_path / "i.tif").rgb[..., 1] - ramp * 255).max() <= 1
    damaged = ramp.copy()
    damaged[3, 3], damaged[3, 4] = np.nan, np.inf
    Image.fromarray(damaged).save(tmp_path / "n.tif")
    rgb = read_photo(tmp_path / "n.tif").rgb
    assert tuple(rgb[3, 3]) == (0, 0, 0) and tuple(rgb[3, 4]) == (255, 255, 255)
    assert np.abs(rgb[10:, :, 0] - ramp[10:] * 255).max() <= 1


def test_grey_bilevel_palette(tmp_path, upright) -> None:
    grey = Image.fromarray(upright).convert("L")
    grey.save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "grey.png").rgb, np.asarray(grey.convert("RGB")))
    grey.convert("1").save(tmp_path / "bit.png")
    assert set(np.unique(read_photo(tmp_path / "bit.png").rgb)) == {0, 255}
    palette = Image.fromarray(upright).quantize(32)
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "p.png").rgb, np.asarray(palette.convert("RGB")))


def test_cmyk_jpeg_is_not_a_negative(tmp_path) -> None:
    red = Image.new("RGB", (64, 48), (220, 40, 30))
    red.convert("CMYK").save(tmp_path / "adobe.jpg", quality=95)
    assert b"Adobe" in (tmp_path / "adobe.jpg").read_bytes()
    photo = read_photo(tmp_path / "adobe.jpg")
    assert np.abs(photo.rgb.astype(int) - (220, 40, 30)).max() < 12
    assert photo.upright_differs
    red.convert("CMYK").save(tmp_path / "c.tif")
    assert np.abs(read_photo(tmp_path / "c.tif").rgb.astype(int) - (220, 40, 30)).max() < 12


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
@pytest.mark.parametrize("limit", [16_000_000, 700])
def test_transparency_lies_over_mid_grey(tmp_path, mode, limit) -> None:
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[:, 20:40] = (250, 250, 250, 255)
    pixels[:, 40:] = (255, 255, 255, 128)
    image, options = Image.fromarray(pixels), {}
    if mode == "P":
        image = Image.fromarray((pixels[..., 3] == 0).astype(np.uint8), mode="P")
        image.putpalette([250, 250, 250, 0, 0, 0])
        options = {"transparency": 1}
    elif mode == "RGB":
        image, options = image.convert("RGB"), {"transparency": (0, 0, 0)}
    else:
        image = image.convert(mode)
    image.save(tmp_path / "a.png", **options)
    rgb = read_photo(tmp_path / "a.png", work_pixels=limit).rgb
    columns = rgb.shape[1]
    assert (rgb[:, : columns // 3] == 128).all()
    assert (rgb[:, columns // 3 : 2 * columns // 3] == 250).all()
    if mode in ("RGBA", "LA"):
        assert np.abs(rgb[:, 2 * columns // 3 :].astype(int) - 192).max() <= 1


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.png", "a.webp"])
def test_first_of_several_frames_with_a_warning(tmp_path, upright, name) -> None:
    first = Image.fromarray(upright)
    others = [Image.fromarray(255 - upright), Image.new("RGB", first.size, (9, 9, 9))]
    options = {"lossless": True} if name.endswith("webp") else {}
    first.save(tmp_path / name, save_all=True, append_images=others, **options)
    photo = read_photo(tmp_path / name)
    assert np.abs(photo.rgb.astype(int) - upright).mean() < 12
    assert len(photo.warnings) == 1 and "first" in photo.warnings[0]
    assert photo.upright_differs


def test_file_is_read_once_and_hashed(tmp_path, upright, monkeypatch) -> None:
    Image.fromarray(upright).save(tmp_path / "a.jpg")
    opened = []
    original = Path.open

    def counting(self, *args, **kwargs):
        opened.append(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", counting)
    photo = read_photo(tmp_path / "a.jpg")
    assert opened == [tmp_path / "a.jpg"]
    monkeypatch.undo()
    assert photo.sha256 == hashlib.sha256((tmp_path / "a.jpg").read_bytes()).hexdigest()
    assert photo.rgb.flags.writeable and photo.rgb.flags.c_contiguous and photo.rgb.dtype == np.uint8


def test_large_files_are_hashed_in_pieces(tmp_path, upright, monkeypatch) -> None:
    monkeypatch.setattr("dsr.image.reader._IN_MEMORY_BYTES", 1000)
    for name in ("a.png", "a.tif", "a.bmp", "a.jpg"):
        Image.fromarray(upright).save(tmp_path / name)
        photo = read_photo(tmp_path / name)
        assert photo.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert np.abs(photo.rgb.astype(int) - upright).mean() < 10


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("strip_pixels", [60, 600, 10**6])
def test_png_strips_equal_the_whole(tmp_path, upright, monkeypatch, mode, strip_pixels) -> None:
    large = Image.fromarray(upright).resize((181, 133), Image.Resampling.BICUBIC).convert(mode)
    exif = exif_with(6)
    large.save(tmp_path / "a.png", exif=exif)
    monkeypatch.setattr(decode_module, "_STRIP_PIXELS", strip_pixels)
    with (tmp_path / "a.png").open("rb") as file:
        assert can_strip(file)
    stripped = read_photo(tmp_path / "a.png", work_pixels=3000)
    monkeypatch.setattr(decode_module, "can_strip", lambda stream: False)
    whole = read_photo(tmp_path / "a.png", work_pixels=3000)
    np.testing.assert_array_equal(stripped.rgb, whole.rgb)
    assert stripped.rgb.shape == (61, 45, 3)
    assert (stripped.orientation, stripped.width, stripped.height) == (6, 133, 181)
    assert stripped.scale == pytest.approx(1 / 3)


def test_interlaced_png_is_read_whole(tmp_path) -> None:
    rows = b"\0" + bytes(range(64)) * 1
    data = png_bytes(64, 64, 8, 0, rows * 64)
    interlaced = bytearray(data)
    interlaced[28] = 1
    assert can_strip(io.BytesIO(data)) and not can_strip(io.BytesIO(bytes(interlaced)))


@pytest.mark.parametrize(("limit", "reduction"), [(10**6, 1), (200_000, 2), (40_000, 4), (9_000, 8), (2_500, 16)])
def test_jpeg_reduction_maps_back_to_full_resolution(tmp_path, limit, reduction) -> None:
    """A white square's corners in the working picture, divided by scale, are where they are in the file."""
    pixels = np.full((480, 801, 3), 20, np.uint8)
    pixels[160:320, 320:640] = 240
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    photo = read_photo(tmp_path / "a.jpg", work_pixels=limit)
    assert photo.scale == 1 / reduction and (photo.width, photo.height) == (801, 480)
    assert photo.rgb.shape[0] * photo.rgb.shape[1] <= limit
    rows, columns = np.nonzero(photo.rgb[..., 1] > 130)
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / photo.scale
    np.testing.assert_allclose(box, [320, 160, 640, 320], atol=1)
    assert len(photo.warnings) == (reduction > 1)


def test_pillow_limits_are_neither_used_nor_changed(tmp_path, upright, monkeypatch) -> None:
    Image.fromarray(upright).save(tmp_path / "a.jpg")
    Image.fromarray(upright).save(tmp_path / "a.png")
    before = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Image.open would refuse both files
    assert read_photo(tmp_path / "a.jpg").rgb.shape == (44, 60, 3)
    assert read_photo(tmp_path / "a.png").rgb.shape == (44, 60, 3)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.undo()
    assert before == Image.MAX_IMAGE_PIXELS


def test_huge_pictures_need_little_memory(tmp_path) -> None:
    """A 20000-pixel panorama and a 96-megapixel PNG: whole they would take 240 and 384 MB."""
    Image.new("L", (20000, 3000), 90).save(tmp_path / "panorama.jpg")
    (tmp_path / "large.png").write_bytes(png_bytes(12000, 8000, 8, 2, b"\0" + b"\x40\x80\xc0" * 12000, repeat=8000))
    program = (
        "import resource, sys, numpy\n"
        "from dsr.image import read_photo\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "start = peak()\n"
        "a, b = (read_photo(name) for name in sys.argv[1:])\n"
        "assert (a.width, a.height) == (20000, 3000) and a.scale == 0.5, a\n"
        "assert (b.width, b.height) == (12000, 8000) and tuple(b.rgb[2000, 2000]) == (64, 128, 192), b\n"
        "print(peak() - start)\n"
    )
    pytest.importorskip("resource", reason="peak memory is asked of POSIX")
    command = [sys.executable, "-c", program, str(tmp_path / "panorama.jpg"), str(tmp_path / "large.png")]
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 250


def test_reading_pictures_imports_nothing_heavy() -> None:
    program = "import sys, dsr.image; sys.exit(bool({'torch', 'cv2', 'pillow_heif', 'mediapipe'} & set(sys.modules)))"
    root = str(Path(__file__).resolve().parents[2])
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0


def test_suffixes() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".gif"} <= PICTURE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in PICTURE_SUFFIXES)


def test_every_shared_photo_reads() -> None:
    pictures = [path for path in sorted(photos().iterdir()) if path.suffix.lower() in PICTURE_SUFFIXES]
    assert len(pictures) >= 10
    for path in pictures:
        photo = read_photo(path)
        with Image.open(path) as reference:
            assert (photo.width, photo.height) == reference.size
            if reference.mode == "RGB":
                np.testing.assert_array_equal(photo.rgb, np.asarray(reference))
        assert photo.warnings == ()


def png_bytes(width: int, height: int, depth: int, colour: int, rows: bytes, repeat: int = 1) -> bytes:
    """A PNG of given raw rows (filter byte first), ``repeat`` times, written without Pillow."""
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(rows) for _ in range(repeat)) + packer.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
