"""Attention of many queries to many keys, in memory that grows with their number and not with its square.

The queries are taken a few at a time, by a scan. Of each only its outputs and what its scores were lowered by are kept; a derivative computes the
exponentials e of ``_attention_kernel`` again, block by block, and so do derivatives of it. Dao et al., "FlashAttention" (2022), whose blocks of keys
are not needed here: as few queries as a block has may meet all keys at once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from funnn._types import Arrays
from funnn.functional import _attention_block as block
from funnn.functional._attention_block import Operands
from funnn.functional._linear_map import linear_map
from funnn.functional._precision import precise_jvp
from funnn.functional._varying import vary_like

# A block has at most ROWS queries, and fewer where all heads together would have more scores than SCORES: what a CPU's caches hold.
ROWS, SCORES = 128, 2**19
ROWS_ELSEWHERE, SCORES_ELSEWHERE = 1024, 2**26  # a GPU or TPU wants large products; not measured

Tree = dict[str, Any]


@functools.partial(precise_jvp, nondiff_argnums=(6, 7))
def run(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    mask: jax.Array | None,
    drop: jax.Array | None,
    first: int,
    causal: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """o, r and what the scores were lowered by, of a block whose first query is the one of number ``first``."""
    given = Operands(q, k, v, bias, mask, drop)

    def step(rows: Tree, number: jax.Array, size: int) -> tuple[Tree, Tree]:
        part = _operands(given, rows)
        e, shift = block.exponentials(part, first + number * size, causal)
        o, r = block.means(part, e)
        return {"o": o, "r": r, "shift": shift}, {}

    found, _ = _by_rows(step, _rows_of(given), given)
    return found["o"], found["r"], found["shift"]


@functools.partial(run.defjvp, symbolic_zeros=True)
def _run_jvp(first: int, causal: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Arrays, Arrays]:
    # Called as it is differentiated, so that no derivative of any order is that of the scan above, whose e would be kept.
    o, r, shift = run(*primals, first, causal)
    live = block.live_tangents(tangents)
    if not live:
        return (o, r, shift), (jnp.zeros_like(o), jnp.zeros_like(r), jnp.zeros_like(shift))
    names = tuple(name for name, x in zip(Operands._fields, primals, strict=True) if x is not None)
    residuals = (*(x for x in primals if x is not None), o, r, shift)
    static = {"live": tuple(live), "names": names, "first": first, "causal": causal}
    moved = linear_map(_tangent, _cotangent, tuple(live.values()), residuals, (o, r), **static)
    return (o, r, shift), (*moved, jnp.zeros_like(shift))


def _tangent(linear: Arrays, residuals: Arrays, live: tuple[str, ...], names: tuple[str, ...], first: int, causal: bool) -> Arrays:
    """ȯ and ṙ of the tangents of the operands named in ``live``."""
    given, kept = _unpacked(residuals, names)
    moved = dict(zip(live, linear, strict=True))

    def step(rows: Tree, number: jax.Array, size: int) -> tuple[Tree, Tree]:
        part = _operands(given, rows)
        e, _ = block.exponentials(part, first + number * size, causal, rows["shift"])
        own = {name: rows.get("moved " + name, x) for name, x in moved.items()}
        o, r = block.tangent(own, part, rows["o"], rows["r"], e)
        return {"o": o, "r": r}, {}

    of_rows = {"moved " + name: x for name, x in moved.items() if name == "q" or (name == "bias" and block.has_axis(x, -2))}
    found, _ = _by_rows(step, {**_rows_of(given), **of_rows, **kept}, given)
    return found["o"], found["r"]


def _cotangent(linear: Arrays, residuals: Arrays, live: tuple[str, ...], names: tuple[str, ...], first: int, causal: bool) -> Arrays:
    """The transpose of ``_tangent``: the cotangents of the operands named in ``live``."""
    given, kept = _unpacked(residuals, names)

    def step(rows: Tree, number: jax.Array, size: int) -> tuple[Tree, Tree]:
        part = _operands(given, rows)
        e, _ = block.exponentials(part, first + number * size, causal, rows["shift"])
        found = block.cotangent(live, rows["of o"], rows["of r"], part, rows["o"], rows["r"], e)
        return {name: found.pop(name) for name in live if name in rows}, found

    all_rows = {**_rows_of(given), **kept, "of o": linear[0], "of r": linear[1]}
    others = [x for x in given if x is not None]
    of_rows, sums = _by_rows(step, all_rows, given, others, [name for name in live if name not in all_rows])
    found = {**of_rows, **sums}
    return tuple(found[name] for name in live)


def _unpacked(residuals: Arrays, names: tuple[str, ...]) -> tuple[Operands, Tree]:
    """The operands, and o, r and the shifts."""
    return Operands(**dict(zip(names, residuals, strict=False))), dict(zip(("o", "r", "shift"), residuals[-3:], strict=True))


def _rows_of(given: Operands) -> Tree:
    """What has an axis of queries."""
    pairs = {name: getattr(given, name) for name in ("bias", "mask", "drop")}
    return {"q": given.q, **{name: x for name, x in pairs.items() if x is not None and block.has_axis(x, -2)}}


def _operands(given: Operands, rows: Tree) -> Operands:
    return given._replace(**{name: x for name, x in rows.items() if name in Operands._fields})


def _by_rows(
    step: Callable[[Tree, jax.Array, int], tuple[Tree, Tree]], rows: Tree, given: Operands, others: Any = (), summed: Sequence[str] = ()
) -> tuple[Tree, Tree]:
    """What ``step`` gives: for a few rows at a time, put together, and the operands' cotangents named in ``summed``, to which all rows add."""
    queries, keys = given.q.shape[-2], given.k.shape[-2]
    rows_at_most, scores_at_most = (ROWS, SCORES) if jax.default_backend() == "cpu" else (ROWS_ELSEWHERE, SCORES_ELSEWHERE)
    most = max(1, min(rows_at_most, scores_at_most // max(1, math.prod(given.q.shape[:-2]) * keys)))
    count = -(-queries // most)
    size = -(-queries // count)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def body(sums: Tree, at: tuple[Tree, jax.Array]) -> tuple[Tree, Tree]:
        found, added = step(*at, size)
        return jax.tree.map(jnp.add, sums, added), found

    parts = {name: _cut_up(x, count, size) for name, x in rows.items()}
    zeros = {name: jnp.zeros_like(getattr(given, name)) for name in summed}
    sums, found = lax.scan(body, vary_like(zeros, rows, others), (parts, jnp.arange(count, dtype=jnp.int32)))
    return jax.tree.map(lambda x: _put_together(x, queries), found), sums


def _cut_up(x: jax.Array, count: int, size: int) -> jax.Array:
    """(*, L, n) to (count, *, size, n), with zeros behind the last row."""
    missing = count * size - x.shape[-2]
    if missing:
        x = jnp.pad(x, [(0, missing if axis == x.ndim - 2 else 0) for axis in range(x.ndim)])
    return jnp.moveaxis(x.reshape(*x.shape[:-2], count, size, x.shape[-1]), -3, 0)


def _put_together(x: jax.Array, queries: int) -> jax.Array:
    """The opposite of ``_cut_up``."""
    x = jnp.moveaxis(x, 0, -3)
    return block.cut(x.reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2], x.shape[-1]), -2, slice(0, queries))
