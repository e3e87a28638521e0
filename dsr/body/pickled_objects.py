"""Objects as pickles of body models describe them, and the arrays and sparse matrices built from the descriptions.

A pickled object keeps its description and runs nothing. Shapes, types and lengths are checked before an array is built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_MAX_DEPTH = 32
_MAX_UNFOLDED = 1 << 26
"""Entries of nested lists: the same short list named many times over unfolds to any number in an array."""
_MAX_SIDE = 1 << 26
"""Rows or columns of a sparse matrix, which take memory of their own."""
_MAX_BYTES = 1 << 30
_ITEM_KINDS = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}


class RefusedError(Exception):
    """The file holds something that is not data."""


class PickledObject:
    """The arguments and the state that a pickle gives for an object; neither is used to run anything."""

    __slots__ = ("args", "state")
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> PickledObject:  # noqa: D102
        made = super().__new__(cls)
        made.args = args
        made.state = None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


class PickledArray(PickledObject):
    """numpy.ndarray: args are (type, shape, typecode) or, out of a scalar, (dtype, bytes); state as numpy wrote it."""


class PickledArrayClass(PickledObject):
    """The class object numpy.ndarray, named as an argument of _reconstruct."""


class PickledDtype(PickledObject):
    """numpy.dtype: args ("f8", ...), state (version, byte order, ...)."""


class PickledScalar(PickledObject):
    """numpy scalar: args (dtype, bytes)."""


class PickledBuffer(PickledObject):
    """numpy array written with protocol 5: args (bytes, dtype, shape, order)."""


class PickledCsc(PickledObject):
    """scipy.sparse.csc_matrix."""


class PickledCsr(PickledObject):
    """scipy.sparse.csr_matrix."""


class PickledCoo(PickledObject):
    """scipy.sparse.coo_matrix."""


class PickledChumpy(PickledObject):
    """chumpy.ch.Ch: state holds the array under 'x'."""


class PickledSelect(PickledObject):
    """chumpy.reordering.Select: entries 'idxs' of the flattened 'a', in 'preferred_shape'."""


class Resolver:
    """Turns pickled objects into numpy arrays and scipy matrices, through dicts, lists and tuples; each object once.

    Raises:
        RefusedError: if data is nested without end.
        ValueError: if an array does not fit its own description.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.done: dict[int, Any] = {}
        self.unfolded: dict[int, int] = {}

    def __call__(self, value: Any) -> Any:
        """The value with every pickled object in it built."""
        if not isinstance(value, (PickledObject, dict, list, tuple)):
            return value
        if id(value) not in self.done:
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise RefusedError("data nested too deeply")
            self.done[id(value)] = self._build(value)
            self.depth -= 1
        return self.done[id(value)]

    def _build(self, value: Any) -> Any:
        if isinstance(value, PickledObject):
            build = _BUILDERS.get(type(value))
            return None if build is None else build(value, self)
        if isinstance(value, dict):
            return {key: self(item) for key, item in value.items()}
        made = type(value)([self(item) for item in value])
        count = sum(self.unfolded.get(id(item), 1) for item in made)
        if count > _MAX_UNFOLDED:
            raise RefusedError("lists that unfold to more numbers than any body has")
        self.unfolded[id(made)] = count
        return made


def _dtype(value: Any) -> np.dtype:
    """A plain number or text type; structured and exotic ones are refused."""
    if not isinstance(value, PickledDtype):
        raise ValueError("an array without a data type")
    code = value.args[0] if value.args else ""
    order = str(value.state[1]) if isinstance(value.state, tuple) and len(value.state) > 1 else "="
    if not isinstance(code, str) or order not in ("<", ">", "|", "="):
        raise ValueError(f"a data type that cannot be read: {code!r}")
    kind, size = code[:1], code[1:]
    if kind == "O":
        return np.dtype(object)
    if kind in "SU" and size.isdigit():
        return np.dtype(f"{'<' if order == '=' else order}{kind}{int(size)}")
    if kind not in _ITEM_KINDS or not size.isdigit() or int(size) not in _ITEM_KINDS[kind]:
        raise ValueError(f"a data type that cannot be read: {code!r}")
    return np.dtype(code if order in "|=" else order + code)


def _filled(shape: Any, dtype: np.dtype, raw: Any, fortran: bool, resolve: Resolver) -> np.ndarray:
    """An array of the given shape from its raw bytes (or list of objects), after checking that the lengths agree."""
    if isinstance(shape, int):
        shape = (shape,)
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"an array with shape {shape!r}")
    count = 1
    for n in shape:
        count *= n
    order: Any = "F" if fortran else "C"
    if dtype.hasobject:
        if not isinstance(raw, list) or len(raw) != count:
            raise ValueError(f"an object array of shape {shape} without its {count} entries")
        objects = np.empty(count, object)
        for i, item in enumerate(raw):
            objects[i] = resolve(item)
        return objects.reshape(shape, order=order)
    if count == 0:
        return np.zeros(shape, dtype)
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(data, (bytes, bytearray)) or len(data) != count * dtype.itemsize:
        held = len(data) if isinstance(data, (bytes, bytearray)) else 0
        raise ValueError(f"an array of shape {shape} claims {count * dtype.itemsize} bytes and holds {held}")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _build_array(value: PickledObject, resolve: Resolver) -> np.ndarray:
    if not isinstance(value.state, tuple) or len(value.state) != 5:
        raise ValueError("an array without contents")
    _, shape, dtype, fortran, raw = value.state
    return _filled(shape, _dtype(dtype), raw, bool(fortran), resolve)


def _build_scalar(value: PickledObject, resolve: Resolver) -> Any:
    dtype, raw = value.args
    return _filled((), _dtype(dtype), raw, False, resolve)[()]


def _build_buffer(value: PickledObject, resolve: Resolver) -> np.ndarray:
    raw, dtype, shape, order = value.args
    return _filled(shape, _dtype(dtype), raw, order == "F", resolve)


def _build_compressed(value: PickledObject, resolve: Resolver) -> Any:
    from scipy import sparse

    state = _state(value, resolve)
    shape = _shape(state)
    parts = tuple(np.asarray(state[key]) for key in ("data", "indices", "indptr"))
    matrix = (sparse.csc_matrix if isinstance(value, PickledCsc) else sparse.csr_matrix)(parts, shape=shape)
    matrix.check_format(full_check=True)
    return matrix.tocsr()


def _build_coo(value: PickledObject, resolve: Resolver) -> Any:
    from scipy import sparse

    state = _state(value, resolve)
    row, col = state["coords"] if "coords" in state else (state["row"], state["col"])
    return sparse.coo_matrix((state["data"], (row, col)), shape=_shape(state)).tocsr()


def _build_chumpy(value: PickledObject, resolve: Resolver) -> np.ndarray:
    return np.asarray(_state(value, resolve)["x"])


def _build_select(value: PickledObject, resolve: Resolver) -> np.ndarray:
    state = _state(value, resolve)
    source, indices = np.asarray(state["a"]), np.asarray(state["idxs"])
    if source.itemsize * indices.size > _MAX_BYTES:
        raise ValueError(f"a selection of {indices.size} entries of {source.itemsize} bytes")
    picked = source.ravel()[indices]
    return picked.reshape(state["preferred_shape"]) if state.get("preferred_shape") is not None else picked


def _state(value: PickledObject, resolve: Resolver) -> dict[str, Any]:
    if not isinstance(value.state, dict):
        raise ValueError("an object without contents")
    return resolve(value.state)


def _shape(state: dict[str, Any]) -> tuple[int, int]:
    rows, columns = (int(side) for side in (state["_shape"] if "_shape" in state else state["shape"]))
    if not (0 <= rows <= _MAX_SIDE and 0 <= columns <= _MAX_SIDE):
        raise ValueError(f"a sparse matrix of {rows} x {columns}")
    return rows, columns


_BUILDERS: dict[type, Callable[[Any, Resolver], Any]] = {
    PickledArray: _build_array,
    PickledScalar: _build_scalar,
    PickledBuffer: _build_buffer,
    PickledCsc: _build_compressed,
    PickledCsr: _build_compressed,
    PickledCoo: _build_coo,
    PickledChumpy: _build_chumpy,
    PickledSelect: _build_select,
}
