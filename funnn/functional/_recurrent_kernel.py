"""The kernels under the recurrent sequences: one layer in one direction, with its own derivative.

The input's product with its weight is taken before, for all steps at once; what is left is a scan over the small recurrent product:

    RNN    h = φ(x + W h′)
    GRU    r, z = σ(x + W h′)        n = tanh(x_n + r · (W_n h′ + b_n))        h = n + z · (h′ − n)
    LSTM   i, f, o = σ(x + W h′)     g = tanh(x_g + W_g h′)     c = f · c′ + i · g     h = o · tanh(c), or P (o · tanh(c))

with x the gates' input (T, B, gates · H), and h′, c′ the states of the step before. The tangents obey a linear recurrence

    u = e + W dh′        dh = Σ_k A_k · u_k + K · dh′ + p                                        (RNN, GRU)
    u = e + W dh′        dc = Σ_{i,f,g} A_k · u_k + f · dc′     dm = A_o · u_o + C · dc          (LSTM, where dh = dm or P dm + p)

whose coefficients come from the gates, for all steps at once. What the weights' tangents add at a step, ``dW h′``, is part of e, again one product
for all steps; so the scan is linear in e, p and the first states alone, its transpose is a scan backwards that gives the gates' cotangents, and
one product after it gives those of the weights.

Why by hand: reverse mode of the textbook scan multiplies and adds a whole weight's gradient at every step. An LSTM language model's training step
takes about a third less time with it.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from funnn._types import Arrays
from funnn.functional._linear_map import linear_map
from funnn.functional._precision import precise_jvp


def _times(x: jax.Array, weight: jax.Array) -> jax.Array:
    """``x Wᵀ`` for x of shape (*, n) and W of shape (m, n); one product of two matrices."""
    rows = x.reshape(-1, x.shape[-1])
    return lax.dot_general(rows, weight, (((1,), (1,)), ((), ()))).reshape(*x.shape[:-1], weight.shape[0])


def _before(first: jax.Array, sequence: jax.Array, reverse: bool) -> jax.Array:
    """The state that each step starts from."""
    return jnp.concatenate([sequence[1:], first[None]] if reverse else [first[None], sequence[:-1]])


def _where(mask: jax.Array | None, x: jax.Array, other: Any) -> jax.Array:
    return x if mask is None else jnp.where(mask, x, other)


def _live(tangent: Any) -> bool:
    return not isinstance(tangent, SymbolicZero)


def _solid(tangent: Any) -> jax.Array:
    return tangent if _live(tangent) else jnp.zeros(tangent.shape, tangent.dtype)


def _total(terms: list[Any], like: jax.Array) -> jax.Array:
    return functools.reduce(jnp.add, terms) if terms else jnp.zeros_like(like)


# -- RNN and GRU: the state is the output


def _run_simple(
    x: jax.Array, h0: jax.Array, weight: jax.Array, bias_n: jax.Array | None, mask: jax.Array | None, kind: str, reverse: bool
) -> tuple[jax.Array, ...]:
    """The last state and the states; for a GRU, also r, z, n and ``W_n h′ + b_n``, (T, B, 4·H)."""

    def rnn(h: jax.Array, at: Any) -> tuple[jax.Array, Arrays]:
        x, mask = at
        new = x + h @ weight.T
        new = _where(mask, jnp.tanh(new) if kind == "tanh" else jnp.where(new > 0, new, jnp.zeros((), new.dtype)), h)
        return new, (new,)

    def gru(h: jax.Array, at: Any) -> tuple[jax.Array, Arrays]:
        x, mask = at
        xr, xz, xn = jnp.split(x, 3, -1)
        hr, hz, hn = jnp.split(h @ weight.T, 3, -1)
        hn = hn if bias_n is None else hn + bias_n
        r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
        n = jnp.tanh(xn + r * hn)
        new = _where(mask, n + z * (h - n), h)
        return new, (new, jnp.concatenate([r, z, n, hn], -1))

    last, rows = lax.scan(gru if kind == "gru" else rnn, h0, (x, mask), reverse=reverse)
    return last, *rows


def _tangent_simple(linear: Arrays, residuals: Arrays, reverse: bool) -> Arrays:
    """(e, dh₀, p?) to (dh_T, dh of every step)."""
    e, first, *p = linear
    weight, scale, *keep = residuals

    def step(dh: jax.Array, at: Any) -> tuple[jax.Array, jax.Array]:
        e, p, scale, keep = at
        v = scale * (e + dh @ weight.T)
        new, *others = jnp.split(v, v.shape[-1] // dh.shape[-1], -1)
        for a in (*others, *p):
            new = new + a
        for k in keep:
            new = new + k * dh
        return new, new

    return lax.scan(step, first, (e, p, scale, keep), reverse=reverse)


def _cotangent_simple(linear: Arrays, residuals: Arrays, reverse: bool) -> Arrays:
    last, states = linear
    weight, scale, *keep = residuals

    def step(dh: jax.Array, at: Any) -> tuple[jax.Array, Arrays]:
        states, scale, keep = at
        dh = dh + states
        u = scale * jnp.tile(dh, scale.shape[-1] // dh.shape[-1])
        before = u @ weight
        for k in keep:
            before = before + k * dh
        return before, (u, dh)

    first, (u, p) = lax.scan(step, last, (states, scale, keep), reverse=not reverse)
    return u, first, p


def _cotangent_rnn(linear: Arrays, residuals: Arrays, reverse: bool) -> Arrays:
    return _cotangent_simple(linear, residuals, reverse)[:2]


@functools.partial(precise_jvp, nondiff_argnums=(5, 6))
def simple(
    x: jax.Array, h0: jax.Array, weight: jax.Array, bias_n: jax.Array | None, mask: jax.Array | None, kind: str, reverse: bool
) -> tuple[jax.Array, jax.Array]:
    """An RNN's or a GRU's last state (B, H) and states (T, B, H).

    Args:
      x: the gates' input, with all biases but a GRU's b_n: (T, B, gates · H).
      h0: first state, (B, H).
      weight: W, (gates · H, H), gates in the order r, z, n.
      bias_n: a GRU's b_n, (H,), or None.
      mask: False at steps that a sequence does not have, where its state stays: (T, B, 1), or None.
      kind: 'tanh', 'relu' or 'gru'.
      reverse: from the last step to the first.
    """
    last, states, *_ = _run_simple(x, h0, weight, bias_n, mask, kind, reverse)
    return last, states


@functools.partial(simple.defjvp, symbolic_zeros=True)
def _simple_jvp(kind: str, reverse: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    x, h0, weight, bias_n, mask = primals
    x_t, h0_t, weight_t, bias_t, _ = tangents
    last, states, *gates = _run_simple(x, h0, weight, bias_n, mask, kind, reverse)
    before = _before(h0, states, reverse)
    added = [_times(before, weight_t)] if _live(weight_t) else []
    if kind != "gru":
        scale = _where(mask, 1 - states * states if kind == "tanh" else (states > 0).astype(x.dtype), 0)
        keep = () if mask is None else (jnp.broadcast_to(1 - mask.astype(x.dtype), states.shape),)
        added += [x_t] if _live(x_t) else []
        result = linear_map(
            _tangent_simple, _cotangent_rnn, (_total(added, x), _solid(h0_t)), (weight, scale, *keep), (last, states), reverse=reverse
        )
        return (last, states), result
    r, z, n, hn = jnp.split(gates[0], 4, -1)
    of_n = _where(mask, (1 - z) * (1 - n * n), 0)
    scale = jnp.concatenate([of_n * hn * r * (1 - r), _where(mask, (before - n) * z * (1 - z), 0), of_n * r], -1)
    p = jnp.zeros_like(n)
    width = n.shape[-1]
    if _live(x_t):
        added.append(x_t.at[..., 2 * width :].set(0))
        p = of_n * x_t[..., 2 * width :]
    if bias_n is not None and _live(bias_t):
        added.append(jnp.broadcast_to(jnp.pad(bias_t, (2 * width, 0)), x.shape))
    linear = (_total(added, x), _solid(h0_t), p)
    result = linear_map(_tangent_simple, _cotangent_simple, linear, (weight, scale, _where(mask, z, 1)), (last, states), reverse=reverse)
    return (last, states), result


# -- LSTM: the state is the output and the cell


def _run_lstm(
    x: jax.Array, h0: jax.Array, c0: jax.Array, weight: jax.Array, project: jax.Array | None, mask: jax.Array | None, reverse: bool
) -> tuple[jax.Array, ...]:
    """The last h and c, h of every step, and for the derivative c and the gates i, f, g, o of every step."""

    def step(state: Any, at: Any) -> tuple[Any, Any]:
        h, c = state
        x, mask = at
        i, f, g, o = jnp.split(x + h @ weight.T, 4, -1)
        gates = jnp.concatenate([jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)], -1)
        # XLA would compute them for h and again for c where nothing else needs them, which takes as long as the product.
        i, f, g, o = jnp.split(lax.optimization_barrier(gates), 4, -1)
        cell = f * c + i * g
        new = o * jnp.tanh(cell)
        new = _where(mask, new if project is None else new @ project.T, h)
        cell = _where(mask, cell, c)
        return (new, cell), (new, cell, gates)

    (h, c), rows = lax.scan(step, (h0, c0), (x, mask), reverse=reverse)
    return h, c, *rows


def _tangent_lstm(linear: Arrays, residuals: Arrays, reverse: bool, projected: bool) -> Arrays:
    """(e, dh₀, dc₀, p?) to (dh_T, dc_T, dh of every step)."""
    e, h0, c0, *p = linear
    weight, scale, scale_c, forget, *rest = residuals
    project, keep = (rest[0], rest[1:]) if projected else (None, rest)

    def step(state: Any, at: Any) -> tuple[Any, Any]:
        dh, dc = state
        e, p, scale, scale_c, forget, keep = at
        i, f, g, o = jnp.split(scale * (e + dh @ weight.T), 4, -1)
        dc = i + f + g + forget * dc
        new = o + scale_c * dc
        if project is not None:
            new = new @ project.T + p[0]
        for k in keep:
            new = new + k * dh
        return (new, dc), new

    (h, c), states = lax.scan(step, (h0, c0), (e, p, scale, scale_c, forget, keep), reverse=reverse)
    return h, c, states


def _cotangent_lstm(linear: Arrays, residuals: Arrays, reverse: bool, projected: bool) -> Arrays:
    h, c, states = linear
    weight, scale, scale_c, forget, *rest = residuals
    project, keep = (rest[0], rest[1:]) if projected else (None, rest)

    def step(state: Any, at: Any) -> tuple[Any, Any]:
        dh, dc = state
        states, scale, scale_c, forget, keep = at
        dh = dh + states
        dm = dh if project is None else dh @ project
        dc = dc + scale_c * dm
        u = scale * jnp.concatenate([dc, dc, dc, dm], -1)
        before = u @ weight
        for k in keep:
            before = before + k * dh
        return (before, forget * dc), (u, dh) if projected else (u,)

    (h0, c0), (u, *p) = lax.scan(step, (h, c), (states, scale, scale_c, forget, keep), reverse=not reverse)
    return u, h0, c0, *p


@functools.partial(precise_jvp, nondiff_argnums=(6,))
def lstm(
    x: jax.Array,
    h0: jax.Array,
    c0: jax.Array,
    weight: jax.Array,
    project: jax.Array | None,
    mask: jax.Array | None,
    reverse: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """An LSTM's last h (B, P) and c (B, H), and h of every step (T, B, P).

    Args:
      x: the gates' input, with all biases: (T, B, 4·H).
      h0, c0: first states, (B, P) and (B, H).
      weight: W, (4·H, P), gates in the order i, f, g, o.
      project: the projection P, (P, H), or None; P is then H.
      mask: False at steps that a sequence does not have, where its state stays: (T, B, 1), or None.
      reverse: from the last step to the first.
    """
    h, c, states, *_ = _run_lstm(x, h0, c0, weight, project, mask, reverse)
    return h, c, states


@functools.partial(lstm.defjvp, symbolic_zeros=True)
def _lstm_jvp(reverse: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    x, h0, c0, weight, project, mask = primals
    x_t, h0_t, c0_t, weight_t, project_t, _ = tangents
    h, c, states, cells, gates = _run_lstm(x, h0, c0, weight, project, mask, reverse)
    i, f, g, o = jnp.split(gates, 4, -1)
    squashed = jnp.tanh(cells)
    scale = jnp.concatenate([g * i * (1 - i), _before(c0, cells, reverse) * f * (1 - f), i * (1 - g * g), squashed * o * (1 - o)], -1)
    scale_c = o * (1 - squashed * squashed)
    residuals = [weight, _where(mask, scale, 0), _where(mask, scale_c, 0), _where(mask, f, 1)]
    added = [x_t] if _live(x_t) else []
    if _live(weight_t):
        added.append(_times(_before(h0, states, reverse), weight_t))
    linear = [_total(added, x), _solid(h0_t), _solid(c0_t)]
    if project is not None:
        residuals.append(project)
        p = _times(o * squashed, project_t) if _live(project_t) else jnp.zeros_like(states)
        linear.append(_where(mask, p, 0))
    if mask is not None:
        residuals.append(jnp.broadcast_to(1 - mask.astype(x.dtype), states.shape))
    settings = {"reverse": reverse, "projected": project is not None}
    return (h, c, states), linear_map(_tangent_lstm, _cotangent_lstm, tuple(linear), tuple(residuals), (h, c, states), **settings)
