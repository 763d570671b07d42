"""What a step asks of its gradients: their norm, whether they are finite, and which of them are used at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax


def norm(grads: Sequence[jax.Array]) -> jax.Array:
    """√(Σ |g|²) over all entries of all arrays, summed in float32 at least."""
    wide = [grad.astype(jnp.promote_types(grad.dtype, jnp.float32)) for grad in grads]
    return jnp.sqrt(sum((jnp.sum(jnp.square(jnp.abs(grad))) for grad in wide), start=jnp.float32(0)))


def all_finite(grads: Sequence[jax.Array]) -> jax.Array:
    """Whether no entry is infinite or NaN."""
    return jnp.stack([jnp.isfinite(grad).all() for grad in grads]).all() if grads else jnp.bool_(True)


def used_gradients(update: Callable[[Any], Any], grads: Any, opt_state: Any) -> list[jax.Array]:
    """The gradients that the optimizer uses.

    Those of frozen parameters it does not, and asking for their norm would make XLA compute them. An optimizer freezes by ``optax.masked``, in
    whose place optax.partition, optax.freeze and ``funnn.optim.freeze`` stand too: without one in its state all are used.
    """
    leaves: list[jax.Array] = jax.tree.leaves(grads)
    masked = [
        isinstance(part, optax.MaskedState) for part in jax.tree.leaves(opt_state, is_leaf=lambda part: isinstance(part, optax.MaskedState))
    ]
    if not any(masked):
        return leaves
    program = jax.make_jaxpr(update)(grads).jaxpr
    live = {id(result) for result in program.outvars}
    for equation in reversed(program.eqns):
        if any(id(result) in live for result in equation.outvars):
            live |= {id(operand) for operand in equation.invars}
    return [leaf for leaf, operand in zip(leaves, program.invars, strict=True) if id(operand) in live]
