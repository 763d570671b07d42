"""Parameters: tensors that a Module finds by itself."""

from __future__ import annotations

from typing import Any

from funnn.torch._factories import empty
from funnn.torch._tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that requires gradients and, assigned to a Module's attribute, joins its parameters.

    It shares memory with ``data``, as torch's does.
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        data = empty(0) if data is None else data
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter data must be a Tensor, got {type(data).__name__}; make one with torch.tensor(data)")
        parameter = object.__new__(cls)
        parameter._set_storage(data)
        parameter.requires_grad_(requires_grad)
        return parameter

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True):
        pass

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that, assigned to a Module's attribute, joins its buffers."""

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        buffer = object.__new__(cls)
        buffer._set_storage(empty(0) if data is None else data)
        buffer.persistent = persistent
        return buffer

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True):
        pass
