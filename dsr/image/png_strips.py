"""Decode a large PNG in horizontal strips: Pillow alone would hold all of it.

The compressed stream is inflated piece by piece. Every strip becomes a small PNG of its own, stored uncompressed and
headed by the last row of the strip before it, which PNG's row filters refer to; Pillow decodes it at full speed.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_RAW_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}


def can_strip(stream: BinaryIO) -> bool:
    """Whether a PNG is 8 bit and not interlaced; the stream's place is kept."""
    place = stream.tell()
    stream.seek(0)
    header = stream.read(33)
    stream.seek(place)
    depth, colour, _, _, interlaced = header[24:29]
    return depth == 8 and colour in _CHANNELS and interlaced == 0


def png_strips(stream: BinaryIO, rows: int, exif: Image.Exif) -> Iterator[Image.Image]:
    """Yield a PNG's pixels from top to bottom.

    Args:
        stream: the whole file, 8 bit, not interlaced (:func:`can_strip`).
        rows: rows per strip; the last one may have fewer.
        exif: filled with the file's EXIF data when the last strip has been taken.

    Yields:
        Strips in the file's mode, with its transparency.

    Raises:
        EOFError: where the file ends too early.
        ValueError: where the compressed data is damaged.
    """
    stream.seek(8)
    _, header = next(_chunks(stream))
    width, height, _, colour = struct.unpack(">IIBB", header[:10])
    stride = 1 + width * _CHANNELS[colour]
    extra = b""
    previous = b""
    done = 0
    buffer = bytearray()
    inflater = zlib.decompressobj()
    for kind, data in _chunks(stream):
        if kind in (b"PLTE", b"tRNS"):
            extra += _chunk(kind, data)
        elif kind == b"eXIf":
            with suppress(Exception):  # Pillow raises anything on damaged EXIF data, which must not cost the picture
                exif.load(data)
        elif kind == b"IDAT":
            while data and done < height:
                needed = min(rows, height - done) * stride
                buffer += inflater.decompress(data, needed - len(buffer))
                data = inflater.unconsumed_tail
                if len(buffer) == needed:
                    strip, previous = _decode_strip(bytes(buffer), previous, header, colour, width, stride, extra)
                    done += strip.height
                    buffer.clear()
                    yield strip
                elif inflater.eof:
                    break
    if done < height:
        raise EOFError("the picture data ends too early")


def _decode_strip(
    filtered: bytes, previous: bytes, header: bytes, colour: int, width: int, stride: int, extra: bytes
) -> tuple[Image.Image, bytes]:
    """Decode filtered rows after the (unfiltered) row above them; the strip and its own last row."""
    lead = len(previous) // stride
    rows = len(filtered) // stride + lead
    packed = zlib.compress(previous + filtered, 0)
    small = b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">II", width, rows) + header[8:]),
            extra,
            _chunk(b"IDAT", packed),
            _chunk(b"IEND", b""),
        )
    )
    image = PngImageFile(io.BytesIO(small))
    image.load()
    last = image.crop((0, rows - 1, width, rows)).tobytes("raw", _RAW_MODES[colour])
    strip = image.crop((0, lead, width, rows)) if lead else image
    strip.info = image.info
    return strip, b"\0" + last


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Chunks from the stream's place up to IEND; image data in pieces of at most 1 MiB."""
    while True:
        head = stream.read(8)
        if len(head) < 8:
            raise EOFError("the file ends before its last chunk")
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind == b"IDAT":
            while length:
                piece = stream.read(min(length, 2**20))
                if not piece:
                    raise EOFError("the file ends inside the picture data")
                length -= len(piece)
                yield kind, piece
            stream.seek(4, 1)
        elif kind in (b"IHDR", b"PLTE", b"tRNS", b"eXIf"):
            if length > 2**20:
                raise ValueError(f"chunk {kind.decode()} is {length} bytes long")
            data = stream.read(length + 4)
            if len(data) < length + 4:
                raise EOFError("the file ends too early")
            yield kind, data[:-4]
        else:
            stream.seek(length + 4, 1)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
