"""What a fit is: results of pictures and of clips, the JSON and NPZ files they live in, and the report of a run.

Nothing is imported until a name is used; numpy alone is enough to read results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.results.clip import SequenceResult as SequenceResult
    from dsr.results.clip import TrackResult as TrackResult
    from dsr.results.floor import Floor as Floor
    from dsr.results.picture import FitResult as FitResult
    from dsr.results.picture import PersonResult as PersonResult
    from dsr.results.report import Row as Row
    from dsr.results.report import read_rows as read_rows
    from dsr.results.report import row_of as row_of
    from dsr.results.report import write_report as write_report
    from dsr.results.saved import load_result as load_result
    from dsr.results.saved import save_result as save_result

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "clip": (
            "SequenceResult",
            "TrackResult",
        ),
        "floor": ("Floor",),
        "picture": (
            "FitResult",
            "PersonResult",
        ),
        "report": (
            "Row",
            "read_rows",
            "row_of",
            "write_report",
        ),
        "saved": (
            "load_result",
            "save_result",
        ),
    },
)
