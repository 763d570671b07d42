"""A function of torch as programs call it: whoever overrides it is asked first, few numbers are left to NumPy, then the operation runs."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

from funnn.engine.dispatch.call import Op, call
from funnn.engine.dispatch.tracebacks import shorten, speaks
from funnn.engine.memory.strides import like_operands
from funnn.engine.state import thread
from funnn.engine.tensor.overrides import ask, candidates_in, watch
from funnn.engine.tensor.tensor import Tensor

_codes: set[CodeType] = set()  # of the functions made here


def stand_in(function: Callable, args: tuple, kwargs: dict) -> Any:
    """The answer of a class that is no Tensor, for a call that has failed; NotImplemented where there is none.

    From the first such class on, functions ask before they run. What failed inside of another function is that one's to ask.
    """
    if not thread.ask_classes or not candidates_in((args, kwargs.values())):
        return NotImplemented
    frame = sys._getframe(2).f_back
    while frame is not None and frame.f_globals.get("__name__", "").startswith("funnn."):
        if frame.f_code in _codes:
            return NotImplemented
        frame = frame.f_back
    watch()
    return ask(function, args, kwargs)


def ask_others(function: Callable, args: tuple, kwargs: dict) -> Any:
    """The answer of a class that is no Tensor to a public pure function that was given no Tensor; NotImplemented where there is none."""
    if not candidates_in((args, kwargs.values())):
        return NotImplemented
    watch()
    return ask(function, args, kwargs)


def rename(function: Callable, name: str) -> None:
    """Give a function made here torch's name of it, which tracebacks and profiles then show too."""
    function.__name__ = function.__qualname__ = name
    function.__code__ = function.__code__.replace(co_name=name)
    _codes.add(function.__code__)
    speaks(function.__code__)


def overridable(
    run: Callable,
    *,
    public: Callable | None = None,
    op: Op | None = None,
    op_args: int | None = None,
    small: Callable[[tuple, dict], Tensor | None] | None = None,
    elementwise: bool = False,
) -> Callable:
    """``run`` as a function of torch.

    Args:
      public: the function that programs know, where it is not the one made here.
      op: the operation that ``run`` is for a call without keyword arguments (and with at most ``op_args`` positional ones).
      small: what tries to compute the result with NumPy first (see ``small_arrays``).
      elementwise: whether the result lies in memory as the operands do.
    """

    @functools.wraps(run)
    def function(*args: Any, **kwargs: Any) -> Any:
        if thread.ask is not None:
            result = thread.ask(public or function, args, kwargs)
            if result is not NotImplemented:
                return result
        result = None
        if small is not None:
            first = args[0] if args else None  # a tensor whose gradient is wanted is not for NumPy
            recorded = type(first) is Tensor and (first._grad_fn is not None or first._leaf_requires_grad) and thread.grad
            if not recorded and thread.autocast is None and thread.tracing is None and thread.region is None:
                result = small(args, kwargs)
        if result is None:
            try:
                if op is not None and not kwargs and (op_args is None or len(args) <= op_args):
                    result = call(op, args, kwargs)
                else:
                    result = run(*args, **kwargs)
            except Exception as error:
                answer = stand_in(public or function, args, kwargs)
                if answer is NotImplemented:
                    shorten(error)
                    raise
                return answer
        if elementwise:
            for value in (*args, *kwargs.values()) if kwargs else args:
                if getattr(value, "_window", None) is not None:
                    return like_operands(result, args, kwargs)
        return result

    rename(function, (public or run).__name__)
    vars(function).update(asks=True, elementwise=elementwise, small=small)
    return function


def bridge(make_runner: Callable[[Callable], Callable]) -> Callable[[Callable, tuple, dict], Any]:
    """What a public pure function does when it meets a Tensor (``__funnn_function__``); ``make_runner(function)`` gives what runs it, once."""
    runners: dict[Callable, Callable] = {}

    def dispatch(function: Callable, args: tuple, kwargs: dict) -> Any:
        __tracebackhide__ = True  # in notebooks
        run = runners.get(function)
        if run is None:
            run = runners[function] = make_runner(function)
        return run(*args, **kwargs)

    return dispatch
