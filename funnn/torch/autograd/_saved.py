"""A tensor that a custom function saved for its backward."""

from __future__ import annotations

from typing import Any

from funnn.engine.state import thread
from funnn.engine.tape.node import INFERENCE_SAVED, Gate, Node
from funnn.engine.tensor.tensor import Tensor


class Saved:
    """The tensor, or what the hooks made of it; an output is kept without its history, which is the node that keeps it."""

    __slots__ = ("edge", "output", "packed", "tensor", "unpack", "version")

    def __init__(self, tensor: Tensor, output: int | None):
        if tensor._memory().inference and not thread.inference:
            raise RuntimeError(INFERENCE_SAVED)
        self.output, self.version = output, tensor._memory().version
        self.tensor: Any = tensor if output is None else tensor._bare()
        self.unpack = None
        if thread.saved_hooks:
            pack, self.unpack = thread.saved_hooks[-1]
            self.edge = tensor._edge() if output is None and tensor.requires_grad else None
            self.packed, self.tensor = pack(self.tensor), None

    def value(self, node: Node) -> Tensor:
        """The tensor as it was, with its history."""
        if self.unpack is not None:
            tensor = self.unpack(self.packed)._bare()
            if self.edge is not None:
                tensor._grad_fn, tensor._output = Gate((self.edge,)), 0
        else:
            tensor = self.tensor
            if tensor._memory().version != self.version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: a tensor saved by "
                    f"{node.name()}, of shape {list(tensor._shape())}, is at version {tensor._memory().version}; expected version {self.version} "
                    "instead"
                )
        if self.output is not None:
            tensor = tensor._bare()
            if node.results[self.output] is not None:
                tensor._grad_fn, tensor._output = node, self.output
        return tensor
