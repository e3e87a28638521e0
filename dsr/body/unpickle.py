"""Reading pickled body models without running anything from the file: arrays, sparse matrices, chumpy's wrappers only.

Every global a pickle names is replaced by a passive stand-in of this module or refused; nothing of numpy, scipy or
chumpy is called by the pickle stream. The arrays are built afterwards, from checked shapes, types and lengths.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from dsr.errors import BodyError

_MAX_DEPTH = 32
_ITEM_KINDS = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}


class _Refused(Exception):
    """The file holds something that is not data."""


class _StandIn:
    """Keeps what a pickle says about an object, and does nothing with it."""

    __slots__ = ("args", "state")
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> _StandIn:
        made = super().__new__(cls)
        made.args = args
        made.state = None
        return made

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_StandIn):
    """numpy.ndarray: args are (type, shape, typecode) or, out of a scalar, (dtype, bytes); state as numpy wrote it."""


class _ArrayClass(_StandIn):
    """The class object numpy.ndarray, named as an argument of _reconstruct."""


class _Dtype(_StandIn):
    """numpy.dtype: args ("f8", ...), state (version, byte order, ...)."""


class _Scalar(_StandIn):
    """numpy scalar: args (dtype, bytes)."""


class _Buffer(_StandIn):
    """numpy array written with protocol 5: args (bytes, dtype, shape, order)."""


class _Csc(_StandIn):
    """scipy.sparse.csc_matrix."""


class _Csr(_StandIn):
    """scipy.sparse.csr_matrix."""


class _Coo(_StandIn):
    """scipy.sparse.coo_matrix."""


class _Chumpy(_StandIn):
    """chumpy.ch.Ch: state holds the array under 'x'."""


class _Select(_StandIn):
    """chumpy.reordering.Select: entries 'idxs' of the flattened 'a', in 'preferred_shape'."""


def _encode(text: Any, encoding: Any = "utf-8") -> bytes:
    """_codecs.encode as Python 3 writes bytes into old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused(f"_codecs.encode with encoding {encoding!r}")
    return text.encode("latin1")


def _bytes(*args: Any) -> bytes:
    """bytes() without arguments: how Python 3 writes empty bytes into old protocols."""
    if args:
        raise _Refused("builtins.bytes with arguments")
    return b""


def _bytearray(data: Any = b"", encoding: Any = "latin1") -> bytes:
    return data if isinstance(data, bytes) else _encode(data, encoding)


def _reconstructor(cls: Any, base: Any, state: Any) -> _StandIn:
    """copy_reg._reconstructor of protocols 0 and 1: an empty instance of one of the stand-ins."""
    if not (isinstance(cls, type) and issubclass(cls, _StandIn)):
        raise _Refused("copyreg._reconstructor of something that is not an array class")
    return cls()


_NUMPY_CORE = ("numpy.core", "numpy._core")
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ArrayClass,
    ("numpy", "dtype"): _Dtype,
    **{(f"{core}.multiarray", "_reconstruct"): _Array for core in _NUMPY_CORE},
    **{(f"{core}.multiarray", "scalar"): _Scalar for core in _NUMPY_CORE},
    **{(f"{core}.numeric", "_frombuffer"): _Buffer for core in _NUMPY_CORE},
    **{(f"scipy.sparse.{prefix}csc", name): _Csc for prefix in ("", "_") for name in ("csc_matrix", "csc_array")},
    **{(f"scipy.sparse.{prefix}csr", name): _Csr for prefix in ("", "_") for name in ("csr_matrix", "csr_array")},
    **{(f"scipy.sparse.{prefix}coo", name): _Coo for prefix in ("", "_") for name in ("coo_matrix", "coo_array")},
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _Select,
    ("_codecs", "encode"): _encode,
    **{(m, "_reconstructor"): _reconstructor for m in ("copy_reg", "copyreg")},
    ("collections", "OrderedDict"): dict,
    **{(m, "object"): object for m in ("__builtin__", "builtins")},
    **{(m, "set"): set for m in ("__builtin__", "builtins")},
    **{(m, "frozenset"): frozenset for m in ("__builtin__", "builtins")},
    **{(m, "list"): list for m in ("__builtin__", "builtins")},
    **{(m, "dict"): dict for m in ("__builtin__", "builtins")},
    **{(m, "bytes"): _bytes for m in ("__builtin__", "builtins")},
    **{(m, "bytearray"): _bytearray for m in ("__builtin__", "builtins")},
}


class _Bounded:
    """A file that never reads, and so never allocates, more than it has."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        here = stream.tell()
        self.left = stream.seek(0, 2) - here
        stream.seek(here)

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes."""
        if not 0 <= count <= self.left:
            raise EOFError(f"{count} bytes are claimed where {self.left} are left")
        self.left -= count
        return self.stream.read(count)

    def readline(self) -> bytes:
        """One line with its end."""
        line = self.stream.readline()
        self.left -= len(line)
        if not line.endswith(b"\n"):
            raise EOFError("a line is cut off")
        return line


# The pure-Python unpickler, because the C one allocates whatever memo size a file claims.
class _Reader(pickle._Unpickler):
    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global; anything not on the list is refused by name."""
        try:
            return _ALLOWED[module, name]
        except (KeyError, TypeError):
            raise _Refused(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        """Persistent ids are refused: no body model uses them."""
        raise _Refused("a persistent id")

    def get_extension(self, code: int) -> None:
        """Extension codes are refused: they name globals out of sight."""
        raise _Refused(f"extension code {code}")

    def load_build(self) -> None:
        """Hand a state to a stand-in; nothing else may be changed by a file."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _StandIn):
            raise _Refused(f"a state for {type(self.stack[-1]).__name__}")
        self.stack[-1].__setstate__(state)

    def load_bytearray8(self) -> None:
        """Read a bytearray without allocating its claimed size first."""
        (count,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(count))

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def read_pickle(stream: IO[bytes], where: Path | str, keys: Collection[str] | None = None) -> Any:
    """Read one pickle into plain dicts, lists, numbers, strings, numpy arrays and scipy sparse matrices.

    Args:
        stream: binary, seekable file, positioned at the pickle.
        where: the file's name for messages.
        keys: of a dict, the entries wanted; None for all. The others are checked for safety all the same.

    Returns:
        The object, usually a dict.

    Raises:
        BodyError: if the file names anything but array types (the message says what), or is cut off or damaged.
    """
    try:
        value = _Reader(_Bounded(stream), encoding="latin1").load()
        if keys is not None and isinstance(value, dict):
            value = {key: item for key, item in value.items() if key in keys}
        return _Resolver()(value)
    except _Refused as error:
        raise BodyError(
            f"{where} was refused because it is not plain data: it holds {error}. Nothing in it was run."
        ) from None
    except (EOFError, pickle.UnpicklingError) as error:
        raise BodyError(f"{where} is cut off or is not a pickle file ({error or 'it ends too early'}).") from error
    except _DAMAGE as error:
        raise BodyError(f"{where} is damaged or is not a body model ({type(error).__name__}: {error}).") from error


_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError, RecursionError, AssertionError,
    struct.error,
)  # fmt: skip


class _Resolver:
    """Turns stand-ins into numpy arrays and scipy matrices, through dicts, lists and tuples; each object once."""

    def __init__(self) -> None:
        self.depth = 0
        self.done: dict[int, Any] = {}

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, (_StandIn, dict, list, tuple)):
            return value
        if id(value) not in self.done:
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise _Refused("data nested too deeply")
            self.done[id(value)] = self._build(value)
            self.depth -= 1
        return self.done[id(value)]

    def _build(self, value: Any) -> Any:
        if isinstance(value, _StandIn):
            build = _BUILDERS.get(type(value))
            return None if build is None else build(value, self)
        if isinstance(value, dict):
            return {key: self(item) for key, item in value.items()}
        return type(value)([self(item) for item in value])


def _dtype(value: Any) -> np.dtype:
    """A plain number or text type; structured and exotic ones are refused."""
    if not isinstance(value, _Dtype):
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


def _filled(shape: Any, dtype: np.dtype, raw: Any, fortran: bool, resolve: _Resolver) -> np.ndarray:
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
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(data, (bytes, bytearray)) or len(data) != count * dtype.itemsize:
        held = len(data) if isinstance(data, (bytes, bytearray)) else 0
        raise ValueError(f"an array of shape {shape} claims {count * dtype.itemsize} bytes and holds {held}")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _build_array(value: _StandIn, resolve: _Resolver) -> np.ndarray:
    if not isinstance(value.state, tuple) or len(value.state) != 5:
        raise ValueError("an array without contents")
    _, shape, dtype, fortran, raw = value.state
    return _filled(shape, _dtype(dtype), raw, bool(fortran), resolve)


def _build_scalar(value: _StandIn, resolve: _Resolver) -> Any:
    dtype, raw = value.args
    return _filled((), _dtype(dtype), raw, False, resolve)[()]


def _build_buffer(value: _StandIn, resolve: _Resolver) -> np.ndarray:
    raw, dtype, shape, order = value.args
    return _filled(shape, _dtype(dtype), raw, order == "F", resolve)


def _build_compressed(value: _StandIn, resolve: _Resolver) -> Any:
    from scipy import sparse

    state = _state(value, resolve)
    shape = _shape(state)
    parts = tuple(np.asarray(state[key]) for key in ("data", "indices", "indptr"))
    matrix = (sparse.csc_matrix if isinstance(value, _Csc) else sparse.csr_matrix)(parts, shape=shape)
    matrix.check_format(full_check=True)
    return matrix.tocsr()


def _build_coo(value: _StandIn, resolve: _Resolver) -> Any:
    from scipy import sparse

    state = _state(value, resolve)
    row, col = state["coords"] if "coords" in state else (state["row"], state["col"])
    return sparse.coo_matrix((state["data"], (row, col)), shape=_shape(state)).tocsr()


def _build_chumpy(value: _StandIn, resolve: _Resolver) -> np.ndarray:
    return np.asarray(_state(value, resolve)["x"])


def _build_select(value: _StandIn, resolve: _Resolver) -> np.ndarray:
    state = _state(value, resolve)
    picked = np.asarray(state["a"]).ravel()[np.asarray(state["idxs"])]
    return picked.reshape(state["preferred_shape"]) if state.get("preferred_shape") is not None else picked


def _state(value: _StandIn, resolve: _Resolver) -> dict[str, Any]:
    if not isinstance(value.state, dict):
        raise ValueError("an object without contents")
    return resolve(value.state)


def _shape(state: dict[str, Any]) -> tuple[int, int]:
    rows, columns = state["_shape"] if "_shape" in state else state["shape"]
    return int(rows), int(columns)


_BUILDERS: dict[type, Callable[[Any, _Resolver], Any]] = {
    _Array: _build_array,
    _Scalar: _build_scalar,
    _Buffer: _build_buffer,
    _Csc: _build_compressed,
    _Csr: _build_compressed,
    _Coo: _build_coo,
    _Chumpy: _build_chumpy,
    _Select: _build_select,
}
