"""The kernel of attention: scores, their softmax and the means of the values as one function, with the derivative written out.

    e_ij = exp(s_ij − m_i),   r_i = 1 / Σ_j e_ij,   o_i = r_i Σ_j e_ij d_ij v_j,   s = q kᵀ + b, −∞ where masked

with m the maxima of the rows and d the factors of dropout (1 without). A row that may attend to nothing has e = 0 and o = 0, not NaN. For tangents
q̇, k̇, v̇ and ḃ the map

    t = q̇ kᵀ + q k̇ᵀ + ḃ,   ȯ = r ((e d t) v + (e d) v̇ − o Σ_j e_j t_j)

is linear, and its transpose is, for a cotangent g, with g' = r g and c_i the sum of g'_i o_i over the features,

    t̄ = e (d (g' vᵀ) − c),   q̄ = t̄ k,   k̄ = t̄ᵀ q,   v̄ = (e d)ᵀ g',   b̄ = t̄

So e, r and o are kept, and no score, mask or exponential is computed again; the scores are never divided by their sums, only the fewer outputs are;
and a mask costs nothing in the backward pass, for e is 0 there. Under a causal mask the queries are taken in a few blocks, each against only the
keys that it may see; and so under a window.

Where queries times keys are LONG or more (LONG_ELSEWHERE on a GPU or TPU), e is not kept: ``_attention_scan`` takes few queries at a time and computes e
again for each derivative.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from funnn._types import Arrays
from funnn.functional import _attention_block as block
from funnn.functional import _attention_scan as scan
from funnn.functional import _checks as check
from funnn.functional._attention_block import Band, Operands, joined, total
from funnn.functional._linear_map import linear_map
from funnn.functional._precision import precise_jvp

ROWS, BLOCKS = (
    128,
    4,
)  # under a causal mask or a window a block has at least ROWS queries, unless it is the only one, and there are at most BLOCKS
UNKNOWN = 2  # blocks of a length that varies: NumPy runs such a trace, in which each block is a dozen calls
LONG = 2**18  # queries times keys from which on e is computed again, on a CPU; there it is faster too
LONG_ELSEWHERE = 2**22  # to save memory alone


def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array | None, mask: jax.Array | None, drop: jax.Array | None, band: Band
) -> jax.Array:
    """For each query the mean of the values, weighted by the softmax of its scores; of shape (*, L, E_v).

    Args:
      q: queries, of shape (*, L, E), already scaled, in the dtype to compute in; or (*, G, L, E) where G heads of queries share one of keys, and
        then what is said of the scores and the result is so too.
      k: keys, of shape (*, S, E).
      v: values, of shape (*, S, E_v).
      bias: added to the scores, to whose shape (*, L, S) it broadcasts; or None.
      mask: boolean, True where a query may attend; broadcasts to the scores; or None.
      drop: factors of the weights, of the scores' shape, without a derivative; or None.
      band: which keys a query sees by its place.
    """
    pairs = (x if x is None or x.ndim > 1 else x.reshape((1,) * (2 - x.ndim) + x.shape) for x in (bias, mask, drop))
    given = Operands(q, k, v, *pairs)
    sizes = q.shape[-2], k.shape[-2]
    if check.has_symbol(sizes) or sizes[0] * sizes[1] < (LONG if jax.default_backend() == "cpu" else LONG_ELSEWHERE):
        return _attend(*given, band)
    blocks = [(slice(0, sizes[0]), slice(0, sizes[1]))] if scan.moves(band) else _blocks(*sizes, band)
    return joined([scan.run(*given.of_block(rows, columns), rows.start - columns.start, band)[0] for rows, columns in blocks])


@functools.partial(precise_jvp, nondiff_argnums=(6,))
def _attend(
    q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array | None, mask: jax.Array | None, drop: jax.Array | None, band: Band
) -> jax.Array:
    return _run(Operands(q, k, v, bias, mask, drop), band)[0]


@functools.partial(_attend.defjvp, symbolic_zeros=True)
def _attend_jvp(band: Band, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    o, r, es = _run(Operands(*primals), band)
    live = block.live_tangents(tangents)
    if not live:
        return o, jnp.zeros_like(o)
    needed = Operands(*primals)._replace(mask=None)  # where it is False, e is 0
    names = tuple(name for name, x in needed._asdict().items() if x is not None)
    residuals = (*(x for x in needed if x is not None), o, r, *es)
    return o, linear_map(_tangent, _cotangent, tuple(live.values()), residuals, (o,), live=tuple(live), names=names, band=band)[0]


def _blocks(queries: int, keys: int, band: Band) -> list[tuple[slice, slice]]:
    """The rows of queries and of keys of each block."""
    if check.has_symbol((queries, keys)):
        count = UNKNOWN if band == Band(0) and queries == keys else 1
        edges = [queries * i // count for i in range(count + 1)]
        return [(slice(*pair), slice(0, keys if count == 1 else pair[1])) for pair in itertools.pairwise(edges)]
    count = 1 if band == Band() else max(1, min(queries // ROWS, BLOCKS))
    edges = [queries * i // count for i in range(count + 1)]
    return [
        (rows, slice(0, keys) if count == 1 else band.columns(rows, keys)) for rows in itertools.starmap(slice, itertools.pairwise(edges))
    ]


def _run(given: Operands, band: Band) -> tuple[jax.Array, jax.Array, Arrays]:
    """o, r, and e of each block."""
    found = []
    for rows, columns in _blocks(given.q.shape[-2], given.k.shape[-2], band):
        part = given.of_block(rows, columns)
        e, _ = block.exponentials(part, rows.start - columns.start, band)
        found.append((*block.means(part, e), e))
    os, rs, es = zip(*found, strict=True)
    return joined(os), joined(rs), es


def _tangent(linear: Arrays, residuals: Arrays, live: tuple[str, ...], names: tuple[str, ...], band: Band) -> Arrays:
    """ȯ of the tangents of the operands named in ``live``."""
    outputs = []
    for rows, columns, *known in _parts(residuals, names, band):
        moved = {name: block.part_of(name, x, rows, columns) for name, x in zip(live, linear, strict=True)}
        outputs.append(block.tangent(moved, *known)[0])
    return (joined(outputs),)


def _cotangent(linear: Arrays, residuals: Arrays, live: tuple[str, ...], names: tuple[str, ...], band: Band) -> Arrays:
    """The transpose of ``_tangent``: the cotangents of the operands named in ``live``, of ȯ's."""
    parts: dict[str, list[jax.Array]] = {name: [] for name in live}
    given = dict(zip(names, residuals, strict=False))
    for rows, columns, *known in _parts(residuals, names, band):
        for name, x in block.cotangent(live, block.cut(linear[0], -2, rows), None, *known).items():
            axis = {"q": None, "k": -2, "v": -2}.get(name, -1)
            parts[name].append(
                x if axis is None or not block.has_axis(given[name], axis) else _extended(x, columns, given[name].shape[axis], axis)
            )
    return tuple(_whole(name, parts[name], given[name]) for name in live)


def _parts(residuals: Arrays, names: tuple[str, ...], band: Band) -> Iterator[tuple[Any, ...]]:
    """For each block: its rows and columns, the operands, o, r and e."""
    given = Operands(**dict(zip(names, residuals, strict=False)))
    o, r, *es = residuals[len(names) :]
    for (rows, columns), e in zip(_blocks(given.q.shape[-2], given.k.shape[-2], band), es, strict=True):
        yield rows, columns, given.of_block(rows, columns), block.cut(o, -2, rows), block.cut(r, -2, rows), e


def _whole(name: str, parts: list[jax.Array], like: jax.Array) -> jax.Array:
    """The cotangent of ``like``: each block has its own rows of queries and of scores, but keys and values of other blocks too."""
    return joined(parts) if name == "q" or (name == "bias" and block.has_axis(like, -2)) else total(parts)


def _extended(x: jax.Array, columns: slice, size: int, axis: int) -> jax.Array:
    """x with zeros around it along the axis, where it is a part of so many."""
    around = (columns.start, size - columns.start - x.shape[axis])
    if around == (0, 0):
        return x
    return lax.pad(x, jnp.zeros((), x.dtype), [(*(around if i == x.ndim + axis else (0, 0)), 0) for i in range(x.ndim)])
