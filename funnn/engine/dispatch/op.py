"""A pure function with what the tape needs to know of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


class Op:
    """A pure function with what the tape needs to know of it.

    Args:
      pure: takes arrays and static arguments, returns an array or a tuple of arrays.
      grad: torch's name of its grad_fn ("AddBackward0"), or one for each result: ``...`` where it is the node of the result before, None where
        there is no gradient; or a function of the call's arguments that gives it.
      scalars: names of numeric arguments to trace instead of compiling them in.
      saves: of a function that is not torch's, operands that count as saved for backward beside those that the vjp keeps.
      order: the order of torch's node's inputs, where it is another.
      autocast: what operands are cast to under torch.autocast (see ``autocast``): a policy for all devices, or one for each kind of device; a policy
        may be a function of the call's arguments.
    """

    __slots__ = ("autocast", "grad", "name", "named_by_call", "names", "order", "pure", "saves", "scalar_names", "scalar_positions")

    def __init__(
        self,
        pure: Callable,
        grad: str | tuple[Any, ...] | Callable | None = None,
        *,
        scalars: tuple[str, ...] = (),
        saves: tuple[int, ...] | None = None,
        order: tuple[int, ...] = (),
        autocast: Any = None,
    ):
        self.autocast: dict[str, Any] = (
            autocast if isinstance(autocast, dict) else {} if autocast is None else {"cpu": autocast, "cuda": autocast}
        )
        self.name = getattr(pure, "__name__", "function")
        self.pure, self.saves, self.order = pure, saves, order
        self.names: tuple[str, ...] = ()  # of the functions that it is, whose overloads say what arguments there are
        self.grad: Any = grad or "".join(part.capitalize() for part in self.name.split("_")) + "Backward0"
        self.named_by_call = callable(grad)
        self.scalar_names = frozenset(scalars)
        parameters = list(inspect.signature(pure).parameters) if scalars else []
        self.scalar_positions = frozenset(parameters.index(name) for name in scalars)
