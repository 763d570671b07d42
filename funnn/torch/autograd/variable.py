"""The old name of Tensor."""

from __future__ import annotations

from typing import Any

from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.warning import say


class _VariableMeta(type):
    def __instancecheck__(cls, other: Any) -> bool:
        return isinstance(other, Tensor)


class Variable(metaclass=_VariableMeta):
    """``Variable(data)`` is the tensor itself: since torch 0.4 every tensor is a Variable."""

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = False, volatile: bool | None = None) -> Tensor:
        if volatile:
            say("volatile was removed and now has no effect. Use `with torch.no_grad():` instead.")
        data = Tensor() if data is None else data
        return data.requires_grad_() if requires_grad else data
