"""What a run leaves to look at: scalars.jsonl, metrics.json, overlays, and TensorBoard files where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dsr.files import write_atomic, write_bytes
from dsr.training.config import LogConfig


class Record:
    """The written record of one run.

    Args:
        out: RUN.
        log: what to write.
        total: steps done before; later records of a run that was killed are dropped.
    """

    def __init__(self, out: Path, log: LogConfig, total: int) -> None:
        self.out = out
        self._scalars = out / "scalars.jsonl"
        self._metrics_file = out / "metrics.json"
        kept = [line for line in _lines(self._scalars) if line["step"] <= total]
        write_bytes(self._scalars, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = self._scalars.open("a", encoding="utf-8")
        self._history = [line for line in _history(self._metrics_file) if line["step"] <= total]
        self._board = _tensorboard(out, total) if log.tensorboard == "on" else None

    def scalars(self, step: int, epoch: int, values: dict[str, float], rate: float) -> None:
        """Losses of a step."""
        self._file.write(json.dumps({"step": step, "epoch": epoch, **values, "steps_per_s": round(rate, 3)}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"train/{name}", value, step)

    def metrics(self, step: int, epoch: int, values: dict[str, float]) -> None:
        """Measures of a validation."""
        self._history.append({"step": step, "epoch": epoch, **values})
        best = min((line for line in self._history if "score" in line), key=lambda line: line["score"], default=None)
        document = {"last": self._history[-1], "best": best, "history": self._history}
        write_bytes(self._metrics_file, (json.dumps(document, indent=1) + "\n").encode())
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"validation/{name}", value, step)

    def last_metrics(self) -> dict[str, float]:
        """The measures of the last validation, empty before the first."""
        last = self._history[-1] if self._history else {}
        return {name: value for name, value in last.items() if name not in ("step", "epoch")}

    def picture(self, step: int, picture: np.ndarray) -> None:
        """A picture (H, W, 3) uint8 of predictions."""
        from PIL import Image

        folder = self.out / "overlays"
        folder.mkdir(exist_ok=True)
        write_atomic(folder / f"step_{step:06d}.png", lambda temporary: Image.fromarray(picture).save(temporary))
        if self._board is not None:
            self._board.add_image("predictions", picture, step, dataformats="HWC")

    def stopped(self, about: dict[str, Any]) -> None:
        """Why and where the run had to stop."""
        write_bytes(self.out / "stopped.json", (json.dumps(about, indent=1) + "\n").encode())

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines of an earlier record; a line cut off by a kill is left out."""
    lines = []
    if path.exists():
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                lines.append(line)
    return lines


def _history(path: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["history"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _tensorboard(out: Path, total: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(out / "tensorboard"), purge_step=total + 1)
