"""People made on the fly: bodies, clothes, poses, scenes, and the records of what is known about them.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.synthetic.people import SyntheticSource as SyntheticSource
    from dsr.synthetic.records import PersonRecord as PersonRecord
    from dsr.synthetic.records import RecordSource as RecordSource

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "people": ("SyntheticSource",),
        "records": ("PersonRecord", "RecordSource"),
    },
)
