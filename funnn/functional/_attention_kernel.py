"""The kernel of attention: scores, their softmax and the means of the values as one function, with the derivative written out.

    e_ij = exp(s_ij − m_i),   r_i = 1 / Σ_j e_ij,   o_i = r_i Σ_j e_ij d_ij v_j,   s = q kᵀ + b, −∞ where masked

with m the maxima of the rows and d the factors of dropout (1 without). A row that may attend to nothing has e = 0 and o = 0, not NaN. For tangents
q̇, k̇, v̇ and ḃ the map

    t = q̇ kᵀ + q k̇ᵀ + ḃ,   ȯ = r ((e d t) v + (e d) v̇ − o Σ_j e_j t_j)

is linear, and its transpose is, for a cotangent g, with g' = r g and c_i the sum of g'_i o_i over the features,

    t̄ = e (d (g' vᵀ) − c),   q̄ = t̄ k,   k̄ = t̄ᵀ q,   v̄ = (e d)ᵀ g',   b̄ = t̄

So e, r and o are kept, and no score, mask or exponential is computed again; the scores are never divided by their sums, only the fewer outputs are;
and a mask costs nothing in the backward pass, for e is 0 there. Under a causal mask the queries are taken in a few blocks, each against only the
keys that it may see.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from funnn._types import Arrays
from funnn.functional import _checks as check
from funnn.functional._linear_map import linear_map
from funnn.functional._precision import precise_jvp

ROWS, BLOCKS = 128, 4  # under a causal mask a block has at least ROWS queries, unless it is the only one, and there are at most BLOCKS
UNKNOWN = 2  # blocks of a length that varies: NumPy runs such a trace, in which each block is a dozen calls
OPERANDS = ("q", "k", "v", "bias")  # those with a derivative


@functools.partial(precise_jvp, nondiff_argnums=(6,))
def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array | None, mask: jax.Array | None, drop: jax.Array | None, causal: bool
) -> jax.Array:
    """For each query the mean of the values, weighted by the softmax of its scores; of shape (*, L, E_v).

    Args:
      q: queries, of shape (*, L, E), already scaled, in the dtype to compute in.
      k: keys, of shape (*, S, E).
      v: values, of shape (*, S, E_v).
      bias: added to the scores, to whose shape (*, L, S) it broadcasts; or None.
      mask: boolean, True where a query may attend; broadcasts to the scores; or None.
      drop: factors of the weights, of the scores' shape, without a derivative; or None.
      causal: whether query i attends to keys 0 … i only.
    """
    return _run(q, k, v, bias, mask, drop, causal)[0]


@functools.partial(attend.defjvp, symbolic_zeros=True)
def _attend_jvp(causal: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    q, k, v, bias, mask, drop = primals
    o, r, es = _run(q, k, v, bias, mask, drop, causal)
    live = {name: t for name, t in zip(OPERANDS, tangents[:4], strict=True) if not (t is None or isinstance(t, SymbolicZero))}
    if not live:
        return o, jnp.zeros_like(o)
    if "bias" in live:
        live["bias"] = jnp.broadcast_to(live["bias"], (*q.shape[:-1], k.shape[-2]))
    residuals = (q, k, v, o, r, *es) if drop is None else (q, k, v, o, r, *es, drop)
    return o, linear_map(_tangent, _cotangent, tuple(live.values()), residuals, (o,), live=tuple(live), causal=causal)[0]


def _blocks(queries: int, keys: int, causal: bool) -> list[tuple[slice, slice]]:
    """The rows of queries and of keys of each block."""
    if check.has_symbol((queries, keys)):
        square = causal and queries == keys
        count = UNKNOWN if square else 1
    else:
        square = False
        count = max(1, min(queries // ROWS, BLOCKS)) if causal else 1
    edges = [queries * i // count for i in range(count + 1)]
    stops = edges[1:] if square else [min(stop, keys) if causal and count > 1 else keys for stop in edges[1:]]
    return [(slice(start, stop), slice(0, seen)) for (start, stop), seen in zip(itertools.pairwise(edges), stops, strict=True)]


def _run(
    q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array | None, mask: jax.Array | None, drop: jax.Array | None, causal: bool
) -> tuple[jax.Array, jax.Array, Arrays]:
    """o, r, and e of each block."""
    parts = []
    for rows, columns in _blocks(q.shape[-2], k.shape[-2], causal):
        scores = _product(_cut(q, -2, rows), _cut(k, -2, columns), 1, 1)
        if bias is not None:
            scores = scores + _part(bias, rows, columns)
        allowed = None if mask is None else _part(mask, rows, columns)
        if causal:
            # Of the scores' full shape: on a CPU a triangle of shape (L, S) that broadcasts makes the forward pass a third slower.
            i, j = (lax.broadcasted_iota(jnp.int32, scores.shape, scores.ndim + axis) for axis in (-2, -1))
            seen = lax.le(j, i if isinstance(rows.start, int) and rows.start == 0 else i + rows.start)
            allowed = seen if allowed is None else allowed & seen
        if allowed is not None:
            scores = lax.select(jnp.broadcast_to(allowed, scores.shape), scores, lax.full_like(scores, -jnp.inf))
        # o does not depend on what is subtracted, so that e and r may be differentiated as if it were constant.
        largest = lax.stop_gradient(lax.reduce_max(scores, (scores.ndim - 1,)))
        shift = lax.select(lax.eq(largest, lax.full_like(largest, -jnp.inf)), lax.full_like(largest, 0), largest)
        e = lax.exp(lax.sub(scores, _along(shift, scores.shape)))
        total = lax.reduce_sum(e, (e.ndim - 1,))
        one = lax.full_like(total, 1)
        r = lax.div(one, lax.select(lax.eq(total, lax.full_like(total, 0)), one, total))
        o = _product(_dropped(e, drop, rows, columns), _cut(v, -2, columns), 1, 0)
        parts.append((lax.mul(o, _along(r, o.shape)), _along(r, (*r.shape, 1)), e))
    os, rs, es = zip(*parts, strict=True)
    return _joined(os), _joined(rs), es


def _tangent(linear: Arrays, residuals: Arrays, live: tuple[str, ...], causal: bool) -> Arrays:
    """ȯ of the tangents of the operands named in ``live``."""
    moved = dict(zip(live, linear, strict=True))
    q, k, v, o, r, *rest = residuals
    blocks = _blocks(q.shape[-2], k.shape[-2], causal)
    es, drop = _split(rest, len(blocks))
    outputs = []
    for (rows, columns), e in zip(blocks, es, strict=True):
        terms, sums = [], []
        if "q" in moved:
            terms.append(_product(_cut(moved["q"], -2, rows), _cut(k, -2, columns), 1, 1))
        if "k" in moved:
            terms.append(_product(_cut(q, -2, rows), _cut(moved["k"], -2, columns), 1, 1))
        if "bias" in moved:
            terms.append(_cut(_cut(moved["bias"], -2, rows), -1, columns))
        if terms:
            t = e * _sum(terms)
            means = _cut(o, -2, rows) * jnp.sum(t, -1, keepdims=True)
            sums.append(_product(_dropped(t, drop, rows, columns), _cut(v, -2, columns), 1, 0) - means)
        if "v" in moved:
            sums.append(_product(_dropped(e, drop, rows, columns), _cut(moved["v"], -2, columns), 1, 0))
        outputs.append(_sum(sums) * _cut(r, -2, rows))
    return (_joined(outputs),)


def _cotangent(linear: Arrays, residuals: Arrays, live: tuple[str, ...], causal: bool) -> Arrays:
    """The transpose of ``_tangent``: the cotangents of the operands named in ``live``, of ȯ's."""
    q, k, v, o, r, *rest = residuals
    keys, blocks = k.shape[-2], _blocks(q.shape[-2], k.shape[-2], causal)
    es, drop = _split(rest, len(blocks))
    g = linear[0] * r
    c = jnp.sum(g * o, -1, keepdims=True)
    parts: dict[str, list[jax.Array]] = {name: [] for name in live}
    for (rows, columns), e in zip(blocks, es, strict=True):
        if "v" in live:
            parts["v"].append(_extended(_product(_dropped(e, drop, rows, columns), _cut(g, -2, rows), 0, 0), keys, -2))
        if live == ("v",):
            continue
        t = e * (_dropped(_product(_cut(g, -2, rows), _cut(v, -2, columns), 1, 1), drop, rows, columns) - _cut(c, -2, rows))
        if "q" in live:
            parts["q"].append(_product(t, _cut(k, -2, columns), 1, 0))
        if "k" in live:
            parts["k"].append(_extended(_product(t, _cut(q, -2, rows), 0, 0), keys, -2))
        if "bias" in live:
            parts["bias"].append(_extended(t, keys, -1))
    # Each block has its own rows of queries and of scores, but keys and values of the blocks before it.
    return tuple(_joined(part) if name in ("q", "bias") else _sum(part) for name, part in parts.items())


def _product(a: jax.Array, b: jax.Array, of_a: int, of_b: int) -> jax.Array:
    """The matrix product over the last two axes of both, summed over axis ``of_a`` of a's two and ``of_b`` of b's."""
    batch = tuple(range(a.ndim - 2))
    return lax.dot_general(a, b, (((len(batch) + of_a,), (len(batch) + of_b,)), (batch, batch)))


def _along(x: jax.Array, shape: tuple[Any, ...]) -> jax.Array:
    """x, which lacks the last axis, the same all along it."""
    return lax.broadcast_in_dim(x, shape, tuple(range(x.ndim)))


def _cut(x: jax.Array, axis: int, part: slice) -> jax.Array:
    """A part of an axis; unlike an index, it may have symbols for ends."""
    if isinstance(part.start, int) and part.start == 0 and part.stop == x.shape[axis]:
        return x
    starts, stops = [0] * x.ndim, list(x.shape)
    starts[axis], stops[axis] = part.start, part.stop
    return lax.slice(x, starts, stops)


def _part(x: jax.Array, rows: slice, columns: slice) -> jax.Array:
    """The block of an array that broadcasts to the scores."""
    x = x.reshape((1,) * (2 - x.ndim) + x.shape)
    for axis, part in ((-2, rows), (-1, columns)):
        if check.has_symbol((x.shape[axis],)) or x.shape[axis] > 1:
            x = _cut(x, axis, part)
    return x


def _dropped(x: jax.Array, drop: jax.Array | None, rows: slice, columns: slice) -> jax.Array:
    return x if drop is None else x * _cut(_cut(drop, -2, rows), -1, columns)


def _split(rest: list[jax.Array], blocks: int) -> tuple[list[jax.Array], jax.Array | None]:
    """The last residuals: e of each block, and ``drop`` if there is one."""
    return rest[:blocks], rest[blocks] if len(rest) > blocks else None


def _joined(parts: tuple[jax.Array, ...] | list[jax.Array]) -> jax.Array:
    return parts[0] if len(parts) == 1 else lax.concatenate(parts, parts[0].ndim - 2)


def _sum(parts: list[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.add, parts)


def _extended(x: jax.Array, size: int, axis: int) -> jax.Array:
    """x with zeros after it along the axis, up to ``size``."""
    missing = size - x.shape[axis]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, missing if i == x.ndim + axis else 0, 0) for i in range(x.ndim)]) if missing else x
