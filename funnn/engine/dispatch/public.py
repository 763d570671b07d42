"""A function of torch as programs call it: whoever overrides it is asked first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from funnn.engine.memory.strides import is_elementwise, like_operands
from funnn.engine.state import thread
from funnn.engine.tensor.overrides import ask, candidates_in


def stand_in(function: Callable, args: tuple, kwargs: dict) -> Any:
    """The answer of a class that is no Tensor, for a call that has failed; NotImplemented where there is none."""
    if thread.ask is None and thread.ask_classes and candidates_in((args, kwargs.values())):
        return ask(function, args, kwargs)
    return NotImplemented


def overridable(run: Callable, attempt: Callable | None = None, public: Callable | None = None, name: str | None = None) -> Callable:
    """A function of torch as programs call it: asks whoever overrides it, lets ``attempt`` try (see ``small_arrays``), and runs.

    ``public`` is the function that programs know, where it is not the one made here; ``name`` is torch's, where the function has another.
    """

    elementwise = is_elementwise(name or (public or run).__name__)

    @functools.wraps(run)
    def function(*args: Any, **kwargs: Any) -> Any:
        if thread.ask is not None:
            result = thread.ask(public or function, args, kwargs)
            if result is not NotImplemented:
                return result
        result = None
        if attempt is not None and thread.autocast is None and thread.tracing is None:
            result = attempt(args, kwargs)
        if result is None:
            try:
                result = run(*args, **kwargs)
            except (TypeError, AttributeError):
                result = stand_in(public or function, args, kwargs)
                if result is NotImplemented:
                    raise
        if elementwise:
            for value in (*args, *kwargs.values()) if kwargs else args:
                if getattr(value, "_window", None) is not None:
                    return like_operands(result, args, kwargs)
        return result

    function.asks = True
    return function
