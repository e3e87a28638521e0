"""Configurations as plain values and as YAML (or JSON) files. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
import types
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dsr.errors import MissingExtraError, UsageError
from dsr.extras import install_hint
from dsr.training.config import RunConfig, suggestion

_MOST_CHARACTERS = 1 << 20
Config = TypeVar("Config", bound=RunConfig)


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as plain numbers, texts, lists and dictionaries."""

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, tuple):
            return [plain(one) for one in value]
        return dict(value) if isinstance(value, dict) else value

    values: dict[str, Any] = plain(config)
    return values


def from_dict(values: Any, base: Config, where: str = "the configuration") -> Config:
    """A configuration from what :func:`to_dict` gives, or from a part of it, over ``base``.

    Raises:
        UsageError: naming ``where`` and the key that is unknown or has the wrong type.
    """
    config: Config = _merge(base, values, where, "")
    return config


def read_yaml(path: Path) -> Any:
    """The contents of a YAML (or JSON) file.

    Raises:
        UsageError: if it cannot be read or is no YAML.
        MissingExtraError: if it is no JSON and PyYAML is not installed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text file"
        raise UsageError(f"{path} cannot be read: {reason}.") from error
    try:
        import yaml
    except ImportError as error:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise MissingExtraError(f"Reading {path} needs PyYAML: {install_hint('train')}") from error
    if len(text) > _MOST_CHARACTERS:
        raise UsageError(f"{path} has {len(text)} characters; no configuration has more than {_MOST_CHARACTERS}.")
    try:
        return yaml.safe_load(text)
    except RecursionError as error:
        raise UsageError(f"{path} is nested too deeply to be a configuration.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark is not None else ""
        raise UsageError(f"{path} is no valid YAML{place}: {getattr(error, 'problem', error)}.") from error


def to_yaml(config: RunConfig) -> str:
    """The configuration as YAML; as JSON, which is YAML too, where PyYAML is not installed."""
    try:
        import yaml
    except ImportError:
        return json.dumps(to_dict(config), indent=1) + "\n"
    return str(yaml.safe_dump(to_dict(config), sort_keys=False))


def read_config(path: Path, base: Config) -> Config:
    """A configuration file, whole or a part of one, over ``base``; a key ``preset`` is left to the caller."""
    values = read_yaml(path)
    values = {} if values is None else values
    if isinstance(values, dict):
        values = {key: value for key, value in values.items() if key != "preset"}
    return from_dict(values, base, str(path))


def _merge(base: Any, values: Any, where: str, prefix: str) -> Any:
    if not isinstance(values, dict):
        raise UsageError(f"{where}: {prefix.rstrip('.') or 'the file'} must hold names with values, not {values!r}.")
    hints = get_type_hints(type(base))
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            raise UsageError(f"{where}: there is no key {prefix}{key}; {suggestion(str(key), hints, 'the keys are')}")
        if is_dataclass(hints[key]):
            changes[key] = _merge(getattr(base, key), value, where, f"{prefix}{key}.")
        else:
            changes[key] = _convert(hints[key], value, f"{where}: {prefix}{key}")
    return dataclasses.replace(base, **changes)


def _convert(hint: Any, value: Any, what: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(next(a for a in arguments if a is not type(None)), value, what)
    if origin is Literal:
        if isinstance(value, bool) and set(arguments) == {"on", "off"}:  # YAML 1.1 reads on and off as booleans
            value = "on" if value else "off"
        if value not in arguments:
            raise UsageError(f"{what} is {value!r}: use {' or '.join(map(str, arguments))}.")
        return value
    if hint is float:
        if isinstance(value, str):  # YAML 1.1 reads 1e-4 as a text
            try:
                return float(value)
            except ValueError:
                pass
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(arguments[0], one, what) for one in value)
    elif origin is dict and isinstance(value, dict):
        return {str(key): _convert(arguments[1], one, what) for key, one in value.items()}
    elif (hint in (bool, str) or (hint is int and not isinstance(value, bool))) and isinstance(value, hint):
        return value
    raise UsageError(f"{what} is {value!r}: use {_NAMES.get(hint, 'a list' if origin is tuple else 'names: numbers')}.")


_NAMES = {float: "a number", int: "a whole number", bool: "true or false", str: "a text", Path: "a path"}
