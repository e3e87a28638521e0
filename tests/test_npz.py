"""Arrays from files: what numpy writes is read, what claims more than it has is refused without memory taken."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from dsr.npz import read_npy, read_npz


def npy(shape, descr="<f8", data=b"", header=None):
    text = header or f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def test_what_numpy_writes(tmp_path):
    written = {
        "numbers": np.arange(24.0).reshape(2, 3, 4),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "empty": np.zeros((0, 3)),
        "scalar": np.float32(2.5),
        "texts": np.array(["Jürgen", "läuft"]),
        "flags": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **written)
        arrays = read_npz(tmp_path / "a.npz")
        assert set(arrays) == set(written)
        for name, value in written.items():
            np.testing.assert_array_equal(arrays[name], value)
            assert arrays[name].dtype == np.asarray(value).dtype and arrays[name].flags.writeable
    assert list(read_npz(tmp_path / "a.npz", ["flags"])) == ["flags"]
    np.save(tmp_path / "b.npy", written["numbers"])
    np.testing.assert_array_equal(read_npy(tmp_path / "b.npy"), written["numbers"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy("(1000000000000,)"), "does not fit into its 0 bytes"),
        (npy("(3,)", data=bytes(16)), "does not fit into its 16 bytes"),
        (npy("(2,)", data=bytes(24)), "does not fit into its 24 bytes"),
        (npy("(-1,)"), r"has the shape \(-1,\)"),
        (npy("()", "|O", b"cos\nsystem\n(S'touch PWNED'\ntR."), "holds object"),
        (npy("", header=b"(" * 9000), "is not an array"),
        (npy("", header=b"-" * 8998 + b"1"), "is not an array"),
        (b"no array", "is not an array"),
        (b"", "is not an array"),
    ],
)
def test_lies_and_damage_are_refused(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        read_npz(archive(tmp_path / "a.npz", value=data))
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_npy(tmp_path / "a.npy")


def test_a_small_file_does_not_become_gigabytes(tmp_path):
    count = 1 << 25
    bomb = archive(tmp_path / "bomb.npz", value=npy(f"({count},)", "|u1", bytes(count)))
    assert bomb.stat().st_size < 1 << 17
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="its arrays claim more than 16 MB"):
            read_npz(bomb, most=1 << 24)
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
    assert len(read_npz(bomb)["value"]) == count


def test_files_that_are_no_archives(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match=r"damaged or no \.npz file"):
        read_npz(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz")
    whole = archive(tmp_path / "b.npz", value=npy("(4,)", data=np.arange(4.0).tobytes()))
    broken = bytearray(whole.read_bytes())
    broken[45:60] = b"\xff" * 15
    whole.write_bytes(broken)
    with pytest.raises(ValueError, match=r"damaged or no .npz file|is not an array"):
        read_npz(whole)
    with pytest.raises(ValueError, match="more than 0 MB"):
        (tmp_path / "big.npy").write_bytes(bytes(100))
        read_npy(tmp_path / "big.npy", most=10)


def test_a_version_that_zipfile_does_not_know_is_damage(tmp_path):
    """Found by fuzzing: the body's reader looked into archives without expecting NotImplementedError."""
    from dsr.body import load_asset
    from dsr.errors import BodyError

    path = tmp_path / "a.npz"
    np.savez(path, v_template=np.zeros((4, 3)))
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\1\2") + 6
    data[place : place + 2] = b"\xeb\x00"
    path.write_bytes(data)
    with pytest.raises(BodyError, match=r"damaged|cannot be read"):
        load_asset(str(path))
    with pytest.raises(ValueError, match=r"damaged or no \.npz"):
        read_npz(path)
