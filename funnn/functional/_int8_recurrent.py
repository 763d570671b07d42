"""Recurrent sequences whose products are of integers of 8 bits: those of ``_int8.dynamic_linear``."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from funnn.functional._dispatch import public
from funnn.functional._int8 import dynamic_linear, dynamic_product

Weights = Sequence[jax.Array]  # of one layer in one direction: integers, scale and bias for the input, and the same for the state


@public
def dynamic_recurrent(
    input: jax.Array,
    hx: tuple[jax.Array, ...] | None,
    params: Sequence[jax.Array],
    kind: str,
    directions: int,
    batch_first: bool,
    *,
    lengths: jax.Array | None = None,
) -> tuple[jax.Array, ...]:
    """An LSTM or GRU whose weights and inputs are integers: the output and the last states, as of ``recurrent.lstm`` and ``gru``.

    A layer's input is rounded for all steps at once, with one scale; the state at each step, with one of its own. Steps that a sequence does not have
    count for neither.

    Args:
      input: (T, B, input_size) or (B, T, input_size), float32.
      hx: the first states, each (layers · directions, B, H), h and for an LSTM c; None for zeros.
      params: six arrays a layer and direction: W_ih's integers (gates · H, n), its scale, b_ih, and the same of W_hh.
      kind: 'lstm' or 'gru'.
      directions: 1 or 2.
      batch_first: whether the batch is the first axis of input and output.
      lengths: the sequences' lengths; default all T. The output behind them is 0.

    Source: torch.quantized_lstm and torch.quantized_gru, with the numbers of their engines x86, fbgemm and onednn.
    """
    x = jnp.swapaxes(input, 0, 1) if batch_first else input
    mask = None if lengths is None else (jnp.arange(x.shape[0])[:, None] < lengths)[..., None]
    count = len(params) // 6
    if hx is None:
        hx = (jnp.zeros((count, x.shape[1], params[3].shape[1]), x.dtype),) * (2 if kind == "lstm" else 1)
    lasts = []
    for layer in range(count // directions):
        outputs = []
        for number in range(layer * directions, (layer + 1) * directions):
            y, last = _layer(
                kind, number % directions == 1, x, tuple(state[number] for state in hx), params[6 * number : 6 * number + 6], mask
            )
            outputs.append(y)
            lasts.append(last)
        x = jnp.concatenate(outputs, -1)
    return (jnp.swapaxes(x, 0, 1) if batch_first else x), *(jnp.stack(states) for states in zip(*lasts, strict=True))


def _layer(
    kind: str, reverse: bool, x: jax.Array, states: tuple[jax.Array, ...], weights: Weights, mask: jax.Array | None
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    gates = dynamic_linear.pure(x, *weights[:3])

    def step(states: tuple[jax.Array, ...], at: tuple[jax.Array, jax.Array | None]) -> tuple[tuple[jax.Array, ...], jax.Array]:
        gates, keep = at
        seen = states[0] if keep is None else jnp.where(keep, states[0], 0)
        new = _new_states(kind, gates, dynamic_product(seen, *weights[3:]), states)
        if keep is None:
            return new, new[0]
        return tuple(jnp.where(keep, a, b) for a, b in zip(new, states, strict=True)), jnp.where(keep, new[0], 0)

    last, y = lax.scan(step, states, (gates, mask), reverse=reverse)
    return y, last


def _new_states(kind: str, of_input: jax.Array, of_state: jax.Array, states: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """The states after a step, of the gates' parts from input and state, biases and all."""
    if kind == "gru":
        (xr, xz, xn), (hr, hz, hn) = jnp.split(of_input, 3, -1), jnp.split(of_state, 3, -1)
        r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
        n = jnp.tanh(xn + hn * r)
        return ((states[0] - n) * z + n,)
    total = of_state + of_input
    if kind != "lstm":
        return (jnp.tanh(total) if kind == "tanh" else jnp.maximum(total, 0),)
    i, f, g, o = jnp.split(total, 4, -1)
    c = jax.nn.sigmoid(f) * states[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


@public
def dynamic_cell(input: jax.Array, states: tuple[jax.Array, ...], params: Sequence[jax.Array], kind: str) -> tuple[jax.Array, ...]:
    """One step: the new states of those, each (B, H), for an input (B, input_size); ``kind`` is 'lstm', 'gru', 'tanh' or 'relu'."""
    of_input, of_state = dynamic_linear.pure(input, *params[:3]), dynamic_linear.pure(states[0], *params[3:])
    return _new_states(kind, of_input, of_state, tuple(states))
