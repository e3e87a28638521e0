"""What the networks and solvers here ask of torch: a device, evaluation mode for a while, one thread for small work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dsr.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn


def choose_device(name: str) -> str:
    """The torch device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: if CUDA is asked for and not there.
    """
    if name == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda" if name == "auto" else name
    if name == "auto":
        return "cpu"
    raise UsageError(
        f"--device {name}: torch {torch.__version__} finds no CUDA device; use --device cpu, or see dsr-doctor."
    )


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 saves time there: on CUDA, and on processors with instructions for it."""
    if device.type == "cuda":
        return True
    import torch

    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask is not None and ask() for ask in asked)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every submodule has its own mode back (parts may be frozen on purpose)."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def one_thread() -> Iterator[None]:
    """Matrices this small lose more to handing over between threads than they gain; and results stay the same bytes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with one_numpy_thread():
            yield
    finally:
        torch.set_num_threads(before)


class _OneNumpyThread:
    """Counts who is inside: NumPy's threads are of the whole process."""

    def __init__(self) -> None:
        self._inside, self._lock = 0, threading.Lock()
        self._limits: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limits = _blas().limit(limits=1)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _blas()
                self._limits.restore_original_limits()


_ONE_NUMPY_THREAD = _OneNumpyThread()


def one_numpy_thread() -> AbstractContextManager[None]:
    """One thread for the products of NumPy and SciPy: OpenBLAS keeps another core busy waiting for the next one."""
    return _ONE_NUMPY_THREAD


@lru_cache(maxsize=1)
def _loaded_blas() -> Any:
    """The matrix libraries of NumPy and SciPy."""
    import scipy.linalg  # noqa: F401  only what is loaded is found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _blas() -> Any:
    """These libraries, open to this thread: who comes first and who leaves last are mostly different threads of ours.

    Newer versions of threadpoolctl listen to the first thread alone that asked, until that one says that it is done.
    """
    blas = _loaded_blas()
    for library in blas.lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)
    return blas
