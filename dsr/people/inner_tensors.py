"""TensorFlow Lite models that also say what they compute on the way: inner tensors as further outputs."""

from __future__ import annotations

import struct
from typing import Any

from dsr.errors import DetectionError

_OUTPUTS_FIELD = 8
"""Where a subgraph's table says at which place its outputs stand (the schema of TensorFlow Lite)."""


def with_outputs(content: bytes, names: tuple[str, ...]) -> bytes:
    """A model whose last outputs are inner tensors of these names; nothing else of it changes.

    A longer list of outputs is written behind the file's end, and the subgraph is pointed at it.

    Raises:
        DetectionError: if the model has no such tensor.
    """
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.Model
    graph = model.GetRootAs(content, 0).Subgraphs(0)
    tensors = {graph.Tensors(i).Name().decode(): i for i in range(graph.TensorsLength())}
    if missing := [name for name in names if name not in tensors]:
        raise DetectionError(f"the model has no tensor {missing[0]}: it is not the one that mediapipe 0.10.21 carries")
    outputs = [graph.Outputs(i) for i in range(graph.OutputsLength())] + [tensors[name] for name in names]
    changed = bytearray(content)
    changed += bytes(-len(changed) % 4)
    field, place = graph._tab.Pos + graph._tab.Offset(_OUTPUTS_FIELD), len(changed)
    changed += struct.pack(f"<I{len(outputs)}i", len(outputs), *outputs)
    struct.pack_into("<I", changed, field, place - field)
    return bytes(changed)
