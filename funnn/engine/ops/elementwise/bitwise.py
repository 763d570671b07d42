"""Logic, bits and whole numbers, element by element."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from funnn.engine.ops.kit.elementwise import named, require
from funnn.engine.ops.kit.table import row
from funnn.engine.types.dtype import check_broadcast, promoted

_BOTH = ("input", "other")


def _logical(function):
    def pure(input, other):
        check_broadcast(input, other)
        return function(input, other)

    row(function.__name__, named(pure, function.__name__), inplace=True)


for _function in (jnp.logical_and, jnp.logical_or, jnp.logical_xor):
    _logical(_function)


def logical_not(input):
    """Whether each number is 0."""
    return jnp.logical_not(input)


row("logical_not", logical_not, inplace=True)


def _on_integers(name, function, kinds="bi", **where):
    """An operation of two on integers (and, by ``kinds``, booleans)."""

    def pure(input, other):
        a, b = promoted(input, other)
        require(f"{name}_cpu", a, kinds)
        return function(*jnp.broadcast_arrays(a, b))

    pure.__doc__ = function.__doc__
    row(name, named(pure, name), scalars=_BOTH, inplace=True, **where)


_on_integers("bitwise_and", jnp.bitwise_and)
_on_integers("bitwise_or", jnp.bitwise_or)
_on_integers("bitwise_xor", jnp.bitwise_xor)
_on_integers("bitwise_left_shift", lax.shift_left, "i")
_on_integers("bitwise_right_shift", jnp.right_shift, "i")
_on_integers("gcd", jnp.gcd, "i")
_on_integers("lcm", jnp.lcm, "i")


def bitwise_not(input):
    """Every bit turned; of booleans, the opposite."""
    require("bitwise_not_cpu", input, "bi")
    return jnp.bitwise_not(input)


row("bitwise_not", bitwise_not, inplace=True)
