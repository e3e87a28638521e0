"""Photo data sets: published layouts, the views networks train on, and mixtures.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.datasets.dsr_view import DsrView as DsrView
    from dsr.datasets.mix import MixedSource as MixedSource
    from dsr.datasets.mix import collate as collate
    from dsr.datasets.perspose_files import PersPoseSource as PersPoseSource
    from dsr.datasets.perspose_view import PersPoseView as PersPoseView
    from dsr.datasets.spin import SpinSource as SpinSource

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "dsr_view": ("DsrView",),
        "mix": ("MixedSource", "collate"),
        "perspose_files": ("PersPoseSource",),
        "perspose_view": ("PersPoseView",),
        "spin": ("SpinSource",),
    },
)
