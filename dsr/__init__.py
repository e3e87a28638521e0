"""From a photograph to posed, shaped, rigged bodies.

``import dsr`` is cheap: torch and everything heavy is imported when a name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "FitOptions": "dsr.options",
    "FitResult": "dsr.result",
    "PersonResult": "dsr.result",
    "load_result": "dsr.result",
    "fit_images": "dsr.pipeline",
    "Body": "dsr.body",
    "BodyOutput": "dsr.body",
    "load_body": "dsr.body",
}

__all__ = ["Body", "BodyOutput", "FitOptions", "FitResult", "PersonResult", "__version__", "fit_images", "load_body",
           "load_result"]

if TYPE_CHECKING:
    from dsr.body import Body, BodyOutput, load_body
    from dsr.options import FitOptions
    from dsr.pipeline import fit_images
    from dsr.result import FitResult, PersonResult, load_result


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'dsr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
