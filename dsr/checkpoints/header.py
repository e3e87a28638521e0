"""What a safetensors file says about its weights."""

from __future__ import annotations

from pathlib import Path


def read_header(path: Path) -> dict[str, str]:
    """Texts of a safetensors header; none for other files and for damaged ones (which loading will complain about)."""
    if path.suffix != ".safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        return {}
