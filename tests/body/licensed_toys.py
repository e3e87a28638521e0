"""Writes files in the formats of the official SMPL releases, with made-up contents."""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import sys
import types
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csc_matrix

SPOTS = {
    "nose": 332,
    "left_eye": 2800,
    "right_eye": 6260,
    "left_ear": 583,
    "right_ear": 4071,
    "left_big_toe": 3216,
    "left_small_toe": 3226,
    "left_heel": 3387,
    "right_big_toe": 6617,
    "right_small_toe": 6624,
    "right_heel": 6787,
    "left_thumb": 2746,
    "left_index": 2319,
    "left_pinky": 2673,
    "right_thumb": 6191,
    "right_index": 5782,
    "right_pinky": 6133,
}


class Ch:
    """Looks like chumpy.ch.Ch in a pickle."""

    __module__ = "chumpy.ch"

    def __init__(self, x: np.ndarray) -> None:
        self.__dict__.update(x=x, _dirty_vars=set(), _itr=None, _depends_on_deps={}, dterms=["x"])


class Select:
    """Looks like chumpy.reordering.Select in a pickle."""

    __module__ = "chumpy.reordering"

    def __init__(self, a: Any, idxs: np.ndarray, preferred_shape: tuple[int, ...]) -> None:
        self.__dict__.update(a=a, idxs=idxs, preferred_shape=preferred_shape, _dirty_vars={"a"})


class OldSparse:
    """Looks like scipy.sparse.csc.csc_matrix of an old scipy in a pickle."""

    __module__ = "scipy.sparse.csc"

    def __init__(self, matrix: csc_matrix) -> None:
        m = matrix
        self.__dict__.update(_shape=m.shape, maxprint=50, data=m.data, indices=m.indices, indptr=m.indptr, format="csc")


OldSparse.__name__ = OldSparse.__qualname__ = "csc_matrix"


@contextlib.contextmanager
def fake_modules() -> Iterator[None]:
    """Modules that let Python pickle the classes above under their official names."""
    made = {
        "chumpy": {},
        "chumpy.ch": {"Ch": Ch},
        "chumpy.reordering": {"Select": Select},
        "scipy.sparse.csc": {"csc_matrix": OldSparse},
    }
    before = {name: sys.modules.get(name) for name in made}
    for name, content in made.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(content)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class _Python2Pickler(pickle._Pickler):
    """Writes bytes and text as Python 2 wrote its str."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

    def save_bytes(self, data: bytes) -> None:
        if self.proto == 0:
            self.write(b"S" + repr(data)[1:].encode("ascii") + b"\n")
        elif len(data) < 256:
            self.write(b"U" + bytes([len(data)]) + data)
        else:
            self.write(b"T" + struct.pack("<i", len(data)) + data)

    def save_str(self, text: str) -> None:
        self.save_bytes(text.encode("latin1"))

    dispatch[bytes] = save_bytes
    dispatch[str] = save_str


def python2_pickle(value: Any, protocol: int) -> bytes:
    """The bytes Python 2 would have written."""
    stream = io.BytesIO()
    with fake_modules():
        _Python2Pickler(stream, protocol).dump(value)
    return stream.getvalue()


def model_arrays(vertices: int = 200, parents: tuple[int, ...] | None = None, columns: int = 10) -> dict[str, Any]:
    """Made-up contents of a model file, in the types of the official ones."""
    from dsr.body.joints import SMPL24_PARENTS

    parents = parents or SMPL24_PARENTS
    rng = np.random.default_rng(3)
    j = len(parents)
    weights = np.zeros((vertices, j))
    np.put_along_axis(weights, rng.integers(0, j, (vertices, 4)), rng.random((vertices, 4)) + 0.1, 1)
    regressor = np.zeros((j, vertices))
    np.put_along_axis(regressor, rng.integers(0, vertices, (j, 8)), rng.random((j, 8)) + 0.1, 1)
    table = np.array([parents, range(j)], np.int64).astype(np.uint32)  # the root's parent becomes 4294967295
    return {
        "v_template": rng.normal(size=(vertices, 3)),
        "shapedirs": rng.normal(size=(vertices, 3, columns)),
        "posedirs": 0.01 * rng.normal(size=(vertices, 3, 9 * (j - 1))),
        "J_regressor": csc_matrix(regressor / regressor.sum(1, keepdims=True)),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": table,
        "f": rng.integers(0, vertices, (2 * vertices, 3)).astype(np.uint32),
    }


def official_v1(arrays: dict[str, Any]) -> dict[str, Any]:
    """As release 1.0 holds them: chumpy arrays, a Select for the shapes, a sparse regressor, and other entries."""
    shapes = arrays["shapedirs"]
    wide = np.concatenate((shapes, np.ones_like(shapes)), 2)
    picks = np.arange(wide.size).reshape(wide.shape)[:, :, : shapes.shape[2]].ravel()
    return {
        **arrays,
        "v_template": Ch(arrays["v_template"]),
        "weights": Ch(arrays["weights"]),
        "posedirs": Ch(arrays["posedirs"]),
        "shapedirs": Select(Ch(wide), picks, shapes.shape),
        "J_regressor": OldSparse(arrays["J_regressor"]),
        "J_regressor_prior": OldSparse(arrays["J_regressor"]),
        "J": Ch(arrays["J_regressor"] @ arrays["v_template"]),
        "vert_sym_idxs": np.arange(len(arrays["v_template"])),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
