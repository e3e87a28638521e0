# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines between this add-on and ``dsr-fit --serve`` (docs/worker_protocol.md of dsr, version 1)."""

from __future__ import annotations

import json
from typing import Any

PROTOCOL = 1
"""The protocol version of this add-on."""


def parse_line(line: str) -> dict[str, Any] | None:
    """An answer of the worker, or None for noise that some library printed."""
    text = line.strip()
    if not text.startswith("{"):
        return None
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and isinstance(answer.get("event"), str) else None


def request_line(kind: str, request_id: int | str | None = None, **fields: Any) -> str:
    """One request as the worker reads it, with the newline."""
    request: dict[str, Any] = {"request": kind}
    if request_id is not None:
        request["id"] = request_id
    return json.dumps({**request, **fields}) + "\n"
