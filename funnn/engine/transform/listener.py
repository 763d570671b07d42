"""What hears of every storage that is made or read while a function is transformed, and says what operations compute there."""

from __future__ import annotations

from typing import Any

from jax import lax

from funnn.engine.memory.storage import Storage
from funnn.engine.program.form import Form
from funnn.engine.program.graph import compute_at_once, record
from funnn.engine.program.value import Value
from funnn.engine.tape.node import Node
from funnn.engine.tensor.tensor import Tensor


def cut(operands: list, tracked: tuple[int, ...]) -> list:
    """The operands of an operation, such that JAX's gradient of the whole ends where the tape's does: at detach and no_grad."""
    return [operand if i in tracked or not isinstance(operand, Value) else _stopped(operand) for i, operand in enumerate(operands)]


def _stopped(value: Any) -> Value:
    if type(value) is not Value:
        return value.around(_stopped(value.below))
    return Value(lax.stop_gradient(value.array)) if value.traced else value


class Listener:
    """What ``thread.tracing`` is told, and asked, while a function of Tensors is transformed; this one ignores all of it.

    Attributes:
      pushing: whether values carry tangents (forward mode).
      vmaps: those of torch.func's vmap that are in progress, outermost first.
    """

    pushing = False
    vmaps: tuple = ()

    def apply(self, form: Form, operands: list[Any]) -> tuple[list[Any], Any]:
        """The results of a form, and its note."""
        return compute_at_once(form, operands)

    def created(self, storage: Storage) -> None:
        """A storage was made."""

    def read(self, storage: Storage, tensor: Tensor | None = None) -> None:
        """A storage is about to be read or written."""

    def recorded(self, node: Node) -> None:
        """A node was recorded."""

    def cut(self, operands: list, tracked: tuple[int, ...]) -> list:
        """What an operation gets of its operands, of which the tape follows ``tracked``."""
        return operands

    def own_backward(self, what: str) -> None:
        """Something whose gradient is Python's was recorded."""

    def without_tangents(self, value: Value) -> Value:
        """The value without those that it carries."""
        return _stopped(value)

    def text(self, tensor: Tensor) -> str:
        """What a tensor prints as."""
        return tensor._text("tensor(")


class Recording(Listener):
    """Outside of all transformations: what operations compute is recorded."""

    def apply(self, form: Form, operands: list[Any]) -> tuple[list[Any], Any]:
        results, step = record([form], operands, form)
        return results, step.shaped.note
