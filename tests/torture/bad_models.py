"""Files of bodies, networks, motion, garments and settings: damaged, lying about sizes, or trying to run something."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bad_values import mutated

ROOT = Path(__file__).resolve().parents[2]
TRACE = "OWNED"
"""A file of this name would be the sign that something was run."""
_DEEP = b")" + b"\x85" * 2_000_000
_RUN = b"cos\nsystem\n(S'touch " + TRACE.encode() + b"'\ntR."


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def hostile_pickles() -> Iterator[tuple[str, bytes]]:
    """Pickles that call, nest, unfold or claim."""
    head = b"\x80\x04"
    yield "run", _RUN
    yield "eval", b"c__builtin__\neval\n(S'1'\ntR."
    yield "reduce", head + b"}" + _text("v_template") + b"cbuiltins\nexec\n" + _text("1") + b"\x85Rs."
    yield "deep_key", head + b"}" + _DEEP + b"Ns."
    yield "deep_value", head + b"}" + _text("v_template") + _DEEP + b"s."
    laughs = b""
    for level in range(12):
        inner = b"K\x01" if level == 0 else b"h" + bytes([level - 1])
        laughs += b"](" + inner * 10 + b"eq" + bytes([level]) + b"0"
    for key in ("v_template", "J_regressor", "kintree_table"):
        yield f"laughs_{key}", head + laughs + b"}" + _text(key) + b"h\x0bs."
    yield "claim_bytes", head + b"\x8e" + struct.pack("<Q", 2**60) + b"abc."
    yield "claim_array", b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b"abc."
    yield "claim_long", head + b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\1."
    yield "claim_memo", head + b"Nr" + struct.pack("<I", 2**32 - 1) + b"."
    yield "digits", b"I" + b"9" * 2_000_000 + b"\n."


def small_smpl() -> bytes:
    """A pickle laid out as SMPL's, of the wrong size."""
    rng = np.random.default_rng(0)
    return pickle.dumps(
        {
            "v_template": rng.normal(size=(60, 3)),
            "shapedirs": rng.normal(size=(60, 3, 10)),
            "posedirs": rng.normal(size=(60, 3, 207)),
            "J_regressor": rng.random((24, 60)),
            "weights": rng.random((60, 24)),
            "kintree_table": np.array([[2**32 - 1, *range(23)], range(24)], np.int64),
            "f": rng.integers(0, 60, (80, 3)).astype(np.uint32),
        },
        protocol=2,
    )


def npy(shape: str, kind: str = "<f8", data: bytes = b"", header: bytes | None = None) -> bytes:
    """An ``.npy`` file whose header may say anything."""
    text = header or f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def hostile_archives() -> Iterator[tuple[str, bytes]]:
    """NPZ files that lie."""
    row = npy("(1,)", "<i8", bytes(8))
    for name, member in {
        "lying": npy("(1000000000000,)"),
        "two_gb": npy("(700000000,)"),
        "object": npy("()", "|O", _RUN),
        "nested": npy("", header=b"(" * 8999),
        "unary": npy("", header=b"-" * 8998 + b"1"),
        "negative": npy("(-1,)"),
        "bomb": npy("(100000000,)", "<f8", bytes(800_000_000)),
    }.items():
        yield name, zipped({"J_regressor_row.npy": row, "v_template.npy": member})
    yield "empty", zipped({})
    yield "no_arrays", zipped({"a.txt": b"x"})


def body_files(folder: Path, count: int, rng: np.random.Generator) -> Iterator[Path]:
    """Files for ``--body``."""
    folder.mkdir(parents=True)
    good = small_smpl()
    made = [(f"{name}.pkl", data) for name, data in hostile_pickles()]
    made += [(f"{name}.npz", data) for name, data in hostile_archives()]
    made += [("page.pkl", b"<html>log in</html>"), ("pointer.npz", b"version https://git-lfs.github.com/spec/v1\n")]
    made += [("small.pkl", good), ("cut.pkl", good[:500]), ("text.json", b"{}"), ("none.xyz", b"?")]
    made += [(f"m{i:03}.pkl", mutated(good, rng, [pickle.dumps({})])) for i in range(max(0, count - len(made)))]
    yield from _written(folder, made[:count] if count < len(made) else made)


def network_files(folder: Path, count: int, rng: np.random.Generator) -> Iterator[Path]:
    """Files for ``--regressor dsr:FILE``."""
    folder.mkdir(parents=True)
    inside = {"archive/version": b"3\n", "archive/byteorder": b"little"}
    made = []
    for name, data in hostile_pickles():
        made.append((f"{name}.pt", zipped({"archive/data.pkl": data, **inside}, zipfile.ZIP_STORED)))
    header = {
        "huge": struct.pack("<Q", 2**60) + b'{"',
        "shape": b'{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}',
        "deep": b'{"w":' + b"[" * 500_000,
    }
    made += [
        (f"{name}.safetensors", data if name == "huge" else struct.pack("<Q", len(data)) + data)
        for name, data in header.items()
    ]
    good = (
        struct.pack("<Q", 64)
        + json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust(64)
        + bytes(4)
    )
    made.append(("other.safetensors", good))
    made += [(f"m{i:03}.safetensors", mutated(good, rng, [b"{}"])) for i in range(max(0, count - len(made)))]
    yield from _written(folder, made[:count] if count < len(made) else made)


def parsed_files(folder: Path, count: int, rng: np.random.Generator) -> Iterator[tuple[str, Path]]:
    """Files for parsers that ``dsr-fit`` does not call: the parser's name in the child, and the file."""
    folder.mkdir(parents=True)
    head = b"HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n"
    bvh = head + b"End Site\n{\nOFFSET 0 1 0\n}\n}\nMOTION\nFrames: 2\nFrame Time: 0.0333\n0 0 0\n10 20 30\n"
    deep = (
        head + b"JOINT b\n{\nOFFSET 0 0 0\nCHANNELS 0\n" * 4000 + b"}" * 4001 + b"\nMOTION\nFrames: 0\nFrame Time: 1\n"
    )
    motions = [bvh, deep, bvh.replace(b"Frames: 2", b"Frames: " + b"9" * 5000), bvh.replace(b"0.0333", b"1e-320")]
    motions += [bvh.replace(b"10 20", b"nan inf"), bvh.replace(b"0.0333", b"nan")]
    garment = b"name x\nobj_file g.obj\nverts 0\n5\n6 7 8 0.3 0.3 0.4 0 0 0\ndelete_verts\n0 - 10\n"
    (folder / "g.obj").write_bytes(b"v 0 0 0\nv 0 1 0\nv 1 0 0\nf 1 2 3\n")
    garments = [garment, garment.replace(b"g.obj", b"../../../etc/passwd"), garment.replace(b"g.obj", b"/dev/zero")]
    garments += [
        garment.replace(b"0 - 10", b"0 - 3000000000"),
        garment.replace(b"0.3", b"nan"),
        garment.replace(b"\n5\n", b"\n" + b"9" * 30 + b"\n"),
    ]
    garments += [garment + b"material /etc/passwd\n", garment + b"z_depth inf\n", garment.replace(b"g.obj", b"a\0b")]
    settings = [
        b"epochs: 2\n",
        b"!!python/object/apply:os.system [touch " + TRACE.encode() + b"]\n",
        b"[" * 100_000,
        b"a: &a [*a]\n",
    ]
    settings += [
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [" % ((98 + k,) * 2) + b",".join([b"*%c" % (97 + k)] * 9) + b"]\n" for k in range(9))
    ]
    tables = [data for _, data in hostile_archives()] + [zipped({"imgname.npy": npy("(1,)", "<i8", bytes(8))})]
    kinds = {
        "bvh": ("bvh", motions),
        "mhclo": ("mhclo", garments),
        "yaml": ("yaml", settings),
        "table": ("npz", tables),
        "joblib": ("pkl", [data for _, data in hostile_pickles()]),
        "result": (
            "json",
            [b'{"schema": "dsr.fit"}', b"{}", b"[" * 100_000, b'{"schema": "dsr.fit", "arrays": "../../x.npz"}'],
        ),
    }
    made = 0
    while made < count:
        for kind, (suffix, seeds) in kinds.items():
            turn = made // len(kinds)
            data = seeds[turn] if turn < len(seeds) else mutated(seeds[turn % min(len(seeds), 2)], rng, seeds[:2])
            file = folder / f"{kind}{turn:03}.{suffix}"
            file.write_bytes(data)
            made += 1
            yield kind, file
            if made == count:
                return


def _written(folder: Path, files: list[tuple[str, bytes]]) -> Iterator[Path]:
    for name, data in files:
        (folder / name).write_bytes(data)
        yield folder / name
