"""Names of results: every input gets its own, so that no two ever write the same file."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import PurePath, PurePosixPath

from dsr.pipeline.inputs import Clip, InputPicture

_RESERVED_STEMS = frozenset(
    ["report", "con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))]
)
_LONGEST_NAME = 180  # bytes; leaves room for ".p00.upright.jpg" and a temporary suffix below the usual 255


def name_outputs(
    inputs: Iterable[InputPicture | Clip],
    owner: Callable[[str], str | None] = lambda name: None,
    reserved: Iterable[str] = (),
) -> list[str]:
    """Give every picture and clip its own output name.

    The name is the stem; a stem used by two inputs keeps its extension (``a.jpg``); the same file name from two
    folders goes into a subfolder named after its parent (``sub1/a.jpg``); what still clashes gets six letters of a hash
    of its path. An input that already has results in the output folder keeps its name, and no other is given it.

    Args:
        inputs: as :func:`~dsr.pipeline.inputs.find_sources` returns them.
        owner: absolute path of the input whose results already carry a name, or None.
        reserved: names not to be used (the stem of the body asset).

    Returns:
        One relative name per input, forward slashes: its results are ``<name>.json``, ``<name>.p0.glb``...
    """
    inputs = list(inputs)
    candidates = [_candidates(source) for source in inputs]
    absolute = [source.place for source in inputs]
    forbidden = {*_RESERVED_STEMS, *(name.casefold() for name in reserved)}
    names: list[str | None] = [None] * len(inputs)
    taken: set[str] = set()
    for i, options in enumerate(candidates):
        kept = next((name for name in options if owner(name) == absolute[i]), None)
        if kept is not None and _key(kept) not in taken:
            names[i] = kept
            taken.add(_key(kept))
    settled_stems = Counter(_key(options[0]) for options in candidates)
    for level in range(len(candidates[0]) if candidates else 0):
        pending = [i for i, name in enumerate(names) if name is None]
        keys = Counter(_key(candidates[i][level]) for i in pending)
        for i in pending:
            name = candidates[i][level]
            shared = keys[_key(name)] > 1 or (level == 0 and settled_stems[_key(name)] > 1)
            foreign = owner(name) not in (None, absolute[i])
            if shared or foreign or _key(name) in taken or PurePosixPath(name).name.casefold() in forbidden:
                continue
            names[i] = name
            taken.add(_key(name))
    return [name if name is not None else options[-1] for name, options in zip(names, candidates, strict=True)]


def _candidates(source: InputPicture | Clip) -> list[str]:
    """Names from the wished to the certain: stem, file name, parent/file name, file name with a hash of the path."""
    folder = "/".join(safe_name(part) for part in source.folder.split("/") if part)
    parent = safe_name(PurePath(source.place).parent.name)
    hashed = f"{source.path.name}-{_digest(source.place)}"
    plain = [
        safe_name(source.path.stem),
        safe_name(source.path.name),
        f"{parent}/{safe_name(source.path.name)}",
        safe_name(hashed, keep_end=7),
    ]
    return [f"{folder}/{name}" if folder else name for name in plain]


def safe_name(name: str, keep_end: int = 0) -> str:
    """One path component that every file system takes: no separators, no control characters, not too long.

    Args:
        name: any text; letters of every language and spaces stay.
        keep_end: characters at the end that must survive shortening.

    Returns:
        A non-empty name of at most 180 bytes; a shortened one ends in a hash of the whole.
    """
    clean = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]', "_", name).strip().rstrip(".")
    if clean.startswith("."):
        clean = "_" + clean[1:]
    if len(clean.encode()) > _LONGEST_NAME:
        end = clean[-keep_end:] if keep_end else "-" + _digest(name)
        room = _LONGEST_NAME - len(end.encode())
        clean = clean.encode()[:room].decode(errors="ignore") + end
    return clean or "_"


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:6]


def _key(name: str) -> str:
    """What a file system that ignores case and composition would call the same name."""
    return unicodedata.normalize("NFC", name).casefold()
