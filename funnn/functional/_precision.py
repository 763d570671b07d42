"""Derivatives of one's own that are computed in the precision of matrix products in which their function was called.

``jax.default_matmul_precision`` holds while a function is traced. JAX traces rules of ``custom_jvp``, transposes and lowerings later, outside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import jax

R = TypeVar("R")


def current_precision() -> Any:
    """What ``jax.default_matmul_precision`` says here; None is the backend's default."""
    return jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]


class precise_jvp(Generic[R]):
    """``jax.custom_jvp`` whose rule runs in the precision in which the function was called.

    Args:
      function: of positional arguments only; nondiff_argnums: as of ``jax.custom_jvp``.
    """

    def __init__(self, function: Callable[..., R], nondiff_argnums: tuple[int, ...] = ()):
        count = function.__code__.co_argcount
        self.__wrapped__, self.__doc__, self.__name__ = function, function.__doc__, function.__name__

        def primal(*given: Any) -> Any:
            *args, precision = given
            with jax.default_matmul_precision(precision):
                return function(*args)

        primal.__name__ = function.__name__
        self._derived: Any = jax.custom_jvp(primal, nondiff_argnums=(*nondiff_argnums, count))

    def defjvp(self, rule: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """The rule, as of ``jax.custom_jvp.defjvp``."""

        def derive(*args: Any) -> Any:
            *fixed, precision, primals, tangents = args
            with jax.default_matmul_precision(precision):
                return rule(*fixed, primals, tangents)

        self._derived.defjvp(derive, symbolic_zeros=symbolic_zeros)
        return rule

    def __call__(self, *args: Any) -> R:
        result: R = self._derived(*args, current_precision())
        return result
