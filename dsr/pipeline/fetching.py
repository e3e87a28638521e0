"""Inputs that lie at URLs, brought to this machine for as long as they are worked on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from dsr.errors import DsrError
from dsr.files import write_atomic
from dsr.limits import check_time, limits_in_force
from dsr.pipeline.inputs import Clip, InputPicture
from dsr.pipeline.urls import filesystem, patiently, reason
from dsr.results.base import InputResult

_Source = TypeVar("_Source", bound=InputPicture | Clip)
_BLOCK = 1 << 20


@contextmanager
def fetched(source: _Source) -> Iterator[_Source]:
    """A source whose files are on this machine inside the block, a camera sidecar too; local ones as they are.

    Args:
        source: the input.

    Yields:
        The source; with its ``problem`` said where it cannot be brought here.
    """
    if not source.url or source.problem or source.path.exists():
        yield source
        return
    sidecars: list[Path] = [
        source.path.with_name(f"{name}.camera.json") for name in (source.path.name, source.path.stem)
    ]
    try:
        problem = ""
        try:
            _copy(source.url, source.path)
            folder = source.url.rpartition("/")[0]
            for sidecar in sidecars if source.has_sidecar is not False else ():
                with suppress(FileNotFoundError):
                    _copy(f"{folder}/{sidecar.name}", sidecar)
        except DsrError as error:
            problem = str(error)
        except Exception as error:  # drivers raise errors of their own
            problem = f"{source.url}: it cannot be fetched ({reason(error)}); check that it is there and may be read."
        yield replace(source, problem=problem) if problem else source
    finally:
        for file in [source.path, *sidecars]:
            with suppress(OSError):
                file.unlink()


def name_by_url(result: InputResult, source: InputPicture | Clip) -> None:
    """Let a result, its sentences too, name the URL of its input instead of the file that it was worked on in."""
    if not source.url:
        return
    here, there = os.fspath(source.path.parent), source.url.rpartition("/")[0]

    def named(sentence: str) -> str:
        return sentence.replace(os.fspath(source.path), source.url).replace(here, there)

    result.input_path = source.url
    result.message, result.focal_detail = named(result.message), named(result.focal_detail)
    result.warnings = [named(sentence) for sentence in result.warnings]


def sidecar_here(source: InputPicture | Clip) -> Path:
    """The file beside which a source's sidecar lies, the sidecar of one at a URL brought here to be compared.

    Returns:
        The source's first file, which need not be there.
    """
    if source.url and not source.path.exists() and source.has_sidecar is not False:
        folder = source.url.rpartition("/")[0]
        for name in (source.path.name, source.path.stem):
            with suppress(Exception):  # what cannot be compared is done again
                _copy(f"{folder}/{name}.camera.json", source.path.with_name(f"{name}.camera.json"))
    return source.first_file


def _copy(url: str, target: Path) -> None:
    """A file from a URL, complete or not at all.

    Raises:
        FileNotFoundError: if there is none.
        DsrError: if it is larger than the limits allow, takes too long, or cannot be written.
    """
    fs, path = filesystem(url)
    most = int(limits_in_force().max_file_mb * 1e6)
    target.parent.mkdir(parents=True, exist_ok=True)

    def copy() -> None:
        with fs.open(path, "rb") as source:

            def write(temporary: Path) -> None:
                done = 0
                with temporary.open("wb") as here:
                    while block := source.read(_BLOCK):
                        check_time()
                        done += len(block)
                        if done > most:
                            raise DsrError(f"{url} has more than {most / 1e6:g} MB: allow it with --max-file-mb.")
                        here.write(block)

            write_atomic(target, write)

    patiently(copy)
