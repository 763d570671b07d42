"""Attention of some queries to some keys: the formulas of ``_attention_kernel``, with the exponentials e at hand."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from funnn.functional import _checks as check


class Band(NamedTuple):
    """The keys that a query sees by its place: query i sees key j where ``least ≤ i − j ≤ most``; None is no bound."""

    least: int | None = None
    most: int | None = None

    def columns(self, rows: slice, keys: int) -> slice:
        """The keys that some of these queries see, of so many; at least one where there is one."""
        stop = keys if self.least is None else max(1, min(keys, rows.stop - self.least))
        start = 0 if self.most is None else max(0, min(stop - 1, rows.start - self.most))
        return slice(start, min(stop, keys))


class Operands(NamedTuple):
    """What attention is of: q (*, L, E), k (*, S, E), v (*, S, E_v), and three that broadcast to the scores (*, L, S) or are None.

    Where several heads of queries share one of keys, q has an axis more, (*, G, L, E), and so have the scores; then no key is repeated.
    """

    q: jax.Array
    k: jax.Array
    v: jax.Array
    bias: jax.Array | None = None
    mask: jax.Array | None = None
    drop: jax.Array | None = None

    def of_block(self, rows: slice, columns: slice) -> Operands:
        """Those of some queries and some keys."""
        return self._replace(**{name: part_of(name, x, rows, columns) for name, x in self._asdict().items() if x is not None})


def part_of(name: str, x: jax.Array, rows: slice, columns: slice) -> jax.Array:
    """What belongs to some queries and some keys of the operand of this name."""
    if name in ("q", "k", "v"):
        return cut(x, -2, rows if name == "q" else columns)
    for axis, part in ((-2, rows), (-1, columns)):
        if has_axis(x, axis):
            x = cut(x, axis, part)
    return x


def exponentials(given: Operands, first: Any, band: Band, shift: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
    """e, and what the scores were lowered by before, (*, L, 1): ``shift``, by default their maxima; ``first`` is the number of the first query less that
    of the first key."""
    scores = times(given.q, given.k, 1)
    if given.bias is not None:
        scores = scores + given.bias
    allowed = given.mask
    if band != Band():
        # Of the scores' full shape: on a CPU a triangle of shape (L, S) that broadcasts makes the forward pass a third slower.
        i, j = (lax.broadcasted_iota(jnp.int32, scores.shape, scores.ndim + axis) for axis in (-2, -1))
        i = i if isinstance(first, int) and first == 0 else i + first
        if band.least is not None:
            seen = lax.le(j if band.least == 0 else j + band.least, i)
            allowed = seen if allowed is None else allowed & seen
        if band.most is not None:
            seen = lax.le(i, j + band.most)
            allowed = seen if allowed is None else allowed & seen
    if allowed is not None:
        scores = lax.select(jnp.broadcast_to(allowed, scores.shape), scores, lax.full_like(scores, -jnp.inf))
    if shift is None:
        # o does not depend on what is subtracted, so that e and r may be differentiated as if it were constant.
        largest = lax.stop_gradient(lax.reduce_max(scores, (scores.ndim - 1,)))
        finite = lax.select(lax.eq(largest, lax.full_like(largest, -jnp.inf)), lax.full_like(largest, 0), largest)
        shift = _along(finite, (*finite.shape, 1))
    return lax.exp(lax.sub(scores, jnp.broadcast_to(shift, scores.shape))), shift


def means(given: Operands, e: jax.Array) -> tuple[jax.Array, jax.Array]:
    """o and r, (*, L, 1)."""
    total = lax.reduce_sum(e, (e.ndim - 1,))
    one = lax.full_like(total, 1)
    r = lax.div(one, lax.select(lax.eq(total, lax.full_like(total, 0)), one, total))
    o = times(_dropped(e, given.drop), given.v, 0)
    return lax.mul(o, _along(r, o.shape)), _along(r, (*r.shape, 1))


def tangent(moved: dict[str, jax.Array], given: Operands, o: jax.Array, r: jax.Array, e: jax.Array) -> tuple[jax.Array, jax.Array]:
    """ȯ and ṙ = −r² Σ_j e_j t_j of the tangents of the operands that ``moved`` names."""
    terms, sums, r_dot = [], [], jnp.zeros_like(r)
    if "q" in moved:
        terms.append(times(moved["q"], given.k, 1))
    if "k" in moved:
        terms.append(times(given.q, moved["k"], 1))
    if "bias" in moved:
        terms.append(moved["bias"])
    if terms:
        t = e * total(terms)
        along = jnp.sum(t, -1, keepdims=True)
        sums.append(times(_dropped(t, given.drop), given.v, 0) - o * along)
        r_dot = -r * r * along
    if "v" in moved:
        sums.append(times(_dropped(e, given.drop), moved["v"], 0))
    return total(sums) * r, r_dot


def cotangent(
    live: tuple[str, ...], g: jax.Array, of_r: jax.Array | None, given: Operands, o: jax.Array, r: jax.Array, e: jax.Array
) -> dict[str, jax.Array]:
    """The transpose of ``tangent``: the cotangents of the operands named in ``live``, of those of ȯ and ṙ; None is zero."""
    g = g * r
    found = {"v": over_queries(_dropped(e, given.drop), g, given.v)} if "v" in live else {}
    if live == ("v",):
        return found
    c = jnp.sum(g * o, -1, keepdims=True)
    t = e * (_dropped(times(g, given.v, 1), given.drop) - (c if of_r is None else c + r * r * of_r))
    if "q" in live:
        found["q"] = times(t, given.k, 0)
    if "k" in live:
        found["k"] = over_queries(t, given.q, given.k)
    if "bias" in live:
        found["bias"] = _summed_to(t, given.bias)
    return found


def live_tangents(tangents: Sequence[Any]) -> dict[str, jax.Array]:
    """The tangents that are not zero, by the operands' names."""
    pairs = zip(("q", "k", "v", "bias"), tangents, strict=False)
    return {name: t for name, t in pairs if not (t is None or isinstance(t, SymbolicZero))}


def joined(parts: Sequence[jax.Array]) -> jax.Array:
    """Blocks of queries, one after the other."""
    return parts[0] if len(parts) == 1 else lax.concatenate(parts, parts[0].ndim - 2)


def times(x: jax.Array, keys: jax.Array, axis: int) -> jax.Array:
    """The matrix product of what has queries, (*, L, n) or (*, G, L, n), and what has keys, summed over axis 0 or 1 of the latter's last two."""
    found = _product(_folded(x, keys), keys, 1, axis)
    return found if x.ndim == keys.ndim else found.reshape(*x.shape[:-1], found.shape[-1])


def over_queries(x: jax.Array, y: jax.Array, keys: jax.Array) -> jax.Array:
    """``xᵀ y``, summed over all queries of each head of ``keys``."""
    return _product(_folded(x, keys), _folded(y, keys), 0, 0)


def _folded(x: jax.Array, keys: jax.Array) -> jax.Array:
    """(*, G, L, n) to (*, G · L, n), where ``keys`` have no axis of G heads."""
    return x if x.ndim == keys.ndim else x.reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2], x.shape[-1])


def _product(a: jax.Array, b: jax.Array, of_a: int, of_b: int) -> jax.Array:
    """The matrix product over the last two axes of both, summed over axis ``of_a`` of a's two and ``of_b`` of b's."""
    batch = tuple(range(a.ndim - 2))
    return lax.dot_general(a, b, (((len(batch) + of_a,), (len(batch) + of_b,)), (batch, batch)))


def cut(x: jax.Array, axis: int, part: slice) -> jax.Array:
    """A part of an axis; unlike an index, it may have symbols for ends."""
    if isinstance(part.start, int) and part.start == 0 and part.stop == x.shape[axis]:
        return x
    starts, stops = [0] * x.ndim, list(x.shape)
    starts[axis], stops[axis] = part.start, part.stop
    return lax.slice(x, starts, stops)


def total(parts: list[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.add, parts)


def _along(x: jax.Array, shape: tuple[Any, ...]) -> jax.Array:
    """x, which lacks the last axis, the same all along it."""
    return lax.broadcast_in_dim(x, shape, tuple(range(x.ndim)))


def has_axis(x: Any, axis: int) -> bool:
    """Whether an array that broadcasts to the scores has numbers of its own along the axis."""
    return bool(check.has_symbol((x.shape[axis],)) or x.shape[axis] > 1)


def _dropped(x: jax.Array, drop: jax.Array | None) -> jax.Array:
    return x if drop is None else x * drop


def _summed_to(t: jax.Array, like: Any) -> jax.Array:
    """t, summed over the axes along which ``like`` broadcasts to its shape."""
    axes = tuple(axis for axis in range(t.ndim) if axis < t.ndim - like.ndim or not has_axis(like, axis - t.ndim))
    return jnp.sum(t, axes, keepdims=True).reshape(like.shape) if axes else t
