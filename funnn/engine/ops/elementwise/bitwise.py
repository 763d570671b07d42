"""Logic, bits and whole numbers, element by element."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from funnn.engine.ops.kit.elementwise import named, require
from funnn.engine.ops.kit.table import row
from funnn.engine.types.dtype import check_broadcast, promoted

_BOTH = ("input", "other")


def _logical(function, doc):
    def pure(input, other: Array):
        check_broadcast(input, other)
        return function(input, other)

    row(function.__name__, named(pure, function.__name__, doc), inplace=True, elementwise=True)


_logical(jnp.logical_and, "Whether both numbers are other than 0.")
_logical(jnp.logical_or, "Whether at least one of both numbers is other than 0.")
_logical(jnp.logical_xor, "Whether exactly one of both numbers is other than 0.")


def logical_not(input):
    """Whether each number is 0."""
    return jnp.logical_not(input)


row("logical_not", logical_not, inplace=True, elementwise=True)


def _on_integers(name, function, doc, kinds="bi", numbers=True):
    """An operation of two on integers (and, by ``kinds``, booleans), of which one may be a number if ``numbers``."""

    def pure(input, other):
        a, b = promoted(input, other)
        require(f"{name}_cpu", a, kinds)
        return function(*jnp.broadcast_arrays(a, b))

    pure.__annotations__ = dict.fromkeys(("input", "other"), "Operand" if numbers else "Array")
    row(name, named(pure, name, doc), scalars=_BOTH, inplace=True, elementwise=True)


_on_integers("bitwise_and", jnp.bitwise_and, "The bits that are set in both integers; of booleans, whether both hold.")
_on_integers("bitwise_or", jnp.bitwise_or, "The bits that are set in either integer; of booleans, whether one holds.")
_on_integers("bitwise_xor", jnp.bitwise_xor, "The bits in which the integers differ; of booleans, whether exactly one holds.")
_on_integers("bitwise_left_shift", lax.shift_left, "The bits of input moved up by ``other`` places: input · 2^other.", "i")
_on_integers("bitwise_right_shift", jnp.right_shift, "The bits of input moved down by ``other`` places: ⌊input / 2^other⌋.", "i")
_on_integers("gcd", jnp.gcd, "The greatest common divisor, ≥ 0; of two zeros, 0.", "i", numbers=False)
_on_integers("lcm", jnp.lcm, "The least common multiple, ≥ 0; 0 where either is 0.", "i", numbers=False)


def bitwise_not(input):
    """Every bit turned; of booleans, the opposite."""
    require("bitwise_not_cpu", input, "bi")
    return jnp.bitwise_not(input)


row("bitwise_not", bitwise_not, inplace=True, exact_out=True, elementwise=True)
