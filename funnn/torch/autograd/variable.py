"""The old name of Tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.warning import say


class _VariableMeta(type):
    def __instancecheck__(cls, other: Any) -> bool:
        return isinstance(other, Tensor)


class _Engine:
    """What walks the tape, as far as programs speak to it."""

    @staticmethod
    def queue_callback(callback: Callable[[], Any]) -> None:
        """Call ``callback()`` at the end of the backward pass in progress.

        Raises:
          RuntimeError: there is none.
        """
        if thread.walk is None:
            raise RuntimeError("Final callbacks can only be installed during backward pass.")
        thread.after_walk.append(callback)


class Variable(metaclass=_VariableMeta):
    """``Variable(data)`` is the tensor itself: since torch 0.4 every tensor is a Variable."""

    _execution_engine = _Engine()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = False, volatile: bool | None = None) -> Tensor:
        if volatile:
            say("volatile was removed and now has no effect. Use `with torch.no_grad():` instead.")
        data = Tensor() if data is None else data
        return data._set_requires_grad() if requires_grad else data
