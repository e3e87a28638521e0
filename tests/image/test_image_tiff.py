"""TIFF files as scanners and microscopes write them: the right page and the right greys, or a sentence."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from dsr.errors import ImageError
from dsr.image import read_photo

HEIGHT, WIDTH = 48, 64
GREY = np.tile(np.linspace(0, 1, WIDTH), (HEIGHT, 1))


def write_tiff(path: Path, pages: list[tuple[dict[int, tuple[int, ...]], list[bytes]]], order: str = "<") -> Path:
    """A TIFF file of uncompressed pages.

    Args:
        path: the file.
        pages: entries (SHORT, or LONG where a value needs it) and strips of each.
        order: ``<`` or ``>``.
    """
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))
    link = 4
    for entries, strips in pages:
        places = []
        for strip in strips:
            places.append(len(out))
            out += strip + b"\0" * (len(strip) % 2)
        packed = []
        for tag, values in sorted({**entries, 273: tuple(places), 279: tuple(map(len, strips))}.items()):
            kind = 4 if max(values) > 65535 or tag == 273 else 3
            data = struct.pack(f"{order}{len(values)}{'I' if kind == 4 else 'H'}", *values)
            if len(data) > 4:
                data, place = struct.pack(order + "I", len(out)), data
                out += place
            packed.append(struct.pack(order + "HHI", tag, kind, len(values)) + data.ljust(4, b"\0"))
        out[link : link + 4] = struct.pack(order + "I", len(out))
        out += struct.pack(order + "H", len(packed)) + b"".join(packed)
        link = len(out)
        out += b"\0" * 4
    path.write_bytes(out)
    return path


def entries(bits: int, colours: int = 1, shape: tuple[int, int] = (HEIGHT, WIDTH), **more: int) -> dict:
    names = {"photometric": 262, "planes": 284, "sample_format": 339, "most": 281, "part": 254}
    base = {256: (shape[1],), 257: (shape[0],), 258: (bits,) * colours, 259: (1,), 277: (colours,), 278: (shape[0],)}
    base[262] = (2 if colours == 3 else 1,)
    return {**base, **{names[name]: (value,) for name, value in more.items()}}


def packed(values: np.ndarray, bits: int) -> bytes:
    """Numbers of so many bits without gaps, rows on whole bytes."""
    each = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(*values.shape, 2), axis=-1)[..., 16 - bits :]
    return np.packbits(each.reshape(len(values), -1), axis=1).tobytes()


@pytest.mark.parametrize(
    ("data", "tags"),
    [
        (packed((GREY * 4095).astype(int), 12), entries(12)),
        ((GREY * 4095).astype("<u2").tobytes(), entries(16, most=4095)),
        ((GREY * 65535).astype("<u2").tobytes(), entries(16)),
        ((65535 - (GREY * 65535).astype(int)).astype("<u2").tobytes(), entries(16, photometric=0)),
        ((GREY * 32767).astype("<i2").tobytes(), entries(16, sample_format=2)),
        ((GREY * (2**32 - 1)).astype("<u4").tobytes(), entries(32)),
    ],
    ids=["12 bits", "12 bits in 16", "16 bits", "0 is white", "signed", "32 bits"],
)
def test_black_is_black_and_white_is_white(tmp_path: Path, data: bytes, tags: dict) -> None:
    photo = read_photo(write_tiff(tmp_path / "a.tif", [(tags, [data])]))
    assert np.abs(photo.rgb / 255 - GREY[..., None]).max() < 0.006


@pytest.mark.parametrize("order", ["<", ">"])
def test_planes_of_16_bits_are_refused_and_of_8_read(tmp_path: Path, order: str) -> None:
    colours = np.stack([GREY, GREY[:, ::-1], 0.5 * GREY])
    wide = [plane.tobytes() for plane in (colours * 65535).astype(order + "u2")]
    path = write_tiff(tmp_path / "wide.tif", [(entries(16, 3, planes=2), wide)], order)
    with pytest.raises(ImageError, match=r"wide\.tif is a TIFF with a plane of 16 bits") as caught:
        read_photo(path)
    assert caught.value.status == "unsupported"
    narrow = [plane.tobytes() for plane in (colours * 255).astype("u1")]
    photo = read_photo(write_tiff(tmp_path / "narrow.tif", [(entries(8, 3, planes=2), narrow)], order))
    assert np.abs(photo.rgb / 255 - colours.transpose(1, 2, 0)).max() < 0.006


@pytest.mark.parametrize("says", [{"part": 1}, {}], ids=["marked", "not marked"])
def test_the_page_at_full_size_is_taken(tmp_path: Path, says: dict) -> None:
    small = (entries(8, 3, (12, 16), **says), [bytes([200]) * (12 * 16 * 3)])
    full = (entries(8, 3), [np.repeat((GREY * 255).astype("u1")[..., None], 3, 2).tobytes()])
    mask = (entries(8, 1, (96, 128), part=4), [bytes(96 * 128)])
    photo = read_photo(write_tiff(tmp_path / "a.tif", [small, full, mask]))
    assert (photo.width, photo.height) == (WIDTH, HEIGHT) and photo.rgb[0, -1].tolist() == [255] * 3
    assert photo.warnings == ("The file holds several pages; only number 2, the first at full size, is used.",)
    scans = read_photo(write_tiff(tmp_path / "b.tif", [full, (entries(8, 1, (40, 30)), [bytes(1200)])]))
    assert (scans.width, scans.height) == (WIDTH, HEIGHT), "pages of other shapes are other pictures"
