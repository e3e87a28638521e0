"""Silence for C++ libraries that write to standard error on their own."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

_lock = threading.RLock()


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send file descriptor 2 to nowhere for the length of a block; exceptions pass, one thread at a time.

    What other threads write to standard error meanwhile is lost as well: keep the block short.
    """
    with _lock, contextlib.ExitStack() as stack:
        try:
            sys.stderr.flush()
            kept = os.dup(2)
            stack.callback(os.close, kept)
            sink = os.open(os.devnull, os.O_WRONLY)
            stack.callback(os.close, sink)
        except (OSError, ValueError, AttributeError):  # there is no stderr
            yield
            return
        os.dup2(sink, 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
