"""Counts over many people or files that a stopped run goes on with: the sums so far lie beside the prior."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from clothing_prior.votes import Votes
from dsr.errors import DsrError
from dsr.files import write_atomic

OnProgress = Callable[[int, int], None]
_EVERY = 10  # files between two saves


@dataclass
class Sums:
    """What was counted so far.

    Attributes:
        votes: the sums.
        done: people or files that were looked at.
        left_out: a sentence for every file that could not be used.
    """

    votes: Votes
    done: int = 0
    left_out: list[str] = field(default_factory=list)


def save_sums(path: Path, fingerprint: str, sums: Sums) -> None:
    """Write the sums so far, complete or not at all."""

    def write(temporary: Path) -> None:
        said = {"fingerprint": fingerprint, "done": sums.done, "left_out": sums.left_out}
        with temporary.open("wb") as stream:
            np.savez(stream, said=np.array(json.dumps(said)), **sums.votes.arrays())

    write_atomic(path, write)


def load_sums(path: Path | None, fingerprint: str) -> Sums | None:
    """The sums of an earlier run with the same settings and data, or None."""
    if path is None or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        said = json.loads(str(arrays.pop("said")))
        if said["fingerprint"] != fingerprint:
            return None
        return Sums(Votes.from_arrays(arrays), int(said["done"]), [str(sentence) for sentence in said["left_out"]])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None  # cut short: begin again


def count_files(
    files: Sequence[Path],
    add: Callable[[Path, Votes], None],
    vertices: int,
    fingerprint: str,
    resume: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Sums:
    """Count one file after the other; those that cannot be used are left out with a sentence.

    Args:
        files: what is counted, in this order.
        add: adds the votes of one file, or raises a :class:`~dsr.errors.DsrError` before it does.
        vertices: of the body.
        fingerprint: of all data and settings (:func:`fingerprint_of`).
        resume: file that holds the sums so far; gone on from where it has the same fingerprint.
        on_progress: called with files done and in all.
    """
    sums = load_sums(resume, fingerprint) or Sums(Votes.empty(vertices))
    for done, file in enumerate(files[sums.done :], sums.done + 1):
        try:
            add(file, sums.votes)
        except DsrError as error:
            sums.left_out.append(str(error))
        sums.done = done
        if resume is not None and (done % _EVERY == 0 or done == len(files)):
            save_sums(resume, fingerprint, sums)
        if on_progress is not None:
            on_progress(done, len(files))
    return sums


def fingerprint_of(files: Iterable[Path], **said: str) -> str:
    """Changes with every file that is added, removed or written anew, and with what else is said."""
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(files) if file.is_file()]
    return sha256(json.dumps([stats, sorted(said.items())]).encode()).hexdigest()
