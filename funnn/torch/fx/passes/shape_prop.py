"""torch.fx.passes.shape_prop: the sizes and types of a graph's values, for given inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import Size, dtype
from funnn.engine.types.layout import channels_last, channels_last_3d, contiguous_format, memory_format
from funnn.torch.fx.interpreter import Interpreter
from funnn.torch.fx.node import Node, map_aggregate

__all__ = ["ShapeProp", "TensorMetadata"]


class TensorMetadata(NamedTuple):
    """What is known of a value that is a tensor."""

    shape: Size
    dtype: dtype
    requires_grad: bool
    stride: tuple[int, ...]
    memory_format: memory_format | None
    is_quantized: bool
    qparams: dict[str, Any]


def _extract_tensor_metadata(result: Tensor, include_contiguity: bool = True) -> TensorMetadata:
    """What is known of a tensor."""
    order = None
    if include_contiguity:
        formats = (contiguous_format, channels_last, channels_last_3d)
        order = next((found for found in formats if _lies_so(result, found)), None)
    return TensorMetadata(result.shape, result.dtype, result.requires_grad, tuple(result.stride()), order, False, {})


def _lies_so(tensor: Tensor, order: memory_format) -> bool:
    dimensions = {channels_last: 4, channels_last_3d: 5}.get(order)
    return dimensions in (None, tensor.dim()) and tensor.is_contiguous(memory_format=order)


class ShapeProp(Interpreter):
    """Runs a graph, and writes into each node's ``meta`` what its value is: ``"tensor_meta"``, a :class:`TensorMetadata` (or several, in the
    value's containers), and ``"type"``, its class.

    Args:
      gm: the module with the graph.
    """

    def run_node(self, n: Node) -> Any:
        """The value of a node, of which a note is made."""
        result = super().run_node(n)
        found = False

        def describe(value: Any) -> Any:
            nonlocal found
            if not isinstance(value, Tensor):
                return value
            found = True
            return _extract_tensor_metadata(value)

        described = map_aggregate(result, describe)
        if found:
            n.meta["tensor_meta"] = described
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args: Any) -> Any:
        """Run the graph; what it gives."""
        return self.run(*args)
