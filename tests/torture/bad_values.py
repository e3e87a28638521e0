"""How good files go bad: mutations of bytes and of JSON values, all drawn from one generator."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e-320, 1e30, 1e308,
    float("nan"), float("inf"), float("-inf"), "", "nan", "1e5", "../../etc/passwd", "\0", "\ud800", [], {}, [[]],
    [[[[[]]]]], [0] * 100, [None], {"a": {"b": {}}}, [1e308, 1e308], "x" * 5000,
]  # fmt: skip
"""What programs and people write where a number was meant."""


def mutated(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """One of the ways in which bytes are damaged: cut, flipped, zeroed, doubled, grown, spliced, extreme integers."""
    if len(data) < 16:
        return data + bytes(rng.integers(0, 256, 16, dtype=np.uint8))
    changed = bytearray(data)
    at = int(rng.integers(0, len(changed)))
    if rng.random() < 0.5:  # headers are where damage matters
        at = int(rng.integers(0, min(200, len(changed))))
    kind = int(rng.integers(0, 9))
    if kind == 0:
        del changed[at:]
    elif kind == 1:
        for place in rng.integers(0, len(changed), 1 + int(rng.integers(0, 40))):
            changed[place] ^= 1 << int(rng.integers(0, 8))
    elif kind == 2:
        end = min(len(changed), at + int(rng.integers(1, 500)))
        changed[at:end] = bytes(end - at)
    elif kind == 3:
        end = min(len(changed), at + int(rng.integers(1, 2000)))
        changed[at:at] = changed[at:end] * int(rng.integers(1, 30))
    elif kind == 4:
        changed[at:at] = rng.integers(0, 256, int(rng.integers(1, 2000)), dtype=np.uint8).tobytes()
    elif kind == 5:
        other = others[int(rng.integers(0, len(others)))]
        changed[at:] = other[min(at, len(other)) :]
    elif kind == 6:
        size = int(rng.choice([1, 2, 4, 8]))
        value = int(rng.choice([0, 1, 2 ** (8 * min(size, 4)) - 1, 2 ** (8 * min(size, 4) - 1)]))
        changed[at : at + size] = value.to_bytes(size, str(rng.choice(["little", "big"])))  # type: ignore[arg-type]
    elif kind == 7:
        end = min(len(changed), at + int(rng.integers(1, 400)))
        del changed[at:end]
    else:
        changed[at] = int(rng.integers(0, 256))
    return bytes(changed)


def mutated_value(document: Any, rng: np.random.Generator) -> Any:
    """A copy of a JSON document in which one to three places hold something else, or are gone, or come twice."""
    document = copy.deepcopy(document)
    for _ in range(int(rng.integers(1, 4))):
        document = _change(document, rng)
    return document


def _change(document: Any, rng: np.random.Generator) -> Any:
    odd = ODD_VALUES[int(rng.integers(0, len(ODD_VALUES)))]
    places = list(_places(document))
    if not places or rng.random() < 0.05:
        return odd
    holder, key = places[int(rng.integers(0, len(places)))]
    action = rng.random()
    if action < 0.6:
        holder[key] = odd
    elif action < 0.75:
        del holder[key]
    elif action < 0.9 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = holder[key] * float(rng.choice([-1, 1e-6, 1e3, 1e12]))
    else:
        holder[key] = [holder[key]]
    return document


def _places(value: Any) -> Any:
    """Every (holder, key) of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)
