"""The rooms of the package stand in one order, imports run downward only, and no module is part of a circle."""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "dsr"

ORDER = [
    "errors",
    "extras",
    "_checks",
    "_command",
    "_lazy",
    "_quiet",
    "limits",
    "devices",
    "fast_layers",
    "files",
    "npz",
    "options",
    "image",
    "camera",
    "body",
    "rendering",
    "checkpoints",
    "clothing",
    "people",
    "results",
    "mocap",
    "synthetic",
    "datasets",
    "tracks",
    "losses",
    "regressors",
    "lifting",
    "adaptation",
    "fitting",
    "export",
    "pipeline",
    "evaluation",
    "training",
    "cli",
]
"""From the ground up; a room imports only what stands before it (docs/design.md)."""

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""Imports that run upward, with the reason; at most four."""

LONG_FILES: dict[str, str] = {
    "rendering/_kernels.py": "a Warp module compiles as one: its kernels share their functions",
}
"""Files of 400 lines and more, with the reason."""

CARRIED = "export/carried"
"""Modules that the Blender add-on takes a copy of: they import one another relatively, and of others only numpy."""


@lru_cache(maxsize=1)
def modules() -> dict[str, Path]:
    """Dotted name to file."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@lru_cache(maxsize=1)
def imports() -> dict[str, dict[str, bool]]:
    """Module to the modules it names in an import, anywhere in the file; True where that happens at import time."""
    return {name: _imports(file) for name, file in modules().items()}


def _imports(file: Path) -> dict[str, bool]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    later = set()
    for node in ast.walk(tree):
        checker = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if checker or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            later |= set(map(id, ast.walk(node)))
    found: dict[str, bool] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = str(node.module)
            if node.level:
                assert file.parent == PACKAGE / CARRIED and node.level == 1, f"{file}: relative import"
                module = ".".join(("dsr", *CARRIED.split("/"), module))
            names = [_home(module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "dsr":
                found[name] = found.get(name, False) or id(node) not in later
    return found


def _home(module: str, name: str) -> str:
    """The module that defines a name imported from another one: packages pass on what their modules define."""
    if f"{module}.{name}" in modules():
        return f"{module}.{name}"
    if module in modules() and modules()[module].name == "__init__.py":
        for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
                return str(node.module)
    return module


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_every_room_has_its_place():
    rooms = {room(name) for name in modules()} - {""}
    assert rooms <= set(ORDER), f"not in the order: {rooms - set(ORDER)}"
    assert [p.name for p in PACKAGE.iterdir() if p.is_dir() and not any(p.rglob("*")) and p.name != "__pycache__"] == []


def test_imports_run_downward():
    upward = {
        (module, target)
        for module, targets in imports().items()
        for target in targets
        if room(module) and room(target) and ORDER.index(room(target)) > ORDER.index(room(module))
    }
    assert upward == set(EXCEPTIONS)
    assert len(EXCEPTIONS) <= 4


def test_only_the_top_names_the_package_itself():
    """``from dsr import x`` goes through the public names; inside, a module is named by its room."""
    named = {module for module, targets in imports().items() if "dsr" in targets and module != "dsr"}
    assert all("from dsr import __version__" in modules()[module].read_text(encoding="utf-8") for module in named)


def test_no_module_is_part_of_a_circle():
    """Imports inside functions count too: a circle that is put off is still one."""
    graph = {
        module: {
            target for target in targets if target in modules() and target != "dsr" and not _is_parent(target, module)
        }
        for module, targets in imports().items()
        if module != "dsr"
    }
    circles = [sorted(group) for group in _strongly_connected(graph) if len(group) > 1]
    assert circles == []


def _is_parent(target: str, module: str) -> bool:
    return module.startswith(f"{target}.")


def _strongly_connected(graph: dict[str, set[str]]) -> list[set[str]]:
    """Tarjan's components."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[set[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph.get(node, ()):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            at = stack.index(node)
            groups.append(set(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return groups


def test_carried_modules_stand_alone():
    allowed = {"__future__", "collections.abc", "dataclasses", "itertools", "numpy", "re"}
    for file in (PACKAGE / CARRIED).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= allowed, file
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 1 or node.module in allowed, file


def test_the_circle_finder_finds_circles():
    assert {"a", "b", "c"} in _strongly_connected({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert all(len(group) == 1 for group in _strongly_connected({"a": {"b", "c"}, "b": {"c"}, "c": set()}))


def test_files_are_short_or_named_with_the_reason():
    lines = {
        file.relative_to(PACKAGE).as_posix(): len(file.read_text(encoding="utf-8").splitlines())
        for file in modules().values()
    }
    assert {file for file, count in lines.items() if count >= 400} == set(LONG_FILES)


def test_private_names_stay_in_their_module():
    """No module takes a name with a leading underscore from another one; a private module stays in its room."""
    strangers = set()
    for module, file in modules().items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        neighbours: dict[str, str] = {}  # names of this module that stand for other modules of the package
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "dsr":
                for alias in node.names:
                    target = f"{node.module}.{alias.name}"
                    if target in modules():
                        neighbours[alias.asname or alias.name] = target
                    elif _is_private(alias.name):
                        strangers.add((module, target))
            elif isinstance(node, ast.Import):
                neighbours |= {
                    alias.asname: alias.name for alias in node.names if alias.asname and alias.name in modules()
                }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and _is_private(node.attr):
                owner = ast.unparse(node.value)
                owner = neighbours.get(owner, owner)
                if owner in modules():
                    strangers.add((module, f"{owner}.{node.attr}"))
    private_modules = {
        (module, target)
        for module, targets in imports().items()
        for target in targets
        if _is_private(target.split(".")[-1]) and len(target.split(".")) > 2 and room(target) != room(module)
    }
    assert strangers | private_modules == set()


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
