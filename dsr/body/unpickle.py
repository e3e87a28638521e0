"""Reading pickled body models without running anything from the file: arrays, sparse matrices, chumpy's wrappers only.

Every global a pickle names becomes a passive :class:`~dsr.body.pickled_objects.PickledObject` or is refused; nothing of
numpy, scipy or chumpy is called by the pickle stream. The arrays are built afterwards.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any, ClassVar

from dsr.body.pickled_objects import (
    PickledArray,
    PickledArrayClass,
    PickledBuffer,
    PickledChumpy,
    PickledCoo,
    PickledCsc,
    PickledCsr,
    PickledDtype,
    PickledObject,
    PickledScalar,
    PickledSelect,
    RefusedError,
    Resolver,
)
from dsr.errors import BodyError

DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
    AssertionError,
    struct.error,
)
"""What reading a damaged pickle raises, besides what the pickle module has for it."""


def _encode(text: Any, encoding: Any = "utf-8") -> bytes:
    """_codecs.encode as Python 3 writes bytes into old protocols."""
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedError(f"_codecs.encode with encoding {encoding!r}")
    return text.encode("latin1")


def _bytes(*args: Any) -> bytes:
    """bytes() without arguments: how Python 3 writes empty bytes into old protocols."""
    if args:
        raise RefusedError("builtins.bytes with arguments")
    return b""


def _bytearray(data: Any = b"", encoding: Any = "latin1") -> bytes:
    return data if isinstance(data, bytes) else _encode(data, encoding)


def check_key(key: Any, kinds: tuple[type, ...] = ()) -> Any:
    """A key that can be hashed at no risk: deeply nested tuples would overflow the interpreter's stack.

    Raises:
        RefusedError: for anything but texts, numbers, ``kinds``, and flat tuples of them.
    """
    for part in key if type(key) is tuple else (key,):
        if not isinstance(part, (str, bytes, int, float, type(None), PickledObject, *kinds)):
            raise RefusedError(f"a {type(part).__name__} as a key")
    return key


def _set(items: Any = ()) -> set[Any]:
    return {check_key(item) for item in items}


def plain_dict(items: Any = ()) -> dict[Any, Any]:
    """What stands for ``dict`` and ``OrderedDict`` in a pickle: a dict with harmless keys."""
    return {check_key(key): value for key, value in (items.items() if isinstance(items, dict) else items)}


def _reconstructor(cls: Any, base: Any, state: Any) -> PickledObject:
    """copy_reg._reconstructor of protocols 0 and 1: an empty pickled object."""
    if not (isinstance(cls, type) and issubclass(cls, PickledObject)):
        raise RefusedError("copyreg._reconstructor of something that is not an array class")
    return cls()


_NUMPY_CORE = ("numpy.core", "numpy._core")
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): PickledArrayClass,
    ("numpy", "dtype"): PickledDtype,
    **{(f"{core}.multiarray", "_reconstruct"): PickledArray for core in _NUMPY_CORE},
    **{(f"{core}.multiarray", "scalar"): PickledScalar for core in _NUMPY_CORE},
    **{(f"{core}.numeric", "_frombuffer"): PickledBuffer for core in _NUMPY_CORE},
    **{(f"scipy.sparse.{prefix}csc", name): PickledCsc for prefix in ("", "_") for name in ("csc_matrix", "csc_array")},
    **{(f"scipy.sparse.{prefix}csr", name): PickledCsr for prefix in ("", "_") for name in ("csr_matrix", "csr_array")},
    **{(f"scipy.sparse.{prefix}coo", name): PickledCoo for prefix in ("", "_") for name in ("coo_matrix", "coo_array")},
    ("chumpy.ch", "Ch"): PickledChumpy,
    ("chumpy.reordering", "Select"): PickledSelect,
    ("_codecs", "encode"): _encode,
    **{(m, "_reconstructor"): _reconstructor for m in ("copy_reg", "copyreg")},
    ("collections", "OrderedDict"): plain_dict,
    **{(m, "object"): object for m in ("__builtin__", "builtins")},
    **{(m, "set"): _set for m in ("__builtin__", "builtins")},
    **{(m, "frozenset"): _set for m in ("__builtin__", "builtins")},
    **{(m, "list"): list for m in ("__builtin__", "builtins")},
    **{(m, "dict"): plain_dict for m in ("__builtin__", "builtins")},
    **{(m, "bytes"): _bytes for m in ("__builtin__", "builtins")},
    **{(m, "bytearray"): _bytearray for m in ("__builtin__", "builtins")},
}


class BoundedFile:
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
class CheckedUnpickler(pickle._Unpickler):
    """Fills dicts and sets with harmless keys only (:func:`check_key`).

    Attributes:
        key_kinds: further types that keys may have.
    """

    key_kinds: ClassVar[tuple[type, ...]] = ()
    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def load_setitem(self) -> None:
        """One entry of a dict, with a harmless key."""
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    def load_setitems(self) -> None:
        """Entries of a dict, with harmless keys."""
        self._fill(self.pop_mark())

    def load_dict(self) -> None:
        """A dict of protocol 0, with harmless keys."""
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    def load_additems(self) -> None:
        """Entries of a set of protocol 4, harmless ones."""
        items = {check_key(item, self.key_kinds) for item in self.pop_mark()}
        self.filled(set).update(items)

    def load_frozenset(self) -> None:
        """A frozen set of protocol 4."""
        self.append({check_key(item, self.key_kinds) for item in self.pop_mark()})

    def _fill(self, items: list[Any]) -> None:
        keys = [check_key(key, self.key_kinds) for key in items[::2]]
        self.filled(dict).update(zip(keys, items[1::2], strict=True))

    def filled(self, kind: type) -> Any:
        """The dict or set on top of the stack, which entries go into."""
        if type(self.stack[-1]) is not kind:
            raise RefusedError(f"entries for a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.ADDITEMS[0]] = load_additems
    dispatch[pickle.FROZENSET[0]] = load_frozenset


class ArrayUnpickler(CheckedUnpickler):
    """Gives plain values, and pickled objects for arrays and what chumpy made; refuses every other name."""

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(CheckedUnpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a global; anything not on the list is refused by name."""
        try:
            return _ALLOWED[module, name]
        except (KeyError, TypeError):
            raise RefusedError(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        """Persistent ids are refused: no body model uses them."""
        raise RefusedError("a persistent id")

    def get_extension(self, code: int) -> None:
        """Extension codes are refused: they name globals out of sight."""
        raise RefusedError(f"extension code {code}")

    def load_build(self) -> None:
        """Hand a state to a pickled object; nothing else may be changed by a file."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], PickledObject):
            raise RefusedError(f"a state for {type(self.stack[-1]).__name__}")
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
        value = ArrayUnpickler(BoundedFile(stream), encoding="latin1").load()
        if keys is not None and isinstance(value, dict):
            value = {key: item for key, item in value.items() if key in keys}
        return Resolver()(value)
    except RefusedError as error:
        raise BodyError(
            f"{where} was refused because it is not plain data: it holds {error}. Nothing in it was run."
        ) from None
    except (EOFError, pickle.UnpicklingError) as error:
        raise BodyError(f"{where} is cut off or is not a pickle file ({error or 'it ends too early'}).") from error
    except DAMAGE as error:
        raise BodyError(f"{where} is damaged or is not a body model ({type(error).__name__}: {error}).") from error
