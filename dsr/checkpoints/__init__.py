"""Files of network weights: read without running anything from them, official layouts included, and written.

Nothing is imported until a name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.checkpoints.header import read_header as read_header
    from dsr.checkpoints.load import CheckpointReport as CheckpointReport
    from dsr.checkpoints.load import load_checkpoint as load_checkpoint
    from dsr.checkpoints.load import read_state_dict as read_state_dict
    from dsr.checkpoints.shipped import shipped_file as shipped_file
    from dsr.checkpoints.write import write_weights as write_weights

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "header": ("read_header",),
        "load": ("CheckpointReport", "load_checkpoint", "read_state_dict"),
        "shipped": ("shipped_file",),
        "write": ("write_weights",),
    },
)
