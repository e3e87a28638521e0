"""Reading weight files without running anything from them: torch's two formats and safetensors.

The pickle inside a torch file may name any class (Lightning stores its settings beside the weights). Here tensors are
rebuilt by this module, everything else that is named becomes an inert placeholder; nothing is imported or called. A
tensor's bytes are read when it is asked for, so that optimizer states and licensed body models stay on the disk, and
no size that a file claims is believed.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

import torch
from torch import Tensor

from dsr.body.pickled_objects import RefusedError
from dsr.body.unpickle import DAMAGE, CheckedUnpickler, plain_dict
from dsr.errors import CheckpointError
from dsr.files import not_the_file

_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of torch's format before 1.6
_PROTOCOL = 1001
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_DAMAGE = (*DAMAGE, RefusedError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error)
_TENSOR_FUNCTIONS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")


@dataclass(frozen=True)
class _Storage:
    """Bytes of the file that tensors share."""

    dtype: torch.dtype
    key: str
    count: int


@dataclass
class LazyTensor:
    """A tensor of a file, read when :meth:`load` is called."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    read: Callable[[_Storage], bytes] | None = field(default=None, repr=False)

    def load(self) -> Tensor:
        """The tensor, on the CPU; raises ValueError if it does not fit into its bytes. Its file must still be open."""
        if self.read is None:
            raise ValueError("the bytes of a tensor are missing")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=self.storage.dtype)
        inside = 0 <= last < self.storage.count and self.offset >= 0 and min((*self.shape, *self.stride, 0)) == 0
        if not inside or math.prod(self.shape) > self.storage.count:
            raise ValueError(f"a tensor of shape {self.shape} does not fit into {self.storage.count} numbers")
        flat = torch.frombuffer(bytearray(self.read(self.storage)), dtype=self.storage.dtype)
        return flat.as_strided(self.shape, self.stride, self.offset).contiguous()


class _Inert:
    """Stands for an object whose class is none of our business; takes anything, does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> _Inert:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Take an item of a list."""

    def extend(self, items: Any) -> None:
        """Take items of a list."""

    def add(self, item: Any) -> None:
        """Take an item of a set."""


class _StorageType:
    def __init__(self, name: str) -> None:
        self.dtype = _DTYPES[name]


def _lazy_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Any:
    if not isinstance(storage, _Storage):
        return _Inert()
    return LazyTensor(storage, int(offset), tuple(int(n) for n in size), tuple(int(n) for n in stride))


def _parameter(data: Any = None, *_: Any) -> Any:
    return data


class _Bounded:
    """A file that never reads, and so never allocates, more than it has."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.readline = stream.readline
        self._read = stream.read
        self._tell = stream.tell
        here = stream.tell()
        self._end = stream.seek(0, io.SEEK_END)
        stream.seek(here)

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes."""
        left = self._end - self._tell()
        if not 0 <= count <= left:
            raise EOFError(f"{count} bytes are claimed where {left} are left")
        return self._read(count)


class _Reader(CheckedUnpickler):
    key_kinds: ClassVar[tuple[type, ...]] = (_Inert, type)
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(CheckedUnpickler.dispatch)

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(_Bounded(stream), encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Our own functions for tensors, an inert class for everything else."""
        if module == "torch._utils" and name in _TENSOR_FUNCTIONS:
            return _lazy_tensor
        if module == "torch._utils" and name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return _parameter
        if module in ("torch", "torch.cuda", "torch.storage") and name in _DTYPES:
            return _StorageType(name)
        if (module, name) == ("collections", "OrderedDict"):
            return plain_dict
        if (module, name) == ("torch", "Size"):
            return tuple
        return type("Inert", (_Inert,), {})

    def persistent_load(self, pid: Any) -> Any:
        """A storage by its type, name and size."""
        kind, storage_type, key, _, count, *_rest = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType) or not isinstance(key, str):
            return _Inert()
        return self.storages.setdefault(key, _Storage(storage_type.dtype, key, int(count)))

    def filled(self, kind: type) -> Any:
        """Entries of what is inert are dropped."""
        return kind() if isinstance(self.stack[-1], _Inert) else super().filled(kind)

    def load_build(self) -> None:
        """States are dropped: tensors and dicts are complete without."""
        self.stack.pop()

    def load_bytearray8(self) -> None:
        """Refused: torch writes none, and it allocates what it claims."""
        raise pickle.UnpicklingError("it holds a bytearray")

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


@contextmanager
def open_weights(path: Path) -> Iterator[Mapping[str, Any]]:
    """The dictionary a weight file holds; tensors as :class:`LazyTensor` (torch) or Tensor (safetensors).

    Args:
        path: ``.safetensors``, or anything ``torch.save`` wrote (``.pt``, ``.pth``, ``.ckpt``).

    Raises:
        CheckpointError: if it cannot be read, is not one of them, is damaged, or holds no dictionary.
    """
    with ExitStack() as stack:
        try:
            content = _read(path, stack)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read ({error.strerror or error}).") from error
        except _DAMAGE as error:
            instead = not_the_file(path)
            if instead:
                raise CheckpointError(instead) from error
            reason = str(error) or type(error).__name__
            raise CheckpointError(
                f"{path} is damaged, cut off or not a file of weights ({reason}); fetch it again."
            ) from error
        if not isinstance(content, dict):
            kind = "tensor" if isinstance(content, LazyTensor) else type(content).__name__.lower()
            raise CheckpointError(f"{path} holds a {kind} where a dictionary of weights is needed.")
        yield content


def _read(path: Path, stack: ExitStack) -> Any:
    if path.is_dir():
        inside = next((p.name for p in sorted(path.glob("*.safetensors"))), None)
        hint = f", {path / inside} for example" if inside else ""
        raise CheckpointError(f"{path} is a folder; name the file of weights{hint}.")
    stream = stack.enter_context(path.open("rb"))
    head = stream.read(64)
    stream.seek(0)
    _refuse_other_files(path, head)
    if path.suffix == ".safetensors" or head[8:10] == b'{"':
        return _read_safetensors(path)
    return _read_zip(path, stack.enter_context(zipfile.ZipFile(stream))) if head[:2] == b"PK" else _read_legacy(stream)


def _refuse_other_files(path: Path, head: bytes) -> None:
    if not head:
        raise CheckpointError(f"{path} is empty; fetch it again.")
    if head.lstrip()[:1] == b"<":
        raise CheckpointError(f"{path} is a web page, not a file of weights: its download needs a browser or a login.")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a Git LFS pointer, not the weights themselves; run `git lfs pull`.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged, cut off or not a safetensors file ({error}).") from error


def _read_zip(path: Path, archive: zipfile.ZipFile) -> Any:
    """The format of torch 1.6 and later: a zip archive of one pickle and a file per storage."""
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    pickles = [name for name in sizes if name.endswith("data.pkl") and name.count("/") <= 1]
    if len(pickles) != 1:
        raise CheckpointError(f"{path} is a zip archive, but not a file of torch.save: it has no data.pkl.")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in sizes:
        raise CheckpointError(f"{path} is a TorchScript program, not a file of weights; save its state_dict().")
    if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
        raise CheckpointError(f"{path} is a compressed archive, not a file of torch.save; unpack it first.")
    if f"{folder}byteorder" in sizes and archive.read(f"{folder}byteorder") != b"little":
        raise CheckpointError(f"{path} was written on a big-endian machine; save it again on a common one.")
    content = _Reader(io.BytesIO(archive.read(pickles[0]))).load()

    def read(storage: _Storage) -> bytes:
        return _exactly(archive.read(f"{folder}data/{storage.key}"), storage)

    _attach(content, read)
    return content


def _read_legacy(stream: IO[bytes]) -> Any:
    """The format before torch 1.6: pickles one after the other, then every storage's length and bytes."""
    if _Reader(stream).load() != _MAGIC or _Reader(stream).load() != _PROTOCOL:
        raise ValueError("it does not begin like a file of torch.save")
    system = _Reader(stream).load()
    if not isinstance(system, dict) or not system.get("little_endian", True):
        raise ValueError("it was written on a big-endian machine")
    reader = _Reader(stream)
    content = reader.load()
    keys = _Reader(stream).load()
    here = stream.tell()
    end = stream.seek(0, io.SEEK_END)
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        stream.seek(here)
        (count,) = struct.unpack("<q", stream.read(8))
        length = count * reader.storages[key].dtype.itemsize
        if not 0 <= length <= end - here - 8:
            raise EOFError(f"{length} bytes are claimed where {end - here - 8} are left")
        places[key] = (here + 8, length)
        here += 8 + length

    def read(storage: _Storage) -> bytes:
        start, length = places[storage.key]
        stream.seek(start)
        return _exactly(stream.read(length), storage)

    _attach(content, read)
    return content


def _exactly(data: bytes, storage: _Storage) -> bytes:
    if len(data) != storage.count * storage.dtype.itemsize:
        raise ValueError(f"{storage.count} numbers are claimed where {len(data)} bytes are")
    return data


def _attach(content: Any, read: Callable[[_Storage], bytes]) -> None:
    for lazy in _tensors(content):
        lazy.read = read


def _tensors(content: Any) -> list[LazyTensor]:
    """All tensors in nested dicts, lists and tuples, each once."""
    tensors: dict[int, LazyTensor] = {}
    seen: set[int] = set()
    todo = [content]
    while todo:
        item = todo.pop()
        if isinstance(item, LazyTensor):
            tensors[id(item)] = item
        elif isinstance(item, (dict, list, tuple)) and id(item) not in seen:
            seen.add(id(item))
            todo.extend(item.values() if isinstance(item, dict) else item)
    return list(tensors.values())
