"""Small tensor functions recorded once and then repeated without the interpreter: the same operations, bit for bit.

A fit of one person is a few thousand operations on tiny tensors, and most of its time is Python between them, under a
lock that keeps other threads waiting. What is repeated has the same numbers and lets the others work. A function is
recorded once it has cost a while with arguments of the same kind, so that few pictures pay for no record; where the
record would not do the same for other numbers (PyTorch says so: a branch on a tensor's value), or does not do the same
now, it is called as it stands for good.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

_Value = TypeVar("_Value")
_WORTH_S = 0.2
"""Seconds of calls with one kind of arguments that make them worth a record, which costs about a quarter of that."""
_MOST = 64
"""Kinds of arguments that are kept."""
_UNSAFE = (
    "Python boolean",
    "Python integer",
    "Python float",
    "Python number",
    "NumPy",
    "Iterating over",
    "non-deterministic",
)
"""In what PyTorch warns of while it records: the record holds for these numbers only."""


class _Record:
    """What is known of one kind of arguments."""

    def __init__(self, kept: Any) -> None:
        self.kept = kept  # what is told apart by its identity has to stay
        self.spent_s = 0.0
        self.tried = False
        self.replay: Callable[..., Any] | None = None
        self.shape: Any = None

    def is_due(self, seconds: float) -> bool:
        """Adds what a call cost; True once, for the call that is to be recorded."""
        with _LOCK:
            self.spent_s += seconds
            due = self.spent_s > _WORTH_S and not self.tried
            self.tried = self.tried or due
            return due


_RECORDS: OrderedDict[Any, _Record] = OrderedDict()
_LOCK = threading.Lock()


class Repeater:
    """A function of which some arguments stay the same for a while.

    Args:
        function: without side effects; what it returns is made of its arguments alone. A module-level one.
        fixed: its first arguments: tensors, numbers, texts, None, tuples and dataclasses of them; anything else is
            taken for the same as long as it is the same object, and must not change.
    """

    def __init__(self, function: Callable[..., Any], *fixed: Any) -> None:
        self._function, self._fixed = function, fixed
        self._leaves: list[Tensor] = []
        self._objects: list[Any] = [function]
        self._shape = _taken_apart(fixed, self._leaves, self._objects)
        self._sizes = _sizes(self._leaves)
        self._known: dict[Any, _Record] = {}

    def __call__(self, *changing: Any) -> Any:
        """The function of the fixed arguments and these.

        Returns:
            A tensor, or a tuple or dataclass of tensors: the same bits as without a record.
        """
        leaves, objects = list(self._leaves), list(self._objects)
        shape = _taken_apart(changing, leaves, objects)
        plain = all(leaf.device.type == "cpu" and not leaf.requires_grad for leaf in leaves)
        if not plain or torch.jit.is_tracing() or torch.compiler.is_compiling():
            return self._function(*self._fixed, *changing)
        kind = (shape, _sizes(leaves[len(self._leaves) :]))
        record = self._known.get(kind)
        if record is None:
            record = self._known[kind] = _record((id(self._function), self._shape, self._sizes, *kind), objects)
        if record.replay is not None:
            with torch.no_grad(), _PLAINLY:
                return _put_together(record.shape, iter(_flat(record.replay(*leaves))))
        started = time.thread_time()
        result = self._function(*self._fixed, *changing)
        if not record.tried and record.is_due(time.thread_time() - started):
            _try_to_record(record, self._function, (self._shape, shape), leaves, result)
        return result


def replayed(function: Callable[..., _Value], *arguments: Any) -> _Value:
    """``function(*arguments)``, without Python where that was recorded; arguments as of :class:`Repeater`."""
    value: _Value = Repeater(function)(*arguments)
    return value


def _record(key: Any, objects: list[Any]) -> _Record:
    """What is known of one kind of arguments, of all threads."""
    with _LOCK:
        record = _RECORDS.get(key)
        if record is None:
            record = _RECORDS[key] = _Record(objects)
            if len(_RECORDS) > _MOST:
                _RECORDS.popitem(last=False)
        else:
            _RECORDS.move_to_end(key)
        return record


def _sizes(leaves: list[Tensor]) -> tuple[Any, ...]:
    return tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def _try_to_record(
    record: _Record, function: Callable[..., Any], shapes: tuple[Any, Any], leaves: list[Tensor], result: Any
) -> None:
    """Record a function, and keep the record where it repeats what the function just gave."""
    expected: list[Tensor] = []
    result_shape = _taken_apart(result, expected, [])

    def flat(*tensors: Tensor) -> tuple[Tensor, ...]:
        made: list[Tensor] = []
        rest = iter(tensors)
        fixed, changing = (_put_together(shape, rest) for shape in shapes)
        _taken_apart(function(*fixed, *changing), made, [])
        return tuple(made)

    try:
        with warnings.catch_warnings(record=True) as said, torch.no_grad():
            warnings.simplefilter("always")
            replay = torch.jit.trace(flat, tuple(leaves), check_trace=False)
        if any(word in str(warning.message) for warning in said for word in _UNSAFE):
            return
        with torch.no_grad(), _PLAINLY:
            again = _flat(replay(*leaves))
        if len(again) != len(expected) or not all(map(_same, again, expected)):
            return
    except Exception:  # what cannot be recorded is called as it stands
        return
    record.shape, record.replay = result_shape, replay


class _Plainly:
    """TorchScript does as it is told while somebody is inside: rearranging costs seconds and brings nothing here."""

    def __init__(self) -> None:
        self._inside, self._before, self._lock = 0, True, threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = torch._C._get_graph_executor_optimize()
                torch._C._set_graph_executor_optimize(False)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                torch._C._set_graph_executor_optimize(self._before)


_PLAINLY = _Plainly()


def _flat(made: Any) -> tuple[Tensor, ...]:
    return (made,) if isinstance(made, Tensor) else tuple(made)


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same bit for bit, NaN included."""
    return a.shape == b.shape and a.dtype == b.dtype and bool(((a == b) | ((a != a) & (b != b))).all())


def _taken_apart(value: Any, leaves: list[Tensor], objects: list[Any]) -> Any:
    """A value's shape, hashable and able to make it again from its tensors, which are added to ``leaves``."""
    if isinstance(value, Tensor):
        leaves.append(value)
        return _Leaf
    if value is None or isinstance(value, (bool, int, float, str)):
        return ("plain", type(value), value)
    if isinstance(value, tuple):
        return ("tuple", tuple(_taken_apart(part, leaves, objects) for part in value))
    if is_dataclass(value) and not isinstance(value, type):
        names = vars(value)  # what was worked out once is there as well
        return (value.__class__, tuple((name, _taken_apart(part, leaves, objects)) for name, part in names.items()))
    objects.append(value)
    return ("object", _Same(value))


class _Leaf:
    """Stands for a tensor."""


class _Same:
    """An object that is told from others by its identity."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def _put_together(shape: Any, leaves: Any) -> Any:
    """What :func:`_taken_apart` took apart."""
    if shape is _Leaf:
        return next(leaves)
    kind, *rest = shape
    if kind == "plain":
        return rest[1]
    if kind == "tuple":
        return tuple(_put_together(part, leaves) for part in rest[0])
    if kind == "object":
        return rest[0].value
    values = {name: _put_together(part, leaves) for name, part in rest[0]}
    known = {field.name for field in fields(kind)}
    made = kind(**{name: value for name, value in values.items() if name in known})
    vars(made).update({name: value for name, value in values.items() if name not in known})
    return made
