"""The bridge between the pure kernels and every other kind of array: one decorator, one protocol method.

A kernel is a plain function of ``jax.Array``. Decorated with :func:`public`, it also takes any object whose type has a method
``__funnn_function__(function, args, kwargs)``, and leaves the call to that method — the pattern of NumPy's ``__array_function__``.
funnn.torch's Tensor is such a type: it unwraps its arrays, runs ``function.pure`` and records the derivative on its tape.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

PROTOCOL = "__funnn_function__"

_others: Callable[..., Any] | None = None  # see ``ask_others``


def ask_others(answer: Callable[..., Any]) -> None:
    """From now on, calls without an argument of the protocol go to ``answer(function, args, kwargs)`` first, which may return NotImplemented."""
    global _others
    _others = answer


P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Public(Protocol):
    """The attributes of a function that :func:`public` made. Where a factory makes several, a subclass adds ``__call__`` with their signature."""

    @property
    def pure(self) -> Callable[..., Any]: ...

    @property
    def scalars(self) -> tuple[str, ...]: ...

    @property
    def key_name(self) -> str | None: ...

    @property
    def __name__(self) -> str: ...


class PublicFunction(Public, Protocol[P, R_co]):
    """The type of what :func:`public` returns: the same signature, and the attributes."""

    @property
    def pure(self) -> Callable[P, R_co]: ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


@overload
def public(function: Callable[P, R]) -> PublicFunction[P, R]: ...


@overload
def public(*, scalars: tuple[str, ...] = (), only_here: tuple[str, ...] = ()) -> Callable[[Callable[P, R]], PublicFunction[P, R]]: ...


def public(function: Callable[..., Any] | None = None, *, scalars: tuple[str, ...] = (), only_here: tuple[str, ...] = ()) -> Any:
    """Make a pure function of arrays callable with any type that implements the protocol.

    Args:
      function: a pure function; its arguments that hold arrays may be positional or by keyword.
      scalars: names of arguments that are plain numbers and may change from call to call. A caller that compiles the function passes them
        as traced values; all other arguments that are not arrays (axes, strides, modes, flags) are compile-time constants.
      only_here: names of arguments, by keyword only, that torch's function does not have, besides the one for a key.

    Returns:
      The function with attributes: ``pure``, the undecorated function, ``scalars``, ``only_here``, and ``key_name``, the name of the argument that
      takes a random key, or None.

    Example:
      >>> import jax.numpy as jnp
      >>> @public
      ... def double(input):
      ...     return 2 * input
      >>> double(jnp.ones(2)).tolist()
      [2.0, 2.0]
    """
    if function is None:
        return functools.partial(public, scalars=scalars, only_here=only_here)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # in notebooks and pytest: the function itself is the next frame
        for argument in args:
            answer = getattr(type(argument), PROTOCOL, None)
            if answer is not None:
                return answer(call, args, kwargs)
        for argument in kwargs.values():
            answer = getattr(type(argument), PROTOCOL, None)
            if answer is not None:
                return answer(call, args, kwargs)
        if _others is not None:
            found = _others(call, args, kwargs)
            if found is not NotImplemented:
                return found
        return function(*args, **kwargs)

    wrapper: Any = call
    wrapper.__code__ = wrapper.__code__.replace(co_name=function.__name__)  # for tracebacks and profiles
    vars(call).update(pure=function, scalars=scalars, only_here=only_here, key_name=_key_name(function))
    return call


def composed(function: Callable[P, R]) -> PublicFunction[P, R]:
    """Mark a function that only calls public functions, operators and methods that all kinds of array have: it needs no dispatch of its own."""
    vars(function).update(pure=function, scalars=(), key_name=_key_name(function))
    return cast("PublicFunction[P, R]", function)


def _key_name(function: Callable[..., Any]) -> str | None:
    """The argument that takes a random key: ``key``, or ``dropout_key`` where a key is also what attention compares queries with."""
    parameters = inspect.signature(function).parameters.values()
    return next((p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name in ("key", "dropout_key")), None)
