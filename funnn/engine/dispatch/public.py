"""A function of torch as programs call it: whoever overrides it is asked first, few numbers are left to NumPy, then the operation runs."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

from funnn._frames import is_within
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.halves import answer_in_halves
from funnn.engine.dispatch.inplace import check_out
from funnn.engine.dispatch.jax_errors import speak_torch
from funnn.engine.dispatch.op import Op
from funnn.engine.dispatch.overloads import overloads
from funnn.engine.dispatch.refused_types import checking_types
from funnn.engine.dispatch.torch_reading import call_as_torch_does, check_call
from funnn.engine.dispatch.tracebacks import shorten, speaks
from funnn.engine.memory.strides import like_operands
from funnn.engine.state import thread
from funnn.engine.tensor.overrides import ask, candidates_in, watch
from funnn.engine.tensor.sparse import NoDenseMemory, handle
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import NoArrays

_codes: set[CodeType] = set()  # of the functions made here


def stand_in(function: Callable, args: tuple, kwargs: dict) -> Any:
    """The answer of a class that is no Tensor, for a call that has failed; NotImplemented where there is none.

    From the first such class on, functions ask before they run. What failed inside of another function is that one's to ask.
    """
    if not thread.ask_classes or not candidates_in((args, kwargs.values())):
        return NotImplemented
    frame = sys._getframe(3).f_back  # what called the function that asks, by way of _answer_to
    while frame is not None and is_within(frame, "funnn"):
        if frame.f_code in _codes:
            return NotImplemented
        frame = frame.f_back
    watch()
    return ask(function, args, kwargs)


def ask_others(function: Callable, args: tuple, kwargs: dict) -> Any:
    """The answer of a class that is no Tensor to a public pure function that was given no Tensor; NotImplemented where there is none.

    Raises:
      TypeError, AttributeError: no argument is an array; what torch raises.
    """
    if not candidates_in((args, kwargs.values())):
        if not any(hasattr(value, "dtype") for value in (*args, *kwargs.values())):
            check_call((f"nn.{function.__name__}",), args, kwargs)
        return NotImplemented
    watch()
    return ask(function, args, kwargs)


def _answer_to(error: Exception, public: Callable, run: Callable, names: tuple[str, ...] | None, args: tuple, kwargs: dict) -> Any:
    """What sparse tensors, another class, or torch's reading of the arguments make of a call that failed; NotImplemented where it is an error."""
    if isinstance(error, NoDenseMemory):
        try:
            return handle(public, args, kwargs, error)
        except Exception as wrong:
            speak_torch(wrong)
            shorten(wrong)
            raise wrong from None
    if isinstance(error, NoArrays):
        try:
            return answer_in_halves(run, args, kwargs, error)
        except Exception as wrong:
            shorten(wrong)
            raise wrong from None
    answer = stand_in(public, args, kwargs) if isinstance(error, (TypeError, AttributeError)) else NotImplemented
    if answer is not NotImplemented or isinstance(error, NotImplementedError):
        return answer
    kwargs = {name: value for name, value in kwargs.items() if name != vars(run).get("key_name")}  # which torch does not have
    try:
        result = call_as_torch_does(run, names or (), args, kwargs, unbound=isinstance(error, (TypeError, AttributeError)))
        stranger = error.obj if isinstance(error, AttributeError) and not isinstance(error.obj, Tensor) else None
        if result is NotImplemented and stranger is not None and any(stranger is value for value in (*args, *kwargs.values())):
            raise TypeError(f"{run.__name__}(): an argument must be Tensor, not {type(stranger).__name__}")
        return result
    except Exception as refusal:
        shorten(refusal)
        raise refusal from None


class _Taken:
    """The types of arguments with which a function may be called, as far as it was.

    Attributes:
      plain: types that need no look where they stand by position, or in a sequence there.
    """

    def __init__(self, names: tuple[str, ...]):
        self.names, self.plain = names, frozenset[type]()
        self._types, self._detailed = set[Any](), set[Any]()  # where they say it all; with those of what sequences hold

    def look(self, args: tuple, kwargs: dict) -> None:
        """Raise torch's TypeError where its parser refuses arguments of these types."""
        types: Any = tuple(map(type, args))
        if kwargs:
            types = types, *kwargs, *map(type, kwargs.values())
        if types in self._types:
            return
        values = (*args, *kwargs.values())
        held = tuple([frozenset(map(type, value)) for value in values if isinstance(value, (list, tuple))])
        if (types, held) in self._detailed:
            return
        if not self._detailed:
            items = [item for name in self.names for overload in overloads(name) for item in overload.positional]
            numbers = all(item.kind in ("Tensor", "object") or item.loose or item.takes(1) for item in items)
            self.plain = frozenset((Tensor, int) if numbers else (Tensor,))
        check_call(self.names, args, kwargs)
        self._detailed.add((types, held))
        if not held:
            self._types.add(types)


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
    names: tuple[str, ...] | None = None,
    op: Op | None = None,
    op_args: int | None = None,
    small: Callable[[tuple, dict], Tensor | None] | None = None,
    elementwise: bool = False,
    arrange: Callable[[Any, tuple, dict], Any] | None = None,
    arrange_always: bool = False,
) -> Callable:
    """``run`` as a function of torch.

    Args:
      public: the function that programs know, where it is not the one made here.
      names: under which its overloads stand in ``overloads.txt``; by default the function's own.
      op: the operation that ``run`` is for a call without keyword arguments (and with at most ``op_args`` positional ones).
      small: what tries to compute the result with NumPy first (see ``small_arrays``).
      elementwise: whether the result lies in memory as the operands do.
      arrange: else what lets the result lie as torch's does where an operand does not lie row after row (see ``memory.strides``);
        ``arrange_always``: whatever the operands do.
    """

    names = ((public or run).__name__,) if names is None else names
    if op is None:
        run = checking_types(run, names)
    arrange = like_operands if elementwise and arrange is None else arrange
    taken = _Taken(names)  # where it is an operation, that looks at its arguments when its form is made

    @functools.wraps(run)
    def function(*args: Any, **kwargs: Any) -> Any:
        if thread.ask is not None:
            result = thread.ask(public or function, args, kwargs)
            if result is not NotImplemented:
                return result
        result = None
        try:
            if small is not None:
                first = args[0] if args else None  # a tensor whose gradient is wanted is not for NumPy
                recorded = type(first) is Tensor and (first._grad_fn is not None or first._leaf_requires_grad) and thread.grad
                if not recorded and thread.autocast is None and thread.tracing is None and thread.region is None:
                    result = small(args, kwargs)
            if result is None:
                if op is not None and not kwargs and (op_args is None or len(args) <= op_args):
                    result = call(op, args, kwargs)
                else:
                    if op is None:
                        if kwargs:
                            taken.look(args, kwargs)
                        else:
                            plain = taken.plain
                            for value in args:
                                kind = type(value)
                                if kind not in plain and not ((kind is list or kind is tuple) and plain.issuperset(map(type, value))):
                                    taken.look(args, kwargs)
                                    break
                    if "out" in kwargs:
                        check_out(function.__name__, kwargs["out"], args)
                    result = run(*args, **kwargs)
            if arrange_always and arrange is not None:
                return arrange(result, args, kwargs)
            if arrange is not None:
                for value in (*args, *kwargs.values()) if kwargs else args:
                    if getattr(value, "_window", None) is not None:
                        return arrange(result, args, kwargs)
        except Exception as error:
            result = _answer_to(error, public or function, function, names, args, kwargs)
            if result is NotImplemented:
                speak_torch(error)
                shorten(error)
                raise
        return result

    if op is not None:
        op.names = tuple(dict.fromkeys((*op.names, *names)))
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
